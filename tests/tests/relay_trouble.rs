// SPDX-License-Identifier: MIT OR Apache-2.0
//! A relay in trouble: HAProxy's traffic goes on, its log says once what is wrong, and no mail is lost.

use std::{thread, time::Duration};

use end_to_end::{
    Act, Backend, Haproxy, Relay, Setup, Step, patience,
    story::{expect_mails, news},
    syslog::Line,
    until_true,
};

const A_WHILE: Duration = Duration::from_millis(600);

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

/// A relay in trouble, and what the log says of it.
struct Trouble {
    name: &'static str,
    begins: fn(&Relay),
    /// `{relay}` is the address of the relay.
    words: &'static str,
}

const PASSING_TROUBLES: [Trouble; 22] = [
    Trouble {
        name: "nobody listens",
        begins: Relay::goes_away,
        words: "connect to {relay}: Connection refused",
    },
    Trouble {
        name: "nobody answers",
        begins: Relay::is_unreachable,
        words: "connect to {relay}: no answer within 1s",
    },
    Trouble {
        name: "no greeting",
        begins: |relay| relay.at(Step::Banner, Act::Hang),
        words: "greeting at {relay}: no answer within 1s",
    },
    Trouble {
        name: "silence after EHLO",
        begins: |relay| relay.at(Step::Ehlo, Act::Hang),
        words: "EHLO at {relay}: no answer within 1s",
    },
    Trouble {
        name: "silence after MAIL",
        begins: |relay| relay.at(Step::Mail, Act::Hang),
        words: "MAIL FROM at {relay}: no answer within 1s",
    },
    Trouble {
        name: "silence after RCPT",
        begins: |relay| relay.at(Step::Rcpt, Act::Hang),
        words: "RCPT TO <ops@example.com> at {relay}: no answer within 1s",
    },
    Trouble {
        name: "silence after DATA",
        begins: |relay| relay.at(Step::Data, Act::Hang),
        words: "DATA at {relay}: no answer within 1s",
    },
    Trouble {
        name: "silence after the final dot",
        begins: |relay| relay.at(Step::Dot, Act::Hang),
        words: "end of DATA at {relay}: no answer within 1s",
    },
    Trouble {
        name: "a busy relay",
        begins: |relay| relay.at(Step::Banner, Act::reply("421 4.3.2 mx.example.com too busy")),
        words: "greeting at {relay}: 421 4.3.2 mx.example.com too busy",
    },
    Trouble {
        name: "a relay that does not serve us",
        begins: |relay| relay.at(Step::Banner, Act::reply("554 5.7.1 go away")),
        words: "greeting at {relay}: 554 5.7.1 go away",
    },
    Trouble {
        name: "trouble at EHLO and HELO",
        begins: |relay| relay.at(Step::Ehlo, Act::reply("451 4.7.1 who are you")),
        words: "EHLO at {relay}: 451 4.7.1 who are you",
    },
    Trouble {
        name: "sender deferred",
        begins: |relay| relay.at(Step::Mail, Act::reply("451 4.3.0 try again")),
        words: "MAIL FROM at {relay}: 451 4.3.0 try again",
    },
    Trouble {
        name: "recipient greylisted, in two lines",
        begins: |relay| relay.at(Step::Rcpt, Act::reply("450-4.2.0 greylisted\n450 4.2.0 see the manual")),
        words: "RCPT TO <ops@example.com> at {relay}: 450 4.2.0 greylisted",
    },
    Trouble {
        name: "no space",
        begins: |relay| relay.at(Step::Data, Act::reply("452 4.3.1 disk full")),
        words: "DATA at {relay}: 452 4.3.1 disk full",
    },
    Trouble {
        name: "deferred after the final dot",
        begins: |relay| relay.at(Step::Dot, Act::reply("451 4.7.1 scanner is down")),
        words: "end of DATA at {relay}: 451 4.7.1 scanner is down",
    },
    Trouble {
        name: "closes before the greeting",
        begins: |relay| relay.at(Step::Banner, Act::Close),
        words: "greeting at {relay}: the relay closed the connection",
    },
    Trouble {
        name: "closes after MAIL",
        begins: |relay| relay.at(Step::Mail, Act::Close),
        words: "MAIL FROM at {relay}: the relay closed the connection",
    },
    Trouble {
        name: "closes in the middle of the mail",
        begins: |relay| relay.at(Step::Text, Act::Close),
        words: "end of DATA at {relay}: ",
    },
    Trouble {
        name: "closes after the final dot",
        begins: |relay| relay.at(Step::Dot, Act::Close),
        words: "end of DATA at {relay}: the relay closed the connection",
    },
    Trouble {
        name: "shuts down",
        begins: |relay| relay.at(Step::Mail, Act::reply("421 4.3.2 shutting down")),
        words: "MAIL FROM at {relay}: 421 4.3.2 shutting down",
    },
    Trouble {
        name: "speaks something else",
        begins: |relay| relay.at(Step::Banner, Act::reply("SSH-2.0-OpenSSH_9.2")),
        words: "greeting at {relay}: not an SMTP reply",
    },
    Trouble {
        name: "drips for ever",
        begins: |relay| {
            relay.at(Step::Mail, Act::Drip(format!("250 {}", "z".repeat(200)), Duration::from_millis(300)))
        },
        words: "MAIL FROM at {relay}: no answer within 1s",
    },
];

