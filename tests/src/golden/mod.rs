// SPDX-License-Identifier: MIT OR Apache-2.0
//! The mails of the documentation: what the engine and the composer make of stories, with a made-up clock.

mod stories;

use std::{
    collections::BTreeMap,
    path::PathBuf,
    time::{Duration, SystemTime},
};

use haproxy_email_alert::{
    directive,
    engine::{Engine, Silence},
    event::{Change, Check, RawChange, State},
    message::Composer,
    notification::Notification,
    ring::Ring,
    settings::Settings,
};

use crate::header::project;

/// Where they are committed.
pub fn directory() -> PathBuf {
    project().join("doc/mails")
}

/// Each mail by the name of its file.
pub fn generate() -> BTreeMap<String, Vec<u8>> {
    stories::all().into_iter().flat_map(World::end).collect()
}

/// 2026-11-23 03:12:44 +01:00
const NIGHT: Duration = Duration::from_secs(1_795_399_964);

/// What happens to a HAProxy, and what its administrator gets.
struct World {
    engine: Engine,
    composer: Composer,
    now: SystemTime,
    calls: u32,
    /// Mails that nobody has taken out of the box yet.
    mails: Vec<Notification>,
    files: Vec<(String, Vec<u8>)>,
    name: &'static str,
}

impl World {
    /// A configuration with these lines more. `name`: in the Message-IDs.
    fn new(name: &'static str, lines: &[&str]) -> Self {
        let mut settings = Settings::default();
        for line in lines {
            // As HAProxy does it: what is in quotes is one word.
            let quoted = line.split('"').enumerate();
            let words = quoted.flat_map(|(n, part)| match n % 2 {
                0 => part.split_whitespace().collect(),
                _ => vec![part],
            });
            directive::parse(&mut settings, &words.collect::<Vec<&str>>()).expect("a directive");
        }
        let plan = settings.resolve("lb1.example.com").expect("a plan");
        let now = SystemTime::UNIX_EPOCH + NIGHT;
        let zone = jiff::tz::TimeZone::fixed(jiff::tz::offset(1));
        let composer = Composer::new(&plan, Some("2.6.12-1+deb12u3".to_owned()));
        World {
            engine: Engine::new(&plan.routes, plan.policy, &plan.host),
            composer: composer.in_zone_since(zone, now - Duration::from_secs(12 * 86_400 + 3 * 3600)),
            now,
            calls: 0,
            mails: Vec::new(),
            files: Vec::new(),
            name,
        }
    }

    /// The usual configuration.
    fn usual(name: &'static str) -> Self {
        World::new(name, &["email_alert ops@example.com"])
    }

    fn id(&mut self) -> String {
        self.calls += 1;
        format!("{}.{}", self.name, self.calls)
    }

    fn happens(&mut self, change: Change) {
        let events = Change { when: Some(self.now), ..change }.into_events();
        let id = self.id();
        self.mails.extend(self.engine.handle(events, &id, self.now));
    }

    /// A change as it comes from HAProxy, with whatever is in its texts.
    fn happens_raw(&mut self, raw: RawChange) {
        let (queue, mut record) = (Ring::new(1), Vec::new());
        queue.push(|writer| raw.write(Duration::ZERO, writer)).expect("room");
        queue.peek(0, &mut record);
        self.happens(Change::read(&record).expect("a change"));
    }

    fn waits(&mut self, time: Duration) {
        let end = self.now + time;
        while let Some(due) = self.engine.due().filter(|due| *due <= end) {
            self.now = self.now.max(due);
            let id = self.id();
            self.mails.extend(self.engine.on_timer(&id, self.now));
        }
        self.now = end;
    }

    /// `length` from now on nobody wants to hear of this.
    fn silence(&mut self, pattern: &str, length: Duration, reason: &str) {
        let (pattern, until) = (pattern.parse().expect("a pattern"), self.now + length);
        assert!(self.engine.add_silence(Silence { pattern, until, reason: reason.to_owned() }));
    }

    /// The only mail since the last one.
    #[track_caller]
    fn mail(&mut self) -> Notification {
        assert_eq!(self.mails.len(), 1, "{:#?}", self.mails);
        self.mails.remove(0)
    }

    /// That mail is sent at once, and documented under this name.
    #[track_caller]
    fn documents(&mut self, name: &str) {
        let mail = self.mail();
        self.sends(name, &mail, mail.created, None);
    }

    /// Documents a mail that is sent at `now`; `trouble`: why not before.
    fn sends(&mut self, name: &str, mail: &Notification, now: SystemTime, trouble: Option<&str>) {
        let message = self.composer.compose(mail, now, trouble).expect("a mail");
        self.files.push((format!("{name}.eml"), message.bytes));
    }

    fn end(self) -> Vec<(String, Vec<u8>)> {
        assert!(self.mails.is_empty(), "nobody took: {:#?}", self.mails);
        self.files
    }
}

/// A server of a backend that has `size` of them, of which `left` can be used afterwards.
fn change(proxy: &str, server: &str, address: &str, left: u32) -> Change {
    Change {
        proxy: proxy.into(),
        server: server.into(),
        address: address.into(),
        is_operational: true,
        active: left,
        requeued: Some(0),
        ..Change::default()
    }
}

/// It goes down.
fn down(change: Change, check: Check) -> Change {
    Change {
        old_state: State::Running,
        new_state: State::Stopped,
        usable_before: change.active + 1,
        check: Some(check),
        ..change
    }
}

/// It comes back.
fn up(change: Change) -> Change {
    Change {
        old_state: State::Stopped,
        new_state: State::Running,
        usable_before: change.active - 1,
        check: Some(check("L4OK", "Layer4 check passed", 1)),
        ..change
    }
}

fn check(status: &str, reason: &str, milliseconds: u64) -> Check {
    Check {
        status: status.into(),
        reason: reason.into(),
        duration: Some(Duration::from_millis(milliseconds)),
        ..Check::default()
    }
}

fn timeout() -> Check {
    check("L4TOUT", "Layer4 timeout", 2001)
}

fn refused() -> Check {
    Check { info: "Connection refused".into(), ..check("L4CON", "Layer4 connection problem", 0) }
}

fn status_503() -> Check {
    let (code, info) = (Some(503), "Service Unavailable".into());
    Check { code, info, ..check("L7STS", "Layer7 wrong status", 7) }
}
