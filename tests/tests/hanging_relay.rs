// SPDX-License-Identifier: MIT OR Apache-2.0
//! A relay that hangs at any stage of a session, with a spool on a slow disk, does not keep changes from being collected.

use std::{
    fs::{self, Permissions},
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::Command,
    thread::sleep,
    time::{Duration, Instant},
};

use end_to_end::{
    Act, Authority, Files, Haproxy, Manners, Relay, Setup, Spool, Step,
    header::project,
    library::succeed,
    patience,
    relay::{Delivery, tls},
    storm::{self, Asked, Change},
    wait::within,
};
use tempfile::TempDir;

/// Events that HAProxy's threads and the collector share.
const QUEUE: usize = 64;
/// Changes that are made while the relay hangs: much more than the queue has room for.
const CHANGES: usize = 4 * QUEUE;
/// Changes that are made at once: the queue has room for them.
const BURST: usize = QUEUE / 2;
/// The relay may hang for so long at each step, which is longer than the changes take.
const TIMEOUT: Duration = Duration::from_secs(60);

/// The first bytes of a TLS record of 256 bytes: of a handshake, and of a protected session.
const HALF_HANDSHAKE: &[u8] = b"\x16\x03\x03\x01\x00\x02\x00";
const HALF_RECORD: &[u8] = b"\x17\x03\x03\x01\x00half";

/// A stage at which the relay hangs.
struct Stage {
    name: &'static str,
    /// Words of the relay line.
    words: &'static str,
    /// Makes the relay hang there.
    hang: fn(&Relay),
    /// The last command that comes; `None`: no connection is accepted.
    last_command: Option<&'static str>,
    /// The relay has taken mails before, and the session is kept.
    is_kept: bool,
}

/// A disk that is slow for the HAProxy that is started with this library before all others.
struct SlowDisk(TempDir);

impl SlowDisk {
    fn new() -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        fs::set_permissions(directory.path(), Permissions::from_mode(0o755)).expect("chmod");
        let source = project().join("tests/c/slow_disk.c");
        let disk = SlowDisk(directory);
        let mut cc = Command::new("cc");
        cc.args(["-shared", "-fPIC", "-O1", "-Wall", "-Wextra", "-Werror", "-o"])
            .arg(disk.library())
            .arg(source);
        succeed(&mut cc);
        disk
    }

    fn library(&self) -> PathBuf {
        self.0.path().join("slow_disk.so")
    }
}

/// Makes the changes in bursts, and waits after each until all mails are committed to the spool.
#[track_caller]
fn change(haproxy: &Haproxy, spool: &Spool, changes: &[Change], before: usize, stage: &str) -> Vec<Asked> {
    let mut asked: Vec<Asked> = Vec::new();
    for burst in changes.chunks(BURST) {
        asked.extend(storm::blow(&haproxy.cli_socket(), burst, 4, &|_| ()));
        let expected = before + asked.len();
        let committed = within(patience(), || {
            sleep(Duration::from_millis(20));
            (spool.mails() == expected).then_some(())
        });
        assert!(
            committed.is_some(),
            "{stage}: {} of {expected} mails are committed\n{}",
            spool.mails(),
            haproxy.story()
        );
    }
    asked
}

fn is_collected_while_the_relay_hangs(stage: &Stage, manners: &Manners, files: &Path, disk: &SlowDisk) {
    let Stage { name, words, hang, last_command, is_kept } = stage;
    let (relay, spool) = (Relay::with(manners.clone()), Spool::new());
    let words = words.replace("{files}", &files.display().to_string());
    let line = format!("email_alert.relay test {} {words} timeout {}s", relay.address(), TIMEOUT.as_secs());
    let setup = Setup::with_alerts().global(&line).global(&format!("email_alert.queue {QUEUE}"));
    let setup = storm::servers(spool.of(setup.events("down,up").threads(4).jailed()), CHANGES / 2 + 1);
    let haproxy = setup.preload(&disk.library()).start();
    let changes = storm::down_and_up(0..CHANGES / 2 + 1);
    let (first, others) = changes.split_at(2);

    let delivered = if *is_kept { first.len() } else { 0 };
    if !is_kept {
        hang(&relay);
    }
    let mut asked = storm::blow(&haproxy.cli_socket(), first, 1, &|_| ());
    if *is_kept {
        relay.wait_for_mails(delivered);
        spool.wait_until_delivered(|| haproxy.story());
        hang(&relay);
    }
    let (next, others) = others.split_at(1);
    asked.extend(change(&haproxy, &spool, next, first.len() - delivered, name));
    match last_command {
        Some("") => relay.wait_for_sessions(1),
        Some(command) => relay.wait_for_command(command),
        // The relay does not see the attempt to connect.
        None => sleep(Duration::from_millis(200)),
    }
    let start = Instant::now();
    asked.extend(change(&haproxy, &spool, others, first.len() + next.len() - delivered, name));
    assert!(start.elapsed() < TIMEOUT / 2, "{name}: the relay may have hung for too short a time");
    assert_eq!(relay.mail_count(), delivered, "{name}: {}", relay.story());
    assert!(relay.sessions().len() <= 1, "{name}: {}", relay.story());
    // An event that was committed a moment ago may still be in the queue, too.
    let accepted = changes.len() as u64;
    let expected = [accepted, 0, accepted - delivered as u64];
    let counters = || haproxy.counters(["accepted", "dropped", "waiting"]);
    let are_counted = within(patience(), || (counters() == expected).then_some(()));
    assert!(are_counted.is_some(), "{name}: {:?}", counters());
    assert!(haproxy.log().lines_with("email_alert: relay").is_empty(), "{name}: {}", haproxy.log().story());

    relay.goes_away();
    relay.behaves();
    spool.wait_until_delivered(|| format!("{name}: {}", haproxy.story()));
    let mails: Vec<_> = relay.deliveries().iter().map(Delivery::mail).collect();
    let tally = storm::check(&asked, &mails, |_| true).unwrap_or_else(|fault| panic!("{name}: {fault}"));
    assert_eq!((tally.acknowledged, tally.twice), (changes.len(), 0), "{name}");
}

