// SPDX-License-Identifier: MIT OR Apache-2.0
//! The parts of JSON records that mails and snapshots have in common: events, items, incidents, times and addresses.
//!
//! A record is checked twice: serde checks its structure, and the functions here its meaning. Whatever a file contains, no text
//! of it has a control character, and no address or Message-ID can leave its place in a header or a command line.

use crate::event::{Accuracy, Check, Event, Health, Kind, Level, Provenance, Usable};
use crate::notification::{FlapPhase, Incident, Item};
use crate::settings::{FORBIDDEN_STARTS, is_forbidden_in_address};
use crate::text::{bounded, visible};
use lettre::Address;
use serde::{Deserialize, Serialize};
use std::time::{Duration, SystemTime};

/// Longest error text, in bytes.
const LONGEST_ERROR: usize = 200;

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct EventRecord {
    when: u64,
    kind: String,
    health: String,
    level: String,
    proxy: String,
    #[serde(default, skip_serializing_if = "is_false")]
    listen: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    server: Option<String>,
    sentence: String,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    was: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    check: Option<CheckRecord>,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    cause: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    via: Option<String>,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    address: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    usable: Option<UsableRecord>,
    /// The place in [`Provenance::ALL`].
    #[serde(default, skip_serializing_if = "is_zero")]
    source: usize,
    #[serde(skip_serializing_if = "Option::is_none")]
    accuracy: Option<AccuracyRecord>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct CheckRecord {
    #[serde(default, skip_serializing_if = "is_false")]
    agent: bool,
    status: String,
    reason: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    code: Option<i32>,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    info: String,
    /// In milliseconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    duration: Option<u64>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct UsableRecord {
    active: u32,
    backup: u32,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum AccuracyRecord {
    Second,
    Since(u64),
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ItemRecord {
    event: EventRecord,
    changes: u32,
    first: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    incident: Option<IncidentRecord>,
    phase: String,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct IncidentRecord {
    since: u64,
    changes: u32,
    reason: String,
}

impl EventRecord {
    pub(super) fn of(event: &Event) -> Self {
        let check = event.check.as_ref().map(|check| CheckRecord {
            agent: check.is_agent,
            status: visible(&check.status),
            reason: visible(&check.reason),
            code: check.code,
            info: visible(&check.info),
            duration: check.duration.map(|duration| duration.as_millis() as u64),
        });
        EventRecord {
            when: nanos(event.when),
            kind: event.kind.word().to_owned(),
            health: event.health.word().to_owned(),
            level: event.level.word().to_owned(),
            proxy: visible(&event.proxy),
            listen: event.is_listen,
            server: event.server.as_deref().map(visible),
            sentence: visible(&event.sentence),
            was: visible(&event.was),
            check,
            cause: visible(&event.cause),
            via: event.via.as_deref().map(visible),
            address: visible(&event.address),
            usable: event.usable.map(|Usable { active, backup }| UsableRecord { active, backup }),
            source: event.provenance as usize,
            accuracy: match event.accuracy {
                Accuracy::Exact => None,
                Accuracy::Second => Some(AccuracyRecord::Second),
                Accuracy::Since(before) => Some(AccuracyRecord::Since(nanos(before))),
            },
        }
    }

    pub(super) fn event(self) -> Result<Event, String> {
        let kind =
            |word: &str| Kind::from_word(word).or_else(|| (word == Kind::Gone.word()).then_some(Kind::Gone));
        Ok(Event {
            when: time(self.when)?,
            kind: meaning("kind", &self.kind, kind)?,
            health: meaning("health", &self.health, Health::from_word)?,
            level: meaning("level", &self.level, Level::from_word)?,
            proxy: visible(&self.proxy),
            is_listen: self.listen,
            server: self.server.as_deref().map(visible),
            sentence: visible(&self.sentence),
            was: visible(&self.was),
            check: self.check.map(|check| Check {
                is_agent: check.agent,
                status: visible(&check.status),
                reason: visible(&check.reason),
                code: check.code,
                info: visible(&check.info),
                duration: check.duration.map(Duration::from_millis),
            }),
            cause: visible(&self.cause),
            via: self.via.as_deref().map(visible),
            address: visible(&self.address),
            usable: self.usable.map(|UsableRecord { active, backup }| Usable { active, backup }),
            provenance: *Provenance::ALL.get(self.source).ok_or("its 'source' is unknown")?,
            accuracy: match self.accuracy {
                None => Accuracy::Exact,
                Some(AccuracyRecord::Second) => Accuracy::Second,
                Some(AccuracyRecord::Since(before)) => Accuracy::Since(time(before)?),
            },
        })
    }
}

impl ItemRecord {
    pub(super) fn of(item: &Item) -> Self {
        ItemRecord {
            event: EventRecord::of(&item.event),
            changes: item.changes,
            first: nanos(item.first),
            incident: item.incident.as_ref().map(IncidentRecord::of),
            phase: item.flap_phase.word().to_owned(),
        }
    }

    pub(super) fn item(self) -> Result<Item, String> {
        Ok(Item {
            event: self.event.event()?.into(),
            changes: self.changes,
            first: time(self.first)?,
            incident: self.incident.map(IncidentRecord::incident).transpose()?,
            flap_phase: meaning("phase", &self.phase, FlapPhase::from_word)?,
        })
    }
}

impl IncidentRecord {
    pub(super) fn of(incident: &Incident) -> Self {
        let Incident { since, reason, changes } = incident;
        IncidentRecord { since: nanos(*since), changes: *changes, reason: visible(reason) }
    }

    pub(super) fn incident(self) -> Result<Incident, String> {
        Ok(Incident { since: time(self.since)?, changes: self.changes, reason: visible(&self.reason).into() })
    }
}

/// Writes a record as a line. It cannot fail: every key is a string, and no value is a float.
pub(super) fn line(record: &impl Serialize) -> String {
    serde_json::to_string(record).unwrap_or_default() + "\n"
}

/// Reads a record from a line.
pub(super) fn parse<'a, T: Deserialize<'a>>(line: &'a str) -> Result<T, String> {
    let Some(record) = line.strip_suffix('\n') else {
        return Err("it does not end with a line end".to_owned());
    };
    // The error may repeat what is in the file.
    serde_json::from_str(record).map_err(|error| bounded(visible(&error.to_string()), LONGEST_ERROR))
}

/// The meaning of a word.
pub(super) fn meaning<T>(name: &str, word: &str, meaning: impl Fn(&str) -> Option<T>) -> Result<T, String> {
    meaning(word).ok_or_else(|| format!("its {name} '{}' is unknown", bounded(visible(word), LONGEST_ERROR)))
}

/// Nanoseconds since the Unix epoch.
pub(super) fn nanos(time: SystemTime) -> u64 {
    let nanos = time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_nanos();
    u64::try_from(nanos).unwrap_or(u64::MAX)
}

pub(super) fn time(nanos: u64) -> Result<SystemTime, String> {
    let time = SystemTime::UNIX_EPOCH.checked_add(Duration::from_nanos(nanos));
    time.ok_or_else(|| format!("{nanos} is no time"))
}

/// An address that a directive could have: only the part in front of the `@` may have characters outside ASCII.
pub(super) fn address(text: &str) -> Result<Address, String> {
    let is_fine = |(_, domain): (&str, &str)| {
        domain.is_ascii() && !text.starts_with(FORBIDDEN_STARTS) && !text.contains(is_forbidden_in_address)
    };
    let address = text.parse().ok().filter(|_| text.rsplit_once('@').is_some_and(is_fine));
    address.ok_or_else(|| format!("'{}' is no address", bounded(visible(text), LONGEST_ERROR)))
}

/// A Message-ID that this library could have made: it goes into a header as it is.
pub(super) fn message_id(text: String) -> Result<String, String> {
    let inner = text.strip_prefix('<').and_then(|text| text.strip_suffix('>'));
    let is_fine = inner.and_then(|inner| inner.split_once('@')).is_some_and(|(left, right)| {
        let is_plain = |part: &str| {
            !part.is_empty()
                && part.len() <= 255
                && part.bytes().all(|b| b.is_ascii_alphanumeric() || b"._-".contains(&b))
        };
        is_plain(left) && is_plain(right)
    });
    if is_fine { Ok(text) } else { Err("a Message-ID in it is not one of this library".to_owned()) }
}

#[allow(clippy::trivially_copy_pass_by_ref)] // serde wants a reference
pub(super) fn is_false(value: &bool) -> bool {
    !value
}

#[allow(clippy::trivially_copy_pass_by_ref)] // serde wants a reference
fn is_zero(value: &usize) -> bool {
    *value == 0
}
