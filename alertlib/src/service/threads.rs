// SPDX-License-Identifier: MIT OR Apache-2.0
//! The threads of the service: names, stacks, signals, processors.

use super::collector::Collector;
use super::dispatcher::Dispatcher;
use super::steps::{internal_error, run};
use crate::queue::Store;
use crossbeam_channel::{Sender, bounded};
use nix::sched::{CpuSet, sched_setaffinity};
use nix::sys::signal::{SigSet, SigmaskHow, Signal};
use nix::unistd::Pid;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::thread::Builder;
use std::time::Duration;

/// Stack of each thread, in bytes: enough for a TLS handshake in a debug build. Only touched pages take memory.
const STACK: usize = 512 * 1024;

/// Interval between syncs of the spool. Younger files may be lost when the machine loses power.
const SYNC_INTERVAL: Duration = Duration::from_millis(500);

/// Starts the collector, the dispatcher and, with a spool, the thread that syncs it. `ends`: dropped by the collector and the
/// dispatcher when they end.
pub(super) fn start(
    collector: Collector,
    dispatcher: Dispatcher,
    store: Arc<dyn Store>,
    ends: Sender<()>,
) -> io::Result<()> {
    spawn("email-alert-dis", ends.clone(), move || {
        dispatcher.register();
        run(dispatcher);
    })?;
    spawn("email-alert-col", ends, move || run(collector))?;
    if !store.is_durable() {
        return Ok(());
    }
    // `Service::stop` does not wait for this thread: a sync takes as long as the disk takes.
    spawn("email-spool", bounded(0).0, move || {
        loop {
            std::thread::sleep(SYNC_INTERVAL);
            if catch_unwind(AssertUnwindSafe(|| store.sync())).is_err() {
                log::error!("{}", internal_error("spool", "one sync skipped"));
            }
        }
    })
}

/// Starts a thread that blocks the process's signals and may run on any processor.
fn spawn(name: &str, end: Sender<()>, work: impl FnOnce() + Send + 'static) -> io::Result<()> {
    // HAProxy's threads handle HAProxy's signals. Signals of a fault (SIGSEGV, ...) must not be blocked.
    let mut blocked = SigSet::all();
    for fault in [Signal::SIGSEGV, Signal::SIGBUS, Signal::SIGFPE, Signal::SIGILL, Signal::SIGABRT] {
        blocked.remove(fault);
    }
    let before = blocked.thread_swap_mask(SigmaskHow::SIG_SETMASK).map_err(io::Error::from)?;
    let spawned = Builder::new().name(name.to_owned()).stack_size(STACK).spawn(move || {
        allow_all_processors();
        work();
        drop(end);
    });
    let restored = before.thread_set_mask().map_err(io::Error::from);
    spawned.map(drop).and(restored)
}

/// Removes the processor affinity that is inherited from the starting thread: `cpu-map` is meant for HAProxy's traffic.
fn allow_all_processors() {
    let mut all = CpuSet::new();
    for processor in 0..CpuSet::count() {
        // Fails only for numbers beyond the set.
        let _ = all.set(processor);
    }
    // Where a seccomp filter forbids it, the thread keeps the affinity.
    let _ = sched_setaffinity(Pid::from_raw(0), &all);
}
