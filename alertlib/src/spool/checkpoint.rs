// SPDX-License-Identifier: MIT OR Apache-2.0
//! The checkpoint: progress of each recipient in the ring's events, in memory that survives the process, so that no event is mailed
//! twice or lost.
//!
//! An event leaves the ring when all audiences were notified; an audience with a digest is notified later than others. So when a
//! process dies, some events in its ring are in mails already, for some audiences only. The checkpoint has, for each recipient, the
//! first event that is not in a mail. Committing is atomic: mails and snapshots are written as `draft.<token>.<number>`, then a store
//! of one word makes the new progress valid, and with it all drafts below a number; they get their final names afterwards. After a
//! SIGKILL the next process finds all of the commit, or nothing.
//!
//! Word 0 is the format's number, word 1 the ring's capacity, word 2 the number of recipients. Word 3 is the index of the valid one
//! of two pages; the other page is written. The recipients' hashes, the two pages and the ring's slots follow.

use crate::event::{Number, Text};
use crate::queue::ReplayMark;
use crate::ring::{self, SharedWords};
use crate::settings::{LARGEST_QUEUE, Recipient};
use std::collections::HashMap;
use std::ops::{Deref, Range};
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::{AcqRel, Acquire, Relaxed, Release};

/// Change it with the layout of the memory, the ring's included. A new field of a record changes it automatically.
const FORMAT: u64 = 0x6861_6c65_0002_0000 | (Number::COUNT as u64) << 8 | Text::COUNT as u64;
/// Words before the recipients.
const HEAD: usize = 4;
/// Words of a page before the recipients' progress.
const PAGE: usize = 3;
/// Recipients with progress. Further recipients may get a mail twice after a crash.
const MAX_RECIPIENTS: usize = 10_000;

/// A part of shared memory.
pub(super) struct View {
    words: Arc<SharedWords>,
    range: Range<usize>,
}

impl Deref for View {
    type Target = [AtomicU64];

    fn deref(&self) -> &[AtomicU64] {
        &self.words[self.range.clone()]
    }
}

/// The checkpoint of this process. Written by the collector only.
pub(super) struct Checkpoint {
    words: View,
    /// Index of the audience, by recipient.
    audiences: Vec<usize>,
}

/// The checkpoint of a dead process.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct CheckpointState {
    /// Drafts with smaller numbers are valid.
    pub drafts: u64,
    /// Progress in the events of another dead process.
    pub replay: Option<ReplayMark>,
    /// The first event that is not in a mail, by the recipient's hash.
    progress: HashMap<u64, u64>,
}

impl CheckpointState {
    /// True if the event is in a mail to one of these recipients.
    pub(super) fn has_notified(&self, to: &[Recipient], ticket: u64) -> bool {
        let is_notified =
            |to: &Recipient| self.progress.get(&hash(to.address.as_ref())).is_some_and(|n| ticket < *n);
        to.iter().any(is_notified)
    }
}

/// Returns the number of words of checkpoint and ring together.
pub(super) fn words_for(capacity: usize, recipients: usize) -> usize {
    slots_at(recipients) + ring::words_for(capacity)
}

/// Returns the first word of the ring's slots, a multiple of a slot's size.
fn slots_at(recipients: usize) -> usize {
    let words = HEAD + recipients.min(MAX_RECIPIENTS) * 3 + PAGE * 2;
    words.next_multiple_of(ring::words_for(1))
}

/// Creates the checkpoint in new memory of [`words_for`] words, all zero; returns it and the ring's slots. `audiences`: their
/// recipients.
pub(super) fn create(
    words: SharedWords,
    capacity: usize,
    audiences: &[Vec<Recipient>],
) -> (Checkpoint, View) {
    let all = audiences.iter().enumerate().flat_map(|(number, to)| to.iter().map(move |to| (number, to)));
    let mut recipients = Vec::new();
    for ((number, to), word) in all.take(MAX_RECIPIENTS).zip(&words[HEAD..]) {
        word.store(hash(to.address.as_ref()), Relaxed);
        recipients.push(number);
    }
    words[1].store(capacity as u64, Relaxed);
    words[2].store(recipients.len() as u64, Relaxed);
    words[0].store(FORMAT, Release);
    let (at, words) = (slots_at(recipients.len()), Arc::new(words));
    let slots = View { range: at..words.len(), words: words.clone() };
    (Checkpoint { words: View { words, range: 0..at }, audiences: recipients }, slots)
}

impl Checkpoint {
    /// Writes the page that is not valid, then makes that page valid. `drafts`, `replay`: see [`CheckpointState`]; `progress`: the
    /// first event that is not in a mail, by audience.
    pub(super) fn write(&self, drafts: u64, replay: Option<ReplayMark>, progress: &[u64]) {
        let page = 1 - self.words[3].load(Relaxed);
        let ReplayMark { token, ticket } = replay.unwrap_or_default();
        let progress = self.audiences.iter().map(|number| progress.get(*number).copied().unwrap_or_default());
        let words = &self.words[page_at(self.audiences.len(), page as usize)];
        for (word, value) in words.iter().zip([drafts, token, ticket].into_iter().chain(progress)) {
            word.store(value, Relaxed);
        }
        // The next write, to the other page, must not become visible before this one.
        self.words[3].swap(page, AcqRel);
    }
}

