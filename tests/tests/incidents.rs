// SPDX-License-Identifier: MIT OR Apache-2.0
//! One mail for one trouble: digests, threads, flapping, and what a new process knows of an old one's.

use std::{
    collections::BTreeSet,
    thread,
    time::{Duration, Instant},
};

use end_to_end::{
    Backend, Haproxy, Mode, ParsedMail, Relay, Setup, Spool, cli::Conversation, haproxy::Signal, until,
    until_true,
};

/// Long enough for a mail that should not be to show: longer than the default digest.
const A_WHILE: Duration = Duration::from_secs(6);

/// How often a server changes that flaps.
const FLIP: Duration = Duration::from_millis(400);

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
    // The first one waits for nothing; a digest would take seconds.
    let change = haproxy.log().lines_with(" is DOWN")[0].received;
    let first = relay.deliveries()[0].accepted.saturating_duration_since(change);
    assert!(first < Duration::from_secs(1), "{first:?}");
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
    let setup = setup.global("email_alert.flap 6/3s").global("email_alert.digest 2s");
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

/// With what is usual.
#[test]
fn a_server_that_flaps_for_a_minute_is_at_most_four_mails() {
    let relay = Relay::start();
    let haproxy = with_servers(Setup::mailing_through(&relay).with_digests(), 1, 2).start();
    let start = Instant::now();
    let mut changes = 0;
    while start.elapsed() < Duration::from_secs(60) {
        say(&haproxy, ["b0/s0"], if changes % 2 == 0 { "down" } else { "up" });
        changes += 1;
        thread::sleep((start + FLIP * changes).saturating_duration_since(Instant::now()));
    }
    assert!(changes >= 100, "{changes} changes");
    relay.expect_no_more_than(relay.mail_count(), A_WHILE);
    let mails = relay.mails();
    assert!(mails.len() <= 4, "{mails:#?}");
    assert!(mails.iter().any(|mail| mail.text.contains("flapping")), "{mails:#?}");
}

#[test]
fn what_flaps_goes_on_with_that_after_a_reload() {
    let (relay, spool) = (Relay::start(), Spool::new());
    let setup = spool.of(Setup::mailing_through(&relay)).with_digests().jailed().mode(Mode::MasterWorker);
    let setup = setup.global("email_alert.flap 4/5s").global("email_alert.digest 1s");
    let mut haproxy = with_servers(setup, 1, 3).start();
    // The digest begins before it flaps.
    say(&haproxy, ["b0/s1"], "down");
    for health in ["down", "up", "down", "up", "down", "up"] {
        say(&haproxy, ["b0/s0"], health);
    }
    let of_it = || -> Vec<ParsedMail> {
        relay.mails().into_iter().filter(|mail| mail.text.contains("b0/s0 ")).collect()
    };
    until_true("a mail that it flaps", || of_it().len() == 1);
    until_true("that to be remembered", || {
        spool
            .incidents()
            .iter()
            .any(|text| text.contains("\"flapping\":{") && text.contains("\"changes\":6,"))
    });
    haproxy.reload();
    for health in ["down", "up", "down", "up"] {
        say(&haproxy, ["b0/s0"], health);
    }
    until_true("a mail that it is stable", || of_it().len() == 2);
    relay.expect_no_more_than(relay.mail_count(), Duration::from_secs(2));
    let [flaps, stable] = of_it().try_into().expect("two mails");
    assert!(flaps.text.contains("flapping"), "{}", flaps.text);
    assert!(stable.text.contains("stable again") && stable.text.contains("10 changes"), "{}", stable.text);
    assert_eq!(references(&stable), [flaps.header("Message-ID")]);
    until_true("nothing to be remembered", || spool.incidents().is_empty());
}

