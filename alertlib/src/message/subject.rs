// SPDX-License-Identifier: MIT OR Apache-2.0
//! The subject: a format of the administrator's, in the spirit of HAProxy's `log-format`.
//!
//! Readers that go by `References` show an incident as one thread whatever its subjects are. Gmail wants them equal, apart
//! from `Re:` and from what is in brackets at the beginning: so the state is in brackets, and the rest stays the same.

use super::words::count;
use crate::engine::{About, Note, Outgoing};
use crate::event::Kind;
use crate::text::visible;

/// `[DOWN] web/s1 on lb1.example.com`
pub const DEFAULT: &str = "[%[state]] %[topic] on %[host]";

/// Longest format, in bytes.
const LONGEST: usize = 256;

/// What stands for something else in a format.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Variable {
    State,
    Topic,
    Name,
    Proxy,
    Server,
    Host,
    ShortHost,
    Reason,
    Event,
    Level,
    Changes,
    Active,
    Backup,
}

/// In the order of the documentation.
const VARIABLES: [(&str, Variable); 13] = [
    ("state", Variable::State),
    ("topic", Variable::Topic),
    ("host", Variable::Host),
    ("shorthost", Variable::ShortHost),
    ("name", Variable::Name),
    ("proxy", Variable::Proxy),
    ("server", Variable::Server),
    ("reason", Variable::Reason),
    ("event", Variable::Event),
    ("level", Variable::Level),
    ("changes", Variable::Changes),
    ("active", Variable::Active),
    ("backup", Variable::Backup),
];

#[derive(Debug, Clone, PartialEq, Eq)]
enum Piece {
    Text(String),
    Variable(Variable),
}

/// How subjects are made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Format(Vec<Piece>);

/// What is wrong with a format.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fault {
    /// It names a variable that does not exist.
    Unknown(String),
    /// Anything else.
    Form(String),
}

impl Default for Format {
    fn default() -> Self {
        Format::parse(DEFAULT).expect("tested")
    }
}

/// The names of the variables.
pub fn variables() -> [&'static str; VARIABLES.len()] {
    VARIABLES.map(|(name, _)| name)
}

impl Format {
    /// Reads `%[variable]`, `%%` for a percent sign, and text.
    ///
    /// # Errors
    ///
    /// What is wrong with it.
    pub fn parse(format: &str) -> Result<Self, Fault> {
        let wrong = |why: &str| Err(Fault::Form(why.to_owned()));
        if format.trim().is_empty() {
            return wrong("is empty");
        }
        if format.len() > LONGEST {
            return wrong("is longer than 256 characters");
        }
        if visible(format) != format {
            return wrong("has a character that cannot be seen");
        }
        let mut pieces = Vec::new();
        let mut rest = format;
        while let Some((text, behind)) = rest.split_once('%') {
            pieces.push(Piece::Text(text.to_owned()));
            if let Some(behind) = behind.strip_prefix('%') {
                pieces.push(Piece::Text("%".to_owned()));
                rest = behind;
                continue;
            }
            let Some(behind) = behind.strip_prefix('[') else {
                return wrong("has a '%' that is neither '%[<variable>]' nor '%%'");
            };
            let Some((name, behind)) = behind.split_once(']') else {
                return wrong("has no ']' behind its last '%['");
            };
            match VARIABLES.iter().find(|(known, _)| *known == name) {
                Some((_, variable)) => pieces.push(Piece::Variable(*variable)),
                None => return Err(Fault::Unknown(name.to_owned())),
            }
            rest = behind;
        }
        pieces.push(Piece::Text(rest.to_owned()));
        Ok(Format(pieces))
    }

    /// The subject of a mail, in one line.
    pub fn fill(&self, outgoing: &Outgoing, host: &str) -> String {
        let event = &outgoing.lead().event;
        let value = |variable: Variable| match variable {
            Variable::State => state(outgoing),
            Variable::Topic => outgoing.topic.clone(),
            Variable::Name => event.subject(),
            Variable::Proxy => event.proxy.clone(),
            Variable::Server => event.server.clone().unwrap_or_default(),
            Variable::Host => host.to_owned(),
            Variable::ShortHost => host.split('.').next().unwrap_or_default().to_owned(),
            Variable::Reason => reason(outgoing),
            Variable::Event => event.kind.word().to_owned(),
            Variable::Level => event.level.word().to_owned(),
            Variable::Changes => changes(outgoing),
            Variable::Active => event.active.to_string(),
            Variable::Backup => event.backup.to_string(),
        };
        let pieces = self.0.iter().map(|piece| match piece {
            Piece::Text(text) => text.clone(),
            Piece::Variable(variable) => value(*variable),
        });
        // Names and reasons are clean since they were events; that nothing begins a new header does not rest on it.
        visible(pieces.collect::<String>().trim())
    }
}

