// SPDX-License-Identifier: MIT OR Apache-2.0
//! The service: prepared (root and the file system are still available), started with its threads (the collector, the dispatcher
//! and, with a spool, one that syncs it), drained, stopped.
//!
//! [`Prepared::open`] runs before HAProxy changes its root and its user (and, up to 3.0, before it forks), so it starts no threads.
//! [`Service::start`] runs in the worker, before its RLIMIT_NPROC becomes 0, so it starts all threads at once, and no thread is
//! replaced: a panic is caught inside the thread.

mod collector;
mod command;
mod dispatcher;
mod prepare;
mod prewarm;
mod status;
mod steps;
mod threads;
mod waker;

pub use command::{Answer, CommandError, USAGES};
pub use prepare::{Prepared, check};
pub use status::{RelayHealth, RelayStatus, Status};

use crate::counters::Counts;
use crate::engine::{Engine, Silence, TargetId};
use crate::event::{Event, Kind, RawChange, Report};
use crate::queue::{Limits, RamStore, Store};
use crate::ring::{Full, Ring, Writer};
use crate::service::collector::{Collector, Shared};
use crate::service::dispatcher::Dispatcher;
use crate::service::prewarm::Prewarm;
use crate::service::status::StatusBoard;
use crate::spool::FileStore;
use crossbeam_channel::{Receiver, Sender, bounded};
use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

/// Longest wait of [`Service::stop`] for threads that have nothing to deliver.
const IDLE_STOP: Duration = Duration::from_secs(1);

/// Silences that wait for the collector, at most.
const MAX_PENDING_SILENCES: usize = 16;

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
            Some(directory) => {
                let audiences = engine.audiences();
                let (store, memory) = FileStore::start(directory, &token, config.queue, &audiences, limits);
                (Arc::new(store), memory)
            }
            None => (Arc::new(RamStore::new(limits)), None),
        };
        let (ends, ended) = bounded(0);
        let (silences, new_silences) = bounded(MAX_PENDING_SILENCES);
        let is_shared = memory.is_some();
        let shared = Shared {
            ring: Arc::new(memory.map_or_else(|| Ring::new(config.queue), Ring::shared)),
            store,
            schedule: Arc::default(),
            dispatcher: Arc::default(),
            counters: Arc::default(),
            prewarm: Arc::new(Prewarm::new()),
            board: Arc::default(),
            transactions: Arc::default(),
        };
        let dispatcher = Dispatcher::new(relays, composer, shared.clone(), &config);
        let collector = Collector::new(shared.clone(), engine, token, new_silences);
        let started = threads::start(collector, dispatcher, shared.store.clone(), ends);
        if let Err(error) = started {
            // Ends the thread that was started.
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

    /// Takes one finished event of a source outside of HAProxy's process. `is_confirmation`: it reports the present state of a target
    /// that [`Service::next_unconfirmed`] returned. Any thread; never blocks.
    ///
    /// # Errors
    ///
    /// The ring is full; the event is counted as dropped.
    pub fn report(&self, event: &Event, is_confirmation: bool) -> Result<(), Full> {
        let report = Report::new(event, is_confirmation);
        self.push_record(event.kind == Kind::BackendDown, |writer| report.write(writer))
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

    /// Hints that a change may come `within` this time, so that a session is opened for its mail: see [`Prewarm`]. Any thread; never
    /// blocks, never allocates.
    pub fn prewarm(&self, within: Duration) {
        if self.shared.prewarm.hint(within) {
            self.shared.dispatcher.wake();
        }
    }

    /// True if no more events are accepted. Any thread; never blocks.
    pub fn is_stopped(&self) -> bool {
        self.shared.ring.is_closed()
    }

    /// Returns the counters. Any thread; never blocks.
    pub fn counts(&self) -> Counts {
        self.shared.counters.counts(self.undelivered())
    }

    /// Events and mails that are neither delivered nor given up. Any thread, no lock.
    fn undelivered(&self) -> u64 {
        // The ring is read first: the collector commits an event's mails before it releases the event, so none is missed.
        self.shared.ring.len() + self.shared.store.len()
    }

    /// Events and mails for which the end of the process waits: all that are not delivered, or after [`Service::terminate`] those that
    /// are not in the spool, and a transaction that is under way. Any thread, no lock.
    pub fn pending(&self) -> u64 {
        let Shared { ring, store, transactions, .. } = &self.shared;
        match transactions.is_closed() {
            false => self.undelivered(),
            true => ring.len() + store.volatile() + u64::from(transactions.is_under_way()),
        }
    }

    /// Makes the process ready to end by SIGTERM. With a spool: all pending events become mails in files, and no transaction with a relay
    /// begins any more. Without one, or while it cannot be written: as [`Service::drain`]. Any thread, no lock.
    pub fn terminate(&self) {
        let Shared { store, transactions, .. } = &self.shared;
        if store.is_durable() {
            transactions.close();
            // Read after the close: the collector opens after it has stored a mail that no file takes, so one of the two opens.
            if store.volatile() > 0 {
                transactions.open();
            }
        }
        self.drain();
    }

    /// Makes all pending events and mails due at once. Any thread, no lock.
    pub fn drain(&self) {
        self.shared.schedule.drain();
        // Both have pending work: digests in the collector, retries in the schedule.
        self.shared.ring.wake();
        self.shared.dispatcher.wake();
    }

    /// Returns the unconfirmed target number `n`, from 0: a server, or a backend (without server), whose present state the library
    /// needs. Any thread; never blocks: `None` also stands for a list that is just being published.
    pub fn next_unconfirmed(&self, n: usize) -> Option<TargetId> {
        self.shared.board.unconfirmed.read()?.get(n).cloned()
    }

    /// Returns the status. Any thread; never blocks. `None`: a thread that publishes was descheduled; the caller may retry.
    pub fn status(&self) -> Option<Status> {
        let StatusBoard { relays, silences, .. } = &*self.shared.board;
        Some(Status { counts: self.counts(), relays: relays.read()?, silences: silences.read()? })
    }

    /// Delivers what is pending for at most `bound`, then ends the threads, or abandons one that is still busy. Returns the number of
    /// pending events and mails, which is logged, too.
    pub fn stop(&self, bound: Duration) -> u64 {
        self.shared.schedule.drain();
        self.shared.dispatcher.wake();
        self.shared.ring.close();
        // With nothing pending, the dispatcher at most closes a session, or opens one that is not needed.
        let bound = if self.pending() == 0 { bound.min(IDLE_STOP) } else { bound };
        let deadline = Instant::now() + bound;
        // Nothing is ever sent through the channel: it is disconnected when collector and dispatcher have ended.
        let _ = self.ended.recv_deadline(deadline);
        self.shared.schedule.abandon();
        self.shared.dispatcher.wake();
        let pending = self.undelivered();
        let lost = self.shared.store.volatile() + if self.is_shared { 0 } else { self.shared.ring.len() };
        if pending > lost {
            log::warn!("stopped with {} alerts left in the spool for the next process", pending - lost);
        }
        if lost > 0 {
            log::error!("stopped with {lost} alerts not delivered");
        }
        self.shared.store.end(self.shared.ring.is_empty());
        pending
    }
}
