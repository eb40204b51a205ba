// SPDX-License-Identifier: MIT OR Apache-2.0
//! Model of the library's ring: with loom's atomics instead of the processor's, each test runs in every order of the threads'
//! steps that the memory model allows, with up to `PREEMPTIONS` involuntary switches.
//!
//! The tests fail (all of these changes were tried) without either fence, with either stamp stored relaxed, with a collector that
//! sleeps without a check for a closed ring or waits for one record too many, and with a push that checks for a closed ring only
//! before it takes its ticket.

#[path = "../../../alertlib/src/ring.rs"]
pub mod ring;

#[cfg(test)]
mod tests {
    use crate::ring::Ring;
    use loom::sync::Arc;
    use loom::sync::atomic::{AtomicUsize, Ordering::{Relaxed, SeqCst}};

    const PREEMPTIONS: usize = 2;

    /// Runs pushing threads, of which the first to finish closes the ring while the others still push, and a collector. In every
    /// order, accepted records come out once and whole, and the collector ends. (If it slept for ever, loom would report a
    /// deadlock.)
    fn check_every_order(pushers: usize, pushes: u64, capacity: usize) {
        let mut model = loom::model::Builder::new();
        model.preemption_bound = Some(PREEMPTIONS);
        model.check(move || {
            let ring = Arc::new(Ring::new(capacity));
            let (count, pushing) = (pushers, Arc::new(AtomicUsize::new(pushers)));
            let pushers: Vec<_> = (0..pushers as u64)
                .map(|pusher| {
                    let (ring, pushing) = (ring.clone(), pushing.clone());
                    loom::thread::spawn(move || {
                        let name = |n| pusher * 100 + n;
                        let push = |n| ring.push(|writer| assert!(writer.words([name(n), !name(n)]))).is_ok();
                        let accepted: Vec<u64> = (0..pushes).filter(|n| push(*n)).map(name).collect();
                        // The first thread that has finished.
                        if pushing.fetch_sub(1, SeqCst) == count {
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
    fn one_pusher_loses_no_record() {
        check_every_order(1, 2, 2);
    }

    #[test]
    fn one_pusher_loses_no_record_in_a_full_ring() {
        check_every_order(1, 3, 1);
    }

    #[test]
    fn two_pushers_lose_no_record() {
        check_every_order(2, 1, 2);
    }

    #[test]
    fn two_pushers_lose_no_record_in_a_full_ring() {
        check_every_order(2, 1, 1);
    }

    /// A collector that waits for two records is woken by the second, no matter which threads push them.
    #[test]
    fn the_last_awaited_record_wakes_the_collector() {
        for pushers in [1, 2] {
            let mut model = loom::model::Builder::new();
            model.preemption_bound = Some(PREEMPTIONS);
            model.check(move || {
                let ring = Arc::new(Ring::new(2));
                let pushing: Vec<_> = (0..pushers)
                    .map(|_| {
                        let ring = ring.clone();
                        let push = move || ring.push(|writer| _ = writer.words([1])).expect("a free slot");
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

    /// The collector sees stores made before the wake, also if the wake comes while it falls asleep.
    #[test]
    fn a_wake_is_never_lost() {
        let mut model = loom::model::Builder::new();
        model.preemption_bound = Some(PREEMPTIONS);
        model.check(|| {
            let (ring, work) = (Arc::new(Ring::new(1)), Arc::new(AtomicUsize::new(0)));
            let (waker, stored) = (ring.clone(), work.clone());
            let waking = loom::thread::spawn(move || {
                stored.store(1, Relaxed);
                waker.wake();
            });
            while work.load(Relaxed) == 0 {
                ring.sleep_until_pushed(1, None);
            }
            waking.join().expect("a wake");
        });
    }
}
