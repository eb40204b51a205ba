// SPDX-License-Identifier: MIT OR Apache-2.0
//! Parser of `email_alert.relay`.

use super::line::{Line, did_you_mean};
use super::value::{duration, is_host_name, to_ascii};
use crate::credentials::{self, about};
use crate::files::check_closed_to_others;
use crate::settings::*;
use crate::text::visible;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

const SMTP: &str = "email_alert.relay <name> <host>[:<port>] [tls | starttls | insecure-plaintext] [ca-file <pem>] [crt <pem>] \
     [sni <name>] [insecure-no-verify] [user <user> password-file <file>] [oauth-token-file <file>] [timeout <time>] \
     [helo <name>]";
const COMMAND: &str = "email_alert.relay <name> sendmail|mailx [<path>] [timeout <time>]";
const FILE: &str = "email_alert.relay <name> file <directory>";

/// Keywords after an SMTP relay's host.
const SMTP_KEYWORDS: &[&str] = &[
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

pub fn relay(mut line: Line) -> Result<Relay, String> {
    let Some(name) = line.next().filter(|name| !name.is_empty()) else {
        return Err(line.error(format!("expects a name and a place: {SMTP}")));
    };
    // HAProxy allows these characters in names (invalid_char() in its src/tools.c).
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
        Some("sendmail") => command(line, name, MailProgram::Sendmail),
        Some("mailx") => command(line, name, MailProgram::Mailx),
        Some("file") => file(line, name),
        Some(place) => smtp(line, name, place),
    }
}

/// Options of an SMTP relay, as written.
#[derive(Default)]
struct SmtpOptions<'a> {
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

impl<'a> SmtpOptions<'a> {
    fn read(mut line: Line<'a>) -> Result<Self, String> {
        const PEM: &str = "a PEM file";
        const FILE: &str = "a file";
        let mut options = Self::default();
        while let Some(word) = line.next() {
            match word {
                "tls" => options.tls = true,
                "starttls" => options.starttls = true,
                "insecure-plaintext" => options.insecure_plaintext = true,
                "insecure-no-verify" => options.insecure_no_verify = true,
                "ca-file" => line.set_once(word, &mut options.ca_file, PEM)?,
                "crt" => line.set_once(word, &mut options.crt, PEM)?,
                "sni" => line.set_once(word, &mut options.sni, "a name")?,
                "user" => line.set_once(word, &mut options.user, "a user")?,
                "password-file" => line.set_once(word, &mut options.password_file, FILE)?,
                "oauth-token-file" => line.set_once(word, &mut options.oauth_token_file, FILE)?,
                "helo" => line.set_once(word, &mut options.helo, "a name")?,
                "timeout" => set_timeout(&mut options.timeout, &mut line)?,
                _ => return Err(line.unknown(word, SMTP_KEYWORDS, SMTP)),
            }
        }
        options.check_combination().map_err(|why| line.error(why))?;
        Ok(options)
    }

