// SPDX-License-Identifier: MIT OR Apache-2.0
//! A program of this machine that sends mail: `sendmail`, `mailx`. The helper process runs it for us.

use super::{Delivery, DeliveryError, Outcome, Transport};
use crate::helper::client::SharedHelper;
use crate::helper::frame::{ExecRequest, ExecResult, ExecStatus};
use crate::settings::{MailProgram, Recipient};
use email_encoding::headers::rfc2047;
use email_encoding::headers::writer::EmailWriter;
use std::path::{Path, PathBuf};
use std::sync::PoisonError;
use std::time::Duration;

/// A relay that is a program.
#[derive(Debug)]
pub struct Command {
    program: MailProgram,
    path: PathBuf,
    timeout: Duration,
    helper: SharedHelper,
}

impl Command {
    /// `timeout`: when the program is killed.
    pub fn new(program: MailProgram, path: &Path, timeout: Duration, helper: SharedHelper) -> Self {
        Command { program, path: path.to_owned(), timeout, helper }
    }

    fn name(&self) -> String {
        self.path.display().to_string()
    }

    /// One run for these recipients: one outcome for all of them.
    fn run(&self, delivery: &Delivery, to: &[Recipient]) -> Result<ExecResult, DeliveryError> {
        let mail = delivery.mail.get()?;
        let (arguments, input) = match self.program {
            MailProgram::Sendmail => (sendmail_arguments(delivery, to), local_lines(&mail.bytes)),
            MailProgram::Mailx => (mailx_arguments(delivery, to, &mail.subject), mailx_text(&mail.text)),
        };
        let request = ExecRequest { program: self.path.clone(), arguments, input, deadline: self.timeout };
        let mut helper = self.helper.lock().unwrap_or_else(PoisonError::into_inner);
        helper.run(&request).map_err(|why| DeliveryError::new(self.name(), why))
    }

    fn outcome(&self, answer: ExecResult) -> Result<Outcome, DeliveryError> {
        let ended = match answer.status {
            ExecStatus::Exit(0) => return Ok(Outcome::Delivered),
            ExecStatus::NotStarted(why) => {
                return Err(DeliveryError::new(format!("start {}", self.name()), why));
            }
            ExecStatus::Exit(status) => format!("exit status {status}"),
            ExecStatus::Signal(signal) => format!("killed by signal {signal}"),
            ExecStatus::Deadline => format!("killed after {:?}", self.timeout),
        };
        let output = one_line(&answer.output);
        let words = if output.is_empty() { ended } else { format!("{ended}: {output}") };
        let error = DeliveryError::new(self.name(), words);
        match answer.status {
            ExecStatus::Exit(EX_USAGE) => Err(error),
            ExecStatus::Exit(EX_DATAERR | EX_NOUSER) => Ok(Outcome::Permanent(error)),
            _ => Ok(Outcome::Transient(error)),
        }
    }
}

impl Command {
    /// One outcome for each of `to`, of which there is at least one.
    fn run_for(&self, delivery: &Delivery, to: &[Recipient]) -> Result<Vec<Outcome>, DeliveryError> {
        let answer = self.run(delivery, to)?;
        let may_be_about_one = to.len() > 1 && is_refusal(&answer.status);
        let outcome = self.outcome(answer)?;
        if !may_be_about_one {
            return Ok(vec![outcome; to.len()]);
        }
        // The status does not say whom it is about. One by one, a wrong address takes the alert from nobody else. From
        // here on somebody may have got it, so that a relay that fails now is no `Err`.
        let alone = |recipient| {
            self.run(delivery, std::slice::from_ref(recipient)).and_then(|answer| self.outcome(answer))
        };
        Ok(to.iter().map(|recipient| alone(recipient).unwrap_or_else(Outcome::Transient)).collect())
    }

    /// `mailx` takes what is not plainly an address for a file, a command or an option of its own.
    fn takes(&self, recipient: &Recipient) -> bool {
        let plain = |char: char| char.is_alphanumeric() || "@._+-=".contains(char);
        let first = |char: char| char.is_alphanumeric() || char == '_';
        let name = recipient.for_command();
        self.program == MailProgram::Sendmail || name.starts_with(first) && name.chars().all(plain)
    }
}

