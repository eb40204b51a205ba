// SPDX-License-Identifier: MIT OR Apache-2.0
//! One session of the relay: what it hears, what it says, and what it does instead.

use std::{
    io::{BufRead, BufReader, ErrorKind, Read, Write},
    net::TcpStream,
    sync::{Arc, atomic::Ordering},
    thread::sleep,
    time::{Duration, Instant},
};

use base64::{Engine, engine::general_purpose::STANDARD};

use super::{Act, Book, Delivery, Session, Step, Tls, wire::Wire};

/// Talks with one client until either has enough.
pub fn converse(connection: TcpStream, book: &Arc<Book>) {
    let number = {
        let mut sessions = book.sessions.lock().unwrap();
        sessions.push(Session { began: Instant::now(), commands: Vec::new(), end: None });
        sessions.len() - 1
    };
    let input = BufReader::new(Wire::Plain(connection));
    let mut conversation = Conversation { number, book, input, mail: None, is_known: false };
    let end = match conversation.run() {
        Ok(end) => end.to_owned(),
        Err(error) => error.to_string(),
    };
    book.sessions.lock().unwrap()[number].end = Some(end);
}

struct Conversation<'a> {
    number: usize,
    book: &'a Arc<Book>,
    /// For both directions.
    input: BufReader<Wire>,
    /// What MAIL and RCPT have said since the last mail.
    mail: Option<(String, Vec<String>)>,
    /// AUTH has succeeded.
    is_known: bool,
}

/// Whether the conversation goes on, and if not, why.
type Next = std::io::Result<Result<(), &'static str>>;

const GOES_ON: Next = Ok(Ok(()));

