// SPDX-License-Identifier: MIT OR Apache-2.0
//! One mail in several attempts: recipients that have it, repeated Message-IDs, the end of its time.

use super::common::{A_WHILE, blow, ends_without_a_trace, mails_of, site, wait_for_counter, with_spool};
use end_to_end::setup::RECIPIENT;
use end_to_end::{Act, Relay, Setup, Spool, Step, storm, until, until_true};
use std::time::Duration;
use std::{fs, thread};

#[test]
fn after_a_crash_only_those_get_a_mail_who_have_not_got_it() {
    let (relay, spool) = (Relay::start(), Spool::new());
    let (others, busy) = (["second@example.com", "third@example.com"], "450 4.2.1 mailbox busy");
    others.iter().for_each(|address| relay.for_recipient(address, Act::reply(busy)));
    let to = format!("{RECIPIENT},{}", others.join(","));
    let setup = spool.of(Setup::mailing_through(&relay).to(&to)).threads(4).jailed();
    let mut haproxy = storm::servers(setup, 1).start();
    let victim = haproxy.worker();
    blow(&haproxy, &storm::down_and_up(0..1)[..1]);
    assert_eq!(relay.wait_for_deliveries(1)[0].recipients, [RECIPIENT]);
    let path = spool.path().join(until("a file", || spool.names_with("mail.").pop()));
    let is_done = || {
        let text = fs::read_to_string(&path).unwrap_or_default();
        let remaining = text.split_once("\"remaining\":[").map(|(_, remaining)| remaining);
        remaining.is_some_and(|remaining| !remaining.contains(RECIPIENT) && remaining.contains(others[0]))
    };
    until_true("the file to say so", is_done);
    haproxy.kill(victim);
    spool.forget_incidents();
    relay.behaves();
    haproxy.start_again();
    let deliveries = relay.wait_for_deliveries(2);
    assert_eq!(deliveries[1].recipients, others);
    let mails = mails_of(&deliveries);
    assert_eq!(mails[0].header("Message-ID"), mails[1].header("Message-ID"));
    assert_eq!(mails[1].to.len(), 3, "it is the same mail");
    relay.expect_no_more_than(2, A_WHILE);
    ends_without_a_trace(haproxy, &spool, vec![victim]);
}

#[test]
fn a_connection_lost_behind_the_final_dot_brings_the_same_message_id_again() {
    let (relay, spool) = (Relay::start(), Spool::new());
    // It has the mail, and its answer is lost.
    relay.at_first(1, Step::Dot, Act::Lose);
    let haproxy = with_spool(&relay, &spool, 1).start();
    blow(&haproxy, &storm::down_and_up(0..1)[..1]);
    let mails = relay.wait_for_mails(2);
    assert_eq!(mails[0].header("Message-ID"), mails[1].header("Message-ID"));
    relay.expect_no_more_than(2, A_WHILE);
    ends_without_a_trace(haproxy, &spool, vec![]);
}

#[test]
fn a_mail_is_given_up_when_its_time_is_over() {
    let (relay, spool) = (Relay::start(), Spool::new());
    relay.goes_away();
    let setup = Setup::mailing_through(&relay).global("email_alert.retry 2s");
    let haproxy = site(spool.of(setup), 20).start();
    let changes = storm::down_and_up(0..20);
    blow(&haproxy, &changes);
    let line = haproxy.log().wait_for("email_alert: gave up after ");
    let why = format!("' to {RECIPIENT}: relay test: connect to {}: Connection refused", relay.address());
    assert!(line.text.contains("s: 'Server servers/s"), "{line:?}");
    assert!(line.text.ends_with(&why), "{line:?}");
    // All of them, not only the one that is tried when the relay has rested.
    wait_for_counter(&haproxy, "failed", changes.len() as u64);
    assert_eq!(haproxy.counters(["waiting"]), [0]);
    spool.wait_until_delivered(|| haproxy.story());
    relay.behaves();
    relay.expect_no_more_than(0, A_WHILE);
    ends_without_a_trace(haproxy, &spool, vec![]);
}

#[test]
fn a_mail_of_a_process_that_is_gone_is_given_up_in_its_time() {
    let (relay, spool) = (Relay::start(), Spool::new());
    relay.goes_away();
    let setup = Setup::mailing_through(&relay).global("email_alert.retry 3s");
    let mut haproxy = site(spool.of(setup), 1).start();
    let victim = haproxy.worker();
    blow(&haproxy, &storm::down_and_up(0..1)[..1]);
    until_true("a file", || spool.mails() == 1);
    haproxy.kill(victim);
    thread::sleep(Duration::from_secs(3));
    haproxy.start_again();
    haproxy.log().wait_for("email_alert: gave up after ");
    spool.wait_until_delivered(|| haproxy.story());
    ends_without_a_trace(haproxy, &spool, vec![victim]);
}
