// SPDX-License-Identifier: MIT OR Apache-2.0
//! Who gets what: routes, and the audiences that they make.

use crate::event::{Event, Kind, Level};
use crate::settings::{Pattern, Recipient, ResolvedRoute};
use lettre::Address;

/// Recipients who are in the same routes. They always get the same mails, so one of each is made for all of them.
#[derive(Debug, Clone)]
pub struct Audience {
    /// Each once.
    pub to: Vec<Recipient>,
    /// Their routes, in the order written, without recipients.
    routes: Vec<ResolvedRoute>,
}

impl Audience {
    /// The audiences of these routes: each recipient is in one.
    pub fn all_of(routes: &[ResolvedRoute]) -> Vec<Audience> {
        let mut all: Vec<Audience> = Vec::new();
        for recipient in routes.iter().flat_map(|route| &route.to) {
            if all.iter().any(|audience| audience.has(&recipient.address)) {
                continue;
            }
            let mut mine: Vec<ResolvedRoute> = Vec::new();
            for route in routes {
                if route.to.iter().any(|to| to.address == recipient.address) {
                    let route = ResolvedRoute { to: Vec::new(), ..route.clone() };
                    if !mine.contains(&route) {
                        mine.push(route);
                    }
                }
            }
            match all.iter_mut().find(|audience| audience.routes == mine) {
                Some(audience) => audience.to.push(recipient.clone()),
                None => all.push(Audience { to: vec![recipient.clone()], routes: mine }),
            }
        }
        all
    }

    /// Is this one of them?
    pub fn has(&self, address: &Address) -> bool {
        self.to.iter().any(|recipient| recipient.address == *address)
    }

    /// In whose name they are told of an event; `None`: they do not want it.
    pub fn sender(&self, event: &Event) -> Option<&Address> {
        self.sender_of(event, event.kind, event.level)
    }

    /// Do they want to know when the incident of this server, or backend, is over?
    pub fn wants_end(&self, event: &Event) -> bool {
        let end = if event.server.is_some() { Kind::Up } else { Kind::BackendUp };
        self.sender_of(event, end, Level::Notice).is_some()
    }

    /// Do they want to know when it begins, as far as the kind goes?
    pub fn wants_begin(&self, event: &Event) -> bool {
        let begin = if event.server.is_some() { Kind::Down } else { Kind::BackendDown };
        self.sender_of(event, begin, event.level).is_some()
    }

    /// In whose name they are told of what they did not ask for by its kind: the end of what they were told of.
    pub fn any_sender(&self, event: &Event) -> &Address {
        let concerned = self.routes.iter().find(|route| route.concerns(event));
        &concerned.or(self.routes.first()).expect("a recipient is in a route").from
    }

    fn sender_of(&self, event: &Event, kind: Kind, level: Level) -> Option<&Address> {
        let wants =
            |route: &&ResolvedRoute| route.concerns(event) && route.kinds.has(kind) && level <= route.level;
        self.routes.iter().find(wants).map(|route| &route.from)
    }
}

impl ResolvedRoute {
    /// Is it for this server, or backend?
    fn concerns(&self, event: &Event) -> bool {
        let fits = |pattern: &Pattern| pattern.matches(&event.proxy, event.server.as_deref());
        self.targets.is_empty() || self.targets.iter().any(fits)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::{Kinds, sample};

    fn route(to: &[&str], from: &str, kinds: &[Kind]) -> ResolvedRoute {
        let recipient = |to: &&str| Recipient { address: to.parse().expect("address"), is_local: false };
        ResolvedRoute {
            to: to.iter().map(recipient).collect(),
            from: from.parse().expect("address"),
            targets: Vec::new(),
            kinds: kinds.iter().copied().collect::<Kinds>(),
            level: Level::Debug,
        }
    }

    fn names(audience: &Audience) -> Vec<&str> {
        audience.to.iter().map(|to| to.address.as_ref()).collect()
    }

    #[test]
    fn everybody_is_in_one_audience_with_those_of_the_same_routes() {
        let audiences = Audience::all_of(&[
            route(&["a@x", "b@x", "e@x"], "lb@x", &[Kind::Down, Kind::Up]),
            route(&["b@x", "c@x"], "lb@x", &[Kind::Down]),
            route(&["d@x"], "lb@x", &[Kind::Down, Kind::Up]),
        ]);
        let all: Vec<Vec<&str>> = audiences.iter().map(names).collect();
        assert_eq!(all, [vec!["a@x", "e@x", "d@x"], vec!["b@x"], vec!["c@x"]]);
    }

    #[test]
    fn the_first_route_that_wants_an_event_gives_its_sender() {
        let routes =
            [route(&["a@x"], "one@x", &[Kind::Up]), route(&["a@x"], "two@x", &[Kind::Down, Kind::Up])];
        let audience = &Audience::all_of(&routes)[0];
        let sender = |kind| audience.sender(&Event { kind, ..sample() }).map(ToString::to_string);
        assert_eq!(sender(Kind::Up).as_deref(), Some("one@x"));
        assert_eq!(sender(Kind::Down).as_deref(), Some("two@x"));
        assert_eq!(sender(Kind::Maint), None);
    }

    #[test]
    fn a_route_may_be_for_some_servers_and_from_some_level_on() {
        let mut mine = route(&["a@x"], "lb@x", &[Kind::Down, Kind::BackendDown]);
        mine.targets = vec!["be/s1".parse().expect("a pattern"), "other".parse().expect("a pattern")];
        mine.level = Level::Alert;
        let audience = &Audience::all_of(&[mine])[0];
        let of_backend = Event { server: None, kind: Kind::BackendDown, level: Level::Emerg, ..sample() };
        for (event, is_wanted) in [
            (sample(), true),
            (Event { server: Some("s2".into()), ..sample() }, false),
            (Event { level: Level::Notice, ..sample() }, false),
            (of_backend.clone(), false),
            (Event { proxy: "other".into(), ..of_backend }, true),
            (Event { proxy: "other".into(), ..sample() }, true),
        ] {
            assert_eq!(audience.sender(&event).is_some(), is_wanted, "{event:?}");
        }
    }
}
