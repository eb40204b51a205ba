// SPDX-License-Identifier: MIT OR Apache-2.0
//! Replays a day of a place with 2,000 servers through the engine, and prints how long that takes.

use std::time::{Duration, Instant, SystemTime};

use fastrand::Rng;
use haproxy_email_alert::{
    directive,
    engine::Engine,
    event::{Accuracy, Check, Event, Health, Kind, Level, Provenance, Usable},
    message::Composer,
    notification::Notification,
    settings::Settings,
};

const BACKENDS: u32 = 100;
const SERVERS: u32 = 20;
const SECOND: Duration = Duration::from_secs(1);

/// What happened on one day: what, and when.
fn day(random: &mut Rng) -> Vec<Event> {
    let midnight = SystemTime::UNIX_EPOCH + Duration::from_secs(1_795_392_000);
    let mut day = Vec::new();
    let mut say = |when: SystemTime, backend: u32, server: u32, kind: Kind| {
        day.push(event(when, backend, server, kind))
    };
    for minute in 0..24 * 60 {
        let now = midnight + SECOND * 60 * minute;
        // A server has a trouble of some seconds, here and there.
        let (backend, server) = (random.u32(0..BACKENDS), random.u32(0..SERVERS));
        say(now, backend, server, Kind::Down);
        say(now + SECOND * random.u32(1..50), backend, server, Kind::Up);
        // One that never was good flaps all day.
        say(now + SECOND / 2, BACKENDS, 0, if minute % 2 == 0 { Kind::Down } else { Kind::Up });
        // Each hour a release, one server after the other.
        if minute % 60 == 30 {
            for server in 0..SERVERS {
                for (second, kind) in
                    [Kind::Drain, Kind::Maint, Kind::Ready, Kind::Down, Kind::Up].into_iter().enumerate()
                {
                    say(now + SECOND * (server * 6 + second as u32), backend, server, kind);
                }
            }
        }
        // Twice the network is away for half a minute.
        if minute == 200 || minute == 1000 {
            for (kind, later) in [(Kind::Down, 0), (Kind::Up, 30)] {
                for n in 0..BACKENDS * SERVERS {
                    let when = now + SECOND * later + Duration::from_micros(u64::from(n) * 500);
                    say(when, n / SERVERS, n % SERVERS, kind);
                }
            }
        }
    }
    day.sort_by_key(|event| event.when);
    day
}

fn event(when: SystemTime, backend: u32, server: u32, kind: Kind) -> Event {
    let (health, level) = match kind {
        Kind::Down => (Health::Down, Level::Alert),
        Kind::Maint => (Health::Maint, Level::Alert),
        _ => (Health::Up, Level::Notice),
    };
    let check = Check { status: "L4TOUT".into(), reason: "Layer4 timeout".into(), ..Check::default() };
    Event {
        when,
        kind,
        health,
        level,
        proxy: format!("backend-{backend}"),
        is_listen: false,
        server: Some(format!("server-{server}")),
        sentence: format!(
            "Server backend-{backend}/server-{server} is {}, reason: Layer4 timeout.",
            kind.state()
        ),
        was: String::new(),
        check: (kind == Kind::Down).then_some(check),
        cause: String::new(),
        via: None,
        address: format!("10.0.{backend}.{server}:8080"),
        usable: Some(Usable { active: SERVERS, backup: 0 }),
        provenance: Provenance::Process,
        accuracy: Accuracy::Exact,
    }
}

/// Until then, at the times that the engine wants.
fn wait(engine: &mut Engine, until: SystemTime, mails: &mut Vec<Notification>) {
    while let Some(due) = engine.due().filter(|due| *due <= until) {
        mails.extend(engine.on_timer(&format!("t{}", mails.len()), due));
    }
}

fn size_of(composer: &Composer, mail: &Notification) -> usize {
    composer.compose(mail, mail.created, None).expect("a mail").bytes.len()
}

fn main() {
    let mut settings = Settings::default();
    directive::parse(&mut settings, &["email_alert", "ops@example.com"]).expect("a directive");
    let plan = settings.resolve("lb1.example.com").expect("a plan");
    let day = day(&mut Rng::with_seed(7));
    let (changes, end) = (day.len(), day[0].when + SECOND * 24 * 3600);
    let (mut engine, mut mails) = (Engine::new(&plan.routes, plan.policy, &plan.host), Vec::new());
    let started = Instant::now();
    for (n, event) in day.into_iter().enumerate() {
        let now = event.when;
        wait(&mut engine, now, &mut mails);
        mails.extend(engine.handle(vec![event], &n.to_string(), now));
    }
    wait(&mut engine, end, &mut mails);
    let replayed = started.elapsed();
    let composer = Composer::new(&plan, None);
    let started = Instant::now();
    let size: usize = mails.iter().map(|mail| size_of(&composer, mail)).sum();
    let composed = started.elapsed();
    println!(
        "A day of {} servers, {changes} changes, with default settings (bar: a second):\n",
        BACKENDS * SERVERS + 1
    );
    println!("through the engine  {:>8.1} ms", replayed.as_secs_f64() * 1000.0);
    println!(
        "{:>5} mails made    {:>8.1} ms, {} KiB",
        mails.len(),
        composed.as_secs_f64() * 1000.0,
        size / 1024
    );
}
