// SPDX-License-Identifier: MIT OR Apache-2.0
//! Tests of the ring; the orders of its threads' steps are tested in `tests/loom`.

use super::*;
use std::cell::Cell;
use std::sync::Arc;

/// Takes the oldest record.
fn take(ring: &Ring) -> Option<Vec<u64>> {
    let mut record = Vec::new();
    ring.peek(0, &mut record)?;
    ring.release();
    Some(record)
}

#[test]
fn records_come_out_whole_and_in_order_over_many_laps() {
    let ring = Ring::new(3);
    for lap in 0..100u64 {
        for n in 0..3 {
            ring.prefault(|_| false);
            assert!(ring.push(|w| assert!(w.word(lap * 3 + n) && w.word(n))).is_ok());
        }
        assert_eq!(ring.push(|_| unreachable!("the ring is full")), Err(Full));
        assert_eq!(ring.len(), 3);
        for n in 0..3 {
            let record = take(&ring).expect("a record");
            assert_eq!(record[..2], [lap * 3 + n, n]);
        }
        assert!(take(&ring).is_none());
    }
}

#[test]
fn a_ring_of_one_works() {
    let ring = Ring::new(1);
    for n in 0..10 {
        assert!(ring.push(|w| _ = w.word(n)).is_ok());
        assert_eq!(ring.push(|_| ()), Err(Full));
        assert_eq!(take(&ring).expect("a record")[0], n);
    }
}

#[test]
fn bytes_are_padded_and_what_does_not_fit_is_refused() {
    let ring = Ring::new(1);
    ring.push(|w| {
        assert!(w.bytes(b"0123456789") && w.words([1, 2]) && w.bytes(b""));
        while w.word(7) {}
        assert!(!w.bytes(b"beyond the end") && !w.words([8]));
    })
    .expect("a free slot");
    let record = take(&ring).expect("a record");
    assert_eq!(record[0].to_le_bytes(), *b"01234567");
    assert_eq!(record[1].to_le_bytes(), *b"89\0\0\0\0\0\0");
    assert_eq!(record[2..5], [1, 2, 7]);
    assert_eq!(record.len(), RECORD_WORDS);
}

#[test]
fn prefaulting_covers_the_next_512_slots_in_large_steps() {
    let ring = Ring::new(10_000);
    let prefaulted = Cell::new(0);
    let prefault = || {
        ring.prefault(|words| {
            prefaulted.set(prefaulted.get() + words.len() / SLOT_WORDS);
            true
        });
    };
    prefault();
    assert_eq!(prefaulted.get(), 512);
    // No call for fewer than half of the slots.
    (0..256).for_each(|n| assert!(ring.push(|w| _ = w.word(n)).is_ok()));
    prefault();
    assert_eq!(prefaulted.get(), 512);
    (256..1000).for_each(|n| assert!(ring.push(|w| _ = w.word(n)).is_ok()));
    prefault();
    prefault();
    assert_eq!(prefaulted.get(), 1512);
    (1000..9900).for_each(|n| assert!(ring.push(|w| _ = w.word(n)).is_ok()));
    prefault();
    prefault();
    assert_eq!(prefaulted.get(), 10_000);
    ring.close();
    (0..9900).for_each(|n| assert_eq!(take(&ring).expect("a record")[0], n));
}

/// Four threads push a million records while the collector takes: accepted records come out once, in the order of each thread.
#[test]
fn a_million_records_from_four_threads_are_neither_lost_nor_doubled() {
    const THREADS: u64 = 4;
    const EACH: u64 = 250_000;
    let ring = Arc::new(Ring::new(1024));
    let done = Arc::new(AtomicU64::new(0));
    let pushers: Vec<_> = (0..THREADS)
        .map(|thread| {
            let (ring, done) = (ring.clone(), done.clone());
            std::thread::spawn(move || {
                let mut refused = Vec::new();
                for n in 0..EACH {
                    // The checksum shows a torn record.
                    let taken = ring.push(|w| {
                        w.word(thread);
                        w.word(n);
                        w.word(!(thread ^ n));
                    });
                    if taken.is_err() {
                        refused.push(n);
                        std::thread::yield_now();
                    }
                }
                if done.fetch_add(1, SeqCst) + 1 == THREADS {
                    ring.close();
                }
                refused
            })
        })
        .collect();

    let mut seen: Vec<Vec<u64>> = vec![Vec::new(); THREADS as usize];
    let mut record = Vec::new();
    loop {
        let last_round = ring.is_closed();
        while ring.peek(0, &mut record).is_some() {
            ring.release();
            assert_eq!(record[2], !(record[0] ^ record[1]), "torn record");
            seen[record[0] as usize].push(record[1]);
        }
        if last_round {
            break;
        }
        ring.sleep_until_pushed(1, None);
    }
    for (thread, pusher) in pushers.into_iter().enumerate() {
        let refused = pusher.join().expect("pusher");
        assert!(seen[thread].is_sorted(), "out of order");
        let mut all = [refused, std::mem::take(&mut seen[thread])].concat();
        all.sort_unstable();
        assert!(all.iter().copied().eq(0..EACH), "lost or doubled");
    }
    assert!(ring.is_empty());
}

