// SPDX-License-Identifier: MIT OR Apache-2.0
//! What a relay can do wrong, and what becomes of the mail: one table, for the test that tries every row, and for the
//! document that tells it to administrators.

mod deeds;
mod document;
mod rows;

use std::{net::SocketAddr, path::Path};

use crate::{
    certificates::Authority,
    relay::{Manners, Relay, Step, tls},
    setup::RECIPIENT,
};
use Outcome::{Delivered, Later, LaterForOne, Never, NeverForOne, Twice};
pub use document::{document, path};

/// The three recipients of some faults; the last one is the one who is refused.
pub const THREE: [&str; 3] = [RECIPIENT, "oncall@example.com", "boss@example.com"];
/// Where the relay is.
const HERE: &str = "127.0.0.1";
/// What the log says before how long nobody answered.
const NO_ANSWER: &str = "no answer within ";
/// What the log calls the step behind the final dot.
const AFTER_DOT: &str = "end of DATA";
/// The name in the certificate of a relay with STARTTLS.
const NAME: &str = "mx1.example.com";
/// The password for the relays that want one.
pub const PASSWORD: &str = "hunter2";

/// A row of the matrix.
pub struct Fault {
    /// What the relay does.
    pub name: String,
    /// The reply that it does not give as it should, if it is a matter of one.
    pub step: Option<Step>,
    /// What it is when it behaves.
    pub kind: Kind,
    /// Begins it.
    pub begins: Box<Begin>,
    /// What becomes of the mail.
    pub outcome: Outcome,
    /// How long the relay may take for a step, in HAProxy's configuration; for the reply to the final dot, six times as long.
    pub timeout: String,
    /// What HAProxy's log says, without what all such lines have; `{relay}` is the relay's address with, `{host}` without
    /// the port.
    words: String,
}

/// Makes a relay that behaves one that does not; with the authority that signs for it.
pub type Begin = dyn Fn(&Relay, &Authority) + Send + Sync;

/// What a relay is like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// It takes mails from everybody.
    Plain,
    /// `starttls` and a password.
    StartTls,
    /// `tls` and a password.
    Tls,
}

/// What becomes of the mail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It is delivered at once.
    Delivered,
    /// The next relay gets it at once; if there is none, this one when it behaves again.
    Later,
    /// The same; but this one has taken it without being able to say so.
    Twice,
    /// It is refused for good, and the log says so.
    Never,
    /// The same for one of three recipients; the others get theirs at once.
    NeverForOne,
    /// Two of three recipients get theirs at once; the third as with `Later`.
    LaterForOne,
}

impl Kind {
    /// A relay of this kind that behaves.
    pub fn manners(self, authority: &Authority) -> Manners {
        let manners = match self {
            Kind::Plain => return Manners::default(),
            Kind::StartTls => Manners::default().starttls(tls(&authority.identity(NAME), None)),
            Kind::Tls => Manners::default().tls(tls(&authority.identity(HERE), None)),
        };
        manners.login("PLAIN", "bob", PASSWORD)
    }

    /// Its words in HAProxy's configuration.
    pub fn words(self, ca_file: &Path, password_file: &Path) -> String {
        let kind = match self {
            Kind::Plain => return String::new(),
            Kind::StartTls => format!("starttls sni {NAME}"),
            Kind::Tls => "tls".to_owned(),
        };
        format!("{kind} ca-file {} user bob password-file {}", ca_file.display(), password_file.display())
    }
}

impl Fault {
    /// Whose mail it is.
    pub fn recipients(&self) -> &'static [&'static str] {
        match self.outcome {
            NeverForOne | LaterForOne => &THREE,
            _ => &THREE[..1],
        }
    }

    /// Who gets it from this relay at once.
    pub fn taken(&self) -> &'static [&'static str] {
        match self.outcome {
            Delivered | Twice => self.recipients(),
            Later | Never => &[],
            NeverForOne | LaterForOne => &THREE[..2],
        }
    }

    /// Who gets it from another relay, or later.
    pub fn left(&self) -> &'static [&'static str] {
        match self.outcome {
            Later | Twice => self.recipients(),
            LaterForOne => &THREE[2..],
            Delivered | Never | NeverForOne => &[],
        }
    }

    /// What the log says of it; `sentence` is HAProxy's on the event. `by_bdat`: the mail came with BDAT.
    pub fn log_line(&self, relay: SocketAddr, sentence: &str, by_bdat: bool) -> Option<String> {
        let words = if by_bdat { self.words.replace(AFTER_DOT, "BDAT") } else { self.words.clone() };
        let words = words.replace("{relay}", &relay.to_string()).replace("{host}", &relay.ip().to_string());
        let all = self.recipients();
        match self.outcome {
            Delivered => None,
            Later | Twice | LaterForOne => {
                Some(format!("email_alert: relay mx1: {words}; trying again, 1 mail waiting"))
            }
            Never | NeverForOne => {
                let refused = all[all.len() - 1];
                Some(format!(
                    "email_alert: relay mx1 refused the mail '{sentence}' to {refused} for good: {words}"
                ))
            }
        }
    }

    /// Whether a relay that is never asked whether the mail may come cannot do it.
    pub fn needs_data(&self) -> bool {
        self.step == Some(Step::Data) || self.words.starts_with("DATA")
    }

    /// Whether the relay must not hear this command, since it may not be the one that was meant.
    pub fn forbids(&self, command: &str) -> bool {
        self.kind != Kind::Plain && self.outcome != Delivered && !self.words.starts_with(command)
    }
}

fn fault(
    name: impl Into<String>,
    kind: Kind,
    outcome: Outcome,
    words: impl Into<String>,
    begins: impl Fn(&Relay, &Authority) + Send + Sync + 'static,
) -> Fault {
    let (name, mut words, begins) = (name.into(), words.into(), Box::new(begins));
    // Those that do not let it pass do not depend on how busy this machine is.
    let timeout = words.split_once(NO_ANSWER).map_or("5s", |(_, time)| time).to_owned();
    if let (true, Some((before, time))) = (words.starts_with(AFTER_DOT), words.split_once(NO_ANSWER)) {
        let seconds: u32 = time.trim_end_matches('s').parse().expect("seconds");
        words = format!("{before}{NO_ANSWER}{}s", 6 * seconds);
    }
    Fault { name, step: None, kind, begins, outcome, timeout, words }
}

/// The whole matrix.
pub fn table() -> Vec<Fault> {
    let at_each_step = deeds::DEEDS.into_iter().flat_map(|deed| deeds::STEPS.map(|step| deed.fault_at(step)));
    at_each_step.chain(rows::plain()).chain(rows::with_tls()).chain(rows::with_certificates()).collect()
}
