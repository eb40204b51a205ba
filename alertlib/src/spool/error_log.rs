// SPDX-License-Identifier: MIT OR Apache-2.0
//! What the log is told of the spool's troubles: each once, and when all are over.

use super::{Spool, lock};
use std::collections::BTreeSet;
use std::time::{Duration, Instant};

/// Trouble is over when there was none for so long.
const CALM: Duration = Duration::from_secs(5);
/// Files of which the log says that they are left where they are.
const LEFT: usize = 100;

/// What the log has of its troubles.
#[derive(Default)]
pub(super) struct ErrorLog {
    /// Each of them, until all are over.
    troubles: BTreeSet<String>,
    /// When the last one was seen, and whether something has gone well since.
    last: Option<Instant>,
    pub(super) works: bool,
    /// Files that stay where they are, and why: said once.
    left: BTreeSet<String>,
}

impl Spool {
    /// Logs a trouble when it begins.
    pub(super) fn report_error(&self, words: &str) {
        let mut told = lock(&self.told);
        (told.last, told.works) = (Some(Instant::now()), false);
        if told.troubles.insert(words.to_owned()) {
            log::error!("spool {}: {words}", self.place.path);
        }
    }

    /// Logs the end of all troubles: not at the first success, which may be one of many that come and go when a disk is
    /// almost full.
    pub fn tell_when_it_works(&self) {
        let mut told = lock(&self.told);
        let calm = told.works && told.last.is_some_and(|last| last.elapsed() >= CALM);
        if calm && !told.troubles.is_empty() {
            told.troubles.clear();
            log::info!("spool {}: works again", self.place.path);
        }
    }

    /// Logs once of a file why it stays where it is.
    pub(super) fn report_unusable(&self, name: &str, why: &str) {
        let mut told = lock(&self.told);
        if told.left.len() < LEFT && told.left.insert(name.to_owned()) {
            log::error!(
                "spool {}: {} is left where it is: {why}",
                self.place.path,
                crate::text::visible(name)
            );
        }
    }
}
