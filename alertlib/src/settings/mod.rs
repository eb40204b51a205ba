// SPDX-License-Identifier: MIT OR Apache-2.0
//! What the administrator wrote, typed: routes, relays, defaults and limits.

mod link;
mod subject;

pub use link::Link;
pub use subject::{DEFAULT_SUBJECT, Piece, SubjectError, SubjectFormat, Variable, variables};

use crate::event::{Kinds, Level};
use crate::text::{bounded, visible};
use lettre::Address;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::Duration;

/// Where a step of an SMTP session ends at the latest, unless the relay has `timeout`.
pub const SMTP_TIMEOUT: Duration = Duration::from_secs(10);
/// When `sendmail` or `mailx` is killed, unless the relay has `timeout`.
pub const COMMAND_TIMEOUT: Duration = Duration::from_secs(30);
/// How long a mail is tried without `email_alert.retry`.
pub const RETRY: Duration = Duration::from_secs(3 * 24 * 3600);
/// How long changes are collected for one mail without `email_alert.digest`.
pub const DIGEST: Duration = Duration::from_secs(5);
/// What flapping is without `email_alert.flap`.
pub const FLAP: Flap = Flap { changes: 6, time: Duration::from_secs(10 * 60) };
/// How often one is reminded of a trouble without `email_alert.remind`.
pub const REMIND: Duration = Duration::from_secs(4 * 3600);
/// Events that wait for the collector at most, without `email_alert.queue`.
pub const QUEUE: usize = 4096;
/// The same with a spool: a disk may make the collector wait for a second, and 10,000 changes must not fill the queue.
pub const SPOOLED_QUEUE: usize = 16_384;
/// The smallest queue: a backend may lose its servers at once.
pub const SMALLEST_QUEUE: usize = 64;
/// The largest one: with 2 KiB an event, 2 GiB.
pub const LARGEST_QUEUE: usize = 1 << 20;
/// Mails that wait for a relay in memory at most; those in the spool do not count.
pub const OUTBOX: usize = 10_000;
/// The same in bytes of memory: a digest may have as many as a thousand small mails.
pub const OUTBOX_SIZE: u64 = 32 * 1024 * 1024;
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
    /// `email_alert.queue`.
    pub queue: Option<usize>,
    /// `email_alert.retry`.
    pub retry: Option<Duration>,
    /// `email_alert.digest`; `Some(None)`: off.
    pub digest: Option<Option<Duration>>,
    /// `email_alert.flap`; `Some(None)`: off.
    pub flap: Option<Option<Flap>>,
    /// `email_alert.remind`; `Some(None)`: off.
    pub remind: Option<Option<Duration>>,
    /// `email_alert.subject`.
    pub subject: Option<SubjectFormat>,
    /// `email_alert.native`.
    pub native: Option<bool>,
    /// `email_alert.stats-uri`; `Some(None)`: off.
    pub statistics: Option<Option<Link>>,
}

/// When a server, or a backend, flaps: from so many changes of its health on, within that time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Flap {
    /// At least 2.
    pub changes: u32,
    /// It is stable again when it has not changed for so long.
    pub time: Duration,
}

/// When what is told; `None`: off.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Policy {
    /// How long changes are collected for one mail.
    pub digest: Option<Duration>,
    /// From when on a server is quiet.
    pub flap: Option<Flap>,
    /// How often one is reminded.
    pub remind: Option<Duration>,
}

/// Servers and backends by name: `web` is the backend and its servers, `web/s1` one of them; `*` stands for any characters.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pattern {
    proxy: String,
    server: Option<String>,
}

impl Pattern {
    /// Is it for this server of that proxy, or for the proxy as a whole (`None`)?
    pub fn fits(&self, proxy: &str, server: Option<&str>) -> bool {
        fits(&self.proxy, proxy)
            && match (&self.server, server) {
                (None, _) => true,
                (Some(_), None) => false,
                (Some(pattern), Some(server)) => fits(pattern, server),
            }
    }
}

/// `*` stands for any characters, also none.
fn fits(pattern: &str, name: &str) -> bool {
    let Some((head, rest)) = pattern.split_once('*') else { return pattern == name };
    let Some(mut name) = name.strip_prefix(head) else { return false };
    let mut pieces: Vec<&str> = rest.split('*').collect();
    let last = pieces.pop().unwrap_or_default();
    for piece in pieces {
        match name.find(piece) {
            Some(place) => name = &name[place + piece.len()..],
            None => return false,
        }
    }
    name.ends_with(last)
}

impl FromStr for Pattern {
    type Err = &'static str;

