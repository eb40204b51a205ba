// SPDX-License-Identifier: MIT OR Apache-2.0
//! The group of one audience: state of its targets, items that wait for the next mail, and the notifications made of them.

mod notify;
mod remind;

use crate::engine::group_timer::GroupTimer;
use crate::engine::route::Audience;
use crate::engine::silence::{Silence, Silences};
use crate::engine::snapshot::{Held, HeldBy, TargetSnapshot};
use crate::engine::target::{Target, has_elapsed};
use crate::engine::target_id::TargetId;
use crate::event::{Event, Kind};
use crate::notification::{Item, Notification, Trigger};
use crate::settings::Policy;
use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

/// Targets that a group tracks at most. A full group evicts idle targets; if none is idle, it only counts the changes of
/// further targets.
pub const MAX_TARGETS: usize = 10_000;
/// Shortest time between two searches for idle targets in a full group.
const EVICTION_INTERVAL: Duration = Duration::from_secs(1);
/// Shortest time between two updates of the snapshot for items held by flapping or a silence.
const FLUSH_INTERVAL: Duration = Duration::from_secs(1);

/// The group of one audience.
#[derive(Default)]
pub struct GroupState {
    /// Recipients of the group's mails.
    pub audience: Audience,
    policy: Policy,
    /// Targets in boxes: a growing table copies all of its entries.
    targets: HashMap<Arc<TargetId>, Box<Target>>,
    /// Targets with an item for the next mail, in the order of their events. The item of some may be sent already.
    pending: Vec<Arc<TargetId>>,
    timer: GroupTimer,
    /// Lower bound of the next end of flapping.
    flapping_ends_at: Option<SystemTime>,
    /// Lower bound of the next reminder.
    remind_at: Option<SystemTime>,
    /// Changes that the next mail counts without naming them.
    unnamed: u64,
    /// Dropped events. The next mail reports their number only: nothing else is known of them.
    pub dropped: u64,
    /// Number of targets with [`Target::inherited_from`].
    pub unconfirmed_count: usize,
    /// Time of the last eviction that left the group full.
    full_since: Option<SystemTime>,
    snapshot: SnapshotState,
}

/// State of a group's part of the snapshot.
#[derive(Default)]
struct SnapshotState {
    /// No other process will read the snapshot.
    is_disabled: bool,
    /// The snapshot has changed since it was taken last.
    has_changed: bool,
    /// Targets whose snapshot the next [`GroupState::flush_dirty`] updates.
    dirty: HashSet<Arc<TargetId>>,
    flushed_at: Option<SystemTime>,
}

impl SnapshotState {
    /// Updates the target's snapshot.
    fn mark_dirty(&mut self, target: &mut Target) {
        self.has_changed |= !self.is_disabled && target.update_snapshot();
    }

    /// Leaves the update of the target's snapshot to the next [`GroupState::flush_dirty`].
    fn mark_dirty_later(&mut self, id: Arc<TargetId>) {
        if !self.is_disabled {
            self.dirty.insert(id);
        }
    }
}

/// The notifications that one call of the engine makes for one group, with what they have in common.
pub struct Mails<'a> {
    /// Part of the Message-IDs that is unique to the call.
    pub mail_id: &'a str,
    /// Number of the group.
    pub group: usize,
    /// Right side of the Message-IDs.
    pub host: &'a str,
    /// Creation time of the mails.
    pub now: SystemTime,
    /// The notifications.
    pub made: Vec<Notification>,
}

impl GroupState {
    /// Returns a group without targets.
    pub fn new(audience: Audience, policy: Policy) -> Self {
        GroupState { audience, policy, ..GroupState::default() }
    }

