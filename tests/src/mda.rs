// SPDX-License-Identifier: MIT OR Apache-2.0
//! Programs that stand for sendmail and mailx: they write down how they were called and do what the test wants.

use std::{
    fs::{self, Permissions},
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
};

use tempfile::TempDir;

use crate::{
    processes,
    wait::{patience, within},
};

/// A program and its notes.
pub struct FakeProgram {
    directory: TempDir,
    path: PathBuf,
}

/// One call of the program.
#[derive(Clone, Debug)]
pub struct Call {
    /// Arguments without the program's own name.
    pub arguments: Vec<String>,
    /// Environment, `NAME=value`.
    pub environment: Vec<String>,
    /// Who it ran as.
    pub uid: u32,
    /// In which group.
    pub gid: u32,
    /// All groups.
    pub groups: String,
    /// Working directory.
    pub working_directory: String,
    /// What its descriptors refer to, standard input, output and error left out.
    pub other_descriptors: String,
    /// What it was given on standard input.
    pub input: Vec<u8>,
}

impl FakeProgram {
    /// A program that takes its input and succeeds.
    pub fn that_succeeds(name: &str) -> Self {
        Self::that_does(name, "exit 0")
    }

    /// A program that takes its input, and then does this in shell.
    pub fn that_does(name: &str, shell: &str) -> Self {
        let directory =
            tempfile::Builder::new().prefix("haproxy-email-alert-").tempdir().expect("a directory");
        let calls = directory.path().join("calls");
        fs::create_dir(&calls).expect("mkdir");
        // The worker's user must be able to run the program and to leave its notes.
        fs::set_permissions(directory.path(), Permissions::from_mode(0o755)).expect("chmod");
        fs::set_permissions(&calls, Permissions::from_mode(0o1777)).expect("chmod");
        let path = directory.path().join(name);
        let program = FakeProgram { directory, path };
        program.does(shell);
        program
    }

    /// From now on it does this.
    pub fn does(&self, shell: &str) {
        let calls = self.directory.path().join("calls");
        let script = format!(
            "#!/bin/sh\n\
             PATH=/usr/bin:/bin\n\
             notes=$(mktemp -d {calls}/.XXXXXX)\n\
             for argument; do printf '%s\\0' \"$argument\"; done >$notes/arguments\n\
             cat /proc/$$/environ >$notes/environment\n\
             echo $(id -u) $(id -g) $(id -G) >$notes/identity\n\
             pwd >$notes/directory\n\
             (cd /proc/$$/fd && for n in *; do case $n in 0|1|2|10|255) ;; *) readlink $n;; esac; done) \
             >$notes/descriptors 2>/dev/null\n\
             cat >$notes/input\n\
             mv $notes {calls}/$$.$(date +%s%N)\n\
             {shell}\n",
            calls = calls.display()
        );
        // A new file each time: one that is being executed cannot be written.
        let next = self.directory.path().join("next");
        fs::write(&next, script).expect("write a script");
        fs::set_permissions(&next, Permissions::from_mode(0o755)).expect("chmod");
        fs::rename(&next, &self.path).expect("rename a script");
    }

    /// Another program beside it, which is exactly this script.
    pub fn another_that_is(&self, name: &str, script: &str) -> PathBuf {
        let path = self.directory.path().join(name);
        fs::write(&path, script).expect("write a script");
        fs::set_permissions(&path, Permissions::from_mode(0o755)).expect("chmod");
        path
    }

    /// Another program beside it: as it runs from this directory, it can be told from others of its kind.
    pub fn another_that_is_a_copy_of(&self, original: &str, name: &str) -> PathBuf {
        let path = self.directory.path().join(name);
        fs::copy(original, &path).expect("copy a program");
        path
    }

    /// For `email_alert.relay`.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The directory of the program; what it starts there is found by it.
    pub fn directory(&self) -> &Path {
        self.directory.path()
    }

    /// The calls that have got all their input, in no order.
    pub fn calls(&self) -> Vec<Call> {
        let entries =
            fs::read_dir(self.directory.path().join("calls")).expect("notes").filter_map(Result::ok);
        let complete = entries.filter(|entry| !entry.file_name().to_string_lossy().starts_with('.'));
        complete.map(|entry| Call::read(&entry.path())).collect()
    }

    /// Waits until there were `count` calls; more than that is a failure.
    #[track_caller]
    pub fn wait_for_calls(&self, count: usize) -> Vec<Call> {
        within(patience(), || (self.calls().len() >= count).then_some(()));
        let calls = self.calls();
        assert!(calls.len() == count, "expected {count} calls, but there were {}: {calls:#?}", calls.len());
        calls
    }
}

impl Drop for FakeProgram {
    fn drop(&mut self) {
        processes::end_all_of(self.directory.path());
    }
}

impl Call {
    fn read(notes: &Path) -> Self {
        let bytes = |name: &str| fs::read(notes.join(name)).expect("a note");
        let text = |name: &str| String::from_utf8_lossy(&bytes(name)).trim_end().to_owned();
        let list = |name: &str| {
            let text = text(name);
            let items = text.split('\0').filter(|item| !item.is_empty());
            items.map(str::to_owned).collect()
        };
        let identity = text("identity");
        let mut identity = identity.splitn(3, ' ');
        let mut next = || identity.next().unwrap_or_default();
        Call {
            arguments: list("arguments"),
            environment: list("environment"),
            uid: next().parse().expect("a uid"),
            gid: next().parse().expect("a gid"),
            groups: next().to_owned(),
            working_directory: text("directory"),
            other_descriptors: text("descriptors"),
            input: bytes("input"),
        }
    }
}
