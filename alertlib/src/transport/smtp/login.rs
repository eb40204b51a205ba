// SPDX-License-Identifier: MIT OR Apache-2.0
//! Telling a relay who we are: AUTH (RFC 4954) with PLAIN, LOGIN or XOAUTH2.
//!
//! A secret is in no text: neither in the log nor in `Debug`, where `***` stands for it. A password is kept in memory that
//! no core dump has. It, a token, and what is made of them are elsewhere while a login lasts, and are then overwritten.

use super::super::Waits;
use super::session::{Reply, Session};
use super::tls::about;
use crate::ffi::sealed::Sealed;
use crate::files;
use crate::service::User;
use crate::settings::{self, SecretFile};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use nix::fcntl::{OFlag, openat};
use nix::sys::stat::Mode;
use std::ffi::OsString;
use std::fmt;
use std::fs::File;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use zeroize::Zeroizing;

/// Longest secret, in bytes: with it, a command is within the 12,288 bytes of RFC 4954, 4.
const LONGEST: usize = 8192;

/// An account of a relay.
pub struct Login {
    user: Option<String>,
    secret: Secret,
}

enum Secret {
    Password(Sealed),
    Token {
        /// Open since before the chroot. Not the file: it is replaced when the token is refreshed.
        directory: OwnedFd,
        name: OsString,
        /// For the log.
        path: PathBuf,
    },
}

impl fmt::Debug for Login {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.debug_struct("Login").field("user", &self.user).field("secret", &format_args!("***")).finish()
    }
}

/// What the relay did not like.
pub struct Refusal {
    /// `AUTH PLAIN`, ...
    pub step: String,
    /// Its words, or ours; no secret in them.
    pub words: String,
}

/// Looks whether the file has a secret that can be used, and that others cannot read.
///
/// # Errors
///
/// What is wrong with it.
pub fn check(file: &SecretFile) -> Result<(), String> {
    let (SecretFile::Password(path) | SecretFile::Token(path)) = file;
    secret_in(&files::read(path)?)?;
    files::closed_to_others(path)
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

fn directory_of(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if parent != Path::new("") => parent,
        _ => Path::new("."),
    }
}

