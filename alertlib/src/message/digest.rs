// SPDX-License-Identifier: MIT OR Apache-2.0
//! Content of a mail about many changes: a summary of what they have in common, and a line for each target.

use super::section::{self, Badge, Fact, Row, Section};
use super::{Composer, hints};
use crate::event::{Event, Kind};
use crate::format;
use crate::notification::{Cause, CauseGroup, FlapPhase, Incident, Item, Notification, Trigger};
use std::collections::HashSet;

/// Returns the summary: `backend web: 12 of 12 servers down, all Layer4 timeout; no server left`.
pub fn summary(notification: &Notification, groups: &[CauseGroup]) -> String {
    let servers: Vec<&Item> = notification.items.iter().filter(|item| item.event.server.is_some()).collect();
    let lead = &notification.lead().event;
    let backends: HashSet<&str> = notification.items.iter().map(|item| item.event.proxy.as_str()).collect();
    let place = match (groups, backends.len()) {
        (_, 1) => format!("{} {}", lead.section(), lead.proxy),
        ([group], _) => place(&group.cause, lead),
        (_, many) => format!("{many} backends"),
    };
    let size = notification.sizes.iter().find(|(name, _)| backends.len() == 1 && *name == lead.proxy);
    let still = if notification.trigger == Trigger::Reminder { "still " } else { "" };
    let part = |(state, items): (String, Vec<&Item>)| {
        let number = match size {
            Some((_, size)) if *size as usize >= items.len() => format!("{} of {size} servers", items.len()),
            _ => format::count(items.len() as u64, "server"),
        };
        let all = if items.len() > 1 { "all " } else { "" };
        let reason = common_reason(&items).map(|reason| format!(", {all}{reason}")).unwrap_or_default();
        format!("{number} {still}{state}{reason}")
    };
    let mut parts: Vec<String> = by_state(&servers).into_iter().map(part).collect();
    for kind in [Kind::BackendDown, Kind::BackendUp, Kind::Gone] {
        let whole_backends =
            notification.items.iter().filter(|item| item.event.server.is_none() && item.event.kind == kind);
        let names: Vec<&str> = whole_backends.map(|item| item.event.proxy.as_str()).collect();
        let place = if backends.len() == 1 { String::new() } else { format!(" in {}", join(&names)) };
        match kind {
            _ if names.is_empty() => {}
            Kind::BackendDown => parts.push(format!("{still}no server left{place}")),
            Kind::BackendUp => parts.push(format!("a server available again{place}")),
            _ => parts.push(format!("{} gone from the configuration", join(&names))),
        }
    }
    format!("{place}: {}", parts.join("; "))
}

/// Joins names: `web`, `web and api`, `web, api and 8 more`.
fn join(names: &[&str]) -> String {
    match names {
        [] => String::new(),
        [a] => (*a).to_owned(),
        [a, b] => format!("{a} and {b}"),
        [a, b, c] => format!("{a}, {b} and {c}"),
        [a, b, rest @ ..] => format!("{a}, {b} and {} more", rest.len()),
    }
}

/// Groups servers by the words for their state, the most severe first.
fn by_state<'a>(servers: &[&'a Item]) -> Vec<(String, Vec<&'a Item>)> {
    let mut states: Vec<((u8, u8), String, Vec<&Item>)> = Vec::new();
    for item in servers {
        let kind = item.event.kind;
        let (order, words) = match item.flap_phase {
            FlapPhase::Flapping => (0, "flapping".to_owned()),
            FlapPhase::Stable => (2, format!("stable again, {}", state_words(kind))),
            FlapPhase::NotFlapping => (1, state_words(kind).to_owned()),
        };
        let order = (u8::MAX - kind.importance(), order);
        match states.iter_mut().find(|(_, known, _)| *known == words) {
            Some((_, _, items)) => items.push(item),
            None => states.push((order, words, vec![item])),
        }
    }
    states.sort_by_key(|(order, ..)| *order);
    states.into_iter().map(|(_, words, items)| (words, items)).collect()
}

/// Returns the words for a state in a sentence.
fn state_words(kind: Kind) -> &'static str {
    match kind {
        Kind::Down | Kind::BackendDown => "down",
        Kind::Up | Kind::BackendUp => "up again",
        Kind::Maint => "in maintenance",
        Kind::Ready => "ready",
        Kind::Drain => "drained",
        Kind::Nolb => "without new clients",
        Kind::Check => "with a check's result",
        Kind::Gone => "not in the configuration any more",
    }
}

/// Returns the words for the place of a cause. `event`: one with this cause.
fn place(cause: &Cause, event: &Event) -> String {
    match cause {
        Cause::Host(host) => format!("host {host}"),
        Cause::Tracked(server) => format!("{server} and what tracks it"),
        Cause::Backend(name, _) => format!("{} {name}", event.section()),
    }
}

/// Returns the usable servers of the only backend; `None`: several backends, not known, or a reminder.
pub fn usable_servers(notification: &Notification) -> Option<Fact> {
    let last = notification.items.iter().map(|item| &item.event).max_by_key(|event| event.when)?;
    let is_one = notification.items.iter().all(|item| item.event.proxy == last.proxy);
    (is_one && notification.trigger != Trigger::Reminder).then(|| section::usable_servers(last)).flatten()
}

