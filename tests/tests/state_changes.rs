// SPDX-License-Identifier: MIT OR Apache-2.0
//! Each change of a server's state is mailed once, in the words of HAProxy's own log.

use std::time::Duration;

use end_to_end::{
    Backend, Haproxy, Nameserver, Relay, Setup,
    story::{expect_mails, expect_mails_beyond_the_log, news},
    until_true,
};

/// Long enough for a second mail, a repeated check or a wrong event to show.
const A_WHILE: Duration = Duration::from_millis(600);

const ALL_KINDS: &str = "down,up,maint,ready,drain,nolb,backend-down,backend-up";

fn server(name: &str, backend: &Backend) -> String {
    format!("server {name} {} check", backend.address())
}

/// A server whose checks leave it alone once the first has passed: what happens to it is what the test commands.
fn quiet_server(name: &str, backend: &Backend) -> String {
    format!("{} inter 1h", server(name, backend))
}

#[track_caller]
fn wait_for_first_check(haproxy: &Haproxy, server: &str) {
    let is_checked = |line: &str| line.starts_with(&server.replace('/', ",")) && line.contains(",L4OK,");
    until_true("the first check", || haproxy.cli("show stat").lines().any(is_checked));
}

#[test]
fn a_server_that_goes_down_and_comes_back_is_mailed_once_each() {
    let (relay, [first, second]) = (Relay::start(), [Backend::tcp(), Backend::tcp()]);
    let lines = [server("server1", &first), server("server2", &second)];
    let haproxy = Setup::mailing_through(&relay).backend("servers", &[&lines[0], &lines[1]]).start();

    second.goes_down();
    let down =
        news("down", "servers/server2", "Server servers/server2 is DOWN, reason: Layer4 connection problem");
    expect_mails(&haproxy, &relay, &[down]);
    relay.expect_no_more_than(1, A_WHILE);

    second.comes_back();
    let up = news("up", "servers/server2", "Server servers/server2 is UP, reason: Layer4 check passed");
    expect_mails(&haproxy, &relay, &[down, up]);
    relay.expect_no_more_than(2, A_WHILE);
    assert_eq!(haproxy.log().state_changes().len(), 2);
}

#[test]
fn the_counts_and_durations_of_the_log_are_in_the_mail() {
    let (relay, [first, second]) = (Relay::start(), [Backend::tcp(), Backend::tcp()]);
    let lines = [server("server1", &first), server("server2", &second)];
    let haproxy = Setup::mailing_through(&relay).backend("servers", &[&lines[0], &lines[1]]).start();
    second.goes_down();
    // HAProxy's words for the reason, and how long it takes to find it, differ from one version or run to the next.
    let line = haproxy.log().wait_for("is DOWN").text;
    let counts =
        "ms. 1 active and 0 backup servers left. 0 sessions active, 0 requeued, 0 remaining in queue.";
    assert!(
        line.contains("Connection refused") && line.contains(", check duration: ") && line.ends_with(counts),
        "{line}"
    );
    expect_mails(&haproxy, &relay, &[news("down", "servers/server2", &line)]);
}

#[test]
fn a_server_that_does_not_answer_is_down_with_a_timeout() {
    let (relay, [first, second]) = (Relay::start(), [Backend::tcp(), Backend::tcp()]);
    let lines = [server("server1", &first), server("server2", &second)];
    let haproxy = Setup::mailing_through(&relay).backend("servers", &[&lines[0], &lines[1]]).start();
    second.hangs();
    // of 100 ms, for which HAProxy may have waited 99
    let down = "Server servers/server2 is DOWN, reason: Layer4 timeout, check duration: ";
    expect_mails(&haproxy, &relay, &[news("down", "servers/server2", down)]);
}

#[test]
fn a_failing_http_check_is_mailed_with_its_code() {
    let (relay, [first, second]) = (Relay::start(), [Backend::http(), Backend::http()]);
    let lines = [server("server1", &first), server("server2", &second)];
    let haproxy =
        Setup::mailing_through(&relay).backend("servers", &["option httpchk", &lines[0], &lines[1]]).start();
    first.answers(503);
    let down =
        "is DOWN, reason: Layer7 wrong status, code: 503, info: \"Service Unavailable\", check duration: ";
    let down = news("down", "servers/server1", down);
    expect_mails(&haproxy, &relay, &[down]);
    first.answers(200);
    let up = news("up", "servers/server1", "is UP, reason: Layer7 check passed, code: 200, check duration: ");
    expect_mails(&haproxy, &relay, &[down, up]);
}

