// SPDX-License-Identifier: MIT OR Apache-2.0
//! What is not delivered yet.
//!
//! The collector puts mails in, the mailer takes those that are due and either settles them or puts them back for later.
//! The lock is held for moments, never while something is sent, and never by a thread of HAProxy: those read
//! [`Outbox::pending`] and call [`Outbox::drain`], which are atomics.

use crate::engine::Outgoing;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::SeqCst};
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};
use std::thread::Thread;
use std::time::Instant;

/// A mail on its way, with what was tried.
#[derive(Debug, Clone)]
pub struct Entry {
    /// The mail; `to` has those who have not got it yet.
    pub mail: Outgoing,
    /// When it was put in.
    pub since: Instant,
    /// Attempts so far.
    pub attempts: u32,
    /// Why the last of them failed.
    pub trouble: Option<String>,
    /// It did not have to wait for its time: see [`Outbox::drain`].
    hurried: bool,
}

/// There are too many mails already: this one was not taken.
#[derive(Debug)]
pub struct Full;

/// The mails that wait, in the order in which they are due; of those due together, in the order in which they came.
pub struct Outbox {
    waiting: Mutex<Waiting>,
    /// Mails in `waiting`, and the one that the mailer has in its hands.
    pending: AtomicU64,
    draining: AtomicBool,
    closed: AtomicBool,
    abandoned: AtomicBool,
    mailer: OnceLock<Thread>,
    limit: u64,
}

#[derive(Default)]
struct Waiting {
    by_time: BTreeMap<(Instant, u64), Entry>,
    arrivals: u64,
}

/// What the mailer is to do next.
#[derive(Debug)]
pub enum Next {
    /// Send this; then call [`Outbox::settled`] or [`Outbox::later`].
    Send(Box<Entry>),
    /// Nothing is due before then (`None`: nothing at all).
    WaitUntil(Option<Instant>),
    /// End: nothing more will come.
    End,
}

impl Outbox {
    /// An empty outbox for at most `limit` mails.
    pub fn new(limit: usize) -> Self {
        Outbox {
            waiting: Mutex::default(),
            pending: AtomicU64::new(0),
            draining: AtomicBool::new(false),
            closed: AtomicBool::new(false),
            abandoned: AtomicBool::new(false),
            mailer: OnceLock::new(),
            limit: limit as u64,
        }
    }

    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        // A panic elsewhere does not make the mails worse.
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds a mail, due at once.
    ///
    /// # Errors
    ///
    /// The limit is reached.
    pub fn put(&self, mail: Outgoing, now: Instant) -> Result<(), Full> {
        if self.pending.load(SeqCst) >= self.limit {
            return Err(Full);
        }
        self.pending.fetch_add(1, SeqCst);
        let entry = Entry { mail, since: now, attempts: 0, trouble: None, hurried: false };
        self.insert(entry, now);
        self.wake();
        Ok(())
    }

    fn insert(&self, entry: Entry, due: Instant) {
        let mut waiting = self.waiting();
        waiting.arrivals += 1;
        let arrival = waiting.arrivals;
        waiting.by_time.insert((due, arrival), entry);
    }

    /// What to do at the time `now`. Mailer thread only.
    pub fn next(&self, now: Instant) -> Next {
        // Read before looking: what is put in before the closing is still seen.
        let (draining, closed) = (self.draining.load(SeqCst), self.closed.load(SeqCst));
        let mut waiting = self.waiting();
        if self.abandoned.load(SeqCst) {
            return Next::End;
        }
        if draining {
            let hurried = waiting.by_time.iter().find(|(_, entry)| !entry.hurried).map(|(key, _)| *key);
            if let Some(entry) = hurried.and_then(|key| waiting.by_time.remove(&key)) {
                return Next::Send(Box::new(Entry { hurried: true, ..entry }));
            }
        }
        match waiting.by_time.first_entry() {
            Some(first) if first.key().0 <= now => Next::Send(Box::new(first.remove())),
            Some(first) => Next::WaitUntil(Some(first.key().0)),
            None if closed => Next::End,
            None => Next::WaitUntil(None),
        }
    }

    /// The mail that [`Outbox::next`] gave needs nothing more.
    pub fn settled(&self) {
        self.pending.fetch_sub(1, SeqCst);
    }

    /// The mail that [`Outbox::next`] gave is to be tried again at `due`.
    pub fn later(&self, entry: Entry, due: Instant) {
        self.insert(entry, due);
    }

    /// Mails that are neither delivered nor given up. Any thread, without a lock.
    pub fn pending(&self) -> u64 {
        self.pending.load(SeqCst)
    }

