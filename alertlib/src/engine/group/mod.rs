// SPDX-License-Identifier: MIT OR Apache-2.0
//! One audience's group: what is known of its servers, what waits to be told, and the mails.

mod mail;
mod remind;

use crate::engine::group_timer::GroupTimer;
use crate::engine::route::Audience;
use crate::engine::silence::{Silence, Silences};
use crate::engine::snapshot::TargetSnapshot;
use crate::engine::target::{Held, HeldBy, Target, TargetId, is_over};
use crate::event::{Event, Kind};
use crate::notification::{Item, Notification, Trigger};
use crate::settings::Policy;
use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

/// Servers and backends that are tracked at most. When there are more, those go first that are at rest; of the others, the
/// changes are counted only.
pub const TARGETS: usize = 10_000;
/// While too many of them are in incident, one looks that often for room.
const LOOK_FOR_ROOM_EVERY: Duration = Duration::from_secs(1);
/// What waits for the end of a silence, or of flapping, is written for the next process that often.
const FLUSH_DIRTY_EVERY: Duration = Duration::from_secs(1);

/// One audience's group.
pub struct GroupState {
    audience: Audience,
    policy: Policy,
    /// In boxes: the table grows by copying all of them.
    targets: HashMap<Arc<TargetId>, Box<Target>>,
    /// Those that have news for the next mail, in their order. Some may have been told since.
    news: Vec<Arc<TargetId>>,
    timer: GroupTimer,
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
    next: SnapshotState,
}

/// What there is for a process after this one to know.
struct SnapshotState {
    /// There may be one that is told.
    exists: bool,
    /// It is not what it was.
    changed: bool,
    /// Those of which there is something that came after that.
    dirty_later: HashSet<Arc<TargetId>>,
    flushed_at: Option<SystemTime>,
}

impl SnapshotState {
    /// It has to know what the audience knows of this, or what waits.
    fn mark_dirty(&mut self, target: &mut Target) {
        self.changed |= self.exists && target.update_snapshot();
    }

    /// The same, but not at once: see [`GroupState::flush_dirty`].
    fn mark_dirty_later(&mut self, name: Arc<TargetId>) {
        if self.exists {
            self.dirty_later.insert(name);
        }
    }
}

/// What mails are made with.
#[derive(Clone, Copy)]
pub struct MailContext<'a> {
    /// The middle of Message-IDs: no other mail has it.
    pub id: &'a str,
    /// This group's number.
    pub group: usize,
    /// The right side of Message-IDs.
    pub host: &'a str,
    /// When.
    pub now: SystemTime,
}

impl GroupState {
    /// An empty one.
    pub fn new(audience: Audience, policy: Policy) -> Self {
        GroupState {
            audience,
            policy,
            targets: HashMap::new(),
            news: Vec::new(),
            timer: GroupTimer::default(),
            calm: None,
            remind: None,
            unnamed: 0,
            dropped: 0,
            inherited: 0,
            full: None,
            next: SnapshotState {
                exists: true,
                changed: false,
                dirty_later: HashSet::new(),
                flushed_at: None,
            },
        }
    }

    /// Who sits in front of it.
    pub fn audience(&self) -> &Audience {
        &self.audience
    }

