// SPDX-License-Identifier: MIT OR Apache-2.0
//! Without `email_alert`, a HAProxy that could send mails is a HAProxy as any other.

use std::{fs, path::PathBuf, time::Duration};

use end_to_end::{Backend, Haproxy, Mode, Relay, Setup, haproxy::Signal, processes, wait::within};

/// What one can see of a HAProxy from outside.
#[derive(Debug, PartialEq, Eq)]
struct Footprint {
    threads_of_master: Vec<String>,
    threads_of_worker: Vec<String>,
    descriptors_of_master: Vec<String>,
    descriptors_of_worker: Vec<String>,
    processes: usize,
    files: Vec<String>,
    output: Vec<String>,
    signals_of_worker: Vec<String>,
    maximum_of_sockets: String,
}

impl Footprint {
    fn of(haproxy: &Haproxy) -> Self {
        let (master, worker) = (haproxy.pid(), haproxy.worker());
        // Names of the directory and numbers of processes differ from one to the next.
        let neutral = |text: String| -> String {
            let text = text.replace(&*haproxy.directory().to_string_lossy(), "<directory>");
            let text = text.replace(&master.to_string(), "<master>").replace(&worker.to_string(), "<worker>");
            // A daemon is started by a process that is gone, and that named things.
            let parts = text.split_inclusive(&['(', '_'][..]).map(|part| {
                let rest = part.trim_start_matches(|c: char| c.is_ascii_digit());
                if part.len() - rest.len() < 3 { part.to_owned() } else { format!("<starter>{rest}") }
            });
            parts.collect()
        };
        let descriptors = |pid| processes::descriptors_of(pid).into_iter().map(neutral).collect();
        let entries = fs::read_dir(haproxy.directory()).expect("our own directory").filter_map(Result::ok);
        let mut files: Vec<_> =
            entries.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect();
        files.retain(|name| !name.starts_with("libhaproxy_email_alert"));
        files.sort();
        let status = fs::read_to_string(format!("/proc/{worker}/status")).expect("the status of the worker");
        let signals = status.lines().filter(|line| line.starts_with("Sig") && !line.starts_with("SigQ"));
        let info = haproxy.cli("show info");
        Footprint {
            threads_of_master: processes::threads_of(master),
            threads_of_worker: processes::threads_of(worker),
            descriptors_of_master: descriptors(master),
            descriptors_of_worker: descriptors(worker),
            processes: haproxy.processes().len(),
            files,
            output: haproxy.output().lines().map(|line| neutral(line.to_owned())).collect(),
            signals_of_worker: signals.map(str::to_owned).collect(),
            maximum_of_sockets: info
                .lines()
                .find(|line| line.starts_with("Maxsock"))
                .expect("Maxsock")
                .to_owned(),
        }
    }
}

/// The same source without patches and add-on.
#[track_caller]
fn unpatched_haproxy() -> PathBuf {
    let built =
        PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../target/haproxy-2.6-unpatched/haproxy"));
    let program = std::env::var_os("HAPROXY_UNPATCHED").map_or(built, PathBuf::from);
    program.canonicalize().unwrap_or_else(|_| {
        panic!("there is no HAProxy at {}: run `ci/haproxy-build PATCHED=no` first", program.display())
    })
}

#[test]
fn without_a_directive_nothing_tells_it_from_an_unpatched_haproxy() {
    for mode in [Mode::Foreground, Mode::Daemon, Mode::MasterWorker, Mode::Systemd] {
        for jailed in [false, true] {
            let backend = Backend::tcp();
            let server = format!("server server1 {} check inter 1h", backend.address());
            let setup = Setup::without_alerts().frontend("servers").backend("servers", &[&server]);
            let setup = setup.mode(mode).threads(3).jailed_if(jailed);
            let plain = setup.clone().program(&unpatched_haproxy()).start();
            let ours = setup.start();
            let same = || (Footprint::of(&ours) == Footprint::of(&plain)).then_some(());
            // A connection of ours may just be closing in one of them.
            let settled = within(Duration::from_secs(2), same);
            let story = || format!("{:#?}\nis not\n{:#?}", Footprint::of(&ours), Footprint::of(&plain));
            assert!(settled.is_some(), "{mode:?}, jailed: {jailed}: {}", story());
        }
    }
}

#[test]
fn without_a_directive_changes_are_logged_and_the_end_is_as_ever() {
    for (mode, signal) in [(Mode::Foreground, Signal::SIGTERM), (Mode::MasterWorker, Signal::SIGUSR1)] {
        let backend = Backend::tcp();
        let server = format!("server server1 {} check", backend.address());
        let mut haproxy = Setup::without_alerts().backend("servers", &[&server]).mode(mode).start();
        backend.goes_down();
        haproxy.log().wait_for("Server servers/server1 is DOWN, reason: Layer4 connection problem");
        haproxy.log().wait_for("backend servers has no server available!");
        assert!(haproxy.log().lines_with("email_alert").is_empty());
        haproxy.signal(signal);
        let end = haproxy.wait_for_end();
        assert!(end.took < Duration::from_millis(500), "{end:?}");
        haproxy.wait_until_processes_are(0);
    }
}

#[test]
fn with_a_directive_there_are_two_threads_more_and_no_process() {
    let (relay, backend) = (Relay::start(), Backend::tcp());
    let server = format!("server server1 {} check inter 1h", backend.address());
    let setup = Setup::without_alerts().frontend("servers").backend("servers", &[&server]);
    let setup = setup.mode(Mode::MasterWorker).threads(3).jailed();
    let quiet = setup.clone().start();
    let alerting = setup.global("email_alert ops@example.com");
    let alerting = alerting.global(&format!("email_alert.relay test {}", relay.address())).start();
    // What the threads and the master hold may not all be there yet.
    let differs_by_two_threads = || {
        let (quiet, alerting) = (Footprint::of(&quiet), Footprint::of(&alerting));
        let same = alerting.threads_of_worker.len() == quiet.threads_of_worker.len() + 2
            && alerting.threads_of_master == quiet.threads_of_master
            && alerting.descriptors_of_master == quiet.descriptors_of_master
            && alerting.processes == quiet.processes
            && alerting.files == quiet.files;
        same.then_some(())
    };
    let settled = within(Duration::from_secs(2), differs_by_two_threads);
    assert!(settled.is_some(), "{:#?}\nand quiet\n{:#?}", Footprint::of(&alerting), Footprint::of(&quiet));
    assert!(relay.sessions().is_empty(), "nothing has happened yet");
}
