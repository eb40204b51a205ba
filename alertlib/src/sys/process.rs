// SPDX-License-Identifier: MIT OR Apache-2.0
//! Signal dispositions of the process.

use nix::sys::signal::{SigHandler, Signal, signal};

/// Restores the default disposition of SIGCHLD. A process that was started with SIGCHLD ignored cannot read the exit status of its
/// children.
pub fn restore_sigchld() {
    // SAFETY: the default disposition installs no handler, so no code runs that would have to be async-signal-safe.
    // It cannot fail: the signal exists, and its disposition may be changed.
    let _ = unsafe { signal(Signal::SIGCHLD, SigHandler::SigDfl) };
}
