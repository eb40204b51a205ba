// SPDX-License-Identifier: MIT OR Apache-2.0
//! Events in, mails out: who is told what, and when. Pure: no I/O, no threads, the clock comes in.
//!
//! An event goes through these rooms: [`route`] says which audiences it is for; each has a [`desk`], which tracks its servers
//! and backends as [`subject`]s (trouble, flapping, thread). What is told is news that waits for the next mail ([`digest`]);
//! what somebody wants to be quiet about ([`silence`]), and what flaps, waits for the end of that. [`memory`] is what the next
//! process has to know.

mod desk;
mod digest;
mod memory;
mod outgoing;
#[cfg(test)]
mod properties;
mod route;
mod silence;
mod subject;

pub use memory::{Known, Memory};
pub use outgoing::{About, Cause, Group, Incident, Item, MOST_REFERENCES, Note, Outgoing, groups};
pub use silence::{LONGEST as LONGEST_SILENCE, Silence};
pub use subject::{Flapping, Name, Room, Thread, Trouble, Waiting};

use crate::event::Event;
use crate::settings::{PlannedRoute, Policy, Recipient};
use desk::{Desk, Stamp};
use route::Audience;
use silence::Silences;
use std::sync::Arc;
use std::time::SystemTime;

/// Decides which events become which mails.
pub struct Engine {
    desks: Vec<Desk>,
    host: String,
    silences: Silences,
    /// The next process does not know them yet.
    has_new_silences: bool,
}

impl Engine {
    /// An engine for these routes. `host`: this machine's name, for Message-IDs.
    pub fn new(routes: &[PlannedRoute], policy: Policy, host: &str) -> Self {
        let desk = |audience| Desk::new(audience, policy);
        Engine {
            desks: Audience::all_of(routes).into_iter().map(desk).collect(),
            host: host.to_owned(),
            silences: Silences::default(),
            has_new_silences: false,
        }
    }

    /// Who is told together, by number.
    pub fn audiences(&self) -> Vec<Vec<Recipient>> {
        self.desks.iter().map(|desk| desk.audience().to.clone()).collect()
    }

    /// Of each audience: does nothing wait to be told that would be lost with this process?
    pub fn told(&self) -> impl Iterator<Item = bool> {
        self.desks.iter().map(|desk| !desk.has_news() && desk.is_settled())
    }

    /// Until when whatever comes now waits for a digest, if it is not urgent; `None`: something may be mailed at once.
    pub fn closed_until(&self, now: SystemTime) -> Option<SystemTime> {
        let all: Option<Vec<SystemTime>> = self.desks.iter().map(|desk| desk.closed_until(now)).collect();
        all?.into_iter().min()
    }

    /// The mails that the events of one change mean at the time `now`: one an audience, and one copy a recipient.
    ///
    /// `id`: letters, digits, `.` and `-` that nothing else of any process on this host has.
    pub fn take(&mut self, events: Vec<Event>, id: &str, now: SystemTime) -> Vec<Outgoing> {
        for event in events.into_iter().map(Arc::new) {
            self.desks.iter_mut().for_each(|desk| desk.take(&event, &self.silences, now));
        }
        self.each(id, now, |desk, _, stamp| desk.mails(false, stamp))
    }

    /// The same for what the process `from` had accepted, and for the audiences that it had not told. What has become of it
    /// meanwhile is to be found out: see [`Engine::questions`].
    pub fn take_over(
        &mut self,
        from: &str,
        is_for: impl Fn(&[Recipient]) -> bool,
        events: Vec<Event>,
        id: &str,
        now: SystemTime,
    ) -> Vec<Outgoing> {
        let from: Arc<str> = from.into();
        let events: Vec<Arc<Event>> = events.into_iter().map(Arc::new).collect();
        for desk in self.desks.iter_mut().filter(|desk| is_for(&desk.audience().to)) {
            for event in &events {
                desk.take(event, &self.silences, now);
                desk.doubt(&Name::of(event), &from);
            }
        }
        self.each(id, now, |desk, _, stamp| desk.mails(false, stamp))
    }

    /// The same for what answers one of [`Engine::questions`].
    pub fn answer(&mut self, event: Event, id: &str, now: SystemTime) -> Vec<Outgoing> {
        let (name, event) = (Name::of(&event), Arc::new(event));
        for desk in &mut self.desks {
            if desk.doubts(&name) {
                desk.take(&event, &self.silences, now);
            }
        }
        self.each(id, now, |desk, _, stamp| desk.mails(false, stamp))
    }

    /// Tells in the next mail that `count` more events were dropped.
    pub fn dropped(&mut self, count: u64) {
        self.desks.iter_mut().for_each(|desk| desk.dropped(count));
    }

