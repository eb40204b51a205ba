// SPDX-License-Identifier: MIT OR Apache-2.0
//! The life of the library in a process: prepared with what needs root and the file system, started with its threads (two
//! that collect and mail and, with a spool, one that brings that to the disk), drained, stopped.
//!
//! [`Prepared::open`] runs before HAProxy changes its root and its user (and, up to 3.0, before it forks), so it makes
//! no threads. [`Service::start`] runs in the worker, before its RLIMIT_NPROC becomes 0, so that it makes all threads at
//! once and for good: a panic in one of them is caught inside.

use crate::counters::Counters;
use crate::engine::{Engine, LONGEST_SILENCE, Name, Outgoing, Silence};
use crate::event::{Change, RawChange};
use crate::helper::client::{Helper, SharedHelper};
use crate::mailer::{Mailer, Station, Task};
use crate::message::Composer;
use crate::outbox::Outbox;
use crate::queue::{self, Full, Queue};
use crate::settings::{OUTBOX, Pattern, Plan, QUEUE, Relay, Way};
use crate::spool::{Place, Spool};
use crate::transport::{Transport, command, file, smtp};
use crossbeam_channel::{Receiver, Sender, bounded};
use nix::sched::{CpuSet, sched_setaffinity};
use nix::sys::signal::{SigSet, SigmaskHow, Signal};
use nix::unistd::Pid;
use std::collections::HashSet;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, TryLockError};
use std::thread::Builder;
use std::time::{Duration, Instant, SystemTime};

/// Enough for a TLS handshake in a debug build; only what is touched costs memory.
const STACK: usize = 512 * 1024;

/// What is younger may be lost when the machine loses power.
const SYNC_EVERY: Duration = Duration::from_millis(500);

/// How soon the mails of a process that is gone are taken over.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// Events whose mails are written together, if they have come together.
const TOGETHER: u64 = 64;

/// Events that wait in the queue for a digest at most: the rest of it takes what comes meanwhile.
const HELD: u64 = QUEUE as u64 / 2;

/// HAProxy is asked for what the process before knew at most so often: that takes a while if it is very much.
const ASK_EVERY: Duration = Duration::from_millis(200);

/// Silences that wait for the collector at most.
const SILENCES: usize = 16;

/// The log tells of drops at most so often.
const DROPS_TOLD_EVERY: Duration = Duration::from_secs(60);

/// Who the worker will run as.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct User {
    /// Numeric user; 0: unchanged.
    pub uid: u32,
    /// Numeric group.
    pub gid: u32,
}

/// A plan with everything opened that it needs.
pub struct Prepared {
    plan: Plan,
    stations: Vec<Station>,
    composer: Composer,
    spool: Option<Place>,
    /// What does not work, but may work later.
    pub warnings: Vec<String>,
}

/// Looks whether `plan` could be carried out, and leaves no trace. Gives what the administrator should see nevertheless.
///
/// # Errors
///
/// What could not work, for the administrator.
pub fn check(plan: &Plan, user: User) -> Result<Vec<String>, String> {
    let mut warnings = Vec::new();
    if let Some(spool) = &plan.spool {
        Place::open(&spool.directory, user.uid, user.gid, spool.max_size)
            .map_err(|why| format!("spool: {why}"))?;
    }
    for relay in &plan.relays {
        let judged = match &relay.way {
            Way::File { directory } => file::File::open(directory, user.uid, user.gid).map(|_| None),
            Way::Smtp(place) => smtp::check(place, user),
            Way::Command { .. } => Ok(None),
        };
        let warning = judged.map_err(|why| format!("relay '{}': {why}", relay.name))?;
        warnings.extend(warning.map(|warning| format!("relay '{}': {warning}", relay.name)));
    }
    Ok(warnings)
}

