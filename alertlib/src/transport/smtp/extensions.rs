// SPDX-License-Identifier: MIT OR Apache-2.0
//! SMTP extensions that a relay offers in its reply to EHLO.

use super::session::Reply;
use crate::settings::Recipient;

/// The extensions that are used here (RFC 5321, 4.1.1.1).
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Extensions {
    /// TLS for an open connection (RFC 3207).
    pub starttls: bool,
    /// Addresses outside ASCII (RFC 6531).
    pub smtputf8: bool,
    /// Commands without waiting for the reply to the one before (RFC 2920).
    pub pipelining: bool,
    /// BDAT: a mail behind its length, without DATA (RFC 3030).
    pub chunking: bool,
    /// The largest mail, in bytes; `Some(0)`: no limit is announced (RFC 1870, 4).
    pub size: Option<usize>,
    /// Mechanisms of AUTH.
    pub auth: Vec<String>,
}

impl Extensions {
    /// Reads the extensions from a reply to EHLO, whose first line has the relay's name.
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

    /// True if a mail can be sent together with its envelope: no reply of the relay has to come before it.
    pub fn allows_mail_ahead(&self) -> bool {
        self.pipelining && self.chunking
    }

    /// True if the relay can deliver to this address.
    pub fn supports(&self, recipient: &Recipient) -> bool {
        self.smtputf8 || !recipient.is_international()
    }
}