    /// Applies an event to its target and holds an item for a mail, if the audience's routes select the event.
    pub fn handle(&mut self, event: &Arc<Event>, silences: &Silences, now: SystemTime) {
        let audience = &self.audience;
        let is_selected = audience.sender(event).is_some();
        let (wants_begin, wants_end) = (audience.wants_begin(event), audience.wants_end(event));
        let wants_health = event.kind != Kind::Check && (wants_begin || wants_end);
        let id = TargetId::of(event);
        if !is_selected && !wants_health && !self.targets.contains_key(&id) {
            return;
        }
        if !self.ensure_capacity(&id, now) {
            self.unnamed += u64::from(is_selected);
            return;
        }
        let id = Arc::new(id);
        let target = self.targets.entry(id.clone()).or_default();
        let is_duplicate = target.is_duplicate(event);
        if let Some(from) = target.inherited_from.take() {
            self.unconfirmed_count -= 1;
            self.snapshot.has_changed = true;
            target.confirmation = is_duplicate.then(|| (from, event.clone()));
        }
        if is_duplicate {
            return;
        }
        let transition = target.apply(event, self.policy.flap, now);
        // Two events are reported whatever their kind: the end of a reported incident, and the begin of an incident that comes
        // without a `down` event.
        let is_reported = is_selected
            || transition.ends && wants_end && target.state.thread.is_some()
            || transition.begins && wants_begin
            || transition.starts_flapping && wants_health
            || target.state.held.is_some();
        let is_pending = target.state.held.as_ref().is_some_and(|held| held.held_by == HeldBy::Group);
        let waits_for_end =
            target.is_flapping() && !transition.starts_flapping && !is_pending && wants_health;
        let held_by = held_by(&id, silences, waits_for_end);
        let flapping_until = self.policy.flap.and_then(|flap| target.flapping_until(flap));
        self.flapping_ends_at = earliest(self.flapping_ends_at, flapping_until);
        if transition.begins {
            let reminder = self.policy.remind.and_then(|time| now.checked_add(time));
            self.remind_at = earliest(self.remind_at, reminder);
        }
        if !is_reported && held_by != HeldBy::Flapping {
            self.snapshot.mark_dirty(target);
            return;
        }
        if event.kind == Kind::BackendDown && held_by == HeldBy::Group {
            self.timer.mark_urgent(now);
        }
        if target.hold(event.clone(), transition, held_by) && held_by == HeldBy::Group {
            self.pending.push(id);
        } else if held_by != HeldBy::Group {
            self.snapshot.mark_dirty_later(id);
        }
    }

    /// Writes items held by flapping or a silence to the snapshot. Does so at most once in [`FLUSH_INTERVAL`] (`None`: at once),
    /// and only while no item waits for the next mail: until that mail is made, the next process reads the events again.
    pub fn flush_dirty(&mut self, now: Option<SystemTime>) {
        let flushed_at = self.snapshot.flushed_at;
        let is_recent =
            |now| flushed_at.is_some_and(|flushed_at| !has_elapsed(flushed_at, FLUSH_INTERVAL, now));
        if self.snapshot.dirty.is_empty() || self.has_pending() || now.is_some_and(is_recent) {
            return;
        }
        for id in std::mem::take(&mut self.snapshot.dirty) {
            if let Some(target) = self.targets.get_mut(&id) {
                self.snapshot.mark_dirty(target);
            }
        }
        self.snapshot.flushed_at = now.or(self.snapshot.flushed_at);
    }

    /// Returns true if the snapshot has every item that is held by flapping or a silence.
    pub fn is_clean(&self) -> bool {
        self.snapshot.dirty.is_empty()
    }

    /// Returns true if an item waits for the next mail.
    pub fn has_pending(&self) -> bool {
        !self.pending.is_empty()
    }

    /// Length of the digest; zero if there is none.
    fn digest(&self) -> Duration {
        self.policy.digest.unwrap_or_default()
    }

    /// Returns the time until which new items are held back; `None`: they would be sent at once.
    pub fn next_send_at(&self, now: SystemTime) -> Option<SystemTime> {
        if self.timer.can_send(self.digest(), now) { None } else { self.timer.next_send_at(self.digest()) }
    }

    /// Makes a notification of the pending items, or one of each if there is no digest, if they may be sent now. `all`: sends them
    /// even before the digest ends, and updates the snapshot.
    pub fn send_pending(&mut self, all: bool, mails: &mut Mails) {
        if self.has_pending() && (all || self.timer.can_send(self.digest(), mails.now)) {
            let mut items = Vec::new();
            for id in std::mem::take(&mut self.pending) {
                let Some(target) = self.targets.get_mut(&id) else { continue };
                let held = target.state.held.take_if(|held| held.held_by == HeldBy::Group);
                items.extend(held.map(|held| held.item));
            }
            if !items.is_empty() {
                self.timer.record_send(mails.now);
            }
            match self.policy.digest {
                Some(_) => self.notify(Trigger::Changes, items, mails),
                None => items.into_iter().for_each(|item| self.notify(Trigger::Changes, vec![item], mails)),
            }
        }
        if all {
            self.flush_dirty(None);
        }
    }

