// SPDX-License-Identifier: MIT OR Apache-2.0
//! What is not delivered yet.
//!
//! The collector puts mails in, the dispatcher takes those that are due and either settles them or puts them back for later.
//! The lock is held for moments, or while something is read from the spool or written to it; never while something is sent,
//! and never by a thread of HAProxy: those read [`Outbox::pending`] and call [`Outbox::drain`], which are atomics.
//!
//! With a spool each mail is a file, too. Then memory has the first [`KEPT`] of them only, and the rest is read again
//! when it is due. The most important ones are there: when it is full, a less important mail makes room by moving into
//! memory. What is in memory alone has a limit, too, at which the least important mails are dropped. Both are limits of
//! mails and of bytes: one that tells of thousands of servers is as large as a thousand others.

use crate::notification::Notification;
use crate::settings::{MAX_QUEUED_BYTES, Recipient};
use crate::spool::{NotStored, Spool, SpoolRef, Unreadable};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::SeqCst};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Instant, SystemTime};

/// Mails of the spool that are kept in memory as well.
const KEPT: usize = 1024;
/// The same in bytes.
const KEPT_SIZE: u64 = 8 * 1024 * 1024;
/// Mails that are written to a spool that works again, at a time.
const BATCH: usize = 256;

/// A mail on its way, with what was tried.
#[derive(Debug, Clone)]
pub struct Entry {
    /// The mail, and who has not got it yet. `None`: the spool has it.
    pub mail: Option<Box<(Notification, Vec<Recipient>)>>,
    /// Its file, if it has one.
    pub stored: Option<SpoolRef>,
    /// When the mail was decided, by whichever process.
    pub created: SystemTime,
    /// Attempts so far.
    pub attempts: u32,
    /// Why the last of them failed.
    pub trouble: Option<String>,
    /// It did not have to wait for its time: see [`Outbox::drain`].
    hurried: bool,
    place: Key,
    /// Of the mail in memory, while it is in the outbox.
    size: u64,
}

/// Where a mail waits: when it is due, and its place among those that are due then.
type Key = (Instant, u64);

/// A mail among those that may have to go: importance, and then the oldest first.
type Rank = (u8, u64, Instant);

/// The mails that wait, in the order in which they are due; of those due together, in the order in which they came.
pub struct Outbox {
    waiting: Mutex<Waiting>,
    spool: Option<Arc<Spool>>,
    /// Mails in `waiting`, and the one that the dispatcher has in its hands.
    pending: AtomicU64,
    /// Those of them that have no file.
    unstored: AtomicU64,
    draining: AtomicBool,
    closed: AtomicBool,
    abandoned: AtomicBool,
    limit: u64,
    size_limit: u64,
}

#[derive(Default)]
struct Waiting {
    by_time: BTreeMap<Key, Entry>,
    /// Those without a file.
    unstored: BTreeSet<Rank>,
    /// Those with one.
    stored: BTreeSet<Rank>,
    kept: usize,
    kept_size: u64,
    unstored_size: u64,
    arrivals: u64,
}

/// What the dispatcher is to do next.
#[derive(Debug)]
pub enum Next {
    /// Send this; then call [`Outbox::complete`] or [`Outbox::reschedule`].
    Send(Box<Entry>),
    /// Nothing is due before then (`None`: nothing at all).
    WaitUntil(Option<Instant>),
    /// End: nothing more will come.
    End,
}

impl Waiting {
    /// `due`: `None`: it takes the place again that it had.
    fn insert(&mut self, mut entry: Entry, due: Option<Instant>) {
        self.arrivals += 1;
        let key = due.map_or(entry.place, |due| (due, self.arrivals));
        entry.place = key;
        let rank = (entry.importance(), key.1, key.0);
        self.like(&entry).insert(rank);
        entry.size = entry.mail.as_ref().map_or(0, |mail| mail.0.size());
        self.kept += usize::from(entry.mail.is_some());
        *self.size_like(&entry) += entry.size;
        self.by_time.insert(key, entry);
    }

    fn remove(&mut self, key: Key) -> Option<Entry> {
        let entry = self.by_time.remove(&key)?;
        let rank = (entry.importance(), key.1, key.0);
        self.like(&entry).remove(&rank);
        self.kept -= usize::from(entry.mail.is_some());
        *self.size_like(&entry) -= entry.size;
        Some(entry)
    }

