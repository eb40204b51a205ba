// SPDX-License-Identifier: MIT OR Apache-2.0
//! What a relay can do at each step of a session, and the policy for it.

use std::time::Duration;

use super::{Fault, Kind, Outcome, fault};
use crate::{
    certificates::Authority,
    relay::{Act, Relay, Step},
};
use Outcome::{Later, Never, Twice};

/// What a relay can do at any step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Deed {
    /// Replies with this code and goes on; with 421, it closes the connection.
    Reply(u16),
    /// Says nothing more.
    Hang,
    /// Gives its reply byte by byte.
    Drip,
    /// Closes the connection instead of replying.
    Close,
    /// Replies what is not SMTP.
    Garbage,
    /// Replies without end.
    EndlessLine,
    /// Replies in too many lines.
    EndlessReply,
}

/// The steps of a session at which a relay replies.
pub const STEPS: [Step; 8] =
    [Step::Banner, Step::Ehlo, Step::Starttls, Step::Auth, Step::Mail, Step::Rcpt, Step::Data, Step::Dot];

/// All of them.
pub const DEEDS: [Deed; 15] = [
    Deed::Reply(421),
    Deed::Reply(450),
    Deed::Reply(451),
    Deed::Reply(452),
    Deed::Reply(530),
    Deed::Reply(535),
    Deed::Reply(550),
    Deed::Reply(552),
    Deed::Reply(554),
    Deed::Hang,
    Deed::Drip,
    Deed::Close,
    Deed::Garbage,
    Deed::EndlessLine,
    Deed::EndlessReply,
];

impl Deed {
    /// The policy.
    pub fn outcome_at(self, step: Step) -> Outcome {
        match (self, step) {
            // It wants to know who we are (RFC 4954, 6): not about the mail, whatever the step.
            (Deed::Reply(530 | 535), _) => Later,
            // Too many recipients, or too much in a mailbox (RFC 5321, 4.5.3.1.10).
            (Deed::Reply(552), Step::Rcpt) => Later,
            // For good, if it is about the mail: before these steps the relay knows nothing of it.
            (Deed::Reply(500..), Step::Mail | Step::Rcpt | Step::Data | Step::Dot) => Never,
            // It has the mail, but its reply does not arrive.
            (Deed::Drip | Deed::EndlessReply, Step::Dot) => Twice,
            // Said for now, not about the mail, or not understood.
            _ => Later,
        }
    }

    /// For administrators.
    pub fn name(self) -> String {
        match self {
            Deed::Reply(421) => format!("replies `{}` and closes", self.words()),
            Deed::Reply(_) => format!("replies `{}`", self.words()),
            Deed::Hang => "says nothing more".to_owned(),
            Deed::Drip => "replies, a byte a second".to_owned(),
            Deed::Close => "closes the connection".to_owned(),
            Deed::Garbage => "speaks something else than SMTP".to_owned(),
            Deed::EndlessLine => "sends a megabyte without a line end".to_owned(),
            Deed::EndlessReply => "sends 10,000 continuation lines".to_owned(),
        }
    }

    /// The words of the log behind step and relay.
    pub fn words(self) -> String {
        match self {
            Deed::Reply(code) => {
                let text = match code {
                    421 => "4.3.2 shutting down",
                    450 => "4.2.1 mailbox busy",
                    451 => "4.3.0 try again",
                    452 => "4.3.1 disk full",
                    530 => "5.7.0 log in first",
                    535 => "5.7.8 who are you",
                    550 => "5.1.1 no such user",
                    552 => "5.2.2 mailbox full",
                    _ => "5.7.1 go away",
                };
                format!("{code} {text}")
            }
            Deed::Hang => "no answer within 1s".to_owned(),
            // More than the time between two bytes.
            Deed::Drip => "no answer within 2s".to_owned(),
            Deed::Close => "the relay closed the connection".to_owned(),
            Deed::Garbage => "not an SMTP reply: SSH-2.0-OpenSSH_9.2<U+001B>[2J".to_owned(),
            Deed::EndlessLine => "the relay sent a line of more than 2048 bytes".to_owned(),
            Deed::EndlessReply => "the relay's reply is longer than 16384 bytes".to_owned(),
        }
    }

    fn act_at(self, step: Step) -> Act {
        let duty = match step {
            Step::Banner | Step::Starttls => 220,
            Step::Auth => 235,
            Step::Data => 354,
            _ => 250,
        };
        match self {
            Deed::Reply(421) => Act::Dismiss(self.words()),
            Deed::Reply(_) => Act::Reply(self.words()),
            Deed::Hang => Act::Hang,
            Deed::Drip => Act::Drip(format!("{duty} 2.0.0 all is well"), Duration::from_secs(1)),
            Deed::Close => Act::Close,
            Deed::Garbage => Act::reply("SSH-2.0-OpenSSH_9.2\u{1b}[2J"),
            Deed::EndlessLine => Act::Reply("x".repeat(1_000_000)),
            Deed::EndlessReply => {
                // In the end, it takes the mail, and nothing that comes before one.
                let end = if step == Step::Dot { format!("{duty} done") } else { String::new() };
                Act::Reply(format!("{duty}-and so on\n").repeat(10_000) + &end)
            }
        }
    }

    /// The row.
    pub fn fault_at(self, step: Step) -> Fault {
        let kind = match step {
            Step::Starttls | Step::Auth => Kind::StartTls,
            _ => Kind::Plain,
        };
        let at = match (step, self) {
            (Step::Ehlo, Deed::Reply(550..)) => "HELO",
            _ => name_in_log(step),
        };
        let words = match (step, self) {
            // Which is waited for longer than the time between two bytes anyway.
            (Step::Dot, Deed::Drip) => Deed::Hang.words(),
            _ => self.words(),
        };
        let words = format!("{at} at {{relay}}: {words}");
        let name = format!("{} at {step:?}", self.name());
        let begins = move |relay: &Relay, _: &Authority| relay.at(step, self.act_at(step));
        Fault { step: Some(step), ..fault(name, kind, self.outcome_at(step), words, begins) }
    }
}

/// What the log calls it.
pub fn name_in_log(step: Step) -> &'static str {
    match step {
        Step::Banner => "greeting",
        Step::Ehlo => "EHLO",
        Step::Starttls => "STARTTLS",
        Step::Auth => "AUTH PLAIN",
        Step::Mail => "MAIL FROM",
        Step::Rcpt => "RCPT TO <ops@example.com>",
        Step::Data => "DATA",
        Step::Dot => super::AFTER_DOT,
        _ => unreachable!("no reply is expected there"),
    }
}