    /// Adds an event to the news, if it is one for this audience.
    pub fn handle(&mut self, event: &Arc<Event>, silences: &Silences, now: SystemTime) {
        let audience = &self.audience;
        let is_wanted = audience.sender(event).is_some();
        let (wants_begin, wants_end) = (audience.wants_begin(event), audience.wants_end(event));
        let wants_health = event.kind != Kind::Check && (wants_begin || wants_end);
        let name = TargetId::of(event);
        if !is_wanted && !wants_health && !self.targets.contains_key(&name) {
            return;
        }
        if !self.make_room_for(&name, now) {
            self.unnamed += u64::from(is_wanted);
            return;
        }
        let name = Arc::new(name);
        let target = self.targets.entry(name.clone()).or_insert_with(|| Box::new(Target::unknown()));
        let is_duplicate = target.is_duplicate(event);
        if let Some(from) = target.inherited.take() {
            (self.inherited, self.next.changed) = (self.inherited - 1, true);
            target.confirmed = is_duplicate.then(|| (from, event.clone()));
        }
        if is_duplicate {
            return;
        }
        let transition = target.apply(event, self.policy.flap, now);
        // The end of what they were told of, and what is down without having gone down, is news by whatever event.
        let is_news = is_wanted
            || transition.ends && wants_end && target.thread.is_some()
            || transition.begins && wants_begin
            || transition.starts_flapping && wants_health
            || target.held.is_some();
        let in_digest = target.held.as_ref().is_some_and(|held| held.held_by == HeldBy::Group);
        let held_by = match () {
            () if silences.cover(&name) => HeldBy::Silence,
            () if target.is_flapping() && !transition.starts_flapping && !in_digest && wants_health => {
                HeldBy::Flapping
            }
            () => HeldBy::Group,
        };
        if target.is_flapping() {
            self.calm = earliest(self.calm, self.policy.flap.and_then(|flap| now.checked_add(flap.time)));
        }
        if transition.begins {
            self.remind = earliest(self.remind, self.policy.remind.and_then(|time| now.checked_add(time)));
        }
        if !is_news && held_by != HeldBy::Flapping {
            self.next.mark_dirty(target);
            return;
        }
        if event.kind == Kind::BackendDown && held_by == HeldBy::Group {
            self.timer.mark_urgent(now);
        }
        if target.hold(event.clone(), transition, held_by) && held_by == HeldBy::Group {
            self.news.push(name);
        } else if held_by != HeldBy::Group {
            self.next.mark_dirty_later(name);
        }
    }

    /// What waits for something else than the next mail is for the next process to know, now that it has to know nothing
    /// else; not too often (`None`: at once).
    pub fn flush_dirty(&mut self, now: Option<SystemTime>) {
        let is_soon =
            |now| self.next.flushed_at.is_some_and(|flushed_at| !is_over(flushed_at, FLUSH_DIRTY_EVERY, now));
        if self.next.dirty_later.is_empty() || self.has_pending() || now.is_some_and(is_soon) {
            return;
        }
        for name in std::mem::take(&mut self.next.dirty_later) {
            if let Some(target) = self.targets.get_mut(&name) {
                self.next.mark_dirty(target);
            }
        }
        self.next.flushed_at = now.or(self.next.flushed_at);
    }

    /// Does the next process know all that waits for something else than the next mail?
    pub fn is_clean(&self) -> bool {
        self.next.dirty_later.is_empty()
    }

    /// Nobody can be told more than that something was dropped.
    pub fn dropped(&mut self, count: u64) {
        self.dropped = self.dropped.saturating_add(count);
    }

    /// Does something wait for the next mail?
    pub fn has_pending(&self) -> bool {
        !self.news.is_empty()
    }

    /// Until when news that come now have to wait, if they do.
    pub fn next_send_at(&self, now: SystemTime) -> Option<SystemTime> {
        let length = self.policy.digest.filter(|length| !self.timer.is_open(*length, now))?;
        self.timer.opens(length)
    }

    /// The mails that may go now. `all`: whatever waits, for whatever.
    pub fn mails(&mut self, all: bool, context: MailContext) -> Vec<Notification> {
        let Some(length) = self.policy.digest else {
            let news = std::mem::take(&mut self.news);
            let mut mails = Vec::new();
            for name in news {
                let items = self.ready(std::iter::once(name));
                mails.extend(self.mail(Trigger::Changes, items, mails.len(), context));
            }
            return mails;
        };
        if !self.has_pending() || !(all || self.timer.is_open(length, context.now)) {
            return Vec::new();
        }
        let news = std::mem::take(&mut self.news);
        let items = self.ready(news.into_iter());
        let mail = self.mail(Trigger::Changes, items, 0, context);
        if mail.is_some() {
            self.timer.close(context.now);
        }
        mail.into_iter().collect()
    }

    /// Takes what of these waits for the next mail.
    fn ready(&mut self, names: impl Iterator<Item = Arc<TargetId>>) -> Vec<Item> {
        let mut items = Vec::new();
        for name in names {
            let Some(target) = self.targets.get_mut(&name) else { continue };
            let held = target.held.take_if(|held| held.held_by == HeldBy::Group);
            items.extend(held.map(|held| held.item));
        }
        items
    }

