// SPDX-License-Identifier: MIT OR Apache-2.0
//! Of the queue, without the orders of steps: those are in `tests/loom`.

use super::*;
use std::cell::Cell;
use std::sync::Arc;

fn words(queue: &Queue) -> Option<Vec<u64>> {
    let mut record = Vec::new();
    queue.front(0, &mut record)?;
    queue.release();
    Some(record)
}

#[test]
fn records_come_out_whole_and_in_order_over_many_laps() {
    let queue = Queue::new(3);
    for lap in 0..100u64 {
        for n in 0..3 {
            queue.make_ready(|_| false);
            assert!(queue.push(|w| assert!(w.word(lap * 3 + n) && w.word(n))).is_ok());
        }
        assert_eq!(queue.push(|_| unreachable!("the ring is full")), Err(Full));
        assert_eq!(queue.len(), 3);
        for n in 0..3 {
            let record = words(&queue).expect("a record");
            assert_eq!(record[..2], [lap * 3 + n, n]);
        }
        assert!(words(&queue).is_none());
    }
}

#[test]
fn a_ring_of_one_works() {
    let queue = Queue::new(1);
    for n in 0..10 {
        assert!(queue.push(|w| _ = w.word(n)).is_ok());
        assert_eq!(queue.push(|_| ()), Err(Full));
        assert_eq!(words(&queue).expect("a record")[0], n);
    }
}

#[test]
fn bytes_are_padded_and_what_does_not_fit_is_refused() {
    let queue = Queue::new(1);
    queue
        .push(|w| {
            assert!(w.bytes(b"0123456789") && w.words([1, 2]) && w.bytes(b""));
            while w.word(7) {}
            assert!(!w.bytes(b"beyond the end") && !w.words([8]));
        })
        .expect("room");
    let record = words(&queue).expect("a record");
    assert_eq!(record[0].to_le_bytes(), *b"01234567");
    assert_eq!(record[1].to_le_bytes(), *b"89\0\0\0\0\0\0");
    assert_eq!(record[2..5], [1, 2, 7]);
    assert_eq!(record.len(), RECORD_WORDS);
}

#[test]
fn only_what_is_near_is_made_ready() {
    let queue = Queue::new(10_000);
    let brought = Cell::new(0);
    let make_ready = || {
        queue.make_ready(|words| {
            brought.set(brought.get() + words.len() / SLOT_WORDS);
            true
        });
    };
    make_ready();
    assert_eq!(brought.get(), 512);
    // Not for a few.
    (0..256).for_each(|n| assert!(queue.push(|w| _ = w.word(n)).is_ok()));
    make_ready();
    assert_eq!(brought.get(), 512);
    (256..1000).for_each(|n| assert!(queue.push(|w| _ = w.word(n)).is_ok()));
    make_ready();
    make_ready();
    assert_eq!(brought.get(), 1512);
    (1000..9900).for_each(|n| assert!(queue.push(|w| _ = w.word(n)).is_ok()));
    make_ready();
    make_ready();
    assert_eq!(brought.get(), 10_000);
    queue.close();
    (0..9900).for_each(|n| assert_eq!(words(&queue).expect("a record")[0], n));
}

