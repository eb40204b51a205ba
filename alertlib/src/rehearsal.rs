// SPDX-License-Identifier: MIT OR Apache-2.0
//! One alert that nobody gets, when a thread starts: the first real one may come weeks later, and then finds its code, its stack and
//! its memory in place, which the kernel else brings piece by piece. And one when a change is expected: what was there weeks
//! ago has long made room in the processor's caches, and maybe in memory, for something else.

use crate::collector::{Collector, Shared};
use crate::engine::Engine;
use crate::event::{Number, RawChange, Text};
use crate::expectation::Expectation;
use crate::ffi;
use crate::mailer::{Mailer, Station};
use crate::message::Composer;
use crate::outbox::Outbox;
use crate::queue::Queue;
use crate::settings::Plan;
use crate::transport::{Letter, Transport, Trouble, Verdict};
use crossbeam_channel::never;
use std::sync::Arc;
use std::time::SystemTime;

/// The relay of the rehearsal.
struct Nowhere;

impl Transport for Nowhere {
    fn send(&mut self, letter: &Letter) -> Result<Vec<Verdict>, Trouble> {
        Ok(vec![Verdict::Delivered; letter.to.len()])
    }
}

/// Takes a change of a server that does not exist through everything but a relay. Gives how many mails came of it.
pub fn rehearse(plan: &Plan, composer: &Composer) -> u64 {
    let engine = Engine::new(&plan.routes, plan.policy, &plan.host);
    let shared = Shared {
        queue: Arc::new(Queue::new(2)),
        outbox: Arc::new(Outbox::new(1, None)),
        counters: Arc::default(),
        expectation: Arc::new(Expectation::new()),
        spool: None,
        questions: Arc::default(),
    };
    let station = Station::new("rehearsal", Box::new(Nowhere));
    let mut mailer = Mailer::new(vec![station], composer.clone(), &shared, plan);
    let now = SystemTime::UNIX_EPOCH.elapsed().unwrap_or_default();
    // An empty queue takes one.
    let _ = shared.queue.push(|writer| change().write(now, writer));
    Collector::new(shared.clone(), engine, "rehearsal".to_owned(), never()).collect(|| ());
    let task = mailer.next_task();
    mailer.work(task, &|| ());
    shared.counters.delivered.get()
}

fn change() -> RawChange<'static> {
    let mut numbers = [0; Number::COUNT];
    let flags = ffi::HAPROXY_EMAIL_ALERT_OPERATIONAL | ffi::HAPROXY_EMAIL_ALERT_CHECK;
    for (number, value) in [
        (Number::OldState, ffi::HAPROXY_EMAIL_ALERT_RUNNING.into()),
        (Number::NewState, ffi::HAPROXY_EMAIL_ALERT_STOPPED.into()),
        (Number::Flags, flags.into()),
        (Number::UsableBefore, 2),
        (Number::Active, 1),
        (Number::CheckCode, -1),
    ] {
        numbers[number as usize] = value;
    }
    let mut texts: [&[u8]; Text::COUNT] = [b""; Text::COUNT];
    for (text, bytes) in [
        (Text::Proxy, &b"servers"[..]),
        (Text::Server, b"server1"),
        (Text::CheckStatus, b"L4CON"),
        (Text::CheckReason, b"Layer4 connection problem"),
        (Text::CheckInfo, b"Connection refused"),
        (Text::Address, b"192.0.2.1:80"),
    ] {
        texts[text as usize] = bytes;
    }
    RawChange { numbers, texts }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::settings::Settings;

    #[test]
    fn it_goes_all_the_way() {
        let mut settings = Settings::new();
        crate::directive::parse(&mut settings, &["email_alert", "ops@example.com"]).expect("a directive");
        let plan = settings.plan("lb1.example.com").expect("a plan");
        assert_eq!(rehearse(&plan, &Composer::new(&plan, None)), 1);
    }
}
