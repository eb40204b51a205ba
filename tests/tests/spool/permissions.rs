// SPDX-License-Identifier: MIT OR Apache-2.0
//! Files and threads that a process makes, and the permissions of the files.

use super::common::{blow, ends_without_a_trace, with_spool};
use end_to_end::spool::memory_of;
use end_to_end::{Relay, Spool, processes, storm, until_true};
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

#[test]
fn the_files_are_for_nobody_else_and_nothing_else_is_made() {
    let (relay, spool) = (Relay::start(), Spool::new());
    relay.goes_away();
    let haproxy = with_spool(&relay, &spool, 1).start();
    let worker = haproxy.worker();
    blow(&haproxy, &storm::down_and_up(0..1));
    until_true("files", || spool.mails() == 2);
    assert!(spool.names_with("mail.").len() + spool.names_with("owner.").len() == spool.names().len());
    let memory = memory_of(worker).into_iter().map(|name| Path::new("/dev/shm").join(name));
    for path in spool.names().iter().map(|name| spool.path().join(name)).chain(memory) {
        let mode = fs::metadata(&path).expect("a file").permissions().mode();
        assert_eq!(mode & 0o7777, 0o600, "{}", path.display());
    }
    let mut threads = processes::threads_of(worker);
    threads.retain(|name| name.starts_with("email-"));
    threads.sort();
    assert_eq!(threads, ["email-alert-col", "email-alert-dis", "email-spool"]);
    relay.behaves();
    spool.wait_until_delivered(|| haproxy.story());
    ends_without_a_trace(haproxy, &spool, vec![]);
}
