// SPDX-License-Identifier: MIT OR Apache-2.0
//! The files that a relay needs (certificates, keys, passwords, tokens): read whole, bounded, and judged.
//!
//! Errors are the end of a sentence that begins with the file's name.

use crate::sys::error_text;
use nix::fcntl::AtFlags;
use nix::sys::stat::FileStat;
use nix::unistd::{AccessFlags, faccessat, getgid};
use std::fs::{File, Metadata};
use std::io::{ErrorKind, Read};
use std::os::fd::AsFd;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use zeroize::Zeroizing;

/// Largest file, in bytes: a system's whole set of certificates has a quarter of it.
pub const LARGEST: u64 = 1 << 20;

/// What is in the file; it is gone from memory when dropped, since it may be secret.
///
/// # Errors
///
/// It is no such file: what is wrong with it.
pub fn read(path: &Path) -> Result<Zeroizing<Vec<u8>>, String> {
    // Looked at before it is opened: opening a pipe would wait.
    let data = data_of(path)?;
    if !data.is_file() {
        return Err("is not a file".to_owned());
    }
    read_open(File::open(path).map_err(|error| unreadable(&error))?)
}

/// The same for a file that is open.
///
/// # Errors
///
/// As for [`read`].
pub fn read_open(file: File) -> Result<Zeroizing<Vec<u8>>, String> {
    let data = file.metadata().map_err(|error| unreadable(&error))?;
    if !data.is_file() {
        return Err("is not a file".to_owned());
    }
    // Room for all of it and a probe of its end: a buffer that grows leaves copies behind.
    let mut bytes = Zeroizing::new(Vec::with_capacity(data.len().min(LARGEST) as usize + 64));
    file.take(LARGEST + 1).read_to_end(&mut bytes).map_err(|error| unreadable(&error))?;
    match bytes.len() as u64 {
        0 => Err("is empty".to_owned()),
        size if size > LARGEST => Err("is larger than 1 MiB".to_owned()),
        _ => Ok(bytes),
    }
}

/// Is the file closed to those who are neither its owner nor in its group?
///
/// # Errors
///
/// It is not, or cannot be looked at.
pub fn check_closed_to_others(path: &Path) -> Result<(), String> {
    match data_of(path)?.mode() & 0o006 {
        0 => Ok(()),
        _ => Err(format!(
            "is open to everybody; expected a file for its owner alone: chmod 600 {}",
            path.display()
        )),
    }
}

/// Is the file closed to every group but the worker's, `gid` (0: it stays ours)?
///
/// # Errors
///
/// It is not, or cannot be looked at.
pub fn closed_to_other_groups(path: &Path, gid: u32) -> Result<(), String> {
    let data = data_of(path)?;
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

/// May this user read what has this metadata, or pass through it if it is a directory?
pub fn is_usable_for(data: &Metadata, uid: u32, gid: u32) -> bool {
    let bit = if data.is_dir() { 0o1 } else { 0o4 };
    let shift = match () {
        () if uid == 0 => return true,
        () if uid == data.uid() => 6,
        () if gid == data.gid() => 3,
        () => 0,
    };
    data.mode() >> shift & bit == bit
}

/// May this user make files in the directory? An access check by root says nothing of the unprivileged worker, so the mode
/// decides for every other user.
pub fn may_write(directory: impl AsFd, data: &FileStat, uid: u32, gid: u32) -> bool {
    let may = |shift: u32| data.st_mode >> shift & 0o3 == 0o3;
    match (uid, gid) {
        (0, _) => faccessat(directory, ".", AccessFlags::W_OK, AtFlags::empty()).is_ok(),
        (uid, _) if uid == data.st_uid => may(6),
        (_, gid) if gid == data.st_gid => may(3),
        _ => may(0),
    }
}

/// # Errors
///
/// It is not there, or may not be looked at.
pub fn data_of(path: &Path) -> Result<Metadata, String> {
    path.metadata().map_err(|error| unreadable(&error))
}

/// The system's words in ours.
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

    /// A directory that is gone at the end.
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
    fn files_are_bounded_and_not_empty() {
        let scratch = Scratch::new("bounded");
        let read_of = |content: &[u8]| read(&scratch.file(content, 0o600)).map(|bytes| bytes.len());
        assert_eq!(read_of(b"secret"), Ok(6));
        assert_eq!(read_of(b""), Err("is empty".into()));
        assert_eq!(read_of(&vec![b'x'; LARGEST as usize]), Ok(LARGEST as usize));
        assert_eq!(read_of(&vec![b'x'; LARGEST as usize + 1]), Err("is larger than 1 MiB".into()));
        assert_eq!(read(&scratch.0).map(drop), Err("is not a file".into()));
        assert_eq!(read(&scratch.0.join("missing")).map(drop), Err("does not exist".into()));
    }

    #[test]
    fn a_secret_is_its_owners_or_also_the_workers_group() {
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
            let gid = data_of(&path).expect("its data").gid();
            assert_eq!(check_closed_to_others(&path).is_ok(), others, "{mode:o}");
            assert_eq!(closed_to_other_groups(&path, gid + 1).is_ok(), group, "{mode:o}");
            assert_eq!(closed_to_other_groups(&path, gid), Ok(()), "{mode:o}");
        }
    }

    #[test]
    fn what_the_worker_may_read_follows_from_the_mode() {
        let scratch = Scratch::new("worker");
        let path = scratch.file(b"x", 0o640);
        let data = data_of(&path).expect("its data");
        let (uid, gid) = (data.uid(), data.gid());
        assert!(is_usable_for(&data, 0, 0));
        assert!(is_usable_for(&data, uid + 1, gid));
        assert!(!is_usable_for(&data, uid + 1, gid + 1));
        assert!(
            !is_usable_for(&data_of(&scratch.file(b"x", 0o040)).expect("its data"), uid.max(1), gid)
                || uid == 0
        );
    }
}
