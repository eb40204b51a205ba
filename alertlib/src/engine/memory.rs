// SPDX-License-Identifier: MIT OR Apache-2.0
//! What a process has to know of the one before it: the troubles that are not over, what flaps, and what is silenced.

use super::silence::Silence;
use super::subject::{Flapping, Name, Thread, Trouble, Waiting};
use crate::event::Health;
use lettre::Address;

/// A server, or a backend as a whole, of which there is something to know.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Known {
    /// What it is good for.
    pub health: Health,
    /// The mail that told of its trouble.
    pub thread: Option<Thread>,
    /// That trouble.
    pub trouble: Option<Trouble>,
    /// It changes too often.
    pub flapping: Option<Flapping>,
    /// What waits for the end of that, or of a silence.
    pub waiting: Option<Waiting>,
}

impl Known {
    /// Of what; `None`: there is nothing to know.
    pub fn name(&self) -> Option<Name> {
        let trouble = self.trouble.as_ref().map(|trouble| &*trouble.begin);
        let flapping = self.flapping.as_ref().map(|flapping| &*flapping.event);
        let waiting = self.waiting.as_ref().map(|waiting| &*waiting.item.event);
        trouble.or(flapping).or(waiting).map(Name::of)
    }
}

/// All that there is to know.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Memory {
    /// What nobody wants to hear of.
    pub silences: Vec<Silence>,
    /// Who was told, and of what.
    pub audiences: Vec<(Vec<Address>, Vec<Known>)>,
}

impl Memory {
    /// Is there nothing to know?
    pub fn is_empty(&self) -> bool {
        self.silences.is_empty() && self.audiences.iter().all(|(_, known)| known.is_empty())
    }
}
