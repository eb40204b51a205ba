// SPDX-License-Identifier: MIT OR Apache-2.0
//! The end of a process by a signal or a reload: each mail is delivered once, within the bound or by the next process.

use super::common::{
    A_WHILE, blow, ends_without_a_trace, expect_each_once, mails_of, wait_for_line_about, with_spool,
};
use end_to_end::cli::Conversation;
use end_to_end::haproxy::Signal;
use end_to_end::spool::memory_of;
use end_to_end::storm::Asked;
use end_to_end::{Act, Haproxy, Mode, Relay, Spool, Step, storm, until_true};
use std::path::Path;
use std::time::{Duration, Instant};
use std::{fs, thread};

/// HAProxy promises to end this soon after SIGTERM with alerts pending.
const TERM_BOUND: Duration = Duration::from_secs(1);
/// HAProxy promises to end this soon after its last connection in a soft stop with alerts pending.
const SOFT_STOP_BOUND: Duration = Duration::from_secs(5);
/// Time that a busy machine may add to a bound.
const SLACK: Duration = Duration::from_millis(2500);

#[test]
fn sigterm_in_a_storm_delivers_within_its_bound_or_by_the_next_start() {
    // Some is delivered in that second, and some is not.
    signalled_in_a_storm(Signal::SIGTERM, Duration::from_millis(10), TERM_BOUND);
}

#[test]
fn sigusr1_in_a_storm_delivers_within_its_bound_or_by_the_next_start() {
    signalled_in_a_storm(Signal::SIGUSR1, Duration::from_millis(50), SOFT_STOP_BOUND);
}

fn signalled_in_a_storm(signal: Signal, each_mail_takes: Duration, bound: Duration) {
    const SERVERS: usize = 200;
    let (relay, spool) = (Relay::start(), Spool::new());
    relay.at(Step::Dot, Act::Wait(each_mail_takes));
    let mut haproxy = with_spool(&relay, &spool, SERVERS).start();
    let victim = haproxy.worker();
    let told = std::sync::Mutex::new(None);
    let asked = storm::blow(&haproxy.cli_socket(), &storm::down_and_up(0..SERVERS), 4, &|acknowledged| {
        if acknowledged == SERVERS {
            *told.lock().unwrap() = Some(Instant::now());
            haproxy.signal(signal);
        }
        // After SIGTERM it goes on until the end, and beyond.
        thread::sleep(Duration::from_millis(if signal == Signal::SIGTERM { 15 } else { 1 }));
    });
    let told = told.into_inner().unwrap().expect("a signal");
    let end = haproxy.wait_for_end();
    assert!(end.took < bound + SLACK, "{end:?}");
    let first = relay.mail_count();
    assert!((1..SERVERS * 2).contains(&first), "{first} mails\n{}", haproxy.story());
    relay.behaves();
    haproxy.start_again();
    spool.wait_until_delivered(|| haproxy.story());
    // A soft stop: what an old process still sees is for the new one to tell.
    let is_owed =
        |asked: &Asked| signal == Signal::SIGTERM || asked.acknowledged.is_some_and(|when| when < told);
    let tally = storm::check(&asked, &mails_of(&relay.deliveries()), is_owed);
    let tally = tally.unwrap_or_else(|fault| panic!("{fault}\n{}", haproxy.story()));
    println!("{signal}: {first} before the end, {tally:?}");
    // The one that was on its way.
    assert!(tally.twice <= 1, "{tally:?}");
    ends_without_a_trace(haproxy, &spool, vec![victim]);
}

