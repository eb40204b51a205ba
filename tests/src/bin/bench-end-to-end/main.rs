// SPDX-License-Identifier: MIT OR Apache-2.0
//! Figures of real HAProxies on this machine: without mails, with the library, and with HAProxy's own mailers.
//!
//! Environment: `HAPROXY` is the patched HAProxy, `HAPROXY_UNPATCHED` the same one as it comes. A bar that is missed is
//! printed as such and is no failure: how fast this machine was today proves nothing about the code.

mod contender;
mod flood;
mod footprint;
mod latency;
mod machine;
mod storm;
mod table;

fn main() {
    machine::describe();
    latency::bench();
    storm::bench();
    footprint::bench();
    flood::bench();
}
