// SPDX-License-Identifier: MIT OR Apache-2.0
//! A notification for tests of transports.

use haproxy_email_alert::event::{Accuracy, Event, Health, Kind, Level, Provenance};
use haproxy_email_alert::notification::{Item, Notification, Trigger};
use std::time::SystemTime;

/// A server went down; the sender is lb1@example.com.
pub fn notification() -> Notification {
    let event = Event {
        when: SystemTime::UNIX_EPOCH,
        kind: Kind::Down,
        health: Health::Down,
        level: Level::Alert,
        proxy: "be".into(),
        is_listen: false,
        server: Some("s1".into()),
        sentence: "Server be/s1 is DOWN.".into(),
        was: String::new(),
        check: None,
        cause: String::new(),
        via: None,
        address: String::new(),
        usable: None,
        provenance: Provenance::Process,
        accuracy: Accuracy::Exact,
    };
    Notification {
        message_id: "<haproxy.1.1@lb1.example.com>".into(),
        created: SystemTime::UNIX_EPOCH,
        from: "lb1@example.com".parse().expect("an address"),
        to: Vec::new(),
        references: Vec::new(),
        topic: "be/s1".into(),
        trigger: Trigger::Changes,
        items: vec![Item::of(event)],
        sizes: Vec::new(),
        unnamed: 0,
        dropped: 0,
    }
}
