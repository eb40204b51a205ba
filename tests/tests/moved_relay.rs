// SPDX-License-Identifier: MIT OR Apache-2.0
//! A relay whose name gets another address while HAProxy runs in its jail, where nothing can be looked up.

use end_to_end::{
    Backend, Haproxy, Relay, Setup,
    story::{expect_mails, news},
};

const NAME: &str = "mx1.relay.test";
const HERE: &str = "127.0.0.1 localhost mx1.relay.test\n";
/// Nobody listens there.
const ELSEWHERE: &str = "127.0.0.1 localhost\n127.9.9.9 mx1.relay.test\n";
const NOWHERE: &str = "127.0.0.1 localhost\n";

/// A HAProxy whose relay has a name.
#[track_caller]
fn start(relay: &Relay, server: &Backend, hosts: &str) -> Haproxy {
    start_with(NAME, relay, server, hosts)
}

#[track_caller]
fn start_with(name: &str, relay: &Relay, server: &Backend, hosts: &str) -> Haproxy {
    let place = format!("{name}:{}", relay.address().port());
    Setup::with_alerts()
        .hosts(hosts)
        .global(&format!("email_alert.relay test {place} insecure-plaintext timeout 2s"))
        .frontend("servers")
        .backend("servers", &[&format!("server server1 {} check", server.address())])
        .events("down")
        .jailed()
        .start()
}

#[test]
fn a_relay_that_has_moved_is_found_from_the_jail() {
    let (relay, server) = (Relay::start(), Backend::tcp());
    let haproxy = start(&relay, &server, ELSEWHERE);
    server.goes_down();
    let place = format!("{NAME}:{}", relay.address().port());
    haproxy.log().wait_for(&format!("relay test: connect to {place}: Connection refused; trying again"));
    haproxy.set_hosts(HERE);
    expect_mails(&haproxy, &relay, &[news("down", "servers/server1", "Server servers/server1 is DOWN")]);
    haproxy.log().wait_for("relay test: works again");
}

#[test]
fn a_name_that_is_not_known_at_the_start_is_found_later() {
    let (relay, server) = (Relay::start(), Backend::tcp());
    let haproxy = start(&relay, &server, NOWHERE);
    server.goes_down();
    haproxy.log().wait_for(&format!("cannot resolve '{NAME}': "));
    haproxy.set_hosts(HERE);
    expect_mails(&haproxy, &relay, &[news("down", "servers/server1", "Server servers/server1 is DOWN")]);
}

#[test]
fn localhost_is_this_machine_whatever_its_files_say() {
    let (relay, server) = (Relay::start(), Backend::tcp());
    let haproxy = start_with("localhost", &relay, &server, "");
    server.goes_down();
    expect_mails(&haproxy, &relay, &[news("down", "servers/server1", "Server servers/server1 is DOWN")]);
}
