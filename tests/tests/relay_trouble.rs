// SPDX-License-Identifier: MIT OR Apache-2.0
//! Stories of relays in trouble: HAProxy's traffic goes on, its log says once what is wrong, and no mail is lost.
//!
//! What a relay can do wrong at all is in `fault_matrix.rs`.

use std::time::Duration;

use end_to_end::{
    Act, Backend, Haproxy, Relay, Setup, Step, patience,
    story::{expect_mails, news},
    syslog::Line,
};

/// Two servers behind one frontend; the first is the one that fails.
struct Site {
    first: Backend,
    _second: Backend,
    haproxy: Haproxy,
}

impl Site {
    #[track_caller]
    fn with(setup: Setup) -> Self {
        let (first, second) = (Backend::http(), Backend::http());
        let server = |name: &str, backend: &Backend| format!("server {name} {} check", backend.address());
        let haproxy = setup
            .frontend("servers")
            .backend("servers", &[&server("server1", &first), &server("server2", &second)])
            .threads(2)
            .jailed()
            .start();
        Site { first, _second: second, haproxy }
    }

    fn troubles(&self, relay: &str) -> Vec<Line> {
        let mut lines = self.haproxy.log().lines_with(&format!("email_alert: relay {relay}: "));
        lines.retain(|line| !line.text.contains("works again"));
        lines
    }
}

#[test]
fn the_second_relay_takes_over_from_one_that_hangs() {
    let (first, second) = (Relay::start(), Relay::start());
    first.at(Step::Mail, Act::Hang);
    let setup = Setup::with_alerts()
        .global(&format!("email_alert.relay mx1 {} timeout 500ms", first.address()))
        .relay("mx2", second.address());
    let site = Site::with(setup);
    site.first.goes_down();
    expect_mails(&site.haproxy, &second, &[news("down", "servers/server1", "is DOWN")]);
    // The first one rests, longer each time: not every mail waits for it again.
    for count in 1..=3 {
        site.first.comes_back();
        second.wait_for_mails(2 * count);
        site.first.goes_down();
        second.wait_for_mails(2 * count + 1);
    }
    assert!(first.sessions().len() <= 4, "seven mails, but {}", first.story());
    site.haproxy.log().wait_for("email_alert: relay mx1: ");
    assert_eq!(site.troubles("mx1").len(), 1, "{}", site.haproxy.log().story());
}

#[test]
fn the_status_names_the_relay_that_fails_and_its_last_error() {
    let (first, second) = (Relay::start(), Relay::start());
    first.at(Step::Mail, Act::Hang);
    let setup = Setup::with_alerts()
        .global(&format!("email_alert.relay mx1 {} timeout 500ms", first.address()))
        .relay("mx2", second.address());
    let site = Site::with(setup);
    let status = || site.haproxy.cli("show email-alert json");
    let untried = "{\"name\":\"mx1\",\"health\":\"untried\"}";
    assert!(status().contains(untried), "{}", status());
    site.first.goes_down();
    second.wait_for_mails(1);
    let relays = end_to_end::until("the relays' status", || {
        Some(status()).filter(|status| status.contains("\"health\":\"working\""))
    });
    assert!(relays.contains("\"name\":\"mx1\",\"health\":\"backing-off\",\"retry_in\":"), "{relays}");
    assert!(relays.contains("\"last_error\":\"MAIL FROM at "), "{relays}");
    assert!(relays.contains("no answer within 500ms"), "{relays}");
    let wrong = site.haproxy.cli("show email-alert jason");
    assert!(wrong.contains("unknown command; expected one of: show email-alert [json]"), "{wrong}");
}

#[test]
fn a_relay_that_defers_its_first_mail_is_shown_as_working_with_the_error() {
    let relay = Relay::start();
    relay.at(Step::Rcpt, Act::reply("450 4.7.1 greylisted"));
    let site = Site::with(Setup::with_alerts().relay("mx1", relay.address()));
    site.first.goes_down();
    let relays = end_to_end::until("the relay's error", || {
        Some(site.haproxy.cli("show email-alert json"))
            .filter(|status| status.contains("450 4.7.1 greylisted"))
    });
    assert!(
        relays.contains("{\"name\":\"mx1\",\"health\":\"working\",\"last_error\":\"RCPT TO "),
        "{relays}"
    );
}

