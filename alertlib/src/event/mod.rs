// SPDX-License-Identifier: MIT OR Apache-2.0
//! Events: state changes of servers and backends, in HAProxy's words.
//!
//! The collector reads a [`Record`] from the ring. It is one of two kinds:
//! - a [`Change`], from HAProxy's own process: one commit of a server's status, before and after, in HAProxy's numbers.
//!   [`Change::into_events`] derives the events: one of the server, one of its backend, both or none. Their sentences are those of
//!   HAProxy's log ([`sentence`]), so that an administrator can search the log for the sentence in the mail;
//! - a finished [`Event`], from a source outside of HAProxy's process ([`report`]), with its [`Provenance`]. A field that the
//!   source cannot know is `None` or empty.

mod change;
pub mod flag;
mod kind;
mod record;
mod report;
mod sentence;
mod state;

pub use change::{Change, CheckOutcome, CheckResult, Present};
pub use kind::{Health, Kind, Kinds, Level};
pub use record::{Number, RawChange, Record, Text};
pub use report::write as write_report;
pub use state::{Admin, State};

use std::borrow::Cow;
use std::time::{Duration, SystemTime};

/// The check that decided.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Check {
    /// It was the agent check, not the health check.
    pub agent: bool,
    /// HAProxy's short form, as in its statistics: `L4TOUT`.
    pub status: String,
    /// The same in words: `Layer4 timeout`.
    pub reason: String,
    /// The layer 5 to 7 code, such as an HTTP status.
    pub code: Option<i32>,
    /// What the server or the system said, made printable as HAProxy does in its log.
    pub info: String,
    /// How long the check took.
    pub duration: Option<Duration>,
}

/// One thing worth an alert. Its texts are clean: nothing in them ends a line or moves a cursor.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    /// When it happened.
    pub when: SystemTime,
    /// What it is.
    pub kind: Kind,
    /// What the server, or the backend, is good for since.
    pub health: Health,
    /// The severity of HAProxy's log line.
    pub level: Level,
    /// The backend's (or listen section's) name.
    pub proxy: String,
    /// It is a `listen` section.
    pub is_listen: bool,
    /// The server's name; `None`: it is about the backend as a whole.
    pub server: Option<String>,
    /// HAProxy's sentence.
    pub sentence: String,
    /// The server's state before, as HAProxy's statistics write it; empty: not known.
    pub was: String,
    /// The check that decided.
    pub check: Option<Check>,
    /// HAProxy's word for the cause where it was no check; may be empty.
    pub cause: String,
    /// The server that this one tracks: `backend/server`.
    pub via: Option<String>,
    /// Where the server is: `10.0.0.7:8080`, `[::1]:80` or the path of a socket; may be empty.
    pub address: String,
    /// Servers that the backend can use now; `None`: the source does not know.
    pub usable: Option<Usable>,
    /// The source of the event.
    pub provenance: Provenance,
    /// How exactly [`Event::when`] is known.
    pub accuracy: Accuracy,
}

/// Servers that a backend can use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Usable {
    /// Active servers.
    pub active: u32,
    /// Backup servers.
    pub backup: u32,
}

/// The source of an event. The order is that of trust: a later source does not contradict an earlier one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub enum Provenance {
    /// HAProxy's own process, through the C ABI.
    #[default]
    Process,
    /// Polls of the stats socket.
    StatsSocket,
    /// HAProxy's ring events (`show events`).
    EventRing,
    /// Syslog datagrams.
    Syslog,
    /// A log file or the journal.
    LogFile,
}

impl Provenance {
    /// All of them, in their order.
    pub const ALL: [Provenance; 5] = [
        Provenance::Process,
        Provenance::StatsSocket,
        Provenance::EventRing,
        Provenance::Syslog,
        Provenance::LogFile,
    ];
}

/// How exactly the time of an event is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Accuracy {
    /// To the millisecond.
    #[default]
    Exact,
    /// To the second: syslog headers have no fractions.
    Second,
    /// The event happened between this time, when the target was last seen in its former state, and [`Event::when`].
    Since(SystemTime),
}

impl Event {
    /// `backend/server`, or the backend alone.
    pub fn target_name(&self) -> String {
        match &self.server {
            Some(server) => format!("{}/{server}", self.proxy),
            None => self.proxy.clone(),
        }
    }

    /// HAProxy's word for where the servers are.
    pub fn section(&self) -> &'static str {
        if self.is_listen { "proxy" } else { "backend" }
    }

    /// Why, in short: the check's result, the tracked server, or HAProxy's word. May be empty.
    pub fn why(&self) -> Cow<'_, str> {
        match (&self.check, &self.via) {
            (Some(check), _) if check.agent => format!("{} of the agent", check.reason).into(),
            (Some(check), _) => check.reason.as_str().into(),
            (None, Some(via)) => format!("via {via}").into(),
            (None, None) => self.cause.as_str().into(),
        }
    }

    /// The server's host alone, without its port.
    pub fn host(&self) -> Option<&str> {
        let port = self.address.rfind(':').filter(|colon| !self.address[*colon..].ends_with(']'));
        Some(&self.address[..port.unwrap_or(self.address.len())]).filter(|host| !host.is_empty())
    }
}

/// A server that has gone down.
#[cfg(test)]
pub fn sample() -> Event {
    Event {
        when: SystemTime::UNIX_EPOCH,
        kind: Kind::Down,
        health: Health::Down,
        level: Level::Alert,
        proxy: "be".into(),
        is_listen: false,
        server: Some("s1".into()),
        sentence: "Server be/s1 is DOWN.".into(),
        was: "UP".into(),
        check: None,
        cause: String::new(),
        via: None,
        address: String::new(),
        usable: Some(Usable { active: 1, backup: 0 }),
        provenance: Provenance::Process,
        accuracy: Accuracy::Exact,
    }
}
