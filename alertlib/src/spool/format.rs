// SPDX-License-Identifier: MIT OR Apache-2.0
//! Mails as JSON lines, for programs, and for people with `cat` and `jq`: one object a mail, one mail a line. Here with line
//! ends that the file does not have:
//!
//! ```text
//! {"done":0,"version":3,"message_id":"<haproxy.643a.1f.12.0@lb1.example.com>",
//! "created":1795442400000000000,"from":"haproxy@lb1.example.com",
//! "to":[{"address":"ops@example.com"},
//! {"address":"root@lb1.example.com","local":true},
//! {"address":"oncall@example.com","done":true}],
//! "references":["<haproxy.643a.1f.7.0@lb1.example.com>"],
//! "topic":"servers/server2","trigger":"changes",
//! "sizes":[{"backend":"servers","servers":3}],"unnamed":0,"dropped":0,
//! "items":[{"event":{"when":1795442399998000000,"kind":"down","health":"down","level":"alert",
//! "proxy":"servers","server":"server2",
//! "sentence":"Server servers/server2 is DOWN, reason: Layer4 timeout, check duration: 2001ms.",
//! "was":"UP","check":{"status":"L4TOUT","reason":"Layer4 timeout","duration":2001},
//! "address":"10.0.0.7:8080","usable":{"active":2,"backup":0}},
//! "changes":1,"first":1795442399998000000,
//! "incident":{"since":1795442399998000000,"changes":1,"reason":"Layer4 timeout"},"phase":"change"}]}
//! ```
//!
//! `done` comes first: when a mail is delivered while others of its file are not, that one digit is overwritten by `1`. A
//! recipient that has got the mail, or is refused for good, has `"done":true`. Times are nanoseconds since the Unix epoch, the
//! check's `duration` is in milliseconds. `sizes` are the servers of backends. Each item is about one server or backend.
//! `"listen":true` stands for a `listen` section, `"agent":true` in `check` for the agent's check. What is unknown is left out;
//! `server` is missing when the event is about the whole backend. `trigger` is `"changes"`, `"reminder"` or
//! `{"silence":{"pattern":"web/*","reason":"a release"}}`. A line that differs in anything is no mail; `version` changes with
//! the format.

use super::record::{ItemRecord, address, is_false, line, message_id, nanos, parse, time};
use crate::notification::{Item, MAX_REFERENCES, Notification, Trigger};
use crate::queue::PendingMail;
use crate::settings::Recipient;
use crate::text::visible;
use serde::{Deserialize, Serialize};
use std::collections::HashSet;
use std::sync::Arc;

/// Changes with the format.
pub(super) const VERSION: u32 = 3;
/// The beginning of a mail that is not done.
const NOT_DONE: &str = "{\"done\":0,";
/// The offset of the digit in [`NOT_DONE`].
pub const DONE_AT: u64 = 8;
/// The byte that replaces the digit when the mail is done.
pub const DONE: u8 = b'1';
/// The beginning of a mail that is done.
const BEGIN_DONE: &str = "{\"done\":1,";

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct MailRecord {
    /// The first field: see [`DONE_AT`].
    done: u8,
    version: u32,
    message_id: String,
    created: u64,
    from: String,
    to: Vec<RecipientRecord>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    references: Vec<String>,
    topic: String,
    trigger: TriggerRecord,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    sizes: Vec<SizeRecord>,
    unnamed: u64,
    dropped: u64,
    items: Vec<ItemRecord>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct RecipientRecord {
    address: String,
    #[serde(default, skip_serializing_if = "is_false")]
    local: bool,
    #[serde(default, skip_serializing_if = "is_false")]
    done: bool,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "lowercase", deny_unknown_fields)]
