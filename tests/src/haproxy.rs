// SPDX-License-Identifier: MIT OR Apache-2.0
//! A HAProxy that a test runs, watches, reloads and stops.

use std::{
    env,
    fs::{self, File, OpenOptions, Permissions},
    io::{Read, Write},
    os::unix::{
        fs::PermissionsExt,
        net::{UnixDatagram, UnixStream},
    },
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Stdio},
    thread,
    time::{Duration, Instant},
};

pub use nix::sys::signal::Signal;
use nix::{sys::signal::kill, unistd::Pid};
use tempfile::TempDir;

use crate::{
    http::{self, Answer},
    library::soname,
    processes::{self, Process},
    setup::{Mode, Setup},
    syslog::Syslog,
    wait::{patience, until, until_true, within},
};

/// A running HAProxy with its own directory and log; everything it started ends with it.
pub struct Haproxy {
    home: Home,
    mode: Mode,
    /// Its masters execute themselves again, to wait: up to 3.0.
    masters_wait_apart: bool,
    /// The process to which signals go: the master, or the one that does the work.
    pid: i32,
    /// What we started ourselves, so what we must wait for.
    children: Vec<Child>,
    log: Syslog,
}

/// How a HAProxy ended.
#[derive(Debug)]
pub struct End {
    /// Not known of a daemon: it is not our child.
    pub status: Option<ExitStatus>,
    /// Since the wait began.
    pub took: Duration,
}

/// What a HAProxy says that does not stay: `haproxy -c`, or one that cannot start.
#[derive(Debug)]
pub struct Judgement {
    /// Exit status.
    pub status: Option<i32>,
    /// Standard output and standard error.
    pub output: String,
    /// Name of the configuration file as HAProxy writes it.
    pub file: String,
    /// The configuration.
    pub configuration: String,
    /// Files that were not there before.
    pub files_made: Vec<String>,
    /// Processes that are there afterwards.
    pub processes_left: Vec<Process>,
}

impl Judgement {
    /// Where this line of the configuration is; of several, the last.
    #[track_caller]
    pub fn line_number_of(&self, line: &str) -> usize {
        let index =
            self.configuration.lines().collect::<Vec<_>>().iter().rposition(|own| own.trim() == line.trim());
        index.expect("a line of the configuration") + 1
    }

    /// Nothing is said but, by HAProxy before 2.9, that all is well.
    pub fn is_silent(&self) -> bool {
        matches!(&*self.output, "" | "Configuration file is valid\n")
    }
}

/// A directory with a HAProxy in it, so that everything which runs from there is known to be ours.
struct Home(TempDir);

impl Haproxy {
    /// Starts it and waits until it is at work.
    #[track_caller]
    pub fn start(setup: Setup) -> Self {
        let (home, log) = (Home::furnish(&setup), Syslog::start());
        home.write_configuration(&setup, &log);
        let masters_wait_apart = setup.mode.has_master() && home.version() < (3, 1);
        let mut haproxy =
            Haproxy { home, mode: setup.mode, masters_wait_apart, pid: 0, children: Vec::new(), log };
        haproxy.launch(&[]);
        haproxy
    }

    /// `haproxy -c` of this configuration; nothing is left running.
    #[track_caller]
    pub fn judge(setup: Setup) -> Judgement {
        Self::run_to_its_end(setup, "-c")
    }

    /// Runs it in the foreground, where it ends at once.
    #[track_caller]
    pub fn start_in_vain(setup: Setup) -> Judgement {
        Self::run_to_its_end(setup, "-db")
    }

