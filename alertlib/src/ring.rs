// SPDX-License-Identifier: MIT OR Apache-2.0
//! Queue from HAProxy's threads to the collector: a bounded, lock-free ring of fixed slots.
//!
//! Any number of threads push, the collector alone takes. A push is a compare-and-swap for a slot and plain stores into it: it
//! never waits for another thread, never allocates, takes no lock, and makes no system call unless the collector sleeps (then one
//! `FUTEX_WAKE`). A push into a full ring fails at once.
//!
//! The algorithm is D. Vyukov's bounded ring with two changes. The payload consists of atomic words, so that there is neither a
//! data race nor `unsafe`. A slot's stamp counts laps from zero, so that a new ring is all zeros: the kernel allocates its pages
//! at their first use, and a ring of 4096 slots costs an idle process 1 MiB. A channel of 2 KiB messages would touch all of its 8
//! MiB at creation; crossbeam's channel would also take a mutex in the pushing thread when the receiver sleeps.

use std::ops::Deref;
use std::sync::OnceLock;
use std::sync::atomic::Ordering::*;

#[cfg(not(loom))]
use std::{
    sync::atomic::{AtomicBool, AtomicU64, fence},
    thread::{Thread, current, park, park_timeout, yield_now},
};

// For the model in `tests/loom`, which tries every order of the threads' steps.
#[cfg(loom)]
use loom::{
    sync::atomic::{AtomicBool, AtomicU64, fence},
    thread::{Thread, current, park, yield_now},
};

/// Number of words (of 8 bytes) in a slot: its stamp, the record's length, the record.
const SLOT_WORDS: usize = if cfg!(loom) { 4 } else { 256 };

/// Largest number of words in a record.
pub const RECORD_WORDS: usize = SLOT_WORDS - 2;

/// Error of a push into a full or closed ring: the record is not in the ring.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Full;

/// Largest number of slots after the last record that are prefaulted (1 MiB). At least half of them are, except in a storm.
const PREFAULTED: u64 = 512;

/// Bit of the tail that marks a closed ring. No ring gets so many records that a ticket reaches it.
const CLOSED: u64 = 1 << 63;

/// A bounded ring of records of up to [`RECORD_WORDS`] words. Push from any thread, take from one: the collector.
pub struct Ring {
    /// Next ticket to push; its lap is `ticket / capacity`. With [`CLOSED`], no thread can take it.
    tail: CacheLine<AtomicU64>,
    /// Next ticket to take. Written by the collector alone.
    head: CacheLine<AtomicU64>,
    sleep: CacheLine<Sleep>,
    /// Set by [`Ring::wake`]: the collector has other work than records. Cleared when it would sleep.
    is_wake_pending: AtomicBool,
    /// The collector's thread; set at its first sleep.
    collector: OnceLock<Thread>,
    /// Number of slots, from the first, that were used or prefaulted. Written by the collector alone.
    prefaulted: AtomicU64,
    capacity: u64,
    slots: SharedWords,
}

/// Memory of the slots: private to the process, or shared memory that survives it: see [`recover`].
pub type SharedWords = Box<dyn Deref<Target = [AtomicU64]> + Send + Sync>;

/// State of the collector's sleep.
struct Sleep {
    /// The collector sleeps or is about to. The thread that clears it wakes the collector.
    is_asleep: AtomicBool,
    /// First ticket whose push wakes the collector.
    wake_at: AtomicU64,
}

/// Aligns a value to a cache line of its own, so that pushing threads and the collector do not share one.
#[repr(align(64))]
struct CacheLine<T>(T);

/// Writes one record into its slot, word by word. A part that does not fit is left out, and the method returns false.
pub struct Writer<'a> {
    /// Words of the slot that are not written yet.
    free: &'a [AtomicU64],
}

impl Writer<'_> {
    /// Appends one word; returns false if it does not fit.
    pub fn word(&mut self, word: u64) -> bool {
        let Some((slot, free)) = self.free.split_first() else { return false };
        slot.store(word, Relaxed);
        self.free = free;
        true
    }

    /// Appends all of these words; returns false, and appends none, if they do not fit.
    pub fn words<const COUNT: usize>(&mut self, words: [u64; COUNT]) -> bool {
        let Some((slots, free)) = self.free.split_at_checked(COUNT) else { return false };
        for (slot, word) in slots.iter().zip(&words) {
            slot.store(*word, Relaxed);
        }
        self.free = free;
        true
    }

    /// Appends bytes, padded with zeros to whole words; returns false, and appends none, if they do not fit.
    pub fn bytes(&mut self, bytes: &[u8]) -> bool {
        let Some((slots, free)) = self.free.split_at_checked(bytes.len().div_ceil(8)) else { return false };
        let chunks = bytes.chunks_exact(8);
        let remainder = chunks.remainder();
        for (slot, chunk) in slots.iter().zip(chunks) {
            // A chunk has 8 bytes, so the conversion never fails.
            slot.store(chunk.try_into().map(u64::from_le_bytes).unwrap_or_default(), Relaxed);
        }
        if let (Some(last), false) = (slots.last(), remainder.is_empty()) {
            let word = match bytes.last_chunk() {
                // The bytes before the remainder are shifted out.
                Some(chunk) => u64::from_le_bytes(*chunk) >> (8 * (8 - remainder.len())),
                None => remainder.iter().rev().fold(0, |word, &byte| word << 8 | u64::from(byte)),
            };
            last.store(word, Relaxed);
        }
        self.free = free;
        true
    }
}

