// SPDX-License-Identifier: MIT OR Apache-2.0
//! Mails as a file of the spool: lines of `name: value`, for programs and for people with `cat` and `vi`.
//!
//! ```text
//! haproxy-email-alert spool 2
//! message-id: <haproxy.643a.1f.12.0@lb1.example.com>
//! created: 1795442400000000000
//! from: haproxy@lb1.example.com
//! to: ops@example.com
//! to-local: root@lb1.example.com
//! done: oncall@example.com
//! reference: <haproxy.643a.1f.7.0@lb1.example.com>
//! topic: servers/server2
//! about: changes
//! size: 3 servers
//! unnamed: 0
//! dropped: 0
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
//! changes: 1
//! first: 1795442399998000000
//! incident: 1795442399998000000 1 Layer4 timeout
//! note: change
//! end
//! ```
//!
//! `to` still has to get it, `done` needs nothing more; both may come several times, as may `reference`, `size` (servers of a
//! backend) and everything from `when` to `note`, which is one server's or backend's news. Times are nanoseconds since the
//! Unix epoch. A file has one such mail or several, one behind the other; of one that needs nothing more, while others of the
//! same file do, the number in the first line is replaced by `-`. `listen` stands for `backend` where the section is one, and
//! `agent` for `check` where that one decided. What is not known is left out; `server` is missing when it is about the whole
//! backend. `about` is `changes`, `reminder` or `silence <pattern> <reason>`. A file that differs in anything is no mail; the
//! number in the first line changes when the format does.

use crate::event::{Accuracy, Check, Event, Health, Kind, Level, Provenance, Usable};
use crate::notification::{FlapPhase, Incident, Item, MAX_REFERENCES, Notification, Trigger};
use crate::settings::{FORBIDDEN_STARTS, Recipient, is_forbidden_in_address};
use crate::text::visible;
use lettre::Address;
use std::fmt::Write;
use std::str::FromStr;
use std::time::{Duration, SystemTime};

/// The first line of every file.
const FIRST: &str = "haproxy-email-alert spool 2";
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
pub fn encode(mail: &Notification, left: &[Recipient]) -> String {
    let mut page = Writer::new(FIRST);
    page.line("message-id", &mail.message_id);
    page.time("created", mail.created);
    page.line("from", mail.from.as_ref());
    for recipient in &mail.to {
        let name = match (left.contains(recipient), recipient.is_local) {
            (true, false) => "to",
            (true, true) => "to-local",
            (false, false) => "done",
            (false, true) => "done-local",
        };
        page.line(name, recipient.address.as_ref());
    }
    mail.references.iter().for_each(|id| page.line("reference", id));
    page.line("topic", &mail.topic);
    match &mail.trigger {
        Trigger::Changes => page.line("about", "changes"),
        Trigger::Reminder => page.line("about", "reminder"),
        Trigger::Silence { pattern, reason } => page.line("about", &format!("silence {pattern} {reason}")),
    }
    mail.sizes.iter().for_each(|(backend, size)| page.line("size", &format!("{size} {backend}")));
    page.line("unnamed", &mail.unnamed.to_string());
    page.line("dropped", &mail.dropped.to_string());
    mail.items.iter().for_each(|item| page.item(item));
    page.end()
}

