// SPDX-License-Identifier: MIT OR Apache-2.0
//! The file store: mails and accepted events survive the process.
//!
//! The ring's slots are in shared memory (a file in `/dev/shm`): an event is safe from the moment at which HAProxy's thread
//! has pushed it, and that thread touches memory only; a mapped file on a disk could make it wait for the disk. Each mail is in
//! a file of the spool's directory ([`format`]) from before its event leaves the ring until its last recipient has it; the
//! [`checkpoint`] makes both changes atomic.
//!
//! Several processes share a directory: the old and the new worker of a reload. Each has a token, a locked file
//! `owner.<token>`, its mails `mail.<token>.<number>`, and its shared memory. The lock ends with the process, however that
//! ends; the process that can then lock the file takes over what is there ([`takeover`]). The shared memory is locked, too, and
//! named after the directory: it shows to which spool it belongs, and that its process lives if its owner file was removed.
//!
//! What the next process has to know of incidents is in `incidents.<token>` ([`incidents`]). Another process takes that file over
//! as soon as it sees it, also while the older process lives on for as long as it has connections, and again if the older one
//! writes it anew. A process that ends in order leaves no other file.
//!
//! Files that cannot be used are renamed to `bad.*` (quarantine).

mod checkpoint;
mod directory;
mod error_log;
mod file_store;
mod files;
pub mod format;
pub mod incidents;
mod mail_files;
mod record;
mod takeover;
#[cfg(test)]
mod tests;

pub use directory::SpoolDirectory;
pub use file_store::FileStore;

use std::sync::{Mutex, MutexGuard, PoisonError};

/// Largest file, in bytes. What the library writes is bounded, so a larger file is none of its own.
const LARGEST: usize = 4 * 1024 * 1024;
/// Mails that are written together share files of this size, in bytes; a larger mail has a file of its own.
const SHARED: usize = 256 * 1024;
/// Up to so many files are synced one by one; more of them with the whole file system: each sync of a single file may block the
/// collector's writes for as long as the disk takes.
const SYNC_ALONE: usize = 8;
/// Descriptors that are open at once: the directory, that of the shared memory, the own owner file and shared memory, a file
/// that is written, one that is read and one that is marked. The rest is for orphans, one each until they are taken over.
pub const DESCRIPTORS: u32 = 16;
/// The end of a log line about an error.
const IN_MEMORY: &str = "mails are kept in memory only";

fn owner_name(token: &str) -> String {
    format!("owner.{token}")
}

fn incidents_name(token: &str) -> String {
    format!("incidents.{token}")
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // No critical section of the spool leaves its data inconsistent when it panics.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
