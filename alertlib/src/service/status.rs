// SPDX-License-Identifier: MIT OR Apache-2.0
//! The service's status: one snapshot that every view reads (runtime commands, C ABI, metrics).
//!
//! The counters are atomics. Everything else is published as a whole by the thread that owns it: the dispatcher publishes the
//! relays, the collector the silences and the unconfirmed targets. A publisher holds the lock only while it swaps a pointer, and a
//! reader never blocks on it: HAProxy's threads are among the readers.

use crate::counters::Counts;
use crate::engine::{Silence, TargetId};
use crate::settings::Pattern;
use serde::{Serialize, Serializer};
use std::sync::{Arc, Mutex, PoisonError, TryLockError};
use std::time::{Duration, SystemTime};

/// Attempts of a reader to get the lock. A publisher needs some nanoseconds, unless it is descheduled just then.
const READ_ATTEMPTS: u32 = 1000;

/// The status at one moment.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Status {
    /// Events and mails since the start.
    #[serde(flatten)]
    pub counts: Counts,
    /// The relays, in the order in which they are tried.
    pub relays: Arc<Vec<RelayStatus>>,
    /// The silences that have not ended.
    #[serde(serialize_with = "with_seconds")]
    pub silences: Arc<Vec<Silence>>,
}

/// A relay's status.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct RelayStatus {
    /// The relay's name in the configuration.
    pub name: String,
    /// The result of the last attempt.
    #[serde(flatten)]
    pub health: RelayHealth,
    /// The last error that was logged, until the relay works again: the step, the peer, and the peer's text.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_error: Option<String>,
}

/// A relay's health, by its last attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(tag = "health", rename_all = "kebab-case")]
pub enum RelayHealth {
    /// No mail was offered to it yet, and no session opened.
    Untried,
    /// It answered at the last attempt, even if it did not take that mail: [`RelayStatus::last_error`] says why.
    Working,
    /// It could not be reached, or did not answer, at the last attempt.
    BackingOff {
        /// Time of the next attempt, unless another relay fails before.
        #[serde(rename = "retry_in", serialize_with = "seconds_until")]
        until: SystemTime,
    },
}

/// Values that the collector and the dispatcher publish.
#[derive(Default)]
pub struct StatusBoard {
    /// By the dispatcher.
    pub relays: Published<Vec<RelayStatus>>,
    /// By the collector.
    pub silences: Published<Vec<Silence>>,
    /// Targets whose present state HAProxy is asked for. By the collector.
    pub unconfirmed: Published<Vec<TargetId>>,
}

/// A value that one thread replaces and other threads read.
#[derive(Default)]
pub struct Published<T>(Mutex<Arc<T>>);

impl<T> Published<T> {
    /// Replaces the value. By the thread that owns it only.
    pub fn publish(&self, value: T) {
        let value = Arc::new(value);
        let old = std::mem::replace(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner), value);
        // Freed after the lock is released.
        drop(old);
    }

    /// Returns the value. Any thread; never blocks. `None`: the thread that publishes was descheduled; the caller may retry.
    pub fn read(&self) -> Option<Arc<T>> {
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

/// Serializes the time until `when`, rounded to seconds; zero when it has passed.
fn seconds_until<S: Serializer>(when: &SystemTime, serializer: S) -> Result<S::Ok, S::Error> {
    let time = when.duration_since(SystemTime::now()).unwrap_or_default();
    serializer.serialize_u64((time + Duration::from_millis(500)).as_secs())
}

/// Serializes silences with the time until their end.
fn with_seconds<S: Serializer>(silences: &[Silence], serializer: S) -> Result<S::Ok, S::Error> {
    #[derive(Serialize)]
    struct View<'a> {
        pattern: &'a Pattern,
        #[serde(rename = "ends_in", serialize_with = "seconds_until")]
        until: &'a SystemTime,
        reason: &'a str,
    }
    serializer.collect_seq(silences.iter().map(|Silence { pattern, until, reason }| View {
        pattern,
        until,
        reason,
    }))
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
            scope.spawn(|| (1..2000).for_each(|n| board.relays.publish(relays(n % 7))));
            for _ in 0..2000 {
                let Some(published) = board.relays.read() else { continue };
                assert_eq!(*published, relays(published.len()));
            }
        });
    }
}
