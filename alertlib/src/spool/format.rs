// SPDX-License-Identifier: MIT OR Apache-2.0
//! Mails as JSON lines, for programs, and for people with `cat` and `jq`: one object a mail, one mail a line. Here with line
//! ends that the file does not have:
//!
//! ```text
//! {"done":0,"version":4,"mail":{"notification":{"message_id":"<haproxy.643a.1f.12.0@lb1.example.com>",
//! "created":1795442400000000000,"from":"haproxy@lb1.example.com",
//! "to":[{"address":"ops@example.com"},
//! {"address":"root@lb1.example.com","local":true},
//! {"address":"oncall@example.com"}],
//! "references":["<haproxy.643a.1f.7.0@lb1.example.com>"],
//! "topic":"servers/server2","trigger":"changes",
//! "items":[{"event":{"when":1795442399998000000,"kind":"down","health":"down","level":"alert",
//! "proxy":"servers","server":"server2",
//! "sentence":"Server servers/server2 is DOWN, reason: Layer4 timeout, check duration: 2001ms.",
//! "was":"UP","check":{"status":"L4TOUT","reason":"Layer4 timeout","duration":{"secs":2,"nanos":1000000}},
//! "address":"10.0.0.7:8080","usable":{"active":2,"backup":0}},
//! "changes":1,"first":1795442399998000000,
//! "incident":{"since":1795442399998000000,"reason":"Layer4 timeout","changes":1},"phase":"not-flapping"}],
//! "sizes":[["servers",3]],"unnamed":0,"dropped":0},
//! "remaining":[{"address":"ops@example.com"},
//! {"address":"root@lb1.example.com","local":true}]}}
//! ```
//!
//! `done` comes first: when a mail is delivered while others of its file are not, that one digit is overwritten by `1`.
//! `remaining` are the recipients of `to` that have neither got the mail nor refused it permanently. The other fields are those of
//! [`PendingMail`]; a field with its default value is left out. Times are nanoseconds since the Unix epoch. A line that differs in
//! anything is no mail; `version` changes with the format.

use crate::notification::{MAX_REFERENCES, Notification};
use crate::queue::PendingMail;
use crate::settings::{FORBIDDEN_STARTS, is_forbidden_in_address};
use crate::wire::{parse_line, to_line};
use lettre::Address;
use serde::{Deserialize, Serialize};
use std::collections::HashSet;

/// Changes with the format.
pub(super) const VERSION: u32 = 4;
/// The beginning of a mail that is not done.
const NOT_DONE: &str = "{\"done\":0,";
/// The offset of the digit in [`NOT_DONE`].
pub const DONE_AT: u64 = 8;
/// The byte that replaces the digit when the mail is done.
pub const DONE: u8 = b'1';
/// The beginning of a mail that is done.
const BEGIN_DONE: &str = "{\"done\":1,";

/// A line. `M`: [`PendingMail`], or a reference to one.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Record<M> {
    /// The first field: see [`DONE_AT`].
    done: u8,
    version: u32,
    mail: M,
}

/// Returns the mails of a file that are not done, each with its offset. Lines that are no mails are returned, too.
pub fn records(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let mut end = 0;
    let lines = text.split_inclusive('\n').map(move |line| {
        end += line.len();
        (end - line.len(), line)
    });
    lines.filter(|(_, line)| !line.starts_with(BEGIN_DONE))
}

/// Returns the line of a mail.
pub fn encode(mail: &PendingMail) -> String {
    to_line(&Record { done: 0, version: VERSION, mail })
}

/// Returns the mail of a line. It has at least one remaining recipient.
///
/// # Errors
///
/// The reason why the line is no mail.
pub fn decode(line: &str) -> Result<PendingMail, String> {
    if !line.starts_with(NOT_DONE) {
        return Err(format!("it does not begin with {NOT_DONE}"));
    }
    let Record { version, mail, .. }: Record<PendingMail> = parse_line(line)?;
    if version != VERSION {
        return Err(format!("it has version {version}; expected {VERSION}"));
    }
    check(&mail)?;
    Ok(mail)
}

