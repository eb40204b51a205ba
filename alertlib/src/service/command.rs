// SPDX-License-Identifier: MIT OR Apache-2.0
//! Runtime commands: words in, text or JSON out. HAProxy's CLI and the companion offer the same commands.
//!
//! A command changes something or shows a [`Status`]. Its answer is composed at once, from one snapshot, and read in pieces
//! ([`Answer::piece`]), because the buffer of HAProxy's CLI is limited.

use super::Service;
use crate::counters::Counts;
use crate::directive::duration;
use crate::engine::{MAX_SILENCE_LENGTH, Silence};
use crate::settings::Pattern;
use crate::text::{bounded, char_boundary, visible};
use crate::wire::to_line;
use std::time::{Duration, SystemTime};

/// Longest reason of a silence, in bytes.
const LONGEST_REASON: usize = 200;

/// The answer to a command.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Answer(String);

/// Why a command was not executed: one sentence for the administrator, without line end.
pub type CommandError = String;

impl Answer {
    /// Returns the answer from the byte `cursor` on, at most `limit` bytes, cut at a character boundary. Empty: `cursor` is at the end,
    /// or not at a character boundary.
    pub fn piece(&self, cursor: usize, limit: usize) -> &str {
        let rest = self.0.get(cursor..).unwrap_or_default();
        &rest[..char_boundary(rest, limit)]
    }
}

/// The usage of every command, in the order of the documentation.
pub const USAGES: [&str; 2] =
    ["show email-alert [json]", "add email-alert silence <proxy>[/<server>] <time> [<reason>]"];

impl Service {
    /// Executes a runtime command. Any thread; never blocks on a relay, a disk or a lock.
    ///
    /// # Errors
    ///
    /// The command is unknown or wrong, or cannot be executed now.
    pub fn command(&self, words: &[&str]) -> Result<Answer, CommandError> {
        let text = match words {
            ["show", "email-alert"] => as_text(self.counts()),
            ["show", "email-alert", "json"] => match self.status() {
                Some(status) => to_line(&status),
                None => return Err("the status is just being updated; try again".to_owned()),
            },
            ["add", "email-alert", "silence", pattern, time, reason @ ..] => {
                self.add_silence(pattern, time, &reason.join(" "))?;
                String::new()
            }
            _ => return Err(format!("unknown command; expected one of: {}", USAGES.join(" | "))),
        };
        Ok(Answer(text))
    }

    /// Silences the targets that `pattern` matches, for `time`. Changes in that time are mailed at its end, with `reason`. A second
    /// silence with an equal pattern replaces the first one.
    fn add_silence(&self, pattern: &str, time: &str, reason: &str) -> Result<(), CommandError> {
        let pattern = pattern.parse::<Pattern>().map_err(|why| format!("'{}' {why}", visible(pattern)))?;
        let length = duration(time)
            .map_err(|why| format!("'{}' {why}; expected a time, such as 30m", visible(time)))?;
        if !(Duration::from_millis(1)..=MAX_SILENCE_LENGTH).contains(&length) {
            return Err(format!("'{}' is out of range; expected 1ms to 30d", visible(time)));
        }
        let reason = bounded(visible(reason), LONGEST_REASON);
        self.silences
            .try_send(Silence { pattern, until: SystemTime::now() + length, reason })
            .map_err(|_| "too many silences were added at once; try again".to_owned())?;
        self.shared.ring.wake();
        Ok(())
    }
}

/// `name: value` lines, as in HAProxy's `show info`.
fn as_text(counts: Counts) -> String {
    let Counts { accepted, dropped, waiting, delivered, failed, retried } = counts;
    format!(
        "accepted: {accepted}\ndropped: {dropped}\nwaiting: {waiting}\n\
         delivered: {delivered}\nfailed: {failed}\nretried: {retried}\n"
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::service::{RelayHealth, RelayStatus, Status};

    #[test]
    fn an_answer_is_read_in_pieces_of_whole_characters() {
        let answer = Answer("a: ä\nb".into());
        let (mut cursor, mut pieces) = (0, Vec::new());
        while let piece @ [_, ..] = answer.piece(cursor, 4).as_bytes() {
            pieces.push(piece);
            cursor += piece.len();
        }
        assert_eq!(pieces, ["a: ".as_bytes(), "ä\nb".as_bytes()]);
        assert_eq!((answer.piece(4, 9), answer.piece(99, 9)), ("", ""), "no boundary, and beyond the end");
    }

    #[test]
    fn text_has_a_line_for_each_counter_and_json_has_the_relays_too() {
        let error = "connect to mx1:25: Connection refused \"\u{1}\"".to_owned();
        let relay = RelayStatus {
            name: "mx1".into(),
            health: RelayHealth::BackingOff { until: SystemTime::now() + Duration::from_secs(60) },
            last_error: Some(error.clone()),
        };
        let status = Status {
            counts: Counts { accepted: 7, delivered: 5, waiting: 2, ..Counts::default() },
            relays: vec![relay].into(),
            silences: vec![Silence {
                pattern: "web/s*".parse().expect("a pattern"),
                until: SystemTime::now() + Duration::from_secs(90),
                reason: "upgrade".into(),
            }]
            .into(),
        };
        let text = "accepted: 7\ndropped: 0\nwaiting: 2\ndelivered: 5\nfailed: 0\nretried: 0\n";
        assert_eq!(as_text(status.counts), text);
        let json: serde_json::Value = serde_json::from_str(&to_line(&status)).expect("JSON");
        assert_eq!((&json["accepted"], &json["waiting"]), (&7.into(), &2.into()));
        assert_eq!(json["relays"][0]["health"], "backing-off");
        assert_eq!(json["relays"][0]["last_error"], visible(&error));
        assert_eq!(json["relays"][0]["retry_in"], 60);
        let silence = serde_json::json!({"pattern": "web/s*", "ends_in": 90, "reason": "upgrade"});
        assert_eq!(json["silences"][0], silence);
    }
}