/// The secret in a file: everything but the end of its only line.
fn secret_in(bytes: &[u8]) -> Result<&[u8], String> {
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

impl Login {
    /// Reads the password, or opens the directory of the token: before the chroot.
    ///
    /// # Errors
    ///
    /// What is wrong with the file.
    pub fn open(login: &settings::Login) -> Result<Self, String> {
        let secret = match &login.secret {
            SecretFile::Password(path) => {
                let bytes = files::read(path).map_err(about("password-file", path))?;
                let kept = secret_in(&bytes)
                    .and_then(|secret| Sealed::new(secret).map_err(|error| files::unreadable(&error)));
                Secret::Password(kept.map_err(about("password-file", path))?)
            }
            SecretFile::Token(path) => {
                let flags = OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
                let directory = nix::fcntl::open(directory_of(path), flags, Mode::empty())
                    .map_err(|error| about("oauth-token-file", path)(files::unreadable(&error.into())))?;
                let name = path.file_name().unwrap_or_default().to_owned();
                Secret::Token { directory, name, path: path.clone() }
            }
        };
        Ok(Login { user: login.user.clone(), secret })
    }

    /// The account for a sender: a session is of one account.
    pub fn account<'a>(&'a self, sender: &'a str) -> &'a str {
        self.user.as_deref().unwrap_or(sender)
    }

    /// Logs in. `offered`: the relay's mechanisms. `waits` is called before a reply that does not come at once.
    ///
    /// # Errors
    ///
    /// The session is of no use.
    pub fn authenticate(
        &self,
        session: &mut Session,
        offered: &[String],
        account: &str,
        waits: Waits,
    ) -> Result<(), Refusal> {
        let refusal = |step: &str, words: String| Refusal { step: step.to_owned(), words };
        let offers = |mechanism: &str| offered.iter().any(|offer| offer.eq_ignore_ascii_case(mechanism));
        let (mechanisms, password): (&[&str], bool) = match &self.secret {
            Secret::Password(_) => (&["PLAIN", "LOGIN"], true),
            Secret::Token { .. } => (&["XOAUTH2"], false),
        };
        let Some(mechanism) = mechanisms.iter().find(|mechanism| offers(mechanism)) else {
            let other = if offered.is_empty() { "nothing".to_owned() } else { offered.join(", ") };
            let words = format!("the relay offers {other}; expected {}", mechanisms.join(" or "));
            return Err(refusal("AUTH", words));
        };
        let step = format!("AUTH {mechanism}");
        let secret = self.secret().map_err(|words| refusal(&step, words))?;
        let lines = match (*mechanism, password) {
            ("LOGIN", _) => vec![Zeroizing::new(step.clone()), encoded(account.as_bytes()), encoded(&secret)],
            ("PLAIN", _) => vec![command(&step, &[b"\0", account.as_bytes(), b"\0", &secret])],
            // An empty line asks for the refusal behind its explanation, which is for programmers.
            _ => vec![
                command(&step, &[b"user=", account.as_bytes(), b"\x01auth=Bearer ", &secret, b"\x01\x01"]),
                Zeroizing::new(String::new()),
            ],
        };
        let reply = converse(session, &lines, waits).map_err(|words| refusal(&step, words))?;
        match reply.code {
            200..=299 => Ok(()),
            _ => Err(refusal(&step, without_secrets(&reply.to_string(), &lines, &secret))),
        }
    }

    fn secret(&self) -> Result<Zeroizing<Vec<u8>>, String> {
        match &self.secret {
            Secret::Password(password) => Ok(Zeroizing::new(password.to_vec())),
            Secret::Token { directory, name, path } => {
                // Not to wait for a pipe.
                let flags = OFlag::O_RDONLY | OFlag::O_NONBLOCK | OFlag::O_CLOEXEC;
                openat(directory, name.as_os_str(), flags, Mode::empty())
                    .map_err(|error| files::unreadable(&error.into()))
                    .and_then(|file| files::read_open(File::from(file)))
                    .and_then(|bytes| Ok(Zeroizing::new(secret_in(&bytes)?.to_vec())))
                    .map_err(about("oauth-token-file", path))
            }
        }
    }
}

/// Sends the first line, and each of the others when the relay asks for more.
fn converse(session: &mut Session, lines: &[Zeroizing<String>], waits: Waits) -> Result<Reply, String> {
    const ASKS: u16 = 334;
    let mut reply = None;
    for line in lines {
        let answer = session.exchange(&[line.as_bytes(), b"\r\n"], waits)?;
        let goes_on = answer.code == ASKS;
        reply = Some(answer);
        if !goes_on {
            break;
        }
    }
    reply.ok_or_else(|| "nothing to say".to_owned())
}

fn encoded(bytes: &[u8]) -> Zeroizing<String> {
    Zeroizing::new(STANDARD.encode(bytes))
}

fn command(step: &str, parts: &[&[u8]]) -> Zeroizing<String> {
    let response = Zeroizing::new(parts.concat());
    let response = encoded(&response);
    let mut line = String::with_capacity(step.len() + 1 + response.len());
    line.push_str(step);
    line.push(' ');
    line.push_str(&response);
    Zeroizing::new(line)
}

/// A relay's words, which may repeat what it was told.
fn without_secrets(words: &str, lines: &[Zeroizing<String>], secret: &[u8]) -> String {
    const HIDDEN: &str = "***";
    // Shorter ones would be found where they are not.
    const RECOGNISABLE: usize = 4;
    let sent = lines.iter().filter_map(|line| line.rsplit(' ').next());
    let secret = std::str::from_utf8(secret).ok();
    sent.chain(secret)
        .filter(|text| text.len() >= RECOGNISABLE && !matches!(*text, "PLAIN" | "LOGIN" | "XOAUTH2"))
        .fold(words.to_owned(), |words, text| words.replace(text, HIDDEN))
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

    #[test]
    fn no_secret_is_in_what_is_printed() {
        let login = Login {
            user: Some("bob".into()),
            secret: Secret::Password(Sealed::new(b"hunter2").expect("memory")),
        };
        let printed = format!("{login:?}");
        assert_eq!(printed, "Login { user: Some(\"bob\"), secret: *** }");
        let path = std::env::temp_dir().join(format!("email-alert-login.{}", std::process::id()));
        std::fs::write(&path, "hunter2\n").expect("a file");
        std::fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(0o600))
            .expect("its mode");
        let mut settings = settings::Settings::default();
        let relay = format!("email_alert.relay mx localhost user bob password-file {}", path.display());
        for line in ["email_alert ops@example.com", &relay] {
            crate::directive::parse(&mut settings, &line.split(' ').collect::<Vec<_>>()).expect(line);
        }
        let plan = settings.plan("lb1").expect("a plan");
        let Some(settings::Way::Smtp(smtp)) = plan.relays.first().map(|relay| &relay.way) else {
            panic!("not SMTP")
        };
        let login = Login::open(smtp.login.as_ref().expect("a login")).expect("a password");
        let printed = format!("{settings:?} {plan:?} {login:?} {:?}", settings.relays);
        std::fs::remove_file(&path).expect("our own file");
        assert!(printed.contains("bob") && !printed.contains("hunter2"), "{printed}");
        assert!(matches!(&login.secret, Secret::Password(password) if **password == *b"hunter2"));

        let line = command("AUTH PLAIN", &[b"\0bob\0hunter2"]);
        let lines = [line.clone()];
        let words = without_secrets(&format!("501 what is {}, hunter2", *line), &lines, b"hunter2");
        assert_eq!(words, "501 what is AUTH PLAIN ***, ***");
    }
}
