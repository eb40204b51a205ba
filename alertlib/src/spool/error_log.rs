// SPDX-License-Identifier: MIT OR Apache-2.0
//! Log lines about the spool's errors: each error once, and the recovery.

use super::files::Files;
use super::lock;
use crate::text::visible;
use std::collections::BTreeSet;
use std::time::{Duration, Instant};

/// Time without an error after which the recovery is logged.
const RECOVERY: Duration = Duration::from_secs(5);
/// Unusable files that are logged, at most.
const MAX_UNUSABLE: usize = 100;

/// Errors and unusable files that were logged.
#[derive(Default)]
pub(super) struct ErrorLog {
    /// Errors since the last recovery.
    current: BTreeSet<String>,
    last: Option<Instant>,
    /// A write has succeeded since the last error.
    pub works: bool,
    /// The names of unusable files.
    unusable: BTreeSet<String>,
}

impl Files {
    /// Logs an error, unless it was logged since the last recovery.
    pub(super) fn report_error(&self, error: &str) {
        let mut errors = lock(&self.errors);
        (errors.last, errors.works) = (Some(Instant::now()), false);
        if errors.current.insert(error.to_owned()) {
            log::error!("spool {}: {error}", self.directory.path);
        }
    }

    /// Logs the recovery, [`RECOVERY`] after the last error: on a disk that is almost full, writes succeed between errors.
    pub(super) fn report_recovery(&self) {
        let mut errors = lock(&self.errors);
        let is_over = errors.works && errors.last.is_some_and(|last| last.elapsed() >= RECOVERY);
        if is_over && !errors.current.is_empty() {
            errors.current.clear();
            log::info!("spool {}: works again", self.directory.path);
        }
    }

    /// Logs, once for each file, why it is not used.
    pub(super) fn report_unusable(&self, name: &str, why: &str) {
        let mut errors = lock(&self.errors);
        if errors.unusable.len() < MAX_UNUSABLE && errors.unusable.insert(name.to_owned()) {
            log::error!("spool {}: {} is left where it is: {why}", self.directory.path, visible(name));
        }
    }
}
