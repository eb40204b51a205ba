// SPDX-License-Identifier: MIT OR Apache-2.0
//! The mail: subject, text, HTML, headers (RFC 5322, RFC 2045 to 2047, RFC 3834).
//!
//! The first line of the text is HAProxy's own sentence; the lines below say the same in columns, for tired eyes. The HTML
//! part says nothing that the text does not.

use crate::engine::{About, Item, Note, Outgoing};
use crate::event::{Health, Kind};
use crate::text::bounded;
use askama::Template;
use jiff::tz::TimeZone;
use lettre::address::Envelope;
use lettre::message::header::{HeaderName, HeaderValue};
use lettre::message::{Mailbox, MultiPart};
use std::time::{Duration, SystemTime};

/// From this delay on a mail says that it is late, and why.
const LATE: Duration = Duration::from_secs(60);

/// A mail as the transports send it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    /// The subject, decoded, one line.
    pub subject: String,
    /// The text part, decoded, lines end in LF.
    pub text: String,
    /// The whole mail with CRLF line ends, ASCII only.
    pub bytes: Vec<u8>,
}

/// Makes mails. Reads the time zone when it is made: before the chroot, in which there is none.
#[derive(Debug, Clone)]
pub struct Composer {
    host: String,
    haproxy: Option<String>,
    zone: TimeZone,
}

/// A line of a mail's table.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Fact {
    label: String,
    value: String,
}

impl Fact {
    fn new(label: impl Into<String>, value: impl Into<String>) -> Self {
        Fact { label: label.into(), value: value.into() }
    }
}

/// The HTML part.
#[derive(Template)]
#[template(path = "mail.html")]
struct Html<'a> {
    subject: &'a str,
    colour: &'a str,
    state: &'a str,
    name: &'a str,
    sentence: &'a str,
    facts: &'a [Fact],
    notes: &'a [String],
}

impl Composer {
    /// `host`: this machine's name; `haproxy`: HAProxy's version, if known.
    pub fn new(host: &str, haproxy: Option<String>) -> Self {
        Composer { host: host.to_owned(), haproxy, zone: TimeZone::system() }
    }

    /// The same with times in this zone.
    pub fn in_zone(self, zone: TimeZone) -> Self {
        Composer { zone, ..self }
    }

    /// The mail for `outgoing` as it is sent at `now`; `trouble`: why it was not sent before.
    ///
    /// # Errors
    ///
    /// What lettre refuses of it, which would be a mistake of this module.
    pub fn compose(
        &self,
        outgoing: &Outgoing,
        now: SystemTime,
        trouble: Option<&str>,
    ) -> Result<Message, String> {
        let event = &outgoing.lead().event;
        let subject = self.subject(outgoing);
        let first = first_line(outgoing);
        let facts = self.facts(outgoing);
        let notes = notes(outgoing, now, trouble);
        let text = text(&first, &facts, &notes);
        let html = Html {
            subject: &subject,
            colour: colour(event.kind),
            state: event.kind.state(),
            name: &outgoing.topic,
            sentence: &first,
            facts: &facts,
            notes: &notes,
        };
        let html = html.render().map_err(|error| error.to_string())?;

        let mut builder = lettre::Message::builder()
            .date(outgoing.created)
            .from(Mailbox::new(None, outgoing.from.clone()))
            .message_id(Some(outgoing.message_id.clone()))
            .raw_header(header("Subject", &subject))
            // RFC 3834: nobody should answer a machine; the second is what Exchange understands.
            .raw_header(header("Auto-Submitted", "auto-generated"))
            .raw_header(header("X-Auto-Response-Suppress", "All"))
            .raw_header(header("X-HAProxy-Event", event.kind.word()))
            .raw_header(header("X-HAProxy-Proxy", &event.proxy))
            .raw_header(header("X-HAProxy-State", event.kind.state()))
            .raw_header(header("X-HAProxy-Host", &self.host));
        if let Some(answered) = outgoing.references.last() {
            builder = builder
                .raw_header(folded("References", &outgoing.references, " ", "\r\n "))
                .raw_header(folded("In-Reply-To", std::slice::from_ref(answered), " ", "\r\n "));
        }
        if let (Some(server), 1) = (&event.server, outgoing.items.len()) {
            builder = builder.raw_header(header("X-HAProxy-Server", server));
        }
        // The mail stays ASCII, so that every relay takes it: who has an address that is not is named in the envelope alone.
        let envelope = outgoing.to.iter().map(|to| to.address.clone()).collect();
        let envelope =
            Envelope::new(Some(outgoing.from.clone()), envelope).map_err(|error| error.to_string())?;
        builder = builder.envelope(envelope);
        let mail = builder
            .raw_header(recipients(outgoing))
            .multipart(MultiPart::alternative_plain_html(text.clone(), html))
            .map_err(|error| error.to_string())?;
        Ok(Message { subject, text, bytes: mail.formatted() })
    }

