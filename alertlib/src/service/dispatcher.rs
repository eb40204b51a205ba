// SPDX-License-Identifier: MIT OR Apache-2.0
//! The dispatcher: takes due mails from the schedule and tries the relays in the order of the configuration.
//!
//! A session with a relay is kept open for [`SESSION_KEEP`]. After a failure a relay backs off, so that other mails do not wait for
//! it; a mail that no relay took is retried with growing delays. An error is logged when it begins, changes or ends, not at each
//! attempt.

use crate::counters::Counters;
use crate::format::{count, span};
use crate::message::Composer;
use crate::notification::Notification;
use crate::queue::{Entry, MailId, Next, PendingMail, Unreadable};
use crate::service::collector::Shared;
use crate::service::status::{RelayHealth, RelayStatus};
use crate::service::steps::Steps;
use crate::settings::{Config, Recipient};
use crate::transport::{Delivery, DeliveryError, LazyMail, Outcome, Transport};
use lettre::Address;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

/// The first delay after a failure; it doubles with each further one.
const FIRST_DELAY: Duration = Duration::from_secs(1);
/// The longest back-off of a relay.
const MAX_BACK_OFF: Duration = Duration::from_secs(60);
/// The longest delay between two attempts at a mail.
const MAX_RETRY_DELAY: Duration = Duration::from_secs(15 * 60);
/// Time for which a session stays open after a mail: each further mail in it saves three round trips.
const SESSION_KEEP: Duration = Duration::from_secs(5);
/// The delay between two attempts at a mail while the service drains: a relay that is being restarted may still get it.
const DRAIN_DELAY: Duration = Duration::from_millis(200);

/// A relay and its health.
pub struct RelayState {
    name: String,
    transport: Box<dyn Transport>,
    /// A mail was offered to it, or a session was to be opened.
    is_tried: bool,
    failures: u32,
    /// End of the back-off after the last failure, until the relay works again.
    retry_at: Option<Instant>,
    /// The last error that was logged, until the relay works again.
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

    fn status(&self, now: Instant) -> RelayStatus {
        let health = match self.retry_at.map(|until| until.saturating_duration_since(now)) {
            Some(time) => RelayHealth::BackingOff { until: SystemTime::now() + time },
            None if self.is_tried => RelayHealth::Working,
            None => RelayHealth::Untried,
        };
        let last_error = self.reported.as_ref().map(ToString::to_string);
        RelayStatus { name: self.name.clone(), health, last_error }
    }

    fn is_backing_off(&self, now: Instant) -> bool {
        self.retry_at.is_some_and(|until| until > now)
    }

    /// Logs the error, unless it was the last one that was logged.
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
        self.failures = 0;
        self.retry_at = None;
        if self.reported.take().is_some() {
            log::info!("relay {}: works again", self.name);
        }
    }

    fn back_off(&mut self, now: Instant) {
        self.failures = self.failures.saturating_add(1);
        self.retry_at = Some(now + retry_delay(self.failures, MAX_BACK_OFF));
    }
}

/// The dispatcher: one thread.
pub struct Dispatcher {
    relays: Vec<RelayState>,
    composer: Composer,
    shared: Shared,
    /// The likely sender of the mail that a prewarmed session is for: with `oauth-token-file`, a session is of one account.
    sender: Option<Address>,
    retry: Duration,
    in_flight: Option<InFlight>,
    /// Time at which open sessions are closed, unless a mail is sent before.
    keep_until: Option<Instant>,
}

/// The mail that is being sent, for [`Dispatcher::discard_in_flight`].
struct InFlight {
    id: MailId,
    copies: u64,
}

impl Dispatcher {
    /// A dispatcher over these relays, in their order.
    pub fn new(relays: Vec<RelayState>, composer: Composer, shared: Shared, config: &Config) -> Self {
        let dispatcher = Dispatcher {
            relays,
            composer,
            shared,
            sender: config.routes.first().map(|route| route.from.clone()),
            retry: config.retry,
            in_flight: None,
            keep_until: None,
        };
        // Views may ask before the dispatcher's thread runs.
        dispatcher.publish_relays();
        dispatcher
    }

