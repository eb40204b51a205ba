// SPDX-License-Identifier: MIT OR Apache-2.0
//! Relays as they are in real life: Debian's postfix and exim. What counts is what is in the mailbox.

use std::{net::SocketAddr, thread, time::Duration};

use end_to_end::{
    Authority, Backend, Files, Haproxy, Manner, Mta, Product, Setup, Spool,
    mta::{LOGIN, PASSWORD},
    setup::{RECIPIENT, SENDER},
    story::{Inbox, News, expect_mails},
};

const A_WHILE: Duration = Duration::from_millis(600);
const DOWN: News = News { event: "down", about: "servers/server1", words: "Server servers/server1 is DOWN" };
const UP: News = News { event: "up", about: "servers/server1", words: "Server servers/server1 is UP" };

/// Two servers behind a HAProxy in its jail, which logs in to one relay; the first server is the one that fails.
struct Site {
    server: Backend,
    _other: Backend,
    haproxy: Haproxy,
    files: Files,
}

impl Site {
    #[track_caller]
    fn new(authority: &Authority, kind: &str, relay: SocketAddr) -> Self {
        Self::with(Setup::with_alerts(), PASSWORD, authority, kind, relay)
    }

    #[track_caller]
    fn with(setup: Setup, password: &str, authority: &Authority, kind: &str, relay: SocketAddr) -> Self {
        let (server, other) = (Backend::tcp(), Backend::tcp());
        let files = Files::default();
        let ca = files.public("ca", &authority.pem());
        let password = files.secret("password", &format!("{password}\n"));
        let line = |name: &str, backend: &Backend| format!("server {name} {} check", backend.address());
        let haproxy = setup
            .global(&format!(
                "email_alert.relay mx1 {relay} {kind} ca-file {} user {LOGIN} password-file {}",
                ca.display(),
                password.display()
            ))
            .frontend("servers")
            .backend("servers", &[&line("server1", &server), &line("server2", &other)])
            .jailed()
            .start();
        Site { server, _other: other, haproxy, files }
    }

    /// The server goes down, and comes back.
    #[track_caller]
    fn trouble(&self) {
        self.server.goes_down();
        self.haproxy.log().wait_for(DOWN.words);
        self.server.comes_back();
        self.haproxy.log().wait_for(UP.words);
    }
}

/// The same story with each of them.
fn with_each(story: impl Fn(Product, &Authority) + Sync) {
    let authority = Authority::new("test");
    thread::scope(|scope| {
        for product in [Product::Postfix, Product::Exim] {
            let (story, authority) = (&story, &authority);
            let thread = thread::Builder::new().name(format!("{product:?}"));
            thread.spawn_scoped(scope, move || story(product, authority)).expect("a thread");
        }
    });
}

#[test]
fn mails_reach_the_mailbox_once_whatever_the_kind_of_tls_and_login() {
    with_each(|product, authority| {
        for (kind, mechanisms) in [("starttls", "PLAIN LOGIN"), ("tls", "PLAIN"), ("tls", "LOGIN")] {
            let mta = Mta::with(product, authority, &Manner { mechanisms, ..Manner::default() });
            let relay = if kind == "tls" { mta.tls() } else { mta.starttls() };
            let site = Site::new(authority, kind, relay);
            site.trouble();
            expect_mails(&site.haproxy, &mta.mailbox("ops"), &[DOWN, UP]);
            mta.mailbox("ops").expect_no_more_than(2, A_WHILE);
            let log = site.haproxy.log();
            assert!(log.lines_with("email_alert: ").is_empty(), "{}", log.story());
        }
    });
}

#[test]
fn a_wrong_password_is_told_and_the_mail_waits_for_the_right_one() {
    with_each(|product, authority| {
        let (mta, spool) = (Mta::start(product, authority), Spool::new());
        let setup = spool.of(Setup::with_alerts());
        let mut site = Site::with(setup, "hunter1", authority, "starttls", mta.starttls());
        site.server.goes_down();
        let words = match product {
            Product::Postfix => "535 5.7.8 Error: authentication failed: authentication failure",
            Product::Exim => "535 Incorrect authentication data",
        };
        let relay = mta.starttls();
        site.haproxy
            .log()
            .wait_for(&format!("email_alert: relay mx1: AUTH PLAIN at {relay}: {words}; trying again"));
        assert_eq!(mta.mailbox("ops").files(), [""; 0]);

        site.files.secret("password", PASSWORD);
        site.haproxy.reload();
        expect_mails(&site.haproxy, &mta.mailbox("ops"), &[DOWN]);
        mta.mailbox("ops").expect_no_more_than(1, A_WHILE);
    });
}

