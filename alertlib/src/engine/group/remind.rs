// SPDX-License-Identifier: MIT OR Apache-2.0
//! Reminders: mails about incidents that are still open.

use super::{GroupState, earliest, is_due};
use crate::engine::silence::Silences;
use crate::engine::snapshot::OpenIncident;
use crate::engine::target::{Target, has_elapsed};
use crate::engine::target_id::TargetId;
use crate::event::Health;
use crate::notification::Item;
use std::time::SystemTime;

impl GroupState {
    /// Returns an item for each open incident whose last mail is older than the reminder interval, the oldest first.
    pub(super) fn reminders(&mut self, silences: &Silences, now: SystemTime) -> Vec<Item> {
        let Some(time) = self.policy.remind else { return Vec::new() };
        if !self.remind_at.is_some_and(|at| is_due(at, now)) {
            return Vec::new();
        }
        let can_remind = |id: &TargetId, target: &Target| {
            let state = &target.state;
            let is_reported = state.thread.is_some() && state.held.is_none();
            is_reported && state.health == Health::Down && !target.is_flapping() && !silences.is_silenced(id)
        };
        let reported = self.targets.iter().filter(|(id, target)| can_remind(id, target));
        let open: Vec<&OpenIncident> =
            reported.filter_map(|(_, target)| target.state.open_incident.as_ref()).collect();
        let is_old = |incident: &OpenIncident, time| has_elapsed(incident.notified_at, time, now);
        let is_any_due = open.iter().any(|incident| is_old(incident, time));
        // Incidents that are due within half an interval share the mail.
        let (due, others): (Vec<&OpenIncident>, Vec<&OpenIncident>) =
            open.into_iter().partition(|incident| is_any_due && is_old(incident, time / 2));
        let item = |open_incident: &OpenIncident| Item {
            incident: Some(open_incident.incident.clone()),
            ..Item::of(open_incident.first_event.clone())
        };
        let mut items: Vec<Item> = due.into_iter().map(item).collect();
        items.sort_unstable_by_key(|item| item.first);
        let next = others.into_iter().filter_map(|incident| incident.notified_at.checked_add(time)).min();
        // A silenced or flapping target may be due later: it is looked at again after one interval.
        let has_open = self.targets.values().any(|target| target.state.open_incident.is_some());
        self.remind_at = earliest(next, now.checked_add(time)).filter(|_| has_open);
        items
    }
}