impl Ring {
    /// Creates an empty ring for `capacity` records (at least 1) in private memory.
    pub fn new(capacity: usize) -> Self {
        Ring::shared(Box::new(zeros(words_for(capacity))))
    }

    /// Creates an empty ring in this memory: all zeros, and as long as [`words_for`] says for its capacity.
    pub fn shared(slots: SharedWords) -> Self {
        Ring {
            tail: CacheLine(AtomicU64::new(0)),
            head: CacheLine(AtomicU64::new(0)),
            sleep: CacheLine(Sleep { is_asleep: AtomicBool::new(false), wake_at: AtomicU64::new(0) }),
            is_wake_pending: AtomicBool::new(false),
            collector: OnceLock::new(),
            prefaulted: AtomicU64::new(0),
            capacity: (slots.len() / SLOT_WORDS) as u64,
            slots,
        }
    }

    /// Returns the stamp and the words of the slot of `ticket`, and the value of the stamp when the slot is free for that ticket;
    /// the stamp is one more when the slot holds the ticket's record.
    fn slot(&self, ticket: u64) -> (&AtomicU64, &[AtomicU64], u64) {
        let start = (ticket % self.capacity) as usize * SLOT_WORDS;
        let slot = &self.slots[start..start + SLOT_WORDS];
        (&slot[0], &slot[1..], ticket / self.capacity * 2)
    }

