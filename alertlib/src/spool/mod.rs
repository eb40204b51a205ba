// SPDX-License-Identifier: MIT OR Apache-2.0
//! The spool: what is not delivered yet survives the process.
//!
//! Two things do. The queue's slots are in shared memory (a file of `/dev/shm`), so that an event is safe from the moment
//! at which HAProxy's thread has handed it over, with nothing but memory touched there: a mapped file on a disk could make
//! that thread wait for the disk. And every mail is in a file of the spool's directory ([`format`]) from before its event
//! leaves the queue until its last recipient has it; both at once, for which there is the [`checkpoint`]. Mails that come together
//! share a file, if they are of the same importance: where many files have been removed lately, ext4 takes a millisecond to
//! make one.
//!
//! Several processes share a directory: the old and the new worker of a reload. Each has a token, a file `owner.<token>`
//! that it holds locked, its mails `mail.<token>.<number>`, and its queue. The lock ends with the process, however that
//! ends; whoever can then lock that file takes over what is there. The queue's file is locked, too, and named after the
//! directory: by that it is known whose it is, and that its process lives, when somebody has removed the owner file.
//!
//! What the next process has to know of troubles is in `incidents.<token>` ([`incidents`]): it takes that file over as soon as
//! it sees it, also while the older one goes on for as long as it has connections, and again should that write it anew. When
//! a process ends in order nothing else is left.

mod checkpoint;
mod directory;
mod error_log;
pub mod format;
pub mod incidents;
mod takeover;

pub use checkpoint::ReplayMark;
pub use directory::SpoolDirectory;
pub use takeover::{Orphan, ReplayedEvent};

use crate::engine::Snapshot;
use crate::notification::Notification;
use crate::ring::SharedWords;
use crate::settings::Recipient;
use crate::sys::shared_memory;
use checkpoint::{Checkpoint, CheckpointUpdate};
use directory::{ANYBODYS, PRIVATE, is_private, names_in};
use error_log::ErrorLog;
use nix::errno::Errno;
use nix::fcntl::{Flock, FlockArg, OFlag, openat, posix_fallocate, renameat};
use nix::sys::stat::{Mode, fstat};
use nix::unistd::{UnlinkatFlags, fsync, syncfs, unlinkat};
use std::cmp::Reverse;
use std::collections::BTreeSet;
use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::OwnedFd;
use std::os::unix::fs::FileExt;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex, OnceLock};
use std::time::Duration;

/// A larger file is none of ours: names, sentences and what one mail tells of are bounded.
const LARGEST: usize = 4 * 1024 * 1024;
/// Mails that come together share files of this size, or have one of their own.
const SHARED: usize = 256 * 1024;
/// So many files are synced one by one; more of them together, with all of their file system: each sync of a single file
/// may keep the collector waiting, which makes more of them, for as long as the disk takes.
const SYNC_ALONE: usize = 8;
/// Descriptors that are open at once: the directories of the files and of the queues, the own owner and queue, a file that is
/// written, one that is read and one that is marked; the rest is for processes that are gone, one each until all that they
/// left is ours.
pub const DESCRIPTORS: u32 = 16;
const IN_MEMORY: &str = "mails are kept in memory only";
/// Attempts to lock the own owner file.
const OWN_TRIES: u32 = 50;

/// The spool of this process.
pub struct Spool {
    place: SpoolDirectory,
    token: String,
    owner: Mutex<Option<Flock<OwnedFd>>>,
    /// The file of the queue, and what it says of the events.
    memory: OnceLock<(Flock<OwnedFd>, Checkpoint)>,
    /// The numbers of files that are written and not valid yet: see [`Spool::commit`].
    drafts: Mutex<Vec<String>>,
    numbers: AtomicU64,
    size: AtomicU64,
    /// Written since the last [`Spool::sync`], and not removed since.
    unsynced: Mutex<BTreeSet<String>>,
    /// Files to be removed, and mails in files (at their offsets) to be marked as done, as soon as that is possible.
    pending_deletes: Mutex<BTreeSet<(String, Option<u64>)>>,
    told: Mutex<ErrorLog>,
    /// There is, or was, an `incidents` file of ours.
    has_remembered: AtomicBool,
}

/// A mail of the spool: where it is.
#[derive(Debug, Clone)]
pub struct SpoolRef {
    file: Arc<SpoolFile>,
    part: Segment,
}

/// A mail in its file.
#[derive(Debug, Clone, Copy)]
struct Segment {
    offset: u64,
    size: u64,
    importance: u8,
}

