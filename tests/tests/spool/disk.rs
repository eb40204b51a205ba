// SPDX-License-Identifier: MIT OR Apache-2.0
//! A spool that is full, or that cannot be written or read: no mail is lost for it.

use super::common::{
    A_WHILE, blow, ends_without_a_trace, expect_each_once, lines_about, many_changes, site, wait_for_counter,
    wait_for_line_about, with_spool,
};
use end_to_end::haproxy::Signal;
use end_to_end::spool::memory_of;
use end_to_end::{Act, Haproxy, Relay, Setup, Spool, Step, storm, until_true};
use std::process::Command;
use std::time::Duration;
use std::{fs, thread};

/// Log lines about a spool with `max-size 64k`.
const FULL: &str = "its 65536 bytes are full; the least important mails are kept in memory only";
/// Mails of the spool that are in memory as well.
const KEPT: usize = 1024;

/// A small file system of its own.
struct SmallDisk {
    directory: tempfile::TempDir,
}

impl SmallDisk {
    /// `None`: this system does not let us mount.
    fn mount(kilobytes: u32) -> Option<Self> {
        let directory = tempfile::tempdir().expect("a directory");
        let size = format!("size={kilobytes}k,mode=700");
        let mut mount = Command::new("mount");
        mount.args(["-t", "tmpfs", "-o", &size, "tmpfs"]).arg(directory.path());
        mount.output().is_ok_and(|output| output.status.success()).then_some(SmallDisk { directory })
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("--lazy").arg(self.directory.path()).status();
    }
}

#[test]
fn a_full_disk_costs_no_mail() {
    let disk = SmallDisk::mount(128);
    let (relay, (spool, words)) = (
        Relay::start(),
        match &disk {
            Some(disk) => (
                Spool::at(disk.directory.path()),
                "cannot write: No space left on device; mails are kept in memory only",
            ),
            None => {
                println!(
                    "no file system can be mounted here: the bound of the configuration has to stand for it"
                );
                (Spool::new(), FULL)
            }
        },
    );
    let setup = Setup::mailing_through(&relay);
    let setup = match disk {
        Some(_) => spool.of(setup),
        None => setup.global(&format!("email_alert.spool {} max-size 64k", spool.path().display())),
    };
    fills_up_and_comes_back(&relay, &spool, setup, words);
}

#[test]
fn a_full_spool_costs_no_mail() {
    let (relay, spool) = (Relay::start(), Spool::new());
    let line = format!("email_alert.spool {} max-size 64k", spool.path().display());
    let setup = Setup::mailing_through(&relay).global(&line);
    fills_up_and_comes_back(&relay, &spool, setup, FULL);
}

#[test]
fn a_full_spool_has_the_most_important_mails() {
    let (relay, spool) = (Relay::start(), Spool::new());
    relay.goes_away();
    let line = format!("email_alert.spool {} max-size 64k", spool.path().display());
    let mut haproxy = site(Setup::mailing_through(&relay).global(&line), 150).start();
    let victim = haproxy.worker();
    blow(&haproxy, &storm::down_and_up(0..150));
    wait_for_line_about(&haproxy, &spool, FULL);
    wait_for_counter(&haproxy, "waiting", 300);
    let names = spool.names_with("mail.");
    let size: u64 =
        names.iter().map(|name| fs::metadata(spool.path().join(name)).map_or(0, |data| data.len())).sum();
    assert!(size <= 65536, "{size} bytes");
    haproxy.kill(victim);
    relay.behaves();
    haproxy.start_again();
    spool.wait_until_delivered(|| haproxy.story());
    let mails = relay.mails();
    let downs = mails.iter().filter(|mail| mail.event() == "down").count();
    // A mail of a server that came back is shorter: one may fit where no other does.
    assert!(downs > 40 && mails.len() - downs <= 1, "{downs} of {} mails: {}", mails.len(), haproxy.story());
    ends_without_a_trace(haproxy, &spool, vec![victim]);
}

fn fills_up_and_comes_back(relay: &Relay, spool: &Spool, setup: Setup, words: &str) {
    relay.goes_away();
    let haproxy = site(setup, 200).start();
    let mut asked = blow(&haproxy, &storm::down_and_up(0..150));
    wait_for_line_about(&haproxy, spool, words);
    wait_for_counter(&haproxy, "waiting", 300);
    let stored = spool.mails();
    assert!((5..300).contains(&stored), "{stored} mails");
    // Slowly: each mail that goes makes room for one.
    relay.behaves();
    relay.at(Step::Dot, Act::Wait(Duration::from_millis(10)));
    asked.extend(blow(&haproxy, &storm::down_and_up(150..200)));
    until_true("all mails", || relay.mail_count() >= 400);
    spool.wait_until_delivered(|| haproxy.story());
    expect_each_once(relay, &asked);
    assert_eq!(haproxy.counters(["dropped", "failed"]), [0, 0]);

    // It is used again.
    relay.goes_away();
    relay.take_deliveries();
    let asked = blow(&haproxy, &storm::down_and_up(0..3));
    until_true("files", || spool.mails() == 6);
    wait_for_line_about(&haproxy, spool, "works again");
    relay.behaves();
    spool.wait_until_delivered(|| haproxy.story());
    expect_each_once(relay, &asked);
    let lines = (lines_about(&haproxy, spool, words), lines_about(&haproxy, spool, "works again"));
    assert_eq!(lines, (1, 1), "{}", haproxy.story());
    ends_without_a_trace(haproxy, spool, vec![]);
}

