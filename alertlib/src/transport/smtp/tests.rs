// SPDX-License-Identifier: MIT OR Apache-2.0
//! Tests of SMTP sessions: commands, replies, and the outcomes of mails.

use super::*;
use crate::message::Message;
use crate::notification::Notification;
use crate::transport::{LazyMail, Transactions};
use std::io::{BufRead, BufReader, Write};
use std::net::TcpListener;

#[test]
fn extensions_are_read_in_any_case_and_order() {
    let reply =
        |lines: &[&str]| Reply { code: 250, lines: lines.iter().map(|line| line.to_string()).collect() };
    let extensions =
        Extensions::of(&reply(&["STARTTLS", "size 1000", "auth PLAIN  LOGIN", "SmtpUtf8", "", "X"]));
    let auth = vec!["PLAIN".to_owned(), "LOGIN".to_owned()];
    assert_eq!(extensions, Extensions { smtputf8: true, size: Some(1000), auth, ..Extensions::default() });
    let extensions = Extensions::of(&reply(&["mx1", "Pipelining", "CHUNKING"]));
    assert!(extensions.allows_mail_ahead());
    for alone in ["PIPELINING", "CHUNKING"] {
        assert!(!Extensions::of(&reply(&["mx1", alone])).allows_mail_ahead());
    }
    assert_eq!(Extensions::of(&reply(&["mx1", "SIZE"])).size, Some(0));
    assert_eq!(Extensions::of(&reply(&["mx1", "SIZE -1"])).size, Some(0));
    assert!(Extensions::of(&reply(&["mx1", "starttls"])).starttls);
    assert_eq!(Extensions::of(&reply(&["mx1"])), Extensions::default());
}

const CLOSES: &str = "(closes)";

/// Runs `client` with a relay that reads one piece at a time and sends the next reply, session after session; after a reply that ends
/// with `CLOSES` it closes the session. Returns the result of `client` and the pieces, their commands separated by `|`.
fn with_relay<T>(
    offers: &str,
    sessions: &[&[&str]],
    client: impl FnOnce(&mut Smtp) -> T,
) -> (T, Vec<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = listener.local_addr().expect("its address").port();
    let talk = |replies: &&[&str]| {
        let (mut stream, _) = listener.accept().expect("a session");
        let mut input = BufReader::new(stream.try_clone().expect("a second handle"));
        let mut pieces = Vec::new();
        let greetings = ["220 mx1\r\n", &format!("250-mx1\r\n{offers}250 PIPELINING\r\n")];
        for reply in greetings.iter().chain(*replies) {
            let last = reply.strip_suffix(CLOSES);
            // A client that has closed the session sends nothing more: the next piece is empty.
            let _ = stream.write_all(last.unwrap_or(reply).as_bytes());
            if last.is_some() {
                break;
            }
            let piece = input.fill_buf().map(<[u8]>::to_vec).unwrap_or_default();
            input.consume(piece.len());
            pieces.push(String::from_utf8_lossy(&piece).trim_end().replace("\r\n", "|"));
        }
        pieces
    };
    std::thread::scope(|scope| {
        let relay = scope.spawn(|| sessions.iter().flat_map(talk).collect());
        let relay_line = settings::Smtp::plain("127.0.0.1", port);
        let mut smtp = Smtp::new(&relay_line, Duration::from_secs(10), "lb1.x.org").expect("no files");
        smtp.addresses.look_up_here().expect("an address");
        let outcome = client(&mut smtp);
        smtp.close_idle();
        drop(smtp);
        (outcome, relay.join().expect("the relay"))
    })
}

fn from() -> Address {
    "lb1@x.org".parse().expect("an address")
}

fn notification() -> Notification {
    Notification { from: from(), ..crate::notification::sample() }
}

fn recipient(to: &str) -> Recipient {
    Recipient { address: to.parse().expect("an address"), is_local: false }
}

