// SPDX-License-Identifier: MIT OR Apache-2.0
//! The library's ring with loom's atomics in the place of the processor's: each test runs in every order of the
//! threads' steps that the memory model allows, with up to `PREEMPTIONS` switches that no thread asked for.
//!
//! It fails (all of this was tried) without either fence, with either stamp stored relaxed, with a sleeper that does
//! not look whether the ring was closed or that waits for one more than it should, and with a pusher that looks only before it takes its ticket whether it was.

#[path = "../../../alertlib/src/ring.rs"]
pub mod ring;

#[cfg(test)]
mod tests {
    use crate::ring::Ring;
    use loom::sync::Arc;
    use loom::sync::atomic::{AtomicUsize, Ordering::{Relaxed, SeqCst}};

    const PREEMPTIONS: usize = 2;

    /// What the collector and the pushers of the library do, and one who closes the ring while others still push:
    /// whatever the order, what was accepted comes out once, whole, and the collector ends. (If it slept for ever, loom would say "deadlock".)
    fn in_every_order(pushers: usize, pushes: u64, capacity: usize) {
        let mut model = loom::model::Builder::new();
        model.preemption_bound = Some(PREEMPTIONS);
        model.check(move || {
            let ring = Arc::new(Ring::new(capacity));
            let (many, pushing) = (pushers, Arc::new(AtomicUsize::new(pushers)));
            let pushers: Vec<_> = (0..pushers as u64)
                .map(|pusher| {
                    let (ring, pushing) = (ring.clone(), pushing.clone());
                    loom::thread::spawn(move || {
                        let name = |n| pusher * 100 + n;
                        let push = |n| ring.push(|writer| assert!(writer.words([name(n), !name(n)]))).is_ok();
                        let accepted: Vec<u64> = (0..pushes).filter(|n| push(*n)).map(name).collect();
                        // The first one that is through.
                        if pushing.fetch_sub(1, SeqCst) == many {
                            ring.close();
                        }
                        accepted
                    })
                })
                .collect();

            let (mut record, mut seen) = (Vec::new(), Vec::new());
            loop {
                let closed = ring.is_closed();
                while ring.peek(0, &mut record).is_some() {
                    ring.release();
                    assert_eq!(record[..], [record[0], !record[0]], "torn");
                    seen.push(record[0]);
                }
                if closed && ring.is_empty() {
                    break;
                }
                ring.sleep_until_pushed(1, None);
            }
            let mut accepted: Vec<u64> =
                pushers.into_iter().flat_map(|pusher| pusher.join().expect("a pusher")).collect();
            accepted.sort();
            seen.sort();
            assert_eq!(seen, accepted, "lost or doubled");
        });
    }

    #[test]
    fn one_thread_pushes() {
        in_every_order(1, 2, 2);
    }

    #[test]
    fn one_thread_pushes_into_a_full_queue() {
        in_every_order(1, 3, 1);
    }

    #[test]
    fn two_threads_push() {
        in_every_order(2, 1, 2);
    }

    #[test]
    fn two_threads_push_into_a_full_queue() {
        in_every_order(2, 1, 1);
    }

    /// Who waits for two records is woken when they are there, whoever pushed them.
    #[test]
    fn the_last_of_those_that_are_waited_for_wakes() {
        for pushers in [1, 2] {
            let mut model = loom::model::Builder::new();
            model.preemption_bound = Some(PREEMPTIONS);
            model.check(move || {
                let ring = Arc::new(Ring::new(2));
                let pushing: Vec<_> = (0..pushers)
                    .map(|_| {
                        let ring = ring.clone();
                        let push = move || ring.push(|writer| _ = writer.words([1])).expect("room");
                        loom::thread::spawn(move || (0..2 / pushers).for_each(|_| push()))
                    })
                    .collect();
                let (mut record, mut seen) = (Vec::new(), 0);
                while seen < 2 {
                    ring.sleep_until_pushed(2 - seen, None);
                    while ring.peek(0, &mut record).is_some() {
                        ring.release();
                        seen += 1;
                    }
                }
                pushing.into_iter().for_each(|pushing| pushing.join().expect("a pusher"));
            });
        }
    }

    /// Whoever collects sees what was there before the wake, however sleepy it is.
    #[test]
    fn a_nudge_is_not_slept_through() {
        let mut model = loom::model::Builder::new();
        model.preemption_bound = Some(PREEMPTIONS);
        model.check(|| {
            let (ring, news) = (Arc::new(Ring::new(1)), Arc::new(AtomicUsize::new(0)));
            let (nudger, told) = (ring.clone(), news.clone());
            let nudging = loom::thread::spawn(move || {
                told.store(1, Relaxed);
                nudger.wake();
            });
            while news.load(Relaxed) == 0 {
                ring.sleep_until_pushed(1, None);
            }
            nudging.join().expect("a wake");
        });
    }
}
