// SPDX-License-Identifier: MIT OR Apache-2.0
//! The collector's work: events from the ring go through the engine, and the mails that it decides into the store and the schedule.

use crate::counters::Counters;
use crate::engine::{Engine, Silence};
use crate::event::Record;
use crate::notification::Notification;
use crate::queue::{Batch, Orphan, ReplayMark, ReplayedEvent, Schedule, Store};
use crate::ring::Ring;
use crate::service::prewarm::Prewarm;
use crate::service::status::StatusBoard;
use crate::service::waker::Waker;
use crate::settings::{MAX_QUEUED_BYTES, MAX_QUEUED_MAILS, Recipient};
use crate::sys::shared_memory;
use crossbeam_channel::Receiver;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

/// How soon the mails of a process that is gone are taken over.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// Events whose mails are written together, if they have come together.
const TOGETHER: u64 = 64;

/// Events that wait in the ring for a digest at most, and no more than half of it: the rest takes what comes meanwhile.
const HELD: u64 = 2048;

/// In a storm, while no mail may go anyway, changes are looked at this often only, many at a time: each one that wakes the collector
/// costs HAProxy's thread a system call, and this one a start with cold caches. What is urgent wakes it all the same.
const NAP: Duration = Duration::from_millis(200);

/// Or as soon as there are so many, and no more than a part of what the ring can have.
const NAP_EVENTS: u64 = 256;

/// HAProxy is asked for what the process before knew at most so often: that takes a while if it is very much.
const ASK_EVERY: Duration = Duration::from_millis(200);

/// The log tells of drops at most so often.
const DROPS_TOLD_EVERY: Duration = Duration::from_secs(60);

/// What the threads share with each other and with HAProxy's.
#[derive(Clone)]
pub struct Shared {
    /// From HAProxy's threads to the collector.
    pub ring: Arc<Ring>,
    /// Keeps mails until they are delivered or given up.
    pub store: Arc<dyn Store>,
    /// Orders those mails. From the collector to the dispatcher.
    pub schedule: Arc<Schedule>,
    /// Wakes the dispatcher.
    pub dispatcher: Arc<Waker>,
    /// What was done so far.
    pub counters: Arc<Counters>,
    /// From HAProxy's threads to the dispatcher: a change may come soon.
    pub prewarm: Arc<Prewarm>,
    /// What HAProxy is to be asked.
    pub board: Arc<StatusBoard>,
}

/// The collector.
pub struct Collector {
    shared: Shared,
    engine: Engine,
    /// This process, in the ids of its events.
    token: String,
    /// Mails that no event has led to have ids, too.
    ticks: u64,
    silences: Receiver<Silence>,
    published_silences: Vec<Silence>,
    drops: Drops,
    /// When the spool was looked at last.
    looked: Option<Instant>,
    /// Questions to HAProxy that are open, and when they were written down.
    asked: (usize, Instant),
    in_flight: InFlight,
    /// The record that it is at. Kept for the sake of its memory.
    record: Vec<u64>,
}

/// How long the collector may sleep.
struct Rest {
    /// Until the ring has so many records.
    records: u64,
    /// At most for this time; `None`: without a bound.
    time: Option<Duration>,
}

/// What the collector is at.
#[derive(Default)]
struct InFlight {
    /// Records of the ring that were read and are told later: until then the next process may need them.
    held: u64,
    /// Others that were read.
    read: u64,
    /// Those of them whose mails were made.
    made: u64,
    mails: Vec<Notification>,
    /// The number of the first record that is not in a mail, by audience.
    progress: Vec<u64>,
    /// The number of the first record that is not made.
    next: u64,
}

/// What the log knows of lost events and mails.
#[derive(Default)]
struct Drops {
    seen: u64,
    untold: u64,
    mails: u64,
    told: Option<Instant>,
}

impl Collector {
    /// One for the process `token`. `silences`: those that somebody wants.
    pub fn new(shared: Shared, mut engine: Engine, token: String, silences: Receiver<Silence>) -> Self {
        let progress = vec![0; engine.audiences().len()];
        if !shared.store.is_durable() {
            engine.disable_snapshots();
        }
        Collector {
            shared,
            engine,
            token,
            ticks: 0,
            silences,
            published_silences: Vec::new(),
            drops: Drops::default(),
            looked: None,
            asked: (0, Instant::now()),
            in_flight: InFlight { progress, ..InFlight::default() },
            record: Vec::new(),
        }
    }