    fn subject(&self, outgoing: &Outgoing) -> String {
        let lead = &outgoing.lead().event;
        let what = if lead.kind == Kind::BackendDown { ": no server available" } else { "" };
        format!("{} {} on {}{what}", lead.kind.state(), outgoing.topic, self.host)
    }

    fn facts(&self, outgoing: &Outgoing) -> Vec<Fact> {
        let mut facts = match outgoing.items.as_slice() {
            [item] => self.facts_of(item),
            _ => lines(outgoing),
        };
        facts.push(Fact::new("host", &self.host));
        facts.extend(self.haproxy.as_ref().map(|version| Fact::new("HAProxy", version)));
        facts
    }

    fn facts_of(&self, item: &Item) -> Vec<Fact> {
        let event = &item.event;
        let about = if event.server.is_some() { "server" } else { event.section() };
        let mut facts = vec![Fact::new(about, event.subject())];
        let was = if event.was.is_empty() { String::new() } else { format!(", was {}", event.was) };
        facts.push(Fact::new("state", format!("{}{was}", event.kind.state())));
        if let Some(check) = &event.check {
            let which = if check.agent { "agent" } else { "check" };
            facts.push(Fact::new(which, format!("{} ({})", check.reason, check.status)));
        }
        facts.extend(event.via.as_ref().map(|via| Fact::new("tracks", via)));
        if !event.address.is_empty() {
            facts.push(Fact::new("address", &event.address));
        }
        let usable = format!("{} active and {} backup servers", event.active, event.backup);
        facts.push(Fact::new("usable", usable));
        facts.extend(history(item).map(|history| Fact::new("history", history)));
        facts.push(Fact::new("time", self.time(event.when)));
        facts
    }

    fn time(&self, when: SystemTime) -> String {
        match jiff::Timestamp::try_from(when) {
            Ok(time) => time.to_zoned(self.zone.clone()).strftime("%Y-%m-%d %H:%M:%S %:z").to_string(),
            Err(_) => "unknown".to_owned(),
        }
    }
}

fn text(first: &str, facts: &[Fact], notes: &[String]) -> String {
    let mut text = format!("{first}\n\n");
    for Fact { label, value } in facts {
        match label.contains('/') {
            true => text.push_str(&format!("{label} {value}\n")),
            false => text.push_str(&format!("  {label:<9} {value}\n")),
        }
    }
    for note in notes {
        text.push_str(&format!("\n{note}\n"));
    }
    text
}

/// HAProxy's sentence, or what many have in common.
fn first_line(outgoing: &Outgoing) -> String {
    if let [item] = outgoing.items.as_slice() {
        return item.event.sentence.clone();
    }
    let groups = outgoing.groups();
    let (first, rest) = (&groups[0], outgoing.items.len() - groups[0].items.len());
    let event = &first.items[0].event;
    let servers = first.items.iter().filter(|item| item.event.server.is_some()).count();
    let size = outgoing.sizes.iter().find(|(backend, _)| *backend == event.proxy);
    let of = size.map(|(_, size)| format!(" of {size}")).unwrap_or_default();
    let why = first.items.last().map(|item| item.event.why()).filter(|why| !why.is_empty());
    let why = why.map(|why| format!(", {why}")).unwrap_or_default();
    let more = if rest > 0 { format!("; {rest} more changes") } else { String::new() };
    format!("{} {}: {servers}{of} servers {}{why}{more}", event.section(), event.proxy, event.kind.state())
}