#[test]
fn records_that_are_accepted_and_not_released_are_recovered() {
    let ring = Ring::new(3);
    for n in 0..5 {
        ring.push(|w| _ = w.word(n)).expect("a free slot");
        if n < 3 {
            assert_eq!(take(&ring), Some(vec![n]));
        }
    }
    // `peek()` does not release.
    assert_eq!(ring.peek(0, &mut Vec::new()), Some(3));
    assert_eq!(ring.peek(1, &mut Vec::new()), Some(4));
    assert_eq!(ring.peek(2, &mut Vec::new()), None);
    assert_eq!(ring.peek(3, &mut Vec::new()), None);
    assert_eq!(recover(&ring.slots), [(3, vec![3]), (4, vec![4])]);
    let copy: Vec<_> = ring.slots.iter().map(|word| AtomicU64::new(word.load(Relaxed))).collect();
    discard(&copy, 3);
    assert_eq!(recover(&copy), [(4, vec![4])]);
    ring.release();
    ring.release();
    ring.release();
    assert_eq!(recover(&ring.slots), []);
    assert!(ring.is_empty());
}

#[test]
fn a_push_wakes_the_sleeping_collector() {
    let ring = Arc::new(Ring::new(4));
    let pusher = ring.clone();
    let thread = std::thread::spawn(move || {
        while !pusher.sleep.0.is_asleep.load(SeqCst) {
            std::thread::yield_now();
        }
        pusher.push(|w| _ = w.word(1)).expect("a free slot");
    });
    let start = std::time::Instant::now();
    while ring.is_empty() {
        ring.sleep_until_pushed(1, Some(std::time::Duration::from_secs(20)));
    }
    assert!(start.elapsed() < std::time::Duration::from_secs(10), "woken by the time-out");
    thread.join().expect("pusher");
}

#[test]
fn a_collector_that_waits_for_four_records_is_not_woken_by_three() {
    const LONG: std::time::Duration = std::time::Duration::from_millis(200);
    let ring = Arc::new(Ring::new(8));
    let pusher = ring.clone();
    let push = |ring: &Ring, n| ring.push(|w| _ = w.word(n)).expect("a free slot");
    push(&ring, 0);
    let thread = std::thread::spawn(move || {
        while !pusher.sleep.0.is_asleep.load(SeqCst) {
            std::thread::yield_now();
        }
        (1..3).for_each(|n| push(&pusher, n));
        assert!(pusher.sleep.0.is_asleep.load(SeqCst), "woken by 3 of 4");
        std::thread::sleep(LONG);
        push(&pusher, 3);
    });
    let start = std::time::Instant::now();
    while ring.len() < 4 {
        ring.sleep_until_pushed(4, Some(std::time::Duration::from_secs(20)));
    }
    assert!((LONG..100 * LONG / 2).contains(&start.elapsed()), "{:?}", start.elapsed());
    thread.join().expect("pusher");
}

#[test]
fn a_closed_ring_refuses_records_and_keeps_those_it_has() {
    let ring = Ring::new(3);
    ring.push(|w| _ = w.word(7)).expect("a free slot");
    ring.close();
    assert_eq!(ring.push(|_| unreachable!("the ring is closed")), Err(Full));
    assert_eq!((ring.len(), take(&ring).expect("a record")[0]), (1, 7));
    assert!(ring.is_empty() && ring.is_closed());
}

/// Regression: a soft stop took its whole time limit, because it came while the collector worked, which slept afterwards.
#[test]
fn a_wake_before_the_sleep_makes_the_sleep_return_at_once() {
    let ring = Ring::new(1);
    ring.wake();
    ring.sleep_until_pushed(1, None);
    ring.close();
    ring.sleep_until_pushed(1, None);
}
