// SPDX-License-Identifier: MIT OR Apache-2.0
//! What processes that are gone have left in the spool, and how it becomes ours.

use super::ledger::{self, Past, Through, View};
use super::place::{ANYBODYS, is_private, names_in};
use super::{Part, Shelf, Spool, Stored, Unreadable, format, incidents, incidents_name, owner_name};
use crate::engine::Memory;
use crate::ffi::map;
use crate::queue::{self, SharedWords};
use crate::settings::Recipient;
use nix::errno::Errno;
use nix::fcntl::{Flock, FlockArg, OFlag, openat};
use nix::sys::stat::{Mode, fstat};
use std::collections::BTreeMap;
use std::os::fd::OwnedFd;
use std::sync::atomic::Ordering::Relaxed;
use std::time::SystemTime;

/// What a process that is gone has left.
pub struct Legacy {
    /// Its mails, ours now, in the order in which it made them: when, and the file. All of them may be too many for memory.
    pub mails: Vec<(SystemTime, Stored)>,
    /// Events that it had accepted, and not told everybody of.
    pub events: Vec<Rescued>,
    /// Its name.
    pub token: String,
    memory: Option<View>,
    past: Past,
    /// Held until [`Spool::taken_over`].
    owner: Flock<OwnedFd>,
}

/// An event of a process that is gone.
pub struct Rescued {
    /// `<token>.<ticket>`: nothing else has it.
    pub id: String,
    /// What it was.
    pub record: Vec<u64>,
    ticket: u64,
}

impl Legacy {
    /// `throughs`: what others say that had taken over some of its events.
    fn of(owner: Flock<OwnedFd>, memory: Option<(Past, View)>, token: String, throughs: &[Through]) -> Self {
        let (past, memory) = memory.unzip();
        let records = memory.as_ref().map_or_else(Vec::new, |slots| queue::rescue(slots));
        let told = throughs.iter().filter(|through| through.token == ledger::hash(&token));
        let told = told.map(|through| through.ticket).max().unwrap_or_default();
        let rescued = |(ticket, record)| Rescued { id: format!("{token}.{ticket}"), record, ticket };
        let events = records.into_iter().filter(|(ticket, _)| *ticket >= told).map(rescued).collect();
        Legacy { mails: Vec::new(), events, token, memory, past: past.unwrap_or_default(), owner }
    }

    /// Had it told one of these of the event?
    pub fn has_told(&self, to: &[Recipient], event: &Rescued) -> bool {
        self.past.has_told(to, event.ticket)
    }

    /// What is true when `events`, which are its oldest, are told.
    pub fn through(&self, events: &[Rescued]) -> Option<Through> {
        Some(Through { token: ledger::hash(&self.token), ticket: events.last()?.ticket + 1 })
    }

    /// When what it returns is dropped, the mails of `events` are in the spool: should this process be killed, too, the next
    /// one need not make them again.
    pub fn are_done_later<'a>(&'a self, events: &'a [Rescued]) -> impl Drop + 'a {
        Done { memory: self.memory.as_ref(), events }
    }
}

struct Done<'a> {
    memory: Option<&'a View>,
    events: &'a [Rescued],
}

impl Drop for Done<'_> {
    fn drop(&mut self) {
        for (slots, event) in
            self.memory.iter().flat_map(|slots| self.events.iter().map(move |event| (slots, event)))
        {
            queue::forget(slots, event.ticket);
        }
    }
}

impl Spool {
    /// What processes that are gone have left; it is theirs until [`Spool::taken_over`].
    pub fn legacies(&self) -> Vec<Legacy> {
        let mut tokens: BTreeMap<String, Vec<String>> = BTreeMap::new();
        // A process is told by its queue, too, should somebody have removed its owner file.
        tokens.extend(self.place.memories().into_iter().map(|token| (token, Vec::new())));
        for name in names_in(&self.place.directory) {
            let token = match name.split_once('.') {
                Some(("owner" | "incidents", token)) => token.to_owned(),
                Some(("mail" | "new" | "draft", rest)) => match rest.rsplit_once('.') {
                    Some((token, _)) => token.to_owned(),
                    None => continue,
                },
                _ => continue,
            };
            tokens.entry(token).or_default().push(name);
        }
        tokens.remove(&self.token);
        let claimed: Vec<_> = tokens
            .into_iter()
            .filter_map(|(token, names)| Some((self.claim(&token)?, token, names)))
            .collect();
        if claimed.is_empty() {
            return Vec::new();
        }
        // Whoever takes over one of these may not be the one that takes over the other: it is read whose ever it is.
        let throughs: Vec<Through> =
            self.place.memories().iter().filter_map(|token| self.past_of(token)?.other).collect();
        let legacy = |(owner, token, names): (_, String, _)| {
            let mut legacy = Legacy::of(owner, self.memory_of(&token), token, &throughs);
            self.take_files(&mut legacy, names);
            legacy
        };
        claimed.into_iter().map(legacy).collect()
    }

    /// Does that process hold its queue? Asked when it has no owner file.
    fn holds_memory(&self, token: &str) -> bool {
        let memory = self.place.open_memory(token);
        memory.is_some_and(|file| Flock::lock(file, FlockArg::LockExclusiveNonblock).is_err())
    }