#[test]
fn a_kept_session_that_the_relay_has_closed_costs_no_mail() {
    let manners: [fn(&Relay); 3] = [|_| (), Relay::takes_commands_at_once, Relay::takes_mails_unasked];
    for begins in manners {
        let relay = Relay::start();
        begins(&relay);
        relay.at(Step::Quit, Act::Close);
        let site = Site::with(Setup::mailing_through(&relay));
        for count in 1..=6 {
            if count % 2 == 1 {
                site.first.goes_down()
            } else {
                site.first.comes_back()
            }
            relay.wait_for_mails(count);
        }
        let log = site.haproxy.log();
        assert!(log.lines_with("email_alert: ").is_empty(), "{}", log.story());
    }
}

#[test]
fn a_relay_that_looks_into_mails_before_it_accepts_them_gets_each_once() {
    let relay = Relay::start();
    relay.at(Step::Dot, Act::Wait(Duration::from_secs(2)));
    let site = Site::with(Setup::mailing_within(&relay, "1s"));
    site.first.goes_down();
    expect_mails(&site.haproxy, &relay, &[news("down", "servers/server1", "is DOWN")]);
    assert!(site.troubles("test").is_empty(), "{}", site.haproxy.log().story());
}

#[test]
fn traffic_does_not_notice_a_relay_that_hangs() {
    for step in [Step::Banner, Step::Dot] {
        let relay = Relay::start();
        relay.at(step, Act::Hang);
        let site = Site::with(Setup::mailing_through(&relay));
        let healthy = worst_of_requests(&site.haproxy);
        for round in 0..10 {
            if round % 2 == 0 {
                site.first.goes_down()
            } else {
                site.first.comes_back()
            }
            let word = if round % 2 == 0 { "is DOWN" } else { "is UP" };
            site.haproxy.log().wait_for_count(round / 2 + 1, word);
            let worst = worst_of_requests(&site.haproxy);
            // Far below any time that a relay is waited for.
            assert!(
                worst < healthy + Duration::from_millis(300),
                "{step:?}: {healthy:?} before, {worst:?} now"
            );
        }
        relay.wait_for_sessions(1);
    }
}

#[track_caller]
fn worst_of_requests(haproxy: &Haproxy) -> Duration {
    let answers = (0..30).map(|_| haproxy.get().expect("an answer"));
    let times = answers.map(|answer| {
        assert_eq!(answer.status, 200);
        answer.took
    });
    times.max().expect("thirty answers")
}

#[test]
fn a_relay_that_is_away_delays_the_end_by_the_bound_and_what_is_lost_is_said() {
    use end_to_end::haproxy::Signal::{SIGTERM, SIGUSR1};
    let relay = Relay::start();
    relay.goes_away();
    for (signal, seconds) in [(SIGUSR1, 5), (SIGTERM, 1)] {
        let mut site = Site::with(Setup::mailing_through(&relay));
        site.first.goes_down();
        site.haproxy.log().wait_for("email_alert: relay test: connect to");
        site.haproxy.signal(signal);
        let end = site.haproxy.wait_for_end();
        assert!(end.took < Duration::from_secs(seconds) + Duration::from_millis(1500), "{signal}: {end:?}");
        site.haproxy.log().wait_for("with 1 alerts not delivered");
    }
}

#[test]
fn a_relay_that_comes_back_before_the_end_gets_what_was_left() {
    let relay = Relay::start();
    relay.goes_away();
    let mut site = Site::with(Setup::mailing_through(&relay));
    site.first.goes_down();
    site.haproxy.log().wait_for("email_alert: relay test: connect to");
    site.haproxy.signal(end_to_end::haproxy::Signal::SIGUSR1);
    relay.behaves();
    relay.wait_for_mails(1);
    assert!(site.haproxy.wait_for_end().status.expect("a child").success());
}

#[test]
fn what_waits_for_a_relay_arrives_in_order() {
    let relay = Relay::start();
    relay.goes_away();
    let site = Site::with(Setup::mailing_through(&relay));
    for count in 1..=5 {
        site.first.goes_down();
        site.haproxy.log().wait_for_count(count, "is DOWN");
        site.first.comes_back();
        site.haproxy.log().wait_for_count(count, "is UP");
    }
    relay.behaves();
    let deliveries = relay.wait_for_deliveries_within(10, patience());
    let events: Vec<_> = deliveries.iter().map(|delivery| delivery.mail().event().to_owned()).collect();
    assert!(events.chunks(2).all(|pair| pair == ["down", "up"]), "{events:?}");
    assert_eq!(site.troubles("test").len(), 1, "{}", site.haproxy.log().story());
}
