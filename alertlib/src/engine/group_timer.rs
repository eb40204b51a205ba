// SPDX-License-Identifier: MIT OR Apache-2.0
//! Send times of one group: its first change is sent at once, later changes wait for the digest and share one mail.

use super::target::has_elapsed;
use std::time::{Duration, SystemTime};

/// Shortest time between two urgent mails. The loss of a backend's last server does not wait for the digest; when several
/// backends lose theirs one after the other, the second and later ones wait this long for others and share a mail.
pub const URGENT_INTERVAL: Duration = Duration::from_secs(1);

/// Send times of one group's mails.
#[derive(Debug, Clone, Default)]
pub struct GroupTimer {
    /// Time of the last mail.
    last_sent: Option<SystemTime>,
    /// Time of the last mail with an urgent change.
    last_urgent_sent: Option<SystemTime>,
    /// Time of the first urgent change that is not sent yet.
    urgent_since: Option<SystemTime>,
}

impl GroupTimer {
    /// Records an urgent change, which need not wait for the digest.
    pub fn mark_urgent(&mut self, now: SystemTime) {
        self.urgent_since.get_or_insert(now);
    }

    /// Returns true if pending changes may be sent at `now`. `digest`: length of the digest.
    pub fn can_send(&self, digest: Duration, now: SystemTime) -> bool {
        let has_passed =
            |start: Option<SystemTime>, length| start.is_none_or(|start| has_elapsed(start, length, now));
        let interval = URGENT_INTERVAL.min(digest);
        let can_send_urgent = self.urgent_since.is_some()
            && (has_passed(self.last_urgent_sent, interval) || has_passed(self.urgent_since, interval));
        has_passed(self.last_sent, digest) || can_send_urgent
    }

    /// Returns the time from which pending changes may be sent. Valid only while [`GroupTimer::can_send`] is false.
    pub fn next_send_at(&self, digest: Duration) -> Option<SystemTime> {
        let regular = self.last_sent?.checked_add(digest)?;
        let urgent = self.urgent_since.and_then(|since| since.checked_add(URGENT_INTERVAL));
        Some(urgent.map_or(regular, |urgent| urgent.min(regular)))
    }

    /// Records that a mail with all pending changes is sent at `now`.
    pub fn record_send(&mut self, now: SystemTime) {
        self.last_sent = Some(now);
        if self.urgent_since.take().is_some() {
            self.last_urgent_sent = Some(now);
        }
    }
}
