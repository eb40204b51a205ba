// SPDX-License-Identifier: MIT OR Apache-2.0
//! Where the spool is: its directory, and the memory that belongs to it.

use crate::files::is_writable_for;
use nix::dir::Dir;
use nix::errno::Errno;
use nix::fcntl::{AtFlags, OFlag, openat};
use nix::sys::stat::{FileStat, Mode, SFlag, fstat, fstatat};
use nix::unistd::{UnlinkatFlags, unlinkat};
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

/// Where memory is a file: POSIX's `shm_open()` on Linux.
const MEMORY: &str = "/dev/shm";
/// Its owner alone: it has addresses, and what it says is mailed.
pub const PRIVATE: Mode = Mode::S_IRUSR.union(Mode::S_IWUSR);
/// How files are opened that somebody else may have put there.
pub const ANYBODYS: OFlag = OFlag::O_CLOEXEC.union(OFlag::O_NOFOLLOW).union(OFlag::O_NONBLOCK);

/// The directories, opened before the chroot.
pub struct SpoolDirectory {
    pub(super) directory: OwnedFd,
    memory: Option<OwnedFd>,
    /// For the log.
    pub(super) path: String,
    /// In the names of the memory that belongs to it.
    id: String,
    /// Of its mails, in bytes.
    pub(super) max_size: u64,
}

impl SpoolDirectory {
    /// Opens the spool's directory. `uid`, `gid`: who will work in it; `max_size`: of its mails, in bytes.
    ///
    /// # Errors
    ///
    /// It cannot be opened, that user cannot write into it, or anybody can.
    pub fn open(path: &Path, uid: u32, gid: u32, max_size: u64) -> Result<Self, String> {
        let shown = path.display();
        let flags = OFlag::O_DIRECTORY | OFlag::O_RDONLY | OFlag::O_CLOEXEC;
        let directory = nix::fcntl::open(path, flags, Mode::empty())
            .map_err(|error| format!("cannot open directory '{shown}': {}", error.desc()))?;
        let data = fstat(&directory).map_err(|error| format!("'{shown}': {}", error.desc()))?;
        if data.st_mode & 0o002 != 0 {
            return Err(format!(
                "directory '{shown}' can be written by everybody, and what is in it is mailed; expected: chmod o-w {shown}"
            ));
        }
        if !is_writable_for(&directory, &data, uid, gid) {
            return Err(format!(
                "directory '{shown}' is not writable for user id {uid}, group id {gid}; expected: chown {uid}:{gid} {shown}"
            ));
        }
        let memory = nix::fcntl::open(MEMORY, flags, Mode::empty()).ok();
        let id = format!("{:x}-{:x}", data.st_dev, data.st_ino);
        Ok(SpoolDirectory { directory, memory, path: shown.to_string(), id, max_size })
    }

    /// Makes the file of a queue.
    pub(super) fn make_memory(&self, token: &str) -> nix::Result<OwnedFd> {
        let memory = self.memory.as_ref().ok_or(Errno::ENOENT)?;
        let flags = OFlag::O_CREAT | OFlag::O_EXCL | OFlag::O_RDWR | OFlag::O_CLOEXEC;
        openat(memory, self.memory_name(token).as_str(), flags, PRIVATE)
    }

    /// The file of a queue, if there is one.
    pub(super) fn open_memory(&self, token: &str) -> Option<OwnedFd> {
        let name = self.memory_name(token);
        openat(self.memory.as_ref()?, name.as_str(), ANYBODYS | OFlag::O_RDWR, Mode::empty()).ok()
    }

    /// Removes the file of a queue.
    pub(super) fn remove_memory(&self, token: &str) {
        if let Some(memory) = &self.memory {
            // Somebody else may have done it.
            let _ = unlinkat(memory, self.memory_name(token).as_str(), UnlinkatFlags::NoRemoveDir);
        }
    }

    /// The tokens of the queues that belong to this directory.
    pub(super) fn memories(&self) -> Vec<String> {
        let Some(memory) = &self.memory else { return Vec::new() };
        let prefix = self.memory_prefix();
        let is_ours = |name: &str| {
            // Everybody can make files there, and none but ours can be removed.
            fstatat(memory, name, AtFlags::AT_SYMLINK_NOFOLLOW)
                .is_ok_and(|data| is_private(&data) && data.st_uid == nix::unistd::geteuid().as_raw())
        };
        let names = names_in(memory).into_iter().filter(|name| name.starts_with(&prefix) && is_ours(name));
        names.map(|name| name[prefix.len()..].to_owned()).collect()
    }

    fn memory_name(&self, token: &str) -> String {
        format!("{}{token}", self.memory_prefix())
    }

    fn memory_prefix(&self) -> String {
        format!("haproxy-email-alert.{}.", self.id)
    }
}

/// The names of what is in a directory.
pub fn names_in(directory: impl AsFd) -> Vec<String> {
    let flags = OFlag::O_DIRECTORY | OFlag::O_RDONLY | OFlag::O_CLOEXEC;
    let Ok(mut directory) = Dir::openat(directory, ".", flags, Mode::empty()) else {
        return Vec::new();
    };
    directory.iter().flatten().filter_map(|entry| Some(entry.file_name().to_str().ok()?.to_owned())).collect()
}

/// A regular file of ours (or of root's), that nobody else can write, and has no other name.
pub fn is_private(data: &FileStat) -> bool {
    let is_file = SFlag::from_bits_truncate(data.st_mode) & SFlag::S_IFMT == SFlag::S_IFREG;
    let owner = data.st_uid;
    is_file
        && (owner == 0 || owner == nix::unistd::geteuid().as_raw())
        && data.st_mode & 0o022 == 0
        && data.st_nlink == 1
}