impl Prepared {
    /// Opens directories, resolves names, starts the helper process. `haproxy`: its version.
    ///
    /// # Errors
    ///
    /// What is missing, for the administrator.
    pub fn open(plan: Plan, user: User, haproxy: Option<String>) -> Result<Self, String> {
        let mut warnings = Vec::new();
        let mut helper = None;
        let mut stations = Vec::new();
        for relay in &plan.relays {
            let transport = open(relay, &plan.host, user, &mut helper, &mut warnings)
                .map_err(|why| format!("relay '{}': {why}", relay.name))?;
            stations.push(Station::new(&relay.name, transport));
        }
        let composer = Composer::new(&plan, haproxy);
        let spool = plan.spool.as_ref();
        let spool = spool.map(|spool| Place::open(&spool.directory, user.uid, user.gid, spool.max_size));
        let spool = spool.transpose().map_err(|why| format!("spool: {why}"))?;
        Ok(Prepared { plan, stations, composer, spool, warnings })
    }
}

fn open(
    relay: &Relay,
    host: &str,
    user: User,
    helper: &mut Option<SharedHelper>,
    warnings: &mut Vec<String>,
) -> Result<Box<dyn Transport>, String> {
    Ok(match &relay.way {
        Way::Smtp(place) => {
            let mut smtp = smtp::Smtp::new(place, relay.timeout, host)?;
            if let Err(why) = smtp.resolve() {
                warnings
                    .push(format!("relay '{}': {why}; its mails wait until it can be resolved", relay.name));
            }
            if place.has_name() {
                match the_helper(helper, user) {
                    Ok(helper) => smtp.resolve_with(helper),
                    Err(why) => warnings
                        .push(format!("relay '{}': {why}; its name is not resolved again", relay.name)),
                }
            }
            Box::new(smtp)
        }
        Way::Command { flavour, path } => {
            Box::new(command::Command::new(*flavour, path, relay.timeout, the_helper(helper, user)?))
        }
        Way::File { directory } => Box::new(file::File::open(directory, user.uid, user.gid)?),
    })
}

/// The helper process, which is started when the first relay needs it.
fn the_helper(helper: &mut Option<SharedHelper>, user: User) -> Result<SharedHelper, String> {
    match helper {
        Some(helper) => Ok(helper.clone()),
        None => Ok(helper.insert(Helper::start(user.uid, user.gid)?).clone()),
    }
}

/// A running service: the queue that HAProxy's threads push into, and the threads behind it.
pub struct Service {
    queue: Arc<Queue>,
    outbox: Arc<Outbox>,
    counters: Arc<Counters>,
    spool: Option<Arc<Spool>>,
    questions: Arc<Mutex<Vec<Name>>>,
    silences: Sender<Silence>,
    /// The queue is in memory that survives the process.
    is_shared: bool,
    /// Disconnected when the threads that collect and mail have ended.
    ended: Receiver<()>,
}

impl Service {
    /// Starts the threads.
    ///
    /// # Errors
    ///
    /// The system gives no thread.
    pub fn start(prepared: Prepared) -> io::Result<Self> {
        let Prepared { plan, stations, composer, spool, .. } = prepared;
        let micros = SystemTime::UNIX_EPOCH.elapsed().unwrap_or_default().as_micros();
        let token = format!("{micros:x}-{:x}", std::process::id());
        let (spool, memory) = match spool {
            Some(place) => {
                let (spool, memory) = Spool::start(place, &token);
                (Some(Arc::new(spool)), memory)
            }
            None => (None, None),
        };
        let (ends, ended) = bounded(0);
        let (silences, wanted_silences) = bounded(SILENCES);
        let service = Service {
            is_shared: memory.is_some(),
            queue: Arc::new(memory.map_or_else(|| Queue::new(QUEUE), |words| Queue::shared(Box::new(words)))),
            outbox: Arc::new(Outbox::new(OUTBOX, spool.clone())),
            counters: Arc::default(),
            spool,
            questions: Arc::default(),
            silences,
            ended,
        };
        let collector = Collector {
            queue: service.queue.clone(),
            outbox: service.outbox.clone(),
            counters: service.counters.clone(),
            spool: service.spool.clone(),
            engine: Engine::new(&plan.routes, plan.policy, &plan.host),
            token,
            ticks: 0,
            questions: service.questions.clone(),
            silences: wanted_silences,
            drops: Drops::default(),
            looked: None,
            asked: (0, Instant::now()),
            in_hand: InHand::default(),
            record: Vec::new(),
        };
        let (outbox, counters) = (service.outbox.clone(), service.counters.clone());
        let crew = Arc::new(Crew {
            queue: service.queue.clone(),
            collector: Mutex::new(collector),
            mailer: Mutex::new(Mailer::new(stations, composer, outbox, counters, plan.retry)),
        });

        let join = |name| {
            let crew = crew.clone();
            spawn(name, ends.clone(), move || crew.join())
        };
        let started = join("email-alert-1").and_then(|()| join("email-alert-2")).and_then(|()| match service
            .spool
            .clone()
        {
            None => Ok(()),
            // Nobody waits for its end: what it does lasts as long as the disk likes.
            Some(spool) => spawn("email-spool", bounded(0).0, move || {
                loop {
                    std::thread::sleep(SYNC_EVERY);
                    if catch_unwind(AssertUnwindSafe(|| spool.sync())).is_err() {
                        log::error!("{}", after_a_bug("the spool"));
                    }
                }
            }),
        });
        if let Err(error) = started {
            // Half a service is none.
            service.outbox.abandon();
            service.queue.close();
            return Err(error);
        }
        Ok(service)
    }

