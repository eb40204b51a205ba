// SPDX-License-Identifier: MIT OR Apache-2.0
//! Composes the content of a mail; the text part and the HTML part both render it.

use super::Composer;
use super::section::{self, Badge, Fact, Report, tone};
use super::{digest, footnotes, hints, subject};
use crate::event::{Accuracy, Check, Event, Health};
use crate::format;
use crate::notification::{FlapPhase, Incident, Item, Notification, Trigger, group_by_cause};
use std::time::SystemTime;

/// Composes the content of the mail as it is sent at `now`. `last_error`: error of the previous attempt.
pub fn report(
    composer: &Composer,
    notification: &Notification,
    now: SystemTime,
    last_error: Option<&str>,
) -> Report {
    let lead = notification.lead();
    let badge = Badge { text: subject::state(notification), tone: tone(lead.event.kind) };
    let mut report = Report {
        subject: subject::fill(&composer.subject, notification, &composer.host),
        badge,
        topic: notification.topic.clone(),
        first_line: String::new(),
        paragraphs: footnotes::silence_note(&notification.trigger).into_iter().collect(),
        sections: Vec::new(),
        facts: Vec::new(),
        statistics: composer.statistics.clone(),
        notes: footnotes::notes(composer, notification, now, last_error),
    };
    match single(notification) {
        Some((item, whole)) => add_single(&mut report, composer, notification, item, whole),
        None => {
            let groups = group_by_cause(&notification.items);
            report.first_line = digest::summary(notification, &groups);
            report.sections = digest::sections(composer, notification, &groups);
            if let [only] = report.sections.as_mut_slice() {
                // The first line has the content of the only heading.
                only.heading.clear();
                report.paragraphs.extend(only.hint.take());
            }
            report.facts.extend(digest::usable_servers(notification));
            let label = if notification.trigger == Trigger::Reminder { "since" } else { "time" };
            report.facts.push(Fact { label, value: times(composer, notification) });
        }
    }
    report.facts.push(Fact { label: "host", value: composer.host.clone() });
    report.facts.extend(composer.haproxy(now).map(|value| Fact { label: "HAProxy", value }));
    report
}

/// Returns the only target of the mail, and its backend as a whole if it has changed with that server; `None`: a digest.
pub fn single(notification: &Notification) -> Option<(&Item, Option<&Item>)> {
    match notification.items.as_slice() {
        [item] => Some((item, None)),
        [one, other] => {
            let (whole, item) = if one.event.server.is_none() { (one, other) } else { (other, one) };
            let is_server_and_backend = whole.event.server.is_none()
                && item.event.server.is_some()
                && item.event.proxy == whole.event.proxy
                // One change has caused both events, or both have the same health.
                && (item.event.when == whole.event.when || item.event.health == whole.event.health)
                && [item, whole].iter().all(|item| item.flap_phase == FlapPhase::NotFlapping);
            is_server_and_backend.then_some((item, Some(whole)))
        }
        _ => None,
    }
}

/// Adds the content about a single target. `whole`: the item of its backend as a whole.
fn add_single(
    report: &mut Report,
    composer: &Composer,
    notification: &Notification,
    item: &Item,
    whole: Option<&Item>,
) {
    let event = &item.event;
    let name = match &event.server {
        Some(_) => format!("Server {}", event.target_name()),
        None => format!("{} {}", event.section(), event.proxy),
    };
    let state = event.kind.state();
    let clock = &composer.clock;
    let changes = format::count(item.changes.into(), "change");
    let time = format::between(item.first, event.when);
    report.first_line = match (&notification.trigger, item.flap_phase, &item.incident) {
        (Trigger::Reminder, _, Some(Incident { since, .. })) => {
            let length = format::between(*since, notification.created);
            format!("{name} is still {state}, for {length} now: since {}.", clock.full(*since))
        }
        (_, FlapPhase::Flapping, _) => format!("{name} is flapping: {changes} within {time}, now {state}."),
        (_, FlapPhase::Stable, _) => {
            let since = clock.full(event.when);
            format!("{name} is stable again: {state} since {since}, after {changes} within {time}.")
        }
        _ => event.sentence.clone(),
    };
    let is_reminder = notification.trigger == Trigger::Reminder;
    if report.first_line != event.sentence {
        let words = if is_reminder { "It began with:" } else { "The latest change:" };
        report.paragraphs.push(format!("{words} {}", event.sentence));
    }
    if let Some(whole) = whole {
        let sentence = if is_reminder {
            format!("{} {} still has no server available.", event.section(), event.proxy)
        } else {
            whole.event.sentence.clone()
        };
        let without = whole.incident.as_ref().filter(|_| whole.is_resolved());
        let without = without.map(|incident| {
            format!("It had none for {}.", format::between(incident.since, whole.event.when))
        });
        let rest = hints::for_target(&whole.event).or(without).map(|rest| format!(" {rest}"));
        report.paragraphs.push(format!("{sentence}{}", rest.unwrap_or_default()));
    }
    report.paragraphs.extend(hints::for_target(event));
    report.paragraphs.extend(history(composer, item));
    if item.flap_phase == FlapPhase::Flapping {
        report.paragraphs.push("There will be no more mails about it until it keeps its state.".to_owned());
    }
    report.facts.extend(facts(composer, notification, item));
}