    /// Makes the mails of a process that is gone ours, and what it knew anybody's.
    fn take_files(&self, legacy: &mut Legacy, mut names: Vec<String>) {
        names.sort_unstable();
        if legacy.past.is_nothing_known {
            // Perhaps it had no time to say so.
            self.write_incidents(&legacy.token, &Memory::default());
        }
        for name in names {
            let number = name.strip_prefix("draft.").and_then(|rest| rest.rsplit_once('.')?.1.parse().ok());
            let is_valid = number.is_some_and(|number: u64| number < legacy.past.drafts);
            if name.starts_with("new.") || name.starts_with("draft.") && !is_valid {
                self.unlink(&name);
                continue;
            }
            if !name.starts_with("mail.") && !is_valid {
                continue;
            }
            match self.read(&name) {
                Ok(text) if text.starts_with(incidents::FIRST) => {
                    if let Err(error) = self.rename(&name, &incidents_name(&legacy.token)) {
                        self.leave(&name, error.desc());
                    }
                }
                Ok(text) => self.take_file(&name, &text, legacy),
                // Now that it is ours: somebody else may have had it a moment ago.
                Err(Unreadable::Gone) => {}
                Err(Unreadable::Damaged(why)) => self.set_aside(&name, &why),
                // It is somebody else's.
                Err(Unreadable::Trouble(error @ Errno::EACCES)) => self.set_aside(&name, error.desc()),
                // It is looked at again.
                Err(Unreadable::Trouble(error)) => {
                    self.trouble(&format!("cannot read: {}; mails wait", error.desc()));
                }
            }
        }
        legacy.mails.sort_by_key(|(created, _)| *created);
        let (mails, events) = (legacy.mails.len(), legacy.events.len());
        if mails + events > 0 {
            log::info!(
                "spool {}: takes over {mails} mails and {events} events of a process that is gone",
                self.place.path
            );
        }
    }

    /// Makes the mails of one file ours.
    fn take_file(&self, name: &str, text: &str, legacy: &mut Legacy) {
        let (mut mails, mut places) = (Vec::new(), Vec::new());
        let mut damage = text.is_empty().then(|| "it is empty".to_owned());
        for (offset, part) in format::parts(text) {
            match format::decode(part) {
                Ok((mail, _)) => {
                    places.push(Part::of(offset, part.len(), &mail));
                    mails.push(mail);
                }
                Err(why) => _ = damage.get_or_insert(why),
            }
        }
        match damage {
            Some(why) if mails.is_empty() => self.set_aside(name, &why),
            // Its last mail was done when the process ended.
            None if mails.is_empty() => self.unlink(name),
            damage => {
                let mine = self.mail_name(&self.next_number());
                if self.rename(name, &mine).is_err() {
                    return;
                }
                self.size.fetch_add(text.len() as u64, Relaxed);
                for (mail, stored) in mails.iter().zip(Shelf::with(mine, text.len(), &places, damage)) {
                    legacy.mails.push((mail.created, stored));
                }
            }
        }
    }

    /// Locks the owner file of a process, if that is gone and nobody else was quicker.
    fn claim(&self, token: &str) -> Option<Flock<OwnedFd>> {
        let name = owner_name(token);
        let file = match openat(&self.place.directory, name.as_str(), ANYBODYS | OFlag::O_RDWR, Mode::empty())
        {
            // It lives, and makes a new owner file when it needs one.
            Err(Errno::ENOENT) if self.holds_memory(token) => return None,
            Err(Errno::ENOENT) => self.create(&name),
            opened => opened,
        };
        let file = match file {
            Ok(file) => file,
            // Somebody else was quicker.
            Err(Errno::EEXIST) => return None,
            Err(error) => {
                self.leave(&name, error.desc());
                return None;
            }
        };
        let owner = Flock::lock(file, FlockArg::LockExclusiveNonblock).ok()?;
        // Somebody who had it before us may have removed it.
        fstat(&*owner).is_ok_and(|data| data.st_nlink > 0).then_some(owner)
    }

    /// Everything of it is in our hands: removes what is left of its process.
    pub fn taken_over(&self, legacy: Legacy) {
        if let Some(Through { token, ticket }) = legacy.past.other {
            // What it said of another one is not said any more.
            for other in self.place.memories().iter().filter(|other| ledger::hash(other) == token) {
                if let Some((_, slots)) = self.memory_of(other) {
                    queue::forget_all_before(&slots, ticket);
                }
            }
        }
        self.place.remove_memory(&legacy.token);
        self.unlink(&owner_name(&legacy.token));
        drop(legacy.owner);
    }

    /// What others said of the events of a process.
    fn past_of(&self, token: &str) -> Option<Past> {
        let words = self.map(&self.place.open_memory(token)?)?;
        Some(ledger::read(words)?.0)
    }

    fn map(&self, file: &OwnedFd) -> Option<SharedWords> {
        let data = fstat(file).ok().filter(is_private)?;
        let words =
            map::SharedWords::map(file, usize::try_from(data.st_size).ok()? / size_of::<u64>()).ok()?;
        Some(Box::new(words))
    }

    /// The queue of a process that is gone; `None`, too, if it had not begun to use one.
    fn memory_of(&self, token: &str) -> Option<(Past, View)> {
        let file = self.place.open_memory(token)?;
        if fstat(&file).is_ok_and(|data| data.st_size == 0) {
            return None;
        }
        let words = self.map(&file);
        if words.as_ref().is_some_and(|words| !ledger::is_begun(words)) {
            return None;
        }
        let memory = words.and_then(ledger::read);
        if memory.is_none() {
            let token = crate::text::visible(token);
            log::warn!(
                "spool {}: the memory of process {token} is damaged: what was in it is lost",
                self.place.path
            );
        }
        memory
    }
}
