// SPDX-License-Identifier: MIT OR Apache-2.0
//! An SMTP session: commands out, replies in, a deadline for each step.
//!
//! The deadline holds under TLS as well: a handshake is a step, and TLS records that arrive slowly do not extend it.
//!
//! lettre's connection is not used: it bounds each socket operation rather than the step (a relay that sends a byte a second
//! blocks a mail for hours), sends the final dot in a packet of its own (which Nagle's algorithm then delays by 40 ms), and panics at an EHLO
//! line of spaces.

use super::commands;
use super::socket::{self, CLOSED, Timed};
use super::tls;
use rustls::ClientConnection;
use std::fmt::{self, Display};
use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

/// Longest reply, in bytes: far more than a reply to EHLO needs.
const MAX_REPLY: usize = 16 * 1024;
/// Longest line of a reply, in bytes; RFC 5321, 4.5.3.1.5 allows 512.
const MAX_REPLY_LINE: usize = 2048;

/// The relay waits for the mail's content (RFC 5321, 4.3.2).
const START_MAIL: u16 = 354;

/// A reply of the relay (RFC 5321, 4.2).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reply {
    /// 200 to 599.
    pub code: u16,
    /// Its lines, without the codes.
    pub lines: Vec<String>,
}

impl Reply {
    /// True for a positive completion reply (RFC 5321, 4.2.1).
    pub fn is_completion(&self) -> bool {
        (200..300).contains(&self.code)
    }

    /// True for a positive intermediate reply (RFC 5321, 4.2.1).
    pub fn is_intermediate(&self) -> bool {
        (300..400).contains(&self.code)
    }
}

impl Display for Reply {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        write!(f, "{} {}", self.code, self.lines.join(" "))
    }
}

/// An open connection with a relay.
pub struct Session {
    stream: TcpStream,
    /// Set after the handshake.
    tls: Option<Box<ClientConnection>>,
    /// Bytes that were read and are not part of a reply yet.
    read: Vec<u8>,
    timeout: Duration,
    /// Number of commands that were sent ahead and whose replies were not read yet.
    ahead: usize,
    /// The error after which nothing can be sent.
    broken: Option<String>,
    /// The relay has replied to all commands, and waits for the next one.
    is_idle: bool,
}

impl Session {
    /// Connects to the first address that accepts a connection. `timeout` bounds each attempt, and each later step.
    ///
    /// # Errors
    ///
    /// The system's text for the last address.
    pub fn connect(addresses: &[SocketAddr], timeout: Duration) -> Result<Self, String> {
        let stream = socket::connect(addresses, timeout)?;
        Ok(Session { stream, tls: None, read: Vec::new(), timeout, ahead: 0, broken: None, is_idle: false })
    }

    /// Starts TLS. Bytes that came unencrypted are never taken for a part of the encrypted session.
    ///
    /// # Errors
    ///
    /// The relay's certificate or its TLS cannot be accepted, or bytes came before the handshake.
    pub fn secure(&mut self, client: &tls::Client) -> Result<(), String> {
        self.is_idle = false;
        if !self.read.is_empty() {
            // An attacker on the path could inject replies (like CVE-2011-0411).
            return Err("the relay, or somebody on the way, sent something unencrypted before it".to_owned());
        }
        let mut tls = Box::new(client.begin()?);
        let mut wire = Timed { stream: &self.stream, deadline: Instant::now() + self.timeout };
        while tls.is_handshaking() {
            tls.complete_io(&mut wire).map_err(|error| socket::error_text(&error, self.timeout))?;
        }
        self.tls = Some(tls);
        Ok(())
    }

    /// Changes the bound of each step.
    pub fn set_timeout(&mut self, timeout: Duration) {
        self.timeout = timeout;
    }

    /// Sends the next commands (or a mail) at once, to a relay that offers PIPELINING (RFC 2920): one round trip instead of many. The
    /// matching calls of [`Session::command`] then read the replies. An error is returned by the first call whose reply cannot come:
    /// the replies before it can be read.
    pub fn send_ahead(&mut self, commands: &[&[u8]]) {
        if commands.is_empty() || self.broken.is_some() {
            return;
        }
        self.is_idle = false;
        match self.write(&commands.concat(), Instant::now() + self.timeout) {
            Ok(()) => self.ahead += commands.len(),
            Err(error) => self.broken = Some(socket::error_text(&error, self.timeout)),
        }
    }

