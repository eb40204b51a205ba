// SPDX-License-Identifier: MIT OR Apache-2.0
//! `sendmail` and `mailx` run for a worker that could not run them itself, and leave nothing behind.

use std::{
    path::Path,
    thread,
    time::{Duration, Instant},
};

use end_to_end::{
    Backend, FakeProgram, Haproxy, Mode, ParsedMail, Relay, Setup,
    haproxy::Signal,
    mda::Call,
    processes::{self, Process},
    setup::{HOST, RECIPIENT, SENDER, UNPRIVILEGED},
    story::{expect_mails, news},
    until_true,
};

const A_WHILE: Duration = Duration::from_millis(600);

/// Debian's `mailx`.
const BSD_MAILX: &str = "/usr/bin/bsd-mailx";

/// Two servers behind one frontend, in the jail; the first is the one that fails.
fn site(setup: Setup) -> (Haproxy, Backend, Backend) {
    let (first, second) = (Backend::http(), Backend::http());
    let server = |name: &str, backend: &Backend| format!("server {name} {} check", backend.address());
    let haproxy = setup
        .frontend("servers")
        .backend("servers", &[&server("server1", &first), &server("server2", &second)])
        .threads(2)
        .jailed()
        .start();
    (haproxy, first, second)
}

fn through(program: &str, path: &Path, options: &str) -> Setup {
    Setup::with_alerts().global(&format!("email_alert.relay local {program} {} {options}", path.display()))
}

/// The processes that run commands for HAProxy.
fn helpers_of(haproxy: &Haproxy) -> Vec<Process> {
    let mut helpers = haproxy.processes();
    helpers.retain(|process| process.command_line == "haproxy-email-alert-helper");
    helpers
}

/// What sendmail was given, with the line ends that it has on the wire.
fn mail_of(call: &Call) -> ParsedMail {
    let text = String::from_utf8(call.input.clone()).expect("ASCII");
    assert!(!text.contains('\r'), "sendmail expects the line ends of this system");
    ParsedMail::of(text.replace('\n', "\r\n").as_bytes())
}

#[test]
fn sendmail_gets_the_mail_as_the_unprivileged_user() {
    let program = FakeProgram::that_succeeds("sendmail");
    let (haproxy, first, _second) = site(through("sendmail", program.path(), "").mode(Mode::MasterWorker));
    first.goes_down();
    let call = program.wait_for_calls(1).remove(0);
    assert_eq!(call.arguments, ["-i", "-f", SENDER, "--", RECIPIENT]);
    let mail = mail_of(&call);
    assert_eq!(mail.first_line(), haproxy.log().wait_for("is DOWN").text);
    assert_eq!(mail.subject, format!("[DOWN] servers/server1 on {HOST}"));
    assert_eq!((call.uid, call.gid, &*call.groups), (UNPRIVILEGED, UNPRIVILEGED, "65534"));
    assert_eq!(call.working_directory, "/");
    assert_eq!(call.other_descriptors, "", "the program has got descriptors that are not its own");
    let mut names: Vec<_> = call.environment.iter().filter_map(|pair| pair.split('=').next()).collect();
    names.sort_unstable();
    names.retain(|name| *name != "TZ");
    assert_eq!(names, ["HOME", "LC_ALL", "PATH"]);
    first.comes_back();
    program.wait_for_calls(2);
    thread::sleep(A_WHILE);
    program.wait_for_calls(2);
}

#[test]
fn mailx_gets_the_text_and_the_subject() {
    let program = FakeProgram::that_succeeds("mailx");
    let (haproxy, first, _second) = site(through("mailx", program.path(), ""));
    first.goes_down();
    let call = program.wait_for_calls(1).remove(0);
    let subject = format!("[DOWN] servers/server1 on {HOST}");
    assert_eq!(call.arguments, ["-s", &subject, "-r", SENDER, RECIPIENT]);
    let text = String::from_utf8(call.input).expect("text");
    assert_eq!(text.lines().next(), Some(&*haproxy.log().wait_for("is DOWN").text));
    assert_eq!((call.uid, call.gid), (UNPRIVILEGED, UNPRIVILEGED));
}