/// Returns the reason that all items share; `None`: there is none.
fn common_reason(items: &[&Item]) -> Option<String> {
    let (first, rest) = items.split_first()?;
    let common = reason(first);
    (!common.is_empty() && rest.iter().all(|item| reason(item) == common)).then_some(common)
}

/// Returns the reason of the item's state; empty for a target that is up again or removed.
fn reason(item: &Item) -> String {
    match item.event.kind {
        Kind::Up | Kind::BackendUp | Kind::Gone => String::new(),
        _ => item.event.short_reason().into_owned(),
    }
}

/// Returns a section for each cause group with several servers; adjacent other targets share a section.
pub fn sections(composer: &Composer, notification: &Notification, groups: &[CauseGroup]) -> Vec<Section> {
    /// Heading of the other targets, which have no cause in common.
    const SINGLE: &str = "single servers";
    let mut sections: Vec<Section> = Vec::new();
    for group in groups {
        let servers: Vec<&Item> =
            group.items.iter().copied().filter(|item| item.event.server.is_some()).collect();
        let reason = common_reason(&servers).filter(|_| servers.len() > 1);
        let rows = group.items.iter().map(|item| row(composer, notification, item, reason.is_some()));
        match sections.last_mut() {
            Some(last) if servers.len() < 2 && last.heading == SINGLE => last.rows.extend(rows),
            _ if servers.len() < 2 => {
                sections.push(Section { heading: SINGLE.to_owned(), hint: None, rows: rows.collect() });
            }
            _ => {
                // A sentence that is not true of each server is left out.
                let hint = hints::for_servers(&servers[0].event);
                let is_common = servers.iter().all(|item| hints::for_servers(&item.event) == hint);
                sections.push(Section {
                    heading: heading(notification, group, &servers, reason.as_deref()),
                    hint: hint.filter(|_| is_common),
                    rows: rows.collect(),
                });
            }
        }
    }
    sections
}

/// Returns the heading of a section: `backend web: 12 servers DOWN, Layer4 timeout; 0 active and 0 backup left`.
fn heading(
    notification: &Notification,
    group: &CauseGroup,
    servers: &[&Item],
    reason: Option<&str>,
) -> String {
    let number = format::count(servers.len() as u64, "server");
    let last = servers.iter().max_by_key(|item| item.event.when).map(|item| &item.event);
    // The facts of a mail about one backend have them, and a reminder does not know the present ones.
    let has_usable = matches!(group.cause, Cause::Backend(..))
        && notification.trigger != Trigger::Reminder
        && usable_servers(notification).is_none();
    let left = last
        .and_then(|event| event.usable.filter(|_| has_usable))
        .map(|usable| format!("; {} active and {} backup left", usable.active, usable.backup))
        .unwrap_or_default();
    let place = place(&group.cause, &servers[0].event);
    let state = match servers[0].flap_phase {
        FlapPhase::Flapping => "flapping",
        FlapPhase::Stable => "stable again",
        FlapPhase::NotFlapping => servers[0].event.kind.state(),
    };
    let still = if notification.trigger == Trigger::Reminder { "still " } else { "" };
    let reason = reason.map(|reason| format!(", {reason}")).unwrap_or_default();
    format!("{place}: {number} {still}{state}{reason}{left}")
}

/// Returns the row of a target. `has_reason`: the heading names the reason.
fn row(composer: &Composer, notification: &Notification, item: &Item, has_reason: bool) -> Row {
    let event = &item.event;
    let is_reminder = notification.trigger == Trigger::Reminder;
    let changes = |number: u32| format::count(number.into(), "change");
    let mut details = Vec::new();
    match (item.flap_phase, &item.incident) {
        (FlapPhase::Flapping, _) => {
            let time = format::between(item.first, event.when);
            details.push(format!("flapping: {} within {time}", changes(item.changes)));
        }
        (FlapPhase::Stable, _) => details.push(format!("stable again after {}", changes(item.changes))),
        (FlapPhase::NotFlapping, Some(Incident { since, reason, changes: number })) if item.is_resolved() => {
            let reason = if reason.is_empty() { String::new() } else { format!(" ({reason})") };
            details.push(format!("was down for {}{reason}", format::between(*since, event.when)));
            if *number > 2 {
                details.push(changes(*number));
            }
        }
        (FlapPhase::NotFlapping, incident) => {
            match incident {
                Some(Incident { since, .. }) if is_reminder => {
                    details.push(format!("for {}", format::between(*since, notification.created)));
                }
                _ if event.kind == Kind::BackendDown => details.push("no server available".to_owned()),
                _ => {}
            }
            if item.changes > 1 {
                details.push(changes(item.changes));
            }
        }
    }
    if !has_reason {
        details.push(reason(item));
    }
    details.push(event.address.clone());
    let at = if is_reminder { "since" } else { "at" };
    details.push(format!("{at} {}", composer.clock.near(event.when, notification.created)));
    details.retain(|detail| !detail.is_empty());
    Row { name: event.target_name(), state: Badge::of(event.kind), details: details.join(", ") }
}
