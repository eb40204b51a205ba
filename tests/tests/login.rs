// SPDX-License-Identifier: MIT OR Apache-2.0
//! Relays that want to know who sends mails, how large they are, and which characters are in their addresses.

use base64::{Engine, engine::general_purpose::STANDARD};
use end_to_end::{
    Act, Authority, Backend, Files, Haproxy, Manners, Relay, Setup, Step, patience, processes,
    relay::tls,
    setup::{RECIPIENT, SENDER, UNPRIVILEGED},
    story::{expect_mails, news},
    until_true,
};
use std::time::Duration;

const HERE: &str = "127.0.0.1";
const SECRET: &str = "hunter2 \u{e9} = secret";

/// Two servers, and a HAProxy in its jail with one relay.
struct Site {
    first: Backend,
    second: Backend,
    haproxy: Haproxy,
    files: Files,
}

impl Site {
    /// `{files}` in `words` is the directory of the files.
    #[track_caller]
    fn new(relay: &Relay, files: Files, words: &str) -> Self {
        Self::with(relay, files, words, Setup::with_alerts())
    }

    #[track_caller]
    fn with(relay: &Relay, files: Files, words: &str, setup: Setup) -> Self {
        let (first, second) = (Backend::tcp(), Backend::tcp());
        let words = words.replace("{files}", &files.path().display().to_string());
        let server = |name: &str, backend: &Backend| format!("server {name} {} check", backend.address());
        let haproxy = setup
            .global(&format!("email_alert.relay test {} timeout 2s {words}", relay.address()))
            .frontend("servers")
            .backend("servers", &[&server("server1", &first), &server("server2", &second)])
            .jailed()
            .start();
        Site { first, second, haproxy, files }
    }

    #[track_caller]
    fn expect_mail(&self, relay: &Relay) {
        self.first.goes_down();
        expect_mails(
            &self.haproxy,
            relay,
            &[news("down", "servers/server1", "Server servers/server1 is DOWN")],
        );
    }

    #[track_caller]
    fn expect_log(&self, relay: &Relay, words: &str) {
        let words = words.replace("{relay}", &relay.address().to_string());
        self.haproxy.log().wait_for(&words);
    }
}

/// What the log says is not said with the secret in it, in whatever form.
fn expect_no_secret(site: &Site) {
    let log = site.haproxy.log().story();
    for secret in [SECRET, "hunter2", "aHVudGVyMi", "h1bnRlcjI", "odW50ZXIy"] {
        assert!(!log.contains(secret), "{secret:?} is in the log:\n{log}");
    }
}

#[test]
fn a_relay_that_asks_for_a_password_gets_it_under_tls() {
    let authority = Authority::new("test");
    let tls = tls(&authority.identity(HERE), None);
    for (mechanisms, chosen) in
        [("LOGIN PLAIN", "AUTH PLAIN "), ("PLAIN", "AUTH PLAIN "), ("CRAM-MD5 LOGIN", "AUTH LOGIN")]
    {
        for kind in ["tls", "starttls"] {
            let files = Files::default();
            files.public("ca", &authority.pem());
            files.secret("password", &format!("{SECRET}\n"));
            let manners = Manners::default().login(mechanisms, "bob@example.com", SECRET);
            let relay = Relay::with(match kind {
                "tls" => manners.tls(tls.clone()),
                _ => manners.starttls(tls.clone()),
            });
            let words = "ca-file {files}/ca user bob@example.com password-file {files}/password";
            let site = Site::new(&relay, files, &format!("{kind} {words}"));
            site.expect_mail(&relay);
            let commands = &relay.sessions()[0].commands;
            assert!(commands.iter().any(|command| command.starts_with(chosen)), "{}", relay.story());
            expect_no_secret(&site);
        }
    }
}

#[test]
fn a_core_dump_of_a_worker_that_has_logged_in_has_no_password() {
    const PASSWORD: &str = "correct horse battery staple";
    let authority = Authority::new("test");
    let secure = tls(&authority.identity(HERE), None);
    for (mechanism, kind) in [("PLAIN", "tls"), ("LOGIN", "starttls"), ("PLAIN", "")] {
        let files = Files::default();
        files.public("ca", &authority.pem());
        files.secret("password", &format!("{PASSWORD}\n"));
        let manners = Manners::default().login(mechanism, "bob", PASSWORD);
        let relay = Relay::with(match kind {
            "tls" => manners.tls(secure.clone()),
            "starttls" => manners.starttls(secure.clone()),
            _ => manners,
        });
        let ca = if kind.is_empty() { "" } else { "ca-file {files}/ca" };
        let words = format!("{kind} {ca} user bob password-file {{files}}/password");
        let site = Site::new(&relay, files, &words);
        site.expect_mail(&relay);

        let response = format!("\0bob\0{PASSWORD}");
        let forms = [PASSWORD.to_owned(), STANDARD.encode(PASSWORD), STANDARD.encode(response)];
        let mut kept = 0;
        for process in site.haproxy.processes() {
            for memory in processes::memory_of(process.pid) {
                for form in &forms {
                    let count = memory.count(form.as_bytes());
                    assert!(
                        count == 0 || memory.is_left_out,
                        "{mechanism} {kind}: {form:?} is in {}",
                        memory.name
                    );
                    kept += count;
                }
            }
        }
        // Where it was looked for is where it would have been found.
        assert_eq!(kept, 1, "{mechanism} {kind}");
    }
}

