// SPDX-License-Identifier: MIT OR Apache-2.0
//! Transports: ways for mails out of this process, behind one small trait.
//!
//! A transport tries once, and reports for each recipient whether the copy is delivered, may be retried, or failed permanently,
//! with the relay's own words. It knows nothing of retries and of other relays: the dispatcher ([`crate::service`]) owns those.

pub mod command;
pub mod file;
pub mod smtp;

use crate::message::Message;
use crate::notification::Notification;
use crate::settings::Recipient;
use crate::text::{bounded, visible};
use lettre::Address;
use std::cell::OnceCell;
use std::fmt;

/// One attempt to deliver a notification (RFC 5321's envelope and content).
pub struct Delivery<'a> {
    /// The notification: its `from` is the reverse-path.
    pub notification: &'a Notification,
    /// The recipients who have no copy yet; never empty.
    pub recipients: &'a [Recipient],
    /// The mail, shared by all relays of one attempt.
    pub mail: &'a LazyMail<'a>,
}

impl Delivery<'_> {
    /// The reverse-path.
    pub fn from(&self) -> &Address {
        &self.notification.from
    }
}

/// A mail that is composed when a transport first needs it: a relay that cannot be reached costs no composing.
pub struct LazyMail<'a> {
    compose: Box<dyn Fn() -> Result<Message, String> + 'a>,
    composed: OnceCell<Result<Message, String>>,
}

impl<'a> LazyMail<'a> {
    /// A mail that `compose` will make.
    pub fn new(compose: impl Fn() -> Result<Message, String> + 'a) -> Self {
        LazyMail { compose: Box::new(compose), composed: OnceCell::new() }
    }

    /// The mail; composes it the first time.
    ///
    /// # Errors
    ///
    /// It cannot be composed, for any relay: see [`LazyMail::error`].
    pub fn get(&self) -> Result<&Message, DeliveryError> {
        let composed = self.composed.get_or_init(|| (self.compose)());
        composed.as_ref().map_err(|why| DeliveryError::new("compose the mail", why))
    }

    /// Why the mail cannot be composed, if a transport has tried that.
    pub fn error(&self) -> Option<&str> {
        self.composed.get()?.as_ref().err().map(String::as_str)
    }
}

/// The outcome of one recipient's copy (RFC 5321, 4.2.1).
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// The relay has taken responsibility for it.
    Delivered,
    /// Refused for now: the same may be accepted later.
    Transient(DeliveryError),
    /// Refused permanently.
    Permanent(DeliveryError),
    /// This relay cannot carry the mail (no SMTPUTF8, size limit); another one may.
    Unsupported(DeliveryError),
}

/// Why an attempt failed: the step, and the words of the peer or of the system.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeliveryError {
    /// `connect`, `MAIL FROM`, `RCPT TO <x>`, `DATA`, `start /usr/sbin/sendmail`, ...
    pub step: String,
    /// `451 4.3.0 try again`, `Connection refused`, `exit status 75: disk full`, ...; one line, printable.
    pub words: String,
}

impl DeliveryError {
    /// `words` are made printable and bounded: they come from the network or from a program.
    pub fn new(step: impl Into<String>, words: impl AsRef<str>) -> Self {
        const LONGEST: usize = 400;
        DeliveryError { step: step.into(), words: bounded(visible(words.as_ref().trim_end()), LONGEST) }
    }
}

impl fmt::Display for DeliveryError {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        write!(f, "{}: {}", self.step, self.words)
    }
}

/// A way for mails out of this process. Used by the dispatcher's thread only.
pub trait Transport: Send {
    /// Tries once. The outcomes are in the order of `delivery.recipients`.
    ///
    /// # Errors
    ///
    /// The relay could not be used at all: no recipient has a copy, another relay may be tried.
    fn deliver(&mut self, delivery: &Delivery) -> Result<Vec<Outcome>, DeliveryError>;

    /// Opens a session, unless one is open: a mail may come soon. `sender`: its likely reverse-path.
    ///
    /// # Errors
    ///
    /// The relay cannot be used.
    fn open_session(&mut self, _sender: &Address) -> Result<(), DeliveryError> {
        Ok(())
    }

    /// Closes a session that was kept open for another mail.
    fn close_idle(&mut self) {}
}