/// The mail of such a file, and who has not got it yet (at least one).
///
/// # Errors
///
/// Why it is none.
pub fn decode(text: &str) -> Result<(Notification, Vec<Recipient>), String> {
    let mut lines = Parser::of(text, FIRST)?;
    let message_id = lines.message_id("message-id")?;
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
    let mut references = Vec::new();
    while lines.has("reference") {
        references.push(lines.message_id("reference")?);
    }
    if references.len() > MAX_REFERENCES {
        return Err("it has too many references".to_owned());
    }
    let topic = lines.one("topic")?;
    let trigger = match lines.one("about")?.as_str() {
        "changes" => Trigger::Changes,
        "reminder" => Trigger::Reminder,
        other => match other.strip_prefix("silence ").and_then(|rest| rest.split_once(' ')) {
            Some((pattern, reason)) => {
                Trigger::Silence { pattern: pattern.to_owned(), reason: reason.to_owned() }
            }
            None => return Err(format!("it is about '{other}', which is unknown")),
        },
    };
    let mut sizes = Vec::new();
    while let Some(size) = lines.maybe("size") {
        let size =
            size.split_once(' ').and_then(|(size, backend)| Some((backend.to_owned(), size.parse().ok()?)));
        sizes.push(size.ok_or("it has a size without a number")?);
    }
    let unnamed = lines.number("unnamed")?;
    let dropped = lines.number("dropped")?;
    let mut items = Vec::new();
    while lines.has("when") {
        items.push(lines.item()?);
    }
    if items.is_empty() {
        return Err("it has nothing to tell".to_owned());
    }
    lines.end()?;
    let mail = Notification {
        message_id,
        created,
        from,
        to,
        references,
        topic,
        trigger,
        items,
        sizes,
        unnamed,
        dropped,
    };
    Ok((mail, left))
}

/// A file that is being written.
#[derive(Default)]
pub(super) struct Writer(String);

impl Writer {
    pub(super) fn new(first: &str) -> Self {
        Writer(format!("{first}\n"))
    }

    /// Adds the lines of another one, if all is then no longer than `most`, with its end.
    pub(super) fn append(&mut self, other: Writer, most: usize) -> bool {
        let fits = self.0.len() + other.0.len() + LAST.len() < most;
        if fits {
            self.0 += &other.0;
        }
        fits
    }

    pub(super) fn end(self) -> String {
        self.0 + LAST + "\n"
    }

    pub(super) fn time(&mut self, name: &str, time: SystemTime) {
        let nanos = time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_nanos();
        self.line(name, &nanos.to_string());
    }

    pub(super) fn line(&mut self, name: &str, value: &str) {
        // Writing to a String cannot fail. No value has a line end, but what cannot be read back must not be written.
        let _ = writeln!(self.0, "{name}: {}", visible(value));
    }

    /// Unless it is empty.
    fn known(&mut self, name: &str, value: &str) {
        if !value.is_empty() {
            self.line(name, value);
        }
    }

    pub(super) fn event(&mut self, event: &Event) {
        self.time("when", event.when);
        self.line("kind", event.kind.word());
        self.line("health", event.health.word());
        self.line("level", event.level.word());
        self.line(if event.is_listen { "listen" } else { "backend" }, &event.proxy);
        if let Some(server) = &event.server {
            self.line("server", server);
        }
        self.line("sentence", &event.sentence);
        self.known("was", &event.was);
        if let Some(check) = &event.check {
            self.line(if check.is_agent { "agent" } else { "check" }, &check.status);
            self.line("check-reason", &check.reason);
            self.known("check-code", &check.code.map(|code| code.to_string()).unwrap_or_default());
            self.known("check-info", &check.info);
            let millis = check.duration.map(|duration| duration.as_millis().to_string());
            self.known("check-duration", &millis.unwrap_or_default());
        }
        self.known("cause", &event.cause);
        if let Some(via) = &event.via {
            self.line("via", via);
        }
        self.known("address", &event.address);
        if let Some(usable) = event.usable {
            self.line("usable", &format!("{} {}", usable.active, usable.backup));
        }
        if event.provenance != Provenance::Process {
            self.line("source", &(event.provenance as usize).to_string());
        }
        match event.accuracy {
            Accuracy::Exact => {}
            Accuracy::Second => self.line("accuracy", "second"),
            Accuracy::Since(before) => self.time("accuracy", before),
        }
    }

    pub(super) fn item(&mut self, item: &Item) {
        self.event(&item.event);
        self.line("changes", &item.changes.to_string());
        self.time("first", item.first);
        if let Some(incident) = &item.incident {
            self.incident(incident);
        }
        self.line("note", item.flap_phase.word());
    }

