// SPDX-License-Identifier: MIT OR Apache-2.0
//! The schedule: order and due times of the mails that are not delivered yet.
//!
//! The collector adds mails; the dispatcher takes due mails, and reschedules those that it has to retry. The schedule knows ids and
//! attempts; the mails are in the store. Its lock is held for moments only, and never by HAProxy's threads: they call
//! [`Schedule::drain`], which stores an atomic.

use super::store::{MailId, StoredMail};
use crate::sys::lock;
use std::collections::{BTreeMap, HashMap};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::time::{Instant, SystemTime};

/// A mail in the schedule.
#[derive(Debug, Clone)]
pub struct Entry {
    /// The mail's id in the store.
    pub id: MailId,
    /// When the mail was created, by this process or a dead one.
    pub created: SystemTime,
    /// Attempts so far.
    pub attempts: u32,
    /// Why the last attempt failed.
    pub last_error: Option<String>,
    /// It was taken regardless of its due time: see [`Schedule::drain`].
    is_expedited: bool,
    due: Instant,
}

/// Mails that are not delivered yet, ordered by due time, then by id, so that those of the same time are in the order of their creation.
#[derive(Default)]
pub struct Schedule {
    /// A panic of another thread leaves each mail in the schedule or with the dispatcher.
    waiting: Mutex<Waiting>,
    is_draining: AtomicBool,
    is_closed: AtomicBool,
    is_abandoned: AtomicBool,
}

/// Mails that are not being sent.
#[derive(Default)]
struct Waiting {
    by_time: BTreeMap<(Instant, MailId), Entry>,
    due: HashMap<MailId, Instant>,
}

/// The dispatcher's next step.
#[derive(Debug)]
pub enum Next {
    /// Send this mail; then delete it from the store, or call [`Schedule::reschedule`].
    Send(Box<Entry>),
    /// No mail is due before then (`None`: there is none).
    WaitUntil(Option<Instant>),
    /// End: the schedule is closed and empty, or abandoned.
    End,
}

impl Waiting {
    fn insert(&mut self, entry: Entry) {
        self.due.insert(entry.id, entry.due);
        self.by_time.insert((entry.due, entry.id), entry);
    }

    fn remove(&mut self, id: MailId) -> Option<Entry> {
        let due = self.due.remove(&id)?;
        self.by_time.remove(&(due, id))
    }

    fn take_first_if(&mut self, is_wanted: impl Fn(&Entry) -> bool) -> Option<Box<Entry>> {
        let id = self.by_time.values().next().filter(|entry| is_wanted(entry))?.id;
        self.remove(id).map(Box::new)
    }
}

impl Schedule {
    /// Adds mails that were not tried yet, due at once. By the collector only.
    pub fn add(&self, mails: &[StoredMail], now: Instant) {
        let mut waiting = lock(&self.waiting);
        for StoredMail { id, created } in mails.iter().copied() {
            let entry = Entry { id, created, attempts: 0, last_error: None, is_expedited: false, due: now };
            waiting.insert(entry);
        }
    }

    /// Removes the first of the `candidates` that is not being sent; `None`: there is none. By the collector only.
    pub fn evict(&self, candidates: &[MailId]) -> Option<MailId> {
        let mut waiting = lock(&self.waiting);
        candidates.iter().find_map(|id| waiting.remove(*id)).map(|entry| entry.id)
    }

    /// Returns the next step at the time `now`. By the dispatcher only.
    pub fn next(&self, now: Instant) -> Next {
        // Read before the mails: mails that were added before the close are seen.
        let (is_draining, is_closed) = (self.is_draining(), self.is_closed.load(SeqCst));
        let mut waiting = lock(&self.waiting);
        if self.is_abandoned.load(SeqCst) {
            return Next::End;
        }
        if is_draining {
            let unexpedited =
                waiting.by_time.values().find(|entry| !entry.is_expedited).map(|entry| entry.id);
            if let Some(entry) = unexpedited.and_then(|id| waiting.remove(id)) {
                return Next::Send(Box::new(Entry { is_expedited: true, ..entry }));
            }
        }
        if let Some(entry) = waiting.take_first_if(|entry| entry.due <= now) {
            return Next::Send(entry);
        }
        match waiting.by_time.values().next() {
            None if is_closed => Next::End,
            first => Next::WaitUntil(first.map(|entry| entry.due)),
        }
    }

