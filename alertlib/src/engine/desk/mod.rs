// SPDX-License-Identifier: MIT OR Apache-2.0
//! One audience's desk: what is known of its servers, what waits to be told, and the mails.

mod mail;
mod remind;

use crate::engine::digest::Window;
use crate::engine::memory::Known;
use crate::engine::outgoing::{About, Item, Outgoing};
use crate::engine::route::Audience;
use crate::engine::silence::{Silence, Silences};
use crate::engine::subject::{Name, Room, Subject, Waiting, is_over};
use crate::event::{Event, Kind};
use crate::settings::Policy;
use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

/// Servers and backends that are tracked at most. When there are more, those go first that are at rest; of the others, the
/// changes are counted only.
pub const SUBJECTS: usize = 10_000;
/// While too many of them are in trouble, one looks that often for room.
const LOOK_FOR_ROOM_EVERY: Duration = Duration::from_secs(1);
/// What waits for the end of a silence, or of flapping, is written for the next process that often.
const SETTLE_EVERY: Duration = Duration::from_secs(1);

/// One audience's desk.
pub struct Desk {
    audience: Audience,
    policy: Policy,
    /// In boxes: the table grows by copying all of them.
    subjects: HashMap<Arc<Name>, Box<Subject>>,
    /// Those that have news for the next mail, in their order. Some may have been told since.
    news: Vec<Arc<Name>>,
    window: Window,
    /// A lower bound for the next end of flapping.
    calm: Option<SystemTime>,
    /// A lower bound for the next reminder.
    remind: Option<SystemTime>,
    /// Changes that are only counted.
    unnamed: u64,
    dropped: u64,
    /// Subjects that are inherited.
    inherited: usize,
    full: Option<SystemTime>,
    next: Next,
}

/// What there is for a process after this one to know.
struct Next {
    /// There may be one that is told.
    exists: bool,
    /// It is not what it was.
    changed: bool,
    /// Those of which there is something that came after that.
    unsettled: HashSet<Arc<Name>>,
    settled: Option<SystemTime>,
}

impl Next {
    /// It has to know what the audience knows of this, or what waits.
    fn learns(&mut self, subject: &mut Subject) {
        self.changed |= self.exists && subject.remember();
    }

    /// The same, but not at once: see [`Desk::settle`].
    fn learns_later(&mut self, name: Arc<Name>) {
        if self.exists {
            self.unsettled.insert(name);
        }
    }
}

/// What mails are made with.
#[derive(Clone, Copy)]
pub struct Stamp<'a> {
    /// The middle of Message-IDs: no other mail has it.
    pub id: &'a str,
    /// This desk's number.
    pub desk: usize,
    /// The right side of Message-IDs.
    pub host: &'a str,
    /// When.
    pub now: SystemTime,
}

impl Desk {
    /// An empty one.
    pub fn new(audience: Audience, policy: Policy) -> Self {
        Desk {
            audience,
            policy,
            subjects: HashMap::new(),
            news: Vec::new(),
            window: Window::default(),
            calm: None,
            remind: None,
            unnamed: 0,
            dropped: 0,
            inherited: 0,
            full: None,
            next: Next { exists: true, changed: false, unsettled: HashSet::new(), settled: None },
        }
    }

    /// Who sits in front of it.
    pub fn audience(&self) -> &Audience {
        &self.audience
    }

