// SPDX-License-Identifier: MIT OR Apache-2.0
//! A service with an event source outside of HAProxy's process, which reports finished events without HAProxy's numbers.

use haproxy_email_alert::directive;
use haproxy_email_alert::event::{Accuracy, Event, Health, Kind, Level, Provenance};
use haproxy_email_alert::service::{Prepared, Service};
use haproxy_email_alert::settings::Settings;
use haproxy_email_alert::sys::User;
use std::path::Path;
use std::time::{Duration, Instant, SystemTime};

/// An event between two polls of the stats socket, which shows neither the reason nor the counts of usable servers.
fn event(kind: Kind, health: Health) -> Event {
    let when = SystemTime::UNIX_EPOCH + Duration::from_secs(1_795_442_401);
    Event {
        when,
        kind,
        health,
        level: Level::Alert,
        proxy: "web".into(),
        is_listen: false,
        server: Some("s1".into()),
        sentence: format!("Server web/s1 is {}.", kind.state()),
        was: String::new(),
        check: None,
        cause: String::new(),
        via: None,
        address: String::new(),
        usable: None,
        provenance: Provenance::StatsSocket,
        accuracy: Accuracy::Since(when - Duration::from_secs(1)),
    }
}

fn mails_in(directory: &Path) -> Vec<String> {
    let files =
        std::fs::read_dir(directory).expect("a directory").map(|entry| entry.expect("an entry").path());
    let mut mails: Vec<String> = files
        .filter(|path| path.extension().is_some_and(|end| end == "eml"))
        .map(|path| std::fs::read_to_string(path).expect("a mail"))
        .collect();
    mails.sort_by_key(|mail| mail.find("[UP]").is_some());
    mails
}

#[test]
fn finished_events_become_mails_without_data_that_the_source_lacks() {
    let directory = std::env::temp_dir().join(format!("email-alert-outside.{}", std::process::id()));
    std::fs::create_dir_all(&directory).expect("a directory");
    let mut settings = Settings::default();
    let relay = format!("email_alert.relay files file {}", directory.display());
    for line in ["email_alert ops@example.com", "email_alert.digest off", &relay] {
        directive::parse(&mut settings, &line.split(' ').collect::<Vec<_>>()).expect(line);
    }
    let config = settings.resolve("lb1.example.com").expect("a configuration");
    let prepared = Prepared::open(config, User { uid: 0, gid: 0 }, None).expect("a directory");
    let service = Service::start(prepared).expect("threads");
    service.report(&event(Kind::Down, Health::Down), false).expect("room");
    service.report(&event(Kind::Up, Health::Up), false).expect("room");
    let start = Instant::now();
    while mails_in(&directory).len() < 2 && start.elapsed() < Duration::from_secs(30) {
        std::thread::sleep(Duration::from_millis(20));
    }
    assert_eq!(service.stop(Duration::from_secs(10)), 0);
    let mails = mails_in(&directory);
    std::fs::remove_dir_all(&directory).expect("the directory is removed");
    assert_eq!(mails.len(), 2, "{mails:#?}");
    assert!(mails[0].contains("Subject: [DOWN] web/s1 on lb1.example.com\r\n"), "{}", mails[0]);
    assert!(mails[0].contains("\r\nServer web/s1 is DOWN.\r\n"), "{}", mails[0]);
    assert!(mails[0].contains("time      between 2026-"), "{}", mails[0]);
    for mail in mails {
        assert!(!mail.contains("backup servers"), "the source does not know the counts: {mail}");
    }
}
