// SPDX-License-Identifier: MIT OR Apache-2.0
//! Tests of groups: digests, threads, maintenance, limits.

use super::*;

#[test]
fn thousand_servers_down_make_three_mails_and_up_two() {
    let mut sim = Simulation::new(DEFAULT_POLICY);
    for n in 0..1000u32 {
        let (backend, server) = (format!("b{}", n % 10), format!("s{n}"));
        let mut events = vec![sim.event(&backend, Some(&server), Kind::Down)];
        events[0].usable = Some(Usable { active: 99 - n / 10, backup: 0 });
        if n >= 990 {
            events.push(sim.event(&backend, None, Kind::BackendDown));
        }
        sim.handle(events);
        sim.advance(SECOND / 1000);
    }
    sim.advance(SECOND * 10);
    let named: usize = sim.mails.iter().map(|mail| mail.items.len()).sum();
    assert_eq!((sim.mails.len(), named), (3, 1010));
    assert_eq!(sim.mails[0].items.len(), 1, "the first change is sent at once");
    assert!(sim.mails[1].sizes.iter().all(|(_, size)| *size == 100), "{:?}", sim.mails[1].sizes);
    let downs: Vec<String> = sim.mails.iter().map(|mail| mail.message_id.clone()).collect();
    assert_eq!(sim.mails[2].topic, "9 backends (9 servers)");

    for n in 0..1000u32 {
        let (backend, server) = (format!("b{}", n % 10), format!("s{n}"));
        let mut events = vec![sim.event(&backend, Some(&server), Kind::Up)];
        if n < 10 {
            events.push(sim.event(&backend, None, Kind::BackendUp));
        }
        sim.handle(events);
        sim.advance(SECOND / 1000);
    }
    sim.advance(SECOND * 10);
    let ups = &sim.mails[3..];
    assert_eq!((ups.len(), ups.iter().map(|mail| mail.items.len()).sum::<usize>()), (2, 1010));
    assert_eq!(ups[0].references, downs[..2]);
    assert_eq!(ups[1].references, downs[1..]);
    assert!(ups.iter().flat_map(|mail| &mail.items).all(|item| item.incident.is_some()));
}

#[test]
fn mails_of_an_incident_share_one_thread() {
    let mut sim = Simulation::new(DEFAULT_POLICY);
    sim.change("web", Some("s1"), Kind::Down);
    let root = sim.mails[0].message_id.clone();
    sim.advance(REMIND + SECOND);
    assert_eq!((sim.mails.len(), &sim.mails[1].trigger), (2, &Trigger::Reminder));
    sim.change("web", Some("s1"), Kind::Up);
    let item = &sim.mails[2].items[0];
    let incident = item.incident.as_ref().expect("an incident");
    assert_eq!((incident.since, incident.changes), (start(), 2));
    for mail in &sim.mails[1..] {
        assert_eq!((&mail.references, mail.topic.as_str()), (&vec![root.clone()], "web/s1"));
    }
    sim.advance(SECOND * 60);
    sim.change("web", Some("s1"), Kind::Down);
    assert_eq!(sim.mails[3].references, Vec::<String>::new(), "another incident is another thread");
}

#[test]
fn maintenance_of_a_down_server_is_not_reported_and_its_end_is() {
    let mut sim = Simulation::new(DEFAULT_POLICY);
    sim.change("web", Some("s1"), Kind::Down);
    sim.advance(SECOND * 60);
    sim.change("web", Some("s1"), Kind::Maint);
    sim.advance(REMIND * 2);
    assert_eq!(sim.mails.len(), 1, "there are no reminders: {:#?}", sim.mails);
    sim.change("web", Some("s1"), Kind::Ready);
    assert_eq!((sim.mails.len(), sim.mails[1].references.len()), (2, 1));
}

/// Changes of a day with 2,000 servers: single incidents, a release each hour, an outage, a flapping server.
#[test]
fn day_with_two_thousand_servers_is_fast_and_makes_few_mails() {
    let mut sim = Simulation::new(DEFAULT_POLICY);
    let mut random = fastrand::Rng::with_seed(7);
    let began = std::time::Instant::now();
    for minute in 0..24 * 60 {
        let some = |random: &mut fastrand::Rng| {
            (format!("b{}", random.u32(0..100)), format!("s{}", random.u32(0..20)))
        };
        let (backend, server) = some(&mut random);
        sim.change(&backend, Some(&server), Kind::Down);
        sim.advance(SECOND * random.u32(1..60));
        sim.change(&backend, Some(&server), Kind::Up);
        if minute % 60 == 0 {
            for server in 0..20 {
                let server = format!("s{server}");
                for kind in [Kind::Maint, Kind::Ready, Kind::Down, Kind::Up] {
                    sim.change(&backend, Some(&server), kind);
                    sim.advance(SECOND / 10);
                }
            }
        }
        if minute == 600 {
            for kind in [Kind::Down, Kind::Up] {
                for n in 0..2000 {
                    sim.change(&format!("b{}", n / 20), Some(&format!("s{}", n % 20)), kind);
                }
                sim.advance(SECOND * 30);
            }
        }
        sim.change("flapping", Some("s"), if minute % 2 == 0 { Kind::Down } else { Kind::Up });
        sim.advance(SECOND * random.u32(1..60));
    }
    // A debug build takes a tenth of this time.
    assert!(began.elapsed() < SECOND * 10, "{:?}", began.elapsed());
    assert!(sim.mails.len() < 5_000, "{} mails", sim.mails.len());
}

#[test]
fn number_of_tracked_targets_is_bounded() {
    let mut sim = Simulation::new(DEFAULT_POLICY);
    let all = group::MAX_TARGETS as u64 + 5_000;
    for n in 0..all {
        sim.change("b", Some(&format!("{n}-{}", "x".repeat(300))), Kind::Down);
    }
    sim.advance(SECOND * 10);
    assert_eq!(sim.snapshot.audiences[0].1.len(), group::MAX_TARGETS);
    let named: u64 = sim.mails.iter().map(|mail| mail.items.len() as u64).sum();
    let counted: u64 = sim.mails.iter().map(|mail| mail.unnamed).sum();
    assert_eq!(named + counted, all);
    assert!(named < 1_000, "{named} names of 300 characters are too long for a mail");

    // Idle targets are evicted: the servers that are up again.
    for n in 0..all {
        sim.change("b", Some(&format!("{n}-{}", "x".repeat(300))), Kind::Up);
    }
    sim.advance(SECOND * 10);
    sim.change("b", Some("new"), Kind::Down);
    sim.advance(SECOND * 10);
    let target = TargetId { proxy: "b".into(), server: Some("new".into()), is_check: false };
    assert_eq!(sim.last_item(&target).map(|item| item.event.kind), Some(Kind::Down));
}
