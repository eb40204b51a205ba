// SPDX-License-Identifier: MIT OR Apache-2.0
//! What is not over, as a file of the spool: incidents, flapping, silences, and what waits for their end. For the next process,
//! which else would mail each incident again, never mail the end of one that was over before it looked, and break silences.
//!
//! ```text
//! haproxy-email-alert incidents 2
//! silence: 1795449600000000000 api/* release 1.2
//! to: ops@example.com
//! now: down
//! thread: <haproxy.643a.1f.12.0@lb1.example.com>
//! topic: servers/server2
//! at: 1795442400000000000
//! told: 1795456800000000000
//! when: 1795442399998000000
//! kind: down
//! health: down
//! level: alert
//! backend: servers
//! server: server2
//! sentence: Server servers/server2 is DOWN, reason: Layer4 timeout, check duration: 2001ms.
//! was: UP
//! check: L4TOUT
//! check-reason: Layer4 timeout
//! check-duration: 2001
//! address: 10.0.0.7:8080
//! usable: 2 0
//! incident: 1795442399998000000 1 Layer4 timeout
//! now: up
//! thread: <haproxy.643a.1f.14.0@lb1.example.com>
//! topic: web/s1
//! at: 1795442400000000000
//! flapping: 1795442390000000000
//! last: 1795442399000000000
//! flaps: 7
//! when: 1795442399000000000
//! kind: up
//! health: up
//! level: notice
//! backend: web
//! server: s1
//! sentence: Server web/s1 is UP.
//! usable: 3 0
//! held: quiet
//! when: 1795442399000000000
//! kind: up
//! health: up
//! level: notice
//! backend: web
//! server: s1
//! sentence: Server web/s1 is UP.
//! usable: 3 0
//! changes: 1
//! first: 1795442399000000000
//! note: change
//! end
//! ```
//!
//! `silence` may come several times: its end, its pattern and its reason. What begins with `now`, which may be `down`, `maint`
//! or `up`, is one server or backend, and there may be several, each for all the `to` above it; then there may be other `to`,
//! with theirs. A server has one or more of these: from `thread` to `at`, the mail that told of its incident, with what its
//! target calls it and when it was made; from `told` to `incident`, the incident: when the last mail about it was, and the event
//! that began it, as in [`super::format`]; from `flapping` on, since when it changes too often, when it did last, how often, and
//! the last event; from `held` to `note`, what is told when it does so no more (`quiet`) or at the end of a silence
//! (`silence`), as in [`super::format`].

use super::LARGEST;
use super::format::{Parser, Writer, address, nanos, time};
use crate::engine::{
    Flapping, Held, HeldBy, OpenIncident, Silence, Snapshot, TargetId, TargetSnapshot, Thread,
};
use crate::event::Health;
use crate::text::CUT;

/// The first line.
pub(super) const FIRST: &str = "haproxy-email-alert incidents 2";

/// The file's content. What is more than a file may have is left out.
pub fn encode(snapshot: &Snapshot) -> String {
    let mut page = Writer::new(FIRST);
    for Silence { pattern, until, reason } in &snapshot.silences {
        page.line("silence", &format!("{} {pattern} {reason}", nanos(*until)));
    }
    for (to, known) in snapshot.audiences.iter().filter(|(_, known)| !known.is_empty()) {
        to.iter().for_each(|to| page.line("to", to.as_ref()));
        for known in known {
            // Nobody could find it by a name that is not whole.
            let is_whole = |name: &TargetId| {
                !name.proxy.ends_with(CUT) && !name.server.as_ref().is_some_and(|name| name.ends_with(CUT))
            };
            if known.target().is_some_and(|name| is_whole(&name)) && !page.append(entry(known), LARGEST) {
                return page.end();
            }
        }
    }
    page.end()
}

