// SPDX-License-Identifier: MIT OR Apache-2.0
//! Composes the content of a mail; the text part and the HTML part both render it.

use super::Composer;
use super::section::{Badge, Fact, Report, tone};
use super::{digest, footnotes, hints, subject};
use crate::event::{Accuracy, Check, Event, Health, Usable};
use crate::format;
use crate::notification::{FlapPhase, Item, Notification, Trigger};
use std::time::SystemTime;

/// What the mail says as it is sent at `now`; `trouble`: why it was not sent before.
pub fn report(
    composer: &Composer,
    outgoing: &Notification,
    now: SystemTime,
    trouble: Option<&str>,
) -> Report {
    let lead = outgoing.lead();
    let badge = Badge { words: subject::state(outgoing), tone: tone(lead.event.kind) };
    let mut report = Report {
        badge,
        topic: outgoing.topic.clone(),
        first: String::new(),
        more: footnotes::silence(&outgoing.trigger).into_iter().collect(),
        sections: Vec::new(),
        facts: Vec::new(),
        statistics: composer.statistics.clone(),
        notes: footnotes::notes(composer, outgoing, now, trouble),
    };
    match single(outgoing) {
        Some((item, whole)) => tell_one(&mut report, composer, outgoing, item, whole),
        None => {
            let groups = outgoing.cause_groups();
            report.first = digest::summary(outgoing, &groups);
            report.sections = digest::sections(composer, outgoing, &groups);
            if let [only] = report.sections.as_mut_slice() {
                // The first line says what its head would say.
                only.head.clear();
                report.more.extend(only.advice.take());
            }
            report.facts.extend(digest::left(outgoing));
            let label = if outgoing.trigger == Trigger::Reminder { "since" } else { "time" };
            report.facts.push(Fact { label, value: times(composer, outgoing) });
        }
    }
    report.facts.push(Fact { label: "host", value: composer.host.clone() });
    report.facts.extend(composer.haproxy(now).map(|value| Fact { label: "HAProxy", value }));
    report
}

/// The one server that it is about, and its backend as a whole if that has changed with it.
pub fn single(outgoing: &Notification) -> Option<(&Item, Option<&Item>)> {
    match outgoing.items.as_slice() {
        [item] => Some((item, None)),
        [one, other] => {
            let (whole, item) = if one.event.server.is_none() { (one, other) } else { (other, one) };
            let is_server_and_backend = whole.event.server.is_none()
                && item.event.server.is_some()
                && item.event.proxy == whole.event.proxy
                // One change has made both, or the same has happened to both.
                && (item.event.when == whole.event.when || item.event.health == whole.event.health)
                && [item, whole].iter().all(|item| item.flap_phase == FlapPhase::NotFlapping);
            is_server_and_backend.then_some((item, Some(whole)))
        }
        _ => None,
    }
}

fn tell_one(
    report: &mut Report,
    composer: &Composer,
    outgoing: &Notification,
    item: &Item,
    whole: Option<&Item>,
) {
    let event = &item.event;
    let name = match &event.server {
        Some(_) => format!("Server {}", event.target_name()),
        None => format!("{} {}", event.section(), event.proxy),
    };
    let state = event.kind.state();
    let since = |time| composer.clock.full(time);
    let mut latest = Some("The latest change:");
    report.first = match (&outgoing.trigger, item.flap_phase, &item.incident) {
        (Trigger::Reminder, _, Some(incident)) => {
            latest = Some("It began with:");
            format!(
                "{name} is still {state}, for {} now: since {}.",
                format::between(incident.since, outgoing.created),
                since(incident.since)
            )
        }
        (_, FlapPhase::Flapping, _) => format!(
            "{name} is flapping: {} within {}, now {state}.",
            format::count(item.changes.into(), "change"),
            format::between(item.first, event.when)
        ),
        (_, FlapPhase::Stable, _) => format!(
            "{name} is stable again: {state} since {}, after {} within {}.",
            since(event.when),
            format::count(item.changes.into(), "change"),
            format::between(item.first, event.when)
        ),
        _ => {
            latest = None;
            event.sentence.clone()
        }
    };
    report.more.extend(latest.map(|words| format!("{words} {}", event.sentence)));
    if let Some(whole) = whole {
        let sentence = match outgoing.trigger {
            Trigger::Reminder => {
                format!("{} {} still has no server available.", event.section(), event.proxy)
            }
            _ => whole.event.sentence.clone(),
        };
        let without = whole.incident.as_ref().filter(|_| whole.is_resolved());
        let without = without.map(|incident| {
            format!("It had none for {}.", format::between(incident.since, whole.event.when))
        });
        let rest = hints::of_one(&whole.event).or(without).map(|rest| format!(" {rest}"));
        report.more.push(format!("{sentence}{}", rest.unwrap_or_default()));
    }
    report.more.extend(hints::of_one(event));
    report.more.extend(history(composer, item));
    if item.flap_phase == FlapPhase::Flapping {
        report.more.push("There will be no more mails about it until it keeps its state.".to_owned());
    }
    report.facts.extend(facts(composer, outgoing, item));
}

