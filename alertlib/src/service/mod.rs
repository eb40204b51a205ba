// SPDX-License-Identifier: MIT OR Apache-2.0
//! The life of the library in a process: prepared with what needs root and the file system, started with its threads (the
//! collector, the dispatcher and, with a spool, one that syncs it), drained, stopped.
//!
//! [`Prepared::open`] runs before HAProxy changes its root and its user (and, up to 3.0, before it forks), so it makes
//! no threads. [`Service::start`] runs in the worker, before its RLIMIT_NPROC becomes 0, so that it makes all threads at
//! once and for good: a panic in one of them is caught inside.

mod collector;
mod dispatcher;
mod prewarm;
mod waker;

use crate::counters::Counters;
use crate::engine::{Engine, LONGEST_SILENCE, Silence, TargetId};
use crate::event::{Event, Kind, RawChange, write_report};
use crate::helper::client::{Helper, SharedHelper};
use crate::message::Composer;
use crate::queue::Outbox;
use crate::ring::{Full, Ring, Writer};
use crate::service::collector::{Collector, Shared, internal_error};
use crate::service::dispatcher::{Dispatcher, RelayState};
use crate::service::prewarm::Expectation;
use crate::settings::{Config, OUTBOX, Pattern, Relay, RelayKind};
use crate::spool::{Spool, SpoolDirectory};
use crate::sys::User;
use crate::transport::{Transport, command, file, smtp};
use crossbeam_channel::{Receiver, Sender, bounded};
use nix::sched::{CpuSet, sched_setaffinity};
use nix::sys::signal::{SigSet, SigmaskHow, Signal};
use nix::unistd::Pid;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::thread::Builder;
use std::time::{Duration, Instant, SystemTime};

/// Enough for a TLS handshake in a debug build; only what is touched costs memory.
const STACK: usize = 512 * 1024;

/// What is younger may be lost when the machine loses power.
const SYNC_EVERY: Duration = Duration::from_millis(500);

/// How long a stop waits for threads that have nothing to deliver.
const GOODBYE: Duration = Duration::from_secs(1);

/// Silences that wait for the collector at most.
const SILENCES: usize = 16;

/// A configuration with everything opened that it needs.
pub struct Prepared {
    config: Config,
    relays: Vec<RelayState>,
    composer: Composer,
    spool: Option<SpoolDirectory>,
    /// What does not work, but may work later.
    pub warnings: Vec<String>,
}

