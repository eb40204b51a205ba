// SPDX-License-Identifier: MIT OR Apache-2.0
//! Many changes at once, of which it is known exactly which of them the library has accepted.
//!
//! Each is a command of HAProxy's CLI, `set server <backend>/<server> health down|up`. HAProxy changes the server's status
//! and calls the library while it executes the command, and answers afterwards: an answer that has come back acknowledges
//! a change that the library has accepted. A command without an answer may have been executed or not.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
    sync::atomic::{AtomicUsize, Ordering::SeqCst},
    thread,
    time::Instant,
};

use crate::{cli::Conversation, mail::ParsedMail, setup::Setup};

/// The backend of all these servers.
pub const BACKEND: &str = "servers";

/// A server that goes down or comes up. Of each there is one at most in a storm, so that its mail is known by it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Change {
    /// Its name.
    pub server: String,
    /// `down` or `up`.
    pub state: &'static str,
}

impl Change {
    /// The change that the mail is about.
    #[track_caller]
    pub fn of(mail: &ParsedMail) -> Self {
        let state = match mail.event() {
            "down" => "down",
            "up" => "up",
            other => panic!("nobody asked for mails of {other}"),
        };
        Change { server: mail.header("X-HAProxy-Server").to_owned(), state }
    }

    fn command(&self) -> String {
        format!("set server {BACKEND}/{} health {}", self.server, self.state)
    }
}

/// A change that was asked for.
#[derive(Clone, Debug)]
pub struct Asked {
    /// What.
    pub change: Change,
    /// The process that was asked.
    pub pid: i32,
    /// When it had acknowledged it.
    pub acknowledged: Option<Instant>,
}

/// Servers without checks: their state is what the test commands. One of them is left alone, so that the backend never is
/// without a server, which would be news of its own.
pub fn servers(setup: Setup, count: usize) -> Setup {
    let lines: Vec<String> = ["anchor".to_owned()]
        .into_iter()
        .chain((0..count).map(|n| name(&n)))
        .map(|name| format!("server {name} 127.0.0.1:1"))
        .collect();
    let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
    setup.backend(BACKEND, &lines)
}

fn name(n: &usize) -> String {
    format!("s{n}")
}

/// These servers go down and come up again, one after the other.
pub fn down_and_up(servers: impl Iterator<Item = usize>) -> Vec<Change> {
    let both = |n| ["down", "up"].map(|state| Change { server: name(&n), state });
    servers.flat_map(both).collect()
}

/// Asks for `changes` on `connections` connections at once, until all are made or HAProxy is gone. Each server's changes
/// are asked for on the same connection, in their order. `each` is called after each that is acknowledged, with their
/// number so far, on the thread of one of the connections.
pub fn blow(
    socket: &Path,
    changes: &[Change],
    connections: usize,
    each: &(dyn Fn(usize) + Sync),
) -> Vec<Asked> {
    let acknowledged = &AtomicUsize::new(0);
    let mut shares: BTreeMap<usize, Vec<&Change>> = BTreeMap::new();
    let mut connection_of: BTreeMap<&str, usize> = BTreeMap::new();
    for change in changes {
        let next = connection_of.len() % connections;
        let connection = *connection_of.entry(&change.server).or_insert(next);
        shares.entry(connection).or_default().push(change);
    }
    thread::scope(|scope| {
        let blowing: Vec<_> = shares
            .into_values()
            .map(|share| scope.spawn(move || ask(socket, &share, acknowledged, each)))
            .collect();
        blowing.into_iter().flat_map(|asked| asked.join().expect("a connection")).collect()
    })
}

fn ask(
    socket: &Path,
    changes: &[&Change],
    acknowledged: &AtomicUsize,
    each: &(dyn Fn(usize) + Sync),
) -> Vec<Asked> {
    let mut asked = Vec::new();
    // HAProxy may already be gone.
    let Ok(mut conversation) = Conversation::begin(socket) else { return asked };
    let Ok(pid) = conversation.pid() else { return asked };
    for change in changes {
        let answer = conversation.ask(&change.command());
        if answer.as_ref().is_ok_and(|words| words.contains("Proxy is disabled")) {
            // It is stopping, and has not obeyed.
            break;
        }
        let when = answer.is_ok().then(Instant::now);
        asked.push(Asked { change: (*change).clone(), pid, acknowledged: when });
        match answer {
            Ok(words) => assert!(words.is_empty(), "{change:?}: {words}"),
            Err(_) => break,
        }
        each(acknowledged.fetch_add(1, SeqCst) + 1);
    }
    asked
}

/// What came of a storm.
#[derive(Clone, Copy, Debug, Default)]
pub struct Tally {
    /// Changes that the library has accepted: each was mailed.
    pub acknowledged: usize,
    /// Others that were asked for, and mailed.
    pub beyond: usize,
    /// Mails that came twice.
    pub twice: usize,
}

impl std::ops::AddAssign for Tally {
    fn add_assign(&mut self, other: Self) {
        self.acknowledged += other.acknowledged;
        self.beyond += other.beyond;
        self.twice += other.twice;
    }
}

/// A process that is killed leaves servers down: the next one knows that, and mails when it finds them up again, as all
/// servers without checks are in it.
fn is_of_the_start(mail: &ParsedMail) -> bool {
    mail.first_line().contains(" is UP since HAProxy was started again")
}

