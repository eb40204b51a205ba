// SPDX-License-Identifier: MIT OR Apache-2.0
//! The life of the library in a process: prepared with what needs root and the file system, started with its threads (the
//! collector, the dispatcher and, with a spool, one that syncs it), drained, stopped.
//!
//! [`Prepared::open`] runs before HAProxy changes its root and its user (and, up to 3.0, before it forks), so it makes
//! no threads. [`Service::start`] runs in the worker, before its RLIMIT_NPROC becomes 0, so that it makes all threads at
//! once and for good: a panic in one of them is caught inside.

mod collector;
mod command;
mod dispatcher;
mod prepare;
mod prewarm;
mod status;
mod threads;
mod waker;

pub use command::{Answer, CommandError, USAGES};
pub use prepare::{Prepared, check};
pub use status::{RelayHealth, RelayStatus, Status};

use crate::counters::Counts;
use crate::engine::{Engine, Silence, TargetId};
use crate::event::{Event, Kind, RawChange, write_report};
use crate::queue::{Limits, RamStore, Schedule, Store};
use crate::ring::{Full, Ring, Writer};
use crate::service::collector::{Collector, Shared};
use crate::service::dispatcher::Dispatcher;
use crate::service::prewarm::Prewarm;
use crate::spool::FileStore;
use crossbeam_channel::{Receiver, Sender, bounded};
use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

/// How long [`Service::stop`] waits for threads that have nothing to deliver.
const IDLE_STOP: Duration = Duration::from_secs(1);

/// Silences that wait for the collector, at most.
const SILENCES: usize = 16;

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
        let limits = Limits::default();
        let (store, memory): (Arc<dyn Store>, _) = match spool {
            Some(place) => {
                let audiences = engine.audiences();
                let (store, memory) = FileStore::start(place, &token, config.queue, &audiences, limits);
                (Arc::new(store), memory)
            }
            None => (Arc::new(RamStore::new(limits)), None),
        };
        let (ends, ended) = bounded(0);
        let (silences, wanted_silences) = bounded(SILENCES);
        let is_shared = memory.is_some();
        let shared = Shared {
            ring: Arc::new(memory.map_or_else(|| Ring::new(config.queue), Ring::shared)),
            store,
            schedule: Arc::new(Schedule::new()),
            dispatcher: Arc::default(),
            counters: Arc::default(),
            prewarm: Arc::new(Prewarm::new()),
            board: Arc::default(),
        };
        let dispatcher = Dispatcher::new(relays, composer, &shared, &config);
        let collector = Collector::new(shared.clone(), engine, token, wanted_silences);
        let started = threads::start(collector, dispatcher, shared.store.clone(), ends);
        if let Err(error) = started {
            // A thread that was started ends.
            shared.schedule.abandon();
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

    /// A change may come `within` this time, so that a session should be open for its mail: see [`Prewarm`]. Any thread; never
    /// blocks, never allocates.
    pub fn prewarm(&self, within: Duration) {
        if self.shared.prewarm.hint(within) {
            self.shared.dispatcher.wake();
        }
    }

    /// Does it take no more events? Any thread; never blocks.
    pub fn is_stopped(&self) -> bool {
        self.shared.ring.is_closed()
    }

    /// The counters now. Any thread; never waits.
    pub fn counts(&self) -> Counts {
        self.shared.counters.counts(self.pending())
    }

    /// Events and mails that are neither delivered nor given up. Any thread, no lock.
    pub fn pending(&self) -> u64 {
        // In the direction in which they travel: the collector commits the mails of an event before it releases the event.
        self.shared.ring.len() + self.shared.store.len()
    }

    /// Deliver what there is now, do not wait for better times. Any thread, no lock.
    pub fn drain(&self) {
        self.shared.schedule.drain();
        // Mails wait for a digest in the collector, and for a retry in the schedule.
        self.shared.ring.wake();
        self.shared.dispatcher.wake();
    }

    /// A server, or a backend (without server), of which the library has to know what it is now; `n` counts from 0. Any
    /// thread; never waits: `None` may also mean that nobody can say just now.
    pub fn next_unconfirmed(&self, n: usize) -> Option<TargetId> {
        self.shared.board.unconfirmed(n)
    }

    /// Adds a silence. Any thread; never waits.
    ///
    /// # Errors
    ///
    /// Too many were added at once.
    fn silence(&self, silence: Silence) -> Result<(), Full> {
        self.silences.try_send(silence).map_err(|_| Full)?;
        self.shared.ring.wake();
        Ok(())
    }

    /// The status now. Any thread; never waits. `None`: a thread that publishes was descheduled; the caller may ask again.
    pub fn status(&self) -> Option<Status> {
        self.shared.board.status(self.counts())
    }

    /// Delivers what is pending for at most `bound`, then ends the threads or leaves them behind.
    ///
    /// Returns how many events and mails were left; the log has their number.
    pub fn stop(&self, bound: Duration) -> u64 {
        self.shared.schedule.drain();
        self.shared.dispatcher.wake();
        self.shared.ring.close();
        // With nothing pending, the dispatcher at most ends a session, or opens one that is not needed.
        let bound = if self.pending() == 0 { bound.min(IDLE_STOP) } else { bound };
        let deadline = Instant::now() + bound;
        // Nothing is ever sent through the channel: it is disconnected when collector and dispatcher have ended.
        let _ = self.ended.recv_deadline(deadline);
        self.shared.schedule.abandon();
        self.shared.dispatcher.wake();
        let left = self.pending();
        let lost = self.shared.store.volatile() + if self.is_shared { 0 } else { self.shared.ring.len() };
        if left > lost {
            log::warn!("stopped with {} alerts left in the spool for the next process", left - lost);
        }
        if lost > 0 {
            log::error!("stopped with {lost} alerts not delivered");
        }
        self.shared.store.end(self.shared.ring.is_empty());
        left
    }
}
