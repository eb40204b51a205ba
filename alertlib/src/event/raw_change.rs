// SPDX-License-Identifier: MIT OR Apache-2.0
//! Changes in the ring: a HAProxy thread writes a [`RawChange`], the collector reads a [`Change`].

use super::{Admin, Change, Check, CheckOutcome, CheckResult, State, StateReport, flag};
use crate::ring::{RECORD_WORDS, Writer};
use crate::text::{CUT, visible_bytes};
use crate::wire::nanos;
use std::fmt::Write as _;
use std::time::Duration;

/// One commit of a server's status, before and after. Borrows HAProxy's memory until it is written into the ring.
#[derive(Debug, Clone, Copy)]
pub struct RawChange<'a> {
    /// Numbers in the order of [`Number`].
    pub numbers: [i64; Number::COUNT],
    /// Texts in the order of [`Text`]: bytes of unknown encoding and length.
    pub texts: [&'a [u8]; Text::COUNT],
}

/// The numbers of a [`RawChange`].
#[derive(Debug, Clone, Copy)]
#[allow(missing_docs)] // see the fields of `haproxy_email_alert_event`
pub enum Number {
    ProxyId,
    ServerId,
    OldState,
    NewState,
    OldAdmin,
    NewAdmin,
    Flags,
    UsableBefore,
    Active,
    Backup,
    Sessions,
    Requeued,
    Queued,
    CheckCode,
    CheckDuration,
    CheckResult,
    CheckHealth,
    CheckRise,
    CheckFall,
}

impl Number {
    /// Number of numbers.
    pub const COUNT: usize = Number::CheckFall as usize + 1;
}

/// The texts of a [`RawChange`].
#[derive(Debug, Clone, Copy)]
#[allow(missing_docs)] // as above
pub enum Text {
    Proxy,
    Server,
    ViaProxy,
    ViaServer,
    Hostname,
    Cause,
    CheckStatus,
    CheckReason,
    CheckInfo,
    Address,
}

impl Text {
    /// Number of texts.
    pub const COUNT: usize = Text::Address as usize + 1;

    /// Largest bytes of each text in the ring; a longer text is cut and marked. HAProxy's own limits are lower, except for
    /// names, which only the length of a configuration line limits.
    const LIMITS: [usize; Text::COUNT] = [320, 320, 160, 160, 256, 128, 16, 64, 256, 64];
}

// The longest record fits into its slot: time, numbers, and every text with its length.
const _: () = {
    let (mut words, mut n) = (1 + Number::COUNT, 0);
    while n < Text::COUNT {
        words += 1 + Text::LIMITS[n].div_ceil(8);
        n += 1;
    }
    assert!(words <= RECORD_WORDS);
};

impl RawChange<'_> {
    /// Returns true if the backend has lost its last server. Such a change does not wait for others.
    pub fn is_urgent(&self) -> bool {
        let number = |which: Number| self.numbers[which as usize];
        number(Number::UsableBefore) > 0 && number(Number::Active) + number(Number::Backup) == 0
    }

    /// Writes a record for [`Change::read`]. `now`: time since the Unix epoch.
    pub fn write(&self, now: Duration, writer: &mut Writer) {
        // The longest record fits, see the assertion above.
        writer.word(now.as_nanos() as u64);
        writer.words(self.numbers.map(|number| number as u64));
        // The lengths before cutting: the reader recognises a text that was cut.
        writer.words(self.texts.map(|text| text.len() as u64));
        for (text, limit) in self.texts.iter().zip(Text::LIMITS) {
            if !text.is_empty() {
                writer.bytes(&text[..text.len().min(limit)]);
            }
        }
    }
}

impl Change {
    /// Reads a record of the ring. `None`: the record is invalid (a number is missing or out of range).
    pub fn read(record: &[u64]) -> Option<Change> {
        let (&when, rest) = record.split_first()?;
        let (numbers, rest) = rest.split_at_checked(Number::COUNT)?;
        let number = |which: Number| numbers[which as usize] as i64;
        let count = |which: Number| u32::try_from(number(which)).unwrap_or(0);

        let [proxy, server, via_proxy, via_server, hostname, cause, status, reason, info, address] =
            read_texts(rest)?;

        let flags = count(Number::Flags);
        Some(Change {
            when: nanos::time(when),
            proxy_id: count(Number::ProxyId),
            server_id: count(Number::ServerId),
            old_state: State::from_number(count(Number::OldState))?,
            new_state: State::from_number(count(Number::NewState))?,
            old_admin: Admin(count(Number::OldAdmin)),
            new_admin: Admin(count(Number::NewAdmin)),
            is_operational: flags & flag::OPERATIONAL != 0,
            is_backup: flags & flag::BACKUP != 0,
            is_listen: flags & flag::LISTEN != 0,
            usable_before: count(Number::UsableBefore),
            active: count(Number::Active),
            backup: count(Number::Backup),
            sessions: count(Number::Sessions),
            requeued: u32::try_from(number(Number::Requeued)).ok(),
            queued: count(Number::Queued),
            proxy,
            server,
            via: (!via_server.is_empty()).then_some((via_proxy, via_server)),
            hostname,
            cause,
            check: (flags & flag::CHECK != 0).then(|| Check {
                is_agent: flags & flag::AGENT != 0,
                status,
                reason,
                code: i32::try_from(number(Number::CheckCode)).ok().filter(|code| *code >= 0),
                info,
                duration: u64::try_from(number(Number::CheckDuration)).ok().map(Duration::from_millis),
            }),
            result: CheckOutcome::from_number(count(Number::CheckResult)).map(|outcome| CheckResult {
                outcome,
                health: count(Number::CheckHealth),
                rise: count(Number::CheckRise),
                fall: count(Number::CheckFall),
                has_zero_weight: flags & flag::ZERO_WEIGHT != 0,
            }),
            address,
            since_2_8: flags & flag::SINCE_2_8 != 0,
            state_report: match flags {
                _ if flags & flag::REMOVED != 0 => Some(StateReport::Removed),
                _ if flags & flag::STATE_REPORT != 0 => Some(StateReport::Present),
                _ => None,
            },
        })
    }
}

