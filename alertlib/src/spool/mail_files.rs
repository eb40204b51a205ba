// SPDX-License-Identifier: MIT OR Apache-2.0
//! Mails in files: the place of each mail, and the size of the files.
//!
//! Mails of equal importance that are written together share a file, because ext4 needs a millisecond to create a file when many
//! files were removed recently. A file is removed with the last of its mails.

use super::files::Files;
use super::{IN_MEMORY, LARGEST, SHARED, format};
use crate::queue::{PendingMail, Unreadable};
use crate::sys::lock;
use std::cmp::Reverse;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex, OnceLock};
use std::time::SystemTime;

/// The place of a mail in the spool.
#[derive(Debug, Clone)]
pub(super) struct SpoolRef {
    file: Arc<SpoolFile>,
    pub segment: Segment,
}

/// The place of a mail in its file, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Segment {
    pub offset: u64,
    pub size: u64,
    /// See [`PendingMail::importance`].
    pub importance: u8,
    /// See [`StoredMail::created`](crate::queue::StoredMail::created).
    pub created: SystemTime,
}

/// A file with mails.
#[derive(Debug)]
struct SpoolFile {
    name: String,
    /// In bytes.
    size: u64,
    /// Mails that are not removed.
    mails: AtomicUsize,
    /// Why the file is quarantined when its last mail is removed.
    damage: OnceLock<String>,
}

impl SpoolRef {
    /// True if both are the same place.
    pub(super) fn is(&self, other: &SpoolRef) -> bool {
        Arc::ptr_eq(&self.file, &other.file) && self.segment == other.segment
    }

    fn is_alone(&self) -> bool {
        self.file.mails.load(Relaxed) == 1 && self.file.damage.get().is_none()
    }
}

impl Segment {
    pub(super) fn new(offset: usize, size: usize, mail: &PendingMail) -> Self {
        let (importance, created) = (mail.importance(), mail.notification.created);
        Segment { offset: offset as u64, size: size as u64, importance, created }
    }
}

/// A file that is being composed.
#[derive(Default)]
struct Composed {
    text: String,
    /// Indices of its mails, among the mails to write.
    indices: Vec<usize>,
    segments: Vec<Segment>,
}

/// The mails of this process in files.
pub(super) struct MailFiles {
    files: Arc<Files>,
    /// Size of all files, in bytes.
    size: AtomicU64,
    /// Numbers of the drafts that are not published yet.
    drafts: Mutex<Vec<u64>>,
}

impl MailFiles {
    pub(super) fn new(files: Arc<Files>) -> Self {
        MailFiles { files, size: AtomicU64::new(0), drafts: Mutex::default() }
    }

    /// Writes mails as drafts, the most important ones first. `None`: the mail is in no file; the error is logged. `make_room` removes
    /// a file with mails of less than this importance, or returns false. By the collector only.
    pub(super) fn write_drafts(
        &self,
        mails: &[Arc<PendingMail>],
        make_room: impl Fn(u8) -> bool,
    ) -> Vec<Option<SpoolRef>> {
        let mut written = vec![None; mails.len()];
        let importance = |index: &usize| mails[*index].importance();
        let mut order: Vec<usize> = (0..mails.len()).collect();
        order.sort_by_key(|index| Reverse(importance(index)));
        for group in order.chunk_by(|one, other| importance(one) == importance(other)) {
            let mut file = Composed::default();
            for index in group {
                let record = format::encode(&mails[*index]);
                if file.text.len() + record.len() > SHARED {
                    self.write_draft(std::mem::take(&mut file), &mut written);
                }
                if self.fits(file.text.len(), record.len(), || make_room(importance(index))) {
                    file.indices.push(*index);
                    file.segments.push(Segment::new(file.text.len(), record.len(), &mails[*index]));
                    file.text.push_str(&record);
                }
            }
            self.write_draft(file, &mut written);
        }
        written
    }

    fn write_draft(&self, file: Composed, written: &mut [Option<SpoolRef>]) {
        let Composed { text, indices, segments } = file;
        let number = self.files.next_number();
        if text.is_empty() || !self.files.write_draft(number, &text) {
            return;
        }
        lock(&self.drafts).push(number);
        let name = self.files.name("mail", number);
        for (index, at) in indices.iter().zip(self.count_file(name, text.len(), &segments, None)) {
            written[*index] = Some(at);
        }
    }