    fn from_str(word: &str) -> Result<Self, Self::Err> {
        let (proxy, server) = match word.split_once('/') {
            Some((proxy, server)) => (proxy, Some(server)),
            None => (word, None),
        };
        // The characters of HAProxy's own names (invalid_char() in its src/tools.c).
        let is_name = |name: &str| {
            !name.is_empty()
                && name.chars().all(|char| char.is_ascii_alphanumeric() || "_.:-*".contains(char))
        };
        if !is_name(proxy) || server.is_some_and(|server| !is_name(server)) {
            return Err(
                "is not <proxy> or <proxy>/<server>, with letters, digits, '-', '_', '.', ':' and '*'",
            );
        }
        Ok(Pattern { proxy: proxy.to_owned(), server: server.map(str::to_owned) })
    }
}

impl std::fmt::Display for Pattern {
    fn fmt(&self, f: &mut std::fmt::Formatter) -> std::fmt::Result {
        match &self.server {
            Some(server) => write!(f, "{}/{server}", self.proxy),
            None => f.write_str(&self.proxy),
        }
    }
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
    pub to: Vec<WrittenAddress>,
    /// The sender, if it is not `haproxy@<host>`.
    pub from: Option<WrittenAddress>,
    /// Which servers and backends; empty: all.
    pub about: Vec<Pattern>,
    /// What for.
    pub kinds: Kinds,
    /// What is less severe is not for it.
    pub level: Level,
}

/// An address as written: complete, or a local name that gets the host's name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum WrittenAddress {
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
    pub way: RelayKind,
    /// Smtp: the limit of each step. Command: of the whole run. File: not used.
    pub timeout: Duration,
}

/// How a relay takes mails.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RelayKind {
    /// A server that speaks SMTP.
    Smtp(Smtp),
    /// A program of this machine.
    Command {
        /// How it is called.
        program: MailProgram,
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
    /// WrittenAddress or address, as written; a name in its ASCII form.
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
pub enum MailProgram {
    /// `sendmail -i -f <from> -- <to>...`, the whole mail on standard input.
    Sendmail,
    /// `mailx -s <subject> -r <from> -- <to>...`, the text on standard input.
    Mailx,
}

impl MailProgram {
    /// The word of the configuration.
    pub fn word(self) -> &'static str {
        match self {
            MailProgram::Sendmail => "sendmail",
            MailProgram::Mailx => "mailx",
        }
    }

    /// Where distributions put it.
    pub fn usual_paths(self) -> &'static [&'static str] {
        match self {
            MailProgram::Sendmail => &["/usr/sbin/sendmail", "/usr/lib/sendmail"],
            MailProgram::Mailx => &["/usr/bin/mailx", "/bin/mailx", "/usr/bin/mail"],
        }
    }

    /// The first of the usual paths that exists.
    pub fn find(self) -> Option<PathBuf> {
        self.usual_paths().iter().map(PathBuf::from).find(|path| path.exists())
    }
}

/// Settings with every default filled in: what the threads work with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    /// This machine's name, in mails and greetings.
    pub host: String,
    /// Who gets what.
    pub routes: Vec<ResolvedRoute>,
    /// In the order in which they are tried.
    pub relays: Vec<Relay>,
    /// Where mails survive the process.
    pub spool: Option<SpoolPlace>,
    /// Events that wait for the collector at most.
    pub queue: usize,
    /// How long a mail is tried.
    pub retry: Duration,
    /// When what is told.
    pub policy: Policy,
    /// How subjects are made.
    pub subject: SubjectFormat,
    /// What mails link to; `None`: nobody has said anything yet.
    pub statistics: Option<Option<Link>>,
}

/// A [`Route`] with whole addresses.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ResolvedRoute {
    /// Recipients, each once.
    pub to: Vec<Recipient>,
    /// The sender.
    pub from: Address,
    /// Which servers and backends; empty: all.
    pub about: Vec<Pattern>,
    /// What for.
    pub kinds: Kinds,
    /// What is less severe is not for it.
    pub level: Level,
}

impl Settings {
    /// Of no directive.
    pub const fn new() -> Self {
        Settings {
            routes: Vec::new(),
            relays: Vec::new(),
            host_name: None,
            spool: None,
            queue: None,
            retry: None,
            digest: None,
            flap: None,
            remind: None,
            subject: None,
            native: None,
            statistics: None,
        }
    }

