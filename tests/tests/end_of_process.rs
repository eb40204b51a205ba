// SPDX-License-Identifier: MIT OR Apache-2.0
//! Soft stops and SIGTERM: HAProxy waits for pending mails within its bounds, and ends as it does without alerts.

use std::{
    io::Write,
    os::unix::{net::UnixStream, process::ExitStatusExt},
    thread,
    time::{Duration, Instant},
};

use end_to_end::{
    Act, Backend, Haproxy, Mode, Relay, Setup, Step,
    haproxy::{End, Signal},
    processes::Process,
    until_true,
};

const ALL_MODES: [Mode; 4] = [Mode::Foreground, Mode::Daemon, Mode::MasterWorker, Mode::Systemd];

/// HAProxy promises to end this soon after SIGTERM with alerts pending.
const TERM_BOUND: Duration = Duration::from_secs(1);
/// HAProxy promises to end this soon after its last connection in a soft stop with alerts pending.
const SOFT_STOP_BOUND: Duration = Duration::from_secs(5);
/// Time that a busy machine may add to a bound.
const SLACK: Duration = Duration::from_millis(1500);
/// Exit status of HAProxy's master after SIGTERM has ended its worker.
const MASTER_AFTER_SIGTERM: i32 = 0;

fn server(name: &str, backend: &Backend) -> String {
    format!("server {name} {} check", backend.address())
}

fn one_server(relay: &Relay, backend: &Backend) -> Setup {
    Setup::mailing_through(relay).frontend("servers").backend("servers", &[&server("server1", backend)])
}

/// Slow, but it would deliver well within each bound.
fn slow_relay() -> Relay {
    let relay = Relay::start();
    relay.at(Step::Dot, Act::Wait(Duration::from_millis(250)));
    relay
}

/// Sends the signal while two mails are pending, which must be delivered before HAProxy ends.
#[track_caller]
fn end_with_mails_pending(mode: Mode, signal: Signal) -> (Haproxy, End) {
    let (relay, backend) = (slow_relay(), Backend::http());
    let mut haproxy = one_server(&relay, &backend).mode(mode).threads(4).jailed().start();
    backend.goes_down();
    haproxy.log().wait_for("no server available!");
    haproxy.signal(signal);
    let end = haproxy.wait_for_end();
    assert_eq!(relay.deliveries().len(), 2, "{mode:?}: {}\n{}", relay.story(), haproxy.story());
    (haproxy, end)
}

#[test]
fn a_soft_stop_delivers_what_is_pending() {
    for mode in ALL_MODES {
        let (haproxy, end) = end_with_mails_pending(mode, Signal::SIGUSR1);
        assert!(end.took < SOFT_STOP_BOUND, "{mode:?}: {end:?}");
        assert!(end.status.is_none_or(|status| status.success()), "{mode:?}: {end:?}");
        haproxy.wait_until_processes_are(0);
    }
}

#[test]
fn sigterm_delivers_what_is_pending() {
    for mode in ALL_MODES {
        let (haproxy, end) = end_with_mails_pending(mode, Signal::SIGTERM);
        assert!(end.took < TERM_BOUND + SLACK, "{mode:?}: {end:?}");
        assert_ended_by_sigterm(&haproxy, mode, end.status);
        haproxy.wait_until_processes_are(0);
    }
}

/// As HAProxy does without alerts.
#[track_caller]
fn assert_ended_by_sigterm(haproxy: &Haproxy, mode: Mode, status: Option<std::process::ExitStatus>) {
    if mode.has_master() {
        assert_eq!(status.expect("a child").code(), Some(MASTER_AFTER_SIGTERM), "{}", haproxy.story());
        assert!(haproxy.output().contains("exited with code 143 (Terminated)"), "{}", haproxy.story());
    } else if mode == Mode::Foreground {
        assert_eq!(status.expect("a child").signal(), Some(Signal::SIGTERM as i32));
    }
}

#[test]
fn sigterm_with_nothing_pending_ends_at_once() {
    for mode in ALL_MODES {
        let (relay, backend) = (Relay::start(), Backend::http());
        let mut haproxy = one_server(&relay, &backend).mode(mode).threads(4).jailed().start();
        backend.goes_down();
        relay.wait_for_mails(2);
        until_true("the session with the relay to end", || relay.sessions().iter().all(|s| s.end.is_some()));
        haproxy.signal(Signal::SIGTERM);
        let end = haproxy.wait_for_end();
        assert!(end.took < Duration::from_millis(500), "{mode:?}: {end:?}");
        assert_ended_by_sigterm(&haproxy, mode, end.status);
        haproxy.wait_until_processes_are(0);
    }
}

