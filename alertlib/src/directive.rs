// SPDX-License-Identifier: MIT OR Apache-2.0
//! The `email_alert` lines of HAProxy's `global` section → [`Settings`].
//!
//! HAProxy's own style: positional words, then keyword options. HAProxy has split the line into words and taken quotes
//! and variables away. Every error says which word is wrong and what was expected, in one line without a line end; HAProxy
//! puts file and line before it.

use crate::event::{Kind, Kinds, Level};
use crate::files::closed_to_others;
use crate::message;
use crate::settings::*;
use crate::text::visible;
use crate::transport::smtp::{login, tls};
use lettre::Address;
use std::net::IpAddr;
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::time::Duration;

const ROUTE: &str =
    "email_alert <to>[,<to>...] [<from>] [for <proxy>[/<server>],...] [events <kind>,...] [level <level>]";
const SMTP: &str = "email_alert.relay <name> <host>[:<port>] [tls | starttls | insecure-plaintext] [ca-file <pem>] [crt <pem>] \
     [sni <name>] [insecure-no-verify] [user <user> password-file <file>] [oauth-token-file <file>] [timeout <time>] \
     [helo <name>]";
const COMMAND: &str = "email_alert.relay <name> sendmail|mailx [<path>] [timeout <time>]";
const FILE: &str = "email_alert.relay <name> file <directory>";
const HOST_NAME: &str = "email_alert.host-name <name>";
const SPOOL: &str = "email_alert.spool <directory> [max-size <size>]";
const RETRY_TIME: &str = "email_alert.retry <time>";
const DIGEST_TIME: &str = "email_alert.digest <time>|off";
const FLAP_RATE: &str = "email_alert.flap <changes>/<time>|off";
const REMIND_TIME: &str = "email_alert.remind <time>|off";
const SUBJECT: &str = "email_alert.subject <format>";

/// The words behind a route's recipients and sender.
const ROUTE_WORDS: &[&str] = &["for", "events", "level"];
/// The words behind an SMTP relay's place.
const SMTP_WORDS: &[&str] = &[
    "tls",
    "starttls",
    "insecure-plaintext",
    "ca-file",
    "crt",
    "sni",
    "insecure-no-verify",
    "user",
    "password-file",
    "oauth-token-file",
    "timeout",
    "helo",
];
const LATER: &[&str] = &["email_alert.queue", "email_alert.native"];

const RECIPIENT: &str = "recipient";
const SENDER: &str = "sender";

/// Longest domain name (RFC 1035, 2.3.4).
const DOMAIN_LENGTH: usize = 253;

/// Adds one directive to `settings`. `words[0]` is the keyword.
///
/// # Errors
///
/// What is wrong with it, for the administrator; `settings` is then as before.
pub fn parse(settings: &mut Settings, words: &[&str]) -> Result<(), String> {
    let (&keyword, rest) = words.split_first().ok_or("no directive given")?;
    let line = Line { keyword, rest };
    match keyword {
        "email_alert" => settings.routes.push(route(line)?),
        "email_alert.relay" => {
            let relay = relay(line)?;
            if settings.relays.iter().any(|other| other.name == relay.name) {
                return Err(
                    line.error(format!("there is a relay '{}' already; expected another name", relay.name))
                );
            }
            settings.relays.push(relay);
        }
        "email_alert.host-name" => {
            let name = host_name(line)?;
            if let Some(other) = &settings.host_name {
                return Err(line.error(format!("was set to '{other}' already; expected only once")));
            }
            settings.host_name = Some(name);
        }
        "email_alert.spool" => {
            let place = spool(line)?;
            if let Some(other) = &settings.spool {
                return Err(line.error(format!(
                    "was set to '{}' already; expected only once",
                    other.directory.display()
                )));
            }
            settings.spool = Some(place);
        }
        "email_alert.retry" => {
            let range = "1s to 30d";
            let time = time(line, RETRY_TIME, "3d", Duration::from_secs(1)..=MONTH, range)?;
            line.once(&mut settings.retry, time)?;
        }
        "email_alert.digest" => {
            let range = "100ms to 1h";
            let shortest = Duration::from_millis(100);
            let hour = Duration::from_secs(3600);
            let time = unless_off(line, |line| time(line, DIGEST_TIME, "5s", shortest..=hour, range))?;
            line.once(&mut settings.digest, time)?;
        }
        "email_alert.flap" => {
            let flap = unless_off(line, flap)?;
            line.once(&mut settings.flap, flap)?;
        }
        "email_alert.remind" => {
            let range = "1m to 30d";
            let minute = Duration::from_secs(60);
            let time = unless_off(line, |line| time(line, REMIND_TIME, "4h", minute..=MONTH, range))?;
            line.once(&mut settings.remind, time)?;
        }
        "email_alert.subject" => {
            let format = subject(line)?;
            line.once(&mut settings.subject, format)?;
        }
        _ if LATER.contains(&keyword) => return Err(line.error("is not supported yet; remove this line")),
        _ => {
            let known = [
                "email_alert",
                "email_alert.relay",
                "email_alert.host-name",
                "email_alert.spool",
                "email_alert.retry",
                "email_alert.digest",
                "email_alert.flap",
                "email_alert.remind",
                "email_alert.subject",
            ];
            return Err(format!("unknown directive '{}'{}", visible(keyword), did_you_mean(keyword, &known)));
        }
    }
    Ok(())
}

