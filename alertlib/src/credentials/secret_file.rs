// SPDX-License-Identifier: MIT OR Apache-2.0
//! Files with a password or a token: one line, closed to others.

use super::about;
use crate::files;
use crate::settings::SecretFile;
use crate::sys::User;
use std::path::Path;

/// Longest secret, in bytes: with it, a command is within the 12,288 bytes of RFC 4954, 4.
const LONGEST: usize = 8192;

/// Looks whether the file has a secret that can be used, and that others cannot read.
///
/// # Errors
///
/// What is wrong with it.
pub fn check(file: &SecretFile) -> Result<(), String> {
    let (SecretFile::Password(path) | SecretFile::Token(path)) = file;
    secret_in(&files::read(path)?)?;
    files::check_closed_to_others(path)
}

/// Looks at what depends on the worker's user.
///
/// # Errors
///
/// The group may read it and is not the worker's, or the worker may not read what it has to.
pub fn check_for(file: &SecretFile, user: User) -> Result<(), String> {
    match file {
        SecretFile::Password(path) => {
            files::closed_to_other_groups(path, user.gid).map_err(about("password-file", path))
        }
        SecretFile::Token(path) => files::closed_to_other_groups(path, user.gid)
            .and_then(|()| is_readable_for(path, user))
            .map_err(about("oauth-token-file", path)),
    }
}

/// The worker reads it for each session.
fn is_readable_for(path: &Path, user: User) -> Result<(), String> {
    let User { uid, gid } = user;
    for place in [path, directory_of(path)] {
        if !files::is_usable_for(&files::data_of(place)?, uid, gid) {
            return Err(format!(
                "is not readable for HAProxy's user id {uid}, group id {gid}, which has to read it for each session: \
                 see the mode of '{}'",
                place.display()
            ));
        }
    }
    Ok(())
}

/// The directory of a file: `.` where the path has none.
pub fn directory_of(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if parent != Path::new("") => parent,
        _ => Path::new("."),
    }
}

/// The secret in a file: everything but the end of its only line.
///
/// # Errors
///
/// It is empty, too long, or has several lines.
pub fn secret_in(bytes: &[u8]) -> Result<&[u8], String> {
    let secret = bytes.strip_suffix(b"\n").unwrap_or(bytes);
    let secret = secret.strip_suffix(b"\r").unwrap_or(secret);
    match secret {
        [] => Err("has nothing but a line end".to_owned()),
        _ if secret.len() > LONGEST => Err(format!("has more than {LONGEST} bytes")),
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
    fn the_end_of_the_line_is_not_part_of_the_secret() {
        for (file, secret) in [
            (&b"pass"[..], &b"pass"[..]),
            (b"pass\n", b"pass"),
            (b"pass\r\n", b"pass"),
            (b" pass word \n", b" pass word "),
        ] {
            assert_eq!(secret_in(file), Ok(secret));
        }
        for file in [&b"\n"[..], b"a\nb\n", b"a\0", b"a\n\n", &[b'x'; LONGEST + 1]] {
            assert!(secret_in(file).is_err(), "{file:?}");
        }
    }
}
