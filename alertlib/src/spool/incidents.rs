// SPDX-License-Identifier: MIT OR Apache-2.0
//! The troubles that are not over, as a file of the spool: for the next process, which else would mail each of them again,
//! and never mail the end of one that was over before it looked.
//!
//! ```text
//! haproxy-email-alert incidents 1
//! to: ops@example.com
//! thread: <haproxy.643a.1f.12.0@lb1.example.com>
//! topic: servers/server2
//! at: 1795442400000000000
//! told: 1795456800000000000
//! now: down
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
//! end
//! ```
//!
//! What is from `thread` to `incident` may come several times, each for all the `to` above it; then there may be other `to`,
//! with theirs. `thread` is the mail that told of it, with what its subject calls it and when it was made, and `told` when the
//! last mail about it was; `now` may be `maint`. From `when` to `usable` it is the event that began it, as in [`super::format`].

use super::LARGEST;
use super::format::{Lines, Page, address};
use crate::engine::{Known, Memory, Thread, Trouble};
use crate::event::Health;
use crate::text::CUT;

/// The first line.
pub(super) const FIRST: &str = "haproxy-email-alert incidents 1";

/// The file's content. What is more than a file may have is left out.
pub fn encode(memory: &Memory) -> String {
    let mut page = Page::new(FIRST);
    for (to, known) in memory.audiences.iter().filter(|(_, known)| !known.is_empty()) {
        to.iter().for_each(|to| page.line("to", to.as_ref()));
        for Known { trouble: Trouble { incident, begin, told }, thread, health } in known {
            // Nobody could find it by a name that is not whole.
            let is_whole = |name: &str| !name.ends_with(CUT);
            if !is_whole(&begin.proxy) || !begin.server.as_deref().is_none_or(is_whole) {
                continue;
            }
            let mut entry = Page::default();
            entry.line("thread", &thread.root);
            entry.line("topic", &thread.topic);
            entry.time("at", thread.at);
            entry.time("told", *told);
            entry.line("now", health.word());
            entry.event(begin);
            entry.incident(incident);
            if !page.append(entry, LARGEST) {
                return page.end();
            }
        }
    }
    page.end()
}

/// What such a file says.
///
/// # Errors
///
/// Why it is none.
pub fn decode(text: &str) -> Result<Memory, String> {
    let mut lines = Lines::of(text, FIRST)?;
    let mut memory = Memory::default();
    while lines.has("to") {
        let mut to = Vec::new();
        while let Some(word) = lines.maybe("to") {
            to.push(address(&word).ok_or("its 'to' is no address")?);
        }
        let mut known = Vec::new();
        while lines.has("thread") {
            let thread = Thread {
                root: lines.message_id("thread")?.into(),
                topic: lines.one("topic")?.into(),
                at: lines.time("at")?,
            };
            let told = lines.time("told")?;
            let health =
                lines.word("now", |word| Health::from_word(word).filter(|now| *now != Health::Up))?;
            let begin = lines.event()?.into();
            let incident = lines.incident()?.ok_or("it has no 'incident' where that should be")?;
            known.push(Known { trouble: Trouble { incident, begin, told }, thread, health });
        }
        memory.audiences.push((to, known));
    }
    lines.end()?;
    Ok(memory)
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
        let memory = decode(&file()).expect("a memory");
        let (to, known) = &memory.audiences[0];
        assert_eq!(
            (to.len(), known.len(), known[0].trouble.begin.server.as_deref()),
            (1, 1, Some("server2"))
        );
        assert_eq!(encode(&memory), file());
        let mut twice = memory.clone();
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
            ("now: down", "now: up"),
            ("told: 1", "told: x"),
        ] {
            assert!(decode(&file.replace(from, to)).is_err(), "{to}");
        }
    }

    #[test]
    fn it_has_a_bound_and_no_name_that_was_cut() {
        let mut memory = decode(&file()).expect("a memory");
        let one = memory.audiences[0].1[0].clone();
        let mut cut = one.clone();
        let begin = Event { server: Some(format!("s{CUT}")), ..(*cut.trouble.begin).clone() };
        cut.trouble.begin = begin.into();
        memory.audiences[0].1 = vec![cut];
        memory.audiences[0].1.extend(vec![one; 10_000]);
        let text = encode(&memory);
        assert!(text.len() <= LARGEST, "{}", text.len());
        let known = &decode(&text).expect("a memory").audiences[0].1;
        assert!(known.len() > 5_000 && known[0].trouble.begin.server.as_deref() == Some("server2"));
    }
}