#[test]
fn a_real_mailx_makes_a_mail_of_it() {
    assert!(Path::new(BSD_MAILX).exists(), "there is no {BSD_MAILX}: run `ci/setup test` first");
    let sendmail = FakeProgram::that_succeeds("sendmail");
    let mailx = sendmail.another_that_is(
        "mailx",
        &format!("#!/bin/sh\nMAILRC={0}/mailrc exec {BSD_MAILX} \"$@\"\n", sendmail.directory().display()),
    );
    let settings = format!("set sendmail={}\n", sendmail.path().display());
    std::fs::write(sendmail.directory().join("mailrc"), settings).expect("write mailrc");
    let (haproxy, first, _second) = site(through("mailx", &mailx, ""));
    first.goes_down();
    let call = sendmail.wait_for_calls(1).remove(0);
    let text = String::from_utf8(call.input).expect("text");
    let line = haproxy.log().wait_for("is DOWN").text;
    assert!(text.contains(&format!("\nSubject: [DOWN] servers/server1 on {HOST}\n")), "{text}");
    assert!(text.contains(&format!("\n\n{line}\n")), "{text}");
    assert!(text.contains(&format!("To: {RECIPIENT}\n")), "{text}");
    assert_eq!(call.arguments, ["-i", "-t", "-f", SENDER]);
}

#[test]
fn a_local_name_stays_local() {
    let program = FakeProgram::that_succeeds("sendmail");
    let (_haproxy, first, _second) =
        site(through("sendmail", program.path(), "").to("root,boss@example.org"));
    first.goes_down();
    let call = program.wait_for_calls(1).remove(0);
    assert_eq!(call.arguments, ["-i", "-f", SENDER, "--", "root", "boss@example.org"]);
    assert_eq!(mail_of(&call).to, [&format!("root@{HOST}"), "boss@example.org"]);
}

#[test]
fn a_command_that_hangs_is_killed_with_its_children() {
    let program = FakeProgram::that_succeeds("sendmail");
    let sleeper = program.another_that_is_a_copy_of("/bin/sleep", "sleeper");
    let sleeper = sleeper.display();
    program.does(&format!("{sleeper} 1000 & sh -c '{sleeper} 1000; :' & {sleeper} 1000"));
    let (haproxy, first, _second) = site(through("sendmail", program.path(), "timeout 1s"));
    first.goes_down();
    program.wait_for_calls(1);
    until_true("the sleepers", || processes::of(program.directory()).len() >= 4);
    let start = Instant::now();
    let line = haproxy.log().wait_for("email_alert: relay local: ");
    let words = format!("{}: killed after 1s", program.path().display());
    assert!(line.text.contains(&words), "{line:?}");
    assert!(start.elapsed() < Duration::from_secs(4), "{:?}", start.elapsed());
    program.does("exit 0");
    until_true("an end of the sleepers", || processes::of(program.directory()).is_empty());
    program.wait_for_calls(2);
    haproxy.log().wait_for("email_alert: relay local: works again");
    assert_eq!(haproxy.get().expect("an answer").status, 200);
}

#[test]
fn a_child_that_keeps_the_output_open_delays_nothing() {
    let program = FakeProgram::that_succeeds("sendmail");
    let sleeper = program.another_that_is_a_copy_of("/bin/sleep", "sleeper");
    program.does(&format!("setsid {} 1000 & exit 0", sleeper.display()));
    let (haproxy, first, _second) = site(through("sendmail", program.path(), ""));
    first.goes_down();
    program.wait_for_calls(1);
    let start = Instant::now();
    first.comes_back();
    program.wait_for_calls(2);
    assert!(start.elapsed() < Duration::from_secs(3), "{:?}", start.elapsed());
    assert!(haproxy.log().lines_with("email_alert: ").is_empty(), "{}", haproxy.log().story());
}

#[test]
fn a_command_that_does_not_read_may_still_succeed() {
    let program = FakeProgram::that_succeeds("sendmail");
    let done = program.directory().join("calls").join(".done");
    let deaf = format!("#!/bin/sh\nexec 0<&-\necho done >>{}\n", done.display());
    let deaf = program.another_that_is("deaf", &deaf);
    let (haproxy, first, _second) = site(through("sendmail", &deaf, ""));
    first.goes_down();
    until_true("a run of the program", || done.exists());
    haproxy.log().expect_no_more_than(0, "email_alert: ", A_WHILE);
}

#[test]
fn exit_status_and_words_of_a_command_are_logged_once_and_the_mail_is_not_lost() {
    let fail = "echo 'queue file write error' >&2; echo 'disk full'; exit 75";
    let program = FakeProgram::that_does("sendmail", fail);
    let (haproxy, first, _second) = site(through("sendmail", program.path(), ""));
    first.goes_down();
    let line = haproxy.log().wait_for("email_alert: relay local: ");
    let words = format!("{}: exit status 75: queue file write error; disk full", program.path().display());
    assert!(line.text.contains(&words), "{line:?}");
    program.wait_for_calls(2);
    assert_eq!(haproxy.log().lines_with("exit status 75").len(), 1, "{}", haproxy.log().story());
    program.does("exit 0");
    program.wait_for_calls(3);
    haproxy.log().wait_for("email_alert: relay local: works again");
    assert_eq!(haproxy.log().lines_with("exit status 75").len(), 1, "{}", haproxy.log().story());
    thread::sleep(A_WHILE);
    program.wait_for_calls(3);
}

