// SPDX-License-Identifier: MIT OR Apache-2.0
//! The hand-over from HAProxy's threads to the collector: a bounded ring of fixed slots.
//!
//! Any number of threads push, one takes. A push is a compare-and-swap for a slot and plain stores into it: it never waits
//! for another thread, never allocates, takes no lock, and makes no system call unless the collector sleeps (then one
//! `FUTEX_WAKE`). A full ring refuses at once.
//!
//! It is D. Vyukov's bounded ring with two changes. The payload is made of atomic words, so that there is no data race
//! to argue about and no `unsafe`. And a slot's stamp counts laps from zero, so that a fresh ring is all zeros: its pages
//! come from the kernel as they are needed, and a ring of 4096 slots costs an idle process 1 MiB. A channel of 2 KiB messages
//! would touch all of its 8 MiB at creation; crossbeam's would also take a mutex on the pushing side when the receiver
//! sleeps in it.

use std::ops::Deref;
use std::sync::OnceLock;
use std::sync::atomic::Ordering::*;

#[cfg(not(loom))]
use std::{
    sync::atomic::{AtomicBool, AtomicU64, fence},
    thread::{Thread, current, park, park_timeout, yield_now},
};

// In the model of `tests/loom`, which tries every order in which the threads' steps can happen.
#[cfg(loom)]
use loom::{
    sync::atomic::{AtomicBool, AtomicU64, fence},
    thread::{Thread, current, park, yield_now},
};

/// Words (of 8 bytes) in a slot: its stamp, the record's length, the record.
const SLOT_WORDS: usize = if cfg!(loom) { 4 } else { 256 };

/// Most words that one record can have.
pub const RECORD_WORDS: usize = SLOT_WORDS - 2;

/// The ring is full, or closed: the record was not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Full;

/// Slots ahead of the last record that are prefaulted: so many (1 MiB) at most, and half of that at least, but in a storm.
const PREFAULTED: u64 = 512;

/// A bit of the tail. No ring sees so many records.
const CLOSED: u64 = 1 << 63;

/// A bounded ring of records of up to [`RECORD_WORDS`] words. Push from any thread, take from one: the collector.
pub struct Ring {
    /// Next ticket to push; its lap is `ticket / capacity`. With [`CLOSED`], nobody gets it any more.
    tail: Line<AtomicU64>,
    /// Next ticket to take. Written by the collector alone.
    head: Line<AtomicU64>,
    asleep: Line<Asleep>,
    /// The collector has something else to look at.
    woken: AtomicBool,
    /// The thread that takes, once it has slept.
    collector: OnceLock<Thread>,
    /// Slots from the first that were used or prefaulted. Written by the collector alone.
    prefaulted: AtomicU64,
    capacity: u64,
    slots: Slots,
}

/// Memory that survives the process.
pub type SharedWords = Box<dyn Deref<Target = [AtomicU64]> + Send + Sync>;

/// Where the slots are.
enum Slots {
    /// In this process's memory.
    Own(Box<[AtomicU64]>),
    /// In memory that survives it: see [`rescue`].
    Shared(SharedWords),
}

impl Deref for Slots {
    type Target = [AtomicU64];

    fn deref(&self) -> &[AtomicU64] {
        match self {
            Slots::Own(words) => words,
            Slots::Shared(words) => words,
        }
    }
}

/// The collector's sleep.
struct Asleep {
    /// The collector sleeps or is about to. The thread that clears it wakes the collector.
    flag: AtomicBool,
    /// The ticket that is worth waking up for.
    until: AtomicU64,
}

/// A cache line of its own, so that pushers and the collector do not slow each other down.
#[repr(align(64))]
struct Line<T>(T);

/// Writes one record into its slot, word by word. What does not fit is left out, and said in the return value.
pub struct Writer<'a> {
    /// The words of the slot that are still free.
    room: &'a [AtomicU64],
}

