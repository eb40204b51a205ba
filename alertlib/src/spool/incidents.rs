// SPDX-License-Identifier: MIT OR Apache-2.0
//! The snapshot as JSON lines: open incidents, flapping, silences, and what is held until their end. Without it the next process
//! would mail each incident again, would not mail the end of an incident that was over before it started, and would break
//! silences.
//!
//! One object a line; here with line ends behind commas that the file does not have:
//!
//! ```text
//! {"snapshot":{"version":3}}
//! {"silence":{"until":1795449600000000000,"pattern":"api/*","reason":"release 1.2"}}
//! {"audience":{"to":["ops@example.com"]}}
//! {"target":{"health":"down",
//! "thread":{"root":"<haproxy.643a.1f.12.0@lb1.example.com>","topic":"servers/server2","at":1795442400000000000},
//! "open":{"notified":1795456800000000000,
//! "begin":{"when":1795442399998000000,"kind":"down","health":"down","level":"alert",
//! "proxy":"servers","server":"server2",
//! "sentence":"Server servers/server2 is DOWN, reason: Layer4 timeout, check duration: 2001ms.",
//! "was":"UP","check":{"status":"L4TOUT","reason":"Layer4 timeout","duration":2001},
//! "address":"10.0.0.7:8080","usable":{"active":2,"backup":0}},
//! "incident":{"since":1795442399998000000,"changes":1,"reason":"Layer4 timeout"}}}}
//! {"target":{"health":"up",
//! "thread":{"root":"<haproxy.643a.1f.14.0@lb1.example.com>","topic":"web/s1","at":1795442400000000000},
//! "flapping":{"since":1795442390000000000,"last":1795442399000000000,"changes":7,
//! "event":{"when":1795442399000000000,"kind":"up","health":"up","level":"notice","proxy":"web","server":"s1",
//! "sentence":"Server web/s1 is UP.","usable":{"active":3,"backup":0}}},
//! "held":{"by":"flapping",
//! "item":{"event":{"when":1795442399000000000,"kind":"up","health":"up","level":"notice","proxy":"web","server":"s1",
//! "sentence":"Server web/s1 is UP.","usable":{"active":3,"backup":0}},
//! "changes":1,"first":1795442399000000000,"phase":"change"}}}}
//! {"end":{"records":5}}
//! ```
//!
//! A `target` is one server or backend, as the `audience` in front of it knows it: `thread` is the first mail of its incident,
//! with its topic and time; `open` is the incident that is not over, with the time of the last mail about it and the event that
//! began it; `flapping` says since when it changes too often, when it changed last, how often, and its last event; `held` is what
//! is mailed when it is stable (`"by":"flapping"`) or at the end of a silence (`"by":"silence"`). Events and items are those of
//! [`super::format`]. `end` has the number of lines in front of it.

use super::LARGEST;
use super::format::VERSION;
use super::record::{
    EventRecord, IncidentRecord, ItemRecord, address, line, meaning, message_id, nanos, parse, time,
};
use crate::engine::{
    Flapping, Held, HeldBy, OpenIncident, Silence, Snapshot, TargetId, TargetSnapshot, Thread,
};
use crate::event::Health;
use crate::text::{CUT, visible};
use serde::{Deserialize, Serialize};

/// The beginning of the first line.
const FIRST: &str = "{\"snapshot\":";
/// Room for the last line, in bytes.
const END: usize = 64;

