// SPDX-License-Identifier: MIT OR Apache-2.0
//! `haproxy-email-alert convert`: what it prints is what HAProxy reads, and the mails come.

use end_to_end::{
    Backend, Relay, Setup,
    header::project,
    library::succeed,
    setup::{HOST, RECIPIENT, SENDER},
    story::{expect_mails, news},
};
use std::{
    fs,
    io::Write,
    process::{Command, Output, Stdio},
};

fn program() -> Command {
    Command::new(env!("CARGO_BIN_EXE_haproxy-email-alert"))
}

fn convert(configuration: &str) -> Output {
    let mut command = program();
    command.args(["convert", "-"]).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().expect("our own program");
    child.stdin.take().expect("a pipe").write_all(configuration.as_bytes()).expect("read to its end");
    child.wait_with_output().expect("an end")
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).expect("UTF-8")
}

fn old_configuration(relay: &Relay) -> String {
    format!(
        "mailers mta\n    timeout mail 5s\n    mailer mx {}\ndefaults\n    email-alert mailers mta\n    email-alert from {SENDER}\n    \
         email-alert to {RECIPIENT}\n    email-alert level notice\n    email-alert myhostname {HOST}\nbackend servers\n",
        relay.address()
    )
}

/// HAProxy with the printed page in `global`.
fn with_page(page: &str) -> Setup {
    page.lines()
        .fold(Setup::without_alerts(), |setup, line| setup.global(line))
        .global("email_alert.digest off")
}

#[test]
fn the_lines_are_good_and_the_mails_come() {
    let (relay, backend) = (Relay::start(), Backend::tcp());
    let server = format!("server s1 {} check", backend.address());
    let old = old_configuration(&relay);
    let judgement = Setup::without_alerts().section(&old, &[&server]).judge();
    assert_eq!(judgement.status, Some(0), "{}", judgement.output);
    let output = convert(&old);
    assert!(output.status.success() && output.stderr.is_empty(), "{output:?}");
    let page = text(&output.stdout);
    assert!(page.contains("# was stdin:3: mailer mx 127.0.0.1:"), "{page}");

    // Pasted into `global`, and behind everything else, as if it were one more file.
    let pasted = with_page(&page).backend("servers", &[&server]);
    let apart = Setup::without_alerts().backend("servers", &[&server]).section(&page, &[]);
    for judgement in [pasted.clone().judge(), apart.judge()] {
        assert_eq!(judgement.status, Some(0), "{}", judgement.output);
        assert!(!judgement.output.contains("WARNING"), "{}", judgement.output);
    }

    let haproxy = pasted.start();
    backend.goes_down();
    let mut expected = vec![
        news("down", "servers/s1", "Server servers/s1 is DOWN"),
        news("backend-down", "servers", "backend servers has no server available!"),
    ];
    expect_mails(&haproxy, &relay, &expected);
    backend.comes_back();
    expected.push(news("up", "servers/s1", "Server servers/s1 is UP"));
    expected.push(news("backend-up", "servers", "servers"));
    expect_mails(&haproxy, &relay, &expected);
}

#[test]
fn old_lines_are_named_by_file_and_number() {
    let relay = Relay::start();
    let directory = tempfile::tempdir().expect("a directory");
    let file = directory.path().join("haproxy.cfg");
    fs::write(&file, old_configuration(&relay)).expect("write haproxy.cfg");
    let page = text(&succeed(program().arg("convert").arg(&file)).stdout);
    let was = format!("# was {}:3: mailer mx ", file.display());
    assert!(page.contains(&was), "{page}");
}

#[test]
fn make_installs_it_with_its_manual() {
    let root = tempfile::tempdir().expect("a directory");
    let mut make = Command::new("make");
    make.args(["--silent", "--no-print-directory", "install-companion", "PREFIX=/usr"])
        .current_dir(project());
    make.arg(format!("DESTDIR={}", root.path().display()));
    make.arg(concat!("COMPANION=", env!("CARGO_BIN_EXE_haproxy-email-alert")));
    // A make that runs this test has variables for its own children.
    succeed(make.env_remove("MAKEFLAGS").env_remove("MAKELEVEL"));
    let version = concat!("haproxy-email-alert ", env!("CARGO_PKG_VERSION"));
    let mut installed = Command::new(root.path().join("usr/bin/haproxy-email-alert"));
    assert_eq!(text(&succeed(installed.arg("--version")).stdout).trim_end(), version);
    let manual = fs::read_to_string(root.path().join("usr/share/man/man1/haproxy-email-alert.1"));
    let manual = manual.expect("the manual").replace("\\-", "-");
    assert!(manual.contains(version) && manual.contains("haproxy-email-alert convert"), "{manual}");
}

#[test]
fn what_cannot_be_converted_is_an_error() {
    for (configuration, expected) in [
        ("backend web\n", "haproxy-email-alert: nothing to convert"),
        ("backend web\n email-alert too a@b.example\n", "haproxy-email-alert: stdin:2: unknown word 'too'"),
    ] {
        let output = convert(configuration);
        assert_eq!(output.status.code(), Some(1), "{output:?}");
        assert!(output.stdout.is_empty() && text(&output.stderr).starts_with(expected), "{output:?}");
    }
    let lines = "mailers m\n mailer mx <:25\nbackend web\n email-alert mailers m\n email-alert from a@b.example\n email-alert to c@d.example\n";
    let output = convert(lines);
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    assert!(text(&output.stderr).contains("1 of the lines must be written by hand"), "{output:?}");
    let output = program().args(["convert", "/does/not/exist.cfg"]).output().expect("our own program");
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    assert!(
        text(&output.stderr).starts_with("haproxy-email-alert: /does/not/exist.cfg: No such file"),
        "{output:?}"
    );
}

#[test]
fn the_command_line_explains_itself() {
    for (words, status, expected) in [
        (&["--help"][..], 0, "usage: haproxy-email-alert convert [<haproxy.cfg>...|-]\n"),
        (&["convert", "-h"], 0, "usage: "),
        (&["--version"], 0, concat!("haproxy-email-alert ", env!("CARGO_PKG_VERSION"), "\n")),
        (&[], 2, "haproxy-email-alert: expected a command; see haproxy-email-alert --help\n"),
        (&["covnert"], 2, "haproxy-email-alert: unknown command 'covnert'"),
        (&["convert", "--quiet"], 2, "haproxy-email-alert: invalid option '--quiet'"),
    ] {
        let output = program().args(words).output().expect("our own program");
        assert_eq!(output.status.code(), Some(status), "{words:?}");
        let said = text(if status == 0 { &output.stdout } else { &output.stderr });
        assert!(said.starts_with(expected), "{words:?}: {said}");
    }
}
