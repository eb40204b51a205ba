// SPDX-License-Identifier: MIT OR Apache-2.0
//! Every fault of the table in `end_to_end::faults`, each through a HAProxy of its own.

use std::{
    path::PathBuf,
    sync::{
        Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
    time::Duration,
};

use end_to_end::{
    Authority, Backend, Files, Haproxy, Relay, Setup, Step,
    faults::{self, Fault, Kind, Outcome, PASSWORD},
    relay::Delivery,
    until, until_true,
};

/// How many HAProxies run at a time: they mostly wait.
const AT_ONCE: usize = 32;

/// What all rows use.
struct Lab {
    authority: Authority,
    ca_file: PathBuf,
    password_file: PathBuf,
    /// A server that never fails: beside it, the failure of another is no matter for the backend.
    healthy: Backend,
    _files: Files,
}

/// How a row is tried.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum RelayKind {
    /// There is no other relay.
    Alone,
    /// The same, and several commands may come at once.
    AloneWithPipelining,
    /// The same, and a mail may come with them.
    AloneWithChunking,
    /// There is another relay behind it; several commands may come at once.
    WithAnother,
}

/// A HAProxy, a server that fails, the relay of the row, and the one behind it.
struct Scene<'a> {
    fault: &'a Fault,
    way: RelayKind,
    server: Backend,
    relay: Relay,
    other: Option<Relay>,
    haproxy: Haproxy,
}

#[test]
fn the_committed_document_is_up_to_date() {
    let committed = std::fs::read_to_string(faults::path()).expect("doc/faults.md");
    assert!(committed == faults::document(), "you probably forgot to run: make faults");
}

#[test]
fn whatever_a_relay_does_the_mail_and_the_log_are_as_the_table_says() {
    let (authority, files) = (Authority::new("test"), Files::default());
    let (ca_file, password_file) =
        (files.public("ca.pem", &authority.pem()), files.secret("password", PASSWORD));
    let lab = Lab { authority, ca_file, password_file, healthy: Backend::tcp(), _files: files };
    let table = faults::table();
    let runs: Vec<(&Fault, RelayKind)> =
        table.iter().flat_map(|fault| ways_of(fault).into_iter().map(move |way| (fault, way))).collect();
    let (next, failed) = (AtomicUsize::new(0), Mutex::new(Vec::new()));
    let work = || {
        while let Some((fault, way)) = runs.get(next.fetch_add(1, Ordering::Relaxed)) {
            let name = format!("{}, {way:?}", fault.name);
            let outcome = thread::scope(|scope| {
                let story = || lab.try_out(fault, *way);
                thread::Builder::new().name(name.clone()).spawn_scoped(scope, story).expect("a thread").join()
            });
            if outcome.is_err() {
                failed.lock().unwrap().push(name);
            }
        }
    };
    thread::scope(|scope| (0..AT_ONCE).for_each(|_| drop(scope.spawn(work))));
    let failed = failed.into_inner().unwrap();
    assert!(failed.is_empty(), "{} of {} runs failed: {failed:#?}", failed.len(), runs.len());
}

fn ways_of(fault: &Fault) -> Vec<RelayKind> {
    // Which commands come together makes no difference before the first of them.
    let before_mail = matches!(fault.step, Some(Step::Banner | Step::Ehlo));
    let mut ways = vec![RelayKind::Alone, RelayKind::WithAnother];
    if fault.kind == Kind::Plain && !before_mail {
        ways.push(RelayKind::AloneWithPipelining);
        if !fault.needs_data() {
            ways.push(RelayKind::AloneWithChunking);
        }
    }
    ways
}

impl Lab {
    fn try_out(&self, fault: &Fault, way: RelayKind) {
        let scene = self.scene(fault, way);
        (fault.begins)(&scene.relay, &self.authority);
        scene.server.goes_down();
        match way {
            RelayKind::Alone | RelayKind::AloneWithPipelining | RelayKind::AloneWithChunking => {
                scene.expect_what_happens_alone()
            }
            RelayKind::WithAnother => scene.expect_the_other_to_help(),
        }
    }

    fn scene<'a>(&self, fault: &'a Fault, way: RelayKind) -> Scene<'a> {
        let (server, relay) = (Backend::tcp(), Relay::with(fault.kind.manners(&self.authority)));
        match way {
            RelayKind::Alone => {}
            RelayKind::AloneWithPipelining | RelayKind::WithAnother => relay.takes_commands_at_once(),
            RelayKind::AloneWithChunking => relay.takes_mails_unasked(),
        }
        let words = fault.kind.words(&self.ca_file, &self.password_file);
        let (address, timeout) = (relay.address(), &fault.timeout);
        let mut setup = Setup::with_alerts()
            .to(&fault.recipients().join(","))
            .global(&format!("email_alert.relay mx1 {address} timeout {timeout} {words}"));
        let other = (way == RelayKind::WithAnother).then(Relay::start);
        if let Some(other) = &other {
            setup = setup.relay("mx2", other.address());
        }
        let line = |name: &str, server: &Backend| format!("server {name} {} check", server.address());
        let servers = [line("server1", &server), line("server2", &self.healthy)];
        let haproxy = setup.backend("servers", &servers.each_ref().map(String::as_str)).jailed().start();
        Scene { fault, way, server, relay, other, haproxy }
    }
}

