// SPDX-License-Identifier: MIT OR Apache-2.0
//! Mails have a link to the statistics page if other machines can reach one.

use std::fs;

use end_to_end::{Authority, Files, ParsedMail, Setup, until};

/// Sections of a configuration, and the link that mails have then.
type Variant<'a> = (&'a [(&'a str, &'a [&'a str])], Option<&'a str>);

const VARIANTS: &[Variant] = &[
    (&[("frontend a", &["bind :8404", "stats uri /stats"])], Some("http://lb1.example.com:8404/stats")),
    // What the path is without `stats uri`; a port that needs not be said.
    (
        &[("listen a", &["bind 192.0.2.1:80 transparent", "stats enable"])],
        Some("http://192.0.2.1/haproxy?stats"),
    ),
    (
        &[("frontend a", &["bind [2001:db8::1]:8404 transparent", "stats uri /"])],
        Some("http://[2001:db8::1]:8404/"),
    ),
    (&[("frontend a", &["bind [::]:8404-8406", "stats uri /s"])], Some("http://lb1.example.com:8404/s")),
    (
        &[("frontend a", &["bind :80 ssl crt \"${CRT}\"", "stats uri /s"])],
        Some("https://lb1.example.com:80/s"),
    ),
    (&[("frontend a", &["bind :443 ssl crt \"${CRT}\"", "stats uri /s"])], Some("https://lb1.example.com/s")),
    // Nobody else reaches these.
    (
        &[(
            "frontend a",
            &[
                "stats uri /s",
                "bind 127.0.0.1:1 transparent",
                "bind 127.1.2.3:1 transparent",
                "bind [::1]:1 transparent",
                "bind [::ffff:127.0.0.1]:1 transparent",
                "bind \"${TEST_DIRECTORY}/stats.sock\"",
                "bind :2 accept-proxy",
            ],
        )],
        None,
    ),
    (&[("frontend a", &["bind :8404"]), ("backend b", &["stats uri /s"])], None),
    (&[("frontend a", &["bind :8404", "mode tcp", "stats uri /s"])], None),
    // It would not be a mail's.
    (&[("frontend a", &["bind :8404", "stats uri /<b>"])], None),
    // The first one that can be reached.
    (
        &[
            ("frontend a", &["bind :1", "stats uri /disabled", "disabled"]),
            ("frontend b", &["bind :2"]),
            ("frontend c", &["bind 127.0.0.1:3 transparent", "stats uri /loopback"]),
            ("frontend d", &["bind 127.0.0.1:4 transparent", "bind :5", "bind :6", "stats uri /this"]),
            ("frontend e", &["bind :7", "stats uri /later"]),
        ],
        Some("http://lb1.example.com:5/this"),
    ),
    (
        &[
            ("frontend a", &["bind :1"]),
            ("defaults", &["mode http", "timeout client 1s", "stats uri /of-all"]),
            ("frontend b", &["bind :2"]),
        ],
        Some("http://lb1.example.com:2/of-all"),
    ),
    // The administrator knows better.
    (
        &[
            ("frontend a", &["bind :8404", "stats uri /stats"]),
            ("global", &["email_alert.stats-uri https://stats.example.com/lb1"]),
        ],
        Some("https://stats.example.com/lb1"),
    ),
    (&[("global", &["email_alert.stats-uri http://127.0.0.1:8404/"])], Some("http://127.0.0.1:8404/")),
    (&[("frontend a", &["bind :8404", "stats uri /s"]), ("global", &["email_alert.stats-uri off"])], None),
];

/// The link of the mail that a HAProxy with these sections sends; text and HTML have the same.
fn link(sections: &[(&str, &[&str])]) -> Option<String> {
    let (authority, files) = (Authority::new("Test"), Files::default());
    let identity = files.secret("identity", &authority.identity("lb1.example.com").pem());
    let mut setup = Setup::with_alerts()
        .events("down")
        .global(&format!("setenv CRT {}", identity.display()))
        .global("email_alert.relay files file \"${TEST_DIRECTORY}/jail\"")
        .backend("servers", &["server failing 192.0.2.9:80 check"]);
    for (head, lines) in sections {
        setup = setup.section(head, lines);
    }
    let haproxy = setup.in_own_network().start();
    let mail = until("the mail", || {
        let files = fs::read_dir(haproxy.directory().join("jail")).expect("our own directory");
        // One that begins with a dot is still being written.
        let mut paths = files.map(|file| file.expect("a file").path());
        let path =
            paths.find(|path| !path.file_name().expect("a name").to_string_lossy().starts_with('.'))?;
        Some(ParsedMail::of(&fs::read(path).expect("a mail")))
    });
    let link = mail.text.lines().find_map(|line| line.strip_prefix("  stats     ")).map(str::to_owned);
    let in_html = link.as_ref().map(|link| format!("<td><a href=\"{link}\">{link}</a></td>"));
    assert!(in_html.is_none_or(|html| mail.html.contains(&html)), "{}", mail.html);
    assert_eq!(mail.html.contains("<a "), link.is_some(), "{}", mail.html);
    link
}

#[test]
fn mails_link_to_the_first_statistics_page_that_others_can_reach() {
    for (sections, expected) in VARIANTS {
        assert_eq!(link(sections).as_deref(), *expected, "{sections:?}");
    }
}
