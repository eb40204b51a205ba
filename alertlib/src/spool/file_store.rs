// SPDX-License-Identifier: MIT OR Apache-2.0
//! The store in files.
//!
//! Each mail is in a file; in RAM if it cannot be written. The spool's size is limited: when it is full, less important mails move
//! from files into RAM, and more important ones take their space. Within the limits of [`CACHE`], mails in files are in RAM as well, so
//! that they can be sent without reading a file.
//!
//! The table has the place of each mail. Its lock is held for lookups and changes of the table only, never during a file operation:
//! a thread looks up the place, works on the file, and then checks that the mail is still at that place.

use super::checkpoint::{self, Checkpoint};
use super::directory::SpoolDirectory;
use super::files::{Files, errno, try_lock};
use super::mail_files::{MailFiles, SpoolRef};
use super::{IN_MEMORY, incidents, incidents_name};
use crate::engine::Snapshot;
use crate::queue::{
    Batch, Committed, Limits, MailId, Orphan, PendingMail, RamTable, ReplayMark, Store, StoredMail,
    Unreadable,
};
use crate::ring::SharedWords;
use crate::settings::Recipient;
use crate::sys::{lock, shared_memory};
use nix::fcntl::{Flock, posix_fallocate};
use std::collections::{BTreeSet, HashMap};
use std::os::fd::OwnedFd;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed, Ordering::SeqCst};
use std::sync::{Arc, Mutex, OnceLock};

/// Limits of the mails in files that are in RAM as well.
const CACHE: Limits = Limits { mails: 1024, bytes: 8 * 1024 * 1024 };
/// Volatile mails that one [`Store::retry_writes`] writes, at most.
const MAX_RETRIED: usize = 256;

/// The spool of this process.
pub struct FileStore {
    pub(super) files: Arc<Files>,
    pub(super) mails: MailFiles,
    /// The shared memory, locked, and the checkpoint in it.
    memory: OnceLock<(Flock<OwnedFd>, Checkpoint)>,
    table: Mutex<Table>,
    len: AtomicU64,
    /// Mails in no file.
    volatile: Arc<AtomicU64>,
    /// This process has written an incidents file; another process may have taken it over.
    has_snapshot: AtomicBool,
}

/// The place of each mail.
#[derive(Default)]
struct Table {
    /// Mails that are in no file.
    ram: RamTable,
    files: HashMap<MailId, SpoolRef>,
    /// Mails in files, by importance, then by arrival.
    ranks: BTreeSet<(u8, MailId)>,
    /// Mails in files that are in RAM as well.
    cache: RamTable,
    /// The mail whose file the dispatcher is rewriting.
    updating: Option<MailId>,
}

impl Table {
    /// Adds a mail that is in a file, or in none.
    fn add(&mut self, id: MailId, at: Option<SpoolRef>, mail: Arc<PendingMail>) {
        match at {
            Some(at) => self.add_file(id, at, Some(mail)),
            None => self.ram.insert(id, mail),
        }
    }

    fn add_file(&mut self, id: MailId, at: SpoolRef, mail: Option<Arc<PendingMail>>) {
        self.ranks.insert((at.segment.importance, id));
        self.files.insert(id, at);
        if let Some(mail) = mail {
            self.cache.insert_if_it_fits(id, mail);
        }
    }

    fn remove_file(&mut self, id: MailId) -> Option<SpoolRef> {
        let at = self.files.remove(&id)?;
        self.ranks.remove(&(at.segment.importance, id));
        self.cache.remove(id);
        Some(at)
    }

    /// True if the mail is still at this place.
    fn is_at(&self, id: MailId, at: &SpoolRef) -> bool {
        self.updating != Some(id) && self.files.get(&id).is_some_and(|present| present.is(at))
    }
}

