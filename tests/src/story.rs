// SPDX-License-Identifier: MIT OR Apache-2.0
//! What must be true of the mails about a change, whatever the story was.

use std::time::Duration;

use crate::{
    haproxy::Haproxy,
    mail::ParsedMail,
    relay::Relay,
    setup::{HOST, RECIPIENT, SENDER},
    wait::within,
};

/// Where mails arrive.
pub trait Inbox {
    /// Waits until there are `count` mails; more than these are a failure.
    fn wait_for_mails(&self, count: usize) -> Vec<ParsedMail>;
}

impl Inbox for Relay {
    #[track_caller]
    fn wait_for_mails(&self, count: usize) -> Vec<ParsedMail> {
        Relay::wait_for_mails(self, count)
    }
}

/// A mail that a test expects.
#[derive(Clone, Copy, Debug)]
pub struct News<'a> {
    /// The kind of event.
    pub event: &'a str,
    /// `backend/server`, or `backend` alone.
    pub about: &'a str,
    /// A part of HAProxy's sentence.
    pub words: &'a str,
}

/// A mail that a test expects.
pub fn news<'a>(event: &'a str, about: &'a str, words: &'a str) -> News<'a> {
    News { event, about, words }
}

impl News<'_> {
    fn fits(&self, mail: &ParsedMail) -> bool {
        mail.event() == self.event && about(mail) == self.about && mail.first_line().contains(self.words)
    }

    fn state(&self) -> &str {
        match self.event {
            "down" | "backend-down" => "DOWN",
            "up" | "backend-up" => "UP",
            "maint" => "MAINT",
            "ready" => "READY",
            "drain" => "DRAIN",
            "nolb" => "NOLB",
            "check" => "CHECK",
            other => panic!("no such event: {other}"),
        }
    }
}

fn about(mail: &ParsedMail) -> String {
    match mail.headers.get("X-HAProxy-Server") {
        Some(server) => format!("{}/{server}", mail.header("X-HAProxy-Proxy")),
        None => mail.header("X-HAProxy-Proxy").to_owned(),
    }
}

/// Waits until there are exactly these mails in all, in any order, and checks each: it is complete, it is addressed as
/// it should be, and its first line is a line of HAProxy's log.
#[track_caller]
pub fn expect_mails(haproxy: &Haproxy, inbox: &impl Inbox, expected: &[News]) {
    for (mail, news) in matching_mails(inbox, expected) {
        check_mail(&mail, news);
        expect_sentence_in_log(haproxy, &mail);
    }
}

/// The same for changes of which HAProxy's own log tells less than the mail.
#[track_caller]
pub fn expect_mails_beyond_the_log(relay: &Relay, expected: &[News]) {
    for (mail, news) in matching_mails(relay, expected) {
        check_mail(&mail, news);
    }
}

#[track_caller]
fn matching_mails<'a>(inbox: &impl Inbox, expected: &'a [News<'a>]) -> Vec<(ParsedMail, &'a News<'a>)> {
    let mut mails = inbox.wait_for_mails(expected.len());
    let match_of = |news: &'a News<'a>| {
        let Some(index) = mails.iter().position(|mail| news.fits(mail)) else {
            let rest: Vec<_> =
                mails.iter().map(|mail| (mail.event(), about(mail), mail.first_line())).collect();
            panic!("no mail for {news:?} among {rest:#?}");
        };
        (mails.remove(index), news)
    };
    expected.iter().map(match_of).collect()
}

#[track_caller]
fn check_mail(mail: &ParsedMail, news: &News) {
    let subject = &mail.subject;
    for part in [news.state(), news.about, HOST] {
        assert!(subject.contains(part), "the subject {subject:?} does not name {part:?}");
    }
    assert_eq!(mail.from, SENDER);
    assert_eq!(mail.to, [RECIPIENT]);
    assert_eq!(mail.header("X-HAProxy-State"), news.state());
    assert_eq!(mail.header("X-HAProxy-Host"), HOST);
    assert_eq!(mail.header("Auto-Submitted"), "auto-generated");
    assert_eq!(mail.header("X-Auto-Response-Suppress"), "All");
    assert!(
        mail.html.contains(news.state()),
        "the HTML part does not name {:?}: {}",
        news.state(),
        mail.html
    );
}

/// HAProxy writes nothing when a backend has a server again.
#[track_caller]
fn expect_sentence_in_log(haproxy: &Haproxy, mail: &ParsedMail) {
    if mail.event() == "backend-up" {
        return;
    }
    let sentence = mail.first_line();
    let is_in_log = || haproxy.log().state_changes().iter().any(|line| line.text == sentence).then_some(());
    // The datagram may be a moment behind the mail.
    let seen = within(Duration::from_secs(2), is_in_log);
    assert!(seen.is_some(), "not in HAProxy's log: {sentence:?}\n{}", haproxy.log().story());
}