#[test]
fn two_workers_of_a_reload_send_nothing_twice() {
    for mode in [Mode::Foreground, Mode::MasterWorker] {
        let (relay, spool) = (Relay::start(), Spool::new());
        relay.goes_away();
        let mut haproxy = with_spool(&relay, &spool, 40).mode(mode).start();
        let old = haproxy.worker();
        let mut asked = blow(&haproxy, &storm::down_and_up(0..40));
        let mut long_lived = Conversation::begin(&haproxy.cli_socket()).expect("a connection");
        haproxy.reload();
        assert_eq!(long_lived.pid().expect("an answer"), old);
        asked.extend(blow(&haproxy, &storm::down_and_up(0..40)));
        thread::sleep(A_WHILE);
        assert_eq!(spool.names_with("owner.").len(), 2, "each has its own");
        assert_eq!(spool.mails(), 160);
        let of_old =
            spool.names().into_iter().find(|name| name.ends_with(&format!("-{old:x}"))).expect("an owner");
        assert_eq!(
            spool.mails_in(&of_old.replace("owner.", "mail.")),
            80,
            "the new one takes nothing from the old one while that lives"
        );

        relay.behaves();
        until_true("all mails", || relay.mail_count() >= 160);
        drop(long_lived);
        haproxy.wait_until_processes_are(if mode.has_master() { 2 } else { 1 });
        spool.wait_until_delivered(|| haproxy.story());
        relay.expect_no_more_than(160, A_WHILE);
        expect_each_once(&relay, &asked);
        ends_without_a_trace(haproxy, &spool, vec![old]);
    }
}

#[test]
fn what_an_old_worker_leaves_is_sent_by_the_new_one() {
    let (relay, spool) = (Relay::start(), Spool::new());
    relay.goes_away();
    let mut haproxy = with_spool(&relay, &spool, 40).mode(Mode::MasterWorker).start();
    let old = haproxy.worker();
    let asked = blow(&haproxy, &storm::down_and_up(0..40));
    haproxy.reload();
    // It waits for the relay, but not for ever.
    haproxy.log().wait_for("stopped with 80 alerts left in the spool for the next process");
    haproxy.wait_until_processes_are(2);
    relay.behaves();
    until_true("all mails", || relay.mail_count() >= 80);
    spool.wait_until_delivered(|| haproxy.story());
    expect_each_once(&relay, &asked);
    ends_without_a_trace(haproxy, &spool, vec![old]);
}

/// HAProxy promises to end this soon after SIGTERM with a spool, whatever the relay does.
const STORE_BOUND: Duration = Duration::from_millis(100);

/// Removes the shared memory of that process, as a reboot does.
fn remove_memory(pid: i32) {
    let memory = memory_of(pid);
    memory.iter().for_each(|name| fs::remove_file(Path::new("/dev/shm").join(name)).expect("rm"));
}

/// Starts HAProxy again, after a reboot as it were: it delivers what the process `victim` has left, so that each change was mailed once.
#[track_caller]
fn next_process_delivers_the_rest(
    mut haproxy: Haproxy,
    relay: &Relay,
    spool: &Spool,
    victim: i32,
    asked: &[Asked],
) {
    remove_memory(victim);
    relay.behaves();
    haproxy.start_again();
    spool.wait_until_delivered(|| haproxy.story());
    relay.expect_no_more_than(asked.len(), A_WHILE);
    expect_each_once(relay, asked);
    ends_without_a_trace(haproxy, spool, vec![victim]);
}

#[test]
fn sigterm_within_a_digest_stores_its_events_in_files() {
    // Other processes may take the processors meanwhile: one of three has to be in time.
    let took = (0..3).map(|_| {
        let (relay, spool) = (Relay::start(), Spool::new());
        let setup = with_spool(&relay, &spool, 8).with_digests().global("email_alert.digest 1m");
        let mut haproxy = setup.start();
        let victim = haproxy.worker();
        let mut asked = blow(&haproxy, &storm::down_and_up(0..1));
        relay.wait_for_mails(1);
        asked.extend(blow(&haproxy, &storm::down_and_up(1..8)));
        haproxy.signal(Signal::SIGTERM);
        let end = haproxy.wait_for_end();
        assert_eq!(
            relay.mail_count(),
            1,
            "the digest is not sent by the process that ends\n{}",
            relay.story()
        );
        assert_eq!(spool.mails(), 1, "{}", haproxy.story());
        remove_memory(victim);
        haproxy.start_again();
        spool.wait_until_delivered(|| haproxy.story());
        relay.expect_no_more_than(2, A_WHILE);
        let tally = storm::check_digests(&asked, mails_of(&relay.deliveries()));
        assert_eq!(tally.unwrap_or_else(|fault| panic!("{fault}\n{}", haproxy.story())).twice, 0);
        ends_without_a_trace(haproxy, &spool, vec![victim]);
        end.took
    });
    let took: Vec<Duration> = took.collect();
    assert!(took.iter().min() < Some(&STORE_BOUND), "{took:?}");
}

