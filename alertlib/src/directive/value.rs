// SPDX-License-Identifier: MIT OR Apache-2.0
//! Times, sizes and names, as HAProxy and the internet write them.

use std::time::Duration;

/// Longest domain name (RFC 1035, 2.3.4).
pub const DOMAIN_LENGTH: usize = 253;

/// A time in HAProxy's units (`parse_time_err()` in its `src/tools.c`): milliseconds without a unit.
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

/// A size in HAProxy's units (`parse_size_err()` in its `src/tools.c`): bytes without a unit.
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

/// The number that a word begins with, and what is behind it. `too_large`: the error for one that no `u64` can be.
fn number_and_unit<'a>(word: &'a str, too_large: &'static str) -> Result<(u64, &'a str), &'static str> {
    let end = word.find(|char: char| !char.is_ascii_digit()).unwrap_or(word.len());
    match word.split_at(end) {
        ("", _) => Err("does not begin with a number"),
        (digits, unit) => digits.parse().map(|number| (number, unit)).map_err(|_| too_large),
    }
}

/// Letters, digits and inner hyphens between dots (RFC 1123, 2.1); underscores, since machines have such names.
pub fn is_host_name(name: &str) -> bool {
    let label = |label: &str| {
        !label.is_empty()
            && label.len() <= 63
            && !label.starts_with('-')
            && !label.ends_with('-')
            && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_')
    };
    name.len() <= DOMAIN_LENGTH && name.strip_suffix('.').unwrap_or(name).split('.').all(label)
}

/// The form in which a name travels (RFC 5890, 2.3.2.1): `müller.example` is `xn--mller-kva.example`.
pub fn in_ascii(name: &str) -> Option<String> {
    match name.is_ascii() {
        // As it is: the standard's rules know no underscore.
        true => Some(name.to_owned()),
        false => idna::domain_to_ascii(name).ok(),
    }
}
