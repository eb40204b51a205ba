// SPDX-License-Identifier: MIT OR Apache-2.0
//! When a mail goes: the first news at once, what follows in a while together.

use super::target::is_over;
use std::time::{Duration, SystemTime};

/// A backend that lost its last server does not wait for the digest. Several that do, one after the other, share a mail all
/// the same: the second one waits for others that long.
pub const TOGETHER: Duration = Duration::from_secs(1);

/// The times of one audience's mails.
#[derive(Debug, Clone, Default)]
pub struct GroupTimer {
    /// When the last mail went.
    last: Option<SystemTime>,
    /// When the last one with urgent news went.
    last_urgent: Option<SystemTime>,
    /// Since when urgent news wait.
    urgent: Option<SystemTime>,
}

impl GroupTimer {
    /// There are urgent news.
    pub fn mark_urgent(&mut self, now: SystemTime) {
        self.urgent.get_or_insert(now);
    }

    /// May news be mailed at `now`? `length`: of the digest.
    pub fn is_open(&self, length: Duration, now: SystemTime) -> bool {
        let over = |start: Option<SystemTime>, length| start.is_none_or(|start| is_over(start, length, now));
        let hurried = self.urgent.is_some()
            && (over(self.last_urgent, TOGETHER.min(length)) || over(self.urgent, TOGETHER.min(length)));
        over(self.last, length) || hurried
    }

    /// When it opens; only while it is closed.
    pub fn opens(&self, length: Duration) -> Option<SystemTime> {
        let regular = self.last?.checked_add(length)?;
        let urgent = self.urgent.and_then(|since| since.checked_add(TOGETHER));
        Some(urgent.map_or(regular, |urgent| urgent.min(regular)))
    }

    /// A mail has taken all news.
    pub fn close(&mut self, now: SystemTime) {
        self.last = Some(now);
        if self.urgent.take().is_some() {
            self.last_urgent = Some(now);
        }
    }
}
