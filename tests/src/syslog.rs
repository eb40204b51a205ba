// SPDX-License-Identifier: MIT OR Apache-2.0
//! Receives HAProxy's log.

use std::{
    net::{SocketAddr, UdpSocket},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use nix::sys::socket::{setsockopt, sockopt};

use crate::wait::{patience, throughout, within};

/// Largest line that HAProxy is told to write.
pub const LONGEST_LINE: usize = 16384;

/// One line of the log without the syslog header.
#[derive(Clone, Debug)]
pub struct Line {
    /// 0 is emergency, 7 is debug.
    pub severity: u32,
    /// The process that wrote it.
    pub pid: i32,
    /// What it says.
    pub text: String,
    /// When it came.
    pub received: Instant,
}

impl Line {
    /// A change of a server or backend, in HAProxy's words.
    pub fn is_state_change(&self) -> bool {
        let of_server = self.text.starts_with("Server ") || self.text.starts_with("Backup Server ");
        of_server || self.text.ends_with(" has no server available!")
    }
}

/// The receiving end of HAProxy's `log` line.
pub struct Syslog {
    address: SocketAddr,
    lines: Arc<Mutex<Vec<Line>>>,
    closing: Arc<AtomicBool>,
}

impl Syslog {
    /// Listens on a free port.
    pub fn start() -> Self {
        let socket = UdpSocket::bind("127.0.0.1:0").expect("a UDP socket");
        // A burst of a thousand lines must not be lost between two reads.
        let _ = setsockopt(&socket, sockopt::RcvBufForce, &(8 << 20));
        socket.set_read_timeout(Some(Duration::from_millis(50))).expect("a timeout");
        let address = socket.local_addr().expect("the address of a bound socket");
        let syslog = Syslog { address, lines: Arc::default(), closing: Arc::default() };
        let (lines, closing) = (syslog.lines.clone(), syslog.closing.clone());
        thread::spawn(move || {
            let mut datagram = vec![0; 65536];
            while !closing.load(Ordering::Relaxed) {
                if let Ok(length) = socket.recv(&mut datagram) {
                    let text = String::from_utf8_lossy(&datagram[..length]);
                    lines.lock().unwrap().extend(parse(text.trim_end()));
                }
            }
        });
        syslog
    }

    /// For HAProxy's configuration.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// What came so far.
    pub fn lines(&self) -> Vec<Line> {
        self.lines.lock().unwrap().clone()
    }

    /// The lines so far that have this text.
    pub fn lines_with(&self, text: &str) -> Vec<Line> {
        self.lines().into_iter().filter(|line| line.text.contains(text)).collect()
    }

    /// The changes of servers and backends so far.
    pub fn state_changes(&self) -> Vec<Line> {
        self.lines().into_iter().filter(Line::is_state_change).collect()
    }

    /// Waits for the first line with this text.
    #[track_caller]
    pub fn wait_for(&self, text: &str) -> Line {
        self.wait_for_count(1, text).remove(0)
    }

    /// Waits until `count` lines have this text.
    #[track_caller]
    pub fn wait_for_count(&self, count: usize, text: &str) -> Vec<Line> {
        let all_are_there = || Some(self.lines_with(text)).filter(|lines| lines.len() >= count);
        let lines = within(patience(), all_are_there);
        lines.unwrap_or_else(|| panic!("no {count} lines with {text:?} in HAProxy's log:\n{}", self.story()))
    }

    /// During this time there are never more than `count` lines with this text.
    #[track_caller]
    pub fn expect_no_more_than(&self, count: usize, text: &str, time: Duration) {
        throughout(time, || {
            let now = self.lines_with(text).len();
            (now > count).then(|| format!("{now} lines with {text:?} in HAProxy's log:\n{}", self.story()))
        });
    }

    /// The whole log, for those who read why a test failed.
    pub fn story(&self) -> String {
        let lines = self.lines();
        let Some(first) = lines.first() else { return String::new() };
        let since_first = |line: &Line| line.received.duration_since(first.received).as_secs_f64();
        let told = lines.iter().map(|line| {
            format!("  {:9.6} s <{}>[{}] {}\n", since_first(line), line.severity, line.pid, line.text)
        });
        told.collect()
    }
}

impl Drop for Syslog {
    fn drop(&mut self) {
        self.closing.store(true, Ordering::Relaxed);
    }
}

/// `<129>Nov 23 12:15:35 haproxy[26873]: text`
fn parse(datagram: &str) -> Option<Line> {
    let (priority, rest) = datagram.strip_prefix('<')?.split_once('>')?;
    let (header, text) = rest.split_once("]: ")?;
    let (_, pid) = header.rsplit_once('[')?;
    let (severity, pid) = (priority.parse::<u32>().ok()? & 7, pid.parse().ok()?);
    Some(Line { severity, pid, text: text.to_owned(), received: Instant::now() })
}
