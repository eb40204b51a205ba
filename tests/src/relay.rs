// SPDX-License-Identifier: MIT OR Apache-2.0
//! A mail relay that records what it is told and misbehaves by script.

mod conversation;
mod wire;

use std::{
    net::SocketAddr,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use crate::{
    mail::ParsedMail,
    port::Service,
    wait::{patience, throughout, within},
};
use conversation::converse;
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
    /// Sends these bytes, beneath TLS if there is TLS, then says nothing more and keeps the connection.
    HangAfter(&'static [u8]),
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
            Act::Hang | Act::HangAfter(_) | Act::Close => false,
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