    /// Makes the calling thread the one that [`Waker::wake`](super::waker::Waker::wake) wakes. Called once, by the dispatcher's thread.
    pub fn register(&self) {
        self.shared.dispatcher.register();
    }

    fn publish_relays(&self) {
        let now = Instant::now();
        self.shared.board.relays.publish(self.relays.iter().map(|relay| relay.status(now)).collect());
    }

    /// Returns the next step. While all relays back off, mails stay in their order; those that expire need no relay. When no
    /// transaction may begin, mails stay where they are: the process ends.
    fn next_step(&self) -> Next {
        let now = Instant::now();
        let next = match self.all_back_off_until().filter(|_| !self.shared.schedule.is_draining()) {
            Some(until) => match self.shared.schedule.take_first_if(now, |entry| self.is_expired(entry)) {
                Some(entry) => Next::Send(entry),
                None => Next::WaitUntil(Some(until)),
            },
            None => self.shared.schedule.next(now),
        };
        match next {
            Next::Send(entry) if self.shared.transactions.is_closed() => {
                self.shared.schedule.reschedule(*entry, None);
                Next::WaitUntil(None)
            }
            next => next,
        }
    }

    /// No mail is due before `due`: opens a session for a mail that may come, closes an idle one, or sleeps.
    fn wait(&mut self, due: Option<Instant>) {
        match self.shared.prewarm.take_hint() {
            Some(until) if !self.shared.schedule.is_draining() => {
                self.open_session(until);
                self.publish_relays();
            }
            _ if self.keep_until.is_some_and(|until| until <= Instant::now()) => self.close_idle(),
            _ => self.shared.dispatcher.sleep([due, self.keep_until].into_iter().flatten().min()),
        }
    }

    /// Returns the relay that the next mail is offered to first.
    fn first_usable_relay(&mut self, now: Instant) -> Option<&mut RelayState> {
        let draining = self.shared.schedule.is_draining();
        self.relays.iter_mut().find(|relay| draining || !relay.is_backing_off(now))
    }

    /// Opens a session with the first usable relay, to be kept until `until`. A relay that fails backs off, so that the mail goes to
    /// the next relay at once.
    fn open_session(&mut self, until: Instant) {
        let now = Instant::now();
        let (sender, waiting) = (self.sender.clone(), self.shared.store.len());
        let (Some(sender), Some(relay)) = (sender, self.first_usable_relay(now)) else { return };
        relay.is_tried = true;
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
        let (mail, remaining) = match self.shared.store.load(entry.id) {
            Ok(mail) => (mail.notification.clone(), mail.remaining.clone()),
            Err(why) => return self.handle_unreadable(entry, why),
        };
        self.in_flight = Some(InFlight { id: entry.id, copies: remaining.len() as u64 });
        #[cfg(feature = "fault-injection")]
        assert!(mail.lead().event.server.as_deref() != Some("panic-in-the-dispatcher"), "asked for");
        let (composer, last_error) = (self.composer.clone(), entry.last_error.clone());
        let message = LazyMail::new(|| composer.compose(&mail, SystemTime::now(), last_error.as_deref()));
        let (remaining, due) = self.offer(&mut entry, &mail, remaining, &message);
        if let Some(why) = message.error() {
            log::error!(
                "internal error: cannot compose a mail of '{}': {why}; please report this",
                mail.summary()
            );
            self.shared.counters.failed.many(remaining.len() as u64);
            return self.shared.store.delete(entry.id);
        }
        drop(message);
        if remaining.is_empty() {
            return self.shared.store.delete(entry.id);
        }
        entry.attempts = entry.attempts.saturating_add(1);
        self.reschedule(entry, &mail, &remaining, due);
    }

