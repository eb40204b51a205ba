// SPDX-License-Identifier: MIT OR Apache-2.0
//! Parsers of times, sizes and names, in the notations of HAProxy and of DNS.

use std::time::Duration;

/// Length of the longest domain name, in bytes (RFC 1035, 2.3.4).
pub const MAX_DOMAIN_LENGTH: usize = 253;

/// Parses a time in HAProxy's units (`parse_time_err()` in its `src/tools.c`): milliseconds without a unit.
///
/// # Errors
///
/// The end of a sentence that begins with the word.
pub fn duration(word: &str) -> Result<Duration, &'static str> {
    const TOO_LONG: &str = "is too long a time";
    let (number, unit) = number_and_unit(word, TOO_LONG)?;
    let micros = match unit {
        "us" => 1,
        "" | "ms" => 1_000,
        "s" => 1_000_000,
        "m" => 60_000_000,
        "h" => 3_600_000_000,
        "d" => 86_400_000_000,
        _ => return Err("has a unit other than us, ms, s, m, h and d"),
    };
    number.checked_mul(micros).map(Duration::from_micros).ok_or(TOO_LONG)
}

/// Parses a size in HAProxy's units (`parse_size_err()` in its `src/tools.c`): bytes without a unit.
///
/// # Errors
///
/// The end of a sentence that begins with the word.
pub fn size(word: &str) -> Result<u64, &'static str> {
    const TOO_LARGE: &str = "is too large";
    let (number, unit) = number_and_unit(word, TOO_LARGE)?;
    let factor = match unit {
        "" => 1,
        "k" | "K" => 1 << 10,
        "m" | "M" => 1 << 20,
        "g" | "G" => 1 << 30,
        _ => return Err("has a unit other than k, m and g"),
    };
    number.checked_mul(factor).ok_or(TOO_LARGE)
}

/// Splits a word into the number with which it begins and the unit. `too_large`: the error for a number that exceeds `u64`.
fn number_and_unit<'a>(word: &'a str, too_large: &'static str) -> Result<(u64, &'a str), &'static str> {
    let end = word.find(|char: char| !char.is_ascii_digit()).unwrap_or(word.len());
    match word.split_at(end) {
        ("", _) => Err("does not begin with a number"),
        (digits, unit) => digits.parse().map(|number| (number, unit)).map_err(|_| too_large),
    }
}

/// Returns true for letters, digits and inner hyphens between dots (RFC 1123, 2.1), and underscores, which machines have in their
/// names.
pub fn is_host_name(name: &str) -> bool {
    let label = |label: &str| {
        !label.is_empty()
            && label.len() <= 63
            && !label.starts_with('-')
            && !label.ends_with('-')
            && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_')
    };
    name.len() <= MAX_DOMAIN_LENGTH && name.strip_suffix('.').unwrap_or(name).split('.').all(label)
}

/// Returns the A-label form of a name (RFC 5890, 2.3.2.1): `xn--mller-kva.example` for `müller.example`.
pub fn to_ascii(name: &str) -> Option<String> {
    match name.is_ascii() {
        // Not converted: IDNA forbids the underscore.
        true => Some(name.to_owned()),
        false => idna::domain_to_ascii(name).ok(),
    }
}
