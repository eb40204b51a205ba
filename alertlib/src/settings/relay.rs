// SPDX-License-Identifier: MIT OR Apache-2.0
//! Relays: mail servers, mail programs and directories that accept mails.

use super::defaults::{COMMAND_TIMEOUT, SMTP_PORT, SMTP_TIMEOUT};
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// One `email_alert.relay` line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Relay {
    /// Its name in the log.
    pub name: String,
    /// Protocol or program that accepts the mails.
    pub kind: RelayKind,
    /// SMTP: limit of each step. Command: limit of the whole run. File: not used.
    pub timeout: Duration,
}

/// Protocol or program that accepts a relay's mails.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RelayKind {
    /// A server that speaks SMTP.
    Smtp(Smtp),
    /// A program of this machine.
    Command {
        /// Calling convention.
        program: MailProgram,
        /// Absolute path.
        path: PathBuf,
    },
    /// A directory that gets one `.eml` file for each mail.
    File {
        /// An existing directory.
        directory: PathBuf,
    },
}

/// A server that speaks SMTP.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Smtp {
    /// Name (in its ASCII form) or address, as written.
    pub host: String,
    /// TCP port.
    pub port: u16,
    /// Encryption of the sessions; `None`: no encryption.
    pub tls: Option<Tls>,
    /// Account for AUTH; `None`: no AUTH.
    pub login: Option<Login>,
    /// Argument of EHLO, if it is not this machine's name.
    pub helo: Option<String>,
}

impl Smtp {
    /// Returns a server without encryption and AUTH.
    pub fn plain(host: &str, port: u16) -> Self {
        Smtp { host: host.to_owned(), port, tls: None, login: None, helo: None }
    }

    /// Returns true if the host is a name that must be resolved: its address may change while HAProxy runs.
    pub fn has_name(&self) -> bool {
        self.host.parse::<IpAddr>().is_err() && !is_loopback(&self.host)
    }
}

/// Settings of TLS.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tls {
    /// True: TLS from the STARTTLS command on, before any mail. A relay that does not offer STARTTLS gets no mail (RFC 3207). False:
    /// from the first byte on (RFC 8314, 3.3).
    pub is_starttls: bool,
    /// Verification of the relay's certificate.
    pub trust: Trust,
    /// PEM file with the client certificate and its key.
    pub identity: Option<PathBuf>,
    /// Expected name in the relay's certificate, if it is not the host.
    pub name: Option<String>,
}

/// Verification of the relay's certificate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Trust {
    /// The certificate must be issued by an authority that this machine trusts.
    System,
    /// The certificate must be issued by an authority in this PEM file.
    File(PathBuf),
    /// The relay's certificate is not verified.
    Unverified,
}

/// Account for AUTH.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Login {
    /// The user, if it is not the sender's address.
    pub user: Option<String>,
    /// File with the user's secret.
    pub secret: SecretFile,
}

/// File with a secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SecretFile {
    /// A password: read once.
    Password(PathBuf),
    /// An OAuth token: read for each session, since another program refreshes it.
    Token(PathBuf),
}

/// Calling convention of a program that sends mails.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MailProgram {
    /// `sendmail -i -f <from> -- <to>...`, the whole mail on standard input.
    Sendmail,
    /// `mailx -s <subject> -r <from> -- <to>...`, the text on standard input.
    Mailx,
}

impl MailProgram {
    /// Returns the keyword of the configuration.
    pub fn word(self) -> &'static str {
        match self {
            MailProgram::Sendmail => "sendmail",
            MailProgram::Mailx => "mailx",
        }
    }

    /// Returns the paths under which distributions install it.
    pub fn default_paths(self) -> &'static [&'static str] {
        match self {
            MailProgram::Sendmail => &["/usr/sbin/sendmail", "/usr/lib/sendmail"],
            MailProgram::Mailx => &["/usr/bin/mailx", "/bin/mailx", "/usr/bin/mail"],
        }
    }

    /// Returns the first of the default paths that exists.
    pub fn find(self) -> Option<PathBuf> {
        self.default_paths().iter().map(PathBuf::from).find(|path| path.exists())
    }
}

/// Returns the relays for a configuration without `email_alert.relay`: the machine's own mail server, then its `sendmail`.
pub(super) fn default_relays() -> Vec<Relay> {
    let local = Relay {
        name: "localhost".to_owned(),
        kind: RelayKind::Smtp(Smtp::plain("localhost", SMTP_PORT)),
        timeout: SMTP_TIMEOUT,
    };
    let sendmail = MailProgram::Sendmail.find().map(|path| Relay {
        name: "sendmail".to_owned(),
        kind: RelayKind::Command { program: MailProgram::Sendmail, path },
        timeout: COMMAND_TIMEOUT,
    });
    [local].into_iter().chain(sendmail).collect()
}

/// Returns true if traffic to `host` does not leave this machine.
pub fn is_loopback(host: &str) -> bool {
    match host.parse::<IpAddr>() {
        Ok(address) => address.is_loopback(),
        Err(_) => host.eq_ignore_ascii_case("localhost"),
    }
}

/// Returns true for a file with an execute permission, no matter for which user.
pub fn is_program(path: &Path) -> bool {
    use std::os::unix::fs::PermissionsExt;
    path.metadata().is_ok_and(|data| data.is_file() && data.permissions().mode() & 0o111 != 0)
}
