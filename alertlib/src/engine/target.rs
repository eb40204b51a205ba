// SPDX-License-Identifier: MIT OR Apache-2.0
//! State of one target (a server, or a backend as a whole) in one group: incident, flapping, thread and held item.

use super::snapshot::{Flapping, Held, HeldBy, OpenIncident, TargetSnapshot};
use super::target_id::TargetId;
use crate::event::{Event, Health, Kind};
use crate::notification::{FlapPhase, Incident, Item};
use crate::settings::Flap;
use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

/// State of a server, or of a backend as a whole.
#[derive(Debug, Clone, Default)]
pub struct Target {
    /// Kind of the latest event, if it is known.
    pub kind: Option<Kind>,
    /// State after the latest event.
    pub state: TargetSnapshot,
    /// The part of `state` that the next process needs. Without items held by the group: the next process reads their events
    /// again.
    pub snapshot: Option<Box<TargetSnapshot>>,
    /// Token of the process from which the state is inherited, until an event of this process confirms or changes it.
    pub inherited_from: Option<Arc<str>>,
    /// An event in this process that only confirmed the state inherited from the process with that token.
    pub confirmation: Option<(Arc<str>, Arc<Event>)>,
    /// Times of changes of health, the oldest first; no more than the detection of flapping needs.
    history: VecDeque<SystemTime>,
}

/// Effects of an event on a target.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Transition {
    /// An incident begins.
    pub begins: bool,
    /// An incident is resolved.
    pub ends: bool,
    /// The target begins to flap.
    pub starts_flapping: bool,
    /// The open incident, or the one that is resolved.
    pub incident: Option<Incident>,
}

impl Target {
    /// Restores the target `id` from the snapshot of the process with the token `from`.
    pub fn from_snapshot(state: TargetSnapshot, id: &TargetId, from: Arc<str>) -> Self {
        let held = state.held.as_ref().map(|held| &held.item.event);
        let last = held.or(state.flapping.as_ref().map(|flapping| &flapping.event)).map(|event| event.kind);
        // An open incident without either: its target is still down, or in maintenance.
        let down = if id.server.is_some() { Kind::Down } else { Kind::BackendDown };
        let kind = last.or((state.health == Health::Down).then_some(down));
        let snapshot = Some(Box::new(state.clone()));
        Target { kind, state, snapshot, inherited_from: Some(from), ..Target::default() }
    }

    /// Updates [`Target::snapshot`]. Called when all events of the target are sent, held, or of no interest to the audience.
    /// Returns true if the snapshot has changed.
    pub fn update_snapshot(&mut self) -> bool {
        let mut snapshot = self.state.clone();
        snapshot.held.take_if(|held| held.held_by == HeldBy::Group);
        let is_unreported = snapshot.thread.is_none() && snapshot.held.is_none();
        snapshot.open_incident.take_if(|_| is_unreported);
        let snapshot = snapshot.target().map(|_| Box::new(snapshot));
        let has_changed = self.snapshot != snapshot;
        self.snapshot = snapshot;
        has_changed
    }

    /// Returns true if the target can be evicted without loss.
    pub fn is_idle(&self) -> bool {
        self.state.open_incident.is_none()
            && self.state.held.is_none()
            && self.state.flapping.is_none()
            && self.snapshot.is_none()
    }

    /// Returns true if no change of health is recent enough to count for flapping.
    pub fn is_stable(&self, flap: Option<Flap>, now: SystemTime) -> bool {
        self.history.back().is_none_or(|last| flap.is_none_or(|flap| has_elapsed(*last, flap.time, now)))
    }

    /// Returns true while the target is flapping.
    pub fn is_flapping(&self) -> bool {
        self.state.flapping.is_some()
    }

    /// Returns true if the event repeats the known state. Two servers that change at once may both report their backend, and
    /// a new process finds the state that the old process has reported.
    pub fn is_duplicate(&self, event: &Event) -> bool {
        let is_known = is_of_health(event.kind) && self.kind == Some(event.kind);
        let is_as_bad =
            event.health != Health::Up && self.state.health == event.health && event.kind != Kind::Gone;
        is_known || self.inherited_from.is_some() && is_as_bad
    }