    #[track_caller]
    fn run_to_its_end(setup: Setup, argument: &str) -> Judgement {
        let (home, log) = (Home::furnish(&setup), Syslog::start());
        home.write_configuration(&setup, &log);
        let before = home.listing();
        let output = File::create(home.file("output")).expect("a file");
        let mut command = home.command();
        command.arg(argument).stdin(Stdio::null());
        command.stdout(output.try_clone().expect("a second handle")).stderr(output);
        let mut child = command.spawn().expect("run haproxy");
        let output = || fs::read_to_string(home.file("output")).expect("our own file");
        let Some(status) = within(patience(), || child.try_wait().expect("wait for haproxy")) else {
            processes::end_all_of(home.path());
            panic!("haproxy {argument} did not end:\n{}", output());
        };
        let mut files_made = home.listing();
        files_made.retain(|file| !before.contains(file));
        let processes_left = processes::of(home.path());
        processes::end_all_of(home.path());
        Judgement {
            status: status.code(),
            output: output(),
            file: home.file("haproxy.cfg").display().to_string(),
            configuration: fs::read_to_string(home.file("haproxy.cfg")).expect("our own file"),
            files_made,
            processes_left,
        }
    }

    #[track_caller]
    fn launch(&mut self, arguments: &[&str]) {
        let ready = (self.mode == Mode::Systemd).then(|| {
            let _ = fs::remove_file(self.home.file("notify.sock"));
            UnixDatagram::bind(self.home.file("notify.sock")).expect("a socket in systemd's place")
        });
        let mut command = self.home.command();
        command.arg(self.mode.argument()).arg("-p").arg(self.home.file("haproxy.pid"));
        command.args(arguments).stdin(Stdio::null());
        let output =
            OpenOptions::new().append(true).create(true).open(self.home.file("output")).expect("a file");
        command.stdout(output.try_clone().expect("a second handle")).stderr(output);
        if ready.is_some() {
            command.env("NOTIFY_SOCKET", self.home.file("notify.sock"));
        }
        let mut child = command.spawn().expect("run haproxy");
        if self.mode == Mode::Daemon {
            let status = child.wait().expect("wait for haproxy -D");
            assert!(status.success(), "haproxy -D: {status}\n{}", self.story());
            self.pid = until("the pid file", || {
                let pids = fs::read_to_string(self.home.file("haproxy.pid")).ok()?;
                pids.trim().parse().ok().filter(|pid| *pid != self.pid)
            });
        } else {
            self.pid = child.id() as i32;
            self.children.push(child);
        }
        until_true("HAProxy to answer on its socket", || {
            assert!(self.is_running(), "HAProxy ended at once:\n{}", self.story());
            let Some(worker) = self.try_worker() else { return false };
            if self.mode.has_master() { self.is_child_of_master(worker) } else { worker == self.pid }
        });
        until_true("the master to wait for signals", || {
            assert!(self.is_running(), "HAProxy ended at once:\n{}", self.story());
            !self.mode.has_master() || self.master_takes_signals()
        });
        if let Some(socket) = ready {
            wait_until_systemd_is_told(&socket);
        }
    }

    /// A signal before that may be lost. Up to HAProxy 3.0, the master executes itself again once its worker runs; later, it
    /// says when the worker that it was waiting for is ready.
    fn master_takes_signals(&self) -> bool {
        let output = self.output();
        let is_ready = || {
            let (_, since) =
                output.rsplit_once(&format!("Initializing new worker ({})", self.try_worker()?))?;
            Some(since.contains("Loading success."))
        };
        let is_waiting = match self.masters_wait_apart {
            true => processes::has_in_environment(self.pid, "HAPROXY_MWORKER_WAIT_ONLY=1"),
            false => is_ready().unwrap_or(false),
        };
        is_waiting && processes::handles(self.pid, Signal::SIGUSR2)
    }

    fn is_child_of_master(&self, pid: i32) -> bool {
        processes::children_of(self.pid).iter().any(|process| process.pid == pid)
    }

    /// What this HAProxy's machine has in its `/etc/hosts` from now on: see `Setup::hosts`.
    pub fn set_hosts(&self, hosts: &str) {
        fs::write(self.home.file("hosts"), hosts).expect("write hosts");
    }

