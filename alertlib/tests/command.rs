// SPDX-License-Identifier: MIT OR Apache-2.0
//! `sendmail` and `mailx` relays, and the helper that runs them, with programs of all kinds at the end. The helper's loop
//! runs in a thread here; `helper_process.rs` has the real process.

mod common;

use haproxy_email_alert::helper::client::Helper;
use haproxy_email_alert::helper::frame::{ExecRequest, ExecResult, ExecStatus, read_frame, write_frame};
use haproxy_email_alert::helper::serve;
use haproxy_email_alert::message::Message;
use haproxy_email_alert::settings::{MailProgram, Recipient};
use haproxy_email_alert::transport::command::Command;
use haproxy_email_alert::transport::{Delivery, DeliveryError, LazyMail, Outcome, Transport};
use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

/// Far longer than anything here takes: a test that needs it has failed.
const LONG: Duration = Duration::from_secs(60);
const SHORT: Duration = Duration::from_secs(1);

/// A directory for one test.
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

    /// A shell script. Another process writes it: if this one had it open for writing, and a test beside this one started
    /// a program just then, the script could not be executed ("Text file busy").
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

    /// A named pipe, kept open in both directions, so that no opening of it waits.
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

/// The helper's loop in a thread.
fn helper() -> (UnixStream, JoinHandle<io::Result<()>>) {
    let (mine, theirs) = UnixStream::pair().unwrap();
    (mine, thread::spawn(move || serve(&theirs)))
}

fn request(program: &str, arguments: &[&str], input: &[u8], deadline: Duration) -> ExecRequest {
    let arguments = arguments.iter().map(|argument| argument.to_string()).collect();
    ExecRequest { program: program.into(), arguments, input: input.to_vec(), deadline }
}

fn ask(socket: &UnixStream, request: &ExecRequest) -> ExecResult {
    write_frame(socket, &request.encode().unwrap(), None).unwrap();
    ExecResult::decode(&read_frame(socket, None).unwrap().unwrap()).unwrap()
}

fn run(request: &ExecRequest) -> ExecResult {
    let (socket, helper) = helper();
    let answer = ask(&socket, request);
    drop(socket);
    helper.join().unwrap().unwrap();
    answer
}

fn shell(script: &str, input: &[u8], deadline: Duration) -> ExecResult {
    run(&request("/bin/sh", &["-c", script], input, deadline))
}

fn text(answer: &ExecResult) -> &str {
    std::str::from_utf8(&answer.output).unwrap()
}

#[test]
fn a_command_ends_with_its_status_and_its_words() {
    for (script, outcome, words) in [
        ("exit 0", ExecStatus::Exit(0), ""),
        ("echo out; echo err >&2; exit 75", ExecStatus::Exit(75), "out\nerr\n"),
        ("exit 255", ExecStatus::Exit(255), ""),
        ("echo last; kill -9 $$", ExecStatus::Signal(9), "last\n"),
        ("kill -TERM $$", ExecStatus::Signal(15), ""),
        ("cat", ExecStatus::Exit(0), "the input"),
        // No output any more, but not the end.
        ("exec >&- 2>&-; cat; exit 3", ExecStatus::Exit(3), ""),
    ] {
        let answer = shell(script, b"the input", LONG);
        assert_eq!((&answer.outcome, text(&answer)), (&outcome, words), "{script}");
    }
}

#[test]
fn one_helper_runs_one_command_after_the_other() {
    let (socket, helper) = helper();
    for number in 0..20 {
        let answer = ask(&socket, &request("/bin/sh", &["-c", &format!("exit {number}")], b"", LONG));
        assert_eq!(answer.outcome, ExecStatus::Exit(number));
    }
    drop(socket);
    helper.join().unwrap().unwrap();
}

#[test]
fn arguments_arrive_as_they_are() {
    let answer =
        run(&request("/usr/bin/printf", &["[%s]", "a b", "", "$(id)", "'\"", "é\n", "-x"], b"", LONG));
    assert_eq!(text(&answer), "[a b][][$(id)]['\"][é\n][-x]");
}

#[test]
fn the_environment_is_ours_alone() {
    let answer = run(&request("/usr/bin/env", &[], b"", LONG));
    let mut lines: Vec<&str> = text(&answer).lines().filter(|line| !line.starts_with("TZ=")).collect();
    lines.sort();
    assert_eq!(lines, ["HOME=/", "LC_ALL=C.UTF-8", "PATH=/usr/sbin:/usr/bin:/sbin:/bin"]);
}

#[test]
fn a_command_leads_its_own_group_and_is_reaped() {
    let answer = shell("echo $$; cut -d' ' -f5 /proc/$$/stat", b"", LONG);
    let lines: Vec<&str> = text(&answer).lines().collect();
    let [pid, group] = lines[..] else { panic!("{lines:?}") };
    assert_eq!(group, pid);
    assert!(!Path::new("/proc").join(pid).exists());
}