    pub(super) fn incident(&mut self, incident: &Incident) {
        let Incident { since, reason, changes } = incident;
        self.line("incident", &format!("{} {changes} {reason}", nanos(*since)));
    }
}

/// `2 0`: active and backup servers.
fn usable(word: &str) -> Option<Usable> {
    let (active, backup) = word.split_once(' ')?;
    Some(Usable { active: active.parse().ok()?, backup: backup.parse().ok()? })
}

/// The lines that are left.
pub(super) struct Parser<'a> {
    lines: std::iter::Peekable<std::str::Split<'a, char>>,
}

impl<'a> Parser<'a> {
    /// The lines behind the first one, of a text that ends with a line end.
    pub(super) fn of(text: &'a str, first: &str) -> Result<Self, String> {
        let whole = text.strip_suffix('\n');
        let mut lines = Parser { lines: whole.unwrap_or(text).split('\n').peekable() };
        if lines.lines.next() != Some(first) {
            return Err(format!("its first line is not '{first}'"));
        }
        whole.map(|_| lines).ok_or_else(|| format!("it does not end with '{LAST}'"))
    }

    /// Nothing is left but the last line.
    pub(super) fn end(&mut self) -> Result<(), String> {
        match (self.lines.next(), self.lines.next()) {
            (Some(LAST), None) => Ok(()),
            _ => Err(format!("it does not end with '{LAST}'")),
        }
    }

    /// Is this the next line's name?
    pub(super) fn has(&mut self, name: &str) -> bool {
        let line = self.lines.peek();
        line.and_then(|line| line.strip_prefix(name)).is_some_and(|rest| rest.starts_with(": "))
    }

    /// The value of the next line, if that has this name.
    pub(super) fn maybe(&mut self, name: &str) -> Option<String> {
        let value = self.lines.peek()?.strip_prefix(name)?.strip_prefix(": ")?.to_owned();
        self.lines.next();
        // Whatever somebody wrote there: no line ends, no terminal codes.
        Some(visible(&value))
    }

    /// The same where an empty text stands for what is not known.
    fn known(&mut self, name: &str) -> String {
        self.maybe(name).unwrap_or_default()
    }

    pub(super) fn one(&mut self, name: &str) -> Result<String, String> {
        self.maybe(name).ok_or_else(|| format!("it has no '{name}' where that should be"))
    }

    pub(super) fn word<T>(&mut self, name: &str, meaning: impl Fn(&str) -> Option<T>) -> Result<T, String> {
        let word = self.one(name)?;
        meaning(&word).ok_or_else(|| format!("its {name} '{word}' is unknown"))
    }

    pub(super) fn number<T: FromStr>(&mut self, name: &str) -> Result<T, String> {
        self.one(name)?.parse().map_err(|_| format!("its '{name}' is not a number"))
    }

    /// A number that may be missing.
    fn number_if_known<T: FromStr>(&mut self, name: &str) -> Result<Option<T>, String> {
        if self.has(name) { self.number(name).map(Some) } else { Ok(None) }
    }

    pub(super) fn message_id(&mut self, name: &str) -> Result<String, String> {
        let id = self.one(name)?;
        if is_message_id(&id) { Ok(id) } else { Err(format!("its {name} is not one of ours")) }
    }

