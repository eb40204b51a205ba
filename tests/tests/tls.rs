// SPDX-License-Identifier: MIT OR Apache-2.0
//! Relays with TLS: a mail leaves encrypted, to the relay that was meant. That it does not leave otherwise is in
//! `fault_matrix.rs`.

use end_to_end::{
    Authority, Backend, Files, Haproxy, Identity, Manners, Relay, Setup,
    relay::tls,
    story::{expect_mails, news},
};

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
fn a_relay_gets_the_certificate_that_it_asks_for() {
    let (authority, files) = (Authority::new("test"), Files::default());
    let crt = files.secret("client.pem", &authority.client().pem());
    let with_clients = tls(&authority.identity(HERE), Some(&authority));
    let relay = Relay::with(Manners::default().tls(with_clients));
    let words = format!("tls {} crt {}", ca_file(&files, &authority), crt.display());
    Site::new(&relay, &words).expect_mail(&relay);
}
