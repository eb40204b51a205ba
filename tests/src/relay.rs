// SPDX-License-Identifier: MIT OR Apache-2.0
//! A mail relay that records what it is told and misbehaves by script.

mod wire;

use std::{
    io::{BufRead, BufReader, ErrorKind, Read, Write},
    net::{SocketAddr, TcpStream},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    thread::sleep,
    time::{Duration, Instant},
};

use crate::{
    mail::ParsedMail,
    port::Service,
    wait::{patience, throughout, within},
};
use base64::{Engine, engine::general_purpose::STANDARD};
use wire::Wire;
pub use wire::{Tls, tls};

/// Where in a session the relay can misbehave.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// Before anything was said.
    Banner,
    /// EHLO or HELO.
    Ehlo,
    /// STARTTLS.
    Starttls,
    /// The handshake of TLS; what is done instead of it is unencrypted.
    Handshake,
    /// AUTH.
    Auth,
    /// MAIL FROM.
    Mail,
    /// RCPT TO.
    Rcpt,
    /// DATA.
    Data,
    /// The first line of the mail has come, or BDAT: too early for a reply.
    Text,
    /// The final dot has come, or the last byte of BDAT's.
    Dot,
    /// QUIT.
    Quit,
    /// RSET, NOOP and whatever else.
    Other,
}

/// What the relay does instead of its duty.
#[derive(Clone, Debug)]
pub enum Act {
    /// Replies this; lines are separated by `\n`.
    Reply(String),
    /// Says nothing more and keeps the connection.
    Hang,
    /// Closes the connection.
    Close,
    /// Does its duty, but closes the connection instead of saying so.
    Lose,
    /// Replies this and closes the connection; lines are separated by `\n`.
    Dismiss(String),
    /// Replies this, one byte each time.
    Drip(String, Duration),
    /// Does its duty after a while.
    Wait(Duration),
}

impl Act {
    const DUTY: Act = Act::Wait(Duration::ZERO);

    /// Replies this; lines are separated by `\n`.
    pub fn reply(text: &str) -> Self {
        Act::Reply(text.to_owned())
    }

    /// Whether the client will hear the kind of reply that it hopes for.
    fn replies(&self, kind: char) -> bool {
        match self {
            Act::Reply(text) | Act::Dismiss(text) | Act::Drip(text, _) => {
                // A reply that goes on and on is none.
                text.lines().last().is_some_and(|line| line.starts_with(kind) && line.get(3..4) != Some("-"))
            }
            Act::Wait(_) | Act::Lose => true,
            Act::Hang | Act::Close => false,
        }
    }
}

struct Rule {
    step: Step,
    /// Only when the command has this text.
    about: String,
    times_left: usize,
    act: Act,
}

/// A mail as it came over the wire.
#[derive(Clone, Debug)]
pub struct Delivery {
    /// The number of the session.
    pub session: usize,
    /// Address in MAIL FROM.
    pub from: String,
    /// Address of each RCPT TO that was not refused.
    pub recipients: Vec<String>,
    /// The text without SMTP's extra dots, line ends untouched.
    pub data: Vec<u8>,
    /// When the relay took responsibility.
    pub accepted: Instant,
}

impl Delivery {
    /// The mail, if it is one that any relay and reader understands.
    #[track_caller]
    pub fn mail(&self) -> ParsedMail {
        ParsedMail::of(&self.data)
    }
}

/// What happened on one connection.
#[derive(Clone, Debug)]
pub struct Session {
    /// When the connection was accepted.
    pub began: Instant,
    /// The commands, without line ends.
    pub commands: Vec<String>,
    /// How it ended, once it did.
    pub end: Option<String>,
}

/// What a relay that follows the protocol has to offer, and what it asks for.
#[derive(Clone, Default)]
pub struct Manners {
    tls: Option<Tls>,
    starttls: Option<Tls>,
    account: Option<Account>,
    extensions: Vec<String>,
}

#[derive(Clone)]
struct Account {
    mechanisms: String,
    user: String,
    secret: String,
}

impl Manners {
    /// TLS from the first byte on.
    pub fn tls(self, tls: Tls) -> Self {
        Manners { tls: Some(tls), ..self }
    }

    /// STARTTLS is offered.
    pub fn starttls(self, tls: Tls) -> Self {
        Manners { starttls: Some(tls), ..self }
    }

