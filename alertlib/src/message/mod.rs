// SPDX-License-Identifier: MIT OR Apache-2.0
//! The mail: subject, text, HTML, headers (RFC 5322, RFC 2045 to 2047, RFC 3834).
//!
//! [`report`] composes the content of a mail about one change or, with [`digest`], about many; [`text`] and an HTML template
//! render it.
//! The first line of the text is HAProxy's own sentence, or a summary of many changes. Texts of foreign origin were made visible
//! before they reach this module; each place that inserts them escapes them once more.

mod digest;
mod footnotes;
mod headers;
mod hints;
mod report;
mod section;
mod subject;
mod text;

use crate::format::{Clock, span};
use crate::notification::Notification;
use crate::settings::{Config, Link, SubjectFormat};
use crate::sys::clock::boot_time;
use askama::Template;
use jiff::tz::TimeZone;
use lettre::address::Envelope;
use lettre::message::header::ContentTransferEncoding::SevenBit;
use lettre::message::header::ContentType;
use lettre::message::{Body, MultiPart, SinglePart};
use std::time::{Duration, SystemTime};

/// Longest line of a mail, without its end (RFC 5322, 2.1.1).
const MAX_LINE: usize = 998;

/// A mail as the transports send it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    /// Subject, decoded, one line.
    pub subject: String,
    /// Text part, decoded; lines end in LF.
    pub text: String,
    /// Whole mail with CRLF line ends, ASCII only.
    pub bytes: Vec<u8>,
}

/// Composes mails. Must be created before the chroot, which has no time zone files: the time zone is read then.
#[derive(Debug, Clone)]
pub struct Composer {
    host: String,
    haproxy: Option<String>,
    started: Start,
    clock: Clock,
    subject: SubjectFormat,
    statistics: Option<Link>,
    /// Length of the digest: changes that wait for it are not late.
    digest: Duration,
}

/// The start of HAProxy.
#[derive(Debug, Clone, Copy)]
enum Start {
    /// On the clock that does not jump: the uptime stays true when the wall clock is set.
    Boot(Duration),
    /// On the wall clock.
    Wall(SystemTime),
}

impl Composer {
    /// Returns a composer for this configuration. `haproxy`: HAProxy's version, if known; its start is now.
    pub fn new(config: &Config, haproxy: Option<String>) -> Self {
        Composer {
            host: config.host.clone(),
            haproxy,
            started: Start::Boot(boot_time()),
            clock: Clock(TimeZone::system()),
            subject: config.subject.clone(),
            statistics: config.statistics.clone().flatten(),
            digest: config.policy.digest.unwrap_or_default(),
        }
    }

    /// Returns this composer with another time zone and another start of HAProxy, for mails at chosen times.
    pub fn in_zone_since(self, zone: TimeZone, started: SystemTime) -> Self {
        Composer { clock: Clock(zone), started: Start::Wall(started), ..self }
    }

    /// Composes the mail for `notification` as it is sent at `now`. `last_error`: error of the previous attempt.
    ///
    /// # Errors
    ///
    /// Returns askama's or lettre's error. It would be a bug of this module.
    pub fn compose(
        &self,
        notification: &Notification,
        now: SystemTime,
        last_error: Option<&str>,
    ) -> Result<Message, String> {
        let report = report::report(self, notification, now, last_error);
        let text = text::text(&report);
        let html = report.render().map_err(|error| error.to_string())?;
        let envelope = notification.to.iter().map(|to| to.address.clone()).collect();
        let envelope =
            Envelope::new(Some(notification.from.clone()), envelope).map_err(|error| error.to_string())?;
        let boundary = boundary(&notification.message_id, [&text, &html]);
        let body = MultiPart::alternative()
            .boundary(boundary)
            .singlepart(part(ContentType::TEXT_PLAIN, &text))
            .singlepart(part(ContentType::TEXT_HTML, &html));
        let mail = headers::headers(notification, &report.subject, &self.host)
            .envelope(envelope)
            .multipart(body)
            .map_err(|error| error.to_string())?;
        Ok(Message { subject: report.subject, text, bytes: mail.formatted() })
    }

    /// Returns HAProxy's version and its uptime at `now`.
    fn haproxy(&self, now: SystemTime) -> Option<String> {
        let up = match self.started {
            Start::Boot(started) => boot_time().saturating_sub(started),
            Start::Wall(started) => now.duration_since(started).unwrap_or_default(),
        };
        let up = if up.is_zero() { String::new() } else { format!(", up for {}", span(up)) };
        Some(format!("{}{up}", self.haproxy.as_ref()?))
    }
}

/// Makes a part of the mail. Text that mail can carry unencoded (RFC 5322, 2.1.1; RFC 2045, 2.7) is not encoded, so that `grep`
/// finds HAProxy's whole sentence in a stored mail. Other text is encoded.
fn part(kind: ContentType, text: &str) -> SinglePart {
    let fits = text.is_ascii()
        && !text.contains(['\r', '\0'])
        && text.split('\n').all(|line| line.len() <= MAX_LINE);
    let part = SinglePart::builder().header(kind);
    match fits {
        true => part.body(Body::dangerous_pre_encoded(text.replace('\n', "\r\n").into_bytes(), SevenBit)),
        false => part.body(text.to_owned()),
    }
}