#[test]
fn an_agent_takes_a_server_down_and_up() {
    let (relay, [first, second]) = (Relay::start(), [Backend::tcp(), Backend::tcp()]);
    let agent = Backend::agent("up");
    let with_agent = format!(
        "{} agent-check agent-addr 127.0.0.1 agent-port {} agent-inter 100ms",
        server("server1", &first),
        agent.address().port()
    );
    let haproxy = Setup::mailing_through(&relay)
        .events(ALL_KINDS)
        .backend("servers", &[&with_agent, &server("server2", &second)])
        .start();
    until_true("the first answer of the agent", || haproxy.cli("show stat").contains("L7OK"));

    agent.agent_says("down #out of disk");
    let down = "is DOWN, reason: Layer7 wrong status, code: 0, info: \"via agent : down (out of disk)\"";
    let down = news("down", "servers/server1", down);
    expect_mails(&haproxy, &relay, &[down]);
    agent.agent_says("up");
    let up = news("up", "servers/server1", "Server servers/server1 is UP");
    expect_mails(&haproxy, &relay, &[down, up]);
    agent.agent_says("drain");
    let drain = news("drain", "servers/server1", "Server servers/server1 enters drain state");
    expect_mails(&haproxy, &relay, &[down, up, drain]);
    agent.agent_says("ready");
    let undrained = news("ready", "servers/server1", "Server servers/server1 is UP (leaving forced drain).");
    expect_mails(&haproxy, &relay, &[down, up, drain, undrained]);
    agent.agent_says("maint");
    let maint = news("maint", "servers/server1", "Server servers/server1 is going DOWN for maintenance");
    expect_mails(&haproxy, &relay, &[down, up, drain, undrained, maint]);
    relay.expect_no_more_than(5, A_WHILE);
}

#[test]
fn servers_that_track_another_are_mailed_with_it() {
    let (relay, tracked) = (Relay::start(), Backend::tcp());
    let tracker = format!("server mirror {} track origin/server1", tracked.address());
    let haproxy = Setup::mailing_through(&relay)
        .events("down,up,maint,ready,drain")
        .backend("origin", &[&server("server1", &tracked)])
        .backend("follower", &[&tracker])
        .start();
    tracked.goes_down();
    let mut expected = vec![
        news("down", "origin/server1", "is DOWN, reason: Layer4"),
        news("down", "follower/mirror", "Server follower/mirror is DOWN via origin/server1."),
    ];
    expect_mails(&haproxy, &relay, &expected);
    tracked.comes_back();
    expected.push(news("up", "origin/server1", "is UP, reason: Layer4"));
    expected.push(news("up", "follower/mirror", "Server follower/mirror is UP via origin/server1."));
    expect_mails(&haproxy, &relay, &expected);
    haproxy.cli_do("disable server origin/server1");
    expected.push(news("maint", "origin/server1", "is going DOWN for maintenance"));
    expected.push(news("maint", "follower/mirror", "is going DOWN for maintenance via origin/server1."));
    expect_mails(&haproxy, &relay, &expected);
    haproxy.cli_do("enable server origin/server1");
    expected.push(news("ready", "origin/server1", "is UP/READY (leaving forced maintenance)."));
    expected.push(news("ready", "follower/mirror", "is UP/READY (leaving maintenance)"));
    expect_mails(&haproxy, &relay, &expected);
    haproxy.cli_do("set server origin/server1 state drain");
    expected.push(news("drain", "origin/server1", "enters drain state"));
    expected.push(news("drain", "follower/mirror", "enters drain state via origin/server1."));
    expect_mails(&haproxy, &relay, &expected);
    // Here HAProxy's words are not the same in all versions.
    for (command, event, words) in [
        ("set server follower/mirror state drain", "drain", "follower/mirror remains in forced drain mode."),
        ("set server follower/mirror state ready", "drain", "remains in drain mode via origin/server1."),
    ] {
        haproxy.cli_do(command);
        expected.push(news(event, "follower/mirror", words));
        expect_mails(&haproxy, &relay, &expected);
    }
    haproxy.cli_do("set server origin/server1 state ready");
    expected.push(news("ready", "origin/server1", "is UP (leaving forced drain)."));
    expected.push(news("ready", "follower/mirror", "Server follower/mirror is UP (leaving "));
    expect_mails(&haproxy, &relay, &expected);
    relay.expect_no_more_than(expected.len(), A_WHILE);
}

