// SPDX-License-Identifier: MIT OR Apache-2.0
//! What was done so far, in numbers. All of them only grow, from the start of the process on.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// One number that only grows.
#[derive(Debug, Default)]
pub struct Counter(AtomicU64);

impl Counter {
    /// Counts one more.
    pub fn one(&self) {
        self.many(1);
    }

    /// Counts `count` more.
    pub fn many(&self, count: u64) {
        self.0.fetch_add(count, Relaxed);
    }

    /// The number now.
    pub fn get(&self) -> u64 {
        self.0.load(Relaxed)
    }
}

/// The counters of one service.
#[derive(Debug, Default)]
pub struct Counters {
    /// Events that the queue took.
    pub accepted: Counter,
    /// Events that it refused, because it was full.
    pub dropped: Counter,
    /// Copies (one for each recipient) that a relay has taken.
    pub delivered: Counter,
    /// Copies that were refused for good, given up, or lost to a bound.
    pub failed: Counter,
    /// Copies that are to be tried again, counted at each attempt.
    pub retried: Counter,
}

/// The counters at one moment.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    /// Events that the ring accepted.
    pub accepted: u64,
    /// Events that the ring refused, because it was full.
    pub dropped: u64,
    /// Events and mails that are neither delivered nor given up.
    pub waiting: u64,
    /// Copies (one a recipient) that a relay accepted.
    pub delivered: u64,
    /// Copies that were refused permanently, given up, or lost to a limit.
    pub failed: u64,
    /// Copies that are retried, counted at each attempt.
    pub retried: u64,
}

impl Counters {
    /// The counters now. Any thread; never waits.
    pub fn counts(&self, waiting: u64) -> Counts {
        Counts {
            accepted: self.accepted.get(),
            dropped: self.dropped.get(),
            waiting,
            delivered: self.delivered.get(),
            failed: self.failed.get(),
            retried: self.retried.get(),
        }
    }
}
