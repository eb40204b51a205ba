// SPDX-License-Identifier: MIT OR Apache-2.0
//! The subject of a mail, by the administrator's format.
//!
//! Readers that go by `References` show an incident as one thread whatever its subjects are. Gmail wants them equal, apart
//! from `Re:` and from what is in brackets at the beginning: so the state is in brackets, and the rest stays the same.

use crate::event::{Kind, Usable};
use crate::format::count;
use crate::notification::{FlapPhase, Notification, Trigger};
use crate::settings::{Piece, SubjectFormat, Variable};
use crate::text::visible;

/// The subject of a mail, in one line.
pub fn fill(format: &SubjectFormat, outgoing: &Notification, host: &str) -> String {
    let event = &outgoing.lead().event;
    let usable = |number: fn(Usable) -> u32| event.usable.map_or("?".to_owned(), |of| number(of).to_string());
    let value = |variable: Variable| match variable {
        Variable::State => state(outgoing),
        Variable::Topic => outgoing.topic.clone(),
        Variable::Name => event.target_name(),
        Variable::Proxy => event.proxy.clone(),
        Variable::Server => event.server.clone().unwrap_or_default(),
        Variable::Host => host.to_owned(),
        Variable::ShortHost => host.split('.').next().unwrap_or_default().to_owned(),
        Variable::Reason => reason(outgoing),
        Variable::Event => event.kind.word().to_owned(),
        Variable::Level => event.level.word().to_owned(),
        Variable::Changes => changes(outgoing),
        Variable::Active => usable(|usable| usable.active),
        Variable::Backup => usable(|usable| usable.backup),
    };
    let pieces = format.pieces().iter().map(|piece| match piece {
        Piece::Text(text) => text.clone(),
        Piece::Variable(variable) => value(*variable),
    });
    // Names and reasons are clean since they were events; that nothing begins a new header does not rest on it.
    visible(pieces.collect::<String>().trim())
}

/// The state of the worst that it tells of: `DOWN`, `BACKEND DOWN`, `STILL DOWN`, `FLAPPING, DOWN`.
pub fn state(outgoing: &Notification) -> String {
    let lead = outgoing.lead();
    let state = lead.event.kind.state();
    let whole = if matches!(lead.event.kind, Kind::BackendDown | Kind::BackendUp) { "BACKEND " } else { "" };
    match (&outgoing.trigger, lead.flap_phase) {
        (Trigger::Reminder, _) => format!("{whole}STILL {state}"),
        (_, FlapPhase::Flapping) => format!("FLAPPING, {whole}{state}"),
        (_, FlapPhase::Stable) => format!("STABLE, {whole}{state}"),
        (_, FlapPhase::NotFlapping) => format!("{whole}{state}"),
    }
}

/// Why the worst is as it is; of a backend as a whole, why its servers are.
fn reason(outgoing: &Notification) -> String {
    let lead: &crate::event::Event = &outgoing.lead().event;
    let same = |event: &&crate::event::Event| event.proxy == lead.proxy && event.health == lead.health;
    let events = std::iter::once(lead).chain(outgoing.items.iter().map(|item| &*item.event).filter(same));
    events.map(|event| event.short_reason()).find(|why| !why.is_empty()).unwrap_or_default().into_owned()
}

fn changes(outgoing: &Notification) -> String {
    let told: u64 = outgoing.items.iter().map(|item| u64::from(item.changes)).sum();
    count(told.saturating_add(outgoing.unnamed), "change")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::{Event, sample};
    use crate::message::tests::outgoing;
    use crate::notification::Item;
    use crate::settings::{DEFAULT_SUBJECT, SubjectError, variables};

    fn filled(format: &str, outgoing: &Notification) -> Result<String, SubjectError> {
        Ok(fill(&SubjectFormat::parse(format)?, outgoing, "lb1.example.com"))
    }

    #[test]
    fn variables_are_filled_in() {
        let all = variables().map(|name| format!("%[{name}]")).join("|");
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
        assert_eq!(fill(&SubjectFormat::default(), &mail, "lb1"), "[DOWN] be/s1 on lb1");
        mail.trigger = Trigger::Reminder;
        assert_eq!(fill(&SubjectFormat::default(), &mail, "lb1"), "[STILL DOWN] be/s1 on lb1");
        mail.trigger = Trigger::Changes;
        mail.items[0].flap_phase = FlapPhase::Flapping;
        assert_eq!(fill(&SubjectFormat::default(), &mail, "lb1"), "[FLAPPING, DOWN] be/s1 on lb1");
        let whole = Event { kind: Kind::BackendDown, server: None, ..sample() };
        mail.items.insert(0, Item::of(whole));
        assert_eq!(fill(&SubjectFormat::default(), &mail, "lb1"), "[BACKEND DOWN] be/s1 on lb1");
    }

    #[test]
    fn nothing_in_it_ends_the_line() {
        let hostile = "a\r\nBcc: x@example.com\r\n\r\nbody";
        let mail = outgoing(Event { proxy: hostile.into(), cause: hostile.into(), ..sample() });
        for format in [DEFAULT_SUBJECT, "%[proxy]", "%[reason]", "%[name]"] {
            let subject = filled(format, &mail).expect("a subject");
            assert!(!subject.contains(char::is_control), "{subject:?}");
        }
    }
}