    /// Adds an event to the news, if it is one for this audience.
    pub fn take(&mut self, event: &Arc<Event>, silences: &Silences, now: SystemTime) {
        let audience = &self.audience;
        let is_wanted = audience.sender(event).is_some();
        let (wants_begin, wants_end) = (audience.wants_begin(event), audience.wants_end(event));
        let wants_health = event.kind != Kind::Check && (wants_begin || wants_end);
        let name = Name::of(event);
        if !is_wanted && !wants_health && !self.subjects.contains_key(&name) {
            return;
        }
        if !self.make_room_for(&name, now) {
            self.unnamed += u64::from(is_wanted);
            return;
        }
        let name = Arc::new(name);
        let subject = self.subjects.entry(name.clone()).or_insert_with(|| Box::new(Subject::unknown()));
        let has_said = subject.has_said(event);
        if let Some(from) = subject.inherited.take() {
            (self.inherited, self.next.changed) = (self.inherited - 1, true);
            subject.confirmed = has_said.then(|| (from, event.clone()));
        }
        if has_said {
            return;
        }
        let turn = subject.take(event, self.policy.flap, now);
        // The end of what they were told of, and what is down without having gone down, is news by whatever event.
        let is_news = is_wanted
            || turn.ends && wants_end && subject.thread.is_some()
            || turn.begins && wants_begin
            || turn.flaps && wants_health
            || subject.waiting.is_some();
        let in_digest = subject.waiting.as_ref().is_some_and(|waiting| waiting.room == Room::Digest);
        let room = match () {
            () if silences.cover(&name) => Room::Silence,
            () if subject.flaps() && !turn.flaps && !in_digest && wants_health => Room::Quiet,
            () => Room::Digest,
        };
        if subject.flaps() {
            self.calm = earliest(self.calm, self.policy.flap.and_then(|flap| now.checked_add(flap.time)));
        }
        if turn.begins {
            self.remind = earliest(self.remind, self.policy.remind.and_then(|time| now.checked_add(time)));
        }
        if !is_news && room != Room::Quiet {
            self.next.learns(subject);
            return;
        }
        if event.kind == Kind::BackendDown && room == Room::Digest {
            self.window.hurry(now);
        }
        if subject.wait(event.clone(), turn, room) && room == Room::Digest {
            self.news.push(name);
        } else if room != Room::Digest {
            self.next.learns_later(name);
        }
    }

    /// What waits for something else than the next mail is for the next process to know, now that it has to know nothing
    /// else; not too often (`None`: at once).
    pub fn settle(&mut self, now: Option<SystemTime>) {
        let is_soon = |now| self.next.settled.is_some_and(|settled| !is_over(settled, SETTLE_EVERY, now));
        if self.next.unsettled.is_empty() || self.has_news() || now.is_some_and(is_soon) {
            return;
        }
        for name in std::mem::take(&mut self.next.unsettled) {
            if let Some(subject) = self.subjects.get_mut(&name) {
                self.next.learns(subject);
            }
        }
        self.next.settled = now.or(self.next.settled);
    }

    /// Does the next process know all that waits for something else than the next mail?
    pub fn is_settled(&self) -> bool {
        self.next.unsettled.is_empty()
    }

    /// Nobody can be told more than that something was dropped.
    pub fn dropped(&mut self, count: u64) {
        self.dropped = self.dropped.saturating_add(count);
    }

    /// Does something wait for the next mail?
    pub fn has_news(&self) -> bool {
        !self.news.is_empty()
    }

    /// Until when news that come now have to wait, if they do.
    pub fn closed_until(&self, now: SystemTime) -> Option<SystemTime> {
        let length = self.policy.digest.filter(|length| !self.window.is_open(*length, now))?;
        self.window.opens(length)
    }

    /// The mails that may go now. `all`: whatever waits, for whatever.
    pub fn mails(&mut self, all: bool, stamp: Stamp) -> Vec<Outgoing> {
        let Some(length) = self.policy.digest else {
            let news = std::mem::take(&mut self.news);
            let mut mails = Vec::new();
            for name in news {
                let items = self.ready(std::iter::once(name));
                mails.extend(self.mail(About::Changes, items, mails.len(), stamp));
            }
            return mails;
        };
        if !self.has_news() || !(all || self.window.is_open(length, stamp.now)) {
            return Vec::new();
        }
        let news = std::mem::take(&mut self.news);
        let items = self.ready(news.into_iter());
        let mail = self.mail(About::Changes, items, 0, stamp);
        if mail.is_some() {
            self.window.close(stamp.now);
        }
        mail.into_iter().collect()
    }

    /// Takes what of these waits for the next mail.
    fn ready(&mut self, names: impl Iterator<Item = Arc<Name>>) -> Vec<Item> {
        let mut items = Vec::new();
        for name in names {
            let Some(subject) = self.subjects.get_mut(&name) else { continue };
            let waiting = subject.waiting.take_if(|waiting| waiting.room == Room::Digest);
            items.extend(waiting.map(|waiting| waiting.item));
        }
        items
    }

