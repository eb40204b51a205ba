// SPDX-License-Identifier: MIT OR Apache-2.0
//! What a relay can do beyond RFC 5321's minimum, by its reply to EHLO.

use super::session::Reply;
use crate::settings::Recipient;

/// What a relay has to offer (RFC 5321, 4.1.1.1).
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Extensions {
    /// Protection from then on (RFC 3207).
    pub starttls: bool,
    /// Addresses outside ASCII (RFC 6531).
    pub smtputf8: bool,
    /// Several commands at once (RFC 2920).
    pub pipelining: bool,
    /// Mails whose length is said before them (RFC 3030).
    pub chunking: bool,
    /// The largest mail, in bytes; `Some(0)`: no limit that it would tell (RFC 1870, 4).
    pub size: Option<usize>,
    /// Mechanisms of AUTH.
    pub auth: Vec<String>,
}

impl Extensions {
    /// The first line of the reply has the relay's name.
    pub fn of(reply: &Reply) -> Self {
        let mut extensions = Extensions::default();
        for line in reply.lines.iter().skip(1) {
            let mut words = line.split_ascii_whitespace();
            match words.next().unwrap_or_default().to_ascii_uppercase().as_str() {
                "STARTTLS" => extensions.starttls = true,
                "SMTPUTF8" => extensions.smtputf8 = true,
                "PIPELINING" => extensions.pipelining = true,
                "CHUNKING" => extensions.chunking = true,
                "SIZE" => {
                    extensions.size = Some(words.next().and_then(|size| size.parse().ok()).unwrap_or(0))
                }
                "AUTH" => extensions.auth.extend(words.map(str::to_owned)),
                _ => {}
            }
        }
        extensions
    }

    /// A mail needs no invitation, so that it can be sent together with what comes before it.
    pub fn takes_mails_unasked(&self) -> bool {
        self.pipelining && self.chunking
    }

    /// May it be asked to send to this one?
    pub fn takes(&self, recipient: &Recipient) -> bool {
        self.smtputf8 || !recipient.is_international()
    }

    /// Those of these that it may be asked to send to.
    pub fn taken<'a>(&self, to: &'a [Recipient]) -> Vec<&'a Recipient> {
        to.iter().filter(|recipient| self.takes(recipient)).collect()
    }
}