#[test]
fn the_deadline_ends_the_command_and_its_children() {
    let scratch = Scratch::new();
    let both = scratch.fifo("alive");
    let mut alive = File::open(scratch.path("alive")).unwrap();
    // Each of them holds the pipe open; none of them ends by a friendlier signal.
    let script = format!(
        "trap '' TERM HUP INT; exec 3>'{}'; sleep 60 & sh -c 'sleep 60' & echo started; sleep 60",
        scratch.path("alive").display()
    );
    let start = Instant::now();
    let answer = shell(&script, b"", SHORT);
    assert_eq!((&answer.outcome, text(&answer)), (&ExecStatus::Deadline, "started\n"));
    drop(both);
    // The end comes when the last of them is dead.
    assert_eq!(alive.read(&mut [0]).unwrap(), 0);
    assert!(start.elapsed() >= SHORT && start.elapsed() < LONG / 2);
}

#[test]
fn a_flood_of_output_stops_nothing() {
    let answer = shell("head -c 20000000 /dev/zero | tr '\\0' x; exit 3", b"", LONG);
    assert_eq!((answer.outcome, answer.output), (ExecStatus::Exit(3), vec![b'x'; 1024]));
    let answer = run(&request("/usr/bin/yes", &[], b"", SHORT));
    assert_eq!((&answer.outcome, text(&answer)), (&ExecStatus::Deadline, "y\n".repeat(512).as_str()));
}

#[test]
fn input_that_is_not_read_is_no_failure() {
    let input = vec![b'x'; 1 << 20];
    for (script, outcome) in [
        ("exit 0", ExecStatus::Exit(0)),
        ("exec <&-; exit 7", ExecStatus::Exit(7)),
        ("head -c 10 >/dev/null", ExecStatus::Exit(0)),
    ] {
        assert_eq!(shell(script, &input, LONG).outcome, outcome, "{script}");
    }
    assert_eq!(run(&request("/bin/sleep", &["60"], &input, SHORT)).outcome, ExecStatus::Deadline);
}

#[test]
fn much_input_arrives_whole_while_output_flows() {
    let input = vec![b'x'; 8 << 20];
    assert_eq!(text(&shell("wc -c", &input, LONG)), "8388608\n");
    // `cat` blocks on its output unless we read it while we write.
    assert_eq!(
        shell("cat", &input, LONG),
        ExecResult { outcome: ExecStatus::Exit(0), output: vec![b'x'; 1024] }
    );
}

#[test]
fn a_grandchild_that_holds_the_pipe_is_not_waited_for() {
    let scratch = Scratch::new();
    // It lives until this end is closed, however the test ends.
    let leash = scratch.fifo("leash");
    let script = format!("cat '{}' & echo done", scratch.path("leash").display());
    let start = Instant::now();
    let answer = shell(&script, b"", LONG);
    assert_eq!((&answer.outcome, text(&answer)), (&ExecStatus::Exit(0), "done\n"));
    assert!(start.elapsed() < LONG / 2);
    drop(leash);
}

#[test]
fn what_cannot_start_says_why() {
    let scratch = Scratch::new();
    fs::write(scratch.path("data"), "not a program").unwrap();
    let data = scratch.path("data");
    for (program, arguments, why) in [
        ("/nonexistent/sendmail", vec![], "No such file or directory"),
        ("/etc", vec![], "Permission denied"),
        (data.to_str().unwrap(), vec![], "Permission denied"),
        ("/bin/true", vec!["a\0b"], "nul byte found in provided data"),
    ] {
        let answer = run(&request(program, &arguments, b"input", LONG));
        assert_eq!(answer.outcome, ExecStatus::NotStarted(why.into()), "{program}");
    }
}

#[test]
fn a_malformed_frame_ends_the_helper() {
    for bytes in [&b"\x04\0\0\0oops"[..], b"\0\0\0\0", b"\xff\xff\xff\xff", b"\x10\0\0"] {
        let (mut socket, helper) = helper();
        socket.write_all(bytes).unwrap();
        socket.shutdown(std::net::Shutdown::Write).unwrap();
        assert!(helper.join().unwrap().is_err(), "{bytes:?}");
        assert_eq!(read_frame(&socket, None).unwrap(), None, "no answer to {bytes:?}");
    }
}

#[test]
fn the_worker_s_end_lets_a_running_command_finish_and_starts_no_other() {
    let scratch = Scratch::new();
    let whole =
        request("/bin/sh", &["-c", "cat > \"$0\"", scratch.path("whole").to_str().unwrap()], b"mail", LONG);
    let (socket, loop_of_whole) = helper();
    write_frame(&socket, &whole.encode().unwrap(), None).unwrap();
    drop(socket);
    loop_of_whole.join().unwrap().unwrap();
    assert_eq!(scratch.read("whole"), "mail");

    let part =
        request("/bin/sh", &["-c", "cat > \"$0\"", scratch.path("part").to_str().unwrap()], b"mail", LONG);
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
    Command::new(program, path, timeout, Arc::new(Mutex::new(Helper::new(socket))))
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
    relay.deliver(&Delivery { notification: &common::notification(), recipients: &to, mail: &mail })
}

