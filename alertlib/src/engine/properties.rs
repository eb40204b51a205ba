// SPDX-License-Identifier: MIT OR Apache-2.0
//! What must be true of the engine whatever happens, and when.

use super::*;
use crate::event::{Health, Kind, Kinds, Level, Usable, sample};
use crate::notification::{FlapPhase, Item, Trigger};
use crate::settings::{DIGEST, FLAP, Flap, REMIND, Recipient};
use proptest::prelude::*;
use std::collections::HashMap;
use std::time::Duration;

const SECOND: Duration = Duration::from_secs(1);
const USUAL: Policy = Policy { digest: Some(DIGEST), flap: Some(FLAP), remind: Some(REMIND) };

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

/// One audience with the usual kinds, and what it got.
struct World {
    engine: Engine,
    now: SystemTime,
    calls: u32,
    mails: Vec<Notification>,
    /// Every event that was no repetition, in its order.
    happened: Vec<Event>,
    state: HashMap<TargetId, Kind>,
    policy: Policy,
    /// What the next process finds when this one is killed: what it knew, and what it had accepted and not told.
    snapshot: Snapshot,
    accepted: Vec<Vec<Event>>,
}

impl World {
    fn new(policy: Policy) -> Self {
        World {
            engine: Engine::new(&[route("ops@example.com", Kinds::usual())], policy, "lb1"),
            now: start(),
            calls: 0,
            mails: Vec::new(),
            happened: Vec::new(),
            state: HashMap::new(),
            policy,
            snapshot: Snapshot::default(),
            accepted: Vec::new(),
        }
    }

    /// What a spool would do.
    fn hand_over(&mut self) {
        self.snapshot = self.engine.take_snapshot().unwrap_or_else(|| std::mem::take(&mut self.snapshot));
        if self.engine.is_flushed().all(|is_told| is_told) {
            self.accepted.clear();
        }
    }

    /// The process is killed, and another one goes on.
    fn kill(&mut self) {
        self.hand_over();
        self.engine = World::new(self.policy).engine;
        self.engine.inherit(&self.snapshot, "old", self.now);
        for events in std::mem::take(&mut self.accepted) {
            let id = self.id();
            self.mails.extend(self.engine.take_over("old", |_| true, events, &id, self.now));
        }
        let id = self.id();
        self.mails.extend(self.engine.flush_groups(&id, self.now));
        for name in self.engine.unconfirmed_targets() {
            let kind = self.state.get(&name).copied().unwrap_or(Kind::Ready);
            let event = self.event(&name.proxy, name.server.as_deref(), kind);
            let id = self.id();
            self.mails.extend(self.engine.confirm(event, &id, self.now));
        }
        self.hand_over();
    }

    fn id(&mut self) -> String {
        self.calls += 1;
        format!("t.{}", self.calls)
    }