impl Transport for Command {
    fn deliver(&mut self, delivery: &Delivery) -> Result<Vec<Outcome>, DeliveryError> {
        let (usable, unusable): (Vec<_>, Vec<_>) =
            delivery.recipients.iter().enumerate().partition(|(_, to)| self.takes(to));
        let usable: Vec<Recipient> = usable.into_iter().map(|(_, recipient)| recipient.clone()).collect();
        let mut outcomes = if usable.is_empty() { Vec::new() } else { self.run_for(delivery, &usable)? };
        for (place, recipient) in unusable {
            let why =
                format!("would not take '{}' for an address; sendmail or SMTP do", recipient.for_command());
            outcomes.insert(place, Outcome::Unsupported(DeliveryError::new(self.name(), why)));
        }
        Ok(outcomes)
    }
}

/// `-i`: a line with a single dot does not end the mail.
fn sendmail_arguments(delivery: &Delivery, to: &[Recipient]) -> Vec<String> {
    let options = ["-i", "-f", delivery.from().as_ref(), "--"];
    options.into_iter().chain(to.iter().map(Recipient::for_command)).map(str::to_owned).collect()
}

/// No `--` before the addresses: bsd-mailx and GNU mailutils know it, but what follows it is for s-nail (and heirloom
/// mailx before it) not an address but an option of its mail server, and it refuses the mail. `-r` is known to all of them
/// (tried: bsd-mailx 8.1.2, GNU mailutils 3.15, s-nail 14.9), and each of them waits for its mail server and fails with it.
fn mailx_arguments(delivery: &Delivery, to: &[Recipient], subject: &str) -> Vec<String> {
    let subject = encoded_subject(subject);
    let options = ["-s", &subject, "-r", delivery.from().as_ref()];
    options.into_iter().chain(to.iter().map(Recipient::for_command)).map(str::to_owned).collect()
}

/// With this system's line ends, which `sendmail` expects.
fn local_lines(mail: &[u8]) -> Vec<u8> {
    let mut lines = Vec::with_capacity(mail.len());
    for (place, &byte) in mail.iter().enumerate() {
        if byte != b'\r' || mail.get(place + 1) != Some(&b'\n') {
            lines.push(byte);
        }
    }
    lines
}

/// What a line of a mail may have (RFC 5322, 2.1.1: 998 bytes), with room for a header's name.
const LINE: usize = 900;

/// The text such that every `mailx` takes it for text: some take a line that begins with `~` for a command, and GNU
/// mailutils a single dot for the end, even when they do not talk with a person. They do not break long lines either.
fn mailx_text(text: &str) -> Vec<u8> {
    let mut safe = String::with_capacity(text.len());
    for mut line in text.lines() {
        loop {
            let (head, tail) = line.split_at(boundary(line, LINE));
            if head.starts_with('~') || head == "." {
                safe.push(' ');
            }
            safe.push_str(head);
            safe.push('\n');
            if tail.is_empty() {
                break;
            }
            line = tail;
        }
    }
    safe.into_bytes()
}

/// The end of the last whole character within `limit` bytes.
fn boundary(text: &str, limit: usize) -> usize {
    (0..=limit.min(text.len())).rev().find(|end| text.is_char_boundary(*end)).unwrap_or(0)
}

/// The subject as it can stand in a header, on one line; what does not fit is left out. Text that is not ASCII, or looks
/// as if it were encoded, becomes encoded words (RFC 2047, 4.1): `mailx` passes the argument on as it is.
fn encoded_subject(subject: &str) -> String {
    if subject.bytes().all(|byte| matches!(byte, b' '..=b'~')) && !subject.contains("=?") {
        return subject[..boundary(subject, LINE)].to_owned();
    }
    let mut encoded = String::new();
    // Writing to a String cannot fail.
    let _ = rfc2047::encode(subject, &mut EmailWriter::new(&mut encoded, 0, 0, false));
    // Folding puts each word but the first on a line that begins with a space, which is not part of the text.
    let mut words = encoded.replace("\r\n", "");
    if words.len() > LINE {
        words.truncate(words[..=LINE].rfind(' ').unwrap_or(0));
    }
    words
}

/// The lines of a program's output as one.
fn one_line(output: &[u8]) -> String {
    let text = String::from_utf8_lossy(output);
    text.lines().map(str::trim).filter(|line| !line.is_empty()).collect::<Vec<_>>().join("; ")
}

