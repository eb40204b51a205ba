// SPDX-License-Identifier: MIT OR Apache-2.0
//! Wherever the events come from, a patch or HAProxy's own event API: the same story makes the same mails, but for HAProxy's
//! version and what is measured in time.
//!
//! `HAPROXY_OTHER` is the HAProxy to compare with; without it, the same one is run twice.

use std::{env, path::PathBuf};

use end_to_end::{Backend, ParsedMail, Relay, Setup};

/// What differs from one run to the next: what is between these two, or a point in time after the first.
const MEASURED: [(&str, &str); 8] = [
    ("check duration: ", "ms"),
    (", after ", " ms"),
    (" down for ", ","),
    (", since ", ""),
    ("\n  time      ", "\n"),
    ("\n  HAProxy   ", "\n"),
    ("<th>time</th><td>", "</td>"),
    ("<th>HAProxy</th><td>", "</td>"),
];

fn without_what_is_measured(text: &str) -> String {
    let mut text = text.to_owned();
    for (before, after) in MEASURED {
        let mut parts = text.split(before);
        let mut rest = parts.next().unwrap_or_default().to_owned();
        for part in parts {
            let end = if after.is_empty() {
                "2026-11-23 03:12:44 +01:00".len()
            } else {
                part.find(after).expect(after)
            };
            rest = rest + before + "…" + &part[end..];
        }
        text = rest;
    }
    text
}

/// Without the line breaks in its sentences: those depend on what is measured.
fn unbroken(text: &str) -> String {
    let text = text.replace("\r\n", "\n");
    let paragraphs = text.split("\n\n");
    let unbroken = |part: &str| if part.starts_with(' ') { part.to_owned() } else { part.replace('\n', " ") };
    paragraphs.map(unbroken).collect::<Vec<_>>().join("\n\n")
}

/// All that a reader sees of it, and filters.
fn essence(mail: &ParsedMail) -> String {
    let mut headers = mail.headers.clone();
    for name in ["Date", "Message-ID", "Content-Type"] {
        headers.remove(name);
    }
    // That there are any is for the thread; which ones, for other tests.
    for name in ["References", "In-Reply-To"] {
        headers.entry(name.to_owned()).and_modify(|ids| *ids = ids.split_whitespace().count().to_string());
    }
    let headers: String = headers.iter().map(|(name, value)| format!("{name}: {value}\n")).collect();
    headers + "\n" + &without_what_is_measured(&format!("{}\n{}", unbroken(&mail.text), mail.html))
}

/// The servers of the story, which are the same for both HAProxies.
struct Servers {
    checked: [Backend; 2],
    web: Backend,
    last: Backend,
    agent: Backend,
}

/// What happens, and how many mails that makes.
type Step<'a> = (Box<dyn Fn(&end_to_end::Haproxy) + 'a>, usize);

impl Servers {
    fn mails_with(&self, program: Option<PathBuf>) -> Vec<String> {
        let relay = Relay::start();
        let quiet = |name: &str, server: &Backend, more: &str| {
            format!("server {name} {} check inter 1h {more}", server.address())
        };
        let [first, second] = &self.checked;
        let mut setup = Setup::mailing_through(&relay)
            .events("down,up,maint,ready,drain,nolb,backend-down,backend-up")
            // Else the first checks are spread over the longest interval.
            .global("max-spread-checks 100ms")
            .backend("servers", &[&quiet("one", first, ""), &quiet("two", second, "backup")])
            .backend("mirror", &[&format!("server image {} track servers/one", first.address())])
            .backend(
                "web",
                &[
                    "option httpchk",
                    "http-check disable-on-404",
                    &format!("server page {} check slowstart 1s", self.web.address()),
                ],
            )
            .section(
                "listen logged",
                &[
                    "bind \"${TEST_DIRECTORY}/web.sock\"",
                    "option log-health-checks",
                    "option httpchk",
                    &format!("server last {} check", self.last.address()),
                ],
            )
            .backend(
                "agents",
                &[&format!(
                    "server led {} agent-check agent-port {} agent-inter 100ms",
                    self.agent.address(),
                    self.agent.address().port()
                )],
            );
        if let Some(program) = program {
            setup = setup.program(&program);
        }
        let haproxy = setup.start();
        for server in ["servers,one", "servers,two"] {
            let is_checked = |line: &str| line.starts_with(server) && line.contains(",L4OK,");
            end_to_end::until_true("the first check", || haproxy.cli("show stat").lines().any(is_checked));
        }

        let command = |command: &'static str| -> Box<dyn Fn(&end_to_end::Haproxy)> {
            Box::new(move |haproxy| haproxy.cli_do(command))
        };
        let story: Vec<Step> = vec![
            // The mirror follows, and loses its only server.
            (command("disable server servers/one"), 3),
            (command("enable server servers/one"), 3),
            (command("set server servers/one state drain"), 3),
            (command("set server servers/one state maint"), 2),
            (command("set server servers/one state ready"), 3),
            (command("set server servers/one health down"), 3),
            (command("set server servers/one state maint"), 2),
            (command("set server servers/one state ready"), 3),
            (command("set server servers/one health stopping"), 3),
            (command("set server servers/one health up"), 3),
            (command("set server servers/two health down"), 1),
            (command("set server servers/one weight 0"), 1),
            (command("set server servers/one weight 1"), 1),
            (command("set server servers/two health up"), 1),
            (Box::new(|_| self.web.answers(503)), 2),
            (Box::new(|_| self.web.answers(200)), 2),
            (Box::new(|_| self.web.answers(404)), 2),
            (Box::new(|_| self.web.answers(200)), 2),
            (Box::new(|_| self.last.answers(500)), 2),
            (Box::new(|_| self.last.answers(200)), 2),
            (Box::new(|_| self.agent.agent_says("down")), 2),
            (Box::new(|_| self.agent.agent_says("up")), 2),
            (Box::new(|_| self.agent.agent_says("stopped")), 2),
        ];
        let mut count = 0;
        for (number, (deed, mails)) in story.iter().enumerate() {
            eprintln!("step {number} of the story");
            deed(&haproxy);
            count += mails;
            relay.wait_for_mails(count);
        }
        relay.mails().iter().map(essence).collect()
    }
}

#[test]
fn the_same_story_makes_the_same_mails() {
    let servers = Servers {
        checked: [Backend::tcp(), Backend::tcp()],
        web: Backend::http(),
        last: Backend::http(),
        agent: Backend::agent("up"),
    };
    let mails = servers.mails_with(None);
    for server in [&servers.web, &servers.last] {
        server.answers(200);
    }
    servers.agent.agent_says("up");
    let others = servers.mails_with(env::var_os("HAPROXY_OTHER").map(PathBuf::from));
    assert_eq!(mails.len(), others.len());
    for (mail, other) in mails.iter().zip(&others) {
        for (line, same) in mail.lines().zip(other.lines()) {
            assert_eq!(line, same, "in\n{mail}\nand\n{other}");
        }
        assert_eq!(mail, other);
    }
}
