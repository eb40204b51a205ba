// SPDX-License-Identifier: MIT OR Apache-2.0
//! The border to the kernel: the only module with unsafe code of this crate.

#![allow(unsafe_code)]

pub mod process;
pub mod secret;
pub mod shared_memory;

use nix::errno::Errno;
use std::io;

/// The user that HAProxy's worker runs as.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct User {
    /// Numeric user; 0: unchanged.
    pub uid: u32,
    /// Numeric group.
    pub gid: u32,
}

/// The system's description of an error (`strerror(3)`), without the number that [`io::Error`] appends.
pub fn error_text(error: &io::Error) -> String {
    match error.raw_os_error() {
        Some(number) => Errno::from_raw(number).desc().to_owned(),
        None => error.to_string(),
    }
}