    /// Renames the drafts, which makes them mails whatever the checkpoint says. By the collector only.
    pub(super) fn publish_drafts(&self) {
        for number in std::mem::take(&mut *lock(&self.drafts)) {
            self.files.publish(number, self.files.name("mail", number));
        }
    }

    /// Adds a file to the size of all files; returns the places of its mails.
    fn count_file(
        &self,
        name: String,
        size: usize,
        segments: &[Segment],
        damage: Option<String>,
    ) -> Vec<SpoolRef> {
        let (size, mails) = (size as u64, AtomicUsize::new(segments.len()));
        self.size.fetch_add(size, Relaxed);
        let damage = damage.map_or_else(OnceLock::new, OnceLock::from);
        let file = Arc::new(SpoolFile { name, size, mails, damage });
        segments.iter().map(|segment| SpoolRef { file: file.clone(), segment: *segment }).collect()
    }

    /// True if a mail of `size` bytes and `others` bytes of other mails fit into the spool, if need be after `make_room`, which returns
    /// false when it cannot.
    fn fits(&self, others: usize, size: usize, make_room: impl Fn() -> bool) -> bool {
        let errors = &self.files.errors;
        if size > LARGEST {
            // `Files::read` refuses larger files.
            errors.report_error(&format!("a mail has more than {LARGEST} bytes; {IN_MEMORY}"));
            return false;
        }
        let max_size = self.files.directory.max_size;
        while self.size.load(Relaxed) + (others + size) as u64 > max_size {
            errors.report_error(&format!("its {max_size} bytes are full; the least important {IN_MEMORY}"));
            if !make_room() {
                return false;
            }
        }
        true
    }

    /// Rewrites a mail with fewer remaining recipients. `None`: it is in no file any more; the error is logged.
    pub(super) fn update(&self, at: &SpoolRef, mail: &PendingMail) -> Option<SpoolRef> {
        let is_alone = at.is_alone();
        let name =
            if is_alone { at.file.name.clone() } else { self.files.name("mail", self.files.next_number()) };
        if is_alone {
            self.size.fetch_sub(at.file.size, Relaxed);
            self.files.cancel_deletes(&name);
        }
        let text = format::encode(mail);
        let is_written = self.fits(0, text.len(), || false) && self.files.replace(&name, &text);
        // The old mail is removed in any case: after a crash the next process would send it again to recipients that have got it.
        if !is_alone {
            self.remove(at);
        } else if !is_written {
            self.files.unlink(&name);
        }
        let segment = Segment::new(0, text.len(), mail);
        is_written.then(|| self.count_file(name, text.len(), &[segment], None).pop()).flatten()
    }

    /// Removes a mail. True: its file was removed, too.
    pub(super) fn remove(&self, at: &SpoolRef) -> bool {
        let SpoolFile { name, size, mails, damage } = &*at.file;
        if mails.fetch_sub(1, Relaxed) > 1 {
            self.files.mark_done(name, at.segment.offset);
            return false;
        }
        self.size.fetch_sub(*size, Relaxed);
        self.files.cancel_sync(name);
        match damage.get() {
            Some(why) => self.files.quarantine(name, why),
            None => self.files.unlink(name),
        }
        true
    }

    /// Reads a mail.
    ///
    /// # Errors
    ///
    /// It is gone or damaged, or cannot be read now.
    pub(super) fn load(&self, at: &SpoolRef) -> Result<PendingMail, Unreadable> {
        let Segment { offset, size, .. } = at.segment;
        let text = self.files.read_at(&at.file.name, offset, size);
        let read = text.and_then(|text| format::decode(&text).map_err(Unreadable::Damaged));
        match &read {
            Ok(_) | Err(Unreadable::Gone) => {}
            // Quarantined when the other mails of the file are removed.
            Err(Unreadable::Damaged(why)) => _ = at.file.damage.set(why.clone()),
            Err(Unreadable::Unavailable(error)) => {
                self.files.errors.report_failure("cannot read", *error, "mails wait");
            }
        }
        read
    }

    /// Renames the file `name` of a dead process to a file of this process. Returns the places of its mails: none if it cannot be renamed
    /// now.
    pub(super) fn adopt(
        &self,
        name: &str,
        size: usize,
        segments: &[Segment],
        damage: Option<String>,
    ) -> Vec<SpoolRef> {
        let own_name = self.files.name("mail", self.files.next_number());
        match self.files.rename(name, &own_name) {
            Ok(()) => self.count_file(own_name, size, segments, damage),
            Err(_) => Vec::new(),
        }
    }
}