impl Conversation<'_> {
    fn run(&mut self) -> std::io::Result<&'static str> {
        let socket = self.input.get_ref().socket();
        socket.set_read_timeout(Some(Duration::from_millis(50)))?;
        // Replies to commands that came at once must not wait for each other's acknowledgement.
        socket.set_nodelay(true)?;
        if let Some(tls) = &self.book.manners.tls {
            if let Err(end) = self.secure(tls)? {
                return Ok(end);
            }
        }
        let mut next = self.answer(Step::Banner, "", "220 relay.test ESMTP");
        loop {
            if let Err(end) = next? {
                return Ok(end);
            }
            let Some(line) = self.read_line()? else { return Ok("closed by the client") };
            let command = String::from_utf8_lossy(&line).trim_end().to_owned();
            self.book.sessions.lock().unwrap()[self.number].commands.push(command.clone());
            next = self.obey(&command);
        }
    }

    fn obey(&mut self, command: &str) -> Next {
        let verb = command.split([' ', ':']).next().unwrap_or_default().to_ascii_uppercase();
        match verb.as_str() {
            "EHLO" => {
                let duty = self.offer();
                self.answer(Step::Ehlo, command, &duty)
            }
            "STARTTLS" => self.start_tls(command),
            "AUTH" => self.log_in(command),
            "MAIL" if self.book.manners.account.is_some() && !self.is_known => {
                self.say("530 5.7.0 authentication required").map(Ok)
            }
            "HELO" => self.answer(Step::Ehlo, command, "250 relay.test"),
            "MAIL" => {
                let act = self.book.act_at(Step::Mail, command);
                self.mail = act.replies('2').then(|| (address_in(command), Vec::new()));
                self.perform(act, "250 2.1.0 sender ok")
            }
            "RCPT" => {
                let act = self.book.act_at(Step::Rcpt, command);
                if let Some((_, recipients)) = self.mail.as_mut().filter(|_| act.replies('2')) {
                    recipients.push(address_in(command));
                }
                self.perform(act, "250 2.1.5 recipient ok")
            }
            "DATA" => self.take_mail(command),
            "BDAT" => self.take_chunk(command),
            "QUIT" => self.answer(Step::Quit, command, "221 2.0.0 bye").map(|_| Err("quit")),
            "RSET" => {
                self.mail = None;
                self.answer(Step::Other, command, "250 2.0.0 reset")
            }
            "NOOP" => self.answer(Step::Other, command, "250 2.0.0 ok"),
            _ => self.answer(Step::Other, command, "502 5.5.2 unknown command"),
        }
    }

    /// The reply to EHLO.
    fn offer(&self) -> String {
        let manners = &self.book.manners;
        let is_secure = matches!(self.input.get_ref(), Wire::Tls(_));
        let mut lines = vec!["relay.test".to_owned(), "8BITMIME".to_owned()];
        if manners.starttls.is_some() && !is_secure {
            lines.push("STARTTLS".to_owned());
        }
        if let Some(account) = manners.account.as_ref().filter(|_| is_secure || manners.starttls.is_none()) {
            lines.push(format!("AUTH {}", account.mechanisms));
        }
        if self.book.pipelining.load(Ordering::Relaxed) {
            lines.push("PIPELINING".to_owned());
        }
        if self.book.chunking.load(Ordering::Relaxed) {
            lines.push("CHUNKING".to_owned());
        }
        lines.extend(manners.extensions.iter().cloned());
        let lines: String = lines.iter().map(|line| format!("250-{line}\n")).collect();
        lines + "250 SIZE 10485760"
    }

    fn start_tls(&mut self, command: &str) -> Next {
        let Some(tls) = &self.book.manners.starttls else {
            return self.answer(Step::Starttls, command, "502 5.5.1 no TLS here");
        };
        let act = self.book.act_at(Step::Starttls, command);
        let is_ready = act.replies('2');
        let next = self.perform(act, "220 2.0.0 ready for TLS")?;
        if next.is_err() || !is_ready {
            return Ok(next);
        }
        self.secure(tls)
    }

    fn secure(&mut self, tls: &Tls) -> Next {
        match self.book.act_at(Step::Handshake, "") {
            Act::Wait(_) => {
                let another = self.book.tls.lock().unwrap().clone();
                self.input = BufReader::new(self.input.get_ref().secured(another.as_ref().unwrap_or(tls)));
                GOES_ON
            }
            act @ (Act::Close | Act::HangAfter(_)) => {
                // Reads the ClientHello first: with unread input, the kernel would reset the connection, and output sent
                // earlier could arrive together with the reply to STARTTLS.
                let hello = self.patiently(|input| input.fill_buf().map(<[u8]>::len))?;
                self.input.consume(hello);
                self.perform(act, "")
            }
            act => self.perform(act, ""),
        }
    }

    fn log_in(&mut self, command: &str) -> Next {
        let Some(account) = &self.book.manners.account else {
            return self.answer(Step::Auth, command, "502 5.5.1 nobody has an account here");
        };
        let secret = self.book.secret.lock().unwrap().clone().unwrap_or_else(|| account.secret.clone());
        let mut words = command.split(' ').skip(1);
        let (mechanism, first) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
        let (said, expected) = match mechanism {
            "PLAIN" => (decoded(first), format!("\0{}\0{secret}", account.user)),
            "LOGIN" => (
                format!("{}\n{}", self.ask("Username:")?, self.ask("Password:")?),
                format!("{}\n{secret}", account.user),
            ),
            "XOAUTH2" => (decoded(first), format!("user={}\x01auth=Bearer {secret}\x01\x01", account.user)),
            _ => (String::new(), "nothing".to_owned()),
        };
        let is_offered = account.mechanisms.split(' ').any(|offered| offered == mechanism);
        self.is_known = is_offered && said == expected;
        if !self.is_known && mechanism == "XOAUTH2" {
            self.ask("{\"status\":\"401\"}")?;
        }
        let duty = if self.is_known { "235 2.7.0 welcome" } else { "535 5.7.8 who are you" };
        self.answer(Step::Auth, command, duty)
    }

    /// Asks for one more line of AUTH.
    fn ask(&mut self, question: &str) -> std::io::Result<String> {
        self.say(&format!("334 {}", STANDARD.encode(question)))?;
        let line = self.read_line()?.unwrap_or_default();
        Ok(decoded(String::from_utf8_lossy(&line).trim_end()))
    }

    /// Who gets the mail that comes now; `None`: nobody.
    fn envelope(&mut self) -> Option<(String, Vec<String>)> {
        self.mail.take().filter(|(_, recipients)| !recipients.is_empty())
    }

    /// BDAT, for a whole mail.
    fn take_chunk(&mut self, command: &str) -> Next {
        let size = command.strip_suffix(" LAST").and_then(|command| command.get(5..)?.parse().ok());
        let Some(size) = size.filter(|_| self.book.chunking.load(Ordering::Relaxed)) else {
            return self.say("501 5.5.4 what").map(Ok);
        };
        let envelope = self.envelope();
        if envelope.is_some() {
            let act = self.book.act_at(Step::Text, "");
            if let Err(end) = self.perform(act, "")? {
                return Ok(Err(end));
            }
        }
        let mut data = vec![0; size];
        let mut free = &mut data[..];
        while !free.is_empty() {
            let count = self.patiently(|input| input.read(free))?;
            if count == 0 {
                return Ok(Err("closed by the client during BDAT"));
            }
            free = &mut free[count..];
        }
        match envelope {
            Some(envelope) => self.take_responsibility(envelope, data),
            None => self.say("503 5.5.1 no valid recipients").map(Ok),
        }
    }

    fn take_mail(&mut self, command: &str) -> Next {
        let Some(envelope) = self.envelope() else {
            return self.say("503 5.5.1 no valid recipients").map(Ok);
        };
        let act = self.book.act_at(Step::Data, command);
        let invited = act.replies('3');
        let next = self.perform(act, "354 go ahead")?;
        if !invited || next.is_err() {
            return Ok(next);
        }
        let (mut data, mut line) = (Vec::with_capacity(8192), Vec::new());
        loop {
            line.clear();
            self.patiently(|input| input.read_until(b'\n', &mut line))?;
            if line.is_empty() {
                return Ok(Err("closed by the client during DATA"));
            }
            if line == b".\r\n" {
                break;
            }
            if data.is_empty() {
                let act = self.book.act_at(Step::Text, "");
                if let Err(end) = self.perform(act, "")? {
                    return Ok(Err(end));
                }
            }
            data.extend_from_slice(line.strip_prefix(b".").unwrap_or(&line));
        }
        self.take_responsibility(envelope, data)
    }

    fn take_responsibility(&mut self, (from, recipients): (String, Vec<String>), data: Vec<u8>) -> Next {
        let act = self.book.act_at(Step::Dot, "");
        if let Act::Wait(time) = act {
            sleep(time);
        }
        if act.replies('2') {
            let accepted = Instant::now();
            let delivery = Delivery { session: self.number, from, recipients, data, accepted };
            self.book.deliveries.lock().unwrap().push(delivery);
        }
        let act = if let Act::Wait(_) = act { Act::DUTY } else { act };
        self.perform(act, "250 2.0.0 accepted")
    }

    fn answer(&mut self, step: Step, command: &str, duty: &str) -> Next {
        let act = self.book.act_at(step, command);
        self.perform(act, duty)
    }

    fn perform(&mut self, act: Act, duty: &str) -> Next {
        match act {
            Act::Reply(text) => self.say(&text)?,
            Act::Wait(time) => {
                sleep(time);
                self.say(duty)?;
            }
            Act::Drip(text, pause) => {
                for byte in wire_form(&text).bytes() {
                    self.write(&[byte])?;
                    sleep(pause);
                }
            }
            Act::Dismiss(text) => {
                self.say(&text)?;
                return Ok(Err("closed by the script"));
            }
            Act::Close | Act::Lose => return Ok(Err("closed by the script")),
            Act::Hang => return self.hang(),
            Act::HangAfter(bytes) => {
                self.input.get_ref().socket().write_all(bytes)?;
                return self.hang();
            }
        }
        GOES_ON
    }

    /// Says nothing more until the client leaves.
    fn hang(&mut self) -> Next {
        while self.patiently(|input| input.read(&mut [0; 512]))? > 0 {}
        Ok(Err("hung until the client left"))
    }

    fn say(&mut self, text: &str) -> std::io::Result<()> {
        self.write(wire_form(text).as_bytes())
    }

    fn write(&mut self, bytes: &[u8]) -> std::io::Result<()> {
        self.patiently(|wire| wire.get_mut().write_all(bytes))?;
        self.patiently(|wire| wire.get_mut().flush())
    }

    fn read_line(&mut self) -> std::io::Result<Option<Vec<u8>>> {
        let mut line = Vec::new();
        self.patiently(|input| input.read_until(b'\n', &mut line))?;
        Ok((!line.is_empty()).then_some(line))
    }

    /// Reads or writes (a handshake may have to wait for the client) as long as it takes, but no longer than the relay lives.
    fn patiently<T>(
        &mut self,
        mut operation: impl FnMut(&mut BufReader<Wire>) -> std::io::Result<T>,
    ) -> std::io::Result<T> {
        loop {
            match operation(&mut self.input) {
                Err(error) if error.kind() == ErrorKind::WouldBlock && !self.book.is_closing() => {}
                result => return result,
            }
        }
    }
}

fn decoded(text: &str) -> String {
    STANDARD.decode(text).map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).unwrap_or_default()
}

fn wire_form(text: &str) -> String {
    text.lines().map(|line| format!("{line}\r\n")).collect()
}

fn address_in(command: &str) -> String {
    let address = command.split_once('<').and_then(|(_, rest)| rest.split_once('>'));
    address.map(|(address, _)| address.to_owned()).unwrap_or_else(|| command.to_owned())
}
