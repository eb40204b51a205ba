// SPDX-License-Identifier: MIT OR Apache-2.0
//! Parser of `email_alert.relay`.

use super::line::{Line, did_you_mean};
use super::value::{is_host_name, to_ascii};
use crate::credentials::{self, about};
use crate::files::check_closed_to_others;
use crate::settings::*;
use crate::text::visible;
use std::net::{IpAddr, Ipv6Addr};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Forms of the directive, in the order of its usages; the first is an SMTP relay.
const COMMAND: usize = 1;
const FILE: usize = 2;

const TIME: &str = "a time, such as 10s";

pub fn add(settings: &mut Settings, line: Line) -> Result<(), String> {
    let relay = relay(line)?;
    if settings.relays.iter().any(|other| other.name == relay.name) {
        return Err(line.error(format!("there is a relay '{}' already; expected another name", relay.name)));
    }
    settings.relays.push(relay);
    Ok(())
}

fn relay(mut line: Line) -> Result<Relay, String> {
    let name = line.required("a name and a place")?;
    // HAProxy allows these characters in names (invalid_char() in its src/tools.c).
    if !name.chars().all(|char| char.is_ascii_alphanumeric() || "_.:-".contains(char)) {
        let shown = visible(name);
        return Err(
            line.error(format!("relay name '{shown}' may have letters, digits, '-', '_', '.' and ':' only"))
        );
    }
    let (kind, timeout) = match line.next().filter(|place| !place.is_empty()) {
        None => {
            let usage = line.syntax();
            return Err(line.error(format!(
                "relay '{name}' has no place; expected {usage}, or sendmail, mailx or file"
            )));
        }
        Some("sendmail") => command(line, name, MailProgram::Sendmail)?,
        Some("mailx") => command(line, name, MailProgram::Mailx)?,
        Some("file") => file(line.form(FILE), name)?,
        Some(place) => smtp(line, name, place)?,
    };
    Ok(Relay { name: name.to_owned(), kind, timeout })
}

/// Options of an SMTP relay as written: words, and their values or "".
struct SmtpOptions<'a>(Vec<(&'a str, &'a str)>);

impl<'a> SmtpOptions<'a> {
    fn read(line: &mut Line<'a>) -> Result<Self, String> {
        let mut options = SmtpOptions(Vec::new());
        while let Some(word) = line.next() {
            let expected = match word {
                "tls" | "starttls" | "insecure-plaintext" | "insecure-no-verify" => {
                    options.0.push((word, ""));
                    continue;
                }
                "ca-file" | "crt" => "a PEM file",
                "sni" | "helo" => "a name",
                "user" => "a user",
                "password-file" | "oauth-token-file" => "a file",
                "timeout" => TIME,
                _ => return Err(line.unknown(word)),
            };
            let value = line.value_once(word, options.has(word), expected)?;
            options.0.push((word, value));
        }
        options.check_combination().map_err(|why| line.error(why))?;
        Ok(options)
    }