#[test]
fn backup_servers_are_called_so() {
    let (relay, [main, backup]) = (Relay::start(), [Backend::tcp(), Backend::tcp()]);
    let lines = [server("main", &main), format!("{} backup", server("spare", &backup))];
    let haproxy = Setup::mailing_through(&relay).backend("servers", &[&lines[0], &lines[1]]).start();
    main.goes_down();
    let on_backup = "0 active and 1 backup servers left. Running on backup. 0 sessions active";
    let mut expected = vec![news("down", "servers/main", on_backup)];
    expect_mails(&haproxy, &relay, &expected);
    backup.goes_down();
    expected.push(news("down", "servers/spare", "Backup Server servers/spare is DOWN, reason: "));
    expected.push(news("backend-down", "servers", "backend servers has no server available!"));
    expect_mails(&haproxy, &relay, &expected);
    backup.comes_back();
    expected.push(news("up", "servers/spare", "Backup Server servers/spare is UP, reason: "));
    expected.push(news("backend-up", "servers", "servers"));
    expect_mails(&haproxy, &relay, &expected);
}

#[test]
fn the_last_server_of_a_backend_takes_the_backend_with_it() {
    let (relay, last) = (Relay::start(), Backend::tcp());
    let haproxy = Setup::mailing_through(&relay).backend("servers", &[&server("last", &last)]).start();
    last.goes_down();
    let mut expected = vec![
        news("down", "servers/last", "is DOWN, reason: "),
        news("backend-down", "servers", "backend servers has no server available!"),
    ];
    expect_mails(&haproxy, &relay, &expected);
    last.comes_back();
    expected.push(news("up", "servers/last", "is UP, reason: "));
    expected.push(news("backend-up", "servers", "backend servers has a server available again"));
    expect_mails(&haproxy, &relay, &expected);
    relay.expect_no_more_than(4, A_WHILE);
    let events: Vec<_> = relay.mails().iter().map(|mail| mail.event().to_owned()).collect();
    assert_eq!(
        events,
        ["down", "backend-down", "up", "backend-up"],
        "the server's mail comes before the backend's"
    );
}

#[test]
fn a_listen_section_is_called_as_in_the_log() {
    let (relay, last) = (Relay::start(), Backend::tcp());
    let haproxy = Setup::mailing_through(&relay)
        .section("listen web", &["bind \"${TEST_DIRECTORY}/web.sock\"", &server("last", &last)])
        .start();
    last.goes_down();
    let down = news("down", "web/last", "Server web/last is DOWN");
    expect_mails(
        &haproxy,
        &relay,
        &[down, news("backend-down", "web", "proxy web has no server available!")],
    );
}

#[test]
fn the_weight_of_the_last_server_can_empty_and_refill_a_backend() {
    let (relay, last) = (Relay::start(), Backend::tcp());
    let haproxy = Setup::mailing_through(&relay).backend("servers", &[&server("last", &last)]).start();
    wait_for_first_check(&haproxy, "servers/last");
    haproxy.cli_do("set server servers/last weight 0");
    let down = news("backend-down", "servers", "backend servers has no server available!");
    expect_mails(&haproxy, &relay, &[down]);
    haproxy.cli_do("set server servers/last weight 1");
    expect_mails(&haproxy, &relay, &[down, news("backend-up", "servers", "servers")]);
    relay.expect_no_more_than(2, A_WHILE);
}

