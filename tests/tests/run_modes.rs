// SPDX-License-Identifier: MIT OR Apache-2.0
//! Alerts work in each way that HAProxy is run, and change nothing about how it starts, reloads and ends.

use std::{
    collections::BTreeMap,
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::{Duration, Instant},
};

use end_to_end::{
    Act, Backend, Haproxy, Mode, Relay, Setup, Step,
    haproxy::Signal,
    patience, processes,
    setup::UNPRIVILEGED,
    story::{expect_mails, news},
    syslog::Line,
    until_true,
    wait::within,
};

const ALL_MODES: [Mode; 4] = [Mode::Foreground, Mode::Daemon, Mode::MasterWorker, Mode::Systemd];

fn server(name: &str, backend: &Backend) -> String {
    format!("server {name} {} check", backend.address())
}

fn one_server(relay: &Relay, backend: &Backend) -> Setup {
    Setup::mailing_through(relay).frontend("servers").backend("servers", &[&server("server1", backend)])
}

/// One process, or a master and its worker.
fn processes_of(mode: Mode) -> usize {
    if mode.has_master() { 2 } else { 1 }
}

#[test]
fn down_and_up_are_mailed_in_every_mode() {
    let mut ways = Vec::new();
    for mode in ALL_MODES {
        for threads in [1, 4] {
            for jailed in [false, true] {
                ways.push((mode, threads, jailed));
            }
        }
    }
    // Four at a time: they mostly wait.
    for some in ways.chunks(4) {
        thread::scope(|scope| {
            for (mode, threads, jailed) in some {
                let name =
                    format!("{mode:?}, {threads} threads, {}", if *jailed { "jailed" } else { "not jailed" });
                let story = || down_and_up_are_mailed(*mode, *threads, *jailed);
                thread::Builder::new().name(name).spawn_scoped(scope, story).expect("a thread");
            }
        });
    }
}

fn down_and_up_are_mailed(mode: Mode, threads: u32, jailed: bool) {
    let (relay, [first, second]) = (Relay::start(), [Backend::http(), Backend::http()]);
    let mut haproxy = Setup::mailing_through(&relay)
        .frontend("servers")
        .backend("servers", &[&server("server1", &first), &server("server2", &second)])
        .mode(mode)
        .threads(threads)
        .jailed_if(jailed)
        .start();
    if jailed {
        assert_jailed(&haproxy);
    }
    second.goes_down();
    let down =
        news("down", "servers/server2", "Server servers/server2 is DOWN, reason: Layer4 connection problem");
    expect_mails(&haproxy, &relay, &[down]);
    second.comes_back();
    let up = news("up", "servers/server2", "Server servers/server2 is UP, reason: Layer4 check passed");
    expect_mails(&haproxy, &relay, &[down, up]);
    assert_eq!(haproxy.get().expect("an answer").status, 200);
    assert_eq!(haproxy.processes().len(), processes_of(mode));
    haproxy.signal(Signal::SIGUSR1);
    haproxy.wait_for_end();
    haproxy.wait_until_processes_are(0);
}

#[track_caller]
fn assert_jailed(haproxy: &Haproxy) {
    let worker = haproxy.worker();
    let root = std::fs::read_link(format!("/proc/{worker}/root")).expect("the root of the worker");
    assert_eq!(root, haproxy.directory().join("jail"), "these tests need root, for chroot and user");
    let status = std::fs::read_to_string(format!("/proc/{worker}/status")).expect("the status of the worker");
    assert!(status.contains(&format!("Uid:\t{UNPRIVILEGED}\t{UNPRIVILEGED}")), "{status}");
}

#[test]
fn twenty_reloads_of_the_master_lose_and_repeat_nothing() {
    twenty_reloads_lose_and_repeat_nothing(Mode::MasterWorker);
}

#[test]
fn twenty_reloads_with_sf_lose_and_repeat_nothing() {
    twenty_reloads_lose_and_repeat_nothing(Mode::Foreground);
}

#[test]
fn twenty_reloads_of_a_daemon_lose_and_repeat_nothing() {
    twenty_reloads_lose_and_repeat_nothing(Mode::Daemon);
}

fn twenty_reloads_lose_and_repeat_nothing(mode: Mode) {
    let (relay, backends) = (Relay::start(), [Backend::tcp(), Backend::tcp(), Backend::tcp()]);
    let servers = ["server1", "server2", "server3"].map(|name| name.to_owned());
    let lines: Vec<_> = servers.iter().zip(&backends).map(|(name, backend)| server(name, backend)).collect();
    let lines: Vec<_> = lines.iter().map(String::as_str).collect();
    let mut haproxy =
        Setup::mailing_through(&relay).backend("servers", &lines).mode(mode).threads(4).jailed().start();
    let enough = AtomicBool::new(false);
    thread::scope(|scope| {
        let _at_the_end = Announce(&enough);
        scope.spawn(|| {
            for backend in backends.iter().cycle() {
                backend.goes_down();
                // How long a server stays down is part of the story and not a synchronisation.
                thread::sleep(Duration::from_millis(130));
                if enough.load(Ordering::Relaxed) {
                    return;
                }
                backend.comes_back();
            }
        });
        for _ in 0..20 {
            haproxy.reload();
            let worker = haproxy.worker();
            let has_seen_two_changes = || {
                let changes = haproxy.log().state_changes();
                changes.iter().filter(|line| line.pid == worker).count() >= 2
            };
            until_true("the new worker to see two changes", has_seen_two_changes);
        }
    });
    backends.iter().for_each(Backend::goes_down);
    let worker = haproxy.worker();
    let state_of = |name: &str| {
        let lines = haproxy.log().lines_with(&format!("Server servers/{name} is "));
        let last = lines.into_iter().rfind(|line| line.pid == worker);
        last.map(|line| if line.text.contains(" is UP") { "UP" } else { "DOWN" })
    };
    let all_are = |state: &'static str| servers.iter().all(|name| state_of(name) == Some(state));
    until_true("the last worker to see all servers down", || all_are("DOWN"));
    haproxy.wait_until_processes_are(processes_of(mode));
    backends.iter().for_each(Backend::comes_back);
    until_true("the last worker to see all servers up", || all_are("UP"));
    expect_one_mail_per_change(&haproxy, &relay);
}

