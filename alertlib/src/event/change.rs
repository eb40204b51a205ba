// SPDX-License-Identifier: MIT OR Apache-2.0
//! One commit of a server's status, and which alerts it means.

use super::{Accuracy, Admin, Check, Event, Health, Kind, Level, Provenance, State, Usable};
use std::time::SystemTime;

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
    /// Nothing has changed: that check has had a result, and this is it.
    pub result: Option<CheckResult>,
    /// Where the server is: address and port.
    pub address: String,
    /// It comes from HAProxy 2.8 or later, some of whose sentences have other words.
    pub since_2_8: bool,
    /// Nothing has changed: the process that was before this one knew the server to be in trouble, and this is what it is now.
    pub present: Option<Present>,
}

/// What a single check has found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CheckResult {
    /// In one word.
    pub outcome: CheckOutcome,
    /// HAProxy's count of what the latest ones have found: from `rise` on, the server is up.
    pub health: u32,
    /// So many successes bring the server back.
    pub rise: u32,
    /// So many failures take it down.
    pub fall: u32,
    /// The server's weight is 0.
    pub is_weightless: bool,
}

impl CheckResult {
    /// Number of [`CheckOutcome::Failed`].
    pub const FAILED: u32 = 1;
    /// Number of [`CheckOutcome::Passed`].
    pub const PASSED: u32 = 2;
    /// Number of [`CheckOutcome::PassedConditionally`].
    pub const CONDITIONAL: u32 = 3;

    /// Bits of each of its counts on the way through the queue. Larger ones are written by nobody.
    const BITS: u32 = 20;

    /// The fields of `haproxy_email_alert_event` in one number: most events have none of them. 0: none.
    pub fn pack(result: u32, health: u32, rise: u32, fall: u32) -> i64 {
        if result == 0 {
            return 0;
        }
        let count =
            |count: u32, place: u32| i64::from(count.min((1 << Self::BITS) - 1)) << (Self::BITS * place);
        count(health, 0) | count(rise, 1) | count(fall, 2) | i64::from(result & 7) << (Self::BITS * 3)
    }

    /// What was packed; `None`: no result.
    pub fn unpack(packed: i64, is_weightless: bool) -> Option<Self> {
        let count = |place: u32| (packed >> (Self::BITS * place)) as u32 & ((1 << Self::BITS) - 1);
        let outcome = CheckOutcome::from_number((packed >> (Self::BITS * 3)) as u32)?;
        Some(CheckResult { outcome, health: count(0), rise: count(1), fall: count(2), is_weightless })
    }
}

/// HAProxy's `enum chk_result`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs)] // HAProxy's words
pub enum CheckOutcome {
    Failed,
    Passed,
    PassedConditionally,
}

impl CheckOutcome {
    /// The outcome of that number of `haproxy_email_alert_event`; `None`: it is no check's result.
    pub fn from_number(number: u32) -> Option<Self> {
        match number {
            CheckResult::FAILED => Some(CheckOutcome::Failed),
            CheckResult::PASSED => Some(CheckOutcome::Passed),
            CheckResult::CONDITIONAL => Some(CheckOutcome::PassedConditionally),
            _ => None,
        }
    }
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
    /// The alerts that it means: of the server, then of its backend.
    pub fn into_events(self) -> Vec<Event> {
        if let Some(present) = self.present {
            return vec![self.present_event(present)];
        }
        if let Some(result) = self.result {
            let sentence = self.check_sentence(result);
            return vec![self.server_event(Kind::Check, sentence)];
        }
        let usable = self.active.saturating_add(self.backup);
        let backend = match (self.usable_before, usable) {
            (1.., 0) => Some(Kind::BackendDown),
            (0, 1..) => Some(Kind::BackendUp),
            _ => None,
        };
        let of_backend = backend.map(|kind| self.backend_event(kind, self.backend_sentence(kind)));
        let of_server = self.kind().map(|kind| (kind, self.sentence(kind)));
        let of_server = of_server.map(|(kind, sentence)| self.server_event(kind, sentence));
        of_server.into_iter().chain(of_backend).collect()
    }

    fn server_event(self, kind: Kind, sentence: String) -> Event {
        let was = match (self.old_admin.maint(), self.old_admin.drain(), self.old_state) {
            _ if self.present.is_some() || self.result.is_some() => "",
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
                // It is about the check. What becomes of the server is another event.
                _ if kind == Kind::Check => Health::Up,
                _ if self.new_admin.maint() || kind == Kind::Gone => Health::Maint,
                State::Stopped => Health::Down,
                _ => Health::Up,
            },
            level: match kind {
                Kind::Down if !was_quiet => Level::Alert,
                Kind::Maint if was == "UP" => Level::Alert,
                _ => Level::Notice,
            },
            proxy: self.proxy,
            is_listen: self.is_listen,
            server: Some(self.server),
            sentence,
            was: was.to_owned(),
            check: self.check,
            cause: self.cause,
            via: self.via.map(|(proxy, server)| format!("{proxy}/{server}")),
            address: self.address,
            usable: Some(Usable { active: self.active, backup: self.backup }),
            provenance: Provenance::Process,
            accuracy: Accuracy::Exact,
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
            usable: Some(Usable { active: self.active, backup: self.backup }),
            provenance: Provenance::Process,
            accuracy: Accuracy::Exact,
        }
    }

    /// What has become of what the process before knew to be in trouble.
    fn present_event(self, present: Present) -> Event {
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
                let sentence = format!("Server {}/{} {gone}.", self.proxy, self.server);
                self.server_event(Kind::Gone, sentence)
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
    pub(super) fn section(&self) -> &'static str {
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
            (true, true) => self.remains_in_maint().then_some(Kind::Maint),
            (false, false) => match (old.drain(), new.drain()) {
                (true, false) => Some(Kind::Ready),
                (false, true) => Some(Kind::Drain),
                (true, true) => (old != new).then_some(Kind::Drain),
                (false, false) => None,
            },
        }
    }
}

#[cfg(test)]
pub mod tests {
    use super::*;
    use std::time::Duration;

    pub fn change() -> Change {
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

    pub fn timeout() -> Check {
        Check {
            status: "L4TOUT".into(),
            reason: "Layer4 timeout".into(),
            duration: Some(Duration::from_millis(2001)),
            ..Check::default()
        }
    }

    pub fn admin(old: u32, new: u32) -> Change {
        Change { operational: false, old_admin: Admin(old), new_admin: Admin(new), ..change() }
    }

    #[test]
    fn what_is_no_news_is_not_told() {
        for (old, new) in [
            (State::Starting, State::Running),
            (State::Running, State::Running),
            (State::Stopped, State::Stopped),
        ] {
            let change = Change { old_state: old, new_state: new, usable_before: 1, ..change() };
            assert_eq!(change.into_events(), []);
        }
        assert_eq!(admin(0, 0).into_events(), []);
    }

    #[test]
    fn a_backend_is_told_when_its_last_server_goes_and_its_first_comes() {
        let kinds = |before, active, backup| -> Vec<(Kind, String)> {
            let change = Change { usable_before: before, active, backup, is_listen: true, ..change() };
            let events = change.into_events().into_iter().filter(|event| event.server.is_none());
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
}
