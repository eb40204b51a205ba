// SPDX-License-Identifier: MIT OR Apache-2.0
//! What processes that are gone have left in the spool, and how it becomes ours.

use super::checkpoint::{self, CheckpointState, ReplayMark, View};
use super::directory::{ANYBODYS, is_private, names_in};
use super::{Segment, Spool, SpoolFile, SpoolRef, Unreadable, format, incidents, incidents_name, owner_name};
use crate::engine::Snapshot;
use crate::ring::{self, SharedWords};
use crate::settings::Recipient;
use crate::sys::shared_memory;
use nix::errno::Errno;
use nix::fcntl::{Flock, FlockArg, OFlag, openat};
use nix::sys::stat::{Mode, fstat};
use std::collections::BTreeMap;
use std::os::fd::OwnedFd;
use std::sync::atomic::Ordering::Relaxed;
use std::time::SystemTime;

/// What a process that is gone has left.
pub struct Orphan {
    /// Its mails, ours now, in the order in which it made them: when, and the file. All of them may be too many for memory.
    pub mails: Vec<(SystemTime, SpoolRef)>,
    /// Events that it had accepted, and not told everybody of.
    pub events: Vec<ReplayedEvent>,
    /// Its name.
    pub token: String,
    memory: Option<View>,
    past: CheckpointState,
    /// Held until [`Spool::taken_over`].
    owner: Flock<OwnedFd>,
}

/// An event of a process that is gone.
pub struct ReplayedEvent {
    /// `<token>.<ticket>`: nothing else has it.
    pub id: String,
    /// What it was.
    pub record: Vec<u64>,
    ticket: u64,
}

impl Orphan {
    /// `throughs`: what others say that had taken over some of its events.
    fn of(
        owner: Flock<OwnedFd>,
        memory: Option<(CheckpointState, View)>,
        token: String,
        throughs: &[ReplayMark],
    ) -> Self {
        let (past, memory) = memory.unzip();
        let records = memory.as_ref().map_or_else(Vec::new, |slots| ring::recover(slots));
        let told = throughs.iter().filter(|through| through.token == checkpoint::hash(&token));
        let told = told.map(|through| through.ticket).max().unwrap_or_default();
        let rescued = |(ticket, record)| ReplayedEvent { id: format!("{token}.{ticket}"), record, ticket };
        let events = records.into_iter().filter(|(ticket, _)| *ticket >= told).map(rescued).collect();
        Orphan { mails: Vec::new(), events, token, memory, past: past.unwrap_or_default(), owner }
    }

    /// Had it told one of these of the event?
    pub fn has_told(&self, to: &[Recipient], event: &ReplayedEvent) -> bool {
        self.past.has_told(to, event.ticket)
    }

    /// What is true when `events`, which are its oldest, are told.
    pub fn through(&self, events: &[ReplayedEvent]) -> Option<ReplayMark> {
        Some(ReplayMark { token: checkpoint::hash(&self.token), ticket: events.last()?.ticket + 1 })
    }

    /// When what it returns is dropped, the mails of `events` are in the spool: should this process be killed, too, the next
    /// one need not make them again.
    pub fn are_done_later<'a>(&'a self, events: &'a [ReplayedEvent]) -> impl Drop + 'a {
        Done { memory: self.memory.as_ref(), events }
    }
}

struct Done<'a> {
    memory: Option<&'a View>,
    events: &'a [ReplayedEvent],
}

impl Drop for Done<'_> {
    fn drop(&mut self) {
        for (slots, event) in
            self.memory.iter().flat_map(|slots| self.events.iter().map(move |event| (slots, event)))
        {
            ring::discard(slots, event.ticket);
        }
    }
}

impl Spool {
    /// What processes that are gone have left; it is theirs until [`Spool::taken_over`].
    pub fn orphans(&self) -> Vec<Orphan> {
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
        let throughs: Vec<ReplayMark> =
            self.place.memories().iter().filter_map(|token| self.past_of(token)?.other).collect();
        let orphan = |(owner, token, names): (_, String, _)| {
            let mut orphan = Orphan::of(owner, self.memory_of(&token), token, &throughs);
            self.take_files(&mut orphan, names);
            orphan
        };
        claimed.into_iter().map(orphan).collect()
    }

    /// Does that process hold its queue? Asked when it has no owner file.
    fn holds_memory(&self, token: &str) -> bool {
        let memory = self.place.open_memory(token);
        memory.is_some_and(|file| Flock::lock(file, FlockArg::LockExclusiveNonblock).is_err())
    }