    /// May a mail that has a file be in memory, too?
    fn may_keep(&self, mail: &Notification) -> bool {
        self.kept < KEPT && self.kept_size + mail.size() <= KEPT_SIZE
    }

    fn size_like(&mut self, entry: &Entry) -> &mut u64 {
        if entry.stored.is_some() { &mut self.kept_size } else { &mut self.unstored_size }
    }

    /// Those that have a file if `entry` has one, or none.
    fn like(&mut self, entry: &Entry) -> &mut BTreeSet<Rank> {
        if entry.stored.is_some() { &mut self.stored } else { &mut self.unstored }
    }
}

impl Entry {
    /// One that was not tried yet, due at once.
    fn new(
        created: SystemTime,
        mail: Option<Box<(Notification, Vec<Recipient>)>>,
        stored: Option<SpoolRef>,
        now: Instant,
    ) -> Self {
        Entry { mail, stored, created, attempts: 0, trouble: None, hurried: false, place: (now, 0), size: 0 }
    }

    fn importance(&self) -> u8 {
        match (&self.stored, &self.mail) {
            (Some(stored), _) => stored.importance(),
            (None, mail) => mail.as_ref().map_or(0, |mail| mail.0.lead().event.kind.importance()),
        }
    }
}

impl Outbox {
    /// An empty outbox for at most `limit` mails, and [`MAX_QUEUED_BYTES`] of them, beyond those in the spool.
    pub fn new(limit: usize, spool: Option<Arc<Spool>>) -> Self {
        Outbox {
            waiting: Mutex::default(),
            spool,
            pending: AtomicU64::new(0),
            unstored: AtomicU64::new(0),
            draining: AtomicBool::new(false),
            closed: AtomicBool::new(false),
            abandoned: AtomicBool::new(false),
            limit: limit as u64,
            size_limit: MAX_QUEUED_BYTES,
        }
    }

    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        // A panic elsewhere does not make the mails worse.
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds mails, each for everybody in its `to`, due at once. By the collector only. `written` is called when their drafts
    /// are in the spool, and before any is sent: it is to call [`Spool::commit`].
    ///
    /// Returns those that had to go, be it of these or of others: the limit is reached.
    pub fn put(&self, mails: Vec<Notification>, now: Instant, written: impl FnOnce()) -> Vec<Notification> {
        let with_all = |mail: Notification| {
            let left = mail.to.clone();
            (mail, left)
        };
        let mails: Vec<(Notification, Vec<Recipient>)> = mails.into_iter().map(with_all).collect();
        let stored = self.store(&mails);
        // Before they leave the queue, so that none is overlooked on its way.
        self.pending.fetch_add(mails.len() as u64, SeqCst);
        written();
        let mut waiting = self.waiting();
        for ((mail, left), stored) in mails.into_iter().zip(stored) {
            self.unstored.fetch_add(stored.is_none().into(), SeqCst);
            let keep = stored.is_none() || waiting.may_keep(&mail);
            let created = mail.created;
            let mail = keep.then(|| Box::new((mail, left)));
            waiting.insert(Entry::new(created, mail, stored, now), Some(now));
        }
        let mut gone = Vec::new();
        while self.unstored() > self.limit || waiting.unstored_size > self.size_limit {
            // What the dispatcher has in its hands stays.
            let Some((_, arrival, due)) = waiting.unstored.first().copied() else { break };
            gone.extend(waiting.remove((due, arrival)).and_then(|entry| entry.mail).map(|mail| mail.0));
            self.pending.fetch_sub(1, SeqCst);
            self.unstored.fetch_sub(1, SeqCst);
        }
        gone
    }

    /// Writes drafts of mails to the spool, if need be in the place of less important ones.
    fn store(&self, mails: &[(Notification, Vec<Recipient>)]) -> Vec<Option<SpoolRef>> {
        let Some(spool) = &self.spool else { return vec![None; mails.len()] };
        let mut stored = spool.draft(&mails.iter().collect::<Vec<_>>());
        loop {
            let without_room =
                (0..).zip(&stored).filter(|(_, stored)| matches!(stored, Err(NotStored::Full)));
            let without_room: Vec<usize> = without_room.map(|(index, _)| index).collect();
            let highest =
                without_room.iter().map(|index| mails[*index].0.lead().event.kind.importance()).max();
            if !highest.is_some_and(|importance| self.make_room(spool, importance)) {
                return stored.into_iter().map(Result::ok).collect();
            }
            let again: Vec<_> = without_room.iter().map(|index| &mails[*index]).collect();
            for (index, outcome) in without_room.into_iter().zip(spool.draft(&again)) {
                stored[index] = outcome;
            }
        }
    }

