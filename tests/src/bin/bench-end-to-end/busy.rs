// SPDX-License-Identifier: MIT OR Apache-2.0
//! From HAProxy's log line of a change to the mail's final dot, while HTTP requests keep all of HAProxy's threads busy.

use std::{
    io::{Read, Write},
    os::unix::net::UnixStream,
    path::Path,
    sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
    thread::{self, available_parallelism, sleep},
    time::{Duration, Instant},
};

use end_to_end::Setup;

use crate::{
    contender::{Contender, before},
    machine::ProcessorTime,
    probe::{Checks, Destination, Probe},
    table::{greatest, head, median, milliseconds, quantile, row},
};

/// In milliseconds.
const ROUND_TRIPS: [u64; 2] = [0, 20];
/// Connections with a request each, for each core.
const CLIENTS: usize = 8;
/// HAProxy has had requests for so long before something is measured.
const WARM_UP: Duration = Duration::from_millis(400);
/// First changes after a rest, of each probe.
const FIRSTS: usize = 10;
/// Changes that come soon after one another, of each probe.
const CHANGES: usize = 20;
/// Changes of one contender before the next one's turn.
const TURN: usize = 10;
/// Hash computations for each request, so that HAProxy needs more processor time than its clients.
const HASHES: usize = 60;

/// A frontend whose requests are answered by HAProxy itself, at a price.
fn with_frontend(setup: Setup, threads: usize) -> Setup {
    let hashes = ",sha2(512)".repeat(HASHES);
    let lines = [
        "bind \"${TEST_DIRECTORY}/web.sock\"",
        "no log",
        &format!("http-request set-var(txn.hash) url{hashes}"),
        "http-request return status 200",
    ];
    setup.threads(threads as u32).section("frontend web", &lines)
}

/// Sends one request after the other on one connection, until told to stop.
fn request_until(stop: &AtomicBool, frontend: &Path, count: &AtomicU64) -> std::io::Result<()> {
    let mut connection = UnixStream::connect(frontend)?;
    connection.set_read_timeout(Some(Duration::from_secs(5)))?;
    let mut buffer = [0; 4096];
    while !stop.load(Relaxed) {
        connection.write_all(b"GET / HTTP/1.1\r\nHost: test\r\n\r\n")?;
        let mut length = 0;
        while !buffer[..length].ends_with(b"\r\n\r\n") {
            let more = connection.read(&mut buffer[length..])?;
            if more == 0 {
                return Ok(());
            }
            length += more;
        }
        count.fetch_add(1, Relaxed);
    }
    Ok(())
}

/// Load on HAProxy during the measurements.
#[derive(Default)]
struct Load {
    time: Duration,
    /// Of HAProxy's own threads.
    processor: Duration,
    requests: u64,
}

struct Line {
    contender: Contender,
    round_trip: u64,
    probe: Probe,
    load: Load,
}

impl Line {
    /// Calls `measure` while HAProxy has requests on all threads.
    fn under_load(&mut self, threads: usize, measure: impl FnOnce(&mut Probe)) {
        let (stop, count) = (AtomicBool::new(false), AtomicU64::new(0));
        let frontend = self.probe.haproxy().directory().join("web.sock");
        let pid = self.probe.haproxy().pid();
        thread::scope(|scope| {
            for _ in 0..threads * CLIENTS {
                scope.spawn(|| request_until(&stop, &frontend, &count));
            }
            sleep(WARM_UP);
            let (start, before) = (Instant::now(), ProcessorTime::of(pid));
            measure(&mut self.probe);
            self.load.time += start.elapsed();
            self.load.processor += (ProcessorTime::of(pid) - before).haproxy;
            stop.store(true, Relaxed);
        });
        self.load.requests += count.into_inner();
    }
}

/// Prints the comparison.
pub fn bench() {
    let threads = available_parallelism().map_or(1, usize::from);
    let mut contenders = vec![Contender::EmailAlert];
    contenders.extend(before());
    contenders.push(Contender::Native);
    let mut lines = Vec::new();
    for round_trip in ROUND_TRIPS {
        for &contender in &contenders {
            let destination = Destination::at(Duration::from_millis(round_trip), true);
            let change = |setup| with_frontend(setup, threads);
            let probe = Probe::start_with(contender, destination, Checks::AtOnce, change);
            lines.push(Line { contender, round_trip, probe, load: Load::default() });
        }
    }
    for _ in 0..FIRSTS {
        for line in &mut lines {
            line.probe.rest();
            line.under_load(threads, Probe::change);
        }
    }
    head(&format!(
        "From HAProxy's log line to the mail's final dot while {} clients keep HAProxy's {threads} threads busy,\n\
         first change after a rest (fall 1 rise 1)",
        threads * CLIENTS
    ));
    show(&mut lines, threads);
    for _ in 0..CHANGES / TURN {
        for line in &mut lines {
            line.under_load(threads, |probe| {
                probe.open_session();
                (0..TURN).for_each(|_| probe.change());
            });
        }
    }
    head("The same for changes that come soon after one another");
    show(&mut lines, threads);
}

/// Prints and forgets the times so far.
fn show(lines: &mut [Line], threads: usize) {
    row("", &["mails", "median", "90 %", "max", "HAProxy's CPU", "requests/s"].map(String::from));
    for line in lines {
        let ((times, missing), load) = (line.probe.take_times(), std::mem::take(&mut line.load));
        let seconds = load.time.as_secs_f64();
        let figures = [median(&times), quantile(&times, 0.9), greatest(&times)].map(milliseconds);
        let processor = format!("{:.2} of {threads}", load.processor.as_secs_f64() / seconds);
        let rate = format!("{:.0}", load.requests as f64 / seconds);
        let name = format!("{}, {} ms RTT", line.contender.name(), line.round_trip);
        row(&name, &[&[times.len().to_string()], &figures[..], &[processor, rate]].concat());
        if missing > 0 {
            println!("  {missing} mails of this HAProxy did not arrive");
        }
    }
}
