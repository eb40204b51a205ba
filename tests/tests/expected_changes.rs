// SPDX-License-Identifier: MIT OR Apache-2.0
//! A change that HAProxy's checks announce finds a relay that is ready for its mail.

use std::time::{Duration, Instant};

use end_to_end::{
    Act, Authority, Backend, Files, Haproxy, Manners, Relay, Setup, Step,
    relay::tls,
    wait::{throughout, until_true},
};
use nix::sys::signal::Signal;

/// Long enough to see what happens between two checks.
const INTER: Duration = Duration::from_secs(1);

/// A HAProxy whose server goes down after three failures and comes back after two successes, as by default.
struct Site {
    server: Backend,
    _other: Backend,
    haproxy: Haproxy,
}

impl Site {
    #[track_caller]
    fn with(setup: Setup) -> Self {
        let (server, other) = (Backend::tcp(), Backend::tcp());
        let checks = format!("check inter {}ms fall 3 rise 2", INTER.as_millis());
        let first = format!("server first {} {checks}", server.address());
        let second = format!("server other {}", other.address());
        let haproxy =
            setup.backend("web", &["option log-health-checks", &first, &second]).threads(2).jailed().start();
        let site = Site { server, _other: other, haproxy };
        // HAProxy believes in a server from the start, but the first check that fails would be enough.
        site.sees("succeeded", 1);
        site
    }

    /// Waits for so many results of checks that change HAProxy's opinion.
    #[track_caller]
    fn sees(&self, result: &str, count: usize) {
        self.haproxy.log().wait_for_count(count, &format!("Health check for server web/first {result}"));
    }

    /// The server fails so many times.
    #[track_caller]
    fn fails(&self, times: usize) {
        let before = |result: &str| self.haproxy.log().lines_with(&format!("web/first {result}")).len();
        let (failed, succeeded) = (before("failed"), before("succeeded"));
        self.server.goes_down();
        self.sees("failed", failed + times);
        self.server.comes_back();
        self.sees("succeeded", succeeded + 1);
    }

    fn changed(&self, state: &str) -> Instant {
        self.haproxy.log().wait_for(&format!("Server web/first is {state}")).received
    }
}

#[test]
fn a_session_is_open_and_logged_in_before_the_server_is_down() {
    let (authority, files) = (Authority::new("test"), Files::default());
    files.public("ca", &authority.pem());
    files.secret("password", "hunter2");
    let relay = Relay::with(
        Manners::default()
            .starttls(tls(&authority.identity("127.0.0.1"), None))
            .login("PLAIN", "bob", "hunter2"),
    );
    let files = files.path().display();
    let words = format!("starttls ca-file {files}/ca user bob password-file {files}/password");
    let site = Site::with(
        Setup::with_alerts().global(&format!("email_alert.relay test {} {words}", relay.address())),
    );
    assert!(relay.sessions().is_empty(), "{}", relay.story());
    site.server.goes_down();
    relay.wait_for_command("AUTH PLAIN");
    let ready = Instant::now();
    assert!(ready < site.changed("DOWN"), "{}", site.haproxy.log().story());
    relay.wait_for_mails(1);
    site.server.comes_back();
    relay.wait_for_mails(2);
    assert_eq!(relay.sessions().len(), 1, "{}", relay.story());
}

#[test]
fn a_server_that_comes_back_is_expected_as_well() {
    let relay = Relay::start();
    let site = Site::with(Setup::mailing_through(&relay));
    site.server.goes_down();
    relay.wait_for_mails(1);
    until_true("the end of the session", || relay.sessions()[0].end.is_some());
    site.server.comes_back();
    relay.wait_for_mails(2);
    assert!(relay.sessions()[1].began < site.changed("UP"), "{}", site.haproxy.log().story());
    assert_eq!(relay.deliveries()[1].session, 1, "{}", relay.story());
}

#[test]
fn what_was_expected_in_vain_ends_the_session_and_is_not_believed_again_soon() {
    let relay = Relay::start();
    let site = Site::with(Setup::mailing_through(&relay));
    site.fails(1);
    assert!(relay.sessions().is_empty(), "two more would have to fail: {}", relay.story());
    site.fails(2);
    until_true("the end of the session", || relay.sessions().first().is_some_and(|s| s.end.is_some()));
    site.fails(2);
    let sessions = || relay.sessions();
    throughout(INTER, || (sessions().len() > 1).then(|| relay.story()));
    assert!(!sessions()[0].commands.iter().any(|command| command.starts_with("MAIL")), "{}", relay.story());
    assert_eq!(sessions()[0].commands.last().map(String::as_str), Some("QUIT"), "{}", relay.story());

    // What does come is believed.
    site.server.goes_down();
    relay.wait_for_mails(1);
    until_true("the end of the session", || relay.sessions()[1].end.is_some());
    site.server.comes_back();
    relay.wait_for_mails(2);
    assert!(sessions()[2].began < site.changed("UP"), "{}", site.haproxy.log().story());
}

#[test]
fn a_relay_that_is_away_is_found_out_before_there_is_a_mail() {
    let (first, second) = (Relay::start(), Relay::start());
    first.goes_away();
    let setup = Setup::with_alerts().relay("mx1", first.address()).relay("mx2", second.address());
    let site = Site::with(setup);
    site.server.goes_down();
    second.wait_for_mails(1);
    let log = site.haproxy.log();
    let words = format!(
        "email_alert: relay mx1: connect to {}: Connection refused; no mail is waiting for it",
        first.address()
    );
    log.wait_for(&words);
    assert_eq!(log.lines_with("relay mx1").len(), 1, "{}", log.story());
}

#[test]
fn a_relay_that_hangs_at_a_session_for_nothing_does_not_hold_up_a_stop() {
    let relay = Relay::start();
    relay.at(Step::Banner, Act::Hang);
    let mut site = Site::with(Setup::mailing_within(&relay, "20s"));
    site.server.goes_down();
    relay.wait_for_sessions(1);
    let start = Instant::now();
    assert!(site.haproxy.log().lines_with("is DOWN").is_empty(), "it was to be stopped before");
    site.haproxy.signal(Signal::SIGUSR1);
    site.haproxy.wait_for_end();
    assert!(start.elapsed() < Duration::from_secs(4), "{:?}", start.elapsed());
}
