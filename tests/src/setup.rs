// SPDX-License-Identifier: MIT OR Apache-2.0
//! HAProxy's configuration for one test.

use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
};

use crate::{
    haproxy::{Haproxy, Judgement},
    relay::Relay,
    syslog::LONGEST_LINE,
};

/// The recipient of all mails, unless a test says otherwise.
pub const RECIPIENT: &str = "ops@example.com";
/// The sender of all mails.
pub const SENDER: &str = "lb1@example.com";
/// The name under which HAProxy's machine appears in the mails.
pub const HOST: &str = "lb1.example.com";
/// Who HAProxy becomes in its jail: what Debian calls nobody and nogroup.
pub const UNPRIVILEGED: u32 = 65534;

/// How HAProxy is run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// `-db`: one process in the foreground.
    Foreground,
    /// `-D`: one process in the background.
    Daemon,
    /// `-W`: a master and its worker.
    MasterWorker,
    /// `-Ws`: the same, and systemd is told when it is ready.
    Systemd,
}

impl Mode {
    /// For HAProxy's command line.
    pub fn argument(self) -> &'static str {
        match self {
            Mode::Foreground => "-db",
            Mode::Daemon => "-D",
            Mode::MasterWorker => "-W",
            Mode::Systemd => "-Ws",
        }
    }

    /// Whether the process that was started has a worker.
    pub fn has_master(self) -> bool {
        matches!(self, Mode::MasterWorker | Mode::Systemd)
    }
}

/// A configuration, and how to run it.
#[derive(Clone)]
pub struct Setup {
    pub(crate) mode: Mode,
    pub(crate) program: Option<PathBuf>,
    pub(crate) hosts: Option<String>,
    pub(crate) own_network: bool,
    pub(crate) preload: Option<PathBuf>,
    threads: u32,
    jailed: bool,
    each_alone: bool,
    route: Option<String>,
    globals: Vec<String>,
    sections: Vec<String>,
}

impl Setup {
    /// Without any alert.
    pub fn without_alerts() -> Self {
        let (mode, threads) = (Mode::Foreground, 1);
        Setup {
            mode,
            program: None,
            hosts: None,
            own_network: false,
            preload: None,
            threads,
            jailed: false,
            each_alone: false,
            route: None,
            globals: Vec::new(),
            sections: Vec::new(),
        }
    }

    /// Alerts for `RECIPIENT`, a mail for each change; the test names the relays.
    pub fn with_alerts() -> Self {
        let mut setup = Self::without_alerts().global(&format!("email_alert.host-name {HOST}"));
        setup.each_alone = true;
        setup.route = Some(format!("email_alert {RECIPIENT} {SENDER}"));
        setup
    }

    /// Alerts for `RECIPIENT` through this relay.
    pub fn mailing_through(relay: &Relay) -> Self {
        Self::with_alerts().relay("test", relay.address())
    }

    /// One more relay.
    pub fn relay(self, name: &str, address: SocketAddr) -> Self {
        self.global(&format!("email_alert.relay {name} {address}"))
    }

    /// Alerts for `RECIPIENT` through this relay, which has to answer each step within this time.
    pub fn mailing_within(relay: &Relay, time: &str) -> Self {
        Self::with_alerts().global(&format!("email_alert.relay test {} timeout {time}", relay.address()))
    }

    /// Mails as without `email_alert.digest` and `email_alert.flap`, not one for each change.
    pub fn with_digests(mut self) -> Self {
        self.each_alone = false;
        self
    }

    /// The kinds of events that are mailed, instead of the default ones.
    pub fn events(mut self, kinds: &str) -> Self {
        self.route = Some(format!("email_alert {RECIPIENT} {SENDER} events {kinds}"));
        self
    }

    /// Another recipient list.
    pub fn to(mut self, recipients: &str) -> Self {
        self.route = Some(format!("email_alert {recipients} {SENDER}"));
        self
    }

    /// One more line in `global`.
    pub fn global(mut self, line: &str) -> Self {
        self.globals.push(line.to_owned());
        self
    }

    /// A backend with these lines.
    pub fn backend(self, name: &str, lines: &[&str]) -> Self {
        self.section(&format!("backend {name}"), lines)
    }

    /// A frontend on the socket that `Haproxy::get` uses.
    pub fn frontend(self, backend: &str) -> Self {
        let to = format!("default_backend {backend}");
        self.section("frontend web", &["bind \"${TEST_DIRECTORY}/web.sock\" mode 666", &to])
    }

    /// Any section.
    pub fn section(mut self, head: &str, lines: &[&str]) -> Self {
        let lines: String = lines.iter().map(|line| format!("    {line}\n")).collect();
        self.sections.push(format!("{head}\n{lines}"));
        self
    }

    /// Another mode than the foreground.
    pub fn mode(mut self, mode: Mode) -> Self {
        self.mode = mode;
        self
    }

    /// Other than one thread.
    pub fn threads(mut self, threads: u32) -> Self {
        self.threads = threads;
        self
    }

    /// With chroot, user and group, as in Debian's default configuration.
    pub fn jailed(self) -> Self {
        self.jailed_if(true)
    }

    /// With or without chroot, user and group.
    pub fn jailed_if(mut self, jailed: bool) -> Self {
        self.jailed = jailed;
        self
    }

    /// Another HAProxy than the one to test.
    pub fn program(mut self, path: &Path) -> Self {
        self.program = Some(path.to_owned());
        self
    }

    /// What HAProxy's machine has in its `/etc/hosts`.
    pub fn hosts(mut self, hosts: &str) -> Self {
        self.hosts = Some(hosts.to_owned());
        self
    }

    /// In a network with nobody else, not even itself: there it may listen at any address.
    pub fn in_own_network(mut self) -> Self {
        self.own_network = true;
        self
    }

    /// With this shared library before all others (`LD_PRELOAD`).
    pub fn preload(mut self, library: &Path) -> Self {
        self.preload = Some(library.to_owned());
        self
    }

    /// Runs it.
    #[track_caller]
    pub fn start(self) -> Haproxy {
        Haproxy::start(self)
    }

    /// Asks `haproxy -c` what it thinks of it.
    #[track_caller]
    pub fn judge(self) -> Judgement {
        Haproxy::judge(self)
    }

    /// Runs what cannot start, and returns what it says.
    #[track_caller]
    pub fn start_in_vain(self) -> Judgement {
        Haproxy::start_in_vain(self)
    }

    pub(crate) fn text(&self, directory: &Path, log: SocketAddr) -> String {
        let directory = directory.display();
        let mut text = format!(
            "global\n    log {log} len {LONGEST_LINE} local0\n    nbthread {}\n    maxconn 200\n    \
             stats socket {directory}/cli.sock mode 600 level admin\n",
            self.threads
        );
        if self.jailed {
            text += &format!("    chroot {directory}/jail\n    uid {UNPRIVILEGED}\n    gid {UNPRIVILEGED}\n");
        }
        if self.each_alone {
            text += "    email_alert.digest off\n    email_alert.flap off\n";
        }
        for line in self.route.iter().chain(&self.globals) {
            text += &format!("    {line}\n");
        }
        text += "defaults\n    log global\n    mode http\n    timeout connect 1s\n    timeout client 10s\n    \
                 timeout server 10s\n    timeout check 5s\n    default-server inter 100ms fall 1 rise 1\n";
        text + &self.sections.concat()
    }
}
