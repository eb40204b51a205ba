// SPDX-License-Identifier: MIT OR Apache-2.0
//! From HAProxy's log line of a change to the mail's final dot, with the relay at several round-trip times (RTT).

use std::time::Duration;

use crate::{
    contender::{Contender, before},
    latency::{BAR_FIRST, BAR_SOON},
    probe::{Checks, Destination, Probe},
    table::{bar, head, median, milliseconds, quantile, row},
};

/// In milliseconds. Bars in RTT hold for the longest.
const ROUND_TRIPS: [u64; 3] = [0, 1, 20];
/// First changes after a rest, of each probe.
const FIRSTS: usize = 10;
/// Changes that come soon after one another, of each probe; for the first RTT more, because its bar is a small difference.
const CHANGES: [usize; 3] = [40, 16, 16];
/// Changes of one contender before the next one's turn, so that changes of the machine's load affect all.
const TURN: usize = 8;

/// A session with the relay when the change comes.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Session {
    /// Kept since the last mail.
    Kept,
    /// Opened because the check results before announce the change.
    Prewarmed,
    /// The first change after a rest, by the first check that fails or succeeds.
    None,
}

impl Session {
    const ALL: [Self; 3] = [Self::Kept, Self::Prewarmed, Self::None];

    fn name(self) -> &'static str {
        match self {
            Self::Kept => "changes soon after one another: the session is still open",
            Self::Prewarmed => {
                "first change after a rest, announced by checks (fall 3 rise 2): the session is opened before"
            }
            Self::None => "first change after a rest, not announced (fall 1 rise 1): no session is open",
        }
    }

    /// For the table in Markdown.
    fn short_name(self) -> &'static str {
        match self {
            Self::Kept => "kept",
            Self::Prewarmed => "prewarmed",
            Self::None => "none",
        }
    }

    /// The most that is allowed, in RTT.
    fn bar(self, offers_chunking: bool) -> f64 {
        match self {
            Self::None => 4.5,
            Self::Kept | Self::Prewarmed => {
                if offers_chunking {
                    0.7
                } else {
                    1.7
                }
            }
        }
    }
}

/// One line of the tables: a contender with a kind of relay.
struct Line {
    contender: Contender,
    offers_chunking: bool,
    probe: Probe,
    /// As in [`Session::ALL`].
    times: [Vec<Duration>; 3],
    missing: usize,
}

impl Line {
    fn name(&self) -> String {
        let offer = match (self.contender, self.offers_chunking) {
            (Contender::Native, _) => "",
            (_, true) => ", CHUNKING",
            (_, false) => ", PIPELINING",
        };
        format!("{}{offer}", self.contender.name())
    }

    fn collect(&mut self, session: Session) {
        let (times, missing) = self.probe.take_times();
        self.times[session as usize].extend(times);
        self.missing += missing;
    }
}

/// The probes for one RTT, with checks of one kind.
fn lines(round_trip: u64, checks: Checks) -> Vec<Line> {
    let mut kinds = Vec::new();
    for contender in before().into_iter().chain([Contender::EmailAlert]) {
        kinds.extend([(contender, false), (contender, true)]);
    }
    kinds.push((Contender::Native, false));
    let start = |(contender, offers_chunking)| {
        let destination = Destination::at(Duration::from_millis(round_trip), offers_chunking);
        let probe = Probe::start(contender, destination, checks);
        Line { contender, offers_chunking, probe, times: Default::default(), missing: 0 }
    };
    kinds.into_iter().map(start).collect()
}

/// Prints the comparison.
pub fn bench() {
    let mut at_once = ROUND_TRIPS.map(|round_trip| lines(round_trip, Checks::AtOnce));
    let mut announced = ROUND_TRIPS.map(|round_trip| lines(round_trip, Checks::Announced));
    // While one probe is measured, the others rest.
    for _ in 0..FIRSTS {
        for (lines, session) in [(&mut at_once, Session::None), (&mut announced, Session::Prewarmed)] {
            for line in lines.iter_mut().flatten() {
                line.probe.change_after_a_rest();
                line.collect(session);
            }
        }
    }
    for (lines, changes) in at_once.iter_mut().zip(CHANGES) {
        for _ in 0..changes / TURN {
            for line in lines.iter_mut() {
                line.probe.open_session();
                (0..TURN).for_each(|_| line.probe.change());
                line.collect(Session::Kept);
            }
        }
    }
    for (lines, announced) in at_once.iter_mut().zip(announced) {
        for (line, announced) in lines.iter_mut().zip(announced) {
            line.times[Session::Prewarmed as usize] = announced.times[Session::Prewarmed as usize].clone();
            line.missing += announced.missing;
        }
    }
    for (round_trip, lines) in ROUND_TRIPS.into_iter().zip(&at_once) {
        for session in Session::ALL {
            show(round_trip, session, lines);
        }
    }
    show_markdown(&at_once);
}

fn in_round_trips(time: Duration, round_trip: u64) -> String {
    match round_trip {
        0 => "-".to_owned(),
        _ => format!("{:.2} RTT", time.as_secs_f64() * 1e3 / round_trip as f64),
    }
}

fn show(round_trip: u64, session: Session, lines: &[Line]) {
    head(&format!("Relay at {round_trip} ms RTT; {}", session.name()));
    row("", &["mails", "median", "", "90 %"].map(String::from));
    for line in lines {
        let times = &line.times[session as usize];
        let middle = median(times);
        let cells = [
            times.len().to_string(),
            milliseconds(middle),
            in_round_trips(middle, round_trip),
            milliseconds(quantile(times, 0.9)),
        ];
        row(&line.name(), &cells);
        if line.missing > 0 {
            println!("  {} mails of this HAProxy did not arrive", line.missing);
        }
    }
    println!();
    let native = lines.iter().find(|line| line.contender == Contender::Native).expect("native mailers");
    let middle = |line: &Line| median(&line.times[session as usize]).as_secs_f64() * 1e3;
    for line in lines.iter().filter(|line| line.contender != Contender::Native) {
        match round_trip {
            0 => {
                let limit = if session == Session::Kept { BAR_SOON } else { BAR_FIRST };
                let more = middle(line) - middle(native);
                let words = format!("at most {limit} ms more than native's");
                bar(&line.name(), &format!("{more:+.2} ms"), &words, more <= limit);
            }
            20 => {
                let (figure, limit) = (middle(line) / round_trip as f64, session.bar(line.offers_chunking));
                bar(
                    &line.name(),
                    &format!("{figure:.2} RTT"),
                    &format!("at most {limit} RTT"),
                    figure <= limit,
                );
            }
            _ => {}
        }
    }
}

/// Prints the medians as the table of `doc/benchmarks.md`.
fn show_markdown(all: &[Vec<Line>; 3]) {
    head("Medians in milliseconds, in Markdown");
    let names: Vec<String> = all[0].iter().map(Line::name).collect();
    println!("| RTT | session | {} |", names.join(" | "));
    println!("|---|---|{}", "---|".repeat(names.len()));
    for (round_trip, lines) in ROUND_TRIPS.into_iter().zip(all) {
        for session in Session::ALL {
            let figures = lines
                .iter()
                .map(|line| format!("{:.2}", median(&line.times[session as usize]).as_secs_f64() * 1e3));
            let figures: Vec<String> = figures.collect();
            println!("| {round_trip} ms | {} | {} |", session.short_name(), figures.join(" | "));
        }
    }
}
