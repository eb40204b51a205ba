// SPDX-License-Identifier: MIT OR Apache-2.0
//! Thousands of mails for a relay that is away: all are delivered, in bounded memory.

use super::common::{
    blow, ends_without_a_trace, expect_order, many_changes, memory, site, wait_for_counter, with_spool,
};
use end_to_end::spool::memory_of;
use end_to_end::wait::within;
use end_to_end::{ParsedMail, Relay, Setup, Spool, patience, storm, until_true};
use std::collections::BTreeSet;
use std::time::Instant;

const MANY: usize = 10_000;

#[test]
fn ten_thousand_changes_wait_for_a_relay_that_is_away() {
    let (relay, spool) = (Relay::start(), Spool::new());
    relay.goes_away();
    let haproxy = with_spool(&relay, &spool, 100).start();
    let worker = haproxy.worker();
    let before = memory(worker, "VmRSS");
    let start = Instant::now();
    blow(&haproxy, &many_changes(MANY));
    println!("{MANY} changes in {:?}", start.elapsed());
    wait_for_counter(&haproxy, "waiting", MANY as u64);
    until_true("all to be in the spool", || spool.mails() == MANY);
    assert_eq!(haproxy.counters(["accepted", "dropped"]), [MANY as u64, 0]);

    relay.behaves();
    let all = || (relay.mail_count() >= MANY).then_some(());
    assert!(within(patience() * 6, all).is_some(), "{} mails\n{}", relay.mail_count(), haproxy.story());
    spool.wait_until_delivered(|| haproxy.story());
    let mails = relay.mails();
    assert_eq!(mails.len(), MANY);
    assert_eq!(mails.iter().map(|mail| mail.header("Message-ID")).collect::<BTreeSet<_>>().len(), MANY);
    expect_order(&mails);
    let grown = memory(worker, "VmHWM") - before;
    println!("the worker had {before} kB, and {grown} kB more at most");
    assert!(grown < 32 * 1024, "the worker grew by {grown} kB");
    ends_without_a_trace(haproxy, &spool, vec![]);
}

#[test]
fn ten_thousand_mails_of_a_killed_process_are_taken_over_in_bounded_memory() {
    let (relay, spool) = (Relay::start(), Spool::new());
    relay.goes_away();
    let mut haproxy = with_spool(&relay, &spool, 100).start();
    let victim = haproxy.worker();
    blow(&haproxy, &many_changes(MANY));
    haproxy.kill(victim);
    haproxy.start_again();
    let worker = haproxy.worker();
    wait_for_counter(&haproxy, "waiting", MANY as u64);
    until_true("all to be taken over", || spool.names_with("owner.").len() == 1);
    assert_eq!(memory_of(victim), [""; 0]);
    let peak = memory(worker, "VmHWM");
    println!("the worker had {peak} kB at most");
    assert!(peak < 64 * 1024, "the worker had {peak} kB");
    relay.behaves();
    let all = || (relay.mail_count() >= MANY).then_some(());
    assert!(within(patience() * 6, all).is_some(), "{} mails\n{}", relay.mail_count(), haproxy.story());
    spool.wait_until_delivered(|| haproxy.story());
    let mails = relay.mails();
    assert_eq!(mails.len(), MANY);
    expect_order(&mails);
    ends_without_a_trace(haproxy, &spool, vec![victim]);
}

#[test]
fn without_a_spool_the_least_important_of_too_many_mails_go() {
    const LIMIT: usize = 10_000;
    const DROPPED: usize = 200;
    let relay = Relay::start();
    relay.goes_away();
    let (haproxy, start) = (site(Setup::mailing_through(&relay), 101).start(), Instant::now());
    blow(&haproxy, &many_changes(LIMIT + DROPPED));
    wait_for_counter(&haproxy, "waiting", LIMIT as u64);
    // The first of them is told at once, and the others within a minute.
    haproxy.log().wait_for(
        "mails were dropped, the least important first: 10000, or 32 MiB of them, wait for a relay in memory",
    );
    assert_eq!(haproxy.counters(["dropped"]), [0], "the queue was never full");
    wait_for_counter(&haproxy, "failed", DROPPED as u64);
    relay.behaves();
    let all = || (relay.mail_count() >= LIMIT).then_some(());
    assert!(within(patience() * 6, all).is_some(), "{} mails\n{}", relay.mail_count(), haproxy.story());
    let mails = relay.mails();
    let downs = mails.iter().filter(|mail| mail.event() == "down").count();
    assert_eq!(
        (mails.len(), downs),
        (LIMIT, (LIMIT + DROPPED) / 2),
        "only mails of servers that came back went"
    );
    // The next mail tells of those that no other mail has told of.
    blow(&haproxy, &storm::down_and_up(100..101)[..1]);
    until_true("one more mail", || relay.mail_count() > LIMIT);
    let told = |mail: &ParsedMail| -> Option<usize> {
        let text = mail.text.split_whitespace().collect::<Vec<_>>().join(" ");
        assert!(
            !text.contains(" more alert") || text.contains(": too many came at once, or were waiting"),
            "{text}"
        );
        text.split_once(" more alert")?.0.rsplit(' ').next()?.parse().ok()
    };
    assert_eq!(relay.mails().iter().filter_map(told).sum::<usize>(), DROPPED);
    let lines = haproxy.log().lines_with("mails were dropped").len() as u64;
    assert!(
        (1..=1 + start.elapsed().as_secs() / 60).contains(&lines),
        "{lines} lines in {:?}",
        start.elapsed()
    );
}