#[test]
fn what_was_kept_in_memory_is_written_once_there_is_room() {
    let (relay, spool) = (Relay::start(), Spool::new());
    relay.goes_away();
    let mut haproxy = with_spool(&relay, &spool, 40).start();
    let victim = haproxy.worker();
    spool.has_mode(0o500);
    let asked = blow(&haproxy, &storm::down_and_up(0..40));
    wait_for_line_about(&haproxy, &spool, "cannot write: Permission denied; mails are kept in memory only");
    assert_eq!(spool.mails(), 0);
    spool.has_mode(0o700);
    until_true("files", || spool.mails() == 80);
    wait_for_line_about(&haproxy, &spool, "works again");
    haproxy.kill(victim);
    relay.behaves();
    haproxy.start_again();
    spool.wait_until_delivered(|| haproxy.story());
    expect_each_once(&relay, &asked);
    ends_without_a_trace(haproxy, &spool, vec![victim]);
}

#[test]
fn a_directory_that_cannot_be_written_any_more_costs_no_mail_and_repeats_none() {
    let (relay, spool) = (Relay::start(), Spool::new());
    relay.goes_away();
    let mut haproxy = with_spool(&relay, &spool, 40).start();
    let first = haproxy.worker();
    let mut asked = blow(&haproxy, &storm::down_and_up(0..20));
    until_true("files", || spool.mails() == 40);
    spool.has_mode(0o500);
    asked.extend(blow(&haproxy, &storm::down_and_up(20..40)));
    relay.behaves();
    until_true("all mails", || relay.mail_count() >= 80);
    spool.has_mode(0o700);
    // Delivered mails are not left for the next process.
    spool.wait_until_delivered(|| haproxy.story());
    until_true("all troubles to be over", || spool.incidents().is_empty());
    haproxy.kill(first);
    haproxy.start_again();
    relay.expect_no_more_than(80, A_WHILE);
    expect_each_once(&relay, &asked);
    ends_without_a_trace(haproxy, &spool, vec![first]);
}

/// Starts a HAProxy whose relay is away, and lets more mails wait in files than memory keeps; returns their number, too.
fn more_mails_than_memory_keeps() -> (Relay, Spool, Haproxy, usize) {
    let changes = KEPT / 200 * 200 + 400;
    let (relay, spool) = (Relay::start(), Spool::new());
    relay.goes_away();
    let haproxy = with_spool(&relay, &spool, 100).start();
    blow(&haproxy, &many_changes(changes));
    until_true("files", || spool.mails() == changes);
    (relay, spool, haproxy, changes)
}

#[test]
fn a_directory_that_cannot_be_read_for_a_while_costs_no_mail() {
    let (relay, spool, haproxy, changes) = more_mails_than_memory_keeps();
    spool.has_mode(0o000);
    relay.behaves();
    // The mails with a copy in memory are sent; the others wait for the directory.
    until_true("mails", || relay.mail_count() >= KEPT);
    thread::sleep(A_WHILE);
    spool.has_mode(0o700);
    until_true("all mails", || relay.mail_count() >= changes);
    spool.wait_until_delivered(|| haproxy.story());
    assert_eq!((relay.mail_count(), haproxy.counters(["failed"])), (changes, [0]), "{}", haproxy.story());
    ends_without_a_trace(haproxy, &spool, vec![]);
}

#[test]
fn a_directory_that_vanishes_costs_no_mail() {
    let parent = tempfile::tempdir().expect("a directory");
    let directory = parent.path().join("spool");
    fs::create_dir(&directory).expect("mkdir");
    let (relay, spool) = (Relay::start(), Spool::at(&directory));
    relay.goes_away();
    let mut haproxy = with_spool(&relay, &spool, 40).start();
    let first = haproxy.worker();
    let mut asked = blow(&haproxy, &storm::down_and_up(0..20));
    until_true("files", || spool.mails() == 40);
    fs::remove_dir_all(&directory).expect("rm -r");
    asked.extend(blow(&haproxy, &storm::down_and_up(20..40)));
    wait_for_line_about(
        &haproxy,
        &spool,
        "cannot write: No such file or directory; mails are kept in memory only",
    );
    relay.behaves();
    until_true("all mails", || relay.mail_count() >= 80);
    relay.expect_no_more_than(80, A_WHILE);
    expect_each_once(&relay, &asked);
    assert_eq!(lines_about(&haproxy, &spool, ""), 1, "{}", haproxy.story());
    haproxy.signal(Signal::SIGUSR1);
    assert!(haproxy.wait_for_end().status.expect("a child").success());
    assert_eq!(memory_of(first), [""; 0]);
}

#[test]
fn files_removed_by_hand_are_missed_only_where_memory_has_no_copy() {
    let (relay, spool, haproxy, changes) = more_mails_than_memory_keeps();
    for name in spool.names() {
        fs::remove_file(spool.path().join(name)).expect("rm");
    }
    relay.behaves();
    wait_for_counter(&haproxy, "waiting", 0);
    assert_eq!(relay.mail_count(), KEPT);
    assert_eq!(haproxy.counters(["failed"]), [(changes - KEPT) as u64]);
    haproxy.log().wait_for("email_alert: a mail of the spool is lost: somebody removed its file");
    // And it goes on.
    relay.take_deliveries();
    let asked = blow(&haproxy, &storm::down_and_up(0..5));
    until_true("mails", || relay.mail_count() >= 10);
    expect_each_once(&relay, &asked);
    ends_without_a_trace(haproxy, &spool, vec![]);
}
