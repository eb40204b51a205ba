// SPDX-License-Identifier: MIT OR Apache-2.0
//! Engine: events go in, notifications come out. It decides which recipients get a mail, about which events, and when. It does
//! no I/O and starts no thread; the caller passes the current time.
//!
//! An audience is a set of recipients with the same routes ([`route`]). Each audience has one [`group`], which tracks servers
//! and backends as [`target`]s (incident, flapping, thread). An event that a mail has to report becomes an item. The group
//! holds the item until its next mail ([`group_timer`]), until its target stops flapping, or until a [`silence`] ends.
//! [`snapshot`] is the state that the next process needs.

mod group;
mod group_timer;
#[cfg(test)]
mod properties;
mod route;
mod silence;
mod snapshot;
mod target;
mod target_id;

pub use silence::{MAX_LENGTH as MAX_SILENCE_LENGTH, Silence};
pub use snapshot::{Flapping, Held, HeldBy, OpenIncident, Snapshot, TargetSnapshot, Thread};
pub use target_id::TargetId;

use crate::event::Event;
use crate::notification::Notification;
use crate::settings::{Policy, Recipient, ResolvedRoute};
use group::{GroupState, Mails};
use route::Audience;
use silence::Silences;
use std::sync::Arc;
use std::time::SystemTime;

/// Turns events into notifications.
pub struct Engine {
    groups: Vec<GroupState>,
    host: String,
    silences: Silences,
    /// The state has changed since the last snapshot, beside what the groups know themselves.
    has_changed: bool,
}

impl Engine {
    /// Returns an engine for these routes. `host`: this machine's name, for Message-IDs.
    pub fn new(routes: &[ResolvedRoute], policy: Policy, host: &str) -> Self {
        let group = |audience| GroupState::new(audience, policy);
        Engine {
            groups: Audience::all_of(routes).into_iter().map(group).collect(),
            host: host.to_owned(),
            silences: Silences::default(),
            has_changed: false,
        }
    }

    /// Returns the recipients of each audience. The index of an audience is its group's number.
    pub fn audiences(&self) -> Vec<Vec<Recipient>> {
        self.groups.iter().map(|group| group.audience.to.clone()).collect()
    }

    /// Returns for each audience whether the death of this process would lose none of its items: none waits for the next mail,
    /// and the snapshot has all others.
    pub fn is_flushed(&self) -> impl Iterator<Item = bool> {
        self.groups.iter().map(|group| !group.has_pending() && group.is_clean())
    }

    /// Returns the time until which every group holds further events back, unless they are urgent; `None`: at least one group
    /// would send at once.
    pub fn next_send_at(&self, now: SystemTime) -> Option<SystemTime> {
        let all: Option<Vec<SystemTime>> = self.groups.iter().map(|group| group.next_send_at(now)).collect();
        all?.into_iter().min()
    }

    /// Handles the events of one change and returns the notifications that are due: one copy for each recipient.
    ///
    /// `mail_id`: part of the Message-IDs. Letters, digits, `.` and `-`; unique among all calls of all processes of this host.
    pub fn handle(&mut self, events: Vec<Event>, mail_id: &str, now: SystemTime) -> Vec<Notification> {
        for event in events.into_iter().map(Arc::new) {
            self.groups.iter_mut().for_each(|group| group.handle(&event, &self.silences, now));
        }
        self.each(mail_id, now, |group, _, mails| group.send_pending(false, mails))
    }

    /// Handles events that the process with the token `from` had accepted, for the audiences that it had not notified yet
    /// (`is_for`). Open incidents of their targets become unconfirmed: see [`Engine::unconfirmed_targets`].
    pub fn take_over(
        &mut self,
        from: &str,
        is_for: impl Fn(&[Recipient]) -> bool,
        events: Vec<Event>,
        mail_id: &str,
        now: SystemTime,
    ) -> Vec<Notification> {
        let from: Arc<str> = from.into();
        let events: Vec<Arc<Event>> = events.into_iter().map(Arc::new).collect();
        for group in self.groups.iter_mut().filter(|group| is_for(&group.audience.to)) {
            for event in &events {
                group.handle(event, &self.silences, now);
                group.mark_unconfirmed(&TargetId::of(event), &from);
            }
        }
        self.each(mail_id, now, |group, _, mails| group.send_pending(false, mails))
    }

    /// Handles a report of the present state of one of [`Engine::unconfirmed_targets`].
    pub fn confirm(&mut self, event: Event, mail_id: &str, now: SystemTime) -> Vec<Notification> {
        let (target, event) = (TargetId::of(&event), Arc::new(event));
        for group in &mut self.groups {
            if group.is_unconfirmed(&target) {
                group.handle(&event, &self.silences, now);
            }
        }
        self.each(mail_id, now, |group, _, mails| group.send_pending(false, mails))
    }

    /// Counts dropped events; each audience's next mail reports their number.
    pub fn count_dropped(&mut self, count: u64) {
        for group in &mut self.groups {
            group.dropped = group.dropped.saturating_add(count);
        }
    }