    /// Reads the replies to commands that were sent ahead and are not needed. If DATA was accepted, an empty mail follows.
    ///
    /// # Errors
    ///
    /// As for [`Session::command`].
    pub fn catch_up(&mut self) -> Result<(), String> {
        while self.ahead > 0 {
            if self.command("")?.code == START_MAIL {
                self.command(".\r\n")?;
            }
        }
        Ok(())
    }

    /// Sends a command, unless it was sent ahead, and reads the reply.
    ///
    /// # Errors
    ///
    /// The session is broken: the system's text, or a violation of the protocol.
    pub fn command(&mut self, command: &str) -> Result<Reply, String> {
        self.exchange(command.as_bytes())
    }

    /// Sends bytes, which may be secret, like [`Session::command`].
    ///
    /// # Errors
    ///
    /// As for [`Session::command`].
    pub fn exchange(&mut self, bytes: &[u8]) -> Result<Reply, String> {
        if let Some(ahead) = self.ahead.checked_sub(1) {
            self.ahead = ahead;
            return self.reply();
        }
        if let Some(error) = &self.broken {
            return Err(error.clone());
        }
        let deadline = Instant::now() + self.timeout;
        self.write(bytes, deadline).map_err(|error| socket::error_text(&error, self.timeout))?;
        self.reply_until(deadline)
    }

    /// Reads a reply, such as the greeting.
    ///
    /// # Errors
    ///
    /// As for [`Session::command`].
    pub fn reply(&mut self) -> Result<Reply, String> {
        self.reply_until(Instant::now() + self.timeout)
    }

    /// Sends QUIT, if the relay waits for a command, and closes the session without waiting for the reply. Some relays take a client
    /// that closes without QUIT for an attacker.
    pub fn quit(mut self) {
        if self.is_idle && self.write(commands::QUIT.as_bytes(), Instant::now() + self.timeout).is_ok() {
            self.close();
        }
    }

    /// Closes the session; under TLS, with a `close_notify`.
    pub fn close(mut self) {
        let mut wire = Timed { stream: &self.stream, deadline: Instant::now() + self.timeout };
        if let Some(tls) = &mut self.tls {
            tls.send_close_notify();
            // The relay may have closed the connection already.
            let _ = tls.write_tls(&mut wire);
        }
    }

    fn write(&mut self, bytes: &[u8], deadline: Instant) -> io::Result<()> {
        let mut wire = Timed { stream: &self.stream, deadline };
        match &mut self.tls {
            None => wire.write_all(bytes),
            Some(tls) => {
                let mut stream = rustls::Stream::new(tls.as_mut(), &mut wire);
                stream.write_all(bytes).and_then(|()| stream.flush())
            }
        }
    }

    fn read(&mut self, buffer: &mut [u8], deadline: Instant) -> io::Result<usize> {
        let mut wire = Timed { stream: &self.stream, deadline };
        match &mut self.tls {
            None => wire.read(buffer),
            Some(tls) => rustls::Stream::new(tls.as_mut(), &mut wire).read(buffer),
        }
    }

    fn reply_until(&mut self, deadline: Instant) -> Result<Reply, String> {
        self.is_idle = false;
        let mut code = None;
        let mut lines: Vec<String> = Vec::new();
        let mut size = 0;
        loop {
            let line = self.line(deadline)?;
            size += line.len();
            if size > MAX_REPLY {
                return Err(format!("the relay's reply is longer than {MAX_REPLY} bytes"));
            }
            let (number, is_last, text) = parse_line(&line)
                .ok_or_else(|| format!("not an SMTP reply: {}", String::from_utf8_lossy(&line)))?;
            if *code.get_or_insert(number) != number {
                return Err(format!("a reply of two codes: {}", String::from_utf8_lossy(&line)));
            }
            lines.push(text);
            if is_last {
                self.is_idle = self.ahead == 0;
                return Ok(Reply { code: number, lines });
            }
        }
    }

