// SPDX-License-Identifier: MIT OR Apache-2.0
//! JSON lines for files and pipes.

use crate::text::{bounded, visible};
use serde::{Deserialize, Serialize};
use serde_json::ser::{CharEscape, Formatter};
use std::io;

/// Longest error text, in bytes.
const LONGEST_ERROR: usize = 200;

/// Compact JSON whose texts are [`visible`].
struct VisibleFormatter;

impl Formatter for VisibleFormatter {
    fn write_string_fragment<W: ?Sized + io::Write>(
        &mut self,
        writer: &mut W,
        fragment: &str,
    ) -> io::Result<()> {
        writer.write_all(visible(fragment).as_bytes())
    }

    fn write_char_escape<W: ?Sized + io::Write>(
        &mut self,
        writer: &mut W,
        escape: CharEscape,
    ) -> io::Result<()> {
        let control = match escape {
            CharEscape::Quote => return writer.write_all(b"\\\""),
            CharEscape::ReverseSolidus => return writer.write_all(b"\\\\"),
            CharEscape::Solidus => b'/',
            CharEscape::Backspace => 8,
            CharEscape::Tab => b'\t',
            CharEscape::LineFeed => b'\n',
            CharEscape::FormFeed => 12,
            CharEscape::CarriageReturn => b'\r',
            CharEscape::AsciiControl(byte) => byte,
        };
        self.write_string_fragment(writer, char::from(control).encode_utf8(&mut [0; 4]))
    }
}

/// Writes a value as one line of JSON. Invisible characters in its texts are replaced ([`visible`]), so that [`parse_line`] accepts
/// the line.
pub fn to_line(value: &impl Serialize) -> String {
    let mut line = Vec::new();
    // It cannot fail: every key is a string, and no value is a float.
    let _ = value.serialize(&mut serde_json::Serializer::with_formatter(&mut line, VisibleFormatter));
    line.push(b'\n');
    String::from_utf8(line).unwrap_or_default()
}

/// Reads a value from one line of JSON. The texts in it are [`visible`].
///
/// # Errors
///
/// The line is cut, has invisible characters, or is no such value: a text for the administrator.
pub fn parse_line<'a, T: Deserialize<'a>>(line: &'a str) -> Result<T, String> {
    let Some(line) = line.strip_suffix('\n') else {
        return Err("it does not end with a line end".to_owned());
    };
    // Other escapes stand for control characters, or for characters that need none.
    let has_escapes = line.replace(r"\\", "").replace(r#"\""#, "").contains('\\');
    if has_escapes || visible(line) != line {
        return Err("it has invisible characters or escapes".to_owned());
    }
    // The error may repeat what is in the line.
    serde_json::from_str(line).map_err(|error| bounded(error.to_string(), LONGEST_ERROR))
}

/// Returns true for the value that a missing field has.
pub fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

/// Times as nanoseconds since the Unix epoch, for `#[serde(with)]`.
pub mod nanos {
    use serde::{Deserialize, Deserializer, Serializer, de::Error};
    use std::time::{Duration, SystemTime};

    /// Nanoseconds since the Unix epoch; 0 before it, the largest number after the year 2554.
    pub fn of(time: SystemTime) -> u64 {
        let nanos = time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_nanos();
        u64::try_from(nanos).unwrap_or(u64::MAX)
    }

    /// Returns the time, if the system can represent it.
    pub fn time(nanos: u64) -> Option<SystemTime> {
        SystemTime::UNIX_EPOCH.checked_add(Duration::from_nanos(nanos))
    }

    #[allow(missing_docs)] // serde's names
    pub fn serialize<S: Serializer>(time: &SystemTime, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_u64(of(*time))
    }

    #[allow(missing_docs)] // serde's names
    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<SystemTime, D::Error> {
        time(u64::deserialize(deserializer)?).ok_or_else(|| D::Error::custom("a time is out of range"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn invisible_characters_are_replaced_when_written_and_refused_when_read() {
        let hostile =
            "a\r\n\t\u{8}\u{c}\u{1b}[2J\0\u{7f}\u{85}\u{202e}\u{feff} \"\\n\\ / Z\u{fc}rich".to_owned();
        let line = to_line(&hostile);
        assert_eq!(parse_line::<String>(&line), Ok(visible(&hostile)));
        for wrong in [
            r#""\n""#,
            r#""\u0041""#,
            r#""\\\u001b""#,
            r#""\/""#,
            "\"\u{202e}\"",
            "\"\u{7f}\"",
            "\"a\" \t",
            "\"a\"\r",
        ] {
            assert!(parse_line::<String>(&format!("{wrong}\n")).is_err(), "{wrong:?}");
        }
        assert_eq!(parse_line::<String>("\"\\\\n\\\"\"\n").as_deref(), Ok("\\n\""));
        assert!(parse_line::<String>("\"a\"").is_err(), "the line end is missing");
    }
}
