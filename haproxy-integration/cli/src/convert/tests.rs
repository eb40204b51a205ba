// SPDX-License-Identifier: MIT OR Apache-2.0
//! Configurations, and what becomes of them.

use super::*;

const SECTION: &str = "mailers mta\n  mailer mx 127.0.0.1:25\n";

fn converted(text: &str) -> Result<String, String> {
    let mut configuration = Configuration::default();
    configuration.read("haproxy.cfg", text)?;
    convert(&configuration).map(|(text, _)| text)
}

/// The lines that are no comments, without `global`.
#[track_caller]
fn lines(text: &str) -> Vec<String> {
    let output = converted(text).unwrap_or_else(|why| panic!("{text}: {why}"));
    let lines = output.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
    let lines: Vec<String> = lines.map(str::to_owned).collect();
    assert_eq!(lines[0], "global");
    lines[1..].to_owned()
}

/// The `email_alert` lines of proxies that share `SECTION`.
#[track_caller]
fn routes(text: &str) -> Vec<String> {
    let mut lines = lines(&format!("{SECTION}{text}"));
    assert_eq!(lines.pop().as_deref(), Some("email_alert.relay mx 127.0.0.1:25"));
    lines
}

/// The `email_alert.relay` lines of a backend with the section `mta`.
#[track_caller]
fn relays(text: &str) -> Vec<String> {
    let backend =
        "backend web\n email-alert mailers mta\n email-alert from a@b.example\n email-alert to c@d.example\n";
    lines(&format!("{text}\n{backend}")).split_off(1)
}

#[test]
fn the_whole_page() {
    let text = "\
defaults
  email-alert mailers mta
  email-alert from lb1@example.com
  email-alert to ops@example.com # the team
mailers mta
  timeout mail 20s
  mailer mx1 192.0.2.25:25
  mailer mx2 127.0.0.1:25
frontend www
  email-alert level info
backend web
backend api
  email-alert level notice
";
    let expected = r#"# Put the following into "global", or give it to HAProxy as one more file.
# Delete the lines that are marked "was".
global
    # was haproxy.cfg:2: email-alert mailers mta
    # was haproxy.cfg:3: email-alert from lb1@example.com
    # was haproxy.cfg:4: email-alert to ops@example.com # the team
    # HAProxy's mailers told at this level (their default) that a server went down, not that it came back: "level notice" tells both.
    email_alert ops@example.com lb1@example.com for web level alert

    # was haproxy.cfg:13: email-alert level notice
    email_alert ops@example.com lb1@example.com for api level notice

    # New mails: that a backend has lost its last server (not with "events down,up,drain" in the line above), and what is still
    # down after hours (not with a line "email_alert.remind off").

    # was haproxy.cfg:5: mailers mta
    # was haproxy.cfg:6: timeout mail 20s
    # was haproxy.cfg:7: mailer mx1 192.0.2.25:25
    # Unencrypted, as it was. If the relay has STARTTLS, write "starttls" instead of "insecure-plaintext".
    email_alert.relay mx1 192.0.2.25:25 insecure-plaintext timeout 20s
    # was haproxy.cfg:8: mailer mx2 127.0.0.1:25
    email_alert.relay mx2 127.0.0.1:25 timeout 20s
    # HAProxy's mailers sent a copy through each mailer. Now there is one copy, through the first relay that takes it.

    # Not needed any more:
    # was haproxy.cfg:10: email-alert level info
"#;
    assert_eq!(converted(text).expect("good"), expected);
}