/// Returns a sentence on the former incident, or on the number of changes.
fn history(composer: &Composer, item: &Item) -> Option<String> {
    let event = &item.event;
    if item.flap_phase != FlapPhase::NotFlapping {
        return None;
    }
    let Some(incident) = item.incident.as_ref().filter(|_| item.is_resolved()) else {
        let changes = format::count(item.changes.into(), "change");
        return (item.changes > 1).then(|| format!("{changes} since {}.", composer.clock.full(item.first)));
    };
    let reason = if incident.reason.is_empty() { String::new() } else { format!(": {}", incident.reason) };
    let between = match incident.changes.saturating_sub(2) {
        0 => String::new(),
        more => format!(", with {} in between", format::count(more.into(), "change")),
    };
    let what = if event.server.is_some() { "server" } else { event.section() };
    let was = if event.health == Health::Up { "was" } else { "had been" };
    Some(format!(
        "The {what} {was} down for {}, since {}{reason}{between}.",
        format::between(incident.since, event.when),
        composer.clock.full(incident.since)
    ))
}

/// Returns the facts on a single target.
fn facts(composer: &Composer, notification: &Notification, item: &Item) -> Vec<Fact> {
    let event = &item.event;
    let mut facts = Vec::new();
    let mut add = |label, value: String| {
        if !value.is_empty() {
            facts.push(Fact { label, value });
        }
    };
    add(if event.server.is_some() { "server" } else { event.section() }, event.target_name());
    add("address", event.address.clone());
    let was = if event.was.is_empty() { String::new() } else { format!(", was {}", event.was) };
    add("state", format!("{}{was}", event.kind.state()));
    if let Some(check) = &event.check {
        add(hints::check_word(check), result(check));
    }
    add("tracks", event.via.clone().unwrap_or_default());
    if notification.trigger == Trigger::Reminder {
        // The event has the usable servers at the begin of the incident, not the present ones.
        add("since", composer.clock.full(event.when));
    } else {
        if let Some(usable) = section::usable_servers(event) {
            add(usable.label, usable.value);
        }
        add("time", time(composer, event));
    }
    facts
}

/// Formats the time of an event as exactly as it is known.
fn time(composer: &Composer, event: &Event) -> String {
    match event.accuracy {
        Accuracy::Exact | Accuracy::Second => composer.clock.full(event.when),
        Accuracy::Since(before) => format!("between {}", composer.clock.range(before, event.when)),
    }
}

/// Formats a result: `Layer7 wrong status (L7STS), code 503, after 7 ms`.
fn result(check: &Check) -> String {
    let status = if check.status.is_empty() { String::new() } else { format!(" ({})", check.status) };
    let code = check.code.map(|code| format!(", code {code}")).unwrap_or_default();
    let time = check.duration.map(|time| format!(", after {} ms", time.as_millis())).unwrap_or_default();
    format!("{}{status}{code}{time}", check.reason)
}

/// Formats the range of time of all changes.
fn times(composer: &Composer, notification: &Notification) -> String {
    let first = notification.items.iter().map(|item| item.first).min();
    let last = notification.items.iter().map(|item| item.event.when).max();
    let (first, last) = (first.unwrap_or(notification.created), last.unwrap_or(notification.created));
    composer.clock.range(first, last)
}