    /// Tells in the next mail that this one was dropped, and what it was to tell of others.
    pub fn lost(&mut self, mail: &Outgoing) {
        self.dropped(mail.dropped.saturating_add(1));
    }

    /// From now until its end nothing is told of what the silence is for; false: there are too many already.
    pub fn silence(&mut self, silence: Silence) -> bool {
        self.has_new_silences = true;
        self.silences.add(silence)
    }

    /// When [`Engine::tick`] is to be called, at the latest.
    pub fn due(&self) -> Option<SystemTime> {
        self.desks.iter().filter_map(Desk::due).chain(self.silences.end()).min()
    }

    /// The mails that the time brings: digests, ends of flapping and of silences, reminders. `id`: as for [`Engine::take`].
    pub fn tick(&mut self, id: &str, now: SystemTime) -> Vec<Outgoing> {
        let over = self.silences.over(now);
        self.has_new_silences |= !over.is_empty();
        self.each(id, now, |desk, silences, stamp| desk.tick(silences, &over, stamp))
    }

    /// What waits for the next mail: nothing must be held any longer.
    pub fn give(&mut self, id: &str, now: SystemTime) -> Vec<Outgoing> {
        self.each(id, now, |desk, _, stamp| {
            let mails = desk.mails(true, stamp);
            desk.settle(None);
            mails
        })
    }

    /// Everything that waits, whatever for: the process ends, and there will be no other.
    pub fn flush(&mut self, id: &str, now: SystemTime) -> Vec<Outgoing> {
        self.each(id, now, |desk, _, stamp| {
            let mails = desk.flush(stamp);
            desk.settle(None);
            mails
        })
    }

    fn each(
        &mut self,
        id: &str,
        now: SystemTime,
        mut mails: impl FnMut(&mut Desk, &Silences, Stamp) -> Vec<Outgoing>,
    ) -> Vec<Outgoing> {
        let (host, silences) = (&self.host, &self.silences);
        let desks = self.desks.iter_mut().enumerate();
        desks
            .flat_map(|(number, desk)| {
                let mails = mails(desk, silences, Stamp { id, desk: number, host, now });
                // What is told must not come again because something else waits.
                desk.settle(Some(now).filter(|_| mails.is_empty()));
                mails
            })
            .collect()
    }

    /// What the next process has to know, if that is not what it was the last time.
    pub fn news_for_the_next(&mut self) -> Option<Memory> {
        // All of them are asked: the answer is given once.
        let changed = self.desks.iter_mut().filter_map(|desk| desk.has_changed().then_some(())).count() > 0;
        let changed = std::mem::take(&mut self.has_new_silences) || changed;
        changed.then(|| {
            let addresses = |desk: &Desk| desk.audience().to.iter().map(|to| to.address.clone()).collect();
            let silences = self.silences.all().to_vec();
            Memory {
                silences,
                audiences: self.desks.iter().map(|desk| (addresses(desk), desk.known())).collect(),
            }
        })
    }

    /// Nobody will ever ask for [`Engine::news_for_the_next`]. To be said before anything else.
    pub fn has_no_next(&mut self) {
        self.desks.iter_mut().for_each(Desk::has_no_next);
    }

    /// The next process could not be told: later.
    pub fn remember_again(&mut self) {
        self.desks.iter_mut().for_each(Desk::remember_again);
    }

    /// Takes over what the process `from` knew. What became of it meanwhile is to be found out: see [`Engine::questions`].
    pub fn inherit(&mut self, memory: &Memory, from: &str, now: SystemTime) {
        let from: Arc<str> = from.into();
        for silence in &memory.silences {
            // One that is over is told of, too.
            let is_new = !self.silences.all().contains(silence);
            self.has_new_silences |= is_new && self.silences.add(silence.clone());
        }
        for desk in &mut self.desks {
            let mine = memory.audiences.iter().filter(|(to, _)| to.iter().any(|to| desk.audience().has(to)));
            let known: Vec<Known> = mine.flat_map(|(_, known)| known.iter().cloned()).collect();
            desk.inherit(known, &self.silences, &from, now);
        }
    }

    /// How many [`Engine::questions`] there are, or fewer: some may be asked for several audiences.
    pub fn open_questions(&self) -> usize {
        self.desks.iter().map(Desk::doubts_count).sum()
    }

    /// The servers and backends of which one has to find out what they are now.
    pub fn questions(&self) -> Vec<Name> {
        let mut all: Vec<&Name> = self.desks.iter().flat_map(Desk::doubtful).collect();
        all.sort_unstable();
        all.dedup();
        all.into_iter().cloned().collect()
    }
}
