// SPDX-License-Identifier: MIT OR Apache-2.0
//! A mail as its reader gets it, checked on the way more strictly than readers do.

use std::collections::BTreeMap;

use mail_parser::{MessageParser, MimeHeaders};

/// Each of these is there exactly once.
const EXPECTED_HEADERS: [&str; 13] = [
    "Auto-Submitted",
    "Content-Type",
    "Date",
    "From",
    "MIME-Version",
    "Message-ID",
    "Subject",
    "To",
    "X-Auto-Response-Suppress",
    "X-HAProxy-Event",
    "X-HAProxy-Host",
    "X-HAProxy-Proxy",
    "X-HAProxy-State",
];

/// Each of these is there once or not at all.
const POSSIBLE_HEADERS: [&str; 3] = ["In-Reply-To", "References", "X-HAProxy-Server"];

/// A mail that passed every check.
#[derive(Clone, Debug)]
pub struct ParsedMail {
    /// Subject, decoded.
    pub subject: String,
    /// Sender's address.
    pub from: String,
    /// Addresses of the To header.
    pub to: Vec<String>,
    /// The plain text part, decoded.
    pub text: String,
    /// The HTML part, decoded.
    pub html: String,
    /// Unfolded, as written in the mail.
    pub headers: BTreeMap<String, String>,
}

impl ParsedMail {
    /// Parses, and fails if the mail is not exactly what it should be.
    #[track_caller]
    pub fn of(raw: &[u8]) -> Self {
        match Self::try_of(raw) {
            Ok(mail) => mail,
            Err(fault) => {
                panic!("{fault}, in this mail:\n{}", raw.escape_ascii().to_string().replace("\\n", "\\n\n"))
            }
        }
    }

    /// Parses, and says what is not as it should be.
    pub fn try_of(raw: &[u8]) -> Result<Self, String> {
        check_lines(raw)?;
        let headers = headers_of(raw)?;
        check_header_names(&headers)?;
        let message = MessageParser::default().parse(raw).ok_or("no mail at all")?;
        let addresses = |list: Option<&mail_parser::Address>| -> Vec<String> {
            let list = list.into_iter().flat_map(|list| list.iter());
            list.filter_map(|address| address.address().map(str::to_owned)).collect()
        };
        if message.date().is_none_or(|date| !date.is_valid()) {
            return Err("Date cannot be read".into());
        }
        if message.content_type().is_none_or(|kind| kind.subtype() != Some("alternative")) {
            return Err("it is not multipart/alternative".into());
        }
        if (message.text_body_count(), message.html_body_count(), message.parts.len()) != (1, 1, 3) {
            return Err("it has not exactly a text and an HTML part".into());
        }
        let text = message.body_text(0).ok_or("no text part")?.into_owned();
        let html = message.body_html(0).ok_or("no HTML part")?.into_owned();
        if message.parts.iter().any(|part| part.is_encoding_problem) {
            return Err("a part's encoding is broken".into());
        }
        check_characters("text", &text)?;
        check_characters("HTML", &html)?;
        let from = addresses(message.from());
        if from.len() != 1 {
            return Err(format!("From has {} addresses", from.len()));
        }
        let subject = message.subject().ok_or("no subject")?.to_owned();
        if subject.chars().any(char::is_control) {
            return Err(format!("the subject has control characters: {subject:?}"));
        }
        let headers = headers.into_iter().collect();
        Ok(ParsedMail { subject, from: from[0].clone(), to: addresses(message.to()), text, html, headers })
    }

    /// The sentence that the mail is about.
    pub fn first_line(&self) -> &str {
        self.text.lines().next().unwrap_or_default()
    }