#[test]
fn who_cannot_log_in_says_goodbye() {
    let relay = Relay::with(Manners::default().login("PLAIN", "bob", SECRET));
    let files = Files::default();
    files.secret("password", "hunter2 wrong");
    let site = Site::new(&relay, files, "user bob password-file {files}/password");
    site.first.goes_down();
    relay.wait_for_sessions(2);
    // Who leaves without a word looks like an attacker.
    assert_eq!(relay.sessions()[0].commands.last().map(String::as_str), Some("QUIT"), "{}", relay.story());
}

#[test]
fn a_relay_that_repeats_what_it_was_told_does_not_bring_it_into_the_log() {
    let relay = Relay::with(Manners::default().login("PLAIN", "bob", SECRET));
    // What "AUTH PLAIN" is given: NUL, bob, NUL, hunter2.
    let told = "AGJvYgBodW50ZXIy";
    relay.at_first(1, Step::Auth, Act::reply(&format!("501 5.5.2 what is AUTH PLAIN {told} (hunter2)")));
    let files = Files::default();
    files.secret("password", "hunter2");
    let site = Site::new(&relay, files, "user bob password-file {files}/password");
    site.first.goes_down();
    site.expect_log(&relay, "AUTH PLAIN at {relay}: 501 5.5.2 what is AUTH PLAIN *** (***); trying again");
    expect_no_secret(&site);
}

#[test]
fn a_relay_without_our_way_to_log_in_is_told_apart() {
    for (mechanisms, words) in [
        ("CRAM-MD5 GSSAPI", "AUTH at {relay}: the relay offers CRAM-MD5, GSSAPI; expected PLAIN or LOGIN"),
        ("", "AUTH at {relay}: the relay offers nothing; expected PLAIN or LOGIN"),
    ] {
        let relay = Relay::with(Manners::default().login(mechanisms, "bob", SECRET));
        let files = Files::default();
        files.secret("password", SECRET);
        let site = Site::new(&relay, files, "user bob password-file {files}/password");
        site.first.goes_down();
        site.expect_log(&relay, words);
        assert!(relay.deliveries().is_empty());
    }
}

#[test]
fn a_token_is_read_for_each_session_though_the_worker_is_in_its_jail() {
    let relay = Relay::with(Manners::default().login("PLAIN XOAUTH2", SENDER, "token1"));
    let files = Files::default();
    files.secret_of(UNPRIVILEGED, "token", "token1\n");
    let site = Site::new(&relay, files, "oauth-token-file {files}/token");
    site.expect_mail(&relay);

    // The token is refreshed by a program that puts a new file in the old one's place.
    relay.expects_secret("token2");
    relay.wait_for_command("QUIT");
    site.second.goes_down();
    site.expect_log(&relay, "AUTH XOAUTH2 at {relay}: 535 5.7.8 who are you; trying again");
    site.files.secret_of(UNPRIVILEGED, "token", "token2\n");
    until_true("the mail with the new token", || relay.deliveries().len() >= 2);
    let log = site.haproxy.log().story();
    assert!(!log.contains("token1") && !log.contains("token2"), "{log}");
}

#[test]
fn a_token_that_is_missing_is_a_trouble_that_passes() {
    let relay = Relay::with(Manners::default().login("XOAUTH2", "bob", "token1"));
    let files = Files::default();
    let token = files.secret_of(UNPRIVILEGED, "token", "token1");
    let site = Site::new(&relay, files, "user bob oauth-token-file {files}/token");
    std::fs::remove_file(&token).expect("our own file");
    site.first.goes_down();
    let words =
        format!("AUTH XOAUTH2 at {{relay}}: 'oauth-token-file' file '{}' does not exist", token.display());
    site.expect_log(&relay, &words);
    site.files.secret_of(UNPRIVILEGED, "token", "token1");
    until_true("the mail", || !relay.deliveries().is_empty());
}

