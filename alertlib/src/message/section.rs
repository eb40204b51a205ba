// SPDX-License-Identifier: MIT OR Apache-2.0
//! Plain data of a mail's content: badges, facts, rows and sections.

use crate::event::Kind;
use crate::settings::Link;

/// The content of a mail.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    /// The most severe state in it.
    pub badge: Badge,
    /// The subject of its thread.
    pub topic: String,
    /// The first line: HAProxy's sentence, or what many changes have in common.
    pub first: String,
    /// Paragraphs: meaning, hints, history.
    pub more: Vec<String>,
    /// The servers, if there are several.
    pub sections: Vec<Section>,
    /// Further facts, in two columns.
    pub facts: Vec<Fact>,
    /// The statistics page: the last line of the columns.
    pub statistics: Option<Link>,
    /// Remarks below the columns: late delivery, dropped changes.
    pub notes: Vec<String>,
}

/// A state in colour.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Badge {
    /// `DOWN`
    pub words: String,
    /// Its class in the HTML part: `bad`, `good` or `other`.
    pub tone: &'static str,
}

/// A line of the table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fact {
    /// `server`
    pub label: &'static str,
    /// `web/s1`
    pub value: String,
}

/// Servers with a common cause.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Section {
    /// The common cause; may be empty.
    pub head: String,
    /// Hint: where to look.
    pub advice: Option<String>,
    /// Each server, or backend as a whole.
    pub rows: Vec<Row>,
}

/// A server, or a backend as a whole.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Row {
    /// `web/s1`
    pub name: String,
    /// `DOWN`
    pub state: Badge,
    /// Where, why, when.
    pub rest: String,
}

impl Badge {
    /// The state that this kind of event announces.
    pub fn of(kind: Kind) -> Self {
        Badge { words: kind.state().to_owned(), tone: tone(kind) }
    }

    /// Background behind white letters. It is written into the HTML element, for mail readers that remove style sheets.
    pub fn colour(&self) -> &'static str {
        match self.tone {
            "bad" => "#b3261e",
            "good" => "#1b7f3b",
            _ => "#8a5a00",
        }
    }
}

/// The class of a state in the HTML part: `bad`, `good` or `other`.
pub fn tone(kind: Kind) -> &'static str {
    match kind {
        Kind::Down | Kind::BackendDown => "bad",
        Kind::Up | Kind::BackendUp | Kind::Ready => "good",
        Kind::Maint | Kind::Drain | Kind::Nolb | Kind::Check | Kind::Gone => "other",
    }
}