/// Those of `mails` that are about changes.
pub fn of_changes(mails: Vec<ParsedMail>) -> Vec<ParsedMail> {
    mails.into_iter().filter(|mail| !is_of_the_start(mail)).collect()
}

/// Those that went down in a process that may have known them to be down, from one before: that is no news.
pub fn known(asked: &[Asked]) -> BTreeSet<(i32, Change)> {
    // Of each server the last process that was asked, and whether it may have left it down.
    let mut left: BTreeMap<&str, (i32, bool)> = BTreeMap::new();
    let mut known = BTreeSet::new();
    for Asked { change, pid, acknowledged } in asked {
        let (before, was_down) = left.get(change.server.as_str()).copied().unwrap_or((*pid, false));
        let is_down = change.state == "down";
        if before != *pid && was_down && is_down {
            known.insert((*pid, change.clone()));
        }
        // What nobody acknowledged was perhaps not done.
        let may_be_down = is_down || acknowledged.is_none() && was_down;
        left.insert(&change.server, (*pid, may_be_down));
    }
    known
}

/// Every change that was acknowledged is in a mail; no mail is about anything that was not asked for; and what is about the
/// same change of the same process has the same Message-ID, and comes twice at most. `is_owed`: whether one that was
/// acknowledged had to be accepted. The error says what is wrong.
pub fn check(
    asked: &[Asked],
    mails: &[ParsedMail],
    is_owed: impl Fn(&Asked) -> bool,
) -> Result<Tally, String> {
    let mut ids: BTreeMap<(i32, Change), Vec<&str>> = BTreeMap::new();
    for mail in mails {
        let id = mail.header("Message-ID");
        let pid = sender(id).ok_or_else(|| format!("no process in {id}"))?;
        ids.entry((pid, Change::of(mail))).or_default().push(id);
    }
    let (mut tally, mut faults) = (Tally::default(), String::new());
    let known: BTreeMap<(i32, Change), bool> = asked
        .iter()
        .map(|asked| ((asked.pid, asked.change.clone()), asked.acknowledged.is_some() && is_owed(asked)))
        .collect();
    for (what, is_owed) in &known {
        match (ids.get(what).map_or(0, Vec::len), is_owed) {
            (0, true) => faults += &format!("acknowledged and not mailed: {what:?}\n"),
            (_, true) => tally.acknowledged += 1,
            (0, false) => {}
            (_, false) => tally.beyond += 1,
        }
    }
    for (what, ids) in &ids {
        if !known.contains_key(what) {
            faults += &format!("never happened: {what:?} {ids:?}\n");
        }
        if ids.len() > 2 || ids.iter().any(|id| *id != ids[0]) {
            faults += &format!("mailed too often: {what:?} {ids:?}\n");
        }
        tally.twice += ids.len() - 1;
    }
    if faults.is_empty() { Ok(tally) } else { Err(faults) }
}

/// The same with digests, when all servers were up before, and are up again since whatever was taken over is told: each that
/// is known to have gone down is told to be up again, each that is known to have come up as well, and nothing twice.
pub fn check_digests(asked: &[Asked], mut mails: Vec<ParsedMail>) -> Result<Tally, String> {
    let all = mails.len();
    mails.sort_by(|one, other| one.header("Message-ID").cmp(other.header("Message-ID")));
    // One that was on its way is sent again by the next process, which says how long that has been running.
    mails.dedup_by(|one, other| {
        one.header("Message-ID") == other.header("Message-ID")
            && ["DOWN", "UP"].iter().all(|state| one.servers(state) == other.servers(state))
    });
    let mut tally = Tally { twice: all - mails.len(), ..Tally::default() };
    let mut faults = String::new();
    let mut told: BTreeMap<(&str, &str), Vec<&str>> = BTreeMap::new();
    for mail in &mails {
        for state in ["DOWN", "UP"] {
            let servers =
                mail.servers(state).into_iter().filter_map(|name| Some((name.split_once('/')?.1, state)));
            servers.for_each(|told_of| told.entry(told_of).or_default().push(mail.header("Message-ID")));
        }
    }
    for ((server, state), ids) in &told {
        if ids.len() > 1 {
            faults += &format!("{server} is told to be {state} too often: {ids:?}\n");
        }
        if !asked.iter().any(|asked| asked.change.server == *server) {
            faults += &format!("{server} is told to be {state}, and never was\n");
        }
    }
    // Whose DOWN was not told alone was told with its UP.
    for asked in asked {
        let is_told = told.contains_key(&(asked.change.server.as_str(), "UP"));
        match (is_told, asked.acknowledged) {
            (false, Some(_)) => {
                let downs = told.get(&(asked.change.server.as_str(), "DOWN"));
                faults +=
                    &format!("not told to be up again: {:?}, told to be down: {downs:?}\n", asked.change);
            }
            (_, acknowledged) => {
                *[&mut tally.beyond, &mut tally.acknowledged][usize::from(acknowledged.is_some())] += 1
            }
        }
    }
    if faults.is_empty() { Ok(tally) } else { Err(faults) }
}

/// The process in whose Message-ID this is: `<haproxy.<time>-<pid>.…>`.
fn sender(message_id: &str) -> Option<i32> {
    let (token, _) = message_id.strip_prefix("<haproxy.")?.split_once('.')?;
    i32::from_str_radix(token.split_once('-')?.1, 16).ok()
}