#[test]
fn a_recipient_that_a_command_refuses_for_good_is_logged_and_not_tried_again() {
    let program = FakeProgram::that_does("sendmail", "echo 'no such user here' >&2; exit 67");
    let (haproxy, first, _second) = site(through("sendmail", program.path(), ""));
    first.goes_down();
    let line = haproxy.log().wait_for("exit status 67: no such user here");
    assert_eq!(line.severity, 3, "{line:?}");
    assert!(line.text.contains(RECIPIENT), "{line:?}");
    thread::sleep(Duration::from_millis(1500));
    program.wait_for_calls(1);
}

#[test]
fn a_command_that_is_gone_or_killed_or_noisy_is_said_in_one_line() {
    let stories: [(&str, &str); 3] = [
        ("kill -9 $$", "killed by signal 9"),
        ("yes | head -c 3000000 >&2; printf '\\033[2J\\n\\001<b>' >&2; exit 1", "exit status 1: y; y"),
        ("echo \"a$(printf '\\r')b\" >&2; exit 2", "exit status 2: a"),
    ];
    thread::scope(|scope| {
        for (shell, words) in stories {
            scope.spawn(move || {
                let program = FakeProgram::that_does("sendmail", shell);
                let (haproxy, first, _second) = site(through("sendmail", program.path(), ""));
                first.goes_down();
                let line = haproxy.log().wait_for("email_alert: ");
                assert!(line.text.contains(words), "{line:?}");
                assert!(line.text.len() < 1024, "{line:?}");
                assert!(!line.text.contains(char::is_control), "{line:?}");
            });
        }
    });
    let program = FakeProgram::that_succeeds("sendmail");
    let (haproxy, first, _second) = site(through("sendmail", program.path(), ""));
    std::fs::remove_file(program.path()).expect("remove our own program");
    first.goes_down();
    let line = haproxy.log().wait_for("email_alert: relay local: ");
    let words = format!("start {}: No such file or directory", program.path().display());
    assert!(line.text.contains(&words), "{line:?}");
    program.does("exit 0");
    program.wait_for_calls(1);
}

#[test]
fn sendmail_is_the_way_out_when_the_relay_refuses() {
    let (relay, program) = (Relay::start(), FakeProgram::that_succeeds("sendmail"));
    relay.goes_away();
    let setup = Setup::mailing_through(&relay);
    let setup = setup.global(&format!("email_alert.relay local sendmail {}", program.path().display()));
    let (haproxy, first, _second) = site(setup);
    first.goes_down();
    assert_eq!(mail_of(&program.wait_for_calls(1)[0]).event(), "down");
    haproxy.log().wait_for("email_alert: relay test: connect to");
    relay.behaves();
    relay.expect_no_more_than(0, A_WHILE);
}

#[test]
fn a_helper_that_was_killed_is_said_and_is_there_again_after_a_reload() {
    let program = FakeProgram::that_succeeds("sendmail");
    let (mut haproxy, first, _second) =
        site(through("sendmail", program.path(), "").mode(Mode::MasterWorker));
    let [helper] = &helpers_of(&haproxy)[..] else { panic!("not one helper: {:?}", helpers_of(&haproxy)) };
    haproxy.signal_process(helper.pid, Signal::SIGKILL);
    haproxy.wait_until_processes_are(2);
    first.goes_down();
    let line = haproxy.log().wait_for("email_alert: relay local: ");
    assert!(line.text.contains("the helper process is gone; reload HAProxy to start a new one"), "{line:?}");
    assert_eq!(haproxy.get().expect("an answer").status, 200);
    haproxy.reload();
    program.wait_for_calls(1);
    haproxy.wait_until_processes_are(3);
}

#[test]
fn the_helper_is_nobodys_child_and_holds_nothing_of_haproxy() {
    for mode in [Mode::Foreground, Mode::Daemon, Mode::MasterWorker, Mode::Systemd] {
        let program = FakeProgram::that_succeeds("sendmail");
        let (haproxy, first, _second) = site(through("sendmail", program.path(), "").mode(mode));
        first.goes_down();
        program.wait_for_calls(1);
        let helpers = helpers_of(&haproxy);
        let [helper] = &helpers[..] else { panic!("{mode:?}: not one helper: {helpers:?}") };
        assert!(![haproxy.pid(), haproxy.worker()].contains(&helper.parent), "{mode:?}: {helper:?}");
        // While a command runs, there are its pipes.
        until_true("a helper with nothing but its socket", || {
            let mut descriptors = processes::descriptors_of(helper.pid);
            descriptors.retain(|target| target != "/dev/null");
            descriptors.iter().all(|target| target == "socket") && descriptors.len() <= 2
        });
        let status = std::fs::read_to_string(format!("/proc/{}/status", helper.pid)).expect("a status");
        assert!(status.contains("Uid:\t65534\t65534\t65534\t65534"), "{mode:?}: {status}");
        assert!(status.contains("Groups:\t \n"), "{mode:?}: {status}");
        assert_no_zombies(&haproxy);
    }
}

