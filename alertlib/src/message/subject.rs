// SPDX-License-Identifier: MIT OR Apache-2.0
//! Subject of a mail, built from the administrator's format.
//!
//! Mail readers that evaluate `References` show an incident as one thread whatever its subjects are. Gmail requires equal
//! subjects, apart from `Re:` and from brackets at the beginning. The default format therefore has the state in brackets, and
//! the rest stays equal.

use crate::event::{Kind, Usable};
use crate::format::count;
use crate::notification::{FlapPhase, Notification, Trigger};
use crate::settings::{Piece, SubjectFormat, Variable};
use crate::text::visible;

/// Fills in the variables of the format. Returns one line.
pub fn fill(format: &SubjectFormat, notification: &Notification, host: &str) -> String {
    let event = &notification.lead().event;
    let usable = |number: fn(Usable) -> u32| event.usable.map_or("?".to_owned(), |of| number(of).to_string());
    let value = |variable: Variable| match variable {
        Variable::State => state(notification),
        Variable::Topic => notification.topic.clone(),
        Variable::Name => event.target_name(),
        Variable::Proxy => event.proxy.clone(),
        Variable::Server => event.server.clone().unwrap_or_default(),
        Variable::Host => host.to_owned(),
        Variable::ShortHost => host.split('.').next().unwrap_or_default().to_owned(),
        Variable::Reason => reason(notification),
        Variable::Event => event.kind.word().to_owned(),
        Variable::Level => event.level.word().to_owned(),
        Variable::Changes => changes(notification),
        Variable::Active => usable(|usable| usable.active),
        Variable::Backup => usable(|usable| usable.backup),
    };
    let pieces = format.pieces().iter().map(|piece| match piece {
        Piece::Text(text) => text.clone(),
        Piece::Variable(variable) => value(*variable),
    });
    // Names and reasons were made visible when the event was read. This call makes sure that no value begins a new header.
    visible(pieces.collect::<String>().trim())
}

/// Returns the state of the most severe item: `DOWN`, `BACKEND DOWN`, `STILL DOWN`, `FLAPPING, DOWN`.
pub fn state(notification: &Notification) -> String {
    let lead = notification.lead();
    let state = lead.event.kind.state();
    let whole = if matches!(lead.event.kind, Kind::BackendDown | Kind::BackendUp) { "BACKEND " } else { "" };
    match (&notification.trigger, lead.flap_phase) {
        (Trigger::Reminder, _) => format!("{whole}STILL {state}"),
        (_, FlapPhase::Flapping) => format!("FLAPPING, {whole}{state}"),
        (_, FlapPhase::Stable) => format!("STABLE, {whole}{state}"),
        (_, FlapPhase::NotFlapping) => format!("{whole}{state}"),
    }
}

/// Returns the reason of the most severe item; for a backend as a whole without a reason, that of one of its servers.
fn reason(notification: &Notification) -> String {
    let lead: &crate::event::Event = &notification.lead().event;
    let same = |event: &&crate::event::Event| event.proxy == lead.proxy && event.health == lead.health;
    let events = std::iter::once(lead).chain(notification.items.iter().map(|item| &*item.event).filter(same));
    events.map(|event| event.short_reason()).find(|why| !why.is_empty()).unwrap_or_default().into_owned()
}

/// Returns the number of changes, those included that the mail does not name.
fn changes(notification: &Notification) -> String {
    let named: u64 = notification.items.iter().map(|item| u64::from(item.changes)).sum();
    count(named.saturating_add(notification.unnamed), "change")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::{Event, sample};
    use crate::message::tests::notification;
    use crate::notification::Item;
    use crate::settings::{DEFAULT_SUBJECT, SubjectError, variables};

    fn filled(format: &str, notification: &Notification) -> Result<String, SubjectError> {
        Ok(fill(&SubjectFormat::parse(format)?, notification, "lb1.example.com"))
    }

    #[test]
    fn every_variable_is_filled_in() {
        let all = variables().map(|name| format!("%[{name}]")).join("|");
        assert_eq!(
            filled(&all, &notification(sample())).as_deref(),
            Ok("DOWN|be/s1|lb1.example.com|lb1|be/s1|be|s1||down|alert|1 change|1|0")
        );
        assert!(filled(" 100%% %[server]% ", &notification(sample())).is_err());
        assert_eq!(filled(" 100%% [%[server]] ", &notification(sample())).as_deref(), Ok("100% [s1]"));
    }

    #[test]
    fn default_subject_has_the_state_in_brackets_before_the_topic() {
        let mut mail = notification(sample());
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
    fn hostile_names_do_not_end_the_subject_line() {
        let hostile = "a\r\nBcc: x@example.com\r\n\r\nbody";
        let mail = notification(Event { proxy: hostile.into(), cause: hostile.into(), ..sample() });
        for format in [DEFAULT_SUBJECT, "%[proxy]", "%[reason]", "%[name]"] {
            let subject = filled(format, &mail).expect("a subject");
            assert!(!subject.contains(char::is_control), "{subject:?}");
        }
    }
}