    /// Checks that no option excludes another or lacks another.
    fn check_combination(&self) -> Result<(), String> {
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

    fn encryption(&self) -> Option<Tls> {
        (self.tls || self.starttls).then(|| Tls {
            is_starttls: self.starttls,
            trust: match self.ca_file {
                _ if self.insecure_no_verify => Trust::Unverified,
                Some(path) => Trust::File(path.into()),
                None => Trust::System,
            },
            identity: self.crt.map(PathBuf::from),
            name: self.sni.map(str::to_owned),
        })
    }

    fn login(&self) -> Option<Login> {
        let secret = match (self.password_file, self.oauth_token_file) {
            (Some(path), _) => SecretFile::Password(path.into()),
            (_, Some(path)) => SecretFile::Token(path.into()),
            _ => return None,
        };
        Some(Login { user: self.user.map(str::to_owned), secret })
    }

    /// Checks the files while the configuration is read, so that HAProxy puts the line's number before an error.
    fn check_files(&self) -> Result<(), String> {
        if let Some(path) = self.ca_file.map(Path::new) {
            credentials::roots(path).map_err(about("ca-file", path))?;
        }
        if let Some(path) = self.crt.map(Path::new) {
            let checked = credentials::identity(path).and_then(|_| check_closed_to_others(path));
            checked.map_err(about("crt", path))?;
        }
        if let Some(path) = self.password_file.map(Path::new) {
            credentials::check(path).map_err(about("password-file", path))?;
        }
        if let Some(path) = self.oauth_token_file.map(Path::new) {
            credentials::check(path).map_err(about("oauth-token-file", path))?;
        }
        Ok(())
    }
}

fn smtp(line: Line, name: &str, place: &str) -> Result<Relay, String> {
    let (host, port) = host_and_port(line, place)?;
    let options = SmtpOptions::read(line)?;
    let invalid = |why: String| line.error(format!("relay '{name}': {why}"));
    let is_safe = options.tls || options.starttls || options.insecure_plaintext || is_loopback(&host);
    if !is_safe {
        let what = match options.login() {
            Some(_) => "mails and the secret of 'user'",
            None => "mails",
        };
        return Err(invalid(format!(
            "{what} to '{host}' would cross the network unencrypted{}; expected 'tls' or 'starttls', a loopback address, or \
             'insecure-plaintext' if everyone on the way may read and change them",
            did_you_mean(&host, &["sendmail", "mailx", "file"])
        )));
    }
    for (word, name) in [("sni", options.sni), ("helo", options.helo)] {
        if let Some(name) = name.filter(|name| !is_host_name(name) && name.parse::<IpAddr>().is_err()) {
            return Err(invalid(format!("'{word}' value '{}' is not a host name or address", visible(name))));
        }
    }
    if let Some(user) = options.user.filter(|user| user.chars().any(char::is_control)) {
        return Err(invalid(format!("'user' value '{}' has a control character", visible(user))));
    }
    options.check_files().map_err(invalid)?;
    let default_port = match (options.tls, options.starttls) {
        (true, _) => TLS_PORT,
        (_, true) => STARTTLS_PORT,
        _ => SMTP_PORT,
    };
    Ok(Relay {
        name: name.to_owned(),
        kind: RelayKind::Smtp(Smtp {
            host,
            port: port.unwrap_or(default_port),
            tls: options.encryption(),
            login: options.login(),
            helo: options.helo.map(str::to_owned),
        }),
        timeout: options.timeout.unwrap_or(SMTP_TIMEOUT),
    })
}

fn host_and_port(line: Line, place: &str) -> Result<(String, Option<u16>), String> {
    let shown = visible(place);
    let invalid = |why: &str| {
        line.error(format!("'{shown}' {why}; expected <host>[:<port>], such as localhost:25 or [::1]:25"))
    };
    let (host, port) = if let Some(rest) = place.strip_prefix('[') {
        let (host, port) = rest.split_once(']').ok_or_else(|| invalid("has no ']' behind its address"))?;
        if host.parse::<std::net::Ipv6Addr>().is_err() {
            return Err(invalid("has no IPv6 address between its brackets"));
        }
        match port.strip_prefix(':') {
            None if port.is_empty() => (host, None),
            None => return Err(invalid("has something other than ':<port>' behind its ']'")),
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
                return Err(invalid(&format!(
                    "has the port '{}', which is not a number from 1 to 65535",
                    visible(port)
                )));
            }
        },
    };
    if host.is_empty() {
        return Err(invalid("has no host"));
    }
    if host.parse::<std::net::Ipv6Addr>().is_ok() {
        return Ok((host.to_owned(), port));
    }
    match to_ascii(host) {
        Some(host) if is_host_name(&host) => Ok((host, port)),
        _ => Err(invalid("is not a host name or address")),
    }
}

fn command(mut line: Line, name: &str, program: MailProgram) -> Result<Relay, String> {
    let known = ["timeout"];
    let (mut path, mut timeout) = (None, None);
    while let Some(word) = line.next() {
        match word {
            "timeout" => set_timeout(&mut timeout, &mut line)?,
            _ if word.starts_with('/') && path.is_none() => path = Some(PathBuf::from(word)),
            _ if SMTP_KEYWORDS.contains(&word) => {
                return Err(
                    line.error(format!("'{word}' has no meaning for {}; expected {COMMAND}", program.word()))
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
    let path = match path.or_else(|| program.find()) {
        Some(path) => path,
        None => {
            return Err(line.error(format!(
                "relay '{name}': this machine has no {} (looked for {}); install one, or give its path",
                program.word(),
                program.default_paths().join(", ")
            )));
        }
    };
    if !is_program(&path) {
        let shown = visible(&path.to_string_lossy());
        return Err(line.error(format!(
            "relay '{name}': '{shown}' is not a program; expected the path of a {}",
            program.word()
        )));
    }
    Ok(Relay {
        name: name.to_owned(),
        kind: RelayKind::Command { program, path },
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
    Ok(Relay { name: name.to_owned(), kind: RelayKind::File { directory }, timeout: SMTP_TIMEOUT })
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
