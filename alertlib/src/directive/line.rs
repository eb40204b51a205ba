// SPDX-License-Identifier: MIT OR Apache-2.0
//! Words of a directive, and the errors about them.

use super::value::duration;
use crate::text::visible;
use std::time::Duration;

/// The keyword of a directive, its usage, and its words that are not parsed yet.
#[derive(Clone, Copy)]
pub struct Line<'a> {
    pub keyword: &'a str,
    /// Syntax of the words after the keyword, for each form of the directive; errors show the first.
    pub usage: &'static [&'static str],
    pub rest: &'a [&'a str],
}

impl<'a> Line<'a> {
    /// Begins the error with the keyword. `what` is the end of the sentence.
    pub fn error(&self, what: impl AsRef<str>) -> String {
        format!("'{}' {}", self.keyword, what.as_ref())
    }

    /// Returns the error for a word with a fault. `role`: what the word is, followed by a space, or empty.
    pub fn invalid(&self, role: &str, word: &str, why: &str, expected: &str) -> String {
        self.error(format!("{role}'{}' {why}; expected {expected}", visible(word)))
    }

    /// Returns the error for an unknown word, with the nearest keyword of the usage.
    pub fn unknown(&self, word: &str) -> String {
        let hint = did_you_mean(word, &self.keywords());
        self.error(format!("unknown word '{}'{hint}; expected {}", visible(word), self.syntax()))
    }

    /// Selects a form of the directive, from 0.
    pub fn form(self, index: usize) -> Self {
        Line { usage: &self.usage[index..], ..self }
    }

    /// Returns the syntax of the whole line.
    pub fn syntax(&self) -> String {
        format!("{} {}", self.keyword, self.usage[0])
    }

    /// Returns the words of the usage that are written as they are, such as `off` and `max-size`.
    pub fn keywords(&self) -> Vec<&'static str> {
        let literal = self.usage[0].split('<').filter_map(|part| part.rsplit('>').next());
        let words =
            literal.flat_map(|text| text.split(|char: char| !char.is_ascii_lowercase() && char != '-'));
        words.filter(|word| !word.is_empty()).collect()
    }

    /// Takes the next word.
    pub fn next(&mut self) -> Option<&'a str> {
        let (&first, rest) = self.rest.split_first()?;
        self.rest = rest;
        Some(first)
    }

    /// Takes the next word, which must be there and not be empty. `what` names it in the error.
    pub fn required(&mut self, what: &str) -> Result<&'a str, String> {
        let word = self.next().filter(|word| !word.is_empty());
        word.ok_or_else(|| self.error(format!("expects {what}: {}", self.syntax())))
    }

    /// Returns the only word of the line. `what` names it in the error.
    pub fn only(mut self, what: &str) -> Result<&'a str, String> {
        let word = self.required(what)?;
        self.next().map_or(Ok(word), |other| Err(self.unknown(other)))
    }

    /// Takes the word after an option; it must not be empty.
    pub fn value(&mut self, option: &str, expected: &str) -> Result<&'a str, String> {
        let word = self.next().filter(|word| !word.is_empty());
        word.ok_or_else(|| self.error(format!("'{option}' expects {expected}")))
    }

    /// Takes the word after an option that may be given once. `is_set`: it was given before.
    pub fn value_once(&mut self, option: &str, is_set: bool, expected: &str) -> Result<&'a str, String> {
        if is_set {
            Err(self.error(format!("'{option}' is given twice")))
        } else {
            self.value(option, expected)
        }
    }

    /// Parses the line with `read`; `None` if its only word is `off`.
    pub fn unless_off<T>(self, read: impl Fn(Self) -> Result<T, String>) -> Result<Option<T>, String> {
        if self.rest == ["off"] { Ok(None) } else { read(self).map(Some) }
    }

    /// Parses a line whose only word is a time, as [`Line::time_in()`] does.
    pub fn time(self, example: &str, range: [&str; 2]) -> Result<Duration, String> {
        self.time_in("", self.only("a time")?, example, range)
    }

    /// Parses a time between the two of `range`. `role`: as for [`Line::invalid()`]; `example` appears in the error.
    pub fn time_in(
        &self,
        role: &str,
        word: &str,
        example: &str,
        range: [&str; 2],
    ) -> Result<Duration, String> {
        let time = duration(word)
            .map_err(|why| self.invalid(role, word, why, &format!("a time, such as {example}")))?;
        match range.map(duration) {
            [Ok(first), Ok(last)] if (first..=last).contains(&time) => Ok(time),
            _ => Err(self.invalid(role, word, "is out of range", &range.join(" to "))),
        }
    }

    /// Stores the value of a directive that may be given once.
    pub fn set<T>(&self, slot: &mut Option<T>, value: T) -> Result<(), String> {
        self.set_if(slot, value, |_| "was set already".to_owned())
    }

    /// Stores the value of a directive that may be given once; the error shows the first value.
    pub fn set_shown<T>(&self, slot: &mut Option<T>, value: T, show: fn(&T) -> String) -> Result<(), String> {
        self.set_if(slot, value, |first| format!("was set to '{}' already", show(first)))
    }

    fn set_if<T>(&self, slot: &mut Option<T>, value: T, fault: impl Fn(&T) -> String) -> Result<(), String> {
        if let Some(first) = slot {
            return Err(self.error(fault(first) + "; expected only once"));
        }
        *slot = Some(value);
        Ok(())
    }
}

/// Returns the word of `known` that is nearest to `word` by Damerau-Levenshtein distance, which is at least 1, and at most 1 for
/// words of up to 4 bytes, else at most 2.
pub fn nearest<'a>(word: &str, known: &[&'a str]) -> Option<&'a str> {
    let allowed = if word.len() <= 4 { 1 } else { 2 };
    known
        .iter()
        .map(|candidate| (strsim::damerau_levenshtein(word, candidate), *candidate))
        .filter(|(distance, _)| (1..=allowed).contains(distance))
        .min()
        .map(|(_, candidate)| candidate)
}

/// Returns the suggestion to append to an error, or an empty text.
pub fn did_you_mean(word: &str, known: &[&str]) -> String {
    nearest(word, known).map_or_else(String::new, |candidate| format!(", did you mean '{candidate}'?"))
}