impl Writer<'_> {
    /// Appends one word; false: no room.
    pub fn word(&mut self, word: u64) -> bool {
        let Some((slot, room)) = self.room.split_first() else { return false };
        slot.store(word, Relaxed);
        self.room = room;
        true
    }

    /// Appends all of these words; false: no room, and none was appended.
    pub fn words<const COUNT: usize>(&mut self, words: [u64; COUNT]) -> bool {
        let Some((slots, room)) = self.room.split_at_checked(COUNT) else { return false };
        for (slot, word) in slots.iter().zip(&words) {
            slot.store(*word, Relaxed);
        }
        self.room = room;
        true
    }

    /// Appends bytes, padded with zeros to whole words; false: no room, and none was appended.
    pub fn bytes(&mut self, bytes: &[u8]) -> bool {
        let Some((slots, room)) = self.room.split_at_checked(bytes.len().div_ceil(8)) else { return false };
        let chunks = bytes.chunks_exact(8);
        let rest = chunks.remainder();
        for (slot, chunk) in slots.iter().zip(chunks) {
            // A chunk has 8 bytes, so this never is the default.
            slot.store(chunk.try_into().map(u64::from_le_bytes).unwrap_or_default(), Relaxed);
        }
        if let (Some(last), false) = (slots.last(), rest.is_empty()) {
            let word = match bytes.last_chunk() {
                // The bytes before the rest are shifted out.
                Some(chunk) => u64::from_le_bytes(*chunk) >> (8 * (8 - rest.len())),
                None => rest.iter().rev().fold(0, |word, &byte| word << 8 | u64::from(byte)),
            };
            last.store(word, Relaxed);
        }
        self.room = room;
        true
    }
}

impl Ring {
    /// A ring for `capacity` records (at least 1), all of them empty.
    pub fn new(capacity: usize) -> Self {
        Ring::over(Slots::Own(zeros(words_for(capacity))))
    }

    /// A ring in memory that survives this process: all zeros, of [`words_for`] some capacity.
    pub fn shared(words: SharedWords) -> Self {
        Ring::over(Slots::Shared(words))
    }

    fn over(slots: Slots) -> Self {
        Ring {
            tail: Line(AtomicU64::new(0)),
            head: Line(AtomicU64::new(0)),
            asleep: Line(Asleep { flag: AtomicBool::new(false), until: AtomicU64::new(0) }),
            woken: AtomicBool::new(false),
            collector: OnceLock::new(),
            prefaulted: AtomicU64::new(0),
            capacity: (slots.len() / SLOT_WORDS) as u64,
            slots,
        }
    }

    /// The slot of `ticket`, and the stamp that it has when it is free for it; one more when it holds its record.
    fn slot(&self, ticket: u64) -> (&AtomicU64, &[AtomicU64], u64) {
        let start = (ticket % self.capacity) as usize * SLOT_WORDS;
        let (stamp, words) = (&self.slots[start], &self.slots[start + 1..start + SLOT_WORDS]);
        (stamp, words, ticket / self.capacity * 2)
    }

    /// Takes a slot, lets `fill` write the record, publishes it and wakes the collector if it sleeps.
    ///
    /// Any thread. Never blocks, never allocates. `fill` must not panic: its slot would stay taken for ever.
    pub fn push(&self, fill: impl FnOnce(&mut Writer)) -> Result<(), Full> {
        let mut ticket = self.tail.0.load(Relaxed);
        loop {
            if ticket & CLOSED != 0 {
                return Err(Full);
            }
            let (stamp, words, free) = self.slot(ticket);
            let seen = stamp.load(Acquire);
            if seen == free {
                match self.tail.0.compare_exchange_weak(ticket, ticket + 1, Relaxed, Relaxed) {
                    Ok(_) => {
                        let mut writer = Writer { room: &words[1..] };
                        fill(&mut writer);
                        words[0].store((RECORD_WORDS - writer.room.len()) as u64, Relaxed);
                        stamp.store(free + 1, Release);
                        break;
                    }
                    Err(newer) => ticket = newer,
                }
            } else if seen < free {
                // The record of the lap before is still there. Unless `ticket` is old, the ring is full.
                let newer = self.tail.0.load(Relaxed);
                if newer == ticket {
                    return Err(Full);
                }
                ticket = newer;
            } else {
                ticket = self.tail.0.load(Relaxed);
            }
        }
        self.wake_from(ticket);
        Ok(())
    }