#[test]
fn the_size_is_announced_and_a_mail_that_is_too_large_is_refused_for_good() {
    let relay = Relay::start();
    let site = Site::new(&relay, Files::default(), "");
    site.expect_mail(&relay);
    let size = relay.deliveries()[0].data.len();
    let commands = &relay.sessions()[0].commands;
    assert!(commands.contains(&format!("MAIL FROM:<{SENDER}> SIZE={size}")), "{commands:?}");

    let relay = Relay::start();
    relay.at(Step::Ehlo, Act::reply("250-relay.test\n250 SIZE 100"));
    let site = Site::new(&relay, Files::default(), "");
    site.first.goes_down();
    let line = site.haproxy.log().wait_for("for good: ");
    let words = format!("MAIL FROM at {}: the mail has ", relay.address());
    assert!(line.text.contains(&words), "{line:?}");
    assert!(line.text.ends_with(" bytes, and the relay takes 100"), "{line:?}");
    assert!(!relay.sessions()[0].commands.iter().any(|command| command.starts_with("MAIL")));
}

#[test]
fn international_addresses_go_to_relays_that_know_them() {
    let to = format!("{RECIPIENT},j\u{f6}rg@example.com,ops@m\u{fc}ller.example");
    let relay = Relay::with(Manners::default().offers("SMTPUTF8"));
    let site = Site::with(&relay, Files::default(), "", Setup::with_alerts().to(&to));
    site.first.goes_down();
    let delivery = relay.wait_for_deliveries(1).remove(0);
    assert_eq!(delivery.recipients, [RECIPIENT, "j\u{f6}rg@example.com", "ops@xn--mller-kva.example"]);
    assert!(delivery.data.is_ascii());
    assert!(relay.sessions()[0].commands.iter().any(|command| command.ends_with(" SMTPUTF8")));

    let relay = Relay::start();
    let site = Site::with(&relay, Files::default(), "", Setup::with_alerts().to(&to));
    site.first.goes_down();
    let delivery = relay.wait_for_deliveries_within(1, patience()).remove(0);
    assert_eq!(delivery.recipients, [RECIPIENT, "ops@xn--mller-kva.example"]);
    let words = "RCPT TO <j\u{f6}rg@example.com> at {relay}: the relay does not offer SMTPUTF8, which this address needs";
    site.expect_log(&relay, words);
}

#[test]
fn what_one_relay_lacks_another_one_may_have() {
    let to = format!("{RECIPIENT},j\u{f6}rg@example.com");
    let site = |first: &Relay, second: &Relay| {
        let setup = Setup::with_alerts().to(&to).relay("first", first.address());
        Site::with(second, Files::default(), "", setup)
    };
    // Each recipient once, and nobody again.
    let (plain, able) = (Relay::start(), Relay::with(Manners::default().offers("SMTPUTF8")));
    let place = site(&plain, &able);
    place.first.goes_down();
    assert_eq!(plain.wait_for_deliveries(1)[0].recipients, [RECIPIENT]);
    assert_eq!(able.wait_for_deliveries(1)[0].recipients, ["j\u{f6}rg@example.com"]);
    assert_eq!(place.haproxy.log().lines_with("for good").len(), 0);

    let (small, large) = (Relay::start(), Relay::with(Manners::default().offers("SMTPUTF8")));
    small.at(Step::Ehlo, Act::reply("250-relay.test\n250 SIZE 100"));
    let place = site(&small, &large);
    place.first.goes_down();
    assert_eq!(large.wait_for_deliveries(1)[0].recipients.len(), 2);
    assert!(small.deliveries().is_empty());

    // One that is away may have it: the mail waits for that.
    let (plain, able) = (Relay::start(), Relay::with(Manners::default().offers("SMTPUTF8")));
    able.goes_away();
    let place = site(&plain, &able);
    place.first.goes_down();
    plain.wait_for_deliveries(1);
    let words =
        format!("relay test: connect to {}: Connection refused; trying again, 1 mail", able.address());
    place.haproxy.log().wait_for(&words);
    able.behaves();
    assert_eq!(able.wait_for_deliveries(1)[0].recipients, ["j\u{f6}rg@example.com"]);
    plain.expect_no_more_than(1, Duration::from_millis(500));
    // A moment for each attempt, not all the time.
    assert!(
        plain.sessions().iter().map(|session| session.commands.len()).sum::<usize>() < 40,
        "{}",
        plain.story()
    );

    // Nobody has it.
    let (plain, other) = (Relay::start(), Relay::start());
    let place = site(&plain, &other);
    place.first.goes_down();
    plain.wait_for_deliveries(1);
    let line = place
        .haproxy
        .log()
        .wait_for("email_alert: every relay refused the mail 'Server servers/server1 is DOWN");
    let words = format!(
        "' to j\u{f6}rg@example.com for good: relay test: RCPT TO <j\u{f6}rg@example.com> at {}: \
         the relay does not offer SMTPUTF8, which this address needs",
        other.address()
    );
    assert!(line.text.ends_with(&words), "{line:?}");
    until_true("an end", || place.haproxy.counters(["waiting"]) == [0]);
    assert_eq!(place.haproxy.counters(["failed"]), [1]);
}
