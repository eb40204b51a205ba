// SPDX-License-Identifier: MIT OR Apache-2.0
//! Mails a second to an idle relay, one mail for each change, beside a client that does nothing but send.

use std::{
    io::{BufRead, BufReader, Write},
    net::TcpStream,
    time::{Duration, Instant},
};

use end_to_end::{Relay, relay::Delivery, wait::within};

use crate::{
    contender::{Contender, lua_script},
    table::{head, median, row},
};

const ROUNDS: usize = 5;
/// They fit into the queue, and into one line of HAProxy's CLI each five hundred.
const MAILS: usize = 2000;
const PAIRS: usize = 250;
const PATIENCE: Duration = Duration::from_secs(60);

/// What became of one round.
struct Round {
    mails: usize,
    sessions: usize,
    /// Mails a second, from the first change (or command) to the last mail's acceptance.
    rate: f64,
}

impl Round {
    fn of(relay: &Relay, start: Instant) -> Self {
        within(PATIENCE, || (relay.mail_count() >= MAILS).then_some(()));
        let deliveries = relay.deliveries();
        let last = deliveries.iter().map(|delivery| delivery.accepted).max().unwrap_or(start);
        let rate = deliveries.len() as f64 / (last - start).as_secs_f64();
        Round { mails: deliveries.len(), sessions: relay.sessions().len(), rate }
    }
}

fn relay() -> Relay {
    let relay = Relay::start();
    relay.takes_mails_unasked();
    relay
}

/// Servers that change by command, so that nothing but the mails takes time. The last mail goes into `sample`.
fn watch(contender: Contender, sample: &mut Option<Delivery>) -> Round {
    let relay = relay();
    let mut lines = contender.backend_lines();
    lines.extend(["no log", "server s1 127.0.0.1:9", "server s2 127.0.0.1:9"].map(String::from));
    let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
    let haproxy = contender.setup(relay.address()).backend("be", &lines).start();
    let command = vec!["set server be/s1 health down;set server be/s1 health up"; PAIRS].join(";");
    let start = Instant::now();
    (0..MAILS / (2 * PAIRS)).for_each(|_| haproxy.cli_do(&command));
    let round = Round::of(&relay, start);
    *sample = relay.deliveries().pop();
    round
}

/// One session, opened before, with the same commands and a mail of the same size, at once wherever the protocol allows it.
fn bare_client(sample: &Delivery) -> Round {
    let relay = relay();
    let stream = TcpStream::connect(relay.address()).expect("a connection");
    stream.set_nodelay(true).expect("no delay");
    let mut replies = BufReader::new(stream.try_clone().expect("a second handle"));
    let mut say = |text: &[u8], replies_to_come: usize| {
        (&stream).write_all(text).expect("the relay reads");
        let mut line = String::new();
        for _ in 0..replies_to_come {
            line.clear();
            while replies.read_line(&mut line).expect("the relay answers") > 0 && line.as_bytes()[3] == b'-' {
                line.clear();
            }
        }
    };
    say(b"", 1);
    say(b"EHLO bench\r\n", 1);
    let recipient = &sample.recipients[0];
    let envelope = format!("MAIL FROM:<{}>\r\nRCPT TO:<{recipient}>\r\nDATA\r\n", sample.from);
    let mail = [&sample.data[..], b".\r\n"].concat();
    let start = Instant::now();
    for _ in 0..MAILS {
        say(envelope.as_bytes(), 3);
        say(&mail, 1);
    }
    Round::of(&relay, start)
}

/// Prints the comparison.
pub fn bench() {
    let mut contenders = vec![Contender::EmailAlert, Contender::Native];
    contenders.extend(lua_script().map(|_| Contender::Lua));
    let names = contenders.iter().map(|contender| contender.name());
    let mut rows: Vec<(&str, Vec<Round>)> =
        ["bare client (the limit)"].into_iter().chain(names).map(|name| (name, Vec::new())).collect();
    for _ in 0..ROUNDS {
        let mut sample = None;
        for (contender, (_, rounds)) in contenders.iter().zip(&mut rows[1..]).rev() {
            rounds.push(watch(*contender, &mut sample));
        }
        // The last one was ours: a mail of the same size.
        rows[0].1.push(bare_client(&sample.expect("a mail")));
    }
    head(&format!("{MAILS} changes by command, a mail each, to an idle relay: medians of {ROUNDS} rounds"));
    row("", &["mails", "sessions", "mails/s", "of the limit"].map(String::from));
    let rate = |rounds: &[Round]| median(&rounds.iter().map(|round| round.rate).collect::<Vec<f64>>());
    let limit = rate(&rows[0].1);
    for (name, rounds) in &rows {
        let mails = median(&rounds.iter().map(|round| round.mails).collect::<Vec<usize>>());
        let sessions = median(&rounds.iter().map(|round| round.sessions).collect::<Vec<usize>>());
        let rate = rate(rounds);
        let part = format!("{:.0} %", 100.0 * rate / limit);
        row(name, &[mails.to_string(), sessions.to_string(), format!("{rate:.0}"), part]);
    }
    if lua_script().is_none() {
        println!("The Lua script was not measured: there is no HAProxy 3.0 here.");
    }
}
