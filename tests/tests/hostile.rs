// SPDX-License-Identifier: MIT OR Apache-2.0
//! What servers, agents, relays and names say is shown to the reader and never obeyed by anything on the way.

use std::thread;

use end_to_end::{
    Act, Backend, ParsedMail, Relay, Setup, Step,
    setup::HOST,
    story::{expect_mails, news},
};

/// Texts that somebody could want a mail program, a terminal, a log reader or a browser to obey.
const HOSTILE_TEXTS: [&[u8]; 14] = [
    b"\x1b[2J\x1b]0;owned\x07",
    b"\x00\x01\x02\x7f\x80\x9b31m",
    b"\xff\xfe\xc3\x28\xed\xa0\x80",
    b"<script>alert(1)</script>&amp;<img src=x onerror=y>",
    b"=?utf-8?B?QmNjOiBldmlsQGV4YW1wbGUuY29t?= =?utf-8?Q?=0D=0ABcc:?=",
    b"a\rBcc: evil@example.com",
    b"tab\there\x0bvt\x0cff",
    b"\xe2\x80\xaeexe.txt\xe2\x81\xa6\xe2\x80\x8bzero\xef\xbb\xbf",
    b"\xc2\x85next\xe2\x80\xa8line\xe2\x80\xa9paragraph",
    b"\"quoted\" 'single' `id` $(id) ; | & > < \\",
    b"%s%n%x %[src] ${HOME} {{7*7}} {% raw %}",
    b".\r.\r.",
    b"--boundary\rContent-Type: text/html",
    "gr\u{fc}\u{df}e \u{1f4a3} \u{65e5}\u{672c}".as_bytes(),
];

/// A backend of two, so that the first one's end is one mail.
fn site(setup: Setup, checked: &Backend, options: &[&str], with: &str) -> (end_to_end::Haproxy, Backend) {
    let second = Backend::http();
    let first = format!("server server1 {} check {with}", checked.address());
    let other = format!("server server2 {} check", second.address());
    let lines = [options, &[&*first, &*other]].concat();
    (setup.backend("servers", &lines).start(), second)
}

/// In parallel: they mostly wait.
fn for_each_text(story: impl Fn(&[u8]) + Sync) {
    thread::scope(|scope| {
        for text in HOSTILE_TEXTS {
            let story = &story;
            let name = format!("{:.40}", text.escape_ascii().to_string());
            thread::Builder::new().name(name).spawn_scoped(scope, move || story(text)).expect("a thread");
        }
    });
}

#[track_caller]
fn assert_harmless(mail: &ParsedMail) {
    assert_eq!(mail.subject, format!("[DOWN] servers/server1 on {HOST}"));
    assert!(mail.text.is_ascii(), "{:?}", mail.text);
    let html = mail.html.to_ascii_lowercase();
    assert!(!html.contains("<script") && !html.contains("<img"), "{html}");
}

#[test]
fn the_reason_of_a_http_server_is_only_shown() {
    for_each_text(|text| {
        let (relay, server) = (Relay::start(), Backend::http());
        let (haproxy, _second) = site(Setup::mailing_through(&relay), &server, &["option httpchk"], "");
        server.says(&[b"HTTP/1.1 500 ", text, b"\r\nContent-Length: 0\r\n\r\n"].concat());
        // What is no HTTP is a "Layer7 invalid response" for one HAProxy and a "Socket error" for another.
        expect_mails(&haproxy, &relay, &[news("down", "servers/server1", "is DOWN, reason: ")]);
        assert_harmless(&relay.mails()[0]);
    });
}

#[test]
fn the_words_of_an_agent_are_only_shown() {
    for_each_text(|text| {
        let (relay, server, agent) = (Relay::start(), Backend::http(), Backend::agent("up"));
        let port = agent.address().port();
        let with = format!("agent-check agent-addr 127.0.0.1 agent-port {port} agent-inter 100ms");
        let (haproxy, _second) = site(Setup::mailing_through(&relay), &server, &[], &with);
        // HAProxy finds no end of the line behind a NUL, and waits for more.
        let text: Vec<u8> = text.iter().copied().filter(|byte| *byte != 0).collect();
        agent.says(&[b"down #", &*text, b"\n"].concat());
        expect_mails(&haproxy, &relay, &[news("down", "servers/server1", "is DOWN, reason: Layer7")]);
        assert_harmless(&relay.mails()[0]);
    });
}

#[test]
fn very_long_words_of_a_server_are_no_trouble() {
    let (relay, server) = (Relay::start(), Backend::http());
    let (haproxy, _second) = site(Setup::mailing_through(&relay), &server, &["option httpchk"], "");
    server.says(&[b"HTTP/1.1 500 ".to_vec(), vec![0xfe; 10_000], b"\r\n\r\n".to_vec()].concat());
    expect_mails(&haproxy, &relay, &[news("down", "servers/server1", "is DOWN, reason: Layer7")]);
    assert_harmless(&relay.mails()[0]);
}