impl FileStore {
    /// Opens the spool for the process `token`, and shared memory for a ring of `capacity` records that survives the process. Call it
    /// after the fork, as the worker's user. `audiences`: their recipients, for the checkpoint.
    pub fn start(
        directory: SpoolDirectory,
        token: &str,
        capacity: usize,
        audiences: &[Vec<Recipient>],
        limits: Limits,
    ) -> (Self, Option<SharedWords>) {
        let files = Arc::new(Files::new(directory, token));
        let ram = RamTable::new(limits);
        let store = FileStore {
            mails: MailFiles::new(files.clone()),
            files,
            memory: OnceLock::new(),
            volatile: ram.count(),
            table: Mutex::new(Table { ram, cache: RamTable::new(CACHE), ..Table::default() }),
            len: AtomicU64::new(0),
            has_snapshot: AtomicBool::new(false),
        };
        let Files { directory, token, errors, .. } = &*store.files;
        let locked = store.files.lock_owner();
        if let Err(error) = locked {
            errors.report_failure("cannot own files", error, IN_MEMORY);
        }
        let words = locked.and_then(|()| store.create_memory(capacity, audiences));
        if let Err(error) = &words {
            directory.remove_memory(token);
            log::warn!(
                "spool {}: no shared memory for the queue: {}; events that are in it when the process is killed are lost",
                directory.path,
                error.desc()
            );
        }
        (store, words.ok())
    }

    fn create_memory(&self, capacity: usize, audiences: &[Vec<Recipient>]) -> nix::Result<SharedWords> {
        let file = try_lock(self.files.directory.create_memory(&self.files.token)?)?;
        let words = checkpoint::words_for(capacity, audiences.iter().map(Vec::len).sum());
        posix_fallocate(&*file, 0, (words * 8) as i64)?;
        let mapped = shared_memory::SharedWords::map(&*file, words).map_err(errno)?;
        let (checkpoint, slots) = checkpoint::create(Box::new(mapped), capacity, audiences);
        // The lock is held as long as the process lives.
        let _ = self.memory.set((file, checkpoint));
        Ok(Box::new(slots))
    }

    /// Adds a mail of a dead process.
    pub(super) fn add_adopted(&self, at: SpoolRef) -> StoredMail {
        let adopted = StoredMail { id: MailId::next(), created: at.segment.created };
        lock(&self.table).add_file(adopted.id, at, None);
        self.len.fetch_add(1, SeqCst);
        adopted
    }

    /// Moves mails of less than this importance from files into RAM until a file is removed. False: no such mail is left. By the
    /// collector only.
    fn displace(&self, importance: u8) -> bool {
        loop {
            let table = lock(&self.table);
            let mut less_important = table.ranks.iter().take_while(|(rank, _)| *rank < importance);
            let least = less_important.find_map(|(_, id)| {
                let at = table.files.get(id).filter(|_| table.updating != Some(*id))?;
                Some((*id, at.clone(), table.cache.get(*id).cloned()))
            });
            drop(table);
            let Some((id, at, cached)) = least else { return false };
            let mail = cached.map_or_else(|| self.mails.load(&at).map(Arc::new), Ok);
            let mut table = lock(&self.table);
            if !table.is_at(id, &at) {
                continue;
            }
            let Ok(mail) = mail else {
                // The dispatcher handles the error. Without a rank the mail is not tried again here.
                table.ranks.remove(&(at.segment.importance, id));
                continue;
            };
            table.remove_file(id);
            table.ram.insert(id, mail);
            drop(table);
            if self.mails.remove(&at) {
                return true;
            }
        }
    }

    /// Makes drafts, progress, replay mark and snapshot (`None`: unchanged) valid, atomically. False: the snapshot could not be written;
    /// the error is logged.
    fn commit_files(
        &self,
        snapshot: Option<&Snapshot>,
        progress: &[u64],
        replay: Option<ReplayMark>,
    ) -> bool {
        // An empty snapshot replaces an earlier one, in this directory or in another process.
        let snapshot = snapshot.filter(|new| !new.is_empty() || self.has_snapshot.load(Relaxed));
        let written = snapshot.map(|snapshot| {
            let number = self.files.next_number();
            (number, self.files.write_draft(number, &incidents::encode(snapshot)))
        });
        if let Some((_, checkpoint)) = self.memory.get() {
            checkpoint.write(self.files.next_number(), replay, progress);
        }
        self.mails.publish_drafts();
        let (Some(snapshot), Some((number, is_written))) = (snapshot, written) else { return true };
        let name = incidents_name(&self.files.token);
        // If another process has taken the file over, it needs the empty snapshot.
        let is_deleted = snapshot.is_empty() && self.files.try_unlink(&name).is_ok();
        if is_deleted {
            self.files.unlink(&self.files.name("draft", number));
        } else if is_written {
            self.files.publish(number, name);
        }
        if is_deleted || is_written {
            self.has_snapshot.store(!snapshot.is_empty(), Relaxed);
        }
        is_deleted || is_written
    }
}

