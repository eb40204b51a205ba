// SPDX-License-Identifier: MIT OR Apache-2.0
//! `haproxy -c` says of each wrong line where it is, which word is wrong and what was expected, and does nothing else.

mod files;
mod spool;
mod wrong_lines;
mod wrong_relays;

use end_to_end::{Backend, FakeProgram, Judgement, Relay, Setup};

/// Slips of one delivery or word, and the word that was meant.
const SLIPS: &[(&str, &str)] = &[
    ("email_alrt ops@example.com", "email_alert"),
    ("email_alert.rely mx1 localhost", "email_alert.relay"),
    ("email_alert.hostname lb1", "email_alert.host-name"),
    ("email_alert ops@example.com event down", "events"),
    ("email_alert ops@example.com lb1@example.com eventss down", "events"),
    ("email_alert ops@example.com events dwn", "down"),
    ("email_alert ops@example.com events down,maintt", "maint"),
    ("email_alert ops@example.com events backend_down", "backend-down"),
    ("email_alert.relay mx1 localhost timeuot 1s", "timeout"),
    ("email_alert.relay mx1 mx.example.com insecure-plaintex", "insecure-plaintext"),
    ("email_alert.relay mx1 localhost startls", "starttls"),
    ("email_alert.relay mx1 localhost tls cafile /x", "ca-file"),
    ("email_alert.relay mx1 localhost pasword-file /x", "password-file"),
    ("email_alert.relay mx1 localhost oauth-tokenfile /x", "oauth-token-file"),
    ("email_alert.relay local sendmial", "sendmail"),
    ("email_alert.relay local sendmail /bin/true timeot 1s", "timeout"),
    ("email_alert.spol /", "email_alert.spool"),
    ("email_alert.rety 3d", "email_alert.retry"),
    ("email_alert.quue 64", "email_alert.queue"),
    ("email_alert.subjet x", "email_alert.subject"),
    ("email_alert.subject %[hots]", "host"),
    ("email_alert.stat-uri off", "email_alert.stats-uri"),
    ("email_alert.spool / maxsize 64m", "max-size"),
];

/// Lines that HAProxy takes.
const RIGHT: &[&str] = &[
    "email_alert ops@example.com",
    "email_alert root",
    "email_alert ops@example.com lb1@example.com",
    "email_alert ops@example.com,boss@example.org,root lb1@example.com events down,up",
    "email_alert ops@example.com events down,up,maint,ready,drain,nolb,backend-down,backend-up",
    "email_alert ops+haproxy@mail-1.example.com",
    "email_alert ops@example.com\n    email_alert.relay mx1 localhost",
    "email_alert ops@example.com\n    email_alert.relay mx1 127.0.0.1:2525 timeout 500ms",
    "email_alert ops@example.com\n    email_alert.relay mx1 [::1]:2525",
    "email_alert ops@example.com\n    email_alert.relay mx1 192.0.2.25 insecure-plaintext",
    "email_alert ops@example.com\n    email_alert.relay mx1 mail.example.com starttls",
    "email_alert ops@example.com\n    email_alert.relay mx1 mail.example.com tls sni mx.example.com helo lb1.example.com",
    "email_alert ops@example.com\n    email_alert.relay mx1 m\u{fc}ller.example tls",
    "email_alert j\u{f6}rg@example.com,ops@m\u{fc}ller.example bot@m\u{fc}ller.example",
    "email_alert ops@example.com\n    email_alert.relay mx1 localhost\n    email_alert.relay mx2 localhost:26",
    "email_alert ops@example.com\n    email_alert.host-name lb1.example.com",
    "email_alert ops@example.com\n    email_alert.relay files file \"${TEST_DIRECTORY}/jail\"",
    "email_alert ops@example.com\n    email_alert.spool \"${TEST_DIRECTORY}/jail\"",
    "email_alert ops@example.com\n    email_alert.spool \"${TEST_DIRECTORY}/jail\" max-size 64k",
    "email_alert ops@example.com\n    email_alert.spool \"${TEST_DIRECTORY}/jail\" max-size 65536",
    "email_alert ops@example.com\n    email_alert.spool \"${TEST_DIRECTORY}/jail\" max-size 2G",
    "email_alert ops@example.com\n    email_alert.retry 1s",
    "email_alert ops@example.com\n    email_alert.queue 64",
    "email_alert ops@example.com\n    email_alert.queue 1048576",
    "email_alert ops@example.com\n    email_alert.subject \"[%[state]] %[topic] on %[host]\"",
    "email_alert ops@example.com\n    email_alert.subject 100%%:%[changes]",
    "email_alert ops@example.com\n    email_alert.retry 30d",
    "email_alert ops@example.com\n    email_alert.stats-uri off",
    "email_alert ops@example.com\n    email_alert.stats-uri https://[2001:db8::1]/haproxy?stats;norefresh",
    "email_alert ops@example.com\n    email_alert.retry 10m\n    email_alert.spool \"${TEST_DIRECTORY}/jail\"",
];

fn judge(line: &str) -> Judgement {
    Setup::without_alerts().frontend("servers").global(line).backend("servers", &[]).judge()
}