/// A line for each server.
fn lines(outgoing: &Outgoing) -> Vec<Fact> {
    let groups = outgoing.groups();
    let items = groups.iter().flat_map(|group| &group.items);
    let line = |item: &&Item| {
        let why = item.event.why();
        let rest: Vec<String> =
            [Some(why), history(item)].into_iter().flatten().filter(|part| !part.is_empty()).collect();
        Fact::new(item.event.subject(), format!("{} {}", item.event.kind.state(), rest.join(", ")).trim_end())
    };
    items.map(line).collect()
}

/// What was before, in a few words.
fn history(item: &Item) -> Option<String> {
    let seconds = |from: SystemTime| item.event.when.duration_since(from).unwrap_or_default().as_secs();
    match (item.note, &item.incident) {
        (Note::Flapping, _) => {
            Some(format!("flapping: {} changes in {}s", item.changes, seconds(item.first)))
        }
        (Note::Stable, _) => Some(format!("stable after {} changes", item.changes)),
        (Note::Change, Some(incident)) if item.is_over() => Some(format!(
            "was down for {}s ({}), {} changes",
            seconds(incident.since),
            incident.why,
            incident.changes
        )),
        (Note::Change, Some(_)) if item.event.health == Health::Down && item.changes == 1 => None,
        (Note::Change, _) => (item.changes > 1).then(|| format!("{} changes", item.changes)),
    }
}

fn notes(outgoing: &Outgoing, now: SystemTime, trouble: Option<&str>) -> Vec<String> {
    let mut notes = Vec::new();
    let latest = outgoing.items.iter().map(|item| item.event.when).max();
    let news = if outgoing.about == About::Changes { latest } else { None };
    let late = now.duration_since(news.unwrap_or(outgoing.created)).unwrap_or_default();
    if let About::Silence { pattern, reason } = &outgoing.about {
        notes.push(format!(
            "The silence of {pattern} is over ({reason}). This is what has changed during it."
        ));
    }
    if late >= LATE {
        let why = trouble.map(|trouble| format!(": {trouble}")).unwrap_or_default();
        notes.push(format!("Delivered {} min late{why}", late.as_secs() / 60));
    }
    if outgoing.unnamed > 0 {
        notes.push(format!("{} more changes are not named here. HAProxy's log has them.", outgoing.unnamed));
    }
    if outgoing.dropped > 0 {
        notes.push(format!(
            "{} more alerts before this one were not mailed: too many came at once, or were waiting for a relay. \
             HAProxy's log has them.",
            outgoing.dropped
        ));
    }
    notes
}

/// Trouble, its end, and what somebody wanted.
fn colour(kind: Kind) -> &'static str {
    match kind {
        Kind::Down | Kind::BackendDown => "#b3261e",
        Kind::Up | Kind::BackendUp | Kind::Ready => "#1b7f3b",
        Kind::Maint | Kind::Drain | Kind::Nolb | Kind::Gone => "#8a5a00",
    }
}