    pub(super) fn event(&mut self) -> Result<Event, String> {
        let when = self.time("when")?;
        let kind = self.word("kind", |word| {
            Kind::from_word(word).or_else(|| (word == Kind::Gone.word()).then_some(Kind::Gone))
        })?;
        let health = self.word("health", Health::from_word)?;
        let level = self.word("level", Level::from_word)?;
        let listen = self.maybe("listen");
        let is_listen = listen.is_some();
        let proxy = match listen {
            Some(proxy) => proxy,
            None => self.one("backend")?,
        };
        let server = self.maybe("server");
        let sentence = self.one("sentence")?;
        let was = self.known("was");
        let check = self.check()?;
        let cause = self.known("cause");
        let via = self.maybe("via");
        let address = self.known("address");
        let usable = if self.has("usable") { Some(self.word("usable", usable)?) } else { None };
        let provenance = self.number_if_known::<usize>("source")?.unwrap_or_default();
        let provenance = *Provenance::ALL.get(provenance).ok_or("its 'source' is unknown")?;
        let accuracy = match self.maybe("accuracy").as_deref() {
            None => Accuracy::Exact,
            Some("second") => Accuracy::Second,
            Some(before) => Accuracy::Since(time(before).ok_or("its 'accuracy' is unknown")?),
        };
        Ok(Event {
            when,
            kind,
            health,
            level,
            proxy,
            is_listen,
            server,
            sentence,
            was,
            check,
            cause,
            via,
            address,
            usable,
            provenance,
            accuracy,
        })
    }

    pub(super) fn item(&mut self) -> Result<Item, String> {
        Ok(Item {
            event: self.event()?.into(),
            changes: self.number("changes")?,
            first: self.time("first")?,
            incident: self.incident()?,
            flap_phase: self.word("note", FlapPhase::from_word)?,
        })
    }

    fn check(&mut self) -> Result<Option<Check>, String> {
        let agent = self.maybe("agent");
        let is_agent = agent.is_some();
        let Some(status) = agent.or_else(|| self.maybe("check")) else { return Ok(None) };
        Ok(Some(Check {
            is_agent,
            status,
            reason: self.one("check-reason")?,
            code: self.number_if_known("check-code")?,
            info: self.known("check-info"),
            duration: self.number_if_known("check-duration")?.map(Duration::from_millis),
        }))
    }

    pub(super) fn incident(&mut self) -> Result<Option<Incident>, String> {
        let Some(line) = self.maybe("incident") else { return Ok(None) };
        let mut words = line.splitn(3, ' ');
        let mut next = || words.next().ok_or("its 'incident' is not whole");
        let (since, changes, reason) = (next()?, next()?, next()?);
        Ok(Some(Incident {
            since: time(since).ok_or("its 'incident' has no time")?,
            changes: changes.parse().map_err(|_| "its 'incident' has no number")?,
            reason: reason.into(),
        }))
    }