/// Four threads push a million records while one pops: what was accepted comes out once, in each thread's order.
#[test]
fn a_million_records_from_four_threads_are_neither_lost_nor_doubled() {
    const THREADS: u64 = 4;
    const EACH: u64 = 250_000;
    let queue = Arc::new(Queue::new(1024));
    let done = Arc::new(AtomicU64::new(0));
    let pushers: Vec<_> = (0..THREADS)
        .map(|thread| {
            let (queue, done) = (queue.clone(), done.clone());
            std::thread::spawn(move || {
                let mut refused = Vec::new();
                for n in 0..EACH {
                    // The checksum shows a torn record.
                    let taken = queue.push(|w| {
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
                    queue.close();
                }
                refused
            })
        })
        .collect();

    let me = queue.collect_here().expect("a seat");
    let mut seen: Vec<Vec<u64>> = vec![Vec::new(); THREADS as usize];
    let mut record = Vec::new();
    loop {
        let last_round = queue.is_closed();
        while queue.front(0, &mut record).is_some() {
            queue.release();
            assert_eq!(record[2], !(record[0] ^ record[1]), "torn record");
            seen[record[0] as usize].push(record[1]);
        }
        if last_round {
            break;
        }
        queue.sleep_until_pushed(me, 1, None);
    }
    for (thread, pusher) in pushers.into_iter().enumerate() {
        let refused = pusher.join().expect("pusher");
        assert!(seen[thread].is_sorted(), "out of order");
        let mut all = [refused, std::mem::take(&mut seen[thread])].concat();
        all.sort_unstable();
        assert!(all.iter().copied().eq(0..EACH), "lost or doubled");
    }
    assert!(queue.is_empty());
}

#[test]
fn what_was_accepted_and_not_released_can_be_rescued() {
    let queue = Queue::new(3);
    for n in 0..5 {
        queue.push(|w| _ = w.word(n)).expect("room");
        if n < 3 {
            assert_eq!(words(&queue), Some(vec![n]));
        }
    }
    // Shown, and not released.
    assert_eq!(queue.front(0, &mut Vec::new()), Some(3));
    assert_eq!(queue.front(1, &mut Vec::new()), Some(4));
    assert_eq!(queue.front(2, &mut Vec::new()), None);
    assert_eq!(queue.front(3, &mut Vec::new()), None);
    assert_eq!(rescue(&queue.slots), [(3, vec![3]), (4, vec![4])]);
    let copy: Vec<_> = queue.slots.iter().map(|word| AtomicU64::new(word.load(Relaxed))).collect();
    forget(&copy, 3);
    assert_eq!(rescue(&copy), [(4, vec![4])]);
    queue.release();
    queue.release();
    queue.release();
    assert_eq!(rescue(&queue.slots), []);
    assert!(queue.is_empty());
}

#[test]
fn a_push_wakes_the_sleeping_collector() {
    let queue = Arc::new(Queue::new(4));
    let pusher = queue.clone();
    let me = queue.collect_here().expect("a seat");
    let thread = std::thread::spawn(move || {
        while pusher.asleep.0.who.load(SeqCst) == 0 {
            std::thread::yield_now();
        }
        pusher.push(|w| _ = w.word(1)).expect("room");
    });
    let start = std::time::Instant::now();
    while queue.is_empty() {
        queue.sleep_until_pushed(me, 1, Some(std::time::Duration::from_secs(20)));
    }
    assert!(start.elapsed() < std::time::Duration::from_secs(10), "it was the time-out that woke us");
    thread.join().expect("pusher");
}

#[test]
fn who_would_be_woken_by_a_record_is_awake_before_it_comes() {
    const LONG: Option<std::time::Duration> = Some(std::time::Duration::from_secs(20));
    let queue = Arc::new(Queue::new(8));
    let announcer = queue.clone();
    let me = queue.collect_here().expect("a seat");
    let is_asleep = |queue: &Queue| queue.asleep.0.who.load(SeqCst) == 1;
    let thread = std::thread::spawn(move || {
        let wait = || {
            (0..1_000_000)
                .find(|_| {
                    std::thread::yield_now();
                    is_asleep(&announcer)
                })
                .expect("it sleeps")
        };
        wait();
        announcer.announce();
        wait();
        announcer.announce();
        assert!(is_asleep(&announcer), "one record is not enough for it");
        announcer.nudge();
    });
    assert!(queue.sleep_until_pushed(me, 1, LONG));
    assert!(!queue.sleep_until_pushed(me, 2, LONG));
    thread.join().expect("announcer");
    // Nobody sleeps: it is no news later.
    queue.announce();
    assert!(!queue.sleep_until_pushed(me, 1, Some(std::time::Duration::from_millis(1))));
}

#[test]
fn who_waits_for_more_is_not_woken_for_less() {
    const LONG: std::time::Duration = std::time::Duration::from_millis(200);
    let queue = Arc::new(Queue::new(8));
    let pusher = queue.clone();
    let me = queue.collect_here().expect("a seat");
    let push = |queue: &Queue, n| queue.push(|w| _ = w.word(n)).expect("room");
    push(&queue, 0);
    let thread = std::thread::spawn(move || {
        while pusher.asleep.0.who.load(SeqCst) == 0 {
            std::thread::yield_now();
        }
        (1..3).for_each(|n| push(&pusher, n));
        assert_eq!(pusher.asleep.0.who.load(SeqCst), 1, "it was woken for 3 of 4");
        std::thread::sleep(LONG);
        push(&pusher, 3);
    });
    let start = std::time::Instant::now();
    while queue.len() < 4 {
        queue.sleep_until_pushed(me, 4, Some(std::time::Duration::from_secs(20)));
    }
    assert!((LONG..100 * LONG / 2).contains(&start.elapsed()), "{:?}", start.elapsed());
    thread.join().expect("pusher");
}

#[test]
fn a_closed_queue_gives_what_it_has_and_takes_nothing() {
    let queue = Queue::new(3);
    queue.push(|w| _ = w.word(7)).expect("room");
    queue.close();
    assert_eq!(queue.push(|_| unreachable!("it is closed")), Err(Full));
    assert_eq!((queue.len(), words(&queue).expect("a record")[0]), (1, 7));
    assert!(queue.is_empty() && queue.is_closed());
}

/// A soft stop took its whole bound: the stop came while the collector was at work, and it then slept.
#[test]
fn who_was_nudged_at_work_does_not_sleep_before_it_has_looked() {
    let queue = Queue::new(1);
    let me = queue.collect_here().expect("a seat");
    queue.nudge();
    queue.sleep_until_pushed(me, 1, None);
    queue.close();
    queue.sleep_until_pushed(me, 1, None);
}

#[test]
fn two_threads_take_in_turns_and_no_third() {
    let queue = Queue::new(1);
    assert!(queue.collect_here().is_some() && queue.collect_here().is_some());
    assert!(queue.collect_here().is_none());
}
