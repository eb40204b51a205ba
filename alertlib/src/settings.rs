// SPDX-License-Identifier: MIT OR Apache-2.0
//! What the administrator wrote, typed: routes, relays, defaults and limits.

use crate::event::Kinds;
use lettre::Address;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Where a step of an SMTP session ends at the latest, unless the relay has `timeout`.
pub const SMTP_TIMEOUT: Duration = Duration::from_secs(10);
/// When `sendmail` or `mailx` is killed, unless the relay has `timeout`.
pub const COMMAND_TIMEOUT: Duration = Duration::from_secs(30);
/// How long a mail is tried without `email_alert.retry`.
pub const RETRY: Duration = Duration::from_secs(3 * 24 * 3600);
/// Events that wait for the collector at most.
pub const QUEUE: usize = 4096;
/// Mails that wait for a relay in memory at most; those in the spool do not count.
pub const OUTBOX: usize = 10_000;
/// The spool's bound, in bytes, without `max-size`.
pub const SPOOL_SIZE: u64 = 256 * 1024 * 1024;
/// Where SMTP listens (RFC 5321, 4.5.4.2).
pub const SMTP_PORT: u16 = 25;
/// Where submission listens, which begins unencrypted (RFC 6409, 3.1).
pub const STARTTLS_PORT: u16 = 587;
/// Where submission listens that begins with TLS (RFC 8314, 7.3).
pub const TLS_PORT: u16 = 465;

/// The directives of one configuration.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Settings {
    /// `email_alert`, in the order written.
    pub routes: Vec<Route>,
    /// `email_alert.relay`, in the order written.
    pub relays: Vec<Relay>,
    /// `email_alert.host-name`.
    pub host_name: Option<String>,
    /// `email_alert.spool`.
    pub spool: Option<SpoolPlace>,
    /// `email_alert.retry`.
    pub retry: Option<Duration>,
}

/// The `email_alert.spool` line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SpoolPlace {
    /// An existing directory.
    pub directory: PathBuf,
    /// Of its mails, in bytes.
    pub max_size: u64,
}

/// One `email_alert` line: who gets mails of what.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Route {
    /// Recipients, each once.
    pub to: Vec<Name>,
    /// The sender, if it is not `haproxy@<host>`.
    pub from: Option<Name>,
    /// What for.
    pub kinds: Kinds,
}

/// An address as written: complete, or a local name that gets the host's name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Name {
    /// `ops@example.com`
    Address(Address),
    /// `root`
    Local(String),
}

/// What an address must not begin with: mail programs take it for something else.
pub const BAD_STARTS: [char; 6] = ['-', '|', '/', ':', '~', '+'];

/// Would it need quotes in an envelope, a header or a shell?
pub fn is_bad_in_address(char: char) -> bool {
    char.is_whitespace() || char.is_control() || "<>()[]\\,;:\"'`$".contains(char)
}

/// An address of an envelope (RFC 5321).
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Recipient {
    /// For SMTP and the headers.
    pub address: Address,
    /// It was written without a domain: a `sendmail` of this machine gets it so.
    pub is_local: bool,
}

impl Recipient {
    /// The address as `sendmail` and `mailx` should get it.
    pub fn for_command(&self) -> &str {
        if self.is_local { self.address.user() } else { self.address.as_ref() }
    }

    /// Only relays that know SMTPUTF8 (RFC 6531) take it.
    pub fn is_international(&self) -> bool {
        let address: &str = self.address.as_ref();
        !address.is_ascii()
    }
}

/// One `email_alert.relay` line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Relay {
    /// Its name, for the log.
    pub name: String,
    /// How it takes mails.
    pub way: Way,
    /// Smtp: the limit of each step. Command: of the whole run. File: not used.
    pub timeout: Duration,
}

/// How a relay takes mails.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Way {
    /// A server that speaks SMTP.
    Smtp(Smtp),
    /// A program of this machine.
    Command {
        /// How it is called.
        flavour: Flavour,
        /// Its absolute path.
        path: PathBuf,
    },
    /// One `.eml` file a mail.
    File {
        /// An existing directory.
        directory: PathBuf,
    },
}

/// A server that speaks SMTP.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Smtp {
    /// Name or address, as written; a name in its ASCII form.
    pub host: String,
    /// TCP port.
    pub port: u16,
    /// How its sessions are protected.
    pub security: Security,
    /// How it is told who we are.
    pub login: Option<Login>,
    /// The name that it is greeted with, if it is not this machine's.
    pub helo: Option<String>,
}

impl Smtp {
    /// SMTP without anything else.
    pub fn plain(host: &str, port: u16) -> Self {
        Smtp { host: host.to_owned(), port, security: Security::Plaintext, login: None, helo: None }
    }

    /// Its address may change while HAProxy runs: it is a name that is looked up.
    pub fn has_name(&self) -> bool {
        self.host.parse::<IpAddr>().is_err() && !is_loopback(&self.host)
    }
}

/// How the sessions with a relay are protected.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Security {
    /// Not at all.
    Plaintext,
    /// From the STARTTLS command on, before any mail; a relay without it is of no use (RFC 3207).
    StartTls(Tls),
    /// From the first byte on (RFC 8314, 3.3).
    Tls(Tls),
}

/// What TLS needs to know.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tls {
    /// Whose certificates are good.
    pub trust: Trust,
    /// PEM file with our own certificate and its key.
    pub identity: Option<PathBuf>,
    /// The name in the relay's certificate, if it is not the host.
    pub name: Option<String>,
}