    /// Time passes, in steps as the engine wants them.
    fn wait(&mut self, time: Duration) {
        let end = self.now + time;
        for _ in 0..10_000 {
            let Some(due) = self.engine.due().filter(|due| *due <= end) else {
                self.now = end;
                return;
            };
            self.now = self.now.max(due);
            let id = self.id();
            self.mails.extend(self.engine.on_timer(&id, self.now));
            self.hand_over();
        }
        panic!("the engine is never content");
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

    fn take(&mut self, events: Vec<Event>) {
        for event in &events {
            let before = self.state.insert(TargetId::of(event), event.kind);
            let is_health = matches!(event.kind, Kind::Down | Kind::Up | Kind::BackendDown | Kind::BackendUp);
            if !is_health || before != Some(event.kind) {
                self.happened.push(event.clone());
            }
        }
        let id = self.id();
        self.accepted.push(events.clone());
        self.mails.extend(self.engine.handle(events, &id, self.now));
        self.hand_over();
    }

    fn say(&mut self, proxy: &str, server: Option<&str>, kind: Kind) {
        self.take(vec![self.event(proxy, server, kind)]);
    }

    /// The item of the last mail that has one of this server.
    fn last_item(&self, name: &TargetId) -> Option<&Item> {
        self.mails.iter().rev().flat_map(|mail| &mail.items).find(|item| TargetId::of(&item.event) == *name)
    }
}

#[test]
fn a_thousand_servers_of_ten_backends_are_three_mails_down_and_two_up() {
    let mut world = World::new(USUAL);
    for n in 0..1000u32 {
        let (backend, server) = (format!("b{}", n % 10), format!("s{n}"));
        let mut events = vec![world.event(&backend, Some(&server), Kind::Down)];
        events[0].usable = Some(Usable { active: 99 - n / 10, backup: 0 });
        if n >= 990 {
            events.push(world.event(&backend, None, Kind::BackendDown));
        }
        world.take(events);
        world.wait(SECOND / 1000);
    }
    world.wait(SECOND * 10);
    let named: usize = world.mails.iter().map(|mail| mail.items.len()).sum();
    assert_eq!((world.mails.len(), named), (3, 1010));
    assert_eq!(world.mails[0].items.len(), 1, "the first one does not wait");
    assert!(world.mails[1].sizes.iter().all(|(_, size)| *size == 100), "{:?}", world.mails[1].sizes);
    let downs: Vec<String> = world.mails.iter().map(|mail| mail.message_id.clone()).collect();
    assert_eq!(world.mails[2].topic, "9 backends (9 servers)");

    for n in 0..1000u32 {
        let (backend, server) = (format!("b{}", n % 10), format!("s{n}"));
        let mut events = vec![world.event(&backend, Some(&server), Kind::Up)];
        if n < 10 {
            events.push(world.event(&backend, None, Kind::BackendUp));
        }
        world.take(events);
        world.wait(SECOND / 1000);
    }
    world.wait(SECOND * 10);
    let ups = &world.mails[3..];
    assert_eq!((ups.len(), ups.iter().map(|mail| mail.items.len()).sum::<usize>()), (2, 1010));
    assert_eq!(ups[0].references, downs[..2]);
    assert_eq!(ups[1].references, downs[1..]);
    assert!(ups.iter().flat_map(|mail| &mail.items).all(|item| item.incident.is_some()));
}

#[test]
fn a_server_that_flaps_for_a_minute_is_few_mails_and_one_when_it_is_stable() {
    let mut world = World::new(USUAL);
    for n in 0..150 {
        world.say("web", Some("s1"), if n % 2 == 0 { Kind::Down } else { Kind::Up });
        world.wait(SECOND * 2 / 5);
    }
    assert_eq!(world.mails.len(), 2, "{:#?}", world.mails);
    assert_eq!(
        (world.mails[1].items[0].flap_phase, world.mails[1].items[0].changes),
        (FlapPhase::Flapping, 13)
    );
    world.wait(SECOND * 3600);
    let last = world.mails.last().expect("a mail");
    assert_eq!(world.mails.len(), 3);
    let item = &last.items[0];
    assert_eq!((item.flap_phase, item.changes, item.event.kind), (FlapPhase::Stable, 150, Kind::Up));
    assert_eq!(last.references, [world.mails[0].message_id.clone()]);
}

/// What is told at the end of a silence is told, even if the process is killed while something else waits for a digest.
#[test]
fn the_end_of_a_silence_is_not_told_again_after_a_kill() {
    let mut world = World::new(USUAL);
    let steps = [
        Step::Silence(0, SECOND * 4),
        Step::Event(1, 0, Kind::Down),
        Step::Event(1, 0, Kind::Up),
        Step::Event(0, 0, Kind::Up),
        Step::Wait(SECOND * 9 / 2),
        Step::Kill,
        Step::Wait(SECOND * 10),
    ];
    run(&mut world, &steps);
    let told = |proxy: &str| {
        let items = world.mails.iter().flat_map(|mail| &mail.items);
        items.filter(|item| item.event.proxy == proxy).map(|item| item.event.kind).collect::<Vec<_>>()
    };
    assert_eq!(told("b0"), [Kind::Up], "{:#?}", world.mails);
    assert_eq!(told("b1"), [Kind::Down, Kind::Up]);
}

#[test]
fn the_mails_of_an_incident_are_one_thread() {
    let mut world = World::new(USUAL);
    world.say("web", Some("s1"), Kind::Down);
    let root = world.mails[0].message_id.clone();
    world.wait(REMIND + SECOND);
    assert_eq!((world.mails.len(), &world.mails[1].trigger), (2, &Trigger::Reminder));
    world.say("web", Some("s1"), Kind::Up);
    let item = &world.mails[2].items[0];
    let incident = item.incident.as_ref().expect("an incident");
    assert_eq!((incident.since, incident.changes), (start(), 2));
    for mail in &world.mails[1..] {
        assert_eq!((&mail.references, mail.topic.as_str()), (&vec![root.clone()], "web/s1"));
    }
    world.wait(SECOND * 60);
    world.say("web", Some("s1"), Kind::Down);
    assert_eq!(world.mails[3].references, Vec::<String>::new(), "another incident is another thread");
}

#[test]
fn maintenance_of_what_is_down_is_no_news_and_its_end_is() {
    let mut world = World::new(USUAL);
    world.say("web", Some("s1"), Kind::Down);
    world.wait(SECOND * 60);
    world.say("web", Some("s1"), Kind::Maint);
    world.wait(REMIND * 2);
    assert_eq!(world.mails.len(), 1, "nobody is reminded of it: {:#?}", world.mails);
    world.say("web", Some("s1"), Kind::Ready);
    assert_eq!((world.mails.len(), world.mails[1].references.len()), (2, 1));
}

#[test]
fn a_silence_is_told_at_its_end() {
    let mut world = World::new(USUAL);
    world.say("web", Some("s1"), Kind::Down);
    let silence = |world: &World, pattern: &str, time| Silence {
        pattern: pattern.parse().expect("a pattern"),
        until: world.now + time,
        reason: "a new release".into(),
    };
    assert!(world.engine.silence(silence(&world, "web", SECOND * 600)));
    world.wait(SECOND * 60);
    world.say("web", Some("s1"), Kind::Up);
    world.say("web", Some("s2"), Kind::Down);
    world.say("web", Some("s3"), Kind::Down);
    world.say("web", Some("s3"), Kind::Up);
    world.wait(SECOND * 500);
    assert_eq!(world.mails.len(), 1);
    world.say("api", Some("s1"), Kind::Down);
    world.wait(SECOND * 60);
    let mail = &world.mails[2];
    assert_eq!(mail.trigger, Trigger::Silence { pattern: "web".into(), reason: "a new release".into() });
    let told: Vec<(String, Kind, u32)> =
        mail.items.iter().map(|item| (item.event.target_name(), item.event.kind, item.changes)).collect();
    assert_eq!(told.len(), 3);
    for expected in [("web/s1", Kind::Up, 1), ("web/s2", Kind::Down, 1), ("web/s3", Kind::Up, 2)] {
        assert!(told.contains(&(expected.0.to_owned(), expected.1, expected.2)), "{told:?}");
    }
    assert_eq!(mail.references, [world.mails[0].message_id.clone()]);
}

#[test]
fn what_waits_for_the_end_of_a_silence_stays_in_it_when_that_begins_to_flap() {
    let flap = Flap { changes: 3, time: SECOND * 25 };
    let mut world = World::new(Policy { digest: None, flap: Some(flap), remind: None });
    let (pattern, until) = ("web".parse().expect("a pattern"), world.now + SECOND);
    assert!(world.engine.silence(Silence { pattern, until, reason: "r".into() }));
    let began = world.now;
    for kind in [Kind::Drain, Kind::Down, Kind::Up, Kind::Down] {
        world.say("web", Some("s1"), kind);
        world.now += Duration::from_micros(1);
    }
    world.wait(SECOND * 2);
    let item = &world.mails[0].items[0];
    assert_eq!((item.flap_phase, item.changes, item.first), (FlapPhase::Flapping, 4, began));
}

#[test]
fn another_process_goes_on_where_this_one_ends() {
    let mut old = World::new(USUAL);
    for server in ["s1", "s2", "s3", "s4"] {
        old.say("web", Some(server), Kind::Down);
    }
    let id = old.id();
    old.mails.extend(old.engine.flush_all(&id, old.now));
    let snapshot = old.engine.take_snapshot().expect("news");
    assert_eq!(old.engine.take_snapshot(), None);

    let mut new = World::new(USUAL);
    new.now = old.now + SECOND * 3;
    new.engine.inherit(&snapshot, "old", new.now);
    assert_eq!(new.engine.unconfirmed_targets().len(), 4);
    new.say("web", Some("s1"), Kind::Down);
    assert_eq!(
        (new.mails.len(), new.engine.unconfirmed_targets().len()),
        (0, 3),
        "a known open_incident is no news"
    );
    for (server, kind) in [("s2", Kind::Up), ("s3", Kind::Gone), ("s4", Kind::Down)] {
        let event = new.event("web", Some(server), kind);
        let mails = new.engine.confirm(event.clone(), server, new.now);
        new.mails.extend(mails);
        let again = new.engine.confirm(event, &format!("{server}.again"), new.now);
        assert_eq!(again, [], "it was asked once");
    }
    new.wait(SECOND * 10);
    let told: Vec<(Option<&str>, Kind)> = new
        .mails
        .iter()
        .flat_map(|mail| &mail.items)
        .map(|item| (item.event.server.as_deref(), item.event.kind))
        .collect();
    assert_eq!(told, [(Some("s2"), Kind::Up), (Some("s3"), Kind::Gone)]);
    let roots: Vec<&str> = old.mails.iter().map(|mail| mail.message_id.as_str()).collect();
    assert!(new.mails.iter().all(|mail| roots.contains(&mail.references[0].as_str())), "{:#?}", new.mails);
    assert_eq!(new.engine.unconfirmed_targets(), []);
    new.wait(REMIND);
    let reminder = new.mails.last().expect("a mail");
    assert_eq!((&reminder.trigger, reminder.items.len()), (&Trigger::Reminder, 2));
}

/// Both processes of a reload watch the servers for a moment, and the new one looks only now and then at what the old one says.
#[test]
fn what_the_old_process_told_the_end_of_is_news_in_the_new_one() {
    let (mut old, mut new) = (World::new(USUAL), World::new(USUAL));
    for server in ["s1", "s2"] {
        old.say("web", Some(server), Kind::Down);
    }
    old.wait(SECOND * 10);
    new.now = old.now;
    new.engine.inherit(&old.snapshot, "old", new.now);
    old.say("web", Some("s1"), Kind::Up);
    for server in ["s1", "s2"] {
        new.say("web", Some(server), Kind::Down);
    }
    assert_eq!(new.mails, [], "that is what the old one has told, as far as the new one knows");
    old.wait(SECOND * 10);
    assert_eq!(
        old.last_item(&TargetId::of(&old.event("web", Some("s1"), Kind::Up))).map(|item| item.event.kind),
        Some(Kind::Up)
    );
    let look = |new: &mut World| {
        new.engine.inherit(&old.snapshot, "old", new.now);
        let id = new.id();
        new.mails.extend(new.engine.on_timer(&id, new.now));
        new.wait(SECOND * 10);
    };
    look(&mut new);
    let told: Vec<_> = new.mails.iter().flat_map(|mail| &mail.items).collect();
    assert_eq!(told.len(), 1, "{told:?}");
    assert_eq!((told[0].event.server.as_deref(), told[0].event.kind), (Some("s1"), Kind::Down));
    // Once.
    look(&mut new);
    assert_eq!(new.mails.len(), 1);
}

/// The changes of a day in a place with 2,000 servers: single incidents, a release each hour, an outage, some that flap.
#[test]
fn a_day_passes_in_a_second() {
    let mut world = World::new(USUAL);
    let mut random = fastrand::Rng::with_seed(7);
    let began = std::time::Instant::now();
    for minute in 0..24 * 60 {
        let some = |random: &mut fastrand::Rng| {
            (format!("b{}", random.u32(0..100)), format!("s{}", random.u32(0..20)))
        };
        let (backend, server) = some(&mut random);
        world.say(&backend, Some(&server), Kind::Down);
        world.wait(SECOND * random.u32(1..60));
        world.say(&backend, Some(&server), Kind::Up);
        if minute % 60 == 0 {
            for server in 0..20 {
                let server = format!("s{server}");
                for kind in [Kind::Maint, Kind::Ready, Kind::Down, Kind::Up] {
                    world.say(&backend, Some(&server), kind);
                    world.wait(SECOND / 10);
                }
            }
        }
        if minute == 600 {
            for kind in [Kind::Down, Kind::Up] {
                for n in 0..2000 {
                    world.say(&format!("b{}", n / 20), Some(&format!("s{}", n % 20)), kind);
                }
                world.wait(SECOND * 30);
            }
        }
        world.say("flapping", Some("s"), if minute % 2 == 0 { Kind::Down } else { Kind::Up });
        world.wait(SECOND * random.u32(1..60));
    }
    // It takes a tenth of that in a debug build.
    assert!(began.elapsed() < SECOND * 10, "{:?}", began.elapsed());
    assert!(world.mails.len() < 5_000, "{} mails", world.mails.len());
}

/// Something that happens.
#[derive(Debug, Clone)]
enum Step {
    /// Of this server (the last one is the backend as a whole) of this backend.
    Event(u8, u8, Kind),
    Wait(Duration),
    /// The clock is set to another time: so many seconds on.
    Clock(i64),
    Silence(u8, Duration),
    /// What is held must go.
    Give,
    Kill,
}

const SERVERS: u8 = 5;

fn kind() -> impl Strategy<Value = Kind> {
    let rare = prop_oneof![Just(Kind::Maint), Just(Kind::Ready), Just(Kind::Drain), Just(Kind::Nolb)];
    prop_oneof![4 => Just(Kind::Down), 4 => Just(Kind::Up), 1 => rare]
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        12 => (0..3u8, 0..SERVERS, kind()).prop_map(|(proxy, server, kind)| Step::Event(proxy, server, kind)),
        6 => (0..20_000u64).prop_map(|millis| Step::Wait(Duration::from_millis(millis))),
        1 => (0..40_000u64).prop_map(|seconds| Step::Wait(Duration::from_secs(seconds))),
        1 => (0..3u8, 1..3_000u64).prop_map(|(proxy, time)| Step::Silence(proxy, Duration::from_secs(time))),
        1 => Just(Step::Give),
        1 => Just(Step::Kill),
    ]
}