impl Scene<'_> {
    fn expect_what_happens_alone(&self) {
        let mut expected = mail_to(self.fault.taken());
        if self.fault.left().is_empty() {
            self.wait_until_settled();
        } else {
            // A second attempt is as vain as the first, and not logged.
            until_true("a second attempt", || self.counters(["retried"]) >= [2]);
            if self.fault.outcome == Outcome::Twice {
                expected.push(self.fault.taken());
            }
            let taken = self.relay.wait_for_deliveries(expected.len());
            assert_eq!(recipients(&taken), expected, "{}", self.relay.story());
            self.expect_no_words_for_strangers();
            self.expect_log(&self.expected_log());
            self.relay.behaves();
            expected.push(self.fault.left());
            self.wait_until_settled();
        }
        let about_down = self.relay.deliveries();
        assert_eq!(recipients(&about_down), expected, "{}", self.relay.story());
        expect_one_mail(&about_down);

        // What comes next has nothing to suffer.
        self.relay.behaves();
        self.server.comes_back();
        let up = self.relay.wait_for_deliveries(about_down.len() + 1).remove(about_down.len());
        assert_eq!((up.mail().event(), &up.recipients[..]), ("up", &owned(self.fault.recipients())[..]));
        let mut lines = self.expected_log();
        if !self.fault.left().is_empty() {
            lines.push("email_alert: relay mx1: works again".to_owned());
        }
        self.expect_log(&lines);
    }

    fn expect_the_other_to_help(&self) {
        let other = self.other.as_ref().expect("another relay");
        self.wait_until_settled();
        let (taken, left) = (mail_to(self.fault.taken()), mail_to(self.fault.left()));
        // What it takes too late comes after the end.
        let (own, others) = (self.relay.wait_for_deliveries(taken.len()), other.deliveries());
        assert_eq!(recipients(&own), taken, "{}", self.relay.story());
        assert_eq!(recipients(&others), left, "{}", other.story());
        expect_one_mail(&[own, others].concat());
        if self.fault.left().is_empty() {
            assert_eq!(other.sessions().len(), 0, "{}", other.story());
        }
        assert_eq!(self.counters(["retried"]), [0], "nobody has to wait");
        self.expect_no_words_for_strangers();
        self.expect_log(&self.expected_log());
    }

    /// Waits until nobody waits for the first mail any more.
    fn wait_until_settled(&self) {
        let refused = u64::from(matches!(self.fault.outcome, Outcome::Never | Outcome::NeverForOne));
        let delivered = self.fault.recipients().len() as u64 - refused;
        until_true("the end of the mail", || {
            self.counters(["waiting", "delivered", "failed"]) == [0, delivered, refused]
        });
    }

    /// Counters of the library.
    #[track_caller]
    fn counters<const N: usize>(&self, names: [&str; N]) -> [u64; N] {
        // Others need the processor, too.
        thread::sleep(Duration::from_millis(20));
        self.haproxy.counters(names)
    }

    /// The lines of the log on relays are these.
    #[track_caller]
    fn expect_log(&self, expected: &[String]) {
        let lines = self.haproxy.log().wait_for_count(expected.len(), "email_alert: ");
        assert_eq!(lines.into_iter().map(|line| line.text).collect::<Vec<_>>(), expected);
    }

    fn expected_log(&self) -> Vec<String> {
        let is_down = "Server servers/server1 is DOWN";
        let sentence = until("the event", || {
            self.haproxy.log().lines().into_iter().find(|line| line.text.starts_with(is_down))
        });
        let by_bdat = self.way == RelayKind::AloneWithChunking;
        self.fault.log_line(self.relay.address(), &sentence.text, by_bdat).into_iter().collect()
    }

    /// A relay that may be another gets neither password nor mail, and the log has no password.
    fn expect_no_words_for_strangers(&self) {
        for command in ["AUTH", "MAIL"].into_iter().filter(|command| self.fault.forbids(command)) {
            let sessions = self.relay.sessions();
            let said = sessions.iter().flat_map(|session| &session.commands).any(|c| c.starts_with(command));
            assert!(!said, "{}", self.relay.story());
        }
        let log = self.haproxy.log().story();
        // NUL, bob, NUL, password; password.
        for secret in [PASSWORD, "AGJvYgBodW50ZXIy", "aHVudGVyMg"] {
            assert!(!log.contains(secret), "{secret:?} is in the log:\n{log}");
        }
    }
}

/// The recipients of each mail: one mail, or none if there is nobody.
fn mail_to(recipients: &'static [&'static str]) -> Vec<&'static [&'static str]> {
    Some(recipients).filter(|recipients| !recipients.is_empty()).into_iter().collect()
}

fn recipients(deliveries: &[Delivery]) -> Vec<Vec<String>> {
    deliveries.iter().map(|delivery| delivery.recipients.clone()).collect()
}

fn owned(recipients: &[&str]) -> Vec<String> {
    recipients.iter().map(|&recipient| recipient.to_owned()).collect()
}

/// However often it was delivered.
fn expect_one_mail(deliveries: &[Delivery]) {
    let mails: Vec<_> = deliveries.iter().map(Delivery::mail).collect();
    for mail in &mails {
        assert_eq!(mail.event(), "down");
        assert_eq!(mail.header("Message-ID"), mails[0].header("Message-ID"));
    }
}