/// Tells another thread that this one has left the scope, be it in a panic.
struct Announce<'a>(&'a AtomicBool);

impl Drop for Announce<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// HAProxy knows that it stops a moment before it logs that.
const UNTIL_STOP_IS_LOGGED: Duration = Duration::from_millis(50);

/// What each worker wrote before it was told to stop is mailed once; what it writes afterwards is not, or once: the new
/// worker watches the servers then.
#[track_caller]
fn expect_one_mail_per_change(haproxy: &Haproxy, relay: &Relay) {
    let mut owed: BTreeMap<String, usize> = BTreeMap::new();
    let mut permitted: BTreeMap<String, usize> = BTreeMap::new();
    let log = haproxy.log().lines();
    let stopped = |line: &Line| line.text.starts_with("Proxy ") && line.text.contains(" stopped ");
    let mut told_to_stop: BTreeMap<i32, Instant> = BTreeMap::new();
    for line in log.iter().filter(|line| stopped(line)) {
        told_to_stop.entry(line.pid).or_insert(line.received - UNTIL_STOP_IS_LOGGED);
    }
    for line in log.iter().filter(|line| line.is_state_change()) {
        let is_late = told_to_stop.get(&line.pid).is_some_and(|told| line.received >= *told);
        let count = if is_late { &mut permitted } else { &mut owed };
        *count.entry(line.text.clone()).or_default() += 1;
    }
    let mails_of = || {
        let mut mailed: BTreeMap<String, usize> = BTreeMap::new();
        for mail in relay.mails().iter().filter(|mail| mail.event() != "backend-up") {
            *mailed.entry(mail.first_line().to_owned()).or_default() += 1;
        }
        mailed
    };
    let missing = |owed: &BTreeMap<String, usize>, mailed: &BTreeMap<String, usize>| {
        let count = |line: &String| mailed.get(line).copied().unwrap_or_default();
        let missing = owed.iter().filter(|(line, owed)| count(line) < **owed);
        missing.map(|(line, owed)| (line.clone(), *owed, count(line))).collect::<Vec<_>>()
    };
    let settled = within(patience(), || missing(&owed, &mails_of()).is_empty().then_some(()));
    assert!(settled.is_some(), "not mailed: {:#?}\n{}", missing(&owed, &mails_of()), relay.story());
    // The news that the backend is back, which is not in the log, may come last.
    relay.wait_until_quiet_for(Duration::from_millis(500));
    for (line, mails) in mails_of() {
        let most = owed.get(&line).unwrap_or(&0) + permitted.get(&line).unwrap_or(&0);
        assert!(
            mails <= most,
            "{mails} mails, but {most} lines in the log: {line}\n{}",
            haproxy.log().story()
        );
    }
    let changes: usize = owed.values().sum();
    assert!(changes >= 20, "the servers changed only {changes} times: {owed:?}");
}

#[test]
fn a_worker_that_is_killed_ends_the_master_as_ever() {
    let (relay, backend) = (Relay::start(), Backend::http());
    relay.at(Step::Banner, Act::Hang);
    let mut haproxy = one_server(&relay, &backend).mode(Mode::MasterWorker).threads(4).jailed().start();
    backend.goes_down();
    relay.wait_for_sessions(1);
    let worker = haproxy.worker();
    haproxy.signal_process(worker, Signal::SIGKILL);
    let end = haproxy.wait_for_end();
    assert_eq!(end.status.expect("a child").code(), Some(137), "{}", haproxy.story());
    let master = haproxy.pid();
    let mut output = haproxy.output();
    output.retain(|c| c != ' ');
    for message in [
        format!("[ALERT]({master}):Currentworker({worker})exitedwithcode137(Killed)\n"),
        format!("[ALERT]({master}):exit-on-failure:killingeveryprocesseswithSIGTERM\n"),
        format!("[WARNING]({master}):Allworkersexited.Exiting...(137)\n"),
    ] {
        assert!(output.contains(&message), "{}", haproxy.story());
    }
    haproxy.wait_until_processes_are(0);
}

#[test]
fn the_worker_has_all_its_threads_and_the_master_none_of_ours() {
    let (relay, backend) = (Relay::start(), Backend::http());
    let haproxy = one_server(&relay, &backend).mode(Mode::MasterWorker).threads(2).jailed().start();
    assert_eq!(processes::threads_of(haproxy.pid()).len(), 1, "{:?}", processes::threads_of(haproxy.pid()));
    let threads = processes::threads_of(haproxy.worker());
    let named_haproxy = threads.iter().filter(|name| *name == "haproxy").count();
    assert_eq!(
        (named_haproxy, threads.len()),
        (2, 4),
        "two of HAProxy, a collector and a mailer: {threads:?}"
    );
}
