// SPDX-License-Identifier: MIT OR Apache-2.0
//! A relay that hangs while servers change their state as fast as HAProxy can be told to.

use std::{
    thread::sleep,
    time::{Duration, Instant},
};

use end_to_end::{Act, Relay, Step};

use crate::{
    contender::Contender,
    machine::memory,
    table::{bar, head, row},
};

const CHANGES: u64 = 100_000;
/// HAProxy may not be fast enough for all of them.
const LIMIT: Duration = Duration::from_secs(60);
/// Pairs of changes on one line of HAProxy's CLI, which takes at most 16 KiB.
const PAIRS: usize = 250;
/// The collector has worked off its queue.
const SETTLED: Duration = Duration::from_secs(1);
const BAR: f64 = 64.0;

/// Prints what became of the changes.
pub fn bench() {
    let relay = Relay::start();
    relay.at(Step::Banner, Act::Hang);
    // Logging each change is HAProxy's own work, and would only make it slower to change.
    let lines = ["no log", "server s1 127.0.0.1:9", "server s2 127.0.0.1:9"];
    let haproxy = Contender::EmailAlert.setup(relay.address()).backend("be", &lines).start();
    let before = memory(haproxy.pid(), "VmRSS");

    let command = vec!["set server be/s1 health down;set server be/s1 health up"; PAIRS].join(";");
    let start = Instant::now();
    let mut changes = 0;
    while changes < CHANGES && start.elapsed() < LIMIT {
        haproxy.cli_do(&command);
        changes += 2 * PAIRS as u64;
    }
    let took = start.elapsed().as_secs_f64();
    sleep(SETTLED);
    let growth = (memory(haproxy.pid(), "VmHWM") - before) as f64 / 1024.0;
    let [accepted, dropped, waiting, failed] = haproxy.counters(["accepted", "dropped", "waiting", "failed"]);

    head("A relay that hangs once it is connected, and a server that changes as fast as the CLI allows");
    row("changes", &[changes.to_string(), format!("in {took:.1} s")]);
    row("accepted", &[accepted.to_string()]);
    row("  waiting for the relay", &[waiting.to_string()]);
    row("  given up, too many waiting", &[failed.to_string()]);
    row("dropped, the queue was full", &[dropped.to_string()]);
    println!();
    let counted = accepted + dropped;
    bar("accepted or counted as dropped", &counted.to_string(), &changes.to_string(), counted == changes);
    bar("memory added at most", &format!("{growth:.1} MiB"), &format!("under {BAR} MiB"), growth < BAR);
}
