// SPDX-License-Identifier: MIT OR Apache-2.0
//! Content of a mail about many changes: a summary of what they have in common, and a line for each target.

use super::section::{self, Badge, Fact, Row, Section};
use super::{Composer, hints};
use crate::event::{Event, Kind};
use crate::format;
use crate::notification::{Cause, CauseGroup, FlapPhase, Item, Notification, Trigger};

/// Returns the summary: `backend web: 12 of 12 servers down, all Layer4 timeout; no server left`.
pub fn summary(notification: &Notification, groups: &[CauseGroup]) -> String {
    let servers: Vec<&Item> = notification.items.iter().filter(|item| item.event.server.is_some()).collect();
    let lead = &notification.lead().event;
    let backends = backends(notification);
    let cause = match groups {
        [CauseGroup { cause, .. }] if backends.len() > 1 => Some(cause),
        _ => None,
    };
    let place = match (cause, backends.len()) {
        (Some(Cause::Host(host)), _) => format!("host {host}"),
        (Some(Cause::Tracked(server)), _) => format!("{server} and what tracks it"),
        (_, 1) => format!("{} {}", lead.section(), lead.proxy),
        (_, many) => format!("{many} backends"),
    };
    let still = if notification.trigger == Trigger::Reminder { "still " } else { "" };
    let mut parts: Vec<String> = by_state(&servers)
        .into_iter()
        .map(|(state, items)| {
            let number =
                match backend_size(notification, &backends).filter(|size| *size as usize >= items.len()) {
                    Some(size) => format!("{} of {size} servers", items.len()),
                    None => format::count(items.len() as u64, "server"),
                };
            let reason = match common_reason(&items) {
                Some(reason) if items.len() > 1 => format!(", all {reason}"),
                Some(reason) => format!(", {reason}"),
                None => String::new(),
            };
            format!("{number} {still}{state}{reason}")
        })
        .collect();
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
            None => {
                let place = states.iter().position(|(other, ..)| *other > order).unwrap_or(states.len());
                states.insert(place, (order, words, vec![item]));
            }
        }
    }
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

/// Returns the backends of the items, each once.
fn backends(notification: &Notification) -> Vec<&str> {
    let mut backends: Vec<&str> = Vec::new();
    for item in &notification.items {
        if !backends.contains(&item.event.proxy.as_str()) {
            backends.push(&item.event.proxy);
        }
    }
    backends
}

/// Returns the number of servers of the only backend; `None`: not known, or several backends.
fn backend_size(notification: &Notification, backends: &[&str]) -> Option<u32> {
    let backend = backends.first().filter(|_| backends.len() == 1)?;
    notification.sizes.iter().find(|(name, _)| name == backend).map(|(_, size)| *size)
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
    let mut sections: Vec<Section> = Vec::new();
    for group in groups {
        let servers: Vec<&Item> =
            group.items.iter().copied().filter(|item| item.event.server.is_some()).collect();
        let reason = common_reason(&servers).filter(|_| servers.len() > 1);
        let rows =
            group.items.iter().map(|item| row(composer, notification, item, reason.is_some())).collect();
        if servers.len() < 2 {
            // Targets without a common cause need no heading of their own.
            match sections.last_mut().filter(|last| last.heading.is_empty()) {
                Some(last) => last.rows.extend(rows),
                None => sections.push(Section { heading: String::new(), hint: None, rows }),
            }
            continue;
        }
        let heading = heading(notification, group, &servers, reason.as_deref());
        let is_one = servers.iter().all(|item| check_status(&item.event) == check_status(&servers[0].event));
        let hint = hints::for_servers(&servers[0].event).filter(|_| is_one);
        sections.push(Section { heading, hint, rows });
    }
    let singles = sections.iter_mut().filter(|section| section.heading.is_empty());
    singles.for_each(|section| section.heading = "single servers".to_owned());
    sections
}

/// Returns the status of the check, and whether it is the agent check.
fn check_status(event: &Event) -> Option<(&str, bool)> {
    event.check.as_ref().map(|check| (check.status.as_str(), check.is_agent))
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
    let (place, left) = match &group.cause {
        Cause::Host(host) => (format!("host {host}"), String::new()),
        Cause::Tracked(server) => (format!("{server} and what tracks it"), String::new()),
        Cause::Backend(name, _) => (
            format!("{} {name}", servers[0].event.section()),
            last.and_then(|event| event.usable)
                .map(|usable| format!("; {} active and {} backup left", usable.active, usable.backup))
                .filter(|_| {
                    notification.trigger != Trigger::Reminder && usable_servers(notification).is_none()
                })
                .unwrap_or_default(),
        ),
    };
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
    let mut details = Vec::new();
    let mut add = |words: String| {
        if !words.is_empty() {
            details.push(words);
        }
    };
    match (item.flap_phase, &item.incident) {
        (FlapPhase::Flapping, _) => add(format!(
            "flapping: {} within {}",
            format::count(item.changes.into(), "change"),
            format::between(item.first, event.when)
        )),
        (FlapPhase::Stable, _) => {
            add(format!("stable again after {}", format::count(item.changes.into(), "change")));
        }
        (FlapPhase::NotFlapping, Some(incident)) if item.is_resolved() => {
            let reason =
                if incident.reason.is_empty() { String::new() } else { format!(" ({})", incident.reason) };
            add(format!("was down for {}{reason}", format::between(incident.since, event.when)));
            if incident.changes > 2 {
                add(format::count(incident.changes.into(), "change"));
            }
        }
        (FlapPhase::NotFlapping, incident) => {
            match (&notification.trigger, incident) {
                (Trigger::Reminder, Some(incident)) => {
                    add(format!("for {}", format::between(incident.since, notification.created)));
                }
                _ if event.server.is_none() => add(match event.kind {
                    Kind::BackendDown => "no server available".to_owned(),
                    _ => String::new(),
                }),
                _ => {}
            }
            if item.changes > 1 {
                add(format::count(item.changes.into(), "change"));
            }
        }
    }
    if !has_reason {
        add(reason(item));
    }
    add(event.address.clone());
    let at = if notification.trigger == Trigger::Reminder { "since" } else { "at" };
    add(format!("{at} {}", composer.clock.near(event.when, notification.created)));
    Row { name: event.target_name(), state: Badge::of(event.kind), details: details.join(", ") }
}
