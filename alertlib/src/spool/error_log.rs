// SPDX-License-Identifier: MIT OR Apache-2.0
//! Log lines about the spool's errors: each error once, and the recovery.

use crate::sys::lock;
use crate::text::visible;
use nix::errno::Errno;
use std::collections::BTreeSet;
use std::sync::Mutex;
use std::time::{Duration, Instant};

/// Time without an error after which the recovery is logged.
const RECOVERY: Duration = Duration::from_secs(5);
/// Unusable files that are logged, at most.
const MAX_UNUSABLE: usize = 100;

/// Logs the spool's errors.
pub(super) struct ErrorLog {
    /// Path of the spool's directory.
    path: String,
    logged: Mutex<Logged>,
}

/// Errors and unusable files that were logged.
#[derive(Default)]
struct Logged {
    /// Errors since the last recovery.
    current: BTreeSet<String>,
    last: Option<Instant>,
    /// A write has succeeded since the last error.
    works: bool,
    /// The names of unusable files.
    unusable: BTreeSet<String>,
}

impl ErrorLog {
    /// Returns a log for the spool at this path.
    pub(super) fn new(path: &str) -> Self {
        ErrorLog { path: path.to_owned(), logged: Mutex::default() }
    }

    /// Notes that a write has succeeded.
    pub(super) fn mark_working(&self) {
        lock(&self.logged).works = true;
    }

    /// Logs an error, unless it was logged since the last recovery.
    pub(super) fn report_error(&self, error: &str) {
        let mut errors = lock(&self.logged);
        (errors.last, errors.works) = (Some(Instant::now()), false);
        if errors.current.insert(error.to_owned()) {
            log::error!("spool {}: {error}", self.path);
        }
    }

    /// Logs the system's error of an operation, and its `consequence`, like [`ErrorLog::report_error`].
    pub(super) fn report_failure(&self, operation: &str, error: Errno, consequence: &str) {
        self.report_error(&format!("{operation}: {}; {consequence}", error.desc()));
    }

    /// Logs the recovery, [`RECOVERY`] after the last error: on a disk that is almost full, writes succeed between errors.
    pub(super) fn report_recovery(&self) {
        let mut errors = lock(&self.logged);
        let is_over = errors.works && errors.last.is_some_and(|last| last.elapsed() >= RECOVERY);
        if is_over && !errors.current.is_empty() {
            errors.current.clear();
            log::info!("spool {}: works again", self.path);
        }
    }

    /// Logs, once for each file, why it is not used.
    pub(super) fn report_unusable(&self, name: &str, why: &str) {
        let mut errors = lock(&self.logged);
        if errors.unusable.len() < MAX_UNUSABLE && errors.unusable.insert(name.to_owned()) {
            log::error!("spool {}: {} is left where it is: {why}", self.path, visible(name));
        }
    }
}
