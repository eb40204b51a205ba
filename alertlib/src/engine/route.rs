// SPDX-License-Identifier: MIT OR Apache-2.0
//! Routes select the recipients of an event; recipients with the same routes form an audience.

use crate::event::{Event, Kind, Level};
use crate::settings::{Pattern, Recipient, ResolvedRoute};
use lettre::Address;

/// Recipients with the same routes. They always get the same mails, so the engine makes each notification once for all.
#[derive(Debug, Clone, Default)]
pub struct Audience {
    /// The recipients, each once.
    pub to: Vec<Recipient>,
    /// Their routes in the order of the configuration, without recipients.
    routes: Vec<ResolvedRoute>,
}

impl Audience {
    /// Returns the audiences of these routes; each recipient is in exactly one.
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

    /// Returns true if `address` is a recipient of this audience.
    pub fn has(&self, address: &Address) -> bool {
        self.to.iter().any(|recipient| recipient.address == *address)
    }

    /// Returns the sender of the first route that selects the event; `None`: no route does.
    pub fn sender(&self, event: &Event) -> Option<&Address> {
        self.sender_of(event, event.kind, event.level)
    }

    /// Returns true if a route selects the end of an incident of the event's target.
    pub fn wants_end(&self, event: &Event) -> bool {
        let end = if event.server.is_some() { Kind::Up } else { Kind::BackendUp };
        self.sender_of(event, end, Level::Notice).is_some()
    }

    /// Returns true if a route selects the begin of an incident of the event's target, at the event's level.
    pub fn wants_begin(&self, event: &Event) -> bool {
        let begin = if event.server.is_some() { Kind::Down } else { Kind::BackendDown };
        self.sender_of(event, begin, event.level).is_some()
    }

    /// Returns the sender for an event whose kind no route selects, such as the end of a reported incident: that of the first
    /// route for its target, else of the first route.
    pub fn default_sender(&self, event: &Event) -> &Address {
        let matching = self.routes.iter().find(|route| route.matches(event));
        &matching.or(self.routes.first()).expect("an audience has a route").from
    }

    /// Returns the sender of the first route for the event's target with this kind and level.
    fn sender_of(&self, event: &Event, kind: Kind, level: Level) -> Option<&Address> {
        let selects =
            |route: &&ResolvedRoute| route.matches(event) && route.kinds.has(kind) && level <= route.level;
        self.routes.iter().find(selects).map(|route| &route.from)
    }
}

impl ResolvedRoute {
    /// Returns true if the route is for the event's target.
    fn matches(&self, event: &Event) -> bool {
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

    fn addresses(audience: &Audience) -> Vec<&str> {
        audience.to.iter().map(|to| to.address.as_ref()).collect()
    }

    #[test]
    fn recipients_with_the_same_routes_share_one_audience() {
        let audiences = Audience::all_of(&[
            route(&["a@x", "b@x", "e@x"], "lb@x", &[Kind::Down, Kind::Up]),
            route(&["b@x", "c@x"], "lb@x", &[Kind::Down]),
            route(&["d@x"], "lb@x", &[Kind::Down, Kind::Up]),
        ]);
        let all: Vec<Vec<&str>> = audiences.iter().map(addresses).collect();
        assert_eq!(all, [vec!["a@x", "e@x", "d@x"], vec!["b@x"], vec!["c@x"]]);
    }

    #[test]
    fn first_route_that_selects_an_event_gives_its_sender() {
        let routes =
            [route(&["a@x"], "one@x", &[Kind::Up]), route(&["a@x"], "two@x", &[Kind::Down, Kind::Up])];
        let audience = &Audience::all_of(&routes)[0];
        let sender = |kind| audience.sender(&Event { kind, ..sample() }).map(ToString::to_string);
        assert_eq!(sender(Kind::Up).as_deref(), Some("one@x"));
        assert_eq!(sender(Kind::Down).as_deref(), Some("two@x"));
        assert_eq!(sender(Kind::Maint), None);
    }

    #[test]
    fn route_selects_events_by_target_and_level() {
        let mut mine = route(&["a@x"], "lb@x", &[Kind::Down, Kind::BackendDown]);
        mine.targets = vec!["be/s1".parse().expect("a pattern"), "other".parse().expect("a pattern")];
        mine.level = Level::Alert;
        let audience = &Audience::all_of(&[mine])[0];
        let of_backend = Event { server: None, kind: Kind::BackendDown, level: Level::Emerg, ..sample() };
        for (event, is_selected) in [
            (sample(), true),
            (Event { server: Some("s2".into()), ..sample() }, false),
            (Event { level: Level::Notice, ..sample() }, false),
            (of_backend.clone(), false),
            (Event { proxy: "other".into(), ..of_backend }, true),
            (Event { proxy: "other".into(), ..sample() }, true),
        ] {
            assert_eq!(audience.sender(&event).is_some(), is_selected, "{event:?}");
        }
    }
}