/// Whose certificates are good.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Trust {
    /// Those of the authorities that this machine trusts.
    System,
    /// Those of the authorities in this PEM file.
    File(PathBuf),
    /// Everybody's.
    Anybody,
}

/// How a relay is told who we are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Login {
    /// The account, if it is not the sender's address.
    pub user: Option<String>,
    /// Where its secret is.
    pub secret: SecretFile,
}

/// Where a secret is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SecretFile {
    /// A file with a password: read once.
    Password(PathBuf),
    /// A file with an OAuth token: read for each session, since another program refreshes it.
    Token(PathBuf),
}

/// How a program that sends mail is called.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Flavour {
    /// `sendmail -i -f <from> -- <to>...`, the whole mail on standard input.
    Sendmail,
    /// `mailx -s <subject> -r <from> -- <to>...`, the text on standard input.
    Mailx,
}

impl Flavour {
    /// The word of the configuration.
    pub fn word(self) -> &'static str {
        match self {
            Flavour::Sendmail => "sendmail",
            Flavour::Mailx => "mailx",
        }
    }

    /// Where distributions put it.
    pub fn usual_paths(self) -> &'static [&'static str] {
        match self {
            Flavour::Sendmail => &["/usr/sbin/sendmail", "/usr/lib/sendmail"],
            Flavour::Mailx => &["/usr/bin/mailx", "/bin/mailx", "/usr/bin/mail"],
        }
    }

    /// The first of the usual paths that exists.
    pub fn find(self) -> Option<PathBuf> {
        self.usual_paths().iter().map(PathBuf::from).find(|path| path.exists())
    }
}

/// Settings with every default filled in: what the threads work with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plan {
    /// This machine's name, in mails and greetings.
    pub host: String,
    /// Who gets what.
    pub routes: Vec<PlannedRoute>,
    /// In the order in which they are tried.
    pub relays: Vec<Relay>,
    /// Where mails survive the process.
    pub spool: Option<SpoolPlace>,
    /// How long a mail is tried.
    pub retry: Duration,
}

/// A [`Route`] with whole addresses.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PlannedRoute {
    /// Recipients, each once.
    pub to: Vec<Recipient>,
    /// The sender.
    pub from: Address,
    /// What for.
    pub kinds: Kinds,
}

impl Settings {
    /// Fills in the defaults. `machine_name`: used without `email_alert.host-name`.
    ///
    /// Errors are for the administrator: what is wrong with the configuration as a whole, and what to do.
    pub fn plan(&self, machine_name: &str) -> Result<Plan, String> {
        if self.routes.is_empty() {
            return Err(
                "there are 'email_alert.*' lines but no 'email_alert <to>' line: nobody would get a mail; \
                        add one, such as: email_alert ops@example.com"
                    .to_owned(),
            );
        }
        let host = self.host_name.as_deref().unwrap_or(machine_name);
        let complete = |name: &Name| -> Result<Recipient, String> {
            match name {
                Name::Address(address) => Ok(Recipient { address: address.clone(), is_local: false }),
                Name::Local(user) => Address::new(user, host)
                    .map(|address| Recipient { address, is_local: true })
                    .map_err(|_| unusable_host(host)),
            }
        };
        let routes = self.routes.iter().map(|route| {
            Ok(PlannedRoute {
                to: route.to.iter().map(complete).collect::<Result<_, String>>()?,
                from: match &route.from {
                    Some(name) => complete(name)?.address,
                    None => Address::new("haproxy", host).map_err(|_| unusable_host(host))?,
                },
                kinds: route.kinds,
            })
        });
        Ok(Plan {
            host: host.to_owned(),
            routes: routes.collect::<Result<_, String>>()?,
            relays: if self.relays.is_empty() { usual_relays() } else { self.relays.clone() },
            spool: self.spool.clone(),
            retry: self.retry.unwrap_or(RETRY),
        })
    }
}

fn unusable_host(host: &str) -> String {
    format!(
        "this machine's name '{}' cannot be the domain of a mail address; \
         add: email_alert.host-name <name>, such as lb1.example.com",
        crate::text::visible(host)
    )
}

/// Without any `email_alert.relay`: the machine's own mail server, else its `sendmail`.
fn usual_relays() -> Vec<Relay> {
    let local = Relay {
        name: "localhost".to_owned(),
        way: Way::Smtp(Smtp::plain("localhost", SMTP_PORT)),
        timeout: SMTP_TIMEOUT,
    };
    let sendmail = Flavour::Sendmail.find().map(|path| Relay {
        name: "sendmail".to_owned(),
        way: Way::Command { flavour: Flavour::Sendmail, path },
        timeout: COMMAND_TIMEOUT,
    });
    [local].into_iter().chain(sendmail).collect()
}

/// Does what is sent to `host` stay on this machine?
pub fn is_loopback(host: &str) -> bool {
    match host.parse::<IpAddr>() {
        Ok(address) => address.is_loopback(),
        Err(_) => host.eq_ignore_ascii_case("localhost"),
    }
}

/// Is it a file that may be executed (by anyone)?
pub fn is_program(path: &Path) -> bool {
    use std::os::unix::fs::PermissionsExt;
    path.metadata().is_ok_and(|data| data.is_file() && data.permissions().mode() & 0o111 != 0)
}