fn policy() -> impl Strategy<Value = Policy> {
    let digest = proptest::option::of((100..60_000u64).prop_map(Duration::from_millis));
    let flap =
        (3..10u32, 1..1_000u64).prop_map(|(changes, time)| Flap { changes, time: Duration::from_secs(time) });
    let remind = proptest::option::of((60..20_000u64).prop_map(Duration::from_secs));
    (digest, proptest::option::of(flap), remind).prop_map(|(digest, flap, remind)| Policy {
        digest,
        flap,
        remind,
    })
}

fn run(world: &mut World, steps: &[Step]) {
    for step in steps {
        match step {
            Step::Event(proxy, server, kind) => {
                let server = (*server < SERVERS - 1).then(|| format!("s{server}"));
                let kind = match (server.is_some(), kind) {
                    (true, kind) => *kind,
                    (false, Kind::Down) => Kind::BackendDown,
                    (false, _) => Kind::BackendUp,
                };
                world.say(&format!("b{proxy}"), server.as_deref(), kind);
                world.now += Duration::from_micros(1);
            }
            Step::Wait(time) => world.wait(*time),
            Step::Clock(seconds) if *seconds >= 0 => world.now += SECOND * *seconds as u32,
            Step::Clock(seconds) => world.now -= SECOND * seconds.unsigned_abs() as u32,
            Step::Silence(proxy, time) => {
                let pattern = format!("b{proxy}").parse().expect("a pattern");
                let silence = Silence { pattern, until: world.now + *time, reason: "r".into() };
                assert!(world.engine.silence(silence));
                world.hand_over();
            }
            Step::Give => {
                let id = world.id();
                world.mails.extend(world.engine.flush_groups(&id, world.now));
                world.hand_over();
            }
            Step::Kill => world.kill(),
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn every_change_is_mentioned_and_the_last_word_is_right(
        policy in policy(),
        steps in proptest::collection::vec(step(), 1..120),
    ) {
        let mut world = World::new(policy);
        run(&mut world, &steps);
        world.wait(Duration::from_secs(24 * 3600));
        let usual = Kinds::usual();
        for (name, last) in world.state.clone() {
            let of_it = |event: &&Event| TargetId::of(event) == name;
            let happened: Vec<&Event> = world.happened.iter().filter(of_it).collect();
            let items: Vec<&Item> = world
                .mails
                .iter()
                .filter(|mail| mail.trigger != Trigger::Reminder)
                .flat_map(|mail| &mail.items)
                .filter(|item| TargetId::of(&item.event) == name)
                .collect();
            // In a mail, or in the count of one.
            for event in happened.iter().filter(|event| usual.has(event.kind)) {
                let is_in = |item: &&&Item| item.first <= event.when && event.when <= item.event.when;
                prop_assert!(items.iter().any(|item| is_in(&item)), "{event:?} is in none of {items:#?}");
            }
            // The last word is right: who was told that it is down knows whether it still is.
            if let Some(item) = world.last_item(&name) {
                if usual.has(last) {
                    prop_assert_eq!(item.event.kind, last);
                }
                let is_up = |kind: Kind| matches!(kind, Kind::Up | Kind::Ready | Kind::Drain | Kind::Nolb | Kind::BackendUp);
                if is_up(last) {
                    prop_assert_ne!(item.event.health, Health::Down);
                }
            }
            // Never two mails for one state: each tells of something that came after all that the one before told of.
            for pair in items.windows(2) {
                let is_new = pair[0].event.when <= pair[1].event.when && pair[0].event != pair[1].event;
                let is_end = pair[1].flap_phase == FlapPhase::Stable;
                prop_assert!(is_new || is_end, "{pair:#?}");
            }
        }
        // Every mail has an id of its own, and refers to mails that there were.
        let ids: Vec<&str> = world.mails.iter().map(|mail| mail.message_id.as_str()).collect();
        prop_assert_eq!(ids.iter().collect::<std::collections::HashSet<_>>().len(), ids.len());
        for (n, mail) in world.mails.iter().enumerate() {
            prop_assert!(mail.references.iter().all(|id| ids[..n].contains(&id.as_str())));
        }
    }

    #[test]
    fn mails_are_bounded_by_time_whatever_happens(
        kinds in proptest::collection::vec((0..40u8, 0..SERVERS, kind(), 0..50u64), 1..2000),
    ) {
        let mut world = World::new(USUAL);
        for (proxy, server, kind, millis) in kinds {
            run(&mut world, &[Step::Event(proxy, server, kind), Step::Wait(Duration::from_millis(millis))]);
        }
        let seconds = world.now.duration_since(start()).expect("time passes").as_secs();
        // One at once, one a digest, and one a second for backends without servers; those flap soon.
        let digests = seconds / DIGEST.as_secs() + 2;
        prop_assert!(world.mails.len() as u64 <= digests + seconds + 2, "{} in {seconds} s", world.mails.len());
        for pair in world.mails.windows(2) {
            let between = pair[1].created.duration_since(pair[0].created).unwrap_or_default();
            let is_urgent = pair[1].items.iter().any(|item| item.event.server.is_none());
            prop_assert!(between >= DIGEST || is_urgent, "{between:?}");
        }
    }

    #[test]
    fn a_clock_that_jumps_neither_loses_nor_floods(
        steps in proptest::collection::vec(
            prop_oneof![4 => step(), 1 => (-100_000..100_000i64).prop_map(Step::Clock)],
            1..100,
        ),
    ) {
        let mut world = World::new(USUAL);
        run(&mut world, &steps);
        let jumps = steps.iter().filter(|step| matches!(step, Step::Clock(_) | Step::Give | Step::Kill)).count();
        let time: Duration = steps.iter().map(|step| if let Step::Wait(time) = step { *time } else { Duration::ZERO }).sum();
        let most = time.as_secs() as usize + 2 * jumps + steps.len();
        prop_assert!(world.mails.len() <= most, "{} mails", world.mails.len());
        let id = world.id();
        world.mails.extend(world.engine.flush_all(&id, world.now));
        world.hand_over();
        prop_assert!(world.engine.is_flushed().all(|is_told| is_told));
        for (name, last) in world.state.clone() {
            if Kinds::usual().has(last) {
                prop_assert_eq!(world.last_item(&name).map(|item| item.event.kind), Some(last));
            }
        }
    }
}

#[test]
fn memory_is_bounded_whatever_the_names() {
    let mut world = World::new(USUAL);
    let all = group::TARGETS as u64 + 5_000;
    for n in 0..all {
        world.say("b", Some(&format!("{n}-{}", "x".repeat(300))), Kind::Down);
    }
    world.wait(SECOND * 10);
    assert_eq!(world.snapshot.audiences[0].1.len(), group::TARGETS);
    let named: u64 = world.mails.iter().map(|mail| mail.items.len() as u64).sum();
    let counted: u64 = world.mails.iter().map(|mail| mail.unnamed).sum();
    assert_eq!(named + counted, all);
    assert!(named < 1_000, "{named} names of 300 characters are too long for a mail");

    // Those that are up again make room.
    for n in 0..all {
        world.say("b", Some(&format!("{n}-{}", "x".repeat(300))), Kind::Up);
    }
    world.wait(SECOND * 10);
    world.say("b", Some("new"), Kind::Down);
    world.wait(SECOND * 10);
    let name = TargetId { proxy: "b".into(), server: Some("new".into()), checks: false };
    assert_eq!(world.last_item(&name).map(|item| item.event.kind), Some(Kind::Down));
}
