// SPDX-License-Identifier: MIT OR Apache-2.0
//! What happened, in HAProxy's words.
//!
//! A [`Change`] is what HAProxy hands over: one commit of a server's status, before and after. [`Change::events`] says
//! which alerts it means: one of the server, one of its backend, both or none. The sentences are those of HAProxy's log
//! (`srv_update_status()` and `srv_append_status()` in `src/server.c`, `set_backend_down()` in `src/backend.c`), so that
//! what one reads in the mail can be searched in the log.

use crate::ffi;
use crate::queue::{RECORD_WORDS, Writer};
use crate::text::{CUT, visible};
use std::fmt::{self, Write as _};
use std::time::{Duration, SystemTime};

/// A server's operational state: HAProxy's `enum srv_state`, same numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[repr(u8)]
pub enum State {
    /// Down.
    #[default]
    Stopped = 0,
    /// Up, in its slow start.
    Starting = 1,
    /// Up.
    Running = 2,
    /// Up for what it has, no new clients: `http-check disable-on-404`.
    Stopping = 3,
}

impl State {
    /// The state of that number; `None`: HAProxy has none such.
    pub fn from_number(number: u32) -> Option<Self> {
        [State::Stopped, State::Starting, State::Running, State::Stopping].get(number as usize).copied()
    }
}

/// A server's administrative flags: HAProxy's `enum srv_admin`, same bits as in 2.6.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Admin(pub u32);

impl Admin {
    /// Maintenance forced by an administrator.
    pub const FMAINT: u32 = ffi::HAPROXY_EMAIL_ALERT_FMAINT;
    /// Maintenance inherited from a tracked server.
    pub const IMAINT: u32 = ffi::HAPROXY_EMAIL_ALERT_IMAINT;
    /// Maintenance from the configuration (`disabled`); comes with [`Admin::FMAINT`].
    pub const CMAINT: u32 = ffi::HAPROXY_EMAIL_ALERT_CMAINT;
    /// Drain forced by an administrator.
    pub const FDRAIN: u32 = ffi::HAPROXY_EMAIL_ALERT_FDRAIN;
    /// Drain inherited from a tracked server.
    pub const IDRAIN: u32 = ffi::HAPROXY_EMAIL_ALERT_IDRAIN;
    /// Maintenance because the server's name does not resolve.
    pub const RMAINT: u32 = ffi::HAPROXY_EMAIL_ALERT_RMAINT;
    /// Maintenance until the name was set at run time.
    pub const HMAINT: u32 = ffi::HAPROXY_EMAIL_ALERT_HMAINT;

    /// In maintenance, for whatever reason (HAProxy's `SRV_ADMF_MAINT`).
    pub fn maint(self) -> bool {
        self.has(Self::FMAINT | Self::IMAINT | Self::RMAINT)
    }

    /// Drained, for whatever reason (HAProxy's `SRV_ADMF_DRAIN`).
    pub fn drain(self) -> bool {
        self.has(Self::FDRAIN | Self::IDRAIN)
    }

    fn has(self, bits: u32) -> bool {
        self.0 & bits != 0
    }

