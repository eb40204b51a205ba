// SPDX-License-Identifier: MIT OR Apache-2.0
//! Silences: targets whose changes are held back for a time. A mail at the end of the silence names the changes.

use super::target_id::TargetId;
use crate::settings::Pattern;
use crate::wire::nanos;
use serde::{Deserialize, Serialize};
use std::time::{Duration, SystemTime};

/// Silences that are active at a time; further ones are refused.
pub const MAX_SILENCES: usize = 100;
/// Longest silence: 30 days.
pub const MAX_LENGTH: Duration = Duration::from_secs(30 * 24 * 3600);

/// A silence: the changes of some targets are held back for a time.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Silence {
    /// The silenced targets.
    pub pattern: Pattern,
    /// The end of the silence, at most [`MAX_LENGTH`] ahead.
    #[serde(with = "nanos")]
    pub until: SystemTime,
    /// The administrator's reason, quoted in the mail at the end.
    pub reason: String,
}

impl Silence {
    /// Returns true if the silence covers this target.
    pub fn covers(&self, target: &TargetId) -> bool {
        self.pattern.matches(&target.proxy, target.server.as_deref())
    }
}

/// The active silences, [`MAX_SILENCES`] at most.
#[derive(Debug, Clone, Default)]
pub struct Silences(Vec<Silence>);

impl Silences {
    /// Adds a silence; it replaces a silence with the same pattern. Returns false if [`MAX_SILENCES`] are active already.
    pub fn add(&mut self, silence: Silence) -> bool {
        self.0.retain(|other| other.pattern != silence.pattern);
        let fits = self.0.len() < MAX_SILENCES;
        if fits {
            self.0.push(silence);
        }
        fits
    }

    /// Active silences, the oldest first.
    pub fn all(&self) -> &[Silence] {
        &self.0
    }

    /// Returns true if a silence covers this target.
    pub fn is_silenced(&self, target: &TargetId) -> bool {
        self.0.iter().any(|silence| silence.covers(target))
    }

    /// Returns the earliest end of an active silence.
    pub fn next_end(&self) -> Option<SystemTime> {
        self.0.iter().map(|silence| silence.until).min()
    }

    /// Removes and returns the silences that have ended.
    pub fn take_ended(&mut self, now: SystemTime) -> Vec<Silence> {
        // An end more than MAX_LENGTH ahead means that the clock was set back: such a silence ends now.
        let has_ended = |silence: &Silence| {
            silence.until <= now || silence.until.duration_since(now).is_ok_and(|left| left > MAX_LENGTH)
        };
        let (ended, active) = std::mem::take(&mut self.0).into_iter().partition(has_ended);
        self.0 = active;
        ended
    }
}