    /// The process that was started: with `-W` the master.
    pub fn pid(&self) -> i32 {
        self.pid
    }

    /// The process that serves traffic now.
    #[track_caller]
    pub fn worker(&self) -> i32 {
        until("the worker to answer", || self.try_worker())
    }

    fn try_worker(&self) -> Option<i32> {
        let info = self.try_cli("show info").ok()?;
        info.lines().find_map(|line| line.strip_prefix("Pid: "))?.parse().ok()
    }

    /// What HAProxy's own commands answer.
    #[track_caller]
    pub fn cli(&self, command: &str) -> String {
        let answer = self.try_cli(command);
        answer.unwrap_or_else(|error| panic!("HAProxy's command {command:?}: {error}\n{}", self.story()))
    }

    /// A command that has nothing to answer when it succeeds.
    #[track_caller]
    pub fn cli_do(&self, command: &str) {
        let answer = self.cli(command);
        let is_fine = answer.trim().is_empty() || answer.contains("New server registered");
        assert!(is_fine, "HAProxy's command {command:?} answers {answer:?}");
    }

    /// Counters of the library, all of the same moment.
    #[track_caller]
    pub fn counters<const N: usize>(&self, names: [&str; N]) -> [u64; N] {
        let all = self.cli("show email-alert");
        names.map(|name| {
            let value = |line: &str| line.strip_prefix(name)?.strip_prefix(": ")?.parse().ok();
            all.lines().find_map(value).unwrap_or_else(|| panic!("no {name} in {all:?}"))
        })
    }

    fn try_cli(&self, command: &str) -> std::io::Result<String> {
        let mut socket = UnixStream::connect(self.cli_socket())?;
        socket.set_read_timeout(Some(patience()))?;
        socket.write_all(format!("{command}\n").as_bytes())?;
        let mut answer = String::new();
        socket.read_to_string(&mut answer)?;
        Ok(answer)
    }

    /// A request to the frontend.
    pub fn get(&self) -> std::io::Result<Answer> {
        http::get(&self.home.file("web.sock"))
    }

    /// Where [`crate::cli::Conversation`] finds it.
    pub fn cli_socket(&self) -> PathBuf {
        self.home.file("cli.sock")
    }

    /// What is in HAProxy's log.
    pub fn log(&self) -> &Syslog {
        &self.log
    }

    /// What HAProxy wrote to its standard error.
    pub fn output(&self) -> String {
        fs::read_to_string(self.home.file("output")).unwrap_or_default()
    }

    /// A place for the test's own files, which HAProxy sees too (but not from its jail).
    pub fn directory(&self) -> &Path {
        self.home.path()
    }

    /// Sends a signal to the process that was started.
    #[track_caller]
    pub fn signal(&self, signal: Signal) {
        self.signal_process(self.pid, signal);
    }

    /// Sends a signal to one of HAProxy's processes.
    #[track_caller]
    pub fn signal_process(&self, pid: i32, signal: Signal) {
        kill(Pid::from_raw(pid), signal).unwrap_or_else(|error| panic!("{signal} to {pid}: {error}"));
    }

    /// Replaces the running worker by a new one, as `systemctl reload` or `-sf` does; returns when the new one answers.
    #[track_caller]
    pub fn reload(&mut self) {
        let old = self.worker();
        if self.mode.has_master() {
            self.signal(Signal::SIGUSR2);
            until_true("a new worker", || self.try_worker().is_some_and(|worker| worker != old));
            until_true("the master to wait for signals", || self.master_takes_signals());
        } else {
            self.launch(&["-sf", &old.to_string()]);
        }
    }

    /// The same with another configuration.
    #[track_caller]
    pub fn reload_with(&mut self, setup: &Setup) {
        self.home.write_configuration(setup, &self.log);
        self.reload();
    }