    /// Moves mails of less importance from the spool into memory, until that frees the room of a file. False: it did not.
    fn make_room(&self, spool: &Spool, importance: u8) -> bool {
        loop {
            let mut waiting = self.waiting();
            let least = waiting.stored.first().copied().filter(|(least, ..)| *least < importance);
            let Some((_, arrival, due)) = least else { return false };
            let Some(mut entry) = waiting.remove((due, arrival)) else { return false };
            let Ok(mail) = self.mail_of(&mut entry) else {
                // Why it cannot be read is the dispatcher's to find out. It is not looked at again here.
                waiting.by_time.insert(entry.place, entry);
                continue;
            };
            entry.mail = Some(Box::new(mail));
            let stored = entry.stored.take();
            self.unstored.fetch_add(1, SeqCst);
            waiting.insert(entry, None);
            drop(waiting);
            if stored.is_some_and(|stored| spool.remove(&stored)) {
                return true;
            }
        }
    }

    /// Adds a mail that another process has left, due at once. By the collector only.
    pub fn adopt(&self, created: SystemTime, stored: SpoolRef, now: Instant) {
        self.pending.fetch_add(1, SeqCst);
        let entry = Entry::new(created, None, Some(stored), now);
        self.waiting().insert(entry, Some(now));
    }

    /// Tries to write what is in memory alone to the spool. By the collector only.
    pub fn store_again(&self) {
        let Some(spool) = &self.spool else { return };
        let mut waiting = self.waiting();
        let most_important = waiting.unstored.iter().rev().take(BATCH);
        let (keys, mails): (Vec<Key>, Vec<_>) = most_important
            .filter_map(|(_, arrival, due)| {
                let key = (*due, *arrival);
                Some((key, waiting.by_time.get(&key)?.mail.as_deref()?))
            })
            .unzip();
        for (key, stored) in keys.into_iter().zip(spool.store(&mails)) {
            let Ok(stored) = stored else { continue };
            if let Some(mut entry) = waiting.remove(key) {
                entry.stored = Some(stored);
                waiting.insert(entry, None);
                self.unstored.fetch_sub(1, SeqCst);
            }
        }
    }

    /// What to do at the time `now`. By the dispatcher only.
    pub fn next(&self, now: Instant) -> Next {
        // Read before looking: what is put in before the closing is still seen.
        let (draining, closed) = (self.draining.load(SeqCst), self.closed.load(SeqCst));
        let mut waiting = self.waiting();
        if self.abandoned.load(SeqCst) {
            return Next::End;
        }
        if draining {
            let hurried = waiting.by_time.iter().find(|(_, entry)| !entry.hurried).map(|(key, _)| *key);
            if let Some(entry) = hurried.and_then(|key| waiting.remove(key)) {
                return Next::Send(Box::new(Entry { hurried: true, ..entry }));
            }
        }
        let first = waiting.by_time.keys().next().copied();
        match first {
            Some(key) if key.0 <= now => match waiting.remove(key) {
                Some(entry) => Next::Send(Box::new(entry)),
                None => Next::WaitUntil(None),
            },
            Some((due, _)) => Next::WaitUntil(Some(due)),
            None if closed => Next::End,
            None => Next::WaitUntil(None),
        }
    }

    /// The first mail, if it is due at the time `now` and `wanted`; then as after [`Outbox::next`]. By the dispatcher only.
    pub fn first_if(&self, now: Instant, wanted: impl Fn(&Entry) -> bool) -> Option<Box<Entry>> {
        let mut waiting = self.waiting();
        let (key, _) =
            waiting.by_time.first_key_value().filter(|(key, entry)| key.0 <= now && wanted(entry))?;
        let key = *key;
        waiting.remove(key).map(Box::new)
    }

    /// The mail of an entry that [`Outbox::next`] gave, from the spool if need be.
    ///
    /// # Errors
    ///
    /// Its file is not what it was, or cannot be read now.
    pub fn mail_of(&self, entry: &mut Entry) -> Result<(Notification, Vec<Recipient>), Unreadable> {
        match (entry.mail.take(), &entry.stored, &self.spool) {
            (Some(mail), ..) => Ok(*mail),
            (None, Some(stored), Some(spool)) => spool.load(stored),
            _ => Err(Unreadable::Gone),
        }
    }

