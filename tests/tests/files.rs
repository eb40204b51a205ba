// SPDX-License-Identifier: MIT OR Apache-2.0
//! The `file` relay: one file a mail, written from inside the jail into a directory outside of it.

use std::{
    fs::{self, Permissions},
    os::unix::fs::{MetadataExt, PermissionsExt},
    path::Path,
};

use end_to_end::{Backend, Haproxy, Mode, ParsedMail, Setup, haproxy::Signal, setup::UNPRIVILEGED, until};
use tempfile::TempDir;

fn directory(mode: u32) -> TempDir {
    let directory = tempfile::tempdir().expect("a directory");
    fs::set_permissions(directory.path(), Permissions::from_mode(mode)).expect("chmod");
    directory
}

fn setup(directory: &Path, backend: &Backend) -> Setup {
    Setup::with_alerts()
        .global(&format!("email_alert.relay files file {}", directory.display()))
        .frontend("servers")
        .backend("servers", &[&format!("server last {} check", backend.address())])
        .mode(Mode::MasterWorker)
        .jailed()
}

#[track_caller]
fn wait_for_files(directory: &Path, count: usize) -> Vec<std::path::PathBuf> {
    until("the files", || {
        let entries = fs::read_dir(directory).expect("our own directory").filter_map(Result::ok);
        let mut files: Vec<_> = entries.map(|entry| entry.path()).collect();
        // One that begins with a dot is still being written.
        files.retain(|path| {
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            name.ends_with(".eml") && !name.starts_with('.')
        });
        files.sort();
        (files.len() == count).then_some(files)
    })
}

#[test]
fn each_mail_is_a_file_of_the_unprivileged_user() {
    let (mails, backend) = (directory(0o777), Backend::tcp());
    let haproxy = setup(mails.path(), &backend).start();
    backend.goes_down();
    let files = wait_for_files(mails.path(), 2);
    let parsed: Vec<_> = files.iter().map(|file| ParsedMail::of(&fs::read(file).expect("a mail"))).collect();
    assert!(
        parsed.iter().any(|mail| mail.first_line() == haproxy.log().wait_for("is DOWN").text),
        "{parsed:?}"
    );
    assert!(parsed.iter().any(|mail| mail.event() == "backend-down"), "{parsed:?}");
    for file in &files {
        let data = fs::metadata(file).expect("a file");
        assert_eq!((data.uid(), data.mode() & 0o7777), (UNPRIVILEGED, 0o640), "{file:?}");
    }
    assert_eq!(
        fs::read_dir(mails.path()).expect("our own directory").count(),
        2,
        "nothing else is left there"
    );
}

#[test]
fn a_directory_that_the_worker_could_not_write_to_keeps_haproxy_from_starting() {
    let (mails, backend) = (directory(0o700), Backend::tcp());
    let refused = setup(mails.path(), &backend).mode(Mode::Foreground).start_in_vain();
    assert_eq!(refused.status, Some(1), "{}", refused.output);
    let words = format!("'{}' is not writable for user id {UNPRIVILEGED}", mails.path().display());
    assert!(refused.output.contains(&words), "{}", refused.output);
    assert!(refused.processes_left.is_empty(), "{:?}", refused.processes_left);
}

#[test]
fn a_mail_that_cannot_be_written_waits_for_better_times() {
    let (mails, backend) = (directory(0o777), Backend::tcp());
    let mut haproxy: Haproxy = setup(mails.path(), &backend).start();
    fs::set_permissions(mails.path(), Permissions::from_mode(0o700)).expect("chmod");
    backend.goes_down();
    let line = haproxy.log().wait_for("email_alert: relay files: create file");
    assert!(line.text.contains("Permission denied"), "{line:?}");
    fs::set_permissions(mails.path(), Permissions::from_mode(0o777)).expect("chmod");
    wait_for_files(mails.path(), 2);
    haproxy.log().wait_for("email_alert: relay files: works again");
    haproxy.signal(Signal::SIGTERM);
    haproxy.wait_for_end();
    haproxy.wait_until_processes_are(0);
}
