// SPDX-License-Identifier: MIT OR Apache-2.0
//! What has become of the queue's events, in the memory that survives the process: no event is in two mails, or in none.
//!
//! An event leaves the queue when all audiences were told, and those with a digest are told later than others. So when a
//! process is gone, some of the events in its queue are in mails already, and for some audiences only. The checkpoint says for
//! each recipient up to which event that is so. It is written in one step, which is one word, together with the number below
//! which drafts are files of the spool: mails, and what the next process has to know, are written as `draft.<token>.<number>`
//! before, and get their names afterwards. Whenever the process is killed, either all of it has happened or nothing.
//!
//! The first word is the format's number, the second one the queue's capacity, the third one how many recipients follow;
//! the fourth one says which of the two pages behind them is the one that is good, while the other one is written. Then come
//! the queue's slots.

use crate::event::{Number, Text};
use crate::ring::{self, SharedWords};
use crate::settings::{LARGEST_QUEUE, Recipient};
use std::collections::HashMap;
use std::ops::{Deref, Range};
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::{AcqRel, Acquire, Relaxed, Release};

/// Changes with the memory's layout, the queue's included, and by itself with what a record has.
const FORMAT: u64 = 0x6861_6c65_0001_0000 | (Number::COUNT as u64) << 8 | Text::COUNT as u64;
/// Words before the recipients.
const HEAD: usize = 4;
/// Words of a page before those of the recipients.
const PAGE: usize = 4;
/// More are not in it: they may be told again after a crash.
const MOST_RECIPIENTS: usize = 10_000;

/// A part of shared memory.
pub struct View {
    words: Arc<SharedWords>,
    range: Range<usize>,
}

impl Deref for View {
    type Target = [AtomicU64];

    fn deref(&self) -> &[AtomicU64] {
        &self.words[self.range.clone()]
    }
}

/// Of a process that lives: written by its collector alone.
pub struct Checkpoint {
    words: View,
    /// Of each recipient: the number of the audience.
    audiences: Vec<usize>,
}

/// What is true from one moment on.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct CheckpointUpdate {
    /// Drafts with smaller numbers are files of the spool.
    pub drafts: u64,
    /// There is nothing to remember: a file that says otherwise is old.
    pub is_nothing_known: bool,
    /// Of another process that is taken over: the events up to this one everybody was told of.
    pub other: Option<ReplayMark>,
    /// Of the own queue, by audience: the first event that it was not told of.
    pub told: Vec<u64>,
}

/// How far the events of a process that is gone have been told, by the one that takes them over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ReplayMark {
    /// Of its token: [`hash`].
    pub token: u64,
    /// The first event that was not.
    pub ticket: u64,
}

/// What a process that is gone has left.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct CheckpointState {
    /// See [`CheckpointUpdate::drafts`].
    pub drafts: u64,
    /// See [`CheckpointUpdate::is_nothing_known`].
    pub is_nothing_known: bool,
    /// See [`CheckpointUpdate::other`].
    pub other: Option<ReplayMark>,
    told: HashMap<u64, u64>,
}

impl CheckpointState {
    /// Was one of these told of the event with this ticket?
    pub fn has_told(&self, to: &[Recipient], ticket: u64) -> bool {
        let is_told = |to: &Recipient| self.told.get(&hash(to.address.as_ref())).is_some_and(|n| ticket < *n);
        to.iter().any(is_told)
    }
}

/// The words that both need, in all.
pub fn words_for(capacity: usize, recipients: usize) -> usize {
    slots_at(recipients) + ring::words_for(capacity)
}

/// The slots begin where a slot would.
fn slots_at(recipients: usize) -> usize {
    let words = HEAD + recipients.min(MOST_RECIPIENTS) * 3 + PAGE * 2;
    words.next_multiple_of(ring::words_for(1))
}

/// Divides new memory, all zeros, of [`words_for`] these: the checkpoint, and the queue's slots. `audiences`: who is in them.
pub fn begin(words: SharedWords, capacity: usize, audiences: &[Vec<Recipient>]) -> (Checkpoint, View) {
    let all: Vec<(usize, &Recipient)> =
        audiences.iter().enumerate().flat_map(|(number, to)| to.iter().map(move |to| (number, to))).collect();
    let at = slots_at(all.len());
    let words = Arc::new(words);
    let slots = View { range: at..words.len(), words: words.clone() };
    let checkpoint = Checkpoint {
        words: View { words, range: 0..at },
        audiences: all.iter().take(MOST_RECIPIENTS).map(|(number, _)| *number).collect(),
    };
    for (place, (_, to)) in all.iter().take(MOST_RECIPIENTS).enumerate() {
        checkpoint.words[HEAD + place].store(hash(to.address.as_ref()), Relaxed);
    }
    checkpoint.words[1].store(capacity as u64, Relaxed);
    checkpoint.words[2].store(checkpoint.audiences.len() as u64, Relaxed);
    checkpoint.words[0].store(FORMAT, Release);
    (checkpoint, slots)
}