/// A line of the file.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "lowercase", deny_unknown_fields)]
enum Record {
    Snapshot { version: u32 },
    Silence { until: u64, pattern: String, reason: String },
    Audience { to: Vec<String> },
    Target(Box<TargetRecord>),
    End { records: usize },
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct TargetRecord {
    health: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    thread: Option<ThreadRecord>,
    #[serde(skip_serializing_if = "Option::is_none")]
    open: Option<OpenRecord>,
    #[serde(skip_serializing_if = "Option::is_none")]
    flapping: Option<FlappingRecord>,
    #[serde(skip_serializing_if = "Option::is_none")]
    held: Option<HeldRecord>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct ThreadRecord {
    root: String,
    topic: String,
    at: u64,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct OpenRecord {
    notified: u64,
    begin: EventRecord,
    incident: IncidentRecord,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct FlappingRecord {
    since: u64,
    last: u64,
    changes: u32,
    event: EventRecord,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct HeldRecord {
    by: String,
    item: ItemRecord,
}

/// Whether the file is, or was, a snapshot.
pub(super) fn is_snapshot(text: &str) -> bool {
    text.starts_with(FIRST)
}

/// The file's content. Targets that would make it larger than a file may be are left out.
pub fn encode(snapshot: &Snapshot) -> String {
    let mut text = line(&Record::Snapshot { version: VERSION });
    let mut records = 1;
    let mut add = |record: &Record| {
        let line = line(record);
        let fits = text.len() + line.len() + END <= LARGEST;
        if fits {
            text.push_str(&line);
            records += 1;
        }
        fits
    };
    for Silence { pattern, until, reason } in &snapshot.silences {
        let pattern = pattern.to_string();
        add(&Record::Silence { until: nanos(*until), pattern, reason: visible(reason) });
    }
    'all: for (to, targets) in snapshot.audiences.iter().filter(|(_, targets)| !targets.is_empty()) {
        if !add(&Record::Audience { to: to.iter().map(|to| visible(to.as_ref())).collect() }) {
            break;
        }
        for target in targets {
            // A name that was cut identifies no server.
            let is_whole = |name: &TargetId| {
                !name.proxy.ends_with(CUT) && !name.server.as_ref().is_some_and(|name| name.ends_with(CUT))
            };
            let is_known = target.target().is_some_and(|name| is_whole(&name));
            if is_known && !add(&Record::Target(Box::new(TargetRecord::of(target)))) {
                break 'all;
            }
        }
    }
    text + &line(&Record::End { records })
}

/// The snapshot of a file.
///
/// # Errors
///
/// Why it is none.
pub fn decode(text: &str) -> Result<Snapshot, String> {
    let mut lines = text.split_inclusive('\n').enumerate();
    match lines.next().map(|(_, line)| parse(line)).transpose()? {
        Some(Record::Snapshot { version: VERSION }) => {}
        _ => return Err(format!("it does not begin with a snapshot of version {VERSION}")),
    }
    let mut snapshot = Snapshot::default();
    while let Some((number, line)) = lines.next() {
        match parse(line)? {
            Record::Silence { until, pattern, reason } => {
                let pattern = pattern.parse().map_err(|why| format!("a pattern in it {why}"))?;
                snapshot.silences.push(Silence { until: time(until)?, pattern, reason: visible(&reason) });
            }
            Record::Audience { to } if !to.is_empty() => {
                let to = to.iter().map(|to| address(to)).collect::<Result<_, _>>()?;
                snapshot.audiences.push((to, Vec::new()));
            }
            Record::Target(target) => {
                let target = target.target()?;
                target.target().ok_or("a target in it has no state")?;
                let (_, targets) = snapshot.audiences.last_mut().ok_or("a target in it has no audience")?;
                targets.push(target);
            }
            Record::End { records } if records == number && lines.next().is_none() => return Ok(snapshot),
            _ => return Err("a line in it is in the wrong place".to_owned()),
        }
    }
    Err("it has no end".to_owned())
}

impl TargetRecord {
    fn of(target: &TargetSnapshot) -> Self {
        let TargetSnapshot { health, thread, open_incident, flapping, held } = target;
        TargetRecord {
            health: health.word().to_owned(),
            thread: thread.as_ref().map(|Thread { root, topic, created }| ThreadRecord {
                root: visible(root),
                topic: visible(topic),
                at: nanos(*created),
            }),
            open: open_incident.as_ref().map(|OpenIncident { incident, first_event, notified_at }| {
                OpenRecord {
                    notified: nanos(*notified_at),
                    begin: EventRecord::of(first_event),
                    incident: IncidentRecord::of(incident),
                }
            }),
            flapping: flapping.as_ref().map(|Flapping { since, changes, last_change, event }| {
                FlappingRecord {
                    since: nanos(*since),
                    last: nanos(*last_change),
                    changes: *changes,
                    event: EventRecord::of(event),
                }
            }),
            held: held.as_ref().map(|Held { item, held_by }| HeldRecord {
                by: if *held_by == HeldBy::Silence { "silence" } else { "flapping" }.to_owned(),
                item: ItemRecord::of(item),
            }),
        }
    }

    fn target(self) -> Result<TargetSnapshot, String> {
        let thread = |thread: ThreadRecord| -> Result<Thread, String> {
            let root = message_id(thread.root)?.into();
            Ok(Thread { root, topic: visible(&thread.topic).into(), created: time(thread.at)? })
        };
        let open = |open: OpenRecord| -> Result<OpenIncident, String> {
            let incident = open.incident.incident()?;
            Ok(OpenIncident {
                incident,
                first_event: open.begin.event()?.into(),
                notified_at: time(open.notified)?,
            })
        };
        let flapping = |flapping: FlappingRecord| -> Result<Flapping, String> {
            let (since, last_change) = (time(flapping.since)?, time(flapping.last)?);
            Ok(Flapping {
                since,
                last_change,
                changes: flapping.changes,
                event: flapping.event.event()?.into(),
            })
        };
        let held_by = |word: &str| match word {
            "silence" => Some(HeldBy::Silence),
            "flapping" => Some(HeldBy::Flapping),
            _ => None,
        };
        let held = |held: HeldRecord| -> Result<Held, String> {
            Ok(Held { held_by: meaning("by", &held.by, held_by)?, item: held.item.item()? })
        };
        Ok(TargetSnapshot {
            health: meaning("health", &self.health, Health::from_word)?,
            thread: self.thread.map(thread).transpose()?,
            open_incident: self.open.map(open).transpose()?,
            flapping: self.flapping.map(flapping).transpose()?,
            held: self.held.map(held).transpose()?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::Event;

    /// The example of the documentation.
    fn file() -> String {
        let source = include_str!("incidents.rs").lines().filter_map(|line| line.strip_prefix("//! "));
        let example = source.skip_while(|line| *line != "```text").skip(1).take_while(|line| *line != "```");
        let lines =
            example.map(|line| if line.ends_with(',') { line.to_owned() } else { format!("{line}\n") });
        lines.collect()
    }

    #[test]
    fn what_is_documented_is_read_and_written() {
        let snapshot = decode(&file()).expect("a snapshot");
        let (to, known) = &snapshot.audiences[0];
        assert_eq!(
            (to.len(), known.len(), known[0].target().and_then(|name| name.server).as_deref()),
            (1, 2, Some("server2"))
        );
        assert_eq!(encode(&snapshot), file());
        let mut twice = snapshot.clone();
        twice.audiences[0].1.extend(known.clone());
        twice.audiences.push((vec!["a@b".parse().expect("address")], known.clone()));
        assert_eq!(decode(&encode(&twice)), Ok(twice));
    }

    #[test]
    fn nothing_else_is_taken_for_one() {
        let file = file();
        for end in 0..file.len() {
            assert!(decode(&file[..end]).is_err(), "{end}");
        }
        let lines: Vec<&str> = file.split_inclusive('\n').collect();
        for missing in 0..lines.len() {
            let rest = [&lines[..missing], &lines[missing + 1..]].concat().concat();
            assert!(decode(&rest).is_err(), "without line {missing}");
        }
        for (from, to) in [
            ("<haproxy.643a.1f.12.0@lb1.example.com>", "<a@b>\\r\\nBcc: x@example.com"),
            ("[\"ops@example.com\"]", "[\"ops\"]"),
            ("[\"ops@example.com\"]", "[]"),
            ("{\"health\":\"down\"", "{\"health\":\"sideways\""),
            ("\"by\":\"flapping\"", "\"by\":\"long\""),
            ("\"changes\":7", "\"changes\":\"many\""),
            ("\"until\":1795449600000000000", "\"until\":\"soon\""),
            ("api/*", "a/b/c"),
            ("\"notified\":1", "\"notified\":x"),
            ("\"version\":3", "\"version\":4"),
            ("{\"health\":\"down\"", "{\"more\":1,\"health\":\"down\""),
            ("{\"end\":", "{\"target\":{\"health\":\"down\"}}\n{\"end\":"),
        ] {
            assert!(file.contains(from), "{from}");
            assert!(decode(&file.replacen(from, to, 1)).is_err(), "{to}");
        }
    }

    #[test]
    fn it_has_a_bound_and_no_name_that_was_cut() {
        let mut snapshot = decode(&file()).expect("a snapshot");
        let one = snapshot.audiences[0].1[0].clone();
        let mut cut = one.clone();
        let open_incident = cut.open_incident.as_mut().expect("an open incident");
        open_incident.first_event =
            Event { server: Some(format!("s{CUT}")), ..(*open_incident.first_event).clone() }.into();
        snapshot.audiences[0].1 = vec![cut];
        snapshot.audiences[0].1.extend(vec![one; 10_000]);
        let text = encode(&snapshot);
        assert!(text.len() <= LARGEST, "{}", text.len());
        let known = &decode(&text).expect("a snapshot").audiences[0].1;
        let first = known[0].target().and_then(|name| name.server);
        assert!(known.len() > 5_000 && first.as_deref() == Some("server2"));
    }
}
