// SPDX-License-Identifier: MIT OR Apache-2.0
//! Headers that lettre would not write as they have to be: of our own names, long ones, hostile ones.

use crate::notification::Notification;
use crate::text::bounded;
use lettre::message::MessageBuilder;
use lettre::message::header::{HeaderName, HeaderValue};

/// The headers of a mail, but for those of its body.
pub fn headers(outgoing: &Notification, subject: &str, host: &str) -> MessageBuilder {
    let event = &outgoing.lead().event;
    let mut builder = lettre::Message::builder()
        .date(outgoing.created)
        .from(lettre::message::Mailbox::new(None, outgoing.from.clone()))
        .message_id(Some(outgoing.message_id.clone()))
        .raw_header(header("Subject", subject))
        // RFC 3834: nobody should answer a machine; the second is what Exchange understands.
        .raw_header(header("Auto-Submitted", "auto-generated"))
        .raw_header(header("X-Auto-Response-Suppress", "All"))
        .raw_header(header("X-HAProxy-Event", event.kind.word()))
        .raw_header(header("X-HAProxy-Proxy", &event.proxy))
        .raw_header(header("X-HAProxy-State", event.kind.state()))
        .raw_header(header("X-HAProxy-Host", host));
    if let Some(answered) = outgoing.references.last() {
        builder = builder
            .raw_header(folded("References", &outgoing.references, " ", "\r\n "))
            .raw_header(folded("In-Reply-To", std::slice::from_ref(answered), " ", "\r\n "));
    }
    if let (Some(server), 1) = (&event.server, outgoing.items.len()) {
        builder = builder.raw_header(header("X-HAProxy-Server", server));
    }
    builder.raw_header(recipients(outgoing))
}

/// The `To` header, with a line for each recipient: lettre does not fold it, and the line would have no limit.
///
/// The mail stays ASCII, so that every relay takes it: who has an address that is not is named in the envelope alone.
fn recipients(outgoing: &Notification) -> HeaderValue {
    let plain = outgoing.to.iter().filter(|to| !to.is_international()).map(|to| to.address.as_ref());
    let to: Vec<&str> = plain.collect();
    if to.is_empty() {
        return header("To", "undisclosed-recipients:;");
    }
    folded("To", &to, ", ", ",\r\n ")
}

/// A header with a line for each of these, which are ASCII.
fn folded(name: &'static str, values: &[impl AsRef<str>], separator: &str, fold: &str) -> HeaderValue {
    let values: Vec<&str> = values.iter().map(AsRef::as_ref).collect();
    let name = HeaderName::new_from_ascii_str(name);
    HeaderValue::dangerous_new_pre_encoded(name, values.join(separator), values.join(fold))
}

/// A header with this value, encoded where it is not ASCII.
///
/// A value that looks like an encoded word (RFC 2047) would be decoded by the reader to something else than was written:
/// its beginning is made visible. A value without a space cannot be folded, and a line has 998 characters at most (RFC
/// 5322, 2.1.1): a longer one is cut.
fn header(name: &'static str, value: &str) -> HeaderValue {
    const LONGEST: usize = 900;
    let value = bounded(value.replace("=?", "=<U+003F>"), LONGEST);
    HeaderValue::new(HeaderName::new_from_ascii_str(name), value)
}
