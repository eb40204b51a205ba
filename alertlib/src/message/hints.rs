// SPDX-License-Identifier: MIT OR Apache-2.0
//! What HAProxy's results of checks mean, and where to look: for somebody who has just been woken up.
//!
//! When HAProxy gives which: `chk_report_conn_err()` in its `src/check.c` for connections, `src/tcpcheck.c` for answers,
//! `src/extcheck.c` for commands, `__health_adjust()` for `observe`. A rule of `tcp-check expect` may choose another one.
//! The check may use another port than the traffic, so the server's address only says whose check it is.

use crate::event::{Check, Event, Kind};
use crate::format::span;

/// For one server: whose check has found what, and where to look.
pub fn of_one(event: &Event) -> Option<String> {
    match event.kind {
        Kind::Down | Kind::Nolb | Kind::Check => {}
        Kind::BackendDown => {
            return Some("New requests to it fail until one of its servers is back.".into());
        }
        Kind::Drain => {
            return Some("The server gets no new clients, only those that are bound to it.".into());
        }
        Kind::Maint => {
            return Some(
                "The server gets no traffic and is not checked until its maintenance is over.".into(),
            );
        }
        Kind::Up | Kind::Ready | Kind::BackendUp | Kind::Gone => return None,
    }
    match (&event.check, &event.via) {
        (Some(check), _) => {
            let (found, look) = meaning(check)?;
            let server = if event.address.is_empty() { "this server" } else { &event.address };
            let within = match check.duration.filter(|_| check.status.ends_with("TOUT")) {
                Some(time) => format!(" within {}", span(time)),
                None => String::new(),
            };
            let said = words_of(check);
            Some(format!("The {} of {server} {found}{within}{said}. {look}", which(check)))
        }
        (None, Some(via)) => {
            Some(format!("The server has no check of its own: it follows {via}. Look there."))
        }
        (None, None) => None,
    }
}

/// The same for servers whose checks have the result of this one in common.
pub fn of_many(event: &Event) -> Option<String> {
    let check = event.check.as_ref().filter(|_| matches!(event.kind, Kind::Down | Kind::Nolb))?;
    let (found, look) = meaning(check)?;
    let in_time = if check.status.ends_with("TOUT") { " in time" } else { "" };
    Some(format!("The {}s {found}{in_time}. {look}", which(check)))
}

/// `check` or `agent`
pub fn which(check: &Check) -> &'static str {
    if check.is_agent { "agent" } else { "check" }
}

/// What the server or the system said, if that is in the check: `: 503 "Service Unavailable"`.
fn words_of(check: &Check) -> String {
    let code = check.code.map(|code| code.to_string());
    let info = (!check.info.is_empty()).then(|| format!("\"{}\"", check.info));
    let said: Vec<String> = code.into_iter().chain(info).collect();
    if said.is_empty() { String::new() } else { format!(": {}", said.join(" ")) }
}

/// What was found, behind "the check", and where to look.
fn meaning(check: &Check) -> Option<(&'static str, &'static str)> {
    if check.is_agent {
        // HAProxy takes no server down because its agent does not answer.
        return Some((
            "asked for this itself",
            "Look at what the agent on the server watches, and at who operates it.",
        ));
    }
    let refused = check.info.contains("refused");
    Some(match check.status.as_str() {
        "L4TOUT" => (
            "could not connect: nothing answered",
            "Look whether the host is up and can be reached, and at the firewalls on the way.",
        ),
        "L4CON" if refused => (
            "was refused a connection",
            "The host is up. Look whether the service runs and listens on that port.",
        ),
        "L4CON" => (
            "could not connect",
            "Look whether the host can be reached, and whether the service runs and listens on that port.",
        ),
        "L6TOUT" => (
            "could connect, but the TLS handshake was not finished",
            "Look whether the service is overloaded or hangs, and whether it speaks TLS on that port.",
        ),
        "L6RSP" => (
            "could connect, but the TLS handshake failed",
            "Look at the server's certificate and TLS versions, and whether it speaks TLS on that port.",
        ),
        "L7TOUT" => (
            "could connect, but got no complete answer",
            "Look whether the service is overloaded, hangs, or waits for something else, such as its database.",
        ),
        "L7RSP" => (
            "could connect, but the answer was not what it expects, or broke off",
            "Look at the service's log, and whether it is the right service on that port.",
        ),
        "L7STS" => ("got an answer that means failure", "Look at the service's log."),
        "L7OKC" => (
            "got the answer that means: no new clients",
            "Somebody or something is taking this server out of service.",
        ),
        "PROCERR" => ("command failed", "Run the command by hand, as HAProxy's user."),
        "PROCTOUT" => {
            ("command had to be ended: it was not finished", "Run the command by hand, as HAProxy's user.")
        }
        "SOCKERR" => (
            "failed in the middle of its connection, or could not begin one",
            "Look at HAProxy's log and limits, at the port of the check, and at the service's log.",
        ),
        "HANA" => (
            "did not fail, but too many requests of clients did",
            "HAProxy observes the traffic here (\"observe\"). Look at the service's log.",
        ),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::sample;
    use std::time::Duration;

    fn check(status: &str) -> Check {
        Check { status: status.into(), duration: Some(Duration::from_millis(2001)), ..Check::default() }
    }

    fn down(check: Check) -> Event {
        Event { address: "10.0.0.7:8080".into(), check: Some(check), ..sample() }
    }

    #[test]
    fn every_failure_of_haproxys_table_is_explained_and_no_success() {
        // check_statuses in src/check.c
        for status in
            "HANA SOCKERR L4TOUT L4CON L6TOUT L6RSP L7TOUT L7RSP L7OKC L7STS PROCERR PROCTOUT".split(' ')
        {
            assert!(of_one(&down(check(status))).is_some(), "{status}");
            assert!(of_many(&down(check(status))).is_some(), "{status}");
        }
        for status in ["UNK", "INI", "CHECKED", "L4OK", "L6OK", "L7OK", "PROCOK", "of the future"] {
            assert_eq!(of_one(&down(check(status))), None, "{status}");
        }
    }

    #[test]
    fn it_says_whose_check_and_for_how_long() {
        assert_eq!(
            of_one(&down(check("L4TOUT"))).as_deref(),
            Some(
                "The check of 10.0.0.7:8080 could not connect: nothing answered within 2 s. Look whether the host is up and \
                 can be reached, and at the firewalls on the way."
            )
        );
        let info = "Service <b>".to_owned();
        let said = of_one(&down(Check { code: Some(503), info, ..check("L7STS") })).expect("advice");
        assert!(said.starts_with(
            "The check of 10.0.0.7:8080 got an answer that means failure: 503 \"Service <b>\"."
        ));
    }

    #[test]
    fn what_is_better_needs_no_advice() {
        assert_eq!(of_one(&Event { kind: Kind::Up, ..down(check("L4TOUT")) }), None);
        assert_eq!(of_many(&Event { kind: Kind::Up, ..down(check("L4TOUT")) }), None);
        let follower = Event { check: None, via: Some("web/s1".into()), ..down(check("")) };
        assert_eq!(
            of_one(&follower).as_deref(),
            Some("The server has no check of its own: it follows web/s1. Look there.")
        );
    }
}