    /// When to call [`GroupState::on_timer`].
    pub fn due(&self) -> Option<SystemTime> {
        let length = self.policy.digest.unwrap_or_default();
        let digest = if self.has_pending() { self.timer.opens(length) } else { None };
        let flush_dirty = self.next.flushed_at.filter(|_| !self.is_clean() && !self.has_pending());
        let flush_dirty = flush_dirty.and_then(|flushed_at| flushed_at.checked_add(FLUSH_DIRTY_EVERY));
        [digest, self.calm, self.remind, flush_dirty].into_iter().flatten().min()
    }

    /// What the time brings. `over`: silences that have ended, and are none of `silences` any more.
    pub fn on_timer(
        &mut self,
        silences: &Silences,
        over: &[Silence],
        context: MailContext,
    ) -> Vec<Notification> {
        self.end_flapping(silences, context.now);
        let ended: Vec<(&Silence, Vec<Item>)> =
            over.iter().map(|silence| (silence, self.end_silence(silence, silences))).collect();
        // Then nothing is left for the next mail: while something is, the next process does not get to know what is told.
        let all = ended.iter().any(|(_, items)| !items.is_empty());
        let mut mails = self.mails(all, context);
        let items = self.reminders(silences, context.now);
        mails.extend(self.mail(Trigger::Reminder, items, mails.len(), context));
        for (silence, items) in ended {
            let (pattern, reason) = (silence.pattern.to_string(), silence.reason.clone());
            mails.extend(self.mail(Trigger::Silence { pattern, reason }, items, mails.len(), context));
        }
        mails
    }

    /// Those that flap no more have news.
    fn end_flapping(&mut self, silences: &Silences, now: SystemTime) {
        let Some(flap) = self.policy.flap.filter(|_| self.calm.is_some_and(|calm| has_come(calm, now)))
        else {
            return;
        };
        let mut news: Vec<(SystemTime, Arc<TargetId>)> = Vec::new();
        self.calm = None;
        for (name, target) in &mut self.targets {
            match target.end_flapping(flap, now) {
                Err(again) => self.calm = earliest(self.calm, again),
                Ok(item) => {
                    let held_by = if silences.cover(name) { HeldBy::Silence } else { HeldBy::Group };
                    news.push((item.event.when, name.clone()));
                    target.held = Some(Held { item, held_by });
                }
            }
        }
        news.sort_unstable();
        self.news.extend(news.into_iter().map(|(_, name)| name));
    }

    /// A silence is over: what waited for its end, unless another one goes on.
    fn end_silence(&mut self, silence: &Silence, others: &Silences) -> Vec<Item> {
        let mut items = Vec::new();
        for (name, target) in &mut self.targets {
            let fits = silence.pattern.matches(&name.proxy, name.server.as_deref()) && !others.cover(name);
            let held = target.held.take_if(|held| fits && held.held_by == HeldBy::Silence);
            items.extend(held.map(|held| held.item));
        }
        mail::sort(&mut items);
        items
    }

    /// Everything that waits, whatever for: there will be no other chance.
    pub fn flush_all(&mut self, context: MailContext) -> Vec<Notification> {
        let mut rest: Vec<(SystemTime, Arc<TargetId>)> = Vec::new();
        for (name, target) in &mut self.targets {
            if let Some(held) = target.held.as_mut().filter(|held| held.held_by != HeldBy::Group) {
                held.held_by = HeldBy::Group;
                rest.push((held.item.first, name.clone()));
            }
        }
        rest.sort_unstable();
        self.news.extend(rest.into_iter().map(|(_, name)| name));
        self.mails(true, context)
    }

    /// Can this one be tracked?
    fn make_room_for(&mut self, name: &TargetId, now: SystemTime) -> bool {
        if self.targets.len() < TARGETS || self.targets.contains_key(name) {
            return true;
        }
        if self.full.is_some_and(|full| !is_over(full, LOOK_FOR_ROOM_EVERY, now)) {
            return false;
        }
        let flap = self.policy.flap;
        self.targets.retain(|_, target| !(target.is_idle() && target.is_stable(flap, now)));
        if self.targets.len() >= TARGETS {
            self.targets.retain(|_, target| !target.is_idle());
        }
        self.full = (self.targets.len() >= TARGETS).then_some(now);
        self.full.is_none()
    }

