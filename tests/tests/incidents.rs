// SPDX-License-Identifier: MIT OR Apache-2.0
//! One mail for one trouble: digests, threads, flapping, and what a new process knows of an old one's.

use std::{collections::BTreeSet, thread, time::Duration};

use end_to_end::{
    Backend, Haproxy, Mode, ParsedMail, Relay, Setup, Spool, cli::Conversation, haproxy::Signal, until,
    until_true,
};

/// Long enough for a mail that should not be to show: longer than the default digest.
const A_WHILE: Duration = Duration::from_secs(6);

/// Servers without checks: their state is what the test commands.
fn with_servers(mut setup: Setup, backends: usize, servers: usize) -> Setup {
    for backend in 0..backends {
        let lines: Vec<String> =
            (0..servers).map(|server| format!("server s{server} 127.0.{backend}.{server}:1")).collect();
        let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
        setup = setup.backend(&format!("b{backend}"), &lines);
    }
    setup
}

fn names(backends: usize, servers: usize) -> BTreeSet<String> {
    let of = |backend| (0..servers).map(move |server| format!("b{backend}/s{server}"));
    (0..backends).flat_map(of).collect()
}

fn say(haproxy: &Haproxy, names: impl IntoIterator<Item = impl AsRef<str>>, health: &str) {
    let mut conversation = Conversation::begin(&haproxy.cli_socket()).expect("a connection");
    for name in names {
        let answer = conversation.ask(&format!("set server {} health {health}", name.as_ref()));
        assert_eq!(answer.expect("an answer"), "");
    }
}

/// The servers that these mails name with this state.
fn named(mails: &[ParsedMail], state: &str) -> BTreeSet<String> {
    mails.iter().flat_map(|mail| mail.servers(state)).map(str::to_owned).collect()
}

#[track_caller]
fn wait_for_names(relay: &Relay, before: usize, state: &str, count: usize) -> Vec<ParsedMail> {
    until("all servers to be named", || {
        let mails = relay.mails();
        (named(&mails[before..], state).len() == count).then(|| mails[before..].to_vec())
    })
}

fn references(mail: &ParsedMail) -> Vec<&str> {
    mail.headers.get("References").map(|ids| ids.split_whitespace().collect()).unwrap_or_default()
}

#[test]
fn a_thousand_servers_of_ten_backends_are_three_mails_down_and_three_up() {
    let relay = Relay::start();
    let haproxy = with_servers(Setup::mailing_through(&relay).with_digests().threads(2), 10, 100).start();
    let all = names(10, 100);
    say(&haproxy, &all, "down");
    let downs = wait_for_names(&relay, 0, "DOWN", 1000);
    relay.expect_no_more_than(downs.len(), A_WHILE);
    assert!(downs.len() <= 3, "{} mails", downs.len());
    assert_eq!(named(&downs, "DOWN"), all);

    say(&haproxy, &all, "up");
    let ups = wait_for_names(&relay, downs.len(), "UP", 1000);
    relay.expect_no_more_than(downs.len() + ups.len(), A_WHILE);
    assert!(ups.len() <= 3, "{} mails", ups.len());
    assert_eq!(named(&ups, "UP"), all);
    let ids: BTreeSet<&str> = downs.iter().map(|mail| mail.header("Message-ID")).collect();
    let answered: BTreeSet<&str> = ups.iter().flat_map(references).collect();
    assert_eq!(answered, ids);
}

#[test]
fn a_server_that_flaps_is_few_mails() {
    let relay = Relay::start();
    let setup = Setup::mailing_through(&relay).with_digests();
    let setup = setup.global("email_alert.flap 6/3s").global("email_alert.digest 1s");
    let haproxy = with_servers(setup, 1, 2).start();
    for _ in 0..15 {
        for health in ["down", "up"] {
            say(&haproxy, ["b0/s0"], health);
            thread::sleep(Duration::from_millis(200));
        }
    }
    let stable = until("a mail that says that it is stable", || {
        relay.mails().into_iter().find(|mail| mail.text.contains("stable"))
    });
    assert!(stable.text.contains("30 changes"), "{}", stable.text);
    let mails = relay.mails();
    assert!(mails.len() <= 4, "{mails:#?}");
    assert_eq!(references(&stable), [mails[0].header("Message-ID")]);
    relay.expect_no_more_than(mails.len(), Duration::from_secs(2));
}

#[test]
fn down_reminder_and_up_are_one_thread() {
    let relay = Relay::start();
    let haproxy = with_servers(Setup::mailing_through(&relay).with_digests(), 1, 2).start();
    say(&haproxy, ["b0/s0"], "down");
    let down = relay.wait_for_mails(1).remove(0);
    assert_eq!((down.headers.get("References"), down.headers.get("In-Reply-To")), (None, None));
    say(&haproxy, ["b0/s0"], "up");
    let up = relay.wait_for_mails(2).remove(1);
    let root = down.header("Message-ID");
    assert_eq!((up.event(), up.header("References"), up.header("In-Reply-To")), ("up", root, root));
    assert!(up.text.contains("changed from CLI"), "why it was down: {}", up.text);
}

