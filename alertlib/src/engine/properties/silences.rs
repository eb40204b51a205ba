// SPDX-License-Identifier: MIT OR Apache-2.0
//! Tests of silences.

use super::sequences::{Step, run};
use super::*;

#[test]
fn changes_during_a_silence_are_reported_at_its_end() {
    let mut sim = Simulation::new(DEFAULT_POLICY);
    sim.change("web", Some("s1"), Kind::Down);
    let silence = |sim: &Simulation, pattern: &str, time| Silence {
        pattern: pattern.parse().expect("a pattern"),
        until: sim.now + time,
        reason: "a new release".into(),
    };
    assert!(sim.engine.add_silence(silence(&sim, "web", SECOND * 600)));
    sim.advance(SECOND * 60);
    sim.change("web", Some("s1"), Kind::Up);
    sim.change("web", Some("s2"), Kind::Down);
    sim.change("web", Some("s3"), Kind::Down);
    sim.change("web", Some("s3"), Kind::Up);
    sim.advance(SECOND * 500);
    assert_eq!(sim.mails.len(), 1);
    sim.change("api", Some("s1"), Kind::Down);
    sim.advance(SECOND * 60);
    let mail = &sim.mails[2];
    assert_eq!(mail.trigger, Trigger::Silence { pattern: "web".into(), reason: "a new release".into() });
    let reported: Vec<(String, Kind, u32)> =
        mail.items.iter().map(|item| (item.event.target_name(), item.event.kind, item.changes)).collect();
    assert_eq!(reported.len(), 3);
    for expected in [("web/s1", Kind::Up, 1), ("web/s2", Kind::Down, 1), ("web/s3", Kind::Up, 2)] {
        assert!(reported.contains(&(expected.0.to_owned(), expected.1, expected.2)), "{reported:?}");
    }
    assert_eq!(mail.references, [sim.mails[0].message_id.clone()]);
}

#[test]
fn silenced_item_keeps_its_changes_when_the_target_begins_to_flap() {
    let flap = Flap { changes: 3, time: SECOND * 25 };
    let mut sim = Simulation::new(Policy { digest: None, flap: Some(flap), remind: None });
    let (pattern, until) = ("web".parse().expect("a pattern"), sim.now + SECOND);
    assert!(sim.engine.add_silence(Silence { pattern, until, reason: "r".into() }));
    let began = sim.now;
    for kind in [Kind::Drain, Kind::Down, Kind::Up, Kind::Down] {
        sim.change("web", Some("s1"), kind);
        sim.now += Duration::from_micros(1);
    }
    sim.advance(SECOND * 2);
    let item = &sim.mails[0].items[0];
    assert_eq!((item.flap_phase, item.changes, item.first), (FlapPhase::Flapping, 4, began));
}

/// The process is killed after the end of the silence, while an item of another target waits for the digest.
#[test]
fn end_of_silence_is_reported_once_despite_a_kill() {
    let mut sim = Simulation::new(DEFAULT_POLICY);
    let steps = [
        Step::Silence(0, SECOND * 4),
        Step::Event(1, 0, Kind::Down),
        Step::Event(1, 0, Kind::Up),
        Step::Event(0, 0, Kind::Up),
        Step::Wait(SECOND * 9 / 2),
        Step::Kill,
        Step::Wait(SECOND * 10),
    ];
    run(&mut sim, &steps);
    let reported = |proxy: &str| {
        let items = sim.mails.iter().flat_map(|mail| &mail.items);
        items.filter(|item| item.event.proxy == proxy).map(|item| item.event.kind).collect::<Vec<_>>()
    };
    assert_eq!(reported("b0"), [Kind::Up], "{:#?}", sim.mails);
    assert_eq!(reported("b1"), [Kind::Down, Kind::Up]);
}
