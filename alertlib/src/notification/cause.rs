// SPDX-License-Identifier: MIT OR Apache-2.0
//! Items of a notification, grouped by the cause that they have in common.

use super::{FlapPhase, Item};
use crate::event::{Event, Kind};
use std::borrow::Cow;
use std::collections::{HashMap, HashSet};

/// The cause that several items have in common.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Cause<'a> {
    /// They follow this server, or are it: `backend/server`.
    Tracked(Cow<'a, str>),
    /// They are on this host.
    Host(&'a str),
    /// They are in this backend, and say this of why: see [`Event::why`].
    Backend(&'a str, Cow<'a, str>),
}

/// Items of the same kind that have a cause in common.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CauseGroup<'a> {
    /// What they have in common; of one item alone it says nothing new.
    pub cause: Cause<'a>,
    /// At least one; that of the backend as a whole first.
    pub items: Vec<&'a Item>,
}

/// See [`Notification::groups`](super::Notification::groups).
pub fn groups(items: &[Item]) -> Vec<CauseGroup<'_>> {
    let masters: HashSet<&str> = items.iter().filter_map(|item| item.event.via.as_deref()).collect();
    let (servers, backends): (Vec<&Item>, Vec<&Item>) =
        items.iter().partition(|item| item.event.server.is_some());
    let mut all: Vec<CauseCount> = Vec::new();
    let mut numbers: HashMap<(Kind, FlapPhase, Cause), usize> = HashMap::new();
    let causes = servers.iter().map(|item| {
        causes(&item.event, &masters).map(|cause| {
            let cause = cause?;
            let number =
                *numbers.entry((item.event.kind, item.flap_phase, cause.clone())).or_insert(all.len());
            if number == all.len() {
                all.push(CauseCount { cause, size: 0, group: None });
            }
            all[number].size += 1;
            Some(number)
        })
    });
    let causes: Vec<[Option<usize>; 3]> = causes.collect();
    let mut groups: Vec<CauseGroup> = Vec::new();
    for (item, causes) in servers.into_iter().zip(&causes) {
        // Of causes that are as large, the first one: it says most.
        let largest = causes.iter().flatten().rev().max_by_key(|number| all[**number].size);
        let Some(CauseCount { cause, group, .. }) = largest.and_then(|number| all.get_mut(*number)) else {
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
        let of_its_servers = |group: &&mut CauseGroup| {
            matches!(&group.cause, Cause::Backend(proxy, _) if *proxy == item.event.proxy)
                && group.items[0].event.health == item.event.health
        };
        match groups.iter_mut().filter(of_its_servers).max_by_key(|group| group.items.len()) {
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

/// What some servers have in common.
struct CauseCount<'a> {
    cause: Cause<'a>,
    /// How many.
    size: usize,
    /// The place of their group, if there is one.
    group: Option<usize>,
}

/// What a server may have in common with others, the most telling first. `masters`: those that are tracked.
fn causes<'a>(event: &'a Event, masters: &HashSet<&str>) -> [Option<Cause<'a>>; 3] {
    let is_master = || Some(event.target_name()).filter(|name| masters.contains(name.as_str()));
    let tracked = match &event.via {
        Some(via) => Some(via.into()),
        None if masters.is_empty() => None,
        None => is_master().map(Cow::from),
    };
    let backend = Cause::Backend(&event.proxy, event.short_reason());
    [tracked.map(Cause::Tracked), Some(backend), event.host().map(Cause::Host)]
}