    /// The whole life of the collector's thread. It ends when the ring is closed and empty. A panic costs the event at hand.
    pub fn run(mut self) {
        let mut has_panicked = false;
        loop {
            let step = catch_unwind(AssertUnwindSafe(|| {
                if has_panicked {
                    log::error!("{}", internal_error("collector", "one event dropped"));
                    self.discard_in_flight();
                }
                self.step()
            }));
            if let Ok(false) = step {
                return;
            }
            has_panicked = step.is_err();
        }
    }

    /// Does what is due, then sleeps. False: nothing more will come, and the dispatcher knows.
    fn step(&mut self) -> bool {
        let Some(rest) = self.collect() else { return false };
        self.shared.ring.prefault(shared_memory::prefault);
        self.shared.ring.sleep_until_pushed(rest.records, rest.time);
        true
    }

    /// Does what is due. `None`: the ring is closed and empty.
    fn collect(&mut self) -> Option<Rest> {
        let stopping = self.shared.ring.is_closed();
        if !stopping {
            self.maintain_spool();
        }
        let mut came = false;
        while self.drain_batch() {
            came = true;
        }
        self.emit_due();
        self.publish_silences();
        let may_nap = came && !self.shared.schedule.is_draining();
        let asked = self.ask();
        if stopping {
            if self.shared.ring.is_empty() {
                self.count_drops(Duration::ZERO);
                self.shared.schedule.close();
                self.shared.dispatcher.wake();
                return None;
            }
            // A pusher is writing its record.
            return Some(Rest { records: 1, time: None });
        }
        let untold = self.count_drops(DROPS_TOLD_EVERY);
        let spool = self.shared.store.is_durable().then_some(LOOK_EVERY);
        let now = SystemTime::now();
        let left = |until: SystemTime| until.duration_since(now).unwrap_or_default();
        let due = self.engine.due().map(left);
        let nap = self.engine.next_send_at(now).filter(|_| may_nap).map(|until| left(until).min(NAP));
        let many = nap.map_or(1, |_| NAP_EVENTS.min(self.shared.ring.capacity() / 4).max(1));
        Some(Rest {
            records: self.in_flight.held + many,
            time: [untold, spool, due, asked, nap].into_iter().flatten().min(),
        })
    }

    /// Takes what the ring has, up to a bound. False: nothing.
    fn drain_batch(&mut self) -> bool {
        let mut record = std::mem::take(&mut self.record);
        let most = if self.shared.store.is_durable() { TOGETHER } else { 1 };
        while self.in_flight.read < most {
            let Some(ticket) = self.shared.ring.peek(self.in_flight.held + self.in_flight.read, &mut record)
            else {
                break;
            };
            self.in_flight.read += 1;
            // Somebody may have asked for it before.
            self.take_silences();
            let id = format!("{}.{ticket}", self.token);
            self.process(&record, &id);
            self.in_flight.made += 1;
            self.in_flight.next = ticket + 1;
            self.update_progress();
        }
        self.record = record;
        if self.in_flight.read == 0 {
            return false;
        }
        if self.in_flight.held + self.in_flight.made >= HELD.min(self.shared.ring.capacity() / 2) {
            self.flush_groups();
        }
        self.hand_over(None);
        self.in_flight.read = 0;
        true
    }

    /// The mails that the time brings; all that there are to be if there is no more time.
    fn emit_due(&mut self) {
        self.take_silences();
        let now = SystemTime::now();
        let id = self.next_id();
        let mails = match (self.shared.schedule.is_draining(), self.shared.store.is_durable()) {
            (false, _) => self.engine.on_timer(&id, now),
            (true, false) => self.engine.flush_all(&id, now),
            // Held items are in the snapshot for the next process.
            (true, true) => self.engine.flush_groups(&id, now),
        };
        self.in_flight.mails.extend(mails);
        self.hand_over(None);
    }