#[test]
fn proxies_inherit_as_in_haproxy() {
    let alerts = "email-alert mailers mta\n email-alert from a@b.example\n email-alert to c@d.example";
    let line = "email_alert c@d.example a@b.example";
    for (text, expected) in [
        // The last section before is inherited, whether it has a name or not.
        (format!("defaults\n {alerts}\nbackend web\ndefaults\nbackend api"), "for web level alert"),
        (format!("defaults a\n {alerts}\nbackend web\ndefaults b\nbackend api"), "for web level alert"),
        (
            format!("defaults a\n {alerts}\ndefaults b\nbackend web\nbackend api from a"),
            "for api level alert",
        ),
        (
            format!(
                "defaults a\n {alerts}\ndefaults b from a\n email-alert level err\nbackend web\ndefaults\nlisten x"
            ),
            "for web level err",
        ),
        (format!("defaults a\n {alerts}\ndefaults from a\nbackend web\nbackend api from a"), "level alert"),
        // Of two with one name, it is the later one.
        (
            format!("defaults a\ndefaults a\n {alerts}\nbackend web from a\ndefaults\nlisten x"),
            "for web level alert",
        ),
        // A proxy's own lines come in addition, and the last of a kind counts.
        (
            format!(
                "defaults\n {alerts}\n email-alert level info\n email-alert level crit\nlisten web\nfrontend f"
            ),
            "level crit",
        ),
        (
            format!("defaults\n {alerts}\nbackend web\n email-alert level err\n email-alert level crit\n"),
            "for web level crit",
        ),
        // Other sections between have nothing to do with it.
        (
            format!("backend web\n {alerts}\npeers p\n email-alert to nobody\nbackend api"),
            "for web level alert",
        ),
        (format!("backend web\n {alerts}\nlisten api\n {alerts}\n"), "for web,api level alert"),
    ] {
        assert_eq!(routes(&text), [format!("{line} {expected}")], "{text}");
    }
}

#[test]
fn several_files_are_one_configuration() {
    let mut configuration = Configuration::default();
    let defaults =
        "defaults\n email-alert mailers mta\n email-alert from a@b.example\n email-alert to c@d.example";
    for (file, text) in
        [("1.cfg", defaults), ("2.cfg", "email-alert to nobody\nbackend web"), ("3.cfg", SECTION)]
    {
        configuration.read(file, text).expect("good");
    }
    let (output, _) = convert(&configuration).expect("good");
    assert!(output.contains("# was 1.cfg:4: email-alert to c@d.example\n"), "{output}");
    assert!(output.contains("# was 3.cfg:2: mailer mx 127.0.0.1:25\n"), "{output}");
    assert!(!output.contains("nobody"), "{output}");
}

#[test]
fn levels_are_kept_and_explained() {
    for (level, part) in [
        ("emerg", "never sent anything"),
        ("err", "not that it came back"),
        ("notice", "email_alert c@d.example"),
        ("info", "told each check"),
    ] {
        let alerts = "email-alert mailers mta\n email-alert from a@b.example\n email-alert to c@d.example\n email-alert level";
        let output = converted(&format!("{SECTION}backend web\n {alerts} {level}")).expect(level);
        assert!(output.contains(part), "{output}");
        assert!(
            output.contains(&format!("\n    email_alert c@d.example a@b.example for web level {level}\n")),
            "{output}"
        );
        assert_eq!(output.contains("not that it came back"), level == "err", "{output}");
        assert!(!output.contains("default"), "{output}");
    }
}

#[test]
fn at_the_level_of_checks_it_is_said_how_to_have_them() {
    let alerts = "email-alert mailers mta\n email-alert from a@b.example\n email-alert to c@d.example\n email-alert level";
    let said = "\"events down,up,drain,check\" in the line below does, too.\n    email_alert c@d.example a@b.example for web level";
    for level in ["notice", "info", "debug"] {
        let output = converted(&format!("{SECTION}backend web\n {alerts} {level}")).expect(level);
        assert_eq!(output.contains(&format!("{said} {level}\n")), level != "notice", "{output}");
    }
}

#[test]
fn addresses_of_mailers_become_places_of_relays() {
    for (address, expected) in [
        ("127.0.0.1:25", "127.0.0.1:25"),
        ("ipv4@127.0.0.1:25", "127.0.0.1:25"),
        ("::1:25", "[::1]:25"),
        ("ipv6@::1:25", "[::1]:25"),
        ("[::1]:25", "[::1]:25"),
        ("localhost:2525", "localhost:2525"),
        ("smtp.example.com:587", "smtp.example.com:587 insecure-plaintext"),
        ("\"${RELAY}\"", "\"${RELAY}\" insecure-plaintext"),
        ("\"localhost:$PORT\"", "\"localhost:$PORT\""),
        (
            "127.0.0.1:25\n mailer mx 127.0.0.2:25\n mailer \"$A\" 127.0.0.3:25\n mailer \"$B\" 127.0.0.4:25",
            "127.0.0.1:25",
        ),
    ] {
        let relays = relays(&format!("mailers mta\n mailer mx {address}"));
        assert_eq!(relays[0], format!("email_alert.relay mx {expected}"));
        let others = ["mta.mx 127.0.0.2:25", "\"$A\" 127.0.0.3:25", "\"mta.$B\" 127.0.0.4:25"];
        let others = others.map(|other| format!("email_alert.relay {other}"));
        assert!(relays.len() == 1 || relays[1..] == others, "{relays:?}");
    }
}