    /// Takes the first mail, if it is due at the time `now` and `is_wanted`. By the dispatcher only.
    pub fn take_first_if(&self, now: Instant, is_wanted: impl Fn(&Entry) -> bool) -> Option<Box<Entry>> {
        lock(&self.waiting).take_first_if(|entry| entry.due <= now && is_wanted(entry))
    }

    /// Puts back a mail that [`Schedule::next`] returned, due at `due`; `None`: with its former due time, in its former order. By the
    /// dispatcher only.
    pub fn reschedule(&self, mut entry: Entry, due: Option<Instant>) {
        entry.due = due.unwrap_or(entry.due);
        lock(&self.waiting).insert(entry);
    }

    /// Makes each mail due at once, for one attempt. Any thread; takes no lock.
    pub fn drain(&self) {
        self.is_draining.store(true, SeqCst);
    }

    /// True after [`Schedule::drain`].
    pub fn is_draining(&self) -> bool {
        self.is_draining.load(SeqCst)
    }

    /// Drains, and ends the dispatcher when no mail is left: none will be added. Any thread.
    pub fn close(&self) {
        self.is_closed.store(true, SeqCst);
        self.drain();
    }

    /// Ends the dispatcher, whatever mails are left. Any thread.
    pub fn abandon(&self) {
        self.is_abandoned.store(true, SeqCst);
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Batch, Limits, PendingMail, RamStore, Store};
    use super::*;
    use crate::event::{self, Event, Kind};
    use crate::notification::{self, Item, Notification};
    use std::sync::Arc;
    use std::time::Duration;

    fn mail_of_kind(id: &str, kind: Kind) -> Notification {
        Notification {
            message_id: id.into(),
            items: vec![Item::of(Event { kind, ..event::sample() })],
            ..notification::sample()
        }
    }

    fn mail(id: &str) -> Notification {
        mail_of_kind(id, Kind::Down)
    }

    /// A schedule and its store.
    struct Queue {
        store: RamStore,
        schedule: Schedule,
    }

    impl Queue {
        fn new(mails: usize) -> Self {
            Queue::with(Limits { mails, ..Limits::default() })
        }

        fn with(limits: Limits) -> Self {
            Queue { store: RamStore::new(limits), schedule: Schedule::default() }
        }

        /// Commits and schedules mails as the collector does; returns the Message-IDs of those that were evicted.
        fn put(&self, mail: Notification, now: Instant) -> Vec<String> {
            let committed = self.store.commit(Batch { notifications: vec![mail], ..Batch::default() });
            self.schedule.add(&committed.mails, now);
            let mut evicted = Vec::new();
            while let Some(victim) = self.schedule.evict(&self.store.excess()) {
                evicted.push(self.store.load(victim).expect("a mail").notification.message_id.clone());
                self.store.delete(victim);
            }
            evicted
        }

        fn sent(&self, now: Instant) -> (Entry, Arc<PendingMail>) {
            match self.schedule.next(now) {
                Next::Send(entry) => {
                    let mail = self.store.load(entry.id).expect("a mail");
                    (*entry, mail)
                }
                other => panic!("{other:?}"),
            }
        }

        fn sent_id(&self, now: Instant) -> (Entry, String) {
            let (entry, mail) = self.sent(now);
            (entry, mail.notification.message_id.clone())
        }
    }

    #[test]
    fn mails_are_sent_in_order_when_they_are_due() {
        let (queue, now) = (Queue::new(10), Instant::now());
        let soon = now + Duration::from_secs(5);
        for id in ["a", "b"] {
            assert_eq!(queue.put(mail(id), now), [""; 0]);
        }
        let (entry, id) = queue.sent_id(now);
        assert_eq!(id, "a");
        queue.schedule.reschedule(entry, Some(soon));
        let (entry, id) = queue.sent_id(now);
        assert_eq!(id, "b");
        queue.store.delete(entry.id);
        assert!(matches!(queue.schedule.next(now), Next::WaitUntil(Some(due)) if due == soon));
        let (entry, id) = queue.sent_id(soon);
        assert_eq!(id, "a");
        assert_eq!((queue.store.len(), queue.store.volatile()), (1, 1));
        queue.store.delete(entry.id);
        assert_eq!((queue.store.len(), queue.store.volatile()), (0, 0));
        assert!(matches!(queue.schedule.next(soon), Next::WaitUntil(None)));
    }