/// Why a mail is in memory only.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NotStored {
    /// There is no room for it.
    Full,
    /// It could not be written, whatever the room.
    Failed,
}

/// A file of the spool. It goes with the last of its mails.
#[derive(Debug)]
struct SpoolFile {
    name: String,
    size: u64,
    mails: AtomicUsize,
    /// Why it is set aside then.
    damage: OnceLock<String>,
}

impl SpoolRef {
    /// See [`crate::event::Kind::importance`].
    pub fn importance(&self) -> u8 {
        self.part.importance
    }

    fn is_alone(&self) -> bool {
        self.file.mails.load(Relaxed) == 1 && self.file.damage.get().is_none()
    }
}

impl Segment {
    fn of(offset: usize, size: usize, mail: &Notification) -> Self {
        let importance = mail.lead().event.kind.importance();
        Segment { offset: offset as u64, size: size as u64, importance }
    }
}

impl SpoolFile {
    /// With those of the `parts` of a file of this size.
    fn with(name: String, size: usize, parts: &[Segment], damage: Option<String>) -> Vec<SpoolRef> {
        let damage = damage.map_or_else(OnceLock::new, OnceLock::from);
        let file =
            Arc::new(SpoolFile { name, size: size as u64, mails: AtomicUsize::new(parts.len()), damage });
        parts.iter().map(|part| SpoolRef { file: file.clone(), part: *part }).collect()
    }
}

/// Why a mail cannot be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Unreadable {
    /// Somebody has removed it.
    Gone,
    /// It never will be one.
    Damaged(String),
    /// The system's trouble, which may pass.
    Unavailable(Errno),
}

impl From<Errno> for Unreadable {
    fn from(error: Errno) -> Self {
        match error {
            Errno::ENOENT => Unreadable::Gone,
            // A symbolic link, a socket: not made by us.
            Errno::ELOOP | Errno::ENXIO => Unreadable::Damaged(error.desc().to_owned()),
            _ => Unreadable::Unavailable(error),
        }
    }
}

impl Spool {
    /// The spool of the process `token`, and memory for its queue that survives it. Post fork, as the worker's user.
    /// `queue`: its capacity; `audiences`: who is told of its events.
    pub fn start(
        place: SpoolDirectory,
        token: &str,
        queue: usize,
        audiences: &[Vec<Recipient>],
    ) -> (Self, Option<SharedWords>) {
        let spool = Spool {
            place,
            token: token.to_owned(),
            owner: Mutex::new(None),
            memory: OnceLock::new(),
            drafts: Mutex::default(),
            numbers: AtomicU64::new(0),
            size: AtomicU64::new(0),
            unsynced: Mutex::default(),
            pending_deletes: Mutex::default(),
            told: Mutex::default(),
            has_remembered: AtomicBool::new(false),
        };
        let mut owned = spool.ensure_lock();
        for _ in 0..OWN_TRIES {
            // Another process that looks around just now may have our new file in its hands for a moment.
            if !matches!(owned, Err(Errno::EEXIST | Errno::EAGAIN)) {
                break;
            }
            std::thread::sleep(Duration::from_millis(10));
            owned = spool.ensure_lock();
        }
        let memory = match owned {
            Ok(()) => spool.memory(queue, audiences),
            Err(error) => Err(error),
        };
        let memory = match memory {
            Ok(words) => Some(words),
            Err(error) => {
                log::warn!(
                    "spool {}: no shared memory for the queue: {}; events that are in it when the process is killed are lost",
                    spool.place.path,
                    error.desc()
                );
                None
            }
        };
        if let Err(error) = owned {
            spool.report_error(&format!("cannot own files: {}; {IN_MEMORY}", error.desc()));
        }
        (spool, memory)
    }

    /// Makes and locks our owner file, unless we have it. Without it everything of ours would be anybody's.
    fn ensure_lock(&self) -> nix::Result<()> {
        let mut owner = lock(&self.owner);
        if owner.as_ref().is_some_and(|owner| fstat(&**owner).is_ok_and(|data| data.st_nlink > 0)) {
            return Ok(());
        }
        let name = owner_name(&self.token);
        let file = self.create(&name)?;
        *owner = Some(Flock::lock(file, FlockArg::LockExclusiveNonblock).map_err(|(_, error)| error)?);
        Ok(())
    }

