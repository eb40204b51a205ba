// SPDX-License-Identifier: MIT OR Apache-2.0
//! The helper as a process of its own. The helper process executes the program that starts it, so this test has its own `main()`,
//! which calls `helper::run()` like the add-on does in HAProxy.

mod common;

use haproxy_email_alert::helper;
use haproxy_email_alert::helper::client::{Helper, SharedHelper};
use haproxy_email_alert::message::Message;
use haproxy_email_alert::settings::{MailProgram, Recipient};
use haproxy_email_alert::sys::User;
use haproxy_email_alert::transport::command::Command;
use haproxy_email_alert::transport::{Delivery, LazyMail, Outcome, Transactions, Transport};
use nix::errno::Errno;
use nix::fcntl::{FcntlArg, FdFlag, fcntl};
use nix::sys::signal::{Signal, kill};
use nix::sys::wait::{WaitPidFlag, waitpid};
use nix::unistd::{Pid, getuid};
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// The kernel's overflow user id, which owns nothing.
const UNPRIVILEGED: u32 = 65534;

fn main() {
    if std::env::var_os("HAPROXY_EMAIL_ALERT_HELPER").is_some() {
        std::process::exit(helper::run());
    }
    let tests: [(&str, fn()); 4] = [
        ("the_helper_is_an_unprivileged_daemon_without_inherited_state", is_an_unprivileged_daemon),
        ("the_helper_ignores_signals_and_ends_with_the_socket", ends_with_the_socket),
        ("the_helper_keeps_no_listening_socket", keeps_no_listening_socket),
        ("without_a_socket_the_helper_exits", without_a_socket),
    ];
    // In sequence: the tests wait for this process's children.
    for (name, test) in tests {
        test();
        println!("test {name} ... ok");
    }
    println!("\ntest result: ok. {} passed; 0 failed; 0 ignored; 0 measured; 0 filtered out", tests.len());
}

/// A directory into which every user may write; removed at the end.
struct Scratch(PathBuf);

impl Scratch {
    fn new() -> Self {
        let path = std::env::temp_dir().join(format!("email-alert-helper.{}", std::process::id()));
        std::fs::create_dir(&path).unwrap();
        std::fs::set_permissions(&path, PermissionsExt::from_mode(0o777)).unwrap();
        Scratch(path)
    }

    /// Makes the helper run a script, and returns its output.
    fn run(&self, helper: &SharedHelper, script: &str) -> String {
        let program = self.0.join("script");
        std::fs::write(&program, format!("#!/bin/sh\ncd '{}' && {{ {script}; }} >out\n", self.0.display()))
            .unwrap();
        std::fs::set_permissions(&program, PermissionsExt::from_mode(0o755)).unwrap();
        let mut relay =
            Command::new(MailProgram::Sendmail, &program, Duration::from_secs(60), helper.clone());
        let message = Message { subject: String::new(), text: String::new(), bytes: Vec::new() };
        let to = [Recipient { address: "ops@example.com".parse().unwrap(), is_local: false }];
        let mail = LazyMail::new(|| Ok(message.clone()));
        let transactions = &Transactions::default();
        let delivery =
            Delivery { notification: &common::notification(), recipients: &to, mail: &mail, transactions };
        assert_eq!(relay.deliver(&delivery), Ok(vec![Outcome::Delivered]));
        let out = std::fs::read_to_string(self.0.join("out")).unwrap();
        std::fs::remove_file(self.0.join("out")).unwrap();
        out
    }

