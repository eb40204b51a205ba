// SPDX-License-Identifier: MIT OR Apache-2.0
//! Properties of the engine that hold for every sequence of events, times and kills.

use super::*;
use proptest::prelude::*;

/// A step of a generated sequence.
#[derive(Debug, Clone)]
pub enum Step {
    /// A change of a backend and server, by number; the last server number stands for the backend as a whole.
    Event(u8, u8, Kind),
    Wait(Duration),
    /// The clock jumps by so many seconds.
    Clock(i64),
    Silence(u8, Duration),
    /// All pending items are flushed.
    Flush,
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
        1 => Just(Step::Flush),
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

pub fn run(sim: &mut Simulation, steps: &[Step]) {
    for step in steps {
        match step {
            Step::Event(proxy, server, kind) => {
                let server = (*server < SERVERS - 1).then(|| format!("s{server}"));
                let kind = match (server.is_some(), kind) {
                    (true, kind) => *kind,
                    (false, Kind::Down) => Kind::BackendDown,
                    (false, _) => Kind::BackendUp,
                };
                sim.change(&format!("b{proxy}"), server.as_deref(), kind);
                sim.now += Duration::from_micros(1);
            }
            Step::Wait(time) => sim.advance(*time),
            Step::Clock(seconds) if *seconds >= 0 => sim.now += SECOND * *seconds as u32,
            Step::Clock(seconds) => sim.now -= SECOND * seconds.unsigned_abs() as u32,
            Step::Silence(proxy, time) => {
                let pattern = format!("b{proxy}").parse().expect("a pattern");
                let silence = Silence { pattern, until: sim.now + *time, reason: "r".into() };
                assert!(sim.engine.add_silence(silence));
                sim.save_state();
            }
            Step::Flush => {
                let mail_id = sim.mail_id();
                sim.mails.extend(sim.engine.flush_groups(&mail_id, sim.now));
                sim.save_state();
            }
            Step::Kill => sim.kill_and_restart(),
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn every_change_is_reported_and_the_last_reported_state_is_right(
        policy in policy(),
        steps in proptest::collection::vec(step(), 1..120),
    ) {
        let mut sim = Simulation::new(policy);
        run(&mut sim, &steps);
        sim.advance(Duration::from_secs(24 * 3600));
        let usual = Kinds::usual();
        for (target, last) in sim.state.clone() {
            let of_target = |event: &&Event| TargetId::of(event) == target;
            let changes: Vec<&Event> = sim.events.iter().filter(of_target).collect();
            let items: Vec<&Item> = sim
                .mails
                .iter()
                .filter(|mail| mail.trigger != Trigger::Reminder)
                .flat_map(|mail| &mail.items)
                .filter(|item| TargetId::of(&item.event) == target)
                .collect();
            // Every change is named in a mail, or counted by one.
            for event in changes.iter().filter(|event| usual.has(event.kind)) {
                let is_in = |item: &&&Item| item.first <= event.when && event.when <= item.event.when;
                prop_assert!(items.iter().any(|item| is_in(&item)), "{event:?} is in none of {items:#?}");
            }
            // The last reported state is right: a recipient of a DOWN mail also gets its end.
            if let Some(item) = sim.last_item(&target) {
                if usual.has(last) {
                    prop_assert_eq!(item.event.kind, last);
                }
                let is_up = |kind: Kind| matches!(kind, Kind::Up | Kind::Ready | Kind::Drain | Kind::Nolb | Kind::BackendUp);
                if is_up(last) {
                    prop_assert_ne!(item.event.health, Health::Down);
                }
            }
            // No two mails report one state: each has an event that is later than those of the mail before.
            for pair in items.windows(2) {
                let is_new = pair[0].event.when <= pair[1].event.when && pair[0].event != pair[1].event;
                let is_end = pair[1].flap_phase == FlapPhase::Stable;
                prop_assert!(is_new || is_end, "{pair:#?}");
            }
        }
        // Message-IDs are unique, and references name earlier mails.
        let ids: Vec<&str> = sim.mails.iter().map(|mail| mail.message_id.as_str()).collect();
        prop_assert_eq!(ids.iter().collect::<std::collections::HashSet<_>>().len(), ids.len());
        for (n, mail) in sim.mails.iter().enumerate() {
            prop_assert!(mail.references.iter().all(|id| ids[..n].contains(&id.as_str())));
        }
    }

    #[test]
    fn number_of_mails_is_bounded_by_time(
        kinds in proptest::collection::vec((0..40u8, 0..SERVERS, kind(), 0..50u64), 1..2000),
    ) {
        let mut sim = Simulation::new(DEFAULT_POLICY);
        for (proxy, server, kind, millis) in kinds {
            run(&mut sim, &[Step::Event(proxy, server, kind), Step::Wait(Duration::from_millis(millis))]);
        }
        let seconds = sim.now.duration_since(start()).expect("time passes").as_secs();
        // One mail at once, one for each digest, and one a second for backends without servers; those flap soon.
        let digests = seconds / DIGEST.as_secs() + 2;
        prop_assert!(sim.mails.len() as u64 <= digests + seconds + 2, "{} in {seconds} s", sim.mails.len());
        for pair in sim.mails.windows(2) {
            let between = pair[1].created.duration_since(pair[0].created).unwrap_or_default();
            let is_urgent = pair[1].items.iter().any(|item| item.event.server.is_none());
            prop_assert!(between >= DIGEST || is_urgent, "{between:?}");
        }
    }

    #[test]
    fn clock_jumps_neither_lose_changes_nor_flood(
        steps in proptest::collection::vec(
            prop_oneof![4 => step(), 1 => (-100_000..100_000i64).prop_map(Step::Clock)],
            1..100,
        ),
    ) {
        let mut sim = Simulation::new(DEFAULT_POLICY);
        run(&mut sim, &steps);
        let jumps = steps.iter().filter(|step| matches!(step, Step::Clock(_) | Step::Flush | Step::Kill)).count();
        let time: Duration = steps.iter().map(|step| if let Step::Wait(time) = step { *time } else { Duration::ZERO }).sum();
        let most = time.as_secs() as usize + 2 * jumps + steps.len();
        prop_assert!(sim.mails.len() <= most, "{} mails", sim.mails.len());
        let mail_id = sim.mail_id();
        sim.mails.extend(sim.engine.flush_all(&mail_id, sim.now));
        sim.save_state();
        prop_assert!(sim.engine.is_flushed().all(|is_flushed| is_flushed));
        for (target, last) in sim.state.clone() {
            if Kinds::usual().has(last) {
                prop_assert_eq!(sim.last_item(&target).map(|item| item.event.kind), Some(last));
            }
        }
    }
}
