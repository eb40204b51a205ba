// SPDX-License-Identifier: MIT OR Apache-2.0
//! Relays with TLS: a mail leaves encrypted, to the relay that was meant, or it does not leave.

use std::{path::Path, thread, time::Duration};

use end_to_end::{
    Act, Authority, Backend, Files, Haproxy, Identity, Manners, Relay, Setup, Step,
    relay::tls,
    story::{expect_mails, news},
};

const A_WHILE: Duration = Duration::from_millis(600);
/// Where the relays of these tests are.
const HERE: &str = "127.0.0.1";

/// A server that fails, and a HAProxy in its jail whose relay line ends with these words.
struct Site {
    server: Backend,
    haproxy: Haproxy,
}

impl Site {
    #[track_caller]
    fn new(relay: &Relay, words: &str) -> Self {
        let server = Backend::tcp();
        let haproxy = Setup::with_alerts()
            .global(&format!("email_alert.relay test {} timeout 1s {words}", relay.address()))
            .frontend("servers")
            .backend("servers", &[&format!("server server1 {} check", server.address())])
            .events("down")
            .jailed()
            .start();
        Site { server, haproxy }
    }

    #[track_caller]
    fn expect_mail(&self, relay: &Relay) {
        self.server.goes_down();
        expect_mails(
            &self.haproxy,
            relay,
            &[news("down", "servers/server1", "Server servers/server1 is DOWN")],
        );
    }

    #[track_caller]
    fn expect_trouble(&self, name: &str, relay: &Relay, words: &str) {
        self.server.goes_down();
        let line = self.haproxy.log().wait_for("email_alert: relay test: ");
        let words = format!("{}; trying again", words.replace("{relay}", &relay.address().to_string()));
        assert!(line.text.contains(&words), "{name}: expected {words:?} in {:?}", line.text);
        relay.expect_no_more_than(0, A_WHILE);
        let said = relay.sessions().into_iter().flat_map(|session| session.commands).collect::<Vec<_>>();
        let sent = said.iter().find(|command| command.starts_with("MAIL") || command.starts_with("AUTH"));
        assert_eq!(sent, None, "{name}: {}", relay.story());
    }
}

fn ca_file(files: &Files, authority: &Authority) -> String {
    let path = files.public("ca.pem", &authority.pem());
    format!("ca-file {}", path.display())
}

