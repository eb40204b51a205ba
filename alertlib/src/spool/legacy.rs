// SPDX-License-Identifier: MIT OR Apache-2.0
//! What processes that are gone have left in the spool, and how it becomes ours.

use super::place::{ANYBODYS, is_private, names_in};
use super::{Part, Shelf, Spool, Stored, Unreadable, format, owner_name};
use crate::ffi::map::SharedWords;
use crate::queue;
use nix::errno::Errno;
use nix::fcntl::{Flock, FlockArg, OFlag, openat, renameat};
use nix::sys::stat::{Mode, fstat};
use std::collections::{BTreeMap, HashSet};
use std::os::fd::OwnedFd;
use std::sync::atomic::Ordering::Relaxed;
use std::time::SystemTime;

/// What a process that is gone has left.
pub struct Legacy {
    /// Its mails, ours now, in the order in which it made them: when, and the file. All of them may be too many for memory.
    pub mails: Vec<(SystemTime, Stored)>,
    /// Events that it had accepted, and perhaps not made mails of.
    pub events: Vec<Rescued>,
    token: String,
    memory: Option<SharedWords>,
    /// Held until [`Spool::taken_over`].
    owner: Flock<OwnedFd>,
}

/// An event of a process that is gone.
pub struct Rescued {
    /// `<token>.<ticket>`, of which its mails' Message-IDs are made.
    pub id: String,
    /// What it was.
    pub record: Vec<u64>,
    ticket: u64,
}

impl Legacy {
    fn of(owner: Flock<OwnedFd>, memory: Option<SharedWords>, token: String) -> Self {
        let records = memory.as_ref().map_or_else(Vec::new, |slots| queue::rescue(slots));
        let rescued = |(ticket, record)| Rescued { id: format!("{token}.{ticket}"), record, ticket };
        let events = records.into_iter().map(rescued).collect();
        Legacy { mails: Vec::new(), events, token, memory, owner }
    }

    /// When what it returns is dropped, the mails of `events` are in the spool: should this process be killed, too, the next
    /// one need not make them again.
    pub fn are_done_later<'a>(&'a self, events: &'a [Rescued]) -> impl Drop + 'a {
        Done { memory: self.memory.as_ref(), events }
    }
}

struct Done<'a> {
    memory: Option<&'a SharedWords>,
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
    /// What processes that are gone have left; it is theirs until [`Spool::taken_over`]. And the Message-IDs of mails that
    /// their events have already become, be it in the hands of one that took them over and is gone, too.
    pub fn legacies(&self) -> (Vec<Legacy>, HashSet<String>) {
        let mut tokens: BTreeMap<String, Vec<String>> = BTreeMap::new();
        // A process is told by its queue, too, should somebody have removed its owner file.
        tokens.extend(self.place.memories().into_iter().map(|token| (token, Vec::new())));
        for name in names_in(&self.place.directory) {
            let token = match name.split_once('.') {
                Some(("owner" | "incidents", token)) => token.to_owned(),
                Some(("mail" | "new", rest)) => match rest.rsplit_once('.') {
                    Some((token, _)) => token.to_owned(),
                    None => continue,
                },
                _ => continue,
            };
            tokens.entry(token).or_default().push(name);
        }
        tokens.remove(&self.token);
        let mut legacies: Vec<(Legacy, Vec<String>)> = tokens
            .into_iter()
            .filter_map(|(token, names)| {
                Some((Legacy::of(self.claim(&token)?, self.memory_of(&token), token), names))
            })
            .collect();
        let events: HashSet<String> =
            legacies.iter().flat_map(|(legacy, _)| &legacy.events).map(|event| event.id.clone()).collect();
        let mut known = HashSet::new();
        for (legacy, names) in &mut legacies {
            self.take_mails(legacy, std::mem::take(names), |id| {
                if event_of(id).is_some_and(|event| events.contains(event)) {
                    known.insert(id.to_owned());
                }
            });
        }
        (legacies.into_iter().map(|(legacy, _)| legacy).collect(), known)
    }

    /// Does that process hold its queue? Asked when it has no owner file.
    fn holds_memory(&self, token: &str) -> bool {
        let memory = self.place.open_memory(token);
        memory.is_some_and(|file| Flock::lock(file, FlockArg::LockExclusiveNonblock).is_err())
    }

    /// Makes the mails of a process that is gone ours. `each`: with the Message-ID of each.
    fn take_mails(&self, legacy: &mut Legacy, mut names: Vec<String>, mut each: impl FnMut(&str)) {
        names.sort_unstable();
        for name in names {
            if name.starts_with("new.") {
                self.unlink(&name);
                continue;
            }
            if !name.starts_with("mail.") {
                continue;
            }
            match self.read(&name) {
                Ok(text) => self.take_file(&name, &text, legacy, &mut each),
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
    fn take_file(&self, name: &str, text: &str, legacy: &mut Legacy, each: &mut impl FnMut(&str)) {
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
                let mine = self.next_name();
                let (from, to) = (name, mine.as_str());
                if renameat(&self.place.directory, from, &self.place.directory, to).is_err() {
                    return;
                }
                self.size.fetch_add(text.len() as u64, Relaxed);
                for (mail, stored) in mails.iter().zip(Shelf::with(mine, text.len(), &places, damage)) {
                    each(&mail.message_id);
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
        self.place.remove_memory(&legacy.token);
        self.unlink(&owner_name(&legacy.token));
        drop(legacy.owner);
    }

    /// The queue of a process that is gone.
    fn memory_of(&self, token: &str) -> Option<SharedWords> {
        let file = self.place.open_memory(token)?;
        let words = queue::words_for(crate::settings::SPOOLED_QUEUE);
        let is_ours = fstat(&file).is_ok_and(|data| is_private(&data) && data.st_size == (words * 8) as i64);
        let slots = if is_ours { SharedWords::map(&file, words).ok() } else { None };
        if slots.is_none() {
            let token = crate::text::visible(token);
            log::warn!(
                "spool {}: the memory of process {token} is damaged: what was in it is lost",
                self.place.path
            );
        }
        slots
    }
}

/// The event of which our mail with that Message-ID was made: `<haproxy.<token>.<ticket>.…>`.
fn event_of(message_id: &str) -> Option<&str> {
    let rest = message_id.strip_prefix("<haproxy.")?;
    let (end, _) = rest.match_indices('.').nth(1)?;
    Some(&rest[..end])
}
