// SPDX-License-Identifier: MIT OR Apache-2.0
//! The spool's directory, and the shared memory that belongs to it.

use crate::files::open_directory;
use nix::dir::Dir;
use nix::errno::Errno;
use nix::fcntl::{AtFlags, OFlag, openat};
use nix::sys::stat::{FileStat, Mode, SFlag, fstatat};
use nix::unistd::{UnlinkatFlags, unlinkat};
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

/// The directory of shared memory, as of `shm_open()` on Linux.
const MEMORY: &str = "/dev/shm";
/// Flags for opening a directory.
const DIRECTORY: OFlag = OFlag::O_DIRECTORY.union(OFlag::O_CLOEXEC);
/// The mode of all files: their content is mailed to the addresses in them.
pub const PRIVATE: Mode = Mode::S_IRUSR.union(Mode::S_IWUSR);
/// Flags for opening files that another user may have created: symbolic links are not followed, and pipes do not block.
pub const UNTRUSTED: OFlag = OFlag::O_CLOEXEC.union(OFlag::O_NOFOLLOW).union(OFlag::O_NONBLOCK);

/// The spool's directory and `/dev/shm`, opened before the chroot.
pub struct SpoolDirectory {
    pub(super) directory: OwnedFd,
    memory: Option<OwnedFd>,
    /// The directory's path, for the log.
    pub(super) path: String,
    /// The directory's device and inode, a part of the names of its shared memory.
    id: String,
    /// Largest size of all its mails, in bytes.
    pub(super) max_size: u64,
}

impl SpoolDirectory {
    /// Opens the spool's directory. `uid`, `gid`: the user that will write there; `max_size`: the largest size of all mails,
    /// in bytes.
    ///
    /// # Errors
    ///
    /// The directory cannot be opened, that user cannot write into it, or every user can.
    pub fn open(path: &Path, uid: u32, gid: u32, max_size: u64) -> Result<Self, String> {
        let shown = path.display();
        let (directory, data) = open_directory(path, uid, gid)?;
        if data.st_mode & 0o002 != 0 {
            return Err(format!(
                "directory '{shown}' can be written by everybody, and what is in it is mailed; expected: chmod o-w {shown}"
            ));
        }
        let memory = nix::fcntl::open(MEMORY, DIRECTORY, Mode::empty()).ok();
        let id = format!("{:x}-{:x}", data.st_dev, data.st_ino);
        Ok(SpoolDirectory { directory, memory, path: shown.to_string(), id, max_size })
    }

    /// Creates the shared memory of a process.
    pub(super) fn create_memory(&self, token: &str) -> nix::Result<OwnedFd> {
        let memory = self.memory.as_ref().ok_or(Errno::ENOENT)?;
        let flags = OFlag::O_CREAT | OFlag::O_EXCL | OFlag::O_RDWR | OFlag::O_CLOEXEC;
        openat(memory, self.memory_name(token).as_str(), flags, PRIVATE)
    }

    /// Opens the shared memory of a process, if there is one.
    pub(super) fn open_memory(&self, token: &str) -> Option<OwnedFd> {
        let name = self.memory_name(token);
        openat(self.memory.as_ref()?, name.as_str(), UNTRUSTED | OFlag::O_RDWR, Mode::empty()).ok()
    }

    /// Removes the shared memory of a process.
    pub(super) fn remove_memory(&self, token: &str) {
        if let Some(memory) = &self.memory {
            // Fails if another process has removed it.
            let _ = unlinkat(memory, self.memory_name(token).as_str(), UnlinkatFlags::NoRemoveDir);
        }
    }

    /// Returns the tokens of the processes that have shared memory for this directory.
    pub(super) fn memories(&self) -> Vec<String> {
        let Some(memory) = &self.memory else { return Vec::new() };
        let prefix = self.memory_name("");
        let is_own = |name: &str| {
            // Every user can create files in /dev/shm.
            fstatat(memory, name, AtFlags::AT_SYMLINK_NOFOLLOW)
                .is_ok_and(|data| is_private(&data) && data.st_uid == nix::unistd::geteuid().as_raw())
        };
        let names = names_in(memory).into_iter().filter(|name| name.starts_with(&prefix) && is_own(name));
        names.map(|name| name[prefix.len()..].to_owned()).collect()
    }

    fn memory_name(&self, token: &str) -> String {
        format!("haproxy-email-alert.{}.{token}", self.id)
    }
}

/// Returns the names in a directory; none if it cannot be read.
pub fn names_in(directory: impl AsFd) -> Vec<String> {
    let Ok(mut directory) = Dir::openat(directory, ".", DIRECTORY, Mode::empty()) else {
        return Vec::new();
    };
    directory.iter().flatten().filter_map(|entry| Some(entry.file_name().to_str().ok()?.to_owned())).collect()
}

/// True for a regular file of this user or root that no other user can write, and that has one name.
pub fn is_private(data: &FileStat) -> bool {
    let is_file = SFlag::from_bits_truncate(data.st_mode) & SFlag::S_IFMT == SFlag::S_IFREG;
    let owner = data.st_uid;
    is_file
        && (owner == 0 || owner == nix::unistd::geteuid().as_raw())
        && data.st_mode & 0o022 == 0
        && data.st_nlink == 1
}
