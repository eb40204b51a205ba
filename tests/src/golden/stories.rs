// SPDX-License-Identifier: MIT OR Apache-2.0
//! What happens in the mails of the documentation.

use std::time::Duration;

use haproxy_email_alert::event::{
    Admin, Change, Check, CheckOutcome, CheckResult, Number, RawChange, State, StateReport, Text, flag,
};

use super::{World, change, check, down, refused, status_503, timeout, up};

const SECOND: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(3600);

pub fn all() -> Vec<World> {
    let mut all = vec![
        incident(),
        last_server(),
        maintenance(),
        digests_of_a_backend(),
        digest_of_a_host(),
        digest_of_a_tracked_server(),
        digest_of_this_and_that(),
        flapping(),
        silence(),
        trouble_with_mails(),
        hostile(),
        format_of_the_subject(),
        statistics(),
    ];
    all.extend(single());
    all
}

fn incident() -> World {
    let mut world = World::usual("incident");
    let s1 = |left| change("web", "s1", "10.0.0.7:8080", left);
    world.happens(down(s1(11), timeout()));
    world.documents("down");
    world.waits(4 * HOUR);
    world.documents("reminder");
    world.waits(12 * MINUTE + 5 * SECOND);
    world.happens(up(s1(12)));
    world.documents("up");
    world
}

fn last_server() -> World {
    let mut world = World::usual("last");
    let server2 = |left| change("servers", "server2", "192.0.2.2:80", left);
    world.happens(down(server2(0), timeout()));
    world.documents("last-server-down");
    world.waits(14 * MINUTE);
    world.happens(up(server2(1)));
    world.documents("last-server-up");

    world.waits(HOUR);
    let drained = Change { is_operational: false, usable_before: 1, ..server2(0) };
    let (old_state, new_state) = (State::Running, State::Running);
    world.happens(Change { new_admin: Admin(Admin::FDRAIN), old_state, new_state, ..drained });
    world.documents("last-server-drained");
    world
}

fn maintenance() -> World {
    let mut world = World::new("maint", &["email_alert ops@example.com events maint,ready,drain"]);
    let admin = |old, new, old_state, new_state, cause: &str| Change {
        is_operational: false,
        old_admin: Admin(old),
        new_admin: Admin(new),
        old_state,
        new_state,
        usable_before: 3,
        cause: cause.into(),
        ..change("web", "s1", "10.0.0.7:8080", 2)
    };
    world.happens(admin(0, Admin::FMAINT, State::Running, State::Stopped, ""));
    world.documents("maint");
    world.waits(HOUR);
    let ready = admin(Admin::FMAINT, 0, State::Stopped, State::Running, "");
    world.happens(Change { requeued: None, active: 3, usable_before: 2, ..ready });
    world.documents("ready");
    world.waits(HOUR);
    world.happens(admin(0, Admin::FDRAIN, State::Running, State::Running, ""));
    world.documents("drain");
    world
}

/// What needs only one mail to be told.
fn single() -> Vec<World> {
    let s1 = || change("web", "s1", "10.0.0.7:8080", 2);
    let nolb = Check { code: Some(404), ..check("L7OKC", "Layer7 check conditionally passed", 3) };
    let nolb = Change {
        old_state: State::Running,
        new_state: State::Stopping,
        usable_before: 3,
        check: Some(nolb),
        ..s1()
    };
    let agent =
        Check { is_agent: true, info: "load too high".into(), ..check("L7STS", "Layer7 wrong status", 2) };
    let tracking = Change { check: None, via: Some(("web".into(), "s1".into())), ..down(s1(), timeout()) };
    let tracking = Change { proxy: "api".into(), ..tracking };
    let ipv6 = Change { address: "[2001:db8::7]:443".into(), ..s1() };
    let handshake =
        Check { info: "SSL handshake failure".into(), ..check("L6RSP", "Layer6 invalid response", 4) };
    let by_hand = Change { check: None, cause: "changed from CLI".into(), ..down(s1(), timeout()) };
    let result =
        CheckResult { outcome: CheckOutcome::Failed, health: 3, rise: 2, fall: 3, has_zero_weight: false };
    let failed = Change { result: Some(result), check: Some(status_503()), ..s1() };
    let stories = [
        ("down-refused", down(s1(), refused())),
        ("down-status", down(s1(), status_503())),
        ("down-tls", down(ipv6, handshake)),
        ("down-agent", down(s1(), agent)),
        ("down-tracking", tracking),
        ("down-by-hand", by_hand),
        ("nolb", nolb),
        ("check", failed),
    ];
    let single = |(name, change)| {
        let mut world = World::new(name, &["email_alert ops@example.com events down,nolb,check"]);
        world.happens(change);
        world.documents(name);
        world
    };
    stories.into_iter().map(single).collect()
}

