// SPDX-License-Identifier: MIT OR Apache-2.0
//! Many changes in one mail: what they have in common, and a line for each server.

use super::report;
use super::section::{Badge, Fact, Row, Section};
use super::{Composer, hints};
use crate::event::{Event, Kind};
use crate::format;
use crate::notification::{Cause, CauseGroup, FlapPhase, Item, Notification, Trigger};

/// `backend web: 12 of 12 servers down, all Layer4 timeout; no server left`
pub fn summary(outgoing: &Notification, groups: &[CauseGroup]) -> String {
    let servers: Vec<&Item> = outgoing.items.iter().filter(|item| item.event.server.is_some()).collect();
    let lead = &outgoing.lead().event;
    let backends = backends(outgoing);
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
    let still = if outgoing.trigger == Trigger::Reminder { "still " } else { "" };
    let mut parts: Vec<String> = by_state(&servers)
        .into_iter()
        .map(|(state, items)| {
            let number = match size(outgoing, &backends).filter(|size| *size as usize >= items.len()) {
                Some(size) => format!("{} of {size} servers", items.len()),
                None => format::count(items.len() as u64, "server"),
            };
            let why = match common_reason(&items) {
                Some(why) if items.len() > 1 => format!(", all {why}"),
                Some(why) => format!(", {why}"),
                None => String::new(),
            };
            format!("{number} {still}{state}{why}")
        })
        .collect();
    for kind in [Kind::BackendDown, Kind::BackendUp, Kind::Gone] {
        let wholes =
            outgoing.items.iter().filter(|item| item.event.server.is_none() && item.event.kind == kind);
        let names: Vec<&str> = wholes.map(|item| item.event.proxy.as_str()).collect();
        let place = if backends.len() == 1 { String::new() } else { format!(" in {}", list(&names)) };
        match kind {
            _ if names.is_empty() => {}
            Kind::BackendDown => parts.push(format!("{still}no server left{place}")),
            Kind::BackendUp => parts.push(format!("a server available again{place}")),
            _ => parts.push(format!("{} gone from the configuration", list(&names))),
        }
    }
    format!("{place}: {}", parts.join("; "))
}

/// `web`, `web and api`, `web, api and 8 more`
fn list(names: &[&str]) -> String {
    match names {
        [] => String::new(),
        [a] => (*a).to_owned(),
        [a, b] => format!("{a} and {b}"),
        [a, b, c] => format!("{a}, {b} and {c}"),
        [a, b, rest @ ..] => format!("{a}, {b} and {} more", rest.len()),
    }
}

