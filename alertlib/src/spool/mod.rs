// SPDX-License-Identifier: MIT OR Apache-2.0
//! The spool: what is not delivered yet survives the process.
//!
//! Two things do. The queue's slots are in shared memory (a file of `/dev/shm`), so that an event is safe from the moment
//! at which HAProxy's thread has handed it over, with nothing but memory touched there: a mapped file on a disk could make
//! that thread wait for the disk. And every mail is in a file of the spool's directory ([`format`]) from before its event
//! leaves the queue until its last recipient has it. Mails that come together share a file, if they are of the same
//! importance: where many files have been removed lately, ext4 takes a millisecond to make one.
//!
//! Several processes share a directory: the old and the new worker of a reload. Each has a token, a file `owner.<token>`
//! that it holds locked, its mails `mail.<token>.<number>`, and its queue. The lock ends with the process, however that
//! ends; whoever can then lock that file takes over what is there. The queue's file is locked, too, and named after the
//! directory: by that it is known whose it is, and that its process lives, when somebody has removed the owner file.
//!
//! What the next process has to know of troubles is in `incidents.<token>` ([`incidents`]): it takes that file over as soon as
//! it sees it, also while the older one goes on for as long as it has connections, and again should that write it anew. When
//! a process ends in order nothing else is left.

pub mod format;
pub mod incidents;

use crate::engine::{Memory, Outgoing};
use crate::ffi::map::SharedWords;
use crate::queue;
use crate::settings::Recipient;
use nix::dir::Dir;
use nix::errno::Errno;
use nix::fcntl::{AtFlags, Flock, FlockArg, OFlag, openat, posix_fallocate, renameat};
use nix::sys::stat::{FileStat, Mode, SFlag, fstat, fstatat};
use nix::unistd::{AccessFlags, UnlinkatFlags, faccessat, fsync, syncfs, unlinkat};
use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex, OnceLock};
use std::time::{Duration, Instant, SystemTime};

/// Where memory is a file: POSIX's `shm_open()` on Linux.
const MEMORY: &str = "/dev/shm";
/// A larger file is none of ours: names, sentences and what one mail tells of are bounded.
const LARGEST: usize = 4 * 1024 * 1024;
/// Mails that come together share files of this size, or have one of their own.
const SHARED: usize = 256 * 1024;
/// So many files are synced one by one; more of them together, with all of their file system: each sync of a single file
/// may keep the collector waiting, which makes more of them, for as long as the disk takes.
const SYNC_ALONE: usize = 8;
/// Trouble is over when there was none for so long.
const CALM: Duration = Duration::from_secs(5);
/// Files of which the log says that they are left where they are.
const LEFT: usize = 100;
const IN_MEMORY: &str = "mails are kept in memory only";
/// Attempts to lock the own owner file.
const OWN_TRIES: u32 = 50;
/// Its owner alone: it has addresses, and what it says is mailed.
const PRIVATE: Mode = Mode::S_IRUSR.union(Mode::S_IWUSR);

/// The directories, opened before the chroot.
pub struct Place {
    directory: OwnedFd,
    memory: Option<OwnedFd>,
    /// For the log.
    path: String,
    /// In the names of the memory that belongs to it.
    id: String,
    max_size: u64,
}

impl Place {
    /// Opens the spool's directory. `uid`, `gid`: who will work in it; `max_size`: of its mails, in bytes.
    ///
    /// # Errors
    ///
    /// It cannot be opened, that user cannot write into it, or anybody can.
    pub fn open(path: &Path, uid: u32, gid: u32, max_size: u64) -> Result<Self, String> {
        let shown = path.display();
        let flags = OFlag::O_DIRECTORY | OFlag::O_RDONLY | OFlag::O_CLOEXEC;
        let directory = nix::fcntl::open(path, flags, Mode::empty())
            .map_err(|error| format!("cannot open directory '{shown}': {}", error.desc()))?;
        let data = fstat(&directory).map_err(|error| format!("'{shown}': {}", error.desc()))?;
        if data.st_mode & 0o002 != 0 {
            return Err(format!(
                "directory '{shown}' can be written by everybody, and what is in it is mailed; expected: chmod o-w {shown}"
            ));
        }
        if !may_write(&directory, &data, uid, gid) {
            return Err(format!(
                "directory '{shown}' is not writable for user id {uid}, group id {gid}; expected: chown {uid}:{gid} {shown}"
            ));
        }
        let memory = nix::fcntl::open(MEMORY, flags, Mode::empty()).ok();
        let id = format!("{:x}-{:x}", data.st_dev, data.st_ino);
        Ok(Place { directory, memory, path: shown.to_string(), id, max_size })
    }

