// SPDX-License-Identifier: MIT OR Apache-2.0
//! The directory of a test's spool, and the memory that belongs to it.

use std::{
    fs::{self, Permissions},
    os::unix::fs::{PermissionsExt, chown},
    path::{Path, PathBuf},
};

use tempfile::TempDir;

use crate::{
    setup::{Setup, UNPRIVILEGED},
    wait::{patience, within},
};

const MEMORY: &str = "/dev/shm";

/// A directory for `email_alert.spool`, where HAProxy in its jail can write, and nobody else.
pub struct Spool {
    // Emptied before it goes.
    directory: PathBuf,
    _holder: Option<TempDir>,
}

impl Spool {
    /// An empty one.
    pub fn new() -> Self {
        let holder = tempfile::Builder::new().prefix("haproxy-email-alert-").tempdir().expect("a directory");
        let spool = Spool { directory: holder.path().to_owned(), _holder: Some(holder) };
        spool.is_owned();
        spool
    }

    /// In a directory that the test has made.
    pub fn at(directory: &Path) -> Self {
        let spool = Spool { directory: directory.to_owned(), _holder: None };
        spool.is_owned();
        spool
    }

    fn is_owned(&self) {
        chown(&self.directory, Some(UNPRIVILEGED), Some(UNPRIVILEGED))
            .expect("these tests need root, to give the spool to HAProxy's user");
        self.has_mode(0o700);
    }

    /// `chmod`.
    pub fn has_mode(&self, mode: u32) {
        fs::set_permissions(&self.directory, Permissions::from_mode(mode)).expect("chmod");
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.directory
    }

    /// A configuration that uses it.
    pub fn of(&self, setup: Setup) -> Setup {
        setup.global(&format!("email_alert.spool {}", self.directory.display()))
    }

    /// Writes a file there that belongs to HAProxy's user, as if a process that is gone had left it.
    pub fn plant(&self, name: &str, content: &[u8]) -> PathBuf {
        let path = self.directory.join(name);
        fs::write(&path, content).expect("write into the spool");
        chown(&path, Some(UNPRIVILEGED), Some(UNPRIVILEGED)).expect("chown");
        fs::set_permissions(&path, Permissions::from_mode(0o600)).expect("chmod");
        path
    }

    /// The names of its files, sorted; but for what is remembered of troubles, which a process may leave at its end.
    pub fn names(&self) -> Vec<String> {
        let mut names = names_in(&self.directory);
        names.retain(|name| !name.starts_with("incidents."));
        names
    }

    /// The names of all its files, sorted.
    pub fn all_names(&self) -> Vec<String> {
        names_in(&self.directory)
    }

    /// What is remembered of troubles.
    pub fn incidents(&self) -> Vec<String> {
        let mut names = names_in(&self.directory);
        names.retain(|name| name.starts_with("incidents."));
        names.iter().map(|name| fs::read_to_string(self.directory.join(name)).unwrap_or_default()).collect()
    }

    /// Those that begin with this.
    pub fn names_with(&self, prefix: &str) -> Vec<String> {
        let mut names = self.names();
        names.retain(|name| name.starts_with(prefix));
        names
    }

    /// Removes that: what is down now is unknown to the next process.
    pub fn forget_incidents(&self) {
        let names = names_in(&self.directory).into_iter().filter(|name| name.starts_with("incidents."));
        names.for_each(|name| fs::remove_file(self.directory.join(name)).expect("our own file"));
    }

    /// How many mails are in the files that begin with this.
    pub fn mails_in(&self, prefix: &str) -> usize {
        let names = self.names_with(prefix);
        let texts =
            names.iter().map(|name| fs::read_to_string(self.directory.join(name)).unwrap_or_default());
        // A mail that is done begins with `{"done":1,`.
        texts.map(|text| text.lines().filter(|line| line.starts_with("{\"done\":0,")).count()).sum()
    }

    /// How many mails it has.
    pub fn mails(&self) -> usize {
        self.mails_in("mail.")
    }

    /// Waits until it has nothing but what a living process without mails has: its owner file.
    #[track_caller]
    pub fn wait_until_delivered(&self, what_happened: impl Fn() -> String) {
        let delivered = within(patience() * 2, || {
            let names = self.names();
            (names.len() == 1 && names[0].starts_with("owner.")).then_some(())
        });
        let names = self.names();
        assert!(delivered.is_some(), "left in the spool: {names:#?}\n{}", what_happened());
    }

    /// There is nothing in it, and no memory of these processes.
    #[track_caller]
    pub fn expect_no_trace_of(&self, pids: &[i32]) {
        assert_eq!(self.names(), [""; 0], "left in the spool");
        let memory: Vec<_> = pids.iter().flat_map(|pid| memory_of(*pid)).collect();
        assert_eq!(memory, [""; 0], "left in {MEMORY}");
    }
}

impl Default for Spool {
    fn default() -> Self {
        Self::new()
    }
}

impl Drop for Spool {
    fn drop(&mut self) {
        // What a failed test leaves.
        for name in self.names() {
            if let Some(token) = name.strip_prefix("owner.") {
                let is_its = |memory: &String| {
                    memory.starts_with("haproxy-email-alert.") && memory.ends_with(&format!(".{token}"))
                };
                for memory in names_in(Path::new(MEMORY)).iter().filter(|name| is_its(name)) {
                    let _ = fs::remove_file(Path::new(MEMORY).join(memory));
                }
            }
        }
    }
}

/// The names of the memory that the process `pid` has made; other tests have theirs there, too.
pub fn memory_of(pid: i32) -> Vec<String> {
    let mut names = names_in(Path::new(MEMORY));
    names.retain(|name| name.starts_with("haproxy-email-alert.") && name.ends_with(&format!("-{pid:x}")));
    names
}

fn names_in(directory: &Path) -> Vec<String> {
    let Ok(entries) = fs::read_dir(directory) else { return Vec::new() };
    let mut names: Vec<String> =
        entries.flatten().map(|entry| entry.file_name().to_string_lossy().into_owned()).collect();
    names.sort();
    names
}
