// SPDX-License-Identifier: MIT OR Apache-2.0
//! Files with a password or a token: one line, readable for their owner and group only.

use super::about;
use crate::files;
use crate::settings::SecretFile;
use crate::sys::User;
use std::path::Path;

/// Length of the longest secret, in bytes: with it, a command is within the 12,288 bytes of RFC 4954, 4.
const MAX_LENGTH: usize = 8192;

/// Checks that the file has a usable secret, and that users other than its owner and group cannot read it.
///
/// # Errors
///
/// The end of a sentence that begins with the file's name.
pub fn check(path: &Path) -> Result<(), String> {
    secret_in(&files::read(path)?)?;
    files::check_closed_to_others(path)
}

/// Checks the permissions that depend on the worker's user.
///
/// # Errors
///
/// The file's group may read it and is not the worker's, or the worker may not read a token. The error begins with the keyword and
/// the file's name.
pub fn check_for_worker(file: &SecretFile, user: User) -> Result<(), String> {
    match file {
        SecretFile::Password(path) => {
            files::check_closed_to_other_groups(path, user.gid).map_err(about("password-file", path))
        }
        SecretFile::Token(path) => files::check_closed_to_other_groups(path, user.gid)
            .and_then(|()| check_readable_for(path, user))
            .map_err(about("oauth-token-file", path)),
    }
}

/// Checks that the worker can read the file, and can search its directory, for each session.
fn check_readable_for(path: &Path, user: User) -> Result<(), String> {
    let User { uid, gid } = user;
    for path in [path, directory_of(path)] {
        if !files::is_accessible_for(&files::metadata(path)?, uid, gid) {
            return Err(format!(
                "is not readable for HAProxy's user id {uid}, group id {gid}, which has to read it for each session: \
                 see the mode of '{}'",
                path.display()
            ));
        }
    }
    Ok(())
}

/// Returns the directory of a file: `.` for a path without one.
pub fn directory_of(path: &Path) -> &Path {
    path.parent().filter(|parent| *parent != Path::new("")).unwrap_or(Path::new("."))
}

/// Returns the secret in a file's content: the only line without its line end.
///
/// # Errors
///
/// The secret is empty, too long, or has several lines or a NUL byte.
pub fn secret_in(bytes: &[u8]) -> Result<&[u8], String> {
    let secret = bytes.strip_suffix(b"\n").unwrap_or(bytes);
    let secret = secret.strip_suffix(b"\r").unwrap_or(secret);
    match secret {
        [] => Err("has nothing but a line end".to_owned()),
        _ if secret.len() > MAX_LENGTH => Err(format!("has more than {MAX_LENGTH} bytes")),
        _ if secret.iter().any(|byte| matches!(byte, b'\n' | b'\r' | 0)) => {
            Err("has more than one line, or a NUL byte".to_owned())
        }
        _ => Ok(secret),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_line_end_is_not_part_of_the_secret() {
        for (file, secret) in [
            (&b"pass"[..], &b"pass"[..]),
            (b"pass\n", b"pass"),
            (b"pass\r\n", b"pass"),
            (b" pass word \n", b" pass word "),
        ] {
            assert_eq!(secret_in(file), Ok(secret));
        }
        for file in [&b"\n"[..], b"a\nb\n", b"a\0", b"a\n\n", &[b'x'; MAX_LENGTH + 1]] {
            assert!(secret_in(file).is_err(), "{file:?}");
        }
    }
}
