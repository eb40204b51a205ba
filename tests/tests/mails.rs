// SPDX-License-Identifier: MIT OR Apache-2.0
//! The mails of the documentation are those that are sent, and mail readers understand them.

use std::{collections::BTreeMap, fs, path::Path, process::Command};

use end_to_end::{Backend, ParsedMail, Relay, Setup, golden};

#[test]
fn the_documented_mails_are_those_that_are_sent() {
    let files =
        fs::read_dir(golden::directory()).expect("doc/mails").map(|file| file.expect("a file").path());
    let mails = files.filter(|path| path.extension().is_some_and(|extension| extension == "eml"));
    let name = |path: &Path| path.file_name().expect("a name").to_string_lossy().into_owned();
    let documented: BTreeMap<String, Vec<u8>> =
        mails.map(|path| (name(&path), fs::read(&path).expect("a mail"))).collect();
    let sent = golden::generate();
    assert!(documented.keys().eq(sent.keys()), "you probably forgot to run: make mails");
    for (name, mail) in &sent {
        assert!(documented[name] == *mail, "{name} is another one; you probably forgot to run: make mails");
    }
}

#[test]
fn each_is_a_mail_as_it_should_be() {
    for (name, raw) in golden::generate() {
        let mail = ParsedMail::try_of(&raw).unwrap_or_else(|fault| panic!("{name}: {fault}"));
        assert!(!mail.html.contains("<script") && !mail.html.contains("<img"), "{name}: {}", mail.html);
        // What is only gone to when somebody touches it.
        let fetched = mail.html.replace("<a href=\"http", "");
        for remote in ["src=\"", "href=", "url(", "@import", "<link", "<form"] {
            assert!(!fetched.contains(remote), "{name} has {remote}");
        }
    }
}

#[test]
fn the_subject_is_as_the_administrator_wants_it() {
    let (relay, [failing, steady]) = (Relay::start(), [Backend::http(), Backend::http()]);
    let server =
        |name: &str, backend: &Backend| format!("server {name} {} check inter 30ms", backend.address());
    let _haproxy = Setup::mailing_through(&relay)
        .global("email_alert.subject \"%[server] is %[state]: %[reason] (100%% sure, %[active] left)\"")
        .backend("servers", &["option httpchk", &server("failing", &failing), &server("steady", &steady)])
        .start();
    failing.answers(503);
    let mail = relay.wait_for_mails(1).remove(0);
    assert_eq!(mail.subject, "failing is DOWN: Layer7 wrong status (100% sure, 1 left)");
}

/// What a mail reader makes of a folder with all of them: the threads, each a list of its mails' file names with their
/// depth, the oldest first.
fn threads(mails: &[&str]) -> Vec<Vec<(usize, String)>> {
    let home = tempfile::tempdir().expect("a directory");
    let folder = home.path().join("mail/cur");
    fs::create_dir_all(&folder).expect("a folder");
    let all = golden::generate();
    let mut names = BTreeMap::new();
    for name in mails {
        let raw = &all[&format!("{name}.eml")];
        fs::write(folder.join(name), raw).expect("a mail");
        let id = ParsedMail::of(raw).header("Message-ID").trim_matches(['<', '>']).to_owned();
        names.insert(id, (*name).to_owned());
    }
    let config = home.path().join("config");
    let path = home.path().join("mail");
    fs::write(
        &config,
        format!("[database]\npath={}\n[user]\nname=x\nprimary_email=x@example.com\n", path.display()),
    )
    .expect("a configuration");
    let notmuch = |arguments: &[&str]| {
        let mut command = Command::new("notmuch");
        command.arg("--config").arg(&config).args(arguments).env("HOME", home.path());
        let output = command.output().expect("notmuch, which ci/setup installs");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).expect("UTF-8")
    };
    notmuch(&["new", "--quiet"]);
    // A line "\u{c}message{ id:<id> depth:<n> ..." for each mail; searched oldest first.
    let threads = notmuch(&["search", "--output=threads", "--sort=oldest-first", "*"]);
    let thread = |thread: &str| {
        let shown = notmuch(&["show", "--format=text", "--body=false", "--entire-thread=true", thread]);
        let mail = |line: &str| {
            let mut words = line.strip_prefix("\u{c}message{ id:")?.split(' ');
            let id = words.next()?;
            let depth = words.next()?.strip_prefix("depth:")?.parse().ok()?;
            Some((depth, names.get(id)?.clone()))
        };
        shown.lines().filter_map(mail).collect()
    };
    threads.lines().map(thread).collect()
}

fn mail(depth: usize, name: &str) -> (usize, String) {
    (depth, name.to_owned())
}

#[test]
fn a_mail_reader_shows_an_incident_as_one_thread() {
    let expected = [
        vec![mail(0, "down"), mail(1, "reminder"), mail(1, "up")],
        vec![mail(0, "last-server-down"), mail(1, "last-server-up")],
    ];
    let mut all = threads(&["up", "last-server-up", "down", "reminder", "last-server-down"]);
    all.sort();
    assert_eq!(all, expected);
}

#[test]
fn so_it_does_when_the_incident_is_in_a_digest() {
    let all = threads(&["digest-backend-down", "digest-reminder", "digest-backend-up", "digest-host"]);
    let of_backend =
        vec![mail(0, "digest-backend-down"), mail(1, "digest-reminder"), mail(1, "digest-backend-up")];
    assert_eq!(all.len(), 2, "{all:?}");
    assert!(all.contains(&of_backend) && all.contains(&vec![mail(0, "digest-host")]), "{all:?}");
}

/// Gmail asks for equal subjects, but for what is in brackets before them.
#[test]
fn the_subjects_of_an_incident_differ_in_their_state_only() {
    let all = golden::generate();
    let subject = |name: &str| ParsedMail::of(&all[&format!("{name}.eml")]).subject;
    let rest = |name: &str| subject(name).split_once("] ").expect("a state").1.to_owned();
    for thread in [
        ["down", "reminder", "up"].as_slice(),
        &["last-server-down", "last-server-up"],
        &["digest-backend-down", "digest-backend-up"],
        &["flapping", "stable"],
        &["down", "dropped", "late"],
    ] {
        assert!(thread.iter().all(|name| rest(name) == rest(thread[0])), "{thread:?}");
    }
}
