// SPDX-License-Identifier: MIT OR Apache-2.0
//! Parsers of the directives with one value, and of `email_alert.spool`.

use super::line::{Line, did_you_mean};
use super::value::{duration, is_host_name, size};
use crate::settings::*;
use crate::text::visible;
use lettre::Address;
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::time::Duration;

const HOST_NAME: &str = "email_alert.host-name <name>";
const SPOOL: &str = "email_alert.spool <directory> [max-size <size>]";
pub const RETRY_TIME: &str = "email_alert.retry <time>";
pub const DIGEST_TIME: &str = "email_alert.digest <time>|off";
const QUEUE_SIZE: &str = "email_alert.queue <events>";
const FLAP_RATE: &str = "email_alert.flap <changes>/<time>|off";
pub const REMIND_TIME: &str = "email_alert.remind <time>|off";
const NATIVE: &str = "email_alert.native on|off";
const STATISTICS: &str = "email_alert.stats-uri <url>|off";
const SUBJECT: &str = "email_alert.subject <format>";

/// Smallest `max-size`, in bytes: a few dozen mails.
const SMALLEST_SPOOL: u64 = 64 * 1024;

pub fn host_name(line: Line) -> Result<String, String> {
    let name = line.only("a name", HOST_NAME)?;
    if !is_host_name(name) || Address::new("haproxy", name).is_err() {
        return Err(line.error(format!(
            "'{}' is not a host name; expected letters, digits, '-' and '.'",
            visible(name)
        )));
    }
    Ok(name.to_owned())
}

pub fn queue(line: Line) -> Result<usize, String> {
    let word = line.only("a number of events", QUEUE_SIZE)?;
    let range = SMALLEST_QUEUE..=LARGEST_QUEUE;
    match word.parse() {
        Ok(events) if range.contains(&events) => Ok(events),
        Ok(events) => {
            Err(line
                .error(format!("'{events}' is out of range; expected {SMALLEST_QUEUE} to {LARGEST_QUEUE}")))
        }
        Err(_) => Err(line.error(format!(
            "'{}' is not a number of events; expected {SMALLEST_QUEUE} to {LARGEST_QUEUE}",
            visible(word)
        ))),
    }
}

pub fn spool(mut line: Line) -> Result<SpoolSettings, String> {
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
    Ok(SpoolSettings { directory, max_size: max_size.unwrap_or(SPOOL_SIZE) })
}

/// Parses a line whose only word is a time. `example` and `range` appear in the error messages.
pub fn time(
    line: Line,
    usage: &str,
    example: &str,
    allowed: RangeInclusive<Duration>,
    range: &str,
) -> Result<Duration, String> {
    let word = line.only("a time", usage)?;
    let time = duration(word).map_err(|why| {
        line.error(format!("'{}' {why}; expected a time, such as {example}", visible(word)))
    })?;
    if !allowed.contains(&time) {
        return Err(line.error(format!("'{word}' is out of range; expected {range}")));
    }
    Ok(time)
}

/// Parses the line with `read`; `None` if its only word is `off`.
pub fn unless_off<T>(line: Line, read: impl Fn(Line) -> Result<T, String>) -> Result<Option<T>, String> {
    if line.rest == ["off"] { Ok(None) } else { read(line).map(Some) }
}

pub fn flap(line: Line) -> Result<Flap, String> {
    let word = line.only("a number of changes and a time", FLAP_RATE)?;
    let invalid =
        |why: &str| line.error(format!("'{}' {why}; expected {FLAP_RATE}, such as 6/10m", visible(word)));
    let (changes, time) = word.split_once('/').ok_or_else(|| invalid("has no '/'"))?;
    let changes: u32 = changes.parse().map_err(|_| invalid("does not begin with a number of changes"))?;
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

pub fn native(line: Line) -> Result<bool, String> {
    match line.only("'on' or 'off'", NATIVE)? {
        "on" => Ok(true),
        "off" => Ok(false),
        word => Err(line.unknown(word, &["on", "off"], NATIVE)),
    }
}

/// Parses a URL with a host. [`unless_off`] has handled `off`.
pub fn statistics(line: Line) -> Result<Link, String> {
    let word = line.only("a URL", STATISTICS)?;
    Link::new(word, "").map_err(|why| {
        let shown = visible(word);
        line.error(format!(
            "'{shown}' {why}; expected a URL, such as http://lb1.example.com:8404/stats, or 'off'"
        ))
    })
}

pub fn subject(mut line: Line) -> Result<SubjectFormat, String> {
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
    SubjectFormat::parse(format).map_err(|error| match error {
        SubjectError::Form(why) => line.error(format!("'{shown}' {why}; expected a format, {EXAMPLE}")),
        SubjectError::Unknown(name) => {
            let known = variables();
            let hint = did_you_mean(&name, &known);
            line.error(format!("unknown variable '{name}'{hint}; expected one of {}", known.join(" ")))
        }
    })
}