/// A directive on its way through the parser.
#[derive(Clone, Copy)]
struct Line<'a> {
    keyword: &'a str,
    rest: &'a [&'a str],
}

impl<'a> Line<'a> {
    fn error(&self, what: impl AsRef<str>) -> String {
        format!("'{}' {}", self.keyword, what.as_ref())
    }

    /// Takes the next word.
    fn next(&mut self) -> Option<&'a str> {
        let (&first, rest) = self.rest.split_first()?;
        self.rest = rest;
        Some(first)
    }

    /// Takes the word behind an option.
    fn value(&mut self, option: &str, expected: &str) -> Result<&'a str, String> {
        self.next()
            .filter(|word| !word.is_empty())
            .ok_or_else(|| self.error(format!("'{option}' expects {expected}")))
    }

    /// Takes the word behind an option that may be given once.
    fn set(&mut self, option: &str, place: &mut Option<&'a str>, expected: &str) -> Result<(), String> {
        if place.is_some() {
            return Err(self.error(format!("'{option}' is given twice")));
        }
        *place = Some(self.value(option, expected)?);
        Ok(())
    }

    /// Sets what may be set once.
    fn once<T>(&self, place: &mut Option<T>, value: T) -> Result<(), String> {
        if place.is_some() {
            return Err(self.error("was set already; expected only once"));
        }
        *place = Some(value);
        Ok(())
    }

    /// The error for a word that has no meaning here.
    fn unknown(&self, word: &str, known: &[&str], usage: &str) -> String {
        self.error(format!("unknown word '{}'{}; expected {usage}", visible(word), did_you_mean(word, known)))
    }
}

fn route(mut line: Line) -> Result<Route, String> {
    let Some(list) = line.next().filter(|list| !list.is_empty()) else {
        return Err(line.error(format!("expects at least one recipient: {ROUTE}")));
    };
    let mut to: Vec<Name> = Vec::new();
    for word in list.split(',') {
        let name = address(line, word, RECIPIENT)?;
        if !to.contains(&name) {
            to.push(name);
        }
    }
    let mut route = Route { to, from: None, about: Vec::new(), kinds: Kinds::usual(), level: Level::Debug };
    if let Some(&word) = line.rest.first() {
        // A word that all but is an option, and has one behind it, is a slip and not a sender.
        let is_slip = line.rest.len() > 1 && !word.contains('@') && nearest(word, ROUTE_WORDS).is_some();
        if word.split(',').all(|kind| Kind::from_word(kind).is_some()) {
            return Err(line.error(format!(
                "'{word}' is not a sender; did you forget 'events' before it? expected {ROUTE}"
            )));
        }
        if !ROUTE_WORDS.contains(&word) && !is_slip {
            line.next();
            route.from = Some(address(line, word, SENDER)?);
        }
    }
    let mut seen = Vec::new();
    while let Some(word) = line.next() {
        if seen.contains(&word) {
            return Err(line.error(format!("'{word}' is given twice; expected one list")));
        }
        seen.push(word);
        match word {
            "for" => route.about = patterns(&mut line)?,
            "events" => route.kinds = kinds(&mut line)?,
            "level" => route.level = level(&mut line)?,
            _ => return Err(line.unknown(word, ROUTE_WORDS, ROUTE)),
        }
    }
    Ok(route)
}

fn patterns(line: &mut Line) -> Result<Vec<Pattern>, String> {
    let expected = "a list such as web,api/server1";
    let list = line.value("for", expected)?;
    let pattern = |word: &str| {
        word.parse().map_err(|why| line.error(format!("'{}' {why}; 'for' expects {expected}", visible(word))))
    };
    list.split(',').map(pattern).collect()
}

fn level(line: &mut Line) -> Result<Level, String> {
    let words = Level::ALL.map(Level::word);
    let expected = format!("one of {}", words.join(" "));
    let word = line.value("level", &expected)?;
    Level::from_word(word).ok_or_else(|| {
        let hint = did_you_mean(word, &words);
        line.error(format!("unknown level '{}'{hint}; 'level' expects {expected}", visible(word)))
    })
}

fn kinds(line: &mut Line) -> Result<Kinds, String> {
    let words = Kind::ALL.map(Kind::word);
    let expected = format!("a list of kinds: {}", words.join(","));
    let list = line.value("events", &expected)?;
    let mut kinds = Kinds::NONE;
    for word in list.split(',') {
        match Kind::from_word(word) {
            Some(kind) => _ = kinds.add(kind),
            None if word == "check" => return Err(line.error("kind 'check' is not supported yet")),
            None => {
                let hint = did_you_mean(word, &words);
                return Err(line
                    .error(format!("unknown kind '{}'{hint}; 'events' expects {expected}", visible(word))));
            }
        }
    }
    Ok(kinds)
}