    /// What the next process has to know: the incidents that this audience was told of, and of which it has not been told that
    /// they are over, and what it will be told when it is quiet.
    pub fn known(&self) -> Vec<TargetSnapshot> {
        self.targets.values().filter_map(|target| target.snapshot.as_deref().cloned()).collect()
    }

    /// Nobody will ever ask for [`GroupState::known`]. To be said before anything else.
    pub fn disable_snapshots(&mut self) {
        self.next.exists = false;
    }

    /// Has [`GroupState::known`] changed since the last time that this was asked?
    pub fn has_changed(&mut self) -> bool {
        std::mem::take(&mut self.next.changed)
    }

    /// What is known is still to be written.
    pub fn retry_snapshot(&mut self) {
        self.next.changed = true;
    }

    /// What another process knew of this audience: what is news here.
    pub fn inherit(
        &mut self,
        all: Vec<TargetSnapshot>,
        silences: &Silences,
        from: &Arc<str>,
        now: SystemTime,
    ) {
        let names: HashSet<TargetId> = all.iter().filter_map(TargetSnapshot::name).collect();
        let mut news: Vec<Arc<Event>> = Vec::new();
        self.targets.retain(|name, target| {
            if names.contains(&**name) {
                return true;
            }
            // It goes on, and has told of the end meanwhile: what was no news because of its word is news.
            let confirmed = target.confirmed.take_if(|(by, _)| by == from);
            let is_over = confirmed.is_some() || target.inherited.as_ref() == Some(from);
            news.extend(confirmed.map(|(_, event)| event));
            !is_over
        });
        for known in all {
            let Some(name) = known.name().map(Arc::new) else { continue };
            if self.targets.contains_key(&name) || !self.make_room_for(&name, now) {
                continue;
            }
            let told = known.open_incident.as_ref().map(|open_incident| open_incident.told);
            let due = self.policy.remind.zip(told).and_then(|(time, told)| told.checked_add(time));
            self.remind = earliest(self.remind, due);
            let mut target = Target::inherited(known, &name, from.clone());
            let calm = target.flapping_until(self.policy.flap);
            self.calm = earliest(self.calm, calm);
            if let Some(held) = &mut target.held {
                // Nobody asks any more that it waits.
                let is_quiet = if silences.cover(&name) { HeldBy::Silence } else { HeldBy::Flapping };
                held.held_by =
                    if is_quiet == HeldBy::Silence || calm.is_some() { is_quiet } else { HeldBy::Group };
                if held.held_by == HeldBy::Group {
                    self.news.push(name.clone());
                }
            }
            self.targets.insert(name, Box::new(target));
        }
        self.inherited = self.targets.values().filter(|target| target.inherited.is_some()).count();
        self.next.changed = true;
        news.sort_by_key(|event| event.when);
        news.iter().for_each(|event| self.handle(event, silences, now));
    }

    /// If this is in incident, that is what the process `from` said of it.
    pub fn mark_unconfirmed(&mut self, name: &TargetId, from: &Arc<str>) {
        let target = self.targets.get_mut(name).filter(|target| target.open_incident.is_some());
        if let Some(target) = target.filter(|target| target.inherited.is_none()) {
            target.inherited = Some(from.clone());
            self.inherited += 1;
        }
    }

    /// Was this inherited, and is it not known to be still so?
    pub fn is_unconfirmed(&self, name: &TargetId) -> bool {
        self.inherited > 0 && self.targets.get(name).is_some_and(|target| target.inherited.is_some())
    }

    /// Of how many things that is so.
    pub fn unconfirmed_count(&self) -> usize {
        self.inherited
    }

    /// What was inherited, and is not known to be still so.
    pub fn unconfirmed(&self) -> impl Iterator<Item = &TargetId> {
        let targets = (self.inherited > 0).then_some(&self.targets).into_iter().flatten();
        targets.filter(|(_, target)| target.inherited.is_some()).map(|(name, _)| &**name)
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
