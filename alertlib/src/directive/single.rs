// SPDX-License-Identifier: MIT OR Apache-2.0
//! Parsers of the directives with one value, and of `email_alert.spool`.

use super::line::{Line, did_you_mean};
use super::value::{is_host_name, size};
use crate::settings::*;
use lettre::Address;
use std::path::PathBuf;

/// Smallest `max-size`, in bytes: a few dozen mails.
const SMALLEST_SPOOL: u64 = 64 * 1024;

pub fn host_name(line: Line) -> Result<String, String> {
    let name = line.only("a name")?;
    if !is_host_name(name) || Address::new("haproxy", name).is_err() {
        return Err(line.invalid("", name, "is not a host name", "letters, digits, '-' and '.'"));
    }
    Ok(name.to_owned())
}

pub fn queue(line: Line) -> Result<usize, String> {
    let word = line.only("a number of events")?;
    let why = match word.parse() {
        Ok(events @ SMALLEST_QUEUE..=LARGEST_QUEUE) => return Ok(events),
        Ok(_) => "is out of range",
        Err(_) => "is not a number of events",
    };
    Err(line.invalid("", word, why, &format!("{SMALLEST_QUEUE} to {LARGEST_QUEUE}")))
}

pub fn spool(mut line: Line) -> Result<SpoolSettings, String> {
    let directory = line.required("a directory")?;
    if !PathBuf::from(directory).is_dir() {
        return Err(line.invalid("", directory, "is not a directory", &line.syntax()));
    }
    let mut max_size = None;
    while let Some(word) = line.next() {
        if word != "max-size" {
            return Err(line.unknown(word));
        }
        let expected = "a size, such as 64m";
        let word = line.value_once(word, max_size.is_some(), expected)?;
        max_size = match size(word) {
            Ok(bytes @ SMALLEST_SPOOL..) => Some(bytes),
            Ok(_) => return Err(line.invalid("'max-size' value ", word, "is too small", "64k or more")),
            Err(why) => return Err(line.invalid("'max-size' value ", word, why, expected)),
        };
    }
    Ok(SpoolSettings { directory: directory.into(), max_size: max_size.unwrap_or(SPOOL_SIZE) })
}

pub fn flap(line: Line) -> Result<Flap, String> {
    let word = line.only("a number of changes and a time")?;
    let invalid = |why| line.invalid("", word, why, &format!("{}, such as 6/10m", line.syntax()));
    let (changes, time) = word.split_once('/').ok_or_else(|| invalid("has no '/'"))?;
    let number = changes.parse().map_err(|_| invalid("does not begin with a number of changes"))?;
    if !(3..=100).contains(&number) {
        return Err(line.invalid("", changes, "changes is out of range", "3 to 100"));
    }
    Ok(Flap { changes: number, time: line.time_in("", time, "10m", ["1s", "1d"])? })
}

pub fn native(line: Line) -> Result<bool, String> {
    match line.only("'on' or 'off'")? {
        "on" => Ok(true),
        "off" => Ok(false),
        word => Err(line.unknown(word)),
    }
}

/// Parses a URL with a host. [`Line::unless_off()`] has handled `off`.
pub fn statistics(line: Line) -> Result<Link, String> {
    const EXPECTED: &str = "a URL, such as http://lb1.example.com:8404/stats, or 'off'";
    let word = line.only("a URL")?;
    Link::new(word, "").map_err(|why| line.invalid("", word, why, EXPECTED))
}

pub fn subject(mut line: Line) -> Result<SubjectFormat, String> {
    let example = format!("such as \"{DEFAULT_SUBJECT}\"");
    let expected = format!("a format, {example}");
    let format = line.required(&expected)?;
    if let Some(word) = line.next() {
        return Err(format!("{}, in quotes if it has spaces, {example}", line.unknown(word)));
    }
    SubjectFormat::parse(format).map_err(|error| match error {
        SubjectError::Form(why) => line.invalid("", format, why, &expected),
        SubjectError::Unknown(name) => {
            let known = variables();
            let hint = did_you_mean(&name, &known);
            line.error(format!("unknown variable '{name}'{hint}; expected one of {}", known.join(" ")))
        }
    })
}
