// SPDX-License-Identifier: MIT OR Apache-2.0
//! Mails as a file of the spool: lines of `name: value`, for programs and for people with `cat` and `vi`.
//!
//! ```text
//! haproxy-email-alert spool 1
//! message-id: <haproxy.643a.1f.12.0@lb1.example.com>
//! created: 1795442400000000000
//! from: haproxy@lb1.example.com
//! to: ops@example.com
//! to-local: root@lb1.example.com
//! done: oncall@example.com
//! when: 1795442399998000000
//! kind: down
//! backend: servers
//! server: server2
//! sentence: Server servers/server2 is DOWN.
//! fact: state DOWN, was UP
//! dropped: 0
//! end
//! ```
//!
//! `to` still has to get it, `done` needs nothing more; both may come several times, as may `fact`. Times are nanoseconds since
//! the Unix epoch. A file has one such mail or several, one behind the other; of one that needs nothing more, while others
//! of the same file do, the number in the first line is replaced by `-`. `listen` stands for `backend` where the section is one. `server` is missing when it is about the whole
//! backend. A file that differs in anything is no mail; the number in the first line changes when the format does.

use crate::engine::Outgoing;
use crate::event::{Event, Fact, Kind};
use crate::settings::{BAD_STARTS, Recipient, is_bad_in_address};
use crate::text::visible;
use lettre::Address;
use std::fmt::Write;
use std::time::{Duration, SystemTime};

/// The first line of every file.
const FIRST: &str = "haproxy-email-alert spool 1";
/// What takes the place of its last character when the mail is done.
pub const DONE: u8 = b'-';
/// The last line: without it the file is only the beginning of one.
const LAST: &str = "end";

/// Where in a mail the character is that [`DONE`] replaces.
pub const DONE_AT: u64 = FIRST.len() as u64 - 1;

/// The mails of a file that are not done, each with its offset. What is none is shown, too.
pub fn parts(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let end_line = format!("\n{LAST}\n");
    let mut offset = 0;
    let all = std::iter::from_fn(move || {
        let rest = text.get(offset..).filter(|rest| !rest.is_empty())?;
        let end = rest.find(&end_line).map_or(rest.len(), |end| end + end_line.len());
        offset += end;
        Some((offset - end, &rest[..end]))
    });
    let done = format!("{}{}\n", &FIRST[..FIRST.len() - 1], char::from(DONE));
    all.filter(move |(_, part)| !part.starts_with(&done))
}

/// The file's content for `mail`, which only those of `left` have not got yet.
pub fn encode(mail: &Outgoing, left: &[Recipient]) -> String {
    let event = &mail.event;
    let mut text = format!("{FIRST}\n");
    let mut line = |name: &str, value: &str| {
        // Writing to a String cannot fail. No value has a line end, but what cannot be read back must not be written.
        let _ = writeln!(text, "{name}: {}", visible(value));
    };
    line("message-id", &mail.message_id);
    line("created", &nanos(mail.created));
    line("from", mail.from.as_ref());
    for recipient in &mail.to {
        let name = match (left.contains(recipient), recipient.is_local) {
            (true, false) => "to",
            (true, true) => "to-local",
            (false, false) => "done",
            (false, true) => "done-local",
        };
        line(name, recipient.address.as_ref());
    }
    line("when", &nanos(event.when));
    line("kind", event.kind.word());
    line(if event.is_listen { "listen" } else { "backend" }, &event.proxy);
    if let Some(server) = &event.server {
        line("server", server);
    }
    line("sentence", &event.sentence);
    for fact in &event.facts {
        line("fact", &format!("{} {}", fact.label, fact.value));
    }
    line("dropped", &mail.dropped.to_string());
    text + LAST + "\n"
}