#[test]
fn mailers_of_several_sections_become_relays_in_their_order() {
    let text = "\
mailers unused
 mailer x 127.0.0.9:25
mailers mta
 mailer mx 127.0.0.1:25
 timeout mail 1s
 timeout mail 2s
mailers other
 mailer mx 127.0.0.2:25
 mailer again 127.0.0.1:25
backend api
 email-alert mailers other
 email-alert from a@b.example
 email-alert to c@d.example
";
    let expected =
        ["email_alert.relay mx 127.0.0.1:25 timeout 2s", "email_alert.relay other.mx 127.0.0.2:25"];
    assert_eq!(relays(text), expected);
    let backend =
        "backend web\n email-alert mailers mta\n email-alert from a@b.example\n email-alert to c@d.example\n";
    let output = converted(&format!("{text}{backend}")).expect("good");
    for part in [
        "# The same relay as above.\n",
        "# The relays are for all mails, whatever section they were in.\n",
        "# Not needed any more:\n    # was haproxy.cfg:1: mailers unused\n    # was haproxy.cfg:2: mailer x 127.0.0.9:25\n",
    ] {
        assert!(output.contains(part), "{output}");
    }
}

#[test]
fn one_host_name_is_kept() {
    let alerts = "email-alert mailers mta\n email-alert from a@b.example\n email-alert to c@d.example";
    let text = format!("defaults\n {alerts}\n email-alert myhostname lb1\nbackend web\nbackend api\n");
    assert_eq!(routes(&text)[0], "email_alert.host-name lb1");
    for other in [" email-alert myhostname lb2", &format!("defaults\nbackend x\n {alerts}")] {
        let output = converted(&format!("{SECTION}{text}{other}")).expect("good");
        assert!(!output.contains("email_alert.host-name lb1"), "{output}");
        assert!(output.contains("# There is one name for this machine now"), "{output}");
    }
}

#[test]
fn variables_stay_and_words_keep_their_quotes() {
    let text = "backend web\n email-alert mailers \"mta\"\n email-alert from 'a@b.example'\n email-alert level \"$LEVEL\"\n \
                email-alert to \"ops@${DOMAIN-example.com}\"";
    assert_eq!(
        routes(text),
        ["email_alert \"ops@${DOMAIN-example.com}\" a@b.example for web level \"$LEVEL\""]
    );
}

#[test]
fn what_the_library_refuses_is_a_comment_with_the_reason() {
    let text = "backend web\n email-alert mailers mta\n email-alert from a@b.example\n email-alert to <c@d.example>\nbackend api\n \
                email-alert mailers mta\n email-alert from a@b.example\n email-alert to c@d.example\n";
    let mut configuration = Configuration::default();
    configuration.read("haproxy.cfg", &format!("mailers mta\n mailer mx bad_:port:0\n{text}")).expect("good");
    let (output, refused) = convert(&configuration).expect("half of it");
    assert_eq!(refused, 2);
    for part in [
        "# NOT CONVERTED, to be done by hand: 'email_alert' recipient '<c@d.example>' has the character '<'; ",
        "# email_alert <c@d.example> a@b.example for web level alert\n",
        "# NOT CONVERTED, to be done by hand: 'email_alert.relay' ",
        "# Without a relay, mails go through localhost:25",
    ] {
        assert!(output.contains(part), "{part}\n{output}");
    }
    assert_eq!(output.lines().filter(|line| line.starts_with("    email_alert")).count(), 1, "{output}");
}

