// SPDX-License-Identifier: MIT OR Apache-2.0
//! Log lines about the spool's errors: each error once, and their end.

use super::files::Files;
use super::lock;
use crate::text::visible;
use std::collections::BTreeSet;
use std::time::{Duration, Instant};

/// Time without an error after which the spool is said to work again.
const RECOVERY: Duration = Duration::from_secs(5);
/// Files in the spool that the log names as unusable, at most.
const MOST_UNUSABLE: usize = 100;

/// The errors that the log has.
#[derive(Default)]
pub(super) struct ErrorLog {
    /// Until all of them are over.
    current: BTreeSet<String>,
    last: Option<Instant>,
    /// A write has succeeded since the last error.
    pub works: bool,
    /// The names of unusable files.
    unusable: BTreeSet<String>,
}

impl Files {
    /// Logs an error when it begins.
    pub(super) fn report_error(&self, words: &str) {
        let mut errors = lock(&self.errors);
        (errors.last, errors.works) = (Some(Instant::now()), false);
        if errors.current.insert(words.to_owned()) {
            log::error!("spool {}: {words}", self.place.path);
        }
    }

    /// Logs the end of all errors. Not at the first success: when a disk is almost full, errors come and go.
    pub(super) fn report_recovery(&self) {
        let mut errors = lock(&self.errors);
        let is_over = errors.works && errors.last.is_some_and(|last| last.elapsed() >= RECOVERY);
        if is_over && !errors.current.is_empty() {
            errors.current.clear();
            log::info!("spool {}: works again", self.place.path);
        }
    }

    /// Logs, once a file, why it stays where it is.
    pub(super) fn report_unusable(&self, name: &str, why: &str) {
        let mut errors = lock(&self.errors);
        if errors.unusable.len() < MOST_UNUSABLE && errors.unusable.insert(name.to_owned()) {
            log::error!("spool {}: {} is left where it is: {why}", self.place.path, visible(name));
        }
    }
}