/// Did the program itself refuse the mail, and not only for now?
fn is_refusal(outcome: &ExecStatus) -> bool {
    matches!(outcome, ExecStatus::Exit(status) if ![0, EX_USAGE, EX_TEMPFAIL].contains(status))
}

// Of sysexits(3). EX_NOHOST (68) is not for good: a program that hands the mail to another host has it, too, when it cannot
// resolve that host's name for a moment.

/// The program was called in a way that it does not know: it is of no use as a relay, and nobody was refused.
const EX_USAGE: i32 = 64;
/// The mail or an address is not acceptable.
const EX_DATAERR: i32 = 65;
/// Nobody has that name.
const EX_NOUSER: i32 = 67;
/// Not now.
const EX_TEMPFAIL: i32 = 75;

#[cfg(test)]
mod tests {
    use super::*;
    use base64::Engine;
    use base64::engine::general_purpose::STANDARD;

    #[test]
    fn only_line_ends_change_for_sendmail() {
        assert_eq!(local_lines(b"a\r\n\r\nb\rc\nd\r\r\ne\r"), b"a\n\nb\rc\nd\r\ne\r");
        assert_eq!(local_lines(b""), b"");
    }

    #[test]
    fn no_line_means_anything_to_mailx() {
        let safe = |text: &str| String::from_utf8(mailx_text(text)).unwrap();
        assert_eq!(safe("a\n~!id\n.\n..\n\n ~b"), "a\n ~!id\n .\n..\n\n ~b\n");
        assert_eq!(safe(""), "");
        // A long line is broken between characters, and what begins a line then is safe, too.
        let long = format!("{}é~x", "x".repeat(LINE - 1));
        assert_eq!(safe(&long), format!("{}\né~x\n", "x".repeat(LINE - 1)));
        assert_eq!(safe(&format!("{}~x", "x".repeat(LINE))), format!("{}\n ~x\n", "x".repeat(LINE)));
    }

    #[test]
    fn a_subject_is_one_line_of_ascii() {
        assert_eq!(encoded_subject("DOWN b/s1 on lb1"), "DOWN b/s1 on lb1");
        assert_eq!(encoded_subject("Zürich = 1"), "=?utf-8?b?WsO8cmljaCA9IDE=?=");
        assert_eq!(encoded_subject("=?utf-8?q?x?="), "=?utf-8?b?PT91dGYtOD9xP3g/PQ==?=");
        assert_eq!(encoded_subject("a\r\nBcc: x@y"), "=?utf-8?b?YQ0KQmNjOiB4QHk=?=");
        assert_eq!(encoded_subject(""), "");
        assert_eq!(encoded_subject(&"x".repeat(2000)), "x".repeat(LINE));
    }

    /// Decodes encoded words one by one, as their readers do.
    fn decoded(encoded: &str) -> String {
        let word = |word: &str| {
            assert!(word.is_ascii() && word.len() <= 75, "{word}");
            let text = word.strip_prefix("=?utf-8?b?").unwrap().strip_suffix("?=").unwrap();
            String::from_utf8(STANDARD.decode(text).unwrap()).unwrap()
        };
        encoded.split(' ').map(word).collect()
    }

    #[test]
    fn a_long_subject_has_whole_characters_in_words_of_75() {
        // Characters of one to four bytes are at every place of a word.
        let mixed = "x🦀é語".repeat(200);
        for subject in ["日本語".repeat(200), "é".repeat(1000), mixed, format!("é{}", "x".repeat(2000))]
        {
            let encoded = encoded_subject(&subject);
            assert!(encoded.len() <= LINE);
            let decoded = decoded(&encoded);
            assert!(decoded.len() > 500 && subject.starts_with(&decoded), "{decoded}");
        }
    }

    #[test]
    fn a_subject_that_fits_is_whole() {
        let subject = "é".repeat(250);
        assert_eq!(decoded(&encoded_subject(&subject)), subject);
    }

    #[test]
    fn output_becomes_one_line() {
        assert_eq!(one_line(b"  a: no\r\n\n b \xff\n"), "a: no; b \u{fffd}");
        assert_eq!(one_line(b"\n"), "");
    }
}