    fn create(&self, name: &str) -> nix::Result<OwnedFd> {
        openat(
            &self.place.directory,
            name,
            OFlag::O_CREAT | OFlag::O_EXCL | OFlag::O_RDWR | OFlag::O_CLOEXEC,
            PRIVATE,
        )
    }

    fn memory(&self, queue: usize, audiences: &[Vec<Recipient>]) -> nix::Result<SharedWords> {
        let file = self.place.make_memory(&self.token)?;
        let file = Flock::lock(file, FlockArg::LockExclusiveNonblock).map_err(|(_, error)| error);
        let words = checkpoint::words_for(queue, audiences.iter().map(Vec::len).sum());
        let mapped = file.and_then(|file| {
            posix_fallocate(&*file, 0, (words * 8) as i64)?;
            let mapped = shared_memory::SharedWords::map(&*file, words).map_err(errno)?;
            let (checkpoint, slots) = checkpoint::begin(Box::new(mapped), queue, audiences);
            // Held as long as the process lives.
            let _ = self.memory.set((file, checkpoint));
            Ok(Box::new(slots) as SharedWords)
        });
        if mapped.is_err() {
            self.place.remove_memory(&self.token);
        }
        mapped
    }

    /// Writes mails, each with those who have not got it; the log says why one is not written. The most important ones get
    /// the room that is left, and are not in a file with others: those go together, too.
    pub fn store(&self, mails: &[&(Notification, Vec<Recipient>)]) -> Vec<Result<SpoolRef, NotStored>> {
        self.file(mails, false)
    }

    /// The same; they are none before [`Spool::commit`]. By the collector only.
    pub fn draft(&self, mails: &[&(Notification, Vec<Recipient>)]) -> Vec<Result<SpoolRef, NotStored>> {
        self.file(mails, true)
    }

    fn file(
        &self,
        mails: &[&(Notification, Vec<Recipient>)],
        is_draft: bool,
    ) -> Vec<Result<SpoolRef, NotStored>> {
        let mut stored = vec![Err(NotStored::Failed); mails.len()];
        let importance = |index: &usize| mails[*index].0.lead().event.kind.importance();
        let mut order: Vec<usize> = (0..mails.len()).collect();
        order.sort_by_key(|index| Reverse(importance(index)));
        for group in order.chunk_by(|one, other| importance(one) == importance(other)) {
            let (mut text, mut indices, mut parts) = (String::new(), Vec::new(), Vec::new());
            for index in group {
                let (mail, left) = mails[*index];
                let part = format::encode(mail, left);
                if text.len() + part.len() > SHARED {
                    self.write_file(is_draft, &mut text, &mut indices, &mut parts, &mut stored);
                }
                if let Err(why) = self.has_room(text.len(), part.len()) {
                    stored[*index] = Err(why);
                    continue;
                }
                indices.push(*index);
                parts.push(Segment::of(text.len(), part.len(), mail));
                text.push_str(&part);
            }
            self.write_file(is_draft, &mut text, &mut indices, &mut parts, &mut stored);
        }
        stored
    }

    /// Writes one file of [`Spool::file`].
    fn write_file(
        &self,
        is_draft: bool,
        text: &mut String,
        indices: &mut Vec<usize>,
        parts: &mut Vec<Segment>,
        stored: &mut [Result<SpoolRef, NotStored>],
    ) {
        if text.is_empty() {
            return;
        }
        let number = self.next_number();
        let name = self.mail_name(&number);
        let is_written = if is_draft { self.write_draft(number, text) } else { self.write(&name, text) };
        if is_written {
            for (index, one) in indices.iter().zip(SpoolFile::with(name, text.len(), parts, None)) {
                stored[*index] = Ok(one);
            }
        }
        (*text, *indices, *parts) = Default::default();
    }

    fn next_number(&self) -> String {
        format!("{:08}", self.numbers.fetch_add(1, Relaxed))
    }

    fn mail_name(&self, number: &str) -> String {
        format!("mail.{}.{number}", self.token)
    }

    fn draft_name(&self, number: &str) -> String {
        format!("draft.{}.{number}", self.token)
    }

    /// Writes it again after some have got it.
    pub fn update(&self, stored: SpoolRef, mail: &Notification, left: &[Recipient]) -> Option<SpoolRef> {
        if !stored.is_alone() {
            // The mails beside it stay where they are.
            let updated = self.store(&[&(mail.clone(), left.to_vec())]).pop()?.ok();
            self.remove(&stored);
            return updated;
        }
        self.size.fetch_sub(stored.file.size, Relaxed);
        let name = stored.file.name.clone();
        lock(&self.pending_deletes).retain(|(pending_deletes, _)| *pending_deletes != name);
        let text = format::encode(mail, left);
        if self.has_room(0, text.len()).is_ok() && self.write(&name, &text) {
            return SpoolFile::with(name, text.len(), &[Segment::of(0, text.len(), mail)], None).pop();
        }
        // An old file would be sent to those who have it: a copy too many. Better one that is in memory only.
        self.unlink(&name);
        None
    }

