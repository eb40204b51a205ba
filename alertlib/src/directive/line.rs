// SPDX-License-Identifier: MIT OR Apache-2.0
//! A directive on its way through the parser.

use crate::text::visible;

/// A directive on its way through the parser.
#[derive(Clone, Copy)]
pub struct Line<'a> {
    pub keyword: &'a str,
    pub rest: &'a [&'a str],
}

impl<'a> Line<'a> {
    pub fn error(&self, what: impl AsRef<str>) -> String {
        format!("'{}' {}", self.keyword, what.as_ref())
    }

    /// Takes the next word.
    pub fn next(&mut self) -> Option<&'a str> {
        let (&first, rest) = self.rest.split_first()?;
        self.rest = rest;
        Some(first)
    }

    /// The only word of the line.
    pub fn only(mut self, what: &str, usage: &str) -> Result<&'a str, String> {
        let Some(word) = self.next().filter(|word| !word.is_empty()) else {
            return Err(self.error(format!("expects {what}: {usage}")));
        };
        match self.next() {
            Some(other) => Err(self.unknown(other, &[], usage)),
            None => Ok(word),
        }
    }

    /// Takes the word behind an option.
    pub fn value(&mut self, option: &str, expected: &str) -> Result<&'a str, String> {
        self.next()
            .filter(|word| !word.is_empty())
            .ok_or_else(|| self.error(format!("'{option}' expects {expected}")))
    }

    /// Takes the word behind an option that may be given once.
    pub fn set(&mut self, option: &str, place: &mut Option<&'a str>, expected: &str) -> Result<(), String> {
        if place.is_some() {
            return Err(self.error(format!("'{option}' is given twice")));
        }
        *place = Some(self.value(option, expected)?);
        Ok(())
    }

    /// Sets what may be set once.
    pub fn once<T>(&self, place: &mut Option<T>, value: T) -> Result<(), String> {
        if place.is_some() {
            return Err(self.error("was set already; expected only once"));
        }
        *place = Some(value);
        Ok(())
    }

    /// The error for a word that has no meaning here.
    pub fn unknown(&self, word: &str, known: &[&str], usage: &str) -> String {
        self.error(format!("unknown word '{}'{}; expected {usage}", visible(word), did_you_mean(word, known)))
    }
}

/// The word of `known` that `word` was probably meant to be: one or two slips away, by its length.
pub fn nearest<'a>(word: &str, known: &[&'a str]) -> Option<&'a str> {
    let allowed = if word.len() <= 4 { 1 } else { 2 };
    known
        .iter()
        .map(|candidate| (strsim::damerau_levenshtein(word, candidate), *candidate))
        .filter(|(distance, _)| (1..=allowed).contains(distance))
        .min()
        .map(|(_, candidate)| candidate)
}

pub fn did_you_mean(word: &str, known: &[&str]) -> String {
    match nearest(word, known) {
        Some(candidate) => format!(", did you mean '{candidate}'?"),
        None => String::new(),
    }
}