    /// From now on no mail waits long: those that are there are due at once. Any thread, without a lock.
    pub fn drain(&self) {
        self.draining.store(true, SeqCst);
        self.wake();
    }

    /// Is it draining?
    pub fn is_draining(&self) -> bool {
        self.draining.load(SeqCst)
    }

    /// Drains, and lets the mailer end when nothing is left: nothing more will be put in. Any thread.
    pub fn close(&self) {
        self.closed.store(true, SeqCst);
        self.drain();
    }

    /// Lets the mailer end with what is left. Any thread.
    pub fn abandon(&self) {
        self.abandoned.store(true, SeqCst);
        self.wake();
    }

    /// Names the calling thread as the mailer.
    pub fn mail_here(&self) {
        // A second call would be a second mailer: the first one stays.
        let _ = self.mailer.set(std::thread::current());
    }

    /// Sleeps until `due`, or until something changes. Mailer thread only.
    pub fn sleep_until(&self, due: Option<Instant>) {
        // A wake-up between `next` and here is not lost: parking then returns at once.
        match due {
            Some(due) => std::thread::park_timeout(due.saturating_duration_since(Instant::now())),
            None => std::thread::park(),
        }
    }

    fn wake(&self) {
        if let Some(mailer) = self.mailer.get() {
            mailer.unpark();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::{Event, Kind};
    use std::time::{Duration, SystemTime};

    fn mail(id: &str) -> Outgoing {
        Outgoing {
            message_id: id.into(),
            created: SystemTime::UNIX_EPOCH,
            from: "haproxy@lb1".parse().expect("address"),
            to: vec![],
            event: Event {
                when: SystemTime::UNIX_EPOCH,
                kind: Kind::Down,
                proxy: "be".into(),
                server: None,
                sentence: String::new(),
                change: None,
            },
            dropped: 0,
        }
    }

    fn sent(outbox: &Outbox, now: Instant) -> Box<Entry> {
        match outbox.next(now) {
            Next::Send(entry) => entry,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn mails_come_out_in_order_and_wait_for_their_time() {
        let (outbox, now) = (Outbox::new(10), Instant::now());
        let soon = now + Duration::from_secs(5);
        for id in ["a", "b"] {
            outbox.put(mail(id), now).expect("room");
        }
        let a = sent(&outbox, now);
        assert_eq!(a.mail.message_id, "a");
        outbox.later(*a, soon);
        assert_eq!(sent(&outbox, now).mail.message_id, "b");
        outbox.settled();
        assert!(matches!(outbox.next(now), Next::WaitUntil(Some(due)) if due == soon));
        assert_eq!(sent(&outbox, soon).mail.message_id, "a");
        assert_eq!(outbox.pending(), 1);
        outbox.settled();
        assert_eq!(outbox.pending(), 0);
        assert!(matches!(outbox.next(soon), Next::WaitUntil(None)));
    }

    #[test]
    fn the_limit_counts_what_is_in_the_mailers_hands() {
        let (outbox, now) = (Outbox::new(2), Instant::now());
        outbox.put(mail("a"), now).expect("room");
        outbox.put(mail("b"), now).expect("room");
        let _ = sent(&outbox, now);
        assert!(outbox.put(mail("c"), now).is_err());
        outbox.settled();
        assert!(outbox.put(mail("c"), now).is_ok());
    }

    #[test]
    fn draining_lets_no_mail_wait_and_tries_until_abandoned() {
        let (outbox, now) = (Outbox::new(10), Instant::now());
        outbox.put(mail("a"), now).expect("room");
        let entry = sent(&outbox, now);
        outbox.later(*entry, now + Duration::from_secs(3600));
        outbox.close();
        let entry = sent(&outbox, now);
        let soon = now + Duration::from_millis(1);
        outbox.later(*entry, soon);
        assert!(matches!(outbox.next(now), Next::WaitUntil(Some(due)) if due == soon));
        let entry = sent(&outbox, soon);
        outbox.later(*entry, soon);
        outbox.abandon();
        assert!(matches!(outbox.next(soon), Next::End));
        assert_eq!(outbox.pending(), 1, "what was not delivered is still counted");
    }

    #[test]
    fn a_closed_outbox_ends_when_it_is_empty() {
        let (outbox, now) = (Outbox::new(10), Instant::now());
        outbox.put(mail("a"), now).expect("room");
        outbox.close();
        let _ = sent(&outbox, now);
        outbox.settled();
        assert!(matches!(outbox.next(now), Next::End));
    }
}