/// Reads the lengths and the texts of a record, makes the texts visible ([`visible_bytes`]) and marks those that were cut.
/// `None`: words are missing.
fn read_texts(words: &[u64]) -> Option<[String; Text::COUNT]> {
    let (lengths, mut words) = words.split_at_checked(Text::COUNT)?;
    let mut texts = [const { String::new() }; Text::COUNT];
    for (n, limit) in Text::LIMITS.into_iter().enumerate() {
        let given = lengths[n] as usize;
        let length = given.min(limit);
        let (text, rest) = words.split_at_checked(length.div_ceil(8))?;
        words = rest;
        let mut bytes: Vec<u8> = text.iter().flat_map(|word| word.to_le_bytes()).collect();
        bytes.truncate(length);
        let is_info = n == Text::CheckInfo as usize;
        texts[n] = if is_info { ascii_encoded(&bytes) } else { visible_bytes(bytes) };
        if given > limit {
            texts[n].push_str(CUT);
        }
    }
    Some(texts)
}

/// Encodes like HAProxy's `chunk_asciiencode()` with `"` as delimiter: bytes that are not printable ASCII become `<0D>`.
fn ascii_encoded(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len());
    for &byte in bytes {
        match byte {
            b' '..=b'~' if !matches!(byte, b'<' | b'>' | b'"') => text.push(byte as char),
            _ => _ = write!(text, "<{byte:02X}>"),
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::change::tests::timeout;
    use crate::ring::Ring;
    use std::time::SystemTime;

    fn write_and_read(numbers: [i64; Number::COUNT], texts: [&[u8]; Text::COUNT]) -> Option<Change> {
        let (ring, mut record) = (Ring::new(1), Vec::new());
        ring.push(|writer| RawChange { numbers, texts }.write(Duration::from_secs(7), writer))
            .expect("a free slot");
        assert_eq!(ring.peek(0, &mut record), Some(0));
        Change::read(&record)
    }

    #[test]
    fn change_is_read_as_it_was_written() {
        let flags = flag::OPERATIONAL | flag::CHECK | flag::AGENT;
        let numbers = [11, 12, 2, 0, 0x08, 0x21, flags.into(), 3, 4, 5, 6, -1, 7, -1, 2001, 1, 2, 3, 4];
        let texts: [&[u8]; Text::COUNT] = [
            b"be",
            b"s1",
            b"",
            b"",
            b"host",
            b"cause",
            b"L4TOUT",
            b"Layer4 timeout",
            b"a\r\n\"<\xff",
            b"10.0.0.7:80",
        ];
        let change = write_and_read(numbers, texts).expect("a change");
        let expected = Change {
            when: Some(SystemTime::UNIX_EPOCH + Duration::from_secs(7)),
            proxy_id: 11,
            server_id: 12,
            old_state: State::Running,
            new_state: State::Stopped,
            old_admin: Admin(0x08),
            new_admin: Admin(0x21),
            is_operational: true,
            usable_before: 3,
            active: 4,
            backup: 5,
            sessions: 6,
            requeued: None,
            queued: 7,
            proxy: "be".into(),
            server: "s1".into(),
            hostname: "host".into(),
            cause: "cause".into(),
            check: Some(Check { is_agent: true, info: "a<0D><0A><22><3C><FF>".into(), ..timeout() }),
            result: Some(CheckResult {
                outcome: CheckOutcome::Failed,
                health: 2,
                rise: 3,
                fall: 4,
                has_zero_weight: false,
            }),
            address: "10.0.0.7:80".into(),
            ..Change::default()
        };
        assert_eq!(change, expected);
    }

    #[test]
    fn long_texts_are_cut_and_hostile_texts_are_made_visible() {
        let long = [b'x'; 70_000];
        let mut texts: [&[u8]; Text::COUNT] = [&long; Text::COUNT];
        texts[Text::Server as usize] = b"\x1b[2J\xc3\x28\r\n.\r\n";
        let change = write_and_read([0; Number::COUNT], texts).expect("a change");
        assert_eq!(change.proxy.len(), 320 + CUT.len());
        assert!(change.proxy.ends_with("x[...]"));
        assert_eq!(change.server, "<U+001B>[2J\u{fffd}(<U+000D><U+000A>.<U+000D><U+000A>");
    }

    #[test]
    fn invalid_record_is_refused() {
        let mut numbers = [0; Number::COUNT];
        numbers[Number::NewState as usize] = 4;
        assert_eq!(write_and_read(numbers, [&[]; Text::COUNT]), None);
        assert_eq!(Change::read(&[]), None);
        assert_eq!(Change::read(&[0; 20]), None);
    }
}