    /// Counts a notification that was lost, together with the dropped events that it should have reported.
    pub fn count_lost(&mut self, notification: &Notification) {
        self.count_dropped(notification.dropped.saturating_add(1));
    }

    /// Adds a silence. Returns false if there are too many already.
    pub fn add_silence(&mut self, silence: Silence) -> bool {
        self.has_changed = true;
        self.silences.add(silence)
    }

    /// Silences that have not ended.
    pub fn silences(&self) -> &[Silence] {
        self.silences.all()
    }

    /// Returns the time at which [`Engine::on_timer`] must be called at the latest; `None`: nothing waits for a time.
    pub fn due(&self) -> Option<SystemTime> {
        self.groups.iter().filter_map(GroupState::due).chain(self.silences.next_end()).min()
    }

    /// Returns the notifications that are due at `now`: digests, ends of flapping and of silences, reminders. `mail_id`: as for
    /// [`Engine::handle`].
    pub fn on_timer(&mut self, mail_id: &str, now: SystemTime) -> Vec<Notification> {
        let ended = self.silences.take_ended(now);
        self.has_changed |= !ended.is_empty();
        self.each(mail_id, now, |group, silences, mails| group.on_timer(silences, &ended, mails))
    }

    /// Returns notifications with all items that wait for their group's next mail. Items held by flapping or a silence stay
    /// held; they are in the snapshot.
    pub fn flush_groups(&mut self, mail_id: &str, now: SystemTime) -> Vec<Notification> {
        self.each(mail_id, now, |group, _, mails| group.send_pending(true, mails))
    }

    /// Returns notifications with all held items, whatever holds them. For a process that ends without a spool: no other
    /// process will send them.
    pub fn flush_all(&mut self, mail_id: &str, now: SystemTime) -> Vec<Notification> {
        self.each(mail_id, now, |group, _, mails| group.flush_all(mails))
    }

    /// Calls `run` with each group and returns the notifications of all.
    fn each(
        &mut self,
        mail_id: &str,
        now: SystemTime,
        mut run: impl FnMut(&mut GroupState, &Silences, &mut Mails),
    ) -> Vec<Notification> {
        let mut all = Vec::new();
        for (number, group) in self.groups.iter_mut().enumerate() {
            let mut mails = Mails { mail_id, group: number, host: &self.host, now, made: Vec::new() };
            run(group, &self.silences, &mut mails);
            // If a notification goes out, the snapshot is updated at once: the next process must not send its items again.
            group.flush_dirty(Some(now).filter(|_| mails.made.is_empty()));
            all.extend(mails.made);
        }
        all
    }

    /// Returns the state for the next process, if it has changed since the last call.
    pub fn take_snapshot(&mut self) -> Option<Snapshot> {
        for group in &mut self.groups {
            self.has_changed |= group.take_change();
        }
        std::mem::take(&mut self.has_changed).then(|| {
            let addresses =
                |group: &GroupState| group.audience.to.iter().map(|to| to.address.clone()).collect();
            Snapshot {
                silences: self.silences.all().to_vec(),
                audiences: self.groups.iter().map(|group| (addresses(group), group.snapshots())).collect(),
            }
        })
    }

    /// Keeps no state for a next process: [`Engine::take_snapshot`] is never called. Must be called before any event is handled.
    pub fn disable_snapshots(&mut self) {
        self.groups.iter_mut().for_each(GroupState::disable_snapshots);
    }

    /// Makes [`Engine::take_snapshot`] return the state again, after the last snapshot could not be written.
    pub fn retry_snapshot(&mut self) {
        self.has_changed = true;
    }

    /// Restores the snapshot of the process with the token `from`. Its targets become unconfirmed: see
    /// [`Engine::unconfirmed_targets`].
    pub fn inherit(&mut self, snapshot: &Snapshot, from: &str, now: SystemTime) {
        let from: Arc<str> = from.into();
        for silence in &snapshot.silences {
            // A silence that has ended meanwhile is added too: its end is reported as usual.
            if !self.silences.all().contains(silence) {
                self.silences.add(silence.clone());
            }
        }
        self.has_changed = true;
        for group in &mut self.groups {
            let mine = snapshot.audiences.iter().filter(|(to, _)| to.iter().any(|to| group.audience.has(to)));
            let snapshots: Vec<TargetSnapshot> =
                mine.flat_map(|(_, targets)| targets.iter().cloned()).collect();
            group.inherit(snapshots, &self.silences, &from, now);
        }
    }

    /// Returns the number of unconfirmed targets, summed over the groups: at least that of [`Engine::unconfirmed_targets`],
    /// which has a target of several groups once.
    pub fn unconfirmed_count(&self) -> usize {
        self.groups.iter().map(|group| group.unconfirmed_count).sum()
    }

    /// Returns the targets with an inherited state that no event of this process has confirmed or changed, sorted, each once.
    /// The caller reports their present state to [`Engine::confirm`].
    pub fn unconfirmed_targets(&self) -> Vec<TargetId> {
        let mut all: Vec<&TargetId> = self.groups.iter().flat_map(GroupState::unconfirmed).collect();
        all.sort_unstable();
        all.dedup();
        all.into_iter().cloned().collect()
    }
}