#[test]
fn a_relay_that_hangs_does_not_keep_haproxy_alive_after_sigterm() {
    for (mode, step) in ALL_MODES.into_iter().zip([Step::Banner, Step::Ehlo, Step::Dot, Step::Mail]) {
        let (relay, backend) = (Relay::start(), Backend::http());
        relay.at(step, Act::Hang);
        let mut haproxy = one_server(&relay, &backend).mode(mode).threads(4).jailed().start();
        backend.goes_down();
        haproxy.log().wait_for("no server available!");
        relay.wait_for_sessions(1);
        haproxy.signal(Signal::SIGTERM);
        let end = haproxy.wait_for_end();
        assert!(end.took < TERM_BOUND + SLACK, "{mode:?}: {end:?}");
        assert_ended_by_sigterm(&haproxy, mode, end.status);
        haproxy.wait_until_processes_are(0);
    }
}

#[test]
fn a_relay_that_hangs_delays_a_soft_stop_by_no_more_than_its_bound() {
    thread::scope(|scope| {
        for (mode, step) in ALL_MODES.into_iter().zip([Step::Banner, Step::Ehlo, Step::Dot, Step::Mail]) {
            scope.spawn(move || {
                let (relay, backend) = (Relay::start(), Backend::http());
                relay.at(step, Act::Hang);
                let mut haproxy = one_server(&relay, &backend).mode(mode).threads(4).jailed().start();
                backend.goes_down();
                haproxy.log().wait_for("no server available!");
                relay.wait_for_sessions(1);
                haproxy.signal(Signal::SIGUSR1);
                let end = haproxy.wait_for_end();
                let bound = SOFT_STOP_BOUND - Duration::from_millis(500)..SOFT_STOP_BOUND + SLACK;
                assert!(bound.contains(&end.took), "{mode:?}: {end:?}");
                assert!(end.status.is_none_or(|status| status.success()), "{mode:?}: {end:?}");
                haproxy.wait_until_processes_are(0);
            });
        }
    });
}

#[test]
fn traffic_is_served_while_sigterm_waits_for_the_relay() {
    let (relay, [first, second]) = (Relay::start(), [Backend::http(), Backend::http()]);
    relay.at(Step::Dot, Act::Hang);
    let mut haproxy = Setup::mailing_through(&relay)
        .frontend("servers")
        .backend("servers", &[&server("server1", &first), &server("server2", &second)])
        .start();
    second.goes_down();
    relay.wait_for_command("DATA");
    haproxy.signal(Signal::SIGTERM);
    let start = Instant::now();
    let mut last_served = Duration::ZERO;
    while haproxy.is_running() && start.elapsed() < TERM_BOUND * 3 {
        let asked = start.elapsed();
        // The last one may meet the end.
        if let Ok(answer) = haproxy.get() {
            assert_eq!(answer.status, 200);
            assert!(answer.took < Duration::from_millis(200), "{answer:?}");
            last_served = asked;
        }
    }
    assert!(last_served > TERM_BOUND / 2, "nothing was served later than {last_served:?} after SIGTERM");
    assert!(start.elapsed() < TERM_BOUND + SLACK);
    haproxy.wait_for_end();
}

#[test]
fn hard_stop_after_still_ends_an_old_worker() {
    let (relay, backend) = (Relay::start(), Backend::tcp());
    let mut haproxy =
        one_server(&relay, &backend).global("hard-stop-after 500ms").mode(Mode::MasterWorker).start();
    let old = haproxy.worker();
    // A request that would keep the old worker for as long as its client likes.
    let mut client = UnixStream::connect(haproxy.directory().join("web.sock")).expect("connect");
    client.write_all(b"GET / HT").expect("half a request");
    let has_one_session =
        |line: &str| line.starts_with("web,FRONTEND,") && line.split(',').nth(4) == Some("1");
    until_true("HAProxy to take the connection", || haproxy.cli("show stat").lines().any(has_one_session));
    haproxy.reload();
    backend.goes_down();
    relay.wait_for_mails(2);
    let start = Instant::now();
    until_true("the old worker to end", || !Process::is_running(old));
    assert!(start.elapsed() < Duration::from_millis(500) + SLACK, "{:?}", start.elapsed());
    haproxy.wait_until_processes_are(2);
}