#[test]
fn what_cannot_be_known_is_said() {
    let text = "global\n email_alert.digest 1s\n lua-load /etc/haproxy/mailers.lua\n.if defined(X)\nbackend web\n email-alert mailers mta\n \
                email-alert from a@b.example\n email-alert to c@d.example\n.endif\nbackend api\n email-alert to c@d.example\n";
    let output = converted(&format!("{SECTION}{text}")).expect("good");
    for part in [
        "# Taken as if the conditions of '.if' were true: haproxy.cfg:8, haproxy.cfg:9, haproxy.cfg:10.\n",
        "# There are 'email_alert' lines already, haproxy.cfg:4: ",
        "# api: HAProxy ignored its lines, ",
        "# was haproxy.cfg:5: lua-load /etc/haproxy/mailers.lua\n",
        "# was haproxy.cfg:13: email-alert to c@d.example\n",
    ] {
        assert!(output.contains(part), "{part}\n{output}");
    }
}

#[test]
fn nothing_to_convert_is_said() {
    for (text, part) in [
        ("", "nothing to convert: there are no 'mailers' and no 'email-alert' lines"),
        ("defaults\n mode http\nbackend web\n", "nothing to convert: there are no"),
        ("mailers mta\n mailer mx 127.0.0.1:25", "HAProxy ignores haproxy.cfg:1, haproxy.cfg:2"),
        ("backend web\n email-alert to a@b.example", "HAProxy ignores haproxy.cfg:2"),
        (
            "mailers m\nfrontend web\n email-alert mailers m\n email-alert from a@b.example\n email-alert to a@b.example",
            "no backend has all of",
        ),
        (
            "mailers m\nbackend web\n email-alert mailers m\n email-alert from a@b.example\n email-alert to a@",
            "'a@' has nothing behind the '@'",
        ),
    ] {
        let error = converted(text).expect_err(text);
        assert!(error.contains(part), "{error}");
    }
}

#[test]
fn what_is_wrong_is_said_with_file_and_line() {
    for (text, expected) in [
        (
            "backend web\n email-alert\n",
            "haproxy.cfg:2: unknown word '' behind 'email-alert'; expected one of from level",
        ),
        (
            "backend web\n\n email-alert too a@b.example",
            "haproxy.cfg:3: unknown word 'too' behind 'email-alert'",
        ),
        ("backend web\n email-alert to", "haproxy.cfg:2: 'email-alert to' expects a value"),
        (
            "backend web\n email-alert level loud",
            "haproxy.cfg:2: unknown level 'loud'; expected one of emerg alert",
        ),
        ("backend web\n no email-alert to", "haproxy.cfg:2: HAProxy has no 'no email-alert'"),
        ("backend web\n email-alert to \"a", "haproxy.cfg:2: the quote \" is not closed"),
        ("backend web from nobody", "haproxy.cfg:1: there is no section 'defaults nobody' before"),
        ("backend", "haproxy.cfg:1: 'backend' expects a name"),
        ("mailers", "haproxy.cfg:1: 'mailers' expects a name"),
        ("mailers a\nmailers a", "haproxy.cfg:2: there is a section 'mailers a' already: haproxy.cfg:1"),
        ("mailers a\n mailer b", "haproxy.cfg:2: expected mailer <name> <address>:<port>"),
        ("mailers a\n mailer b 127.0.0.1", "haproxy.cfg:2: '127.0.0.1' has no port"),
        ("mailers a\n mailer b [::1]", "haproxy.cfg:2: '[::1]' has no port"),
        ("mailers a\n timeout connect 1s", "haproxy.cfg:2: expected timeout mail <time>"),
        ("mailers a\n server b 127.0.0.1:25", "haproxy.cfg:2: unknown word 'server' in a mailers section"),
        ("mailers a\n mailer b \u{fffd}:25", "haproxy.cfg:2: is not UTF-8"),
        (
            "backend web\n email-alert from a@b.example\n email-alert to a@b.example\n email-alert mailers nobody",
            "haproxy.cfg:4: there is no section 'mailers nobody'",
        ),
    ] {
        let error = converted(text).expect_err(text);
        assert!(error.starts_with(expected), "{error}");
    }
}
