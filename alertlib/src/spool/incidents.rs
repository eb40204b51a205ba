// SPDX-License-Identifier: MIT OR Apache-2.0
//! The snapshot as a JSON line: open incidents, flapping, silences, and what is held until their end. Without it the next process
//! would mail each incident again, would not mail the end of an incident that was over before it started, and would break
//! silences.
//!
//! Here with line ends that the file does not have:
//!
//! ```text
//! {"snapshot":{"silences":[{"pattern":"api/*","until":1795449600000000000,"reason":"release 1.2"}],
//! "audiences":[[["ops@example.com"],[{"health":"down",
//! "thread":{"root":"<haproxy.643a.1f.12.0@lb1.example.com>","topic":"servers/server2","created":1795442400000000000},
//! "open_incident":{"incident":{"since":1795442399998000000,"reason":"Layer4 timeout","changes":1},
//! "first_event":{"when":1795442399998000000,"kind":"down","health":"down","level":"alert",
//! "proxy":"servers","server":"server2",
//! "sentence":"Server servers/server2 is DOWN, reason: Layer4 timeout, check duration: 2001ms.",
//! "was":"UP","check":{"status":"L4TOUT","reason":"Layer4 timeout","duration":{"secs":2,"nanos":1000000}},
//! "address":"10.0.0.7:8080","usable":{"active":2,"backup":0}},
//! "notified_at":1795456800000000000}},
//! {"health":"up",
//! "thread":{"root":"<haproxy.643a.1f.14.0@lb1.example.com>","topic":"web/s1","created":1795442400000000000},
//! "flapping":{"since":1795442390000000000,"changes":7,"last_change":1795442399000000000,
//! "event":{"when":1795442399000000000,"kind":"up","health":"up","level":"notice","proxy":"web","server":"s1",
//! "sentence":"Server web/s1 is UP.","usable":{"active":3,"backup":0}}},
//! "held":{"item":{"event":{"when":1795442399000000000,"kind":"up","health":"up","level":"notice","proxy":"web","server":"s1",
//! "sentence":"Server web/s1 is UP.","usable":{"active":3,"backup":0}},
//! "changes":1,"first":1795442399000000000,"phase":"not-flapping"},"held_by":"flapping"}}]]]},"version":4}
//! ```
//!
//! The fields are those of [`Snapshot`]. An audience is a list of recipients and the targets of its group. Events and items are
//! those of [`super::format`].

use super::LARGEST;
use super::format::{VERSION, check_address, check_message_id};
use crate::engine::{Snapshot, TargetSnapshot};
use crate::text::CUT;
use crate::wire::{parse_line, to_line};
use serde::{Deserialize, Serialize};

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Record {
    snapshot: Snapshot,
    version: u32,
}

/// Returns true if the file is, or was, a snapshot.
pub(super) fn is_snapshot(text: &str) -> bool {
    text.starts_with("{\"snapshot\":")
}

/// Returns the file's content. If it were larger than a file may be, the last targets of each audience are left out.
pub fn encode(snapshot: &Snapshot) -> String {
    let mut record = Record { snapshot: snapshot.clone(), version: VERSION };
    let audiences = &mut record.snapshot.audiences;
    audiences.iter_mut().for_each(|(_, targets)| targets.retain(has_whole_name));
    audiences.retain(|(_, targets)| !targets.is_empty());
    loop {
        let text = to_line(&record);
        if text.len() <= LARGEST || record.snapshot.is_empty() {
            return text;
        }
        for (_, targets) in &mut record.snapshot.audiences {
            targets.truncate(targets.len() * 3 / 4);
        }
    }
}

/// Returns false if the name of the target was cut: it identifies no server.
fn has_whole_name(target: &TargetSnapshot) -> bool {
    target.target().is_some_and(|id| {
        !id.proxy.ends_with(CUT) && !id.server.as_ref().is_some_and(|server| server.ends_with(CUT))
    })
}

/// Returns the snapshot of a file.
///
/// # Errors
///
/// The reason why the file is no snapshot.
pub fn decode(text: &str) -> Result<Snapshot, String> {
    let Record { snapshot, version } = parse_line(text)?;
    if version != VERSION {
        return Err(format!("it has version {version}; expected {VERSION}"));
    }
    for (to, targets) in &snapshot.audiences {
        if to.is_empty() {
            return Err("an audience in it has no recipients".to_owned());
        }
        to.iter().try_for_each(check_address)?;
        for target in targets {
            target.target().ok_or("a target in it has no state")?;
            target.thread.iter().try_for_each(|thread| check_message_id(&thread.root))?;
        }
    }
    Ok(snapshot)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::Event;

    /// The example of the documentation.
    fn file() -> String {
        let source = include_str!("incidents.rs").lines().filter_map(|line| line.strip_prefix("//! "));
        let example = source.skip_while(|line| *line != "```text").skip(1).take_while(|line| *line != "```");
        example.collect::<String>() + "\n"
    }

    #[test]
    fn documented_snapshot_is_read_and_written() {
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
    fn truncated_and_wrong_snapshots_are_refused() {
        let file = file();
        for end in 0..file.len() {
            assert!(decode(&file[..end]).is_err(), "{end}");
        }
        assert!(decode(&file.repeat(2)).is_err());
        for (from, to) in [
            ("<haproxy.643a.1f.12.0@lb1.example.com>", "<a@b>\\r\\nBcc: x@example.com"),
            ("[\"ops@example.com\"]", "[\"ops\"]"),
            ("[\"ops@example.com\"]", "[]"),
            ("{\"health\":\"down\"", "{\"health\":\"sideways\""),
            ("\"held_by\":\"flapping\"", "\"held_by\":\"long\""),
            ("\"changes\":7", "\"changes\":\"many\""),
            ("\"until\":1795449600000000000", "\"until\":\"soon\""),
            ("api/*", "a/b/c"),
            ("\"notified_at\":1", "\"notified_at\":x"),
            ("\"version\":4", "\"version\":5"),
            ("{\"health\":\"down\"", "{\"more\":1,\"health\":\"down\""),
            ("[{\"health\":\"down\"", "[{\"health\":\"down\"},{\"health\":\"down\""),
        ] {
            assert!(file.contains(from), "{from}");
            assert!(decode(&file.replacen(from, to, 1)).is_err(), "{to}");
        }
    }

    #[test]
    fn size_is_limited_and_targets_with_a_cut_name_are_left_out() {
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
