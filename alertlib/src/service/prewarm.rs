// SPDX-License-Identifier: MIT OR Apache-2.0
//! What may come soon. HAProxy sees checks fail before a server is down: then a session with the relay is opened, so that the
//! mail finds it open. Most of the time that a mail takes to a relay is spent before it: a look-up, a connection, TLS, a login.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

/// What comes later than this is not waited for in an open session.
pub const LONGEST: Duration = Duration::from_secs(60);

/// The pause after a session that was opened in vain; it doubles with each further one.
const FIRST_PAUSE: Duration = Duration::from_secs(60);
/// The longest such pause.
const LONGEST_PAUSE: Duration = Duration::from_secs(3600);

/// From HAProxy's threads to the dispatcher: a change may come.
pub struct Expectation {
    start: Instant,
    /// In milliseconds from the start: nobody is heard before. So at most one of many that say the same wakes our thread.
    deaf_until: AtomicU64,
    /// The same: the change should have come by then; 0: nothing is expected, or it is known.
    until: AtomicU64,
}

impl Expectation {
    /// Nothing is expected.
    pub fn new() -> Self {
        Expectation { start: Instant::now(), deaf_until: AtomicU64::new(0), until: AtomicU64::new(0) }
    }

    /// A change may come `within` this time. Any thread; never waits. True: the dispatcher does not know, and is to look.
    pub fn expect(&self, within: Duration) -> bool {
        let (now, deaf_until) = (self.now(), self.deaf_until.load(Relaxed));
        if within.is_zero() || within > LONGEST || now < deaf_until {
            return false;
        }
        let until = now.saturating_add(millis(within));
        // Until the dispatcher says more; and if it never does, for that long only.
        if self.deaf_until.compare_exchange(deaf_until, until, Relaxed, Relaxed).is_err() {
            return false;
        }
        self.until.store(until, Relaxed);
        true
    }

    /// When the change should have come that is expected, once. By the dispatcher.
    pub fn take(&self) -> Option<Instant> {
        let until = Some(self.until.swap(0, Relaxed)).filter(|until| *until > 0)?;
        self.start.checked_add(Duration::from_millis(until))
    }

    /// Nobody is heard for this time from now on. By the dispatcher.
    pub fn rest(&self, time: Duration) {
        self.deaf_until.store(self.now().saturating_add(millis(time)), Relaxed);
    }

    fn now(&self) -> u64 {
        millis(self.start.elapsed())
    }
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

/// The pause after so many sessions that were opened in vain, one after the other: checks that fail now and then are no reason to
/// bother a relay again and again.
pub fn pause(in_vain: u32) -> Duration {
    match in_vain.checked_sub(1) {
        None => Duration::ZERO,
        Some(more) => FIRST_PAUSE.saturating_mul(1 << more.min(16)).min(LONGEST_PAUSE),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SOON: Duration = Duration::from_secs(30);

    #[test]
    fn of_many_that_expect_something_one_is_heard() {
        let expectation = Expectation::new();
        assert_eq!(expectation.take(), None);
        let heard = std::thread::scope(|scope| {
            let threads =
                [(); 4].map(|()| scope.spawn(|| (0..1000).filter(|_| expectation.expect(SOON)).count()));
            threads.into_iter().map(|thread| thread.join().expect("a number")).sum::<usize>()
        });
        assert_eq!(heard, 1);
        let until = expectation.take().expect("it was said");
        assert!(until > Instant::now() && until <= Instant::now() + SOON);
        assert_eq!(expectation.take(), None);
    }

    #[test]
    fn who_rests_is_deaf_and_what_comes_too_late_is_no_news() {
        let expectation = Expectation::new();
        assert!(!expectation.expect(Duration::ZERO));
        assert!(!expectation.expect(LONGEST + Duration::from_millis(1)));
        expectation.rest(SOON);
        assert!(!expectation.expect(SOON));
        assert_eq!(expectation.take(), None);
        expectation.rest(Duration::ZERO);
        assert!(expectation.expect(SOON));
    }

    #[test]
    fn pauses_double_up_to_an_hour() {
        let minutes = [0, 1, 2, 3, 4, 7, 8, u32::MAX].map(|in_vain| pause(in_vain).as_secs() / 60);
        assert_eq!(minutes, [0, 1, 2, 4, 8, 60, 60, 60]);
    }
}
