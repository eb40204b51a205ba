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
/// Changes of one contender after each of which its session with the relay ends first.
const FIRSTS: usize = 30;
/// A session that is kept ends by then.
const REST: Duration = Duration::from_secs(10);
/// The relay is idle again.
const PAUSE: Duration = Duration::from_millis(200);

/// A HAProxy with a server whose health changes.
struct Subject {
    relay: Relay,
    server: Backend,
    _other_server: Backend,
    haproxy: Haproxy,
    is_up: bool,
    log_lines: usize,
    times: Times,
}

#[derive(Default)]
struct Times {
    /// From the log line of a change to the relay's accepting a connection for its mail; 0: it was there.
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
            times: Times::default(),
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
            self.times.connected.push(self.relay.sessions()[mail.session].began - logged);
            self.times.accepted.push(mail.accepted - logged);
        }
        sleep(PAUSE);
    }

    /// Waits until the relay has no session any more.
    fn rest(&self) {
        within(REST, || self.relay.sessions().iter().all(|session| session.end.is_some()).then_some(()));
        sleep(PAUSE);
    }
}

/// Prints the comparison.
pub fn bench() {
    let contenders = [Contender::EmailAlert, Contender::Native];
    let mut subjects = contenders.map(Subject::start);
    for _ in 0..FIRSTS {
        for subject in &mut subjects {
            subject.rest();
            subject.change();
        }
    }
    head(&format!(
        "From HAProxy's log line to the mail's acceptance by an idle relay, for the first change after a rest, when no\n\
         session is open: {FIRSTS} changes by a server that refuses connections and accepts them again"
    ));
    show(&contenders, &mut subjects);

    for _ in 0..CHANGES / TURN {
        for subject in &mut subjects {
            (0..TURN).for_each(|_| subject.change());
        }
    }
    head(&format!("The same for changes that come five a second: {CHANGES} changes"));
    show(&contenders, &mut subjects);
}

/// Prints the times since the last call.
fn show(contenders: &[Contender; 2], subjects: &mut [Subject; 2]) {
    row("", &["mails", "connected", "median", "90 %", "max"].map(String::from));
    let all = subjects.each_mut().map(|subject| std::mem::take(&mut subject.times));
    for (contender, Times { connected, accepted }) in contenders.iter().zip(&all) {
        let times = [median(connected), median(accepted), quantile(accepted, 0.9), greatest(accepted)];
        row(contender.name(), &[&[accepted.len().to_string()], &times.map(milliseconds)[..]].concat());
    }
    println!();
    let [ours, native] = all.map(|times| median(&times.accepted).as_secs_f64());
    bar("median, to native", &format!("{:.2}", ours / native), "at most 1", ours <= native);
}