/// Something else happens first, so that what follows is a digest.
fn busy(name: &'static str) -> World {
    let mut world = World::usual(name);
    world.happens(down(change("other", "s1", "10.9.9.9:80", 1), refused()));
    world.mail();
    world.waits(SECOND);
    world
}

fn digests_of_a_backend() -> World {
    let mut world = busy("backend");
    let server = |n: u32, left| change("web", &format!("s{n}"), &format!("10.0.0.{n}:8080"), left);
    for n in 1..=12 {
        world.happens(down(server(n, 12 - n), timeout()));
        world.waits(SECOND / 20);
    }
    world.waits(10 * SECOND);
    world.documents("digest-backend-down");
    world.waits(4 * HOUR);
    world.documents("digest-reminder");
    world.happens(up(server(1, 1)));
    let first = world.mail();
    assert_eq!(first.items.len(), 2);
    for n in 2..=12 {
        world.happens(up(server(n, n)));
        world.waits(SECOND / 20);
    }
    world.waits(10 * SECOND);
    world.documents("digest-backend-up");
    world
}

fn digest_of_a_host() -> World {
    let mut world = busy("host");
    for backend in ["api", "auth", "cart", "images", "mail", "pay", "search", "shop", "static", "web"] {
        world.happens(down(change(backend, "host7", "10.0.0.7:8080", 3), timeout()));
    }
    world.waits(10 * SECOND);
    world.documents("digest-host");
    world
}

fn digest_of_a_tracked_server() -> World {
    let mut world = busy("tracked");
    world.happens(down(change("web", "s1", "10.0.0.7:8080", 3), status_503()));
    for backend in ["admin", "api", "static"] {
        let follower = down(change(backend, "s1", "10.0.0.7:8080", 3), timeout());
        world.happens(Change { check: None, via: Some(("web".into(), "s1".into())), ..follower });
    }
    world.waits(10 * SECOND);
    world.documents("digest-tracked");
    world
}

fn digest_of_this_and_that() -> World {
    let mut world = busy("mixed");
    for n in 1..=3 {
        world.happens(down(change("web", &format!("s{n}"), &format!("10.0.0.{n}:8080"), 12 - n), timeout()));
    }
    world.happens(down(change("db", "primary", "10.0.1.1:5432", 1), refused()));
    world.waits(SECOND);
    world.happens(up(change("other", "s1", "10.9.9.9:80", 2)));
    world.happens(down(change("cache", "c1", "10.0.2.1:6379", 1), refused()));
    world.waits(SECOND);
    world.happens(up(change("cache", "c1", "10.0.2.1:6379", 2)));
    world.waits(10 * SECOND);
    world.documents("digest-mixed");
    world
}

fn flapping() -> World {
    let mut world = World::usual("flapping");
    let s1 = |left| change("web", "s1", "10.0.0.7:8080", left);
    for n in 0..15 {
        world.happens(down(s1(11), status_503()));
        world.waits(10 * SECOND);
        world.happens(up(s1(12)));
        world.waits(20 * SECOND);
        if n == 0 {
            world.mails.clear();
        }
        if world
            .mails
            .iter()
            .any(|mail| mail.items[0].flap_phase != haproxy_email_alert::notification::FlapPhase::NotFlapping)
        {
            let last = world.mails.split_off(world.mails.len() - 1);
            world.mails = last;
            world.documents("flapping");
        }
    }
    world.waits(HOUR);
    world.documents("stable");
    world
}