    /// Returns the time at which [`GroupState::on_timer`] must be called.
    pub fn due(&self) -> Option<SystemTime> {
        let digest = if self.has_pending() { self.timer.next_send_at(self.digest()) } else { None };
        let flushed_at = self.snapshot.flushed_at.filter(|_| !self.is_clean() && !self.has_pending());
        let flush = flushed_at.and_then(|flushed_at| flushed_at.checked_add(FLUSH_INTERVAL));
        [digest, self.flapping_ends_at, self.remind_at, flush].into_iter().flatten().min()
    }

    /// Makes the notifications that are due: digest, ends of flapping, reminders, ends of silences. `ended`: silences that have
    /// ended and are no longer in `silences`.
    pub fn on_timer(&mut self, silences: &Silences, ended: &[Silence], mails: &mut Mails) {
        self.end_flapping(silences, mails.now);
        let ended: Vec<(&Silence, Vec<Item>)> =
            ended.iter().map(|silence| (silence, self.end_silence(silence, silences))).collect();
        // The end of a silence also sends all pending items: while one is pending, the snapshot is not updated, and the next
        // process would report the end of the silence again.
        let all = ended.iter().any(|(_, items)| !items.is_empty());
        self.send_pending(all, mails);
        let items = self.reminders(silences, mails.now);
        self.notify(Trigger::Reminder, items, mails);
        for (silence, items) in ended {
            let (pattern, reason) = (silence.pattern.to_string(), silence.reason.clone());
            self.notify(Trigger::Silence { pattern, reason }, items, mails);
        }
    }

    /// Ends the flapping of stable targets; each gets an item for the next mail, or for the end of its silence.
    fn end_flapping(&mut self, silences: &Silences, now: SystemTime) {
        let Some(flap) = self.policy.flap else { return };
        if !self.flapping_ends_at.is_some_and(|end| is_due(end, now)) {
            return;
        }
        let mut stable: Vec<(SystemTime, Arc<TargetId>)> = Vec::new();
        self.flapping_ends_at = None;
        for (id, target) in &mut self.targets {
            if let Some(item) = target.end_flapping(flap, now) {
                stable.push((item.event.when, id.clone()));
                target.state.held = Some(Held { item, held_by: held_by(id, silences, false) });
            }
            self.flapping_ends_at = earliest(self.flapping_ends_at, target.flapping_until(flap));
        }
        stable.sort_unstable();
        self.pending.extend(stable.into_iter().map(|(_, id)| id));
    }

    /// Takes the items that the ended silence has held, unless one of `active` covers their targets, too.
    fn end_silence(&mut self, silence: &Silence, active: &Silences) -> Vec<Item> {
        let mut items = Vec::new();
        for (id, target) in &mut self.targets {
            let is_released = silence.covers(id) && !active.is_silenced(id);
            let held = target.state.held.take_if(|held| is_released && held.held_by == HeldBy::Silence);
            items.extend(held.map(|held| held.item));
        }
        items.sort_unstable_by_key(|item| item.first);
        items
    }

    /// Makes notifications of all held items, whatever holds them: no other process will send them.
    pub fn flush_all(&mut self, mails: &mut Mails) {
        let mut released: Vec<(SystemTime, Arc<TargetId>)> = Vec::new();
        for (id, target) in &mut self.targets {
            if let Some(held) = target.state.held.as_mut().filter(|held| held.held_by != HeldBy::Group) {
                held.held_by = HeldBy::Group;
                released.push((held.item.first, id.clone()));
            }
        }
        released.sort_unstable();
        self.pending.extend(released.into_iter().map(|(_, id)| id));
        self.send_pending(true, mails);
    }

    /// Returns true if the target is tracked or can be; evicts idle targets from a full group.
    fn ensure_capacity(&mut self, id: &TargetId, now: SystemTime) -> bool {
        if self.targets.len() < MAX_TARGETS || self.targets.contains_key(id) {
            return true;
        }
        if self.full_since.is_some_and(|since| !has_elapsed(since, EVICTION_INTERVAL, now)) {
            return false;
        }
        let flap = self.policy.flap;
        self.targets.retain(|_, target| !(target.is_idle() && target.is_stable(flap, now)));
        if self.targets.len() >= MAX_TARGETS {
            self.targets.retain(|_, target| !target.is_idle());
        }
        self.full_since = (self.targets.len() >= MAX_TARGETS).then_some(now);
        self.full_since.is_none()
    }

    /// Returns the group's part of the snapshot: incidents that were reported to the audience and whose end was not, and items
    /// held by flapping or a silence.
    pub fn snapshots(&self) -> Vec<TargetSnapshot> {
        self.targets.values().filter_map(|target| target.snapshot.as_deref().cloned()).collect()
    }

