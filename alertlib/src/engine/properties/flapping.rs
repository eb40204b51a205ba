// SPDX-License-Identifier: MIT OR Apache-2.0
//! Tests of flapping targets.

use super::*;

#[test]
fn flapping_server_makes_two_mails_and_one_when_it_is_stable() {
    let mut sim = Simulation::new(DEFAULT_POLICY);
    for n in 0..150 {
        sim.change("web", Some("s1"), if n % 2 == 0 { Kind::Down } else { Kind::Up });
        sim.advance(SECOND * 2 / 5);
    }
    assert_eq!(sim.mails.len(), 2, "{:#?}", sim.mails);
    assert_eq!((sim.mails[1].items[0].flap_phase, sim.mails[1].items[0].changes), (FlapPhase::Flapping, 13));
    sim.advance(SECOND * 3600);
    let last = sim.mails.last().expect("a mail");
    assert_eq!(sim.mails.len(), 3);
    let item = &last.items[0];
    assert_eq!((item.flap_phase, item.changes, item.event.kind), (FlapPhase::Stable, 150, Kind::Up));
    assert_eq!(last.references, [sim.mails[0].message_id.clone()]);
}
