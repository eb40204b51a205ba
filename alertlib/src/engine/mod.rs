// SPDX-License-Identifier: MIT OR Apache-2.0
//! Events in, mails out: who is told what, and when. Pure: no I/O, no threads, the clock comes in.
//!
//! An event goes through these rooms: [`route`] says which audiences it is for; each has a [`group`], which tracks its servers
//! and backends as [`target`]s (incident, flapping, thread). What is told is news that waits for the next mail ([`digest`]);
//! what somebody wants to be quiet about ([`silence`]), and what is_flapping, waits for the end of that. [`snapshot`] is what the next
//! process has to know.

mod group;
mod group_timer;
#[cfg(test)]
mod properties;
mod route;
mod silence;
mod snapshot;
mod target;

pub use silence::{LONGEST as LONGEST_SILENCE, Silence};
pub use snapshot::{Snapshot, TargetSnapshot};
pub use target::{Flapping, Held, HeldBy, OpenIncident, TargetId, Thread};

use crate::event::Event;
use crate::notification::Notification;
use crate::settings::{Policy, Recipient, ResolvedRoute};
use group::{GroupState, MailContext};
use route::Audience;
use silence::Silences;
use std::sync::Arc;
use std::time::SystemTime;

/// Decides which events become which mails.
pub struct Engine {
    groups: Vec<GroupState>,
    host: String,
    silences: Silences,
    /// The next process does not know them yet.
    has_new_silences: bool,
}

impl Engine {
    /// An engine for these routes. `host`: this machine's name, for Message-IDs.
    pub fn new(routes: &[ResolvedRoute], policy: Policy, host: &str) -> Self {
        let group = |audience| GroupState::new(audience, policy);
        Engine {
            groups: Audience::all_of(routes).into_iter().map(group).collect(),
            host: host.to_owned(),
            silences: Silences::default(),
            has_new_silences: false,
        }
    }

    /// Who is told together, by number.
    pub fn audiences(&self) -> Vec<Vec<Recipient>> {
        self.groups.iter().map(|group| group.audience().to.clone()).collect()
    }

    /// Of each audience: does nothing wait to be told that would be lost with this process?
    pub fn is_flushed(&self) -> impl Iterator<Item = bool> {
        self.groups.iter().map(|group| !group.has_pending() && group.is_clean())
    }

    /// Until when whatever comes now waits for a digest, if it is not urgent; `None`: something may be mailed at once.
    pub fn next_send_at(&self, now: SystemTime) -> Option<SystemTime> {
        let all: Option<Vec<SystemTime>> = self.groups.iter().map(|group| group.next_send_at(now)).collect();
        all?.into_iter().min()
    }

    /// The mails that the events of one change mean at the time `now`: one an audience, and one copy a recipient.
    ///
    /// `id`: letters, digits, `.` and `-` that nothing else of any process on this host has.
    pub fn handle(&mut self, events: Vec<Event>, id: &str, now: SystemTime) -> Vec<Notification> {
        for event in events.into_iter().map(Arc::new) {
            self.groups.iter_mut().for_each(|group| group.handle(&event, &self.silences, now));
        }
        self.each(id, now, |group, _, context| group.mails(false, context))
    }

    /// The same for what the process `from` had accepted, and for the audiences that it had not told. What has become of it
    /// meanwhile is to be found out: see [`Engine::unconfirmed_targets`].
    pub fn take_over(
        &mut self,
        from: &str,
        is_for: impl Fn(&[Recipient]) -> bool,
        events: Vec<Event>,
        id: &str,
        now: SystemTime,
    ) -> Vec<Notification> {
        let from: Arc<str> = from.into();
        let events: Vec<Arc<Event>> = events.into_iter().map(Arc::new).collect();
        for group in self.groups.iter_mut().filter(|group| is_for(&group.audience().to)) {
            for event in &events {
                group.handle(event, &self.silences, now);
                group.mark_unconfirmed(&TargetId::of(event), &from);
            }
        }
        self.each(id, now, |group, _, context| group.mails(false, context))
    }

    /// The same for what answers one of [`Engine::unconfirmed_targets`].
    pub fn confirm(&mut self, event: Event, id: &str, now: SystemTime) -> Vec<Notification> {
        let (name, event) = (TargetId::of(&event), Arc::new(event));
        for group in &mut self.groups {
            if group.is_unconfirmed(&name) {
                group.handle(&event, &self.silences, now);
            }
        }
        self.each(id, now, |group, _, context| group.mails(false, context))
    }

    /// Tells in the next mail that `count` more events were dropped.
    pub fn dropped(&mut self, count: u64) {
        self.groups.iter_mut().for_each(|group| group.dropped(count));
    }

