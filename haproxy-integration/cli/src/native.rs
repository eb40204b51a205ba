// SPDX-License-Identifier: MIT OR Apache-2.0
//! A configuration with HAProxy's own mailers: the `mailers` sections, and who has which `email-alert` lines.
//!
//! As `cfg_parse_mailers()`, `cfg_parse_listen()` and `proxy_defproxy_cpy()` do it in HAProxy 2.6 to 3.4.

use crate::words::{Word, split};
use haproxy_email_alert::event::Level;
use haproxy_email_alert::text::visible;
use std::collections::BTreeMap;

/// A first word that ends the section before it, whatever that is.
const OTHER_SECTIONS: &[&str] = &[
    "acme",
    "cache",
    "crt-store",
    "fcgi-app",
    "healthcheck",
    "http-errors",
    "log-forward",
    "log-profile",
    "namespace_list",
    "peers",
    "program",
    "resolvers",
    "ring",
    "traces",
    "userlist",
];

/// The keywords that may follow `email-alert`.
const SETTINGS: [&str; 5] = ["from", "level", "mailers", "myhostname", "to"];

/// A line that belongs to HAProxy's mailers.
#[derive(Debug)]
pub struct Line {
    /// `<file>:<number>`.
    pub place: String,
    pub text: String,
    pub in_defaults: bool,
    /// It is behind `.if`.
    pub is_conditional: bool,
}

/// A word, and the line that it is in (of `Configuration::lines`).
#[derive(Clone, Debug)]
pub struct Value {
    pub word: Word,
    pub line: usize,
}

/// The `email-alert` lines that a proxy has or inherits, by the word behind `email-alert`.
pub type Alerts = BTreeMap<&'static str, Value>;

/// A backend, or what may be one.
#[derive(Debug)]
pub struct Proxy {
    pub name: Word,
    pub is_frontend: bool,
    pub alerts: Alerts,
}

/// A `mailers` section.
#[derive(Debug)]
pub struct Mailers {
    pub name: Word,
    pub line: usize,
    pub timeout: Option<Value>,
    /// Names and addresses.
    pub list: Vec<(Word, Value)>,
}

/// The mailers, proxies and defaults of all configuration files.
#[derive(Debug, Default)]
pub struct Configuration {
    pub lines: Vec<Line>,
    pub mailers: Vec<Mailers>,
    pub proxies: Vec<Proxy>,
    /// Where `email_alert` lines are already.
    pub converted: Vec<String>,
    /// With their names.
    defaults: Vec<(String, Alerts)>,
}

#[derive(Clone, Copy, PartialEq)]
enum Section {
    Other,
    Global,
    Defaults,
    Proxy,
    Mailers,
}

/// Where the reader is.
struct Position<'a> {
    file: &'a str,
    number: usize,
    section: Section,
    /// How many `.if` are open.
    conditions: usize,
}

impl Configuration {
    /// Reads one more file, as if it had been behind those before it in `haproxy -f <file> -f <file>`.
    pub fn read(&mut self, file: &str, text: &str) -> Result<(), String> {
        let mut at = Position { file, number: 0, section: Section::Other, conditions: 0 };
        for line in text.lines() {
            at.number += 1;
            let words = split(line).and_then(|words| self.line(&mut at, line.trim(), &words));
            words.map_err(|why| format!("{file}:{}: {why}", at.number))?;
        }
        Ok(())
    }

