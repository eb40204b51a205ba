// SPDX-License-Identifier: MIT OR Apache-2.0
//! HAProxy's own `mailers` sections and `email-alert` lines, served by this engine.

use end_to_end::{
    Backend, Haproxy, ParsedMail, Relay, Setup,
    setup::{HOST, RECIPIENT, SENDER},
};
use std::net::SocketAddr;
use std::time::Duration;

/// Long enough for a mail that should not be to show.
const A_WHILE: Duration = Duration::from_secs(2);

/// A configuration of former times, and what the administrator says of it now.
fn old(mailers: &[SocketAddr], words: &[&str]) -> Setup {
    let mailers: Vec<String> = mailers
        .iter()
        .enumerate()
        .map(|(number, address)| format!("mailer smtp{} {address}", number + 1))
        .collect();
    let lines: Vec<&str> =
        ["timeout mail 5s"].into_iter().chain(mailers.iter().map(String::as_str)).collect();
    let setup = Setup::without_alerts().section("mailers mta", &lines).section(
        "defaults",
        &[
            "log global",
            "timeout connect 1s",
            "timeout client 10s",
            "timeout server 10s",
            "default-server inter 100ms fall 1 rise 1",
            "email-alert mailers mta",
            &format!("email-alert from {SENDER}"),
        ],
    );
    words.iter().fold(setup, |setup, word| setup.global(word))
}

const ON: &[&str] =
    &["email_alert.native on", "email_alert.digest off", "email_alert.host-name lb1.example.com"];

/// A backend with one server, and the other server that keeps it alive.
fn backend(setup: Setup, name: &str, server: &Backend, lines: &[&str]) -> Setup {
    let server = format!("server s1 {} check", server.address());
    setup.backend(name, &[lines, &[&server, "server other 127.0.0.1:1"]].concat())
}

#[track_caller]
fn expect_mail(haproxy: &Haproxy, mail: &ParsedMail, event: &str, to: &str) {
    let story = haproxy.story();
    assert_eq!((mail.event(), mail.header("To"), mail.header("From")), (event, to, SENDER), "{story}");
    assert_eq!(mail.header("X-HAProxy-Host"), HOST, "{story}");
}

#[test]
fn they_are_served_once_by_the_mailers_that_they_name() {
    let (relay, server, other) = (Relay::start(), Backend::tcp(), Backend::tcp());
    let to = format!("email-alert to {RECIPIENT}");
    let setup = old(&[relay.address()], ON);
    let setup = backend(setup, "web", &server, &[&to, "email-alert level notice"]);
    let haproxy = backend(setup, "api", &other, &["email-alert to dba@example.com"]).start();

    server.goes_down();
    let mail = &relay.wait_for_mails(1)[0];
    expect_mail(&haproxy, mail, "down", RECIPIENT);
    assert!(mail.first_line().starts_with("Server web/s1 is DOWN"), "{}", mail.first_line());
    server.comes_back();
    expect_mail(&haproxy, &relay.wait_for_mails(2)[1], "up", RECIPIENT);

    // The other one's recipient, and its level, which is HAProxy's default: an end is a notice, and not mailed.
    other.goes_down();
    expect_mail(&haproxy, &relay.wait_for_mails(3)[2], "down", "dba@example.com");
    other.comes_back();
    haproxy.log().wait_for("Server api/s1 is UP");
    relay.expect_no_more_than(3, A_WHILE);
}

#[test]
fn the_mailers_are_tried_in_their_order() {
    let (first, second, server) = (Relay::start(), Relay::start(), Backend::tcp());
    first.is_unreachable();
    let to = format!("email-alert to {RECIPIENT}");
    let setup = old(&[first.address(), second.address()], ON);
    let haproxy = backend(setup, "web", &server, &[&to]).start();
    server.goes_down();
    expect_mail(&haproxy, &second.wait_for_mails(1)[0], "down", RECIPIENT);
    haproxy.log().wait_for("relay mta:smtp1: ");
    first.behaves();
    first.expect_no_more_than(0, A_WHILE);
}

