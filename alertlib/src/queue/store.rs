// SPDX-License-Identifier: MIT OR Apache-2.0
//! The interface of the store: the only owner of durability.
//!
//! The collector commits mails, and what the next process has to know; the dispatcher loads, updates and deletes them. A store
//! knows the importance of a mail and when it arrived, but no due times. The id of a mail never changes, wherever the store
//! moves it: the store may move a mail that the dispatcher is sending.

use crate::engine::Snapshot;
use crate::notification::Notification;
use crate::settings::Recipient;
use nix::errno::Errno;
use std::sync::Arc;
use std::time::SystemTime;

/// A mail in the store. Ids grow with each mail and are not used twice by a process.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MailId(pub u64);

/// A mail and the recipients that have not got it yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PendingMail {
    /// The mail, with all its recipients.
    pub notification: Arc<Notification>,
    /// The recipients that have not got it; never empty.
    pub remaining: Vec<Recipient>,
}

impl PendingMail {
    /// A mail that no recipient has got.
    pub fn new(notification: Notification) -> Self {
        PendingMail { remaining: notification.to.clone(), notification: Arc::new(notification) }
    }

    /// The rank among mails when one has to go: see [`crate::event::Kind::importance`].
    pub fn importance(&self) -> u8 {
        self.notification.lead().event.kind.importance()
    }

    /// Estimated memory, in bytes.
    pub fn size(&self) -> u64 {
        self.notification.size()
    }
}

/// Everything that becomes true at one moment: after a SIGKILL either all of it is found, or nothing.
#[derive(Default)]
pub struct Batch<'a> {
    /// New mails.
    pub notifications: Vec<Notification>,
    /// The first record of the ring that is not in a mail yet, by audience.
    pub progress: &'a [u64],
    /// Progress in the records of a dead process.
    pub replay: Option<ReplayMark>,
    /// What the next process has to know; `None`: unchanged.
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
    /// Its id.
    pub id: MailId,
    /// When it was created, by this process or a dead one.
    pub created: SystemTime,
}

/// Progress in the records of a dead process: those with smaller tickets are in mails.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ReplayMark {
    /// The hash of the process's token.
    pub token: u64,
    /// The first record that is not in a mail.
    pub ticket: u64,
}

/// Why a mail cannot be loaded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Unreadable {
    /// It was removed from outside.
    Gone,
    /// It is no mail any more, and never will be: why.
    Damaged(String),
    /// The system's error, which may pass.
    Unavailable(Errno),
}

/// What a dead process has left: its mails are this process's mails already, its events are to be replayed.
pub struct Orphan {
    /// The token of the process.
    pub token: String,
    /// Its mails, the oldest first.
    pub mails: Vec<StoredMail>,
    /// Events that it had accepted, and that some audience was not told of.
    pub events: Vec<ReplayedEvent>,
    claim: Box<dyn Claim>,
}

/// An event of a dead process.
pub struct ReplayedEvent {
    /// `<token>.<ticket>`: unique among all processes.
    pub id: String,
    /// The record, as it was in the ring.
    pub record: Vec<u64>,
    /// Its number in the ring.
    pub ticket: u64,
}

/// The store's hold on what a dead process has left. No other process takes it over before it is dropped.
pub trait Claim {
    /// Whether a mail about the record was committed for one of these recipients.
    fn has_notified(&self, to: &[Recipient], ticket: u64) -> bool;
    /// The mark that says that all records before `ticket` are in mails.
    fn replay_mark(&self, ticket: u64) -> ReplayMark;
    /// Removes a record: its mails are committed.
    fn forget(&self, ticket: u64);
    /// Removes what is left of the process.
    fn finish(self: Box<Self>);
}

impl Orphan {
    /// An orphan that `claim` holds.
    pub fn new(
        token: String,
        mails: Vec<StoredMail>,
        events: Vec<ReplayedEvent>,
        claim: Box<dyn Claim>,
    ) -> Self {
        Orphan { token, mails, events, claim }
    }

    /// Whether the dead process had committed a mail about the event for one of these recipients.
    pub fn has_notified(&self, to: &[Recipient], event: &ReplayedEvent) -> bool {
        self.claim.has_notified(to, event.ticket)
    }

    /// The mark to commit with the mails of `events`, which are its oldest ones.
    pub fn replay_mark(&self, events: &[ReplayedEvent]) -> Option<ReplayMark> {
        Some(self.claim.replay_mark(events.last()?.ticket + 1))
    }

    /// Removes the records of `events` when the result is dropped. Drop it after the commit of their mails; a panic in between
    /// drops it, too: a record that causes a panic must not be replayed again.
    pub fn forget_on_drop<'a>(&'a self, events: &'a [ReplayedEvent]) -> impl Drop + 'a {
        ForgetOnDrop { claim: &*self.claim, events }
    }

    /// Removes what is left of the process: all its events are replayed.
    pub fn finish(self) {
        self.claim.finish();
    }
}

struct ForgetOnDrop<'a> {
    claim: &'a dyn Claim,
    events: &'a [ReplayedEvent],
}

impl Drop for ForgetOnDrop<'_> {
    fn drop(&mut self) {
        self.events.iter().for_each(|event| self.claim.forget(event.ticket));
    }
}

/// Keeps mails until they are delivered or given up.
///
/// A store never fails to keep a mail: what the disk refuses is kept in RAM, which ends with the process ([`Store::volatile`]).
/// None of its locks is held during file operations, so the collector never waits for the dispatcher.
pub trait Store: Send + Sync {
    /// Whether mails survive the process.
    fn is_durable(&self) -> bool;

    /// Stores new mails, the progress and the snapshot, atomically. By the collector only.
    fn commit(&self, batch: Batch) -> Committed;

    /// Returns a mail.
    ///
    /// # Errors
    ///
    /// Its file is gone or damaged, or cannot be read now.
    fn load(&self, id: MailId) -> Result<Arc<PendingMail>, Unreadable>;

    /// Replaces the mail by `mail`, which has fewer remaining recipients. By the dispatcher only.
    fn update(&self, id: MailId, mail: PendingMail);

    /// Deletes a mail: it is delivered, or given up.
    fn delete(&self, id: MailId);

    /// Mails that are not deleted. Any thread, without a lock.
    fn len(&self) -> u64;

    /// Whether there are none. Any thread, without a lock.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Mails that end with the process. Any thread, without a lock.
    fn volatile(&self) -> u64;

    /// Candidates for eviction: empty while the mails in RAM are within their limits, else the two least important ones, the
    /// oldest first of those that are equal. Two, because at most one mail is being sent, which cannot be evicted.
    fn excess(&self) -> Vec<MailId>;

    /// Tries to write volatile mails to files. By the collector only.
    fn retry_writes(&self) {}

    /// Takes over what dead processes have left. By the collector only.
    fn orphans(&self) -> Vec<Orphan> {
        Vec::new()
    }

    /// The snapshots of other processes, dead or being replaced, with their tokens. By the collector only.
    fn foreign_snapshots(&self) -> Vec<(String, Snapshot)> {
        Vec::new()
    }

    /// Deletes the snapshot of another process: this process's own snapshot includes it.
    fn delete_foreign_snapshot(&self, _token: &str) {}

    /// Brings to the disk what was written since the last call. Takes as long as the disk takes.
    fn sync(&self) {}

    /// Removes what the next process does not need. `is_ring_empty`: no event is left in the ring.
    fn end(&self, _is_ring_empty: bool) {}
}