    /// Fills in the defaults. `machine_name`: used without `email_alert.host-name`.
    ///
    /// Errors are for the administrator: what is wrong with the configuration as a whole, and what to do.
    pub fn resolve(&self, machine_name: &str) -> Result<Config, String> {
        if self.routes.is_empty() && self.native == Some(true) {
            return Err(
                "'email_alert.native' is on, but no proxy has 'email-alert mailers', and there is no \
                        'email_alert <to>' line: nobody would get a mail"
                    .to_owned(),
            );
        }
        if self.routes.is_empty() {
            return Err(
                "there are 'email_alert.*' lines but no 'email_alert <to>' line: nobody would get a mail; \
                        add one, such as: email_alert ops@example.com"
                    .to_owned(),
            );
        }
        let host = self.host_name.as_deref().unwrap_or(machine_name);
        let complete = |name: &WrittenAddress| -> Result<Recipient, String> {
            match name {
                WrittenAddress::Address(address) => {
                    Ok(Recipient { address: address.clone(), is_local: false })
                }
                WrittenAddress::Local(user) => Address::new(user, host)
                    .map(|address| Recipient { address, is_local: true })
                    .map_err(|_| unusable_host(host)),
            }
        };
        let routes = self.routes.iter().map(|route| {
            Ok(ResolvedRoute {
                to: route.to.iter().map(complete).collect::<Result<_, String>>()?,
                from: match &route.from {
                    Some(name) => complete(name)?.address,
                    None => Address::new("haproxy", host).map_err(|_| unusable_host(host))?,
                },
                about: route.about.clone(),
                kinds: route.kinds,
                level: route.level,
            })
        });
        Ok(Config {
            host: host.to_owned(),
            routes: routes.collect::<Result<_, String>>()?,
            relays: if self.relays.is_empty() { usual_relays() } else { self.relays.clone() },
            queue: self.queue.unwrap_or(if self.spool.is_some() { SPOOLED_QUEUE } else { QUEUE }),
            spool: self.spool.clone(),
            retry: self.retry.unwrap_or(RETRY),
            policy: Policy {
                digest: self.digest.unwrap_or(Some(DIGEST)),
                flap: self.flap.unwrap_or(Some(FLAP)),
                remind: self.remind.unwrap_or(Some(REMIND)),
            },
            subject: self.subject.clone().unwrap_or_default(),
            statistics: self.statistics.clone(),
        })
    }
}

impl Config {
    /// HAProxy has its statistics page at `url`, which counts if the administrator has not said anything about that.
    pub fn set_found_statistics(&mut self, url: &str) {
        if self.statistics.is_some() {
            return;
        }
        match Link::new(url, &self.host) {
            Ok(link) => self.statistics = Some(Some(link)),
            Err(why) => {
                let shown = bounded(visible(url), 100);
                log::warn!(
                    "mails have no link to the statistics page: '{shown}' {why}; see email_alert.stats-uri"
                );
            }
        }
    }
}

fn unusable_host(host: &str) -> String {
    format!(
        "this machine's name '{}' cannot be the domain of a mail address; \
         add: email_alert.host-name <name>, such as lb1.example.com",
        visible(host)
    )
}

/// Without any `email_alert.relay`: the machine's own mail server, else its `sendmail`.
fn usual_relays() -> Vec<Relay> {
    let local = Relay {
        name: "localhost".to_owned(),
        way: RelayKind::Smtp(Smtp::plain("localhost", SMTP_PORT)),
        timeout: SMTP_TIMEOUT,
    };
    let sendmail = MailProgram::Sendmail.find().map(|path| Relay {
        name: "sendmail".to_owned(),
        way: RelayKind::Command { program: MailProgram::Sendmail, path },
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

/// The configuration of `email_alert ops@example.com` on lb1.example.com: for tests.
#[cfg(test)]
pub fn sample_config() -> Config {
    let to = WrittenAddress::Address("ops@example.com".parse().expect("an address"));
    let route = Route { to: vec![to], from: None, about: vec![], kinds: Kinds::usual(), level: Level::Debug };
    let settings = Settings { routes: vec![route], ..Settings::new() };
    settings.resolve("lb1.example.com").expect("a configuration")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_are_names_with_stars() {
        let fits = |pattern: &str, proxy, server| pattern.parse::<Pattern>().map(|p| p.fits(proxy, server));
        for (pattern, proxy, server, expected) in [
            ("web", "web", None, true),
            ("web", "web", Some("s1"), true),
            ("web", "web2", None, false),
            ("web/s1", "web", Some("s1"), true),
            ("web/s1", "web", None, false),
            ("web/*", "web", None, false),
            ("web/*", "web", Some("s1"), true),
            ("*", "web", None, true),
            ("*/db-*", "x", Some("db-1"), true),
            ("*/db-*", "x", Some("adb-1"), false),
            ("a*b*c", "aXbYbZc", None, true),
            ("a*b*c", "aXc", None, false),
            ("ab*ba", "aba", None, false),
        ] {
            assert_eq!(fits(pattern, proxy, server), Ok(expected), "{pattern} {proxy} {server:?}");
        }
        for bad in ["", "/", "web/", "/s1", "a b", "a/b/c", "a,b"] {
            assert!(bad.parse::<Pattern>().is_err(), "{bad}");
        }
    }
}
