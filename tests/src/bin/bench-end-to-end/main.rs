// SPDX-License-Identifier: MIT OR Apache-2.0
//! Figures of real HAProxies on this machine: without mails, with the library, and with HAProxy's own mailers.
//!
//! Environment: `HAPROXY` is the patched HAProxy, `HAPROXY_UNPATCHED` one as it comes,
//! `HAPROXY_BEFORE` (optional, for `rtt` and `busy`) another patched one to compare with. Arguments: the parts that are
//! wanted; all if there are none. A bar that is missed is printed as such and is no failure: how fast this machine was
//! today proves nothing about the code.

mod backlog;
mod busy;
mod contender;
mod flood;
mod footprint;
mod latency;
mod machine;
mod probe;
mod rate;
mod rtt;
mod storm;
mod table;

const PARTS: [(&str, fn()); 8] = [
    ("latency", latency::bench),
    ("rtt", rtt::bench),
    ("busy", busy::bench),
    ("rate", rate::bench),
    ("storm", storm::bench),
    ("footprint", footprint::bench),
    ("flood", flood::bench),
    ("backlog", backlog::bench),
];

fn main() {
    let wanted: Vec<String> = std::env::args().skip(1).collect();
    let known = |name: &String| PARTS.iter().any(|(part, _)| part == name);
    if let Some(unknown) = wanted.iter().find(|name| !known(name)) {
        panic!("there is no part '{unknown}'; expected {}", PARTS.map(|(part, _)| part).join(", "));
    }
    machine::describe();
    for (name, bench) in PARTS {
        if wanted.is_empty() || wanted.iter().any(|wanted| wanted == name) {
            bench();
        }
    }
}
