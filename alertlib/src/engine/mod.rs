// SPDX-License-Identifier: MIT OR Apache-2.0
//! Events in, mails out: who gets what. Pure: no I/O, no threads, the clock comes in.

mod outgoing;

pub use outgoing::{About, Cause, Group, Incident, Item, MOST_REFERENCES, Note, Outgoing, groups};

use crate::event::{Event, Kind};
use crate::settings::{PlannedRoute, Recipient};
use std::collections::HashMap;
use std::time::SystemTime;

/// Decides which events become which mails.
pub struct Engine {
    routes: Vec<PlannedRoute>,
    host: String,
    dropped: u64,
    /// What was last said of each backend: `BackendDown` or `BackendUp`.
    backends: HashMap<String, Kind>,
}

impl Engine {
    /// An engine for these routes.
    pub fn new(routes: Vec<PlannedRoute>, host: &str) -> Self {
        Engine { routes, host: host.to_owned(), dropped: 0, backends: HashMap::new() }
    }

    /// The mails that `event` means at the time `now`: one a sender, and one copy a recipient, however many routes match.
    ///
    /// `id`: letters, digits, `.` and `-` that no other event of any process on this host has. The same event with the
    /// same id gets the same Message-IDs, should it come again after a crash.
    pub fn take(&mut self, event: Event, id: &str, now: SystemTime) -> Vec<Outgoing> {
        // Two servers that change at once, on two threads, may both find that theirs was the backend's last one.
        if matches!(event.kind, Kind::BackendDown | Kind::BackendUp)
            && self.backends.insert(event.proxy.clone(), event.kind) == Some(event.kind)
        {
            return Vec::new();
        }
        let mut mails: Vec<Outgoing> = Vec::new();
        for n in 0..self.routes.len() {
            if !self.routes[n].kinds.has(event.kind) {
                continue;
            }
            let PlannedRoute { to, from, .. } = &self.routes[n];
            let new = |recipient: &&Recipient| {
                !mails.iter().any(|m| m.to.iter().any(|r| r.address == recipient.address))
            };
            let to: Vec<Recipient> = to.iter().filter(new).cloned().collect();
            if to.is_empty() {
                continue;
            }
            if let Some(mail) = mails.iter_mut().find(|mail| mail.from == *from) {
                mail.to.extend(to);
                continue;
            }
            mails.push(Outgoing {
                message_id: format!("<haproxy.{id}.{n}@{}>", self.host),
                created: now,
                from: from.clone(),
                to,
                references: Vec::new(),
                topic: event.subject(),
                about: About::Changes,
                items: vec![Item::of(event.clone())],
                sizes: Vec::new(),
                unnamed: 0,
                dropped: self.dropped,
            });
        }
        if !mails.is_empty() {
            self.dropped = 0;
        }
        mails
    }

    /// Tells in the next mail that `count` more events were dropped.
    pub fn dropped(&mut self, count: u64) {
        self.dropped = self.dropped.saturating_add(count);
    }

    /// Tells in the next mail that this one was dropped, and what it was to tell of others.
    pub fn lost(&mut self, mail: &Outgoing) {
        self.dropped(mail.dropped.saturating_add(1));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::{Kind, Kinds, sample};

    fn recipient(address: &str) -> Recipient {
        Recipient { address: address.parse().expect("address"), is_local: false }
    }

    fn route(to: &[&str], from: &str, kinds: &[Kind]) -> PlannedRoute {
        PlannedRoute {
            to: to.iter().map(|to| recipient(to)).collect(),
            from: from.parse().expect("address"),
            kinds: kinds.iter().copied().collect::<Kinds>(),
        }
    }

    fn event(kind: Kind) -> Event {
        Event { kind, ..sample() }
    }

    #[test]
    fn every_matching_route_gets_it_and_one_recipient_one_copy() {
        let routes = vec![
            route(&["a@example.com", "b@example.com"], "lb@example.com", &[Kind::Down, Kind::Up]),
            route(&["b@example.com", "c@example.com"], "lb@example.com", &[Kind::Down]),
            route(&["a@example.com", "d@example.com"], "other@example.com", &[Kind::Down]),
        ];
        let mut engine = Engine::new(routes, "lb1");
        let mails = engine.take(event(Kind::Down), "t.1", SystemTime::UNIX_EPOCH);
        let to: Vec<Vec<&str>> =
            mails.iter().map(|mail| mail.to.iter().map(|to| to.address.as_ref()).collect()).collect();
        assert_eq!(to, [vec!["a@example.com", "b@example.com", "c@example.com"], vec!["d@example.com"]]);
        assert_ne!(mails[0].message_id, mails[1].message_id);

        let mails = engine.take(event(Kind::Up), "t.1", SystemTime::UNIX_EPOCH);
        assert_eq!(mails.len(), 1);
        assert_eq!(mails[0].to.len(), 2);
        assert!(engine.take(event(Kind::Maint), "t.1", SystemTime::UNIX_EPOCH).is_empty());
    }

    #[test]
    fn a_backend_that_two_servers_report_is_told_once() {
        let mut engine = Engine::new(
            vec![route(&["a@example.com"], "lb@example.com", &[Kind::BackendDown, Kind::BackendUp])],
            "lb1",
        );
        let mut mails = |kind| engine.take(event(kind), "t.1", SystemTime::UNIX_EPOCH).len();
        for _ in 0..2 {
            assert_eq!([mails(Kind::BackendDown), mails(Kind::BackendDown)], [1, 0]);
            assert_eq!([mails(Kind::BackendUp), mails(Kind::BackendUp)], [1, 0]);
        }
    }

    #[test]
    fn drops_are_told_once_in_the_next_mail() {
        let mut engine = Engine::new(vec![route(&["a@example.com"], "lb@example.com", &[Kind::Down])], "lb1");
        engine.dropped(3);
        assert!(engine.take(event(Kind::Up), "t.1", SystemTime::UNIX_EPOCH).is_empty());
        engine.dropped(4);
        let mail = engine.take(event(Kind::Down), "t.1", SystemTime::UNIX_EPOCH).remove(0);
        assert_eq!(mail.dropped, 7);
        engine.lost(&mail);
        assert_eq!(engine.take(event(Kind::Down), "t.1", SystemTime::UNIX_EPOCH)[0].dropped, 8);
        assert_eq!(engine.take(event(Kind::Down), "t.1", SystemTime::UNIX_EPOCH)[0].dropped, 0);
    }
}