impl Checkpoint {
    /// All of it is true from now on.
    pub fn write(&self, entry: &CheckpointUpdate) {
        let page = 1 - self.words[3].load(Relaxed);
        let (other, through) = entry.other.map_or((0, 0), |through| (through.token, through.ticket));
        let told = self.audiences.iter().map(|number| entry.told.get(*number).copied().unwrap_or_default());
        let head = [entry.drafts, entry.is_nothing_known.into(), other, through];
        let words = &self.words[page_at(self.audiences.len(), page as usize)];
        for (word, value) in words.iter().zip(head.into_iter().chain(told)) {
            word.store(value, Relaxed);
        }
        // What is written to the other page next must not come before.
        self.words[3].swap(page, AcqRel);
    }
}

fn page_at(recipients: usize, page: usize) -> Range<usize> {
    let start = HEAD + recipients + page * (PAGE + recipients);
    start..start + PAGE + recipients
}

/// False: nothing has come into this memory yet, it is as the system gave it.
pub fn is_begun(words: &[AtomicU64]) -> bool {
    words.first().is_none_or(|format| format.load(Acquire) != 0)
}

/// Divides the memory of a process that is gone; `None`: it is none of this format.
pub fn read(words: SharedWords) -> Option<(CheckpointState, View)> {
    let head: Vec<u64> = words.get(..HEAD)?.iter().map(|word| word.load(Acquire)).collect();
    let (capacity, recipients, page) = (head[1] as usize, head[2] as usize, head[3] as usize);
    let is_sound = head[0] == FORMAT
        && (1..=LARGEST_QUEUE).contains(&capacity)
        && recipients <= MOST_RECIPIENTS
        && page <= 1
        && words.len() == words_for(capacity, recipients);
    if !is_sound {
        return None;
    }
    let load = |range: Range<usize>| words[range].iter().map(|word| word.load(Relaxed)).collect::<Vec<_>>();
    let names = load(HEAD..HEAD + recipients);
    let page = load(page_at(recipients, page));
    let past = CheckpointState {
        drafts: page[0],
        is_nothing_known: page[1] != 0,
        other: (page[2] != 0).then_some(ReplayMark { token: page[2], ticket: page[3] }),
        told: names.into_iter().zip(page[PAGE..].iter().copied()).collect(),
    };
    let range = slots_at(recipients)..words.len();
    Some((past, View { words: Arc::new(words), range }))
}

/// The same in each version and process: FNV-1a. Never 0.
pub fn hash(text: &str) -> u64 {
    let step = |hash: u64, byte: u8| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
    text.bytes().fold(0xcbf2_9ce4_8422_2325, step).max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn memory(words: usize) -> Arc<Vec<AtomicU64>> {
        Arc::new((0..words).map(|_| AtomicU64::new(0)).collect())
    }

    /// Several may have the same memory.
    struct Same(Arc<Vec<AtomicU64>>);

    impl Deref for Same {
        type Target = [AtomicU64];

        fn deref(&self) -> &[AtomicU64] {
            &self.0
        }
    }

    fn to(address: &str) -> Recipient {
        Recipient { address: address.parse().expect("an address"), is_local: false }
    }

    #[test]
    fn what_was_written_last_is_read() {
        let audiences = [vec![to("a@x"), to("b@x")], vec![to("c@x")]];
        let words = memory(words_for(5, 3));
        let read = || read(Box::new(Same(words.clone())));
        assert!(read().is_none() && !is_begun(&words), "nothing was written yet");
        let (checkpoint, slots) = begin(Box::new(Same(words.clone())), 5, &audiences);
        assert_eq!(slots.len(), ring::words_for(5));
        assert!(is_begun(&words));
        assert_eq!(
            read().expect("a checkpoint").0,
            CheckpointState { told: read().expect("one").0.told, ..CheckpointState::default() }
        );
        for n in 1..5 {
            let other = (n > 2).then_some(ReplayMark { token: hash("643a-1f"), ticket: n + 7 });
            let entry = CheckpointUpdate {
                drafts: n,
                is_nothing_known: n % 2 == 0,
                other,
                told: vec![n * 10, n * 20],
            };
            checkpoint.write(&entry);
            let (past, slots) = read().expect("a checkpoint");
            assert_eq!(slots.len(), ring::words_for(5));
            assert_eq!((past.drafts, past.is_nothing_known, past.other), (n, n % 2 == 0, other));
            for (recipient, told) in [("a@x", n * 10), ("b@x", n * 10), ("c@x", n * 20), ("d@x", 0)] {
                let recipient = [to(recipient)];
                assert!(told == 0 || past.has_told(&recipient, told - 1));
                assert!(!past.has_told(&recipient, told), "{recipient:?} {told}");
            }
            assert!(past.has_told(&[to("d@x"), to("c@x")], 0), "one of them is enough");
        }
    }

    #[test]
    fn other_memory_is_none() {
        let words = memory(words_for(5, 1));
        let _ = begin(Box::new(Same(words.clone())), 5, &[vec![to("a@x")]]);
        let is_one = || read(Box::new(Same(words.clone()))).is_some();
        assert!(is_one());
        for (place, value) in [(0, 7), (1, 0), (1, 6), (1, u64::MAX), (2, 400), (2, u64::MAX), (3, 2)] {
            let before = words[place].swap(value, Relaxed);
            assert!(!is_one(), "word {place} is {value}");
            words[place].store(before, Relaxed);
        }
        assert!(read(Box::new(Same(memory(3)))).is_none());
    }
}
