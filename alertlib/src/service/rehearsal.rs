// SPDX-License-Identifier: MIT OR Apache-2.0
//! One alert that nobody gets, when a thread starts: the first real one may come weeks later, and then finds its code, its stack and
//! its memory in place, which the kernel else brings piece by piece. And one when a change is expected: what was there weeks
//! ago has long made room in the processor's caches, and maybe in memory, for something else.

use crate::engine::Engine;
use crate::event::flag;
use crate::event::{Number, RawChange, Text};
use crate::message::Composer;
use crate::queue::Outbox;
use crate::ring::Ring;
use crate::service::collector::{Collector, Shared};
use crate::service::dispatcher::{Dispatcher, RelayState};
use crate::service::prewarm::Expectation;
use crate::settings::Config;
use crate::transport::{Delivery, DeliveryError, Outcome, Transport};
use crossbeam_channel::never;
use std::sync::Arc;
use std::time::SystemTime;

/// The relay of the rehearsal.
struct Nowhere;

impl Transport for Nowhere {
    fn send(&mut self, delivery: &Delivery) -> Result<Vec<Outcome>, DeliveryError> {
        Ok(vec![Outcome::Delivered; delivery.to.len()])
    }
}

/// Takes a change of a server that does not exist through everything but a relay. Gives how many mails came of it.
pub fn rehearse(config: &Config, composer: &Composer) -> u64 {
    let engine = Engine::new(&config.routes, config.policy, &config.host);
    let shared = Shared {
        ring: Arc::new(Ring::new(2)),
        outbox: Arc::new(Outbox::new(1, None)),
        counters: Arc::default(),
        expectation: Arc::new(Expectation::new()),
        spool: None,
        unconfirmed_targets: Arc::default(),
    };
    let relay = RelayState::new("rehearsal", Box::new(Nowhere));
    let mut dispatcher = Dispatcher::new(vec![relay], composer.clone(), &shared, config);
    let now = SystemTime::UNIX_EPOCH.elapsed().unwrap_or_default();
    // An empty ring takes one.
    let _ = shared.ring.push(|writer| change().write(now, writer));
    Collector::new(shared.clone(), engine, "rehearsal".to_owned(), never()).collect(|| ());
    let task = dispatcher.next_task();
    dispatcher.work(task, &|| ());
    shared.counters.delivered.get()
}

fn change() -> RawChange<'static> {
    let mut numbers = [0; Number::COUNT];
    let flags = flag::OPERATIONAL | flag::CHECK;
    for (number, value) in [
        (Number::OldState, 2),
        (Number::NewState, 0),
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
        let config = settings.resolve("lb1.example.com").expect("a configuration");
        assert_eq!(rehearse(&config, &Composer::new(&config, None)), 1);
    }
}
