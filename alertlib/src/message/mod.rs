// SPDX-License-Identifier: MIT OR Apache-2.0
//! The mail: subject, text, HTML, headers (RFC 5322, RFC 2045 to 2047, RFC 3834).
//!
//! [`report`] is what it says, of one change or, with [`digest`], of many; [`text`] and [`html`] write that down. The first
//! line of the text is HAProxy's own sentence, and what many changes have in common where there are many. Everything that
//! comes from elsewhere is made visible before it gets here, and escaped once more where it is put in.

mod digest;
mod footnotes;
mod headers;
mod hints;
mod html;
mod report;
mod section;
mod subject;
mod text;

use crate::format::{Clock, span};
use crate::notification::Notification;
use crate::settings::{Config, Link, SubjectFormat};
use jiff::tz::TimeZone;
use lettre::address::Envelope;
use lettre::message::header::ContentTransferEncoding::SevenBit;
use lettre::message::header::ContentType;
use lettre::message::{Body, MultiPart, SinglePart};
use std::time::{Duration, SystemTime};

/// The longest line of a mail, without its end (RFC 5322, 2.1.1).
const LINE: usize = 998;

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
    started: SystemTime,
    clock: Clock,
    subject: SubjectFormat,
    statistics: Option<Link>,
    /// How long changes may be collected: they are not late before.
    digest: Duration,
}

impl Composer {
    /// For this configuration. `haproxy`: its version, if known; it starts now.
    pub fn new(config: &Config, haproxy: Option<String>) -> Self {
        Composer {
            host: config.host.clone(),
            haproxy,
            started: SystemTime::now(),
            clock: Clock(TimeZone::system()),
            subject: config.subject.clone(),
            statistics: config.statistics.clone().flatten(),
            digest: config.policy.digest.unwrap_or_default(),
        }
    }

    /// The same with times in this zone.
    pub fn in_zone(self, zone: TimeZone) -> Self {
        Composer { clock: Clock(zone), ..self }
    }

    /// The same for a HAProxy that was started then.
    pub fn started(self, started: SystemTime) -> Self {
        Composer { started, ..self }
    }

    /// The mail for `outgoing` as it is sent at `now`; `trouble`: why it was not sent before.
    ///
    /// # Errors
    ///
    /// What lettre refuses of it, which would be a mistake of this module.
    pub fn compose(
        &self,
        outgoing: &Notification,
        now: SystemTime,
        trouble: Option<&str>,
    ) -> Result<Message, String> {
        let subject = subject::fill(&self.subject, outgoing, &self.host);
        let report = report::report(self, outgoing, now, trouble);
        let text = text::text(&report);
        let html = html::html(&report, &subject)?;
        let envelope = outgoing.to.iter().map(|to| to.address.clone()).collect();
        let envelope =
            Envelope::new(Some(outgoing.from.clone()), envelope).map_err(|error| error.to_string())?;
        let boundary = boundary(&outgoing.message_id, [&text, &html]);
        let body = MultiPart::alternative()
            .boundary(boundary)
            .singlepart(part(ContentType::TEXT_PLAIN, &text))
            .singlepart(part(ContentType::TEXT_HTML, &html));
        let mail = headers::headers(outgoing, &subject, &self.host)
            .envelope(envelope)
            .multipart(body)
            .map_err(|error| error.to_string())?;
        Ok(Message { subject, text, bytes: mail.formatted() })
    }

    /// HAProxy's version, and how long it has been running at `now`.
    fn haproxy(&self, now: SystemTime) -> Option<String> {
        let up = now.duration_since(self.started).ok().filter(|up| !up.is_zero());
        let up = up.map(|up| format!(", up for {}", span(up))).unwrap_or_default();
        Some(format!("{}{up}", self.haproxy.as_ref()?))
    }
}

