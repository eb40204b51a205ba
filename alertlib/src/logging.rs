// SPDX-License-Identifier: MIT OR Apache-2.0
//! The way back to HAProxy's log: a bounded ring of lines.
//!
//! The library's threads must not call HAProxy, so they leave their records here, and a task of HAProxy takes them.
//! Neither side ever waits for the other.

use crate::text::{bounded, visible};
use crossbeam_channel::{Receiver, Sender};
use log::{Level, LevelFilter, Log, Metadata, Record};
use once_cell::sync::Lazy;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// Lines that wait for HAProxy at most.
const LINES: usize = 256;

/// Longest line, in bytes: HAProxy's own lines have 1024 with their header.
const LINE: usize = 900;

/// One line for HAProxy's log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogLine {
    /// A severity of syslog (RFC 5424, 6.2.1): 3 error, 4 warning, 6 informational, 7 debug.
    pub severity: i32,
    /// The line, printable, without a line end.
    pub text: String,
}

struct LogRing {
    lines: (Sender<LogLine>, Receiver<LogLine>),
    lost: AtomicU64,
}

static RING: Lazy<LogRing> =
    Lazy::new(|| LogRing { lines: crossbeam_channel::bounded(LINES), lost: AtomicU64::new(0) });

impl Log for LogRing {
    fn enabled(&self, metadata: &Metadata) -> bool {
        // Other crates' words are for their developers.
        metadata.target().starts_with(env!("CARGO_CRATE_NAME"))
    }

    fn log(&self, record: &Record) {
        if !self.enabled(record.metadata()) {
            return;
        }
        let severity = match record.level() {
            Level::Error => 3,
            Level::Warn => 4,
            Level::Info => 6,
            Level::Debug | Level::Trace => 7,
        };
        let text = bounded(visible(&record.args().to_string()), LINE);
        if self.lines.0.try_send(LogLine { severity, text }).is_err() {
            self.lost.fetch_add(1, Relaxed);
        }
    }

    fn flush(&self) {}
}

/// Sends this library's records into the ring. A program that has its own logger keeps it.
pub fn into_ring() {
    if log::set_logger(&*RING).is_ok() {
        log::set_max_level(LevelFilter::Info);
    }
}

/// The oldest line. Any thread; never waits.
pub fn next() -> Option<LogLine> {
    if let Ok(line) = RING.lines.1.try_recv() {
        return Some(line);
    }
    match RING.lost.swap(0, Relaxed) {
        0 => None,
        lost => Some(LogLine { severity: 4, text: format!("{lost} log lines lost: they came too fast") }),
    }
}