    /// Was set in `before` and is not in `self`.
    fn lost(self, before: Admin, bit: u32) -> bool {
        before.has(bit) && !self.has(bit)
    }
}

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
    pub const ALL: [Kind; 8] = [
        Kind::Down,
        Kind::Up,
        Kind::Maint,
        Kind::Ready,
        Kind::Drain,
        Kind::Nolb,
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
            Kind::Up | Kind::Maint | Kind::Ready | Kind::Drain | Kind::Nolb | Kind::Gone => 0,
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
    const ALL: [Health; 3] = [Health::Up, Health::Down, Health::Maint];

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

/// One commit of a server's status: what was, what is. Borrowed from HAProxy's memory on the way into the queue.
#[derive(Debug, Clone, Copy)]
pub struct RawChange<'a> {
    /// Numbers, in the order of [`Number`].
    pub numbers: [i64; Number::COUNT],
    /// Texts, in the order of [`Text`]: bytes of unknown encoding and length.
    pub texts: [&'a [u8]; Text::COUNT],
}

/// The numbers of a [`RawChange`].
#[derive(Debug, Clone, Copy)]
#[allow(missing_docs)] // the fields of `haproxy_email_alert_event` say what each is
pub enum Number {
    ProxyId,
    ServerId,
    OldState,
    NewState,
    OldAdmin,
    NewAdmin,
    Flags,
    UsableBefore,
    Active,
    Backup,
    Sessions,
    Requeued,
    Queued,
    CheckCode,
    CheckDuration,
}

impl Number {
    /// How many there are.
    pub const COUNT: usize = Number::CheckDuration as usize + 1;
}

/// The texts of a [`RawChange`].
#[derive(Debug, Clone, Copy)]
#[allow(missing_docs)] // as above
pub enum Text {
    Proxy,
    Server,
    ViaProxy,
    ViaServer,
    Hostname,
    Cause,
    CheckStatus,
    CheckReason,
    CheckInfo,
    Address,
}

impl Text {
    /// How many there are.
    pub const COUNT: usize = Text::Address as usize + 1;

    /// Most bytes of each that the queue carries. HAProxy's own limits are lower, but for the names, which a line of its
    /// configuration bounds; a longer one is cut and marked.
    const LIMITS: [usize; Text::COUNT] = [320, 320, 160, 160, 256, 128, 16, 64, 256, 64];
}

// The longest record fits into its slot: when, the numbers, the packed lengths and every text at its limit.
const _: () = {
    let mut words = 1 + Number::COUNT + 3;
    let mut n = 0;
    while n < Text::COUNT {
        words += Text::LIMITS[n].div_ceil(8);
        n += 1;
    }
    assert!(words <= RECORD_WORDS);
};

impl RawChange<'_> {
    /// Writes the record that [`Change::read`] reads. `now`: since the Unix epoch.
    pub fn write(&self, now: Duration, writer: &mut Writer) {
        // The lengths before cutting, 16 bits each: the reader sees that something was cut.
        let mut lengths = [0u64; 3];
        for (n, text) in self.texts.iter().enumerate() {
            lengths[n / 4] |= (text.len().min(0xffff) as u64) << (n % 4 * 16);
        }
        // The longest record fits, see above.
        writer.word(now.as_nanos() as u64);
        writer.words(self.numbers.map(|number| number as u64));
        writer.words(lengths);
        for (text, limit) in self.texts.iter().zip(Text::LIMITS) {
            if !text.is_empty() {
                writer.bytes(&text[..text.len().min(limit)]);
            }
        }
    }
}

/// One commit of a server's status, as it came out of the queue.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Change {
    /// When it was committed.
    pub when: Option<SystemTime>,
    /// HAProxy's number of the proxy: unique in a process.
    pub proxy_id: u32,
    /// HAProxy's number of the server in its proxy.
    pub server_id: u32,
    /// Before.
    pub old_state: State,
    /// After.
    pub new_state: State,
    /// Before.
    pub old_admin: Admin,
    /// After.
    pub new_admin: Admin,
    /// A check or the CLI's `health`/`agent` commands decided.
    pub operational: bool,
    /// It is a backup server.
    pub is_backup: bool,
    /// The proxy is a `listen` section.
    pub is_listen: bool,
    /// Servers that the backend could use before.
    pub usable_before: u32,
    /// Active servers that it can use now.
    pub active: u32,
    /// Backup servers that it can use now.
    pub backup: u32,
    /// Sessions that the server has.
    pub sessions: u32,
    /// Sessions that went back to the queue; `None`: the change moves none.
    pub requeued: Option<u32>,
    /// Sessions in the server's queue.
    pub queued: u32,
    /// The backend's (or listen section's) name.
    pub proxy: String,
    /// The server's name.
    pub server: String,
    /// The server that this one tracks: its proxy and its name.
    pub via: Option<(String, String)>,
    /// The server's own host name, if HAProxy resolves it at run time.
    pub hostname: String,
    /// What HAProxy says of the reason, when it is no check.
    pub cause: String,
    /// The check that decided.
    pub check: Option<Check>,
    /// Where the server is: address and port.
    pub address: String,
    /// Nothing has changed: the process that was before this one knew the server to be in trouble, and this is what it is now.
    pub present: Option<Present>,
}

