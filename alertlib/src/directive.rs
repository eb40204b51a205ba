// SPDX-License-Identifier: MIT OR Apache-2.0
//! The `email_alert` lines of HAProxy's `global` section → [`Settings`].
//!
//! HAProxy's own style: positional words, then keyword options. HAProxy has split the line into words and taken quotes
//! and variables away. Every error says which word is wrong and what was expected, in one line without a line end; HAProxy
//! puts file and line before it.

use crate::event::{Kind, Kinds};
use crate::settings::*;
use crate::text::visible;
use lettre::Address;
use std::path::PathBuf;
use std::time::Duration;

const ROUTE: &str = "email_alert <to>[,<to>...] [<from>] [events <kind>,...]";
const SMTP: &str = "email_alert.relay <name> <host>[:<port>] [insecure-plaintext] [timeout <time>]";
const COMMAND: &str = "email_alert.relay <name> sendmail|mailx [<path>] [timeout <time>]";
const FILE: &str = "email_alert.relay <name> file <directory>";
const HOST_NAME: &str = "email_alert.host-name <name>";

/// Words that the contract has, and this version has not.
const LATER_ROUTE: &[&str] = &["for", "level"];
const LATER_SMTP: &[&str] = &[
    "tls",
    "starttls",
    "ca-file",
    "crt",
    "sni",
    "insecure-no-verify",
    "user",
    "password-file",
    "oauth-token-file",
    "helo",
];
const LATER: &[&str] = &[
    "email_alert.spool",
    "email_alert.digest",
    "email_alert.flap",
    "email_alert.remind",
    "email_alert.retry",
    "email_alert.queue",
    "email_alert.subject",
    "email_alert.native",
];

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
        _ if LATER.contains(&keyword) => return Err(line.error("is not supported yet; remove this line")),
        _ => {
            let known = ["email_alert", "email_alert.relay", "email_alert.host-name"];
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

    /// The error for a word that has no meaning here.
    fn unknown(&self, word: &str, known: &[&str], later: &[&str], usage: &str) -> String {
        if later.contains(&word) {
            return self.error(format!("'{word}' is not supported yet; expected {usage}"));
        }
        let all = [known, later].concat();
        self.error(format!("unknown word '{}'{}; expected {usage}", visible(word), did_you_mean(word, &all)))
    }
}