#[test]
fn a_passing_trouble_is_logged_once_and_the_mail_arrives_when_it_is_over() {
    // They mostly wait.
    for some in PASSING_TROUBLES.chunks(8) {
        thread::scope(|scope| {
            for trouble in some {
                let name = trouble.name.to_owned();
                let story = || a_trouble_passes(trouble);
                thread::Builder::new().name(name).spawn_scoped(scope, story).expect("a thread");
            }
        });
    }
}

fn a_trouble_passes(trouble: &Trouble) {
    let relay = Relay::start();
    let site = Site::with(Setup::mailing_within(&relay, "1s"));
    (trouble.begins)(&relay);
    site.first.goes_down();

    let words = trouble.words.replace("{relay}", &relay.address().to_string());
    let log = site.haproxy.log();
    let line = log.wait_for("email_alert: relay test: ");
    assert!(line.text.contains(&words), "{}: expected {words:?} in {:?}", trouble.name, line.text);
    assert!(line.severity <= 4, "{}: {line:?}", trouble.name);
    wait_for_second_attempt(&relay, &site.haproxy);
    assert_eq!(site.haproxy.get().expect("an answer").status, 200);
    assert_eq!(site.troubles("test").len(), 1, "{}:\n{}", trouble.name, log.story());
    assert!(relay.deliveries().is_empty(), "{}: {}", trouble.name, relay.story());

    relay.behaves();
    expect_mails(&site.haproxy, &relay, &[news("down", "servers/server1", "Server servers/server1 is DOWN")]);
    log.wait_for("email_alert: relay test: works again");
    relay.expect_no_more_than(1, A_WHILE);
    assert_eq!(site.troubles("test").len(), 1, "{}:\n{}", trouble.name, log.story());
}

/// Sessions are seen by the relay; where there are none, the counters of the library tell.
#[track_caller]
fn wait_for_second_attempt(relay: &Relay, haproxy: &Haproxy) {
    until_true("a second attempt", || {
        let retried = |line: &str| line.strip_prefix("retried: ").is_some_and(|count| count.trim() >= "2");
        relay.sessions().len() >= 2 || haproxy.cli("show email-alert").lines().any(retried)
    });
}

#[test]
fn what_a_relay_refuses_for_good_is_logged_once_and_not_tried_again() {
    let refusals = [
        (Step::Mail, "553 5.1.8 no such sender", "MAIL FROM at {relay}: 553 5.1.8 no such sender"),
        (
            Step::Rcpt,
            "550 5.1.1 no such user",
            "RCPT TO <ops@example.com> at {relay}: 550 5.1.1 no such user",
        ),
        (Step::Data, "554 5.5.1 not from here", "DATA at {relay}: 554 5.5.1 not from here"),
        (Step::Dot, "554 5.7.1 looks like spam", "end of DATA at {relay}: 554 5.7.1 looks like spam"),
    ];
    thread::scope(|scope| {
        for (step, reply, words) in refusals {
            scope.spawn(move || {
                let relay = Relay::start();
                relay.at_first(1, step, Act::reply(reply));
                let site = Site::with(Setup::mailing_through(&relay));
                site.first.goes_down();
                let line = site.haproxy.log().wait_for("email_alert: ");
                for part in [
                    &*words.replace("{relay}", &relay.address().to_string()),
                    "ops@example.com",
                    "relay test",
                ] {
                    assert!(line.text.contains(part), "{step:?}: no {part:?} in {:?}", line.text);
                }
                assert_eq!(line.severity, 3, "{line:?}");
                site.haproxy.log().expect_no_more_than(1, "email_alert: ", Duration::from_millis(2500));
                assert!(relay.deliveries().is_empty(), "{step:?}: {}", relay.story());
                site.first.comes_back();
                let up = "Server servers/server1 is UP";
                expect_mails(&site.haproxy, &relay, &[news("up", "servers/server1", up)]);
            });
        }
    });
}

