// SPDX-License-Identifier: MIT OR Apache-2.0
//! One SMTP session: commands out, replies in, a deadline for each step.
//!
//! Under TLS as well: a handshake is a step, and a relay that drips its records is as late as one that drips its lines.
//!
//! lettre's connection is not used: it bounds each socket operation rather than the step (a relay that drips a byte a second
//! holds a mail for hours), sends the final dot apart (which Nagle's algorithm then delays by 40 ms), and panics at an EHLO
//! line of spaces.

use super::commands;
use super::socket::{self, CLOSED, Timed};
use super::tls;
use rustls::ClientConnection;
use std::fmt::{self, Display};
use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};
use zeroize::Zeroizing;

/// Longest reply, in bytes: more than any relay has to say, EHLO included.
const REPLY: usize = 16 * 1024;
/// Longest line of a reply, in bytes; RFC 5321, 4.5.3.1.5 allows 512.
const REPLY_LINE: usize = 2048;

/// The relay waits for a mail (RFC 5321, 4.3.2).
const START_MAIL: u16 = 354;

/// A reply of the relay (RFC 5321, 4.2).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reply {
    /// 200 to 599.
    pub code: u16,
    /// Its lines, without the code.
    pub lines: Vec<String>,
}

impl Reply {
    /// The command was done.
    pub fn is_done(&self) -> bool {
        (200..300).contains(&self.code)
    }

    /// The command may go on.
    pub fn asks_for_more(&self) -> bool {
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
    /// What protects it, once it does.
    tls: Option<Box<ClientConnection>>,
    /// Read, and not yet part of a reply.
    read: Vec<u8>,
    timeout: Duration,
    /// Commands whose turn has not come, but which are sent already.
    ahead: usize,
    /// Why no more can be sent.
    broken: Option<String>,
    /// The relay has answered everything that was sent, and waits for a command.
    is_idle: bool,
}

impl Session {
    /// Connects to the first of the addresses that accepts a connection. `timeout` bounds each attempt, and each later step.
    ///
    /// # Errors
    ///
    /// The system's words.
    pub fn connect(addresses: &[SocketAddr], timeout: Duration) -> Result<Self, String> {
        let stream = socket::connect(addresses, timeout)?;
        Ok(Session { stream, tls: None, read: Vec::new(), timeout, ahead: 0, broken: None, is_idle: false })
    }

    /// Protects what follows. Nothing that came before it can become part of it.
    ///
    /// # Errors
    ///
    /// What is wrong with the relay's certificate, or with its TLS.
    pub fn secure(&mut self, client: &tls::Client) -> Result<(), String> {
        self.is_idle = false;
        if !self.read.is_empty() {
            // Somebody on the way would have his commands taken for the relay's answers (CVE-2011-0411 and its kin).
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

    /// Sends the commands (or a mail) that will come next all at once, for a relay that takes them so (RFC 2920): one round trip
    /// instead of many. What fails is told when their turn comes: until then the relay's replies to others can be read.
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

    /// Reads the replies to what was sent ahead in vain. A relay that wants a mail nevertheless gets none.
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
    /// The session is broken: the system's words, or what the relay did.
    pub fn command(&mut self, command: impl Display) -> Result<Reply, String> {
        self.exchange(&[command.to_string().as_bytes()])
    }

    /// The same with bytes that are not copied if they are in one part, and may be secret.
    ///
    /// # Errors
    ///
    /// As for [`Session::command`].
    pub fn exchange(&mut self, parts: &[&[u8]]) -> Result<Reply, String> {
        if let Some(ahead) = self.ahead.checked_sub(1) {
            self.ahead = ahead;
            return self.reply();
        }
        if let Some(words) = &self.broken {
            return Err(words.clone());
        }
        let deadline = Instant::now() + self.timeout;
        let joined;
        let whole = match parts {
            [whole] => whole,
            parts => {
                joined = Zeroizing::new(parts.concat());
                joined.as_slice()
            }
        };
        self.write(whole, deadline).map_err(|error| socket::error_text(&error, self.timeout))?;
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

    /// Says goodbye to a relay that expects more, without waiting for its answer: one that is left without a word may
    /// take us for an attacker. If the session is broken, it just ends.
    pub fn leave(mut self) {
        if self.is_idle && self.write(commands::QUIT.as_bytes(), Instant::now() + self.timeout).is_ok() {
            self.end();
        }
    }

    /// Tells the relay that nothing more will come, where it can be told.
    pub fn end(mut self) {
        let mut wire = Timed { stream: &self.stream, deadline: Instant::now() + self.timeout };
        if let Some(tls) = &mut self.tls {
            tls.send_close_notify();
            // The relay has said goodbye, and may be gone.
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
            if size > REPLY {
                return Err(format!("the relay's reply is longer than {REPLY} bytes"));
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

    /// One line, without its end.
    fn line(&mut self, deadline: Instant) -> Result<Vec<u8>, String> {
        loop {
            if let Some(end) = self.read.iter().position(|byte| *byte == b'\n') {
                let mut line: Vec<u8> = self.read.drain(..=end).collect();
                while line.last().is_some_and(|byte| matches!(byte, b'\r' | b'\n')) {
                    line.pop();
                }
                return Ok(line);
            }
            if self.read.len() > REPLY_LINE {
                return Err(format!("the relay sent a line of more than {REPLY_LINE} bytes"));
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

/// Code, whether it is the last line of the reply, text.
fn parse_line(line: &[u8]) -> Option<(u16, bool, String)> {
    let (code, rest) = line.split_at_checked(3)?;
    let code: u16 = std::str::from_utf8(code)
        .ok()
        .filter(|code| code.bytes().all(|b| b.is_ascii_digit()))?
        .parse()
        .ok()?;
    if !(200..=599).contains(&code) {
        return None;
    }
    let (is_last, text) = match rest.split_first() {
        None => (true, rest),
        Some((b' ', text)) => (true, text),
        Some((b'-', text)) => (false, text),
        Some(_) => return None,
    };
    Some((code, is_last, String::from_utf8_lossy(text).trim().to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::TcpListener;

    /// What a session makes of bytes that come in these pieces, before the relay closes.
    fn reply_to(pieces: &[&[u8]]) -> Result<Reply, String> {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("its address");
        std::thread::scope(|scope| {
            scope.spawn(|| {
                let (mut stream, _) = listener.accept().expect("a session");
                for piece in pieces {
                    // The session may have ended already, and rightly so.
                    let _ = stream.write_all(piece);
                }
            });
            Session::connect(&[address], Duration::from_secs(10)).expect("connected").reply()
        })
    }

    #[test]
    fn replies_may_come_in_lines_and_pieces() {
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
    fn what_is_no_reply_is_refused_and_bounded() {
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
    fn a_relay_that_drips_does_not_hold_a_step() {
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