/// The state of the worst that it tells of: `DOWN`, `BACKEND DOWN`, `STILL DOWN`, `FLAPPING, DOWN`.
pub fn state(outgoing: &Outgoing) -> String {
    let lead = outgoing.lead();
    let state = lead.event.kind.state();
    let whole = if matches!(lead.event.kind, Kind::BackendDown | Kind::BackendUp) { "BACKEND " } else { "" };
    match (&outgoing.about, lead.note) {
        (About::Reminder, _) => format!("{whole}STILL {state}"),
        (_, Note::Flapping) => format!("FLAPPING, {whole}{state}"),
        (_, Note::Stable) => format!("STABLE, {whole}{state}"),
        (_, Note::Change) => format!("{whole}{state}"),
    }
}

/// Why the worst is as it is; of a backend as a whole, why its servers are.
fn reason(outgoing: &Outgoing) -> String {
    let lead: &crate::event::Event = &outgoing.lead().event;
    let same = |event: &&crate::event::Event| event.proxy == lead.proxy && event.health == lead.health;
    let events = std::iter::once(lead).chain(outgoing.items.iter().map(|item| &*item.event).filter(same));
    events.map(|event| event.why()).find(|why| !why.is_empty()).unwrap_or_default().into_owned()
}

fn changes(outgoing: &Outgoing) -> String {
    let told: u64 = outgoing.items.iter().map(|item| u64::from(item.changes)).sum();
    count(told.saturating_add(outgoing.unnamed), "change")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::Item;
    use crate::event::{Event, sample};
    use crate::message::tests::outgoing;

    fn filled(format: &str, outgoing: &Outgoing) -> Result<String, Fault> {
        Ok(Format::parse(format)?.fill(outgoing, "lb1.example.com"))
    }

    #[test]
    fn variables_are_filled_in() {
        let all = VARIABLES.map(|(name, _)| format!("%[{name}]")).join("|");
        assert_eq!(
            filled(&all, &outgoing(sample())).as_deref(),
            Ok("DOWN|be/s1|lb1.example.com|lb1|be/s1|be|s1||down|alert|1 change|1|0")
        );
        assert!(filled(" 100%% %[server]% ", &outgoing(sample())).is_err());
        assert_eq!(filled(" 100%% [%[server]] ", &outgoing(sample())).as_deref(), Ok("100% [s1]"));
    }

    #[test]
    fn the_default_has_the_state_in_front_and_then_what_stays_the_same() {
        let mut mail = outgoing(sample());
        assert_eq!(Format::default().fill(&mail, "lb1"), "[DOWN] be/s1 on lb1");
        mail.about = About::Reminder;
        assert_eq!(Format::default().fill(&mail, "lb1"), "[STILL DOWN] be/s1 on lb1");
        mail.about = About::Changes;
        mail.items[0].note = Note::Flapping;
        assert_eq!(Format::default().fill(&mail, "lb1"), "[FLAPPING, DOWN] be/s1 on lb1");
        let whole = Event { kind: Kind::BackendDown, server: None, ..sample() };
        mail.items.insert(0, Item::of(whole));
        assert_eq!(Format::default().fill(&mail, "lb1"), "[BACKEND DOWN] be/s1 on lb1");
    }

    #[test]
    fn what_is_no_format_is_refused() {
        for bad in ["", " ", "a\r\nBcc: x@example.com", "a\u{202e}b", "%", "%s", "%[state", "100% %[state]"] {
            assert!(matches!(Format::parse(bad), Err(Fault::Form(_))), "{bad:?}");
        }
        assert!(matches!(Format::parse(&"x".repeat(257)), Err(Fault::Form(_))));
        assert_eq!(Format::parse("%[status]"), Err(Fault::Unknown("status".into())));
        assert_eq!(Format::parse("%[]"), Err(Fault::Unknown(String::new())));
    }

    #[test]
    fn nothing_in_it_ends_the_line() {
        let hostile = "a\r\nBcc: x@example.com\r\n\r\nbody";
        let mail = outgoing(Event { proxy: hostile.into(), cause: hostile.into(), ..sample() });
        for format in [DEFAULT, "%[proxy]", "%[reason]", "%[name]"] {
            let subject = filled(format, &mail).expect("a subject");
            assert!(!subject.contains(char::is_control), "{subject:?}");
        }
    }
}
