// SPDX-License-Identifier: MIT OR Apache-2.0
//! What an event is, in the words of the configuration: its kind, its level, and what it leaves behind.

/// What an alert is about; the words of `events` in the configuration.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
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
    /// What was in trouble is not in the configuration any more. No change, so no word of `events`: it goes to those who
    /// want to know of the trouble's end.
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

    /// The word of the configuration.
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

    /// The kind of that word of `events`.
    pub fn from_word(word: &str) -> Option<Self> {
        Kind::ALL.into_iter().find(|kind| kind.word() == word)
    }

    /// When there is no room for all mails, those of lower importance go first.
    pub fn importance(self) -> u8 {
        match self {
            Kind::Up | Kind::Maint | Kind::Ready | Kind::Drain | Kind::Nolb | Kind::Check | Kind::Gone => 0,
            Kind::BackendUp => 1,
            Kind::Down => 2,
            Kind::BackendDown => 3,
        }
    }

    /// The state that it announces, as HAProxy's statistics write it.
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

/// What a server, or a backend, is good for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Health {
    /// It works; in drain and at a 404 for those that it has.
    Up,
    /// It does not.
    Down,
    /// Nobody knows, and nobody wants it to: maintenance, or it is not there any more.
    Maint,
}

impl Health {
    pub(super) const ALL: [Health; 3] = [Health::Up, Health::Down, Health::Maint];

    /// For the files of the spool.
    pub fn word(self) -> &'static str {
        match self {
            Health::Up => "up",
            Health::Down => "down",
            Health::Maint => "maint",
        }
    }

    /// The health of that word.
    pub fn from_word(word: &str) -> Option<Self> {
        Health::ALL.into_iter().find(|health| health.word() == word)
    }
}

/// The severity of HAProxy's log line for the change; the words of `level` in the configuration. The first is the worst.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[allow(missing_docs)] // syslog's
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
    /// All of them, in their order.
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

    /// HAProxy's word.
    pub fn word(self) -> &'static str {
        ["emerg", "alert", "crit", "err", "warning", "notice", "info", "debug"][self as usize]
    }

    /// The level of that word.
    pub fn from_word(word: &str) -> Option<Self> {
        Level::ALL.into_iter().find(|level| level.word() == word)
    }
}

/// A set of [`Kind`]s.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Kinds(u16);

impl Kinds {
    /// No kind at all.
    pub const NONE: Kinds = Kinds(0);

    /// A mail for trouble and one for its end.
    pub fn usual() -> Self {
        [Kind::Down, Kind::Up, Kind::Drain, Kind::BackendDown, Kind::BackendUp].into_iter().collect()
    }

    /// Is `kind` in the set?
    pub fn has(self, kind: Kind) -> bool {
        self.0 & 1 << kind as u8 != 0
    }

    /// Adds `kind`; false: it was there.
    pub fn add(&mut self, kind: Kind) -> bool {
        let new = !self.has(kind);
        self.0 |= 1 << kind as u8;
        new
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
