// SPDX-License-Identifier: MIT OR Apache-2.0
//! Mail addresses: as written in the configuration, and as used in envelopes.

use crate::wire::is_default;
use lettre::Address;
use serde::{Deserialize, Serialize};

/// An address as written: complete, or a local name to which the host's name is appended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum WrittenAddress {
    /// `ops@example.com`
    Address(Address),
    /// `root`
    Local(String),
}

/// Characters with which an address must not begin: mail programs take such a word
/// for something else, such as an option or a file.
pub const FORBIDDEN_STARTS: [char; 6] = ['-', '|', '/', ':', '~', '+'];

/// Returns true for a character that would need quotes in an envelope, a header or a shell.
pub fn is_forbidden_in_address(char: char) -> bool {
    char.is_whitespace() || char.is_control() || "<>()[]\\,;:\"'`$".contains(char)
}

/// A recipient of an envelope (RFC 5321).
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Recipient {
    /// The complete address, for SMTP and the headers.
    pub address: Address,
    /// True if it was written without a domain: this machine's `sendmail` gets it without one.
    #[serde(rename = "local", default, skip_serializing_if = "is_default")]
    pub is_local: bool,
}

impl Recipient {
    /// Returns the address in the form for `sendmail` and `mailx`.
    pub fn for_command(&self) -> &str {
        if self.is_local { self.address.user() } else { self.address.as_ref() }
    }

    /// Returns true if only relays that offer SMTPUTF8 (RFC 6531) accept the address.
    pub fn is_international(&self) -> bool {
        let address: &str = self.address.as_ref();
        !address.is_ascii()
    }
}
