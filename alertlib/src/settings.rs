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
/// How long a mail is tried.
pub const RETRY: Duration = Duration::from_secs(3 * 24 * 3600);
/// Events that wait for the collector at most.
pub const QUEUE: usize = 4096;
/// Mails that wait for a relay at most.
pub const OUTBOX: usize = 10_000;
/// Where SMTP listens (RFC 5321, 4.5.4.2).
pub const SMTP_PORT: u16 = 25;

/// The directives of one configuration.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Settings {
    /// `email_alert`, in the order written.
    pub routes: Vec<Route>,
    /// `email_alert.relay`, in the order written.
    pub relays: Vec<Relay>,
    /// `email_alert.host-name`.
    pub host_name: Option<String>,
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
    /// SMTP without encryption.
    Smtp {
        /// Name or address, as written.
        host: String,
        /// TCP port.
        port: u16,
    },
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
        way: Way::Smtp { host: "localhost".to_owned(), port: SMTP_PORT },
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