fn entry(known: &TargetSnapshot) -> Writer {
    let mut entry = Writer::default();
    entry.line("now", known.health.word());
    if let Some(thread) = &known.thread {
        entry.line("thread", &thread.root);
        entry.line("topic", &thread.topic);
        entry.time("at", thread.created);
    }
    if let Some(OpenIncident { incident, first_event, notified_at }) = &known.open_incident {
        entry.time("told", *notified_at);
        entry.event(first_event);
        entry.incident(incident);
    }
    if let Some(Flapping { since, changes, last_change, event }) = &known.flapping {
        entry.time("flapping", *since);
        entry.time("last", *last_change);
        entry.line("flaps", &changes.to_string());
        entry.event(event);
    }
    if let Some(Held { item, held_by }) = &known.held {
        entry.line("held", if *held_by == HeldBy::Silence { "silence" } else { "quiet" });
        entry.item(item);
    }
    entry
}

/// What such a file says.
///
/// # Errors
///
/// Why it is none.
pub fn decode(text: &str) -> Result<Snapshot, String> {
    let mut lines = Parser::of(text, FIRST)?;
    let mut snapshot = Snapshot::default();
    while let Some(line) = lines.maybe("silence") {
        snapshot.silences.push(silence(&line).ok_or("its 'silence' is not one")?);
    }
    while lines.has("to") {
        let mut to = Vec::new();
        while let Some(word) = lines.maybe("to") {
            to.push(address(&word).ok_or("its 'to' is no address")?);
        }
        let mut all = Vec::new();
        while lines.has("now") {
            let known = known(&mut lines)?;
            known.target().ok_or("there is nothing to know after a 'now'")?;
            all.push(known);
        }
        snapshot.audiences.push((to, all));
    }
    lines.end()?;
    Ok(snapshot)
}

fn known(lines: &mut Parser) -> Result<TargetSnapshot, String> {
    let health = lines.word("now", Health::from_word)?;
    let (mut thread, mut open_incident, mut flapping, mut held) = (None, None, None, None);
    if lines.has("thread") {
        let (root, topic) = (lines.message_id("thread")?.into(), lines.one("topic")?.into());
        thread = Some(Thread { root, topic, created: lines.time("at")? });
    }
    if lines.has("told") {
        let (notified_at, first_event) = (lines.time("told")?, lines.event()?.into());
        let incident = lines.incident()?.ok_or("it has no 'incident' where that should be")?;
        open_incident = Some(OpenIncident { incident, first_event, notified_at });
    }
    if lines.has("flapping") {
        let (since, last_change) = (lines.time("flapping")?, lines.time("last")?);
        let changes = lines.number("flaps")?;
        flapping = Some(Flapping { since, last_change, changes, event: lines.event()?.into() });
    }
    if lines.has("held") {
        let held_by = lines.word("held", |word| match word {
            "silence" => Some(HeldBy::Silence),
            "quiet" => Some(HeldBy::Flapping),
            _ => None,
        })?;
        held = Some(Held { held_by, item: lines.item()? });
    }
    Ok(TargetSnapshot { health, thread, open_incident, flapping, held })
}

fn silence(line: &str) -> Option<Silence> {
    let mut words = line.splitn(3, ' ');
    let (until, pattern) = (time(words.next()?)?, words.next()?.parse().ok()?);
    Some(Silence { until, pattern, reason: words.next()?.to_owned() })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::Event;

    /// The example of the documentation.
    fn file() -> String {
        let source = include_str!("incidents.rs").lines().filter_map(|line| line.strip_prefix("//! "));
        let example = source.skip_while(|line| *line != "```text").skip(1).take_while(|line| *line != "```");
        example.map(|line| format!("{line}\n")).collect()
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
        for (from, to) in [
            ("<haproxy.643a.1f.12.0@lb1.example.com>", "<a@b>\r\nBcc: x@example.com"),
            ("to: ops@example.com", "to: ops"),
            ("now: down", "now: sideways"),
            ("held: quiet", "held: long"),
            ("flaps: 7", "flaps: many"),
            ("1795449600000000000 api/* ", "soon api/* "),
            (" api/* ", " a/b/c "),
            ("now: down\n", "now: down\nnow: down\n"),
            ("told: 1", "told: x"),
        ] {
            assert!(decode(&file.replace(from, to)).is_err(), "{to}");
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