    /// Takes one event. Any thread; never blocks, never allocates.
    ///
    /// # Errors
    ///
    /// The queue is full; the event is counted as dropped.
    pub fn push(&self, change: &RawChange) -> Result<(), Full> {
        let now = SystemTime::UNIX_EPOCH.elapsed().unwrap_or_default();
        let pushed = self.queue.push(|writer| change.write(now, writer));
        match pushed {
            Ok(()) => self.counters.accepted.one(),
            Err(Full) => self.counters.dropped.one(),
        }
        pushed
    }

    /// Does it take no more events? Any thread; never blocks.
    pub fn is_stopped(&self) -> bool {
        self.queue.is_closed()
    }

    /// What was done so far.
    pub fn counters(&self) -> &Counters {
        &self.counters
    }

    /// Events and mails that are neither delivered nor given up. Any thread, no lock.
    pub fn pending(&self) -> u64 {
        // In the direction in which they travel, so that none is overlooked on its way.
        self.queue.len() + self.outbox.pending()
    }

    /// Deliver what there is now, do not wait for better times. Any thread, no lock.
    pub fn drain(&self) {
        self.outbox.drain();
        // It may wait for a digest.
        self.queue.nudge();
    }

    /// A server, or a backend (without server), of which the library has to know what it is now; `n` counts from 0. Any
    /// thread; never waits: `None` may also mean that nobody can say just now.
    pub fn question(&self, n: usize) -> Option<Name> {
        self.questions.try_lock().ok()?.get(n).cloned()
    }

    /// Nothing is told of what the pattern is for, for so long. Any thread; never waits.
    ///
    /// # Errors
    ///
    /// Too many want that at once.
    pub fn silence(&self, pattern: Pattern, length: Duration, reason: String) -> Result<(), Full> {
        let until = SystemTime::now() + length.min(LONGEST_SILENCE);
        self.silences.try_send(Silence { pattern, until, reason }).map_err(|_| Full)?;
        self.queue.nudge();
        Ok(())
    }

    /// Delivers what is pending for at most `bound`, then ends the threads or leaves them behind.
    ///
    /// Returns how many events and mails were left; the log has their number.
    pub fn stop(&self, bound: Duration) -> u64 {
        let deadline = Instant::now() + bound;
        self.outbox.drain();
        self.queue.close();
        // Nothing is ever sent through it: it ends when the threads have. How they did shows in what is left.
        let _ = self.ended.recv_deadline(deadline);
        self.outbox.abandon();
        self.queue.nudge();
        let left = self.pending();
        let lost = self.outbox.unstored() + if self.is_shared { 0 } else { self.queue.len() };
        if left > lost {
            log::warn!("stopped with {} alerts left in the spool for the next process", left - lost);
        }
        if lost > 0 {
            log::error!("stopped with {lost} alerts not delivered");
        }
        if let Some(spool) = &self.spool {
            spool.end(self.queue.is_empty(), self.outbox.pending() == 0);
        }
        left
    }
}