    /// Kills the worker, as nothing can prevent, and waits until nothing is left; a master ends by itself.
    #[track_caller]
    pub fn kill(&mut self, worker: i32) {
        self.signal_process(worker, Signal::SIGKILL);
        self.wait_for_end();
        self.wait_until_processes_are(0);
    }

    /// Starts it again after its end, with the same configuration.
    #[track_caller]
    pub fn start_again(&mut self) {
        self.launch(&[]);
    }

    /// Starts it again, and kills it before it is at work: `until` returns when.
    #[track_caller]
    pub fn start_again_in_vain(&mut self, until: impl FnOnce()) -> i32 {
        assert_eq!(self.mode, Mode::Foreground);
        let mut command = self.home.command();
        command.arg(self.mode.argument()).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let mut child = command.spawn().expect("run haproxy");
        until();
        let _ = child.kill();
        child.wait().expect("wait for haproxy");
        self.wait_until_processes_are(0);
        child.id() as i32
    }

    /// Waits until it has ended by itself.
    #[track_caller]
    pub fn wait_for_end(&mut self) -> End {
        let start = Instant::now();
        let pid = self.pid;
        let child = self.children.iter_mut().find(|child| child.id() as i32 == pid);
        let status = match child {
            Some(child) => until("HAProxy to end", || child.try_wait().expect("wait for haproxy").map(Some)),
            None => until("HAProxy to end", || (!Process::is_running(pid)).then_some(None)),
        };
        End { status, took: start.elapsed() }
    }

    /// Whether the process that was started still is.
    pub fn is_running(&self) -> bool {
        Process::is_running(self.pid)
    }

    /// Everything that runs from this HAProxy's directory.
    pub fn processes(&self) -> Vec<Process> {
        processes::of(self.home.path())
    }

    /// Waits until `count` processes are left, helpers included.
    #[track_caller]
    pub fn wait_until_processes_are(&self, count: usize) {
        let settled = within(patience(), || (self.processes().len() == count).then_some(()));
        assert!(settled.is_some(), "expected {count} processes, but there are {:#?}", self.processes());
    }

    /// What sanitizers have said of it, if it was built with them (see `ci/asan`): of all the memory, and of the add-on's C
    /// code. What HAProxy's own does is HAProxy's matter.
    fn findings(&self) -> String {
        let output = self.output();
        let is_finding = |line: &&str| {
            line.contains("AddressSanitizer")
                || line.starts_with("addons/email-alert/") && line.contains(" runtime error: ")
        };
        match output.lines().find(is_finding) {
            Some(_) => output,
            None => String::new(),
        }
    }

    /// For those who read why a test failed.
    pub fn story(&self) -> String {
        format!("HAProxy's output:\n{}\nHAProxy's log:\n{}", self.output(), self.log.story())
    }
}

impl Drop for Haproxy {
    fn drop(&mut self) {
        if thread::panicking() {
            eprintln!("{}", self.story());
        }
        processes::end_all_of(self.home.path());
        for child in &mut self.children {
            let _ = child.wait();
        }
        let findings = self.findings();
        assert!(thread::panicking() || findings.is_empty(), "a sanitizer has found something:\n{findings}");
    }
}

impl Home {
    #[track_caller]
    fn furnish(setup: &Setup) -> Self {
        let directory =
            tempfile::Builder::new().prefix("haproxy-email-alert-").tempdir().expect("a directory");
        // As an installed program would be: to be run by others than its owner too.
        fs::set_permissions(directory.path(), Permissions::from_mode(0o755)).expect("chmod");
        let home = Home(directory);
        let program = setup.program.clone().unwrap_or_else(haproxy_to_test);
        link_or_copy(&program, &home.file("haproxy"));
        let library = program.with_file_name(soname());
        if library.exists() {
            link_or_copy(&library, &home.file(&soname()));
        }
        fs::create_dir(home.file("jail")).expect("mkdir");
        File::create(home.file("output")).expect("a file");
        if let Some(hosts) = &setup.hosts {
            fs::write(home.file("hosts"), hosts).expect("write hosts");
        }
        if let Some(library) = &setup.preload {
            link_or_copy(library, &home.file("preload.so"));
        }
        if setup.own_network {
            File::create(home.file("own-network")).expect("a file");
        }
        home
    }