/// The mail of such a file, and who has not got it yet (at least one).
///
/// # Errors
///
/// Why it is none.
pub fn decode(text: &str) -> Result<(Outgoing, Vec<Recipient>), String> {
    let whole = text.strip_suffix('\n');
    let mut lines = Lines { lines: whole.unwrap_or(text).split('\n').peekable() };
    if lines.lines.next() != Some(FIRST) {
        return Err(format!("its first line is not '{FIRST}'"));
    }
    if whole.is_none() {
        return Err(format!("it does not end with '{LAST}'"));
    }
    let message_id = lines.one("message-id")?;
    if !is_message_id(&message_id) {
        return Err("its message-id is not one of ours".to_owned());
    }
    let created = lines.time("created")?;
    let from = lines.sender("from")?;
    let (mut to, mut left) = (Vec::new(), Vec::new());
    while let Some((is_left, is_local, address)) = lines.recipient()? {
        let recipient = Recipient { address, is_local };
        if to.iter().any(|other: &Recipient| other.address == recipient.address) {
            return Err(format!("it has the recipient {} twice", recipient.address));
        }
        if is_left {
            left.push(recipient.clone());
        }
        to.push(recipient);
    }
    if left.is_empty() {
        return Err("it has nobody to go to".to_owned());
    }
    let when = lines.time("when")?;
    let kind = lines.one("kind")?;
    let kind = Kind::from_word(&kind).ok_or_else(|| format!("its kind '{}' is unknown", visible(&kind)))?;
    let listen = lines.maybe("listen");
    let is_listen = listen.is_some();
    let proxy = match listen {
        Some(proxy) => proxy,
        None => lines.one("backend")?,
    };
    let server = lines.maybe("server");
    let sentence = lines.one("sentence")?;
    let mut facts = Vec::new();
    while let Some(fact) = lines.maybe("fact") {
        let (label, value) = fact.split_once(' ').ok_or("it has a fact without a value")?;
        facts.push(Fact::new(label, value));
    }
    let dropped = lines.one("dropped")?.parse().map_err(|_| "its 'dropped' is not a number".to_owned())?;
    match (lines.lines.next(), lines.lines.next()) {
        (Some(LAST), None) => {
            let event = Event { when, kind, proxy, is_listen, server, sentence, facts };
            Ok((Outgoing { message_id, created, from, to, event, dropped }, left))
        }
        _ => Err(format!("it does not end with '{LAST}'")),
    }
}

/// The lines that are left.
struct Lines<'a> {
    lines: std::iter::Peekable<std::str::Split<'a, char>>,
}

impl Lines<'_> {
    /// The value of the next line, if that has this name.
    fn maybe(&mut self, name: &str) -> Option<String> {
        let value = self.lines.peek()?.strip_prefix(name)?.strip_prefix(": ")?.to_owned();
        self.lines.next();
        // Whatever somebody wrote there: no line ends, no terminal codes.
        Some(visible(&value))
    }

    fn one(&mut self, name: &str) -> Result<String, String> {
        self.maybe(name).ok_or_else(|| format!("it has no '{name}' where that should be"))
    }

    fn time(&mut self, name: &str) -> Result<SystemTime, String> {
        let value = self.one(name)?.parse().ok().map(Duration::from_nanos);
        value
            .and_then(|nanos| SystemTime::UNIX_EPOCH.checked_add(nanos))
            .ok_or_else(|| format!("its '{name}' is no time"))
    }

    /// The sender's, which stands in a header: ASCII.
    fn sender(&mut self, name: &str) -> Result<Address, String> {
        let address = address(&self.one(name)?).filter(|address| address.user().is_ascii());
        address.ok_or_else(|| format!("its '{name}' is no address"))
    }

    /// Has to get it, has a local name, address.
    fn recipient(&mut self) -> Result<Option<(bool, bool, Address)>, String> {
        for (name, is_left, is_local) in [
            ("to", true, false),
            ("to-local", true, true),
            ("done", false, false),
            ("done-local", false, true),
        ] {
            if let Some(address) = self.maybe(name) {
                let address = self::address(&address).ok_or_else(|| format!("its '{name}' is no address"))?;
                return Ok(Some((is_left, is_local, address)));
            }
        }
        Ok(None)
    }
}

fn nanos(time: SystemTime) -> String {
    time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_nanos().to_string()
}

/// An address that a directive could have: only what is before the `@` may have characters outside ASCII.
fn address(text: &str) -> Option<Address> {
    let (_, domain) = text.rsplit_once('@')?;
    let is_fine = domain.is_ascii() && !text.starts_with(BAD_STARTS) && !text.contains(is_bad_in_address);
    text.parse().ok().filter(|_| is_fine)
}

