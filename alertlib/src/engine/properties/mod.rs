// SPDX-License-Identifier: MIT OR Apache-2.0
//! Properties of the engine as a whole, tested with a simulated clock.

mod flapping;
mod groups;
mod sequences;
mod silences;
mod snapshots;

use super::*;
use crate::event::{Health, Kind, Kinds, Level, Usable, sample};
use crate::notification::{FlapPhase, Item, Trigger};
use crate::settings::{DIGEST, FLAP, Flap, REMIND, Recipient};
use std::collections::HashMap;
use std::time::Duration;

const SECOND: Duration = Duration::from_secs(1);
const DEFAULT_POLICY: Policy = Policy { digest: Some(DIGEST), flap: Some(FLAP), remind: Some(REMIND) };

fn start() -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(1_795_442_400)
}

fn route(to: &str, kinds: Kinds) -> ResolvedRoute {
    ResolvedRoute {
        to: vec![Recipient { address: to.parse().expect("address"), is_local: false }],
        from: "lb@example.com".parse().expect("address"),
        targets: Vec::new(),
        kinds,
        level: Level::Debug,
    }
}

/// An engine with one audience and the default kinds, a simulated clock and a simulated spool.
struct Simulation {
    engine: Engine,
    now: SystemTime,
    calls: u32,
    mails: Vec<Notification>,
    /// Events except repetitions, in order.
    events: Vec<Event>,
    state: HashMap<TargetId, Kind>,
    policy: Policy,
    /// State that the next process finds after a kill: the snapshot, and accepted events that are not flushed.
    snapshot: Snapshot,
    accepted: Vec<Vec<Event>>,
}

impl Simulation {
    fn new(policy: Policy) -> Self {
        Simulation {
            engine: Engine::new(&[route("ops@example.com", Kinds::usual())], policy, "lb1"),
            now: start(),
            calls: 0,
            mails: Vec::new(),
            events: Vec::new(),
            state: HashMap::new(),
            policy,
            snapshot: Snapshot::default(),
            accepted: Vec::new(),
        }
    }

    /// Saves snapshot and accepted events as a spool does.
    fn save_state(&mut self) {
        self.snapshot = self.engine.take_snapshot().unwrap_or_else(|| std::mem::take(&mut self.snapshot));
        if self.engine.is_flushed().all(|is_flushed| is_flushed) {
            self.accepted.clear();
        }
    }

    /// Kills the process; another one takes over its state and confirms the unconfirmed targets.
    fn kill_and_restart(&mut self) {
        self.save_state();
        self.engine = Simulation::new(self.policy).engine;
        self.engine.inherit(&self.snapshot, "old", self.now);
        for events in std::mem::take(&mut self.accepted) {
            let mail_id = self.mail_id();
            self.mails.extend(self.engine.take_over("old", |_| true, events, &mail_id, self.now));
        }
        let mail_id = self.mail_id();
        self.mails.extend(self.engine.flush_groups(&mail_id, self.now));
        for target in self.engine.unconfirmed_targets() {
            let kind = self.state.get(&target).copied().unwrap_or(Kind::Ready);
            let event = self.event(&target.proxy, target.server.as_deref(), kind);
            let mail_id = self.mail_id();
            self.mails.extend(self.engine.confirm(event, &mail_id, self.now));
        }
        self.save_state();
    }

    fn mail_id(&mut self) -> String {
        self.calls += 1;
        format!("t.{}", self.calls)
    }

    /// Advances the clock by `time` and calls the engine's timer whenever it is due.
    fn advance(&mut self, time: Duration) {
        let end = self.now + time;
        for _ in 0..10_000 {
            let Some(due) = self.engine.due().filter(|due| *due <= end) else {
                self.now = end;
                return;
            };
            self.now = self.now.max(due);
            let mail_id = self.mail_id();
            self.mails.extend(self.engine.on_timer(&mail_id, self.now));
            self.save_state();
        }
        panic!("the engine's timer is always due");
    }

    fn event(&self, proxy: &str, server: Option<&str>, kind: Kind) -> Event {
        let health = match kind {
            Kind::Down | Kind::BackendDown => Health::Down,
            Kind::Maint | Kind::Gone => Health::Maint,
            _ => Health::Up,
        };
        let server = server.map(str::to_owned);
        let target = server.clone().unwrap_or_else(|| "the backend".into());
        let sentence = format!("{proxy} {target} {}", kind.state());
        Event { when: self.now, kind, health, proxy: proxy.into(), server, sentence, ..sample() }
    }

    fn handle(&mut self, events: Vec<Event>) {
        for event in &events {
            let before = self.state.insert(TargetId::of(event), event.kind);
            let is_health = matches!(event.kind, Kind::Down | Kind::Up | Kind::BackendDown | Kind::BackendUp);
            if !is_health || before != Some(event.kind) {
                self.events.push(event.clone());
            }
        }
        let mail_id = self.mail_id();
        self.accepted.push(events.clone());
        self.mails.extend(self.engine.handle(events, &mail_id, self.now));
        self.save_state();
    }

    fn change(&mut self, proxy: &str, server: Option<&str>, kind: Kind) {
        self.handle(vec![self.event(proxy, server, kind)]);
    }

    /// Returns the item of the last mail that has one of this target.
    fn last_item(&self, id: &TargetId) -> Option<&Item> {
        self.mails.iter().rev().flat_map(|mail| &mail.items).find(|item| TargetId::of(&item.event) == *id)
    }
}
