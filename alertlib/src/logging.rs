// SPDX-License-Identifier: MIT OR Apache-2.0
//! Log lines of the library on their way to HAProxy's log: a bounded ring.
//!
//! The library's threads must not call HAProxy. They put their log lines into this ring, and a HAProxy task takes them out.
//! Neither side ever blocks.

use crate::text::{bounded, visible};
use crossbeam_channel::{Receiver, Sender};
use log::{Level, LevelFilter, Log, Metadata, Record};
use once_cell::sync::Lazy;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// Capacity of the ring, in lines.
const MAX_LINES: usize = 256;

/// Longest line, in bytes. HAProxy's own lines have 1024 bytes with their header.
const MAX_LINE_BYTES: usize = 900;

/// One line for HAProxy's log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogLine {
    /// Syslog severity (RFC 5424, 6.2.1): 3 error, 4 warning, 6 informational, 7 debug.
    pub severity: i32,
    /// Printable text without a line end.
    pub text: String,
}

struct LogRing {
    lines: (Sender<LogLine>, Receiver<LogLine>),
    lost: AtomicU64,
}

static RING: Lazy<LogRing> =
    Lazy::new(|| LogRing { lines: crossbeam_channel::bounded(MAX_LINES), lost: AtomicU64::new(0) });

impl Log for LogRing {
    fn enabled(&self, metadata: &Metadata) -> bool {
        // Records of other crates are of use to their developers only.
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
        let text = bounded(visible(&record.args().to_string()), MAX_LINE_BYTES);
        if self.lines.0.try_send(LogLine { severity, text }).is_err() {
            self.lost.fetch_add(1, Relaxed);
        }
    }

    fn flush(&self) {}
}

/// Makes the ring the logger of the process, unless the program has set another one.
pub fn install() {
    if log::set_logger(&*RING).is_ok() {
        log::set_max_level(LevelFilter::Info);
    }
}

/// Removes and returns the oldest line. After the last one, reports the number of lines that a full ring has dropped. Any
/// thread; never blocks.
pub fn next_line() -> Option<LogLine> {
    if let Ok(line) = RING.lines.1.try_recv() {
        return Some(line);
    }
    match RING.lost.swap(0, Relaxed) {
        0 => None,
        lost => Some(LogLine { severity: 4, text: format!("{lost} log lines lost: they came too fast") }),
    }
}
