// SPDX-License-Identifier: MIT OR Apache-2.0
//! Headers of a mail. Custom, long and hostile values need more care than lettre takes.

use crate::notification::Notification;
use crate::text::bounded;
use lettre::message::MessageBuilder;
use lettre::message::header::{HeaderName, HeaderValue};

/// Returns a builder with the headers of a mail, except those of its body.
pub fn headers(notification: &Notification, subject: &str, host: &str) -> MessageBuilder {
    let event = &notification.lead().event;
    let mut builder = lettre::Message::builder()
        .date(notification.created)
        .from(lettre::message::Mailbox::new(None, notification.from.clone()))
        .message_id(Some(notification.message_id.clone()))
        .raw_header(header("Subject", subject))
        // RFC 3834: prevents automatic replies; Exchange evaluates the second header.
        .raw_header(header("Auto-Submitted", "auto-generated"))
        .raw_header(header("X-Auto-Response-Suppress", "All"))
        .raw_header(header("X-HAProxy-Event", event.kind.word()))
        .raw_header(header("X-HAProxy-Proxy", &event.proxy))
        .raw_header(header("X-HAProxy-State", event.kind.state()))
        .raw_header(header("X-HAProxy-Host", host));
    if let Some(answered) = notification.references.last() {
        builder = builder
            .raw_header(folded("References", &notification.references, " ", "\r\n "))
            .raw_header(folded("In-Reply-To", std::slice::from_ref(answered), " ", "\r\n "));
    }
    if let (Some(server), 1) = (&event.server, notification.items.len()) {
        builder = builder.raw_header(header("X-HAProxy-Server", server));
    }
    builder.raw_header(recipients(notification))
}

/// Returns the `To` header with a line for each recipient. lettre does not fold it: the line would have no limit.
///
/// The mail stays ASCII, so that every relay accepts it: a recipient with a non-ASCII address is in the envelope only.
fn recipients(notification: &Notification) -> HeaderValue {
    let plain = notification.to.iter().filter(|to| !to.is_international()).map(|to| to.address.as_ref());
    let to: Vec<&str> = plain.collect();
    if to.is_empty() {
        return header("To", "undisclosed-recipients:;");
    }
    folded("To", &to, ", ", ",\r\n ")
}

/// Returns a header with a line for each value. The values must be ASCII.
fn folded(name: &'static str, values: &[impl AsRef<str>], separator: &str, fold: &str) -> HeaderValue {
    let values: Vec<&str> = values.iter().map(AsRef::as_ref).collect();
    let name = HeaderName::new_from_ascii_str(name);
    HeaderValue::dangerous_new_pre_encoded(name, values.join(separator), values.join(fold))
}

/// Returns a header with this value, encoded where it is not ASCII.
///
/// Mail readers would decode a value that looks like an encoded word (RFC 2047) to other text: its beginning is replaced by a
/// visible form. A value without a space cannot be folded, and a line has 998 characters at most (RFC 5322, 2.1.1): a longer
/// value is cut.
fn header(name: &'static str, value: &str) -> HeaderValue {
    const MAX_BYTES: usize = 900;
    let value = bounded(value.replace("=?", "=<U+003F>"), MAX_BYTES);
    HeaderValue::new(HeaderName::new_from_ascii_str(name), value)
}