    /// The queue of this process.
    fn memory_name(&self, token: &str) -> String {
        format!("{}{token}", self.memory_prefix())
    }

    fn memory_prefix(&self) -> String {
        format!("haproxy-email-alert.{}.", self.id)
    }
}

/// May that user make files in the directory? Root's own test says nothing of the unprivileged worker: look at the mode.
pub fn may_write(directory: impl AsFd, data: &FileStat, uid: u32, gid: u32) -> bool {
    let may = |shift: u32| data.st_mode >> shift & 0o3 == 0o3;
    match (uid, gid) {
        (0, _) => faccessat(directory, ".", AccessFlags::W_OK, AtFlags::empty()).is_ok(),
        (uid, _) if uid == data.st_uid => may(6),
        (_, gid) if gid == data.st_gid => may(3),
        _ => may(0),
    }
}

/// The spool of this process.
pub struct Spool {
    place: Place,
    token: String,
    owner: Mutex<Option<Flock<OwnedFd>>>,
    /// The file of the queue.
    memory: OnceLock<Flock<OwnedFd>>,
    numbers: AtomicU64,
    size: AtomicU64,
    /// Written since the last [`Spool::sync`], and not removed since.
    dirty: Mutex<BTreeSet<String>>,
    /// Files to be removed, and mails in files (at their offsets) to be marked as done, as soon as that is possible.
    doomed: Mutex<BTreeSet<(String, Option<u64>)>>,
    told: Mutex<Told>,
    /// There is, or was, an `incidents` file of ours.
    has_remembered: AtomicBool,
}

/// What the log has of its troubles.
#[derive(Default)]
struct Told {
    /// Each of them, until all are over.
    troubles: BTreeSet<String>,
    /// When the last one was seen, and whether something has gone well since.
    last: Option<Instant>,
    works: bool,
    /// Files that stay where they are, and why: said once.
    left: BTreeSet<String>,
}

/// A mail of the spool: where it is.
#[derive(Debug, Clone)]
pub struct Stored {
    shelf: Arc<Shelf>,
    part: Part,
}

/// A mail in its file.
#[derive(Debug, Clone, Copy)]
struct Part {
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
    Trouble,
}

/// A file of the spool. It goes with the last of its mails.
#[derive(Debug)]
struct Shelf {
    name: String,
    size: u64,
    mails: AtomicUsize,
    /// Why it is set aside then.
    damage: OnceLock<String>,
}

impl Stored {
    /// See [`crate::event::Kind::importance`].
    pub fn importance(&self) -> u8 {
        self.part.importance
    }

    fn is_alone(&self) -> bool {
        self.shelf.mails.load(Relaxed) == 1 && self.shelf.damage.get().is_none()
    }
}

impl Part {
    fn of(offset: usize, size: usize, mail: &Outgoing) -> Self {
        let importance = mail.lead().event.kind.importance();
        Part { offset: offset as u64, size: size as u64, importance }
    }
}