/// An address or a local name, safe in an envelope, a header and the arguments of a command.
fn address(line: Line, word: &str, role: &str) -> Result<Name, String> {
    let wrong = |why: &str| {
        let shown = visible(word);
        Err(line.error(format!(
            "{role} '{shown}' {why}; expected an address such as ops@example.com, or a local name"
        )))
    };
    if word.is_empty() {
        return wrong("is empty");
    }
    if word.starts_with(BAD_STARTS) {
        return wrong("begins with a character that mail programs take for something else");
    }
    if let Some(bad) = word.chars().find(|char| is_bad_in_address(*char)) {
        return wrong(&format!("has the character '{}'", visible(&bad.to_string())));
    }
    let Some((user, domain)) = word.rsplit_once('@') else {
        return match Address::new(word, "localhost") {
            Ok(_) if word.is_ascii() => Ok(Name::Local(word.to_owned())),
            _ => wrong("is not a mail address"),
        };
    };
    if user.is_empty() {
        return wrong("has nothing before the '@'");
    }
    if domain.is_empty() {
        return wrong("has nothing behind the '@'");
    }
    if !user.is_ascii() && role == SENDER {
        // It would stand in headers that every relay and reader has to understand.
        return wrong("has a character outside ASCII before the '@'");
    }
    match in_ascii(domain).map(|domain| Address::new(user, domain)) {
        Some(Ok(address)) if address.domain().len() <= DOMAIN_LENGTH => Ok(Name::Address(address)),
        _ => wrong("is not a mail address"),
    }
}

fn relay(mut line: Line) -> Result<Relay, String> {
    let Some(name) = line.next().filter(|name| !name.is_empty()) else {
        return Err(line.error(format!("expects a name and a place: {SMTP}")));
    };
    // The characters of HAProxy's own names (invalid_char() in its src/tools.c).
    if !name.chars().all(|char| char.is_ascii_alphanumeric() || "_.:-".contains(char)) {
        let shown = visible(name);
        return Err(
            line.error(format!("relay name '{shown}' may have letters, digits, '-', '_', '.' and ':' only"))
        );
    }
    let place = line.next().filter(|place| !place.is_empty());
    match place {
        None => {
            Err(line
                .error(format!("relay '{name}' has no place; expected {SMTP}, or sendmail, mailx or file")))
        }
        Some("sendmail") => command(line, name, Flavour::Sendmail),
        Some("mailx") => command(line, name, Flavour::Mailx),
        Some("file") => file(line, name),
        Some(place) => smtp(line, name, place),
    }
}

/// The words behind an SMTP relay's place, as written.
#[derive(Default)]
struct SmtpWords<'a> {
    tls: bool,
    starttls: bool,
    insecure_plaintext: bool,
    insecure_no_verify: bool,
    ca_file: Option<&'a str>,
    crt: Option<&'a str>,
    sni: Option<&'a str>,
    user: Option<&'a str>,
    password_file: Option<&'a str>,
    oauth_token_file: Option<&'a str>,
    helo: Option<&'a str>,
    timeout: Option<Duration>,
}

impl<'a> SmtpWords<'a> {
    fn read(mut line: Line<'a>) -> Result<Self, String> {
        const PEM: &str = "a PEM file";
        const FILE: &str = "a file";
        let mut words = Self::default();
        while let Some(word) = line.next() {
            match word {
                "tls" => words.tls = true,
                "starttls" => words.starttls = true,
                "insecure-plaintext" => words.insecure_plaintext = true,
                "insecure-no-verify" => words.insecure_no_verify = true,
                "ca-file" => line.set(word, &mut words.ca_file, PEM)?,
                "crt" => line.set(word, &mut words.crt, PEM)?,
                "sni" => line.set(word, &mut words.sni, "a name")?,
                "user" => line.set(word, &mut words.user, "a user")?,
                "password-file" => line.set(word, &mut words.password_file, FILE)?,
                "oauth-token-file" => line.set(word, &mut words.oauth_token_file, FILE)?,
                "helo" => line.set(word, &mut words.helo, "a name")?,
                "timeout" => set_timeout(&mut words.timeout, &mut line)?,
                _ => return Err(line.unknown(word, SMTP_WORDS, SMTP)),
            }
        }
        words.fit_together().map_err(|why| line.error(why))?;
        Ok(words)
    }

    fn fit_together(&self) -> Result<(), String> {
        let exclude =
            |one, other| Err(format!("'{one}' and '{other}' exclude each other; expected one of them"));
        let encrypted = self.tls || self.starttls;
        match () {
            () if self.tls && self.starttls => return exclude("tls", "starttls"),
            () if self.tls && self.insecure_plaintext => return exclude("tls", "insecure-plaintext"),
            () if self.starttls && self.insecure_plaintext => {
                return exclude("starttls", "insecure-plaintext");
            }
            () if self.insecure_no_verify && self.ca_file.is_some() => {
                return exclude("insecure-no-verify", "ca-file");
            }
            () if self.password_file.is_some() && self.oauth_token_file.is_some() => {
                return exclude("password-file", "oauth-token-file");
            }
            () if self.user.is_some() && self.password_file.is_none() && self.oauth_token_file.is_none() => {
                return Err("'user' needs 'password-file <file>' or 'oauth-token-file <file>'".to_owned());
            }
            () if self.password_file.is_some() && self.user.is_none() => {
                return Err("'password-file' needs 'user <user>'".to_owned());
            }
            () => {}
        }
        let needs_tls = [
            ("ca-file", self.ca_file.is_some()),
            ("crt", self.crt.is_some()),
            ("sni", self.sni.is_some()),
            ("insecure-no-verify", self.insecure_no_verify),
        ];
        match needs_tls.iter().find(|(_, is_there)| *is_there && !encrypted) {
            Some((word, _)) => {
                Err(format!("'{word}' has no meaning without encryption; expected 'tls' or 'starttls'"))
            }
            None => Ok(()),
        }
    }