/// Returns the rule that HAProxy's reaction to a wrong configuration breaks, or `None`.
fn side_effect_of(judgement: &Judgement) -> Option<String> {
    if !judgement.files_made.is_empty() {
        return Some(format!("files were made: {:?}", judgement.files_made));
    }
    (!judgement.processes_left.is_empty())
        .then(|| format!("processes are left: {:?}", judgement.processes_left))
}

#[test]
fn each_wrong_configuration_is_refused_with_its_message() {
    let mut faults = String::new();
    let wrong = [wrong_lines::ALERT, wrong_lines::OTHERS, wrong_relays::RELAY].concat();
    for (directive, message) in &wrong {
        let judgement = judge(directive);
        let last_line = directive.lines().last().expect("a line");
        let expected =
            format!("parsing [{}:{}] : {message}\n", judgement.file, judgement.line_number_of(last_line));
        let fault = match side_effect_of(&judgement) {
            Some(effect) => effect,
            // From 3.3 on, HAProxy itself refuses an empty word.
            None if directive.contains("\"\"")
                && judgement.output.contains(" is empty and marks the end of ") =>
            {
                continue;
            }
            None if judgement.status != Some(1) => format!("the exit status is {:?}", judgement.status),
            None if !judgement.output.contains(&expected) => {
                format!("expected {expected}  got {}", judgement.output)
            }
            None => continue,
        };
        faults += &format!("{directive:?}: {fault}\n");
    }
    assert!(wrong.len() >= 40);
    assert!(faults.is_empty(), "\n{faults}");
}

#[test]
fn a_slip_gets_the_word_that_was_meant() {
    let mut faults = String::new();
    for (directive, meant) in SLIPS {
        let judgement = judge(directive);
        let is_suggested = judgement.output.contains(&format!("did you mean '{meant}'"));
        if judgement.status != Some(1) || !is_suggested {
            faults += &format!("{directive:?}: {}\n", judgement.output);
        }
    }
    assert!(faults.is_empty(), "\n{faults}");
}

#[test]
fn a_kind_without_the_word_events_is_not_taken_for_a_sender() {
    for kind in ["down", "up", "down,up", "backend-down"] {
        let judgement = judge(&format!("email_alert ops@example.com {kind}"));
        assert_eq!(judgement.status, Some(1), "{kind}: {}", judgement.output);
        assert!(judgement.output.contains("'events'"), "{kind}: {}", judgement.output);
    }
}

#[test]
fn relays_without_a_recipient_are_an_error() {
    let judgement = judge("email_alert.relay mx1 localhost");
    assert_eq!(judgement.status, Some(1), "{}", judgement.output);
    let message = "email_alert: there are 'email_alert.*' lines but no 'email_alert <to>' line: nobody would get a mail; \
                   add one, such as: email_alert ops@example.com\n";
    assert!(judgement.output.contains(message), "{}", judgement.output);
}

#[test]
fn all_errors_are_told_at_once() {
    let judgement = judge("email_alert\n    email_alert.relay mx1\n    email_alert.host-name");
    assert_eq!(judgement.status, Some(1));
    assert_eq!(judgement.output.matches("] : 'email_alert").count(), 3, "{}", judgement.output);
}

#[test]
fn single_checks_are_not_to_be_had_without_the_option_that_logs_them() {
    let setup = || Setup::without_alerts().global("email_alert ops@example.com events check");
    let with = setup().backend("servers", &["option log-health-checks"]).judge();
    assert_eq!((with.status, with.is_silent()), (Some(0), true), "{}", with.output);
    let without = setup().backend("servers", &[]).judge();
    assert_eq!(without.status, Some(0), "{}", without.output);
    let warning = "email_alert: no proxy has \"option log-health-checks\", which kind 'check' needs.";
    assert!(without.output.contains(warning), "{}", without.output);
}

#[test]
fn right_configurations_are_taken_in_silence_and_do_nothing() {
    for directive in RIGHT {
        let judgement = judge(directive);
        assert_eq!(judgement.status, Some(0), "{directive}: {}", judgement.output);
        assert!(judgement.is_silent(), "{directive}: {}", judgement.output);
        assert_eq!(side_effect_of(&judgement), None, "{directive}");
    }
}

#[test]
fn checking_a_configuration_sends_nothing_and_starts_nothing() {
    let (relay, program, backend) = (Relay::start(), FakeProgram::that_succeeds("sendmail"), Backend::tcp());
    backend.goes_down();
    let judgement = Setup::mailing_through(&relay)
        .global(&format!("email_alert.relay local sendmail {}", program.path().display()))
        .frontend("servers")
        .backend("servers", &[&format!("server server1 {} check", backend.address())])
        .jailed()
        .judge();
    assert_eq!(judgement.status, Some(0), "{}", judgement.output);
    assert_eq!(side_effect_of(&judgement), None);
    assert!(relay.sessions().is_empty());
    assert!(program.calls().is_empty());
}

#[test]
fn a_directive_outside_global_is_refused() {
    for section in ["defaults", "frontend other", "backend other"] {
        let directive = "email_alert ops@example.com";
        let setup = Setup::without_alerts().frontend("servers").backend("servers", &[]);
        let judgement = setup.section(section, &[directive]).judge();
        assert_eq!(judgement.status, Some(1), "{section}: {}", judgement.output);
        let place = format!("parsing [{}:{}]", judgement.file, judgement.line_number_of(directive));
        assert!(judgement.output.contains(&place), "{}", judgement.output);
    }
}