/// What has become of a server, or of a backend, since the process before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Present {
    /// It is as the change says.
    There,
    /// It is not in the configuration any more.
    Gone,
}

impl Change {
    /// Reads a record of the queue. `None`: it is not one (its numbers make no sense).
    pub fn read(record: &[u64]) -> Option<Change> {
        let (&nanos, rest) = record.split_first()?;
        let (numbers, rest) = rest.split_at_checked(Number::COUNT)?;
        let (lengths, mut words) = rest.split_at_checked(3)?;
        let number = |which: Number| numbers[which as usize] as i64;
        let count = |which: Number| u32::try_from(number(which)).unwrap_or(0);

        let mut texts: [String; Text::COUNT] = Default::default();
        for (n, limit) in Text::LIMITS.into_iter().enumerate() {
            let given = (lengths[n / 4] >> (n % 4 * 16) & 0xffff) as usize;
            let length = given.min(limit);
            let (mine, others) = words.split_at_checked(length.div_ceil(8))?;
            words = others;
            let bytes: Vec<u8> = mine.iter().flat_map(|word| word.to_le_bytes()).take(length).collect();
            texts[n] = if n == Text::CheckInfo as usize {
                ascii_encoded(&bytes)
            } else {
                visible(&String::from_utf8_lossy(&bytes))
            };
            if given > limit {
                texts[n].push_str(CUT);
            }
        }
        let [proxy, server, via_proxy, via_server, hostname, cause, status, reason, info, address] = texts;

        let flags = count(Number::Flags);
        Some(Change {
            when: SystemTime::UNIX_EPOCH.checked_add(Duration::from_nanos(nanos)),
            proxy_id: count(Number::ProxyId),
            server_id: count(Number::ServerId),
            old_state: State::from_number(count(Number::OldState))?,
            new_state: State::from_number(count(Number::NewState))?,
            old_admin: Admin(count(Number::OldAdmin)),
            new_admin: Admin(count(Number::NewAdmin)),
            operational: flags & ffi::HAPROXY_EMAIL_ALERT_OPERATIONAL != 0,
            is_backup: flags & ffi::HAPROXY_EMAIL_ALERT_BACKUP != 0,
            is_listen: flags & ffi::HAPROXY_EMAIL_ALERT_LISTEN != 0,
            usable_before: count(Number::UsableBefore),
            active: count(Number::Active),
            backup: count(Number::Backup),
            sessions: count(Number::Sessions),
            requeued: u32::try_from(number(Number::Requeued)).ok(),
            queued: count(Number::Queued),
            proxy,
            server,
            via: (!via_server.is_empty()).then_some((via_proxy, via_server)),
            hostname,
            cause,
            check: (flags & ffi::HAPROXY_EMAIL_ALERT_CHECK != 0).then(|| Check {
                agent: flags & ffi::HAPROXY_EMAIL_ALERT_AGENT != 0,
                status,
                reason,
                code: i32::try_from(number(Number::CheckCode)).ok().filter(|code| *code >= 0),
                info,
                duration: u64::try_from(number(Number::CheckDuration)).ok().map(Duration::from_millis),
            }),
            address,
            present: match flags {
                _ if flags & ffi::HAPROXY_EMAIL_ALERT_GONE != 0 => Some(Present::Gone),
                _ if flags & ffi::HAPROXY_EMAIL_ALERT_PRESENT != 0 => Some(Present::There),
                _ => None,
            },
        })
    }

    /// The alerts that it means: of the server, then of its backend.
    pub fn events(&self) -> Vec<Event> {
        if let Some(present) = self.present {
            return vec![self.present_event(present)];
        }
        let usable = self.active.saturating_add(self.backup);
        let backend = match (self.usable_before, usable) {
            (1.., 0) => Some(Kind::BackendDown),
            (0, 1..) => Some(Kind::BackendUp),
            _ => None,
        };
        let of_server = self.kind().map(|kind| self.server_event(kind, self.sentence(kind)));
        let of_backend = backend.map(|kind| self.backend_event(kind, self.backend_sentence(kind)));
        of_server.into_iter().chain(of_backend).collect()
    }

