// SPDX-License-Identifier: MIT OR Apache-2.0
//! What else a relay can do.

use std::time::Duration;

use super::{Fault, HERE, Kind, NAME, Outcome, THREE, fault};
use crate::{
    certificates::{Authority, Identity},
    relay::{Act, Relay, Step, tls},
};
use Outcome::{Delivered, Later, LaterForOne, Never, NeverForOne, Twice};

/// What can be wrong with a connection, and with single steps, of a plain relay.
pub fn plain() -> Vec<Fault> {
    let fault = |name: &str, outcome, words: &str, begins: fn(&Relay)| {
        fault(name, Kind::Plain, outcome, words, move |relay, _| begins(relay))
    };
    vec![
        fault("refuses the connection", Later, "connect to {relay}: Connection refused", Relay::goes_away),
        fault(
            "does not answer the connection",
            Later,
            "connect to {relay}: no answer within 1s",
            Relay::is_unreachable,
        ),
        fault("is slow, but within its time", Delivered, "", |relay| {
            for (step, reply) in [
                (Step::Banner, "220-relay.test\n220 at your service"),
                (Step::Ehlo, "250-relay.test\n250 8BITMIME"),
                (Step::Dot, "250-2.0.0 queued\n250 2.0.0 as 4711"),
            ] {
                relay.at(step, Act::Drip(reply.to_owned(), Duration::from_millis(5)));
            }
        }),
        fault("knows only HELO", Delivered, "", |relay| {
            relay.at_command(Step::Ehlo, "EHLO", Act::reply("502 5.5.1 what"));
        }),
        fault(
            "replies in several lines",
            Later,
            "RCPT TO <ops@example.com> at {relay}: 450 4.2.0 greylisted 4.2.0 see the manual",
            |relay| relay.at(Step::Rcpt, Act::reply("450-4.2.0 greylisted\n450 4.2.0 see the manual")),
        ),
        fault(
            "replies with two codes at once",
            Later,
            "MAIL FROM at {relay}: a reply of two codes: 451 4.3.0 or not",
            |relay| relay.at(Step::Mail, Act::reply("250-2.1.0 fine\n451 4.3.0 or not")),
        ),
        fault("replies 250 to DATA", Later, "DATA at {relay}: 250 2.0.0 accepted", |relay| {
            relay.at(Step::Data, Act::reply("250 2.0.0 accepted"));
        }),
        fault("replies 354 to the final dot", Later, "end of DATA at {relay}: 354 go on", |relay| {
            relay.at(Step::Dot, Act::reply("354 go on"));
        }),
        fault(
            "refuses the sender for good, and closes",
            Never,
            "MAIL FROM at {relay}: 554 5.7.1 go away",
            |relay| relay.at(Step::Mail, Act::Dismiss("554 5.7.1 go away".to_owned())),
        ),
        fault(
            "refuses the recipient for good, and closes",
            Never,
            "RCPT TO <ops@example.com> at {relay}: 550 5.1.1 no such user",
            |relay| relay.at(Step::Rcpt, Act::Dismiss("550 5.1.1 no such user".to_owned())),
        ),
        fault(
            "refuses one of three recipients for good",
            NeverForOne,
            "RCPT TO <boss@example.com> at {relay}: 550 5.1.1 no such user",
            |relay| relay.for_recipient(THREE[2], Act::reply("550 5.1.1 no such user")),
        ),
        fault(
            "refuses one of three recipients for now",
            LaterForOne,
            "RCPT TO <boss@example.com> at {relay}: 450 4.2.1 mailbox busy",
            |relay| relay.for_recipient(THREE[2], Act::reply("450 4.2.1 mailbox busy")),
        ),
        fault(
            "closes in the middle of the mail",
            Later,
            "end of DATA at {relay}: the relay closed the connection",
            |relay| relay.at(Step::Text, Act::Close),
        ),
        fault(
            "takes the mail, and closes instead of saying so",
            Twice,
            "end of DATA at {relay}: the relay closed the connection",
            |relay| relay.at(Step::Dot, Act::Lose),
        ),
        fault(
            "takes the mail, and says so too late",
            Twice,
            "end of DATA at {relay}: no answer within 1s",
            |relay| relay.at(Step::Dot, Act::Wait(Duration::from_millis(6500))),
        ),
    ]
}