    /// Is there room for a mail of `size` bytes beside `others`?
    fn has_room(&self, others: usize, size: usize) -> Result<(), NotStored> {
        if size > LARGEST {
            // It could not be read back.
            self.report_error(&format!("a mail has more than {LARGEST} bytes; {IN_MEMORY}"));
            return Err(NotStored::Failed);
        }
        if self.size.load(Relaxed) + (others + size) as u64 > self.place.max_size {
            self.report_error(&format!(
                "its {} bytes are full; the least important {IN_MEMORY}",
                self.place.max_size
            ));
            return Err(NotStored::Full);
        }
        Ok(())
    }

    fn write(&self, name: &str, text: &str) -> bool {
        let is_written = self.replace(&format!("new.{}", &name["mail.".len()..]), name, text);
        if is_written {
            self.size.fetch_add(text.len() as u64, Relaxed);
        }
        is_written
    }

    /// Writes the draft of a mail. False: that failed, and the log says why.
    fn write_draft(&self, number: String, text: &str) -> bool {
        let is_written = self.make(&self.draft_name(&number), text, |_| Ok(()));
        if is_written {
            self.size.fetch_add(text.len() as u64, Relaxed);
            lock(&self.drafts).push(number);
        }
        is_written
    }

    /// Writes a whole file, in the place of what is there under that name. False: that failed, and the log says why.
    fn replace(&self, hidden: &str, name: &str, text: &str) -> bool {
        let is_written = self.make(hidden, text, |hidden| self.rename(hidden, name));
        if is_written {
            lock(&self.unsynced).insert(name.to_owned());
        }
        is_written
    }

    /// Writes a whole new file, and calls `then` with its name. False: that failed, and the log says why; there is no file.
    fn make(&self, name: &str, text: &str, then: impl FnOnce(&str) -> nix::Result<()>) -> bool {
        let written = self.ensure_lock().and_then(|()| {
            let file = self.create(name)?;
            let outcome =
                File::from(file).write_all(text.as_bytes()).map_err(errno).and_then(|()| then(name));
            if outcome.is_err() {
                self.unlink(name);
            }
            outcome
        });
        match written {
            Ok(()) => lock(&self.told).works = true,
            Err(error) => self.report_error(&format!("cannot write: {}; {IN_MEMORY}", error.desc())),
        }
        written.is_ok()
    }

    fn rename(&self, from: &str, to: &str) -> nix::Result<()> {
        renameat(&self.place.directory, from, &self.place.directory, to)
    }

    /// From one moment on the drafts are mails, `memory` is what the next process has to know (`None`: what that was before),
    /// each audience was told of the events of the own queue before the one that `told` says, and all were told of those of
    /// another process up to `other`. By the collector only.
    ///
    /// False: what the next process has to know could not be written, and the log says why.
    pub fn commit(&self, memory: Option<&Snapshot>, told: &[u64], other: Option<ReplayMark>) -> bool {
        let written = memory.filter(|memory| !memory.is_empty()).map(|memory| {
            let number = self.next_number();
            (self.make(&self.draft_name(&number), &incidents::encode(memory), |_| Ok(())), number)
        });
        if let Some((_, checkpoint)) = self.memory.get() {
            let is_known = match (&written, memory) {
                (Some((true, _)), _) => true,
                (None, Some(_)) => false,
                _ => self.has_remembered.load(Relaxed),
            };
            let drafts = self.numbers.load(Relaxed);
            checkpoint.write(&CheckpointUpdate {
                drafts,
                is_nothing_known: !is_known,
                other,
                told: told.to_vec(),
            });
        }
        for number in std::mem::take(&mut *lock(&self.drafts)) {
            self.publish(&number, self.mail_name(&number));
        }
        match (memory, written) {
            (Some(_), Some((true, number))) => {
                self.publish(&number, incidents_name(&self.token));
                self.has_remembered.store(true, Relaxed);
                true
            }
            (Some(memory), None) => self.forget(memory),
            (_, written) => written.is_none(),
        }
    }