    fn server_event(&self, kind: Kind, sentence: String) -> Event {
        let was = match (self.old_admin.maint(), self.old_admin.drain(), self.old_state) {
            _ if self.present.is_some() => "",
            (true, ..) => "MAINT",
            (_, true, _) => "DRAIN",
            (.., State::Stopped) => "DOWN",
            (.., State::Stopping) => "NOLB",
            (.., State::Starting | State::Running) => "UP",
        };
        let was_quiet = self.old_state == State::Stopping || self.old_admin.drain();
        Event {
            when: self.when(),
            kind,
            health: match self.new_state {
                _ if self.new_admin.maint() || kind == Kind::Gone => Health::Maint,
                State::Stopped => Health::Down,
                _ => Health::Up,
            },
            level: match kind {
                Kind::Down if !was_quiet => Level::Alert,
                Kind::Maint if was == "UP" => Level::Alert,
                _ => Level::Notice,
            },
            proxy: self.proxy.clone(),
            is_listen: self.is_listen,
            server: Some(self.server.clone()),
            sentence,
            was: was.to_owned(),
            check: self.check.clone(),
            cause: self.cause.clone(),
            via: self.via.as_ref().map(|(proxy, server)| format!("{proxy}/{server}")),
            address: self.address.clone(),
            active: self.active,
            backup: self.backup,
        }
    }

    fn backend_event(&self, kind: Kind, sentence: String) -> Event {
        Event {
            when: self.when(),
            kind,
            health: match kind {
                Kind::BackendDown => Health::Down,
                Kind::Gone => Health::Maint,
                _ => Health::Up,
            },
            level: if kind == Kind::BackendDown { Level::Emerg } else { Level::Notice },
            proxy: self.proxy.clone(),
            is_listen: self.is_listen,
            server: None,
            sentence,
            was: String::new(),
            check: None,
            cause: String::new(),
            via: None,
            address: String::new(),
            active: self.active,
            backup: self.backup,
        }
    }

    /// What has become of what the process before knew to be in trouble.
    fn present_event(&self, present: Present) -> Event {
        let usable = self.active.saturating_add(self.backup);
        let gone = "is not in the configuration any more";
        match (self.server.is_empty(), present) {
            (true, Present::Gone) => {
                self.backend_event(Kind::Gone, format!("{} {} {gone}.", self.section(), self.proxy))
            }
            (true, Present::There) => {
                let kind = if usable == 0 { Kind::BackendDown } else { Kind::BackendUp };
                self.backend_event(kind, self.backend_sentence(kind))
            }
            (false, Present::Gone) => {
                self.server_event(Kind::Gone, format!("Server {}/{} {gone}.", self.proxy, self.server))
            }
            (false, Present::There) => {
                let kind = match self.new_state {
                    _ if self.new_admin.maint() => Kind::Maint,
                    State::Stopped => Kind::Down,
                    _ => Kind::Up,
                };
                let backup = if self.is_backup { "Backup " } else { "" };
                let check = self.check.as_ref().map(|check| format!(", {check}")).unwrap_or_default();
                let sentence = format!(
                    "{backup}Server {}/{} is {} since HAProxy was started again{check}. {} active and {} backup servers online.",
                    self.proxy,
                    self.server,
                    kind.state(),
                    self.active,
                    self.backup
                );
                self.server_event(kind, sentence)
            }
        }
    }

    fn when(&self) -> SystemTime {
        self.when.unwrap_or_else(SystemTime::now)
    }