/// Servers by what is said of them, the worst first.
fn by_state<'a>(servers: &[&'a Item]) -> Vec<(String, Vec<&'a Item>)> {
    let mut states: Vec<((u8, u8), String, Vec<&Item>)> = Vec::new();
    for item in servers {
        let kind = item.event.kind;
        let (order, words) = match item.flap_phase {
            FlapPhase::Flapping => (0, "flapping".to_owned()),
            FlapPhase::Stable => (2, format!("stable again, {}", plain(kind))),
            FlapPhase::NotFlapping => (1, plain(kind).to_owned()),
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

fn plain(kind: Kind) -> &'static str {
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

/// The backends that it is about.
fn backends(outgoing: &Notification) -> Vec<&str> {
    let mut backends: Vec<&str> = Vec::new();
    for item in &outgoing.items {
        if !backends.contains(&item.event.proxy.as_str()) {
            backends.push(&item.event.proxy);
        }
    }
    backends
}

/// How many servers the only backend has.
fn size(outgoing: &Notification, backends: &[&str]) -> Option<u32> {
    let backend = backends.first().filter(|_| backends.len() == 1)?;
    outgoing.sizes.iter().find(|(name, _)| name == backend).map(|(_, size)| *size)
}

/// What is left of the only backend, if it is news.
pub fn left(outgoing: &Notification) -> Option<Fact> {
    let last = outgoing.items.iter().map(|item| &item.event).max_by_key(|event| event.when)?;
    let is_one = outgoing.items.iter().all(|item| item.event.proxy == last.proxy);
    (is_one && outgoing.trigger != Trigger::Reminder).then(|| report::left(last)).flatten()
}

/// What all of these give as the reason for trouble.
fn common_reason(items: &[&Item]) -> Option<String> {
    let (first, rest) = items.split_first()?;
    let why = reason(first);
    (!why.is_empty() && rest.iter().all(|item| reason(item) == why)).then_some(why)
}

/// Why it is as it is: nobody asks why it works.
fn reason(item: &Item) -> String {
    match item.event.kind {
        Kind::Up | Kind::BackendUp | Kind::Gone => String::new(),
        _ => item.event.short_reason().into_owned(),
    }
}

/// The servers by cause.
pub fn sections(composer: &Composer, outgoing: &Notification, groups: &[CauseGroup]) -> Vec<Section> {
    let mut sections: Vec<Section> = Vec::new();
    for group in groups {
        let servers: Vec<&Item> =
            group.items.iter().copied().filter(|item| item.event.server.is_some()).collect();
        let why = common_reason(&servers).filter(|_| servers.len() > 1);
        let rows = group.items.iter().map(|item| row(composer, outgoing, item, why.is_some())).collect();
        if servers.len() < 2 {
            // What has nothing in common needs no head of its own.
            match sections.last_mut().filter(|last| last.head.is_empty()) {
                Some(last) => last.rows.extend(rows),
                None => sections.push(Section { head: String::new(), advice: None, rows }),
            }
            continue;
        }
        let head = head(outgoing, group, &servers, why.as_deref());
        let is_one = servers.iter().all(|item| status(&item.event) == status(&servers[0].event));
        let advice = hints::of_many(&servers[0].event).filter(|_| is_one);
        sections.push(Section { head, advice, rows });
    }
    let rest = sections.iter_mut().filter(|section| section.head.is_empty());
    rest.for_each(|section| section.head = "single servers".to_owned());
    sections
}

fn status(event: &Event) -> Option<(&str, bool)> {
    event.check.as_ref().map(|check| (check.status.as_str(), check.is_agent))
}

/// `backend web: 12 servers DOWN, Layer4 timeout; 0 active and 0 backup servers left`
fn head(outgoing: &Notification, group: &CauseGroup, servers: &[&Item], why: Option<&str>) -> String {
    let number = format::count(servers.len() as u64, "server");
    let last = servers.iter().max_by_key(|item| item.event.when).map(|item| &item.event);
    let (place, left) = match &group.cause {
        Cause::Host(host) => (format!("host {host}"), String::new()),
        Cause::Tracked(server) => (format!("{server} and what tracks it"), String::new()),
        Cause::Backend(name, _) => (
            format!("{} {name}", servers[0].event.section()),
            last.and_then(|event| event.usable)
                .map(|usable| format!("; {} active and {} backup left", usable.active, usable.backup))
                .filter(|_| outgoing.trigger != Trigger::Reminder && self::left(outgoing).is_none())
                .unwrap_or_default(),
        ),
    };
    let state = match servers[0].flap_phase {
        FlapPhase::Flapping => "flapping",
        FlapPhase::Stable => "stable again",
        FlapPhase::NotFlapping => servers[0].event.kind.state(),
    };
    let still = if outgoing.trigger == Trigger::Reminder { "still " } else { "" };
    let why = why.map(|why| format!(", {why}")).unwrap_or_default();
    format!("{place}: {number} {still}{state}{why}{left}")
}

/// One server: where, why, when.
fn row(composer: &Composer, outgoing: &Notification, item: &Item, has_reason: bool) -> Row {
    let event = &item.event;
    let mut rest = Vec::new();
    let mut add = |words: String| {
        if !words.is_empty() {
            rest.push(words);
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
            let why =
                if incident.reason.is_empty() { String::new() } else { format!(" ({})", incident.reason) };
            add(format!("was down for {}{why}", format::between(incident.since, event.when)));
            if incident.changes > 2 {
                add(format::count(incident.changes.into(), "change"));
            }
        }
        (FlapPhase::NotFlapping, incident) => {
            match (&outgoing.trigger, incident) {
                (Trigger::Reminder, Some(incident)) => {
                    add(format!("for {}", format::between(incident.since, outgoing.created)));
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
    let at = if outgoing.trigger == Trigger::Reminder { "since" } else { "at" };
    add(format!("{at} {}", composer.clock.near(event.when, outgoing.created)));
    Row { name: event.target_name(), state: Badge::of(event.kind), rest: rest.join(", ") }
}
