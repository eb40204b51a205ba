// SPDX-License-Identifier: MIT OR Apache-2.0
//! Files that relays need (certificates, keys, passwords, tokens): reads them whole, up to a limit, and checks their permissions.
//! Directories that the worker writes to.
//!
//! Errors are the end of a sentence that begins with the file's name.

use crate::sys::error_text;
use nix::fcntl::{AT_FDCWD, AtFlags, OFlag, openat};
use nix::sys::stat::{FileStat, Mode, fstat};
use nix::unistd::{AccessFlags, faccessat, getgid};
use std::fs::{File, Metadata};
use std::io::{ErrorKind, Read};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use zeroize::Zeroizing;

/// Size of the largest file, in bytes: a system's whole set of certificates has a quarter of it.
pub const MAX_SIZE: u64 = 1 << 20;

/// Reads the file. The content is erased from memory when it is dropped, since it may be secret.
///
/// # Errors
///
/// The file is missing, unreadable, empty, not a regular file, or larger than [`MAX_SIZE`].
pub fn read(path: &Path) -> Result<Zeroizing<Vec<u8>>, String> {
    read_at(AT_FDCWD, path)
}

/// Reads the file at a path that begins in an open directory, like [`read`].
///
/// # Errors
///
/// As for [`read`].
pub fn read_at(directory: impl AsFd, path: &Path) -> Result<Zeroizing<Vec<u8>>, String> {
    // O_NONBLOCK: opening a pipe must not block.
    let flags = OFlag::O_RDONLY | OFlag::O_NONBLOCK | OFlag::O_CLOEXEC;
    let file = openat(directory, path, flags, Mode::empty()).map_err(|error| unreadable(&error.into()))?;
    let file = File::from(file);
    let data = file.metadata().map_err(|error| unreadable(&error))?;
    if !data.is_file() {
        return Err("is not a file".to_owned());
    }
    // Large enough for the whole file and for the read that finds its end: a buffer that grows leaves copies in freed memory.
    let mut bytes = Zeroizing::new(Vec::with_capacity(data.len().min(MAX_SIZE) as usize + 64));
    file.take(MAX_SIZE + 1).read_to_end(&mut bytes).map_err(|error| unreadable(&error))?;
    match bytes.len() as u64 {
        0 => Err("is empty".to_owned()),
        size if size > MAX_SIZE => Err("is larger than 1 MiB".to_owned()),
        _ => Ok(bytes),
    }
}

/// Checks that only the file's owner and group may read or write it.
///
/// # Errors
///
/// Other users may, or the metadata are not readable.
pub fn check_closed_to_others(path: &Path) -> Result<(), String> {
    match metadata(path)?.mode() & 0o006 {
        0 => Ok(()),
        _ => Err(format!(
            "is open to everybody; expected a file for its owner alone: chmod 600 {}",
            path.display()
        )),
    }
}

/// Checks that no group but the worker's may read or write the file. `gid`: the worker's group; 0: this process's.
///
/// # Errors
///
/// Another group may, or the metadata are not readable.
pub fn check_closed_to_other_groups(path: &Path, gid: u32) -> Result<(), String> {
    let data = metadata(path)?;
    let gid = if gid == 0 { getgid().as_raw() } else { gid };
    if data.mode() & 0o060 == 0 || data.gid() == gid {
        return Ok(());
    }
    Err(format!(
        "is open to group id {}, which is not HAProxy's; expected a file for its owner alone: chmod 600 {}",
        data.gid(),
        path.display()
    ))
}

/// Returns true if this user may read the file, or search the directory, that has these metadata.
pub fn is_accessible_for(data: &Metadata, uid: u32, gid: u32) -> bool {
    let bit = if data.is_dir() { 0o1 } else { 0o4 };
    let shift = match () {
        () if uid == 0 => return true,
        () if uid == data.uid() => 6,
        () if gid == data.gid() => 3,
        () => 0,
    };
    data.mode() >> shift & bit == bit
}