/// Starts a thread with no signal of the process, on any processor.
fn spawn(name: &str, end: Sender<()>, work: impl FnOnce() + Send + 'static) -> io::Result<()> {
    // HAProxy's signals are for HAProxy's threads; those of a fault must stay as they are.
    let mut blocked = SigSet::all();
    for fault in [Signal::SIGSEGV, Signal::SIGBUS, Signal::SIGFPE, Signal::SIGILL, Signal::SIGABRT] {
        blocked.remove(fault);
    }
    let before = blocked.thread_swap_mask(SigmaskHow::SIG_SETMASK).map_err(io::Error::from)?;
    let spawned = Builder::new().name(name.to_owned()).stack_size(STACK).spawn(move || {
        anywhere();
        work();
        drop(end);
    });
    let restored = before.thread_set_mask().map_err(io::Error::from);
    spawned.map(drop).and(restored)
}

/// HAProxy may have bound the thread that starts us to a processor (`cpu-map`): that is meant for its traffic.
fn anywhere() {
    let mut all = CpuSet::new();
    for processor in 0..CpuSet::count() {
        // Refused are only numbers beyond the set.
        let _ = all.set(processor);
    }
    // Where this is forbidden the thread stays where it is, and works as well.
    let _ = sched_setaffinity(Pid::from_raw(0), &all);
}

/// What the log says of a panic.
fn after_a_bug(who: &str) -> String {
    format!("a bug ended {who}'s work on one event; it goes on")
}

/// The two threads that do the collector's and the mailer's work.
///
/// One of them collects, and sleeps until there is something to do. If then something is to be sent and the other one is not
/// at it, it sends that itself, and the other one collects. So a mail that comes after a rest needs one thread to wake up,
/// not two after each other; and while a relay is slow, there still is one that collects.
struct Crew {
    queue: Arc<Queue>,
    collector: Mutex<Collector>,
    mailer: Mutex<Mailer>,
}

impl Crew {
    /// The whole life of one of the threads.
    fn join(&self) {
        let Some(me) = self.queue.collect_here() else { return };
        while catch_unwind(AssertUnwindSafe(|| self.work(me))).is_err() {
            // Who collects shall see what became of it.
            self.queue.nudge();
        }
    }

    fn work(&self, me: queue::Collector) {
        let mut goes_on = true;
        while goes_on {
            let (mut mailer, task) = self.collect(me);
            goes_on = mailer.work(task);
            drop(mailer);
            // What came in the last moment, or is to be done later, is for the one who collects now.
            self.queue.nudge();
        }
    }

    /// Collects until there is something for the mailer to do.
    fn collect(&self, me: queue::Collector) -> (MutexGuard<'_, Mailer>, Task) {
        let mut collector = self.collector();
        loop {
            let pause = collector.collect();
            let due = match self.idle_mailer() {
                Some(mailer) => match mailer.next() {
                    Task::Wait(due) => due,
                    task => return (mailer, task),
                },
                None => None,
            };
            let due = due.map(|due| due.saturating_duration_since(Instant::now()));
            self.queue.sleep_until_pushed(
                me,
                collector.in_hand.held,
                [pause, due].into_iter().flatten().min(),
            );
        }
    }

    fn collector(&self) -> MutexGuard<'_, Collector> {
        self.collector.lock().unwrap_or_else(|panicked| {
            self.collector.clear_poison();
            let mut collector = panicked.into_inner();
            log::error!("{}", after_a_bug("the collector"));
            collector.lose_what_is_in_hand();
            collector
        })
    }

    /// `None`: the other thread is at it.
    fn idle_mailer(&self) -> Option<MutexGuard<'_, Mailer>> {
        match self.mailer.try_lock() {
            Ok(mailer) => Some(mailer),
            Err(TryLockError::WouldBlock) => None,
            Err(TryLockError::Poisoned(panicked)) => {
                self.mailer.clear_poison();
                let mut mailer = panicked.into_inner();
                log::error!("{}", after_a_bug("the mailer"));
                mailer.lose_what_is_in_hand();
                Some(mailer)
            }
        }
    }
}

