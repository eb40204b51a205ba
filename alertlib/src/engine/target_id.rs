// SPDX-License-Identifier: MIT OR Apache-2.0
//! Names of targets.

use crate::event::{Event, Kind};

/// Name of a server, or of a backend as a whole.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TargetId {
    /// The backend.
    pub proxy: String,
    /// The server in it; `None`: the backend as a whole.
    pub server: Option<String>,
    /// The target is not the server, but the single results of its checks ([`Kind::Check`]). They are tracked apart, so that
    /// neither is held back by a pending item of the other.
    pub is_check: bool,
}

impl TargetId {
    /// Returns the id of the event's target.
    pub fn of(event: &Event) -> Self {
        TargetId {
            proxy: event.proxy.clone(),
            server: event.server.clone(),
            is_check: event.kind == Kind::Check,
        }
    }
}