    /// The mail that [`Outbox::next`] gave needs nothing more.
    pub fn complete(&self, stored: Option<SpoolRef>) {
        match (&self.spool, stored) {
            (Some(spool), Some(stored)) => _ = spool.remove(&stored),
            _ => _ = self.unstored.fetch_sub(1, SeqCst),
        }
        self.pending.fetch_sub(1, SeqCst);
    }

    /// Some have got the mail that [`Outbox::next`] gave, and others, `left`, have not: its file says so from now on.
    pub fn set_remaining(
        &self,
        stored: Option<SpoolRef>,
        mail: &Notification,
        left: &[Recipient],
    ) -> Option<SpoolRef> {
        let (spool, stored) = (self.spool.as_ref()?, stored?);
        let updated = spool.update(stored, mail, left);
        if updated.is_none() {
            self.unstored.fetch_add(1, SeqCst);
        }
        updated
    }

    /// The mail that [`Outbox::next`] gave is to be tried again at `due`; `None`: before all that came after it, as soon as
    /// [`Outbox::next`] is called.
    pub fn reschedule(
        &self,
        mut entry: Entry,
        mail: Notification,
        left: Vec<Recipient>,
        due: Option<Instant>,
    ) {
        let mut waiting = self.waiting();
        let keep = entry.stored.is_none() || waiting.may_keep(&mail);
        entry.mail = keep.then(|| Box::new((mail, left)));
        waiting.insert(entry, due);
    }

    /// The entry that [`Outbox::next`] gave is to be looked at again at `due`: nothing was done with it.
    pub fn release(&self, entry: Entry, due: Instant) {
        self.waiting().insert(entry, Some(due));
    }

    /// Mails that are neither delivered nor given up. Any thread, without a lock.
    pub fn pending(&self) -> u64 {
        self.pending.load(SeqCst)
    }

    /// Those of them that end with the process. Any thread, without a lock.
    pub fn unstored(&self) -> u64 {
        self.unstored.load(SeqCst)
    }

    /// From now on no mail waits long: those that are there are due at once. Any thread, without a lock.
    pub fn drain(&self) {
        self.draining.store(true, SeqCst);
    }

    /// Is it draining?
    pub fn is_draining(&self) -> bool {
        self.draining.load(SeqCst)
    }

    /// Drains, and lets the dispatcher end when nothing is left: nothing more will be put in. Any thread.
    pub fn close(&self) {
        self.closed.store(true, SeqCst);
        self.drain();
    }