#[test]
fn sigterm_does_not_wait_for_a_relay_that_hangs_before_the_mail() {
    let took = [Step::Banner, Step::Ehlo, Step::Banner].into_iter().map(|step| {
        let (relay, spool) = (Relay::start(), Spool::new());
        relay.at(step, Act::Hang);
        let mut haproxy = with_spool(&relay, &spool, 2).start();
        let victim = haproxy.worker();
        let asked = blow(&haproxy, &storm::down_and_up(0..2));
        relay.wait_for_sessions(1);
        haproxy.signal(Signal::SIGTERM);
        let end = haproxy.wait_for_end();
        assert_eq!(spool.mails(), 4, "{}", haproxy.story());
        next_process_delivers_the_rest(haproxy, &relay, &spool, victim, &asked);
        end.took
    });
    let took: Vec<Duration> = took.collect();
    assert!(took.iter().min() < Some(&STORE_BOUND), "{took:?}");
}

#[test]
fn sigterm_waits_for_the_end_of_a_transaction_and_begins_no_other() {
    let (relay, spool) = (Relay::start(), Spool::new());
    let answer_after = Duration::from_millis(400);
    relay.at(Step::Dot, Act::Wait(answer_after));
    let mut haproxy = with_spool(&relay, &spool, 2).start();
    let victim = haproxy.worker();
    let asked = blow(&haproxy, &storm::down_and_up(0..2));
    relay.wait_for_command("DATA");
    haproxy.signal(Signal::SIGTERM);
    let end = haproxy.wait_for_end();
    assert!(end.took < TERM_BOUND, "{end:?}");
    assert_eq!((relay.mail_count(), spool.mails()), (1, 3), "{}\n{}", relay.story(), haproxy.story());
    next_process_delivers_the_rest(haproxy, &relay, &spool, victim, &asked);
}

#[test]
fn sigterm_delivers_mails_that_the_spool_does_not_take() {
    let (relay, spool) = (Relay::start(), Spool::new());
    relay.goes_away();
    let mut haproxy = with_spool(&relay, &spool, 1).start();
    spool.has_mode(0o500);
    let asked = blow(&haproxy, &storm::down_and_up(0..1));
    wait_for_line_about(&haproxy, &spool, "");
    relay.behaves();
    haproxy.signal(Signal::SIGTERM);
    let end = haproxy.wait_for_end();
    assert!(end.took < TERM_BOUND + SLACK, "{end:?}");
    expect_each_once(&relay, &asked);
}

#[test]
fn sigterm_delivers_a_digest_that_the_spool_does_not_take() {
    let (relay, spool) = (Relay::start(), Spool::new());
    let setup = with_spool(&relay, &spool, 3).with_digests().global("email_alert.digest 1m");
    let mut haproxy = setup.start();
    let mut asked = blow(&haproxy, &storm::down_and_up(0..1));
    relay.wait_for_mails(1);
    asked.extend(blow(&haproxy, &storm::down_and_up(1..3)));
    spool.has_mode(0o500);
    haproxy.signal(Signal::SIGTERM);
    let end = haproxy.wait_for_end();
    assert!(end.took < TERM_BOUND + SLACK, "{end:?}");
    let tally = storm::check_digests(&asked, mails_of(&relay.deliveries()));
    assert_eq!(tally.unwrap_or_else(|fault| panic!("{fault}\n{}", haproxy.story())).twice, 0);
}
