// SPDX-License-Identifier: MIT OR Apache-2.0
//! Notes of a mail: late delivery, changes that are not named, dropped events, the end of a silence.

use super::Composer;
use crate::format::{count, span};
use crate::notification::{FlapPhase, Notification, Trigger};
use std::time::{Duration, SystemTime};

/// Delay from which on a mail has a note on late delivery and its reason.
const LATE: Duration = Duration::from_secs(60);

/// Returns the notes of a mail that is sent at `now`. `last_error`: error of the previous attempt.
pub fn notes(
    composer: &Composer,
    notification: &Notification,
    now: SystemTime,
    last_error: Option<&str>,
) -> Vec<String> {
    let mut notes = Vec::new();
    if let Some(since) = late_since(composer, notification, now) {
        let minutes = now.duration_since(since).unwrap_or_default().as_secs() / 60;
        let reason = last_error.map(|error| format!(": {error}")).unwrap_or_default();
        notes.push(format!("Delivered {} late{reason}", span(Duration::from_secs(minutes * 60))));
    }
    if notification.unnamed > 0 {
        let more = count(notification.unnamed, "more state change");
        let are = if notification.unnamed == 1 { "is" } else { "are" };
        notes.push(format!("{more} {are} not named here. HAProxy's log has them."));
    }
    if notification.dropped > 0 {
        let more = count(notification.dropped, "more alert");
        let were = if notification.dropped == 1 { "was" } else { "were" };
        notes.push(format!(
            "{more} before this mail {were} not mailed: too many came at once, or were waiting for a relay. HAProxy's \
             log has them."
        ));
    }
    notes
}

/// Returns the note on the end of a silence, which explains why the changes are old.
pub fn silence_note(trigger: &Trigger) -> Option<String> {
    let Trigger::Silence { pattern, reason } = trigger else { return None };
    let reason = if reason.is_empty() { String::new() } else { format!(" ({reason})") };
    Some(format!("The silence of {pattern} is over{reason}. This is what has changed during it."))
}

/// Returns the time at which the mail should have been sent; `None`: it is not late.
fn late_since(composer: &Composer, notification: &Notification, now: SystemTime) -> Option<SystemTime> {
    let is_late = |since: SystemTime, allowed: Duration| {
        now.duration_since(since).is_ok_and(|late| late >= allowed.saturating_add(LATE))
    };
    // The changes may be older than their notification, if a killed process has left them. The changes of flapping targets were
    // held back on purpose.
    let is_immediate = notification.trigger == Trigger::Changes
        && notification.items.iter().all(|item| item.flap_phase == FlapPhase::NotFlapping);
    let latest = notification.items.iter().map(|item| item.event.when).max().filter(|_| is_immediate);
    let latest = latest.filter(|latest| is_late(*latest, composer.digest));
    latest.or_else(|| is_late(notification.created, Duration::ZERO).then_some(notification.created))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::sample;
    use crate::message::tests::{composer, notification};
    use crate::notification::Item;

    fn at(seconds: u64) -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_secs(seconds)
    }

    #[test]
    fn mail_is_late_by_the_age_of_its_changes_or_of_its_notification() {
        // The time of the event is 0.
        let mail = |created| Notification { created: at(created), ..notification(sample()) };
        let notes = |mail: &Notification, now| notes(&composer(), mail, at(now), None);
        assert_eq!(notes(&mail(0), 59), [""; 0]);
        assert_eq!(notes(&mail(5), 64), [""; 0], "it may have waited for a digest of 5 s");
        assert_eq!(notes(&mail(5), 65), ["Delivered 1 min late"]);
        assert_eq!(notes(&mail(840), 841), ["Delivered 14 min late"], "from a process that was killed");
        let waited = |flap_phase| {
            let item = Item { flap_phase, ..Item::of(sample()) };
            Notification { items: vec![item], ..mail(840) }
        };
        assert_eq!(notes(&waited(FlapPhase::Stable), 841), [""; 0]);
        assert_eq!(notes(&waited(FlapPhase::Stable), 900), ["Delivered 1 min late"]);
        assert_eq!(notes(&Notification { trigger: Trigger::Reminder, ..mail(840) }, 841), [""; 0]);
    }

    #[test]
    fn unnamed_and_dropped_changes_are_counted() {
        let mail = Notification { unnamed: 1, dropped: 2, ..notification(sample()) };
        let notes = notes(&composer(), &mail, mail.created, None);
        assert!(notes[0].starts_with("1 more state change is not named here."), "{notes:?}");
        assert!(notes[1].starts_with("2 more alerts before this mail were not mailed"), "{notes:?}");
    }
}
