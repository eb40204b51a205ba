// SPDX-License-Identifier: MIT OR Apache-2.0
//! The collector's work: events from the queue go through the engine, and the mails that it decides into the outbox.

use crate::counters::Counters;
use crate::engine::{Engine, Name, Outgoing, Silence};
use crate::event::Change;
use crate::outbox::Outbox;
use crate::queue::Queue;
use crate::settings::{OUTBOX, QUEUE};
use crate::spool::Spool;
use crossbeam_channel::Receiver;
use std::collections::HashSet;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime};

/// How soon the mails of a process that is gone are taken over.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// Events whose mails are written together, if they have come together.
const TOGETHER: u64 = 64;

/// Events that wait in the queue for a digest at most: the rest of it takes what comes meanwhile.
const HELD: u64 = QUEUE as u64 / 2;

/// HAProxy is asked for what the process before knew at most so often: that takes a while if it is very much.
const ASK_EVERY: Duration = Duration::from_millis(200);

/// The log tells of drops at most so often.
const DROPS_TOLD_EVERY: Duration = Duration::from_secs(60);

/// What the threads share with each other and with HAProxy's.
#[derive(Clone)]
pub struct Shared {
    /// From HAProxy's threads to the collector.
    pub queue: Arc<Queue>,
    /// From the collector to the mailer.
    pub outbox: Arc<Outbox>,
    /// What was done so far.
    pub counters: Arc<Counters>,
    /// Where what waits survives the process, if there is a place.
    pub spool: Option<Arc<Spool>>,
    /// What HAProxy is to be asked.
    pub questions: Arc<Mutex<Vec<Name>>>,
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
    drops: Drops,
    /// When the spool was looked at last.
    looked: Option<Instant>,
    /// Questions to HAProxy that are open, and when they were written down.
    asked: (usize, Instant),
    in_hand: InHand,
    /// The record that it is at. Kept for the sake of its memory.
    record: Vec<u64>,
}

/// What the collector is at.
#[derive(Default)]
struct InHand {
    /// Records of the queue that were read and are told later: until then the next process may need them.
    held: u64,
    /// Others that were read.
    read: u64,
    /// Those of them whose mails were made.
    made: u64,
    mails: Vec<Outgoing>,
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
    pub fn new(shared: Shared, engine: Engine, token: String, silences: Receiver<Silence>) -> Self {
        Collector {
            shared,
            engine,
            token,
            ticks: 0,
            silences,
            drops: Drops::default(),
            looked: None,
            asked: (0, Instant::now()),
            in_hand: InHand::default(),
            record: Vec::new(),
        }
    }

    /// Records that are read, and stay in the queue until their digest is mailed.
    pub fn held(&self) -> u64 {
        self.in_hand.held
    }

    /// Does what is to be done now; as soon as there is a mail to be sent, calls `mail_comes`. Gives when to come back at the
    /// latest.
    pub fn collect(&mut self, mail_comes: impl Fn()) -> Option<Duration> {
        let stopping = self.shared.queue.is_closed();
        if !stopping {
            self.look_after_spool();
        }
        while self.collect_some(&mail_comes) {}
        self.tell_what_is_due();
        let asked = self.ask();
        if stopping {
            if self.shared.queue.is_empty() {
                self.count_drops(Duration::ZERO);
                self.shared.outbox.close();
            }
            return None;
        }
        let untold = self.count_drops(DROPS_TOLD_EVERY);
        let spool = self.shared.spool.as_ref().map(|_| LOOK_EVERY);
        let due = self.engine.due();
        let due = due.map(|due| due.duration_since(SystemTime::now()).unwrap_or_default());
        [untold, spool, due, asked].into_iter().flatten().min()
    }

    /// Takes what the queue has, up to a bound. False: nothing.
    fn collect_some(&mut self, mail_comes: impl Fn()) -> bool {
        let mut record = std::mem::take(&mut self.record);
        let most = if self.shared.spool.is_some() { TOGETHER } else { 1 };
        while self.in_hand.read < most {
            let Some(ticket) = self.shared.queue.front(self.in_hand.held + self.in_hand.read, &mut record)
            else {
                break;
            };
            self.in_hand.read += 1;
            let id = format!("{}.{ticket}", self.token);
            self.make(&record, &id, &HashSet::new());
            if !self.in_hand.mails.is_empty() {
                mail_comes();
            }
            self.in_hand.made += 1;
        }
        self.record = record;
        if self.in_hand.read == 0 {
            return false;
        }
        if self.in_hand.held + self.in_hand.made >= HELD {
            self.give();
        }
        self.hand_over(|| ());
        self.in_hand.read = 0;
        true
    }

    /// The mails that the time brings; all that there are to be if there is no more time.
    fn tell_what_is_due(&mut self) {
        while let Ok(silence) = self.silences.try_recv() {
            let pattern = silence.pattern.to_string();
            if !self.engine.silence(silence) {
                log::error!("'{pattern}' is not silenced: there are too many silences already");
            }
        }
        let now = SystemTime::now();
        let id = self.next_id();
        let mails = match self.shared.outbox.is_draining() {
            true => self.engine.flush(&id, now),
            false => self.engine.tick(&id, now),
        };
        self.in_hand.mails.extend(mails);
        self.hand_over(|| ());
    }

