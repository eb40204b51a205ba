// SPDX-License-Identifier: MIT OR Apache-2.0
//! Authentication at a relay: AUTH (RFC 4954) with PLAIN, LOGIN or XOAUTH2.
//!
//! Neither the log nor `Debug` shows a secret: `***` stands for it. A password is kept in memory that is excluded from core dumps.
//! Copies of it, tokens, and lines that are made of them exist elsewhere only during a login, and are then overwritten.

use super::session::{Reply, Session};
use crate::credentials::{about, directory_of, secret_in};
use crate::files;
use crate::settings::{self, SecretFile};
use crate::sys::secret::SecretBytes;
use crate::transport::DeliveryError;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use nix::fcntl::OFlag;
use nix::sys::stat::Mode;
use std::fmt;
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use zeroize::Zeroizing;

/// An account of a relay.
pub struct Login {
    user: Option<String>,
    secret: Secret,
}

enum Secret {
    Password(SecretBytes),
    Token {
        /// Opened before the chroot. The directory and not the file, which is replaced when the token is refreshed.
        directory: OwnedFd,
        path: PathBuf,
    },
}

impl fmt::Debug for Login {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.debug_struct("Login").field("user", &self.user).field("secret", &format_args!("***")).finish()
    }
}

impl Login {
    /// Reads the password, or opens the directory of the token, before the chroot.
    ///
    /// # Errors
    ///
    /// The file or directory cannot be used.
    pub fn open(login: &settings::Login) -> Result<Self, String> {
        let secret = match &login.secret {
            SecretFile::Password(path) => {
                let password = files::read(path).and_then(|bytes| {
                    SecretBytes::new(secret_in(&bytes)?).map_err(|error| files::unreadable(&error))
                });
                Secret::Password(password.map_err(about("password-file", path))?)
            }
            SecretFile::Token(path) => {
                let flags = OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
                let directory = nix::fcntl::open(directory_of(path), flags, Mode::empty())
                    .map_err(|error| about("oauth-token-file", path)(files::unreadable(&error.into())))?;
                Secret::Token { directory, path: path.clone() }
            }
        };
        Ok(Login { user: login.user.clone(), secret })
    }

    /// Returns the account for a sender: the configured one, else the sender itself. A session belongs to one account.
    pub fn account<'a>(&'a self, sender: &'a str) -> &'a str {
        self.user.as_deref().unwrap_or(sender)
    }

    /// Logs in. `offered`: the relay's mechanisms.
    ///
    /// # Errors
    ///
    /// The relay refused the login, or offers no usable mechanism: no mail can be sent in this session. The error has no secrets.
    pub fn authenticate(
        &self,
        session: &mut Session,
        offered: &[String],
        account: &str,
    ) -> Result<(), DeliveryError> {
        let offers = |mechanism: &str| offered.iter().any(|offer| offer.eq_ignore_ascii_case(mechanism));
        let mechanisms: &[&str] = match &self.secret {
            Secret::Password(_) => &["PLAIN", "LOGIN"],
            Secret::Token { .. } => &["XOAUTH2"],
        };
        let Some(mechanism) = mechanisms.iter().find(|mechanism| offers(mechanism)) else {
            let offered = if offered.is_empty() { "nothing".to_owned() } else { offered.join(", ") };
            let text = format!("the relay offers {offered}; expected {}", mechanisms.join(" or "));
            return Err(DeliveryError::new("AUTH", text));
        };
        let step = format!("AUTH {mechanism}");
        let secret = self.secret().map_err(|why| DeliveryError::new(&step, why))?;
        let account = account.as_bytes();
        let lines = match *mechanism {
            "LOGIN" => vec![line(&step, &[]), line("", &[account]), line("", &[&secret])],
            "PLAIN" => vec![line("AUTH PLAIN ", &[b"\0", account, b"\0", &secret])],
            // After an error in JSON the relay waits for an empty line, and then sends its refusal.
            _ => vec![
                line("AUTH XOAUTH2 ", &[b"user=", account, b"\x01auth=Bearer ", &secret, b"\x01\x01"]),
                line("", &[]),
            ],
        };
        let reply = send_lines(session, &lines).map_err(|why| DeliveryError::new(&step, why))?;
        match reply.code {
            200..=299 => Ok(()),
            _ => Err(DeliveryError::new(step, without_secrets(&reply.to_string(), &lines, &secret))),
        }
    }