/// The same for relays of both kinds.
fn both_kinds(identity: &Identity) -> [(&'static str, Manners); 2] {
    let tls = tls(identity, None);
    [("tls", Manners::default().tls(tls.clone())), ("starttls", Manners::default().starttls(tls))]
}

#[test]
fn a_mail_leaves_encrypted() {
    let (authority, files) = (Authority::new("test"), Files::default());
    for (kind, manners) in both_kinds(&authority.identity(HERE)) {
        let relay = Relay::with(manners);
        let site = Site::new(&relay, &format!("{kind} {}", ca_file(&files, &authority)));
        site.expect_mail(&relay);
        let commands = &relay.sessions()[0].commands;
        let started = commands.iter().position(|command| command == "STARTTLS");
        assert_eq!(started, (kind == "starttls").then_some(1), "{commands:?}");
        assert_eq!(
            commands.iter().filter(|command| command.starts_with("EHLO")).count(),
            1 + started.iter().len()
        );
    }
}

#[test]
fn another_name_than_the_host_is_verified_if_given() {
    let (authority, files) = (Authority::new("test"), Files::default());
    let identity = authority.identity("mx1.example.com");
    for (kind, manners) in both_kinds(&identity) {
        let relay = Relay::with(manners);
        let words =
            format!("{kind} {} sni mx1.example.com helo lb1.example.net", ca_file(&files, &authority));
        Site::new(&relay, &words).expect_mail(&relay);
        assert_eq!(relay.sessions()[0].commands[0], "EHLO lb1.example.net");
    }
}

#[test]
fn without_verification_any_certificate_does() {
    let authority = Authority::new("nobody knows");
    let relay = Relay::with(Manners::default().starttls(tls(&authority.expired("mx9.example.com"), None)));
    Site::new(&relay, "starttls insecure-no-verify").expect_mail(&relay);
}

#[test]
fn certificates_in_the_wrong_order_are_understood() {
    let (authority, files) = (Authority::new("test"), Files::default());
    let mut identity = authority.identity(HERE);
    identity.chain.insert(1, authority.pem());
    let relay = Relay::with(Manners::default().tls(tls(&identity, None)));
    Site::new(&relay, &format!("tls {}", ca_file(&files, &authority))).expect_mail(&relay);
}

#[test]
fn a_relay_gets_the_certificate_that_it_asks_for() {
    let (authority, files) = (Authority::new("test"), Files::default());
    let crt = files.secret("client.pem", &authority.client().pem());
    let with_clients = tls(&authority.identity(HERE), Some(&authority));
    let words = |crt: Option<&Path>| {
        let crt = crt.map(|path| format!(" crt {}", path.display())).unwrap_or_default();
        format!("tls {}{crt}", ca_file(&files, &authority))
    };
    let relay = Relay::with(Manners::default().tls(with_clients.clone()));
    Site::new(&relay, &words(Some(&crt))).expect_mail(&relay);

    let relay = Relay::with(Manners::default().tls(with_clients));
    let trouble = "greeting at {relay}: the relay ended TLS: CertificateRequired";
    Site::new(&relay, &words(None)).expect_trouble("no certificate", &relay, trouble);
}

/// A relay that must not get a mail, and what the log says.
struct Trouble {
    name: &'static str,
    kind: &'static str,
    identity: fn(&Authority) -> Identity,
    begins: fn(&Relay),
    words: &'static str,
}

fn good(authority: &Authority) -> Identity {
    authority.identity(HERE)
}

fn at_once(_: &Relay) {}

const TROUBLES: [Trouble; 18] = [
    Trouble {
        name: "expired",
        kind: "tls",
        identity: |authority| authority.expired(HERE),
        begins: at_once,
        words: "TLS handshake at {relay}: the relay's certificate has expired at 2021-01-01T00:00:00Z",
    },
    Trouble {
        name: "expired, after STARTTLS",
        kind: "starttls",
        identity: |authority| authority.expired(HERE),
        begins: at_once,
        words: "TLS handshake at {relay}: the relay's certificate has expired at 2021-01-01T00:00:00Z",
    },
    Trouble {
        name: "not valid yet",
        kind: "tls",
        identity: |authority| authority.early(HERE),
        begins: at_once,
        words: "TLS handshake at {relay}: the relay's certificate is not valid before 2090-01-01T00:00:00Z",
    },
    Trouble {
        name: "wrong address",
        kind: "tls",
        identity: |authority| authority.identity("mx9.example.com"),
        begins: at_once,
        words: "TLS handshake at {relay}: the relay's certificate is not valid for name '127.0.0.1', but for mx9.example.com",
    },
    Trouble {
        name: "wrong name",
        kind: "starttls sni mx1.example.com",
        identity: |authority| authority.identity("mx9.example.com"),
        begins: at_once,
        words: "TLS handshake at {relay}: the relay's certificate is not valid for name 'mx1.example.com', but for mx9.example.com",
    },
    Trouble {
        name: "unknown authority",
        kind: "tls",
        identity: |_| Authority::new("another").identity(HERE),
        begins: at_once,
        words: "TLS handshake at {relay}: the relay's certificate, or one between it and its authority, is of nobody who is trusted",
    },
    Trouble {
        name: "missing intermediate",
        kind: "starttls",
        identity: |authority| {
            let mut identity = authority.identity(HERE);
            identity.chain.truncate(1);
            identity
        },
        begins: at_once,
        words: "TLS handshake at {relay}: the relay's certificate, or one between it and its authority, is of nobody who is trusted",
    },
    Trouble {
        name: "STARTTLS offered and not available",
        kind: "starttls",
        identity: good,
        begins: |relay| relay.at(Step::Starttls, Act::reply("454 4.7.0 TLS not available")),
        words: "STARTTLS at {relay}: 454 4.7.0 TLS not available",
    },
    Trouble {
        name: "STARTTLS offered and refused",
        kind: "starttls",
        identity: good,
        begins: |relay| relay.at(Step::Starttls, Act::reply("501 5.5.4 no")),
        words: "STARTTLS at {relay}: 501 5.5.4 no",
    },
    Trouble {
        name: "a positive answer that is not the one",
        kind: "starttls",
        identity: good,
        begins: |relay| relay.at(Step::Starttls, Act::reply("250 2.0.0 why not")),
        words: "STARTTLS at {relay}: 250 2.0.0 why not",
    },
    Trouble {
        name: "STARTTLS taken out",
        kind: "starttls",
        identity: good,
        begins: |relay| relay.at(Step::Ehlo, Act::reply("250-relay.test\n250 SIZE 1000000")),
        words: "STARTTLS at {relay}: the relay does not offer it",
    },
    Trouble {
        name: "only HELO",
        kind: "starttls",
        identity: good,
        begins: |relay| {
            relay.at_first(1, Step::Ehlo, Act::reply("502 5.5.1 what"));
            relay.at(Step::Ehlo, Act::reply("502 5.5.1 what"));
        },
        words: "HELO at {relay}: 502 5.5.1 what",
    },
    Trouble {
        name: "something unencrypted behind the invitation",
        kind: "starttls",
        identity: good,
        begins: |relay| relay.at(Step::Starttls, Act::reply("220 2.0.0 ready\n250-mx1\n250 AUTH PLAIN")),
        words: "TLS handshake at {relay}: the relay, or somebody on the way, sent something unencrypted before it",
    },
    Trouble {
        name: "silence in the handshake",
        kind: "starttls",
        identity: good,
        begins: |relay| relay.at(Step::Handshake, Act::Hang),
        words: "TLS handshake at {relay}: no answer within 1s",
    },
    Trouble {
        name: "silence instead of the handshake",
        kind: "tls",
        identity: good,
        begins: |relay| relay.at(Step::Handshake, Act::Hang),
        words: "TLS handshake at {relay}: no answer within 1s",
    },
    Trouble {
        name: "a handshake that drips",
        kind: "tls",
        identity: good,
        begins: |relay| {
            // The head of a record of 8 KiB, and its beginning.
            let record = format!("\u{16}\u{3}\u{3}\u{20}\0{}", "\0".repeat(200));
            relay.at(Step::Handshake, Act::Drip(record, Duration::from_millis(300)));
        },
        words: "TLS handshake at {relay}: no answer within 1s",
    },
    Trouble {
        name: "closes in the handshake",
        kind: "starttls",
        identity: good,
        begins: |relay| relay.at(Step::Handshake, Act::Close),
        words: "TLS handshake at {relay}: the relay closed the connection",
    },
    Trouble {
        name: "no TLS on that port",
        kind: "tls",
        identity: good,
        begins: |relay| relay.at(Step::Handshake, Act::reply("220 relay.test ESMTP")),
        words: "TLS handshake at {relay}: the relay does not speak TLS here",
    },
];

#[test]
fn a_relay_that_may_be_another_gets_no_mail_and_no_password() {
    // They mostly wait.
    for some in TROUBLES.chunks(6) {
        thread::scope(|scope| {
            for trouble in some {
                let name = trouble.name.to_owned();
                let story = || {
                    let (authority, files) = (Authority::new("test"), Files::default());
                    let tls = tls(&(trouble.identity)(&authority), None);
                    let manners = match trouble.kind.starts_with("starttls") {
                        true => Manners::default().starttls(tls),
                        false => Manners::default().tls(tls),
                    };
                    let relay = Relay::with(manners.login("PLAIN", "bob", "hunter2"));
                    (trouble.begins)(&relay);
                    let password = files.secret("password", "hunter2\n");
                    let words = format!(
                        "{} {} user bob password-file {}",
                        trouble.kind,
                        ca_file(&files, &authority),
                        password.display()
                    );
                    Site::new(&relay, &words).expect_trouble(trouble.name, &relay, trouble.words);
                };
                thread::Builder::new().name(name).spawn_scoped(scope, story).expect("a thread");
            }
        });
    }
}