    /// Takes nothing more, and wakes the collector so that it can end. Any thread.
    ///
    /// Who pushes at this moment either has a ticket already, so that the ring is not empty, or is refused.
    pub fn close(&self) {
        self.tail.0.fetch_or(CLOSED, AcqRel);
        self.wake();
    }

    /// Was it closed? What is still in it can be taken.
    pub fn is_closed(&self) -> bool {
        self.tail.0.load(Acquire) & CLOSED != 0
    }

    /// Lets the collector look around: it does not sleep, or not again, before it has. Any thread; never blocks.
    pub fn wake(&self) {
        self.woken.store(true, Release);
        self.wake_from(u64::MAX);
    }

    /// Wakes the collector if it sleeps, and not until a later ticket than this.
    fn wake_from(&self, ticket: u64) {
        // Pairs with the fence in `sleep_until_pushed`: either we see it asleep, or it sees what we did.
        fence(SeqCst);
        let Asleep { flag, until } = &self.asleep.0;
        // Acquire: with the flag, the thread and the ticket that it sleeps for are seen.
        let is_asleep = flag.load(Acquire) && ticket >= until.load(Relaxed);
        if is_asleep && flag.compare_exchange(true, false, Relaxed, Relaxed).is_ok() {
            if let Some(collector) = self.collector.get() {
                collector.unpark();
            }
        }
    }

    /// Copies a record into `record` (cleared first) and gives its ticket: the oldest one, or one that so many others are
    /// `before`. `None`: there is none. It stays in the ring, and can be rescued, until [`Ring::release`]. By the
    /// collector only.
    pub fn peek(&self, before: u64, record: &mut Vec<u64>) -> Option<u64> {
        if before >= self.capacity {
            return None;
        }
        let ticket = self.head.0.load(Relaxed) + before;
        let (stamp, words, free) = self.slot(ticket);
        if stamp.load(Acquire) != free + 1 {
            return None;
        }
        read(words, record);
        Some(ticket)
    }

    /// Frees the slot of the oldest record, which [`Ring::peek`] has shown. By the collector only.
    pub fn release(&self) {
        let ticket = self.head.0.load(Relaxed);
        let (stamp, _, free) = self.slot(ticket);
        if stamp.load(Acquire) == free + 1 {
            stamp.store(free + 2, Release);
            self.head.0.store(ticket + 1, Release);
        }
    }

    /// Faults in the pages of the slots that are used next, so that HAProxy's threads do not: the first use of a page costs some
    /// microseconds. `prefault` does that for all of some memory, or returns false. By the collector only, before it sleeps.
    pub fn prefault(&self, prefault: impl FnOnce(&[AtomicU64]) -> bool) {
        let tail = self.tail.0.load(Relaxed) & !CLOSED;
        let (first, until) = (self.prefaulted.load(Relaxed), self.capacity.min(tail + PREFAULTED));
        // Many pages at a time cost little more than one.
        if first >= self.capacity.min(tail + PREFAULTED / 2) {
            return;
        }
        let slots = &self.slots[first as usize * SLOT_WORDS..until as usize * SLOT_WORDS];
        if !prefault(slots) {
            for slot in slots.chunks_exact(SLOT_WORDS) {
                // Writes without a change: a page that was only read would fault again when it is written. If the word is not 0, a
                // pusher has written it.
                let _ = slot[0].compare_exchange(0, 0, Relaxed, Relaxed);
            }
        }
        self.prefaulted.store(until, Relaxed);
    }

