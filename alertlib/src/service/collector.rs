// SPDX-License-Identifier: MIT OR Apache-2.0
//! The collector: passes the ring's events to the engine, and commits and schedules the mails that the engine returns.

use crate::counters::Counters;
use crate::engine::{Engine, Silence};
use crate::event::Record;
use crate::notification::Notification;
use crate::queue::{Batch, Orphan, ReplayMark, ReplayedEvent, Schedule, Store};
use crate::ring::Ring;
use crate::service::prewarm::Prewarm;
use crate::service::status::StatusBoard;
use crate::service::steps::{Steps, internal_error};
use crate::service::waker::Waker;
use crate::settings::{MAX_QUEUED_BYTES, MAX_QUEUED_MAILS, Recipient};
use crate::sys::shared_memory;
use crate::transport::Transactions;
use crossbeam_channel::Receiver;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

/// Interval between looks for orphans in the spool, and between attempts to write volatile mails to files.
const SPOOL_INTERVAL: Duration = Duration::from_secs(1);

/// Events that are committed together at most, with a spool: one write for all their mails.
const MAX_BATCH: u64 = 64;

/// Events that stay in the ring for a later digest, at most, and at most half of the ring: the other half takes new events.
const MAX_HELD: u64 = 2048;

/// The collector's longest sleep while events arrive that no mail may be sent about yet. Without it each event wakes the collector:
/// a system call in HAProxy's thread and cold caches in this one. An urgent event wakes the collector at once.
const STORM_SLEEP: Duration = Duration::from_millis(200);

/// Events that end such a sleep early; at most a quarter of the ring.
const STORM_EVENTS: u64 = 256;

/// Shortest interval between publications of the unconfirmed targets: the list may be long.
const PUBLISH_INTERVAL: Duration = Duration::from_millis(200);

/// Shortest interval between log lines about drops.
const DROP_LOG_INTERVAL: Duration = Duration::from_secs(60);

/// State that the collector, the dispatcher and HAProxy's threads share.
#[derive(Clone)]
pub struct Shared {
    /// From HAProxy's threads to the collector.
    pub ring: Arc<Ring>,
    /// Mails until they are delivered or given up.
    pub store: Arc<dyn Store>,
    /// Due times of those mails. From the collector to the dispatcher.
    pub schedule: Arc<Schedule>,
    /// Wakes the dispatcher.
    pub dispatcher: Arc<Waker>,
    /// Written by all threads.
    pub counters: Arc<Counters>,
    /// Hints from HAProxy's threads to the dispatcher that a change may come soon.
    pub prewarm: Arc<Prewarm>,
    /// Status that the collector and the dispatcher publish for HAProxy's threads.
    pub board: Arc<StatusBoard>,
    /// Closed by HAProxy's threads when the process is about to end.
    pub transactions: Arc<Transactions>,
}

/// The collector: one thread.
pub struct Collector {
    shared: Shared,
    engine: Engine,
    /// Names this process in the ids of its events.
    token: String,
    /// Numbers the ids of mails that a timer or a flush causes.
    ticks: u64,
    silences: Receiver<Silence>,
    drops: Drops,
    /// Time of the last [`Collector::maintain_spool`].
    spool_checked: Option<Instant>,
    /// Number of unconfirmed targets that the board has, and time of their publication.
    published_unconfirmed: (usize, Instant),
    in_flight: InFlight,
    /// Buffer for one record, reused.
    record: Vec<u64>,
}

/// The collector's next sleep.
struct Sleep {
    /// Records in the ring that end it.
    records: u64,
    /// The longest time; `None`: without a bound.
    time: Option<Duration>,
}

/// Records that are read from the ring and not released, and mails that are not committed.
#[derive(Default)]
struct InFlight {
    /// Processed records that stay in the ring until all audiences were notified of them: the next process may need them.
    held: u64,
    /// Records read since the last commit.
    read: u64,
    /// Records of `read` that the engine has processed.
    processed: u64,
    /// Not committed.
    mails: Vec<Notification>,
    /// Ticket of the first record that is not in a mail, by audience.
    progress: Vec<u64>,
    /// Ticket of the first record that is not processed.
    next: u64,
}

/// Dropped events and mails, for the engine and the log.
#[derive(Default)]
struct Drops {
    /// Events that the engine has counted.
    counted: u64,
    /// Events that are not logged yet.
    unlogged: u64,
    /// Mails that are not logged yet.
    mails: u64,
    logged_at: Option<Instant>,
}

