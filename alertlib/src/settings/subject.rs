// SPDX-License-Identifier: MIT OR Apache-2.0
//! The format of subjects, in the spirit of HAProxy's `log-format`: `email_alert.subject`.

use crate::text::visible;

/// Makes `[DOWN] web/s1 on lb1.example.com`.
pub const DEFAULT_SUBJECT: &str = "[%[state]] %[topic] on %[host]";

/// Length of the longest format, in bytes.
const MAX_LENGTH: usize = 256;

/// A variable of a format: `%[state]`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs)] // their names in the configuration are in `VARIABLES`
pub enum Variable {
    State,
    Topic,
    Name,
    Proxy,
    Server,
    Host,
    ShortHost,
    Reason,
    Event,
    Level,
    Changes,
    Active,
    Backup,
}

/// In the order of the documentation.
const VARIABLES: [(&str, Variable); 13] = [
    ("state", Variable::State),
    ("topic", Variable::Topic),
    ("host", Variable::Host),
    ("shorthost", Variable::ShortHost),
    ("name", Variable::Name),
    ("proxy", Variable::Proxy),
    ("server", Variable::Server),
    ("reason", Variable::Reason),
    ("event", Variable::Event),
    ("level", Variable::Level),
    ("changes", Variable::Changes),
    ("active", Variable::Active),
    ("backup", Variable::Backup),
];

/// A part of a format.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Piece {
    /// Copied as it is.
    Text(String),
    /// Replaced by its value.
    Variable(Variable),
}

/// The format of subjects.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SubjectFormat(Vec<Piece>);

/// Reason for which a format is refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SubjectError {
    /// The variable with this name does not exist.
    Unknown(String),
    /// Any other fault: the end of a sentence that begins with the format.
    Form(&'static str),
}

impl Default for SubjectFormat {
    fn default() -> Self {
        SubjectFormat::parse(DEFAULT_SUBJECT).expect("a valid format")
    }
}

/// Returns the names of the variables, in the order of the documentation.
pub fn variables() -> [&'static str; VARIABLES.len()] {
    VARIABLES.map(|(name, _)| name)
}

impl SubjectFormat {
    /// Returns texts and variables, in the order written.
    pub fn pieces(&self) -> &[Piece] {
        &self.0
    }

    /// Reads `%[variable]`, `%%` for a percent sign, and text.
    ///
    /// # Errors
    ///
    /// The format is empty, too long, or has an unknown variable or an invisible character.
    pub fn parse(format: &str) -> Result<Self, SubjectError> {
        let malformed = |why| Err(SubjectError::Form(why));
        if format.trim().is_empty() {
            return malformed("is empty");
        }
        if format.len() > MAX_LENGTH {
            return malformed("is longer than 256 characters");
        }
        if visible(format) != format {
            return malformed("has a character that cannot be seen");
        }
        let mut pieces = Vec::new();
        let mut rest = format;
        while let Some((text, tail)) = rest.split_once('%') {
            pieces.push(Piece::Text(text.to_owned()));
            if let Some(tail) = tail.strip_prefix('%') {
                pieces.push(Piece::Text("%".to_owned()));
                rest = tail;
                continue;
            }
            let Some(tail) = tail.strip_prefix('[') else {
                return malformed("has a '%' that is neither '%[<variable>]' nor '%%'");
            };
            let Some((name, tail)) = tail.split_once(']') else {
                return malformed("has no ']' behind its last '%['");
            };
            match VARIABLES.iter().find(|(known, _)| *known == name) {
                Some((_, variable)) => pieces.push(Piece::Variable(*variable)),
                None => return Err(SubjectError::Unknown(name.to_owned())),
            }
            rest = tail;
        }
        pieces.push(Piece::Text(rest.to_owned()));
        Ok(SubjectFormat(pieces))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn malformed_formats_and_unknown_variables_are_refused() {
        for bad in ["", " ", "a\r\nBcc: x@example.com", "a\u{202e}b", "%", "%s", "%[state", "100% %[state]"] {
            assert!(matches!(SubjectFormat::parse(bad), Err(SubjectError::Form(_))), "{bad:?}");
        }
        assert!(matches!(SubjectFormat::parse(&"x".repeat(257)), Err(SubjectError::Form(_))));
        assert_eq!(SubjectFormat::parse("%[status]"), Err(SubjectError::Unknown("status".into())));
        assert_eq!(SubjectFormat::parse("%[]"), Err(SubjectError::Unknown(String::new())));
    }
}
