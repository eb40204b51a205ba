// SPDX-License-Identifier: MIT OR Apache-2.0
//! Parser of `email_alert`: recipients, sender, and the events for which they get mails.

use super::line::{Line, did_you_mean, nearest};
use super::value::{MAX_DOMAIN_LENGTH, to_ascii};
use crate::event::{Kind, Kinds, Level};
use crate::settings::*;
use crate::text::visible;
use lettre::Address;

const RECIPIENT: &str = "recipient ";
const SENDER: &str = "sender ";

pub fn route(mut line: Line) -> Result<Route, String> {
    let list = line.required("at least one recipient")?;
    let keywords = line.keywords();
    let mut to: Vec<WrittenAddress> = Vec::new();
    for word in list.split(',') {
        let name = address(line, word, RECIPIENT)?;
        if !to.contains(&name) {
            to.push(name);
        }
    }
    let mut route = Route { to, from: None, targets: Vec::new(), kinds: Kinds::usual(), level: Level::Debug };
    if let Some(&word) = line.rest.first() {
        // A word that is similar to a keyword and is followed by another word is a misspelled keyword and not a sender.
        let is_misspelled = line.rest.len() > 1 && !word.contains('@') && nearest(word, &keywords).is_some();
        if word.split(',').all(|kind| Kind::from_word(kind).is_some()) {
            return Err(line.error(format!(
                "'{word}' is not a sender; did you forget 'events' before it? expected {}",
                line.syntax()
            )));
        }
        if !keywords.contains(&word) && !is_misspelled {
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
            "for" => route.targets = patterns(&mut line)?,
            "events" => route.kinds = kinds(&mut line)?,
            "level" => route.level = level(&mut line)?,
            _ => return Err(line.unknown(word)),
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
    Level::from_word(word).ok_or_else(|| unknown(line, "level", word, &words, "level", &expected))
}

fn kinds(line: &mut Line) -> Result<Kinds, String> {
    let words = Kind::ALL.map(Kind::word);
    let expected = format!("a list of kinds: {}", words.join(","));
    let list = line.value("events", &expected)?;
    let kind =
        |word| Kind::from_word(word).ok_or_else(|| unknown(line, "kind", word, &words, "events", &expected));
    list.split(',').map(kind).collect()
}

fn unknown(line: &Line, what: &str, word: &str, known: &[&str], option: &str, expected: &str) -> String {
    let hint = did_you_mean(word, known);
    line.error(format!("unknown {what} '{}'{hint}; '{option}' expects {expected}", visible(word)))
}

/// Parses an address or a local name; the result is safe in an envelope, a header and the arguments of a command.
fn address(line: Line, word: &str, role: &str) -> Result<WrittenAddress, String> {
    let invalid =
        |why: &str| Err(line.invalid(role, word, why, "an address such as ops@example.com, or a local name"));
    if word.is_empty() {
        return invalid("is empty");
    }
    if word.starts_with(FORBIDDEN_STARTS) {
        return invalid("begins with a character that mail programs take for something else");
    }
    if let Some(char) = word.chars().find(|char| is_forbidden_in_address(*char)) {
        return invalid(&format!("has the character '{}'", visible(&char.to_string())));
    }
    let Some((user, domain)) = word.rsplit_once('@') else {
        return match Address::new(word, "localhost") {
            Ok(_) if word.is_ascii() => Ok(WrittenAddress::Local(word.to_owned())),
            _ => invalid("is not a mail address"),
        };
    };
    if user.is_empty() {
        return invalid("has nothing before the '@'");
    }
    if domain.is_empty() {
        return invalid("has nothing behind the '@'");
    }
    if !user.is_ascii() && role == SENDER {
        // The sender is in headers, which every relay and mail program must be able to read.
        return invalid("has a character outside ASCII before the '@'");
    }
    match to_ascii(domain).map(|domain| Address::new(user, domain)) {
        Some(Ok(address)) if address.domain().len() <= MAX_DOMAIN_LENGTH => {
            Ok(WrittenAddress::Address(address))
        }
        _ => invalid("is not a mail address"),
    }
}
