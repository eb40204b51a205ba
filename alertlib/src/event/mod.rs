// SPDX-License-Identifier: MIT OR Apache-2.0
//! Events: state changes of servers and backends, described with HAProxy's terms.
//!
//! The collector reads a [`Record`] from the ring. It was written as one of two kinds:
//! - a [`Change`], from HAProxy's own process: one commit of a server's status, before and after, in HAProxy's numbers.
//!   [`Change::into_events`] derives the events: one of the server, one of its backend, both or none. Their sentences are those of
//!   HAProxy's log ([`sentence`]), so that an administrator can search the log for the sentence in the mail;
//! - a finished [`Event`], from a source outside of HAProxy's process ([`Report`]), with its [`Provenance`]. A field that the
//!   source cannot know is `None` or empty.

mod change;
pub mod flag;
mod kind;
mod raw_change;
mod record;
mod sentence;
mod state;

pub use change::{Change, CheckOutcome, CheckResult, StateReport};
pub use kind::{Health, Kind, Kinds, Level};
pub use raw_change::{Number, RawChange, Text};
pub use record::{Record, Report};
pub use state::{Admin, State};

use crate::wire::{is_default, nanos};
use serde::{Deserialize, Serialize};
use std::borrow::Cow;
use std::time::{Duration, SystemTime};

/// The check that caused an event.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Check {
    /// True: the agent check; false: the health check.
    #[serde(rename = "agent", default, skip_serializing_if = "is_default")]
    pub is_agent: bool,
    /// Status in HAProxy's short form, as in its statistics: `L4TOUT`.
    pub status: String,
    /// Status in words: `Layer4 timeout`.
    pub reason: String,
    /// Layer 5 to 7 code, such as an HTTP status.
    #[serde(default, skip_serializing_if = "is_default")]
    pub code: Option<i32>,
    /// Text of the server or the system, made printable as in HAProxy's log; may be empty.
    #[serde(default, skip_serializing_if = "is_default")]
    pub info: String,
    /// Duration of the check.
    #[serde(default, skip_serializing_if = "is_default")]
    pub duration: Option<Duration>,
}

/// A state change that may be worth an alert. Its texts are safe to print: none ends a line or moves a cursor.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Event {
    /// Time of the state change.
    #[serde(with = "nanos")]
    pub when: SystemTime,
    /// Kind of the state change.
    pub kind: Kind,
    /// Health of the server, or the backend, after the state change.
    pub health: Health,
    /// Severity of HAProxy's log line.
    pub level: Level,
    /// Name of the backend (or `listen` section).
    pub proxy: String,
    /// True: a `listen` section.
    #[serde(rename = "listen", default, skip_serializing_if = "is_default")]
    pub is_listen: bool,
    /// Name of the server; `None`: the event is one of the backend as a whole.
    #[serde(default, skip_serializing_if = "is_default")]
    pub server: Option<String>,
    /// Sentence of HAProxy's log.
    pub sentence: String,
    /// Former state of the server, as HAProxy's statistics write it; empty: not known.
    #[serde(default, skip_serializing_if = "is_default")]
    pub was: String,
    /// The check that caused the change.
    #[serde(default, skip_serializing_if = "is_default")]
    pub check: Option<Check>,
    /// HAProxy's words for a cause other than a check; may be empty.
    #[serde(default, skip_serializing_if = "is_default")]
    pub cause: String,
    /// The server that this one tracks: `backend/server`.
    #[serde(default, skip_serializing_if = "is_default")]
    pub via: Option<String>,
    /// Address of the server: `10.0.0.7:8080`, `[::1]:80` or the path of a socket; may be empty.
    #[serde(default, skip_serializing_if = "is_default")]
    pub address: String,
    /// Usable servers of the backend after the change; `None`: the source does not know.
    #[serde(default, skip_serializing_if = "is_default")]
    pub usable: Option<Usable>,
    /// Source of the event.
    #[serde(default, skip_serializing_if = "is_default")]
    pub provenance: Provenance,
    /// Accuracy of [`Event::when`].
    #[serde(default, skip_serializing_if = "is_default")]
    pub accuracy: Accuracy,
}

/// Numbers of usable servers of a backend.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Usable {
    /// Servers without `backup`.
    pub active: u32,
    /// Servers with `backup`.
    pub backup: u32,
}

/// Source of an event, in the order of trust: a later source does not override an earlier one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Provenance {
    /// HAProxy's own process, over the C ABI.
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

/// Accuracy of the time of an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Accuracy {
    /// Accurate to the millisecond.
    #[default]
    Exact,
    /// Accurate to the second: syslog headers have no fractions.
    Second,
    /// The event happened between this time, at which the target was last seen in its former state, and [`Event::when`].
    Since(#[serde(with = "nanos")] SystemTime),
}

impl Event {
    /// Returns `backend/server`, or the name of the backend alone.
    pub fn target_name(&self) -> String {
        match &self.server {
            Some(server) => format!("{}/{server}", self.proxy),
            None => self.proxy.clone(),
        }
    }

    /// Returns the word for the proxy in HAProxy's log: `proxy` for a `listen` section, else `backend`.
    pub fn section(&self) -> &'static str {
        if self.is_listen { "proxy" } else { "backend" }
    }

    /// Returns the reason in short: the check's result, the tracked server, or HAProxy's words for the cause. May be empty.
    pub fn short_reason(&self) -> Cow<'_, str> {
        match (&self.check, &self.via) {
            (Some(check), _) if check.is_agent => format!("{} of the agent", check.reason).into(),
            (Some(check), _) => check.reason.as_str().into(),
            (None, Some(via)) => format!("via {via}").into(),
            (None, None) => self.cause.as_str().into(),
        }
    }

    /// Returns the host of the server's address, without the port.
    pub fn host(&self) -> Option<&str> {
        let port = self.address.rfind(':').filter(|colon| !self.address[*colon..].ends_with(']'));
        Some(&self.address[..port.unwrap_or(self.address.len())]).filter(|host| !host.is_empty())
    }
}

/// Returns an event for tests: the server `be/s1` went down.
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