    pub(super) fn time(&mut self, name: &str) -> Result<SystemTime, String> {
        time(&self.one(name)?).ok_or_else(|| format!("its '{name}' is no time"))
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

pub(super) fn time(nanos: &str) -> Option<SystemTime> {
    SystemTime::UNIX_EPOCH.checked_add(Duration::from_nanos(nanos.parse().ok()?))
}

pub(super) fn nanos(time: SystemTime) -> String {
    time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_nanos().to_string()
}

/// An address that a directive could have: only what is before the `@` may have characters outside ASCII.
pub(super) fn address(text: &str) -> Option<Address> {
    let (_, domain) = text.rsplit_once('@')?;
    let is_fine =
        domain.is_ascii() && !text.starts_with(FORBIDDEN_STARTS) && !text.contains(is_forbidden_in_address);
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
    use crate::event::sample;

    fn mail() -> (Notification, Vec<Recipient>) {
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
        let mail = Notification {
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
        (mail, to[..2].to_vec())
    }

    /// The example of the documentation.
    fn file() -> String {
        let source = include_str!("format.rs").lines().filter_map(|line| line.strip_prefix("//! "));
        let example = source.skip_while(|line| *line != "```text").skip(1).take_while(|line| *line != "```");
        example.map(|line| format!("{line}\n")).collect()
    }

    #[test]
    fn a_mail_is_written_as_documented_and_read_back() {
        let (mail, left) = mail();
        assert_eq!(encode(&mail, &left), file());
        assert_eq!(decode(&file()), Ok((mail.clone(), left)));
    }

    #[test]
    fn every_field_comes_back() {
        let (mail, _) = mail();
        let all = mail.to.clone();
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
                cause: "out of: order".into(),
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
            let mail = Notification {
                trigger,
                items: items.clone(),
                references: vec![],
                sizes: vec![("a b".into(), 2), ("c".into(), 3)],
                unnamed: 5,
                dropped: u64::MAX,
                ..mail.clone()
            };
            assert_eq!(decode(&encode(&mail, &all)), Ok((mail, all.clone())));
        }
    }

    #[test]
    fn an_international_recipient_comes_back_and_such_a_sender_does_not() {
        let other = file().replace("to: ops@example.com", "to: b\u{fc}ro@example.com");
        let (mail, left) = decode(&other).expect("a mail");
        assert!(left[0].is_international());
        assert_eq!(encode(&mail, &left), other);
        assert!(decode(&file().replace("from: haproxy@", "from: h\u{e4}proxy@")).is_err());
    }

    #[test]
    fn several_mails_are_told_apart_and_those_that_are_done_left_out() {
        let mut three = file().repeat(3);
        let offsets = |file: &str| parts(file).map(|(offset, _)| offset).collect::<Vec<_>>();
        assert_eq!(offsets(&three), [0, file().len(), file().len() * 2]);
        let done_at = file().len() + DONE_AT as usize;
        three.replace_range(done_at..=done_at, "-");
        three.push_str("more");
        assert_eq!(offsets(&three), [0, file().len() * 2, file().len() * 3]);
        let (_, mail): (Vec<_>, Vec<_>) = parts(&three).unzip();
        assert_eq!(mail, [file().as_str(), &file(), "more"]);
        assert_eq!(parts("").count(), 0);
    }

    #[test]
    fn every_beginning_and_every_missing_line_is_refused() {
        for end in 0..file().len() {
            assert!(decode(&file()[..end]).is_err(), "{end}");
        }
        const OPTIONAL: [&str; 11] = [
            "to:",
            "to-local",
            "done",
            "reference",
            "size",
            "server:",
            "was",
            "check-duration",
            "address",
            "incident",
            "usable",
        ];
        let whole = file();
        let lines: Vec<&str> = whole.lines().collect();
        for missing in 0..lines.len() {
            let rest: Vec<&str> =
                lines.iter().enumerate().filter(|(n, _)| *n != missing).map(|(_, line)| *line).collect();
            let is_optional = OPTIONAL.iter().any(|name| lines[missing].starts_with(name));
            assert_eq!(decode(&(rest.join("\n") + "\n")).is_ok(), is_optional, "{}", lines[missing]);
        }
        assert!(decode(&format!("{}more\n", file())).is_err());
    }

    #[test]
    fn foreign_content_cannot_leave_its_place() {
        for (from, to) in [
            ("<haproxy.643a.1f.12.0@lb1.example.com>", "<a@b>\r\nBcc: x@example.com"),
            ("<haproxy.643a.1f.12.0@lb1.example.com>", "<a b@c>"),
            ("<haproxy.643a.1f.7.0@lb1.example.com>", "<a@b>\r\nBcc: x@example.com"),
            ("reference: <haproxy.643a.1f.7.0@lb1.example.com>\n", &"reference: <a@b>\n".repeat(17)),
            ("health: down", "health: good"),
            ("note: change", "note: none"),
            ("about: changes", "about: silence"),
            ("ops@example.com", "not an address"),
            ("ops@example.com", "ops@\u{fc}.example.com"),
            ("root@lb1.example.com", "-oQ/tmp@lb1.example.com"),
            ("root@lb1.example.com", "\"a b\"@lb1.example.com"),
            ("kind: down", "kind: sideways"),
            ("done: oncall@example.com", "done: ops@example.com"),
            ("created: 1795442400000000000", "created: -1"),
            ("created: 1795442400000000000", "created: 99999999999999999999"),
        ] {
            assert!(decode(&file().replace(from, to)).is_err(), "{to}");
        }
        let (mail, _) = decode(&file().replace("server2\n", "a\rb\u{1b}[2J\n")).expect("a mail");
        assert_eq!(mail.items[0].event.server.as_deref(), Some("a<U+000D>b<U+001B>[2J"));
    }
}