    /// HAProxy's word for where the servers are.
    fn section(&self) -> &'static str {
        if self.is_listen { "proxy" } else { "backend" }
    }

    /// What the change is for the server; `None`: nothing that one would announce (weights, the end of a slow start).
    fn kind(&self) -> Option<Kind> {
        let (old, new) = (self.old_admin, self.new_admin);
        if self.operational {
            return match (self.old_state, self.new_state) {
                (State::Stopped, State::Stopped) | (State::Stopping, State::Stopping) => None,
                (_, State::Stopped) => Some(Kind::Down),
                (_, State::Stopping) => Some(Kind::Nolb),
                // HAProxy says UP once more when the slow start ends: it was up already.
                (State::Starting | State::Running, _) => None,
                (State::Stopped | State::Stopping, _) => Some(Kind::Up),
            };
        }
        match (old.maint(), new.maint()) {
            (true, false) => Some(Kind::Ready),
            (false, true) => Some(Kind::Maint),
            (true, true) => self.remaining_maint().map(|_| Kind::Maint),
            (false, false) => match (old.drain(), new.drain()) {
                (true, false) => Some(Kind::Ready),
                (false, true) => Some(Kind::Drain),
                (true, true) => (old != new).then_some(Kind::Drain),
                (false, false) => None,
            },
        }
    }

    /// HAProxy's words for a server that lost one reason for its maintenance and has another.
    fn remaining_maint(&self) -> Option<String> {
        let (old, new) = (self.old_admin, self.new_admin);
        let via = self.via_words();
        if new.lost(old, Admin::RMAINT) {
            Some(format!(" ('{}') resolves again but remains in maintenance{via}", self.hostname))
        } else if new.lost(old, Admin::IMAINT) {
            Some(" remains in forced maintenance".to_owned())
        } else if new.lost(old, Admin::FMAINT) {
            Some(format!(" is leaving forced maintenance but remains in maintenance{via}"))
        } else {
            None
        }
    }

    fn via_words(&self) -> String {
        match &self.via {
            Some((proxy, server)) => format!(" via {proxy}/{server}"),
            None => String::new(),
        }
    }

    /// HAProxy's sentence for the server, with the final period of its log.
    fn sentence(&self, kind: Kind) -> String {
        let (old, new) = (self.old_admin, self.new_admin);
        let up_or_down = if self.new_state == State::Stopped { "DOWN" } else { "UP" };
        let drain_or_ready = if new.drain() { "DRAIN" } else { "READY" };
        let cause = if self.cause.is_empty() { String::new() } else { format!(" ({})", self.cause) };
        let what = match kind {
            Kind::Down => format!(" is DOWN{}{}", self.reason(false), self.counts(true)),
            Kind::Up => format!(" is UP{}{}", self.reason(false), self.counts(false)),
            Kind::Nolb => format!(" is stopping{}{}", self.reason(false), self.counts(false)),
            Kind::Maint => {
                let forced = new.has(Admin::FMAINT);
                match self.remaining_maint() {
                    Some(words) if old.maint() => words,
                    _ if self.old_state == State::Stopped => {
                        format!(" was DOWN and now enters maintenance{cause}{}", self.reason(forced))
                    }
                    _ => {
                        format!(
                            " is going DOWN for maintenance{cause}{}{}",
                            self.reason(forced),
                            self.counts(true)
                        )
                    }
                }
            }
            Kind::Ready if old.maint() => {
                let (name, why) = if new.lost(old, Admin::IMAINT) {
                    (String::new(), "leaving maintenance")
                } else if new.lost(old, Admin::RMAINT) {
                    (format!(" ('{}')", self.hostname), "resolves again")
                } else {
                    (String::new(), "leaving forced maintenance")
                };
                format!("{name} is {up_or_down}/{drain_or_ready} ({why})")
            }
            // HAProxy tests the flag that is left, so the inherited drain's end has the same words.
            Kind::Ready => format!(" is {up_or_down} (leaving forced drain)"),
            Kind::Drain if !old.drain() => {
                let forced = new.has(Admin::FDRAIN);
                format!(" enters drain state{cause}{}{}", self.reason(forced), self.counts(false))
            }
            Kind::Drain if !new.has(Admin::FDRAIN) => {
                format!(" is leaving forced drain but remains in drain mode{}", self.via_words())
            }
            Kind::Drain => " remains in forced drain mode".to_owned(),
            Kind::BackendDown | Kind::BackendUp | Kind::Gone => return self.backend_sentence(kind),
        };
        let backup = if self.is_backup { "Backup " } else { "" };
        format!("{backup}Server {}/{}{what}.", self.proxy, self.server)
    }

    /// `srv_append_status()`, first half: the check, else HAProxy's own word, else the tracked server.
    fn reason(&self, forced: bool) -> String {
        if !self.operational {
            // An administrative change has its cause in parentheses already.
            return if forced { String::new() } else { self.via_words() };
        }
        if let Some(check) = &self.check {
            return format!(", {check}");
        }
        if !self.cause.is_empty() {
            return format!(", {}", self.cause);
        }
        self.via_words()
    }

    /// `srv_append_status()`, second half: what the backend has left.
    fn counts(&self, leaving: bool) -> String {
        let Some(requeued) = self.requeued else { return String::new() };
        let (active, backup, queued) = (self.active, self.backup, self.queued);
        let on_backup = if backup > 0 && active == 0 { " Running on backup." } else { "" };
        if leaving {
            format!(
                ". {active} active and {backup} backup servers left.{on_backup} {} sessions active, \
                 {requeued} requeued, {queued} remaining in queue",
                self.sessions
            )
        } else {
            format!(
                ". {active} active and {backup} backup servers online.{on_backup} \
                 {requeued} sessions requeued, {queued} total in queue"
            )
        }
    }

    /// `set_backend_down()`; for the way back, on which HAProxy says nothing, words of the same kind.
    fn backend_sentence(&self, kind: Kind) -> String {
        let section = self.section();
        if kind == Kind::BackendDown {
            return format!("{section} {} has no server available!", self.proxy);
        }
        format!(
            "{section} {} has a server available again. {} active and {} backup servers online.",
            self.proxy, self.active, self.backup
        )
    }
}

