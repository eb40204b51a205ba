// SPDX-License-Identifier: MIT OR Apache-2.0
//! From HAProxy's own log line of a change to the acceptance of its mail by an idle relay.

use std::{
    thread::sleep,
    time::{Duration, Instant},
};

use end_to_end::{Backend, Haproxy, Relay, wait::within};

use crate::{
    contender::Contender,
    table::{bar, greatest, head, median, milliseconds, quantile, row},
};

const CHANGES: usize = 50;
/// Changes of one contender before it is the other one's turn, so that the machine's moods hit both.
const TURN: usize = 10;
/// A mail that has not come by then will not come.
const PATIENCE: Duration = Duration::from_secs(5);
/// The relay is idle again, and the session before has ended.
const PAUSE: Duration = Duration::from_millis(20);

/// A HAProxy with a server whose health changes.
struct Subject {
    relay: Relay,
    server: Backend,
    _other_server: Backend,
    haproxy: Haproxy,
    is_up: bool,
    log_lines: usize,
    /// From the log line of a change to the relay's accepting a connection for its mail.
    connected: Vec<Duration>,
    /// And to its accepting the mail.
    accepted: Vec<Duration>,
}

impl Subject {
    fn start(contender: Contender) -> Self {
        let (relay, server, other_server) = (Relay::start(), Backend::tcp(), Backend::tcp());
        relay.takes_commands_at_once();
        let mut lines = contender.backend_lines();
        lines.push("default-server inter 50ms".into());
        lines.push(format!("server s1 {} check", server.address()));
        // The backend keeps a server, so that a change is one mail.
        lines.push(format!("server s2 {}", other_server.address()));
        let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
        let haproxy = contender.setup(&relay).backend("be", &lines).start();
        Subject {
            relay,
            server,
            _other_server: other_server,
            haproxy,
            is_up: true,
            log_lines: 0,
            connected: Vec::new(),
            accepted: Vec::new(),
        }
    }

    fn change(&mut self) {
        let mails_before = self.relay.mail_count();
        if self.is_up {
            self.server.goes_down()
        } else {
            self.server.comes_back()
        }
        self.is_up = !self.is_up;
        self.log_lines += 1;
        let logged: Instant = self.haproxy.log().wait_for_count(self.log_lines, "Server be/s1 is ")
            [self.log_lines - 1]
            .received;
        let mail = within(PATIENCE, || self.relay.deliveries().into_iter().nth(mails_before));
        if let Some(mail) = mail {
            self.connected.push(self.relay.sessions()[mail.session].began - logged);
            self.accepted.push(mail.accepted - logged);
        }
        within(PATIENCE, || self.relay.sessions().iter().all(|session| session.end.is_some()).then_some(()));
        sleep(PAUSE);
    }
}

/// Prints the comparison.
pub fn bench() {
    let contenders = [Contender::EmailAlert, Contender::Native];
    let mut subjects = contenders.map(Subject::start);
    for _ in 0..CHANGES / TURN {
        for subject in &mut subjects {
            (0..TURN).for_each(|_| subject.change());
        }
    }

    head(&format!(
        "From HAProxy's log line to the mail's acceptance by an idle relay: {CHANGES} changes, one at a time,\n\
         by a server that refuses connections and accepts them again"
    ));
    row("", &["mails", "connected", "median", "90 %", "max"].map(String::from));
    for (contender, Subject { connected, accepted, .. }) in contenders.iter().zip(&subjects) {
        let times = [median(connected), median(accepted), quantile(accepted, 0.9), greatest(accepted)];
        row(contender.name(), &[&[accepted.len().to_string()], &times.map(milliseconds)[..]].concat());
    }
    println!();
    let [ours, native] = subjects.map(|subject| median(&subject.accepted).as_secs_f64());
    bar("median, to native", &format!("{:.2}", ours / native), "at most 1", ours <= native);
}
