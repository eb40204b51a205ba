// SPDX-License-Identifier: MIT OR Apache-2.0
//! Builds the sentences of HAProxy's log, word by word.
//!
//! See `srv_update_status()` and `srv_append_status()` in its `src/server.c`, `set_backend_down()` in `src/backend.c`.

use super::{Admin, Change, Check, CheckOutcome, CheckResult, Kind, State};
use std::fmt::{self, Display};

impl Change {
    /// Returns HAProxy's words for a maintenance of which one reason has ended; `None`: none has ended. The caller knows that
    /// another one is left.
    pub(super) fn remaining_maint(&self) -> Option<String> {
        let has_lost = |flag| self.new_admin.has_lost(self.old_admin, flag);
        let via = self.via_words();
        if has_lost(Admin::RMAINT) {
            Some(format!(" ('{}') resolves again but remains in maintenance{via}", self.hostname))
        } else if has_lost(Admin::IMAINT) {
            Some(" remains in forced maintenance".to_owned())
        } else if has_lost(Admin::FMAINT) {
            Some(format!(" is leaving forced maintenance but remains in maintenance{via}"))
        } else {
            None
        }
    }

    fn via_words(&self) -> String {
        let via = self.via.as_ref();
        via.map(|(proxy, server)| format!(" via {proxy}/{server}")).unwrap_or_default()
    }

    /// Returns HAProxy's sentence for the server, with the final period of its log.
    pub(super) fn sentence(&self, kind: Kind) -> String {
        let backup = if self.is_backup { "Backup " } else { "" };
        format!("{backup}Server {}/{}{}.", self.proxy, self.server, self.predicate(kind))
    }

    /// The part of the sentence behind the server's name.
    fn predicate(&self, kind: Kind) -> String {
        let (old, new) = (self.old_admin, self.new_admin);
        let up_or_down = if self.new_state == State::Stopped { "DOWN" } else { "UP" };
        let drain_or_ready = if new.is_drained() { "DRAIN" } else { "READY" };
        let cause = match self.cause.as_str() {
            "" => String::new(),
            cause => format!(" ({cause})"),
        };
        match kind {
            Kind::Down => format!(" is DOWN{}{}", self.reason(false), self.counts(true)),
            Kind::Up => format!(" is UP{}{}", self.reason(false), self.counts(false)),
            Kind::Nolb => format!(" is stopping{}{}", self.reason(false), self.counts(false)),
            Kind::Maint if old.is_in_maint() => self.remaining_maint().unwrap_or_default(),
            Kind::Maint => {
                let reason = self.reason(new.has(Admin::FMAINT));
                match self.old_state {
                    State::Stopped => format!(" was DOWN and now enters maintenance{cause}{reason}"),
                    _ => format!(" is going DOWN for maintenance{cause}{reason}{}", self.counts(true)),
                }
            }
            Kind::Ready if old.is_in_maint() => {
                let state = format!(" is {up_or_down}/{drain_or_ready}");
                if new.has_lost(old, Admin::IMAINT) {
                    format!("{state} (leaving maintenance)")
                } else if new.has_lost(old, Admin::RMAINT) {
                    format!(" ('{}'){state} (resolves again)", self.hostname)
                } else {
                    format!("{state} (leaving forced maintenance)")
                }
            }
            Kind::Ready if self.since_2_8 && !old.has(Admin::FDRAIN) => {
                format!(" is {up_or_down} (leaving drain){}", self.via_words())
            }
            // HAProxy 2.6 tests the flag that is left, so the end of an inherited drain has the same words.
            Kind::Ready => format!(" is {up_or_down} (leaving forced drain)"),
            Kind::Drain if !old.is_drained() => {
                let reason = self.reason(new.has(Admin::FDRAIN));
                format!(" enters drain state{cause}{reason}{}", self.counts(false))
            }
            Kind::Drain if !new.has(Admin::FDRAIN) => {
                let leaving = if self.since_2_8 { "" } else { "is leaving forced drain but " };
                format!(" {leaving}remains in drain mode{}", self.via_words())
            }
            Kind::Drain => " remains in forced drain mode".to_owned(),
            Kind::BackendDown | Kind::BackendUp | Kind::Check | Kind::Gone => String::new(),
        }
    }

    /// The reason, as the first half of `srv_append_status()`: the check, else HAProxy's words for the cause, else the tracked
    /// server.
    fn reason(&self, forced: bool) -> String {
        let via = self.via_words();
        // HAProxy 2.8 also names the tracked server behind a check or a cause.
        let also_via = if self.since_2_8 { via.as_str() } else { "" };
        match (&self.check, self.cause.as_str()) {
            // An administrative change has its cause in parentheses already.
            _ if !self.is_operational && forced => String::new(),
            _ if !self.is_operational => via,
            (Some(check), _) => format!(", {check}{also_via}"),
            (None, "") => via,
            (None, cause) => format!(", {cause}{also_via}"),
        }
    }