    fn get(&self, option: &str) -> Option<&'a str> {
        self.0.iter().find(|(word, _)| *word == option).map(|(_, value)| *value)
    }

    fn has(&self, option: &str) -> bool {
        self.get(option).is_some()
    }

    fn owned(&self, option: &str) -> Option<String> {
        self.get(option).map(str::to_owned)
    }

    /// Checks that no option excludes another or lacks another.
    fn check_combination(&self) -> Result<(), String> {
        for (one, other) in [
            ("tls", "starttls"),
            ("tls", "insecure-plaintext"),
            ("starttls", "insecure-plaintext"),
            ("insecure-no-verify", "ca-file"),
            ("password-file", "oauth-token-file"),
        ] {
            if self.has(one) && self.has(other) {
                return Err(format!("'{one}' and '{other}' exclude each other; expected one of them"));
            }
        }
        if self.has("user") && self.login().is_none() {
            return Err("'user' needs 'password-file <file>' or 'oauth-token-file <file>'".to_owned());
        }
        if self.has("password-file") && !self.has("user") {
            return Err("'password-file' needs 'user <user>'".to_owned());
        }
        let needs_tls = ["ca-file", "crt", "sni", "insecure-no-verify"];
        match needs_tls.iter().find(|option| self.has(option) && !self.is_encrypted()) {
            Some(option) => {
                Err(format!("'{option}' has no meaning without encryption; expected 'tls' or 'starttls'"))
            }
            None => Ok(()),
        }
    }

    fn is_encrypted(&self) -> bool {
        self.has("tls") || self.has("starttls")
    }

    fn encryption(&self) -> Option<Tls> {
        self.is_encrypted().then(|| Tls {
            is_starttls: self.has("starttls"),
            trust: match self.get("ca-file") {
                _ if self.has("insecure-no-verify") => Trust::Unverified,
                Some(path) => Trust::File(path.into()),
                None => Trust::System,
            },
            identity: self.get("crt").map(PathBuf::from),
            name: self.owned("sni"),
        })
    }

    fn login(&self) -> Option<Login> {
        let password = self.get("password-file").map(|path| SecretFile::Password(path.into()));
        let token = || self.get("oauth-token-file").map(|path| SecretFile::Token(path.into()));
        password.or_else(token).map(|secret| Login { user: self.owned("user"), secret })
    }

    /// Checks the files while the configuration is read, so that HAProxy puts the line's number before an error.
    fn check_files(&self) -> Result<(), String> {
        for (option, path) in self.0.iter().map(|(option, value)| (*option, Path::new(value))) {
            let checked = match option {
                "ca-file" => credentials::roots(path).map(drop),
                "crt" => credentials::identity(path).and_then(|_| check_closed_to_others(path)),
                "password-file" | "oauth-token-file" => credentials::check(path),
                _ => Ok(()),
            };
            checked.map_err(about(option, path))?;
        }
        Ok(())
    }
}

fn smtp(mut line: Line, name: &str, place: &str) -> Result<(RelayKind, Duration), String> {
    let (host, port) = host_and_port(line, place)?;
    let options = SmtpOptions::read(&mut line)?;
    let timeout = options.get("timeout").map_or(Ok(SMTP_TIMEOUT), |word| timeout(line, word))?;
    let invalid = |why: String| line.error(format!("relay '{name}': {why}"));
    let login = options.login();
    if !options.is_encrypted() && !options.has("insecure-plaintext") && !is_loopback(&host) {
        let what = if login.is_some() { "mails and the secret of 'user'" } else { "mails" };
        return Err(invalid(format!(
            "{what} to '{host}' would cross the network unencrypted{}; expected 'tls' or 'starttls', a loopback address, or \
             'insecure-plaintext' if everyone on the way may read and change them",
            did_you_mean(&host, &["sendmail", "mailx", "file"])
        )));
    }
    for option in ["sni", "helo"] {
        let is_name = |name: &str| is_host_name(name) || name.parse::<IpAddr>().is_ok();
        if let Some(name) = options.get(option).filter(|name| !is_name(name)) {
            let shown = visible(name);
            return Err(invalid(format!("'{option}' value '{shown}' is not a host name or address")));
        }
    }
    if let Some(user) = options.get("user").filter(|user| user.chars().any(char::is_control)) {
        return Err(invalid(format!("'user' value '{}' has a control character", visible(user))));
    }
    options.check_files().map_err(invalid)?;
    let default_port = match options.encryption() {
        Some(Tls { is_starttls: true, .. }) => STARTTLS_PORT,
        Some(_) => TLS_PORT,
        None => SMTP_PORT,
    };
    let (port, tls, helo) = (port.unwrap_or(default_port), options.encryption(), options.owned("helo"));
    Ok((RelayKind::Smtp(Smtp { host, port, tls, login, helo }), timeout))
}

