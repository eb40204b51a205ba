// SPDX-License-Identifier: MIT OR Apache-2.0
//! Words of a directive, and the errors about them.

use crate::text::visible;

/// The keyword of a directive, and its words that are not parsed yet.
#[derive(Clone, Copy)]
pub struct Line<'a> {
    pub keyword: &'a str,
    pub rest: &'a [&'a str],
}

impl<'a> Line<'a> {
    /// Begins the error with the keyword. `what` is the end of the sentence.
    pub fn error(&self, what: impl AsRef<str>) -> String {
        format!("'{}' {}", self.keyword, what.as_ref())
    }

    /// Takes the next word.
    pub fn next(&mut self) -> Option<&'a str> {
        let (&first, rest) = self.rest.split_first()?;
        self.rest = rest;
        Some(first)
    }

    /// Returns the only word of the line. `what` names it in the error.
    pub fn only(mut self, what: &str, usage: &str) -> Result<&'a str, String> {
        let Some(word) = self.next().filter(|word| !word.is_empty()) else {
            return Err(self.error(format!("expects {what}: {usage}")));
        };
        match self.next() {
            Some(other) => Err(self.unknown(other, &[], usage)),
            None => Ok(word),
        }
    }

    /// Takes the word after an option; it must not be empty.
    pub fn value(&mut self, option: &str, expected: &str) -> Result<&'a str, String> {
        self.next()
            .filter(|word| !word.is_empty())
            .ok_or_else(|| self.error(format!("'{option}' expects {expected}")))
    }

    /// Takes the word after an option that may be given once.
    pub fn set_once(
        &mut self,
        option: &str,
        slot: &mut Option<&'a str>,
        expected: &str,
    ) -> Result<(), String> {
        if slot.is_some() {
            return Err(self.error(format!("'{option}' is given twice")));
        }
        *slot = Some(self.value(option, expected)?);
        Ok(())
    }

    /// Stores the value of a directive that may be given once.
    pub fn store_once<T>(&self, slot: &mut Option<T>, value: T) -> Result<(), String> {
        if slot.is_some() {
            return Err(self.error("was set already; expected only once"));
        }
        *slot = Some(value);
        Ok(())
    }

    /// Returns the error for an unknown word, with the nearest word of `known`.
    pub fn unknown(&self, word: &str, known: &[&str], usage: &str) -> String {
        self.error(format!("unknown word '{}'{}; expected {usage}", visible(word), did_you_mean(word, known)))
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
    match nearest(word, known) {
        Some(candidate) => format!(", did you mean '{candidate}'?"),
        None => String::new(),
    }
}