impl fmt::Display for Check {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        write!(f, "reason: {}", self.reason)?;
        if let Some(code) = self.code {
            write!(f, ", code: {code}")?;
        }
        if !self.info.is_empty() {
            write!(f, ", info: \"{}\"", self.info)?;
        }
        if let Some(duration) = self.duration {
            write!(f, ", check duration: {}ms", duration.as_millis())?;
        }
        Ok(())
    }
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
    /// Active servers that the backend can use now.
    pub active: u32,
    /// Backup servers that the backend can use now.
    pub backup: u32,
}

impl Event {
    /// `backend/server`, or the backend alone.
    pub fn subject(&self) -> String {
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
    pub fn why(&self) -> String {
        match (&self.check, &self.via) {
            (Some(check), _) if check.agent => format!("{} of the agent", check.reason),
            (Some(check), _) => check.reason.clone(),
            (None, Some(via)) => format!("via {via}"),
            (None, None) => self.cause.clone(),
        }
    }

    /// The server's host alone, without its port.
    pub fn host(&self) -> Option<&str> {
        let port = self.address.rfind(':').filter(|colon| !self.address[*colon..].ends_with(']'));
        Some(&self.address[..port.unwrap_or(self.address.len())]).filter(|host| !host.is_empty())
    }
}

/// HAProxy's `chunk_asciiencode()` with `"` as delimiter: what is not printable ASCII becomes `<0D>`.
fn ascii_encoded(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len());
    for &byte in bytes {
        match byte {
            b'<' | b'>' | b'"' => _ = write!(text, "<{byte:02X}>"),
            b' '..=b'~' => text.push(byte as char),
            _ => _ = write!(text, "<{byte:02X}>"),
        }
    }
    text
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
        active: 1,
        backup: 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::queue::Queue;

    fn change() -> Change {
        Change {
            when: Some(SystemTime::UNIX_EPOCH),
            proxy: "servers".into(),
            server: "server2".into(),
            old_state: State::Running,
            new_state: State::Stopped,
            operational: true,
            usable_before: 2,
            active: 1,
            requeued: Some(0),
            ..Change::default()
        }
    }

    fn timeout() -> Check {
        Check {
            status: "L4TOUT".into(),
            reason: "Layer4 timeout".into(),
            duration: Some(Duration::from_millis(2001)),
            ..Check::default()
        }
    }

    fn admin(old: u32, new: u32) -> Change {
        Change { operational: false, old_admin: Admin(old), new_admin: Admin(new), ..change() }
    }

