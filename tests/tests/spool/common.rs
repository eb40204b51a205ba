// SPDX-License-Identifier: MIT OR Apache-2.0
//! Steps and expectations that all tests of the spool share.

use end_to_end::haproxy::Signal;
use end_to_end::relay::Delivery;
use end_to_end::storm::{Asked, Change};
use end_to_end::wait::within;
use end_to_end::{Haproxy, ParsedMail, Relay, Setup, Spool, patience, storm};
use std::collections::BTreeMap;
use std::fs;
use std::time::Duration;

/// Long enough for the spool to be looked at again, and for a second mail to show.
pub const A_WHILE: Duration = Duration::from_millis(1500);

/// HAProxy in its jail, with so many servers that go down and up by command.
pub fn site(setup: Setup, servers: usize) -> Setup {
    storm::servers(setup.events("down,up").threads(4).jailed(), servers)
}

pub fn with_spool(relay: &Relay, spool: &Spool, servers: usize) -> Setup {
    site(spool.of(Setup::mailing_through(relay)), servers)
}

/// All of them are acknowledged.
#[track_caller]
pub fn blow(haproxy: &Haproxy, changes: &[Change]) -> Vec<Asked> {
    let asked = storm::blow(&haproxy.cli_socket(), changes, 4, &|_| ());
    let acknowledged = asked.iter().filter(|asked| asked.acknowledged.is_some()).count();
    assert_eq!(acknowledged, changes.len(), "{}", haproxy.story());
    asked
}

#[track_caller]
pub fn wait_for_counter(haproxy: &Haproxy, name: &str, value: u64) {
    let settled = within(patience() * 2, || (haproxy.counters([name]) == [value]).then_some(()));
    assert!(settled.is_some(), "{name} is not {value}: {}", haproxy.cli("show email-alert"));
}

pub fn mails_of(deliveries: &[Delivery]) -> Vec<ParsedMail> {
    deliveries.iter().map(Delivery::mail).collect()
}

/// Each of these changes was mailed exactly once, and nothing else was.
#[track_caller]
pub fn expect_each_once(relay: &Relay, asked: &[Asked]) {
    let tally = storm::check(asked, &mails_of(&relay.deliveries()), |_| true);
    assert_eq!(tally.unwrap_or_else(|fault| panic!("{fault}")).twice, 0);
}

/// Each server went down first, and was up and down in turns.
#[track_caller]
pub fn expect_order(mails: &[ParsedMail]) {
    let mut last: BTreeMap<String, &str> = BTreeMap::new();
    for mail in mails {
        let Change { server, state } = Change::of(mail);
        let before = last.insert(server.clone(), state).unwrap_or("up");
        assert_ne!(before, state, "{server} is {state} twice");
    }
}

/// In kilobytes, from `/proc`.
pub fn memory(pid: i32, name: &str) -> u64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).expect("a process");
    let value = status.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
    value.and_then(|value| value.trim().strip_suffix(" kB")?.parse().ok()).expect("a size")
}

/// Ends it in order, after which nothing is left.
#[track_caller]
pub fn ends_without_a_trace(mut haproxy: Haproxy, spool: &Spool, mut pids: Vec<i32>) {
    pids.push(haproxy.worker());
    haproxy.signal(Signal::SIGUSR1);
    haproxy.wait_for_end();
    haproxy.wait_until_processes_are(0);
    spool.expect_no_trace_of(&pids);
}

/// The lines of the log about the spool.
pub fn lines_about(haproxy: &Haproxy, spool: &Spool, words: &str) -> usize {
    haproxy.log().lines_with(&format!("email_alert: spool {}: {words}", spool.path().display())).len()
}

#[track_caller]
pub fn wait_for_line_about(haproxy: &Haproxy, spool: &Spool, words: &str) {
    haproxy.log().wait_for(&format!("email_alert: spool {}: {words}", spool.path().display()));
}

/// So many changes of a hundred servers, each of which goes down and up in turns.
pub fn many_changes(count: usize) -> Vec<Change> {
    (0..count / 200).flat_map(|_| storm::down_and_up(0..100)).collect()
}
