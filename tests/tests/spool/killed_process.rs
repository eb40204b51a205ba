// SPDX-License-Identifier: MIT OR Apache-2.0
//! Shared memory of a killed process, damaged or without its owner file.

use super::common::{A_WHILE, blow, ends_without_a_trace, expect_each_once, with_spool};
use end_to_end::cli::Conversation;
use end_to_end::spool::memory_of;
use end_to_end::{Relay, Spool, storm, until_true};
use std::io::Write;
use std::path::Path;
use std::{fs, thread};

#[test]
fn damage_to_the_memory_of_a_killed_process_does_no_harm() {
    type Damage = fn(&Path);
    let damages: [(&str, Damage); 5] = [
        ("cut", |path| drop(fs::File::options().write(true).open(path).expect("memory").set_len(100))),
        ("empty", |path| drop(fs::File::create(path).expect("memory"))),
        ("random", |path| {
            let mut random = fastrand::Rng::with_seed(11);
            let length = fs::metadata(path).expect("memory").len();
            let bytes: Vec<u8> = (0..length).map(|_| random.u8(..)).collect();
            fs::File::options().write(true).open(path).expect("memory").write_all(&bytes).expect("a write");
        }),
        ("gone", |path| fs::remove_file(path).expect("rm")),
        ("a directory", |path| {
            fs::remove_file(path).expect("rm");
            fs::create_dir(path).expect("mkdir");
        }),
    ];
    thread::scope(|scope| {
        for (name, damage) in damages {
            let story = move || {
                let (relay, spool) = (Relay::start(), Spool::new());
                relay.goes_away();
                let mut haproxy = with_spool(&relay, &spool, 2).start();
                let victim = haproxy.worker();
                let asked = blow(&haproxy, &storm::down_and_up(0..2));
                // The snapshot follows the mails: without the memory, one that is older than the mails is believed.
                until_true("files", || spool.mails() == 4 && spool.incidents().is_empty());
                haproxy.kill(victim);
                let memory = memory_of(victim);
                let [memory] = &memory[..] else { panic!("{memory:?}") };
                let path = Path::new("/dev/shm").join(memory);
                damage(&path);
                relay.behaves();
                haproxy.start_again();
                spool.wait_until_delivered(|| haproxy.story());
                relay.expect_no_more_than(4, A_WHILE);
                expect_each_once(&relay, &asked);
                if path.is_dir() {
                    fs::remove_dir(&path).expect("rmdir");
                }
                ends_without_a_trace(haproxy, &spool, vec![victim]);
            };
            thread::Builder::new().name(name.into()).spawn_scoped(scope, story).expect("a thread");
        }
    });
}

fn remove_owners(spool: &Spool) {
    for name in spool.names_with("owner.") {
        fs::remove_file(spool.path().join(name)).expect("rm");
    }
}

#[test]
fn the_memory_of_a_process_whose_owner_file_was_removed_is_found() {
    let (relay, spool) = (Relay::start(), Spool::new());
    relay.goes_away();
    let mut haproxy = with_spool(&relay, &spool, 1).start();
    let victim = haproxy.worker();
    remove_owners(&spool);
    haproxy.kill(victim);
    assert_eq!((memory_of(victim).len(), spool.names().len()), (1, 0));
    haproxy.start_again();
    until_true("its memory to be gone", || memory_of(victim).is_empty());
    ends_without_a_trace(haproxy, &spool, vec![victim]);

    // With events in it, which nothing in the directory tells of.
    let mut haproxy = with_spool(&relay, &spool, 1).start();
    let victim = haproxy.worker();
    let asked = blow(&haproxy, &storm::down_and_up(0..1));
    until_true("files", || spool.mails() == 2);
    haproxy.kill(victim);
    let memory = Path::new("/dev/shm").join(&memory_of(victim)[0]);
    not_taken_out_yet(&memory, 2);
    for name in spool.names() {
        fs::remove_file(spool.path().join(name)).expect("rm");
    }
    relay.behaves();
    haproxy.start_again();
    until_true("the mails", || relay.mail_count() >= 2);
    relay.expect_no_more_than(2, A_WHILE);
    expect_each_once(&relay, &asked);
    ends_without_a_trace(haproxy, &spool, vec![victim]);
}

/// As if the first `count` slots of a queue still had their records, of which its only recipient was not told: an odd stamp
/// says so, and what is before the slots, behind four words and the recipient's.
fn not_taken_out_yet(memory: &Path, count: usize) {
    const SLOT: usize = 256 * 8;
    let mut bytes = fs::read(memory).expect("memory");
    bytes[(4 + 1) * 8..SLOT].fill(0);
    for stamp in (1..=count).map(|slot| slot * SLOT) {
        assert_eq!(bytes[stamp], 2, "the record of the first lap was taken out");
        bytes[stamp] = 1;
    }
    fs::write(memory, bytes).expect("memory");
}

#[test]
fn a_living_process_keeps_its_mails_though_its_owner_file_was_removed() {
    let (relay, spool) = (Relay::start(), Spool::new());
    relay.goes_away();
    let mut haproxy = with_spool(&relay, &spool, 20).start();
    let old = haproxy.worker();
    let asked = blow(&haproxy, &storm::down_and_up(0..20));
    until_true("files", || spool.mails() == 40);
    let mut long_lived = Conversation::begin(&haproxy.cli_socket()).expect("a connection");
    remove_owners(&spool);
    let names = spool.names();
    haproxy.reload();
    assert_eq!(long_lived.pid().expect("an answer"), old);
    thread::sleep(A_WHILE);
    assert_eq!(spool.names_with("mail."), names, "{}", haproxy.story());
    relay.behaves();
    until_true("all mails", || relay.mail_count() >= 40);
    drop(long_lived);
    haproxy.wait_until_processes_are(1);
    relay.expect_no_more_than(40, A_WHILE);
    expect_each_once(&relay, &asked);
    ends_without_a_trace(haproxy, &spool, vec![old]);
}