/// Returns an error if a part of the mail could leave its place in a header or a command line, or if a part is missing.
fn check(PendingMail { notification, remaining }: &PendingMail) -> Result<(), String> {
    let Notification { message_id, from, to, references, items, .. } = &**notification;
    let distinct: HashSet<&Address> = to.iter().map(|recipient| &recipient.address).collect();
    let still: HashSet<&Address> = remaining.iter().map(|recipient| &recipient.address).collect();
    for (is_wrong, why) in [
        (distinct.len() < to.len(), "it has a recipient twice"),
        (remaining.is_empty(), "it has no remaining recipient"),
        (still.len() < remaining.len(), "it has a remaining recipient twice"),
        (!remaining.iter().all(|recipient| to.contains(recipient)), "a remaining recipient is not in 'to'"),
        (references.len() > MAX_REFERENCES, "it has too many references"),
        (items.is_empty(), "it has no items"),
        // Headers are ASCII.
        (!from.user().is_ascii(), "its sender is not ASCII"),
    ] {
        if is_wrong {
            return Err(why.to_owned());
        }
    }
    references.iter().chain([message_id]).try_for_each(|id| check_message_id(id))?;
    to.iter().map(|recipient| &recipient.address).chain([from]).try_for_each(check_address)
}

/// Returns an error unless a directive could have the address: only the part in front of the `@` may have characters outside
/// ASCII.
pub(super) fn check_address(address: &Address) -> Result<(), String> {
    let text: &str = address.as_ref();
    let is_safe = address.domain().is_ascii()
        && !text.starts_with(FORBIDDEN_STARTS)
        && !text.contains(is_forbidden_in_address);
    if is_safe { Ok(()) } else { Err(format!("the address '{text}' in it is not allowed")) }
}