    /// Keeps no snapshot. Must be called before any event is handled.
    pub fn disable_snapshots(&mut self) {
        self.snapshot.is_disabled = true;
    }

    /// Returns true if [`GroupState::snapshots`] has changed since the last call, and resets this mark.
    pub fn take_change(&mut self) -> bool {
        std::mem::take(&mut self.snapshot.has_changed)
    }

    /// Restores the targets of this audience from the snapshot of the process `from`. May be called again while that process
    /// still runs: targets that are missing in the new snapshot are dropped.
    pub fn inherit(
        &mut self,
        snapshots: Vec<TargetSnapshot>,
        silences: &Silences,
        from: &Arc<str>,
        now: SystemTime,
    ) {
        let ids: HashSet<TargetId> = snapshots.iter().filter_map(TargetSnapshot::target).collect();
        let mut events: Vec<Arc<Event>> = Vec::new();
        self.targets.retain(|id, target| {
            if ids.contains(&**id) {
                return true;
            }
            // The process still runs and has reported the end of the incident meanwhile. An event that only confirmed the
            // inherited incident therefore begins a new one: it is handled again.
            let confirmation = target.confirmation.take_if(|(by, _)| by == from);
            let is_dropped = confirmation.is_some() || target.inherited_from.as_ref() == Some(from);
            events.extend(confirmation.map(|(_, event)| event));
            !is_dropped
        });
        for snapshot in snapshots {
            let Some(id) = snapshot.target().map(Arc::new) else { continue };
            if self.targets.contains_key(&id) || !self.ensure_capacity(&id, now) {
                continue;
            }
            let mut target = Target::from_snapshot(snapshot, &id, from.clone());
            target.state.flapping.take_if(|_| self.policy.flap.is_none());
            // If neither a silence nor flapping holds the item any longer, the next mail has it.
            let held_by = held_by(&id, silences, target.is_flapping());
            if let Some(held) = &mut target.state.held {
                held.held_by = held_by;
                if held_by == HeldBy::Group {
                    self.pending.push(id.clone());
                }
            }
            self.targets.insert(id, Box::new(target));
        }
        // The next call of `on_timer` finds the right times.
        self.remind_at = self.policy.remind.map(|_| now);
        self.flapping_ends_at = self.policy.flap.map(|_| now);
        self.unconfirmed_count = self.unconfirmed().count();
        events.sort_by_key(|event| event.when);
        events.iter().for_each(|event| self.handle(event, silences, now));
    }

    /// Marks the open incident of a target, if it has one, as inherited from the process `from`.
    pub fn mark_unconfirmed(&mut self, id: &TargetId, from: &Arc<str>) {
        let target = self.targets.get_mut(id).filter(|target| target.state.open_incident.is_some());
        if let Some(target) = target.filter(|target| target.inherited_from.is_none()) {
            target.inherited_from = Some(from.clone());
            self.unconfirmed_count += 1;
        }
    }

    /// Returns true if the target's state is inherited and no event has confirmed or changed it.
    pub fn is_unconfirmed(&self, id: &TargetId) -> bool {
        self.targets.get(id).is_some_and(|target| target.inherited_from.is_some())
    }

    /// Returns the ids of the unconfirmed targets.
    pub fn unconfirmed(&self) -> impl Iterator<Item = &TargetId> {
        self.targets.iter().filter(|(_, target)| target.inherited_from.is_some()).map(|(id, _)| &**id)
    }
}

/// Returns the reason to hold back an item of this target. `is_flapping`: it would wait for the end of flapping.
fn held_by(target: &TargetId, silences: &Silences, is_flapping: bool) -> HeldBy {
    match is_flapping {
        _ if silences.is_silenced(target) => HeldBy::Silence,
        true => HeldBy::Flapping,
        false => HeldBy::Group,
    }
}

/// Returns true if `time` has come, or is more than a year ahead: the clock was set back since `time` was computed.
fn is_due(time: SystemTime, now: SystemTime) -> bool {
    const YEAR: Duration = Duration::from_secs(366 * 24 * 3600);
    time <= now || time.duration_since(now).is_ok_and(|left| left > YEAR)
}

/// Returns the earlier time; `None` stands for never.
fn earliest(one: Option<SystemTime>, other: Option<SystemTime>) -> Option<SystemTime> {
    one.into_iter().chain(other).min()
}
