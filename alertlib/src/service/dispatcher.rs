// SPDX-License-Identifier: MIT OR Apache-2.0
//! The dispatcher's work: takes what is due from the schedule and tries the relays in the order written.
//!
//! A session with a relay is kept for some seconds. After a failure a relay is not tried for a while (back-off), so that not each
//! mail waits for it; a mail that no relay took is tried later, with growing pauses. The log has an error when it begins, changes
//! or ends, not at each attempt.

use crate::counters::Counters;
use crate::format::{count, span};
use crate::message::Composer;
use crate::notification::Notification;
use crate::queue::{Entry, MailId, Next, PendingMail, Schedule, Store, Unreadable};
use crate::service::collector::{Shared, internal_error};
use crate::service::prewarm::Prewarm;
use crate::service::status::{RelayHealth, RelayStatus, StatusBoard};
use crate::service::waker::Waker;
use crate::settings::{Config, Recipient};
use crate::transport::{Delivery, DeliveryError, LazyMail, Outcome, Transport};
use lettre::Address;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

/// The first pause after a failure; it doubles with each further one.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
/// The longest back-off of a relay.
const LONGEST_BACK_OFF: Duration = Duration::from_secs(60);
/// The longest pause of a mail.
const LONGEST_PAUSE: Duration = Duration::from_secs(15 * 60);
/// How long a session is kept for the next mail: failures seldom come alone, and each mail in it saves three round trips.
const KEEP: Duration = Duration::from_secs(5);
/// Every pause while the process is about to end: a relay that is just being restarted may still get the mails.
const LAST_PAUSE: Duration = Duration::from_millis(200);

/// A relay with what is known of its health.
pub struct RelayState {
    name: String,
    transport: Box<dyn Transport>,
    /// A mail was offered to it, or a session opened.
    is_tried: bool,
    failures: u32,
    retry_at: Option<Instant>,
    /// The error that the log has, until the relay works again.
    reported: Option<DeliveryError>,
}

impl RelayState {
    /// A relay that has not been tried.
    pub fn new(name: &str, transport: Box<dyn Transport>) -> Self {
        RelayState {
            name: name.to_owned(),
            transport,
            is_tried: false,
            failures: 0,
            retry_at: None,
            reported: None,
        }
    }

    /// Its status for all views.
    fn status(&self, now: Instant) -> RelayStatus {
        let health = match self.retry_at.filter(|until| *until > now) {
            Some(until) => RelayHealth::BackingOff(SystemTime::now() + (until - now)),
            None if self.failures > 0 => RelayHealth::BackingOff(SystemTime::now()),
            None if self.is_tried => RelayHealth::Working,
            None => RelayHealth::Untried,
        };
        let last_error = self.reported.as_ref().map(ToString::to_string);
        RelayStatus { name: self.name.clone(), health, last_error }
    }

    fn is_backing_off(&self, now: Instant) -> bool {
        self.retry_at.is_some_and(|until| until > now)
    }

    /// Logs the error if the log does not have it yet.
    fn report(&mut self, error: &DeliveryError, waiting: u64) {
        if self.reported.as_ref() != Some(error) {
            let then = match waiting {
                0 => "no mail is waiting for it".to_owned(),
                _ => format!("trying again, {} waiting", count(waiting, "mail")),
            };
            log::warn!("relay {}: {error}; {then}", self.name);
            self.reported = Some(error.clone());
        }
    }

    fn mark_working(&mut self) {
        self.is_tried = true;
        self.failures = 0;
        self.retry_at = None;
        if self.reported.take().is_some() {
            log::info!("relay {}: works again", self.name);
        }
    }

    fn back_off(&mut self, now: Instant) {
        self.failures = self.failures.saturating_add(1);
        self.retry_at = Some(now + pause(self.failures, LONGEST_BACK_OFF));
    }
}

/// What the dispatcher has to do.
enum Task {
    /// Send this.
    Send(Box<Entry>),
    /// Open a session for a mail that may come until then.
    OpenSession(Instant),
    /// End the sessions that were kept for another mail.
    CloseIdle,
    /// Sleep until then (`None`: until a wake-up).
    Wait(Option<Instant>),
    /// End: the schedule is closed and empty, or abandoned.
    End,
}

/// The dispatcher.
pub struct Dispatcher {
    relays: Vec<RelayState>,
    composer: Composer,
    store: Arc<dyn Store>,
    schedule: Arc<Schedule>,
    waker: Arc<Waker>,
    counters: Arc<Counters>,
    prewarm: Arc<Prewarm>,
    board: Arc<StatusBoard>,
    /// The likely sender of the mail that a prewarmed session is for: with `oauth-token-file`, a session is of one account.
    sender: Option<Address>,
    retry: Duration,
    in_flight: Option<InFlight>,
    /// When the sessions that are open end, unless there is another mail.
    keep_until: Option<Instant>,
}

