// SPDX-License-Identifier: MIT OR Apache-2.0
//! Finished events in the ring, from sources outside of HAProxy's process: [`write`] and [`read`].
//!
//! A source such as the stats socket or a log file has no HAProxy-internal numbers to derive an event from: it delivers the
//! whole event. Texts that exceed the limits here are cut, and marked as cut.

use super::texts::{TextLimits, read_texts, write_texts};
use super::{Accuracy, Check, Event, Health, Kind, Level, Provenance, Usable};
use crate::ring::Writer;
use crate::wire::nanos;
use std::time::Duration;

/// First word of a record that is a finished event. A change begins with its time, which is never this number: it stands for
/// the last nanosecond that 64 bits can hold, in the year 2554.
pub const MARK: u64 = u64::MAX;

/// Number of words behind the mark: time, accuracy, the packed enumerations, check code, check duration, active and backup servers.
const NUMBERS: usize = 7;

/// Largest bytes of: proxy, server, sentence, former state, cause, via, address, check status, check reason, check info.
const LIMITS: TextLimits<10> = TextLimits([320, 320, 400, 16, 128, 240, 64, 16, 64, 256]);

const _: () = assert!(LIMITS.words() + 1 + NUMBERS <= crate::ring::RECORD_WORDS);

const IS_LISTEN: u64 = 1;
const HAS_SERVER: u64 = 2;
const HAS_VIA: u64 = 4;
const HAS_CHECK: u64 = 8;
const IS_AGENT: u64 = 16;
const IS_CONFIRMATION: u64 = 32;

/// Stands for a number that is not known.
const UNKNOWN: u64 = u64::MAX;
/// Accuracy: exact. Other values: see [`SECOND`], and the earlier of two times otherwise.
const EXACT: u64 = 0;
/// Accuracy: to the second.
const SECOND: u64 = 1;

/// Writes an event as a record for [`read`]. `is_confirmation`: the event reports the present state of an unconfirmed target.
pub fn write(event: &Event, is_confirmation: bool, writer: &mut Writer) {
    let check = event.check.as_ref();
    let mut flags = 0;
    for (bit, is_set) in [
        (IS_LISTEN, event.is_listen),
        (HAS_SERVER, event.server.is_some()),
        (HAS_VIA, event.via.is_some()),
        (HAS_CHECK, check.is_some()),
        (IS_AGENT, check.is_some_and(|check| check.is_agent)),
        (IS_CONFIRMATION, is_confirmation),
    ] {
        flags |= if is_set { bit } else { 0 };
    }
    let enumerations = flags
        | (event.kind as u64) << 8
        | (event.health as u64) << 16
        | (event.level as u64) << 24
        | (event.provenance as u64) << 32;
    let code = check.and_then(|check| check.code).map_or(UNKNOWN, |code| u64::from(code as u32));
    let duration = check.and_then(|check| check.duration).map_or(UNKNOWN, |time| time.as_millis() as u64);
    let usable = |number: fn(Usable) -> u32| event.usable.map_or(UNKNOWN, |usable| number(usable).into());
    // The longest event fits into a record, see the assertion above.
    writer.word(MARK);
    writer.words([
        nanos::of(event.when),
        match event.accuracy {
            Accuracy::Exact => EXACT,
            Accuracy::Second => SECOND,
            Accuracy::Since(before) => nanos::of(before).max(SECOND + 1),
        },
        enumerations,
        code,
        duration,
        usable(|usable| usable.active),
        usable(|usable| usable.backup),
    ]);
    let empty = Check::default();
    let check = check.unwrap_or(&empty);
    let texts = [
        &event.proxy,
        event.server.as_ref().unwrap_or(&empty.info),
        &event.sentence,
        &event.was,
        &event.cause,
        event.via.as_ref().unwrap_or(&empty.info),
        &event.address,
        &check.status,
        &check.reason,
        &check.info,
    ];
    write_texts(texts.map(|text| text.as_bytes()), &LIMITS, writer);
}

/// Reads a record behind its mark; returns the event and `is_confirmation`. `None`: the record is invalid (a number is missing
/// or out of range).
pub fn read(record: &[u64]) -> Option<(Event, bool)> {
    let (&[when, accuracy, enumerations, code, duration, active, backup], texts) =
        record.split_first_chunk::<NUMBERS>()?;
    let texts = read_texts(texts, &LIMITS)?;
    let [proxy, server, sentence, was, cause, via, address, status, reason, info] = texts;
    let has = |bit: u64| enumerations & bit != 0;
    let number = |place: u32| (enumerations >> place & 0xff) as usize;
    let kind = *Kind::ALL.get(number(8)).or((number(8) == Kind::Gone as usize).then_some(&Kind::Gone))?;
    let known = |word: u64| u32::try_from(word).ok();
    let event = Event {
        when: nanos::time(when)?,
        kind,
        health: *Health::ALL.get(number(16))?,
        level: *Level::ALL.get(number(24))?,
        proxy,
        is_listen: has(IS_LISTEN),
        server: has(HAS_SERVER).then_some(server),
        sentence,
        was,
        check: has(HAS_CHECK).then(|| Check {
            is_agent: has(IS_AGENT),
            status,
            reason,
            code: known(code).map(|code| code as i32),
            info,
            duration: (duration != UNKNOWN).then(|| Duration::from_millis(duration)),
        }),
        cause,
        via: has(HAS_VIA).then_some(via),
        address,
        usable: known(active).zip(known(backup)).map(|(active, backup)| Usable { active, backup }),
        provenance: *Provenance::ALL.get(number(32))?,
        accuracy: match accuracy {
            EXACT => Accuracy::Exact,
            SECOND => Accuracy::Second,
            before => Accuracy::Since(nanos::time(before)?),
        },
    };
    Some((event, has(IS_CONFIRMATION)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::sample;
    use crate::ring::Ring;
    use crate::text::CUT;
    use std::time::SystemTime;

    fn write_and_read(event: &Event, is_confirmation: bool) -> Option<(Event, bool)> {
        let (ring, mut record) = (Ring::new(1), Vec::new());
        ring.push(|writer| write(event, is_confirmation, writer)).expect("a free slot");
        assert_eq!(ring.peek(0, &mut record), Some(0));
        assert_eq!(record[0], MARK);
        read(&record[1..])
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
                assert_eq!(write_and_read(&event, is_confirmation), Some((event.clone(), is_confirmation)));
            }
        }
    }

    #[test]
    fn long_texts_are_cut_and_hostile_texts_are_made_visible() {
        let long = "x".repeat(70_000);
        let event =
            Event { proxy: long.clone(), sentence: long, server: Some("\u{1b}[2J\n".into()), ..sample() };
        let (event, _) = write_and_read(&event, false).expect("an event");
        assert_eq!((event.proxy.len(), event.sentence.len()), (320 + CUT.len(), 400 + CUT.len()));
        assert_eq!(event.server.as_deref(), Some("<U+001B>[2J<U+000A>"));
    }

    #[test]
    fn invalid_event_record_is_refused() {
        assert_eq!(read(&[]), None);
        let mut record = [0, 0, 0xff00, 0, 0, 0, 0, 0, 0, 0];
        assert_eq!(read(&record), None);
        record[2] = 0;
        assert!(read(&record).is_some());
    }
}