/// Returns the boundary between the parts: equal at each attempt, contained in no part. Encoded text never contains `=_`.
fn boundary(message_id: &str, parts: [&str; 2]) -> String {
    let local = message_id.trim_start_matches('<').split('@').next().unwrap_or_default();
    // Characters and a length that RFC 2046, 5.1.1 allows without quoting.
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
    use crate::event::{Check, Event, sample};
    use crate::notification::{Item, Trigger};
    use crate::settings::{Recipient, sample_config};

    #[test]
    fn header_with_many_recipients_is_folded() {
        let mut many = notification(event("servers", "Server servers/server2 is DOWN."));
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

    /// Returns a notification with this event alone.
    pub fn notification(event: Event) -> Notification {
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

    /// Returns a composer on the host lb1 with default settings.
    pub fn composer() -> Composer {
        let config = sample_config();
        Composer::new(&config, Some("2.6.12".into())).in_zone_since(TimeZone::UTC, SystemTime::now())
    }

    #[test]
    fn text_part_has_the_sentence_first_and_the_facts_in_columns() {
        let mail = composer()
            .compose(&notification(event("be", "Server be/s1 is DOWN.")), SystemTime::UNIX_EPOCH, None)
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
    fn non_ascii_address_is_in_no_header() {
        let mut notification = notification(event("be", "x"));
        let other = Recipient { address: "jörg@example.com".parse().expect("address"), is_local: false };
        notification.to.push(other);
        let mail = composer().compose(&notification, SystemTime::UNIX_EPOCH, None).expect("a mail");
        assert!(mail.bytes.is_ascii());
        assert!(String::from_utf8_lossy(&mail.bytes).contains("\r\nTo: ops@example.com\r\n"));
        notification.to.remove(0);
        let mail = composer().compose(&notification, SystemTime::UNIX_EPOCH, None).expect("a mail");
        assert!(mail.bytes.is_ascii());
        assert!(String::from_utf8_lossy(&mail.bytes).contains("\r\nTo: undisclosed-recipients:;\r\n"));
    }

    #[test]
    fn late_mail_has_a_note_with_the_last_error() {
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(14 * 60 + 5);
        let mail = composer()
            .compose(
                &notification(event("be", "x")),
                now,
                Some("relay mx1: connect to mx1:25: Connection refused"),
            )
            .expect("a mail");
        let last = mail.text.lines().last().expect("a line");
        assert_eq!(last, "Delivered 14 min late: relay mx1: connect to mx1:25: Connection refused");
    }

    /// Strict relays refuse mails with longer lines.
    #[test]
    fn no_line_is_longer_than_998_characters() {
        for piece in ["A", "=?", "<U+000D>", "ü"] {
            let name = piece.repeat(2000);
            let mail = composer()
                .compose(&notification(event(&name, &name)), SystemTime::UNIX_EPOCH, None)
                .expect("a mail");
            let longest = mail.bytes.split(|byte| *byte == b'\n').map(<[u8]>::len).max();
            assert!(longest <= Some(999), "{longest:?} with {piece}");
        }
    }

    #[test]
    fn html_is_escaped_and_encoded_words_in_names_are_defused() {
        let mail = composer()
            .compose(&notification(event("<script>=?utf-8?q?x?=", "<b>&")), SystemTime::UNIX_EPOCH, None)
            .expect("a mail");
        let raw = String::from_utf8(mail.bytes).expect("ASCII");
        let (headers, _) = raw.split_once("\r\n\r\n").expect("a body");
        assert!(!headers.contains("=?") && headers.contains("=<U+003F>utf-8?q?x?="), "{headers}");
        let html = &raw[raw.find("<!DOCTYPE").expect("an HTML part")..];
        assert!(!html.contains("<script") && !html.contains("<b>"), "{html}");
    }

    #[test]
    fn hint_of_several_servers_is_left_out_unless_it_is_true_of_each() {
        let text = |infos: [&str; 2]| {
            let down = |(n, info): (usize, &str)| {
                let check = Check { status: "L4CON".into(), info: info.into(), ..Check::default() };
                Item::of(Event { server: Some(format!("s{n}")), check: Some(check), ..sample() })
            };
            let items = infos.into_iter().enumerate().map(down).collect();
            let mail = Notification { items, ..notification(sample()) };
            composer().compose(&mail, SystemTime::UNIX_EPOCH, None).expect("a mail").text
        };
        assert!(text(["Connection refused"; 2]).contains("was refused a connection"));
        assert!(!text(["Connection refused", "No route to host"]).contains("refused a connection"));
    }

    #[test]
    fn storm_names_servers_up_to_the_text_limit() {
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