    /// Records that it can have.
    pub fn capacity(&self) -> u64 {
        self.capacity
    }

    /// Records that were pushed (or are just being pushed) and not released yet. Any thread.
    pub fn len(&self) -> u64 {
        let head = self.head.0.load(Acquire);
        (self.tail.0.load(Acquire) & !CLOSED).saturating_sub(head)
    }

    /// Nothing waits in the ring. Any thread.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Sleeps until there are `enough` records (at least 1), [`Ring::wake`] or [`Ring::close`] was called or `timeout` has
    /// passed. By the collector only, which is always the same thread.
    pub fn sleep_until_pushed(&self, enough: u64, timeout: Option<std::time::Duration>) {
        self.collector.get_or_init(current);
        let Asleep { flag, until } = &self.asleep.0;
        until.store(self.head.0.load(Relaxed) + enough - 1, Relaxed);
        flag.store(true, Release);
        fence(SeqCst);
        if self.len() >= enough {
            // A pusher has its slot and is not through with it yet: let it run.
            yield_now();
        } else if self.woken.compare_exchange(true, false, Acquire, Relaxed).is_err() {
            match timeout {
                Some(timeout) => park_timeout(timeout),
                None => park(),
            }
        }
        flag.store(false, Relaxed);
    }
}

/// The words that a ring for `capacity` records (at least 1) needs.
pub fn words_for(capacity: usize) -> usize {
    capacity.max(1) * SLOT_WORDS
}

/// What the ring of a process that is gone still has: accepted, and not released. Oldest first, each with its ticket. A
/// record that was just being written was not accepted, and is not among them.
pub fn rescue(slots: &[AtomicU64]) -> Vec<(u64, Vec<u64>)> {
    let capacity = (slots.len() / SLOT_WORDS) as u64;
    let mut records = Vec::new();
    for (index, slot) in (0..).zip(slots.chunks_exact(SLOT_WORDS)) {
        let stamp = slot[0].load(Acquire);
        if stamp % 2 == 1 {
            let mut record = Vec::new();
            read(&slot[1..], &mut record);
            records.push(((stamp / 2).wrapping_mul(capacity).wrapping_add(index), record));
        }
    }
    records.sort_unstable_by_key(|(ticket, _)| *ticket);
    records
}

/// Takes a record out of the ring of a process that is gone: [`rescue`] will not find it again.
pub fn forget(slots: &[AtomicU64], ticket: u64) {
    let capacity = (slots.len() / SLOT_WORDS) as u64;
    let stamp = (ticket / capacity).wrapping_mul(2).wrapping_add(2);
    slots[(ticket % capacity) as usize * SLOT_WORDS].store(stamp, Release);
}

/// The same with all records before the one with that ticket.
pub fn forget_all_before(slots: &[AtomicU64], ticket: u64) {
    rescue(slots).iter().filter(|(old, _)| *old < ticket).for_each(|(old, _)| forget(slots, *old));
}

/// Copies a record out of its slot's words: its length, itself.
fn read(words: &[AtomicU64], record: &mut Vec<u64>) {
    record.clear();
    let length = (words[0].load(Relaxed) as usize).min(RECORD_WORDS);
    record.extend(words[1..=length].iter().map(|word| word.load(Relaxed)));
}

#[cfg(not(loom))]
fn zeros(count: usize) -> Box<[AtomicU64]> {
    bytemuck::zeroed_slice_box(count)
}

#[cfg(loom)]
fn zeros(count: usize) -> Box<[AtomicU64]> {
    (0..count).map(|_| AtomicU64::new(0)).collect()
}

/// The model has no time: a wake-up that is lost shows, it is not made up for by a time-out.
#[cfg(loom)]
fn park_timeout(_: std::time::Duration) {
    park();
}

#[cfg(all(test, not(loom)))]
mod tests;