    /// Lets the dispatcher end with what is left. Any thread.
    pub fn abandon(&self) {
        self.abandoned.store(true, SeqCst);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::{Event, Kind, sample};
    use crate::notification::{Item, Trigger};
    use std::time::Duration;

    fn mail_of_kind(id: &str, kind: Kind) -> Notification {
        Notification {
            message_id: id.into(),
            created: SystemTime::UNIX_EPOCH,
            from: "haproxy@lb1".parse().expect("address"),
            to: vec![],
            references: vec![],
            topic: "be".into(),
            trigger: Trigger::Changes,
            items: vec![Item::of(Event { kind, ..sample() })],
            sizes: vec![],
            unnamed: 0,
            dropped: 0,
        }
    }

    fn mail(id: &str) -> Notification {
        mail_of_kind(id, Kind::Down)
    }

    /// The next one: its entry, mail and who is left.
    fn sent(outbox: &Outbox, now: Instant) -> (Entry, Notification, Vec<Recipient>) {
        match outbox.next(now) {
            Next::Send(mut entry) => {
                let (mail, left) = outbox.mail_of(&mut entry).expect("a mail");
                (*entry, mail, left)
            }
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn mails_come_out_in_order_and_wait_for_their_time() {
        let (outbox, now) = (Outbox::new(10, None), Instant::now());
        let soon = now + Duration::from_secs(5);
        for id in ["a", "b"] {
            assert_eq!(outbox.put(vec![mail(id)], now, || ()), []);
        }
        let (entry, a, left) = sent(&outbox, now);
        assert_eq!(a.message_id, "a");
        outbox.reschedule(entry, a, left, Some(soon));
        assert_eq!(sent(&outbox, now).1.message_id, "b");
        outbox.complete(None);
        assert!(matches!(outbox.next(now), Next::WaitUntil(Some(due)) if due == soon));
        assert_eq!(sent(&outbox, soon).1.message_id, "a");
        assert_eq!((outbox.pending(), outbox.unstored()), (1, 1));
        outbox.complete(None);
        assert_eq!((outbox.pending(), outbox.unstored()), (0, 0));
        assert!(matches!(outbox.next(soon), Next::WaitUntil(None)));
    }

    #[test]
    fn at_the_limit_the_oldest_of_the_least_important_goes() {
        let (outbox, now) = (Outbox::new(2, None), Instant::now());
        let put = |id: &str, kind| {
            outbox.put(vec![mail_of_kind(id, kind)], now, || ()).pop().map(|gone| gone.message_id)
        };
        assert_eq!(put("down", Kind::Down), None);
        assert_eq!(put("up 1", Kind::Up), None);
        assert_eq!(put("up 2", Kind::Up).as_deref(), Some("up 1"));
        assert_eq!(put("backend", Kind::BackendDown).as_deref(), Some("up 2"));
        assert_eq!(put("up 3", Kind::Up).as_deref(), Some("up 3"), "it is less than what is there");
        assert_eq!(put("down 2", Kind::Down).as_deref(), Some("down"));
        assert_eq!(outbox.pending(), 2);
        assert_eq!(sent(&outbox, now).1.message_id, "backend");
        // What the dispatcher has in its hands counts, and cannot go.
        assert_eq!(put("backend 2", Kind::BackendDown).as_deref(), Some("down 2"));
        assert_eq!(put("backend 3", Kind::BackendDown).as_deref(), Some("backend 2"));
    }

    #[test]
    fn large_mails_have_a_limit_of_their_own_and_the_least_important_go_first() {
        let large = |id: &str, kind| {
            let mail = mail_of_kind(id, kind);
            Notification { items: vec![mail.items[0].clone(); 100], ..mail }
        };
        let size = large("up 1", Kind::Up).size();
        let outbox = Outbox { size_limit: size * 5 / 2, ..Outbox::new(1000, None) };
        let now = Instant::now();
        let put = |mail: Notification| -> Vec<String> {
            outbox.put(vec![mail], now, || ()).into_iter().map(|mail| mail.message_id).collect()
        };
        assert_eq!(put(large("down 1", Kind::Down)), [""; 0]);
        assert_eq!(put(large("up 1", Kind::Up)), [""; 0]);
        assert_eq!(put(large("down 2", Kind::Down)), ["up 1"]);
        assert_eq!(put(mail_of_kind("up 2", Kind::Up)), [""; 0], "a small one has room");
        assert_eq!(put(large("backend", Kind::BackendDown)), ["up 2", "down 1"]);
        let (entry, first, left) = sent(&outbox, now);
        assert_eq!(first.message_id, "down 2");
        assert_eq!(put(large("down 3", Kind::Down)), [""; 0], "what is being sent is not there");
        outbox.reschedule(entry, first, left, Some(now));
        assert_eq!(put(mail_of_kind("up 3", Kind::Up)), ["up 3", "down 3"]);
        assert_eq!(outbox.pending(), 2);
    }

    /// A mail that can be in a file.
    fn whole(name: &str, kind: Kind) -> Notification {
        let to = Recipient { address: "ops@example.com".parse().expect("address"), is_local: false };
        Notification { to: vec![to], ..mail_of_kind(&format!("<{name}@lb1>"), kind) }
    }

    /// With a spool that has room for so many of `whole`, in a directory that is gone at the end.
    fn with_spool<T>(test: &str, limit: usize, mails: usize, story: impl FnOnce(&Outbox, &Spool) -> T) -> T {
        let path = std::env::temp_dir().join(format!("email-alert-outbox.{test}.{}", std::process::id()));
        std::fs::create_dir_all(&path).expect("a directory");
        let mail = whole("backend-1", Kind::BackendDown);
        let size = crate::spool::format::encode(&mail, &mail.to).len() * mails;
        let (uid, gid) = (nix::unistd::getuid(), nix::unistd::getgid());
        let place = crate::spool::SpoolDirectory::open(&path, uid.as_raw(), gid.as_raw(), size as u64);
        let (spool, _) =
            Spool::start(place.expect("a place"), &format!("{test}-{}", std::process::id()), 1, &[]);
        let spool = Arc::new(spool);
        let told = story(&Outbox::new(limit, Some(spool.clone())), &spool);
        spool.end(true, true);
        std::fs::remove_dir_all(&path).expect("our own directory");
        told
    }

    #[test]
    fn a_full_spool_has_the_most_important_mails_and_memory_the_others() {
        with_spool("full", 2, 2, |outbox, spool| {
            let now = Instant::now();
            let put = |name: &str, kind| {
                let gone = outbox.put(vec![whole(name, kind)], now, || _ = spool.commit(None, &[], None));
                let gone: Vec<String> = gone.into_iter().map(|mail| mail.message_id).collect();
                (gone.concat(), outbox.pending(), outbox.unstored())
            };
            assert_eq!(put("up-1", Kind::Up), (String::new(), 1, 0));
            assert_eq!(put("up-2", Kind::Up), (String::new(), 2, 0));
            assert_eq!(put("down-1", Kind::Down), (String::new(), 3, 1));
            assert_eq!(put("down-2", Kind::Down), (String::new(), 4, 2));
            assert_eq!(
                put("up-3", Kind::Up),
                ("<up-1@lb1>".into(), 4, 2),
                "the oldest of the least important"
            );
            assert_eq!(put("backend-1", Kind::BackendDown), ("<up-2@lb1>".into(), 4, 2));
            let rest = std::iter::repeat_with(|| sent(outbox, now)).take(4);
            let rest: Vec<_> =
                rest.map(|(entry, mail, _)| (mail.message_id, entry.stored.is_some())).collect();
            let expected = [
                ("<down-1@lb1>", false),
                ("<down-2@lb1>", true),
                ("<up-3@lb1>", false),
                ("<backend-1@lb1>", true),
            ];
            assert_eq!(rest, expected.map(|(id, is_stored)| (id.to_owned(), is_stored)));
        });
    }

    #[test]
    fn a_mail_that_was_in_the_spool_only_moves_into_memory_whole() {
        let downs: Vec<Notification> = (0..KEPT).map(|n| whole(&format!("down-{n}"), Kind::Down)).collect();
        with_spool("moves", 10, KEPT, |outbox, spool| {
            let now = Instant::now();
            assert_eq!(outbox.put(downs, now, || _ = spool.commit(None, &[], None)), []);
            assert_eq!(
                outbox.put(vec![whole("up", Kind::Up)], now, || _ = spool.commit(None, &[], None)),
                []
            );
            let before = outbox.unstored();
            while outbox.unstored() == before {
                assert_eq!(
                    outbox.put(vec![whole("backend", Kind::BackendDown)], now, || _ =
                        spool.commit(None, &[], None)),
                    []
                );
            }
            let up = std::iter::repeat_with(|| sent(outbox, now))
                .find(|(_, mail, _)| mail.lead().event.kind == Kind::Up);
            let (entry, up, left) = up.expect("the mail");
            assert_eq!((up.message_id.as_str(), left, entry.stored.is_none()), ("<up@lb1>", up.to, true));
        });
    }

    #[test]
    fn draining_lets_no_mail_wait_and_tries_until_abandoned() {
        let (outbox, now) = (Outbox::new(10, None), Instant::now());
        assert_eq!(outbox.put(vec![mail("a")], now, || ()), []);
        let (entry, a, left) = sent(&outbox, now);
        outbox.reschedule(entry, a, left, Some(now + Duration::from_secs(3600)));
        outbox.close();
        let (entry, a, left) = sent(&outbox, now);
        let soon = now + Duration::from_millis(1);
        outbox.reschedule(entry, a, left, Some(soon));
        assert!(matches!(outbox.next(now), Next::WaitUntil(Some(due)) if due == soon));
        let (entry, a, left) = sent(&outbox, soon);
        outbox.reschedule(entry, a, left, Some(soon));
        outbox.abandon();
        assert!(matches!(outbox.next(soon), Next::End));
        assert_eq!(outbox.pending(), 1, "what was not delivered is still counted");
    }

    #[test]
    fn a_closed_outbox_ends_when_it_is_empty() {
        let (outbox, now) = (Outbox::new(10, None), Instant::now());
        assert_eq!(outbox.put(vec![mail("a")], now, || ()), []);
        outbox.close();
        let _ = sent(&outbox, now);
        outbox.complete(None);
        assert!(matches!(outbox.next(now), Next::End));
    }
}
