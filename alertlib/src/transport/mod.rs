// SPDX-License-Identifier: MIT OR Apache-2.0
//! Transports: SMTP, a mail program, a directory of files; behind one trait.
//!
//! A transport makes one attempt, and reports for each recipient whether the mail is delivered, may be retried, or failed permanently,
//! with the relay's own text. Retries and failover to other relays are the dispatcher's work ([`crate::service`]).

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
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};

/// One attempt to deliver a notification (RFC 5321's envelope and content).
pub struct Delivery<'a> {
    /// The notification; its `from` is the reverse-path.
    pub notification: &'a Notification,
    /// The recipients that have not got the mail; never empty.
    pub recipients: &'a [Recipient],
    /// The composed mail, shared by all relays of one attempt.
    pub mail: &'a LazyMail<'a>,
    /// Permits the transaction.
    pub transactions: &'a Transactions,
}

impl Delivery<'_> {
    /// The reverse-path.
    pub fn from(&self) -> &Address {
        &self.notification.from
    }

    /// Sends the mail to the recipients that the relay supports. Returns the outcomes of all recipients, in their order.
    ///
    /// `check`: returns why the relay cannot serve a recipient. `send`: returns an outcome for each supported recipient; not called
    /// if there is none.
    ///
    /// # Errors
    ///
    /// The errors of `send`.
    fn send_to_supported(
        &self,
        check: impl Fn(&Recipient) -> Result<(), DeliveryError>,
        send: impl FnOnce(&[&Recipient]) -> Result<Vec<Outcome>, DeliveryError>,
    ) -> Result<Vec<Outcome>, DeliveryError> {
        let checked: Vec<_> = self.recipients.iter().map(|to| check(to).map(|()| to)).collect();
        let supported: Vec<&Recipient> = checked.iter().flatten().copied().collect();
        let sent = if supported.is_empty() { Vec::new() } else { send(&supported)? };
        let mut sent = sent.into_iter();
        let outcome = |checked| match checked {
            Ok(_) => sent.next(),
            Err(error) => Some(Outcome::Unsupported(error)),
        };
        Ok(checked.into_iter().filter_map(outcome).collect())
    }

    /// Begins the transaction: the caller sends the returned mail at once.
    ///
    /// # Errors
    ///
    /// The process ends, or the mail cannot be composed.
    pub fn begin(&self) -> Result<&Message, DeliveryError> {
        let mail = self.mail.get()?;
        match self.transactions.begin() {
            true => Ok(mail),
            false => Err(DeliveryError::new("begin the transaction", "the process ends")),
        }
    }
}

/// Lets the process end between two transactions. If it ended within one, the next process would send a mail of the spool again that
/// the relay may have taken.
#[derive(Default)]
pub struct Transactions {
    is_closed: AtomicBool,
    is_under_way: AtomicBool,
}

impl Transactions {
    /// Begins a transaction, or continues the present one. False: none may begin. By the dispatcher only.
    fn begin(&self) -> bool {
        let was_under_way = self.is_under_way.swap(true, SeqCst);
        // Read after the write: the thread that closes reads in the opposite order, so at least one of the two sees the other.
        let is_permitted = !self.is_closed();
        if !is_permitted {
            self.is_under_way.store(was_under_way, SeqCst);
        }
        is_permitted
    }

    /// Ends the transaction: its outcome is stored. By the dispatcher only.
    pub fn end(&self) {
        self.is_under_way.store(false, SeqCst);
    }

    /// Permits no further transaction until [`Transactions::open`]. Any thread.
    pub fn close(&self) {
        self.is_closed.store(true, SeqCst);
    }

    /// Permits transactions. Any thread.
    pub fn open(&self) {
        self.is_closed.store(false, SeqCst);
    }

    /// True after [`Transactions::close`]. Any thread.
    pub fn is_closed(&self) -> bool {
        self.is_closed.load(SeqCst)
    }

    /// True while the outcome of a transaction is not stored. Any thread.
    pub fn is_under_way(&self) -> bool {
        self.is_under_way.load(SeqCst)
    }
}

/// A mail that is composed when a transport first needs it: no mail is composed for a relay that cannot be reached.
pub struct LazyMail<'a> {
    compose: Box<dyn Fn() -> Result<Message, String> + 'a>,
    composed: OnceCell<Result<Message, String>>,
}

impl<'a> LazyMail<'a> {
    /// Creates a mail that is composed by `compose`.
    pub fn new(compose: impl Fn() -> Result<Message, String> + 'a) -> Self {
        LazyMail { compose: Box::new(compose), composed: OnceCell::new() }
    }

    /// Returns the mail; composes it the first time.
    ///
    /// # Errors
    ///
    /// The mail cannot be composed, for any relay: see [`LazyMail::error`].
    pub fn get(&self) -> Result<&Message, DeliveryError> {
        let composed = self.composed.get_or_init(|| (self.compose)());
        composed.as_ref().map_err(|why| DeliveryError::new("compose the mail", why))
    }

    /// Returns the error of composing, if a transport has called [`LazyMail::get`].
    pub fn error(&self) -> Option<&str> {
        self.composed.get()?.as_ref().err().map(String::as_str)
    }
}

/// The outcome for one recipient (RFC 5321, 4.2.1).
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// The relay has taken responsibility for the mail.
    Delivered,
    /// Refused for now: the relay may accept the mail later.
    Transient(DeliveryError),
    /// Refused permanently.
    Permanent(DeliveryError),
    /// This relay cannot carry the mail (no SMTPUTF8, size limit); another relay may.
    Unsupported(DeliveryError),
}

/// The error of an attempt: the step, and the text of the peer or of the system.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeliveryError {
    /// `connect`, `MAIL FROM`, `RCPT TO <x>`, `DATA`, `start /usr/sbin/sendmail`, ...
    pub step: String,
    /// `451 4.3.0 try again`, `Connection refused`, `exit status 75: disk full`, ...; one line, printable.
    pub text: String,
}

impl DeliveryError {
    /// Creates an error with a text from the network or from a program, made printable and bounded.
    pub fn new(step: impl Into<String>, text: impl AsRef<str>) -> Self {
        const LONGEST: usize = 400;
        DeliveryError { step: step.into(), text: bounded(visible(text.as_ref().trim_end()), LONGEST) }
    }
}

impl fmt::Display for DeliveryError {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        write!(f, "{}: {}", self.step, self.text)
    }
}

/// A way to deliver mails. Used by the dispatcher's thread only.
pub trait Transport: Send {
    /// Makes one attempt. The outcomes are in the order of `delivery.recipients`.
    ///
    /// # Errors
    ///
    /// The relay could not be used at all: no recipient has got the mail, another relay may be tried.
    fn deliver(&mut self, delivery: &Delivery) -> Result<Vec<Outcome>, DeliveryError>;

    /// Opens a session, unless one is open, for a mail that may come soon. `sender`: its likely reverse-path.
    ///
    /// # Errors
    ///
    /// The relay cannot be used.
    fn open_session(&mut self, _sender: &Address) -> Result<(), DeliveryError> {
        Ok(())
    }

    /// Closes a session that was kept open for the next mail.
    fn close_idle(&mut self) {}
}