fn page_at(recipients: usize, page: usize) -> Range<usize> {
    let start = HEAD + recipients + page * (PAGE + recipients);
    start..start + PAGE + recipients
}

/// True if [`create`] has finished in this memory.
pub(super) fn is_created(words: &[AtomicU64]) -> bool {
    words.first().is_none_or(|format| format.load(Acquire) != 0)
}

/// Reads the checkpoint of another process; returns it and the ring's slots. `None`: the memory does not have this format.
pub(super) fn read(words: SharedWords) -> Option<(CheckpointState, View)> {
    let head: Vec<u64> = words.get(..HEAD)?.iter().map(|word| word.load(Acquire)).collect();
    let (capacity, recipients, page) = (head[1] as usize, head[2] as usize, head[3] as usize);
    let is_valid = head[0] == FORMAT
        && (1..=LARGEST_QUEUE).contains(&capacity)
        && recipients <= MAX_RECIPIENTS
        && page <= 1
        && words.len() == words_for(capacity, recipients);
    if !is_valid {
        return None;
    }
    let load = |range: Range<usize>| words[range].iter().map(|word| word.load(Relaxed)).collect::<Vec<_>>();
    let hashes = load(HEAD..HEAD + recipients);
    let page = load(page_at(recipients, page));
    let state = CheckpointState {
        drafts: page[0],
        replay: (page[1] != 0).then_some(ReplayMark { token: page[1], ticket: page[2] }),
        progress: hashes.into_iter().zip(page[PAGE..].iter().copied()).collect(),
    };
    let range = slots_at(recipients)..words.len();
    Some((state, View { words: Arc::new(words), range }))
}

/// Returns the FNV-1a hash, which is equal in all versions and processes. Never 0.
pub(super) fn hash(text: &str) -> u64 {
    let step = |hash: u64, byte: u8| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
    text.bytes().fold(0xcbf2_9ce4_8422_2325, step).max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn memory(words: usize) -> Arc<Vec<AtomicU64>> {
        Arc::new((0..words).map(|_| AtomicU64::new(0)).collect())
    }

    /// Memory that several processes share.
    struct Shared(Arc<Vec<AtomicU64>>);

    impl Deref for Shared {
        type Target = [AtomicU64];

        fn deref(&self) -> &[AtomicU64] {
            &self.0
        }
    }

    fn to(address: &str) -> Recipient {
        Recipient { address: address.parse().expect("an address"), is_local: false }
    }

    #[test]
    fn the_last_write_is_read() {
        let audiences = [vec![to("a@x"), to("b@x")], vec![to("c@x")]];
        let words = memory(words_for(5, 3));
        let read = || read(Box::new(Shared(words.clone())));
        assert!(read().is_none() && !is_created(&words), "nothing was written yet");
        let (checkpoint, slots) = create(Box::new(Shared(words.clone())), 5, &audiences);
        assert_eq!(slots.len(), ring::words_for(5));
        assert!(is_created(&words));
        assert_eq!(
            read().expect("a checkpoint").0,
            CheckpointState { progress: read().expect("one").0.progress, ..CheckpointState::default() }
        );
        for n in 1..5 {
            let replay = (n > 2).then_some(ReplayMark { token: hash("643a-1f"), ticket: n + 7 });
            checkpoint.write(n, replay, &[n * 10, n * 20]);
            let (state, slots) = read().expect("a checkpoint");
            assert_eq!(slots.len(), ring::words_for(5));
            assert_eq!((state.drafts, state.replay), (n, replay));
            for (recipient, progress) in [("a@x", n * 10), ("b@x", n * 10), ("c@x", n * 20), ("d@x", 0)] {
                let recipient = [to(recipient)];
                assert!(progress == 0 || state.has_notified(&recipient, progress - 1));
                assert!(!state.has_notified(&recipient, progress), "{recipient:?} {progress}");
            }
            assert!(state.has_notified(&[to("d@x"), to("c@x")], 0), "one of them is enough");
        }
    }

    #[test]
    fn memory_of_another_format_is_refused() {
        let words = memory(words_for(5, 1));
        let _ = create(Box::new(Shared(words.clone())), 5, &[vec![to("a@x")]]);
        let is_readable = || read(Box::new(Shared(words.clone()))).is_some();
        assert!(is_readable());
        for (index, value) in [(0, 7), (1, 0), (1, 6), (1, u64::MAX), (2, 400), (2, u64::MAX), (3, 2)] {
            let before = words[index].swap(value, Relaxed);
            assert!(!is_readable(), "word {index} is {value}");
            words[index].store(before, Relaxed);
        }
        assert!(read(Box::new(Shared(memory(3)))).is_none());
    }
}
