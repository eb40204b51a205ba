// SPDX-License-Identifier: MIT OR Apache-2.0
//! Counters of the service since the start of the process. They never decrease.

use serde::Serialize;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// A number that never decreases. Any thread may use it.
#[derive(Debug, Default)]
pub struct Counter(AtomicU64);

impl Counter {
    /// Adds 1.
    pub fn one(&self) {
        self.many(1);
    }

    /// Adds `count`.
    pub fn many(&self, count: u64) {
        self.0.fetch_add(count, Relaxed);
    }

    /// Returns the present number.
    pub fn get(&self) -> u64 {
        self.0.load(Relaxed)
    }
}

/// The counters of one service.
#[derive(Debug, Default)]
pub struct Counters {
    /// Events that the ring accepted.
    pub accepted: Counter,
    /// Events that a full ring refused.
    pub dropped: Counter,
    /// Copies of mails (one for each recipient) that a relay accepted.
    pub delivered: Counter,
    /// Copies that failed permanently, expired, or were dropped because of a limit.
    pub failed: Counter,
    /// Copies that failed transiently and are retried, counted at each attempt.
    pub retried: Counter,
}

/// Values of the counters at one time.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Counts {
    /// Events that the ring accepted.
    pub accepted: u64,
    /// Events that a full ring refused.
    pub dropped: u64,
    /// Events and mails that are neither delivered nor given up.
    pub waiting: u64,
    /// Copies (one a recipient) that a relay accepted.
    pub delivered: u64,
    /// Copies of mails that failed permanently, expired, or were dropped because of a limit.
    pub failed: u64,
    /// Copies that are retried, counted at each attempt.
    pub retried: u64,
}

impl Counters {
    /// Returns the present values. `waiting`: events and mails that are neither delivered nor given up. Any thread; never blocks.
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
