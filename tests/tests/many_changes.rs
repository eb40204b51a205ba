// SPDX-License-Identifier: MIT OR Apache-2.0
//! No change is lost and none is mailed twice, however many there are.

use std::collections::HashMap;

use end_to_end::{Backend, Relay, Setup, wait::within};

#[test]
fn three_hundred_single_changes_are_three_hundred_mails() {
    const CHANGES: usize = 300;
    let (relay, [changing, steady]) = (Relay::start(), [Backend::http(), Backend::http()]);
    let server =
        |name: &str, backend: &Backend| format!("server {name} {} check inter 30ms", backend.address());
    let haproxy = Setup::mailing_through(&relay)
        .backend("servers", &["option httpchk", &server("changing", &changing), &server("steady", &steady)])
        .threads(4)
        .jailed()
        .start();
    for change in 1..=CHANGES {
        changing.answers(if change % 2 == 1 { 503 } else { 200 });
        let is_logged = || (haproxy.log().state_changes().len() == change).then_some(());
        assert!(
            within(end_to_end::patience(), is_logged).is_some(),
            "change {change}\n{}",
            haproxy.log().story()
        );
    }
    let mails = relay.wait_for_mails(CHANGES);
    relay.expect_no_more_than(CHANGES, std::time::Duration::from_millis(500));

    let mut sentences: HashMap<String, i32> = HashMap::new();
    haproxy.log().state_changes().into_iter().for_each(|line| *sentences.entry(line.text).or_default() += 1);
    mails.iter().for_each(|mail| *sentences.entry(mail.first_line().to_owned()).or_default() -= 1);
    sentences.retain(|_, difference| *difference != 0);
    assert!(sentences.is_empty(), "in the log and not in a mail (or the other way): {sentences:#?}");

    let ids: std::collections::HashSet<_> = mails.iter().map(|mail| mail.header("Message-ID")).collect();
    assert_eq!(ids.len(), CHANGES);
    let events: Vec<_> = mails.iter().map(|mail| mail.event()).collect();
    assert!(events.chunks(2).all(|pair| pair == ["down", "up"]), "not in order: {events:?}");
}