    /// Nothing waits for a digest any more.
    fn give(&mut self) {
        let id = self.next_id();
        self.in_hand.mails.extend(self.engine.give(&id, SystemTime::now()));
    }

    fn next_id(&mut self) -> String {
        self.ticks += 1;
        format!("{}.t{}", self.token, self.ticks)
    }

    /// HAProxy is asked what has become of that which the process before knew; returns when to do that again.
    fn ask(&mut self) -> Option<Duration> {
        let open = self.engine.open_questions();
        if open == self.asked.0 {
            return None;
        }
        let since = self.asked.1.elapsed();
        if since < ASK_EVERY && open > 0 {
            return Some(ASK_EVERY - since);
        }
        *self.shared.questions.lock().unwrap_or_else(PoisonError::into_inner) = self.engine.questions();
        self.asked = (open, Instant::now());
        None
    }

    /// What was made goes into the spool, and what the next process has to know; then the events leave the queue, but for those
    /// that a digest holds, and `written` is called; then the mails go into the outbox, from which they are sent.
    fn hand_over(&mut self, written: impl FnOnce()) {
        let mails = std::mem::take(&mut self.in_hand.mails);
        let told = self.in_hand.held + std::mem::take(&mut self.in_hand.made);
        // Those that a digest has been waiting for are told with it, or wait with it for more.
        self.in_hand.held = if self.engine.holds() { told } else { 0 };
        let done = told - self.in_hand.held;
        let known =
            self.shared.spool.as_ref().and_then(|spool| Some((spool, self.engine.news_for_the_next()?)));
        let mut is_remembered = true;
        let gone = self.shared.outbox.put(mails, Instant::now(), || {
            // What is told must be known to the next process, which will not see these events again.
            if let Some((spool, memory)) = known {
                is_remembered = spool.remember(&memory);
            }
            (0..done).for_each(|_| self.shared.queue.release());
            written();
        });
        if !is_remembered {
            self.engine.remember_again();
        }
        for mail in gone {
            self.shared.counters.failed.many(mail.to.len() as u64);
            self.engine.lost(&mail);
            self.drops.mails += 1;
        }
    }

    /// A panic ended [`Collector::collect`]: the record that it was at would do it again.
    pub fn lose_what_is_in_hand(&mut self) {
        let at_one = self.in_hand.read - self.in_hand.made;
        if catch_unwind(AssertUnwindSafe(|| self.give())).is_err() {
            log::error!("{}", after_a_bug("the collector"));
        }
        self.hand_over(|| ());
        (0..self.in_hand.held + at_one).for_each(|_| self.shared.queue.release());
        self.in_hand = InHand::default();
        self.shared.counters.failed.one();
    }

    /// Takes over what processes that are gone have left, and writes what could not be written before.
    fn look_after_spool(&mut self) {
        let Some(spool) = self.shared.spool.clone() else { return };
        if self.looked.is_some_and(|looked| looked.elapsed() < LOOK_EVERY) {
            return;
        }
        self.looked = Some(Instant::now());
        self.shared.outbox.store_again();
        spool.tell_when_it_works();
        for (token, memory) in spool.known_by_others() {
            self.engine.inherit(&memory, &token, SystemTime::now());
            // The other one's file goes when ours has it.
            match self.engine.news_for_the_next() {
                Some(memory) if !spool.remember(&memory) => self.engine.remember_again(),
                _ => spool.has_inherited(&token),
            }
        }
        let (legacies, known) = spool.legacies();
        for mut legacy in legacies {
            for (created, stored) in std::mem::take(&mut legacy.mails) {
                self.shared.outbox.adopt(created, stored, Instant::now());
            }
            for events in legacy.events.chunks(HELD as usize) {
                // When they are written, or in a panic, which would else come again each second.
                let done = legacy.are_done_later(events);
                for event in events {
                    self.make(&event.record, &event.id, &known);
                }
                self.give();
                self.hand_over(|| drop(done));
            }
            spool.taken_over(legacy);
        }
    }

    /// Makes mails of a record, but for those that are `known` already.
    fn make(&mut self, record: &[u64], id: &str, known: &HashSet<String>) {
        let Some(change) = Change::read(record) else {
            log::error!("an event made no sense: {:?}", &record[..record.len().min(16)]);
            return self.shared.counters.failed.one();
        };
        #[cfg(feature = "fault-injection")]
        assert!(change.server != "panic-in-the-collector", "asked for");
        self.count_drops(DROPS_TOLD_EVERY);
        let now = SystemTime::now();
        let mut events = change.events();
        let mails = match (change.present, events.pop()) {
            (Some(_), Some(event)) => self.engine.answer(event, id, now),
            (_, last) => {
                events.extend(last);
                self.engine.take(events, id, now)
            }
        };
        self.in_hand.mails.extend(mails.into_iter().filter(|mail| !known.contains(&mail.message_id)));
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
            self.engine.dropped(new);
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
                "{} state changes were not mailed: they came faster than the queue takes them",
                drops.untold
            );
        }
        if drops.mails > 0 {
            log::error!(
                "{} mails were dropped, the least important first: {OUTBOX} wait for a relay in memory",
                drops.mails
            );
        }
        *drops = Drops { seen: drops.seen, told: Some(Instant::now()), ..Drops::default() };
        None
    }
}

/// What the log says of a panic.
pub fn after_a_bug(who: &str) -> String {
    format!("a bug ended {who}'s work on one event; it goes on")
}
