// SPDX-License-Identifier: MIT OR Apache-2.0
//! Makes a notification of items: order, thread, topic and size limit.

use super::{GroupState, Mails};
use crate::engine::snapshot::Thread;
use crate::engine::target_id::TargetId;
use crate::event::{Event, Health, Kind};
use crate::format::count;
use crate::notification::{Item, MAX_REFERENCES, Notification, Trigger, group_by_cause};
use std::collections::{BTreeMap, HashMap, HashSet};

/// Largest text of a mail, in bytes. Items that do not fit are counted only.
const MAX_TEXT: usize = 256 * 1024;

impl GroupState {
    /// Makes a notification of items, if there are any, and updates their targets.
    pub(super) fn notify(&mut self, trigger: Trigger, items: Vec<Item>, mails: &mut Mails) {
        if items.is_empty() {
            return;
        }
        let items: Vec<Item> =
            group_by_cause(&items).into_iter().flat_map(|group| group.items).cloned().collect();
        let (references, topic) = self.thread(&items);
        let sizes = self.sizes(&items);
        let Mails { mail_id, group, host, now: created, .. } = *mails;
        let message_id = format!("<haproxy.{mail_id}.{}.{group}@{host}>", mails.made.len());
        let own = Thread { root: message_id.as_str().into(), topic: topic.as_str().into(), created };
        items.iter().for_each(|item| self.mark_notified(item, &own));
        let (items, unnamed) = bounded(items);
        let mut notification = Notification {
            message_id,
            created,
            from: self.audience.default_sender(&items[0].event).clone(),
            to: self.audience.to.clone(),
            references,
            topic,
            trigger,
            items,
            sizes,
            unnamed: unnamed.saturating_add(std::mem::take(&mut self.unnamed)),
            dropped: std::mem::take(&mut self.dropped),
        };
        if let Some(sender) = self.audience.sender(&notification.lead().event) {
            notification.from = sender.clone();
        }
        mails.made.push(notification);
    }

    /// Returns the roots of the threads that the items continue, the oldest first, and the topic of the mail.
    fn thread(&self, items: &[Item]) -> (Vec<String>, String) {
        let thread = |item: &Item| self.targets.get(&TargetId::of(&item.event))?.state.thread.as_ref();
        let mut roots: Vec<&Thread> = items.iter().filter_map(thread).collect();
        let is_one = roots.len() == items.len() && roots.iter().all(|root| root.root == roots[0].root);
        roots.sort_unstable_by_key(|root| (root.created, &root.root));
        roots.dedup_by_key(|root| &root.root);
        let topic = if is_one { roots[0].topic.to_string() } else { topic(items) };
        let skipped = roots.len().saturating_sub(MAX_REFERENCES);
        (roots[skipped..].iter().map(|thread| thread.root.to_string()).collect(), topic)
    }

    /// Returns the number of servers of each backend with more than one server among the items: usable servers as of the latest
    /// event, and tracked servers that are not usable.
    fn sizes(&self, items: &[Item]) -> Vec<(String, u32)> {
        let mut backends: BTreeMap<&str, Vec<&Event>> = BTreeMap::new();
        for event in items.iter().map(|item| &item.event).filter(|event| event.server.is_some()) {
            backends.entry(&event.proxy).or_default().push(event);
        }
        backends.retain(|_, events| events.len() > 1);
        if backends.is_empty() {
            return Vec::new();
        }
        let mut unusable: HashMap<&str, u32> = HashMap::new();
        for (id, target) in self.targets.iter().filter(|(id, _)| id.server.is_some()) {
            let is_usable = target.state.health == Health::Up && target.kind != Some(Kind::Drain);
            *unusable.entry(&id.proxy).or_default() += u32::from(!is_usable);
        }
        let size = |(proxy, events): (&str, Vec<&Event>)| {
            let usable = events.into_iter().max_by_key(|event| event.when)?.usable?;
            let unusable = unusable.get(proxy).copied().unwrap_or_default();
            Some((proxy.to_owned(), usable.active.saturating_add(usable.backup).saturating_add(unusable)))
        };
        backends.into_iter().filter_map(size).collect()
    }

    /// Updates the item's target: a mail reports it. `own`: the thread that this mail begins if the target has none.
    fn mark_notified(&mut self, item: &Item, own: &Thread) {
        let Some(target) = self.targets.get_mut(&TargetId::of(&item.event)) else { return };
        if let Some(open_incident) = &mut target.state.open_incident {
            open_incident.notified_at = own.created;
        }
        if target.state.open_incident.is_some() || target.is_flapping() {
            target.state.thread.get_or_insert_with(|| own.clone());
        } else {
            target.state.thread = None;
        }
        self.snapshot.mark_dirty(target);
        if item.event.kind == Kind::Gone {
            self.targets.remove(&TargetId::of(&item.event));
        }
    }
}

/// Splits the items by [`MAX_TEXT`]: returns those that fit, at least one, and the number of changes of the others.
fn bounded(mut items: Vec<Item>) -> (Vec<Item>, u64) {
    /// Estimated bytes of a line beside its name and reason.
    const LINE_OVERHEAD: usize = 80;
    let mut size = 0;
    let fitting = items.iter().take_while(|item| {
        let event = &item.event;
        size += event.target_name().len() + event.short_reason().len() + LINE_OVERHEAD;
        size <= MAX_TEXT
    });
    let fitting = fitting.count().max(1);
    let rest = items.split_off(fitting);
    (items, rest.iter().map(|item| u64::from(item.changes)).sum())
}

/// Returns the topic of a mail with these items, such as `web/s1` or `backend web (3 servers)`. All mails of a thread have the
/// topic of its root.
fn topic(items: &[Item]) -> String {
    let event = &items[0].event;
    let backends: HashSet<&str> = items.iter().map(|item| item.event.proxy.as_str()).collect();
    let servers: Vec<&Item> = items.iter().filter(|item| item.event.server.is_some()).collect();
    let number = count(servers.len() as u64, "server");
    match (backends.len(), servers.as_slice()) {
        (1, []) => format!("{} {}", event.section(), event.proxy),
        (1, [server]) => server.event.target_name(),
        (1, _) => format!("{} {} ({number})", event.section(), event.proxy),
        (backends, []) => format!("{backends} backends"),
        (backends, _) => format!("{backends} backends ({number})"),
    }
}
