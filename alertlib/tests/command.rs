// SPDX-License-Identifier: MIT OR Apache-2.0
//! `sendmail` and `mailx` relays, and the helper that runs programs of all kinds for them. The helper's loop runs in a thread here;
//! `helper_process.rs` tests the real process.

mod common;

use haproxy_email_alert::helper::client::Helper;
use haproxy_email_alert::helper::frame::{
    ExecRequest, ExecResult, ExecStatus, Frame, read_frame, write_frame,
};
use haproxy_email_alert::helper::serve;
use haproxy_email_alert::message::Message;
use haproxy_email_alert::settings::{MailProgram, Recipient};
use haproxy_email_alert::transport::command::Command;
use haproxy_email_alert::transport::{Delivery, DeliveryError, LazyMail, Outcome, Transactions, Transport};
use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

/// A deadline that no test reaches unless it fails.
const LONG: Duration = Duration::from_secs(60);
const SHORT: Duration = Duration::from_secs(1);

/// A directory for one test; removed at its end.
struct Scratch(PathBuf);

impl Scratch {
    fn new() -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let name = format!("email-alert-command.{}.{}", std::process::id(), COUNT.fetch_add(1, Relaxed));
        let path = std::env::temp_dir().join(name);
        fs::create_dir(&path).unwrap();
        Scratch(path)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    fn read(&self, name: &str) -> String {
        fs::read_to_string(self.path(name)).unwrap()
    }

    /// Makes a shell script. Another process writes it: if this process had it open for writing while a concurrent test started
    /// a program, the script could not be executed ("Text file busy").
    fn script(&self, name: &str, text: &str) -> PathBuf {
        let path = self.path(name);
        let mut install = std::process::Command::new("install")
            .args(["-m", "755", "/dev/stdin"])
            .arg(&path)
            .stdin(Stdio::piped())
            .spawn()
            .unwrap();
        let text = format!("#!/bin/sh\ncd '{}' || exit 99\n{text}\n", self.0.display());
        install.stdin.take().unwrap().write_all(text.as_bytes()).unwrap();
        assert!(install.wait().unwrap().success());
        path
    }

