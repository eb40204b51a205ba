// SPDX-License-Identifier: MIT OR Apache-2.0
//! Kind, level and resulting health of an event; kinds and levels have the words of the configuration.

use serde::{Deserialize, Serialize};

/// Kind of an event: the words of `events` in the configuration.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[repr(u8)]
pub enum Kind {
    /// A server went down.
    Down,
    /// A server came back.
    Up,
    /// A server enters maintenance, or changes the reason for it.
    Maint,
    /// A server leaves maintenance or drain.
    Ready,
    /// A server is drained.
    Drain,
    /// A server takes no new clients: `http-check disable-on-404`.
    Nolb,
    /// A single check's result, which need not change anything (`option log-health-checks`).
    Check,
    /// A backend lost its last usable server.
    BackendDown,
    /// A backend has a usable server again.
    BackendUp,
    /// A target with an open incident was removed from the configuration. This is no state change and no word of `events`:
    /// recipients who get the end of the incident get it.
    Gone,
}

impl Kind {
    /// The kinds of `events`, in the order of the documentation.
    pub const ALL: [Kind; 9] = [
        Kind::Down,
        Kind::Up,
        Kind::Maint,
        Kind::Ready,
        Kind::Drain,
        Kind::Nolb,
        Kind::Check,
        Kind::BackendDown,
        Kind::BackendUp,
    ];

    /// Returns the word of the configuration.
    pub fn word(self) -> &'static str {
        match self {
            Kind::Down => "down",
            Kind::Up => "up",
            Kind::Maint => "maint",
            Kind::Ready => "ready",
            Kind::Drain => "drain",
            Kind::Nolb => "nolb",
            Kind::Check => "check",
            Kind::BackendDown => "backend-down",
            Kind::BackendUp => "backend-up",
            Kind::Gone => "gone",
        }
    }

    /// Returns the kind for a word of `events`.
    pub fn from_word(word: &str) -> Option<Self> {
        Kind::ALL.into_iter().find(|kind| kind.word() == word)
    }

    /// Rank for eviction: a full queue drops the mails with the lowest rank first. 0 to 3.
    pub fn importance(self) -> u8 {
        match self {
            Kind::Up | Kind::Maint | Kind::Ready | Kind::Drain | Kind::Nolb | Kind::Check | Kind::Gone => 0,
            Kind::BackendUp => 1,
            Kind::Down => 2,
            Kind::BackendDown => 3,
        }
    }

    /// Returns the announced state, as HAProxy's statistics write it.
    pub fn state(self) -> &'static str {
        match self {
            Kind::Down | Kind::BackendDown => "DOWN",
            Kind::Up | Kind::BackendUp => "UP",
            Kind::Maint => "MAINT",
            Kind::Ready => "READY",
            Kind::Drain => "DRAIN",
            Kind::Nolb => "NOLB",
            Kind::Check => "CHECK",
            Kind::Gone => "GONE",
        }
    }
}

/// Health of a server, or of a backend as a whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Health {
    /// Usable. A server in drain or with a 404 (`disable-on-404`) is usable for the sessions that it has.
    #[default]
    Up,
    /// Not usable.
    Down,
    /// Not checked and not in use: in maintenance, or removed.
    Maint,
}

/// Severity of HAProxy's log line: the words of `level` in the configuration, the most severe first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[allow(missing_docs)] // syslog severities (RFC 5424, 6.2.1)
pub enum Level {
    Emerg,
    Alert,
    Crit,
    Err,
    Warning,
    Notice,
    Info,
    Debug,
}

impl Level {
    /// All levels, the most severe first.
    pub const ALL: [Level; 8] = [
        Level::Emerg,
        Level::Alert,
        Level::Crit,
        Level::Err,
        Level::Warning,
        Level::Notice,
        Level::Info,
        Level::Debug,
    ];

    /// Returns HAProxy's word.
    pub fn word(self) -> &'static str {
        ["emerg", "alert", "crit", "err", "warning", "notice", "info", "debug"][self as usize]
    }

    /// Returns the level for a word.
    pub fn from_word(word: &str) -> Option<Self> {
        Level::ALL.into_iter().find(|level| level.word() == word)
    }
}

/// A set of [`Kind`]s.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Kinds(u16);

impl Kinds {
    /// The empty set.
    pub const NONE: Kinds = Kinds(0);

    /// Returns the default kinds of a route: begin and end of incidents, and drain.
    pub fn usual() -> Self {
        [Kind::Down, Kind::Up, Kind::Drain, Kind::BackendDown, Kind::BackendUp].into_iter().collect()
    }

    /// Returns true if `kind` is in the set.
    pub fn has(self, kind: Kind) -> bool {
        self.0 & 1 << kind as u8 != 0
    }

    /// Adds `kind`. Returns false if it was in the set already.
    pub fn add(&mut self, kind: Kind) -> bool {
        let is_new = !self.has(kind);
        self.0 |= 1 << kind as u8;
        is_new
    }
}

impl FromIterator<Kind> for Kinds {
    fn from_iter<I: IntoIterator<Item = Kind>>(kinds: I) -> Self {
        let mut set = Kinds::NONE;
        for kind in kinds {
            set.add(kind);
        }
        set
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::to_line;

    #[test]
    fn files_have_the_words_of_the_configuration() {
        for kind in Kind::ALL.into_iter().chain([Kind::Gone]) {
            assert_eq!(to_line(&kind), format!("\"{}\"\n", kind.word()));
        }
        for level in Level::ALL {
            assert_eq!(to_line(&level), format!("\"{}\"\n", level.word()));
        }
    }
}