    fn security(&self) -> Security {
        let tls = Tls {
            trust: match self.ca_file {
                _ if self.insecure_no_verify => Trust::Anybody,
                Some(path) => Trust::File(path.into()),
                None => Trust::System,
            },
            identity: self.crt.map(PathBuf::from),
            name: self.sni.map(str::to_owned),
        };
        match (self.tls, self.starttls) {
            (true, _) => Security::Tls(tls),
            (_, true) => Security::StartTls(tls),
            _ => Security::Plaintext,
        }
    }

    fn login(&self) -> Option<Login> {
        let secret = match (self.password_file, self.oauth_token_file) {
            (Some(path), _) => SecretFile::Password(path.into()),
            (_, Some(path)) => SecretFile::Token(path.into()),
            _ => return None,
        };
        Some(Login { user: self.user.map(str::to_owned), secret })
    }

    /// Looks at the files, so that what is wrong with them has the line's number.
    fn check_files(&self) -> Result<(), String> {
        let about = |word, path: &str, judged: Result<(), String>| {
            judged.map_err(|why| format!("'{word}' file '{}' {why}", visible(path)))
        };
        if let Some(path) = self.ca_file {
            about("ca-file", path, tls::roots(path.as_ref()).map(drop))?;
        }
        if let Some(path) = self.crt {
            let judged = tls::identity(path.as_ref()).and_then(|_| closed_to_others(path.as_ref()));
            about("crt", path, judged)?;
        }
        if let Some(path) = self.password_file {
            about("password-file", path, login::check(&SecretFile::Password(path.into())))?;
        }
        if let Some(path) = self.oauth_token_file {
            about("oauth-token-file", path, login::check(&SecretFile::Token(path.into())))?;
        }
        Ok(())
    }
}

fn smtp(line: Line, name: &str, place: &str) -> Result<Relay, String> {
    let (host, port) = host_and_port(line, place)?;
    let words = SmtpWords::read(line)?;
    let wrong = |why: String| line.error(format!("relay '{name}': {why}"));
    let is_private = words.tls || words.starttls || words.insecure_plaintext || is_loopback(&host);
    if !is_private {
        let what = match words.login() {
            Some(_) => "mails and the secret of 'user'",
            None => "mails",
        };
        return Err(wrong(format!(
            "{what} to '{host}' would cross the network unencrypted{}; expected 'tls' or 'starttls', a loopback address, or \
             'insecure-plaintext' if everyone on the way may read and change them",
            did_you_mean(&host, &["sendmail", "mailx", "file"])
        )));
    }
    for (word, name) in [("sni", words.sni), ("helo", words.helo)] {
        if let Some(name) = name.filter(|name| !is_host_name(name) && name.parse::<IpAddr>().is_err()) {
            return Err(wrong(format!("'{word}' value '{}' is not a host name or address", visible(name))));
        }
    }
    if let Some(user) = words.user.filter(|user| user.chars().any(char::is_control)) {
        return Err(wrong(format!("'user' value '{}' has a control character", visible(user))));
    }
    words.check_files().map_err(wrong)?;
    let default_port = match (words.tls, words.starttls) {
        (true, _) => TLS_PORT,
        (_, true) => STARTTLS_PORT,
        _ => SMTP_PORT,
    };
    Ok(Relay {
        name: name.to_owned(),
        way: Way::Smtp(Smtp {
            host,
            port: port.unwrap_or(default_port),
            security: words.security(),
            login: words.login(),
            helo: words.helo.map(str::to_owned),
        }),
        timeout: words.timeout.unwrap_or(SMTP_TIMEOUT),
    })
}

fn host_and_port(line: Line, place: &str) -> Result<(String, Option<u16>), String> {
    let shown = visible(place);
    let wrong = |why: &str| {
        line.error(format!("'{shown}' {why}; expected <host>[:<port>], such as localhost:25 or [::1]:25"))
    };
    let (host, port) = if let Some(rest) = place.strip_prefix('[') {
        let (host, port) = rest.split_once(']').ok_or_else(|| wrong("has no ']' behind its address"))?;
        if host.parse::<std::net::Ipv6Addr>().is_err() {
            return Err(wrong("has no IPv6 address between its brackets"));
        }
        match port.strip_prefix(':') {
            None if port.is_empty() => (host, None),
            None => return Err(wrong("has something other than ':<port>' behind its ']'")),
            port => (host, port),
        }
    } else if place.parse::<std::net::Ipv6Addr>().is_ok() {
        (place, None)
    } else {
        match place.split_once(':') {
            Some((host, port)) => (host, Some(port)),
            None => (place, None),
        }
    };
    let port = match port {
        None => None,
        Some(port) => match port.parse::<u16>() {
            Ok(number @ 1..) if port.bytes().all(|byte| byte.is_ascii_digit()) => Some(number),
            _ => {
                return Err(wrong(&format!(
                    "has the port '{}', which is not a number from 1 to 65535",
                    visible(port)
                )));
            }
        },
    };
    if host.is_empty() {
        return Err(wrong("has no host"));
    }
    if host.parse::<std::net::Ipv6Addr>().is_ok() {
        return Ok((host.to_owned(), port));
    }
    match in_ascii(host) {
        Some(host) if is_host_name(&host) => Ok((host, port)),
        _ => Err(wrong("is not a host name or address")),
    }
}

