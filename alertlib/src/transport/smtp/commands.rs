// SPDX-License-Identifier: MIT OR Apache-2.0
//! SMTP's commands (RFC 5321, 4.1) as they are sent, each with its line end.
//!
//! Addresses and names are checked when the configuration is read: they have no line end.

use lettre::Address;
use std::fmt::Write;
use std::net::IpAddr;

/// Requests TLS (RFC 3207).
pub const STARTTLS: &str = "STARTTLS\r\n";
/// Requests to send the mail's content.
pub const DATA: &str = "DATA\r\n";
/// Resets the mail transaction; the session stays open.
pub const RSET: &str = "RSET\r\n";
/// Ends the session.
pub const QUIT: &str = "QUIT\r\n";

/// Returns the argument of EHLO and HELO: a domain, or an address literal (RFC 5321, 4.1.3).
pub fn client_identity(name: &str) -> String {
    match name.parse() {
        Ok(IpAddr::V4(address)) => format!("[{address}]"),
        Ok(IpAddr::V6(address)) => format!("[IPv6:{address}]"),
        Err(_) => name.to_owned(),
    }
}

/// Greets the relay and requests its extensions. `identity`: see [`client_identity`].
pub fn ehlo(identity: &str) -> String {
    format!("EHLO {identity}\r\n")
}

/// Greets a relay that does not know EHLO. `identity`: see [`client_identity`].
pub fn helo(identity: &str) -> String {
    format!("HELO {identity}\r\n")
}

/// Begins a mail transaction. `size`: in bytes, for a relay that offers SIZE (RFC 1870); `smtputf8`: an address of the envelope is not ASCII
/// (RFC 6531).
pub fn mail(reverse_path: &Address, size: Option<usize>, smtputf8: bool) -> String {
    let mut command = format!("MAIL FROM:<{reverse_path}>");
    if let Some(size) = size {
        // Writing to a String cannot fail.
        let _ = write!(command, " SIZE={size}");
    }
    if smtputf8 {
        command.push_str(" SMTPUTF8");
    }
    command + "\r\n"
}

/// Names a recipient of the mail.
pub fn rcpt(recipient: &Address) -> String {
    format!("RCPT TO:<{recipient}>\r\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(address: &str) -> Address {
        address.parse().expect("an address")
    }

    #[test]
    fn a_client_is_a_domain_or_an_address_literal() {
        for (name, identity) in [
            ("lb1.example.com", "lb1.example.com"),
            ("192.0.2.1", "[192.0.2.1]"),
            ("2001:DB8:0::1", "[IPv6:2001:db8::1]"),
            // Names that are neither an address nor a name of the DNS are sent as configured.
            ("[192.0.2.1]", "[192.0.2.1]"),
            ("192.0.2", "192.0.2"),
        ] {
            assert_eq!(client_identity(name), identity, "{name}");
        }
        assert_eq!(ehlo(&client_identity("192.0.2.1")), "EHLO [192.0.2.1]\r\n");
        assert_eq!(helo("lb1.example.com"), "HELO lb1.example.com\r\n");
    }

    #[test]
    fn mail_has_the_given_parameters_in_order() {
        let from = address("lb1@example.com");
        assert_eq!(mail(&from, None, false), "MAIL FROM:<lb1@example.com>\r\n");
        assert_eq!(mail(&from, Some(42), false), "MAIL FROM:<lb1@example.com> SIZE=42\r\n");
        assert_eq!(mail(&from, None, true), "MAIL FROM:<lb1@example.com> SMTPUTF8\r\n");
        assert_eq!(mail(&from, Some(0), true), "MAIL FROM:<lb1@example.com> SIZE=0 SMTPUTF8\r\n");
    }

    #[test]
    fn an_address_is_sent_as_it_was_written() {
        assert_eq!(rcpt(&address("root@localhost")), "RCPT TO:<root@localhost>\r\n");
        assert_eq!(rcpt(&address("jürgen@münchen.example")), "RCPT TO:<jürgen@münchen.example>\r\n");
        assert_eq!(rcpt(&address("\"a b\"@example.com")), "RCPT TO:<\"a b\"@example.com>\r\n");
        assert_eq!(mail(&address("a@[192.0.2.1]"), None, false), "MAIL FROM:<a@[192.0.2.1]>\r\n");
    }
}
