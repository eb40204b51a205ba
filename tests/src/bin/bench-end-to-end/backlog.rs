// SPDX-License-Identifier: MIT OR Apache-2.0
//! A relay that is away for long: how fast events get into the spool, and what it costs to have many there.

use std::{
    fs,
    thread::sleep,
    time::{Duration, SystemTime},
};

use end_to_end::{Relay, Spool};

use crate::{
    contender::Contender,
    machine::memory,
    table::{head, row},
};

const EVENTS: u64 = 100_000;
/// Pairs of changes on one line of HAProxy's CLI, which takes at most 16 KiB.
const PAIRS: usize = 250;
/// All that was in the queue is in a file.
const SETTLED: Duration = Duration::from_secs(2);

/// When the last file was written, and how much is in all of them.
fn last_and_size(spool: &Spool) -> (SystemTime, u64) {
    let files = spool.names_with("mail.").into_iter().map(|name| spool.path().join(name));
    let data = files.map(|path| fs::metadata(path).expect("a file of the spool"));
    data.fold((SystemTime::UNIX_EPOCH, 0), |(last, size), data| {
        (last.max(data.modified().expect("a time")), size + data.len())
    })
}

/// Prints the figures.
pub fn bench() {
    let (relay, spool) = (Relay::start(), Spool::new());
    relay.goes_away();
    let lines = ["no log", "server s1 127.0.0.1:9", "server s2 127.0.0.1:9"];
    let haproxy = spool.of(Contender::EmailAlert.setup(relay.address())).backend("be", &lines).start();
    let before = memory(haproxy.pid(), "VmRSS");
    let command = vec!["set server be/s1 health down;set server be/s1 health up"; PAIRS].join(";");
    let start = SystemTime::now();
    // What the queue refuses has to come again.
    while haproxy.counters(["accepted"]) < [EVENTS] {
        haproxy.cli_do(&command);
    }
    let commanded = start.elapsed().expect("a clock").as_secs_f64();
    sleep(SETTLED);
    let resident = memory(haproxy.pid(), "VmRSS");
    let shared = memory(haproxy.pid(), "RssShmem");
    let (last, size) = last_and_size(&spool);
    let stored = last.duration_since(start).expect("a clock").as_secs_f64();
    let [accepted, dropped, waiting] = haproxy.counters(["accepted", "dropped", "waiting"]);

    head(&format!("{EVENTS} events that wait for a relay that is away, with a spool"));
    row("accepted", &[accepted.to_string(), format!("in {commanded:.2} s")]);
    row("dropped, the queue was full", &[dropped.to_string()]);
    row("waiting", &[waiting.to_string()]);
    row("in files", &[spool.mails().to_string(), format!("after {stored:.2} s")]);
    row("events a second into the spool", &[format!("{:.0}", accepted as f64 / stored)]);
    row("files", &[spool.names_with("mail.").len().to_string(), format!("{} MiB", size >> 20)]);
    let mebibytes = |kilobytes: i64| format!("{:.1} MiB", kilobytes as f64 / 1024.0);
    row("resident memory before", &[mebibytes(before)]);
    row("resident memory", &[mebibytes(resident)]);
    row("  of that the queue, shared", &[mebibytes(shared)]);
}