#[test]
fn a_recipient_whom_the_relay_does_not_know_does_not_keep_the_others_from_their_mail() {
    with_each(|product, authority| {
        let mta = Mta::start(product, authority);
        let setup = Setup::with_alerts().to("ops@example.com,gone@example.com,boss@example.com");
        let site = Site::with(setup, PASSWORD, authority, "tls", mta.tls());
        site.server.goes_down();
        for user in ["ops", "boss"] {
            let mail = mta.mailbox(user).wait_for_mails(1).remove(0);
            assert_eq!(mail.subject, "[DOWN] servers/server1 on lb1.example.com");
        }
        let words = match product {
            Product::Postfix => {
                "550 5.1.1 <gone@example.com>: Recipient address rejected: User unknown in local recipient table"
            }
            Product::Exim => "550 no such user here",
        };
        let line = site.haproxy.log().wait_for("email_alert: ");
        for part in ["relay mx1 ", &format!("RCPT TO <gone@example.com> at {}: {words}", mta.tls())] {
            assert!(line.text.contains(part), "no {part:?} in {line:?}");
        }
        for user in ["ops", "boss"] {
            mta.mailbox(user).expect_no_more_than(1, A_WHILE);
        }
        assert_eq!(site.haproxy.log().lines_with("email_alert: ").len(), 1);
    });
}

#[test]
fn what_happened_while_the_relay_was_stopped_comes_when_it_runs_again() {
    with_each(|product, authority| {
        let mut mta = Mta::start(product, authority);
        let site = Site::new(authority, "starttls", mta.starttls());
        // There is a session already, which ends with the mail server.
        site.trouble();
        expect_mails(&site.haproxy, &mta.mailbox("ops"), &[DOWN, UP]);
        mta.stop();
        site.server.goes_down();
        let words = format!("email_alert: relay mx1: connect to {}: Connection refused", mta.starttls());
        site.haproxy.log().wait_for(&words);
        site.server.comes_back();
        site.haproxy.log().wait_for_count(2, UP.words);
        mta.start_again();
        expect_mails(&site.haproxy, &mta.mailbox("ops"), &[DOWN, UP, DOWN, UP]);
        site.haproxy.log().wait_for("email_alert: relay mx1: works again");
        mta.mailbox("ops").expect_no_more_than(4, A_WHILE);
    });
}

#[test]
fn a_relay_without_tls_gets_nothing() {
    with_each(|product, authority| {
        let mta = Mta::start(product, authority);
        for (kind, words) in [
            ("starttls", "STARTTLS at {relay}: the relay does not offer it; trying again"),
            ("tls", "TLS handshake at {relay}: the relay does not speak TLS here; trying again"),
        ] {
            let site = Site::new(authority, kind, mta.plain());
            site.server.goes_down();
            let words = words.replace("{relay}", &mta.plain().to_string());
            site.haproxy.log().wait_for(&format!("email_alert: relay mx1: {words}"));
            if kind == "starttls" {
                mta.wait_for_greeting_only();
            }
        }
        for word in [LOGIN, SENDER, "auth=", ",AUTH"] {
            assert!(!mta.log().contains(word), "{word}");
        }
        mta.mailbox("ops").expect_no_more_than(0, A_WHILE);
    });
}

#[test]
fn a_greylisted_mail_comes_when_it_is_time() {
    with_each(|product, authority| {
        let mta = Mta::start(product, authority);
        mta.greylists(true);
        let site = Site::new(authority, "tls", mta.tls());
        site.server.goes_down();
        let words = match product {
            Product::Postfix => {
                "450 4.2.0 <ops@example.com>: Recipient address rejected: greylisted, come back later"
            }
            Product::Exim => "451 greylisted, come back later",
        };
        let words = format!("RCPT TO <{RECIPIENT}> at {}: {words}; trying again", mta.tls());
        site.haproxy.log().wait_for(&format!("email_alert: relay mx1: {words}"));
        mta.greylists(false);
        expect_mails(&site.haproxy, &mta.mailbox("ops"), &[DOWN]);
        mta.mailbox("ops").expect_no_more_than(1, A_WHILE);
    });
}

#[test]
fn a_mail_that_the_relay_finds_too_large_is_given_up_and_said() {
    with_each(|product, authority| {
        let announced = ("message_size_limit = 1000\n", "MAIL FROM at {relay}: the mail has ");
        let kept_secret = (
            "message_size_limit = 1000\nsmtpd_discard_ehlo_keywords = size\n",
            "BDAT at {relay}: 552 5.3.4 Chunk exceeds message size limit",
        );
        let has_to_be_asked = (
            "message_size_limit = 1000\nsmtpd_discard_ehlo_keywords = size chunking\n",
            "end of DATA at {relay}: 552 5.3.4 Error: message file too big",
        );
        let stories = match product {
            Product::Postfix => vec![announced, kept_secret, has_to_be_asked],
            // It always tells.
            Product::Exim => vec![announced],
        };
        for (settings, words) in stories {
            let mta =
                Mta::with(product, authority, &Manner { settings: settings.to_owned(), ..Manner::default() });
            let site = Site::new(authority, "starttls", mta.starttls());
            site.server.goes_down();
            let line = site.haproxy.log().wait_for("email_alert: ");
            let words = words.replace("{relay}", &mta.starttls().to_string());
            for part in [&*words, "relay mx1", RECIPIENT, "for good"] {
                assert!(line.text.contains(part), "no {part:?} in {line:?}");
            }
            mta.mailbox("ops").expect_no_more_than(0, A_WHILE);
        }
    });
}
