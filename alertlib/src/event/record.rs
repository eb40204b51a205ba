// SPDX-License-Identifier: MIT OR Apache-2.0
//! Records of the ring, decoded: a [`Change`] of HAProxy's own process, or a finished event ([`Report`]) from a source outside of it.
//!
//! A source such as the stats socket or a log file has no HAProxy-internal numbers to derive an event from: it delivers the
//! whole event, which is JSON in the ring.

use super::{Change, Event};
use crate::ring::{RECORD_WORDS, Writer};
use crate::text::bounded;
use crate::wire::{parse_line, to_line};
use serde::{Deserialize, Serialize};
use std::mem::take;

/// First word of a record that is a report. A change begins with its time, which is never this number: it stands for the last
/// nanosecond that 64 bits can hold, in the year 2554.
const MARK: u64 = u64::MAX;

/// Largest bytes of a report's JSON, which follows the mark.
const MAX_JSON: usize = (RECORD_WORDS - 1) * 8;

/// A record of the ring.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Record {
    /// None, one, or one of a server and one of its backend.
    pub events: Vec<Event>,
    /// The record reports the present state of an unconfirmed target: nothing has changed.
    pub is_confirmation: bool,
}

impl Record {
    /// Reads a record of the ring. `None`: the record is invalid (a number is missing or out of range, or the JSON is wrong).
    pub fn read(record: &[u64]) -> Option<Record> {
        if let Some((&MARK, words)) = record.split_first() {
            let bytes = words.iter().flat_map(|word| word.to_le_bytes()).collect();
            // The last word is padded with zeros.
            return parse_line(String::from_utf8(bytes).ok()?.trim_end_matches('\0')).ok();
        }
        let change = Change::read(record)?;
        Some(Record { is_confirmation: change.state_report.is_some(), events: change.into_events() })
    }
}

/// A finished event as JSON that fits into a record.
pub struct Report(String);

impl Report {
    /// Encodes an event; cuts and marks texts that are too long. `is_confirmation`: the event reports the present state of an
    /// unconfirmed target.
    pub fn new(event: &Event, is_confirmation: bool) -> Self {
        let json =
            |halvings| to_line(&Record { events: vec![cut(event.clone(), halvings)], is_confirmation });
        // Texts with many escapes may exceed the record although each is within its limit. Nine halvings leave no text.
        Report((0..=9).map(json).find(|json| json.len() <= MAX_JSON).unwrap_or_default())
    }

    /// Writes the record for [`Record::read`].
    pub fn write(&self, writer: &mut Writer) {
        writer.word(MARK);
        writer.bytes(self.0.as_bytes());
    }
}

/// Cuts the event's texts to their largest bytes, halved so many times.
fn cut(mut event: Event, halvings: u32) -> Event {
    let of_event = [
        (&mut event.proxy, 320),
        (&mut event.sentence, 400),
        (&mut event.was, 16),
        (&mut event.cause, 128),
        (&mut event.address, 64),
    ];
    let of_server = event.server.iter_mut().map(|server| (server, 320));
    let of_via = event.via.iter_mut().map(|via| (via, 240));
    let of_check = event
        .check
        .iter_mut()
        .flat_map(|check| [(&mut check.status, 16), (&mut check.reason, 64), (&mut check.info, 256)]);
    for (text, limit) in of_event.into_iter().chain(of_server).chain(of_via).chain(of_check) {
        *text = bounded(take(text), limit >> halvings);
    }
    event
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::{Accuracy, Check, Kind, Provenance, sample};
    use crate::ring::Ring;
    use crate::text::CUT;
    use std::time::{Duration, SystemTime};

    fn write_and_read(event: &Event, is_confirmation: bool) -> Option<Record> {
        let (ring, mut record) = (Ring::new(1), Vec::new());
        let report = Report::new(event, is_confirmation);
        ring.push(|writer| report.write(writer)).expect("a free slot");
        assert_eq!(ring.peek(0, &mut record), Some(0));
        assert_eq!(record[0], MARK);
        Record::read(&record)
    }

    #[test]
    fn event_is_read_as_it_was_written() {
        let check = Check {
            is_agent: true,
            status: "L7STS".into(),
            reason: "Layer7 wrong status".into(),
            code: Some(503),
            info: "Service Unavailable".into(),
            duration: Some(Duration::from_millis(12)),
        };
        let before = SystemTime::UNIX_EPOCH + Duration::from_secs(7);
        for event in [
            sample(),
            Event { usable: None, server: None, kind: Kind::BackendDown, ..sample() },
            Event { check: Some(check.clone()), via: Some("be/s2".into()), is_listen: true, ..sample() },
            Event { check: Some(Check { code: None, duration: None, ..check }), ..sample() },
            Event { provenance: Provenance::StatsSocket, accuracy: Accuracy::Since(before), ..sample() },
            Event {
                provenance: Provenance::LogFile,
                accuracy: Accuracy::Second,
                kind: Kind::Gone,
                ..sample()
            },
        ] {
            for is_confirmation in [false, true] {
                let expected = Record { events: vec![event.clone()], is_confirmation };
                assert_eq!(write_and_read(&event, is_confirmation), Some(expected));
            }
        }
    }

    #[test]
    fn long_texts_are_cut_and_hostile_texts_are_made_visible() {
        let long = "x".repeat(70_000);
        let event =
            Event { proxy: long.clone(), sentence: long, server: Some("\u{1b}[2J\n".into()), ..sample() };
        let event = &write_and_read(&event, false).expect("an event").events[0];
        assert_eq!((event.proxy.len(), event.sentence.len()), (320 + CUT.len(), 400 + CUT.len()));
        assert_eq!(event.server.as_deref(), Some("<U+001B>[2J<U+000A>"));
    }

    #[test]
    fn longest_texts_fit_into_a_record_with_the_most_escapes_too() {
        for text in ["x", "ä", "\"", "\u{1b}", "\u{e0001}"].map(|char| char.repeat(500)) {
            let check =
                Check { status: text.clone(), reason: text.clone(), info: text.clone(), ..Check::default() };
            let event = Event {
                proxy: text.clone(),
                server: Some(text.clone()),
                sentence: text.clone(),
                was: text.clone(),
                check: Some(check),
                cause: text.clone(),
                via: Some(text.clone()),
                address: text,
                ..sample()
            };
            let read = write_and_read(&event, false).expect("an event");
            assert!(read.events[0].sentence.ends_with(CUT), "{read:?}");
        }
    }

    #[test]
    fn invalid_event_record_is_refused() {
        assert_eq!(Record::read(&[MARK]), None);
        let read = |json: &str| {
            let (ring, mut record) = (Ring::new(1), Vec::new());
            ring.push(|writer| Report(json.to_owned()).write(writer)).expect("a free slot");
            ring.peek(0, &mut record);
            Record::read(&record)
        };
        let json = Report::new(&sample(), false).0;
        assert!(read(&json).is_some());
        assert_eq!(read(&json.replace("\"kind\":\"down\"", "\"kind\":\"sideways\"")), None);
        assert_eq!(read(&json[..json.len() / 2]), None);
    }
}