    /// Reschedules a mail that cannot be read from the spool now; drops one that never can be.
    fn handle_unreadable(&self, mut entry: Entry, why: Unreadable) {
        let why = match why {
            Unreadable::Unavailable(_) if !self.is_expired(&entry) => {
                entry.attempts = entry.attempts.saturating_add(1);
                let draining = self.shared.schedule.is_draining();
                let delay = if draining { DRAIN_DELAY } else { retry_delay(entry.attempts, MAX_BACK_OFF) };
                return self.shared.schedule.reschedule(entry, Some(Instant::now() + delay));
            }
            Unreadable::Gone => "somebody removed its file".to_owned(),
            Unreadable::Damaged(why) => format!("its file was changed: {why}"),
            Unreadable::Unavailable(error) => format!("its file cannot be read: {}", error.desc()),
        };
        log::error!("a mail of the spool is lost: {why}");
        self.shared.counters.failed.one();
        self.shared.store.delete(entry.id);
    }

    /// Offers a mail to the relays, one after the other. Returns the remaining recipients and, if a relay deferred this mail, the
    /// earliest time of the next attempt; `None`: as soon as a relay may be tried.
    fn offer(
        &mut self,
        entry: &mut Entry,
        mail: &Arc<Notification>,
        mut remaining: Vec<Recipient>,
        message: &LazyMail,
    ) -> (Vec<Recipient>, Option<Instant>) {
        let draining = self.shared.schedule.is_draining();
        let mut due: Option<Instant> = None;
        // Recipients that no relay so far supports, and the last such relay's error.
        let (mut unsupported, mut unsupported_error) = (remaining.clone(), String::new());
        for relay in &mut self.relays {
            if !draining && relay.is_backing_off(Instant::now()) {
                unsupported.clear();
                continue;
            }
            relay.is_tried = true;
            let transactions = &self.shared.transactions;
            let delivery =
                Delivery { notification: mail, recipients: &remaining, mail: message, transactions };
            let outcomes = match relay.transport.deliver(&delivery) {
                Ok(outcomes) => outcomes,
                Err(_) if message.error().is_some() || transactions.is_closed() => return (remaining, None),
                Err(error) => {
                    relay.back_off(Instant::now());
                    relay.report(&error, self.shared.store.len());
                    entry.last_error = Some(format!("relay {}: {error}", relay.name));
                    unsupported.clear();
                    continue;
                }
            };
            let before = remaining.len();
            let result = AttemptResult::of(relay, &self.shared.counters, mail, remaining, outcomes);
            result.report(relay, entry.last_error.as_deref(), self.shared.store.len());
            if let Some(error) = &result.unsupported_error {
                unsupported_error = format!("relay {}: {error}", relay.name);
            }
            if let Some(error) = result.error.as_ref().or(result.unsupported_error.as_ref()) {
                entry.last_error = Some(format!("relay {}: {error}", relay.name));
                let retry_at = Instant::now() + retry_delay(entry.attempts + 1, MAX_RETRY_DELAY);
                due = Some(due.map_or(retry_at, |due| due.min(retry_at)));
            }
            unsupported.retain(|recipient| result.unsupported.contains(recipient));
            remaining = result.remaining;
            if remaining.is_empty() {
                return (remaining, due);
            }
            if remaining.len() < before {
                let mail = PendingMail { notification: mail.clone(), remaining: remaining.clone() };
                self.shared.store.update(entry.id, mail);
                self.in_flight = Some(InFlight { id: entry.id, copies: remaining.len() as u64 });
            }
        }
        if !unsupported.is_empty() {
            log::error!(
                "every relay refused the mail '{}' to {} for good: {unsupported_error}",
                mail.summary(),
                addresses(&unsupported)
            );
            self.shared.counters.failed.many(unsupported.len() as u64);
            remaining.retain(|recipient| !unsupported.contains(recipient));
            if !remaining.is_empty() {
                let mail = PendingMail { notification: mail.clone(), remaining: remaining.clone() };
                self.shared.store.update(entry.id, mail);
            }
        }
        (remaining, due)
    }

    /// The earliest end of a back-off, if all relays back off.
    fn all_back_off_until(&self) -> Option<Instant> {
        let now = Instant::now();
        let all_back_off = self.relays.iter().all(|relay| relay.is_backing_off(now));
        all_back_off.then(|| self.relays.iter().filter_map(|relay| relay.retry_at).min()).flatten()
    }

