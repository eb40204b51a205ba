// SPDX-License-Identifier: MIT OR Apache-2.0
//! The format of subjects, in the spirit of HAProxy's `log-format`: `email_alert.subject`.

use crate::text::visible;

/// `[DOWN] web/s1 on lb1.example.com`
pub const DEFAULT_SUBJECT: &str = "[%[state]] %[topic] on %[host]";

/// Longest format, in bytes.
const LONGEST: usize = 256;

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

/// A piece of a format.
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

/// Why a format is refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SubjectError {
    /// It names a variable that does not exist.
    Unknown(String),
    /// Anything else.
    Form(String),
}

impl Default for SubjectFormat {
    fn default() -> Self {
        SubjectFormat::parse(DEFAULT_SUBJECT).expect("tested")
    }
}

/// The names of the variables.
pub fn variables() -> [&'static str; VARIABLES.len()] {
    VARIABLES.map(|(name, _)| name)
}

impl SubjectFormat {
    /// Text and variables, in their order.
    pub fn pieces(&self) -> &[Piece] {
        &self.0
    }

    /// Reads `%[variable]`, `%%` for a percent sign, and text.
    ///
    /// # Errors
    ///
    /// What is wrong with it.
    pub fn parse(format: &str) -> Result<Self, SubjectError> {
        let wrong = |why: &str| Err(SubjectError::Form(why.to_owned()));
        if format.trim().is_empty() {
            return wrong("is empty");
        }
        if format.len() > LONGEST {
            return wrong("is longer than 256 characters");
        }
        if visible(format) != format {
            return wrong("has a character that cannot be seen");
        }
        let mut pieces = Vec::new();
        let mut rest = format;
        while let Some((text, behind)) = rest.split_once('%') {
            pieces.push(Piece::Text(text.to_owned()));
            if let Some(behind) = behind.strip_prefix('%') {
                pieces.push(Piece::Text("%".to_owned()));
                rest = behind;
                continue;
            }
            let Some(behind) = behind.strip_prefix('[') else {
                return wrong("has a '%' that is neither '%[<variable>]' nor '%%'");
            };
            let Some((name, behind)) = behind.split_once(']') else {
                return wrong("has no ']' behind its last '%['");
            };
            match VARIABLES.iter().find(|(known, _)| *known == name) {
                Some((_, variable)) => pieces.push(Piece::Variable(*variable)),
                None => return Err(SubjectError::Unknown(name.to_owned())),
            }
            rest = behind;
        }
        pieces.push(Piece::Text(rest.to_owned()));
        Ok(SubjectFormat(pieces))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_format_is_refused() {
        for bad in ["", " ", "a\r\nBcc: x@example.com", "a\u{202e}b", "%", "%s", "%[state", "100% %[state]"] {
            assert!(matches!(SubjectFormat::parse(bad), Err(SubjectError::Form(_))), "{bad:?}");
        }
        assert!(matches!(SubjectFormat::parse(&"x".repeat(257)), Err(SubjectError::Form(_))));
        assert_eq!(SubjectFormat::parse("%[status]"), Err(SubjectError::Unknown("status".into())));
        assert_eq!(SubjectFormat::parse("%[]"), Err(SubjectError::Unknown(String::new())));
    }
}
