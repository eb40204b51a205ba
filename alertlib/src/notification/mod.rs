// SPDX-License-Identifier: MIT OR Apache-2.0
//! Notifications: the engine's decision that recipients get a mail, about one change or many. The mail's text is made when it
//! is sent.

mod cause;

pub use cause::{Cause, CauseGroup, groups};

use crate::event::{Event, Health};
use crate::settings::Recipient;
use lettre::Address;
use std::sync::Arc;
use std::time::SystemTime;

/// References of a mail at most: a header has a limit, and more threads than that are none.
pub const MOST_REFERENCES: usize = 16;

/// A mail to be: what it is about and who gets it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Notification {
    /// `Message-ID`, with its angle brackets. The same at every attempt.
    pub message_id: String,
    /// When it was decided.
    pub created: SystemTime,
    /// The envelope's and the header's sender.
    pub from: Address,
    /// Everybody who is to get it, each once; never empty.
    pub to: Vec<Recipient>,
    /// The mails in which these recipients were told of the troubles that it goes on about: Message-IDs, the oldest first,
    /// and the last one is the one that it answers. [`MOST_REFERENCES`] at most; none: it begins a thread.
    pub references: Vec<String>,
    /// What its thread is called: the same words in all its mails, for readers that look at the subject. Without state and host.
    pub topic: String,
    /// Why it is sent.
    pub trigger: Trigger,
    /// What it tells, each server or backend once; what has a cause in common is together ([`Notification::groups`]). Never empty.
    pub items: Vec<Item>,
    /// How many servers those backends of `items` have that have lost more than one: name and number.
    pub sizes: Vec<(String, u32)>,
    /// Changes that `items` does not name: there are too many.
    pub unnamed: u64,
    /// Events that were dropped since the mail before, because the queue was full.
    pub dropped: u64,
}

/// Why a mail is sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Trigger {
    /// Something has changed.
    Changes,
    /// Nothing has, for a long time.
    Reminder,
    /// A silence is over: what has changed during it.
    Silence {
        /// Of what: `web/*`.
        pattern: String,
        /// Why somebody wanted it.
        reason: String,
    },
}

/// What a mail tells of one server, or of one backend as a whole.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Item {
    /// The latest of its events that were not told before; in a reminder, the one that began the trouble.
    pub event: Arc<Event>,
    /// The changes that this stands for, that event included: 1, or more if they came faster than mails may.
    pub changes: u32,
    /// When the first of them was.
    pub first: SystemTime,
    /// Its trouble: the one that has begun, goes on, or is over with `event` ([`Item::is_over`]).
    pub incident: Option<Incident>,
    /// What is special about it.
    pub flap_phase: FlapPhase,
}

/// A trouble from its beginning: a server's from DOWN to UP, a backend's from its last server lost to its first one back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Incident {
    /// When it began.
    pub since: SystemTime,
    /// Why, in short: see [`Event::why`].
    pub why: Arc<str>,
    /// Changes of its health from the beginning, that one included: 2 for DOWN and UP.
    pub changes: u32,
}

/// What is special about an [`Item`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum FlapPhase {
    /// Nothing.
    NotFlapping,
    /// It changes too often, and will not be mentioned again before it is stable.
    Flapping,
    /// It has changed too often, and is stable again.
    Stable,
}

impl FlapPhase {
    const ALL: [FlapPhase; 3] = [FlapPhase::NotFlapping, FlapPhase::Flapping, FlapPhase::Stable];

    /// For the files of the spool.
    pub fn word(self) -> &'static str {
        match self {
            FlapPhase::NotFlapping => "change",
            FlapPhase::Flapping => "flapping",
            FlapPhase::Stable => "stable",
        }
    }

    /// The phase of that word.
    pub fn from_word(word: &str) -> Option<Self> {
        FlapPhase::ALL.into_iter().find(|phase| phase.word() == word)
    }
}

impl Item {
    /// `event` alone.
    pub fn of(event: impl Into<Arc<Event>>) -> Self {
        let event = event.into();
        Item { changes: 1, first: event.when, event, incident: None, flap_phase: FlapPhase::NotFlapping }
    }

    /// Is its trouble over?
    pub fn is_over(&self) -> bool {
        self.event.health != Health::Down
    }
}

impl Notification {
    /// The worst of its items, the first of those: what subject and headers are about.
    pub fn lead(&self) -> &Item {
        let importance = |item: &Item| item.event.kind.importance();
        let worst = self.items.iter().map(importance).max();
        let lead = self.items.iter().find(|item| Some(importance(item)) == worst);
        lead.expect("a mail tells something")
    }

    /// Trigger the memory that it takes, in bytes.
    pub fn size(&self) -> u64 {
        let item = |Item { event, incident, .. }: &Item| {
            let check =
                event.check.as_ref().map_or(0, |it| it.status.len() + it.reason.len() + it.info.len());
            let names = event.proxy.len() + event.server.as_ref().map_or(0, String::len);
            let why = incident.as_ref().map_or(0, |incident| incident.why.len());
            let rest = event.was.len() + event.cause.len() + event.address.len();
            size_of::<Item>() + event.sentence.len() + check + names + why + rest
        };
        let references: usize = self.references.iter().map(String::len).sum();
        let sizes: usize = self.sizes.iter().map(|(name, _)| name.len() + size_of::<(String, u32)>()).sum();
        let items: usize = self.items.iter().map(item).sum();
        (size_of::<Notification>() + references + sizes + self.to.len() * size_of::<Recipient>() + items)
            as u64
    }

    /// In one line, for the log.
    pub fn summary(&self) -> String {
        let sentence = &self.lead().event.sentence;
        match self.unnamed.saturating_add(self.items.len() as u64 - 1) {
            0 => sentence.clone(),
            more => format!("{sentence} (and {more} more)"),
        }
    }

    /// Its items by cause, the worst and largest group first. Each item is in one group: the one that most could be in.
    pub fn groups(&self) -> Vec<CauseGroup<'_>> {
        groups(&self.items)
    }
}

/// A mail of one server that went down.
#[cfg(test)]
pub fn sample() -> Notification {
    Notification {
        message_id: "<haproxy.1.1@lb1.example.com>".into(),
        created: SystemTime::UNIX_EPOCH,
        from: "haproxy@lb1.example.com".parse().expect("address"),
        to: vec![Recipient { address: "ops@example.com".parse().expect("address"), is_local: false }],
        references: vec![],
        topic: "be/s1".into(),
        trigger: Trigger::Changes,
        items: vec![Item::of(crate::event::sample())],
        sizes: vec![],
        unnamed: 0,
        dropped: 0,
    }
}