fn command(mut line: Line, name: &str, flavour: Flavour) -> Result<Relay, String> {
    let known = ["timeout"];
    let (mut path, mut timeout) = (None, None);
    while let Some(word) = line.next() {
        match word {
            "timeout" => set_timeout(&mut timeout, &mut line)?,
            _ if word.starts_with('/') && path.is_none() => path = Some(PathBuf::from(word)),
            _ if SMTP_WORDS.contains(&word) => {
                return Err(
                    line.error(format!("'{word}' has no meaning for {}; expected {COMMAND}", flavour.word()))
                );
            }
            _ if word.contains('/') && path.is_none() => {
                return Err(
                    line.error(format!("'{}' is not an absolute path; expected {COMMAND}", visible(word)))
                );
            }
            _ => return Err(line.unknown(word, &known, COMMAND)),
        }
    }
    let path = match path.or_else(|| flavour.find()) {
        Some(path) => path,
        None => {
            return Err(line.error(format!(
                "relay '{name}': this machine has no {} (looked for {}); install one, or give its path",
                flavour.word(),
                flavour.usual_paths().join(", ")
            )));
        }
    };
    if !is_program(&path) {
        let shown = visible(&path.to_string_lossy());
        return Err(line.error(format!(
            "relay '{name}': '{shown}' is not a program; expected the path of a {}",
            flavour.word()
        )));
    }
    Ok(Relay {
        name: name.to_owned(),
        way: Way::Command { flavour, path },
        timeout: timeout.unwrap_or(COMMAND_TIMEOUT),
    })
}

fn file(mut line: Line, name: &str) -> Result<Relay, String> {
    let Some(word) = line.next().filter(|word| !word.is_empty()) else {
        return Err(line.error(format!("relay '{name}': 'file' expects a directory: {FILE}")));
    };
    let directory = PathBuf::from(word);
    if !directory.is_dir() {
        return Err(
            line.error(format!("relay '{name}': '{}' is not a directory; expected {FILE}", visible(word)))
        );
    }
    if let Some(word) = line.next() {
        return Err(line.unknown(word, &[], FILE));
    }
    Ok(Relay { name: name.to_owned(), way: Way::File { directory }, timeout: SMTP_TIMEOUT })
}

fn host_name(mut line: Line) -> Result<String, String> {
    let Some(name) = line.next().filter(|name| !name.is_empty()) else {
        return Err(line.error(format!("expects a name: {HOST_NAME}")));
    };
    if let Some(word) = line.next() {
        return Err(line.unknown(word, &[], HOST_NAME));
    }
    if !is_host_name(name) || Address::new("haproxy", name).is_err() {
        return Err(line.error(format!(
            "'{}' is not a host name; expected letters, digits, '-' and '.'",
            visible(name)
        )));
    }
    Ok(name.to_owned())
}

/// The form in which a name travels (RFC 5890, 2.3.2.1): `müller.example` is `xn--mller-kva.example`.
fn in_ascii(name: &str) -> Option<String> {
    match name.is_ascii() {
        // As it is: the standard's rules know no underscore.
        true => Some(name.to_owned()),
        false => idna::domain_to_ascii(name).ok(),
    }
}

fn spool(mut line: Line) -> Result<SpoolPlace, String> {
    let Some(word) = line.next().filter(|word| !word.is_empty()) else {
        return Err(line.error(format!("expects a directory: {SPOOL}")));
    };
    let directory = PathBuf::from(word);
    if !directory.is_dir() {
        return Err(line.error(format!("'{}' is not a directory; expected {SPOOL}", visible(word))));
    }
    let mut max_size = None;
    while let Some(word) = line.next() {
        match word {
            "max-size" if max_size.is_some() => return Err(line.error("'max-size' is given twice")),
            "max-size" => {
                let expected = "a size, such as 64m";
                let word = line.value("max-size", expected)?;
                let shown = visible(word);
                let bytes = size(word).map_err(|why| {
                    line.error(format!("'max-size' value '{shown}' {why}; expected {expected}"))
                })?;
                if bytes < SMALLEST_SPOOL {
                    return Err(
                        line.error(format!("'max-size' value '{shown}' is too small; expected 64k or more"))
                    );
                }
                max_size = Some(bytes);
            }
            _ => return Err(line.unknown(word, &["max-size"], SPOOL)),
        }
    }
    Ok(SpoolPlace { directory, max_size: max_size.unwrap_or(SPOOL_SIZE) })
}

/// Room for a few dozen mails at least.
const SMALLEST_SPOOL: u64 = 64 * 1024;

const MONTH: Duration = Duration::from_secs(30 * 24 * 3600);

/// The only word of a line, a time. `example`, `range`: for the messages.
fn time(
    mut line: Line,
    usage: &str,
    example: &str,
    allowed: RangeInclusive<Duration>,
    range: &str,
) -> Result<Duration, String> {
    let word = only_word(&mut line, "a time", usage)?;
    let time = duration(word).map_err(|why| {
        line.error(format!("'{}' {why}; expected a time, such as {example}", visible(word)))
    })?;
    if !allowed.contains(&time) {
        return Err(line.error(format!("'{word}' is out of range; expected {range}")));
    }
    Ok(time)
}

