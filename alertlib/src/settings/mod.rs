// SPDX-License-Identifier: MIT OR Apache-2.0
//! Typed configuration: routes, relays, defaults and limits.

mod address;
mod config;
mod defaults;
mod link;
mod pattern;
mod relay;
mod subject;

pub use address::{FORBIDDEN_STARTS, Recipient, WrittenAddress, is_forbidden_in_address};
#[cfg(test)]
pub use config::sample_config;
pub use config::{Config, Policy, ResolvedRoute};
pub use defaults::*;
pub use link::Link;
pub use pattern::Pattern;
pub use relay::{
    Login, MailProgram, Relay, RelayKind, SecretFile, Smtp, Tls, Trust, is_loopback, is_program,
};
pub use subject::{DEFAULT_SUBJECT, Piece, SubjectError, SubjectFormat, Variable, variables};

use crate::event::{Kinds, Level};
use std::path::PathBuf;
use std::time::Duration;

/// The directives of one configuration.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Settings {
    /// `email_alert`, in the order written.
    pub routes: Vec<Route>,
    /// `email_alert.relay`, in the order written.
    pub relays: Vec<Relay>,
    /// `email_alert.host-name`.
    pub host_name: Option<String>,
    /// `email_alert.spool`.
    pub spool: Option<SpoolSettings>,
    /// `email_alert.queue`, in events.
    pub queue: Option<usize>,
    /// `email_alert.retry`.
    pub retry: Option<Duration>,
    /// `email_alert.digest`; `Some(None)`: off.
    pub digest: Option<Option<Duration>>,
    /// `email_alert.flap`; `Some(None)`: off.
    pub flap: Option<Option<Flap>>,
    /// `email_alert.remind`; `Some(None)`: off.
    pub remind: Option<Option<Duration>>,
    /// `email_alert.subject`.
    pub subject: Option<SubjectFormat>,
    /// `email_alert.native`.
    pub native: Option<bool>,
    /// `email_alert.stats-uri`; `Some(None)`: off.
    pub statistics: Option<Option<Link>>,
}

/// Threshold of flapping: a server or backend flaps from this number of changes of its health within `time` on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Flap {
    /// At least 2.
    pub changes: u32,
    /// Flapping ends when the health has not changed for this time.
    pub time: Duration,
}

/// The `email_alert.spool` line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SpoolSettings {
    /// An existing directory.
    pub directory: PathBuf,
    /// Limit of the mails in it, in bytes.
    pub max_size: u64,
}

/// One `email_alert` line: recipients, and the events for which they get mails.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Route {
    /// Recipients, each once.
    pub to: Vec<WrittenAddress>,
    /// The sender, if it is not `haproxy@<host>`.
    pub from: Option<WrittenAddress>,
    /// Matching servers and backends; empty: all.
    pub targets: Vec<Pattern>,
    /// Matching kinds of events.
    pub kinds: Kinds,
    /// Least severe level that matches.
    pub level: Level,
}
