// SPDX-License-Identifier: MIT OR Apache-2.0
//! The life of the library in a process: prepared with what needs root and the file system, started with two threads,
//! drained, stopped.
//!
//! [`Prepared::open`] runs before HAProxy changes its root and its user (and, up to 3.0, before it forks), so it makes
//! no threads. [`Service::start`] runs in the worker, before its RLIMIT_NPROC becomes 0, so that it makes all threads at
//! once and for good: a panic in one of them is caught inside.

use crate::counters::Counters;
use crate::engine::Engine;
use crate::event::{Change, RawChange};
use crate::helper::client::{Helper, SharedHelper};
use crate::mailer::{Mailer, Station};
use crate::message::Composer;
use crate::outbox::Outbox;
use crate::queue::{Full, Queue};
use crate::settings::{OUTBOX, Plan, QUEUE, Relay, Way};
use crate::transport::{Transport, command, file, smtp};
use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, bounded};
use nix::sched::{CpuSet, sched_setaffinity};
use nix::sys::signal::{SigSet, SigmaskHow, Signal};
use nix::unistd::Pid;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::thread::Builder;
use std::time::{Duration, Instant, SystemTime};

/// Enough for a TLS handshake in a debug build; only what is touched costs memory.
const STACK: usize = 512 * 1024;

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
        let composer = Composer::new(&plan.host, haproxy);
        Ok(Prepared { plan, stations, composer, warnings })
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

/// A running service: the queue that HAProxy's threads push into, and the two threads behind it.
pub struct Service {
    queue: Arc<Queue>,
    outbox: Arc<Outbox>,
    counters: Arc<Counters>,
    /// The collector has taken something from the queue that is not in the outbox yet.
    in_hand: Arc<AtomicBool>,
    /// Disconnected when both threads have ended.
    ended: Receiver<()>,
}

impl Service {
    /// Starts the threads.
    ///
    /// # Errors
    ///
    /// The system gives no thread.
    pub fn start(prepared: Prepared) -> io::Result<Self> {
        let Prepared { plan, stations, composer, .. } = prepared;
        let (ends, ended) = bounded(0);
        let service = Service {
            queue: Arc::new(Queue::new(QUEUE)),
            outbox: Arc::new(Outbox::new(OUTBOX)),
            counters: Arc::default(),
            in_hand: Arc::default(),
            ended,
        };
        let micros = SystemTime::UNIX_EPOCH.elapsed().unwrap_or_default().as_micros();
        let token = format!("{micros:x}.{:x}", std::process::id());
        let mut collector = Collector {
            queue: service.queue.clone(),
            outbox: service.outbox.clone(),
            counters: service.counters.clone(),
            in_hand: service.in_hand.clone(),
            engine: Engine::new(plan.routes, &plan.host, token),
            drops: Drops::default(),
        };
        let mut mailer = Mailer::new(stations, composer, service.outbox.clone(), service.counters.clone());

        spawn("email-collector", ends.clone(), move || {
            while survives("the collector", || collector.run()).is_err() {
                collector.in_hand.store(false, SeqCst);
                collector.counters.failed.one();
            }
        })?;
        let started = spawn("email-mailer", ends, move || {
            while survives("the mailer", || mailer.run()).is_err() {
                mailer.lost_one();
            }
        });
        if let Err(error) = started {
            // Half a service is none: the collector ends.
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
        self.queue.len() + u64::from(self.in_hand.load(SeqCst)) + self.outbox.pending()
    }

    /// Deliver what there is now, do not wait for better times. Any thread, no lock.
    pub fn drain(&self) {
        self.outbox.drain();
    }

    /// Delivers what is pending for at most `bound`, then ends the threads or leaves them behind.
    ///
    /// Returns how many events and mails were left; the log has their number.
    pub fn stop(&self, bound: Duration) -> u64 {
        let deadline = Instant::now() + bound;
        self.outbox.drain();
        self.queue.close();
        // Nothing is ever sent through it: it ends when both threads have.
        let ended = self.ended.recv_deadline(deadline) == Err(RecvTimeoutError::Disconnected);
        self.outbox.abandon();
        let left = self.pending();
        if left > 0 {
            log::error!("stopped with {left} alerts not delivered");
        } else if !ended {
            log::warn!("stopped while the last relay session was still open");
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

/// Runs `work`; a panic in it is logged, and is the caller's to go on from.
fn survives(who: &str, work: impl FnOnce()) -> Result<(), ()> {
    catch_unwind(AssertUnwindSafe(work))
        .map_err(|_| log::error!("a bug ended {who}'s work on one event; it goes on"))
}

/// The collector thread's work: queue → engine → outbox.
struct Collector {
    queue: Arc<Queue>,
    outbox: Arc<Outbox>,
    counters: Arc<Counters>,
    in_hand: Arc<AtomicBool>,
    engine: Engine,
    drops: Drops,
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
    fn run(&mut self) {
        self.queue.collect_here();
        let mut record = Vec::new();
        loop {
            let stopping = self.queue.is_closed();
            self.in_hand.store(true, SeqCst);
            while self.queue.pop(&mut record) {
                self.take(&record);
            }
            self.in_hand.store(false, SeqCst);
            if stopping && self.queue.is_empty() {
                self.count_drops(Duration::ZERO);
                return self.outbox.close();
            }
            let untold = self.count_drops(DROPS_TOLD_EVERY);
            self.queue.sleep_until_pushed(untold);
        }
    }

    fn take(&mut self, record: &[u64]) {
        let Some(change) = Change::read(record) else {
            log::error!("an event made no sense: {:?}", &record[..record.len().min(16)]);
            return self.counters.failed.one();
        };
        #[cfg(feature = "fault-injection")]
        assert!(change.server != "panic-in-the-collector", "asked for");
        self.count_drops(DROPS_TOLD_EVERY);
        for event in change.events() {
            for mail in self.engine.take(event, SystemTime::now()) {
                let copies = mail.to.len() as u64;
                if self.outbox.put(mail, Instant::now()).is_err() {
                    self.counters.failed.many(copies);
                    self.drops.mails += 1;
                }
            }
        }
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
            log::error!("{} mails were dropped: {OUTBOX} are waiting for a relay already", drops.mails);
        }
        *drops = Drops { seen: drops.seen, told: Some(Instant::now()), ..Drops::default() };
        None
    }
}