    /// Returns the sentence of `option log-health-checks`, as `set_server_check_status()` logs it.
    pub(super) fn check_sentence(&self, result: CheckResult) -> String {
        let CheckResult { outcome, health, rise, fall, has_zero_weight } = result;
        let check_type =
            if self.check.as_ref().is_some_and(|check| check.is_agent) { "Agent" } else { "Health" };
        let backup = if self.is_backup { "backup " } else { "" };
        let found = match outcome {
            CheckOutcome::Failed => "failed",
            CheckOutcome::Passed => "succeeded",
            CheckOutcome::PassedConditionally => "conditionally succeeded",
        };
        let check = self.check.as_ref().map(|check| format!(", {check}")).unwrap_or_default();
        let status = match health.checked_sub(rise) {
            Some(above) => format!("{}/{fall} {}", above + 1, if has_zero_weight { "DRAIN" } else { "UP" }),
            None => format!("{health}/{rise} DOWN"),
        };
        format!(
            "{check_type} check for {backup}server {}/{} {found}{check}, status: {status}.",
            self.proxy, self.server
        )
    }

    /// The numbers of usable servers and of sessions, as the second half of `srv_append_status()`.
    fn counts(&self, leaving: bool) -> String {
        let (active, backup, queued) = (self.active, self.backup, self.queued);
        let on_backup = if backup > 0 && active == 0 { " Running on backup." } else { "" };
        match self.requeued {
            None => String::new(),
            Some(requeued) if leaving => format!(
                ". {active} active and {backup} backup servers left.{on_backup} {} sessions active, \
                 {requeued} requeued, {queued} remaining in queue",
                self.sessions
            ),
            Some(requeued) => format!(
                ". {active} active and {backup} backup servers online.{on_backup} \
                 {requeued} sessions requeued, {queued} total in queue"
            ),
        }
    }

    /// Returns the sentence of `set_backend_down()`. HAProxy logs nothing when a server is available again: that sentence is
    /// modelled on the first.
    pub(super) fn backend_sentence(&self, kind: Kind) -> String {
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

impl Display for Check {
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::change::tests::{admin, change, timeout};

    /// Returns kind and sentence of the server's event, without the server's name.
    fn server_event(change: Change) -> Option<(Kind, String)> {
        let event = change.into_events().into_iter().find(|event| event.server.is_some())?;
        Some((event.kind, event.sentence.replace("Server servers/server2 ", "")))
    }

    #[test]
    fn up_and_down_sentences_are_those_of_haproxy() {
        let down = Change { active: 0, check: Some(timeout()), ..change() };
        assert_eq!(
            down.into_events()[0].sentence,
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
            up.into_events()[0].sentence,
            "Backup Server servers/server2 is UP, reason: Layer4 timeout, code: 503, info: \"Service Unavailable\", check \
             duration: 2001ms. 0 active and 1 backup servers online. Running on backup. 2 sessions requeued, 3 total in queue."
        );
    }

    #[test]
    fn check_sentence_is_that_of_option_log_health_checks() {
        let result = |outcome, health, has_zero_weight| CheckResult {
            outcome,
            health,
            rise: 2,
            fall: 3,
            has_zero_weight,
        };
        for (result, words) in [
            (
                result(CheckOutcome::Failed, 3, false),
                "failed, reason: Layer4 timeout, check duration: 2001ms, status: 2/3 UP.",
            ),
            (
                result(CheckOutcome::Failed, 1, false),
                "failed, reason: Layer4 timeout, check duration: 2001ms, status: 1/2 DOWN.",
            ),
            (
                result(CheckOutcome::PassedConditionally, 4, true),
                "conditionally succeeded, reason: Layer4 timeout, check duration: 2001ms, status: 3/3 DRAIN.",
            ),
        ] {
            let check = Change { result: Some(result), check: Some(timeout()), ..change() };
            let [event] = check.into_events().try_into().expect("one event");
            assert_eq!((event.kind, event.health, &*event.was), (Kind::Check, crate::event::Health::Up, ""));
            assert_eq!(event.sentence, format!("Health check for server servers/server2 {words}"));
        }
    }

    #[test]
    fn haproxy_2_8_names_the_tracked_server_with_every_reason() {
        let via = Some(("up".into(), "stream".into()));
        let new = |change| Change { since_2_8: true, via: via.clone(), requeued: None, ..change };
        let (fd, id) = (Admin::FDRAIN, Admin::IDRAIN);
        let (old_state, new_state) = (State::Running, State::Running);
        let admin = |old, after| new(Change { old_state, new_state, ..admin(old, after) });
        let down = new(Change { cause: "changed from CLI".into(), ..change() });
        for (change, words) in [
            (admin(fd | id, id), "remains in drain mode via up/stream."),
            (admin(id, 0), "is UP (leaving drain) via up/stream."),
            (admin(fd, 0), "is UP (leaving forced drain)."),
            (down, "is DOWN, changed from CLI via up/stream."),
        ] {
            assert_eq!(server_event(change).expect("an event").1, words);
        }
    }

    #[test]
    fn every_change_has_its_kind_and_sentence() {
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
            assert_eq!(server_event(change.clone()), Some((kind, words.to_owned())), "{change:?}");
        }
    }
}
