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

/// Servers of one group have these in common.
type Key<'a> = (Kind, FlapPhase, Cause<'a>);

/// Groups items by cause, the most severe and largest group first. Each item is in one group: of the causes that it shares with
/// others, the one with the most items.
pub fn group_by_cause<'a>(items: &'a [Item]) -> Vec<CauseGroup<'a>> {
    let tracked: HashSet<&str> = items.iter().filter_map(|item| item.event.via.as_deref()).collect();
    let (servers, backends): (Vec<&Item>, Vec<&Item>) =
        items.iter().partition(|item| item.event.server.is_some());
    let keys = |item: &&'a Item| {
        let (kind, phase) = (item.event.kind, item.flap_phase);
        causes(&item.event, &tracked).into_iter().flatten().map(|cause| (kind, phase, cause)).collect()
    };
    let keys: Vec<Vec<Key>> = servers.iter().map(keys).collect();
    let mut sizes: HashMap<&Key, usize> = HashMap::new();
    keys.iter().flatten().for_each(|key| *sizes.entry(key).or_default() += 1);
    let mut groups: Vec<CauseGroup> = Vec::new();
    let mut places: HashMap<&Key, usize> = HashMap::new();
    for (item, keys) in servers.into_iter().zip(&keys) {
        // Of causes with equally many items, the first: it is the most specific.
        let Some(largest) = keys.iter().rev().max_by_key(|key| sizes[key]) else { continue };
        let place = *places.entry(largest).or_insert(groups.len());
        if place == groups.len() {
            groups.push(CauseGroup { cause: largest.2.clone(), items: Vec::new() });
        }
        groups[place].items.push(item);
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