#[test]
fn relays_of_the_administrator_take_the_place_of_the_mailers() {
    let (mailer, relay, server) = (Relay::start(), Relay::start(), Backend::tcp());
    let to = format!("email-alert to {RECIPIENT}");
    let setup = old(&[mailer.address()], ON).relay("mine", relay.address());
    let haproxy = backend(setup, "web", &server, &[&to]).start();
    server.goes_down();
    expect_mail(&haproxy, &relay.wait_for_mails(1)[0], "down", RECIPIENT);
    mailer.expect_no_more_than(0, A_WHILE);
}

#[test]
fn routes_of_both_kinds_go_together_and_disabled_proxies_are_left_out() {
    let (relay, server, silent) = (Relay::start(), Backend::tcp(), Backend::tcp());
    let to = format!("email-alert to {RECIPIENT}");
    let setup = old(&[relay.address()], ON).global(&format!("email_alert all@example.com {SENDER}"));
    let setup = backend(setup, "web", &server, &[&to]);
    // It has no recipient of its own; HAProxy says that its lines are ignored.
    let setup = backend(setup, "quiet", &silent, &[]);
    let haproxy = setup.backend("gone", &[&to, "disabled"]).start();
    server.goes_down();
    let mut recipients: Vec<String> =
        relay.wait_for_deliveries(2).iter().flat_map(|mail| mail.recipients.clone()).collect();
    recipients.sort();
    assert_eq!(recipients, ["all@example.com", RECIPIENT], "{}", haproxy.story());
    silent.goes_down();
    haproxy.log().wait_for("Server quiet/s1 is DOWN");
    let all = relay.wait_for_deliveries(3);
    assert_eq!(all[2].recipients, ["all@example.com"]);
    relay.expect_no_more_than(3, A_WHILE);
}

#[test]
fn what_is_wrong_or_at_risk_is_said_before_the_start() {
    let server = Backend::tcp();
    let far: SocketAddr = "192.0.2.25:25".parse().expect("an address");
    let judge = |words: &[&str], mailer: SocketAddr, to: &str| {
        let setup = old(&[mailer], words).frontend("servers");
        let judgement = backend(setup, "servers", &server, &[&format!("email-alert to {to}")]).judge();
        (judgement.status, judgement.output)
    };
    let near: SocketAddr = "127.0.0.1:25".parse().expect("an address");
    let both = "proxy 'servers' also has 'email-alert' lines: HAProxy's own mailers send their mails, too.";
    for (words, mailer, to, status, said) in [
        (ON, near, RECIPIENT, 0, None),
        (&["email_alert ops@example.com", "email_alert.native off"], near, RECIPIENT, 0, None),
        (ON, far, RECIPIENT, 0, Some("mailer 'smtp1' of 'mailers mta' is reached without TLS")),
        (
            ON,
            near,
            "ops@",
            1,
            Some(
                "email_alert.native: proxy 'servers': 'email_alert' recipient 'ops@' has nothing behind the '@'",
            ),
        ),
        (
            &["email_alert.native"],
            near,
            RECIPIENT,
            1,
            Some("expects 'on' or 'off': email_alert.native on|off"),
        ),
    ] as [(&[&str], SocketAddr, &str, i32, Option<&str>); 5]
    {
        let (was, output) = judge(words, mailer, to);
        assert_eq!(was, Some(status), "{words:?} {to}: {output}");
        match said {
            Some(said) => assert!(output.contains(said), "{said:?} is not in {output}"),
            None => assert!(!output.contains("email_alert") && !output.contains(both), "{output}"),
        }
    }

    // Nothing that it could serve, and nobody else who wants mails.
    let setup = Setup::without_alerts().global("email_alert.native on").frontend("servers");
    let judgement = backend(setup, "servers", &server, &[]).judge();
    assert_eq!(judgement.status, Some(1));
    let said = "'email_alert.native' is on, but no proxy has 'email-alert mailers'";
    assert!(judgement.output.contains(said), "{}", judgement.output);
}