impl Shelf {
    /// With those of the `parts` of a file of this size.
    fn with(name: String, size: usize, parts: &[Part], damage: Option<String>) -> Vec<Stored> {
        let damage = damage.map_or_else(OnceLock::new, OnceLock::from);
        let shelf = Arc::new(Shelf { name, size: size as u64, mails: AtomicUsize::new(parts.len()), damage });
        parts.iter().map(|part| Stored { shelf: shelf.clone(), part: *part }).collect()
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
    Trouble(Errno),
}

impl From<Errno> for Unreadable {
    fn from(error: Errno) -> Self {
        match error {
            Errno::ENOENT => Unreadable::Gone,
            // A symbolic link, a socket: not made by us.
            Errno::ELOOP | Errno::ENXIO => Unreadable::Damaged(error.desc().to_owned()),
            _ => Unreadable::Trouble(error),
        }
    }
}

/// What a process that is gone has left.
pub struct Legacy {
    /// Its mails, ours now, in the order in which it made them: when, and the file. All of them may be too many for memory.
    pub mails: Vec<(SystemTime, Stored)>,
    /// Events that it had accepted, and perhaps not made mails of.
    pub events: Vec<Rescued>,
    token: String,
    memory: Option<SharedWords>,
    /// Held until [`Spool::taken_over`].
    owner: Flock<OwnedFd>,
}

/// An event of a process that is gone.
pub struct Rescued {
    /// `<token>.<ticket>`, of which its mails' Message-IDs are made.
    pub id: String,
    /// What it was.
    pub record: Vec<u64>,
    ticket: u64,
}

impl Legacy {
    fn of(owner: Flock<OwnedFd>, memory: Option<SharedWords>, token: String) -> Self {
        let records = memory.as_ref().map_or_else(Vec::new, |slots| queue::rescue(slots));
        let rescued = |(ticket, record)| Rescued { id: format!("{token}.{ticket}"), record, ticket };
        let events = records.into_iter().map(rescued).collect();
        Legacy { mails: Vec::new(), events, token, memory, owner }
    }

    /// When what it returns is dropped, the mails of `events` are in the spool: should this process be killed, too, the next
    /// one need not make them again.
    pub fn are_done_later<'a>(&'a self, events: &'a [Rescued]) -> impl Drop + 'a {
        Done { memory: self.memory.as_ref(), events }
    }
}

struct Done<'a> {
    memory: Option<&'a SharedWords>,
    events: &'a [Rescued],
}

impl Drop for Done<'_> {
    fn drop(&mut self) {
        for (slots, event) in
            self.memory.iter().flat_map(|slots| self.events.iter().map(move |event| (slots, event)))
        {
            queue::forget(slots, event.ticket);
        }
    }
}

impl Spool {
    /// The spool of the process `token`, and memory for its queue that survives it. Post fork, as the worker's user.
    pub fn start(place: Place, token: &str) -> (Self, Option<SharedWords>) {
        let spool = Spool {
            place,
            token: token.to_owned(),
            owner: Mutex::new(None),
            memory: OnceLock::new(),
            numbers: AtomicU64::new(0),
            size: AtomicU64::new(0),
            dirty: Mutex::default(),
            doomed: Mutex::default(),
            told: Mutex::default(),
            has_remembered: AtomicBool::new(false),
        };
        let mut owned = spool.own();
        for _ in 0..OWN_TRIES {
            // Another process that looks around just now may have our new file in its hands for a moment.
            if !matches!(owned, Err(Errno::EEXIST | Errno::EAGAIN)) {
                break;
            }
            std::thread::sleep(Duration::from_millis(10));
            owned = spool.own();
        }
        let memory = match owned {
            Ok(()) => spool.memory(),
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
            spool.trouble(&format!("cannot own files: {}; {IN_MEMORY}", error.desc()));
        }
        (spool, memory)
    }