    /// Makes a named pipe and keeps it open in both directions, so that opening it never blocks.
    fn fifo(&self, name: &str) -> File {
        let path = self.path(name);
        nix::unistd::mkfifo(&path, nix::sys::stat::Mode::S_IRWXU).unwrap();
        OpenOptions::new().read(true).write(true).open(path).unwrap()
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// Runs the helper's loop in a thread.
fn helper() -> (UnixStream, JoinHandle<io::Result<()>>) {
    let (mine, theirs) = UnixStream::pair().unwrap();
    (mine, thread::spawn(move || serve(&theirs)))
}

fn request(program: &str, arguments: &[&str], input: &str, deadline: Duration) -> ExecRequest {
    let arguments = arguments.iter().map(|argument| argument.to_string()).collect();
    ExecRequest { program: program.into(), arguments, input: input.to_owned(), deadline }
}

fn exchange(socket: &UnixStream, request: &ExecRequest) -> ExecResult {
    write_frame(socket, &request.clone().encode().unwrap(), None).unwrap();
    ExecResult::decode(&read_frame(socket, None).unwrap().unwrap()).unwrap()
}

fn run(request: &ExecRequest) -> ExecResult {
    let (socket, helper) = helper();
    let result = exchange(&socket, request);
    drop(socket);
    helper.join().unwrap().unwrap();
    result
}

fn shell(script: &str, input: &str, deadline: Duration) -> ExecResult {
    run(&request("/bin/sh", &["-c", script], input, deadline))
}

fn text(result: &ExecResult) -> &str {
    &result.output
}

#[test]
fn the_result_has_the_exit_status_and_the_output() {
    for (script, status, output) in [
        ("exit 0", ExecStatus::Exit(0), ""),
        ("echo out; echo err >&2; exit 75", ExecStatus::Exit(75), "out\nerr\n"),
        ("exit 255", ExecStatus::Exit(255), ""),
        ("echo last; kill -9 $$", ExecStatus::Signal(9), "last\n"),
        ("kill -TERM $$", ExecStatus::Signal(15), ""),
        ("cat", ExecStatus::Exit(0), "the input"),
        ("printf '\\377'", ExecStatus::Exit(0), "\u{fffd}"),
        // The command closes its output before it ends.
        ("exec >&- 2>&-; cat; exit 3", ExecStatus::Exit(3), ""),
    ] {
        let result = shell(script, "the input", LONG);
        assert_eq!((&result.status, text(&result)), (&status, output), "{script}");
    }
}

#[test]
fn one_helper_runs_several_commands_in_sequence() {
    let (socket, helper) = helper();
    for number in 0..20 {
        let result = exchange(&socket, &request("/bin/sh", &["-c", &format!("exit {number}")], "", LONG));
        assert_eq!(result.status, ExecStatus::Exit(number));
    }
    drop(socket);
    helper.join().unwrap().unwrap();
}

#[test]
fn arguments_are_passed_unchanged() {
    let result =
        run(&request("/usr/bin/printf", &["[%s]", "a b", "", "$(id)", "'\"", "é\n", "-x"], "", LONG));
    assert_eq!(text(&result), "[a b][][$(id)]['\"][é\n][-x]");
}

#[test]
fn the_environment_has_the_fixed_variables_only() {
    let result = run(&request("/usr/bin/env", &[], "", LONG));
    let mut lines: Vec<&str> = text(&result).lines().filter(|line| !line.starts_with("TZ=")).collect();
    lines.sort();
    assert_eq!(lines, ["HOME=/", "LC_ALL=C.UTF-8", "PATH=/usr/sbin:/usr/bin:/sbin:/bin"]);
}

#[test]
fn a_command_has_its_own_process_group_and_is_reaped() {
    let result = shell("echo $$; cut -d' ' -f5 /proc/$$/stat", "", LONG);
    let lines: Vec<&str> = text(&result).lines().collect();
    let [pid, group] = lines[..] else { panic!("{lines:?}") };
    assert_eq!(group, pid);
    assert!(!Path::new("/proc").join(pid).exists());
}

#[test]
fn the_deadline_kills_the_command_and_its_children() {
    let scratch = Scratch::new();
    let both = scratch.fifo("alive");
    let mut alive = File::open(scratch.path("alive")).unwrap();
    // Each process holds the pipe open, and ignores SIGTERM, SIGHUP and SIGINT.
    let script = format!(
        "trap '' TERM HUP INT; exec 3>'{}'; sleep 60 & sh -c 'sleep 60' & echo started; sleep 60",
        scratch.path("alive").display()
    );
    let start = Instant::now();
    let result = shell(&script, "", SHORT);
    assert_eq!((&result.status, text(&result)), (&ExecStatus::Deadline, "started\n"));
    drop(both);
    // The pipe is closed when the last of them has ended.
    assert_eq!(alive.read(&mut [0]).unwrap(), 0);
    assert!(start.elapsed() >= SHORT && start.elapsed() < LONG / 2);
}

#[test]
fn much_output_is_read_and_cut() {
    let result = shell("head -c 20000000 /dev/zero | tr '\\0' x; exit 3", "", LONG);
    assert_eq!((result.status, result.output), (ExecStatus::Exit(3), "x".repeat(1024)));
    let result = run(&request("/usr/bin/yes", &[], "", SHORT));
    assert_eq!((&result.status, text(&result)), (&ExecStatus::Deadline, "y\n".repeat(512).as_str()));
}

#[test]
fn unread_input_is_no_failure() {
    let input = "x".repeat(1 << 20);
    for (script, status) in [
        ("exit 0", ExecStatus::Exit(0)),
        ("exec <&-; exit 7", ExecStatus::Exit(7)),
        ("head -c 10 >/dev/null", ExecStatus::Exit(0)),
    ] {
        assert_eq!(shell(script, &input, LONG).status, status, "{script}");
    }
    assert_eq!(run(&request("/bin/sleep", &["60"], &input, SHORT)).status, ExecStatus::Deadline);
}

#[test]
fn large_input_is_written_whole_while_output_is_read() {
    let input = "x".repeat(8 << 20);
    assert_eq!(text(&shell("wc -c", &input, LONG)), "8388608\n");
    // `cat` blocks on its output unless the helper reads while it writes.
    assert_eq!(
        shell("cat", &input, LONG),
        ExecResult { status: ExecStatus::Exit(0), output: "x".repeat(1024) }
    );
}

#[test]
fn a_child_of_the_command_that_holds_the_pipe_is_not_waited_for() {
    let scratch = Scratch::new();
    // The child runs until this end is closed, also when the test fails.
    let pipe = scratch.fifo("pipe");
    let script = format!("cat '{}' & echo done", scratch.path("pipe").display());
    let start = Instant::now();
    let result = shell(&script, "", LONG);
    assert_eq!((&result.status, text(&result)), (&ExecStatus::Exit(0), "done\n"));
    assert!(start.elapsed() < LONG / 2);
    drop(pipe);
}

#[test]
fn a_program_that_cannot_start_gives_the_systems_error() {
    let scratch = Scratch::new();
    fs::write(scratch.path("data"), "not a program").unwrap();
    let data = scratch.path("data");
    for (program, arguments, why) in [
        ("/nonexistent/sendmail", vec![], "No such file or directory"),
        ("/etc", vec![], "Permission denied"),
        (data.to_str().unwrap(), vec![], "Permission denied"),
        ("/bin/true", vec!["a\0b"], "nul byte found in provided data"),
    ] {
        let result = run(&request(program, &arguments, "input", LONG));
        assert_eq!(result.status, ExecStatus::NotStarted(why.into()), "{program}");
    }
}

#[test]
fn a_malformed_frame_ends_the_helper_without_a_reply() {
    for bytes in [&b"\x04\0\0\0oops"[..], b"\0\0\0\0", b"\xff\xff\xff\xff", b"\x10\0\0"] {
        let (mut socket, helper) = helper();
        socket.write_all(bytes).unwrap();
        socket.shutdown(std::net::Shutdown::Write).unwrap();
        assert!(helper.join().unwrap().is_err(), "{bytes:?}");
        assert_eq!(read_frame(&socket, None).unwrap(), None, "no answer to {bytes:?}");
    }
}

#[test]
fn a_closed_socket_lets_a_running_command_finish_and_starts_no_other() {
    let scratch = Scratch::new();
    let whole =
        request("/bin/sh", &["-c", "cat > \"$0\"", scratch.path("whole").to_str().unwrap()], "mail", LONG);
    let (socket, loop_of_whole) = helper();
    write_frame(&socket, &whole.encode().unwrap(), None).unwrap();
    drop(socket);
    loop_of_whole.join().unwrap().unwrap();
    assert_eq!(scratch.read("whole"), "mail");

    let part =
        request("/bin/sh", &["-c", "cat > \"$0\"", scratch.path("part").to_str().unwrap()], "mail", LONG);
    let frame = part.encode().unwrap();
    let (mut socket, loop_of_part) = helper();
    socket.write_all(&(frame.len() as u32).to_le_bytes()).unwrap();
    socket.write_all(&frame[..frame.len() - 1]).unwrap();
    drop(socket);
    assert_eq!(loop_of_part.join().unwrap().unwrap_err().kind(), ErrorKind::UnexpectedEof);
    assert!(!scratch.path("part").exists());
}

// ---- the transport

fn relay(program: MailProgram, path: &Path, timeout: Duration) -> Command {
    let (socket, _) = helper();
    Command::new(program, path, timeout, Arc::new(Helper::new(socket)))
}

fn recipient(address: &str) -> Recipient {
    match address.contains('@') {
        true => Recipient { address: address.parse().unwrap(), is_local: false },
        false => Recipient { address: format!("{address}@lb1.example.com").parse().unwrap(), is_local: true },
    }
}

fn send(relay: &mut Command, to: &[&str]) -> Result<Vec<Outcome>, DeliveryError> {
    let message = Message {
        subject: "DOWN Zürich/s1".into(),
        text: "Server Zürich/s1 is DOWN.\n~!id\n.\nend\n".into(),
        bytes: b"Subject: x\r\n\r\n.\r\nbody\r\n".to_vec(),
    };
    let to: Vec<Recipient> = to.iter().map(|address| recipient(address)).collect();
    let mail = LazyMail::new(|| Ok(message.clone()));
    let transactions = &Transactions::default();
    relay.deliver(&Delivery {
        notification: &common::notification(),
        recipients: &to,
        mail: &mail,
        transactions,
    })
}

/// Records the arguments and the input of each call.
const RECORD: &str = "{ for word; do echo \"[$word]\"; done; cat; } >> seen";

#[test]
fn sendmail_gets_the_envelope_and_the_whole_mail() {
    let scratch = Scratch::new();
    let program = scratch.script("sendmail", RECORD);
    let outcomes =
        send(&mut relay(MailProgram::Sendmail, &program, LONG), &["ops@example.com", "root"]).unwrap();
    assert_eq!(outcomes, [Outcome::Delivered, Outcome::Delivered]);
    let seen = "[-i]\n[-f]\n[lb1@example.com]\n[--]\n[ops@example.com]\n[root]\nSubject: x\n\n.\nbody\n";
    assert_eq!(scratch.read("seen"), seen);
}

#[test]
fn mailx_gets_subject_sender_and_text_without_escapes() {
    let scratch = Scratch::new();
    let program = scratch.script("mailx", RECORD);
    let outcomes =
        send(&mut relay(MailProgram::Mailx, &program, LONG), &["ops@example.com", "root"]).unwrap();
    assert_eq!(outcomes, [Outcome::Delivered, Outcome::Delivered]);
    let seen = "[-s]\n[=?utf-8?b?RE9XTiBaw7xyaWNoL3Mx?=]\n[-r]\n[lb1@example.com]\n[ops@example.com]\n[root]\n\
                Server Zürich/s1 is DOWN.\n ~!id\n .\nend\n";
    assert_eq!(scratch.read("seen"), seen);
}

#[test]
fn mailx_gets_no_address_that_it_would_interpret() {
    let scratch = Scratch::new();
    let program = scratch.script("mailx", RECORD);
    let mut mailx = relay(MailProgram::Mailx, &program, LONG);
    let outcomes =
        send(&mut mailx, &["/tmp/x@example.com", "a+b@example.com", "|id@example.com", "+f@example.com"]);
    let refused = |address: &str| {
        let why = format!("would not take '{address}' for an address; sendmail or SMTP do");
        Outcome::Unsupported(DeliveryError::new(program.to_str().unwrap(), why))
    };
    let expected = [
        refused("/tmp/x@example.com"),
        Outcome::Delivered,
        refused("|id@example.com"),
        refused("+f@example.com"),
    ];
    assert_eq!(outcomes.unwrap(), expected);
    assert!(scratch.read("seen").contains("[lb1@example.com]\n[a+b@example.com]\nServer"));
    // Without a remaining recipient mailx is not run.
    fs::remove_file(scratch.path("seen")).unwrap();
    assert_eq!(send(&mut mailx, &["-f@example.com"]).unwrap(), [refused("-f@example.com")]);
    assert!(!scratch.path("seen").exists());
}

#[test]
fn the_exit_status_decides_the_outcome() {
    let scratch = Scratch::new();
    let program =
        scratch.script("sendmail", "cat >/dev/null; echo 'sendmail: why' >&2; echo more >&2; . ./ending");
    let mut sendmail = relay(MailProgram::Sendmail, &program, LONG);
    let name = program.to_str().unwrap();
    let error = |status: &str| DeliveryError::new(name, format!("{status}: sendmail: why; more"));
    for (ending, expected) in [
        ("exit 0", Ok(Outcome::Delivered)),
        ("exit 64", Err(error("exit status 64"))),
        ("exit 65", Ok(Outcome::Permanent(error("exit status 65")))),
        ("exit 67", Ok(Outcome::Permanent(error("exit status 67")))),
        ("exit 68", Ok(Outcome::Transient(error("exit status 68")))),
        ("exit 69", Ok(Outcome::Transient(error("exit status 69")))),
        ("exit 75", Ok(Outcome::Transient(error("exit status 75")))),
        ("exit 1", Ok(Outcome::Transient(error("exit status 1")))),
        ("kill -9 $$", Ok(Outcome::Transient(error("killed by signal 9")))),
    ] {
        fs::write(scratch.path("ending"), ending).unwrap();
        assert_eq!(
            send(&mut sendmail, &["ops@example.com"]),
            expected.map(|outcome| vec![outcome]),
            "{ending}"
        );
    }
}

#[test]
fn a_refused_recipient_does_not_affect_the_others() {
    let scratch = Scratch::new();
    let script = "echo \"$*\" >> seen; case \"$*\" in *nobody*) echo unknown; exit 67;; *busy*) exit 75;; esac; exit 0";
    let program = scratch.script("sendmail", script);
    let mut sendmail = relay(MailProgram::Sendmail, &program, LONG);
    let name = program.to_str().unwrap();
    let permanent = Outcome::Permanent(DeliveryError::new(name, "exit status 67: unknown"));
    let transient = Outcome::Transient(DeliveryError::new(name, "exit status 75"));
    let outcomes = send(&mut sendmail, &["ops@example.com", "nobody@example.com", "busy"]).unwrap();
    assert_eq!(outcomes, [Outcome::Delivered, permanent, transient.clone()]);
    assert_eq!(scratch.read("seen").lines().count(), 4);
    // Status 75 concerns the machine: the recipients are not retried one by one.
    assert_eq!(send(&mut sendmail, &["ops@example.com", "busy"]).unwrap(), [transient.clone(), transient]);
    assert_eq!(scratch.read("seen").lines().count(), 5);
}

#[test]
fn a_program_that_exceeds_the_deadline_is_killed_and_the_mail_retried() {
    let scratch = Scratch::new();
    let program = scratch.script("sendmail", "echo waiting; exec sleep 60");
    let outcomes =
        send(&mut relay(MailProgram::Sendmail, &program, SHORT), &["ops@example.com", "root"]).unwrap();
    let transient =
        Outcome::Transient(DeliveryError::new(program.to_str().unwrap(), "killed after 1s: waiting"));
    assert_eq!(outcomes, [transient.clone(), transient]);
}

#[test]
fn a_missing_program_makes_the_relay_unusable() {
    let error = send(&mut relay(MailProgram::Sendmail, Path::new("/nonexistent/sendmail"), LONG), &["root"])
        .unwrap_err();
    assert_eq!(error.to_string(), "start /nonexistent/sendmail: No such file or directory");
}

#[test]
fn a_helper_that_has_ended_gives_the_same_error_each_time() {
    let gone = "/bin/true: the helper process is gone; reload HAProxy to start a new one";
    let (socket, theirs) = UnixStream::pair().unwrap();
    drop(theirs);
    let mut relay = Command::new(MailProgram::Sendmail, Path::new("/bin/true"), LONG, shared(socket));
    for _ in 0..3 {
        assert_eq!(send(&mut relay, &["root"]).unwrap_err().to_string(), gone);
    }
    // The helper ends while a command runs.
    let (socket, theirs) = UnixStream::pair().unwrap();
    let dying = thread::spawn(move || read_frame(&theirs, None));
    let mut relay = Command::new(MailProgram::Sendmail, Path::new("/bin/true"), LONG, shared(socket));
    assert_eq!(send(&mut relay, &["root"]).unwrap_err().to_string(), gone);
    assert!(dying.join().unwrap().is_ok());
}

#[test]
fn a_helper_that_is_silent_or_sends_nonsense_is_not_used_again() {
    let stuck =
        "/bin/true: the helper process does not answer as it should; reload HAProxy to start a new one";
    let gone = "/bin/true: the helper process is gone; reload HAProxy to start a new one";
    let (silent, _open) = UnixStream::pair().unwrap();
    let (nonsense, theirs) = UnixStream::pair().unwrap();
    write_frame(&theirs, b"nonsense", None).unwrap();
    for socket in [silent, nonsense] {
        let timeout = Duration::from_millis(1);
        let mut relay = Command::new(MailProgram::Sendmail, Path::new("/bin/true"), timeout, shared(socket));
        assert_eq!(send(&mut relay, &["root"]).unwrap_err().to_string(), stuck);
        assert_eq!(send(&mut relay, &["root"]).unwrap_err().to_string(), gone);
    }
}

fn shared(socket: UnixStream) -> Arc<Helper> {
    Arc::new(Helper::new(socket))
}