fn only_word<'a>(line: &mut Line<'a>, what: &str, usage: &str) -> Result<&'a str, String> {
    let Some(word) = line.next().filter(|word| !word.is_empty()) else {
        return Err(line.error(format!("expects {what}: {usage}")));
    };
    match line.next() {
        Some(other) => Err(line.unknown(other, &[], usage)),
        None => Ok(word),
    }
}

/// What `read` makes of the line, unless it says `off`.
fn unless_off<T>(line: Line, read: impl Fn(Line) -> Result<T, String>) -> Result<Option<T>, String> {
    if line.rest == ["off"] { Ok(None) } else { read(line).map(Some) }
}

fn flap(mut line: Line) -> Result<Flap, String> {
    let word = only_word(&mut line, "a number of changes and a time", FLAP_RATE)?;
    let wrong =
        |why: &str| line.error(format!("'{}' {why}; expected {FLAP_RATE}, such as 6/10m", visible(word)));
    let (changes, time) = word.split_once('/').ok_or_else(|| wrong("has no '/'"))?;
    let changes: u32 = changes.parse().map_err(|_| wrong("does not begin with a number of changes"))?;
    if !(3..=100).contains(&changes) {
        return Err(line.error(format!("'{changes}' changes is out of range; expected 3 to 100")));
    }
    let shown = visible(time);
    let time =
        duration(time).map_err(|why| line.error(format!("'{shown}' {why}; expected a time, such as 10m")))?;
    if !(Duration::from_secs(1)..=Duration::from_secs(24 * 3600)).contains(&time) {
        return Err(line.error(format!("'{shown}' is out of range; expected 1s to 1d")));
    }
    Ok(Flap { changes, time })
}

fn subject(mut line: Line) -> Result<message::Format, String> {
    const EXAMPLE: &str = "such as \"[%[state]] %[topic] on %[host]\"";
    let Some(format) = line.next() else {
        return Err(line.error(format!("expects a format, {EXAMPLE}: {SUBJECT}")));
    };
    if let Some(word) = line.next() {
        return Err(line.error(format!(
            "unknown word '{}'; expected {SUBJECT}, in quotes if it has spaces, {EXAMPLE}",
            visible(word)
        )));
    }
    let shown = visible(format);
    message::Format::parse(format).map_err(|fault| match fault {
        message::SubjectFault::Form(why) => {
            line.error(format!("'{shown}' {why}; expected a format, {EXAMPLE}"))
        }
        message::SubjectFault::Unknown(name) => {
            let known = message::variables();
            let hint = did_you_mean(&name, &known);
            line.error(format!("unknown variable '{name}'{hint}; expected one of {}", known.join(" ")))
        }
    })
}

/// A size in HAProxy's units (`parse_size_err()` in its `src/tools.c`): bytes without a unit.
fn size(word: &str) -> Result<u64, &'static str> {
    let end = word.find(|char: char| !char.is_ascii_digit()).unwrap_or(word.len());
    let (digits, unit) = word.split_at(end);
    let number: u64 = match digits.parse() {
        Ok(number) => number,
        Err(_) if digits.is_empty() => return Err("does not begin with a number"),
        Err(_) => return Err("is too large"),
    };
    let factor = match unit {
        "" => 1,
        "k" | "K" => 1 << 10,
        "m" | "M" => 1 << 20,
        "g" | "G" => 1 << 30,
        _ => return Err("has a unit other than k, m and g"),
    };
    number.checked_mul(factor).ok_or("is too large")
}

/// Letters, digits and inner hyphens between dots (RFC 1123, 2.1); underscores, since machines have such names.
fn is_host_name(name: &str) -> bool {
    let label = |label: &str| {
        !label.is_empty()
            && label.len() <= 63
            && !label.starts_with('-')
            && !label.ends_with('-')
            && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_')
    };
    name.len() <= DOMAIN_LENGTH && name.strip_suffix('.').unwrap_or(name).split('.').all(label)
}

fn set_timeout(timeout: &mut Option<Duration>, line: &mut Line) -> Result<(), String> {
    if timeout.is_some() {
        return Err(line.error("'timeout' is given twice"));
    }
    let word = line.value("timeout", "a time, such as 10s")?;
    let time = duration(word).map_err(|why| {
        line.error(format!("'timeout' value '{}' {why}; expected a time, such as 10s", visible(word)))
    })?;
    if !(Duration::from_millis(100)..=Duration::from_secs(3600)).contains(&time) {
        return Err(line.error(format!("'timeout' value '{word}' is out of range; expected 100ms to 1h")));
    }
    *timeout = Some(time);
    Ok(())
}