    #[test]
    fn a_mail_without_a_new_due_time_keeps_its_place() {
        let (queue, now) = (Queue::new(10), Instant::now());
        for id in ["a", "b"] {
            assert_eq!(queue.put(mail(id), now), [""; 0]);
        }
        let (entry, _) = queue.sent_id(now);
        queue.schedule.reschedule(entry, None);
        assert_eq!(queue.sent_id(now).1, "a");
    }

    #[test]
    fn at_the_limit_the_oldest_of_the_least_important_mails_is_evicted() {
        let (queue, now) = (Queue::new(2), Instant::now());
        let put = |id: &str, kind| queue.put(mail_of_kind(id, kind), now).pop();
        assert_eq!(put("down", Kind::Down), None);
        assert_eq!(put("up 1", Kind::Up), None);
        assert_eq!(put("up 2", Kind::Up).as_deref(), Some("up 1"));
        assert_eq!(put("backend", Kind::BackendDown).as_deref(), Some("up 2"));
        assert_eq!(put("up 3", Kind::Up).as_deref(), Some("up 3"), "it is the least important one");
        assert_eq!(put("down 2", Kind::Down).as_deref(), Some("down"));
        assert_eq!(queue.store.len(), 2);
        assert_eq!(queue.sent_id(now).1, "backend");
        // The mail that is being sent counts, and cannot be evicted.
        assert_eq!(put("backend 2", Kind::BackendDown).as_deref(), Some("down 2"));
        assert_eq!(put("backend 3", Kind::BackendDown).as_deref(), Some("backend 2"));
    }

    #[test]
    fn large_mails_have_a_limit_in_bytes_and_the_least_important_are_evicted() {
        let large = |id: &str, kind| {
            let mail = mail_of_kind(id, kind);
            Notification { items: vec![mail.items[0].clone(); 100], ..mail }
        };
        let size = large("up 1", Kind::Up).size();
        let queue = Queue::with(Limits { mails: 1000, bytes: size * 5 / 2 });
        let now = Instant::now();
        let put = |mail: Notification| queue.put(mail, now);
        assert_eq!(put(large("down 1", Kind::Down)), [""; 0]);
        assert_eq!(put(large("up 1", Kind::Up)), [""; 0]);
        assert_eq!(put(large("down 2", Kind::Down)), ["up 1"]);
        assert_eq!(put(mail_of_kind("up 2", Kind::Up)), [""; 0], "a small mail fits");
        assert_eq!(put(large("backend", Kind::BackendDown)), ["up 2", "down 1"]);
        let (entry, id) = queue.sent_id(now);
        assert_eq!(id, "down 2");
        assert_eq!(put(large("down 3", Kind::Down)), ["down 3"], "the mail that is being sent counts");
        queue.schedule.reschedule(entry, Some(now));
        assert_eq!(put(mail_of_kind("up 3", Kind::Up)), [""; 0]);
        assert_eq!(put(large("backend 2", Kind::BackendDown)), ["up 3", "down 2"]);
        assert_eq!(queue.store.len(), 2);
    }

    #[test]
    fn draining_makes_all_mails_due_until_the_schedule_is_abandoned() {
        let (queue, now) = (Queue::new(10), Instant::now());
        assert_eq!(queue.put(mail("a"), now), [""; 0]);
        let (entry, _) = queue.sent(now);
        queue.schedule.reschedule(entry, Some(now + Duration::from_secs(3600)));
        queue.schedule.close();
        let (entry, _) = queue.sent(now);
        let soon = now + Duration::from_millis(1);
        queue.schedule.reschedule(entry, Some(soon));
        assert!(matches!(queue.schedule.next(now), Next::WaitUntil(Some(due)) if due == soon));
        let (entry, _) = queue.sent(soon);
        queue.schedule.reschedule(entry, Some(soon));
        queue.schedule.abandon();
        assert!(matches!(queue.schedule.next(soon), Next::End));
        assert_eq!(queue.store.len(), 1, "an undelivered mail is still counted");
    }

    #[test]
    fn a_closed_schedule_ends_when_it_is_empty() {
        let (queue, now) = (Queue::new(10), Instant::now());
        assert_eq!(queue.put(mail("a"), now), [""; 0]);
        queue.schedule.close();
        let (entry, _) = queue.sent(now);
        queue.store.delete(entry.id);
        assert!(matches!(queue.schedule.next(now), Next::End));
    }
}
