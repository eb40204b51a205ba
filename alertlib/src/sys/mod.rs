// SPDX-License-Identifier: MIT OR Apache-2.0
//! System calls that need unsafe code: the only module of this crate with unsafe code.

#![allow(unsafe_code)]

pub mod clock;
pub mod process;
pub mod secret;
pub mod shared_memory;

use nix::errno::Errno;
use serde::{Deserialize, Serialize};
use std::io::{self, ErrorKind};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// User and group under which HAProxy's worker runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct User {
    /// User id; 0: unchanged.
    pub uid: u32,
    /// Group id; 0: unchanged.
    pub gid: u32,
}

/// Returns the system's description of an error (`strerror(3)`), without the number that [`io::Error`] appends.
pub fn error_text(error: &io::Error) -> String {
    match error.raw_os_error() {
        Some(number) => Errno::from_raw(number).desc().to_owned(),
        None => error.to_string(),
    }
}

/// Locks a mutex, also after a panic of a thread that held it. For data that no critical section leaves inconsistent when it panics.
pub fn lock<T: ?Sized>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Returns the time until `deadline` for a socket's time-out, which must not be zero.
///
/// # Errors
///
/// A time-out: the deadline is reached.
pub fn time_left(deadline: Instant) -> io::Result<Duration> {
    match deadline.saturating_duration_since(Instant::now()) {
        Duration::ZERO => Err(ErrorKind::TimedOut.into()),
        left => Ok(left),
    }
}
