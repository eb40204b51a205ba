// SPDX-License-Identifier: MIT OR Apache-2.0
//! Plain data of a mail's content: badges, facts, rows and sections.

use crate::event::{Event, Health, Kind, Usable};
use crate::settings::Link;
use askama::Template;

/// The content of a mail. As a template it is the HTML part: the content of the text part, with the state in colour. It loads
/// nothing over the network; askama escapes the texts.
#[derive(Debug, Clone, PartialEq, Eq, Template)]
#[template(path = "mail.html")]
pub struct Report {
    /// Subject, decoded, one line.
    pub subject: String,
    /// Most severe state of the mail.
    pub badge: Badge,
    /// Topic of the thread.
    pub topic: String,
    /// First line: HAProxy's sentence, or the summary of many changes.
    pub first_line: String,
    /// Paragraphs: meaning, hints, history.
    pub paragraphs: Vec<String>,
    /// Targets, if there are several.
    pub sections: Vec<Section>,
    /// Further facts, in two columns.
    pub facts: Vec<Fact>,
    /// Statistics page: the last line of the columns.
    pub statistics: Option<Link>,
    /// Remarks below the columns: late delivery, dropped changes.
    pub notes: Vec<String>,
}

/// A state with its colour.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Badge {
    /// Text of the badge: `DOWN`.
    pub text: String,
    /// Class in the HTML part: `bad`, `good` or `other`.
    pub tone: &'static str,
}

/// A line of the table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fact {
    /// First column: `server`.
    pub label: &'static str,
    /// Second column: `web/s1`.
    pub value: String,
}

/// Targets with a common cause.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Section {
    /// Common cause; may be empty.
    pub heading: String,
    /// Hint where to look.
    pub hint: Option<String>,
    /// A row for each target.
    pub rows: Vec<Row>,
}

/// A target: a server, or a backend as a whole.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Row {
    /// Name: `web/s1`.
    pub name: String,
    /// State: `DOWN`.
    pub state: Badge,
    /// Reason, address and time.
    pub details: String,
}

impl Badge {
    /// Returns the badge of the state that this kind of event announces.
    pub fn of(kind: Kind) -> Self {
        Badge { text: kind.state().to_owned(), tone: tone(kind) }
    }

    /// Returns the background colour behind white letters. It is an attribute of the HTML element, because some mail readers
    /// remove style sheets.
    pub fn colour(&self) -> &'static str {
        match self.tone {
            "bad" => "#b3261e",
            "good" => "#1b7f3b",
            _ => "#8a5a00",
        }
    }
}

/// Returns the class of a state in the HTML part: `bad`, `good` or `other`.
pub fn tone(kind: Kind) -> &'static str {
    match kind {
        Kind::Down | Kind::BackendDown => "bad",
        Kind::Up | Kind::BackendUp | Kind::Ready => "good",
        Kind::Maint | Kind::Drain | Kind::Nolb | Kind::Check | Kind::Gone => "other",
    }
}

/// Returns the usable servers of the backend, in HAProxy's words; `None`: the event's source does not know them.
pub fn usable_servers(event: &Event) -> Option<Fact> {
    let Usable { active, backup } = event.usable?;
    let label = if event.health == Health::Up { "online" } else { "left" };
    Some(Fact { label, value: format!("{active} active and {backup} backup servers") })
}
