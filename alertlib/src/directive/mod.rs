// SPDX-License-Identifier: MIT OR Apache-2.0
//! Parses the `email_alert` lines of HAProxy's `global` section into [`Settings`].
//!
//! The syntax has HAProxy's style: positional words, then keyword options. HAProxy has split the line into words, removed quotes
//! and expanded variables. Every error names the wrong word and the expected one, in one line without a line end; HAProxy
//! puts file and line before it.

mod line;
mod relay;
mod route;
mod single;
mod table;
mod value;

pub use table::{DIRECTIVES, DOCUMENTATION, Directive};
pub use value::duration;

use crate::settings::Settings;
use crate::text::visible;
use line::{Line, did_you_mean};

/// Adds one directive to `settings`. `words[0]` is the keyword.
///
/// # Errors
///
/// For the administrator: the fault of the directive. `settings` is then unchanged.
pub fn parse(settings: &mut Settings, words: &[&str]) -> Result<(), String> {
    let (&keyword, rest) = words.split_first().ok_or("no directive given")?;
    let Some(directive) = DIRECTIVES.iter().find(|other| other.keyword.to_bytes() == keyword.as_bytes())
    else {
        let known: Vec<&str> = DIRECTIVES.iter().filter_map(|other| other.keyword.to_str().ok()).collect();
        return Err(format!("unknown directive '{}'{}", visible(keyword), did_you_mean(keyword, &known)));
    };
    (directive.parse)(settings, Line { keyword, usage: directive.usage, rest })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::{Kind, Kinds, Level};
    use crate::settings::*;
    use std::time::Duration;

    fn parsed(line: &str) -> Result<Settings, String> {
        let mut settings = Settings::default();
        parse(&mut settings, &line.split(' ').collect::<Vec<_>>())?;
        Ok(settings)
    }

    /// Resolves the configuration of these lines on the machine `lb1`.
    fn resolved(lines: &[&str]) -> Result<Config, String> {
        let mut settings = Settings::default();
        for line in lines {
            parse(&mut settings, &line.split(' ').collect::<Vec<_>>())?;
        }
        settings.resolve("lb1")
    }

    #[test]
    fn one_recipient_is_a_complete_configuration() {
        let config = resolved(&["email_alert ops@example.com"]).expect("good");
        assert_eq!(config.routes[0].to[0].address.to_string(), "ops@example.com");
        assert_eq!(config.routes[0].from.to_string(), "haproxy@lb1");
        assert_eq!(config.routes[0].kinds, Kinds::usual());
        assert_eq!(config.relays[0].kind, RelayKind::Smtp(Smtp::plain("localhost", 25)));
    }

    #[test]
    fn local_names_get_the_host_except_for_commands() {
        let config = resolved(&["email_alert root,ops@example.com pager"]).expect("good");
        let route = &config.routes[0];
        assert_eq!(route.to[0].address.to_string(), "root@lb1");
        assert_eq!(route.to[0].for_command(), "root");
        assert_eq!(route.to[1].for_command(), "ops@example.com");
        assert_eq!(route.from.to_string(), "pager@lb1");
    }

    #[test]
    fn a_repeated_recipient_is_kept_once() {
        let settings = parsed("email_alert a@example.com,b@example.com,a@example.com").expect("good");
        assert_eq!(settings.routes[0].to.len(), 2);
    }

    #[test]
    fn a_machine_name_that_is_not_a_domain_is_an_error() {
        let error = parsed("email_alert root").and_then(|s| s.resolve("bad name")).expect_err("bad");
        assert!(error.contains("'bad name'") && error.contains("email_alert.host-name"), "{error}");
    }

    #[test]
    fn relays_without_a_route_are_an_error() {
        let error = resolved(&["email_alert.relay mx localhost"]).expect_err("bad");
        assert!(error.contains("no 'email_alert <to>' line"), "{error}");
    }

    #[test]
    fn relay_hosts_are_names_or_addresses_with_an_optional_port() {
        for (place, host, port) in [
            ("localhost", "localhost", 25),
            ("127.0.0.1:2525", "127.0.0.1", 2525),
            ("[::1]", "::1", 25),
            ("[::1]:587", "::1", 587),
            ("::1", "::1", 25),
        ] {
            let settings = parsed(&format!("email_alert.relay mx {place}")).expect(place);
            assert_eq!(settings.relays[0].kind, RelayKind::Smtp(Smtp::plain(host, port)), "{place}");
        }
    }

    #[test]
    fn the_default_port_follows_the_encryption() {
        for (words, port) in [("", 25), (" starttls", 587), (" tls", 465), (" insecure-plaintext", 25)] {
            let settings = parsed(&format!("email_alert.relay mx localhost{words}")).expect(words);
            let RelayKind::Smtp(smtp) = &settings.relays[0].kind else { panic!("{words}") };
            assert_eq!(smtp.port, port, "{words}");
        }
        let settings =
            parsed("email_alert.relay mx mx1.example.com:25 starttls sni mx.example.com").expect("good");
        let RelayKind::Smtp(smtp) = &settings.relays[0].kind else { panic!("not SMTP") };
        let name = Some("mx.example.com".into());
        let tls = Tls { is_starttls: true, trust: Trust::System, identity: None, name };
        assert_eq!((smtp.port, &smtp.tls), (25, &Some(tls)));
    }

    #[test]
    fn international_domains_are_converted_to_ascii() {
        let settings =
            parsed("email_alert ops@müller.example,jörg@example.com bot@müller.example").expect("good");
        let addresses: Vec<String> = settings.routes[0]
            .to
            .iter()
            .chain(&settings.routes[0].from)
            .map(|name| match name {
                WrittenAddress::Address(address) => address.to_string(),
                WrittenAddress::Local(user) => user.clone(),
            })
            .collect();
        let ascii = ["ops@xn--mller-kva.example", "jörg@example.com", "bot@xn--mller-kva.example"];
        assert_eq!(addresses, ascii);
        parsed("email_alert ops@example.com jörg@example.com").expect_err("a sender in every header");
        let settings = parsed("email_alert.relay mx smtp.müller.example tls").expect("good");
        let RelayKind::Smtp(smtp) = &settings.relays[0].kind else { panic!("not SMTP") };
        assert_eq!(smtp.host, "smtp.xn--mller-kva.example");
    }

    #[test]
    fn times_accept_haproxys_units() {
        for (word, time) in
            [("1500", 1_500), ("1500ms", 1_500), ("2s", 2_000), ("1m", 60_000), ("1h", 3_600_000)]
        {
            let settings = parsed(&format!("email_alert.relay mx localhost timeout {word}")).expect(word);
            assert_eq!(settings.relays[0].timeout, Duration::from_millis(time), "{word}");
        }
        for word in ["", "s", "-1", "1w", "1.5s", "99999999999999999999d", "18446744073709551615d"] {
            assert!(duration(word).is_err(), "{word}");
        }
    }

    #[test]
    fn routes_can_be_limited_to_servers_kinds_and_levels() {
        let line = "email_alert ops@example.com lb@example.com level alert for web,api/s* events down,up";
        let config = resolved(&[line]).expect("good");
        let route = &config.routes[0];
        let targets: Vec<String> = route.targets.iter().map(ToString::to_string).collect();
        assert_eq!((targets, route.level), (vec!["web".into(), "api/s*".into()], Level::Alert));
        assert_eq!(route.kinds, [Kind::Down, Kind::Up].into_iter().collect());
        for (line, part) in [
            ("email_alert ops@example.com for a,,b", "'' is not <proxy>"),
            ("email_alert ops@example.com for a/b/c", "'a/b/c' is not <proxy>"),
            ("email_alert ops@example.com level loud", "emerg alert crit err warning notice info debug"),
            ("email_alert ops@example.com for a for b", "'for' is given twice"),
        ] {
            let error = parsed(line).expect_err(line);
            assert!(error.contains(part), "{error}");
        }
    }

    #[test]
    fn digest_flap_and_remind_have_defaults_and_can_be_switched_off() {
        let policy = |line: &str| {
            let lines = ["email_alert ops@example.com", line];
            resolved(if line.is_empty() { &lines[..1] } else { &lines }).map(|config| config.policy)
        };
        let default = Policy { digest: Some(DIGEST), flap: Some(FLAP), remind: Some(REMIND) };
        let seconds = |count| Some(Duration::from_secs(count));
        for (line, expected) in [
            ("", default),
            ("email_alert.digest off", Policy { digest: None, ..default }),
            ("email_alert.digest 30s", Policy { digest: seconds(30), ..default }),
            ("email_alert.flap off", Policy { flap: None, ..default }),
            (
                "email_alert.flap 4/1m",
                Policy { flap: Some(Flap { changes: 4, time: Duration::from_secs(60) }), ..default },
            ),
            ("email_alert.remind off", Policy { remind: None, ..default }),
            ("email_alert.remind 1h", Policy { remind: seconds(3600), ..default }),
        ] {
            assert_eq!(policy(line), Ok(expected), "{line}");
        }
        for (line, part) in [
            ("email_alert.digest", "expects a time"),
            ("email_alert.digest 5s 6s", "unknown word '6s'"),
            ("email_alert.digest 5w", "'5w' has a unit other than"),
            ("email_alert.digest 2h", "expected 100ms to 1h"),
            ("email_alert.flap 6", "'6' has no '/'"),
            ("email_alert.flap 2/1m", "expected 3 to 100"),
            ("email_alert.flap x/1m", "does not begin with a number"),
            ("email_alert.flap 6/2d", "expected 1s to 1d"),
            ("email_alert.flap 6/1w", "has a unit other than"),
            ("email_alert.remind 1s", "expected 1m to 30d"),
        ] {
            let error = policy(line).expect_err(line);
            assert!(error.contains(part), "{error}");
        }
    }

    #[test]
    fn the_default_queue_is_larger_with_a_spool() {
        let queue = |lines: &[&str]| {
            resolved(&[&["email_alert ops@example.com"], lines].concat()).map(|config| config.queue)
        };
        for (lines, expected) in [
            (&[] as &[&str], QUEUE),
            (&["email_alert.spool /tmp"], SPOOLED_QUEUE),
            (&["email_alert.queue 64"], 64),
            (&["email_alert.queue 1048576", "email_alert.spool /tmp"], 1 << 20),
        ] {
            assert_eq!(queue(lines), Ok(expected), "{lines:?}");
        }
        for (line, part) in [
            ("email_alert.queue", "expects a number of events"),
            ("email_alert.queue 63", "expected 64 to 1048576"),
            ("email_alert.queue 1048577", "expected 64 to 1048576"),
            ("email_alert.queue 4k", "'4k' is not a number of events"),
            ("email_alert.queue 64 65", "unknown word '65'"),
        ] {
            let error = queue(&[line]).expect_err(line);
            assert!(error.contains(part), "{error}");
        }
    }

    #[test]
    fn a_failed_directive_changes_nothing() {
        let mut settings = parsed("email_alert.relay mx localhost").expect("good");
        let before = settings.clone();
        for line in
            ["email_alert.relay mx localhost", "email_alert ops@", "email_alert.relay b localhost timeout"]
        {
            parse(&mut settings, &line.split(' ').collect::<Vec<_>>()).expect_err(line);
            assert_eq!(settings, before);
        }
    }

    #[test]
    fn misspelled_words_get_a_suggestion() {
        for (line, meant) in [
            ("email_alert ops@example.com evnts down", "events"),
            ("email_alert ops@example.com events donw", "down"),
            ("email_alert ops@example.com level notce", "notice"),
            ("email_alert ops@example.com lvel notice", "level"),
            ("email_alert.digets 5s", "email_alert.digest"),
            ("email_alert ops@example.com events down,backend-dwon", "backend-down"),
            ("email_alert.relay mx localhost timout 5s", "timeout"),
            ("email_alert.relay mx 192.0.2.1 insecure-plantext", "insecure-plaintext"),
            ("email_alert.relay mx localhost startls", "starttls"),
        ] {
            let error = parsed(line).expect_err(line);
            assert!(error.contains(&format!("did you mean '{meant}'?")), "{error}");
        }
    }
}