/// The mail that is being sent, for [`Dispatcher::discard_in_flight`].
struct InFlight {
    id: MailId,
    copies: u64,
}

impl Dispatcher {
    /// A dispatcher over these relays, in their order.
    pub fn new(relays: Vec<RelayState>, composer: Composer, shared: &Shared, config: &Config) -> Self {
        Dispatcher {
            relays,
            composer,
            store: shared.store.clone(),
            schedule: shared.schedule.clone(),
            waker: shared.dispatcher.clone(),
            counters: shared.counters.clone(),
            prewarm: shared.prewarm.clone(),
            board: shared.board.clone(),
            sender: config.routes.first().map(|route| route.from.clone()),
            retry: config.retry,
            in_flight: None,
            keep_until: None,
        }
    }

    /// The whole life of the dispatcher's thread. It ends when the schedule is closed and empty, or abandoned. A panic costs the
    /// mail at hand.
    pub fn run(mut self) {
        let waker = self.waker.clone();
        waker.register();
        self.publish_relays();
        let mut has_panicked = false;
        loop {
            let step = catch_unwind(AssertUnwindSafe(|| {
                if has_panicked {
                    log::error!("{}", internal_error("dispatcher", "one mail dropped"));
                    self.discard_in_flight();
                }
                self.step()
            }));
            if let Ok(false) = step {
                return;
            }
            has_panicked = step.is_err();
        }
    }

    /// Does the next task. False: it was the last one.
    fn step(&mut self) -> bool {
        match self.next_task() {
            Task::Send(entry) => {
                self.attempt(*entry);
                self.publish_relays();
                self.in_flight = None;
                self.prewarm.session_used();
                self.keep_until = self.keep_until.max(Some(Instant::now() + KEEP));
            }
            Task::OpenSession(until) => {
                self.open_session(until);
                self.publish_relays();
            }
            Task::CloseIdle => self.close_idle(),
            Task::Wait(due) => self.waker.sleep(due),
            Task::End => {
                self.close_idle();
                return false;
            }
        }
        true
    }

    /// Publishes the relays' status for all views.
    fn publish_relays(&self) {
        let now = Instant::now();
        self.board.publish_relays(self.relays.iter().map(|relay| relay.status(now)).collect());
    }

    /// The next thing to do.
    fn next_task(&mut self) -> Task {
        let now = Instant::now();
        // While all relays back off, mails stay in their order; those that expire need no relay.
        let next = match self.all_back_off_until().filter(|_| !self.schedule.is_draining()) {
            Some(until) => match self.schedule.take_first_if(now, |entry| self.is_expired(entry)) {
                Some(entry) => Next::Send(entry),
                None => Next::WaitUntil(Some(until)),
            },
            None => self.schedule.next(now),
        };
        match next {
            Next::Send(entry) => Task::Send(entry),
            Next::WaitUntil(due) => match self.prewarm.take_hint() {
                Some(until) if !self.schedule.is_draining() => Task::OpenSession(until),
                _ if self.keep_until.is_some_and(|until| until <= now) => Task::CloseIdle,
                _ => Task::Wait([due, self.keep_until].into_iter().flatten().min()),
            },
            Next::End => Task::End,
        }
    }

    /// Drops and counts the mail during which a panic ended a step: it, or its file, would cause the panic again.
    fn discard_in_flight(&mut self) {
        if let Some(lost) = self.in_flight.take() {
            self.counters.failed.many(lost.copies);
            self.store.delete(lost.id);
        }
    }

    /// The relay that the next mail is offered to first.
    fn first_usable_relay(&mut self, now: Instant) -> Option<&mut RelayState> {
        let draining = self.schedule.is_draining();
        self.relays.iter_mut().find(|relay| draining || !relay.is_backing_off(now))
    }

    /// Opens a session with the first usable relay, for a mail that may come until then. A relay that fails backs off, so that the
    /// mail goes to the next one at once.
    fn open_session(&mut self, until: Instant) {
        let now = Instant::now();
        let (sender, waiting) = (self.sender.clone(), self.store.len());
        let (Some(sender), Some(relay)) = (sender, self.first_usable_relay(now)) else { return };
        match relay.transport.open_session(&sender) {
            Ok(()) => self.keep_until = self.keep_until.max(Some(until)),
            Err(error) => {
                relay.back_off(Instant::now());
                relay.report(&error, waiting);
            }
        }
    }