fn checked(name: &str, backend: &Backend) -> String {
    format!("server {name} {} check", backend.address())
}

/// Three servers are down when HAProxy is reloaded: one stays so, one recovers meanwhile, one is not there any more.
fn a_reload_knows(mode: Mode) {
    let (relay, spool) = (Relay::start(), Spool::new());
    let servers = ["lasting", "healed", "removed", "fine"].map(|name| (name, Backend::tcp()));
    let mut lines = servers.each_ref().map(|(name, backend)| checked(name, backend));
    // The old process does not look at it again.
    lines[1] += " downinter 1h";
    let setup = |lines: &[String]| {
        let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
        spool.of(Setup::mailing_through(&relay)).mode(mode).jailed().threads(2).backend("servers", &lines)
    };
    let mut haproxy = setup(&lines).start();
    servers[..3].iter().for_each(|(_, backend)| backend.goes_down());
    let downs = relay.wait_for_mails(3);
    until_true("the troubles to be remembered", || {
        spool.incidents().iter().any(|text| text.matches("\nthread: ").count() == 3)
    });

    servers[1].1.comes_back();
    haproxy.reload_with(&setup(&[lines[0].clone(), lines[1].clone(), lines[3].clone()]));
    let mails = relay.wait_for_mails(5);
    relay.expect_no_more_than(5, Duration::from_secs(3));
    let of = |mails: &[ParsedMail], server: &str| -> ParsedMail {
        let of_it = |mail: &&ParsedMail| mail.header("X-HAProxy-Server") == server;
        mails.iter().find(of_it).unwrap_or_else(|| panic!("no mail about {server}: {mails:#?}")).clone()
    };
    for (server, event) in [("healed", "up"), ("removed", "gone")] {
        let (down, end) = (of(&downs, server), of(&mails[3..], server));
        assert_eq!((end.event(), references(&end)), (event, vec![down.header("Message-ID")]), "{}", end.text);
    }
    servers[0].1.comes_back();
    let up = relay.wait_for_mails(6).remove(5);
    assert_eq!((up.header("X-HAProxy-Server"), up.event()), ("lasting", "up"));
    assert_eq!(references(&up), [of(&downs, "lasting").header("Message-ID")]);
    until_true("nothing to be remembered", || spool.incidents().is_empty());
}

#[test]
fn a_reload_mails_no_known_trouble_again_and_each_end() {
    a_reload_knows(Mode::MasterWorker);
}

#[test]
fn so_does_a_process_that_replaces_another_by_hand() {
    a_reload_knows(Mode::Daemon);
}

#[test]
fn a_killed_process_is_remembered_too() {
    let (relay, spool) = (Relay::start(), Spool::new());
    let (server, other) = (Backend::tcp(), Backend::tcp());
    let line = format!("{} downinter 1h", checked("s1", &server));
    let setup = spool.of(Setup::mailing_through(&relay)).jailed();
    let mut haproxy = setup.backend("servers", &[&line, &checked("s2", &other)]).start();
    server.goes_down();
    let down = relay.wait_for_mails(1).remove(0);
    until_true("the trouble to be remembered", || !spool.incidents().is_empty());
    haproxy.kill(haproxy.worker());
    server.comes_back();
    haproxy.start_again();
    let up = relay.wait_for_mails(2).remove(1);
    assert_eq!((up.event(), references(&up)), ("up", vec![down.header("Message-ID")]));
    relay.expect_no_more_than(2, Duration::from_secs(3));
}

#[test]
fn news_that_wait_for_a_digest_survive_a_kill() {
    let (relay, spool) = (Relay::start(), Spool::new());
    let setup = spool.of(Setup::mailing_through(&relay)).with_digests().global("email_alert.digest 1m");
    let mut haproxy = with_servers(setup.jailed(), 1, 10).start();
    let downs: Vec<String> = (0..8).map(|server| format!("b0/s{server}")).collect();
    say(&haproxy, &downs, "down");
    assert_eq!(named(&relay.wait_for_mails(1), "DOWN").len(), 1);
    relay.expect_no_more_than(1, Duration::from_secs(2));
    haproxy.kill(haproxy.worker());
    haproxy.start_again();
    wait_for_names(&relay, 0, "DOWN", 8);
}

#[test]
fn news_that_wait_for_a_digest_are_told_when_the_process_ends() {
    let relay = Relay::start();
    let setup = Setup::mailing_through(&relay).with_digests().global("email_alert.digest 1m");
    let mut haproxy = with_servers(setup, 1, 10).start();
    let downs: Vec<String> = (0..8).map(|server| format!("b0/s{server}")).collect();
    say(&haproxy, &downs, "down");
    relay.wait_for_mails(1);
    haproxy.signal(Signal::SIGTERM);
    haproxy.wait_for_end();
    assert_eq!(named(&relay.wait_for_mails(2), "DOWN").len(), 8);
}
