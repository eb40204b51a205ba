// SPDX-License-Identifier: MIT OR Apache-2.0
//! What is special about a mail: it is late, it does not name all, it is the end of a silence.

use super::Composer;
use crate::format::{count, span};
use crate::notification::{FlapPhase, Notification, Trigger};
use std::time::{Duration, SystemTime};

/// From this delay on a mail says that it is late, and why.
const LATE: Duration = Duration::from_secs(60);

/// The notes of a mail that is sent at `now`; `trouble`: why it was not sent before.
pub fn notes(
    composer: &Composer,
    outgoing: &Notification,
    now: SystemTime,
    trouble: Option<&str>,
) -> Vec<String> {
    let mut notes = Vec::new();
    if let Some(since) = late_since(composer, outgoing, now) {
        let minutes = now.duration_since(since).unwrap_or_default().as_secs() / 60;
        let why = trouble.map(|trouble| format!(": {trouble}")).unwrap_or_default();
        notes.push(format!("Delivered {} late{why}", span(Duration::from_secs(minutes * 60))));
    }
    if outgoing.unnamed > 0 {
        let more = count(outgoing.unnamed, "more state change");
        let are = if outgoing.unnamed == 1 { "is" } else { "are" };
        notes.push(format!("{more} {are} not named here. HAProxy's log has them."));
    }
    if outgoing.dropped > 0 {
        let more = count(outgoing.dropped, "more alert");
        let were = if outgoing.dropped == 1 { "was" } else { "were" };
        notes.push(format!(
            "{more} before this mail {were} not mailed: too many came at once, or were waiting for a relay. HAProxy's \
             log has them."
        ));
    }
    notes
}

/// Why one hears of something old: it was wanted so.
pub fn silence(trigger: &Trigger) -> Option<String> {
    let Trigger::Silence { pattern, reason } = trigger else { return None };
    let reason = if reason.is_empty() { String::new() } else { format!(" ({reason})") };
    Some(format!("The silence of {pattern} is over{reason}. This is what has changed during it."))
}

/// When it should have been sent, if that is long ago.
fn late_since(composer: &Composer, outgoing: &Notification, now: SystemTime) -> Option<SystemTime> {
    let is_late = |since: SystemTime, patience: Duration| {
        now.duration_since(since).is_ok_and(|late| late >= patience.saturating_add(LATE))
    };
    // News may be older than their mail, if they come from a process that was killed. What flaps has been waited for.
    let is_news = outgoing.trigger == Trigger::Changes
        && outgoing.items.iter().all(|item| item.flap_phase == FlapPhase::NotFlapping);
    let news = outgoing.items.iter().map(|item| item.event.when).max().filter(|_| is_news);
    let news = news.filter(|news| is_late(*news, composer.digest));
    news.or_else(|| is_late(outgoing.created, Duration::ZERO).then_some(outgoing.created))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::sample;
    use crate::message::tests::{composer, outgoing};
    use crate::notification::Item;

    fn at(seconds: u64) -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_secs(seconds)
    }

    #[test]
    fn a_mail_is_late_by_the_news_or_by_its_own_age() {
        // Its event is of the time 0.
        let mail = |created| Notification { created: at(created), ..outgoing(sample()) };
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
    fn what_is_not_told_is_counted() {
        let mail = Notification { unnamed: 1, dropped: 2, ..outgoing(sample()) };
        let notes = notes(&composer(), &mail, mail.created, None);
        assert!(notes[0].starts_with("1 more state change is not named here."), "{notes:?}");
        assert!(notes[1].starts_with("2 more alerts before this mail were not mailed"), "{notes:?}");
    }
}
