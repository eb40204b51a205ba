// SPDX-License-Identifier: MIT OR Apache-2.0
//! What one call of `haproxy_email_alert()` costs HAProxy's thread, in counts: they are the same on every machine.

use crate::library::{Facts, Library, succeed};
use std::fmt;
use std::path::{Path, PathBuf};

/// What the collector does while the calls are made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Collector {
    /// It sleeps: each call wakes it.
    Idle,
    /// It is at work: there is always something in the queue.
    Busy,
}

/// How long the texts of the event are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Texts {
    /// A server that fails its HTTP check.
    Typical,
    /// Longer than the queue takes, each of them.
    Longest,
}

/// What one call costs, on average.
#[derive(Debug, Clone, Copy)]
pub struct Cost {
    /// Instructions in user space. Under valgrind, so with a real system call in place of the vDSO's clock.
    pub instructions: f64,
    /// Allocations and releases of memory.
    pub allocations: f64,
    /// Pages of memory that the kernel has to bring.
    pub page_faults: f64,
    /// System calls that wake the collector.
    pub wake_ups: f64,
    /// Any other system calls.
    pub other_calls: f64,
}

/// The program that makes the calls.
pub struct Calls {
    library: Library,
    program: PathBuf,
}

impl Default for Calls {
    fn default() -> Self {
        let library = Library::release();
        let program = library.compile("calls", &["-O2"]);
        Calls { library, program }
    }
}

impl Calls {
    /// Measures with each tool in a run of its own.
    pub fn measure(&self, collector: Collector, texts: Texts) -> Cost {
        let (plain, _) = self.run(&[], collector, texts);
        assert!(plain.number("allocations-of-the-start") > 0, "allocations are not counted at all");
        let each = |what| plain.number(what) as f64 / plain.number("calls") as f64;
        let (wake_ups, other_calls) = self.system_calls(collector, texts);
        Cost {
            instructions: self.instructions(collector, texts),
            allocations: each("allocations"),
            page_faults: each("faults"),
            wake_ups,
            other_calls,
        }
    }

    fn run(&self, tool: &[&str], collector: Collector, texts: Texts) -> (Facts, String) {
        let collector = format!("{collector:?}").to_lowercase();
        let texts = format!("{texts:?}").to_lowercase();
        let mails = self.library.mail_directory();
        let arguments = [&collector as &dyn AsRef<_>, &"500", &texts, &mails];
        let output = succeed(&mut self.library.run(tool, &self.program, &arguments));
        let facts = Facts::of(&output);
        assert_eq!(facts.number("refused"), 0);
        (facts, String::from_utf8_lossy(&output.stderr).into_owned())
    }

    fn instructions(&self, collector: Collector, texts: Texts) -> f64 {
        let output = self.library.mail_directory().join("callgrind.out");
        let output = format!("--callgrind-out-file={}", output.display());
        let tool = [
            "valgrind",
            "--tool=callgrind",
            // Else the thread that keeps the collector busy may hold the only turn.
            "--fair-sched=yes",
            "--toggle-collect=haproxy_email_alert",
            &output,
        ];
        let (facts, said) = self.run(&tool, collector, texts);
        let collected =
            said.lines().find_map(|line| line.split_once("Collected :")).expect("callgrind's sum").1;
        let collected: f64 = collected.trim().parse().expect("a number");
        collected / facts.number("all-calls") as f64
    }

    /// Wake-ups and other system calls of the thread that makes the calls, while it is in one.
    fn system_calls(&self, collector: Collector, texts: Texts) -> (f64, f64) {
        let trace = self.library.mail_directory().join("trace");
        let (facts, _) = self.run(&["strace", "-f", "-o", path(&trace)], collector, texts);
        let trace = std::fs::read_to_string(trace).expect("strace's file");
        let thread = format!("{} ", facts.number("thread"));
        let (mut calls, mut wake_ups, mut others, mut in_call) = (0, 0, 0, false);
        for line in trace.lines().filter_map(|line| line.strip_prefix(&thread)) {
            match line.trim_start() {
                line if line.starts_with("getppid(") => {
                    in_call = !in_call;
                    calls += u64::from(in_call);
                }
                _ if !in_call => (),
                // The second half of a line that was interrupted by another thread's.
                line if line.starts_with("<...") => (),
                line if line.starts_with("futex(") && line.contains("FUTEX_WAKE") => wake_ups += 1,
                _ => others += 1,
            }
        }
        assert_eq!(calls, facts.number("calls"), "the marks of the calls are not all in the trace");
        (f64::from(wake_ups) / calls as f64, f64::from(others) / calls as f64)
    }
}

impl fmt::Display for Cost {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        let Cost { instructions, allocations, page_faults, wake_ups, other_calls } = self;
        write!(
            f,
            "{instructions:>12.0} {allocations:>11} {page_faults:>11.3} {wake_ups:>8.3} {other_calls:>18}"
        )
    }
}

fn path(path: &Path) -> &str {
    path.to_str().expect("a name in UTF-8")
}