/// A part as it is where mail can carry that (RFC 5322, 2.1.1; RFC 2045, 2.7): who looks at a mail with `grep` or in a file
/// finds HAProxy's sentence whole. Anything else is encoded.
fn part(kind: ContentType, text: &str) -> SinglePart {
    let fits =
        text.is_ascii() && !text.contains(['\r', '\0']) && text.split('\n').all(|line| line.len() <= LINE);
    let part = SinglePart::builder().header(kind);
    match fits {
        true => part.body(Body::dangerous_pre_encoded(text.replace('\n', "\r\n").into_bytes(), SevenBit)),
        false => part.body(text.to_owned()),
    }
}

/// What separates the parts: the same at each attempt, and in none of them. `=_` is in nothing that is encoded.
fn boundary(message_id: &str, parts: [&str; 2]) -> String {
    let local = message_id.trim_start_matches('<').split('@').next().unwrap_or_default();
    // The characters and the length that need no thought (RFC 2046, 5.1.1).
    let id = local.chars().filter(|char| char.is_ascii_alphanumeric() || *char == '.').take(50);
    let mut boundary = format!("=_{}", id.collect::<String>());
    while parts.iter().any(|part| part.contains(&boundary)) {
        boundary.push('_');
    }
    boundary
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::{Event, sample};
    use crate::notification::{Item, Trigger};
    use crate::settings::{Recipient, sample_config};

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

    /// A mail of this event alone.
    pub fn outgoing(event: Event) -> Notification {
        Notification {
            message_id: "<haproxy.1.1@lb1.example.com>".into(),
            created: SystemTime::UNIX_EPOCH,
            from: "haproxy@lb1.example.com".parse().expect("address"),
            to: vec![Recipient { address: "ops@example.com".parse().expect("address"), is_local: false }],
            references: vec![],
            topic: event.target_name(),
            trigger: Trigger::Changes,
            items: vec![Item::of(event)],
            sizes: vec![],
            unnamed: 0,
            dropped: 0,
        }
    }

    fn event(proxy: &str, sentence: &str) -> Event {
        Event { proxy: proxy.into(), sentence: sentence.into(), ..sample() }
    }

    /// On lb1, with the usual settings.
    pub fn composer() -> Composer {
        let config = sample_config();
        Composer::new(&config, Some("2.6.12".into())).in_zone(TimeZone::UTC)
    }

    #[test]
    fn the_sentence_is_the_first_line_and_the_rest_is_in_columns() {
        let mail = composer()
            .compose(&outgoing(event("be", "Server be/s1 is DOWN.")), SystemTime::UNIX_EPOCH, None)
            .expect("a mail");
        assert_eq!(mail.subject, "[DOWN] be/s1 on lb1.example.com");
        assert_eq!(
            mail.text,
            "Server be/s1 is DOWN.\n\n  server    be/s1\n  state     DOWN, was UP\n  left      1 active and 0 backup servers\n  \
             time      1970-01-01 00:00:00 +00:00\n  host      lb1.example.com\n  HAProxy   2.6.12\n"
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

    #[test]
    fn a_storm_is_named_server_by_server_up_to_the_bound_of_the_text() {
        let config = sample_config();
        let mut engine = crate::engine::Engine::new(&config.routes, config.policy, &config.host);
        let start = SystemTime::UNIX_EPOCH + Duration::from_secs(1_795_399_964);
        let down = |n: usize| Event {
            when: start,
            proxy: format!("backend{}", n % 10),
            server: Some(format!("server{n}")),
            address: format!("[2001:db8:1234:5678::{n}]:8080"),
            ..sample()
        };
        let mut mails = engine.handle(vec![down(0)], "t.1", start);
        mails.extend(engine.handle((1..5000).map(down).collect(), "t.2", start));
        mails.extend(engine.on_timer("t.3", start + Duration::from_secs(5)));
        assert_eq!(mails.len(), 2);
        let text = composer().compose(&mails[1], start, None).expect("a mail").text;
        assert!((150 * 1024..=256 * 1024).contains(&text.len()), "{}", text.len());
        let named = text.lines().filter(|line| line.contains("/server") && line.contains(" DOWN ")).count();
        assert_eq!(named as u64 + mails[1].unnamed, 4999);
        assert!(named >= 2000, "{named}");
    }
}