fn silence() -> World {
    let mut world = World::usual("silence");
    world.silence("web/*", HOUR, "new kernel, ticket 4711");
    world.waits(10 * MINUTE);
    for n in 1..=3 {
        let server = |left| change("web", &format!("s{n}"), &format!("10.0.0.{n}:8080"), left);
        world.happens(down(server(11), timeout()));
        world.waits(3 * MINUTE);
        if n < 3 {
            world.happens(up(server(12)));
        }
        world.waits(SECOND);
    }
    world.waits(HOUR);
    world.documents("silence-over");
    world
}

fn trouble_with_mails() -> World {
    let mut world = World::usual("trouble");
    let s1 = |left| change("web", "s1", "10.0.0.7:8080", left);
    world.happens(down(s1(11), timeout()));
    let mail = world.mail();
    let refused = "relay mx1: connect to mx1.example.com:25: Connection refused";
    world.sends("late", &mail, mail.created + 14 * MINUTE, Some(refused));
    world.waits(MINUTE);
    world.engine.count_dropped(317);
    world.happens(up(s1(12)));
    world.documents("dropped");

    world.waits(MINUTE);
    for n in 1..=3 {
        world.happens(down(change("many", &format!("s{n}"), "10.0.3.1:80", 9000 - n), timeout()));
    }
    world.mails.clear();
    world.waits(10 * SECOND);
    let mut mail = world.mail();
    mail.unnamed = 4711;
    world.sends("digest-not-all-named", &mail, mail.created, None);

    world.waits(MINUTE);
    let gone = Change { state_report: Some(StateReport::Removed), ..change("many", "s1", "", 0) };
    world.happens(gone);
    world.documents("gone");
    world
}

/// HAProxy lets nobody choose such names; a check's words come from the network.
fn hostile() -> World {
    let mut world = World::usual("hostile");
    let mut numbers = [0; Number::COUNT];
    for (number, value) in [
        (Number::OldState, State::Running as i64),
        (Number::UsableBefore, 2),
        (Number::Active, 1),
        (Number::CheckCode, 500),
        (Number::CheckDuration, 12),
    ] {
        numbers[number as usize] = value;
    }
    numbers[Number::Flags as usize] = i64::from(flag::OPERATIONAL | flag::CHECK);
    let mut texts: [&[u8]; Text::COUNT] = [b""; Text::COUNT];
    let quoted: &[u8] = b"\" onload=\"alert(1)";
    for (text, value) in [
        (Text::Proxy, "web\r\nBcc: everybody@example.com\r\n\r\n<script>alert(1)</script>".as_bytes()),
        (Text::Server, "=?utf-8?q?s1?= \u{202e}lmth.\u{200b}café".as_bytes()),
        (Text::CheckStatus, b"L7STS"),
        (Text::CheckReason, b"Layer7 wrong status"),
        (Text::CheckInfo, b"<img src=http://example.net/x.png>\x1b[2J\r\n.\r\n"),
        (Text::Address, quoted),
    ] {
        texts[text as usize] = value;
    }
    world.happens_raw(RawChange { numbers, texts });
    world.documents("hostile");
    world
}

fn format_of_the_subject() -> World {
    let lines = [
        "email_alert ops@example.com",
        "email_alert.subject \"[%[shorthost] %[state]] %[topic]: %[reason], %[active] left\"",
    ];
    let mut world = World::new("subject", &lines);
    world.happens(down(change("web", "s1", "10.0.0.7:8080", 11), timeout()));
    world.documents("subject");
    world
}

fn statistics() -> World {
    let lines = ["email_alert ops@example.com", "email_alert.stats-uri http://lb1.example.com:8404/stats"];
    let mut world = World::new("stats", &lines);
    world.happens(down(change("web", "s1", "10.0.0.7:8080", 11), timeout()));
    world.documents("stats");
    world
}
