// SPDX-License-Identifier: MIT OR Apache-2.0
//! The interface of the store: the only owner of durability.
//!
//! The collector commits mails, progress and the snapshot for the next process; the dispatcher loads, updates and deletes mails. A
//! store knows the importance and the order of mails, but no due times. A mail's id never changes, although the store may move the
//! mail between a file and RAM, even while the dispatcher is sending it.

use crate::engine::Snapshot;
use crate::notification::Notification;
use crate::settings::Recipient;
use nix::errno::Errno;
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::SystemTime;

/// A mail's id in the store. Ids grow with each mail; a process uses no id twice.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MailId(u64);

impl MailId {
    /// Returns the next id.
    pub fn next() -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        MailId(NEXT.fetch_add(1, Relaxed))
    }
}

/// A mail and the recipients that have not got it yet.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PendingMail {
    /// The mail, with all its recipients.
    pub notification: Arc<Notification>,
    /// The recipients that have not got it; never empty.
    pub remaining: Vec<Recipient>,
}

impl PendingMail {
    /// Creates a mail that no recipient has got.
    pub fn new(notification: Notification) -> Self {
        PendingMail { remaining: notification.to.clone(), notification: Arc::new(notification) }
    }

    /// The rank for eviction: see [`crate::event::Kind::importance`].
    pub fn importance(&self) -> u8 {
        self.notification.lead().event.kind.importance()
    }
}

/// A commit: after a SIGKILL the next process finds all of it, or nothing.
#[derive(Default)]
pub struct Batch<'a> {
    /// New mails.
    pub notifications: Vec<Notification>,
    /// The first record of the ring that is not in a mail yet, by audience.
    pub progress: &'a [u64],
    /// Progress in the records of a dead process.
    pub replay: Option<ReplayMark>,
    /// State for the next process; `None`: unchanged.
    pub snapshot: Option<&'a Snapshot>,
}

/// The result of a commit. The mails are always stored, in RAM if need be.
pub struct Committed {
    /// The new mails, in their order.
    pub mails: Vec<StoredMail>,
    /// False: the snapshot could not be written, and the log says why.
    pub is_snapshot_saved: bool,
}

/// A mail that was stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StoredMail {
    /// Its id in the store.
    pub id: MailId,
    /// When it was created, by this process or a dead one.
    pub created: SystemTime,
}

/// Progress in the records of a dead process: records with smaller tickets are in mails.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ReplayMark {
    /// The hash of the process's token.
    pub token: u64,
    /// The first record that is not in a mail.
    pub ticket: u64,
}

/// Why a mail cannot be loaded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Unreadable {
    /// Its file was removed by another program.
    Gone,
    /// Its file is damaged: the reason.
    Damaged(String),
    /// Its file cannot be read now: the system's error.
    Unavailable(Errno),
}

/// The mails and events of a dead process: its mails are this process's mails already, its events are to be replayed.
pub struct Orphan {
    /// The token of the process.
    pub token: String,
    /// Its mails, the oldest first.
    pub mails: Vec<StoredMail>,
    /// Events that it had accepted, and that some audience was not notified of.
    pub events: Vec<ReplayedEvent>,
    /// The store's lock on the orphan.
    pub claim: Box<dyn Claim>,
}

/// An event of a dead process.
pub struct ReplayedEvent {
    /// The record of the dead process's ring.
    pub record: Vec<u64>,
    /// Its number in the ring.
    pub ticket: u64,
}

/// The store's lock on an orphan. No other process takes the orphan over before it is dropped.
pub trait Claim {
    /// True if the dead process had committed a mail about the event for one of these recipients.
    fn has_notified(&self, to: &[Recipient], event: &ReplayedEvent) -> bool;
    /// Returns the mark to commit with the mails of `event` and all events before it.
    fn replay_mark(&self, event: &ReplayedEvent) -> ReplayMark;
    /// Removes the record of an event whose mails are committed.
    fn forget(&self, event: &ReplayedEvent);
    /// Removes the process's shared memory and owner file: all its events are replayed.
    fn finish(self: Box<Self>);
}

impl Orphan {
    /// Returns a guard that removes the records of `events` when it is dropped: after the commit of their mails, or by a panic before
    /// it, because a record that causes a panic must not be replayed again.
    pub fn forget_on_drop<'a>(&'a self, events: &'a [ReplayedEvent]) -> impl Drop + 'a {
        ForgetOnDrop { claim: &*self.claim, events }
    }
}

struct ForgetOnDrop<'a> {
    claim: &'a dyn Claim,
    events: &'a [ReplayedEvent],
}

impl Drop for ForgetOnDrop<'_> {
    fn drop(&mut self) {
        self.events.iter().for_each(|event| self.claim.forget(event));
    }
}

/// Keeps mails until they are delivered or given up.
///
/// A store never refuses a mail: a mail that cannot be written to a file is kept in RAM, which ends with the process
/// ([`Store::volatile`]). No lock is held during file operations, so the collector never waits for the dispatcher.
pub trait Store: Send + Sync {
    /// True if mails survive the process.
    fn is_durable(&self) -> bool {
        false
    }

    /// Stores new mails, the progress and the snapshot, atomically. By the collector only.
    fn commit(&self, batch: Batch) -> Committed;

    /// Returns a mail.
    ///
    /// # Errors
    ///
    /// Its file is gone or damaged, or cannot be read now.
    fn load(&self, id: MailId) -> Result<Arc<PendingMail>, Unreadable>;

    /// Replaces a mail by one with fewer remaining recipients. By the dispatcher only.
    fn update(&self, id: MailId, mail: PendingMail);

    /// Deletes a mail that is delivered or given up.
    fn delete(&self, id: MailId);

    /// The number of mails. Any thread; takes no lock.
    fn len(&self) -> u64;

    /// Any thread; takes no lock.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The number of mails that are lost when the process ends. Any thread; takes no lock.
    fn volatile(&self) -> u64 {
        self.len()
    }

    /// Candidates for eviction: none while the mails in RAM are within their limits, else the two least important ones, the older
    /// first among equals. Two, because one of them may be the mail that is being sent, which cannot be evicted.
    fn excess(&self) -> Vec<MailId>;

    /// Tries to write volatile mails to files. By the collector only.
    fn retry_writes(&self) {}

    /// Takes over the mails and events of dead processes. By the collector only.
    fn orphans(&self) -> Vec<Orphan> {
        Vec::new()
    }

    /// The snapshots of other processes, dead or being replaced, with their tokens. By the collector only.
    fn foreign_snapshots(&self) -> Vec<(String, Snapshot)> {
        Vec::new()
    }

    /// Deletes another process's snapshot, which this process's own snapshot includes.
    fn delete_foreign_snapshot(&self, _token: &str) {}

    /// Syncs the files that were written since the last call. Blocks for as long as the disk takes.
    fn sync(&self) {}

    /// Removes the files that the next process does not need. `is_ring_empty`: no event is left in the ring.
    fn end(&self, _is_ring_empty: bool) {}
}
