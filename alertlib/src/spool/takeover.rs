// SPDX-License-Identifier: MIT OR Apache-2.0
//! Takeover of the mails, events and snapshots that dead processes have left in the spool.

use super::checkpoint::{self, CheckpointState, View};
use super::directory::{is_private, names_in};
use super::files::{Files, try_lock};
use super::mail_files::{Segment, SpoolRef};
use super::{FileStore, format, incidents, incidents_name, owner_name};
use crate::engine::Snapshot;
use crate::queue::{Claim, Orphan, ReplayMark, ReplayedEvent, Unreadable};
use crate::ring::{self, SharedWords};
use crate::settings::Recipient;
use crate::sys::shared_memory;
use crate::text::visible;
use nix::errno::Errno;
use nix::fcntl::{Flock, OFlag};
use nix::sys::stat::fstat;
use std::collections::{BTreeMap, BTreeSet};
use std::os::fd::OwnedFd;
use std::sync::Arc;

/// The lock on an orphan.
struct FileClaim {
    files: Arc<Files>,
    token: String,
    /// The ring's slots.
    slots: Option<View>,
    state: CheckpointState,
    /// Locked until the takeover has finished, so that no other process begins one.
    _owner: Flock<OwnedFd>,
}

impl Claim for FileClaim {
    fn has_notified(&self, to: &[Recipient], event: &ReplayedEvent) -> bool {
        self.state.has_notified(to, event.ticket)
    }

    fn replay_mark(&self, event: &ReplayedEvent) -> ReplayMark {
        ReplayMark { token: checkpoint::hash(&self.token), ticket: event.ticket + 1 }
    }

    fn forget(&self, event: &ReplayedEvent) {
        if let Some(slots) = &self.slots {
            ring::discard(slots, event.ticket);
        }
    }

    fn finish(self: Box<Self>) {
        let files = &self.files;
        if let Some(ReplayMark { token, ticket }) = self.state.replay {
            // Removes the events of a third process that the dead process had replayed: its mark is lost with its memory.
            for other in files.directory.memories().iter().filter(|other| checkpoint::hash(other) == token) {
                if let Some((_, slots)) = files.memory_of(other) {
                    ring::discard_before(&slots, ticket);
                }
            }
        }
        files.directory.remove_memory(&self.token);
        files.unlink(&owner_name(&self.token));
    }
}

impl FileStore {
    /// See [`crate::queue::Store::orphans`].
    pub(super) fn take_over_orphans(&self) -> Vec<Orphan> {
        let files = &self.files;
        // The names of mails and drafts, by token.
        let mut tokens: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
        // A process may have shared memory and no files: its owner file may have been removed.
        tokens.extend(files.directory.memories().into_iter().map(|token| (token, BTreeSet::new())));
        for name in names_in(&files.directory.directory) {
            match name.split_once('.') {
                Some(("owner" | "incidents", token)) => _ = tokens.entry(token.to_owned()).or_default(),
                Some(("mail" | "new" | "draft", rest)) => {
                    if let Some((token, _)) = rest.rsplit_once('.') {
                        tokens.entry(token.to_owned()).or_default().insert(name);
                    }
                }
                _ => {}
            }
        }
        tokens.remove(&files.token);
        let claimed: Vec<_> = tokens
            .into_iter()
            .filter_map(|(token, names)| Some((files.claim(&token)?, token, names)))
            .collect();
        if claimed.is_empty() {
            return Vec::new();
        }
        // Different processes may take over two dead processes, so the marks in all shared memory count.
        let memories = files.directory.memories();
        let words = memories.iter().filter_map(|token| files.map(&files.directory.open_memory(token)?));
        let marks: Vec<ReplayMark> = words.filter_map(|words| checkpoint::read(words)?.0.replay).collect();
        claimed.into_iter().map(|(owner, token, names)| self.orphan(owner, token, names, &marks)).collect()
    }

    /// Takes over the mails of a claimed process. `marks`: progress of other processes in its events.
    fn orphan(
        &self,
        owner: Flock<OwnedFd>,
        token: String,
        names: BTreeSet<String>,
        marks: &[ReplayMark],
    ) -> Orphan {
        let (state, slots) = self.files.memory_of(&token).unzip();
        let state = state.unwrap_or_default();
        let records = slots.as_ref().map_or_else(Vec::new, |slots| ring::recover(slots));
        let own_marks = marks.iter().filter(|mark| mark.token == checkpoint::hash(&token));
        let replayed = own_marks.map(|mark| mark.ticket).max().unwrap_or_default();
        let event = |(ticket, record)| ReplayedEvent { record, ticket };
        let events: Vec<ReplayedEvent> =
            records.into_iter().filter(|(ticket, _)| *ticket >= replayed).map(event).collect();
        let mut mails = self.take_files(&token, &state, names);
        mails.sort_by_key(|at| at.segment.created);
        if mails.len() + events.len() > 0 {
            log::info!(
                "spool {}: takes over {} mails and {} events of a process that is gone",
                self.files.directory.path,
                mails.len(),
                events.len()
            );
        }
        let mails = mails.into_iter().map(|at| self.add_adopted(at)).collect();
        let claim =
            FileClaim { files: self.files.clone(), token: token.clone(), slots, state, _owner: owner };
        Orphan { token, mails, events, claim: Box::new(claim) }
    }

