// SPDX-License-Identifier: MIT OR Apache-2.0
//! What a process has to know of the one before it: the incidents that are not over, what is_flapping, and what is silenced.

use super::silence::Silence;
use super::target::{Flapping, Held, OpenIncident, TargetId, Thread};
use crate::event::Health;
use lettre::Address;

/// A server, or a backend as a whole, of which there is something to know.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TargetSnapshot {
    /// What it is good for.
    pub health: Health,
    /// The mail that told of its incident.
    pub thread: Option<Thread>,
    /// That incident.
    pub open_incident: Option<OpenIncident>,
    /// It changes too often.
    pub flapping: Option<Flapping>,
    /// What waits for the end of that, or of a silence.
    pub held: Option<Held>,
}

impl TargetSnapshot {
    /// Of what; `None`: there is nothing to know.
    pub fn name(&self) -> Option<TargetId> {
        let open_incident = self.open_incident.as_ref().map(|open_incident| &*open_incident.begin);
        let flapping = self.flapping.as_ref().map(|flapping| &*flapping.event);
        let held = self.held.as_ref().map(|held| &*held.item.event);
        open_incident.or(flapping).or(held).map(TargetId::of)
    }
}

/// All that there is to know.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Snapshot {
    /// What nobody wants to hear of.
    pub silences: Vec<Silence>,
    /// Who was told, and of what.
    pub audiences: Vec<(Vec<Address>, Vec<TargetSnapshot>)>,
}

impl Snapshot {
    /// Is there nothing to know?
    pub fn is_empty(&self) -> bool {
        self.silences.is_empty() && self.audiences.iter().all(|(_, known)| known.is_empty())
    }
}