/// A time in HAProxy's units (`parse_time_err()` in its `src/tools.c`): milliseconds without a unit.
pub fn duration(word: &str) -> Result<Duration, &'static str> {
    let end = word.find(|char: char| !char.is_ascii_digit()).unwrap_or(word.len());
    let (digits, unit) = word.split_at(end);
    let number: u64 = match digits.parse() {
        Ok(number) => number,
        Err(_) if digits.is_empty() => return Err("does not begin with a number"),
        Err(_) => return Err("is too long a time"),
    };
    let micros = match unit {
        "us" => 1,
        "" | "ms" => 1_000,
        "s" => 1_000_000,
        "m" => 60_000_000,
        "h" => 3_600_000_000,
        "d" => 86_400_000_000,
        _ => return Err("has a unit other than us, ms, s, m, h and d"),
    };
    number.checked_mul(micros).map(Duration::from_micros).ok_or("is too long a time")
}

/// The word of `known` that `word` was probably meant to be: one or two slips away, by its length.
fn nearest<'a>(word: &str, known: &[&'a str]) -> Option<&'a str> {
    let allowed = if word.len() <= 4 { 1 } else { 2 };
    known
        .iter()
        .map(|candidate| (strsim::damerau_levenshtein(word, candidate), *candidate))
        .filter(|(distance, _)| (1..=allowed).contains(distance))
        .min()
        .map(|(_, candidate)| candidate)
}