#[test]
fn a_recipient_that_is_refused_does_not_keep_the_others_from_their_mail() {
    let relay = Relay::start();
    relay.for_recipient("gone@example.com", Act::reply("550 5.1.1 no such user"));
    let site =
        Site::with(Setup::mailing_through(&relay).to("ops@example.com,gone@example.com,boss@example.com"));
    site.first.goes_down();
    let delivery = relay.wait_for_deliveries(1).remove(0);
    assert_eq!(delivery.recipients, ["ops@example.com", "boss@example.com"]);
    let line = site.haproxy.log().wait_for("email_alert: ");
    assert!(line.text.contains("RCPT TO <gone@example.com>"), "{line:?}");
    assert!(line.text.contains("550 5.1.1 no such user"), "{line:?}");
    relay.expect_no_more_than(1, A_WHILE);
}

#[test]
fn a_recipient_that_is_deferred_gets_its_own_copy_later() {
    let relay = Relay::start();
    relay.for_recipient("slow@example.com", Act::reply("450 4.2.1 mailbox busy"));
    let site = Site::with(Setup::mailing_through(&relay).to("ops@example.com,slow@example.com"));
    site.first.goes_down();
    assert_eq!(relay.wait_for_deliveries(1)[0].recipients, ["ops@example.com"]);
    site.haproxy.log().wait_for("450 4.2.1 mailbox busy");
    relay.behaves();
    let deliveries = relay.wait_for_deliveries(2);
    assert_eq!(deliveries[1].recipients, ["slow@example.com"]);
    let id = |n: usize| deliveries[n].mail().header("Message-ID").to_owned();
    assert_eq!(id(0), id(1), "it is the same mail");
    relay.expect_no_more_than(2, A_WHILE);
}

#[test]
fn a_slow_relay_is_no_trouble() {
    let relay = Relay::start();
    relay.at(Step::Banner, Act::Drip("220-relay.test\n220 at your service".into(), Duration::from_millis(5)));
    relay.at(Step::Ehlo, Act::Drip("250-relay.test\n250 8BITMIME".into(), Duration::from_millis(5)));
    relay.at(Step::Dot, Act::Drip("250-2.0.0 queued\n250 2.0.0 as 4711".into(), Duration::from_millis(5)));
    let site = Site::with(Setup::mailing_through(&relay));
    site.first.goes_down();
    expect_mails(&site.haproxy, &relay, &[news("down", "servers/server1", "is DOWN")]);
    assert!(site.haproxy.log().lines_with("email_alert: ").is_empty(), "{}", site.haproxy.log().story());
}

#[test]
fn the_second_relay_takes_over_from_one_that_refuses() {
    let (first, second) = (Relay::start(), Relay::start());
    first.goes_away();
    let site = Site::with(Setup::with_alerts().relay("mx1", first.address()).relay("mx2", second.address()));
    site.first.goes_down();
    expect_mails(&site.haproxy, &second, &[news("down", "servers/server1", "is DOWN")]);
    let line = site.haproxy.log().wait_for("email_alert: relay mx1: connect to");
    assert!(line.text.contains("Connection refused"), "{line:?}");
    first.behaves();
    second.expect_no_more_than(1, A_WHILE);
    first.expect_no_more_than(0, A_WHILE);
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
fn the_second_relay_gets_what_the_first_defers() {
    let (first, second) = (Relay::start(), Relay::start());
    first.at(Step::Rcpt, Act::reply("450 4.2.0 greylisted"));
    let site = Site::with(Setup::with_alerts().relay("mx1", first.address()).relay("mx2", second.address()));
    site.first.goes_down();
    expect_mails(&site.haproxy, &second, &[news("down", "servers/server1", "is DOWN")]);
    first.expect_no_more_than(0, A_WHILE);
}

#[test]
fn a_kept_session_that_the_relay_has_closed_costs_no_mail() {
    let relay = Relay::start();
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
    assert!(site.haproxy.log().lines_with("email_alert: ").is_empty(), "{}", site.haproxy.log().story());
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
