// SPDX-License-Identifier: MIT OR Apache-2.0
//! Makes text of foreign origin (names, checks, relays, programs) safe for mails, logs and terminals.

use std::fmt::Write;

/// Replaces the end of a text that exceeds its limit.
pub const CUT: &str = "[...]";

/// Replaces invisible characters, and those that move others, by their number: `<U+202E>`.
///
/// These are control characters, line and paragraph separators, and characters that change the direction of writing or have
/// no width. With them a name could forge a line, a header, a terminal's answer or another name.
pub fn visible(text: &str) -> String {
    let mut clean = String::with_capacity(text.len());
    for char in text.chars() {
        if char.is_control() || is_formatting(char) {
            // Writing to a String cannot fail.
            let _ = write!(clean, "<U+{:04X}>", char as u32);
        } else {
            clean.push(char);
        }
    }
    clean
}

/// Decodes UTF-8 and calls [`visible`]. Invalid bytes become U+FFFD.
pub fn visible_bytes(bytes: Vec<u8>) -> String {
    match String::from_utf8(bytes) {
        // Nearly all texts are printable ASCII.
        Ok(text) if text.bytes().all(|byte| matches!(byte, b' '..=b'~')) => text,
        Ok(text) => visible(&text),
        Err(error) => visible(&String::from_utf8_lossy(error.as_bytes())),
    }
}

/// Returns true for the characters of Unicode's classes Cf, Zl and Zp that occur in text.
fn is_formatting(char: char) -> bool {
    matches!(char,
        '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}'
        | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}')
}

/// Returns the end of the last whole character within the first `limit` bytes.
pub fn char_boundary(text: &str, limit: usize) -> usize {
    (0..=limit.min(text.len())).rev().find(|end| text.is_char_boundary(*end)).unwrap_or(0)
}

/// Returns `text` if it has at most `limit` bytes, else its longest beginning of at most `limit` bytes, and [`CUT`].
pub fn bounded(mut text: String, limit: usize) -> String {
    if text.len() > limit {
        text.truncate(char_boundary(&text, limit));
        text.push_str(CUT);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn invisible_and_direction_changing_characters_are_replaced() {
        assert_eq!(visible("a\r\nb\x1b[2J\0"), "a<U+000D><U+000A>b<U+001B>[2J<U+0000>");
        assert_eq!(visible("\u{202e}evil\u{2028}\u{feff}\u{85}"), "<U+202E>evil<U+2028><U+FEFF><U+0085>");
        assert_eq!(visible("Zürich 日本 <b>"), "Zürich 日本 <b>");
        for (bytes, text) in [
            (&b"be/s1 ~"[..], "be/s1 ~"),
            (b"", ""),
            (b"\x7f\t", "<U+007F><U+0009>"),
            ("Zürich\u{202e}".as_bytes(), "Zürich<U+202E>"),
            (b"\xc3\x28\0", "\u{fffd}(<U+0000>"),
        ] {
            assert_eq!(visible_bytes(bytes.to_vec()), text);
        }
    }

    #[test]
    fn bounded_cuts_between_characters() {
        assert_eq!(bounded("äöü".into(), 3), "ä[...]");
        assert_eq!(bounded("abc".into(), 3), "abc");
        assert_eq!(bounded("äöü".into(), 0), "[...]");
    }
}
