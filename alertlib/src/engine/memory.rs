// SPDX-License-Identifier: MIT OR Apache-2.0
//! What a process has to know of the one before it: the troubles that are not over.

use super::subject::{Thread, Trouble};
use crate::event::Health;
use lettre::Address;

/// A trouble of which an audience was told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Known {
    /// The trouble.
    pub trouble: Trouble,
    /// The mail that told of it.
    pub thread: Thread,
    /// Down, or in maintenance since.
    pub health: Health,
}

/// All of them, by audience.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Memory {
    /// Who was told, and of what.
    pub audiences: Vec<(Vec<Address>, Vec<Known>)>,
}

impl Memory {
    /// Is there nothing to know?
    pub fn is_empty(&self) -> bool {
        self.audiences.iter().all(|(_, known)| known.is_empty())
    }
}