#[test]
fn maintenance_and_drain_by_command_are_mailed_when_asked_for() {
    let (relay, [first, second]) = (Relay::start(), [Backend::tcp(), Backend::tcp()]);
    let haproxy = Setup::mailing_through(&relay)
        .events(ALL_KINDS)
        .backend("servers", &[&quiet_server("server1", &first), &quiet_server("server2", &second)])
        .start();
    wait_for_first_check(&haproxy, "servers/server1");
    let story = [
        (
            "disable server servers/server1",
            "maint",
            "is going DOWN for maintenance. 1 active and 0 backup servers left.",
        ),
        ("enable server servers/server1", "ready", "is UP/READY (leaving forced maintenance)."),
        ("set server servers/server1 state maint", "maint", "is going DOWN for maintenance. 1 active"),
        ("set server servers/server1 state ready", "ready", "is UP/READY (leaving forced maintenance)."),
        (
            "set server servers/server1 state drain",
            "drain",
            "enters drain state. 1 active and 0 backup servers online.",
        ),
        ("set server servers/server1 state ready", "ready", "is UP (leaving forced drain)."),
        ("set server servers/server1 health down", "down", "is DOWN, changed from CLI. 1 active"),
        ("set server servers/server1 state maint", "maint", "was DOWN and now enters maintenance."),
        ("set server servers/server1 state ready", "ready", "is UP/READY (leaving forced maintenance)."),
        ("set server servers/server1 health stopping", "nolb", "is stopping, changed from CLI. 1 active"),
        ("set server servers/server1 health up", "up", "is UP, changed from CLI. 2 active"),
    ];
    let mut expected = Vec::new();
    for (command, event, words) in story {
        haproxy.cli_do(command);
        expected.push(news(event, "servers/server1", words));
        expect_mails(&haproxy, &relay, &expected);
    }
    relay.expect_no_more_than(expected.len(), A_WHILE);
}

#[test]
fn without_events_maintenance_and_its_end_are_not_mailed() {
    let (relay, [first, second]) = (Relay::start(), [Backend::tcp(), Backend::tcp()]);
    let haproxy = Setup::mailing_through(&relay)
        .backend("servers", &[&quiet_server("server1", &first), &quiet_server("server2", &second)])
        .start();
    wait_for_first_check(&haproxy, "servers/server1");
    haproxy.cli_do("set server servers/server1 state maint");
    haproxy.cli_do("set server servers/server1 state ready");
    haproxy.cli_do("set server servers/server1 health stopping");
    haproxy.cli_do("set server servers/server1 health up");
    haproxy.cli_do("set server servers/server1 state drain");
    haproxy.cli_do("set server servers/server1 state ready");
    let back = news("up", "servers/server1", "is UP, changed from CLI");
    let drained = news("drain", "servers/server1", "enters drain state");
    expect_mails(&haproxy, &relay, &[back, drained]);
    relay.expect_no_more_than(2, A_WHILE);
}

#[test]
fn a_server_that_sends_its_clients_away_with_404_is_stopping() {
    let (relay, [first, second]) = (Relay::start(), [Backend::http(), Backend::http()]);
    let lines = [server("server1", &first), server("server2", &second)];
    let haproxy = Setup::mailing_through(&relay)
        .events(ALL_KINDS)
        .backend("servers", &["option httpchk", "http-check disable-on-404", &lines[0], &lines[1]])
        .start();
    first.answers(404);
    let mut expected = vec![news(
        "nolb",
        "servers/server1",
        "is stopping, reason: Layer7 check conditionally passed, code: 404, check duration: ",
    )];
    expect_mails(&haproxy, &relay, &expected);
    first.answers(200);
    expected.push(news("up", "servers/server1", "is UP, reason: Layer7 check passed, code: 200"));
    expect_mails(&haproxy, &relay, &expected);
    relay.expect_no_more_than(2, A_WHILE);
}

#[test]
fn a_server_added_at_run_time_is_watched_too() {
    let (relay, [first, added]) = (Relay::start(), [Backend::tcp(), Backend::tcp()]);
    let haproxy = Setup::mailing_through(&relay)
        .events(ALL_KINDS)
        .backend("servers", &["balance roundrobin", &server("server1", &first)])
        .start();
    haproxy.cli_do(&format!("add server servers/added {} check inter 100ms fall 1 rise 1", added.address()));
    haproxy.cli_do("enable health servers/added");
    haproxy.cli_do("enable server servers/added");
    let ready = news("ready", "servers/added", "is UP/READY (leaving forced maintenance).");
    expect_mails(&haproxy, &relay, &[ready]);
    added.goes_down();
    let down = news("down", "servers/added", "is DOWN, reason: Layer4 connection problem");
    expect_mails(&haproxy, &relay, &[ready, down]);
    added.comes_back();
    let up = news("up", "servers/added", "is UP, reason: Layer4 check passed");
    expect_mails(&haproxy, &relay, &[ready, down, up]);
    haproxy.cli_do("disable server servers/added");
    let maint = news("maint", "servers/added", "is going DOWN for maintenance");
    expect_mails(&haproxy, &relay, &[ready, down, up, maint]);
    haproxy.cli("del server servers/added");
    relay.expect_no_more_than(4, A_WHILE);
}

