// SPDX-License-Identifier: MIT OR Apache-2.0
//! What one audience knows, and is still to be told, of one server, or of one backend as a whole.

use super::snapshot::TargetSnapshot;
use crate::event::{Event, Health, Kind};
use crate::notification::{FlapPhase, Incident, Item};
use crate::settings::Flap;
use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

/// A server's name, or that of a backend as a whole.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TargetId {
    /// The backend.
    pub proxy: String,
    /// The server in it.
    pub server: Option<String>,
    /// Not the server, but what its checks find one by one: neither has to wait for what is told of the other.
    pub checks: bool,
}

impl TargetId {
    /// What the event is about.
    pub fn of(event: &Event) -> Self {
        TargetId {
            proxy: event.proxy.clone(),
            server: event.server.clone(),
            checks: event.kind == Kind::Check,
        }
    }
}

/// The mail that began a thread.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Thread {
    /// Its `Message-ID`.
    pub root: Arc<str>,
    /// What its target calls it.
    pub topic: Arc<str>,
    /// When it was made.
    pub at: SystemTime,
}

/// A incident that is not over.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OpenIncident {
    /// What one tells of it.
    pub incident: Incident,
    /// The event that began it.
    pub begin: Arc<Event>,
    /// When the audience last got a mail about it.
    pub told: SystemTime,
}

/// Changing too often.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Flapping {
    /// When the first of its changes was.
    pub since: SystemTime,
    /// How many there were.
    pub changes: u32,
    /// When it changed last.
    pub last: SystemTime,
    /// What happened last.
    pub event: Arc<Event>,
}

/// Where news wait until they are told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HeldBy {
    /// For the next mail.
    Group,
    /// Until it is_flapping no more.
    Flapping,
    /// Until the silence is over.
    Silence,
}

/// News that wait.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Held {
    /// What there is to tell.
    pub item: Item,
    /// For what it waits.
    pub held_by: HeldBy,
}

/// A server, or a backend as a whole.
#[derive(Debug, Clone)]
pub struct Target {
    /// What happened last.
    pub kind: Kind,
    /// What it is good for.
    pub health: Health,
    /// Is it in incident?
    pub open_incident: Option<OpenIncident>,
    /// Where the audience was told of that; while it is_flapping, of its first incident.
    pub thread: Option<Thread>,
    /// Not told yet.
    pub held: Option<Held>,
    /// What the next process has to know, which sees again what is for the next mail.
    pub snapshot: Option<Box<TargetSnapshot>>,
    /// The process that knew of it, as long as nothing was heard of it in this one.
    pub inherited: Option<Arc<str>>,
    /// What was heard of it in this process, and was no news after what that process had told.
    pub confirmed: Option<(Arc<str>, Arc<Event>)>,
    flapping: Option<Flapping>,
    /// When its health changed, the latest times last; no more than flapping needs.
    history: VecDeque<SystemTime>,
}

/// What an event means for a target.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Transition {
    /// A incident begins.
    pub begins: bool,
    /// A incident is over.
    pub ends: bool,
    /// It is_flapping from now on.
    pub starts_flapping: bool,
    /// The incident that it is in, or that is over.
    pub incident: Option<Incident>,
}

impl Target {
    /// One of which nothing is known.
    pub fn unknown() -> Self {
        Target {
            kind: Kind::Ready,
            health: Health::Up,
            open_incident: None,
            thread: None,
            held: None,
            snapshot: None,
            inherited: None,
            confirmed: None,
            flapping: None,
            history: VecDeque::new(),
        }
    }

    /// One that another process knew. `name`: what it is.
    pub fn inherited(known: TargetSnapshot, name: &TargetId, from: Arc<str>) -> Self {
        let TargetSnapshot { health, thread, open_incident, flapping, held } = known.clone();
        let last = held.as_ref().map(|held| &held.item.event);
        let last = last.or(flapping.as_ref().map(|flapping| &flapping.event)).map(|event| event.kind);
        let kind = last.unwrap_or(match (health, &name.server) {
            (Health::Maint, _) => Kind::Maint,
            (Health::Down, Some(_)) => Kind::Down,
            (Health::Down, None) => Kind::BackendDown,
            (Health::Up, Some(_)) => Kind::Up,
            (Health::Up, None) => Kind::BackendUp,
        });
        Target {
            kind,
            health,
            open_incident,
            thread,
            held,
            flapping,
            snapshot: Some(Box::new(known)),
            inherited: Some(from),
            ..Target::unknown()
        }
    }

    /// The audience knows all that there is to know, or that waits; true: the next process has to know something else than
    /// before.
    pub fn update_snapshot(&mut self) -> bool {
        let held = self.held.clone().filter(|held| held.held_by != HeldBy::Group);
        let is_secret = self.thread.is_none() && held.is_none();
        let known = TargetSnapshot {
            health: self.health,
            thread: self.thread.clone(),
            open_incident: self.open_incident.clone().filter(|_| !is_secret),
            flapping: self.flapping.clone(),
            held,
        };
        let known = known.name().map(|_| known);
        let is_new = self.snapshot.as_deref() != known.as_ref();
        if is_new {
            self.snapshot = known.map(Box::new);
        }
        is_new
    }

    /// Nothing would be lost if it were forgotten.
    pub fn is_idle(&self) -> bool {
        self.open_incident.is_none()
            && self.held.is_none()
            && self.flapping.is_none()
            && self.snapshot.is_none()
    }

