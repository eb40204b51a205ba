// SPDX-License-Identifier: MIT OR Apache-2.0
//! A program of this machine that sends mail: `sendmail`, `mailx`. The helper process runs it for us.

use super::{Delivery, DeliveryError, Outcome, Transport};
use crate::helper::client::SharedHelper;
use crate::helper::frame::{ExecRequest, ExecResult, ExecStatus};
use crate::settings::{MailProgram, Recipient};
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
        let (arguments, input) = match self.program {
            MailProgram::Sendmail => (sendmail_arguments(delivery, to), local_lines(&delivery.message.bytes)),
            MailProgram::Mailx => (mailx_arguments(delivery, to), mailx_text(&delivery.message.text)),
        };
        let request = ExecRequest { program: self.path.clone(), arguments, input, deadline: self.timeout };
        let mut helper = self.helper.lock().unwrap_or_else(PoisonError::into_inner);
        helper.run(&request).map_err(|why| DeliveryError::new(self.name(), why))
    }

    fn outcome(&self, answer: ExecResult) -> Result<Outcome, DeliveryError> {
        let ended = match answer.outcome {
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
        let trouble = DeliveryError::new(self.name(), words);
        match answer.outcome {
            ExecStatus::Exit(EX_USAGE) => Err(trouble),
            ExecStatus::Exit(EX_DATAERR | EX_NOUSER) => Ok(Outcome::Permanent(trouble)),
            _ => Ok(Outcome::Transient(trouble)),
        }
    }
}

impl Command {
    /// One outcome for each of `to`, of which there is at least one.
    fn deliver(&self, delivery: &Delivery, to: &[Recipient]) -> Result<Vec<Outcome>, DeliveryError> {
        let answer = self.run(delivery, to)?;
        let may_be_about_one = to.len() > 1 && is_refusal(&answer.outcome);
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
    fn send(&mut self, delivery: &Delivery) -> Result<Vec<Outcome>, DeliveryError> {
        let (usable, unusable): (Vec<_>, Vec<_>) =
            delivery.to.iter().enumerate().partition(|(_, to)| self.takes(to));
        let usable: Vec<Recipient> = usable.into_iter().map(|(_, recipient)| recipient.clone()).collect();
        let mut outcomes = if usable.is_empty() { Vec::new() } else { self.deliver(delivery, &usable)? };
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
    let options = ["-i", "-f", delivery.from.as_ref(), "--"];
    options.into_iter().chain(to.iter().map(Recipient::for_command)).map(str::to_owned).collect()
}

/// No `--` before the addresses: bsd-mailx and GNU mailutils know it, but what follows it is for s-nail (and heirloom
/// mailx before it) not an address but an option of its mail server, and it refuses the mail. `-r` is known to all of them
/// (tried: bsd-mailx 8.1.2, GNU mailutils 3.15, s-nail 14.9), and each of them waits for its mail server and fails with it.
fn mailx_arguments(delivery: &Delivery, to: &[Recipient]) -> Vec<String> {
    let subject = encoded_subject(&delivery.message.subject);
    let options = ["-s", &subject, "-r", delivery.from.as_ref()];
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
/// as if it were encoded, becomes encoded words (RFC 2047, 4.2): `mailx` passes the argument on as it is.
fn encoded_subject(subject: &str) -> String {
    const WORD: usize = 75;
    if subject.bytes().all(|byte| matches!(byte, b' '..=b'~')) && !subject.contains("=?") {
        return subject[..boundary(subject, LINE)].to_owned();
    }
    let mut words = String::new();
    let mut word = String::from(START_OF_WORD);
    for char in subject.chars() {
        let encoded = encoded_char(char);
        if word.len() + encoded.len() + END_OF_WORD.len() > WORD {
            words.push_str(&word);
            words.push_str(END_OF_WORD);
            // A space between two words is not part of the text.
            words.push(' ');
            word = START_OF_WORD.to_owned();
        }
        if words.len() + WORD > LINE {
            return words.trim_end().to_owned();
        }
        word.push_str(&encoded);
    }
    words + &word + END_OF_WORD
}

const START_OF_WORD: &str = "=?UTF-8?Q?";
const END_OF_WORD: &str = "?=";

fn encoded_char(char: char) -> String {
    match char {
        ' ' => "_".to_owned(),
        'a'..='z' | 'A'..='Z' | '0'..='9' | '!' | '*' | '+' | '-' | '/' => char.to_string(),
        _ => char.encode_utf8(&mut [0; 4]).bytes().map(|byte| format!("={byte:02X}")).collect(),
    }
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
        assert_eq!(encoded_subject("Zürich = 1"), "=?UTF-8?Q?Z=C3=BCrich_=3D_1?=");
        assert_eq!(encoded_subject("=?utf-8?q?x?="), "=?UTF-8?Q?=3D=3Futf-8=3Fq=3Fx=3F=3D?=");
        assert_eq!(encoded_subject("a\r\nBcc: x@y"), "=?UTF-8?Q?a=0D=0ABcc=3A_x=40y?=");
        assert_eq!(encoded_subject(""), "");
        assert_eq!(encoded_subject(&"x".repeat(2000)), "x".repeat(LINE));
    }

    #[test]
    fn a_long_subject_has_whole_characters_in_words_of_75() {
        let subject = "日本語".repeat(200);
        let encoded = encoded_subject(&subject);
        assert!(encoded.len() <= LINE);
        let mut decoded = String::new();
        for word in encoded.split(' ') {
            assert!(word.len() <= 75);
            let text = word.strip_prefix(START_OF_WORD).unwrap().strip_suffix(END_OF_WORD).unwrap();
            let bytes = text.split('=').skip(1).map(|hex| u8::from_str_radix(hex, 16).unwrap()).collect();
            decoded.push_str(&String::from_utf8(bytes).unwrap());
        }
        assert!(decoded.len() > 200 && subject.starts_with(&decoded));
    }

    #[test]
    fn output_becomes_one_line() {
        assert_eq!(one_line(b"  a: no\r\n\n b \xff\n"), "a: no; b \u{fffd}");
        assert_eq!(one_line(b"\n"), "");
    }
}
