// SPDX-License-Identifier: MIT OR Apache-2.0
//! The file store: mails and accepted events survive the process.
//!
//! The ring's slots are in shared memory (a file in `/dev/shm`): an event survives from the moment at which HAProxy's thread has
//! pushed it, and that thread writes to memory only; a mapped file on a disk could block it. Each mail is in a file of the spool's
//! directory ([`format`]) from before its event leaves the ring until its last recipient has it; the [`checkpoint`] makes both
//! changes atomic.
//!
//! Several processes share a directory: the old and the new worker of a reload. Each has a token, a locked file
//! `owner.<token>`, its mails `mail.<token>.<number>`, and its shared memory. The lock ends with the process, in every case; the
//! process that can then lock the file takes over the dead process's mails and events ([`takeover`]). The shared memory is named
//! after the directory, which shows the spool that it belongs to. It is locked, too, which shows that its process lives if the owner
//! file was removed.
//!
//! The snapshot for the next process is in `incidents.<token>` ([`incidents`]). Another process takes that file over as soon as it
//! finds it, even while the old worker of a reload still has connections, and again if the old worker rewrites it. A process that
//! ends normally leaves no other file.
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
mod takeover;
#[cfg(test)]
mod tests;

pub use directory::SpoolDirectory;
pub use file_store::FileStore;

/// Largest file, in bytes. Files of this library are bounded, so a larger file is not one of them.
const LARGEST: usize = 4 * 1024 * 1024;
/// Mails that are written together share files of this size, in bytes; a larger mail has a file of its own.
const SHARED: usize = 256 * 1024;
/// Up to this number, files are synced one by one; more files with the whole file system, because each sync of a single file may block
/// the collector's writes for as long as the disk takes.
const SYNC_ALONE: usize = 8;
/// Descriptors that are open at once: the two directories, this process's owner file and shared memory, a file that is written, one
/// that is read and one that is marked. The others are for orphans, one each during their takeover.
pub const DESCRIPTORS: u32 = 16;
/// The end of a log line about an error.
const IN_MEMORY: &str = "mails are kept in memory only";

fn owner_name(token: &str) -> String {
    format!("owner.{token}")
}

fn incidents_name(token: &str) -> String {
    format!("incidents.{token}")
}