    fn take_silences(&mut self) {
        while let Ok(silence) = self.silences.try_recv() {
            let pattern = silence.pattern.to_string();
            if !self.engine.add_silence(silence) {
                log::error!("'{pattern}' is not silenced: there are too many silences already");
            }
        }
    }

    /// Publishes the silences for all views, if they have changed.
    fn publish_silences(&mut self) {
        if self.published_silences.as_slice() != self.engine.silences() {
            self.published_silences = self.engine.silences().to_vec();
            self.shared.board.publish_silences(self.published_silences.clone());
        }
    }

    /// Nothing waits for a digest any more.
    fn flush_groups(&mut self) {
        let id = self.next_id();
        self.in_flight.mails.extend(self.engine.flush_groups(&id, SystemTime::now()));
    }

    fn next_id(&mut self) -> String {
        self.ticks += 1;
        format!("{}.t{}", self.token, self.ticks)
    }

    /// HAProxy is asked what has become of that which the process before knew; returns when to do that again.
    fn ask(&mut self) -> Option<Duration> {
        let open = self.engine.unconfirmed_count();
        if open == self.asked.0 {
            return None;
        }
        let since = self.asked.1.elapsed();
        if since < ASK_EVERY && open > 0 {
            return Some(ASK_EVERY - since);
        }
        self.shared.board.publish_unconfirmed(self.engine.unconfirmed_targets());
        self.asked = (open, Instant::now());
        None
    }

    /// All records so far are in mails for those audiences for which nothing waits for a digest.
    fn update_progress(&mut self) {
        let InFlight { progress, next, .. } = &mut self.in_flight;
        for (progress, is_flushed) in progress.iter_mut().zip(self.engine.is_flushed()) {
            if is_flushed {
                *progress = *next;
            }
        }
    }

    /// Commits the new mails with progress and snapshot, releases the events that all audiences were notified of, and schedules
    /// the mails. `replay`: progress in the events of a dead process.
    fn hand_over(&mut self, replay: Option<ReplayMark>) {
        let snapshot = if self.shared.store.is_durable() { self.engine.take_snapshot() } else { None };
        self.update_progress();
        let Shared { ring, store, schedule, dispatcher, .. } = &self.shared;
        let InFlight { held, made, mails, progress, next, .. } = &mut self.in_flight;
        let read = *held + std::mem::take(made);
        *held = *next - progress.iter().min().copied().unwrap_or(*next);
        let (notifications, done) = (std::mem::take(mails), read - *held);
        let committed = store.commit(Batch { notifications, progress, replay, snapshot: snapshot.as_ref() });
        ring.release_many(done);
        schedule.add(&committed.mails, Instant::now());
        if !committed.mails.is_empty() {
            dispatcher.wake();
        }
        if !committed.is_snapshot_saved {
            self.engine.retry_snapshot();
        }
        self.evict_excess();
    }

    /// Drops mails until those in RAM are within their limits, the least important first.
    fn evict_excess(&mut self) {
        let Shared { store, schedule, counters, .. } = &self.shared;
        while let Some(victim) = schedule.evict(&store.excess()) {
            if let Ok(mail) = store.load(victim) {
                counters.failed.many(mail.notification.to.len() as u64);
                self.engine.count_lost(&mail.notification);
            }
            store.delete(victim);
            self.drops.mails += 1;
        }
    }

    /// Drops the record during which a panic ended a step: it would cause the panic again.
    fn discard_in_flight(&mut self) {
        let at_one = self.in_flight.read - self.in_flight.made;
        if catch_unwind(AssertUnwindSafe(|| self.flush_groups())).is_err() {
            log::error!("{}", internal_error("collector", "one event dropped"));
        }
        self.hand_over(None);
        self.shared.ring.release_many(self.in_flight.held + at_one);
        let next = self.in_flight.next + at_one;
        self.in_flight =
            InFlight { progress: vec![next; self.in_flight.progress.len()], next, ..InFlight::default() };
        self.shared.counters.failed.one();
    }