    /// Applies the next event. The caller passes the result to [`Target::hold`] if the event is to be sent.
    pub fn apply(&mut self, event: &Arc<Event>, flap: Option<Flap>, now: SystemTime) -> Transition {
        let mut transition = Transition::default();
        self.confirmation = None;
        (self.kind, self.state.health) = (Some(event.kind), event.health);
        if let Some(OpenIncident { incident, .. }) = &mut self.state.open_incident {
            incident.changes = incident.changes.saturating_add(1);
        } else if event.health == Health::Down {
            transition.begins = true;
            // An incident that was resolved before a mail reported it goes on: both are one incident.
            let unreported = self.state.held.as_ref().and_then(|held| held.item.incident.clone());
            let incident = match unreported {
                Some(before) => Incident { changes: before.changes.saturating_add(1), ..before },
                None => Incident { since: event.when, reason: event.short_reason().into(), changes: 1 },
            };
            self.state.open_incident =
                Some(OpenIncident { incident, first_event: event.clone(), notified_at: now });
        }
        transition.incident = self.state.open_incident.as_ref().map(|open| open.incident.clone());
        if event.health == Health::Up || event.kind == Kind::Gone {
            transition.ends = self.state.open_incident.take().is_some();
        }
        if let Some(flap) = flap.filter(|_| is_of_health(event.kind)) {
            transition.starts_flapping = self.count_change(event, flap, now);
        }
        if let Some(flapping) = &mut self.state.flapping {
            flapping.event = event.clone();
        }
        transition
    }

    /// Returns the time at which flapping ends if no further change comes; `None`: the target is not flapping.
    pub fn flapping_until(&self, flap: Flap) -> Option<SystemTime> {
        self.state.flapping.as_ref()?.last_change.checked_add(flap.time)
    }

    /// Counts a change of health. Returns true if the target begins to flap with this change.
    fn count_change(&mut self, event: &Arc<Event>, flap: Flap, now: SystemTime) -> bool {
        if let Some(flapping) = &mut self.state.flapping {
            flapping.changes = flapping.changes.saturating_add(1);
            flapping.last_change = now;
            return false;
        }
        self.history.retain(|when| !has_elapsed(*when, flap.time, now));
        self.history.push_back(now);
        if self.history.len() < flap.changes as usize {
            return false;
        }
        let since = self.history.front().copied().unwrap_or(now);
        let changes = self.history.len() as u32;
        self.state.flapping = Some(Flapping { since, changes, last_change: now, event: event.clone() });
        self.history = VecDeque::new();
        true
    }

    /// Holds the event back for the reason `held_by`, merged with the item that is held already. Returns true if no item was
    /// held for that reason before.
    pub fn hold(&mut self, event: Arc<Event>, transition: Transition, held_by: HeldBy) -> bool {
        let before = self.state.held.as_ref().map(|held| held.held_by);
        let mut item = match self.state.held.take() {
            None => Item::of(event),
            Some(Held { item, .. }) => Item { changes: item.changes.saturating_add(1), event, ..item },
        };
        item.incident = transition.incident.or(item.incident);
        if let (true, Some(flapping)) = (transition.starts_flapping, &self.state.flapping) {
            // The item may also count events that were held before the flapping and are no changes of health.
            item.flap_phase = FlapPhase::Flapping;
            item.changes = item.changes.max(flapping.changes);
            item.first = item.first.min(flapping.since);
        }
        self.state.held = Some(Held { item, held_by });
        before != Some(held_by)
    }

    /// Ends the flapping and returns the item to send, if the health has not changed for `flap.time`.
    pub fn end_flapping(&mut self, flap: Flap, now: SystemTime) -> Option<Item> {
        let has_ended = |flapping: &mut Flapping| has_elapsed(flapping.last_change, flap.time, now);
        let Flapping { since, changes, event, .. } = self.state.flapping.take_if(has_ended)?;
        let item = self.state.held.take().map_or_else(|| Item::of(event), |held| held.item);
        let (changes, first) = (item.changes.max(changes), item.first.min(since));
        Some(Item { flap_phase: FlapPhase::Stable, changes, first, ..item })
    }
}

/// Returns true for a change between usable and unusable.
fn is_of_health(kind: Kind) -> bool {
    matches!(kind, Kind::Down | Kind::Up | Kind::BackendDown | Kind::BackendUp)
}

/// Returns true if `length` has passed since `start`. Also if `start` is more than `length` ahead: the clock was set back, and
/// an early action is better than none.
pub fn has_elapsed(start: SystemTime, length: Duration, now: SystemTime) -> bool {
    match now.duration_since(start) {
        Ok(passed) => passed >= length,
        Err(ahead) => ahead.duration() > length,
    }
}