/// What was before.
fn history(composer: &Composer, item: &Item) -> Option<String> {
    let event = &item.event;
    if let (true, Some(incident), FlapPhase::NotFlapping) =
        (item.is_resolved(), &item.incident, item.flap_phase)
    {
        let why = if incident.reason.is_empty() { String::new() } else { format!(": {}", incident.reason) };
        let between = match incident.changes.saturating_sub(2) {
            0 => String::new(),
            more => format!(", with {} in between", format::count(more.into(), "change")),
        };
        let what = if event.server.is_some() { "server" } else { event.section() };
        let was = if event.health == Health::Up { "was" } else { "had been" };
        return Some(format!(
            "The {what} {was} down for {}, since {}{why}{between}.",
            format::between(incident.since, event.when),
            composer.clock.full(incident.since)
        ));
    }
    (item.flap_phase == FlapPhase::NotFlapping && item.changes > 1).then(|| {
        format!("{} since {}.", format::count(item.changes.into(), "change"), composer.clock.full(item.first))
    })
}

fn facts(composer: &Composer, outgoing: &Notification, item: &Item) -> Vec<Fact> {
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
        add(hints::which(check), result(check));
    }
    add("tracks", event.via.clone().unwrap_or_default());
    if outgoing.trigger == Trigger::Reminder {
        // What was left when it began is not what is left now.
        add("since", composer.clock.full(event.when));
    } else {
        if let Some(left) = left(event) {
            add(left.label, left.value);
        }
        add("time", time(composer, event));
    }
    facts
}

/// The time of an event, and how exactly it is known.
fn time(composer: &Composer, event: &Event) -> String {
    match event.accuracy {
        Accuracy::Exact | Accuracy::Second => composer.clock.full(event.when),
        Accuracy::Since(before) => format!("between {}", composer.clock.range(before, event.when)),
    }
}

/// `Layer7 wrong status (L7STS), 503 "Service Unavailable", after 7 ms`
fn result(check: &Check) -> String {
    let status = if check.status.is_empty() { String::new() } else { format!(" ({})", check.status) };
    let code = check.code.map(|code| format!(", code {code}")).unwrap_or_default();
    let time = check.duration.map(|time| format!(", after {} ms", time.as_millis())).unwrap_or_default();
    format!("{}{status}{code}{time}", check.reason)
}

/// The servers that the backend can use, in HAProxy's words; `None`: the event's source does not know.
pub fn left(event: &Event) -> Option<Fact> {
    let Usable { active, backup } = event.usable?;
    let label = if event.health == Health::Up { "online" } else { "left" };
    Some(Fact { label, value: format!("{active} active and {backup} backup servers") })
}

fn times(composer: &Composer, outgoing: &Notification) -> String {
    let first = outgoing.items.iter().map(|item| item.first).min();
    let last = outgoing.items.iter().map(|item| item.event.when).max();
    let (first, last) = (first.unwrap_or(outgoing.created), last.unwrap_or(outgoing.created));
    composer.clock.range(first, last)
}
