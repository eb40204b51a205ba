// SPDX-License-Identifier: MIT OR Apache-2.0
//! Reminders: what is down is still down.

use super::mail::sort;
use super::{GroupState, earliest, has_come};
use crate::engine::silence::Silences;
use crate::engine::target::{OpenIncident, Target, TargetId, is_over};
use crate::event::Health;
use crate::notification::Item;
use std::time::SystemTime;

impl GroupState {
    /// The incidents of which nothing was said for long.
    pub(super) fn reminders(&mut self, silences: &Silences, now: SystemTime) -> Vec<Item> {
        let Some(time) = self.policy.remind.filter(|_| self.remind.is_some_and(|due| has_come(due, now)))
        else {
            return Vec::new();
        };
        let lasts = |name: &TargetId, target: &Target| {
            let is_told = target.thread.is_some() && target.held.is_none();
            is_told && target.health == Health::Down && !target.is_flapping() && !silences.cover(name)
        };
        let lasting = self.targets.iter().filter(|(name, target)| lasts(name, target));
        let troubles: Vec<&OpenIncident> =
            lasting.filter_map(|(_, target)| target.open_incident.as_ref()).collect();
        // Those that would be due soon go with those that are.
        let is_due = |open_incident: &&&OpenIncident, time| is_over(open_incident.told, time, now);
        let mut items: Vec<Item> = Vec::new();
        if troubles.iter().any(|open_incident| is_due(&open_incident, time)) {
            let due = troubles.iter().filter(|open_incident| is_due(open_incident, time / 2));
            let item = |open_incident: &&OpenIncident| Item {
                incident: Some(open_incident.incident.clone()),
                ..Item::of(open_incident.begin.clone())
            };
            items = due.map(item).collect();
            sort(&mut items);
        }
        let rest =
            troubles.iter().filter(|open_incident| !is_due(open_incident, time / 2) || items.is_empty());
        let next = rest.filter_map(|open_incident| open_incident.told.checked_add(time)).min();
        let again = now.checked_add(time);
        // One that is silent or is_flapping may be due later: look again after the same time.
        self.remind = if self.targets.values().any(|target| target.open_incident.is_some()) {
            earliest(next, again)
        } else {
            None
        };
        items
    }
}