/// Sends a mail; returns the outcomes, or the error's text.
fn send(smtp: &mut Smtp, to: &[Recipient]) -> String {
    let message = Message { subject: "s".into(), text: "t".into(), bytes: b"mail\r\n".to_vec() };
    let mail = LazyMail::new(|| Ok(message.clone()));
    let outcome = smtp.deliver(&Delivery {
        notification: &notification(),
        recipients: to,
        mail: &mail,
        transactions: &Transactions::default(),
    });
    outcome.map_or_else(
        |error| error.text,
        |outcomes| {
            let word = |outcome: &Outcome| match outcome {
                Outcome::Delivered => "delivered",
                Outcome::Transient(_) => "later",
                Outcome::Permanent(_) => "never",
                Outcome::Unsupported(_) => "unable",
            };
            outcomes.iter().map(word).collect::<Vec<_>>().join(" ")
        },
    )
}

#[test]
fn commands_are_sent_together_to_a_relay_with_pipelining() {
    let ahead = "MAIL FROM:<lb1@x.org>|RCPT TO:<a@x.org>|RCPT TO:<b@x.org>|DATA";
    for (replies, outcomes, pieces) in [
        // No failure.
        (
            &["250 1\r\n250 2\r\n250 3\r\n354 4\r\n", "250 5\r\n"][..],
            "delivered delivered",
            &["mail|.", "QUIT"][..],
        ),
        // A recipient is refused; the other one gets the mail.
        (&["250 1\r\n550 2\r\n250 3\r\n354 4\r\n", "250 5\r\n"], "never delivered", &["mail|.", "QUIT"]),
        // All recipients are refused, and DATA with them.
        (&["250 1\r\n550 2\r\n450 3\r\n503 4\r\n", "250 5\r\n"], "never later", &["RSET", "QUIT"]),
        // All recipients are refused, but DATA is not: an empty mail is sent.
        (
            &["250 1\r\n550 2\r\n550 3\r\n354 4\r\n", "554 5\r\n", "250 6\r\n"],
            "never never",
            &[".", "RSET", "QUIT"],
        ),
        // The sender is refused; the replies that follow from that are no outcomes.
        (&["450 1\r\n503 2\r\n503 3\r\n503 4\r\n", "250 5\r\n"], "later later", &["RSET", "QUIT"]),
        // The relay closes the session.
        (&["554 1\r\n(closes)"], "never never", &[]),
        // A full mailbox is transient.
        (&["250 1\r\n552 2\r\n250 3\r\n354 4\r\n", "250 5\r\n"], "later delivered", &["mail|.", "QUIT"]),
        // A relay that requires a login has not refused the mail.
        (&["530 1\r\n503 2\r\n503 3\r\n503 4\r\n"], "530 1", &[""]),
        (&["250 1\r\n250 2\r\n535 3\r\n354 4\r\n"], "535 3", &[""]),
        // A reply of another step: the relay would take the mail for commands, or has not accepted it.
        (&["250 1\r\n250 2\r\n250 3\r\n250 4\r\n"], "250 4", &[""]),
        (&["250 1\r\n250 2\r\n250 3\r\n354 4\r\n", "354 5\r\n"], "354 5", &["mail|.", ""]),
    ] {
        let to = [recipient("a@x.org"), recipient("b@x.org")];
        let (seen, mut got) = with_relay("", &[replies], |smtp| send(smtp, &to));
        assert_eq!(seen, outcomes, "{replies:?}");
        assert_eq!(got.remove(0), "EHLO lb1.x.org", "{replies:?}");
        assert_eq!(got.remove(0), ahead, "{replies:?}");
        assert_eq!(got, pieces, "{replies:?}");
    }
}