    fn line(&mut self, at: &mut Position, text: &str, words: &[Word]) -> Result<(), String> {
        let word = |index: usize| words.get(index).and_then(Word::fixed).unwrap_or_default();
        let is_given = |index: usize| words.get(index).is_some_and(|word| word.fixed() != Some(""));
        match (word(0), at.section) {
            (".if", _) => at.conditions += 1,
            (".endif", _) => at.conditions = at.conditions.saturating_sub(1),
            ("global", _) => at.section = Section::Global,
            ("defaults", _) => {
                at.section = Section::Defaults;
                let is_nameless = word(1) == "from" && is_given(2) && !is_given(3);
                let (name, rest) = if is_nameless { ("", 1) } else { (word(1), 2) };
                let alerts =
                    if word(rest) == "from" { self.defaults(word(rest + 1))? } else { Alerts::new() };
                self.defaults.push((name.to_owned(), alerts));
            }
            (kind @ ("frontend" | "listen" | "backend"), _) => {
                at.section = Section::Proxy;
                let name = words.get(1).ok_or_else(|| format!("'{kind}' expects a name"))?.clone();
                let alerts = match (word(2), self.defaults.last()) {
                    ("from", _) => self.defaults(word(3))?,
                    (_, Some((_, alerts))) => alerts.clone(),
                    (_, None) => Alerts::new(),
                };
                self.proxies.push(Proxy { name, is_frontend: kind == "frontend", alerts });
            }
            ("mailers", _) => {
                at.section = Section::Mailers;
                let name = words.get(1).ok_or("'mailers' expects a name")?.clone();
                if let Some(other) = self.mailers.iter().find(|other| other.name == name) {
                    let place = &self.lines[other.line].place;
                    return Err(format!("there is a section 'mailers {name}' already: {place}"));
                }
                let line = self.found(at, text)?;
                self.mailers.push(Mailers { name, line, timeout: None, list: Vec::new() });
            }
            (kind, _) if OTHER_SECTIONS.contains(&kind) => at.section = Section::Other,
            (_, Section::Global) => self.global_line(at, text, words)?,
            (_, Section::Mailers) => self.mailers_line(at, text, words)?,
            ("email-alert", section @ (Section::Defaults | Section::Proxy)) => {
                let setting = SETTINGS.into_iter().find(|setting| *setting == word(1));
                let expected = format!("expected one of {}", SETTINGS.join(" "));
                let setting = setting.ok_or_else(|| {
                    format!("unknown word '{}' behind 'email-alert'; {expected}", visible(word(1)))
                })?;
                let Some(value) = words.get(2).filter(|_| is_given(2)) else {
                    return Err(format!("'email-alert {setting}' expects a value"));
                };
                if let Some(level) =
                    value.fixed().filter(|level| setting == "level" && Level::from_word(level).is_none())
                {
                    let levels = Level::ALL.map(Level::word).join(" ");
                    return Err(format!("unknown level '{}'; expected one of {levels}", visible(level)));
                }
                let value = Value { word: value.clone(), line: self.found(at, text)? };
                let alerts = match section {
                    Section::Defaults => self.defaults.last_mut().map(|(_, alerts)| alerts),
                    _ => self.proxies.last_mut().map(|proxy| &mut proxy.alerts),
                };
                alerts.expect("the section's own").insert(setting, value);
            }
            ("no" | "default", _) if word(1) == "email-alert" => {
                return Err(format!(
                    "HAProxy has no '{} email-alert', and refuses it: such a proxy takes its settings 'from' another defaults section",
                    word(0)
                ));
            }
            _ => {}
        }
        Ok(())
    }

    /// Returns the settings that a section inherits `from` the named defaults section.
    fn defaults(&self, name: &str) -> Result<Alerts, String> {
        let found = self.defaults.iter().rev().find(|(own, _)| own == name && !name.is_empty());
        found
            .map(|(_, alerts)| alerts.clone())
            .ok_or_else(|| format!("there is no section 'defaults {}' before", visible(name)))
    }

    fn global_line(&mut self, at: &Position, text: &str, words: &[Word]) -> Result<(), String> {
        let first = words.first().map(|word| word.with("")).unwrap_or_default();
        if first.starts_with("lua-load") && words.iter().any(|word| word.with("").ends_with("mailers.lua")) {
            self.found(at, text)?;
        }
        if first.split('.').next() == Some("email_alert") {
            self.converted.push(format!("{}:{}", at.file, at.number));
        }
        Ok(())
    }

    fn mailers_line(&mut self, at: &Position, text: &str, words: &[Word]) -> Result<(), String> {
        let Some(first) = words.first() else { return Ok(()) };
        let line = self.found(at, text)?;
        let section = self.mailers.last_mut().expect("the section's own");
        match (first.fixed(), words.get(1), words.get(2)) {
            (Some("mailer"), Some(name), Some(place)) => {
                let has_port =
                    |place: &str| place.rsplit_once(':').is_some_and(|(_, port)| !port.ends_with(']'));
                if place.fixed().is_some_and(|place| !has_port(place)) {
                    return Err(format!("'{place}' has no port; expected mailer <name> <address>:<port>"));
                }
                section.list.push((name.clone(), Value { word: place.clone(), line }));
            }
            (Some("mailer"), ..) => return Err("expected mailer <name> <address>:<port>".to_owned()),
            (Some("timeout"), Some(what), Some(time)) if what.fixed() == Some("mail") => {
                section.timeout = Some(Value { word: time.clone(), line });
            }
            (Some("timeout"), ..) => return Err("expected timeout mail <time>".to_owned()),
            _ => {
                return Err(format!(
                    "unknown word '{first}' in a mailers section; expected mailer or timeout"
                ));
            }
        }
        Ok(())
    }

    /// Remembers a line.
    fn found(&mut self, at: &Position, text: &str) -> Result<usize, String> {
        let place = format!("{}:{}", at.file, at.number);
        if text.contains(char::REPLACEMENT_CHARACTER) {
            return Err("is not UTF-8".to_owned());
        }
        let (in_defaults, is_conditional) = (at.section == Section::Defaults, at.conditions > 0);
        self.lines.push(Line { place, text: visible(text), in_defaults, is_conditional });
        Ok(self.lines.len() - 1)
    }
}