impl Store for FileStore {
    fn is_durable(&self) -> bool {
        true
    }

    fn commit(&self, batch: Batch) -> Committed {
        let Batch { notifications, progress, replay, snapshot } = batch;
        let mails: Vec<Arc<PendingMail>> =
            notifications.into_iter().map(|notification| Arc::new(PendingMail::new(notification))).collect();
        let refs = self.mails.write_drafts(&mails, |importance| self.displace(importance));
        let is_snapshot_saved = self.commit_files(snapshot, progress, replay);
        let mut table = lock(&self.table);
        let add = |(mail, at): (Arc<PendingMail>, Option<SpoolRef>)| {
            let stored = StoredMail { id: MailId::next(), created: mail.notification.created };
            table.add(stored.id, at, mail);
            stored
        };
        let mails: Vec<StoredMail> = mails.into_iter().zip(refs).map(add).collect();
        self.len.fetch_add(mails.len() as u64, SeqCst);
        Committed { mails, is_snapshot_saved }
    }

    fn load(&self, id: MailId) -> Result<Arc<PendingMail>, Unreadable> {
        loop {
            let table = lock(&self.table);
            if let Some(mail) = table.ram.get(id).or_else(|| table.cache.get(id)) {
                return Ok(mail.clone());
            }
            let at = table.files.get(&id).cloned().ok_or(Unreadable::Gone)?;
            drop(table);
            let read = self.mails.load(&at).map(Arc::new);
            let mut table = lock(&self.table);
            if table.is_at(id, &at) {
                if let Ok(mail) = &read {
                    table.cache.insert_if_it_fits(id, mail.clone());
                }
                return read;
            }
            // The collector has moved the mail into RAM meanwhile.
        }
    }

    fn update(&self, id: MailId, mail: PendingMail) {
        let mail = Arc::new(mail);
        let mut table = lock(&self.table);
        let Some(at) = table.files.get(&id).cloned() else { return table.ram.insert(id, mail) };
        table.updating = Some(id);
        drop(table);
        let updated = self.mails.update(&at, &mail);
        let mut table = lock(&self.table);
        table.updating = None;
        table.remove_file(id);
        table.add(id, updated, mail);
    }

    fn delete(&self, id: MailId) {
        let mut table = lock(&self.table);
        let (at, from_ram) = (table.remove_file(id), table.ram.remove(id));
        drop(table);
        // The file is removed before the mail is uncounted: while mails are counted, the process does not end.
        if let Some(at) = &at {
            self.mails.remove(at);
        }
        if at.is_some() || from_ram.is_some() {
            self.len.fetch_sub(1, SeqCst);
        }
    }

    fn len(&self) -> u64 {
        self.len.load(SeqCst)
    }

    fn volatile(&self) -> u64 {
        self.volatile.load(SeqCst)
    }

    fn excess(&self) -> Vec<MailId> {
        lock(&self.table).ram.excess()
    }

    fn retry_writes(&self) {
        self.files.errors.report_recovery();
        let (ids, mails): (Vec<MailId>, Vec<_>) =
            lock(&self.table).ram.most_important(MAX_RETRIED).into_iter().unzip();
        let written = self.mails.write_drafts(&mails, |_| false);
        self.mails.publish_drafts();
        let mut outdated = Vec::new();
        let mut table = lock(&self.table);
        for ((id, mail), at) in ids.into_iter().zip(mails).zip(written) {
            let Some(at) = at else { continue };
            // The dispatcher may have delivered or updated the mail meanwhile.
            if table.ram.get(id).is_some_and(|current| Arc::ptr_eq(current, &mail)) {
                table.ram.remove(id);
                table.add_file(id, at, Some(mail));
            } else {
                outdated.push(at);
            }
        }
        drop(table);
        outdated.iter().for_each(|at| _ = self.mails.remove(at));
    }

    fn orphans(&self) -> Vec<Orphan> {
        self.take_over_orphans()
    }

    fn foreign_snapshots(&self) -> Vec<(String, Snapshot)> {
        self.read_foreign_snapshots()
    }

    fn delete_foreign_snapshot(&self, token: &str) {
        self.files.unlink(&incidents_name(token));
    }

    fn sync(&self) {
        self.files.sync();
    }

    fn end(&self, is_ring_empty: bool) {
        if is_ring_empty {
            self.files.directory.remove_memory(&self.files.token);
            if self.is_empty() {
                self.files.remove_owner();
            }
        }
    }
}