#[test]
fn a_mail_is_sent_with_its_envelope_to_a_relay_with_chunking() {
    const CHUNK: &str = "BDAT 6 LAST|mail";
    let ahead = format!("MAIL FROM:<lb1@x.org>|RCPT TO:<a@x.org>|RCPT TO:<b@x.org>|{CHUNK}");
    let to = [recipient("a@x.org"), recipient("b@x.org")];
    for (replies, outcomes, pieces) in [
        (&["250 1\r\n250 2\r\n250 3\r\n250 4\r\n"][..], "delivered delivered", &["QUIT"][..]),
        // A recipient is refused; the other one gets the mail, or is refused with it.
        (&["250 1\r\n550 2\r\n250 3\r\n250 4\r\n"], "never delivered", &["QUIT"]),
        (&["250 1\r\n550 2\r\n250 3\r\n452 4\r\n", "250 5\r\n"], "never later", &["RSET", "QUIT"]),
        // All recipients are refused, and the mail with them.
        (&["250 1\r\n550 2\r\n450 3\r\n503 4\r\n", "250 5\r\n"], "never later", &["RSET", "QUIT"]),
        (&["450 1\r\n503 2\r\n503 3\r\n503 4\r\n", "250 5\r\n"], "later later", &["RSET", "QUIT"]),
        // The relay closes the session; the replies before that count.
        (&["554 1\r\n(closes)"], "never never", &[]),
        (&["250 1\r\n550 2\r\n554 3\r\n(closes)"], "never never", &[]),
        (&["250 1\r\n250 2\r\n250 3\r\n(closes)"], "the relay closed the connection", &[]),
        (&["250 1\r\n250 2\r\n250 3\r\n354 4\r\n"], "354 4", &[""]),
    ] {
        let (seen, mut got) = with_relay("250-CHUNKING\r\n", &[replies], |smtp| send(smtp, &to));
        assert_eq!(seen, outcomes, "{replies:?}");
        assert_eq!(got.remove(0), "EHLO lb1.x.org", "{replies:?}");
        assert_eq!(got.remove(0), ahead, "{replies:?}");
        assert_eq!(got, pieces, "{replies:?}");
    }
}

#[test]
fn data_is_used_after_a_relay_that_offers_chunking_refuses_bdat() {
    let to = [recipient("a@x.org")];
    // The relay takes the mail for a command.
    let replies = ["250 1\r\n250 2\r\n502 3\r\n502 4\r\n", CLOSES];
    let others = ["250 1\r\n250 2\r\n354 3\r\n", "250 4\r\n", "250 1\r\n250 2\r\n354 3\r\n", "250 4\r\n"];
    let (outcomes, pieces) =
        with_relay("250-CHUNKING\r\n", &[&replies, &others], |smtp| [send(smtp, &to), send(smtp, &to)]);
    assert_eq!(outcomes, ["delivered", "delivered"]);
    let with_bdat = ["EHLO lb1.x.org", "MAIL FROM:<lb1@x.org>|RCPT TO:<a@x.org>|BDAT 6 LAST|mail", ""];
    let with_data = ["MAIL FROM:<lb1@x.org>|RCPT TO:<a@x.org>|DATA", "mail|."];
    assert_eq!(pieces, [&with_bdat[..], &["EHLO lb1.x.org"], &with_data, &with_data, &["QUIT"]].concat());
}

#[test]
fn a_large_mail_is_not_sent_before_a_recipient_is_accepted() {
    let to = [recipient("a@x.org")];
    let bytes = b"x\r\n".repeat(MAX_MAIL_AHEAD / 3 + 1);
    let message = Message { subject: "s".into(), text: "t".into(), bytes };
    let mail = LazyMail::new(|| Ok(message.clone()));
    let replies = ["250 1\r\n550 2\r\n", "250 3\r\n"];
    let (outcomes, pieces) = with_relay("250-CHUNKING\r\n", &[&replies], |smtp| {
        smtp.deliver(&Delivery {
            notification: &notification(),
            recipients: &to,
            mail: &mail,
            transactions: &Transactions::default(),
        })
        .map(|outcomes| outcomes.len())
    });
    assert_eq!(outcomes, Ok(1));
    assert_eq!(pieces[1..], ["MAIL FROM:<lb1@x.org>|RCPT TO:<a@x.org>", "RSET", "QUIT"]);
}

#[test]
fn leading_dots_are_doubled_and_the_final_dot_is_added() {
    assert_eq!(
        String::from_utf8(content(b"a: b\r\n\r\n.\r\n.x\r\ny.\r\n")).expect("ASCII"),
        "a: b\r\n\r\n..\r\n..x\r\ny.\r\n.\r\n"
    );
}