#[test]
fn a_slow_start_is_one_return_and_not_two() {
    let (relay, [first, second]) = (Relay::start(), [Backend::tcp(), Backend::tcp()]);
    // HAProxy counts in whole seconds, from before the first check that passes: one of them may be over at once.
    let slow = format!("{} slowstart 2s", server("slow", &first));
    let haproxy = Setup::mailing_through(&relay)
        .events(ALL_KINDS)
        .backend("servers", &[&slow, &server("other", &second)])
        .start();
    first.goes_down();
    let down = news("down", "servers/slow", "is DOWN");
    expect_mails(&haproxy, &relay, &[down]);
    first.comes_back();
    let up = news("up", "servers/slow", "is UP, reason: Layer4 check passed");
    expect_mails(&haproxy, &relay, &[down, up]);
    haproxy.log().wait_for_count(2, "servers/slow is UP");
    relay.expect_no_more_than(2, A_WHILE);
}

#[test]
fn with_log_health_checks_the_mail_still_has_the_reason() {
    let (relay, [first, second]) = (Relay::start(), [Backend::http(), Backend::http()]);
    let lines = [server("server1", &first), server("server2", &second)];
    let haproxy = Setup::mailing_through(&relay)
        .backend("servers", &["option httpchk", "option log-health-checks", &lines[0], &lines[1]])
        .start();
    first.answers(500);
    let without_reason = haproxy.log().wait_for("Server servers/server1 is DOWN. 1 active").text;
    let words = "Server servers/server1 is DOWN, reason: Layer7 wrong status, code: 500, \
                 info: \"Internal Server Error\", check duration: ";
    expect_mails_beyond_the_log(&relay, &[news("down", "servers/server1", words)]);
    let (_, counts) = without_reason.split_once("is DOWN").expect("the line that was waited for");
    let mail = relay.mails().remove(0);
    assert!(mail.first_line().ends_with(counts), "{:?} does not end with {counts:?}", mail.first_line());
}

#[test]
fn single_check_results_are_mailed_when_asked_for() {
    let (relay, [first, second]) = (Relay::start(), [Backend::http(), Backend::http()]);
    let line = format!("{} fall 3 rise 2", server("server1", &first));
    let haproxy = Setup::mailing_through(&relay)
        .events("check,down")
        .backend("servers", &["option httpchk", "option log-health-checks", &line])
        .backend("silent", &["option httpchk", &server("server2", &second)])
        .start();
    let result = |words| news("check", "servers/server1", words);
    let mut expected =
        vec![result("Health check for server servers/server1 succeeded, reason: Layer7 check passed")];
    expect_mails_beyond_the_log(&relay, &expected);
    second.answers(503);
    first.answers(503);
    for words in ["status: 2/3 UP.", "status: 1/3 UP.", "status: 0/2 DOWN."] {
        expected.push(result(words));
    }
    expected.push(news("down", "servers/server1", "Server servers/server1 is DOWN"));
    expected.push(news("down", "silent/server2", "Server silent/server2 is DOWN"));
    expect_mails_beyond_the_log(&relay, &expected);
    for mail in relay.mails().iter().filter(|mail| mail.event() == "check") {
        haproxy.log().wait_for(mail.first_line());
    }
    relay.expect_no_more_than(expected.len(), A_WHILE);
}

#[test]
fn several_recipients_get_one_mail() {
    let (relay, [first, second]) = (Relay::start(), [Backend::tcp(), Backend::tcp()]);
    let lines = [server("server1", &first), server("server2", &second)];
    let haproxy = Setup::mailing_through(&relay)
        .to("ops@example.com,boss@example.org")
        .backend("servers", &[&lines[0], &lines[1]])
        .start();
    first.goes_down();
    let delivery = relay.wait_for_deliveries(1).remove(0);
    assert_eq!(delivery.from, "lb1@example.com");
    assert_eq!(delivery.recipients, ["ops@example.com", "boss@example.org"]);
    assert_eq!(delivery.mail().to, ["ops@example.com", "boss@example.org"]);
    assert_eq!(delivery.mail().first_line(), haproxy.log().wait_for("is DOWN").text);
}