    /// Once in [`LOOK_EVERY`]: takes over what dead processes have left, and writes mails to the spool that it refused before.
    fn maintain_spool(&mut self) {
        let store = self.shared.store.clone();
        if !store.is_durable() || self.looked.is_some_and(|looked| looked.elapsed() < LOOK_EVERY) {
            return;
        }
        self.looked = Some(Instant::now());
        store.retry_writes();
        let orphans = store.orphans();
        for (token, snapshot) in store.foreign_snapshots() {
            self.engine.inherit(&snapshot, &token, SystemTime::now());
            let snapshot = self.engine.take_snapshot();
            let batch =
                Batch { progress: &self.in_flight.progress, snapshot: snapshot.as_ref(), ..Batch::default() };
            // The other process's snapshot is deleted when this one's includes it.
            if snapshot.is_none() || store.commit(batch).is_snapshot_saved {
                store.delete_foreign_snapshot(&token);
            } else {
                self.engine.retry_snapshot();
            }
        }
        for orphan in orphans {
            self.shared.schedule.add(&orphan.mails, Instant::now());
            self.shared.dispatcher.wake();
            for events in orphan.events.chunks(HELD as usize) {
                let forgotten = orphan.forget_on_drop(events);
                for event in events {
                    self.replay(&orphan, event);
                }
                self.flush_groups();
                self.hand_over(orphan.replay_mark(events));
                drop(forgotten);
            }
            orphan.finish();
        }
    }

    /// Makes mails of a record.
    fn process(&mut self, record: &[u64], id: &str) {
        let Some(record) = self.read(record) else { return };
        let (is_confirmation, now) = (record.is_confirmation(), SystemTime::now());
        let mut events = record.into_events();
        let mails = match (is_confirmation, events.pop()) {
            (true, Some(event)) => self.engine.confirm(event, id, now),
            (_, last) => {
                events.extend(last);
                self.engine.handle(events, id, now)
            }
        };
        self.in_flight.mails.extend(mails);
    }

    /// Makes mails of what a process that is gone had accepted, for those whom it had not told. What HAProxy had answered it
    /// says nothing: this process asks again.
    fn replay(&mut self, orphan: &Orphan, event: &ReplayedEvent) {
        let Some(record) = self.read(&event.record).filter(|record| !record.is_confirmation()) else {
            return;
        };
        let is_for = |to: &[Recipient]| !orphan.has_notified(to, event);
        let (events, now) = (record.into_events(), SystemTime::now());
        let mails = self.engine.take_over(&orphan.token, is_for, events, &event.id, now);
        self.in_flight.mails.extend(mails);
    }

    fn read(&mut self, record: &[u64]) -> Option<Record> {
        let Some(read) = Record::read(record) else {
            log::error!(
                "internal error: an event cannot be decoded and is dropped: {:?}; please report this",
                &record[..record.len().min(16)]
            );
            self.shared.counters.failed.one();
            return None;
        };
        #[cfg(feature = "fault-injection")]
        assert!(read.server() != Some("panic-in-the-collector"), "asked for");
        self.count_drops(DROPS_TOLD_EVERY);
        Some(read)
    }

    /// Tells the engine what was dropped, and the log once in `interval`; returns when to look again, if something is
    /// still to be told.
    fn count_drops(&mut self, interval: Duration) -> Option<Duration> {
        let drops = &mut self.drops;
        let dropped = self.shared.counters.dropped.get();
        let new = dropped - drops.seen;
        drops.seen = dropped;
        drops.untold += new;
        if new > 0 {
            self.engine.count_dropped(new);
        }
        if drops.untold == 0 && drops.mails == 0 {
            return None;
        }
        let since = drops.told.map_or(interval, |told| told.elapsed());
        if since < interval {
            return Some(interval - since);
        }
        if drops.untold > 0 {
            log::error!(
                "{} state changes were not mailed: they came faster than the ring takes them",
                drops.untold
            );
        }
        if drops.mails > 0 {
            log::error!(
                "{} mails were dropped, the least important first: {MAX_QUEUED_MAILS}, or {} MiB of them, wait for a relay in memory",
                drops.mails,
                MAX_QUEUED_BYTES >> 20
            );
        }
        *drops = Drops { seen: drops.seen, told: Some(Instant::now()), ..Drops::default() };
        None
    }
}

/// The log line for a panic in one of the threads. `lost`: the consequence.
pub fn internal_error(part: &str, lost: &str) -> String {
    format!("internal error in the {part}: {lost}; please report this")
}