/// Says of each call: its arguments, then its input.
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
fn mailx_gets_subject_sender_and_a_harmless_text() {
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
fn mailx_gets_no_address_that_it_would_take_for_something_else() {
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
    // With nobody left it is not run at all.
    fs::remove_file(scratch.path("seen")).unwrap();
    assert_eq!(send(&mut mailx, &["-f@example.com"]).unwrap(), [refused("-f@example.com")]);
    assert!(!scratch.path("seen").exists());
}

#[test]
fn the_exit_status_is_the_verdict() {
    let scratch = Scratch::new();
    let program =
        scratch.script("sendmail", "cat >/dev/null; echo 'sendmail: why' >&2; echo more >&2; . ./ending");
    let mut sendmail = relay(MailProgram::Sendmail, &program, LONG);
    let name = program.to_str().unwrap();
    let trouble = |words: &str| DeliveryError::new(name, format!("{words}: sendmail: why; more"));
    for (ending, expected) in [
        ("exit 0", Ok(Outcome::Delivered)),
        ("exit 64", Err(trouble("exit status 64"))),
        ("exit 65", Ok(Outcome::Permanent(trouble("exit status 65")))),
        ("exit 67", Ok(Outcome::Permanent(trouble("exit status 67")))),
        ("exit 68", Ok(Outcome::Transient(trouble("exit status 68")))),
        ("exit 69", Ok(Outcome::Transient(trouble("exit status 69")))),
        ("exit 75", Ok(Outcome::Transient(trouble("exit status 75")))),
        ("exit 1", Ok(Outcome::Transient(trouble("exit status 1")))),
        ("kill -9 $$", Ok(Outcome::Transient(trouble("killed by signal 9")))),
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
fn a_refused_recipient_takes_the_alert_from_nobody_else() {
    let scratch = Scratch::new();
    let script = "echo \"$*\" >> seen; case \"$*\" in *nobody*) echo unknown; exit 67;; *busy*) exit 75;; esac; exit 0";
    let program = scratch.script("sendmail", script);
    let mut sendmail = relay(MailProgram::Sendmail, &program, LONG);
    let name = program.to_str().unwrap();
    let never = Outcome::Permanent(DeliveryError::new(name, "exit status 67: unknown"));
    let later = Outcome::Transient(DeliveryError::new(name, "exit status 75"));
    let outcomes = send(&mut sendmail, &["ops@example.com", "nobody@example.com", "busy"]).unwrap();
    assert_eq!(outcomes, [Outcome::Delivered, never, later.clone()]);
    assert_eq!(scratch.read("seen").lines().count(), 4);
    // "Not now" is about the machine: no need to ask again for each.
    assert_eq!(send(&mut sendmail, &["ops@example.com", "busy"]).unwrap(), [later.clone(), later]);
    assert_eq!(scratch.read("seen").lines().count(), 5);
}

#[test]
fn a_program_that_hangs_is_killed_and_tried_later() {
    let scratch = Scratch::new();
    let program = scratch.script("sendmail", "echo waiting; exec sleep 60");
    let outcomes =
        send(&mut relay(MailProgram::Sendmail, &program, SHORT), &["ops@example.com", "root"]).unwrap();
    let later = Outcome::Transient(DeliveryError::new(program.to_str().unwrap(), "killed after 1s: waiting"));
    assert_eq!(outcomes, [later.clone(), later]);
}

#[test]
fn a_missing_program_makes_the_relay_unusable() {
    let trouble =
        send(&mut relay(MailProgram::Sendmail, Path::new("/nonexistent/sendmail"), LONG), &["root"])
            .unwrap_err();
    assert_eq!(trouble.to_string(), "start /nonexistent/sendmail: No such file or directory");
}

#[test]
fn a_helper_that_is_gone_is_told_each_time_in_the_same_words() {
    let gone = "/bin/true: the helper process is gone; reload HAProxy to start a new one";
    let (socket, theirs) = UnixStream::pair().unwrap();
    drop(theirs);
    let mut relay = Command::new(MailProgram::Sendmail, Path::new("/bin/true"), LONG, shared(socket));
    for _ in 0..3 {
        assert_eq!(send(&mut relay, &["root"]).unwrap_err().to_string(), gone);
    }
    // It ends while a command runs.
    let (socket, theirs) = UnixStream::pair().unwrap();
    let dying = thread::spawn(move || read_frame(&theirs, None));
    let mut relay = Command::new(MailProgram::Sendmail, Path::new("/bin/true"), LONG, shared(socket));
    assert_eq!(send(&mut relay, &["root"]).unwrap_err().to_string(), gone);
    assert!(dying.join().unwrap().is_ok());
}

#[test]
fn a_helper_that_is_stuck_or_talks_nonsense_is_given_up() {
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

fn shared(socket: UnixStream) -> Arc<Mutex<Helper>> {
    Arc::new(Mutex::new(Helper::new(socket)))
}