    /// Mails are only taken from this user, who has to use one of the mechanisms; under TLS only, if there is TLS.
    pub fn login(self, mechanisms: &str, user: &str, secret: &str) -> Self {
        let [mechanisms, user, secret] = [mechanisms, user, secret].map(str::to_owned);
        Manners { account: Some(Account { mechanisms, user, secret }), ..self }
    }

    /// One more line after EHLO.
    pub fn offers(mut self, extension: &str) -> Self {
        self.extensions.push(extension.to_owned());
        self
    }
}

/// The relay; its port stays the same whatever it does.
pub struct Relay {
    service: Service,
    book: Arc<Book>,
}

#[derive(Default)]
struct Book {
    manners: Manners,
    /// Another secret than that of the manners.
    secret: Mutex<Option<String>>,
    /// Another TLS than that of the manners.
    tls: Mutex<Option<Tls>>,
    rules: Mutex<Vec<Rule>>,
    sessions: Mutex<Vec<Session>>,
    deliveries: Mutex<Vec<Delivery>>,
    closing: AtomicBool,
    pipelining: AtomicBool,
    chunking: AtomicBool,
}

impl Relay {
    /// A relay that accepts everything.
    pub fn start() -> Self {
        Self::with(Manners::default())
    }

    /// A relay with these manners.
    pub fn with(manners: Manners) -> Self {
        let book = Arc::new(Book { manners, ..Book::default() });
        let own = book.clone();
        Relay { service: Service::start(move |connection| converse(connection, &own)), book }
    }

    /// From now on several commands may come at once, as most relays permit it.
    pub fn takes_commands_at_once(&self) {
        self.book.pipelining.store(true, Ordering::Relaxed);
    }

    /// From now on a mail may come with its envelope, as many relays permit it (RFC 3030).
    pub fn takes_mails_unasked(&self) {
        self.takes_commands_at_once();
        self.book.chunking.store(true, Ordering::Relaxed);
    }

    /// Its host and port.
    pub fn address(&self) -> SocketAddr {
        self.service.address()
    }

    /// From now on, `act` is what happens at `step`.
    pub fn at(&self, step: Step, act: Act) {
        self.rule(step, "", usize::MAX, act);
    }

    /// The next `times` times, `act` is what happens at `step`.
    pub fn at_first(&self, times: usize, step: Step, act: Act) {
        self.rule(step, "", times, act);
    }

    /// `act` is what happens when RCPT TO names this recipient.
    pub fn for_recipient(&self, recipient: &str, act: Act) {
        self.at_command(Step::Rcpt, recipient, act);
    }

    /// `act` is what happens at `step` when the command has this text.
    pub fn at_command(&self, step: Step, text: &str, act: Act) {
        self.rule(step, text, usize::MAX, act);
    }

    fn rule(&self, step: Step, about: &str, times_left: usize, act: Act) {
        self.book.rules.lock().unwrap().push(Rule { step, about: about.to_owned(), times_left, act });
    }

    /// Nothing is accepted, nothing is said: the connection is not even established.
    pub fn is_unreachable(&self) {
        self.service.hangs();
    }

    /// As if it was stopped: its sessions end, and connections are refused.
    pub fn goes_away(&self) {
        self.service.refuses();
        self.service.hangs_up();
    }

    /// Listens again and follows the protocol from now on, with the secret and the TLS of its manners.
    pub fn behaves(&self) {
        self.book.rules.lock().unwrap().clear();
        *self.book.secret.lock().unwrap() = None;
        *self.book.tls.lock().unwrap() = None;
        self.service.listens();
    }

    /// From now on, this is the secret of the account.
    pub fn expects_secret(&self, secret: &str) {
        *self.book.secret.lock().unwrap() = Some(secret.to_owned());
    }

    /// From now on, this is its TLS.
    pub fn shows(&self, tls: Tls) {
        *self.book.tls.lock().unwrap() = Some(tls);
    }

    /// What has been accepted so far.
    pub fn deliveries(&self) -> Vec<Delivery> {
        self.book.deliveries.lock().unwrap().clone()
    }

    /// Gives away what has been accepted so far: from now on it is as if that had never come.
    pub fn take_deliveries(&self) -> Vec<Delivery> {
        std::mem::take(&mut *self.book.deliveries.lock().unwrap())
    }

    /// How many mails have been accepted so far.
    pub fn mail_count(&self) -> usize {
        self.book.deliveries.lock().unwrap().len()
    }