    fn close_idle(&mut self) {
        self.keep_until = None;
        for relay in &mut self.relays {
            relay.transport.close_idle();
        }
    }

    fn attempt(&mut self, mut entry: Entry) {
        self.in_flight = Some(InFlight { id: entry.id, copies: 1 });
        let (mail, left) = match self.store.load(entry.id) {
            Ok(mail) => (mail.notification.clone(), mail.remaining.clone()),
            Err(why) => return self.cannot_read(entry, why),
        };
        self.in_flight = Some(InFlight { id: entry.id, copies: left.len() as u64 });
        #[cfg(feature = "fault-injection")]
        assert!(mail.lead().event.server.as_deref() != Some("panic-in-the-dispatcher"), "asked for");
        let (composer, last_error) = (self.composer.clone(), entry.last_error.clone());
        let message = LazyMail::new(|| composer.compose(&mail, SystemTime::now(), last_error.as_deref()));
        let (left, due) = self.offer(&mut entry, &mail, left, &message);
        if let Some(why) = message.error() {
            log::error!(
                "internal error: cannot compose a mail of '{}': {why}; please report this",
                mail.summary()
            );
            self.counters.failed.many(left.len() as u64);
            return self.store.delete(entry.id);
        }
        drop(message);
        if left.is_empty() {
            return self.store.delete(entry.id);
        }
        entry.attempts = entry.attempts.saturating_add(1);
        self.reschedule(entry, &mail, &left, due);
    }

    /// The mail cannot be read from the spool: it is tried again later, or is lost.
    fn cannot_read(&self, mut entry: Entry, why: Unreadable) {
        let why = match why {
            Unreadable::Unavailable(_) if !self.is_expired(&entry) => {
                entry.attempts = entry.attempts.saturating_add(1);
                let draining = self.schedule.is_draining();
                let pause = if draining { LAST_PAUSE } else { pause(entry.attempts, LONGEST_BACK_OFF) };
                return self.schedule.reschedule(entry, Some(Instant::now() + pause));
            }
            Unreadable::Gone => "somebody removed its file".to_owned(),
            Unreadable::Damaged(why) => format!("its file was changed: {why}"),
            Unreadable::Unavailable(error) => format!("its file cannot be read: {}", error.desc()),
        };
        log::error!("a mail of the spool is lost: {why}");
        self.counters.failed.one();
        self.store.delete(entry.id);
    }

    /// Offers a mail to the relays, one after the other. Returns the recipients that are left, and, if a relay refused this mail for
    /// now, when to try again at the earliest; else it is tried as soon as a relay may be.
    fn offer(
        &mut self,
        entry: &mut Entry,
        mail: &Arc<Notification>,
        mut left: Vec<Recipient>,
        message: &LazyMail,
    ) -> (Vec<Recipient>, Option<Instant>) {
        let draining = self.schedule.is_draining();
        let mut due: Option<Instant> = None;
        // Recipients for whom every relay so far lacks an extension, and the last relay's error.
        let (mut unserved, mut lack) = (left.clone(), String::new());
        for relay in &mut self.relays {
            if !draining && relay.is_backing_off(Instant::now()) {
                unserved.clear();
                continue;
            }
            let delivery = Delivery { notification: mail, recipients: &left, mail: message };
            let outcomes = match relay.transport.deliver(&delivery) {
                Ok(outcomes) => outcomes,
                Err(_) if message.error().is_some() => return (left, None),
                Err(error) => {
                    relay.back_off(Instant::now());
                    relay.report(&error, self.store.len());
                    entry.last_error = Some(format!("relay {}: {error}", relay.name));
                    unserved.clear();
                    continue;
                }
            };
            let before = left.len();
            let outcome = AttemptResult::of(relay, &self.counters, mail, left, outcomes);
            outcome.report(relay, entry.last_error.as_deref(), self.store.len());
            if let Some(missing) = &outcome.lack {
                lack = format!("relay {}: {missing}", relay.name);
            }
            if let Some(error) = outcome.error.as_ref().or(outcome.lack.as_ref()) {
                entry.last_error = Some(format!("relay {}: {error}", relay.name));
                let back = Instant::now() + pause(entry.attempts + 1, LONGEST_PAUSE);
                due = Some(due.map_or(back, |due| due.min(back)));
            }
            unserved.retain(|recipient| outcome.unserved.contains(recipient));
            left = outcome.left;
            if left.is_empty() {
                return (left, due);
            }
            if left.len() < before {
                self.store
                    .update(entry.id, PendingMail { notification: mail.clone(), remaining: left.clone() });
                self.in_flight = Some(InFlight { id: entry.id, copies: left.len() as u64 });
            }
        }
        if !unserved.is_empty() {
            let to = addresses(&unserved);
            log::error!("every relay refused the mail '{}' to {to} for good: {lack}", mail.summary());
            self.counters.failed.many(unserved.len() as u64);
            left.retain(|recipient| !unserved.contains(recipient));
            if !left.is_empty() {
                self.store
                    .update(entry.id, PendingMail { notification: mail.clone(), remaining: left.clone() });
            }
        }
        (left, due)
    }