/// The collector's work: queue → engine → outbox.
struct Collector {
    queue: Arc<Queue>,
    outbox: Arc<Outbox>,
    counters: Arc<Counters>,
    spool: Option<Arc<Spool>>,
    engine: Engine,
    /// This process, in the ids of its events.
    token: String,
    /// Mails that no event has led to have ids, too.
    ticks: u64,
    questions: Arc<Mutex<Vec<Name>>>,
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
    /// Does what is to be done now. Gives when to come back at the latest.
    fn collect(&mut self) -> Option<Duration> {
        let stopping = self.queue.is_closed();
        if !stopping {
            self.look_after_spool();
        }
        while self.collect_some() {}
        self.tell_what_is_due();
        let asked = self.ask();
        if stopping {
            if self.queue.is_empty() {
                self.count_drops(Duration::ZERO);
                self.outbox.close();
            }
            return None;
        }
        let untold = self.count_drops(DROPS_TOLD_EVERY);
        let spool = self.spool.as_ref().map(|_| LOOK_EVERY);
        let due = self.engine.due();
        let due = due.map(|due| due.duration_since(SystemTime::now()).unwrap_or_default());
        [untold, spool, due, asked].into_iter().flatten().min()
    }

    /// Takes what the queue has, up to a bound. False: nothing.
    fn collect_some(&mut self) -> bool {
        let mut record = std::mem::take(&mut self.record);
        let most = if self.spool.is_some() { TOGETHER } else { 1 };
        while self.in_hand.read < most {
            let Some(ticket) = self.queue.front(self.in_hand.held + self.in_hand.read, &mut record) else {
                break;
            };
            self.in_hand.read += 1;
            let id = format!("{}.{ticket}", self.token);
            self.make(&record, &id, &HashSet::new());
            self.in_hand.made += 1;
        }
        self.record = record;
        if self.in_hand.held + self.in_hand.made >= HELD {
            self.give();
        }
        self.hand_over(|| ());
        std::mem::take(&mut self.in_hand.read) > 0
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
        let mails = match self.outbox.is_draining() {
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
        *self.questions.lock().unwrap_or_else(PoisonError::into_inner) = self.engine.questions();
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
        let known = self.spool.as_ref().and_then(|spool| Some((spool, self.engine.news_for_the_next()?)));
        let mut is_remembered = true;
        let gone = self.outbox.put(mails, Instant::now(), || {
            // What is told must be known to the next process, which will not see these events again.
            if let Some((spool, memory)) = known {
                is_remembered = spool.remember(&memory);
            }
            (0..done).for_each(|_| self.queue.release());
            written();
        });
        if !is_remembered {
            self.engine.remember_again();
        }
        for mail in gone {
            self.counters.failed.many(mail.to.len() as u64);
            self.engine.lost(&mail);
            self.drops.mails += 1;
        }
    }

    /// A panic ended [`Collector::collect`]: the record that it was at would do it again.
    fn lose_what_is_in_hand(&mut self) {
        let is_at_one = self.in_hand.read > self.in_hand.made;
        if catch_unwind(AssertUnwindSafe(|| self.give())).is_err() {
            log::error!("{}", after_a_bug("the collector"));
        }
        self.hand_over(|| ());
        if is_at_one && self.in_hand.held == 0 {
            self.queue.release();
        }
        self.in_hand = InHand::default();
        self.counters.failed.one();
    }

    /// Takes over what processes that are gone have left, and writes what could not be written before.
    fn look_after_spool(&mut self) {
        let Some(spool) = self.spool.clone() else { return };
        if self.looked.is_some_and(|looked| looked.elapsed() < LOOK_EVERY) {
            return;
        }
        self.looked = Some(Instant::now());
        self.outbox.store_again();
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
                self.outbox.adopt(created, stored, Instant::now());
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
            return self.counters.failed.one();
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
        let dropped = self.counters.dropped.get();
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