    /// Has its health changed within the time that matters for flapping?
    pub fn is_stable(&self, flap: Option<Flap>, now: SystemTime) -> bool {
        self.history.back().is_none_or(|last| flap.is_none_or(|flap| is_over(*last, flap.time, now)))
    }

    /// Does it flap?
    pub fn is_flapping(&self) -> bool {
        self.flapping.is_some()
    }

    /// Does the event say nothing new? Two servers that change at once may both report their backend, and a new process
    /// finds out what an old one has told.
    pub fn is_duplicate(&self, event: &Event) -> bool {
        let is_known = is_of_health(event.kind) && self.kind == event.kind;
        let is_as_bad = event.health != Health::Up && self.health == event.health && event.kind != Kind::Gone;
        is_known || self.inherited.is_some() && is_as_bad
    }

    /// Its next event. What there is to tell of it goes to [`Target::hold`].
    pub fn apply(&mut self, event: &Arc<Event>, flap: Option<Flap>, now: SystemTime) -> Transition {
        let mut transition = Transition::default();
        self.confirmed = None;
        (self.kind, self.health) = (event.kind, event.health);
        if let Some(OpenIncident { incident, .. }) = &mut self.open_incident {
            incident.changes = incident.changes.saturating_add(1);
        } else if event.health == Health::Down {
            transition.begins = true;
            // What came and went before anybody was told of it is the same incident.
            let untold = self.held.as_ref().and_then(|held| held.item.incident.clone());
            let incident = match untold {
                Some(before) => Incident { changes: before.changes.saturating_add(1), ..before },
                None => Incident { since: event.when, reason: event.short_reason().into(), changes: 1 },
            };
            self.open_incident = Some(OpenIncident { incident, begin: event.clone(), told: now });
        }
        transition.incident = self.open_incident.as_ref().map(|open_incident| open_incident.incident.clone());
        if event.health == Health::Up || event.kind == Kind::Gone {
            transition.ends = self.open_incident.take().is_some();
        }
        if let Some(flap) = flap.filter(|_| is_of_health(event.kind)) {
            transition.starts_flapping = self.count(event, flap, now);
        }
        if let Some(flapping) = &mut self.flapping {
            flapping.event = event.clone();
        }
        transition
    }

    /// When it is_flapping no more, if it does not change until then; `None`: it does not flap.
    pub fn flapping_until(&mut self, flap: Option<Flap>) -> Option<SystemTime> {
        let until = self.flapping.as_ref().zip(flap).and_then(|(it, flap)| it.last.checked_add(flap.time));
        self.flapping.take_if(|_| until.is_none());
        until
    }

    /// Counts a change of health; true: with this one it begins to flap.
    fn count(&mut self, event: &Arc<Event>, flap: Flap, now: SystemTime) -> bool {
        if let Some(flapping) = &mut self.flapping {
            flapping.changes = flapping.changes.saturating_add(1);
            flapping.last = now;
            return false;
        }
        self.history.retain(|when| !is_over(*when, flap.time, now));
        self.history.push_back(now);
        if self.history.len() < flap.changes as usize {
            return false;
        }
        let since = self.history.front().copied().unwrap_or(now);
        self.flapping =
            Some(Flapping { since, changes: self.history.len() as u32, last: now, event: event.clone() });
        self.history = VecDeque::new();
        true
    }

    /// The event waits in `room`, together with what waits already; true: it is new there.
    pub fn hold(&mut self, event: Arc<Event>, transition: Transition, held_by: HeldBy) -> bool {
        let before = self.held.as_ref().map(|held| held.held_by);
        let mut item = match self.held.take() {
            None => Item::of(event),
            Some(Held { item, .. }) => Item { changes: item.changes.saturating_add(1), event, ..item },
        };
        item.incident = transition.incident.or(item.incident);
        if let (true, Some(flapping)) = (transition.starts_flapping, &self.flapping) {
            // What waited before it began to flap, and is no change of health, is in it as well.
            item.flap_phase = FlapPhase::Flapping;
            item.changes = item.changes.max(flapping.changes);
            item.first = item.first.min(flapping.since);
        }
        self.held = Some(Held { item, held_by });
        before != Some(held_by)
    }

    /// Ends its flapping if it has not changed for long enough, with what there is to tell. Else: when to look again.
    pub fn end_flapping(&mut self, flap: Flap, now: SystemTime) -> Result<Item, Option<SystemTime>> {
        let calm = |flapping: &mut Flapping| is_over(flapping.last, flap.time, now);
        let Some(Flapping { since, changes, event, .. }) = self.flapping.take_if(calm) else {
            return Err(self.flapping.as_ref().and_then(|flapping| flapping.last.checked_add(flap.time)));
        };
        let item = self.held.take().map_or_else(|| Item::of(event), |held| held.item);
        let (changes, first) = (item.changes.max(changes), item.first.min(since));
        Ok(Item { flap_phase: FlapPhase::Stable, changes, first, ..item })
    }
}

/// Is it a change between what works and what does not?
fn is_of_health(kind: Kind) -> bool {
    matches!(kind, Kind::Down | Kind::Up | Kind::BackendDown | Kind::BackendUp)
}

/// Have `length` passed since `start`? Or was the clock set back so far that one cannot know: better too early than never.
pub fn is_over(start: SystemTime, length: Duration, now: SystemTime) -> bool {
    match now.duration_since(start) {
        Ok(passed) => passed >= length,
        Err(ahead) => ahead.duration() > length,
    }
}