    /// Takes a slot, calls `fill` to write the record, publishes it and wakes the collector if it sleeps.
    ///
    /// Any thread. Never blocks, never allocates. `fill` must not panic: its slot would stay occupied for ever.
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
                        let mut writer = Writer { free: &words[1..] };
                        fill(&mut writer);
                        words[0].store((RECORD_WORDS - writer.free.len()) as u64, Relaxed);
                        stamp.store(free + 1, Release);
                        break;
                    }
                    Err(newer) => ticket = newer,
                }
            } else if seen < free {
                // The slot still holds the record of the lap before. Unless `ticket` is outdated, the ring is full.
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

    /// Refuses further records, and wakes the collector so that it can end. Any thread; never blocks.
    ///
    /// A concurrent push either has a ticket already, so that the ring is not empty, or fails.
    pub fn close(&self) {
        self.tail.0.fetch_or(CLOSED, AcqRel);
        self.wake();
    }

    /// Returns true once the ring is closed. Records in it can still be taken. Any thread.
    pub fn is_closed(&self) -> bool {
        self.tail.0.load(Acquire) & CLOSED != 0
    }

    /// Wakes the collector, or makes its next sleep return at once. Any thread; never blocks.
    pub fn wake(&self) {
        self.is_wake_pending.store(true, Release);
        self.wake_from(u64::MAX);
    }

    /// Wakes the collector if it sleeps until this ticket or an earlier one.
    fn wake_from(&self, ticket: u64) {
        // Pairs with the fence in `sleep_until_pushed`: either this thread sees `is_asleep`, or the collector sees the record.
        fence(SeqCst);
        let Sleep { is_asleep, wake_at } = &self.sleep.0;
        // Acquire: makes the collector's thread and `wake_at` visible together with the flag.
        let is_due = is_asleep.load(Acquire) && ticket >= wake_at.load(Relaxed);
        if is_due && is_asleep.compare_exchange(true, false, Relaxed, Relaxed).is_ok() {
            if let Some(collector) = self.collector.get() {
                collector.unpark();
            }
        }
    }

    /// Copies the record with this index (0: the oldest) into `record`, which is cleared first, and returns its ticket; `None` if
    /// there is no such record. The record stays in the ring, and can be recovered, until [`Ring::release`]. The collector only.
    pub fn peek(&self, index: u64, record: &mut Vec<u64>) -> Option<u64> {
        if index >= self.capacity {
            return None;
        }
        let ticket = self.head.0.load(Relaxed) + index;
        let (stamp, words, free) = self.slot(ticket);
        if stamp.load(Acquire) != free + 1 {
            return None;
        }
        read(words, record);
        Some(ticket)
    }

    /// Frees the slot of the oldest record, which [`Ring::peek`] has returned. The collector only.
    pub fn release(&self) {
        let ticket = self.head.0.load(Relaxed);
        let (stamp, _, free) = self.slot(ticket);
        if stamp.load(Acquire) == free + 1 {
            stamp.store(free + 2, Release);
            self.head.0.store(ticket + 1, Release);
        }
    }

    /// Frees the slots of the `count` oldest records. The collector only.
    pub fn release_many(&self, count: u64) {
        (0..count).for_each(|_| self.release());
    }

    /// Makes the kernel allocate the memory of the next slots, so that HAProxy's threads do not wait for it: the first use of a
    /// page costs some microseconds. `populate` does so for all of the words it gets, or returns false. The collector only,
    /// before it sleeps.
    pub fn prefault(&self, populate: impl FnOnce(&[AtomicU64]) -> bool) {
        let tail = self.tail.0.load(Relaxed) & !CLOSED;
        let (start, end) = (self.prefaulted.load(Relaxed), self.capacity.min(tail + PREFAULTED));
        // Many pages at a time cost little more than one.
        if start >= self.capacity.min(tail + PREFAULTED / 2) {
            return;
        }
        let slots = &self.slots[start as usize * SLOT_WORDS..end as usize * SLOT_WORDS];
        if !populate(slots) {
            for slot in slots.chunks_exact(SLOT_WORDS) {
                // Writes the value that the stamp has: a page that was only read would fault again at the first write. If the
                // stamp is not 0, a push has written the page already.
                let _ = slot[0].compare_exchange(0, 0, Relaxed, Relaxed);
            }
        }
        self.prefaulted.store(end, Relaxed);
    }

    /// Returns the number of records for which the ring has slots.
    pub fn capacity(&self) -> u64 {
        self.capacity
    }

    /// Returns the number of records that are pushed, or being pushed, and not released. Any thread.
    pub fn len(&self) -> u64 {
        let head = self.head.0.load(Acquire);
        (self.tail.0.load(Acquire) & !CLOSED).saturating_sub(head)
    }

    /// Returns true if no record is in the ring. Any thread.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Blocks until the ring has `enough` records (at least 1), [`Ring::wake`] or [`Ring::close`] is called, or `timeout` has
    /// passed; may return earlier. The collector only, which is always the same thread.
    pub fn sleep_until_pushed(&self, enough: u64, timeout: Option<std::time::Duration>) {
        self.collector.get_or_init(current);
        let Sleep { is_asleep, wake_at } = &self.sleep.0;
        wake_at.store(self.head.0.load(Relaxed) + enough - 1, Relaxed);
        is_asleep.store(true, Release);
        fence(SeqCst);
        if self.len() >= enough {
            // A pushing thread may still write its slot: it gets the processor.
            yield_now();
        } else if self.is_wake_pending.compare_exchange(true, false, Acquire, Relaxed).is_err() {
            match timeout {
                Some(timeout) => park_timeout(timeout),
                None => park(),
            }
        }
        is_asleep.store(false, Relaxed);
    }
}

/// Returns the number of words for a ring of `capacity` records (at least 1).
pub fn words_for(capacity: usize) -> usize {
    capacity.max(1) * SLOT_WORDS
}

/// Returns the records in the ring of an ended process that were accepted and not released, oldest first, each with its ticket. A
/// record whose push was not complete was not accepted, and is not returned.
pub fn recover(slots: &[AtomicU64]) -> Vec<(u64, Vec<u64>)> {
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

/// Removes a record from the ring of an ended process, so that [`recover`] does not return it again.
pub fn discard(slots: &[AtomicU64], ticket: u64) {
    let capacity = (slots.len() / SLOT_WORDS) as u64;
    let stamp = (ticket / capacity).wrapping_mul(2).wrapping_add(2);
    slots[(ticket % capacity) as usize * SLOT_WORDS].store(stamp, Release);
}

/// Removes all records before the one with this ticket, like [`discard`].
pub fn discard_before(slots: &[AtomicU64], ticket: u64) {
    recover(slots).iter().filter(|(older, _)| *older < ticket).for_each(|(older, _)| discard(slots, *older));
}

/// Copies a record out of its slot's words, which begin with its length.
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

/// Blocks without a timeout, since the model has no time: so a lost wake-up is a deadlock that loom reports.
#[cfg(loom)]
fn park_timeout(_: std::time::Duration) {
    park();
}

#[cfg(all(test, not(loom)))]
mod tests;