/// Looks whether `config` could be carried out, and leaves no trace. Gives what the administrator should see nevertheless.
///
/// # Errors
///
/// What could not work, for the administrator.
pub fn check(config: &Config, user: User) -> Result<Vec<String>, String> {
    let mut warnings = Vec::new();
    if let Some(spool) = &config.spool {
        SpoolDirectory::open(&spool.directory, user.uid, user.gid, spool.max_size)
            .map_err(|why| format!("spool: {why}"))?;
    }
    for relay in &config.relays {
        let judged = match &relay.way {
            RelayKind::File { directory } => file::File::open(directory, user.uid, user.gid).map(|_| None),
            RelayKind::Smtp(place) => smtp::check(place, user),
            RelayKind::Command { .. } => Ok(None),
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
    pub fn open(config: Config, user: User, haproxy: Option<String>) -> Result<Self, String> {
        let mut warnings = Vec::new();
        let mut helper = None;
        let mut relays = Vec::new();
        for relay in &config.relays {
            let transport = open(relay, &config.host, user, &mut helper, &mut warnings)
                .map_err(|why| format!("relay '{}': {why}", relay.name))?;
            relays.push(RelayState::new(&relay.name, transport));
        }
        let composer = Composer::new(&config, haproxy);
        let spool = config.spool.as_ref();
        let spool =
            spool.map(|spool| SpoolDirectory::open(&spool.directory, user.uid, user.gid, spool.max_size));
        let spool = spool.transpose().map_err(|why| format!("spool: {why}"))?;
        Ok(Prepared { config, relays, composer, spool, warnings })
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
        RelayKind::Smtp(place) => {
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
        RelayKind::Command { program, path } => {
            Box::new(command::Command::new(*program, path, relay.timeout, the_helper(helper, user)?))
        }
        RelayKind::File { directory } => Box::new(file::File::open(directory, user.uid, user.gid)?),
    })
}

/// The helper process, which is started when the first relay needs it.
fn the_helper(helper: &mut Option<SharedHelper>, user: User) -> Result<SharedHelper, String> {
    match helper {
        Some(helper) => Ok(helper.clone()),
        None => Ok(helper.insert(Helper::start(user.uid, user.gid)?).clone()),
    }
}

/// A running service: the ring that HAProxy's threads push into, and the threads behind it.
pub struct Service {
    shared: Shared,
    silences: Sender<Silence>,
    /// The ring is in memory that survives the process.
    is_shared: bool,
    /// Disconnected when collector and dispatcher have ended.
    ended: Receiver<()>,
}

impl Service {
    /// Starts the threads.
    ///
    /// # Errors
    ///
    /// The system gives no thread.
    pub fn start(prepared: Prepared) -> io::Result<Self> {
        let Prepared { config, relays, composer, spool, .. } = prepared;
        let micros = SystemTime::UNIX_EPOCH.elapsed().unwrap_or_default().as_micros();
        let token = format!("{micros:x}-{:x}", std::process::id());
        let engine = Engine::new(&config.routes, config.policy, &config.host);
        let (spool, memory) = match spool {
            Some(place) => {
                let (spool, memory) = Spool::start(place, &token, config.queue, &engine.audiences());
                (Some(Arc::new(spool)), memory)
            }
            None => (None, None),
        };
        let (ends, ended) = bounded(0);
        let (silences, wanted_silences) = bounded(SILENCES);
        let is_shared = memory.is_some();
        let shared = Shared {
            ring: Arc::new(memory.map_or_else(|| Ring::new(config.queue), Ring::shared)),
            outbox: Arc::new(Outbox::new(OUTBOX, spool.clone())),
            dispatcher: Arc::default(),
            counters: Arc::default(),
            expectation: Arc::new(Expectation::new()),
            spool,
            unconfirmed_targets: Arc::default(),
        };
        let dispatcher = Dispatcher::new(relays, composer, &shared, &config);
        let collector = Collector::new(shared.clone(), engine, token, wanted_silences);
        let started = start_threads(collector, dispatcher, shared.spool.clone(), ends);
        if let Err(error) = started {
            // A thread that was started ends.
            shared.outbox.abandon();
            shared.dispatcher.wake();
            shared.ring.close();
            return Err(error);
        }
        Ok(Service { shared, silences, is_shared, ended })
    }

    /// Takes one event. Any thread; never blocks, never allocates.
    ///
    /// # Errors
    ///
    /// The ring is full; the event is counted as dropped.
    pub fn push(&self, change: &RawChange) -> Result<(), Full> {
        let now = SystemTime::UNIX_EPOCH.elapsed().unwrap_or_default();
        self.push_record(change.is_urgent(), |writer| change.write(now, writer))
    }

    /// Takes one finished event of a source outside of HAProxy's process. `is_confirmation`: it reports the present state of one of
    /// [`Service::next_unconfirmed`]. Any thread; never blocks, never allocates.
    ///
    /// # Errors
    ///
    /// The queue is full; the event is counted as dropped.
    pub fn report(&self, event: &Event, is_confirmation: bool) -> Result<(), Full> {
        let is_urgent = event.kind == Kind::BackendDown;
        self.push_record(is_urgent, |writer| write_report(event, is_confirmation, writer))
    }

    fn push_record(&self, is_urgent: bool, write: impl FnOnce(&mut Writer)) -> Result<(), Full> {
        let pushed = self.shared.ring.push(write);
        if is_urgent {
            self.shared.ring.wake();
        }
        match pushed {
            Ok(()) => self.shared.counters.accepted.one(),
            Err(Full) => self.shared.counters.dropped.one(),
        }
        pushed
    }

    /// A change may come `within` this time: a relay should be ready for its mail. Any thread; never blocks, never allocates.
    pub fn expect(&self, within: Duration) {
        if self.shared.expectation.expect(within) {
            self.shared.dispatcher.wake();
        }
    }

    /// Does it take no more events? Any thread; never blocks.
    pub fn is_stopped(&self) -> bool {
        self.shared.ring.is_closed()
    }

    /// What was done so far.
    pub fn counters(&self) -> &Counters {
        &self.shared.counters
    }

    /// Events and mails that are neither delivered nor given up. Any thread, no lock.
    pub fn pending(&self) -> u64 {
        // In the direction in which they travel, so that none is overlooked on its way.
        self.shared.ring.len() + self.shared.outbox.pending()
    }

    /// Deliver what there is now, do not wait for better times. Any thread, no lock.
    pub fn drain(&self) {
        self.shared.outbox.drain();
        // Mails wait for a digest in the collector, and for a retry in the outbox.
        self.shared.ring.wake();
        self.shared.dispatcher.wake();
    }

    /// A server, or a backend (without server), of which the library has to know what it is now; `n` counts from 0. Any
    /// thread; never waits: `None` may also mean that nobody can say just now.
    pub fn next_unconfirmed(&self, n: usize) -> Option<TargetId> {
        self.shared.unconfirmed_targets.try_lock().ok()?.get(n).cloned()
    }

    /// Nothing is told of what the pattern is for, for so long. Any thread; never waits.
    ///
    /// # Errors
    ///
    /// Too many want that at once.
    pub fn silence(&self, pattern: Pattern, length: Duration, reason: String) -> Result<(), Full> {
        let until = SystemTime::now() + length.min(LONGEST_SILENCE);
        self.silences.try_send(Silence { pattern, until, reason }).map_err(|_| Full)?;
        self.shared.ring.wake();
        Ok(())
    }

    /// Delivers what is pending for at most `bound`, then ends the threads or leaves them behind.
    ///
    /// Returns how many events and mails were left; the log has their number.
    pub fn stop(&self, bound: Duration) -> u64 {
        self.shared.outbox.drain();
        self.shared.dispatcher.wake();
        self.shared.ring.close();
        // With nothing pending, the dispatcher at most ends a session, or opens one that is not needed.
        let bound = if self.pending() == 0 { bound.min(GOODBYE) } else { bound };
        let deadline = Instant::now() + bound;
        // Nothing is ever sent through the channel: it is disconnected when collector and dispatcher have ended.
        let _ = self.ended.recv_deadline(deadline);
        self.shared.outbox.abandon();
        self.shared.dispatcher.wake();
        let left = self.pending();
        let lost = self.shared.outbox.unstored() + if self.is_shared { 0 } else { self.shared.ring.len() };
        if left > lost {
            log::warn!("stopped with {} alerts left in the spool for the next process", left - lost);
        }
        if lost > 0 {
            log::error!("stopped with {lost} alerts not delivered");
        }
        if let Some(spool) = &self.shared.spool {
            spool.end(self.shared.ring.is_empty(), self.shared.outbox.pending() == 0);
        }
        left
    }
}

/// Starts the collector, the dispatcher and, with a spool, the thread that syncs it.
fn start_threads(
    collector: Collector,
    dispatcher: Dispatcher,
    spool: Option<Arc<Spool>>,
    ends: Sender<()>,
) -> io::Result<()> {
    spawn("email-alert-dis", ends.clone(), move || dispatcher.run())?;
    spawn("email-alert-col", ends, move || collector.run())?;
    let Some(spool) = spool else { return Ok(()) };
    // Its end is not waited for: a sync takes as long as the disk takes.
    spawn("email-spool", bounded(0).0, move || {
        loop {
            std::thread::sleep(SYNC_EVERY);
            if catch_unwind(AssertUnwindSafe(|| spool.sync())).is_err() {
                log::error!("{}", internal_error("spool", "one sync skipped"));
            }
        }
    })
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