    fn pid(&self, helper: &SharedHelper) -> Pid {
        Pid::from_raw(self.run(helper, "echo $PPID").trim().parse().unwrap())
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// Starts the helper, as another user if this process is root.
fn start() -> SharedHelper {
    let id = if getuid().is_root() { UNPRIVILEGED } else { 0 };
    Helper::start(User { uid: id, gid: id }).unwrap()
}

fn wait_for_end(pid: Pid) {
    let until = Instant::now() + Duration::from_secs(30);
    while is_running(pid) {
        assert!(Instant::now() < until, "the helper lives on");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// Returns true until the process has ended; a zombie has ended. Init reaps the helper: in a container, possibly never.
fn is_running(pid: Pid) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit_once(") ").is_some_and(|(_, state)| !state.starts_with(['Z', 'X']))
}

fn is_an_unprivileged_daemon() {
    let scratch = Scratch::new();
    let helper = start();
    assert_eq!(
        waitpid(None, Some(WaitPidFlag::WNOHANG)),
        Err(Errno::ECHILD),
        "the helper is no child of this process"
    );

    let status = scratch.run(&helper, "cat /proc/$PPID/status");
    let line = |name: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':')).unwrap();
        line.split_whitespace().collect::<Vec<&str>>().join(" ")
    };
    assert_eq!(line("Name"), "email-alert");
    assert_ne!(line("PPid"), std::process::id().to_string());
    assert_eq!(line("NoNewPrivs"), "0", "postdrop is set-group-id");
    let blocked = u64::from_str_radix(&line("SigBlk"), 16).unwrap();
    for signal in
        [Signal::SIGTERM, Signal::SIGINT, Signal::SIGHUP, Signal::SIGUSR1, Signal::SIGUSR2, Signal::SIGPIPE]
    {
        assert!(blocked & 1 << (signal as i32 - 1) != 0, "{signal} is blocked");
    }
    if getuid().is_root() {
        for name in ["Uid", "Gid"] {
            assert_eq!(line(name), "65534 65534 65534 65534");
        }
        assert_eq!(line("Groups"), "");
        assert_eq!(u64::from_str_radix(&line("CapEff"), 16), Ok(0));
        assert_eq!(u64::from_str_radix(&line("CapPrm"), 16), Ok(0));
    } else {
        let other = getuid().as_raw() + 1;
        let refused = Helper::start(User { uid: other, gid: other }).unwrap_err();
        let start = "cannot start the helper process that runs sendmail and mailx: cannot become user id";
        assert_eq!(refused, format!("{start} {other}, group id {other}: Operation not permitted"));
    }
    // Its commands have no signal blocked, SIGPIPE not ignored, and three descriptors (`ls` opens a fourth).
    let status = scratch.run(&helper, "cat /proc/self/status");
    assert!(status.contains("SigBlk:\t0000000000000000\n"), "{status}");
    let ignored = status.lines().find_map(|line| line.strip_prefix("SigIgn:\t")).unwrap();
    assert_eq!(u64::from_str_radix(ignored, 16).unwrap() & 1 << (Signal::SIGPIPE as i32 - 1), 0);
    assert_eq!(scratch.run(&helper, "ls /proc/self/fd"), "0\n1\n2\n3\n");
    assert_eq!(scratch.run(&helper, "tr '\\0' '\\n' </proc/$PPID/cmdline"), "haproxy-email-alert-helper\n");
    wait_for_end_of(&scratch, helper);
}

fn wait_for_end_of(scratch: &Scratch, helper: SharedHelper) {
    let pid = scratch.pid(&helper);
    drop(helper);
    wait_for_end(pid);
}

fn ends_with_the_socket() {
    let scratch = Scratch::new();
    let helper = start();
    let pid = scratch.pid(&helper);
    for signal in
        [Signal::SIGTERM, Signal::SIGINT, Signal::SIGHUP, Signal::SIGUSR1, Signal::SIGUSR2, Signal::SIGPIPE]
    {
        kill(pid, signal).unwrap();
    }
    assert_eq!(scratch.pid(&helper), pid);
    // Neither a program that is started meanwhile nor another helper inherits the socket.
    let mut other = std::process::Command::new("sleep").arg("60").spawn().unwrap();
    let second = start();
    drop(helper);
    wait_for_end(pid);
    other.kill().unwrap();
    other.wait().unwrap();
    wait_for_end_of(&scratch, second);
}

fn keeps_no_listening_socket() {
    let scratch = Scratch::new();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    // Some of HAProxy's sockets are not close-on-exec.
    fcntl(&listener, FcntlArg::F_SETFD(FdFlag::empty())).unwrap();
    let helper = start();
    drop(listener);
    TcpListener::bind(address).expect("no other process has the socket");
    wait_for_end_of(&scratch, helper);
}

fn without_a_socket() {
    let output = std::process::Command::new(Path::new("/proc/self/exe"))
        .env("HAPROXY_EMAIL_ALERT_HELPER", "1")
        .stdin(std::process::Stdio::null())
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(1));
    let words = "this process is for email_alert's own use: HAProxy starts it when it needs it\n";
    assert_eq!(String::from_utf8_lossy(&output.stderr), words);
}