    /// The draft is a file of that name.
    fn publish(&self, number: &str, name: String) {
        match self.rename(&self.draft_name(number), &name) {
            Ok(()) => _ = lock(&self.unsynced).insert(name),
            Err(error) => {
                self.report_error(&format!("cannot rename: {}; the next process does it", error.desc()))
            }
        }
    }

    /// The next process has to know nothing, which is what `nothing` says.
    fn forget(&self, nothing: &Snapshot) -> bool {
        let name = incidents_name(&self.token);
        let had = self.has_remembered.swap(false, Relaxed);
        let gone = unlinkat(&self.place.directory, name.as_str(), UnlinkatFlags::NoRemoveDir);
        // Else somebody has taken it over who does not know yet that all is over.
        gone.is_ok() || !had && gone == Err(Errno::ENOENT) || self.write_incidents(&self.token, nothing)
    }

    /// What others are to know of that process.
    fn write_incidents(&self, token: &str, memory: &Snapshot) -> bool {
        let hidden = format!("new.{token}.incidents");
        self.replace(&hidden, &incidents_name(token), &incidents::encode(memory))
    }

    /// What other processes know, and by which token; [`Spool::has_inherited`] when that is remembered here.
    pub fn known_by_others(&self) -> Vec<(String, Snapshot)> {
        let mut memories = Vec::new();
        for name in names_in(&self.place.directory) {
            let token = name.strip_prefix("incidents.").filter(|token| *token != self.token);
            let Some(token) = token else { continue };
            match self.read(&name).and_then(|text| incidents::decode(&text).map_err(Unreadable::Damaged)) {
                Ok(memory) => memories.push((token.to_owned(), memory)),
                Err(Unreadable::Gone) => {}
                Err(Unreadable::Damaged(why)) => self.quarantine(&name, &why),
                Err(Unreadable::Unavailable(error)) => self.report_unusable(&name, error.desc()),
            }
        }
        memories
    }

    /// What that process knew is known here, and remembered.
    pub fn has_inherited(&self, token: &str) {
        self.unlink(&incidents_name(token));
    }

    /// Nobody needs it any more. True: its file is gone, too.
    pub fn remove(&self, stored: &SpoolRef) -> bool {
        let SpoolFile { name, size, mails, damage } = &*stored.file;
        if mails.fetch_sub(1, Relaxed) > 1 {
            self.finish(name, Some(stored.part.offset));
            return false;
        }
        self.size.fetch_sub(*size, Relaxed);
        lock(&self.unsynced).remove(name);
        match damage.get() {
            Some(why) => self.quarantine(name, why),
            None => self.unlink(name),
        }
        true
    }

    /// Reads a mail again that is not kept in memory.
    ///
    /// # Errors
    ///
    /// It is not there any more, is none, or cannot be read now.
    pub fn load(&self, stored: &SpoolRef) -> Result<(Notification, Vec<Recipient>), Unreadable> {
        let read = self.open(&stored.file.name).and_then(|file| {
            let mut bytes = vec![0; stored.part.size as usize];
            match file.read_exact_at(&mut bytes, stored.part.offset) {
                Err(error) if error.kind() == std::io::ErrorKind::UnexpectedEof => {
                    Err(Unreadable::Damaged("it was cut".to_owned()))
                }
                Err(error) => Err(errno(error).into()),
                Ok(()) => format::decode(&utf8(bytes)?).map_err(Unreadable::Damaged),
            }
        });
        match &read {
            Ok(_) | Err(Unreadable::Gone) => {}
            // Once the mails beside it are done.
            Err(Unreadable::Damaged(why)) => _ = stored.file.damage.set(why.clone()),
            Err(Unreadable::Unavailable(error)) => {
                self.report_error(&format!("cannot read: {}; mails wait", error.desc()));
            }
        }
        read
    }

    fn unlink(&self, name: &str) {
        self.finish(name, None);
    }

    /// Removes a file, or marks a mail in it as done.
    fn finish(&self, name: &str, offset: Option<u64>) {
        if !self.try_to_finish(name, offset) {
            // Else the next process would send it again.
            lock(&self.pending_deletes).insert((name.to_owned(), offset));
        }
    }