    /// Makes and locks our owner file, unless we have it. Without it everything of ours would be anybody's.
    fn own(&self) -> nix::Result<()> {
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

    fn memory(&self) -> nix::Result<SharedWords> {
        let directory = self.place.memory.as_ref().ok_or(Errno::ENOENT)?;
        let name = self.place.memory_name(&self.token);
        let flags = OFlag::O_CREAT | OFlag::O_EXCL | OFlag::O_RDWR | OFlag::O_CLOEXEC;
        let file = openat(directory, name.as_str(), flags, PRIVATE)?;
        let file = Flock::lock(file, FlockArg::LockExclusiveNonblock).map_err(|(_, error)| error);
        let words = queue::words_for(crate::settings::SPOOLED_QUEUE);
        let mapped = file.and_then(|file| {
            posix_fallocate(&*file, 0, (words * 8) as i64)?;
            let mapped = SharedWords::map(&*file, words).map_err(errno)?;
            // Held as long as the process lives.
            let _ = self.memory.set(file);
            Ok(mapped)
        });
        if mapped.is_err() {
            let _ = unlinkat(directory, name.as_str(), UnlinkatFlags::NoRemoveDir);
        }
        mapped
    }

    /// Writes mails, each with those who have not got it; the log says why one is not written. The most important ones get
    /// the room that is left, and are not in a file with others: those go together, too.
    pub fn store(&self, mails: &[&(Outgoing, Vec<Recipient>)]) -> Vec<Result<Stored, NotStored>> {
        let mut stored = vec![Err(NotStored::Trouble); mails.len()];
        let importance = |index: &usize| mails[*index].0.lead().event.kind.importance();
        let mut order: Vec<usize> = (0..mails.len()).collect();
        order.sort_by_key(|index| Reverse(importance(index)));
        for group in order.chunk_by(|one, other| importance(one) == importance(other)) {
            let (mut text, mut indices, mut parts) = (String::new(), Vec::new(), Vec::new());
            for index in group {
                let (mail, left) = mails[*index];
                let part = format::encode(mail, left);
                if text.len() + part.len() > SHARED {
                    self.shelve(&mut text, &mut indices, &mut parts, &mut stored);
                }
                if let Err(why) = self.has_room(text.len(), part.len()) {
                    stored[*index] = Err(why);
                    continue;
                }
                indices.push(*index);
                parts.push(Part::of(text.len(), part.len(), mail));
                text.push_str(&part);
            }
            self.shelve(&mut text, &mut indices, &mut parts, &mut stored);
        }
        stored
    }

    /// Writes one file of [`Spool::store`].
    fn shelve(
        &self,
        text: &mut String,
        indices: &mut Vec<usize>,
        parts: &mut Vec<Part>,
        stored: &mut [Result<Stored, NotStored>],
    ) {
        let name = self.next_name();
        if !text.is_empty() && self.write(&name, text) {
            for (index, one) in indices.iter().zip(Shelf::with(name, text.len(), parts, None)) {
                stored[*index] = Ok(one);
            }
        }
        (*text, *indices, *parts) = Default::default();
    }

    fn next_name(&self) -> String {
        format!("mail.{}.{:08}", self.token, self.numbers.fetch_add(1, Relaxed))
    }

    /// Writes it again after some have got it.
    pub fn update(&self, stored: Stored, mail: &Outgoing, left: &[Recipient]) -> Option<Stored> {
        if !stored.is_alone() {
            // The mails beside it stay where they are.
            let updated = self.store(&[&(mail.clone(), left.to_vec())]).pop()?.ok();
            self.remove(&stored);
            return updated;
        }
        self.size.fetch_sub(stored.shelf.size, Relaxed);
        let name = stored.shelf.name.clone();
        lock(&self.doomed).retain(|(doomed, _)| *doomed != name);
        let text = format::encode(mail, left);
        if self.has_room(0, text.len()).is_ok() && self.write(&name, &text) {
            return Shelf::with(name, text.len(), &[Part::of(0, text.len(), mail)], None).pop();
        }
        // An old file would be sent to those who have it: a copy too many. Better one that is in memory only.
        self.unlink(&name);
        None
    }

    /// Is there room for a mail of `size` bytes beside `others`?
    fn has_room(&self, others: usize, size: usize) -> Result<(), NotStored> {
        if size > LARGEST {
            // It could not be read back.
            self.trouble(&format!("a mail has more than {LARGEST} bytes; {IN_MEMORY}"));
            return Err(NotStored::Trouble);
        }
        if self.size.load(Relaxed) + (others + size) as u64 > self.place.max_size {
            self.trouble(&format!(
                "its {} bytes are full; the least important {IN_MEMORY}",
                self.place.max_size
            ));
            return Err(NotStored::Full);
        }
        Ok(())
    }

    fn write(&self, name: &str, text: &str) -> bool {
        match self.replace(&format!("new.{}", &name[5..]), name, text) {
            Ok(()) => {
                lock(&self.told).works = true;
                self.size.fetch_add(text.len() as u64, Relaxed);
                lock(&self.dirty).insert(name.to_owned());
                true
            }
            Err(error) => {
                self.trouble(&format!("cannot write: {}; {IN_MEMORY}", error.desc()));
                false
            }
        }
    }

    /// Writes a whole file, in the place of what is there under that name.
    fn replace(&self, hidden: &str, name: &str, text: &str) -> nix::Result<()> {
        self.own()?;
        let file = self.create(hidden)?;
        let outcome = File::from(file)
            .write_all(text.as_bytes())
            .map_err(errno)
            .and_then(|()| renameat(&self.place.directory, hidden, &self.place.directory, name));
        if outcome.is_err() {
            self.unlink(hidden);
        }
        outcome
    }

    /// Writes what the next process has to know, instead of what was written before. False: that failed, and the log says why.
    pub fn remember(&self, memory: &Memory) -> bool {
        let name = incidents_name(&self.token);
        if memory.is_empty() {
            let had = self.has_remembered.swap(false, Relaxed);
            let gone = unlinkat(&self.place.directory, name.as_str(), UnlinkatFlags::NoRemoveDir);
            // Somebody has taken it over who does not know yet that all is over.
            if gone.is_ok() || !had && gone == Err(Errno::ENOENT) {
                return true;
            }
        }
        match self.replace(&format!("new.{}.incidents", self.token), &name, &incidents::encode(memory)) {
            Ok(()) => {
                lock(&self.told).works = true;
                lock(&self.dirty).insert(name);
                self.has_remembered.store(!memory.is_empty(), Relaxed);
                true
            }
            Err(error) => {
                self.trouble(&format!("cannot write: {}; {IN_MEMORY}", error.desc()));
                false
            }
        }
    }

    /// What other processes know, and by which token; [`Spool::has_inherited`] when that is remembered here.
    pub fn known_by_others(&self) -> Vec<(String, Memory)> {
        let mut memories = Vec::new();
        for name in names_in(&self.place.directory) {
            let token = name.strip_prefix("incidents.").filter(|token| *token != self.token);
            let Some(token) = token else { continue };
            match self.read(&name).and_then(|text| incidents::decode(&text).map_err(Unreadable::Damaged)) {
                Ok(memory) => memories.push((token.to_owned(), memory)),
                Err(Unreadable::Gone) => {}
                Err(Unreadable::Damaged(why)) => self.set_aside(&name, &why),
                Err(Unreadable::Trouble(error)) => self.leave(&name, error.desc()),
            }
        }
        memories
    }

    /// What that process knew is known here, and remembered.
    pub fn has_inherited(&self, token: &str) {
        self.unlink(&incidents_name(token));
    }

    /// Nobody needs it any more. True: its file is gone, too.
    pub fn remove(&self, stored: &Stored) -> bool {
        let Shelf { name, size, mails, damage } = &*stored.shelf;
        if mails.fetch_sub(1, Relaxed) > 1 {
            self.finish(name, Some(stored.part.offset));
            return false;
        }
        self.size.fetch_sub(*size, Relaxed);
        lock(&self.dirty).remove(name);
        match damage.get() {
            Some(why) => self.set_aside(name, why),
            None => self.unlink(name),
        }
        true
    }

    /// Reads a mail again that is not kept in memory.
    ///
    /// # Errors
    ///
    /// It is not there any more, is none, or cannot be read now.
    pub fn load(&self, stored: &Stored) -> Result<(Outgoing, Vec<Recipient>), Unreadable> {
        let read = self.open(&stored.shelf.name).and_then(|file| {
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
            Err(Unreadable::Damaged(why)) => _ = stored.shelf.damage.set(why.clone()),
            Err(Unreadable::Trouble(error)) => {
                self.trouble(&format!("cannot read: {}; mails wait", error.desc()));
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
            lock(&self.doomed).insert((name.to_owned(), offset));
        }
    }

    /// False: it may be possible later.
    fn try_to_finish(&self, name: &str, offset: Option<u64>) -> bool {
        let flags = OFlag::O_WRONLY | OFlag::O_CLOEXEC | OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK;
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
        let doomed = lock(&self.doomed).clone();
        for entry in doomed {
            // Under the lock: the mailer may be about to write that file anew.
            let mut doomed = lock(&self.doomed);
            if doomed.contains(&entry) && self.try_to_finish(&entry.0, entry.1) {
                doomed.remove(&entry);
            }
        }
        let dirty = std::mem::take(&mut *lock(&self.dirty));
        if dirty.len() > SYNC_ALONE {
            if let Err(error) = syncfs(&self.place.directory) {
                self.unsynced(error);
            }
            return;
        }
        let flags = OFlag::O_RDONLY | OFlag::O_CLOEXEC | OFlag::O_NOFOLLOW;
        for name in &dirty {
            match openat(&self.place.directory, name.as_str(), flags, Mode::empty()).and_then(fsync) {
                Ok(()) | Err(Errno::ENOENT) => {}
                Err(error) => self.unsynced(error),
            }
        }
        if !dirty.is_empty() {
            // Some file systems have no directories to sync: then there is nothing to be done.
            let _ = fsync(&self.place.directory);
        }
    }

    fn unsynced(&self, error: Errno) {
        let what = "mails may not survive a loss of power";
        self.trouble(&format!("cannot sync: {}; {what}", error.desc()));
    }

    /// What processes that are gone have left; it is theirs until [`Spool::taken_over`]. And the Message-IDs of mails that
    /// their events have already become, be it in the hands of one that took them over and is gone, too.
    pub fn legacies(&self) -> (Vec<Legacy>, HashSet<String>) {
        let mut tokens: BTreeMap<String, Vec<String>> = BTreeMap::new();
        tokens.extend(self.memories().into_iter().map(|token| (token, Vec::new())));
        for name in names_in(&self.place.directory) {
            let token = match name.split_once('.') {
                Some(("owner" | "incidents", token)) => token.to_owned(),
                Some(("mail" | "new", rest)) => match rest.rsplit_once('.') {
                    Some((token, _)) => token.to_owned(),
                    None => continue,
                },
                _ => continue,
            };
            tokens.entry(token).or_default().push(name);
        }
        tokens.remove(&self.token);
        let mut legacies: Vec<(Legacy, Vec<String>)> = tokens
            .into_iter()
            .filter_map(|(token, names)| {
                Some((Legacy::of(self.claim(&token)?, self.memory_of(&token), token), names))
            })
            .collect();
        let events: HashSet<String> =
            legacies.iter().flat_map(|(legacy, _)| &legacy.events).map(|event| event.id.clone()).collect();
        let mut known = HashSet::new();
        for (legacy, names) in &mut legacies {
            self.take_mails(legacy, std::mem::take(names), |id| {
                if event_of(id).is_some_and(|event| events.contains(event)) {
                    known.insert(id.to_owned());
                }
            });
        }
        (legacies.into_iter().map(|(legacy, _)| legacy).collect(), known)
    }

    /// The tokens of the queues that belong to this directory: a process is told by its queue, too, should somebody have
    /// removed its owner file.
    fn memories(&self) -> Vec<String> {
        let Some(memory) = &self.place.memory else { return Vec::new() };
        let prefix = self.place.memory_prefix();
        let is_ours = |name: &str| {
            // Everybody can make files there, and none but ours can be removed.
            fstatat(memory, name, AtFlags::AT_SYMLINK_NOFOLLOW)
                .is_ok_and(|data| is_private(&data) && data.st_uid == nix::unistd::geteuid().as_raw())
        };
        let names = names_in(memory).into_iter().filter(|name| name.starts_with(&prefix) && is_ours(name));
        names.map(|name| name[prefix.len()..].to_owned()).collect()
    }

    /// Does that process hold its queue? Asked when it has no owner file.
    fn holds_memory(&self, token: &str) -> bool {
        let flags = OFlag::O_RDWR | OFlag::O_CLOEXEC | OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK;
        let memory = self.place.memory.as_ref();
        memory
            .and_then(|memory| {
                openat(memory, self.place.memory_name(token).as_str(), flags, Mode::empty()).ok()
            })
            .is_some_and(|file| Flock::lock(file, FlockArg::LockExclusiveNonblock).is_err())
    }

    /// Makes the mails of a process that is gone ours. `each`: with the Message-ID of each.
    fn take_mails(&self, legacy: &mut Legacy, mut names: Vec<String>, mut each: impl FnMut(&str)) {
        names.sort_unstable();
        for name in names {
            if name.starts_with("new.") {
                self.unlink(&name);
                continue;
            }
            if !name.starts_with("mail.") {
                continue;
            }
            match self.read(&name) {
                Ok(text) => self.take_file(&name, &text, legacy, &mut each),
                // Now that it is ours: somebody else may have had it a moment ago.
                Err(Unreadable::Gone) => {}
                Err(Unreadable::Damaged(why)) => self.set_aside(&name, &why),
                // It is somebody else's.
                Err(Unreadable::Trouble(error @ Errno::EACCES)) => self.set_aside(&name, error.desc()),
                // It is looked at again.
                Err(Unreadable::Trouble(error)) => {
                    self.trouble(&format!("cannot read: {}; mails wait", error.desc()));
                }
            }
        }
        legacy.mails.sort_by_key(|(created, _)| *created);
        let (mails, events) = (legacy.mails.len(), legacy.events.len());
        if mails + events > 0 {
            log::info!(
                "spool {}: takes over {mails} mails and {events} events of a process that is gone",
                self.place.path
            );
        }
    }

    /// Makes the mails of one file ours.
    fn take_file(&self, name: &str, text: &str, legacy: &mut Legacy, each: &mut impl FnMut(&str)) {
        let (mut mails, mut places) = (Vec::new(), Vec::new());
        let mut damage = text.is_empty().then(|| "it is empty".to_owned());
        for (offset, part) in format::parts(text) {
            match format::decode(part) {
                Ok((mail, _)) => {
                    places.push(Part::of(offset, part.len(), &mail));
                    mails.push(mail);
                }
                Err(why) => _ = damage.get_or_insert(why),
            }
        }
        match damage {
            Some(why) if mails.is_empty() => self.set_aside(name, &why),
            // Its last mail was done when the process ended.
            None if mails.is_empty() => self.unlink(name),
            damage => {
                let mine = self.next_name();
                let (from, to) = (name, mine.as_str());
                if renameat(&self.place.directory, from, &self.place.directory, to).is_err() {
                    return;
                }
                self.size.fetch_add(text.len() as u64, Relaxed);
                for (mail, stored) in mails.iter().zip(Shelf::with(mine, text.len(), &places, damage)) {
                    each(&mail.message_id);
                    legacy.mails.push((mail.created, stored));
                }
            }
        }
    }

    /// Locks the owner file of a process, if that is gone and nobody else was quicker.
    fn claim(&self, token: &str) -> Option<Flock<OwnedFd>> {
        let name = owner_name(token);
        let flags = OFlag::O_RDWR | OFlag::O_CLOEXEC | OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK;
        let file = match openat(&self.place.directory, name.as_str(), flags, Mode::empty()) {
            // It lives, and makes a new owner file when it needs one.
            Err(Errno::ENOENT) if self.holds_memory(token) => return None,
            Err(Errno::ENOENT) => self.create(&name),
            opened => opened,
        };
        let file = match file {
            Ok(file) => file,
            // Somebody else was quicker.
            Err(Errno::EEXIST) => return None,
            Err(error) => {
                self.leave(&name, error.desc());
                return None;
            }
        };
        let owner = Flock::lock(file, FlockArg::LockExclusiveNonblock).ok()?;
        // Somebody who had it before us may have removed it.
        fstat(&*owner).is_ok_and(|data| data.st_nlink > 0).then_some(owner)
    }

    /// Everything of it is in our hands: removes what is left of its process.
    pub fn taken_over(&self, legacy: Legacy) {
        if let Some(memory) = &self.place.memory {
            let _ =
                unlinkat(memory, self.place.memory_name(&legacy.token).as_str(), UnlinkatFlags::NoRemoveDir);
        }
        self.unlink(&owner_name(&legacy.token));
        drop(legacy.owner);
    }

    /// The queue of a process that is gone.
    fn memory_of(&self, token: &str) -> Option<SharedWords> {
        let directory = self.place.memory.as_ref()?;
        let flags = OFlag::O_RDWR | OFlag::O_CLOEXEC | OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK;
        let file = openat(directory, self.place.memory_name(token).as_str(), flags, Mode::empty()).ok()?;
        let words = queue::words_for(crate::settings::SPOOLED_QUEUE);
        let is_ours = fstat(&file).is_ok_and(|data| is_private(&data) && data.st_size == (words * 8) as i64);
        let slots = if is_ours { SharedWords::map(&file, words).ok() } else { None };
        if slots.is_none() {
            let token = crate::text::visible(token);
            log::warn!(
                "spool {}: the memory of process {token} is damaged: what was in it is lost",
                self.place.path
            );
        }
        slots
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
        let flags = OFlag::O_RDONLY | OFlag::O_CLOEXEC | OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK;
        let file = openat(&self.place.directory, name, flags, Mode::empty())?;
        if !is_private(&fstat(&file)?) {
            return Err(Unreadable::Damaged("it is not a file that belongs to this user alone".to_owned()));
        }
        Ok(File::from(file))
    }

    /// Keeps what cannot be used out of the way, and for the administrator.
    fn set_aside(&self, name: &str, why: &str) {
        let aside = format!("bad.{name}");
        match renameat(&self.place.directory, name, &self.place.directory, aside.as_str()) {
            Ok(()) => {
                let (name, aside) = (crate::text::visible(name), crate::text::visible(&aside));
                log::error!("spool {}: {name} cannot be used: {why}; set aside as {aside}", self.place.path);
            }
            Err(error) => self
                .leave(name, &format!("it cannot be used: {why}; it cannot be set aside: {}", error.desc())),
        }
    }

    /// Logs a trouble when it begins.
    fn trouble(&self, words: &str) {
        let mut told = lock(&self.told);
        (told.last, told.works) = (Some(Instant::now()), false);
        if told.troubles.insert(words.to_owned()) {
            log::error!("spool {}: {words}", self.place.path);
        }
    }

    /// Logs the end of all troubles: not at the first success, which may be one of many that come and go when a disk is
    /// almost full.
    pub fn tell_when_it_works(&self) {
        let mut told = lock(&self.told);
        let calm = told.works && told.last.is_some_and(|last| last.elapsed() >= CALM);
        if calm && !told.troubles.is_empty() {
            told.troubles.clear();
            log::info!("spool {}: works again", self.place.path);
        }
    }

    /// Logs once of a file why it stays where it is.
    fn leave(&self, name: &str, why: &str) {
        let mut told = lock(&self.told);
        if told.left.len() < LEFT && told.left.insert(name.to_owned()) {
            log::error!(
                "spool {}: {} is left where it is: {why}",
                self.place.path,
                crate::text::visible(name)
            );
        }
    }

    /// The end of this process: removes what nobody needs. `queue_is_empty`, `outbox_is_empty`: what is left in them stays
    /// for the next process.
    pub fn end(&self, queue_is_empty: bool, outbox_is_empty: bool) {
        if let (true, Some(memory)) = (queue_is_empty, &self.place.memory) {
            let _ =
                unlinkat(memory, self.place.memory_name(&self.token).as_str(), UnlinkatFlags::NoRemoveDir);
        }
        if queue_is_empty && outbox_is_empty && lock(&self.owner).take().is_some() {
            self.unlink(&owner_name(&self.token));
        }
    }
}

fn names_in(directory: impl AsFd) -> Vec<String> {
    let flags = OFlag::O_DIRECTORY | OFlag::O_RDONLY | OFlag::O_CLOEXEC;
    let Ok(mut directory) = Dir::openat(directory, ".", flags, Mode::empty()) else {
        return Vec::new();
    };
    directory.iter().flatten().filter_map(|entry| Some(entry.file_name().to_str().ok()?.to_owned())).collect()
}

/// A regular file of ours (or of root's), that nobody else can write, and has no other name.
fn is_private(data: &FileStat) -> bool {
    let is_file = SFlag::from_bits_truncate(data.st_mode) & SFlag::S_IFMT == SFlag::S_IFREG;
    let owner = data.st_uid;
    is_file
        && (owner == 0 || owner == nix::unistd::geteuid().as_raw())
        && data.st_mode & 0o022 == 0
        && data.st_nlink == 1
}

/// The event of which our mail with that Message-ID was made: `<haproxy.<token>.<ticket>.…>`.
fn event_of(message_id: &str) -> Option<&str> {
    let rest = message_id.strip_prefix("<haproxy.")?;
    let (end, _) = rest.match_indices('.').nth(1)?;
    Some(&rest[..end])
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
