// SPDX-License-Identifier: MIT OR Apache-2.0
//! The words of a configuration's line: quotes, escapes and comments as `parse_line()` in HAProxy's `src/tools.c` has them.
//!
//! Variables stay variables: what HAProxy will find in its environment is not known here.

use std::fmt::{Display, Formatter, Result as Written};

#[derive(Clone, Debug, PartialEq, Eq)]
enum Piece {
    Text(String),
    /// As written: `$NAME` or `${NAME-default}`.
    Variable(String),
}

/// A word. `Display` writes it as a configuration needs it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Word(Vec<Piece>);

impl Word {
    /// Its text, with `stand_in` in the place of each variable.
    pub fn with(&self, stand_in: &str) -> String {
        let text = |piece: &Piece| match piece {
            Piece::Text(text) => text.clone(),
            Piece::Variable(_) => stand_in.to_owned(),
        };
        self.0.iter().map(text).collect()
    }

    /// Its text, if nothing in it is a variable.
    pub fn fixed(&self) -> Option<&str> {
        match self.0.as_slice() {
            [] => Some(""),
            [Piece::Text(text)] => Some(text),
            _ => None,
        }
    }

    /// One word: these with `between` between them.
    pub fn join<'a>(words: impl IntoIterator<Item = &'a Word>, between: char) -> Word {
        let mut joined = Word::default();
        for (index, word) in words.into_iter().enumerate() {
            if index > 0 {
                joined.push(between);
            }
            for piece in &word.0 {
                match piece {
                    Piece::Text(text) => text.chars().for_each(|char| joined.push(char)),
                    Piece::Variable(_) => joined.0.push(piece.clone()),
                }
            }
        }
        joined
    }

    fn push(&mut self, char: char) {
        match self.0.last_mut() {
            Some(Piece::Text(text)) => text.push(char),
            _ => self.0.push(Piece::Text(char.into())),
        }
    }
}

impl From<&str> for Word {
    fn from(text: &str) -> Self {
        Word(vec![Piece::Text(text.to_owned())])
    }
}

impl Display for Word {
    fn fmt(&self, to: &mut Formatter) -> Written {
        let needs_quotes = |char: char| char.is_whitespace() || char.is_control() || "\"'\\#$".contains(char);
        if let Some(text) = self.fixed().filter(|text| !text.is_empty() && !text.contains(needs_quotes)) {
            return to.write_str(text);
        }
        to.write_str("\"")?;
        for piece in &self.0 {
            match piece {
                Piece::Variable(name) => to.write_str(name)?,
                Piece::Text(text) => {
                    for char in text.chars() {
                        match char {
                            '"' | '\\' | '$' => write!(to, "\\{char}")?,
                            _ if char.is_ascii_control() => write!(to, "\\x{:02x}", char as u32)?,
                            _ => write!(to, "{char}")?,
                        }
                    }
                }
            }
        }
        to.write_str("\"")
    }
}

/// The words of a line.
pub fn split(line: &str) -> Result<Vec<Word>, String> {
    let (mut words, mut word, mut quote) = (Vec::new(), None::<Word>, None);
    let mut rest = line;
    while let Some(char) = rest.chars().next() {
        let mut length = char.len_utf8();
        match (char, quote) {
            ('\r', _) | ('#', None) => break,
            ('"' | '\'', None) => {
                quote = Some(char);
                // Also if nothing is between them: an empty word is a word.
                word.get_or_insert_default();
            }
            (_, Some(open)) if char == open => quote = None,
            ('\\', None | Some('"')) => {
                let meant;
                (meant, length) = escaped(&rest[1..], quote.is_some())?;
                word.get_or_insert_default().push(meant);
            }
            ('$', Some('"')) => {
                length = variable(rest)?;
                word.get_or_insert_default().0.push(Piece::Variable(rest[..length].to_owned()));
            }
            (_, None) if char.is_ascii_whitespace() => words.extend(word.take()),
            _ => word.get_or_insert_default().push(char),
        }
        rest = &rest[length..];
    }
    match quote {
        Some(quote) => Err(format!("the quote {quote} is not closed")),
        None => Ok(words.into_iter().chain(word).collect()),
    }
}