/// A HAProxy whose relay hangs at the greeting, with a mail under way.
fn with_a_mail_under_way(relay: &Relay, setup: Setup, backend: &Backend) -> Haproxy {
    relay.at(Step::Banner, Act::Hang);
    let haproxy = setup.start();
    backend.goes_down();
    relay.wait_for_sessions(1);
    haproxy
}

#[test]
fn hard_stop_after_ends_the_wait_for_a_relay_that_hangs() {
    const HARD_STOP: Duration = Duration::from_secs(1);
    // Other processes may take the processors meanwhile: one of three has to be in time.
    let took = (0..3).map(|_| {
        let (relay, backend) = (Relay::start(), Backend::http());
        let setup = one_server(&relay, &backend).threads(4).global("hard-stop-after 1s");
        let mut haproxy = with_a_mail_under_way(&relay, setup, &backend);
        haproxy.signal(Signal::SIGUSR1);
        let end = haproxy.wait_for_end();
        assert!(end.status.expect("a child").success(), "{end:?}");
        assert!(end.took > HARD_STOP - Duration::from_millis(100), "it waits for the relay: {end:?}");
        haproxy.log().wait_for("soft-stop running for too long, performing a hard-stop.");
        let resisting = haproxy.log().lines_with("tasks resisted");
        assert!(resisting.is_empty() && !haproxy.output().contains("tasks resisted"), "{}", haproxy.story());
        end.took
    });
    let took: Vec<Duration> = took.collect();
    assert!(took.iter().min() < Some(&(HARD_STOP + Duration::from_millis(200))), "{took:?}");
}

#[test]
fn a_soft_stop_after_a_grace_time_delivers_what_is_pending() {
    const GRACE: Duration = Duration::from_secs(1);
    for threads in [1, 4] {
        let (relay, backend) = (Relay::start(), Backend::http());
        // The relay answers after the grace time, and before the end of the soft stop.
        relay.at(Step::Dot, Act::Wait(Duration::from_secs(2)));
        let setup = one_server(&relay, &backend).threads(threads).global("grace 1s");
        let mut haproxy = setup.start();
        backend.goes_down();
        relay.wait_for_command("DATA");
        haproxy.signal(Signal::SIGUSR1);
        thread::sleep(GRACE / 2);
        assert!(haproxy.get().is_ok(), "it serves during the grace time");
        let end = haproxy.wait_for_end();
        assert_eq!(relay.deliveries().len(), 2, "{threads} threads: {}\n{}", relay.story(), haproxy.story());
        assert!(end.status.expect("a child").success(), "{end:?}");
        assert!(end.took < GRACE + SOFT_STOP_BOUND + SLACK, "{end:?}");
    }
}

#[test]
fn sigterm_in_a_soft_stop_ends_the_wait_for_a_relay_that_hangs() {
    let (relay, backend) = (Relay::start(), Backend::http());
    let setup = one_server(&relay, &backend).threads(4);
    let mut haproxy = with_a_mail_under_way(&relay, setup, &backend);
    haproxy.signal(Signal::SIGUSR1);
    haproxy.log().wait_for("Proxy web stopped");
    haproxy.signal(Signal::SIGTERM);
    let end = haproxy.wait_for_end();
    assert!(end.took < TERM_BOUND + SLACK, "{end:?}");
    assert_ended_by_sigterm(&haproxy, Mode::Foreground, end.status);
}

#[test]
fn a_soft_stop_with_nothing_pending_ends_at_once() {
    for mode in ALL_MODES {
        let (relay, backend) = (Relay::start(), Backend::http());
        let mut haproxy = one_server(&relay, &backend).mode(mode).threads(4).jailed().start();
        backend.goes_down();
        relay.wait_for_mails(2);
        until_true("the mails to be counted", || haproxy.counters(["waiting"]) == [0]);
        haproxy.signal(Signal::SIGUSR1);
        let end = haproxy.wait_for_end();
        assert!(end.took < SLACK, "{mode:?}: {end:?}");
        assert!(end.status.is_none_or(|status| status.success()), "{mode:?}: {end:?}");
        haproxy.wait_until_processes_are(0);
    }
}
