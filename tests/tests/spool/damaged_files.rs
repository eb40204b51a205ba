// SPDX-License-Identifier: MIT OR Apache-2.0
//! Damaged and planted files: they are set aside and never mailed.

use super::common::{A_WHILE, blow, expect_each_once, lines_about, wait_for_line_about, with_spool};
use end_to_end::wait::within;
use end_to_end::{Relay, Spool, patience, storm, until, until_true};
use std::fs::Permissions;
use std::os::unix::fs::{PermissionsExt, chown, symlink};
use std::{fs, thread};

/// The file of a mail that was never sent, and its Message-ID.
fn a_real_file() -> (String, String) {
    let (relay, spool) = (Relay::start(), Spool::new());
    relay.goes_away();
    let mut haproxy = with_spool(&relay, &spool, 1).start();
    let victim = haproxy.worker();
    blow(&haproxy, &storm::down_and_up(0..1)[..1]);
    let name = until("a file", || spool.names_with("mail.").pop());
    haproxy.kill(victim);
    let text = fs::read_to_string(spool.path().join(name)).expect("a file of the spool");
    let (_, rest) = text.split_once("\"message_id\":\"").expect("a Message-ID");
    let (id, _) = rest.split_once('"').expect("its end");
    (text.clone(), id.to_owned())
}

#[test]
fn damaged_and_planted_files_are_set_aside_and_never_mailed() {
    let (text, id) = a_real_file();
    let (relay, spool) = (Relay::start(), Spool::new());
    let path = |name: &str| spool.path().join(name);
    let mut bad: Vec<String> = Vec::new();
    let mut plant = |name: String, content: &[u8]| {
        spool.plant(&name, content);
        bad.push(name);
    };
    for end in (0..text.len()).step_by(7) {
        plant(format!("mail.cut.{end:04}"), &text.as_bytes()[..end]);
    }
    let mut random = fastrand::Rng::with_seed(7);
    for n in 0..20 {
        let bytes: Vec<u8> = (0..random.usize(0..4096)).map(|_| random.u8(..)).collect();
        plant(format!("mail.random.{n}"), &bytes);
    }
    plant("mail.zeros.1".into(), &[0; 4096]);
    plant("mail.huge.1".into(), &[text.as_bytes(), &vec![b'x'; 5_000_000]].concat());
    plant("mail.huge.2".into(), text.repeat(10_000).as_bytes());
    plant("mail.middle.1".into(), text.trim_end().repeat(2).as_bytes());
    plant("mail.injected.1".into(), text.replace(&id, "<a@b>\\r\\nBcc: evil@example.com").as_bytes());
    assert!(text.contains("\"version\":4,"), "{text}");
    plant("mail.newer.1".into(), text.replace("\"version\":4,", "\"version\":5,").as_bytes());
    // Tricks with names; what is in them is no mail either.
    for name in
        ["mail..x", "mail.a.b.c", "mail...", "mail.%s%n.1", "mail.a b.1", "mail.\u{202e}a.1", "mail.-rf.1"]
    {
        plant(name.into(), b"no mail");
    }
    plant(format!("mail.{}.1", "t".repeat(200)), b"no mail");
    // Mails as they should be, in files as they should not be.
    let others = |name: &str| spool.plant(name, text.as_bytes());
    chown(others("mail.other-owner.1"), Some(1), Some(1)).expect("chown");
    fs::set_permissions(others("mail.group-writable.1"), Permissions::from_mode(0o660)).expect("chmod");
    fs::set_permissions(others("mail.world-writable.1"), Permissions::from_mode(0o602)).expect("chmod");
    fs::hard_link(others("mail.hard-link.1"), path("mail.hard-link.2")).expect("ln");
    symlink(others("elsewhere"), path("mail.symlink.1")).expect("ln -s");
    symlink("/etc/passwd", path("mail.symlink.2")).expect("ln -s");
    symlink("nowhere", path("mail.symlink.3")).expect("ln -s");
    fs::create_dir(path("mail.directory.1")).expect("mkdir");
    nix::unistd::mkfifo(&path("mail.fifo.1"), nix::sys::stat::Mode::S_IRWXU).expect("mkfifo");
    bad.extend(
        ["other-owner.1", "group-writable.1", "world-writable.1", "hard-link.1", "hard-link.2", "symlink.1"]
            .into_iter()
            .chain(["symlink.2", "symlink.3", "directory.1", "fifo.1"])
            .map(|name| format!("mail.{name}")),
    );
    // Names that are none of ours stay as they are.
    let ours_not =
        ["elsewhere", "mail", "mail.x", "mailx.a.1", "bad.mail.a.1", "README", "..mail.a.1", ".mail.a.1"];
    ours_not.iter().for_each(|name| _ = spool.plant(name, text.as_bytes()));
    // And a mail, as the last one.
    spool.plant("mail.zzz.1", text.as_bytes());

    let haproxy = with_spool(&relay, &spool, 1).start();
    let worker = haproxy.worker();
    let mails = relay.wait_for_mails(1);
    assert_eq!(mails[0].header("Message-ID"), id);
    let settled = within(patience(), || (spool.names_with("mail.").len() == 1).then_some(()));
    assert!(settled.is_some(), "left where they were: {:#?}", spool.names_with("mail."));
    relay.expect_no_more_than(1, A_WHILE);
    assert_eq!(haproxy.worker(), worker);
    let names = spool.names();
    for name in &bad {
        assert!(names.contains(&format!("bad.{name}")), "{name:?} was not set aside: {names:#?}");
    }
    for name in ours_not {
        assert!(names.iter().any(|own| own == name), "{name:?} is gone: {names:#?}");
    }
    assert_eq!(names.len(), bad.len() + ours_not.len() + 1, "{names:#?}");
    // Every one is told, and once; the log's way is bounded, and says so when it was too narrow.
    let told = haproxy.log().lines_with("; set aside as bad.mail.").len();
    let lost: usize = haproxy
        .log()
        .lines_with(" log lines lost: they came too fast")
        .iter()
        .map(|line| {
            let count = line.text.split(' ').find_map(|word| word.parse::<usize>().ok());
            count.expect("a number")
        })
        .sum();
    assert!(told + lost >= bad.len() && told <= bad.len(), "{told} lines, {lost} lost, {} files", bad.len());
}

