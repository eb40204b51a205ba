// SPDX-License-Identifier: MIT OR Apache-2.0
//! Silences: what somebody does not want to hear of for a time. What happens meanwhile is told at their end.

use super::target::TargetId;
use crate::settings::Pattern;
use std::time::{Duration, SystemTime};

/// Silences at a time; more are refused.
pub const MOST: usize = 100;
/// The longest one.
pub const LONGEST: Duration = Duration::from_secs(30 * 24 * 3600);

/// What somebody does not want to hear of for a time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Silence {
    /// Of what.
    pub pattern: Pattern,
    /// Its end.
    pub until: SystemTime,
    /// Why, for the mail at its end.
    pub reason: String,
}

/// Those that are kept.
#[derive(Debug, Clone, Default)]
pub struct Silences(Vec<Silence>);

impl Silences {
    /// One more, instead of the one with the same pattern; false: there are too many.
    pub fn add(&mut self, silence: Silence) -> bool {
        self.0.retain(|other| other.pattern != silence.pattern);
        let fits = self.0.len() < MOST;
        if fits {
            self.0.push(silence);
        }
        fits
    }

    /// All of them.
    pub fn all(&self) -> &[Silence] {
        &self.0
    }

    /// Does somebody not want to hear of this?
    pub fn cover(&self, name: &TargetId) -> bool {
        self.0.iter().any(|silence| silence.pattern.matches(&name.proxy, name.server.as_deref()))
    }

    /// When the first one ends.
    pub fn end(&self) -> Option<SystemTime> {
        self.0.iter().map(|silence| silence.until).min()
    }

    /// Removes those that are over.
    pub fn over(&mut self, now: SystemTime) -> Vec<Silence> {
        // Whatever the clock does: none is longer than the longest.
        let is_over = |silence: &Silence| {
            silence.until <= now || silence.until.duration_since(now).is_ok_and(|left| left > LONGEST)
        };
        let (over, rest) = std::mem::take(&mut self.0).into_iter().partition(is_over);
        self.0 = rest;
        over
    }
}