    /// What has been accepted so far, parsed.
    #[track_caller]
    pub fn mails(&self) -> Vec<ParsedMail> {
        self.deliveries().iter().map(Delivery::mail).collect()
    }

    /// All connections so far.
    pub fn sessions(&self) -> Vec<Session> {
        self.book.sessions.lock().unwrap().clone()
    }

    /// Waits until there are `count` mails in all; more than that is a failure.
    #[track_caller]
    pub fn wait_for_mails(&self, count: usize) -> Vec<ParsedMail> {
        self.wait_for_deliveries(count).iter().map(Delivery::mail).collect()
    }

    /// Waits until there are `count` mails in all; more than that is a failure.
    #[track_caller]
    pub fn wait_for_deliveries(&self, count: usize) -> Vec<Delivery> {
        self.wait_for_deliveries_within(count, patience())
    }

    /// The same with another patience.
    #[track_caller]
    pub fn wait_for_deliveries_within(&self, count: usize, limit: Duration) -> Vec<Delivery> {
        within(limit, || (self.book.deliveries.lock().unwrap().len() >= count).then_some(()));
        let deliveries = self.deliveries();
        assert!(deliveries.len() == count, "expected {count} mails, but {}", self.story());
        deliveries
    }

    /// Nothing comes during this time but the `count` mails that are there.
    #[track_caller]
    pub fn expect_no_more_than(&self, count: usize, time: Duration) {
        throughout(time, || {
            let now = self.book.deliveries.lock().unwrap().len();
            (now != count).then(|| format!("expected no more than {count} mails, but {}", self.story()))
        });
    }

    /// Waits until no mail has come for this time.
    #[track_caller]
    pub fn wait_until_quiet_for(&self, time: Duration) {
        let last = || self.book.deliveries.lock().unwrap().last().map(|delivery| delivery.accepted);
        let is_quiet = || last().is_none_or(|last| last.elapsed() >= time).then_some(());
        assert!(within(patience(), is_quiet).is_some(), "mails come and come: {}", self.story());
    }

    /// Waits until somebody has connected `count` times.
    #[track_caller]
    pub fn wait_for_sessions(&self, count: usize) {
        let seen = within(patience(), || (self.sessions().len() >= count).then_some(()));
        assert!(seen.is_some(), "expected {count} sessions, but {}", self.story());
    }

    /// Waits until a session has got as far as `command`.
    #[track_caller]
    pub fn wait_for_command(&self, command: &str) {
        let has_come = || {
            let sessions = self.book.sessions.lock().unwrap();
            sessions.iter().any(|s| s.commands.iter().any(|c| c.starts_with(command))).then_some(())
        };
        assert!(within(patience(), has_come).is_some(), "expected {command}, but {}", self.story());
    }

    /// What happened so far, for those who read why a test failed.
    pub fn story(&self) -> String {
        let mut story = String::from("this is what the relay saw:\n");
        for (number, session) in self.sessions().iter().enumerate() {
            let end = session.end.as_deref().unwrap_or("still open");
            story += &format!("  session {number}: {} ({end})\n", session.commands.join(" | "));
        }
        for delivery in self.deliveries() {
            let text = String::from_utf8_lossy(&delivery.data);
            let subject = text.lines().find(|line| line.starts_with("Subject:")).unwrap_or("no subject");
            story += &format!("  mail in session {}: {subject}\n", delivery.session);
        }
        story
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        self.book.closing.store(true, Ordering::Relaxed);
    }
}

fn converse(connection: TcpStream, book: &Arc<Book>) {
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
            Act::Close => {
                // What is not read would make the system reset the connection instead.
                let hello = self.patiently(|input| input.fill_buf().map(<[u8]>::len))?;
                self.input.consume(hello);
                self.perform(Act::Close, "")
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
            Act::Hang => {
                while self.patiently(|input| input.read(&mut [0; 512]))? > 0 {}
                return Ok(Err("hung until the client left"));
            }
        }
        GOES_ON
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

impl Book {
    fn act_at(&self, step: Step, command: &str) -> Act {
        let mut rules = self.rules.lock().unwrap();
        let rule =
            rules.iter_mut().find(|r| r.step == step && r.times_left > 0 && command.contains(&r.about));
        let Some(rule) = rule else { return Act::DUTY };
        rule.times_left = rule.times_left.saturating_sub(1);
        rule.act.clone()
    }

    fn is_closing(&self) -> bool {
        self.closing.load(Ordering::Relaxed)
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
