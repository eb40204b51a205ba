// SPDX-License-Identifier: MIT OR Apache-2.0
//! How a mail leaves: one small trait, three ways.
//!
//! A transport says of each recipient whether it is delivered, may be tried later or never, with the relay's own words.
//! It knows nothing of retries and of other relays: those are [`crate::service`]'s.

pub mod command;
pub mod file;
pub mod smtp;

use crate::message::Message;
use crate::settings::Recipient;
use crate::text::{bounded, visible};
use lettre::Address;
use std::fmt;

/// What is to be sent, and to whom (RFC 5321's envelope).
pub struct Delivery<'a> {
    /// The reverse-path.
    pub from: &'a Address,
    /// Those who have not got it yet; never empty.
    pub to: &'a [Recipient],
    /// The mail.
    pub message: &'a Message,
}

/// What became of one recipient's copy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// The relay has taken responsibility for it.
    Delivered,
    /// Not now; the same may work later.
    Transient(DeliveryError),
    /// Refused for good.
    Permanent(DeliveryError),
    /// This relay lacks something that it takes; another one may have it.
    Unsupported(DeliveryError),
}

/// What went wrong: the step, and the words of the peer or of the system.
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

/// A way for mails out of this process. Used by one thread.
pub trait Transport: Send {
    /// Tries once. The outcomes are in the order of `delivery.to`.
    ///
    /// # Errors
    ///
    /// The relay could not be used at all: nobody got anything, another relay may be tried.
    fn send(&mut self, delivery: &Delivery) -> Result<Vec<Outcome>, DeliveryError>;

    /// A mail may come soon: opens a session for it, or looks that there is one. `sender`: whose it most likely is.
    ///
    /// # Errors
    ///
    /// The relay cannot be used.
    fn open_session(&mut self, _sender: &Address) -> Result<(), DeliveryError> {
        Ok(())
    }

    /// Nothing more is waiting: ends a session that was kept open.
    fn close_idle(&mut self) {}
}
