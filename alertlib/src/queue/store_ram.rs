// SPDX-License-Identifier: MIT OR Apache-2.0
//! Mails in RAM: the store without a spool, and the table that both stores use for mails that are in no file.

use super::store::{Batch, Committed, MailId, PendingMail, Store, StoredMail, Unreadable};
use crate::settings::{MAX_QUEUED_BYTES, MAX_QUEUED_MAILS};
use crate::sys::lock;
use std::collections::{BTreeSet, HashMap};
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};
use std::sync::{Arc, Mutex};

/// Candidates for eviction: one more than the mails that can be in flight.
const CANDIDATES: usize = 2;

/// Limits of the mails in RAM: in bytes as well, because a mail about thousands of servers is as large as a thousand others.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Number of mails.
    pub mails: usize,
    /// In bytes, as [`Notification::size`](crate::notification::Notification::size) estimates them.
    pub bytes: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Limits { mails: MAX_QUEUED_MAILS, bytes: MAX_QUEUED_BYTES }
    }
}

/// Mails in RAM, with their rank for eviction.
#[derive(Default)]
pub struct RamTable {
    mails: HashMap<MailId, Arc<PendingMail>>,
    /// By importance, then by arrival.
    ranks: BTreeSet<(u8, MailId)>,
    size: u64,
    limits: Limits,
    /// The number of mails, for threads that do not hold the table's lock.
    count: Arc<AtomicU64>,
}

impl RamTable {
    /// Creates an empty table.
    pub fn new(limits: Limits) -> Self {
        RamTable { limits, ..RamTable::default() }
    }

    /// Adds a mail, or replaces it.
    pub fn insert(&mut self, id: MailId, mail: Arc<PendingMail>) {
        self.take(id);
        self.size += mail.notification.size();
        self.ranks.insert((mail.importance(), id));
        self.mails.insert(id, mail);
        self.publish_count();
    }

    /// Adds a mail that is not in the table, unless the table would exceed its limits.
    pub fn insert_if_it_fits(&mut self, id: MailId, mail: Arc<PendingMail>) {
        let fits =
            self.mails.len() < self.limits.mails && self.size + mail.notification.size() <= self.limits.bytes;
        if fits {
            self.insert(id, mail);
        }
    }

    /// Removes a mail.
    pub fn remove(&mut self, id: MailId) -> Option<Arc<PendingMail>> {
        let mail = self.take(id);
        self.publish_count();
        mail
    }

    /// Removes a mail that is perhaps replaced: it is still counted.
    fn take(&mut self, id: MailId) -> Option<Arc<PendingMail>> {
        let mail = self.mails.remove(&id)?;
        self.size -= mail.notification.size();
        self.ranks.remove(&(mail.importance(), id));
        Some(mail)
    }

    /// Returns a mail.
    pub fn get(&self, id: MailId) -> Option<&Arc<PendingMail>> {
        self.mails.get(&id)
    }

    fn publish_count(&self) {
        self.count.store(self.mails.len() as u64, SeqCst);
    }

    /// The number of mails, which needs no lock to be read.
    pub fn count(&self) -> Arc<AtomicU64> {
        self.count.clone()
    }

    /// Returns the most important mails, at most `count`, the younger first among equals.
    pub fn most_important(&self, count: usize) -> Vec<(MailId, Arc<PendingMail>)> {
        let ids = self.ranks.iter().rev().take(count).map(|(_, id)| *id);
        ids.filter_map(|id| Some((id, self.mails.get(&id)?.clone()))).collect()
    }

    /// See [`Store::excess`].
    pub fn excess(&self) -> Vec<MailId> {
        let is_over = self.mails.len() > self.limits.mails || self.size > self.limits.bytes;
        let count = if is_over { CANDIDATES } else { 0 };
        self.ranks.iter().take(count).map(|(_, id)| *id).collect()
    }
}

/// The store without a spool.
pub struct RamStore {
    /// A panic of another thread leaves each mail in the table or not.
    table: Mutex<RamTable>,
    len: Arc<AtomicU64>,
}

impl RamStore {
    /// Creates an empty store.
    pub fn new(limits: Limits) -> Self {
        let table = RamTable::new(limits);
        RamStore { len: table.count(), table: Mutex::new(table) }
    }
}

impl Store for RamStore {
    fn commit(&self, batch: Batch) -> Committed {
        let mut table = lock(&self.table);
        let store = |notification| {
            let mail = PendingMail::new(notification);
            let stored = StoredMail { id: MailId::next(), created: mail.notification.created };
            table.insert(stored.id, Arc::new(mail));
            stored
        };
        let mails = batch.notifications.into_iter().map(store).collect();
        Committed { mails, is_snapshot_saved: true }
    }

    fn load(&self, id: MailId) -> Result<Arc<PendingMail>, Unreadable> {
        lock(&self.table).get(id).cloned().ok_or(Unreadable::Gone)
    }

    fn update(&self, id: MailId, mail: PendingMail) {
        lock(&self.table).insert(id, Arc::new(mail));
    }

    fn delete(&self, id: MailId) {
        lock(&self.table).remove(id);
    }

    fn len(&self) -> u64 {
        self.len.load(SeqCst)
    }

    fn excess(&self) -> Vec<MailId> {
        lock(&self.table).excess()
    }
}