/// Opens a directory in which this user has to create files; returns its metadata, too. An access check by root says nothing about the
/// unprivileged worker, so the mode decides for every user but root.
///
/// # Errors
///
/// The directory cannot be opened, or that user cannot write into it: a sentence with its name.
pub fn open_directory(path: &Path, uid: u32, gid: u32) -> Result<(OwnedFd, FileStat), String> {
    let shown = path.display();
    let flags = OFlag::O_DIRECTORY | OFlag::O_RDONLY | OFlag::O_CLOEXEC;
    let directory = nix::fcntl::open(path, flags, Mode::empty())
        .map_err(|error| format!("cannot open directory '{shown}': {}", error.desc()))?;
    let data = fstat(&directory).map_err(|error| format!("'{shown}': {}", error.desc()))?;
    let is_set = |shift: u32| data.st_mode >> shift & 0o3 == 0o3;
    let is_writable = match (uid, gid) {
        (0, _) => faccessat(&directory, ".", AccessFlags::W_OK, AtFlags::empty()).is_ok(),
        (uid, _) if uid == data.st_uid => is_set(6),
        (_, gid) if gid == data.st_gid => is_set(3),
        _ => is_set(0),
    };
    if is_writable {
        return Ok((directory, data));
    }
    Err(format!(
        "directory '{shown}' is not writable for user id {uid}, group id {gid}; expected: chown {uid}:{gid} {shown}"
    ))
}

/// Reads the metadata of a file or directory, following symbolic links.
///
/// # Errors
///
/// It does not exist, or the permissions of its path do not allow it.
pub fn metadata(path: &Path) -> Result<Metadata, String> {
    path.metadata().map_err(|error| unreadable(&error))
}

/// Describes the error of a file that cannot be read: the end of a sentence that begins with its name.
pub fn unreadable(error: &std::io::Error) -> String {
    match error.kind() {
        ErrorKind::NotFound => "does not exist".to_owned(),
        _ => format!("cannot be read: {}", error_text(error)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::{self, Permissions};
    use std::os::unix::fs::PermissionsExt;
    use std::path::PathBuf;

    /// A directory that is removed when this is dropped.
    struct Scratch(PathBuf);

    impl Scratch {
        fn new(name: &str) -> Self {
            let path = std::env::temp_dir().join(format!("email-alert-files.{name}.{}", std::process::id()));
            fs::create_dir_all(&path).expect("a directory");
            Scratch(path)
        }

        fn file(&self, content: &[u8], mode: u32) -> PathBuf {
            let path = self.0.join("file");
            fs::write(&path, content).expect("a file");
            fs::set_permissions(&path, Permissions::from_mode(mode)).expect("its mode");
            path
        }
    }

    impl Drop for Scratch {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.0);
        }
    }

    #[test]
    fn empty_large_and_irregular_files_are_refused() {
        let scratch = Scratch::new("bounded");
        let read_of = |content: &[u8]| read(&scratch.file(content, 0o600)).map(|bytes| bytes.len());
        assert_eq!(read_of(b"secret"), Ok(6));
        assert_eq!(read_of(b""), Err("is empty".into()));
        assert_eq!(read_of(&vec![b'x'; MAX_SIZE as usize]), Ok(MAX_SIZE as usize));
        assert_eq!(read_of(&vec![b'x'; MAX_SIZE as usize + 1]), Err("is larger than 1 MiB".into()));
        assert_eq!(read(&scratch.0).map(drop), Err("is not a file".into()));
        assert_eq!(read(&scratch.0.join("missing")).map(drop), Err("does not exist".into()));
    }

    #[test]
    fn secrets_are_closed_to_others_and_to_groups_but_the_workers() {
        let scratch = Scratch::new("modes");
        for (mode, others, group) in [
            (0o600, true, true),
            (0o400, true, true),
            (0o640, true, false),
            (0o620, true, false),
            (0o604, false, true),
            (0o602, false, true),
            (0o644, false, false),
        ] {
            let path = scratch.file(b"x", mode);
            let gid = metadata(&path).expect("metadata").gid();
            assert_eq!(check_closed_to_others(&path).is_ok(), others, "{mode:o}");
            assert_eq!(check_closed_to_other_groups(&path, gid + 1).is_ok(), group, "{mode:o}");
            assert_eq!(check_closed_to_other_groups(&path, gid), Ok(()), "{mode:o}");
        }
    }

    #[test]
    fn access_of_the_worker_follows_from_owner_group_and_mode() {
        let scratch = Scratch::new("worker");
        let path = scratch.file(b"x", 0o640);
        let data = metadata(&path).expect("metadata");
        let (uid, gid) = (data.uid(), data.gid());
        assert!(is_accessible_for(&data, 0, 0));
        assert!(is_accessible_for(&data, uid + 1, gid));
        assert!(!is_accessible_for(&data, uid + 1, gid + 1));
        assert!(
            !is_accessible_for(&metadata(&scratch.file(b"x", 0o040)).expect("metadata"), uid.max(1), gid)
                || uid == 0
        );
    }
}
