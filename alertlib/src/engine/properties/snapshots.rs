// SPDX-License-Identifier: MIT OR Apache-2.0
//! Tests of snapshots: a process continues the work of another one.

use super::*;

#[test]
fn next_process_continues_from_the_snapshot() {
    let mut old = Simulation::new(DEFAULT_POLICY);
    for server in ["s1", "s2", "s3", "s4"] {
        old.change("web", Some(server), Kind::Down);
    }
    let mail_id = old.mail_id();
    old.mails.extend(old.engine.flush_all(&mail_id, old.now));
    let snapshot = old.engine.take_snapshot().expect("a snapshot");
    assert_eq!(old.engine.take_snapshot(), None);

    let mut new = Simulation::new(DEFAULT_POLICY);
    new.now = old.now + SECOND * 3;
    new.engine.inherit(&snapshot, "old", new.now);
    assert_eq!(new.engine.unconfirmed_targets().len(), 4);
    new.change("web", Some("s1"), Kind::Down);
    assert_eq!(
        (new.mails.len(), new.engine.unconfirmed_targets().len()),
        (0, 3),
        "a known incident is not reported again"
    );
    for (server, kind) in [("s2", Kind::Up), ("s3", Kind::Gone), ("s4", Kind::Down)] {
        let event = new.event("web", Some(server), kind);
        let mails = new.engine.confirm(event.clone(), server, new.now);
        new.mails.extend(mails);
        let again = new.engine.confirm(event, &format!("{server}.again"), new.now);
        assert_eq!(again, [], "a target is confirmed once");
    }
    new.advance(SECOND * 10);
    let reported: Vec<(Option<&str>, Kind)> = new
        .mails
        .iter()
        .flat_map(|mail| &mail.items)
        .map(|item| (item.event.server.as_deref(), item.event.kind))
        .collect();
    assert_eq!(reported, [(Some("s2"), Kind::Up), (Some("s3"), Kind::Gone)]);
    let roots: Vec<&str> = old.mails.iter().map(|mail| mail.message_id.as_str()).collect();
    assert!(new.mails.iter().all(|mail| roots.contains(&mail.references[0].as_str())), "{:#?}", new.mails);
    assert_eq!(new.engine.unconfirmed_targets(), []);
    new.advance(REMIND);
    let reminder = new.mails.last().expect("a mail");
    assert_eq!((&reminder.trigger, reminder.items.len()), (&Trigger::Reminder, 2));
}

/// Both processes of a reload watch the servers for a moment. The new one reads the snapshot of the old one only now and then.
#[test]
fn incident_resolved_by_the_old_process_begins_anew_in_the_new_one() {
    let (mut old, mut new) = (Simulation::new(DEFAULT_POLICY), Simulation::new(DEFAULT_POLICY));
    for server in ["s1", "s2"] {
        old.change("web", Some(server), Kind::Down);
    }
    old.advance(SECOND * 10);
    new.now = old.now;
    new.engine.inherit(&old.snapshot, "old", new.now);
    old.change("web", Some("s1"), Kind::Up);
    for server in ["s1", "s2"] {
        new.change("web", Some(server), Kind::Down);
    }
    assert_eq!(new.mails, [], "according to the snapshot, the old process has reported these incidents");
    old.advance(SECOND * 10);
    assert_eq!(
        old.last_item(&TargetId::of(&old.event("web", Some("s1"), Kind::Up))).map(|item| item.event.kind),
        Some(Kind::Up)
    );
    let read_snapshot = |new: &mut Simulation| {
        new.engine.inherit(&old.snapshot, "old", new.now);
        let mail_id = new.mail_id();
        new.mails.extend(new.engine.on_timer(&mail_id, new.now));
        new.advance(SECOND * 10);
    };
    read_snapshot(&mut new);
    let reported: Vec<_> = new.mails.iter().flat_map(|mail| &mail.items).collect();
    assert_eq!(reported.len(), 1, "{reported:?}");
    assert_eq!((reported[0].event.server.as_deref(), reported[0].event.kind), (Some("s1"), Kind::Down));
    // A second reading reports nothing.
    read_snapshot(&mut new);
    assert_eq!(new.mails.len(), 1);
}
