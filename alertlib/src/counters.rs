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