    fn secret(&self) -> Result<Zeroizing<Vec<u8>>, String> {
        match &self.secret {
            Secret::Password(password) => Ok(Zeroizing::new(password.to_vec())),
            Secret::Token { directory, path } => {
                files::read_at(directory, path.file_name().unwrap_or_default().as_ref())
                    .and_then(|bytes| Ok(Zeroizing::new(secret_in(&bytes)?.to_vec())))
                    .map_err(about("oauth-token-file", path))
            }
        }
    }
}

/// Sends the first line, and each further line when the relay requests it. Returns the last reply.
fn send_lines(session: &mut Session, lines: &[Zeroizing<String>]) -> Result<Reply, String> {
    const CONTINUE: u16 = 334;
    let mut reply = Err("nothing to say".to_owned());
    for line in lines {
        reply = session.exchange(line.as_bytes());
        if !reply.as_ref().is_ok_and(|reply| reply.code == CONTINUE) {
            break;
        }
    }
    reply
}

/// Returns a line: the beginning of a command, and a response in Base64. No copy of the response is left in memory.
fn line(command: &str, response: &[&[u8]]) -> Zeroizing<String> {
    let response = Zeroizing::new(response.concat());
    let response = Zeroizing::new(STANDARD.encode(&response));
    Zeroizing::new([command, &response, "\r\n"].concat())
}

/// Removes secrets from a relay's text, which may repeat a line that was sent.
fn without_secrets(text: &str, lines: &[Zeroizing<String>], secret: &[u8]) -> String {
    const HIDDEN: &str = "***";
    // Shorter texts would match by chance.
    const RECOGNISABLE: usize = 4;
    let sent = lines.iter().filter_map(|line| line.trim_end().rsplit(' ').next());
    let secret = std::str::from_utf8(secret).ok();
    sent.chain(secret)
        .filter(|sent| sent.len() >= RECOGNISABLE && !matches!(*sent, "PLAIN" | "LOGIN" | "XOAUTH2"))
        .fold(text.to_owned(), |text, sent| text.replace(sent, HIDDEN))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_not_printed() {
        let login = Login {
            user: Some("bob".into()),
            secret: Secret::Password(SecretBytes::new(b"hunter2").expect("memory")),
        };
        let printed = format!("{login:?}");
        assert_eq!(printed, "Login { user: Some(\"bob\"), secret: *** }");
        let path = std::env::temp_dir().join(format!("email-alert-login.{}", std::process::id()));
        std::fs::write(&path, "hunter2\n").expect("a file");
        std::fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(0o600))
            .expect("its mode");
        let login_setting =
            settings::Login { user: Some("bob".into()), secret: SecretFile::Password(path.clone()) };
        let smtp = settings::Smtp { login: Some(login_setting), ..settings::Smtp::plain("localhost", 25) };
        let relay = settings::Relay {
            name: "mx".into(),
            kind: settings::RelayKind::Smtp(smtp.clone()),
            timeout: settings::SMTP_TIMEOUT,
        };
        let config = settings::Config { relays: vec![relay], ..settings::sample_config() };
        let login = Login::open(smtp.login.as_ref().expect("a login")).expect("a password");
        let printed = format!("{config:?} {login:?}");
        std::fs::remove_file(&path).expect("our own file");
        assert!(printed.contains("bob") && !printed.contains("hunter2"), "{printed}");
        assert!(matches!(&login.secret, Secret::Password(password) if **password == *b"hunter2"));

        let line = line("AUTH PLAIN ", &[b"\0bob\0hunter2"]);
        let lines = [line.clone()];
        let text = without_secrets(&format!("501 what is {}, hunter2", line.trim_end()), &lines, b"hunter2");
        assert_eq!(text, "501 what is AUTH PLAIN ***, ***");
    }
}
