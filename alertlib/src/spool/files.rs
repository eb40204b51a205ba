// SPDX-License-Identifier: MIT OR Apache-2.0
//! File operations in the spool's directory: create, write, read, rename, remove, quarantine, sync.

use super::directory::{PRIVATE, SpoolDirectory, UNTRUSTED, is_private};
use super::error_log::ErrorLog;
use super::{IN_MEMORY, LARGEST, SYNC_ALONE, format, owner_name};
use crate::queue::Unreadable;
use crate::sys::lock;
use crate::text::visible;
use nix::errno::Errno;
use nix::fcntl::{Flock, FlockArg, OFlag, openat, renameat};
use nix::sys::stat::{Mode, fstat};
use nix::unistd::{UnlinkatFlags, fsync, syncfs, unlinkat};
use std::collections::BTreeSet;
use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::OwnedFd;
use std::os::unix::fs::FileExt;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

/// Attempts to lock the process's own owner file, 10 ms apart.
const LOCK_ATTEMPTS: u32 = 50;

impl From<Errno> for Unreadable {
    fn from(error: Errno) -> Self {
        match error {
            Errno::ENOENT => Unreadable::Gone,
            // A symbolic link or a socket, which this library does not create.
            Errno::ELOOP | Errno::ENXIO => Unreadable::Damaged(error.desc().to_owned()),
            _ => Unreadable::Unavailable(error),
        }
    }
}

/// The files of one process in the spool's directory.
pub(super) struct Files {
    pub directory: SpoolDirectory,
    pub token: String,
    /// The owner file, locked as long as the process lives.
    owner: Mutex<Option<Flock<OwnedFd>>>,
    numbers: AtomicU64,
    /// Names of files that were written since the last sync, and not removed.
    unsynced: Mutex<BTreeSet<String>>,
    /// Files to remove, and mails in files (with their offsets) to mark as done, which the file system did not permit yet.
    pending_deletes: Mutex<BTreeSet<(String, Option<u64>)>>,
    pub errors: ErrorLog,
}

impl Files {
    pub(super) fn new(directory: SpoolDirectory, token: &str) -> Self {
        Files {
            errors: ErrorLog::new(&directory.path),
            directory,
            token: token.to_owned(),
            owner: Mutex::new(None),
            numbers: AtomicU64::new(0),
            unsynced: Mutex::default(),
            pending_deletes: Mutex::default(),
        }
    }

    /// Creates and locks the owner file at the start, in up to [`LOCK_ATTEMPTS`] attempts.
    pub(super) fn lock_owner(&self) -> nix::Result<()> {
        for _ in 1..LOCK_ATTEMPTS {
            match self.ensure_lock() {
                // Another process that looks for orphans may have opened the new file before it was locked.
                Err(Errno::EEXIST | Errno::EAGAIN) => std::thread::sleep(Duration::from_millis(10)),
                locked => return locked,
            }
        }
        self.ensure_lock()
    }

    /// Creates and locks the owner file, unless this process holds it. Without it any process could take over this process's files.
    fn ensure_lock(&self) -> nix::Result<()> {
        let mut owner = lock(&self.owner);
        if owner.as_ref().is_some_and(|owner| fstat(&**owner).is_ok_and(|data| data.st_nlink > 0)) {
            return Ok(());
        }
        let name = owner_name(&self.token);
        let file = self.create(&name)?;
        *owner = Some(try_lock(file)?);
        Ok(())
    }

    /// Unlocks and removes the owner file at the end.
    pub(super) fn remove_owner(&self) {
        if lock(&self.owner).take().is_some() {
            self.unlink(&owner_name(&self.token));
        }
    }

    pub(super) fn create(&self, name: &str) -> nix::Result<OwnedFd> {
        let flags = OFlag::O_CREAT | OFlag::O_EXCL | OFlag::O_RDWR | OFlag::O_CLOEXEC;
        openat(&self.directory.directory, name, flags, PRIVATE)
    }

    /// Returns the number of the next file. Numbers grow: drafts below a number become valid together.
    pub(super) fn next_number(&self) -> u64 {
        self.numbers.fetch_add(1, Relaxed)
    }

