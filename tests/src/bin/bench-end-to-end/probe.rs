// SPDX-License-Identifier: MIT OR Apache-2.0
//! A HAProxy with one server whose health changes, and the relay that gets the mail about each change.

use std::{
    io::{BufRead, BufReader, Write},
    net::{SocketAddr, TcpStream},
    sync::{Arc, Mutex},
    thread::sleep,
    time::{Duration, Instant},
};

use end_to_end::{
    Authority, Backend, DelayProxy, Haproxy, Manner, Mta, Product, Relay, Setup, port::Service, wait::within,
};

use crate::contender::Contender;

/// Kept sessions have ended by then.
const REST: Duration = Duration::from_millis(5_500);
/// From a mail to the next change: the relay is idle again.
const PAUSE: Duration = Duration::from_millis(200);
/// A mail that has not arrived by then is counted as missing.
const PATIENCE: Duration = Duration::from_secs(5);

/// A relay that offers PIPELINING.
pub enum Destination {
    /// The relay of the tests, which needs no time for anything.
    TestRelay { relay: Relay, proxy: Option<DelayProxy> },
    /// Debian's Postfix, with CHUNKING. Its policy service sees each mail at its end, before Postfix queues and answers it.
    Postfix { mta: Box<Mta>, mails: Arc<Mutex<Vec<Instant>>>, _policy: Service },
}

impl Destination {
    /// A relay on loopback that offers CHUNKING.
    pub fn idle() -> Self {
        Self::at(Duration::ZERO, true)
    }

    /// A relay at this round-trip time. At 0 there is no proxy.
    pub fn at(round_trip: Duration, offers_chunking: bool) -> Self {
        let relay = Relay::start();
        if offers_chunking {
            relay.takes_mails_unasked()
        } else {
            relay.takes_commands_at_once()
        }
        let proxy = (!round_trip.is_zero()).then(|| DelayProxy::start(relay.address(), round_trip));
        Destination::TestRelay { relay, proxy }
    }

    /// Debian's Postfix on loopback.
    pub fn postfix() -> Self {
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
        Destination::Postfix { mta: Box::new(mta), mails, _policy: policy }
    }

    fn address(&self) -> SocketAddr {
        match self {
            Destination::TestRelay { relay, proxy } => {
                proxy.as_ref().map_or(relay.address(), DelayProxy::address)
            }
            Destination::Postfix { mta, .. } => mta.plain(),
        }
    }

    fn mail_count(&self) -> usize {
        match self {
            Destination::TestRelay { relay, .. } => relay.mail_count(),
            Destination::Postfix { mails, .. } => mails.lock().unwrap().len(),
        }
    }

    /// Arrival of the final dot of mail `index`.
    fn arrival(&self, index: usize) -> Option<Instant> {
        if self.mail_count() <= index {
            return None;
        }
        match self {
            Destination::TestRelay { relay, .. } => Some(relay.deliveries()[index].accepted),
            Destination::Postfix { mails, .. } => Some(mails.lock().unwrap()[index]),
        }
    }
}

/// Speaks Postfix's policy protocol: lines up to an empty one, then a decision.
fn note(mut connection: TcpStream, mails: &Mutex<Vec<Instant>>) -> std::io::Result<()> {
    for line in BufReader::new(connection.try_clone()?).lines() {
        if line?.is_empty() {
            mails.lock().unwrap().push(Instant::now());
            connection.write_all(b"action=dunno\n\n")?;
        }
    }
    Ok(())
}

/// The number of check results that change a server's state.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Checks {
    /// HAProxy's default: three failures, two successes. The results before the last one announce the change.
    Announced,
    /// One failure, one success.
    AtOnce,
}

impl Checks {
    fn words(self) -> &'static str {
        match self {
            Checks::Announced => "inter 200ms fall 3 rise 2",
            Checks::AtOnce => "inter 50ms fall 1 rise 1",
        }
    }
}

/// A HAProxy under measurement.
pub struct Probe {
    destination: Destination,
    server: Backend,
    _other_server: Backend,
    haproxy: Haproxy,
    is_up: bool,
    log_lines: usize,
    times: Vec<Duration>,
    missing: usize,
    last: Instant,
}

impl Probe {
    pub fn start(contender: Contender, destination: Destination, checks: Checks) -> Self {
        Self::start_with(contender, destination, checks, |setup| setup)
    }

    /// Starts a HAProxy whose configuration `change` completes.
    pub fn start_with(
        contender: Contender,
        destination: Destination,
        checks: Checks,
        change: impl FnOnce(Setup) -> Setup,
    ) -> Self {
        let (server, other_server) = (Backend::tcp(), Backend::tcp());
        let mut lines = contender.backend_lines();
        lines.push(format!("server s1 {} check {}", server.address(), checks.words()));
        // The backend keeps a server, so that a change is one mail.
        lines.push(format!("server s2 {}", other_server.address()));
        let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
        let setup = contender.setup(destination.address()).backend("be", &lines);
        Probe {
            destination,
            server,
            _other_server: other_server,
            haproxy: change(setup).start(),
            is_up: true,
            log_lines: 0,
            times: Vec::new(),
            missing: 0,
            last: Instant::now(),
        }
    }

    pub fn haproxy(&self) -> &Haproxy {
        &self.haproxy
    }

    /// Changes the server's health and notes the time from HAProxy's log line to the mail's final dot at the relay.
    pub fn change(&mut self) {
        match self.measure() {
            Some(time) => self.times.push(time),
            None => self.missing += 1,
        }
    }

    /// Changes the server's health, so that a session is open for the next change; notes nothing.
    pub fn open_session(&mut self) {
        self.measure();
    }

    /// Returns `None` if the mail does not arrive.
    fn measure(&mut self) -> Option<Duration> {
        let mails_before = self.destination.mail_count();
        if self.is_up {
            self.server.goes_down()
        } else {
            self.server.comes_back()
        }
        self.is_up = !self.is_up;
        self.log_lines += 1;
        let logged = self.haproxy.log().wait_for_count(self.log_lines, "Server be/s1 is ")
            [self.log_lines - 1]
            .received;
        let arrival = within(PATIENCE, || self.destination.arrival(mails_before));
        sleep(PAUSE);
        self.last = Instant::now();
        arrival.map(|arrival| arrival.saturating_duration_since(logged))
    }

    /// Waits until no session with the relay is left.
    pub fn rest(&self) {
        sleep(REST.saturating_sub(self.last.elapsed()));
    }

    pub fn change_after_a_rest(&mut self) {
        self.rest();
        self.change();
    }

    /// Returns the times since the last call, and how many mails did not arrive.
    pub fn take_times(&mut self) -> (Vec<Duration>, usize) {
        (std::mem::take(&mut self.times), std::mem::take(&mut self.missing))
    }
}