/// What can be wrong with its TLS, or with somebody in between.
pub fn with_tls() -> Vec<Fault> {
    let fault = |name: &str, kind, words: &str, begins: fn(&Relay)| {
        fault(name, kind, Later, words, move |relay, _| begins(relay))
    };
    const UNENCRYPTED: &str =
        "TLS handshake at {relay}: the relay, or somebody on the way, sent something unencrypted before it";
    const SILENCE: &str = "TLS handshake at {relay}: no answer within 1s";
    vec![
        fault(
            "offers STARTTLS and has none",
            Kind::StartTls,
            "STARTTLS at {relay}: 454 4.7.0 TLS not available",
            |relay| relay.at(Step::Starttls, Act::reply("454 4.7.0 TLS not available")),
        ),
        fault(
            "replies 250, which does not begin TLS",
            Kind::StartTls,
            "STARTTLS at {relay}: 250 2.0.0 why not",
            |relay| relay.at(Step::Starttls, Act::reply("250 2.0.0 why not")),
        ),
        fault(
            "offers no STARTTLS: somebody has taken it out",
            Kind::StartTls,
            "STARTTLS at {relay}: the relay does not offer it",
            |relay| relay.at(Step::Ehlo, Act::reply("250-relay.test\n250 SIZE 1000000")),
        ),
        fault(
            "knows only HELO: somebody has refused EHLO",
            Kind::StartTls,
            "STARTTLS at {relay}: the relay does not offer it",
            |relay| relay.at_command(Step::Ehlo, "EHLO", Act::reply("502 5.5.1 what")),
        ),
        fault(
            "sends something unencrypted behind its reply to STARTTLS",
            Kind::StartTls,
            UNENCRYPTED,
            |relay| relay.at(Step::Starttls, Act::reply("220 2.0.0 ready\n250-mx1\n250 AUTH PLAIN")),
        ),
        fault("says nothing in the handshake", Kind::StartTls, SILENCE, |relay| {
            relay.at(Step::Handshake, Act::Hang);
        }),
        fault("says nothing at all", Kind::Tls, SILENCE, |relay| relay.at(Step::Handshake, Act::Hang)),
        fault("drips in the handshake", Kind::Tls, SILENCE, |relay| {
            // The head of a record of 8 KiB, and its beginning.
            let record = format!("\u{16}\u{3}\u{3}\u{20}\0{}", "\0".repeat(200));
            relay.at(Step::Handshake, Act::Drip(record, Duration::from_millis(300)));
        }),
        fault(
            "closes in the handshake",
            Kind::StartTls,
            "TLS handshake at {relay}: the relay closed the connection",
            |relay| relay.at(Step::Handshake, Act::Close),
        ),
        fault(
            "speaks no TLS on that port",
            Kind::Tls,
            "TLS handshake at {relay}: the relay does not speak TLS here",
            |relay| relay.at(Step::Handshake, Act::reply("220 relay.test ESMTP")),
        ),
        fault("has another password", Kind::Tls, "AUTH PLAIN at {relay}: 535 5.7.8 who are you", |relay| {
            relay.expects_secret("another");
        }),
    ]
}

/// What can be wrong with certificates.
pub fn with_certificates() -> Vec<Fault> {
    let asks_for_ours = fault(
        "wants our certificate, and there is no `crt`",
        Kind::Tls,
        Later,
        "greeting at {relay}: the relay ended TLS: CertificateRequired",
        |relay, authority| relay.shows(tls(&authority.identity(HERE), Some(authority))),
    );
    let fault = |name: &str, kind, outcome, words: &str, identity: fn(&Authority) -> Identity| {
        let words = format!("TLS handshake at {{relay}}: the relay's certificate{words}");
        fault(name, kind, outcome, words, move |relay, authority| {
            relay.shows(tls(&identity(authority), None))
        })
    };
    const UNKNOWN: &str = ", or one between it and its authority, is of nobody who is trusted";
    const EXPIRED: &str = " has expired at 2021-01-01T00:00:00Z";
    vec![
        fault("its certificate has expired", Kind::Tls, Later, EXPIRED, |authority| authority.expired(HERE)),
        fault("the same after STARTTLS", Kind::StartTls, Later, EXPIRED, |authority| authority.expired(NAME)),
        fault(
            "its certificate is not valid yet",
            Kind::Tls,
            Later,
            " is not valid before 2090-01-01T00:00:00Z",
            |authority| authority.early(HERE),
        ),
        fault(
            "its certificate has another name",
            Kind::StartTls,
            Later,
            " is not valid for name 'mx1.example.com', but for mx9.example.com",
            |authority| authority.identity("mx9.example.com"),
        ),
        fault(
            "its certificate has a name, and not its address",
            Kind::Tls,
            Later,
            " is not valid for name '{host}', but for mx9.example.com",
            |authority| authority.identity("mx9.example.com"),
        ),
        fault("its certificate is of an unknown authority", Kind::Tls, Later, UNKNOWN, |_| {
            Authority::new("another").identity(HERE)
        }),
        fault(
            "the certificate between it and its authority is missing",
            Kind::StartTls,
            Later,
            UNKNOWN,
            |authority| {
                let mut identity = authority.identity(NAME);
                identity.chain.truncate(1);
                identity
            },
        ),
        fault(
            "the certificates behind its own are in the wrong order",
            Kind::Tls,
            Delivered,
            "",
            |authority| {
                let mut identity = authority.identity(HERE);
                identity.chain.insert(1, authority.pem());
                identity
            },
        ),
        fault(
            "its own certificate is not the first",
            Kind::Tls,
            Later,
            " is one for authorities, not for servers",
            |authority| {
                let mut identity = authority.identity(HERE);
                identity.chain.reverse();
                identity
            },
        ),
        asks_for_ours,
    ]
}