#[test]
fn what_cannot_be_set_aside_is_told_once() {
    let (relay, spool) = (Relay::start(), Spool::new());
    // No name is left for it.
    let long = format!("mail.long.{}", "x".repeat(245));
    spool.plant(&long, b"no mail");
    // Spools of these owners cannot be claimed: their owner file is no regular file.
    fs::create_dir(spool.path().join("owner.directory")).expect("mkdir");
    spool.plant("mail.directory.1", b"no mail");
    symlink("nowhere", spool.path().join("owner.symlink")).expect("ln -s");
    spool.plant("mail.symlink.1", b"no mail");
    let unreachable = spool.plant("owner.other", b"");
    chown(&unreachable, Some(0), Some(0)).expect("chown");
    spool.plant("mail.other.1", b"no mail");
    let haproxy = with_spool(&relay, &spool, 1).start();
    for name in [&long[..40], "owner.directory", "owner.symlink", "owner.other"] {
        wait_for_line_about(&haproxy, &spool, name);
    }
    thread::sleep(A_WHILE * 2);
    for name in [&long[..40], "owner.directory", "owner.symlink", "owner.other"] {
        assert_eq!(lines_about(&haproxy, &spool, name), 1, "{}", haproxy.story());
    }
    let asked = blow(&haproxy, &storm::down_and_up(0..1));
    until_true("mails", || relay.mail_count() >= 2);
    expect_each_once(&relay, &asked);
}
