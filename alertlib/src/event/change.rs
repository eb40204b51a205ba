// SPDX-License-Identifier: MIT OR Apache-2.0
//! Changes: commits of a server's status in HAProxy's process, and the events that follow from them.

use super::{Accuracy, Admin, Check, Event, Health, Kind, Level, Provenance, State, Usable};
use std::time::SystemTime;

/// One commit of a server's status, as read from the ring.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Change {
    /// Time of the commit.
    pub when: Option<SystemTime>,
    /// HAProxy's id of the proxy, unique in a process.
    pub proxy_id: u32,
    /// HAProxy's id of the server, unique in its proxy.
    pub server_id: u32,
    /// State before the commit.
    pub old_state: State,
    /// State after the commit.
    pub new_state: State,
    /// Administrative flags before the commit.
    pub old_admin: Admin,
    /// Administrative flags after the commit.
    pub new_admin: Admin,
    /// A check, an agent or the CLI's `health` and `agent` commands caused the change; else an administrator.
    pub is_operational: bool,
    /// The server line has `backup`.
    pub is_backup: bool,
    /// The proxy is a `listen` section.
    pub is_listen: bool,
    /// Usable servers of the backend before the commit.
    pub usable_before: u32,
    /// Usable active servers of the backend after the commit.
    pub active: u32,
    /// Usable backup servers of the backend after the commit.
    pub backup: u32,
    /// Sessions of the server.
    pub sessions: u32,
    /// Sessions that were requeued; `None`: the change moves none.
    pub requeued: Option<u32>,
    /// Sessions in the server's queue.
    pub queued: u32,
    /// Name of the backend (or `listen` section).
    pub proxy: String,
    /// Name of the server; empty in a state report on a backend as a whole.
    pub server: String,
    /// The server that this one tracks: proxy and name.
    pub via: Option<(String, String)>,
    /// Host name of the server, if HAProxy resolves it at run time.
    pub hostname: String,
    /// HAProxy's words for a cause other than a check; may be empty.
    pub cause: String,
    /// The check that caused the change.
    pub check: Option<Check>,
    /// Single result of that check (`option log-health-checks`); the status has not changed.
    pub result: Option<CheckResult>,
    /// Address and port of the server.
    pub address: String,
    /// HAProxy is 2.8 or later, some of whose log sentences differ from those of 2.6.
    pub since_2_8: bool,
    /// Report of the present state of an unconfirmed target; the status has not changed.
    pub state_report: Option<StateReport>,
}

/// Result of a single check.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CheckResult {
    /// Outcome of the check.
    pub outcome: CheckOutcome,
    /// HAProxy's count of the latest outcomes: from `rise` on, the server is up.
    pub health: u32,
    /// Successes that bring the server up.
    pub rise: u32,
    /// Failures that take the server down.
    pub fall: u32,
    /// The server's weight is 0.
    pub has_zero_weight: bool,
}

impl CheckResult {
    /// Number of [`CheckOutcome::Failed`].
    pub const FAILED: u32 = 1;
    /// Number of [`CheckOutcome::Passed`].
    pub const PASSED: u32 = 2;
    /// Number of [`CheckOutcome::PassedConditionally`].
    pub const CONDITIONAL: u32 = 3;
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
    /// Returns the outcome for a number of `haproxy_email_alert_event`; `None`: no result of a check.
    pub fn from_number(number: u32) -> Option<Self> {
        match number {
            CheckResult::FAILED => Some(CheckOutcome::Failed),
            CheckResult::PASSED => Some(CheckOutcome::Passed),
            CheckResult::CONDITIONAL => Some(CheckOutcome::PassedConditionally),
            _ => None,
        }
    }
}

/// Presence of an unconfirmed target in the configuration.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StateReport {
    /// The target exists; the change has its state.
    Present,
    /// The target was removed from the configuration.
    Removed,
}

