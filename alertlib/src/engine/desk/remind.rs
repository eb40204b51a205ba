// SPDX-License-Identifier: MIT OR Apache-2.0
//! Reminders: what is down is still down.

use super::mail::sort;
use super::{Desk, earliest, has_come};
use crate::engine::outgoing::Item;
use crate::engine::silence::Silences;
use crate::engine::subject::{Name, Subject, Trouble, is_over};
use crate::event::Health;
use std::time::SystemTime;

impl Desk {
    /// The troubles of which nothing was said for long.
    pub(super) fn reminders(&mut self, silences: &Silences, now: SystemTime) -> Vec<Item> {
        let Some(time) = self.policy.remind.filter(|_| self.remind.is_some_and(|due| has_come(due, now)))
        else {
            return Vec::new();
        };
        let lasts = |name: &Name, subject: &Subject| {
            let is_told = subject.thread.is_some() && subject.waiting.is_none();
            is_told && subject.health == Health::Down && !subject.flaps() && !silences.cover(name)
        };
        let lasting = self.subjects.iter().filter(|(name, subject)| lasts(name, subject));
        let troubles: Vec<&Trouble> = lasting.filter_map(|(_, subject)| subject.trouble.as_ref()).collect();
        // Those that would be due soon go with those that are.
        let is_due = |trouble: &&&Trouble, time| is_over(trouble.told, time, now);
        let mut items: Vec<Item> = Vec::new();
        if troubles.iter().any(|trouble| is_due(&trouble, time)) {
            let due = troubles.iter().filter(|trouble| is_due(trouble, time / 2));
            let item = |trouble: &&Trouble| Item {
                incident: Some(trouble.incident.clone()),
                ..Item::of(trouble.begin.clone())
            };
            items = due.map(item).collect();
            sort(&mut items);
        }
        let rest = troubles.iter().filter(|trouble| !is_due(trouble, time / 2) || items.is_empty());
        let next = rest.filter_map(|trouble| trouble.told.checked_add(time)).min();
        let again = now.checked_add(time);
        // One that is silent or flaps may be due later: look again after the same time.
        self.remind = if self.subjects.values().any(|subject| subject.trouble.is_some()) {
            earliest(next, again)
        } else {
            None
        };
        items
    }
}