    /// Returns the name of a file of this process. `kind`: `mail`, `draft`, or `new` for a file that is being replaced.
    pub(super) fn name(&self, kind: &str, number: u64) -> String {
        format!("{kind}.{}.{number:08}", self.token)
    }

    /// Creates or replaces a file atomically, through a file `new.*`. False: that failed; the error is logged.
    pub(super) fn replace(&self, name: &str, text: &str) -> bool {
        let hidden = self.name("new", self.next_number());
        let is_written = self.write_new(&hidden, text, |hidden| self.rename(hidden, name));
        if is_written {
            lock(&self.unsynced).insert(name.to_owned());
        }
        is_written
    }

    /// Writes a draft. False: that failed; the error is logged.
    pub(super) fn write_draft(&self, number: u64, text: &str) -> bool {
        self.write_new(&self.name("draft", number), text, |_| Ok(()))
    }

    /// Renames a valid draft to its final name.
    pub(super) fn publish(&self, number: u64, name: String) {
        match self.rename(&self.name("draft", number), &name) {
            Ok(()) => _ = lock(&self.unsynced).insert(name),
            Err(error) => self.errors.report_failure("cannot rename", error, "the next process does it"),
        }
    }

    /// Creates a file and calls `then` with its name. False: that failed, the error is logged, and the file is removed.
    fn write_new(&self, name: &str, text: &str, then: impl FnOnce(&str) -> nix::Result<()>) -> bool {
        let written = self.ensure_lock().and_then(|()| {
            let file = self.create(name)?;
            let result = File::from(file).write_all(text.as_bytes()).map_err(errno).and_then(|()| then(name));
            if result.is_err() {
                self.unlink(name);
            }
            result
        });
        match written {
            Ok(()) => self.errors.mark_working(),
            Err(error) => self.errors.report_failure("cannot write", error, IN_MEMORY),
        }
        written.is_ok()
    }

    pub(super) fn rename(&self, from: &str, to: &str) -> nix::Result<()> {
        renameat(&self.directory.directory, from, &self.directory.directory, to)
    }

    /// Reads a whole file.
    pub(super) fn read(&self, name: &str) -> Result<String, Unreadable> {
        let file = self.open_private(name)?;
        let mut bytes = Vec::new();
        // With a byte more than the limit, a file that is too large is detected.
        file.take(LARGEST as u64 + 1).read_to_end(&mut bytes).map_err(errno)?;
        if bytes.len() > LARGEST {
            return Err(Unreadable::Damaged(format!("it has more than {LARGEST} bytes")));
        }
        utf8(bytes)
    }

    /// Reads a part of a file.
    pub(super) fn read_at(&self, name: &str, offset: u64, size: u64) -> Result<String, Unreadable> {
        let file = self.open_private(name)?;
        let mut bytes = vec![0; size as usize];
        match file.read_exact_at(&mut bytes, offset) {
            Err(error) if error.kind() == std::io::ErrorKind::UnexpectedEof => {
                Err(Unreadable::Damaged("it was cut".to_owned()))
            }
            Err(error) => Err(errno(error).into()),
            Ok(()) => utf8(bytes),
        }
    }

    /// Opens a file that another user may have created.
    pub(super) fn open(&self, name: &str, access: OFlag) -> nix::Result<OwnedFd> {
        openat(&self.directory.directory, name, UNTRUSTED | access, Mode::empty())
    }

    fn open_private(&self, name: &str) -> Result<File, Unreadable> {
        let file = self.open(name, OFlag::O_RDONLY)?;
        if !is_private(&fstat(&file)?) {
            return Err(Unreadable::Damaged("it is not a file that belongs to this user alone".to_owned()));
        }
        Ok(File::from(file))
    }

    /// Renames an unusable file to `bad.*`, for the administrator.
    pub(super) fn quarantine(&self, name: &str, why: &str) {
        match self.rename(name, &format!("bad.{name}")) {
            Ok(()) => {
                let (path, name) = (&self.directory.path, visible(name));
                log::error!("spool {path}: {name} cannot be used: {why}; set aside as bad.{name}");
            }
            Err(error) => self.errors.report_unusable(
                name,
                &format!("it cannot be used: {why}; it cannot be set aside: {}", error.desc()),
            ),
        }
    }