/// Returns an error unless this library could have made the Message-ID: it goes into a header as it is.
pub(super) fn check_message_id(text: &str) -> Result<(), String> {
    let is_plain = |part: &str| {
        matches!(part.len(), 1..=255)
            && part.bytes().all(|b| b.is_ascii_alphanumeric() || b"._-".contains(&b))
    };
    let inner = text.strip_prefix('<').and_then(|text| text.strip_suffix('>'));
    let parts = inner.and_then(|inner| inner.split_once('@'));
    let is_own = parts.is_some_and(|(left, right)| is_plain(left) && is_plain(right));
    if is_own { Ok(()) } else { Err("a Message-ID in it is not one of this library".to_owned()) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::{Accuracy, Check, Event, Health, Kind, Level, Provenance, Usable, sample};
    use crate::notification::{FlapPhase, Incident, Item, Trigger};
    use crate::settings::Recipient;
    use serde_json::Value;
    use std::sync::Arc;
    use std::time::{Duration, SystemTime};

    fn mail() -> PendingMail {
        let recipient =
            |address: &str, is_local| Recipient { address: address.parse().expect("an address"), is_local };
        let to = vec![
            recipient("ops@example.com", false),
            recipient("root@lb1.example.com", true),
            recipient("oncall@example.com", false),
        ];
        let time = |nanos| SystemTime::UNIX_EPOCH + Duration::from_nanos(nanos);
        let event = Event {
            when: time(1_795_442_399_998_000_000),
            proxy: "servers".into(),
            server: Some("server2".into()),
            sentence: "Server servers/server2 is DOWN, reason: Layer4 timeout, check duration: 2001ms."
                .into(),
            check: Some(Check {
                status: "L4TOUT".into(),
                reason: "Layer4 timeout".into(),
                duration: Some(Duration::from_millis(2001)),
                ..Check::default()
            }),
            address: "10.0.0.7:8080".into(),
            usable: Some(Usable { active: 2, backup: 0 }),
            ..sample()
        };
        let incident = Incident { since: event.when, reason: event.short_reason().into(), changes: 1 };
        let notification = Notification {
            message_id: "<haproxy.643a.1f.12.0@lb1.example.com>".into(),
            created: time(1_795_442_400_000_000_000),
            from: "haproxy@lb1.example.com".parse().expect("an address"),
            to: to.clone(),
            references: vec!["<haproxy.643a.1f.7.0@lb1.example.com>".into()],
            topic: "servers/server2".into(),
            trigger: Trigger::Changes,
            items: vec![Item { incident: Some(incident), ..Item::of(event) }],
            sizes: vec![("servers".into(), 3)],
            unnamed: 0,
            dropped: 0,
        };
        PendingMail { notification: Arc::new(notification), remaining: to[..2].to_vec() }
    }

    /// The example of the documentation.
    fn file() -> String {
        let source = include_str!("format.rs").lines().filter_map(|line| line.strip_prefix("//! "));
        let example = source.skip_while(|line| *line != "```text").skip(1).take_while(|line| *line != "```");
        example.collect::<String>() + "\n"
    }

    #[test]
    fn a_mail_is_written_as_documented_and_read_back() {
        assert_eq!(encode(&mail()), file());
        assert_eq!(decode(&file()), Ok(mail()));
    }

    #[test]
    fn every_field_is_read_as_it_was_written() {
        let mail = Arc::unwrap_or_clone(mail().notification);
        let agent = Check {
            is_agent: true,
            code: Some(0),
            info: "via agent : down (out of disk)".into(),
            duration: None,
            status: "L7STS".into(),
            reason: "Layer7 wrong status".into(),
        };
        let mut others = vec![
            Event { is_listen: true, server: None, kind: Kind::BackendDown, level: Level::Emerg, ..sample() },
            Event { kind: Kind::Gone, health: Health::Maint, was: String::new(), ..sample() },
            Event {
                kind: Kind::Ready,
                health: Health::Up,
                cause: "out of: \"order\" \\".into(),
                usable: Some(Usable { active: 2, backup: 7 }),
                ..sample()
            },
            Event {
                usable: None,
                provenance: Provenance::LogFile,
                accuracy: Accuracy::Since(SystemTime::UNIX_EPOCH),
                ..sample()
            },
            Event {
                accuracy: Accuracy::Second,
                check: Some(agent),
                via: Some("origin/server1".into()),
                address: "[::1]:80".into(),
                ..sample()
            },
        ];
        let incident = Incident { since: SystemTime::UNIX_EPOCH, reason: "".into(), changes: 12 };
        let mut items: Vec<Item> = others.drain(..).map(Item::of).collect();
        items[1] =
            Item { incident: Some(incident), flap_phase: FlapPhase::Stable, changes: 9, ..items[1].clone() };
        for trigger in [
            Trigger::Changes,
            Trigger::Reminder,
            Trigger::Silence { pattern: "web/*".into(), reason: "a new  release".into() },
            Trigger::Silence { pattern: "web".into(), reason: String::new() },
        ] {
            let mail = PendingMail::new(Notification {
                trigger,
                items: items.clone(),
                references: vec![],
                sizes: vec![("a b".into(), 2), ("c".into(), 3)],
                unnamed: 5,
                dropped: u64::MAX,
                ..mail.clone()
            });
            assert_eq!(decode(&encode(&mail)), Ok(mail));
        }
    }

    #[test]
    fn an_international_recipient_is_accepted_and_an_international_sender_refused() {
        let other = file().replace("ops@example.com", "b\u{fc}ro@example.com");
        let mail = decode(&other).expect("a mail");
        assert!(mail.remaining[0].is_international());
        assert_eq!(encode(&mail), other);
        assert!(decode(&file().replace("\"from\":\"haproxy@", "\"from\":\"h\u{e4}proxy@")).is_err());
    }

    #[test]
    fn records_of_a_file_are_separated_and_done_mails_are_left_out() {
        let mut three = file().repeat(3);
        let offsets = |file: &str| records(file).map(|(offset, _)| offset).collect::<Vec<_>>();
        assert_eq!(offsets(&three), [0, file().len(), file().len() * 2]);
        let done_at = file().len() + DONE_AT as usize;
        three.replace_range(done_at..=done_at, "1");
        three.push_str("more");
        assert_eq!(offsets(&three), [0, file().len() * 2, file().len() * 3]);
        let (_, mail): (Vec<_>, Vec<_>) = records(&three).unzip();
        assert_eq!(mail, [file().as_str(), &file(), "more"]);
        assert_eq!(records("").count(), 0);
        assert_eq!(three.as_bytes()[done_at], DONE);
        assert!(decode(&three[file().len()..file().len() * 2]).is_err(), "a mail that is done");
    }

    /// Every copy of `value` from which one field is missing, with the name of that field.
    fn without_one_field(value: &Value) -> Vec<(String, Value)> {
        match value {
            Value::Object(map) => map
                .iter()
                .flat_map(|(name, inner)| {
                    let mut rest = map.clone();
                    rest.remove(name);
                    let deeper = without_one_field(inner).into_iter().map(|(field, inner)| {
                        let mut changed = map.clone();
                        changed.insert(name.clone(), inner);
                        (field, Value::Object(changed))
                    });
                    std::iter::once((name.clone(), Value::Object(rest))).chain(deeper).collect::<Vec<_>>()
                })
                .collect(),
            Value::Array(list) => (0..list.len())
                .flat_map(|n| {
                    without_one_field(&list[n]).into_iter().map(move |(field, inner)| {
                        let mut changed = list.clone();
                        changed[n] = inner;
                        (field, Value::Array(changed))
                    })
                })
                .collect(),
            _ => Vec::new(),
        }
    }

    /// The line of a value, with `done` as its first field.
    fn line_of(mut value: Value) -> String {
        value.as_object_mut().expect("an object").remove("done");
        format!("{NOT_DONE}{}\n", &value.to_string()[1..])
    }

    #[test]
    fn every_beginning_and_every_missing_or_unknown_field_is_refused() {
        for end in 0..file().len() {
            assert!(decode(&file()[..end]).is_err(), "{end}");
        }
        const OPTIONAL: [&str; 9] = [
            "references",
            "sizes",
            "server",
            "was",
            "check",
            "duration",
            "address of the server",
            "incident",
            "usable",
        ];
        let whole: Value = serde_json::from_str(&file()).expect("JSON");
        assert_eq!(decode(&line_of(whole.clone())), Ok(mail()));
        let fields = without_one_field(&whole);
        assert!(fields.len() > 40, "{}", fields.len());
        for (name, rest) in fields {
            let notification = |value: &Value| value["mail"]["notification"]["to"].clone();
            let is_of_recipient = notification(&rest) != notification(&whole)
                || rest["mail"]["remaining"] != whole["mail"]["remaining"];
            let name = match name.as_str() {
                "address" if !is_of_recipient => "address of the server",
                // Without it the recipient is another one, which is not in the other list.
                "local" => continue,
                // The line has it again: see `line_of`.
                "done" => continue,
                name => name,
            };
            assert_eq!(decode(&line_of(rest)).is_ok(), OPTIONAL.contains(&name), "{name}");
        }
        assert!(decode(&format!("{}more\n", file())).is_err());
        for place in ["{\"done\":0,", "\"event\":{", "\"check\":{", "\"incident\":{", "\"usable\":{"] {
            assert!(decode(&file().replace(place, &format!("{place}\"more\":1,"))).is_err(), "{place}");
        }
        assert!(decode(&file().replace("\"version\":4", "\"version\":5")).is_err());
        assert!(decode(&format!(" {}", file())).is_err(), "the digit would not be where it is overwritten");
    }

    #[test]
    fn values_that_could_leave_their_place_are_refused() {
        for (from, to) in [
            ("<haproxy.643a.1f.12.0@lb1.example.com>", "<a@b>\\r\\nBcc: x@example.com"),
            ("<haproxy.643a.1f.12.0@lb1.example.com>", "<a b@c>"),
            ("<haproxy.643a.1f.7.0@lb1.example.com>", "<a@b>\\r\\nBcc: x@example.com"),
            ("\"<haproxy.643a.1f.7.0@lb1.example.com>\"", &["\"<a@b>\""; 17].join(",")),
            ("\"health\":\"down\"", "\"health\":\"good\""),
            ("\"phase\":\"not-flapping\"", "\"phase\":\"none\""),
            ("\"trigger\":\"changes\"", "\"trigger\":\"silence\""),
            ("ops@example.com", "not an address"),
            ("ops@example.com", "ops@\u{fc}.example.com"),
            ("root@lb1.example.com", "-oQ/tmp@lb1.example.com"),
            ("root@lb1.example.com", "\\\"a b\\\"@lb1.example.com"),
            ("\"kind\":\"down\"", "\"kind\":\"sideways\""),
            ("oncall@example.com", "ops@example.com"),
            ("\"remaining\":[{\"address\":\"ops@", "\"remaining\":[{\"address\":\"others@"),
            (
                "\"remaining\":[{\"address\":\"ops@example.com\"}",
                "\"remaining\":[{\"address\":\"ops@example.com\"},{\"address\":\"ops@example.com\"}",
            ),
            ("\"server2\"", "\"a\\rb\\u001b[2J\""),
            ("\"server2\"", "\"\u{202e}\""),
            ("\"created\":1795442400000000000", "\"created\":-1"),
            ("\"created\":1795442400000000000", "\"created\":99999999999999999999"),
        ] {
            assert!(file().contains(from), "{from}");
            assert!(decode(&file().replace(from, to)).is_err(), "{to}");
        }
    }

    #[test]
    fn a_mail_with_hostile_texts_is_written_and_read_with_visible_texts() {
        let hostile = "a\rb\u{1b}[2J\u{202e}\"\\\0\u{7f}";
        let mut notification = Arc::unwrap_or_clone(mail().notification);
        notification.topic = hostile.into();
        notification.trigger = Trigger::Silence { pattern: "web".into(), reason: hostile.into() };
        let event = Event { server: Some(hostile.into()), sentence: hostile.into(), ..sample() };
        notification.items = vec![Item::of(event)];
        let mail = decode(&encode(&PendingMail::new(notification))).expect("a mail").notification;
        let visible = "a<U+000D>b<U+001B>[2J<U+202E>\"\\<U+0000><U+007F>";
        let event = &mail.items[0].event;
        assert_eq!(
            (&*mail.topic, event.server.as_deref(), &*event.sentence),
            (visible, Some(visible), visible)
        );
        assert_eq!(mail.trigger, Trigger::Silence { pattern: "web".into(), reason: visible.into() });
    }
}