fn route(mut line: Line) -> Result<Route, String> {
    let Some(list) = line.next().filter(|list| !list.is_empty()) else {
        return Err(line.error(format!("expects at least one recipient: {ROUTE}")));
    };
    let mut to: Vec<Name> = Vec::new();
    for word in list.split(',') {
        let name = address(line, word, "recipient")?;
        if !to.contains(&name) {
            to.push(name);
        }
    }
    let known = ["events"];
    let all = [known.as_slice(), LATER_ROUTE].concat();
    let mut route = Route { to, from: None, kinds: Kinds::usual() };
    if let Some(&word) = line.rest.first() {
        // A word that all but is an option, and has one behind it, is a slip and not a sender.
        let is_slip = line.rest.len() > 1 && !word.contains('@') && nearest(word, &all).is_some();
        if word.split(',').all(|kind| Kind::from_word(kind).is_some()) {
            return Err(line.error(format!(
                "'{word}' is not a sender; did you forget 'events' before it? expected {ROUTE}"
            )));
        }
        if !all.contains(&word) && !is_slip {
            line.next();
            route.from = Some(address(line, word, "sender")?);
        }
    }
    let mut seen = false;
    while let Some(word) = line.next() {
        match word {
            "events" if seen => return Err(line.error("'events' is given twice; expected one list of kinds")),
            "events" => {
                seen = true;
                route.kinds = kinds(&mut line)?;
            }
            _ => return Err(line.unknown(word, &known, LATER_ROUTE, ROUTE)),
        }
    }
    Ok(route)
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
    if word.starts_with(['-', '|', '/', ':', '~', '+']) {
        return wrong("begins with a character that mail programs take for something else");
    }
    if let Some(bad) = word
        .chars()
        .find(|char| char.is_whitespace() || char.is_control() || "<>()[]\\,;:\"'`$".contains(*char))
    {
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
    if !word.is_ascii() {
        return wrong("has a character outside ASCII, which is not supported yet");
    }
    match Address::new(user, domain) {
        Ok(address) if domain.len() <= DOMAIN_LENGTH => Ok(Name::Address(address)),
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

fn smtp(mut line: Line, name: &str, place: &str) -> Result<Relay, String> {
    let (host, port) = host_and_port(line, place)?;
    let known = ["insecure-plaintext", "timeout"];
    let (mut plaintext, mut timeout) = (false, None);
    while let Some(word) = line.next() {
        match word {
            "insecure-plaintext" => plaintext = true,
            "timeout" => set_timeout(&mut timeout, &mut line)?,
            _ => return Err(line.unknown(word, &known, LATER_SMTP, SMTP)),
        }
    }
    if !plaintext && !is_loopback(&host) {
        return Err(line.error(format!(
            "relay '{name}': mails to '{host}' would cross the network unencrypted ('tls' and 'starttls' are not supported \
             yet){}; expected a loopback address, or 'insecure-plaintext' if everyone on the way may read and change them",
            did_you_mean(&host, &["sendmail", "mailx", "file"])
        )));
    }
    Ok(Relay {
        name: name.to_owned(),
        way: Way::Smtp { host, port },
        timeout: timeout.unwrap_or(SMTP_TIMEOUT),
    })
}

fn host_and_port(line: Line, place: &str) -> Result<(String, u16), String> {
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
        None => SMTP_PORT,
        Some(port) => match port.parse::<u16>() {
            Ok(number @ 1..) if port.bytes().all(|byte| byte.is_ascii_digit()) => number,
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
    if host.parse::<std::net::Ipv6Addr>().is_err() && !is_host_name(host) {
        return Err(wrong("is not a host name or address"));
    }
    Ok((host.to_owned(), port))
}

fn command(mut line: Line, name: &str, flavour: Flavour) -> Result<Relay, String> {
    let known = ["timeout"];
    let (mut path, mut timeout) = (None, None);
    while let Some(word) = line.next() {
        match word {
            "timeout" => set_timeout(&mut timeout, &mut line)?,
            _ if word.starts_with('/') && path.is_none() => path = Some(PathBuf::from(word)),
            _ if LATER_SMTP.contains(&word) || word == "insecure-plaintext" => {
                return Err(
                    line.error(format!("'{word}' has no meaning for {}; expected {COMMAND}", flavour.word()))
                );
            }
            _ if word.contains('/') && path.is_none() => {
                return Err(
                    line.error(format!("'{}' is not an absolute path; expected {COMMAND}", visible(word)))
                );
            }
            _ => return Err(line.unknown(word, &known, &[], COMMAND)),
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
        return Err(line.unknown(word, &[], &[], FILE));
    }
    Ok(Relay { name: name.to_owned(), way: Way::File { directory }, timeout: SMTP_TIMEOUT })
}

fn host_name(mut line: Line) -> Result<String, String> {
    let Some(name) = line.next().filter(|name| !name.is_empty()) else {
        return Err(line.error(format!("expects a name: {HOST_NAME}")));
    };
    if let Some(word) = line.next() {
        return Err(line.unknown(word, &[], &[], HOST_NAME));
    }
    if !is_host_name(name) || Address::new("haproxy", name).is_err() {
        return Err(line.error(format!(
            "'{}' is not a host name; expected letters, digits, '-' and '.'",
            visible(name)
        )));
    }
    Ok(name.to_owned())
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
        assert_eq!(plan.relays[0].way, Way::Smtp { host: "localhost".into(), port: 25 });
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
            assert_eq!(settings.relays[0].way, Way::Smtp { host: host.into(), port }, "{place}");
        }
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