    /// When to call [`Desk::tick`].
    pub fn due(&self) -> Option<SystemTime> {
        let length = self.policy.digest.unwrap_or_default();
        let digest = if self.has_news() { self.window.opens(length) } else { None };
        let settle = self.next.settled.filter(|_| !self.is_settled() && !self.has_news());
        let settle = settle.and_then(|settled| settled.checked_add(SETTLE_EVERY));
        [digest, self.calm, self.remind, settle].into_iter().flatten().min()
    }

    /// What the time brings. `over`: silences that have ended, and are none of `silences` any more.
    pub fn tick(&mut self, silences: &Silences, over: &[Silence], stamp: Stamp) -> Vec<Outgoing> {
        self.calm_down(silences, stamp.now);
        let ended: Vec<(&Silence, Vec<Item>)> =
            over.iter().map(|silence| (silence, self.end_silence(silence, silences))).collect();
        // Then nothing is left for the next mail: while something is, the next process does not get to know what is told.
        let all = ended.iter().any(|(_, items)| !items.is_empty());
        let mut mails = self.mails(all, stamp);
        let items = self.reminders(silences, stamp.now);
        mails.extend(self.mail(About::Reminder, items, mails.len(), stamp));
        for (silence, items) in ended {
            let (pattern, reason) = (silence.pattern.to_string(), silence.reason.clone());
            mails.extend(self.mail(About::Silence { pattern, reason }, items, mails.len(), stamp));
        }
        mails
    }

    /// Those that flap no more have news.
    fn calm_down(&mut self, silences: &Silences, now: SystemTime) {
        let Some(flap) = self.policy.flap.filter(|_| self.calm.is_some_and(|calm| has_come(calm, now)))
        else {
            return;
        };
        let mut news: Vec<(SystemTime, Arc<Name>)> = Vec::new();
        self.calm = None;
        for (name, subject) in &mut self.subjects {
            match subject.calm_down(flap, now) {
                Err(again) => self.calm = earliest(self.calm, again),
                Ok(item) => {
                    let room = if silences.cover(name) { Room::Silence } else { Room::Digest };
                    news.push((item.event.when, name.clone()));
                    subject.waiting = Some(Waiting { item, room });
                }
            }
        }
        news.sort_unstable();
        self.news.extend(news.into_iter().map(|(_, name)| name));
    }

    /// A silence is over: what waited for its end, unless another one goes on.
    fn end_silence(&mut self, silence: &Silence, others: &Silences) -> Vec<Item> {
        let mut items = Vec::new();
        for (name, subject) in &mut self.subjects {
            let fits = silence.pattern.fits(&name.proxy, name.server.as_deref()) && !others.cover(name);
            let waiting = subject.waiting.take_if(|waiting| fits && waiting.room == Room::Silence);
            items.extend(waiting.map(|waiting| waiting.item));
        }
        mail::sort(&mut items);
        items
    }

    /// Everything that waits, whatever for: there will be no other chance.
    pub fn flush(&mut self, stamp: Stamp) -> Vec<Outgoing> {
        let mut rest: Vec<(SystemTime, Arc<Name>)> = Vec::new();
        for (name, subject) in &mut self.subjects {
            if let Some(waiting) = subject.waiting.as_mut().filter(|waiting| waiting.room != Room::Digest) {
                waiting.room = Room::Digest;
                rest.push((waiting.item.first, name.clone()));
            }
        }
        rest.sort_unstable();
        self.news.extend(rest.into_iter().map(|(_, name)| name));
        self.mails(true, stamp)
    }

    /// Can this one be tracked?
    fn make_room_for(&mut self, name: &Name, now: SystemTime) -> bool {
        if self.subjects.len() < SUBJECTS || self.subjects.contains_key(name) {
            return true;
        }
        if self.full.is_some_and(|full| !is_over(full, LOOK_FOR_ROOM_EVERY, now)) {
            return false;
        }
        let flap = self.policy.flap;
        self.subjects.retain(|_, subject| !(subject.is_at_rest() && subject.is_calm(flap, now)));
        if self.subjects.len() >= SUBJECTS {
            self.subjects.retain(|_, subject| !subject.is_at_rest());
        }
        self.full = (self.subjects.len() >= SUBJECTS).then_some(now);
        self.full.is_none()
    }

