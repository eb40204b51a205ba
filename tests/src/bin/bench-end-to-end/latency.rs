// SPDX-License-Identifier: MIT OR Apache-2.0
//! From HAProxy's own log line of a change to the acceptance of its mail by an idle relay.

use std::{
    io::{BufRead, BufReader, Write},
    net::{SocketAddr, TcpStream},
    sync::{Arc, Mutex},
    thread::sleep,
    time::{Duration, Instant},
};

use end_to_end::{Authority, Backend, Haproxy, Manner, Mta, Product, Relay, port::Service, wait::within};

use crate::{
    contender::Contender,
    table::{bar, greatest, head, median, milliseconds, quantile, row},
};

/// Changes after each of which the sessions with the relay end before there is another one.
const FIRSTS: usize = 30;
/// A session that is kept has ended by then.
const REST: Duration = Duration::from_millis(5_500);
/// Changes of which one comes soon after the other.
const CHANGES: usize = 50;
/// Changes of one contender before it is the other one's turn, so that the machine's moods hit both.
const TURN: usize = 10;
/// The relay is idle again.
const PAUSE: Duration = Duration::from_millis(200);
/// A mail that has not come by then will not come.
const PATIENCE: Duration = Duration::from_secs(5);

/// A relay that takes several commands at once and mails with them, as Postfix and Exim do.
enum Place {
    /// Does nothing but to answer.
    Idle(Relay),
    /// Debian's Postfix. The mails are seen by what it asks at the end of each, before it queues that and answers.
    Postfix { mta: Box<Mta>, mails: Arc<Mutex<Vec<Instant>>>, _policy: Service },
}

impl Place {
    fn idle() -> Self {
        let relay = Relay::start();
        relay.takes_mails_unasked();
        Place::Idle(relay)
    }

    fn postfix() -> Self {
        let mails: Arc<Mutex<Vec<Instant>>> = Arc::default();
        let seen = mails.clone();
        let policy = Service::start(move |connection| {
            // The mail server may end at any time.
            let _ = note(connection, &seen);
        });
        let settings = format!(
            "smtpd_relay_restrictions = reject_unauth_destination\nsmtpd_recipient_restrictions =\n\
             smtpd_end_of_data_restrictions = check_policy_service inet:{}\n",
            policy.address()
        );
        let manner = Manner { settings, ..Manner::default() };
        let mta = Mta::with(Product::Postfix, &Authority::new("relays"), &manner);
        Place::Postfix { mta: Box::new(mta), mails, _policy: policy }
    }

    fn address(&self) -> SocketAddr {
        match self {
            Place::Idle(relay) => relay.address(),
            Place::Postfix { mta, .. } => mta.plain(),
        }
    }

    /// When it had each of its mails.
    fn mails(&self) -> Vec<Instant> {
        match self {
            Place::Idle(relay) => relay.deliveries().iter().map(|delivery| delivery.accepted).collect(),
            Place::Postfix { mails, .. } => mails.lock().unwrap().clone(),
        }
    }
}

/// Postfix's protocol for policies: lines up to an empty one, and a decision.
fn note(mut connection: TcpStream, mails: &Mutex<Vec<Instant>>) -> std::io::Result<()> {
    for line in BufReader::new(connection.try_clone()?).lines() {
        if line?.is_empty() {
            mails.lock().unwrap().push(Instant::now());
            connection.write_all(b"action=dunno\n\n")?;
        }
    }
    Ok(())
}

/// How a server's checks decide.
#[derive(Clone, Copy)]
enum Checks {
    /// As HAProxy does if it is not told otherwise: three failures, two successes.
    Usual,
    /// One failure, one success.
    AtOnce,
}

impl Checks {
    fn words(self) -> &'static str {
        match self {
            Checks::Usual => "inter 300ms fall 3 rise 2",
            Checks::AtOnce => "inter 50ms fall 1 rise 1",
        }
    }
}

/// A HAProxy with a server whose health changes.
struct Subject {
    place: Place,
    server: Backend,
    _other_server: Backend,
    haproxy: Haproxy,
    is_up: bool,
    log_lines: usize,
    times: Vec<Duration>,
    last: Instant,
}

impl Subject {
    fn start(contender: Contender, place: Place, checks: Checks) -> Self {
        let (server, other_server) = (Backend::tcp(), Backend::tcp());
        let mut lines = contender.backend_lines();
        lines.push(format!("server s1 {} check {}", server.address(), checks.words()));
        // The backend keeps a server, so that a change is one mail.
        lines.push(format!("server s2 {}", other_server.address()));
        let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
        let haproxy = contender.setup(place.address()).backend("be", &lines).start();
        Subject {
            place,
            server,
            _other_server: other_server,
            haproxy,
            is_up: true,
            log_lines: 0,
            times: Vec::new(),
            last: Instant::now(),
        }
    }

    fn change(&mut self) {
        let mails_before = self.place.mails().len();
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
        let mail = within(PATIENCE, || self.place.mails().into_iter().nth(mails_before));
        self.times.extend(mail.map(|mail| mail - logged));
        sleep(PAUSE);
        self.last = Instant::now();
    }

    fn change_after_a_rest(&mut self) {
        sleep(REST.saturating_sub(self.last.elapsed()));
        self.change();
    }
}

/// Prints the comparison.
pub fn bench() {
    let contenders = [Contender::EmailAlert, Contender::Native];
    let mut rounds = Vec::new();
    let idle: fn() -> Place = Place::idle;
    for (relay, place) in
        [("a relay that does nothing but to answer", idle), ("Debian's Postfix", Place::postfix)]
    {
        for checks in [Checks::Usual, Checks::AtOnce] {
            rounds.push((relay, checks, contenders.map(|one| Subject::start(one, place(), checks))));
        }
    }
    for _ in 0..FIRSTS {
        rounds.iter_mut().flat_map(|(_, _, subjects)| subjects).for_each(Subject::change_after_a_rest);
    }
    for (relay, checks, subjects) in &mut rounds {
        let checks = match checks {
            Checks::Usual => "by HAProxy's usual checks, of which three fail or two succeed",
            Checks::AtOnce => "by checks of which the first decides (fall 1 rise 1)",
        };
        head(&format!(
            "From HAProxy's log line to the mail's acceptance by {relay}, for the first change after a rest,\n\
             {checks}: {FIRSTS} changes by a server that refuses connections and accepts them again"
        ));
        show(&contenders, subjects);
    }
    for (relay, _, subjects) in rounds.iter_mut().filter(|(_, checks, _)| matches!(checks, Checks::AtOnce)) {
        for _ in 0..CHANGES / TURN {
            for subject in &mut *subjects {
                (0..TURN).for_each(|_| subject.change());
            }
        }
        head(&format!("The same for changes that come four a second: {CHANGES} changes, {relay}"));
        show(&contenders, subjects);
    }
}

/// Prints the times since the last call.
fn show(contenders: &[Contender; 2], subjects: &mut [Subject; 2]) {
    row("", &["mails", "median", "90 %", "max"].map(String::from));
    let all = subjects.each_mut().map(|subject| std::mem::take(&mut subject.times));
    for (contender, times) in contenders.iter().zip(&all) {
        let figures = [median(times), quantile(times, 0.9), greatest(times)];
        row(contender.name(), &[&[times.len().to_string()], &figures.map(milliseconds)[..]].concat());
    }
    println!();
    let [ours, native] = all.map(|times| median(&times).as_secs_f64());
    bar("median, to native", &format!("{:.2}", ours / native), "at most 1", ours <= native);
}