    /// Takes over the files of a dead process: mails become this process's mails, a snapshot becomes readable for all processes.
    fn take_files(&self, token: &str, state: &CheckpointState, names: BTreeSet<String>) -> Vec<SpoolRef> {
        let mut mails = Vec::new();
        for name in names {
            let number = name.strip_prefix("draft.").and_then(|rest| rest.rsplit_once('.')?.1.parse().ok());
            let is_valid = number.is_some_and(|number: u64| number < state.drafts);
            if !name.starts_with("mail.") && !is_valid {
                self.files.unlink(&name);
                continue;
            }
            match self.files.read(&name) {
                Ok(text) if incidents::is_snapshot(&text) => {
                    if let Err(error) = self.files.rename(&name, &incidents_name(token)) {
                        self.files.errors.report_unusable(&name, error.desc());
                    }
                }
                Ok(text) => mails.extend(self.take_file(&name, &text)),
                // Another process has taken the file over.
                Err(Unreadable::Gone) => {}
                Err(Unreadable::Damaged(why)) => self.files.quarantine(&name, &why),
                // The file belongs to another user.
                Err(Unreadable::Unavailable(error @ Errno::EACCES)) => {
                    self.files.quarantine(&name, error.desc());
                }
                // The next search for orphans finds the file again.
                Err(Unreadable::Unavailable(error)) => {
                    self.files.errors.report_failure("cannot read", error, "mails wait");
                }
            }
        }
        mails
    }

    /// Takes over the mails of one file.
    fn take_file(&self, name: &str, text: &str) -> Vec<SpoolRef> {
        let mut segments = Vec::new();
        let mut damage = text.is_empty().then(|| "it is empty".to_owned());
        for (offset, record) in format::records(text) {
            match format::decode(record) {
                Ok(mail) => segments.push(Segment::new(offset, record.len(), &mail)),
                Err(why) => _ = damage.get_or_insert(why),
            }
        }
        if !segments.is_empty() {
            return self.mails.adopt(name, text.len(), &segments, damage);
        }
        match damage {
            Some(why) => self.files.quarantine(name, &why),
            // The process was killed after its last mail was marked as done, before the file was removed.
            None => self.files.unlink(name),
        }
        Vec::new()
    }

    /// See [`crate::queue::Store::foreign_snapshots`].
    pub(super) fn read_foreign_snapshots(&self) -> Vec<(String, Snapshot)> {
        let mut snapshots = Vec::new();
        for name in names_in(&self.files.directory.directory) {
            let token = name.strip_prefix("incidents.").filter(|token| *token != self.files.token);
            let Some(token) = token else { continue };
            let text = self.files.read(&name);
            match text.and_then(|text| incidents::decode(&text).map_err(Unreadable::Damaged)) {
                Ok(snapshot) => snapshots.push((token.to_owned(), snapshot)),
                Err(Unreadable::Gone) => {}
                Err(Unreadable::Damaged(why)) => self.files.quarantine(&name, &why),
                Err(Unreadable::Unavailable(error)) => self.files.errors.report_unusable(&name, error.desc()),
            }
        }
        snapshots
    }
}

impl Files {
    /// Locks the owner file of a process. `None`: the process lives, or another process has locked it.
    fn claim(&self, token: &str) -> Option<Flock<OwnedFd>> {
        let name = owner_name(token);
        let file = match self.open(&name, OFlag::O_RDWR) {
            // The process lives, and creates a new owner file when it writes a file.
            Err(Errno::ENOENT) if self.is_memory_locked(token) => return None,
            Err(Errno::ENOENT) => self.create(&name),
            opened => opened,
        };
        let owner = match file.map(try_lock) {
            Ok(owner) => owner.ok()?,
            // Another process has created it.
            Err(Errno::EEXIST) => return None,
            Err(error) => {
                self.errors.report_unusable(&name, error.desc());
                return None;
            }
        };
        // Another process may have locked it before, and removed it.
        fstat(&*owner).is_ok_and(|data| data.st_nlink > 0).then_some(owner)
    }

    /// True if a living process has locked that shared memory.
    fn is_memory_locked(&self, token: &str) -> bool {
        let memory = self.directory.open_memory(token);
        memory.is_some_and(|file| try_lock(file).is_err())
    }

    fn map(&self, file: &OwnedFd) -> Option<SharedWords> {
        let data = fstat(file).ok().filter(is_private)?;
        let words = usize::try_from(data.st_size).ok()? / size_of::<u64>();
        Some(Box::new(shared_memory::SharedWords::map(file, words).ok()?))
    }

    /// Returns the checkpoint and the ring of a dead process; `None`: there is none, or the process was killed before it used them.
    fn memory_of(&self, token: &str) -> Option<(CheckpointState, View)> {
        let file = self.directory.open_memory(token)?;
        if fstat(&file).is_ok_and(|data| data.st_size == 0) {
            return None;
        }
        let words = self.map(&file);
        if words.as_ref().is_some_and(|words| !checkpoint::is_created(words)) {
            return None;
        }
        let memory = words.and_then(checkpoint::read);
        if memory.is_none() {
            let (path, token) = (&self.directory.path, visible(token));
            log::warn!("spool {path}: the memory of process {token} is damaged: what was in it is lost");
        }
        memory
    }
}
