// SPDX-License-Identifier: MIT OR Apache-2.0
//! Groups the items of a notification by common cause.

use super::{FlapPhase, Item};
use crate::event::{Event, Kind};
use std::borrow::Cow;
use std::collections::{HashMap, HashSet};

/// Common cause of several items.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Cause<'a> {
    /// The items' servers track this server, or are this server: `backend/server`.
    Tracked(Cow<'a, str>),
    /// The items' servers are on this host.
    Host(&'a str),
    /// The items' servers are in this backend and have this reason: see [`Event::short_reason`].
    Backend(&'a str, Cow<'a, str>),
}

/// Items of the same kind and flap phase with a common cause.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CauseGroup<'a> {
    /// The common cause. Of no use if the group has a single item.
    pub cause: Cause<'a>,
    /// The items, at least one; an item of the backend as a whole comes first.
    pub items: Vec<&'a Item>,
}

/// Groups items by cause: see [`Notification::cause_groups`](super::Notification::cause_groups).
pub fn group_by_cause(items: &[Item]) -> Vec<CauseGroup<'_>> {
    let tracked: HashSet<&str> = items.iter().filter_map(|item| item.event.via.as_deref()).collect();
    let (servers, backends): (Vec<&Item>, Vec<&Item>) =
        items.iter().partition(|item| item.event.server.is_some());
    let mut counts: Vec<CauseCount> = Vec::new();
    let mut numbers: HashMap<(Kind, FlapPhase, Cause), usize> = HashMap::new();
    let causes = servers.iter().map(|item| {
        causes(&item.event, &tracked).map(|cause| {
            let cause = cause?;
            let number =
                *numbers.entry((item.event.kind, item.flap_phase, cause.clone())).or_insert(counts.len());
            if number == counts.len() {
                counts.push(CauseCount { cause, size: 0, group: None });
            }
            counts[number].size += 1;
            Some(number)
        })
    });
    let causes: Vec<[Option<usize>; 3]> = causes.collect();
    let mut groups: Vec<CauseGroup> = Vec::new();
    for (item, causes) in servers.into_iter().zip(&causes) {
        // Of causes with equally many items, the first: it is the most specific.
        let largest = causes.iter().flatten().rev().max_by_key(|number| counts[**number].size);
        let Some(CauseCount { cause, group, .. }) = largest.and_then(|number| counts.get_mut(*number)) else {
            continue;
        };
        match group.and_then(|place| groups.get_mut(place)) {
            Some(group) => group.items.push(item),
            None => {
                *group = Some(groups.len());
                groups.push(CauseGroup { cause: cause.clone(), items: vec![item] });
            }
        }
    }
    for item in backends {
        let has_its_servers = |group: &&mut CauseGroup| {
            matches!(&group.cause, Cause::Backend(proxy, _) if *proxy == item.event.proxy)
                && group.items[0].event.health == item.event.health
        };
        match groups.iter_mut().filter(has_its_servers).max_by_key(|group| group.items.len()) {
            Some(group) => group.items.insert(0, item),
            None => groups.push(CauseGroup {
                cause: Cause::Backend(&item.event.proxy, item.event.short_reason()),
                items: vec![item],
            }),
        }
    }
    let worst = |group: &CauseGroup| group.items.iter().map(|item| item.event.kind.importance()).max();
    groups.sort_by_key(|group| std::cmp::Reverse((worst(group), group.items.len())));
    groups
}

/// A cause and the number of servers that have it.
struct CauseCount<'a> {
    cause: Cause<'a>,
    /// Number of servers.
    size: usize,
    /// Index of the cause's group, if there is one.
    group: Option<usize>,
}

/// Returns the causes that a server may share with others, the most specific first. `tracked`: servers that others track.
fn causes<'a>(event: &'a Event, tracked: &HashSet<&str>) -> [Option<Cause<'a>>; 3] {
    let own_name = || Some(event.target_name()).filter(|name| tracked.contains(name.as_str()));
    let master = match &event.via {
        Some(via) => Some(via.into()),
        None if tracked.is_empty() => None,
        None => own_name().map(Cow::from),
    };
    let backend = Cause::Backend(&event.proxy, event.short_reason());
    [master.map(Cause::Tracked), Some(backend), event.host().map(Cause::Host)]
}
