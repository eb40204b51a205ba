// SPDX-License-Identifier: MIT OR Apache-2.0
//! The `command` relay: a mail program of this machine (`sendmail`, `mailx`), which the helper process runs.

use super::{Delivery, DeliveryError, Outcome, Transport};
use crate::helper::client::SharedHelper;
use crate::helper::frame::{ExecRequest, ExecResult, ExecStatus};
use crate::settings::{MailProgram, Recipient};
use crate::text::char_boundary;
use email_encoding::headers::rfc2047;
use email_encoding::headers::writer::EmailWriter;
use std::path::{Path, PathBuf};
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
    /// Creates the relay. `timeout`: the run time after which the program is killed.
    pub fn new(program: MailProgram, path: &Path, timeout: Duration, helper: SharedHelper) -> Self {
        Command { program, path: path.to_owned(), timeout, helper }
    }

    fn name(&self) -> String {
        self.path.display().to_string()
    }

    /// Runs the program once, for all these recipients.
    fn run(&self, delivery: &Delivery, to: &[&Recipient]) -> Result<ExecResult, DeliveryError> {
        let mail = delivery.begin()?;
        let from: &str = delivery.from().as_ref();
        let subject = encoded_subject(&mail.subject);
        let (options, input) = match self.program {
            // `-i`: a line with a single dot does not end the mail.
            MailProgram::Sendmail => (["-i", "-f", from, "--"], local_lines(&mail.bytes)),
            // There is no `--` before the addresses: bsd-mailx and GNU mailutils know it, but s-nail (like heirloom mailx) passes
            // what follows as options to its mail server, and refuses the mail. All of them know `-r` (tried: bsd-mailx 8.1.2, GNU
            // mailutils 3.15, s-nail 14.9), wait for their mail server and fail with it.
            MailProgram::Mailx => (["-s", &subject, "-r", from], mailx_text(&mail.text)),
        };
        let addresses = to.iter().map(|recipient| recipient.for_command());
        let arguments = options.into_iter().chain(addresses).map(str::to_owned).collect();
        let request = ExecRequest { program: self.path.clone(), arguments, input, deadline: self.timeout };
        self.helper.run(request).map_err(|why| DeliveryError::new(self.name(), why))
    }

    fn outcome(&self, result: ExecResult) -> Result<Outcome, DeliveryError> {
        let ended = match result.status {
            ExecStatus::Exit(0) => return Ok(Outcome::Delivered),
            ExecStatus::NotStarted(why) => {
                return Err(DeliveryError::new(format!("start {}", self.name()), why));
            }
            ExecStatus::Exit(status) => format!("exit status {status}"),
            ExecStatus::Signal(signal) => format!("killed by signal {signal}"),
            ExecStatus::Deadline => format!("killed after {:?}", self.timeout),
        };
        let output = one_line(&result.output);
        let text = if output.is_empty() { ended } else { format!("{ended}: {output}") };
        let error = DeliveryError::new(self.name(), text);
        match result.status {
            ExecStatus::Exit(EX_USAGE) => Err(error),
            ExecStatus::Exit(EX_DATAERR | EX_NOUSER) => Ok(Outcome::Permanent(error)),
            _ => Ok(Outcome::Transient(error)),
        }
    }

    /// Runs the program for `to`, which is not empty. Returns an outcome for each recipient.
    fn run_for(&self, delivery: &Delivery, to: &[&Recipient]) -> Result<Vec<Outcome>, DeliveryError> {
        let result = self.run(delivery, to)?;
        if to.len() == 1 || !is_refusal(&result.status) {
            return Ok(vec![self.outcome(result)?; to.len()]);
        }
        // The exit status does not name the recipient. With a run for each recipient, a wrong address does not keep the others from
        // the mail. From here on a recipient may have got it, so a run that fails is not `Err`.
        let alone = |recipient| self.run(delivery, &[recipient]).and_then(|result| self.outcome(result));
        Ok(to.iter().map(|recipient| alone(recipient).unwrap_or_else(Outcome::Transient)).collect())
    }

    /// Checks that the program takes the recipient for an address: `mailx` may take other characters for a file, a command or an
    /// option.
    fn check(&self, recipient: &Recipient) -> Result<(), DeliveryError> {
        let plain = |char: char| char.is_alphanumeric() || "@._+-=".contains(char);
        let first = |char: char| char.is_alphanumeric() || char == '_';
        let name = recipient.for_command();
        if self.program == MailProgram::Sendmail || name.starts_with(first) && name.chars().all(plain) {
            return Ok(());
        }
        Err(DeliveryError::new(
            self.name(),
            format!("would not take '{name}' for an address; sendmail or SMTP do"),
        ))
    }
}

impl Transport for Command {
    fn deliver(&mut self, delivery: &Delivery) -> Result<Vec<Outcome>, DeliveryError> {
        delivery.send_to_supported(|to| self.check(to), |to| self.run_for(delivery, to))
    }
}

/// Converts CRLF to LF, which `sendmail` expects.
fn local_lines(mail: &[u8]) -> String {
    String::from_utf8_lossy(mail).replace("\r\n", "\n")
}

/// Longest line of a mail, in bytes (RFC 5322, 2.1.1: 998), less the space for a header's name.
const MAX_LINE: usize = 900;

/// Changes lines that a `mailx` would not take for text: some take a line that begins with `~` for a command, and GNU mailutils a
/// single dot for the end, even without a terminal. Also breaks long lines, which no `mailx` does.
fn mailx_text(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for mut line in text.lines() {
        loop {
            let (head, tail) = line.split_at(char_boundary(line, MAX_LINE));
            let space = if head.starts_with('~') || head == "." { " " } else { "" };
            safe.extend([space, head, "\n"]);
            if tail.is_empty() {
                break;
            }
            line = tail;
        }
    }
    safe
}