    /// Makes the mails of a process that is gone ours, and what it knew anybody's.
    fn take_files(&self, orphan: &mut Orphan, mut names: Vec<String>) {
        names.sort_unstable();
        if orphan.past.is_nothing_known {
            // Perhaps it had no time to say so.
            self.write_incidents(&orphan.token, &Snapshot::default());
        }
        for name in names {
            let number = name.strip_prefix("draft.").and_then(|rest| rest.rsplit_once('.')?.1.parse().ok());
            let is_valid = number.is_some_and(|number: u64| number < orphan.past.drafts);
            if name.starts_with("new.") || name.starts_with("draft.") && !is_valid {
                self.unlink(&name);
                continue;
            }
            if !name.starts_with("mail.") && !is_valid {
                continue;
            }
            match self.read(&name) {
                Ok(text) if text.starts_with(incidents::FIRST) => {
                    if let Err(error) = self.rename(&name, &incidents_name(&orphan.token)) {
                        self.report_unusable(&name, error.desc());
                    }
                }
                Ok(text) => self.take_file(&name, &text, orphan),
                // Now that it is ours: somebody else may have had it a moment ago.
                Err(Unreadable::Gone) => {}
                Err(Unreadable::Damaged(why)) => self.quarantine(&name, &why),
                // It is somebody else's.
                Err(Unreadable::Unavailable(error @ Errno::EACCES)) => self.quarantine(&name, error.desc()),
                // It is looked at again.
                Err(Unreadable::Unavailable(error)) => {
                    self.report_error(&format!("cannot read: {}; mails wait", error.desc()));
                }
            }
        }
        orphan.mails.sort_by_key(|(created, _)| *created);
        let (mails, events) = (orphan.mails.len(), orphan.events.len());
        if mails + events > 0 {
            log::info!(
                "spool {}: takes over {mails} mails and {events} events of a process that is gone",
                self.place.path
            );
        }
    }

    /// Makes the mails of one file ours.
    fn take_file(&self, name: &str, text: &str, orphan: &mut Orphan) {
        let (mut mails, mut places) = (Vec::new(), Vec::new());
        let mut damage = text.is_empty().then(|| "it is empty".to_owned());
        for (offset, part) in format::parts(text) {
            match format::decode(part) {
                Ok((mail, _)) => {
                    places.push(Segment::of(offset, part.len(), &mail));
                    mails.push(mail);
                }
                Err(why) => _ = damage.get_or_insert(why),
            }
        }
        match damage {
            Some(why) if mails.is_empty() => self.quarantine(name, &why),
            // Its last mail was done when the process ended.
            None if mails.is_empty() => self.unlink(name),
            damage => {
                let mine = self.mail_name(&self.next_number());
                if self.rename(name, &mine).is_err() {
                    return;
                }
                self.size.fetch_add(text.len() as u64, Relaxed);
                for (mail, stored) in mails.iter().zip(SpoolFile::with(mine, text.len(), &places, damage)) {
                    orphan.mails.push((mail.created, stored));
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
                self.report_unusable(&name, error.desc());
                return None;
            }
        };
        let owner = Flock::lock(file, FlockArg::LockExclusiveNonblock).ok()?;
        // Somebody who had it before us may have removed it.
        fstat(&*owner).is_ok_and(|data| data.st_nlink > 0).then_some(owner)
    }

    /// Everything of it is in our hands: removes what is left of its process.
    pub fn taken_over(&self, orphan: Orphan) {
        if let Some(ReplayMark { token, ticket }) = orphan.past.other {
            // What it said of another one is not said any more.
            for other in self.place.memories().iter().filter(|other| checkpoint::hash(other) == token) {
                if let Some((_, slots)) = self.memory_of(other) {
                    ring::discard_before(&slots, ticket);
                }
            }
        }
        self.place.remove_memory(&orphan.token);
        self.unlink(&owner_name(&orphan.token));
        drop(orphan.owner);
    }

    /// What others said of the events of a process.
    fn past_of(&self, token: &str) -> Option<CheckpointState> {
        let words = self.map(&self.place.open_memory(token)?)?;
        Some(checkpoint::read(words)?.0)
    }

    fn map(&self, file: &OwnedFd) -> Option<SharedWords> {
        let data = fstat(file).ok().filter(is_private)?;
        let words =
            shared_memory::SharedWords::map(file, usize::try_from(data.st_size).ok()? / size_of::<u64>())
                .ok()?;
        Some(Box::new(words))
    }

    /// The queue of a process that is gone; `None`, too, if it had not begun to use one.
    fn memory_of(&self, token: &str) -> Option<(CheckpointState, View)> {
        let file = self.place.open_memory(token)?;
        if fstat(&file).is_ok_and(|data| data.st_size == 0) {
            return None;
        }
        let words = self.map(&file);
        if words.as_ref().is_some_and(|words| !checkpoint::is_begun(words)) {
            return None;
        }
        let memory = words.and_then(checkpoint::read);
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