    /// The server's alert: its kind and sentence, without the server's name.
    fn told(change: Change) -> Option<(Kind, String)> {
        let event = change.events().into_iter().find(|event| event.server.is_some())?;
        Some((event.kind, event.sentence.replace("Server servers/server2 ", "")))
    }

    #[test]
    fn the_sentence_is_haproxys() {
        let down = Change { active: 0, check: Some(timeout()), ..change() };
        assert_eq!(
            down.events()[0].sentence,
            "Server servers/server2 is DOWN, reason: Layer4 timeout, check duration: 2001ms. 0 active and 0 backup \
             servers left. 0 sessions active, 0 requeued, 0 remaining in queue."
        );
        let check = Check { code: Some(503), info: "Service Unavailable".into(), ..timeout() };
        let up = Change {
            old_state: State::Stopped,
            new_state: State::Running,
            is_backup: true,
            active: 0,
            backup: 1,
            requeued: Some(2),
            queued: 3,
            check: Some(check),
            ..change()
        };
        assert_eq!(
            up.events()[0].sentence,
            "Backup Server servers/server2 is UP, reason: Layer4 timeout, code: 503, info: \"Service Unavailable\", check \
             duration: 2001ms. 0 active and 1 backup servers online. Running on backup. 2 sessions requeued, 3 total in queue."
        );
    }

    #[test]
    fn every_change_has_its_kind_and_words() {
        const FM: u32 = Admin::FMAINT;
        const IM: u32 = Admin::IMAINT;
        let via = |change: Change| Change { via: Some(("b".into(), "s1".into())), ..change };
        let moved = |old, new| Change { old_state: old, new_state: new, requeued: None, ..change() };
        let stopped = |change: Change| Change { old_state: State::Stopped, ..change };
        let quiet = |change: Change| Change { requeued: None, ..change };
        for (change, kind, words) in [
            (moved(State::Running, State::Stopped), Kind::Down, "is DOWN."),
            (via(moved(State::Running, State::Stopped)), Kind::Down, "is DOWN via b/s1."),
            (
                Change { cause: "changed from CLI".into(), ..moved(State::Stopped, State::Running) },
                Kind::Up,
                "is UP, changed from CLI.",
            ),
            (moved(State::Stopped, State::Starting), Kind::Up, "is UP."),
            (moved(State::Running, State::Stopping), Kind::Nolb, "is stopping."),
            (moved(State::Stopping, State::Running), Kind::Up, "is UP."),
            (quiet(admin(0, FM)), Kind::Maint, "is going DOWN for maintenance."),
            (stopped(admin(0, FM)), Kind::Maint, "was DOWN and now enters maintenance."),
            (via(quiet(admin(0, IM))), Kind::Maint, "is going DOWN for maintenance via b/s1."),
            (
                via(admin(FM | IM, IM)),
                Kind::Maint,
                "is leaving forced maintenance but remains in maintenance via b/s1.",
            ),
            (admin(FM | IM, FM), Kind::Maint, "remains in forced maintenance."),
            (admin(FM, 0), Kind::Ready, "is DOWN/READY (leaving forced maintenance)."),
            (
                Change { new_state: State::Running, ..admin(IM, Admin::FDRAIN) },
                Kind::Ready,
                "is UP/DRAIN (leaving maintenance).",
            ),
            (
                Change { hostname: "app".into(), new_state: State::Running, ..admin(Admin::RMAINT, 0) },
                Kind::Ready,
                "('app') is UP/READY (resolves again).",
            ),
            (quiet(admin(0, Admin::FDRAIN)), Kind::Drain, "enters drain state."),
            (
                admin(Admin::FDRAIN | Admin::IDRAIN, Admin::FDRAIN),
                Kind::Drain,
                "remains in forced drain mode.",
            ),
            (
                Change { new_state: State::Running, ..admin(Admin::FDRAIN, 0) },
                Kind::Ready,
                "is UP (leaving forced drain).",
            ),
        ] {
            assert_eq!(told(change.clone()), Some((kind, words.to_owned())), "{change:?}");
        }
    }