/// One cause, one section: what follows a server, and what is on the same host.
#[test]
fn a_digest_has_what_has_a_cause_in_common_together() {
    let (relay, master) = (Relay::start(), Backend::tcp());
    let setup = Setup::mailing_through(&relay).with_digests().global("email_alert.digest 2s");
    let mut setup = with_servers(setup, 1, 2);
    let spare = |host: u8, n: usize| format!("server spare 127.0.{host}.{n}:1");
    setup = setup.backend("origin", &[&checked("master", &master), &spare(9, 0)]);
    for n in 0..5 {
        setup =
            setup.backend(&format!("t{n}"), &["server s 127.0.8.1:1 track origin/master", &spare(8, n + 2)]);
    }
    for n in 0..10 {
        setup = setup.backend(&format!("h{n}"), &["server s 127.0.7.1:1", &spare(7, n + 2)]);
    }
    let haproxy = setup.start();
    say(&haproxy, ["b0/s0"], "down");
    relay.wait_for_mails(1);
    // All of the rest is in the next one.
    say(&haproxy, (0..10).map(|n| format!("h{n}/s")), "down");
    master.goes_down();
    let text = relay.wait_for_mails(2).remove(1).text;
    let section = |head: &str| -> BTreeSet<String> {
        let of_it = text.split("-- ").find(|section| section.starts_with(head));
        let lines = of_it.unwrap_or_else(|| panic!("no section '{head}' in {text}")).lines().skip(1);
        lines.filter_map(|line| Some(line.split_once(" DOWN")?.0.to_owned())).collect()
    };
    let hosts: BTreeSet<String> = (0..10).map(|n| format!("h{n}/s")).collect();
    assert_eq!(section("host 127.0.7.1: 10 servers DOWN"), hosts);
    let trackers = (0..5).map(|n| format!("t{n}/s")).chain(["origin/master".to_owned()]).collect();
    assert_eq!(section("origin/master and what tracks it: 6 servers DOWN"), trackers);
    relay.expect_no_more_than(2, Duration::from_secs(3));
}

#[test]
fn a_slow_start_returns_once_in_a_digest() {
    let (relay, first) = (Relay::start(), Backend::tcp());
    // As in the story of state_changes: a single second may be over at once.
    let slow = format!("{} slowstart 2s", checked("slow", &first));
    let setup = Setup::mailing_through(&relay).with_digests().global("email_alert.digest 3s");
    let haproxy = setup.backend("servers", &[&slow, "server other 127.0.0.1:1"]).start();
    first.goes_down();
    let down = relay.wait_for_mails(1).remove(0);
    first.comes_back();
    haproxy.log().wait_for_count(2, "servers/slow is UP");
    let up = relay.wait_for_mails(2).remove(1);
    relay.expect_no_more_than(2, Duration::from_secs(4));
    assert_eq!((up.event(), references(&up)), ("up", vec![down.header("Message-ID")]));
    assert!(!up.text.contains("changes"), "{}", up.text);
}

#[test]
fn a_server_that_is_added_and_deleted_with_an_open_incident_is_one_thread() {
    let (relay, spool) = (Relay::start(), Spool::new());
    let added = Backend::tcp();
    let setup = spool.of(Setup::mailing_through(&relay)).with_digests().global("email_alert.digest 500ms");
    let setup = setup.jailed().backend("servers", &["balance roundrobin", "server first 127.0.0.1:1"]);
    let mut haproxy = setup.start();
    haproxy.cli_do(&format!("add server servers/added {} check inter 100ms fall 1 rise 1", added.address()));
    haproxy.cli_do("enable health servers/added");
    haproxy.cli_do("enable server servers/added");
    added.goes_down();
    let down = relay.wait_for_mails(1).remove(0);
    assert_eq!((down.event(), down.header("X-HAProxy-Server")), ("down", "added"));
    // HAProxy wants it in maintenance for that, and tells of the end to nobody.
    haproxy.cli_do("disable server servers/added");
    haproxy.cli("del server servers/added");
    assert!(!haproxy.cli("show servers state servers").contains("added"), "it was not deleted");
    until_true("the trouble to be remembered", || {
        spool.incidents().iter().any(|text| text.contains("\"server\":\"added\""))
    });
    haproxy.kill(haproxy.worker());
    haproxy.start_again();
    let gone = relay.wait_for_mails(2).remove(1);
    assert_eq!((gone.event(), references(&gone)), ("gone", vec![down.header("Message-ID")]), "{}", gone.text);
    until_true("nothing to be remembered", || spool.incidents().is_empty());
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
        spool.incidents().iter().any(|text| text.matches("\"thread\":{").count() == 3)
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