impl Collector {
    /// A collector for the process `token`. `silences`: from runtime commands.
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
            drops: Drops::default(),
            spool_checked: None,
            published_unconfirmed: (0, Instant::now()),
            in_flight: InFlight { progress, ..InFlight::default() },
            record: Vec::new(),
        }
    }

    /// Does what is due. `None`: the ring is closed and empty.
    fn collect(&mut self) -> Option<Sleep> {
        let stopping = self.shared.ring.is_closed();
        if !stopping {
            self.maintain_spool();
        }
        let mut has_drained = false;
        while self.drain_batch() {
            has_drained = true;
        }
        self.emit_due();
        self.publish_silences();
        let is_storm = has_drained && !self.shared.schedule.is_draining();
        let republish = self.publish_unconfirmed();
        if stopping {
            if self.shared.ring.is_empty() {
                self.count_drops(Duration::ZERO);
                self.shared.schedule.close();
                self.shared.dispatcher.wake();
                return None;
            }
            // A thread of HAProxy is writing its record.
            return Some(Sleep { records: 1, time: None });
        }
        let drop_log = self.count_drops(DROP_LOG_INTERVAL);
        let spool = self.shared.store.is_durable().then_some(SPOOL_INTERVAL);
        let now = SystemTime::now();
        let until = |time: SystemTime| time.duration_since(now).unwrap_or_default();
        let due = self.engine.due().map(until);
        let storm = self.engine.next_send_at(now).filter(|_| is_storm).map(|at| until(at).min(STORM_SLEEP));
        let records = storm.map_or(1, |_| STORM_EVENTS.min(self.shared.ring.capacity() / 4).max(1));
        Some(Sleep {
            records: self.in_flight.held + records,
            time: [drop_log, spool, due, republish, storm].into_iter().flatten().min(),
        })
    }

    /// Processes and commits the ring's records, at most [`MAX_BATCH`]. False: there is none.
    fn drain_batch(&mut self) -> bool {
        let mut record = std::mem::take(&mut self.record);
        let batch = if self.shared.store.is_durable() { MAX_BATCH } else { 1 };
        while self.in_flight.read < batch {
            let Some(ticket) = self.shared.ring.peek(self.in_flight.held + self.in_flight.read, &mut record)
            else {
                break;
            };
            self.in_flight.read += 1;
            // A silence that was added before this record was pushed applies to it.
            self.take_silences();
            let id = format!("{}.{ticket}", self.token);
            self.process(&record, &id);
            self.in_flight.processed += 1;
            self.in_flight.next = ticket + 1;
            self.update_progress();
        }
        self.record = record;
        if self.in_flight.read == 0 {
            return false;
        }
        if self.in_flight.held + self.in_flight.processed >= MAX_HELD.min(self.shared.ring.capacity() / 2) {
            self.flush_groups();
        }
        self.commit(None);
        self.in_flight.read = 0;
        true
    }

    /// Commits the mails that are due; while the service drains, those of all groups.
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
        self.commit(None);
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
        let (silences, published) = (self.engine.silences(), &self.shared.board.silences);
        if published.read().is_none_or(|published| *published != silences) {
            published.publish(silences.to_vec());
        }
    }

    /// Adds the mails of all groups, before their time.
    fn flush_groups(&mut self) {
        let id = self.next_id();
        self.in_flight.mails.extend(self.engine.flush_groups(&id, SystemTime::now()));
    }

    fn next_id(&mut self) -> String {
        self.ticks += 1;
        format!("{}.t{}", self.token, self.ticks)
    }

    /// Publishes the targets whose present state HAProxy is asked for, if their number has changed; returns the time until the next
    /// call is due, if it is too early.
    fn publish_unconfirmed(&mut self) -> Option<Duration> {
        let count = self.engine.unconfirmed_count();
        if count == self.published_unconfirmed.0 {
            return None;
        }
        let since = self.published_unconfirmed.1.elapsed();
        if since < PUBLISH_INTERVAL && count > 0 {
            return Some(PUBLISH_INTERVAL - since);
        }
        self.shared.board.unconfirmed.publish(self.engine.unconfirmed_targets());
        self.published_unconfirmed = (count, Instant::now());
        None
    }

    /// Marks all processed records as mailed to the audiences whose groups are flushed.
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
    fn commit(&mut self, replay: Option<ReplayMark>) {
        let snapshot = if self.shared.store.is_durable() { self.engine.take_snapshot() } else { None };
        self.update_progress();
        let Shared { ring, store, schedule, dispatcher, transactions, .. } = &self.shared;
        let InFlight { held, processed, mails, progress, next, .. } = &mut self.in_flight;
        let read = *held + std::mem::take(processed);
        *held = *next - progress.iter().min().copied().unwrap_or(*next);
        let (notifications, done) = (std::mem::take(mails), read - *held);
        let committed = store.commit(Batch { notifications, progress, replay, snapshot: snapshot.as_ref() });
        ring.release_many(done);
        schedule.add(&committed.mails, Instant::now());
        if store.volatile() > 0 {
            // Mails that the spool does not take are lost unless they are delivered before the process ends.
            transactions.open();
        }
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

    /// Writes volatile mails to files and takes over orphans and snapshots, once in [`SPOOL_INTERVAL`].
    fn maintain_spool(&mut self) {
        let store = self.shared.store.clone();
        if !store.is_durable() || self.spool_checked.is_some_and(|checked| checked.elapsed() < SPOOL_INTERVAL)
        {
            return;
        }
        self.spool_checked = Some(Instant::now());
        store.retry_writes();
        let orphans = store.orphans();
        for (token, snapshot) in store.foreign_snapshots() {
            self.engine.inherit(&snapshot, &token, SystemTime::now());
            let snapshot = self.engine.take_snapshot();
            let batch =
                Batch { progress: &self.in_flight.progress, snapshot: snapshot.as_ref(), ..Batch::default() };
            // The other process's snapshot is deleted once this process's snapshot includes it.
            if snapshot.is_none() || store.commit(batch).is_snapshot_saved {
                store.delete_foreign_snapshot(&token);
            } else {
                self.engine.retry_snapshot();
            }
        }
        for orphan in orphans {
            self.shared.schedule.add(&orphan.mails, Instant::now());
            self.shared.dispatcher.wake();
            for events in orphan.events.chunks(MAX_HELD as usize) {
                let records = orphan.forget_on_drop(events);
                for event in events {
                    self.replay(&orphan, event);
                }
                self.flush_groups();
                self.commit(events.last().map(|last| orphan.claim.replay_mark(last)));
                drop(records);
            }
            orphan.claim.finish();
        }
    }

    /// Passes a record to the engine.
    fn process(&mut self, record: &[u64], id: &str) {
        let Some(Record { mut events, is_confirmation }) = self.read(record) else { return };
        let now = SystemTime::now();
        let mails = match (is_confirmation, events.pop()) {
            (true, Some(event)) => self.engine.confirm(event, id, now),
            (_, last) => {
                events.extend(last);
                self.engine.handle(events, id, now)
            }
        };
        self.in_flight.mails.extend(mails);
    }

    /// Passes an event of a dead process to the engine, for the recipients that process had not notified. Confirmations are skipped:
    /// this process asks HAProxy again.
    fn replay(&mut self, orphan: &Orphan, event: &ReplayedEvent) {
        let Some(record) = self.read(&event.record).filter(|record| !record.is_confirmation) else {
            return;
        };
        let is_for = |to: &[Recipient]| !orphan.claim.has_notified(to, event);
        let id = format!("{}.{}", orphan.token, event.ticket);
        let mails = self.engine.take_over(&orphan.token, is_for, record.events, &id, SystemTime::now());
        self.in_flight.mails.extend(mails);
    }

    /// Decodes a record; logs and counts one that cannot be decoded.
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
        assert!(
            read.events.iter().all(|event| event.server.as_deref() != Some("panic-in-the-collector")),
            "asked for"
        );
        self.count_drops(DROP_LOG_INTERVAL);
        Some(read)
    }

    /// Passes the number of dropped events to the engine, and logs drops once in `interval`; returns the time until the next log line,
    /// if one is due later.
    fn count_drops(&mut self, interval: Duration) -> Option<Duration> {
        let drops = &mut self.drops;
        let dropped = self.shared.counters.dropped.get();
        let new = dropped - drops.counted;
        drops.counted = dropped;
        drops.unlogged += new;
        if new > 0 {
            self.engine.count_dropped(new);
        }
        if drops.unlogged == 0 && drops.mails == 0 {
            return None;
        }
        let since = drops.logged_at.map_or(interval, |at| at.elapsed());
        if since < interval {
            return Some(interval - since);
        }
        if drops.unlogged > 0 {
            log::error!(
                "{} state changes were not mailed: they came faster than the ring takes them",
                drops.unlogged
            );
        }
        if drops.mails > 0 {
            log::error!(
                "{} mails were dropped, the least important first: {MAX_QUEUED_MAILS}, or {} MiB of them, wait for a relay in memory",
                drops.mails,
                MAX_QUEUED_BYTES >> 20
            );
        }
        *drops = Drops { counted: drops.counted, logged_at: Some(Instant::now()), ..Drops::default() };
        None
    }
}

impl Steps for Collector {
    const THREAD: &'static str = "collector";
    const LOSS: &'static str = "one event dropped";

    /// Does what is due, then sleeps. False: the ring is closed and empty, and the schedule is closed.
    fn step(&mut self) -> bool {
        let Some(sleep) = self.collect() else { return false };
        self.shared.ring.prefault(shared_memory::prefault);
        self.shared.ring.sleep_until_pushed(sleep.records, sleep.time);
        true
    }

    /// Drops the record whose processing panicked: it would panic again.
    fn discard_in_flight(&mut self) {
        let unprocessed = self.in_flight.read - self.in_flight.processed;
        if catch_unwind(AssertUnwindSafe(|| self.flush_groups())).is_err() {
            log::error!("{}", internal_error("collector", "one event dropped"));
        }
        self.commit(None);
        self.shared.ring.release_many(self.in_flight.held + unprocessed);
        let next = self.in_flight.next + unprocessed;
        self.in_flight =
            InFlight { progress: vec![next; self.in_flight.progress.len()], next, ..InFlight::default() };
        self.shared.counters.failed.one();
    }
}