fn host_and_port(line: Line, place: &str) -> Result<(String, Option<u16>), String> {
    let invalid =
        |why: &str| line.invalid("", place, why, "<host>[:<port>], such as localhost:25 or [::1]:25");
    let is_ipv6 = |host: &str| host.parse::<Ipv6Addr>().is_ok();
    let (host, port) = if let Some(rest) = place.strip_prefix('[') {
        let (host, port) = rest.split_once(']').ok_or_else(|| invalid("has no ']' behind its address"))?;
        if !is_ipv6(host) {
            return Err(invalid("has no IPv6 address between its brackets"));
        }
        match port.strip_prefix(':') {
            None if port.is_empty() => (host, None),
            None => return Err(invalid("has something other than ':<port>' behind its ']'")),
            port => (host, port),
        }
    } else if is_ipv6(place) {
        (place, None)
    } else {
        place.split_once(':').map_or((place, None), |(host, port)| (host, Some(port)))
    };
    let number = |port: &str| match port.parse() {
        Ok(number @ 1..) if port.bytes().all(|byte| byte.is_ascii_digit()) => Ok(number),
        _ => {
            let shown = visible(port);
            Err(invalid(&format!("has the port '{shown}', which is not a number from 1 to 65535")))
        }
    };
    let port = port.map(number).transpose()?;
    if host.is_empty() {
        return Err(invalid("has no host"));
    }
    if is_ipv6(host) {
        return Ok((host.to_owned(), port));
    }
    match to_ascii(host) {
        Some(host) if is_host_name(&host) => Ok((host, port)),
        _ => Err(invalid("is not a host name or address")),
    }
}

fn command(line: Line, name: &str, program: MailProgram) -> Result<(RelayKind, Duration), String> {
    let smtp_options = line.keywords();
    let mut line = line.form(COMMAND);
    let (mut path, mut limit) = (None, None);
    while let Some(word) = line.next() {
        match word {
            "timeout" => {
                let word = line.value_once(word, limit.is_some(), TIME)?;
                limit = Some(timeout(line, word)?);
            }
            _ if word.starts_with('/') && path.is_none() => path = Some(PathBuf::from(word)),
            _ if smtp_options.contains(&word) => {
                let what = format!("'{word}' has no meaning for {}", program.word());
                return Err(line.error(format!("{what}; expected {}", line.syntax())));
            }
            _ if word.contains('/') && path.is_none() => {
                return Err(line.invalid("", word, "is not an absolute path", &line.syntax()));
            }
            _ => return Err(line.unknown(word)),
        }
    }
    let Some(path) = path.or_else(|| program.find()) else {
        return Err(line.error(format!(
            "relay '{name}': this machine has no {} (looked for {}); install one, or give its path",
            program.word(),
            program.default_paths().join(", ")
        )));
    };
    if !is_program(&path) {
        let shown = visible(&path.to_string_lossy());
        return Err(line.error(format!(
            "relay '{name}': '{shown}' is not a program; expected the path of a {}",
            program.word()
        )));
    }
    Ok((RelayKind::Command { program, path }, limit.unwrap_or(COMMAND_TIMEOUT)))
}

fn file(mut line: Line, name: &str) -> Result<(RelayKind, Duration), String> {
    let Some(word) = line.next().filter(|word| !word.is_empty()) else {
        return Err(line.error(format!("relay '{name}': 'file' expects a directory: {}", line.syntax())));
    };
    let directory = PathBuf::from(word);
    if !directory.is_dir() {
        return Err(line.invalid(&format!("relay '{name}': "), word, "is not a directory", &line.syntax()));
    }
    match line.next() {
        Some(word) => Err(line.unknown(word)),
        None => Ok((RelayKind::File { directory }, SMTP_TIMEOUT)),
    }
}

fn timeout(line: Line, word: &str) -> Result<Duration, String> {
    line.time_in("'timeout' value ", word, "10s", ["100ms", "1h"])
}