    /// True if the mail is older than `email_alert.retry`, by the wall clock: a mail of the spool may be older than this process.
    fn is_expired(&self, entry: &Entry) -> bool {
        age(entry) >= self.retry
    }

    /// Schedules the next attempt for the remaining recipients, unless the mail expires.
    fn reschedule(&self, entry: Entry, mail: &Notification, remaining: &[Recipient], due: Option<Instant>) {
        let copies = remaining.len() as u64;
        let due = if self.shared.schedule.is_draining() { Some(Instant::now() + DRAIN_DELAY) } else { due };
        if self.is_expired(&entry) {
            log::error!(
                "gave up after {}: '{}' to {}: {}",
                span(age(&entry)),
                mail.summary(),
                addresses(remaining),
                entry.last_error.as_deref().unwrap_or("no relay took it")
            );
            self.shared.counters.failed.many(copies);
            return self.shared.store.delete(entry.id);
        }
        self.shared.counters.retried.many(copies);
        self.shared.schedule.reschedule(entry, due);
    }
}

impl Steps for Dispatcher {
    const THREAD: &'static str = "dispatcher";
    const LOSS: &'static str = "one mail dropped";

    /// Does the next step. False: it was the last one.
    fn step(&mut self) -> bool {
        match self.next_step() {
            Next::Send(entry) => {
                self.attempt(*entry);
                self.shared.transactions.end();
                self.publish_relays();
                self.in_flight = None;
                self.shared.prewarm.session_used();
                self.keep_until = self.keep_until.max(Some(Instant::now() + SESSION_KEEP));
            }
            Next::WaitUntil(due) => self.wait(due),
            Next::End => {
                self.close_idle();
                return false;
            }
        }
        true
    }

    /// Drops and counts the mail whose attempt panicked: the mail, or its file, would cause the panic again.
    fn discard_in_flight(&mut self) {
        if let Some(lost) = self.in_flight.take() {
            self.shared.counters.failed.many(lost.copies);
            self.shared.store.delete(lost.id);
        }
        self.shared.transactions.end();
    }
}

/// The result of one attempt at one relay.
#[derive(Default)]
struct AttemptResult {
    /// Recipients that have not got the mail and were not refused permanently.
    remaining: Vec<Recipient>,
    /// Why the relay deferred the mail for some of them.
    error: Option<DeliveryError>,
    /// The recipients in `remaining` for which the relay lacks an SMTP extension.
    unsupported: Vec<Recipient>,
    unsupported_error: Option<DeliveryError>,
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
        let mut result = AttemptResult::default();
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
                    result.remaining.push(recipient);
                    result.error = Some(error);
                }
                Outcome::Unsupported(error) => {
                    result.remaining.push(recipient.clone());
                    result.unsupported.push(recipient);
                    result.unsupported_error = Some(error);
                }
            }
        }
        result
    }

    /// Logs a change of the relay's state. `last_error`: the error of the mail's attempt before.
    fn report(&self, relay: &mut RelayState, last_error: Option<&str>, waiting: u64) {
        match &self.error {
            // The attempt before failed with the same text, which is logged.
            Some(error) if last_error.is_some_and(|last| last.ends_with(&error.to_string())) => {}
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

/// The delay after `failures` failures in a row: doubled each time up to `longest`, then spread by 20 % either way, so that attempts
/// of several processes do not coincide.
fn retry_delay(failures: u32, longest: Duration) -> Duration {
    let doubled = FIRST_DELAY.saturating_mul(1 << failures.saturating_sub(1).min(16));
    doubled.min(longest).mul_f64(0.8 + 0.4 * fastrand::f64())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn retry_delays_double_up_to_the_longest() {
        for (failures, seconds) in [(0, 1.0), (1, 1.0), (2, 2.0), (5, 16.0), (7, 60.0), (u32::MAX, 60.0)] {
            for _ in 0..50 {
                let delay = retry_delay(failures, MAX_BACK_OFF).as_secs_f64();
                assert!((seconds * 0.8..=seconds * 1.2).contains(&delay), "{failures}: {delay}");
            }
        }
    }
}