/// Encodes a subject for a header, on one line, cut to [`MAX_LINE`]. Text that is not ASCII, or looks encoded, becomes encoded words
/// (RFC 2047, 4.1), because `mailx` copies the argument unchanged.
fn encoded_subject(subject: &str) -> String {
    if subject.bytes().all(|byte| matches!(byte, b' '..=b'~')) && !subject.contains("=?") {
        return subject[..char_boundary(subject, MAX_LINE)].to_owned();
    }
    let mut encoded = String::new();
    // Writing to a String cannot fail.
    let _ = rfc2047::encode(subject, &mut EmailWriter::new(&mut encoded, 0, 0, false));
    // Folding puts each further word on a new line that begins with a space; the line ends are removed.
    let mut words = encoded.replace("\r\n", "");
    if words.len() > MAX_LINE {
        words.truncate(words[..=MAX_LINE].rfind(' ').unwrap_or(0));
    }
    words
}

/// Joins the lines of a program's output.
fn one_line(output: &str) -> String {
    output.lines().map(str::trim).filter(|line| !line.is_empty()).collect::<Vec<_>>().join("; ")
}

/// True if the program itself refused the mail, and not with a transient status.
fn is_refusal(status: &ExecStatus) -> bool {
    matches!(status, ExecStatus::Exit(code) if ![0, EX_USAGE, EX_TEMPFAIL].contains(code))
}

// Exit statuses of sysexits(3). EX_NOHOST (68) is transient: a program that passes the mail to another host returns it as well when
// that host's name cannot be resolved for a moment.

/// The program does not know its arguments: the relay cannot be used, and no recipient was refused.
const EX_USAGE: i32 = 64;
/// The mail or an address is not acceptable.
const EX_DATAERR: i32 = 65;
/// The recipient is unknown.
const EX_NOUSER: i32 = 67;
/// Transient failure.
const EX_TEMPFAIL: i32 = 75;

#[cfg(test)]
mod tests {
    use super::*;
    use base64::Engine;
    use base64::engine::general_purpose::STANDARD;

    #[test]
    fn line_ends_are_converted_for_sendmail() {
        assert_eq!(local_lines(b"a\r\n\r\nb\rc\nd\r\r\ne\r"), "a\n\nb\rc\nd\r\ne\r");
        assert_eq!(local_lines(b""), "");
    }

    #[test]
    fn mailx_takes_every_line_for_text() {
        let safe = mailx_text;
        assert_eq!(safe("a\n~!id\n.\n..\n\n ~b"), "a\n ~!id\n .\n..\n\n ~b\n");
        assert_eq!(safe(""), "");
        // A long line is broken between characters, and each part is changed like a line.
        let long = format!("{}é~x", "x".repeat(MAX_LINE - 1));
        assert_eq!(safe(&long), format!("{}\né~x\n", "x".repeat(MAX_LINE - 1)));
        assert_eq!(safe(&format!("{}~x", "x".repeat(MAX_LINE))), format!("{}\n ~x\n", "x".repeat(MAX_LINE)));
    }

    #[test]
    fn a_subject_is_encoded_as_one_line_of_ascii() {
        assert_eq!(encoded_subject("DOWN b/s1 on lb1"), "DOWN b/s1 on lb1");
        assert_eq!(encoded_subject("Zürich = 1"), "=?utf-8?b?WsO8cmljaCA9IDE=?=");
        assert_eq!(encoded_subject("=?utf-8?q?x?="), "=?utf-8?b?PT91dGYtOD9xP3g/PQ==?=");
        assert_eq!(encoded_subject("a\r\nBcc: x@y"), "=?utf-8?b?YQ0KQmNjOiB4QHk=?=");
        assert_eq!(encoded_subject(""), "");
        assert_eq!(encoded_subject(&"x".repeat(2000)), "x".repeat(MAX_LINE));
    }

    /// Decodes each encoded word alone, as mail programs do.
    fn decoded(encoded: &str) -> String {
        let word = |word: &str| {
            assert!(word.is_ascii() && word.len() <= 75, "{word}");
            let text = word.strip_prefix("=?utf-8?b?").unwrap().strip_suffix("?=").unwrap();
            String::from_utf8(STANDARD.decode(text).unwrap()).unwrap()
        };
        encoded.split(' ').map(word).collect()
    }

    #[test]
    fn a_long_subject_is_encoded_in_words_of_75_with_whole_characters() {
        // Characters of one to four bytes are at every place of a word.
        let mixed = "x🦀é語".repeat(200);
        for subject in ["日本語".repeat(200), "é".repeat(1000), mixed, format!("é{}", "x".repeat(2000))]
        {
            let encoded = encoded_subject(&subject);
            assert!(encoded.len() <= MAX_LINE);
            let decoded = decoded(&encoded);
            assert!(decoded.len() > 500 && subject.starts_with(&decoded), "{decoded}");
        }
    }

    #[test]
    fn a_subject_that_fits_is_not_cut() {
        let subject = "é".repeat(250);
        assert_eq!(decoded(&encoded_subject(&subject)), subject);
    }

    #[test]
    fn output_lines_are_joined() {
        assert_eq!(one_line("  a: no\r\n\n b \u{fffd}\n"), "a: no; b \u{fffd}");
        assert_eq!(one_line("\n"), "");
    }
}
