// SPDX-License-Identifier: MIT OR Apache-2.0
//! Snapshot: state that a process leaves to the next one: open incidents, flapping targets, held items and silences.

use super::silence::Silence;
use super::target_id::TargetId;
use crate::event::{Event, Health};
use crate::notification::{Incident, Item};
use crate::wire::{is_default, nanos};
use lettre::Address;
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use std::time::SystemTime;

/// The mail that began a thread.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Thread {
    /// Its `Message-ID`.
    pub root: Arc<str>,
    /// Topic in the subjects of the thread's mails.
    pub topic: Arc<str>,
    /// Creation time of the mail.
    #[serde(with = "nanos")]
    pub created: SystemTime,
}

/// An incident that is not resolved.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OpenIncident {
    /// The incident as mails describe it.
    pub incident: Incident,
    /// The event that began it.
    pub first_event: Arc<Event>,
    /// Time of the latest mail about it to this audience.
    #[serde(with = "nanos")]
    pub notified_at: SystemTime,
}

/// A target changes too often.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Flapping {
    /// Time of the first of its changes of health.
    #[serde(with = "nanos")]
    pub since: SystemTime,
    /// Number of these changes.
    pub changes: u32,
    /// Time of the latest of these changes.
    #[serde(with = "nanos")]
    pub last_change: SystemTime,
    /// Latest event of the target.
    pub event: Arc<Event>,
}

/// Reason why an item is held back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum HeldBy {
    /// The group's next mail will contain it.
    Group,
    /// The target is flapping.
    Flapping,
    /// A silence covers the target.
    Silence,
}

/// An item that is held back.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Held {
    /// The item.
    pub item: Item,
    /// Reason why it is held back.
    pub held_by: HeldBy,
}

/// State of one target that the next process needs.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TargetSnapshot {
    /// Health of the target after its latest event.
    pub health: Health,
    /// Thread of the mail that reported the incident; while the target is flapping, that of its first incident.
    #[serde(default, skip_serializing_if = "is_default")]
    pub thread: Option<Thread>,
    /// Incident that is not resolved.
    #[serde(default, skip_serializing_if = "is_default")]
    pub open_incident: Option<OpenIncident>,
    /// Flapping that has not ended.
    #[serde(default, skip_serializing_if = "is_default")]
    pub flapping: Option<Flapping>,
    /// Item that is not sent yet. The next process gets only one that is held until the end of flapping or of a silence.
    #[serde(default, skip_serializing_if = "is_default")]
    pub held: Option<Held>,
}

impl TargetSnapshot {
    /// Returns the id of the target, taken from one of its events; `None`: the snapshot is empty.
    pub fn target(&self) -> Option<TargetId> {
        let incident = self.open_incident.as_ref().map(|open_incident| &*open_incident.first_event);
        let flapping = self.flapping.as_ref().map(|flapping| &*flapping.event);
        let held = self.held.as_ref().map(|held| &*held.item.event);
        incident.or(flapping).or(held).map(TargetId::of)
    }
}

/// State of all groups that the next process needs.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Snapshot {
    /// Active silences.
    pub silences: Vec<Silence>,
    /// Recipients of each audience and the targets of its group.
    pub audiences: Vec<(Vec<Address>, Vec<TargetSnapshot>)>,
}

impl Snapshot {
    /// Returns true if there is neither a silence nor a target.
    pub fn is_empty(&self) -> bool {
        self.silences.is_empty() && self.audiences.iter().all(|(_, targets)| targets.is_empty())
    }
}
