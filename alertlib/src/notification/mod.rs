// SPDX-License-Identifier: MIT OR Apache-2.0
//! Notifications: the engine's decision to send a mail about one or more changes to some recipients. The mail itself is made when
//! it is sent.

mod cause;

pub use cause::{Cause, CauseGroup, group_by_cause};

use crate::event::{Event, Health};
use crate::settings::Recipient;
use crate::wire::{is_default, nanos};
use lettre::Address;
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use std::time::SystemTime;

/// Largest number of references of a mail. Headers are limited, and mail readers cannot show more threads as one.
pub const MAX_REFERENCES: usize = 16;

/// A mail that is to be sent: contents and recipients.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Notification {
    /// `Message-ID`, with its angle brackets. The same at every attempt.
    pub message_id: String,
    /// Time of the engine's decision; the mail's `Date`.
    #[serde(with = "nanos")]
    pub created: SystemTime,
    /// Sender in the envelope and in the header.
    pub from: Address,
    /// Recipients, each once; never empty.
    pub to: Vec<Recipient>,
    /// Message-IDs of the mails that reported the incidents which this mail continues, the oldest first; the last one goes into
    /// `In-Reply-To`. [`MAX_REFERENCES`] at most; empty: the mail begins a thread.
    #[serde(default, skip_serializing_if = "is_default")]
    pub references: Vec<String>,
    /// Topic of the thread, without state and host. Equal in all mails of the thread, for mail readers that compare subjects.
    pub topic: String,
    /// Reason for the mail.
    pub trigger: Trigger,
    /// Items, at most one for each target; items with a common cause are adjacent ([`group_by_cause`]). Never empty.
    pub items: Vec<Item>,
    /// Backends with more than one server in `items`: name and number of all their servers.
    #[serde(default, skip_serializing_if = "is_default")]
    pub sizes: Vec<(String, u32)>,
    /// Number of changes that exceed the limit of `items`.
    pub unnamed: u64,
    /// Number of events that were dropped since the previous mail, because the ring or the queue was full.
    pub dropped: u64,
}

/// Reason for a mail.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase", deny_unknown_fields)]
pub enum Trigger {
    /// Targets have changed.
    Changes,
    /// Incidents are still open.
    Reminder,
    /// A silence has ended; the items are the changes during it.
    Silence {
        /// The silenced targets: `web/*`.
        pattern: String,
        /// The administrator's reason; may be empty.
        reason: String,
    },
}

/// The changes of one target (a server, or a backend as a whole) in a mail.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Item {
    /// Latest event that no earlier mail reported; in a reminder, the event that began the incident.
    pub event: Arc<Event>,
    /// Number of changes, `event` included; at least 1.
    pub changes: u32,
    /// Time of the first of these changes.
    #[serde(with = "nanos")]
    pub first: SystemTime,
    /// Incident that begins, goes on, or is resolved with `event` ([`Item::is_resolved`]).
    #[serde(default, skip_serializing_if = "is_default")]
    pub incident: Option<Incident>,
    /// Phase of flapping.
    #[serde(rename = "phase")]
    pub flap_phase: FlapPhase,
}

/// An incident: of a server from DOWN to UP, of a backend from the loss of its last usable server to the return of the first.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Incident {
    /// Begin of the incident.
    #[serde(with = "nanos")]
    pub since: SystemTime,
    /// Reason of its begin: see [`Event::short_reason`].
    pub reason: Arc<str>,
    /// Number of changes of health, the first included: 2 for DOWN and UP.
    pub changes: u32,
}

/// Phase of flapping of an [`Item`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum FlapPhase {
    /// The target does not flap.
    NotFlapping,
    /// The target changes too often. Further changes are held back until it is stable.
    Flapping,
    /// The target has stopped flapping.
    Stable,
}

impl Item {
    /// Returns an item with a single change.
    pub fn of(event: impl Into<Arc<Event>>) -> Self {
        let event = event.into();
        Item { changes: 1, first: event.when, event, incident: None, flap_phase: FlapPhase::NotFlapping }
    }

    /// Returns true if the target is not down any more.
    pub fn is_resolved(&self) -> bool {
        self.event.health != Health::Down
    }
}

impl Notification {
    /// Returns the most severe item, the first of several: subject and headers describe it.
    pub fn lead(&self) -> &Item {
        // `max_by_key` returns the last of several.
        let lead = self.items.iter().rev().max_by_key(|item| item.event.kind.importance());
        lead.expect("a notification has an item")
    }

    /// Memory of the notification in bytes, approximately.
    pub fn size(&self) -> u64 {
        let item = |Item { event, incident, .. }: &Item| {
            let check =
                event.check.as_ref().map_or(0, |it| it.status.len() + it.reason.len() + it.info.len());
            let names = event.proxy.len() + event.server.as_ref().map_or(0, String::len);
            let reason = incident.as_ref().map_or(0, |incident| incident.reason.len());
            let rest = event.was.len() + event.cause.len() + event.address.len();
            size_of::<Item>() + event.sentence.len() + check + names + reason + rest
        };
        let references: usize = self.references.iter().map(String::len).sum();
        let sizes: usize = self.sizes.iter().map(|(name, _)| name.len() + size_of::<(String, u32)>()).sum();
        let items: usize = self.items.iter().map(item).sum();
        (size_of::<Notification>() + references + sizes + self.to.len() * size_of::<Recipient>() + items)
            as u64
    }

    /// Describes the notification in one line of the log.
    pub fn summary(&self) -> String {
        let sentence = &self.lead().event.sentence;
        match self.unnamed.saturating_add(self.items.len() as u64 - 1) {
            0 => sentence.clone(),
            more => format!("{sentence} (and {more} more)"),
        }
    }
}

/// A mail of one server that went down.
#[cfg(test)]
pub fn sample() -> Notification {
    Notification {
        message_id: "<haproxy.1.1@lb1.example.com>".into(),
        created: SystemTime::UNIX_EPOCH,
        from: "haproxy@lb1.example.com".parse().expect("address"),
        to: vec![Recipient { address: "ops@example.com".parse().expect("address"), is_local: false }],
        references: vec![],
        topic: "be/s1".into(),
        trigger: Trigger::Changes,
        items: vec![Item::of(crate::event::sample())],
        sizes: vec![],
        unnamed: 0,
        dropped: 0,
    }
}