    /// What the next process has to know: the troubles that this audience was told of, and of which it has not been told that
    /// they are over, and what it will be told when it is quiet.
    pub fn known(&self) -> Vec<Known> {
        self.subjects.values().filter_map(|subject| subject.remembered.as_deref().cloned()).collect()
    }

    /// Nobody will ever ask for [`Desk::known`]. To be said before anything else.
    pub fn has_no_next(&mut self) {
        self.next.exists = false;
    }

    /// Has [`Desk::known`] changed since the last time that this was asked?
    pub fn has_changed(&mut self) -> bool {
        std::mem::take(&mut self.next.changed)
    }

    /// What is known is still to be written.
    pub fn remember_again(&mut self) {
        self.next.changed = true;
    }

    /// What another process knew of this audience: what is news here.
    pub fn inherit(&mut self, all: Vec<Known>, silences: &Silences, from: &Arc<str>, now: SystemTime) {
        let names: HashSet<Name> = all.iter().filter_map(Known::name).collect();
        let mut news: Vec<Arc<Event>> = Vec::new();
        self.subjects.retain(|name, subject| {
            if names.contains(&**name) {
                return true;
            }
            // It goes on, and has told of the end meanwhile: what was no news because of its word is news.
            let confirmed = subject.confirmed.take_if(|(by, _)| by == from);
            let is_over = confirmed.is_some() || subject.inherited.as_ref() == Some(from);
            news.extend(confirmed.map(|(_, event)| event));
            !is_over
        });
        for known in all {
            let Some(name) = known.name().map(Arc::new) else { continue };
            if self.subjects.contains_key(&name) || !self.make_room_for(&name, now) {
                continue;
            }
            let told = known.trouble.as_ref().map(|trouble| trouble.told);
            let due = self.policy.remind.zip(told).and_then(|(time, told)| told.checked_add(time));
            self.remind = earliest(self.remind, due);
            let mut subject = Subject::inherited(known, &name, from.clone());
            let calm = subject.flapping_until(self.policy.flap);
            self.calm = earliest(self.calm, calm);
            if let Some(waiting) = &mut subject.waiting {
                // Nobody asks any more that it waits.
                let is_quiet = if silences.cover(&name) { Room::Silence } else { Room::Quiet };
                waiting.room =
                    if is_quiet == Room::Silence || calm.is_some() { is_quiet } else { Room::Digest };
                if waiting.room == Room::Digest {
                    self.news.push(name.clone());
                }
            }
            self.subjects.insert(name, Box::new(subject));
        }
        self.inherited = self.subjects.values().filter(|subject| subject.inherited.is_some()).count();
        self.next.changed = true;
        news.sort_by_key(|event| event.when);
        news.iter().for_each(|event| self.take(event, silences, now));
    }

    /// If this is in trouble, that is what the process `from` said of it.
    pub fn doubt(&mut self, name: &Name, from: &Arc<str>) {
        let subject = self.subjects.get_mut(name).filter(|subject| subject.trouble.is_some());
        if let Some(subject) = subject.filter(|subject| subject.inherited.is_none()) {
            subject.inherited = Some(from.clone());
            self.inherited += 1;
        }
    }

    /// Was this inherited, and is it not known to be still so?
    pub fn doubts(&self, name: &Name) -> bool {
        self.inherited > 0 && self.subjects.get(name).is_some_and(|subject| subject.inherited.is_some())
    }

    /// Of how many things that is so.
    pub fn doubts_count(&self) -> usize {
        self.inherited
    }

    /// What was inherited, and is not known to be still so.
    pub fn doubtful(&self) -> impl Iterator<Item = &Name> {
        let subjects = (self.inherited > 0).then_some(&self.subjects).into_iter().flatten();
        subjects.filter(|(_, subject)| subject.inherited.is_some()).map(|(name, _)| &**name)
    }
}

/// A time that was reckoned from the clock has come, or the clock has been set back so far that it makes no sense.
fn has_come(time: SystemTime, now: SystemTime) -> bool {
    const FAR: Duration = Duration::from_secs(366 * 24 * 3600);
    time <= now || time.duration_since(now).is_ok_and(|left| left > FAR)
}

fn earliest(one: Option<SystemTime>, other: Option<SystemTime>) -> Option<SystemTime> {
    match (one, other) {
        (Some(one), Some(other)) => Some(one.min(other)),
        (one, other) => one.or(other),
    }
}