enum TriggerRecord {
    Changes,
    Reminder,
    Silence { pattern: String, reason: String },
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct SizeRecord {
    backend: String,
    servers: u32,
}

/// The mails of a file that are not done, each with its offset. What is no mail is returned, too.
pub fn records(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let mut end = 0;
    let lines = text.split_inclusive('\n').map(move |line| {
        end += line.len();
        (end - line.len(), line)
    });
    lines.filter(|(_, line)| !line.starts_with(BEGIN_DONE))
}

/// The line of a mail.
pub fn encode(mail: &PendingMail) -> String {
    let PendingMail { notification, remaining } = mail;
    let recipient = |to: &Recipient| RecipientRecord {
        address: visible(to.address.as_ref()),
        local: to.is_local,
        done: !remaining.contains(to),
    };
    let size =
        |(backend, servers): &(String, u32)| SizeRecord { backend: visible(backend), servers: *servers };
    line(&MailRecord {
        done: 0,
        version: VERSION,
        message_id: visible(&notification.message_id),
        created: nanos(notification.created),
        from: visible(notification.from.as_ref()),
        to: notification.to.iter().map(recipient).collect(),
        references: notification.references.iter().map(|id| visible(id)).collect(),
        topic: visible(&notification.topic),
        trigger: match &notification.trigger {
            Trigger::Changes => TriggerRecord::Changes,
            Trigger::Reminder => TriggerRecord::Reminder,
            Trigger::Silence { pattern, reason } => {
                TriggerRecord::Silence { pattern: visible(pattern), reason: visible(reason) }
            }
        },
        sizes: notification.sizes.iter().map(size).collect(),
        unnamed: notification.unnamed,
        dropped: notification.dropped,
        items: notification.items.iter().map(ItemRecord::of).collect(),
    })
}

/// The mail of a line. It has at least one remaining recipient.
///
/// # Errors
///
/// Why it is no mail.
pub fn decode(line: &str) -> Result<PendingMail, String> {
    if !line.starts_with(NOT_DONE) {
        return Err(format!("it does not begin with {NOT_DONE}"));
    }
    let record: MailRecord = parse(line)?;
    if record.version != VERSION {
        return Err(format!("it has version {}; expected {VERSION}", record.version));
    }
    let (mut to, mut remaining) = (Vec::new(), Vec::new());
    let mut seen = HashSet::new();
    for RecipientRecord { address: text, local, done } in record.to {
        let recipient = Recipient { address: address(&text)?, is_local: local };
        if !seen.insert(recipient.address.clone()) {
            return Err(format!("it has the recipient {} twice", recipient.address));
        }
        if !done {
            remaining.push(recipient.clone());
        }
        to.push(recipient);
    }
    if remaining.is_empty() {
        return Err("no recipient is left".to_owned());
    }
    if record.references.len() > MAX_REFERENCES {
        return Err("it has too many references".to_owned());
    }
    if record.items.is_empty() {
        return Err("it has no items".to_owned());
    }
    // The sender's address stands in a header, which is ASCII.
    let from = address(&record.from)?;
    if !from.user().is_ascii() {
        return Err("its sender is not ASCII".to_owned());
    }
    let notification = Notification {
        message_id: message_id(record.message_id)?,
        created: time(record.created)?,
        from,
        to,
        references: record.references.into_iter().map(message_id).collect::<Result<_, _>>()?,
        topic: visible(&record.topic),
        trigger: match record.trigger {
            TriggerRecord::Changes => Trigger::Changes,
            TriggerRecord::Reminder => Trigger::Reminder,
            TriggerRecord::Silence { pattern, reason } => {
                Trigger::Silence { pattern: visible(&pattern), reason: visible(&reason) }
            }
        },
        items: record.items.into_iter().map(ItemRecord::item).collect::<Result<Vec<Item>, _>>()?,
        sizes: record.sizes.into_iter().map(|size| (visible(&size.backend), size.servers)).collect(),
        unnamed: record.unnamed,
        dropped: record.dropped,
    };
    Ok(PendingMail { notification: Arc::new(notification), remaining })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::{Accuracy, Check, Event, Health, Kind, Level, Provenance, Usable, sample};
    use crate::notification::{FlapPhase, Incident};
    use serde_json::Value;
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
    fn every_field_comes_back() {
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
    fn an_international_recipient_comes_back_and_such_a_sender_does_not() {
        let other = file().replace("ops@example.com", "b\u{fc}ro@example.com");
        let mail = decode(&other).expect("a mail");
        assert!(mail.remaining[0].is_international());
        assert_eq!(encode(&mail), other);
        assert!(decode(&file().replace("\"from\":\"haproxy@", "\"from\":\"h\u{e4}proxy@")).is_err());
    }

    #[test]
    fn several_mails_are_told_apart_and_those_that_are_done_left_out() {
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
        const OPTIONAL: [&str; 11] = [
            "local",
            "references",
            "sizes",
            "server",
            "was",
            "check",
            "duration",
            "address of the server",
            "incident",
            "usable",
            "done",
        ];
        let whole: Value = serde_json::from_str(&file()).expect("JSON");
        assert_eq!(decode(&line_of(whole.clone())), Ok(mail()));
        let fields = without_one_field(&whole);
        assert!(fields.len() > 40, "{}", fields.len());
        for (name, rest) in fields {
            let is_servers_address = name == "address" && rest["to"] == whole["to"];
            let name = if is_servers_address { "address of the server" } else { &name };
            assert_eq!(decode(&line_of(rest)).is_ok(), OPTIONAL.contains(&name), "{name}");
        }
        assert!(decode(&format!("{}more\n", file())).is_err());
        for place in ["{\"done\":0,", "\"event\":{", "\"check\":{", "\"incident\":{", "\"usable\":{"] {
            assert!(decode(&file().replace(place, &format!("{place}\"more\":1,"))).is_err(), "{place}");
        }
        assert!(decode(&file().replace("\"version\":3", "\"version\":4")).is_err());
        assert!(decode(&format!(" {}", file())).is_err(), "the digit would not be where it is overwritten");
    }

    #[test]
    fn foreign_content_cannot_leave_its_place() {
        for (from, to) in [
            ("<haproxy.643a.1f.12.0@lb1.example.com>", "<a@b>\\r\\nBcc: x@example.com"),
            ("<haproxy.643a.1f.12.0@lb1.example.com>", "<a b@c>"),
            ("<haproxy.643a.1f.7.0@lb1.example.com>", "<a@b>\\r\\nBcc: x@example.com"),
            ("\"<haproxy.643a.1f.7.0@lb1.example.com>\"", &["\"<a@b>\""; 17].join(",")),
            ("\"health\":\"down\"", "\"health\":\"good\""),
            ("\"phase\":\"change\"", "\"phase\":\"none\""),
            ("\"trigger\":\"changes\"", "\"trigger\":\"silence\""),
            ("ops@example.com", "not an address"),
            ("ops@example.com", "ops@\u{fc}.example.com"),
            ("root@lb1.example.com", "-oQ/tmp@lb1.example.com"),
            ("root@lb1.example.com", "\\\"a b\\\"@lb1.example.com"),
            ("\"kind\":\"down\"", "\"kind\":\"sideways\""),
            ("oncall@example.com", "ops@example.com"),
            ("\"created\":1795442400000000000", "\"created\":-1"),
            ("\"created\":1795442400000000000", "\"created\":99999999999999999999"),
        ] {
            assert!(file().contains(from), "{from}");
            assert!(decode(&file().replace(from, to)).is_err(), "{to}");
        }
        let other = file().replace("\"server2\"", "\"a\\rb\\u001b[2J\"");
        let mail = decode(&other).expect("a mail");
        let server = mail.notification.items[0].event.server.as_deref();
        assert_eq!(server, Some("a<U+000D>b<U+001B>[2J"));
    }
}