    fn path(&self) -> &Path {
        self.0.path()
    }

    /// HAProxy's, the first two numbers.
    #[track_caller]
    fn version(&self) -> (u32, u32) {
        let output = self.command().arg("-v").output().expect("run haproxy -v");
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        let version = text.strip_prefix("HAProxy version ").and_then(|rest| {
            let mut numbers = rest.split(|c: char| !c.is_ascii_digit()).map(str::parse);
            numbers.next()?.ok().zip(numbers.next()?.ok())
        });
        version.unwrap_or_else(|| panic!("haproxy -v says {text:?}"))
    }

    fn file(&self, name: &str) -> PathBuf {
        self.path().join(name)
    }

    fn write_configuration(&self, setup: &Setup, log: &Syslog) {
        fs::write(self.file("haproxy.cfg"), setup.text(self.path(), log.address()))
            .expect("write haproxy.cfg");
    }

    fn command(&self) -> Command {
        let mut command = match (self.file("hosts").exists(), self.file("own-network").exists()) {
            (false, false) => Command::new(self.file("haproxy")),
            (false, true) => {
                let mut command = Command::new("unshare");
                command.arg("--net").arg(self.file("haproxy"));
                command
            }
            (true, _) => {
                // The same file, seen in another place by this process and those that it starts.
                let script = "mount --bind hosts /etc/hosts && exec ./haproxy \"$@\"";
                let mut command = Command::new("unshare");
                command.args(["--mount", "sh", "-c", script, "haproxy"]);
                command
            }
        };
        command.arg("-f").arg(self.file("haproxy.cfg")).current_dir(self.path());
        command.env("TEST_DIRECTORY", self.path()).env_remove("NOTIFY_SOCKET");
        if self.file("preload.so").exists() {
            command.env("LD_PRELOAD", self.file("preload.so"));
            // AddressSanitizer wants to be first, and works as well if it is not.
            let options = std::env::var("ASAN_OPTIONS").unwrap_or_default();
            command.env("ASAN_OPTIONS", format!("{options}:verify_asan_link_order=0"));
        }
        command
    }

    fn listing(&self) -> Vec<String> {
        fn walk(directory: &Path, files: &mut Vec<String>) {
            for entry in fs::read_dir(directory).expect("our own directory").filter_map(Result::ok) {
                files.push(entry.path().display().to_string());
                if entry.path().is_dir() {
                    walk(&entry.path(), files);
                }
            }
        }
        let mut files = Vec::new();
        walk(self.path(), &mut files);
        files
    }
}

/// The program that the environment names, or else the one that `make haproxy` has built.
#[track_caller]
pub fn haproxy_to_test() -> PathBuf {
    let built = Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/haproxy-2.6/haproxy");
    let program = env::var_os("HAPROXY").map_or(built, PathBuf::from);
    program.canonicalize().unwrap_or_else(|_| {
        panic!(
            "there is no HAProxy at {}: run `make haproxy` first, or name one in HAPROXY",
            program.display()
        )
    })
}

fn link_or_copy(from: &Path, to: &Path) {
    if fs::hard_link(from, to).is_err() {
        fs::copy(from, to).unwrap_or_else(|error| panic!("copy {}: {error}", from.display()));
    }
}

#[track_caller]
fn wait_until_systemd_is_told(socket: &UnixDatagram) {
    socket.set_read_timeout(Some(patience())).expect("a timeout");
    let mut message = [0; 512];
    loop {
        let length = socket.recv(&mut message).expect("READY=1 for systemd");
        if String::from_utf8_lossy(&message[..length]).contains("READY=1") {
            return;
        }
    }
}