#[track_caller]
/// A process that has just ended is one until its parent hears of it; what is left behind stays.
fn assert_no_zombies(haproxy: &Haproxy) {
    let is_zombie = |process: &processes::Process| process.state == 'Z';
    until_true("an end of the zombies", || {
        let parents = [haproxy.pid(), haproxy.worker()];
        parents.into_iter().flat_map(processes::children_of).all(|process| !is_zombie(&process))
    });
}

#[test]
fn no_helper_is_left_however_haproxy_ends() {
    for mode in [Mode::Foreground, Mode::Daemon, Mode::MasterWorker, Mode::Systemd] {
        for signal in [Signal::SIGTERM, Signal::SIGUSR1, Signal::SIGKILL] {
            let program = FakeProgram::that_succeeds("sendmail");
            let (mut haproxy, first, _second) = site(through("sendmail", program.path(), "").mode(mode));
            first.goes_down();
            program.wait_for_calls(1);
            assert_eq!(helpers_of(&haproxy).len(), 1, "{mode:?}");
            // What is killed is the worker: the master ends by itself then.
            let target = if signal == Signal::SIGKILL { haproxy.worker() } else { haproxy.pid() };
            haproxy.signal_process(target, signal);
            haproxy.wait_for_end();
            haproxy.wait_until_processes_are(0);
        }
    }
}

#[test]
fn a_hanging_command_does_not_outlive_haproxy_by_more_than_its_deadline() {
    for signal in [Signal::SIGTERM, Signal::SIGKILL] {
        let program = FakeProgram::that_succeeds("sendmail");
        let sleeper = program.another_that_is_a_copy_of("/bin/sleep", "sleeper");
        program.does(&format!("{} 1000", sleeper.display()));
        let (mut haproxy, first, _second) =
            site(through("sendmail", program.path(), "timeout 1s").mode(Mode::MasterWorker));
        first.goes_down();
        program.wait_for_calls(1);
        let start = Instant::now();
        haproxy.signal_process(haproxy.worker(), signal);
        haproxy.wait_for_end();
        haproxy.wait_until_processes_are(0);
        until_true("an end of the command", || processes::of(program.directory()).is_empty());
        assert!(start.elapsed() < Duration::from_secs(4), "{signal}: {:?}", start.elapsed());
    }
}

#[test]
fn twenty_reloads_leave_one_helper_and_no_zombie() {
    let program = FakeProgram::that_succeeds("sendmail");
    let (mut haproxy, first, _second) =
        site(through("sendmail", program.path(), "").mode(Mode::MasterWorker));
    for _ in 0..20 {
        haproxy.reload();
    }
    haproxy.wait_until_processes_are(3);
    assert_eq!(helpers_of(&haproxy).len(), 1);
    assert_no_zombies(&haproxy);
    first.goes_down();
    let call = program.wait_for_calls(1).remove(0);
    assert_eq!(mail_of(&call).first_line(), haproxy.log().wait_for("is DOWN").text);
    haproxy.signal(Signal::SIGTERM);
    haproxy.wait_for_end();
    haproxy.wait_until_processes_are(0);
}

#[test]
fn smtp_alone_needs_no_helper() {
    let relay = Relay::start();
    let (haproxy, first, _second) = site(Setup::mailing_through(&relay).mode(Mode::MasterWorker));
    first.goes_down();
    expect_mails(&haproxy, &relay, &[news("down", "servers/server1", "is DOWN")]);
    assert_eq!(haproxy.processes().len(), 2);
}

#[test]
fn without_a_chroot_the_program_runs_as_haproxy_does() {
    let program = FakeProgram::that_succeeds("sendmail");
    let backend = Backend::tcp();
    let _haproxy = through("sendmail", program.path(), "")
        .to("root")
        .backend("servers", &[&format!("server last {} check", backend.address())])
        .start();
    backend.goes_down();
    let calls = program.wait_for_calls(2);
    assert!(calls.iter().all(|call| call.uid == processes::own_uid()), "{calls:?}");
}