impl Change {
    /// Returns the events that follow from the change: of the server, then of its backend.
    pub fn into_events(self) -> Vec<Event> {
        if let Some(report) = self.state_report {
            return vec![self.state_event(report)];
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
        let was = match (self.old_admin.is_in_maint(), self.old_admin.is_drained(), self.old_state) {
            _ if self.state_report.is_some() || self.result.is_some() => "",
            (true, ..) => "MAINT",
            (_, true, _) => "DRAIN",
            (.., State::Stopped) => "DOWN",
            (.., State::Stopping) => "NOLB",
            (.., State::Starting | State::Running) => "UP",
        };
        let had_no_new_clients = self.old_state == State::Stopping || self.old_admin.is_drained();
        let health = match self.new_state {
            // A single result of a check. A change of the server's health is another event.
            _ if kind == Kind::Check => Health::Up,
            _ if self.new_admin.is_in_maint() || kind == Kind::Gone => Health::Maint,
            State::Stopped => Health::Down,
            _ => Health::Up,
        };
        let level = match kind {
            Kind::Down if !had_no_new_clients => Level::Alert,
            Kind::Maint if was == "UP" => Level::Alert,
            _ => Level::Notice,
        };
        let event = self.event(kind, health, level, sentence);
        Event {
            server: Some(self.server),
            was: was.to_owned(),
            check: self.check,
            cause: self.cause,
            via: self.via.map(|(proxy, server)| format!("{proxy}/{server}")),
            address: self.address,
            ..event
        }
    }

    fn backend_event(&self, kind: Kind, sentence: String) -> Event {
        match kind {
            Kind::BackendDown => self.event(kind, Health::Down, Level::Emerg, sentence),
            Kind::Gone => self.event(kind, Health::Maint, Level::Notice, sentence),
            _ => self.event(kind, Health::Up, Level::Notice, sentence),
        }
    }

    /// Returns an event of the backend as a whole.
    fn event(&self, kind: Kind, health: Health, level: Level, sentence: String) -> Event {
        Event {
            when: self.when.unwrap_or_else(SystemTime::now),
            kind,
            health,
            level,
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

    /// Returns the event for a state report.
    fn state_event(self, report: StateReport) -> Event {
        let usable = self.active.saturating_add(self.backup);
        let removed = "is not in the configuration any more";
        match (self.server.is_empty(), report) {
            (true, StateReport::Removed) => {
                self.backend_event(Kind::Gone, format!("{} {} {removed}.", self.section(), self.proxy))
            }
            (true, StateReport::Present) => {
                let kind = if usable == 0 { Kind::BackendDown } else { Kind::BackendUp };
                self.backend_event(kind, self.backend_sentence(kind))
            }
            (false, StateReport::Removed) => {
                let sentence = format!("Server {}/{} {removed}.", self.proxy, self.server);
                self.server_event(Kind::Gone, sentence)
            }
            (false, StateReport::Present) => {
                let kind = match self.new_state {
                    _ if self.new_admin.is_in_maint() => Kind::Maint,
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

    /// Returns the word for the proxy in HAProxy's log: `proxy` for a `listen` section, else `backend`.
    pub(super) fn section(&self) -> &'static str {
        if self.is_listen { "proxy" } else { "backend" }
    }

    /// Returns the kind of the server's event; `None`: not worth an alert (weights, the end of a slow start).
    fn kind(&self) -> Option<Kind> {
        let (old, new) = (self.old_admin, self.new_admin);
        if self.is_operational {
            return match (self.old_state, self.new_state) {
                (State::Stopped, State::Stopped) | (State::Stopping, State::Stopping) => None,
                (_, State::Stopped) => Some(Kind::Down),
                (_, State::Stopping) => Some(Kind::Nolb),
                // HAProxy announces UP again at the end of a slow start: the server was up already.
                (State::Starting | State::Running, _) => None,
                (State::Stopped | State::Stopping, _) => Some(Kind::Up),
            };
        }
        match (old.is_in_maint(), new.is_in_maint()) {
            (true, false) => Some(Kind::Ready),
            (false, true) => Some(Kind::Maint),
            (true, true) => self.remaining_maint().map(|_| Kind::Maint),
            (false, false) => match (old.is_drained(), new.is_drained()) {
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
            is_operational: true,
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
        Change { is_operational: false, old_admin: Admin(old), new_admin: Admin(new), ..change() }
    }

    #[test]
    fn changes_without_announced_state_make_no_events() {
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
    fn backend_events_follow_loss_of_last_and_return_of_first_server() {
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