    #[test]
    fn what_is_no_news_is_not_told() {
        for (old, new) in [
            (State::Starting, State::Running),
            (State::Running, State::Running),
            (State::Stopped, State::Stopped),
        ] {
            let change = Change { old_state: old, new_state: new, usable_before: 1, ..change() };
            assert_eq!(change.events(), []);
        }
        assert_eq!(admin(0, 0).events(), []);
    }

    #[test]
    fn a_backend_is_told_when_its_last_server_goes_and_its_first_comes() {
        let kinds = |before, active, backup| -> Vec<(Kind, String)> {
            let change = Change { usable_before: before, active, backup, is_listen: true, ..change() };
            let events = change.events().into_iter().filter(|event| event.server.is_none());
            events.map(|event| (event.kind, event.sentence)).collect()
        };
        assert_eq!(
            kinds(1, 0, 0),
            [(Kind::BackendDown, "proxy servers has no server available!".to_owned())]
        );
        assert_eq!(kinds(0, 0, 1)[0].0, Kind::BackendUp);
        assert_eq!(kinds(2, 1, 0), []);
        assert_eq!(kinds(1, 0, 1), []);
        assert_eq!(kinds(0, 0, 0), []);
    }

    fn through_the_queue(numbers: [i64; Number::COUNT], texts: [&[u8]; Text::COUNT]) -> Option<Change> {
        let (queue, mut record) = (Queue::new(1), Vec::new());
        queue
            .push(|writer| RawChange { numbers, texts }.write(Duration::from_secs(7), writer))
            .expect("room");
        assert_eq!(queue.front(0, &mut record), Some(0));
        Change::read(&record)
    }

    #[test]
    fn a_change_comes_out_of_the_queue_as_it_went_in() {
        let flags = ffi::HAPROXY_EMAIL_ALERT_OPERATIONAL
            | ffi::HAPROXY_EMAIL_ALERT_CHECK
            | ffi::HAPROXY_EMAIL_ALERT_AGENT;
        let numbers = [11, 12, 2, 0, 0x08, 0x21, flags.into(), 3, 4, 5, 6, -1, 7, -1, 2001];
        let texts: [&[u8]; Text::COUNT] = [
            b"be",
            b"s1",
            b"",
            b"",
            b"host",
            b"cause",
            b"L4TOUT",
            b"Layer4 timeout",
            b"a\r\n\"<\xff",
            b"10.0.0.7:80",
        ];
        let change = through_the_queue(numbers, texts).expect("a change");
        let expected = Change {
            when: Some(SystemTime::UNIX_EPOCH + Duration::from_secs(7)),
            proxy_id: 11,
            server_id: 12,
            old_state: State::Running,
            new_state: State::Stopped,
            old_admin: Admin(0x08),
            new_admin: Admin(0x21),
            operational: true,
            usable_before: 3,
            active: 4,
            backup: 5,
            sessions: 6,
            requeued: None,
            queued: 7,
            proxy: "be".into(),
            server: "s1".into(),
            hostname: "host".into(),
            cause: "cause".into(),
            check: Some(Check { agent: true, info: "a<0D><0A><22><3C><FF>".into(), ..timeout() }),
            address: "10.0.0.7:80".into(),
            ..Change::default()
        };
        assert_eq!(change, expected);
    }

    #[test]
    fn long_and_hostile_texts_are_cut_and_made_visible() {
        let long = [b'x'; 70_000];
        let mut texts: [&[u8]; Text::COUNT] = [&long; Text::COUNT];
        texts[Text::Server as usize] = b"\x1b[2J\xc3\x28\r\n.\r\n";
        let change = through_the_queue([0; Number::COUNT], texts).expect("a change");
        assert_eq!(change.proxy.len(), 320 + CUT.len());
        assert!(change.proxy.ends_with("x[...]"));
        assert_eq!(change.server, "<U+001B>[2J\u{fffd}(<U+000D><U+000A>.<U+000D><U+000A>");
    }

    #[test]
    fn a_record_that_is_none_is_refused() {
        let mut numbers = [0; Number::COUNT];
        numbers[Number::NewState as usize] = 4;
        assert_eq!(through_the_queue(numbers, [&[]; Text::COUNT]), None);
        assert_eq!(Change::read(&[]), None);
        assert_eq!(Change::read(&[0; 18]), None);
    }
}