    /// A header as written in the mail, without folding.
    #[track_caller]
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).unwrap_or_else(|| panic!("no header {name} in {:?}", self.headers))
    }

    /// The servers of which it says this state: by a line of their own, or in the sentence of a single one.
    pub fn servers(&self, state: &str) -> Vec<&str> {
        let of_line = |line: &'_ str| -> bool {
            let rest = line.split_once(' ').map_or("", |(_, rest)| rest);
            rest.strip_prefix("is ").unwrap_or(rest).starts_with(state)
        };
        let lines = self.text.lines().map(|line| line.strip_prefix("Server ").unwrap_or(line));
        let names = lines.filter(|line| of_line(line)).filter_map(|line| line.split(' ').next());
        names.filter(|name| name.contains('/')).collect()
    }

    /// The kind of event, in the words of `email_alert … events`.
    #[track_caller]
    pub fn event(&self) -> &str {
        self.header("X-HAProxy-Event")
    }
}

/// CRLF and nothing else ends a line, and no line is longer than SMTP permits.
fn check_lines(raw: &[u8]) -> Result<(), String> {
    let whole = raw.strip_suffix(b"\r\n").ok_or("it does not end with CRLF")?;
    let lines: Vec<&[u8]> = split_lines(whole);
    if lines.iter().any(|line| line.contains(&b'\r') || line.contains(&b'\n')) {
        return Err("it has a CR or LF that is not part of CRLF".into());
    }
    if lines.iter().any(|line| line.contains(&0)) {
        return Err("it has a NUL".into());
    }
    match lines.iter().map(|line| line.len()).max() {
        Some(longest) if longest > 998 => Err(format!("it has a line of {longest} bytes")),
        _ => Ok(()),
    }
}

fn split_lines(raw: &[u8]) -> Vec<&[u8]> {
    let mut lines = Vec::new();
    let mut rest = raw;
    while let Some(end) = rest.windows(2).position(|pair| pair == b"\r\n") {
        lines.push(&rest[..end]);
        rest = &rest[end + 2..];
    }
    lines.push(rest);
    lines
}

/// The headers of the mail itself, read without the help of a parser that forgives.
fn headers_of(raw: &[u8]) -> Result<Vec<(String, String)>, String> {
    let mut headers: Vec<(String, String)> = Vec::new();
    for line in split_lines(raw).into_iter().take_while(|line| !line.is_empty()) {
        if !line.iter().all(|byte| matches!(byte, b' '..=b'~' | b'\t')) {
            return Err(format!(
                "the header line {:?} is not printable ASCII",
                line.escape_ascii().to_string()
            ));
        }
        let line = std::str::from_utf8(line).expect("printable ASCII");
        if line.starts_with([' ', '\t']) {
            headers.last_mut().ok_or("it begins with a folded line")?.1.push_str(line);
            continue;
        }
        let (name, value) = line.split_once(": ").ok_or_else(|| format!("the line {line:?} is no header"))?;
        headers.push((name.to_owned(), value.to_owned()));
    }
    Ok(headers)
}

fn check_header_names(headers: &[(String, String)]) -> Result<(), String> {
    let count = |name: &str| headers.iter().filter(|(own, _)| own.eq_ignore_ascii_case(name)).count();
    if let Some(name) = EXPECTED_HEADERS.iter().find(|name| count(name) != 1) {
        return Err(format!("it has {} times the header {name}", count(name)));
    }
    if let Some(name) = POSSIBLE_HEADERS.iter().find(|name| count(name) > 1) {
        return Err(format!("it has {} times the header {name}", count(name)));
    }
    let known = |name: &str| EXPECTED_HEADERS.iter().chain(&POSSIBLE_HEADERS).any(|own| *own == name);
    match headers.iter().find(|(name, _)| !known(name)) {
        Some((name, _)) => Err(format!("it has the header {name}, which should not be there")),
        None => Ok(()),
    }
}

/// What a terminal or a reader could obey instead of showing it.
fn check_characters(part: &str, text: &str) -> Result<(), String> {
    let bad = text.chars().find(|c| c.is_control() && !matches!(c, '\n' | '\r' | '\t'));
    bad.map_or(Ok(()), |c| Err(format!("the {part} part has the control character {c:?}")))
}