fn did_you_mean(word: &str, known: &[&str]) -> String {
    match nearest(word, known) {
        Some(candidate) => format!(", did you mean '{candidate}'?"),
        None => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(line: &str) -> Result<Settings, String> {
        let mut settings = Settings::default();
        parse(&mut settings, &line.split(' ').collect::<Vec<_>>())?;
        Ok(settings)
    }

    #[test]
    fn the_shortest_configuration_is_complete() {
        let plan =
            parsed("email_alert ops@example.com").and_then(|s| s.plan("lb1.example.com")).expect("good");
        assert_eq!(plan.routes[0].to[0].address.to_string(), "ops@example.com");
        assert_eq!(plan.routes[0].from.to_string(), "haproxy@lb1.example.com");
        assert_eq!(plan.routes[0].kinds, Kinds::usual());
        assert_eq!(plan.relays[0].way, Way::Smtp(Smtp::plain("localhost", 25)));
    }

    #[test]
    fn local_names_get_the_host_and_stay_plain_for_commands() {
        let plan =
            parsed("email_alert root,ops@example.com pager").and_then(|s| s.plan("lb1")).expect("good");
        let route = &plan.routes[0];
        assert_eq!(route.to[0].address.to_string(), "root@lb1");
        assert_eq!(route.to[0].for_command(), "root");
        assert_eq!(route.to[1].for_command(), "ops@example.com");
        assert_eq!(route.from.to_string(), "pager@lb1");
    }

    #[test]
    fn one_recipient_is_one_recipient() {
        let settings = parsed("email_alert a@example.com,b@example.com,a@example.com").expect("good");
        assert_eq!(settings.routes[0].to.len(), 2);
    }

    #[test]
    fn a_machine_name_that_no_address_can_have_is_said() {
        let error = parsed("email_alert root").and_then(|s| s.plan("bad name")).expect_err("bad");
        assert!(error.contains("'bad name'") && error.contains("email_alert.host-name"), "{error}");
    }

    #[test]
    fn relays_without_a_route_are_useless() {
        let error = parsed("email_alert.relay mx localhost").and_then(|s| s.plan("lb1")).expect_err("bad");
        assert!(error.contains("no 'email_alert <to>' line"), "{error}");
    }

    #[test]
    fn places_of_relays() {
        for (place, host, port) in [
            ("localhost", "localhost", 25),
            ("127.0.0.1:2525", "127.0.0.1", 2525),
            ("[::1]", "::1", 25),
            ("[::1]:587", "::1", 587),
            ("::1", "::1", 25),
        ] {
            let settings = parsed(&format!("email_alert.relay mx {place}")).expect(place);
            assert_eq!(settings.relays[0].way, Way::Smtp(Smtp::plain(host, port)), "{place}");
        }
    }

    #[test]
    fn ports_follow_the_protection() {
        for (words, port) in [("", 25), (" starttls", 587), (" tls", 465), (" insecure-plaintext", 25)] {
            let settings = parsed(&format!("email_alert.relay mx localhost{words}")).expect(words);
            let Way::Smtp(smtp) = &settings.relays[0].way else { panic!("{words}") };
            assert_eq!(smtp.port, port, "{words}");
        }
        let settings =
            parsed("email_alert.relay mx mx1.example.com:25 starttls sni mx.example.com").expect("good");
        let Way::Smtp(smtp) = &settings.relays[0].way else { panic!("not SMTP") };
        let tls = Tls { trust: Trust::System, identity: None, name: Some("mx.example.com".into()) };
        assert_eq!((smtp.port, &smtp.security), (25, &Security::StartTls(tls)));
    }

    #[test]
    fn names_outside_ascii_get_the_form_in_which_they_travel() {
        let settings =
            parsed("email_alert ops@müller.example,jörg@example.com bot@müller.example").expect("good");
        let addresses: Vec<String> = settings.routes[0]
            .to
            .iter()
            .chain(&settings.routes[0].from)
            .map(|name| match name {
                Name::Address(address) => address.to_string(),
                Name::Local(user) => user.clone(),
            })
            .collect();
        let ascii = ["ops@xn--mller-kva.example", "jörg@example.com", "bot@xn--mller-kva.example"];
        assert_eq!(addresses, ascii);
        parsed("email_alert ops@example.com jörg@example.com").expect_err("a sender in every header");
        let settings = parsed("email_alert.relay mx smtp.müller.example tls").expect("good");
        let Way::Smtp(smtp) = &settings.relays[0].way else { panic!("not SMTP") };
        assert_eq!(smtp.host, "smtp.xn--mller-kva.example");
    }

    #[test]
    fn times_have_haproxys_units() {
        for (word, time) in
            [("1500", 1_500), ("1500ms", 1_500), ("2s", 2_000), ("1m", 60_000), ("1h", 3_600_000)]
        {
            let settings = parsed(&format!("email_alert.relay mx localhost timeout {word}")).expect(word);
            assert_eq!(settings.relays[0].timeout, Duration::from_millis(time), "{word}");
        }
        for word in ["", "s", "-1", "1w", "1.5s", "99999999999999999999d", "18446744073709551615d"] {
            assert!(duration(word).is_err(), "{word}");
        }
    }

    #[test]
    fn routes_may_be_for_some_servers_kinds_and_levels() {
        let line = "email_alert ops@example.com lb@example.com level alert for web,api/s* events down,up";
        let plan = parsed(line).and_then(|s| s.plan("lb1")).expect("good");
        let route = &plan.routes[0];
        let about: Vec<String> = route.about.iter().map(ToString::to_string).collect();
        assert_eq!((about, route.level), (vec!["web".into(), "api/s*".into()], Level::Alert));
        assert_eq!(route.kinds, [Kind::Down, Kind::Up].into_iter().collect());
        for (line, part) in [
            ("email_alert ops@example.com for a,,b", "'' is not <proxy>"),
            ("email_alert ops@example.com for a/b/c", "'a/b/c' is not <proxy>"),
            ("email_alert ops@example.com level loud", "emerg alert crit err warning notice info debug"),
            ("email_alert ops@example.com for a for b", "'for' is given twice"),
        ] {
            let error = parsed(line).expect_err(line);
            assert!(error.contains(part), "{error}");
        }
    }

    #[test]
    fn what_is_told_when_has_defaults_and_can_be_switched_off() {
        let policy = |line: &str| {
            let mut settings = parsed("email_alert ops@example.com")?;
            if !line.is_empty() {
                parse(&mut settings, &line.split(' ').collect::<Vec<_>>())?;
            }
            settings.plan("lb1").map(|plan| plan.policy)
        };
        let usual = Policy { digest: Some(DIGEST), flap: Some(FLAP), remind: Some(REMIND) };
        let seconds = |count| Some(Duration::from_secs(count));
        for (line, expected) in [
            ("", usual),
            ("email_alert.digest off", Policy { digest: None, ..usual }),
            ("email_alert.digest 30s", Policy { digest: seconds(30), ..usual }),
            ("email_alert.flap off", Policy { flap: None, ..usual }),
            (
                "email_alert.flap 4/1m",
                Policy { flap: Some(Flap { changes: 4, time: Duration::from_secs(60) }), ..usual },
            ),
            ("email_alert.remind off", Policy { remind: None, ..usual }),
            ("email_alert.remind 1h", Policy { remind: seconds(3600), ..usual }),
        ] {
            assert_eq!(policy(line), Ok(expected), "{line}");
        }
        for (line, part) in [
            ("email_alert.digest", "expects a time"),
            ("email_alert.digest 5s 6s", "unknown word '6s'"),
            ("email_alert.digest 5w", "'5w' has a unit other than"),
            ("email_alert.digest 2h", "expected 100ms to 1h"),
            ("email_alert.flap 6", "'6' has no '/'"),
            ("email_alert.flap 2/1m", "expected 3 to 100"),
            ("email_alert.flap x/1m", "does not begin with a number"),
            ("email_alert.flap 6/2d", "expected 1s to 1d"),
            ("email_alert.flap 6/1w", "has a unit other than"),
            ("email_alert.remind 1s", "expected 1m to 30d"),
        ] {
            let error = policy(line).expect_err(line);
            assert!(error.contains(part), "{error}");
        }
    }

    #[test]
    fn a_failed_directive_changes_nothing() {
        let mut settings = parsed("email_alert.relay mx localhost").expect("good");
        let before = settings.clone();
        for line in
            ["email_alert.relay mx localhost", "email_alert ops@", "email_alert.relay b localhost timeout"]
        {
            parse(&mut settings, &line.split(' ').collect::<Vec<_>>()).expect_err(line);
            assert_eq!(settings, before);
        }
    }

    #[test]
    fn slips_get_a_suggestion() {
        for (line, meant) in [
            ("email_alert ops@example.com evnts down", "events"),
            ("email_alert ops@example.com events donw", "down"),
            ("email_alert ops@example.com level notce", "notice"),
            ("email_alert ops@example.com lvel notice", "level"),
            ("email_alert.digets 5s", "email_alert.digest"),
            ("email_alert ops@example.com events down,backend-dwon", "backend-down"),
            ("email_alert.relay mx localhost timout 5s", "timeout"),
            ("email_alert.relay mx 192.0.2.1 insecure-plantext", "insecure-plaintext"),
            ("email_alert.relay mx localhost startls", "starttls"),
        ] {
            let error = parsed(line).expect_err(line);
            assert!(error.contains(&format!("did you mean '{meant}'?")), "{error}");
        }
    }
}
