// SPDX-License-Identifier: MIT OR Apache-2.0
//! What a process can only be told in C's way.

use nix::sys::signal::{SigHandler, Signal, signal};

/// Gives SIGCHLD its usual meaning. A process that was started with SIGCHLD ignored cannot see how its children ended.
pub fn wait_for_children() {
    // SAFETY: no function is installed as a handler, so nothing runs that would have to be safe in one.
    // It cannot fail: the signal exists, and may be given its default.
    let _ = unsafe { signal(Signal::SIGCHLD, SigHandler::SigDfl) };
}