    /// Removes a file.
    pub(super) fn try_unlink(&self, name: &str) -> nix::Result<()> {
        unlinkat(&self.directory.directory, name, UnlinkatFlags::NoRemoveDir)
    }

    /// Removes a file, or retries that at each [`Files::sync`]: otherwise the next process would send its mails again.
    pub(super) fn unlink(&self, name: &str) {
        self.finish(name, None);
    }

    /// Marks the mail at `offset` of a file as done, or retries that at each [`Files::sync`].
    pub(super) fn mark_done(&self, name: &str, offset: u64) {
        self.finish(name, Some(offset));
    }

    fn finish(&self, name: &str, offset: Option<u64>) {
        if !self.try_finish(name, offset) {
            lock(&self.pending_deletes).insert((name.to_owned(), offset));
        }
    }

    /// Removes a file (`offset`: `None`) or marks a mail as done. False: the error is transient.
    fn try_finish(&self, name: &str, offset: Option<u64>) -> bool {
        use Errno::{EACCES, EIO, EMFILE, ENFILE, ENOSPC, EPERM, EROFS};
        let finished = match offset {
            None => self.try_unlink(name),
            Some(offset) => self.open(name, OFlag::O_WRONLY).and_then(|file| {
                File::from(file).write_all_at(&[format::DONE], offset + format::DONE_AT).map_err(errno)
            }),
        };
        // Other errors, such as a file that does not exist, are permanent.
        !matches!(finished, Err(EACCES | EIO | EMFILE | ENFILE | ENOSPC | EPERM | EROFS))
    }

    /// Drops the pending deletes of a file that is about to be rewritten.
    pub(super) fn cancel_deletes(&self, name: &str) {
        lock(&self.pending_deletes).retain(|(pending, _)| pending != name);
    }

    /// Excludes a file that is removed from the next sync.
    pub(super) fn cancel_sync(&self, name: &str) {
        lock(&self.unsynced).remove(name);
    }

    /// Retries pending deletes, then syncs the files that were written since the last call, except those that were removed. No lock is
    /// held during a sync.
    pub(super) fn sync(&self) {
        let pending = lock(&self.pending_deletes).clone();
        for entry in pending {
            // The lock is held because the dispatcher may be about to rewrite that file.
            let mut pending = lock(&self.pending_deletes);
            if pending.contains(&entry) && self.try_finish(&entry.0, entry.1) {
                pending.remove(&entry);
            }
        }
        let unsynced = std::mem::take(&mut *lock(&self.unsynced));
        if unsynced.len() > SYNC_ALONE {
            return self.report_sync(syncfs(&self.directory.directory));
        }
        for name in &unsynced {
            match self.open(name, OFlag::O_RDONLY).and_then(|file| fsync(&file)) {
                Err(Errno::ENOENT) => {}
                synced => self.report_sync(synced),
            }
        }
        if !unsynced.is_empty() {
            // Some file systems cannot sync directories; there is no alternative.
            let _ = fsync(&self.directory.directory);
        }
    }

    fn report_sync(&self, synced: nix::Result<()>) {
        if let Err(error) = synced {
            self.errors.report_failure("cannot sync", error, "mails may not survive a loss of power");
        }
    }
}

/// Locks a file until the result is dropped. Fails with `EAGAIN` if another process has locked it.
pub(super) fn try_lock(file: OwnedFd) -> nix::Result<Flock<OwnedFd>> {
    Flock::lock(file, FlockArg::LockExclusiveNonblock).map_err(|(_, error)| error)
}

fn utf8(bytes: Vec<u8>) -> Result<String, Unreadable> {
    String::from_utf8(bytes).map_err(|_| Unreadable::Damaged("it is not UTF-8".to_owned()))
}

pub(super) fn errno(error: std::io::Error) -> Errno {
    Errno::from_raw(error.raw_os_error().unwrap_or(0))
}