/// The `To` header, with a line for each recipient: lettre does not fold it, and the line would have no limit.
fn recipients(outgoing: &Outgoing) -> HeaderValue {
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::{Event, sample};
    use crate::settings::Recipient;

    #[test]
    fn many_recipients_do_not_make_a_line_that_is_too_long() {
        let mut many = outgoing(event("servers", "Server servers/server2 is DOWN."));
        let address = |n| format!("{}{n}@example.com", "a".repeat(60)).parse().expect("address");
        many.to = (100..300).map(|n| Recipient { address: address(n), is_local: false }).collect();
        let mail = composer().compose(&many, SystemTime::UNIX_EPOCH, None).expect("a mail");
        let text = String::from_utf8(mail.bytes).expect("ASCII");
        assert!(text.lines().all(|line| line.len() <= 998), "{text}");
        let unfolded = text.replace("\r\n ", " ");
        let to = unfolded.lines().find_map(|line| line.strip_prefix("To: ")).expect("a header");
        let all: Vec<String> = many.to.iter().map(|recipient| recipient.address.to_string()).collect();
        assert_eq!(to, all.join(", "));
    }

    fn outgoing(event: Event) -> Outgoing {
        Outgoing {
            message_id: "<haproxy.1.1@lb1.example.com>".into(),
            created: SystemTime::UNIX_EPOCH,
            from: "haproxy@lb1.example.com".parse().expect("address"),
            to: vec![Recipient { address: "ops@example.com".parse().expect("address"), is_local: false }],
            references: vec![],
            topic: event.subject(),
            about: About::Changes,
            items: vec![Item::of(event)],
            sizes: vec![],
            unnamed: 0,
            dropped: 0,
        }
    }

    fn event(proxy: &str, sentence: &str) -> Event {
        Event { proxy: proxy.into(), sentence: sentence.into(), ..sample() }
    }

    fn composer() -> Composer {
        Composer::new("lb1.example.com", Some("2.6.12".into())).in_zone(TimeZone::UTC)
    }

    #[test]
    fn the_sentence_is_the_first_line_and_the_rest_is_in_columns() {
        let mail = composer()
            .compose(&outgoing(event("be", "Server be/s1 is DOWN.")), SystemTime::UNIX_EPOCH, None)
            .expect("a mail");
        assert_eq!(mail.subject, "DOWN be/s1 on lb1.example.com");
        assert_eq!(
            mail.text,
            "Server be/s1 is DOWN.\n\n  server    be/s1\n  state     DOWN, was UP\n  usable    1 active and 0 backup servers\n  time      1970-01-01 00:00:00 +00:00\n  \
             host      lb1.example.com\n  HAProxy   2.6.12\n"
        );
        assert!(mail.bytes.is_ascii());
    }

    #[test]
    fn an_address_outside_ascii_is_in_no_header() {
        let mut outgoing = outgoing(event("be", "x"));
        let other = Recipient { address: "jörg@example.com".parse().expect("address"), is_local: false };
        outgoing.to.push(other);
        let mail = composer().compose(&outgoing, SystemTime::UNIX_EPOCH, None).expect("a mail");
        assert!(mail.bytes.is_ascii());
        assert!(String::from_utf8_lossy(&mail.bytes).contains("\r\nTo: ops@example.com\r\n"));
        outgoing.to.remove(0);
        let mail = composer().compose(&outgoing, SystemTime::UNIX_EPOCH, None).expect("a mail");
        assert!(mail.bytes.is_ascii());
        assert!(String::from_utf8_lossy(&mail.bytes).contains("\r\nTo: undisclosed-recipients:;\r\n"));
    }

    #[test]
    fn a_late_mail_says_so_and_why() {
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(14 * 60 + 5);
        let mail = composer()
            .compose(
                &outgoing(event("be", "x")),
                now,
                Some("relay mx1: connect to mx1:25: Connection refused"),
            )
            .expect("a mail");
        let last = mail.text.lines().last().expect("a line");
        assert_eq!(last, "Delivered 14 min late: relay mx1: connect to mx1:25: Connection refused");
    }

    /// Strict relays refuse a mail with a longer line.
    #[test]
    fn no_line_is_longer_than_998_characters() {
        for piece in ["A", "=?", "<U+000D>", "ü"] {
            let name = piece.repeat(2000);
            let mail = composer()
                .compose(&outgoing(event(&name, &name)), SystemTime::UNIX_EPOCH, None)
                .expect("a mail");
            let longest = mail.bytes.split(|byte| *byte == b'\n').map(<[u8]>::len).max();
            assert!(longest <= Some(999), "{longest:?} with {piece}");
        }
    }

    #[test]
    fn html_is_escaped_and_what_looks_encoded_is_not_decoded() {
        let mail = composer()
            .compose(&outgoing(event("<script>=?utf-8?q?x?=", "<b>&")), SystemTime::UNIX_EPOCH, None)
            .expect("a mail");
        let raw = String::from_utf8(mail.bytes).expect("ASCII");
        let (headers, _) = raw.split_once("\r\n\r\n").expect("a body");
        assert!(!headers.contains("=?") && headers.contains("=<U+003F>utf-8?q?x?="), "{headers}");
        let html = &raw[raw.find("<!DOCTYPE").expect("an HTML part")..];
        assert!(!html.contains("<script") && !html.contains("<b>"), "{html}");
    }
}
