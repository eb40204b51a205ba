// SPDX-License-Identifier: MIT OR Apache-2.0
//! The service's status: one snapshot that every view reads (runtime commands, C ABI, metrics).
//!
//! The counters are atomics. Everything else is published as a whole by the thread that owns it: the dispatcher publishes the
//! relays, the collector the silences and the unconfirmed targets. A publisher holds the lock only while it swaps a pointer, and a
//! reader never blocks on it: HAProxy's threads are among the readers.

use crate::counters::Counts;
use crate::engine::{Silence, TargetId};
use std::sync::{Arc, Mutex, PoisonError, TryLockError};
use std::time::{Duration, SystemTime};

/// Attempts of a reader to get the lock. A publisher needs some nanoseconds, unless it is descheduled just then.
const READ_ATTEMPTS: u32 = 1000;

/// The status at one moment.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Status {
    /// Events and mails since the start.
    pub counts: Counts,
    /// The relays, in the order in which they are tried.
    pub relays: Arc<Vec<RelayStatus>>,
    /// The silences that have not ended.
    pub silences: Arc<Vec<Silence>>,
}

/// A relay's status.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RelayStatus {
    /// The relay's name in the configuration.
    pub name: String,
    /// The result of the last attempt.
    pub health: RelayHealth,
    /// The last error that was logged, until the relay works again: the step, the peer, and the peer's text.
    pub last_error: Option<String>,
}

/// A relay's health, by its last attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RelayHealth {
    /// No mail was offered to it yet, and no session opened.
    Untried,
    /// It answered at the last attempt, even if it did not take that mail: [`RelayStatus::last_error`] says why.
    Working,
    /// It could not be reached, or did not answer, at the last attempt; the next one is at this time, or when another relay fails.
    BackingOff(SystemTime),
}

impl RelayHealth {
    /// Returns the name in text and JSON.
    pub fn word(self) -> &'static str {
        match self {
            RelayHealth::Untried => "untried",
            RelayHealth::Working => "working",
            RelayHealth::BackingOff(_) => "backing-off",
        }
    }
}

/// Values that the collector and the dispatcher publish.
#[derive(Default)]
pub struct StatusBoard {
    relays: Published<Vec<RelayStatus>>,
    silences: Published<Vec<Silence>>,
    unconfirmed: Published<Vec<TargetId>>,
}

impl StatusBoard {
    /// By the dispatcher only.
    pub fn publish_relays(&self, relays: Vec<RelayStatus>) {
        self.relays.publish(relays);
    }

    /// By the collector only.
    pub fn publish_silences(&self, silences: Vec<Silence>) {
        self.silences.publish(silences);
    }

    /// Publishes the targets whose present state HAProxy is asked for. By the collector only.
    pub fn publish_unconfirmed(&self, targets: Vec<TargetId>) {
        self.unconfirmed.publish(targets);
    }

    /// Returns the unconfirmed target number `n`, from 0. Any thread; never blocks: `None` also stands for a list that is just being
    /// published.
    pub fn unconfirmed(&self, n: usize) -> Option<TargetId> {
        self.unconfirmed.read()?.get(n).cloned()
    }

    /// Returns the status. Any thread; never blocks. `None`: a thread that publishes was descheduled; the caller may retry.
    pub fn status(&self, counts: Counts) -> Option<Status> {
        Some(Status { counts, relays: self.relays.read()?, silences: self.silences.read()? })
    }
}

/// A value that one thread replaces and other threads read.
#[derive(Default)]
struct Published<T>(Mutex<Arc<T>>);

impl<T> Published<T> {
    fn publish(&self, value: T) {
        let value = Arc::new(value);
        let old = std::mem::replace(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner), value);
        // Freed after the lock is released.
        drop(old);
    }

    fn read(&self) -> Option<Arc<T>> {
        for _ in 0..READ_ATTEMPTS {
            match self.0.try_lock() {
                Ok(value) => return Some(value.clone()),
                Err(TryLockError::Poisoned(value)) => return Some(value.into_inner().clone()),
                Err(TryLockError::WouldBlock) => std::hint::spin_loop(),
            }
        }
        None
    }
}

/// The time until `when`, rounded to seconds; zero when it has passed.
pub(super) fn seconds_until(when: SystemTime, now: SystemTime) -> u64 {
    (when.duration_since(now).unwrap_or_default() + Duration::from_millis(500)).as_secs()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn readers_see_whole_values_while_they_are_replaced() {
        let board = StatusBoard::default();
        let relays = |n: usize| {
            let name = format!("relay {n}");
            vec![RelayStatus { name, health: RelayHealth::Working, last_error: None }; n]
        };
        std::thread::scope(|scope| {
            scope.spawn(|| (1..2000).for_each(|n| board.publish_relays(relays(n % 7))));
            for _ in 0..2000 {
                let Some(status) = board.status(Counts::default()) else { continue };
                assert_eq!(*status.relays, relays(status.relays.len()));
            }
        });
    }
}