/// Returns the character that a backslash and the beginning of `rest` stand for, and the length of both in bytes. Before most
/// characters, a backslash stands for itself.
fn escaped(rest: &str, in_quotes: bool) -> Result<(char, usize), String> {
    Ok(match rest.chars().next() {
        Some(char @ (' ' | '\\' | '#' | '\'' | '"')) => (char, 2),
        Some('$') if in_quotes => ('$', 2),
        Some('t') => ('\t', 2),
        Some('n') => ('\n', 2),
        Some('r') => ('\r', 2),
        Some('x') => {
            let digits =
                rest.get(1..3).filter(|digits| digits.bytes().all(|digit| digit.is_ascii_hexdigit()));
            let byte = digits.and_then(|digits| u8::from_str_radix(digits, 16).ok());
            let byte = byte.ok_or("'\\x' expects two hexadecimal digits")?;
            // A part of a character is none.
            (if byte.is_ascii() { byte.into() } else { char::REPLACEMENT_CHARACTER }, 4)
        }
        _ => ('\\', 1),
    })
}

/// The length of the variable at the beginning of `rest`.
fn variable(rest: &str) -> Result<usize, String> {
    let in_braces = rest.starts_with("${");
    let name = &rest[if in_braces { 2 } else { 1 }..];
    if !name.starts_with(|char: char| char.is_ascii_alphabetic() || char == '_' || char == '.') {
        return Err("'$' expects the name of an environment variable; a dollar sign is '\\$'".to_owned());
    }
    if in_braces {
        return rest.find('}').map(|end| end + 1).ok_or_else(|| "the brace of '${' is not closed".to_owned());
    }
    let is_name = |char: char| char.is_ascii_alphanumeric() || char == '_';
    // A dot may come first.
    Ok(name[1..].find(|char| !is_name(char)).map_or(rest.len(), |end| end + 2))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(line: &str) -> Vec<String> {
        split(line).expect(line).iter().map(|word| word.with("VALUE")).collect()
    }

    #[test]
    fn words_are_haproxys() {
        for (line, expected) in [
            ("  email-alert\tto ops@example.com # a comment", &["email-alert", "to", "ops@example.com"][..]),
            (r#"a "b c" 'd "e" \n' f\ g"#, &["a", "b c", r#"d "e" \n"#, "f g"]),
            (r#"a\#b "c#d" e#f"#, &["a#b", "c#d", "e"]),
            (r#"\"a\" \'b\' "\"c\"" \\ \d"#, &["\"a\"", "'b'", "\"c\"", "\\", "\\d"]),
            (r#""" a''b '' "#, &["", "ab", ""]),
            (r#"\x41\x20 \t\n\r"#, &["A ", "\t\n\r"]),
            (
                r#"$A "$A" '$A' "x$A-y" "${A}b" "\$A" "${A-b c}d""#,
                &["$A", "VALUE", "$A", "xVALUE-y", "VALUEb", "$A", "VALUEd"],
            ),
            ("ops@müller.example\r\n", &["ops@müller.example"]),
            ("", &[]),
            ("# nothing", &[]),
            ("a\rb", &["a"]),
        ] {
            assert_eq!(texts(line), expected, "{line}");
        }
    }

    #[test]
    fn what_haproxy_refuses_is_refused() {
        for (line, part) in [
            (r#"a "b"#, "quote"),
            ("a 'b", "quote"),
            (r#"a "${B""#, "brace"),
            (r#"a "$1""#, "environment variable"),
            (r"a \x4", "hexadecimal"),
            (r"a \xzz", "hexadecimal"),
        ] {
            let error = split(line).expect_err(line);
            assert!(error.contains(part), "{line}: {error}");
        }
    }

    #[test]
    fn words_are_written_so_that_they_are_read_again() {
        for (line, expected) in [
            ("ops@example.com", "ops@example.com"),
            ("'a b'", "\"a b\""),
            (r#""a\"b\$c\\d\te""#, r#""a\"b\$c\\d\x09e""#),
            (r#""$A"@"${B-c d}""#, r#""$A@${B-c d}""#),
            ("''", "\"\""),
            (r"a\#b", "\"a#b\""),
        ] {
            let words = split(line).expect(line);
            assert_eq!(words[0].to_string(), expected, "{line}");
            assert_eq!(split(&words[0].to_string()), Ok(words), "{line}");
        }
    }
}