#[test]
fn each_mail_has_an_id_of_its_own() {
    let (relay, backends) = (Relay::start(), [Backend::tcp(), Backend::tcp()]);
    let lines = [server("server1", &backends[0]), server("server2", &backends[1])];
    let _haproxy = Setup::mailing_through(&relay).backend("servers", &[&lines[0], &lines[1]]).start();
    backends[0].goes_down();
    relay.wait_for_mails(1);
    backends[0].comes_back();
    relay.wait_for_mails(2);
    let ids: Vec<_> = relay.mails().iter().map(|mail| mail.header("Message-ID").to_owned()).collect();
    assert_ne!(ids[0], ids[1]);
    assert!(ids.iter().all(|id| id.starts_with('<') && id.ends_with("@lb1.example.com>")), "{ids:?}");
}

#[test]
fn one_line_with_a_recipient_is_enough() {
    let (relay, backends) = (Relay::start(), [Backend::tcp(), Backend::tcp()]);
    let lines = [server("server1", &backends[0]), server("server2", &backends[1])];
    let _haproxy = Setup::without_alerts()
        .global("email_alert to@email.com")
        .relay("test", relay.address())
        .backend("servers", &[&lines[0], &lines[1]])
        .start();
    backends[0].goes_down();
    let delivery = relay.wait_for_deliveries(1).remove(0);
    let mail = delivery.mail();
    let host = mail.header("X-HAProxy-Host");
    let own_name = std::fs::read_to_string("/proc/sys/kernel/hostname").expect("the name of this machine");
    assert!(host.starts_with(own_name.trim()), "{host:?} is not {own_name:?}");
    assert_eq!((&*delivery.from, &*mail.from), (&*format!("haproxy@{host}"), &*format!("haproxy@{host}")));
    assert_eq!(delivery.recipients, ["to@email.com"]);
}

#[test]
fn the_counters_tell_what_was_done() {
    let (relay, last) = (Relay::start(), Backend::tcp());
    let haproxy = Setup::mailing_through(&relay).backend("servers", &[&server("last", &last)]).start();
    let counters = || haproxy.cli("show email-alert").trim().replace('\n', ", ");
    assert_eq!(counters(), "accepted: 0, dropped: 0, waiting: 0, delivered: 0, failed: 0, retried: 0");
    last.goes_down();
    relay.wait_for_mails(2);
    let done = "accepted: 1, dropped: 0, waiting: 0, delivered: 2, failed: 0, retried: 0";
    until_true("the counters", || counters() == done);
}

#[test]
fn a_server_whose_name_no_longer_resolves_is_in_maintenance_until_it_does() {
    let (relay, backends, names) = (Relay::start(), [Backend::tcp(), Backend::tcp()], Nameserver::start());
    let port = backends[0].address().port();
    let named = format!("server named app.example.test:{port} check resolvers names init-addr none");
    let nameserver = format!("nameserver test {}", names.address());
    let fast = [
        "hold valid 100ms",
        "hold nx 100ms",
        "hold other 100ms",
        "timeout resolve 100ms",
        "timeout retry 100ms",
    ];
    let haproxy = Setup::mailing_through(&relay)
        .events(ALL_KINDS)
        .section("resolvers names", &[&[&*nameserver], &fast[..]].concat())
        .backend("servers", &[&named, &server("other", &backends[1])])
        .start();
    let again = "Server servers/named ('app.example.test') is UP/READY (resolves again).";
    let mut expected = vec![news("ready", "servers/named", again)];
    expect_mails(&haproxy, &relay, &expected);
    names.forget();
    expected.push(news(
        "maint",
        "servers/named",
        "Server servers/named is going DOWN for maintenance (DNS NX status)",
    ));
    expect_mails(&haproxy, &relay, &expected);
    names.remember();
    expected.push(news("ready", "servers/named", again));
    expect_mails(&haproxy, &relay, &expected);
    relay.expect_no_more_than(3, A_WHILE);
}