    /// Reads a line; returns it without its end and the spaces before it.
    fn line(&mut self, deadline: Instant) -> Result<Vec<u8>, String> {
        loop {
            if let Some(end) = self.read.iter().position(|byte| *byte == b'\n') {
                let line: Vec<u8> = self.read.drain(..=end).collect();
                return Ok(line.trim_ascii_end().to_vec());
            }
            if self.read.len() > MAX_REPLY_LINE {
                return Err(format!("the relay sent a line of more than {MAX_REPLY_LINE} bytes"));
            }
            let mut buffer = [0; 1024];
            match self.read(&mut buffer, deadline) {
                Ok(0) => return Err(CLOSED.to_owned()),
                Ok(count) => self.read.extend(buffer.iter().take(count)),
                Err(error) => return Err(socket::error_text(&error, self.timeout)),
            }
        }
    }
}

/// Parses a line of a reply: its code, true for the last line, its text.
fn parse_line(line: &[u8]) -> Option<(u16, bool, String)> {
    let (code @ [b'2'..=b'5', b'0'..=b'9', b'0'..=b'9'], rest) = line.split_at_checked(3)? else {
        return None;
    };
    let code = code.iter().fold(0, |code, digit| code * 10 + u16::from(digit - b'0'));
    let (is_last, text) = match rest {
        [b'-', text @ ..] => (false, text),
        [b' ', text @ ..] => (true, text),
        [] => (true, rest),
        _ => return None,
    };
    Some((code, is_last, String::from_utf8_lossy(text).trim().to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::TcpListener;

    /// Reads a reply from a relay that sends these pieces and closes.
    fn reply_to(pieces: &[&[u8]]) -> Result<Reply, String> {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("its address");
        std::thread::scope(|scope| {
            scope.spawn(|| {
                let (mut stream, _) = listener.accept().expect("a session");
                for piece in pieces {
                    // Fails when the session has ended.
                    let _ = stream.write_all(piece);
                }
            });
            Session::connect(&[address], Duration::from_secs(10)).expect("connected").reply()
        })
    }

    #[test]
    fn replies_are_read_from_any_lines_and_pieces() {
        let reply = |code, lines: &[&str]| {
            Ok(Reply { code, lines: lines.iter().map(|line| line.to_string()).collect() })
        };
        assert_eq!(reply_to(&[b"220 mx1 ready\r\n"]), reply(220, &["mx1 ready"]));
        assert_eq!(
            reply_to(&[b"250-mx1\r\n250-   \r\n25", b"0 SIZE\r", b"\n"]),
            reply(250, &["mx1", "", "SIZE"])
        );
        assert_eq!(reply_to(&[b"354\n"]), reply(354, &[""]));
        assert_eq!(reply_to(&[b"554 5.7.1 \xff\x1b[2J\r\n"]), reply(554, &["5.7.1 \u{fffd}\u{1b}[2J"]));
    }

    #[test]
    fn malformed_and_endless_replies_are_refused() {
        let flood = b"250-x\r\n".repeat(10_000);
        let endless = vec![b'2'; 1_000_000];
        for (bytes, part) in [
            (&b""[..], "closed the connection"),
            (b"220-mx1\r\n", "closed the connection"),
            (b"hello\r\n", "not an SMTP reply: hello"),
            (b"HTTP/1.1 400 Bad Request\r\n", "not an SMTP reply"),
            (b"250x\r\n", "not an SMTP reply"),
            (b"150 x\r\n", "not an SMTP reply"),
            (b"+50 x\r\n", "not an SMTP reply"),
            (b"250-a\r\n550 b\r\n", "a reply of two codes"),
            (&flood, "longer than"),
            (&endless, "a line of more than"),
        ] {
            let error = reply_to(&[bytes]).expect_err(part);
            assert!(error.contains(part), "{error}");
        }
    }

    #[test]
    fn a_step_ends_at_its_deadline_when_bytes_arrive_slowly() {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("its address");
        let start = Instant::now();
        std::thread::scope(|scope| {
            scope.spawn(|| {
                let (mut stream, _) = listener.accept().expect("a session");
                // Ends when the session does.
                while stream.write_all(b"2").is_ok() && start.elapsed() < Duration::from_secs(30) {
                    std::thread::sleep(Duration::from_millis(20));
                }
            });
            let reply = Session::connect(&[address], Duration::from_millis(300)).expect("connected").reply();
            assert_eq!(reply, Err("no answer within 300ms".to_owned()));
        });
        assert!(start.elapsed() < Duration::from_secs(20));
    }
}