    /// Tells in the next mail that this one was dropped, and what it was to tell of others.
    pub fn lost(&mut self, mail: &Notification) {
        self.dropped(mail.dropped.saturating_add(1));
    }

    /// From now until its end nothing is told of what the silence is for; false: there are too many already.
    pub fn silence(&mut self, silence: Silence) -> bool {
        self.has_new_silences = true;
        self.silences.add(silence)
    }

    /// The silences that have not ended.
    pub fn silences(&self) -> &[Silence] {
        self.silences.all()
    }

    /// When [`Engine::on_timer`] is to be called, at the latest.
    pub fn due(&self) -> Option<SystemTime> {
        self.groups.iter().filter_map(GroupState::due).chain(self.silences.end()).min()
    }

    /// The mails that the time brings: digests, ends of flapping and of silences, reminders. `id`: as for [`Engine::handle`].
    pub fn on_timer(&mut self, id: &str, now: SystemTime) -> Vec<Notification> {
        let over = self.silences.over(now);
        self.has_new_silences |= !over.is_empty();
        self.each(id, now, |group, silences, context| group.on_timer(silences, &over, context))
    }

    /// What waits for the next mail: nothing must be held any longer.
    pub fn flush_groups(&mut self, id: &str, now: SystemTime) -> Vec<Notification> {
        self.each(id, now, |group, _, context| {
            let mails = group.mails(true, context);
            group.flush_dirty(None);
            mails
        })
    }

    /// Everything that waits, whatever for: the process ends, and there will be no other.
    pub fn flush_all(&mut self, id: &str, now: SystemTime) -> Vec<Notification> {
        self.each(id, now, |group, _, context| {
            let mails = group.flush_all(context);
            group.flush_dirty(None);
            mails
        })
    }

    fn each(
        &mut self,
        id: &str,
        now: SystemTime,
        mut mails: impl FnMut(&mut GroupState, &Silences, MailContext) -> Vec<Notification>,
    ) -> Vec<Notification> {
        let (host, silences) = (&self.host, &self.silences);
        let groups = self.groups.iter_mut().enumerate();
        groups
            .flat_map(|(number, group)| {
                let mails = mails(group, silences, MailContext { id, group: number, host, now });
                // What is told must not come again because something else waits.
                group.flush_dirty(Some(now).filter(|_| mails.is_empty()));
                mails
            })
            .collect()
    }

    /// What the next process has to know, if that is not what it was the last time.
    pub fn take_snapshot(&mut self) -> Option<Snapshot> {
        // All of them are asked: the answer is given once.
        let changed =
            self.groups.iter_mut().filter_map(|group| group.has_changed().then_some(())).count() > 0;
        let changed = std::mem::take(&mut self.has_new_silences) || changed;
        changed.then(|| {
            let addresses =
                |group: &GroupState| group.audience().to.iter().map(|to| to.address.clone()).collect();
            let silences = self.silences.all().to_vec();
            Snapshot {
                silences,
                audiences: self.groups.iter().map(|group| (addresses(group), group.known())).collect(),
            }
        })
    }

    /// Nobody will ever ask for [`Engine::take_snapshot`]. To be said before anything else.
    pub fn disable_snapshots(&mut self) {
        self.groups.iter_mut().for_each(GroupState::disable_snapshots);
    }

    /// The next process could not be told: later.
    pub fn retry_snapshot(&mut self) {
        self.groups.iter_mut().for_each(GroupState::retry_snapshot);
    }

    /// Takes over what the process `from` knew. What became of it meanwhile is to be found out: see [`Engine::unconfirmed_targets`].
    pub fn inherit(&mut self, snapshot: &Snapshot, from: &str, now: SystemTime) {
        let from: Arc<str> = from.into();
        for silence in &snapshot.silences {
            // One that is over is told of, too.
            let is_new = !self.silences.all().contains(silence);
            self.has_new_silences |= is_new && self.silences.add(silence.clone());
        }
        for group in &mut self.groups {
            let mine =
                snapshot.audiences.iter().filter(|(to, _)| to.iter().any(|to| group.audience().has(to)));
            let known: Vec<TargetSnapshot> = mine.flat_map(|(_, known)| known.iter().cloned()).collect();
            group.inherit(known, &self.silences, &from, now);
        }
    }

    /// How many [`Engine::unconfirmed_targets`] there are, or fewer: some may be asked for several audiences.
    pub fn unconfirmed_count(&self) -> usize {
        self.groups.iter().map(GroupState::unconfirmed_count).sum()
    }

    /// The servers and backends of which one has to find out what they are now.
    pub fn unconfirmed_targets(&self) -> Vec<TargetId> {
        let mut all: Vec<&TargetId> = self.groups.iter().flat_map(GroupState::unconfirmed).collect();
        all.sort_unstable();
        all.dedup();
        all.into_iter().cloned().collect()
    }
}