    /// When the first of the relays may be tried again, if all of them back off.
    fn all_back_off_until(&self) -> Option<Instant> {
        let now = Instant::now();
        let all_back_off = self.relays.iter().all(|relay| relay.is_backing_off(now));
        all_back_off.then(|| self.relays.iter().filter_map(|relay| relay.retry_at).min()).flatten()
    }

    /// Is it older than `email_alert.retry`? By the wall clock: a mail of the spool may be older than this process.
    fn is_expired(&self, entry: &Entry) -> bool {
        age(entry) >= self.retry
    }

    /// Schedules the next attempt for the recipients that are left, unless the mail expires.
    fn reschedule(&self, entry: Entry, mail: &Notification, left: &[Recipient], due: Option<Instant>) {
        let copies = left.len() as u64;
        let due = if self.schedule.is_draining() { Some(Instant::now() + LAST_PAUSE) } else { due };
        if self.is_expired(&entry) {
            log::error!(
                "gave up after {}: '{}' to {}: {}",
                span(age(&entry)),
                mail.summary(),
                addresses(left),
                entry.last_error.as_deref().unwrap_or("no relay took it")
            );
            self.counters.failed.many(copies);
            return self.store.delete(entry.id);
        }
        self.counters.retried.many(copies);
        self.schedule.reschedule(entry, due);
    }
}

/// The result of one attempt at one relay.
struct AttemptResult {
    /// Recipients that have not got the mail.
    left: Vec<Recipient>,
    /// Why some are left for now.
    error: Option<DeliveryError>,
    /// Recipients of `left` for whom the relay lacks an extension.
    unserved: Vec<Recipient>,
    lack: Option<DeliveryError>,
}

impl AttemptResult {
    /// Counts the outcomes of one attempt, and logs those that are final.
    fn of(
        relay: &RelayState,
        counters: &Counters,
        mail: &Notification,
        tried: Vec<Recipient>,
        outcomes: Vec<Outcome>,
    ) -> Self {
        let mut result = AttemptResult { left: Vec::new(), error: None, unserved: Vec::new(), lack: None };
        for (recipient, outcome) in tried.into_iter().zip(outcomes) {
            match outcome {
                Outcome::Delivered => counters.delivered.one(),
                Outcome::Permanent(error) => {
                    counters.failed.one();
                    log::error!(
                        "relay {} refused the mail '{}' to {} for good: {error}",
                        relay.name,
                        mail.summary(),
                        recipient.address
                    );
                }
                Outcome::Transient(error) => {
                    result.left.push(recipient);
                    result.error = Some(error);
                }
                Outcome::Unsupported(error) => {
                    result.left.push(recipient.clone());
                    result.unserved.push(recipient);
                    result.lack = Some(error);
                }
            }
        }
        result
    }

    /// Logs the state of the relay. `before`: why this mail was not sent before.
    fn report(&self, relay: &mut RelayState, before: Option<&str>, waiting: u64) {
        match &self.error {
            // The attempt before failed with the same text, which the log has.
            Some(error) if before.is_some_and(|before| before.ends_with(&error.to_string())) => {}
            Some(error) => relay.report(error, waiting),
            None => relay.mark_working(),
        }
    }
}

fn age(entry: &Entry) -> Duration {
    entry.created.elapsed().unwrap_or_default()
}

fn addresses(to: &[Recipient]) -> String {
    to.iter().map(|recipient| recipient.address.as_ref()).collect::<Vec<&str>>().join(", ")
}

/// The pause after so many failures: doubled each time, and spread so that many do not come back together.
fn pause(failures: u32, longest: Duration) -> Duration {
    let doubled = FIRST_PAUSE.saturating_mul(1 << failures.saturating_sub(1).min(16));
    doubled.min(longest).mul_f64(0.8 + 0.4 * fastrand::f64())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_and_stay_bounded() {
        for (failures, seconds) in [(0, 1.0), (1, 1.0), (2, 2.0), (5, 16.0), (7, 60.0), (u32::MAX, 60.0)] {
            for _ in 0..50 {
                let pause = pause(failures, LONGEST_BACK_OFF).as_secs_f64();
                assert!((seconds * 0.8..=seconds * 1.2).contains(&pause), "{failures}: {pause}");
            }
        }
    }
}
