// SPDX-License-Identifier: MIT OR Apache-2.0
//! Patterns for names of servers and backends.

use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;

/// Matches servers and backends by name: `web` is the backend and its servers, `web/s1` one of them; `*` stands for any
/// characters, also none.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String")]
pub struct Pattern(String);

impl Pattern {
    /// Returns true if the pattern matches `server` of `proxy`, or the proxy as a whole (`None`).
    pub fn matches(&self, proxy: &str, server: Option<&str>) -> bool {
        match self.0.split_once('/') {
            None => matches(&self.0, proxy),
            Some((of_proxy, of_server)) => {
                matches(of_proxy, proxy) && server.is_some_and(|server| matches(of_server, server))
            }
        }
    }
}

fn matches(pattern: &str, name: &str) -> bool {
    let Some((head, tail)) = pattern.split_once('*') else { return pattern == name };
    let Some(mut name) = name.strip_prefix(head) else { return false };
    let mut pieces: Vec<&str> = tail.split('*').collect();
    let last = pieces.pop().unwrap_or_default();
    for piece in pieces {
        match name.find(piece) {
            Some(start) => name = &name[start + piece.len()..],
            None => return false,
        }
    }
    name.ends_with(last)
}

impl FromStr for Pattern {
    /// The end of a sentence that begins with the word.
    type Err = &'static str;

    fn from_str(word: &str) -> Result<Self, Self::Err> {
        let (proxy, server) = word.split_once('/').unwrap_or((word, "*"));
        // HAProxy allows these characters in names (invalid_char() in its src/tools.c).
        let is_name = |name: &str| {
            !name.is_empty()
                && name.chars().all(|char| char.is_ascii_alphanumeric() || "_.:-*".contains(char))
        };
        if !is_name(proxy) || !is_name(server) {
            return Err(
                "is not <proxy> or <proxy>/<server>, with letters, digits, '-', '_', '.', ':' and '*'",
            );
        }
        Ok(Pattern(word.to_owned()))
    }
}

impl TryFrom<String> for Pattern {
    type Error = String;

    fn try_from(word: String) -> Result<Self, Self::Error> {
        word.parse().map_err(|why| format!("'{word}' {why}"))
    }
}

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_are_names_with_stars() {
        let matches =
            |pattern: &str, proxy, server| pattern.parse::<Pattern>().map(|p| p.matches(proxy, server));
        for (pattern, proxy, server, expected) in [
            ("web", "web", None, true),
            ("web", "web", Some("s1"), true),
            ("web", "web2", None, false),
            ("web/s1", "web", Some("s1"), true),
            ("web/s1", "web", None, false),
            ("web/*", "web", None, false),
            ("web/*", "web", Some("s1"), true),
            ("*", "web", None, true),
            ("*/db-*", "x", Some("db-1"), true),
            ("*/db-*", "x", Some("adb-1"), false),
            ("a*b*c", "aXbYbZc", None, true),
            ("a*b*c", "aXc", None, false),
            ("ab*ba", "aba", None, false),
        ] {
            assert_eq!(matches(pattern, proxy, server), Ok(expected), "{pattern} {proxy} {server:?}");
        }
        for bad in ["", "/", "web/", "/s1", "a b", "a/b/c", "a,b"] {
            assert!(bad.parse::<Pattern>().is_err(), "{bad}");
        }
    }
}