    /// False: it may be possible later.
    fn try_to_finish(&self, name: &str, offset: Option<u64>) -> bool {
        let flags = ANYBODYS | OFlag::O_WRONLY;
        let finished = match offset {
            None => unlinkat(&self.place.directory, name, UnlinkatFlags::NoRemoveDir),
            Some(offset) => openat(&self.place.directory, name, flags, Mode::empty()).and_then(|file| {
                File::from(file).write_all_at(&[format::DONE], offset + format::DONE_AT).map_err(errno)
            }),
        };
        // What else there can be, such as a file that is gone, stays as it is.
        let later = [
            Errno::EACCES,
            Errno::EPERM,
            Errno::EROFS,
            Errno::EIO,
            Errno::ENOSPC,
            Errno::EMFILE,
            Errno::ENFILE,
        ];
        !finished.is_err_and(|error| later.contains(&error))
    }

    /// Brings to the disk what was written since the last time. The mails that were delivered meanwhile cost nothing.
    pub fn sync(&self) {
        let pending_deletes = lock(&self.pending_deletes).clone();
        for entry in pending_deletes {
            // Under the lock: the dispatcher may be about to write that file anew.
            let mut pending_deletes = lock(&self.pending_deletes);
            if pending_deletes.contains(&entry) && self.try_to_finish(&entry.0, entry.1) {
                pending_deletes.remove(&entry);
            }
        }
        let unsynced = std::mem::take(&mut *lock(&self.unsynced));
        if unsynced.len() > SYNC_ALONE {
            if let Err(error) = syncfs(&self.place.directory) {
                self.sync_failed(error);
            }
            return;
        }
        let flags = ANYBODYS | OFlag::O_RDONLY;
        for name in &unsynced {
            match openat(&self.place.directory, name.as_str(), flags, Mode::empty()).and_then(fsync) {
                Ok(()) | Err(Errno::ENOENT) => {}
                Err(error) => self.sync_failed(error),
            }
        }
        if !unsynced.is_empty() {
            // Some file systems have no directories to sync: then there is nothing to be done.
            let _ = fsync(&self.place.directory);
        }
    }

    fn sync_failed(&self, error: Errno) {
        let what = "mails may not survive a loss of power";
        self.report_error(&format!("cannot sync: {}; {what}", error.desc()));
    }

    /// Keeps what cannot be used out of the way, and for the administrator.
    fn quarantine(&self, name: &str, why: &str) {
        let aside = format!("bad.{name}");
        match renameat(&self.place.directory, name, &self.place.directory, aside.as_str()) {
            Ok(()) => {
                let (name, aside) = (crate::text::visible(name), crate::text::visible(&aside));
                log::error!("spool {}: {name} cannot be used: {why}; set aside as {aside}", self.place.path);
            }
            Err(error) => self.report_unusable(
                name,
                &format!("it cannot be used: {why}; it cannot be set aside: {}", error.desc()),
            ),
        }
    }

    fn read(&self, name: &str) -> Result<String, Unreadable> {
        let file = self.open(name)?;
        let mut bytes = Vec::new();
        // One more, so that a file that is too large does not look like one that was cut.
        file.take(LARGEST as u64 + 1).read_to_end(&mut bytes).map_err(errno)?;
        if bytes.len() > LARGEST {
            return Err(Unreadable::Damaged(format!("it has more than {LARGEST} bytes")));
        }
        utf8(bytes)
    }

    fn open(&self, name: &str) -> Result<File, Unreadable> {
        let file = openat(&self.place.directory, name, ANYBODYS | OFlag::O_RDONLY, Mode::empty())?;
        if !is_private(&fstat(&file)?) {
            return Err(Unreadable::Damaged("it is not a file that belongs to this user alone".to_owned()));
        }
        Ok(File::from(file))
    }

    /// The end of this process: removes what nobody needs. `queue_is_empty`, `outbox_is_empty`: what is left in them stays
    /// for the next process.
    pub fn end(&self, queue_is_empty: bool, outbox_is_empty: bool) {
        if queue_is_empty {
            self.place.remove_memory(&self.token);
        }
        if queue_is_empty && outbox_is_empty && lock(&self.owner).take().is_some() {
            self.unlink(&owner_name(&self.token));
        }
    }
}

fn utf8(bytes: Vec<u8>) -> Result<String, Unreadable> {
    String::from_utf8(bytes).map_err(|_| Unreadable::Damaged("it is not UTF-8".to_owned()))
}

fn errno(error: std::io::Error) -> Errno {
    Errno::from_raw(error.raw_os_error().unwrap_or(0))
}

fn owner_name(token: &str) -> String {
    format!("owner.{token}")
}

fn incidents_name(token: &str) -> String {
    format!("incidents.{token}")
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    // A panic elsewhere does not make what is in it worse.
    mutex.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}