#[test]
fn a_relay_that_hangs_before_tls_does_not_stop_the_collecting() {
    let disk = SlowDisk::new();
    for stage in [
        Stage { name: "connect", words: "", hang: Relay::is_unreachable, last_command: None, is_kept: false },
        Stage {
            name: "greeting",
            words: "",
            hang: |relay| relay.at(Step::Banner, Act::Hang),
            last_command: Some(""),
            is_kept: false,
        },
        Stage {
            name: "EHLO",
            words: "",
            hang: |relay| relay.at(Step::Ehlo, Act::Hang),
            last_command: Some("EHLO"),
            is_kept: false,
        },
    ] {
        is_collected_while_the_relay_hangs(&stage, &Manners::default(), Path::new(""), &disk);
    }
}

#[test]
fn a_relay_that_hangs_in_tls_or_at_the_login_does_not_stop_the_collecting() {
    let (authority, files, disk) = (Authority::new("test"), Files::default(), SlowDisk::new());
    files.public("ca", &authority.pem());
    files.secret("password", "hunter2");
    let manners = Manners::default()
        .starttls(tls(&authority.identity("127.0.0.1"), None))
        .login("PLAIN", "bob", "hunter2");
    let words = "starttls ca-file {files}/ca user bob password-file {files}/password";
    let stage = |name, hang, last_command| Stage {
        name,
        words,
        hang,
        last_command: Some(last_command),
        is_kept: false,
    };
    let stages: [Stage; 6] = [
        stage("STARTTLS", |relay| relay.at(Step::Starttls, Act::Hang), "STARTTLS"),
        stage("TLS handshake", |relay| relay.at(Step::Handshake, Act::Hang), "STARTTLS"),
        stage(
            "half a record of the TLS handshake",
            |relay| relay.at(Step::Handshake, Act::HangAfter(HALF_HANDSHAKE)),
            "STARTTLS",
        ),
        stage("AUTH", |relay| relay.at(Step::Auth, Act::Hang), "AUTH"),
        stage("half a TLS record", |relay| relay.at(Step::Mail, Act::HangAfter(HALF_RECORD)), "MAIL"),
        Stage {
            is_kept: true,
            ..stage(
                "half a TLS record in a kept session",
                |relay| relay.at(Step::Mail, Act::HangAfter(HALF_RECORD)),
                "MAIL",
            )
        },
    ];
    for stage in &stages {
        is_collected_while_the_relay_hangs(stage, &manners, files.path(), &disk);
    }
}

#[test]
fn a_relay_that_hangs_during_a_mail_does_not_stop_the_collecting() {
    let disk = SlowDisk::new();
    let stage = |name, hang, last_command| Stage {
        name,
        words: "",
        hang,
        last_command: Some(last_command),
        is_kept: false,
    };
    let stages: [Stage; 6] = [
        stage("MAIL", |relay| relay.at(Step::Mail, Act::Hang), "MAIL"),
        Stage {
            is_kept: true,
            ..stage("MAIL in a kept session", |relay| relay.at(Step::Mail, Act::Hang), "MAIL")
        },
        stage("RCPT", |relay| relay.at(Step::Rcpt, Act::Hang), "RCPT"),
        stage("DATA", |relay| relay.at(Step::Data, Act::Hang), "DATA"),
        stage("final dot", |relay| relay.at(Step::Dot, Act::Hang), "DATA"),
        stage(
            "end of BDAT",
            |relay| {
                relay.takes_mails_unasked();
                relay.at(Step::Dot, Act::Hang);
            },
            "BDAT",
        ),
    ];
    for stage in &stages {
        is_collected_while_the_relay_hangs(stage, &Manners::default(), Path::new(""), &disk);
    }
}
