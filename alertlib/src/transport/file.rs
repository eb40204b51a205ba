// SPDX-License-Identifier: MIT OR Apache-2.0
//! The `file` relay: writes each mail to a `.eml` file, in a directory that was opened before the chroot, for tests, demos and other
//! programs.
//!
//! A file gets its final name when it is complete, as in a maildir. The envelope is not in the file; the headers have its addresses.

use super::{Delivery, DeliveryError, Outcome, Transport};
use crate::files::open_directory;
use crate::sys::error_text;
use nix::fcntl::{OFlag, openat, renameat};
use nix::sys::stat::Mode;
use nix::unistd::{UnlinkatFlags, unlinkat};
use std::fs::File as FsFile;
use std::io::{self, Write};
use std::os::fd::OwnedFd;
use std::path::Path;

/// The `file` relay.
pub struct File {
    directory: OwnedFd,
    files: u64,
}

impl File {
    /// Opens the directory. `uid`, `gid`: the worker's user, which will write there.
    ///
    /// # Errors
    ///
    /// The directory cannot be opened, or that user cannot write into it.
    pub fn open(path: &Path, uid: u32, gid: u32) -> Result<Self, String> {
        let (directory, _) = open_directory(path, uid, gid)?;
        Ok(File { directory, files: 0 })
    }

    fn write(&mut self, bytes: &[u8]) -> Result<(), DeliveryError> {
        self.files += 1;
        let millis = std::time::SystemTime::UNIX_EPOCH.elapsed().unwrap_or_default().as_millis();
        let name = format!("{millis}.{}_{}.eml", std::process::id(), self.files);
        let hidden = format!(".{name}");
        let flags = OFlag::O_CREAT | OFlag::O_EXCL | OFlag::O_WRONLY | OFlag::O_CLOEXEC | OFlag::O_NOFOLLOW;
        let mode = Mode::S_IRUSR | Mode::S_IWUSR | Mode::S_IRGRP;
        let failed = |step| move |error: io::Error| DeliveryError::new(step, error_text(&error));
        let file = openat(&self.directory, hidden.as_str(), flags, mode)
            .map_err(|error| failed("create file")(error.into()))?;
        let written = FsFile::from(file).write_all(bytes).map_err(failed("write file")).and_then(|()| {
            renameat(&self.directory, hidden.as_str(), &self.directory, name.as_str())
                .map_err(|error| failed("rename file")(error.into()))
        });
        if written.is_err() {
            // Removes an incomplete file. The first error is reported, whether this succeeds or not.
            let _ = unlinkat(&self.directory, hidden.as_str(), UnlinkatFlags::NoRemoveDir);
        }
        written
    }
}

impl Transport for File {
    fn deliver(&mut self, delivery: &Delivery) -> Result<Vec<Outcome>, DeliveryError> {
        self.write(&delivery.begin()?.bytes)?;
        Ok(vec![Outcome::Delivered; delivery.recipients.len()])
    }
}