/// It goes into a header as it is.
fn is_message_id(text: &str) -> bool {
    let inner = text.strip_prefix('<').and_then(|text| text.strip_suffix('>'));
    inner.and_then(|inner| inner.split_once('@')).is_some_and(|(left, right)| {
        let plain = |part: &str| {
            !part.is_empty()
                && part.len() <= 255
                && part.bytes().all(|b| b.is_ascii_alphanumeric() || b"._-".contains(&b))
        };
        plain(left) && plain(right)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mail() -> (Outgoing, Vec<Recipient>) {
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
            kind: Kind::Down,
            proxy: "servers".into(),
            is_listen: false,
            server: Some("server2".into()),
            sentence: "Server servers/server2 is DOWN.".into(),
            facts: vec![Fact::new("state", "DOWN, was UP")],
        };
        let mail = Outgoing {
            message_id: "<haproxy.643a.1f.12.0@lb1.example.com>".into(),
            created: time(1_795_442_400_000_000_000),
            from: "haproxy@lb1.example.com".parse().expect("an address"),
            to: to.clone(),
            event,
            dropped: 0,
        };
        (mail, to[..2].to_vec())
    }

    const FILE: &str = "haproxy-email-alert spool 1\n\
        message-id: <haproxy.643a.1f.12.0@lb1.example.com>\n\
        created: 1795442400000000000\n\
        from: haproxy@lb1.example.com\n\
        to: ops@example.com\n\
        to-local: root@lb1.example.com\n\
        done: oncall@example.com\n\
        when: 1795442399998000000\n\
        kind: down\n\
        backend: servers\n\
        server: server2\n\
        sentence: Server servers/server2 is DOWN.\n\
        fact: state DOWN, was UP\n\
        dropped: 0\n\
        end\n";

    #[test]
    fn a_mail_is_written_as_documented_and_read_back() {
        let (mail, left) = mail();
        assert_eq!(encode(&mail, &left), FILE);
        assert_eq!(decode(FILE), Ok((mail.clone(), left)));
        let of_a_backend =
            Outgoing { event: Event { is_listen: true, server: None, facts: vec![], ..mail.event }, ..mail };
        let all = of_a_backend.to.clone();
        assert_eq!(decode(&encode(&of_a_backend, &all)), Ok((of_a_backend, all)));
    }

    #[test]
    fn an_international_recipient_comes_back_and_such_a_sender_does_not() {
        let file = FILE.replace("to: ops@example.com", "to: b\u{fc}ro@example.com");
        let (mail, left) = decode(&file).expect("a mail");
        assert!(left[0].is_international());
        assert_eq!(encode(&mail, &left), file);
        assert!(decode(&FILE.replace("from: haproxy@", "from: h\u{e4}proxy@")).is_err());
    }

    #[test]
    fn several_mails_are_told_apart_and_those_that_are_done_left_out() {
        let mut file = FILE.repeat(3);
        let offsets = |file: &str| parts(file).map(|(offset, _)| offset).collect::<Vec<_>>();
        assert_eq!(offsets(&file), [0, FILE.len(), FILE.len() * 2]);
        let done_at = FILE.len() + DONE_AT as usize;
        file.replace_range(done_at..=done_at, "-");
        file.push_str("more");
        assert_eq!(offsets(&file), [0, FILE.len() * 2, FILE.len() * 3]);
        let (_, mail): (Vec<_>, Vec<_>) = parts(&file).unzip();
        assert_eq!(mail, [FILE, FILE, "more"]);
        assert_eq!(parts("").count(), 0);
    }

    #[test]
    fn every_beginning_and_every_missing_line_is_refused() {
        for end in 0..FILE.len() {
            assert!(decode(&FILE[..end]).is_err(), "{end}");
        }
        let lines: Vec<&str> = FILE.lines().collect();
        for missing in 0..lines.len() {
            let rest: Vec<&str> =
                lines.iter().enumerate().filter(|(n, _)| *n != missing).map(|(_, line)| *line).collect();
            let is_optional =
                ["to", "done", "server:", "fact"].iter().any(|name| lines[missing].starts_with(name));
            assert_eq!(decode(&(rest.join("\n") + "\n")).is_ok(), is_optional, "{}", lines[missing]);
        }
        assert!(decode(&format!("{FILE}more\n")).is_err());
    }

    #[test]
    fn foreign_content_cannot_leave_its_place() {
        for (from, to) in [
            ("<haproxy.643a.1f.12.0@lb1.example.com>", "<a@b>\r\nBcc: x@example.com"),
            ("<haproxy.643a.1f.12.0@lb1.example.com>", "<a b@c>"),
            ("ops@example.com", "not an address"),
            ("ops@example.com", "ops@\u{fc}.example.com"),
            ("root@lb1.example.com", "-oQ/tmp@lb1.example.com"),
            ("root@lb1.example.com", "\"a b\"@lb1.example.com"),
            ("kind: down", "kind: sideways"),
            ("done: oncall@example.com", "done: ops@example.com"),
            ("created: 1795442400000000000", "created: -1"),
            ("created: 1795442400000000000", "created: 99999999999999999999"),
        ] {
            assert!(decode(&FILE.replace(from, to)).is_err(), "{to}");
        }
        let (mail, _) = decode(&FILE.replace("server2\n", "a\rb\u{1b}[2J\n")).expect("a mail");
        assert_eq!(mail.event.server.as_deref(), Some("a<U+000D>b<U+001B>[2J"));
    }
}