#[test]
fn the_answer_of_a_text_check_is_only_shown() {
    let (relay, server) = (Relay::start(), Backend::agent("fine"));
    let (haproxy, _second) = site(
        Setup::mailing_through(&relay),
        &server,
        &["option tcp-check", "tcp-check expect string fine"],
        "",
    );
    server.says(b"\x1b[31m<script>\r\nBcc: evil@example.com\r\n\r\n.\r\n");
    let events = [news("down", "servers/server1", "is DOWN, reason: Layer7")];
    // The second server says nothing at all, so both are down in the end.
    let server2 = news("down", "servers/server2", "is DOWN, reason: Layer7");
    expect_mails(
        &haproxy,
        &relay,
        &[events[0], server2, news("backend-down", "servers", "no server available")],
    );
    let mails = relay.mails();
    assert_harmless(
        mails.iter().find(|mail| mail.subject.contains("server1")).expect("the mail about server1"),
    );
}

#[test]
fn the_words_of_a_relay_are_only_logged() {
    for_each_text(|text| {
        let (relay, server) = (Relay::start(), Backend::http());
        let reply: String = String::from_utf8_lossy(text).replace(['\n', '\r'], " ");
        relay.at(Step::Mail, Act::Reply(format!("451 4.0.0 {reply}")));
        let (haproxy, _second) = site(Setup::mailing_through(&relay), &server, &[], "");
        server.goes_down();
        let line = haproxy.log().wait_for("email_alert: relay test: ");
        let invisible =
            |c: char| c.is_control() || matches!(c, '\u{200b}'..='\u{202e}' | '\u{2066}' | '\u{feff}');
        assert!(!line.text.contains(invisible), "{:?}", line.text);
        relay.behaves();
        expect_mails(&haproxy, &relay, &[news("down", "servers/server1", "is DOWN")]);
        assert_harmless(&relay.mails()[0]);
    });
}

#[test]
fn very_long_words_of_a_relay_are_cut_in_the_log() {
    let (relay, server) = (Relay::start(), Backend::http());
    relay.at_first(1, Step::Mail, Act::Reply(format!("451 4.0.0 {}", "x".repeat(100_000))));
    let (haproxy, _second) = site(Setup::mailing_through(&relay), &server, &[], "");
    server.goes_down();
    let line = haproxy.log().wait_for("email_alert: relay test: ");
    assert!(line.text.len() < 1024, "{} bytes: {}", line.text.len(), line.text);
    expect_mails(&haproxy, &relay, &[news("down", "servers/server1", "is DOWN")]);
}

#[test]
fn long_names_are_in_the_mail_as_they_are() {
    let (relay, server) = (Relay::start(), Backend::http());
    let (backend, name) = ("b".repeat(250), "s".repeat(250));
    let haproxy = Setup::mailing_through(&relay)
        .backend(&backend, &[&format!("server {name} {} check", server.address())])
        .start();
    server.goes_down();
    let about = format!("{backend}/{name}");
    let down = news("down", &about, "is DOWN, reason: Layer4");
    expect_mails(&haproxy, &relay, &[down, news("backend-down", &backend, "has no server available!")]);
    assert!(relay.mails().iter().any(|mail| mail.subject == format!("[DOWN] {about} on {HOST}")));
}

#[test]
fn names_that_are_too_long_are_cut_and_marked() {
    let (relay, server) = (Relay::start(), Backend::http());
    let (backend, name) = ("b".repeat(900), "s".repeat(900));
    let _haproxy = Setup::mailing_through(&relay)
        .backend(&backend, &[&format!("server {name} {} check", server.address())])
        .start();
    server.goes_down();
    for mail in relay.wait_for_mails(2) {
        assert!(mail.first_line().contains("bbb[...]"), "{:?}", mail.first_line());
        assert!(mail.header("X-HAProxy-Proxy").contains("bbb"), "{mail:?}");
    }
}

#[test]
fn every_character_that_haproxy_permits_in_a_name_is_in_the_mail() {
    let (relay, server) = (Relay::start(), Backend::http());
    let haproxy = Setup::mailing_through(&relay)
        .backend("A-z_0.9:b", &[&format!("server srv:1.a_B-9 {} check", server.address())])
        .start();
    server.goes_down();
    let down = news("down", "A-z_0.9:b/srv:1.a_B-9", "Server A-z_0.9:b/srv:1.a_B-9 is DOWN");
    expect_mails(
        &haproxy,
        &relay,
        &[down, news("backend-down", "A-z_0.9:b", "backend A-z_0.9:b has no server")],
    );
}
