// SPDX-License-Identifier: MIT OR Apache-2.0
//! Hints: meaning of HAProxy's check results, and where to look. Written for a reader who was just woken up.
//!
//! Sources of the results in HAProxy: `chk_report_conn_err()` in `src/check.c` for connections, `src/tcpcheck.c` for answers,
//! `src/extcheck.c` for commands, `__health_adjust()` for `observe`. A rule of `tcp-check expect` may choose another result.
//! The check may use another port than the traffic, so the server's address only tells which server was checked.

use crate::event::{Check, Event, Kind};
use crate::format::span;

/// Returns the hint for one target: what its state means, or the result of its check.
pub fn for_target(event: &Event) -> Option<String> {
    let hint = match event.kind {
        Kind::Down | Kind::Nolb | Kind::Check => return for_check(event),
        Kind::BackendDown => "New requests to it fail until one of its servers is back.",
        Kind::Drain => "The server gets no new clients, only those that are bound to it.",
        Kind::Maint => "The server gets no traffic and is not checked until its maintenance is over.",
        Kind::Up | Kind::Ready | Kind::BackendUp | Kind::Gone => return None,
    };
    Some(hint.to_owned())
}

/// Returns the checked server, the result of its check, and where to look.
fn for_check(event: &Event) -> Option<String> {
    let Some(check) = &event.check else {
        let via = event.via.as_ref()?;
        return Some(format!("The server has no check of its own: it follows {via}. Look there."));
    };
    let (found, look) = meaning(check)?;
    let server = if event.address.is_empty() { "this server" } else { &event.address };
    let within = match check.duration.filter(|_| check.status.ends_with("TOUT")) {
        Some(time) => format!(" within {}", span(time)),
        None => String::new(),
    };
    let response = response(check);
    Some(format!("The {} of {server} {found}{within}{response}. {look}", check_word(check)))
}

/// Returns the hint for several servers whose checks have the result of this event.
pub fn for_servers(event: &Event) -> Option<String> {
    let check = event.check.as_ref().filter(|_| matches!(event.kind, Kind::Down | Kind::Nolb))?;
    let (found, look) = meaning(check)?;
    let in_time = if check.status.ends_with("TOUT") { " in time" } else { "" };
    Some(format!("The {}s {found}{in_time}. {look}", check_word(check)))
}

/// Returns the word for the check: `check` or `agent`.
pub fn check_word(check: &Check) -> &'static str {
    if check.is_agent { "agent" } else { "check" }
}

/// Returns code and text of the server or the system: `: 503 "Service Unavailable"`; empty if the check has neither.
fn response(check: &Check) -> String {
    let code = check.code.map(|code| code.to_string());
    let info = (!check.info.is_empty()).then(|| format!("\"{}\"", check.info));
    let said: Vec<String> = code.into_iter().chain(info).collect();
    if said.is_empty() { String::new() } else { format!(": {}", said.join(" ")) }
}

/// Returns the meaning of a result, to be read behind "the check", and the hint where to look; `None`: not a failure.
fn meaning(check: &Check) -> Option<(&'static str, &'static str)> {
    if check.is_agent {
        // An agent that does not answer takes no server down: the agent asked for it.
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
    fn every_failed_status_has_a_hint_and_no_successful_one() {
        // See check_statuses in src/check.c.
        for status in
            "HANA SOCKERR L4TOUT L4CON L6TOUT L6RSP L7TOUT L7RSP L7OKC L7STS PROCERR PROCTOUT".split(' ')
        {
            assert!(for_target(&down(check(status))).is_some(), "{status}");
            assert!(for_servers(&down(check(status))).is_some(), "{status}");
        }
        for status in ["UNK", "INI", "CHECKED", "L4OK", "L6OK", "L7OK", "PROCOK", "of the future"] {
            assert_eq!(for_target(&down(check(status))), None, "{status}");
        }
    }

    #[test]
    fn hint_names_server_and_duration() {
        assert_eq!(
            for_target(&down(check("L4TOUT"))).as_deref(),
            Some(
                "The check of 10.0.0.7:8080 could not connect: nothing answered within 2 s. Look whether the host is up and \
                 can be reached, and at the firewalls on the way."
            )
        );
        let info = "Service <b>".to_owned();
        let said = for_target(&down(Check { code: Some(503), info, ..check("L7STS") })).expect("a hint");
        assert!(said.starts_with(
            "The check of 10.0.0.7:8080 got an answer that means failure: 503 \"Service <b>\"."
        ));
    }

    #[test]
    fn up_event_has_no_hint_and_tracking_server_refers_to_the_tracked_one() {
        assert_eq!(for_target(&Event { kind: Kind::Up, ..down(check("L4TOUT")) }), None);
        assert_eq!(for_servers(&Event { kind: Kind::Up, ..down(check("L4TOUT")) }), None);
        let follower = Event { check: None, via: Some("web/s1".into()), ..down(check("")) };
        assert_eq!(
            for_target(&follower).as_deref(),
            Some("The server has no check of its own: it follows web/s1. Look there.")
        );
    }
}
