// SPDX-License-Identifier: MIT OR Apache-2.0
//! Formats times, spans and counts for mails and log lines.

use jiff::ZonedDateTime;
use jiff::tz::TimeZone;
use std::time::{Duration, SystemTime};

/// Formats times in a time zone.
#[derive(Debug, Clone)]
pub struct Clock(pub TimeZone);

impl Clock {
    /// Formats date, time and zone: `2026-11-23 03:12:44 +01:00`.
    pub fn full(&self, when: SystemTime) -> String {
        let written = |when: ZonedDateTime| [day(&when), time(&when), zone(&when)].join(" ");
        self.zoned(when).map_or_else(unknown, written)
    }

    /// Formats the time of day alone if `when` is on the same day as `other`: `03:12:44`; else date and time, without zone.
    pub fn near(&self, when: SystemTime, other: SystemTime) -> String {
        let Some(when) = self.zoned(when) else { return unknown() };
        let is_same_day = self.zoned(other).is_some_and(|other| other.date() == when.date());
        if is_same_day { time(&when) } else { [day(&when), time(&when)].join(" ") }
    }

    /// Formats the range from `first` to `last`. The second date is left out if both are on the same day; the zone is that of
    /// `last`.
    pub fn range(&self, first: SystemTime, last: SystemTime) -> String {
        let (Some(one), Some(other)) = (self.zoned(first), self.zoned(last)) else { return unknown() };
        if (day(&one), time(&one)) == (day(&other), time(&other)) {
            return self.full(first);
        }
        [day(&one), time(&one), "to".to_owned(), self.near(last, first), zone(&other)].join(" ")
    }

    fn zoned(&self, when: SystemTime) -> Option<ZonedDateTime> {
        Some(jiff::Timestamp::try_from(when).ok()?.to_zoned_datetime(self.0.clone()))
    }
}

/// `2026-11-23`
fn day(when: &ZonedDateTime) -> String {
    format!("{:04}-{:02}-{:02}", when.year(), when.month(), when.day())
}

/// `03:12:44`
fn time(when: &ZonedDateTime) -> String {
    format!("{:02}:{:02}:{:02}", when.hour(), when.minute(), when.second())
}

/// `+01:00`
fn zone(when: &ZonedDateTime) -> String {
    let offset = when.offset().seconds();
    let (sign, minutes) = (if offset < 0 { '-' } else { '+' }, offset.abs() / 60);
    format!("{sign}{:02}:{:02}", minutes / 60, minutes % 60)
}

fn unknown() -> String {
    "unknown".to_owned()
}

/// Formats a duration in its two largest units: `14 min 5 s`; below 1 s in milliseconds.
pub fn span(length: Duration) -> String {
    let seconds = length.as_secs();
    let (large, small) = match seconds {
        0 => return format!("{} ms", length.as_millis()),
        1..60 => return format!("{seconds} s"),
        60..3600 => ((seconds / 60, "min"), (seconds % 60, "s")),
        3600..86400 => ((seconds / 3600, "h"), (seconds % 3600 / 60, "min")),
        _ => ((seconds / 86400, "d"), (seconds % 86400 / 3600, "h")),
    };
    match small.0 {
        0 => format!("{} {}", large.0, large.1),
        rest => format!("{} {} {rest} {}", large.0, large.1, small.1),
    }
}

/// Formats the time from `from` to `to`: `0 ms` if the clock was set back meanwhile.
pub fn between(from: SystemTime, to: SystemTime) -> String {
    span(to.duration_since(from).unwrap_or_default())
}

/// Formats a count with its noun: `1 server`, `2 servers`.
pub fn count(number: u64, noun: &str) -> String {
    format!("{number} {noun}{}", if number == 1 { "" } else { "s" })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn span_has_at_most_two_units() {
        for (seconds, words) in [
            (1, "1 s"),
            (59, "59 s"),
            (60, "1 min"),
            (845, "14 min 5 s"),
            (3600, "1 h"),
            (11_520, "3 h 12 min"),
            (86_399, "23 h 59 min"),
            (86_400, "1 d"),
            (12 * 86_400 + 3 * 3600 + 59, "12 d 3 h"),
        ] {
            assert_eq!(span(Duration::from_secs(seconds)), words);
        }
        assert_eq!(span(Duration::from_millis(2001)), "2 s");
        assert_eq!(span(Duration::from_millis(7)), "7 ms");
    }

    #[test]
    fn date_is_written_unless_both_times_are_on_the_same_day() {
        let clock = Clock(TimeZone::fixed(jiff::tz::offset(1)));
        let at = |seconds| SystemTime::UNIX_EPOCH + Duration::from_secs(seconds);
        assert_eq!(clock.full(at(0)), "1970-01-01 01:00:00 +01:00");
        assert_eq!(clock.near(at(7), at(0)), "01:00:07");
        assert_eq!(clock.near(at(0), at(86_400)), "1970-01-01 01:00:00");
        assert_eq!(clock.range(at(0), at(0)), "1970-01-01 01:00:00 +01:00");
        assert_eq!(clock.range(at(0), at(7)), "1970-01-01 01:00:00 to 01:00:07 +01:00");
    }
}
