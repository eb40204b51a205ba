// SPDX-License-Identifier: MIT OR Apache-2.0
//! Hints that open a session with the relay before there is a mail. HAProxy sees checks fail before a server is down, and most of
//! a mail's latency is spent before the mail itself: name lookup, connection, TLS, login.

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

/// The longest time for which a session is kept open for a change.
const MAX_WAIT: Duration = Duration::from_secs(60);

/// Hints are ignored for this time after a session that was opened in vain; the time doubles with each further one.
const FIRST_BACK_OFF: Duration = Duration::from_secs(60);
/// The longest such back-off.
const LONGEST_BACK_OFF: Duration = Duration::from_secs(3600);

/// A hint from HAProxy's threads to the dispatcher: a state change may come soon, so a session should be open for its mail.
///
/// If no mail follows, the session is closed and further hints are ignored for 1 minute, doubling up to 1 hour: checks that fail
/// now and then must not open session after session. Times are milliseconds after `start`.
pub struct Prewarm {
    start: Instant,
    /// Hints before this time are ignored, so that one of many simultaneous hints wakes the dispatcher.
    ignored_until: AtomicU64,
    /// Time by which the change is expected; 0: there is no hint, or it was taken.
    hint: AtomicU64,
    /// Sessions that were opened since the last mail. Written by the dispatcher alone.
    opened_in_vain: AtomicU32,
}

impl Prewarm {
    /// Creates the state without a hint.
    pub fn new() -> Self {
        Prewarm {
            start: Instant::now(),
            ignored_until: AtomicU64::new(0),
            hint: AtomicU64::new(0),
            opened_in_vain: AtomicU32::new(0),
        }
    }

    /// Adds a hint that a change may come `within` this time; ignored if that is 0 or longer than [`MAX_WAIT`]. Any thread; never
    /// blocks. True: the caller has to wake the dispatcher.
    pub fn hint(&self, within: Duration) -> bool {
        let (now, ignored_until) = (self.now(), self.ignored_until.load(Relaxed));
        if within.is_zero() || within > MAX_WAIT || now < ignored_until {
            return false;
        }
        let until = now.saturating_add(millis(within));
        // If the dispatcher never takes the hint, others are ignored until then.
        if self.ignored_until.compare_exchange(ignored_until, until, Relaxed, Relaxed).is_err() {
            return false;
        }
        self.hint.store(until, Relaxed);
        true
    }

    /// Returns, once for each hint, the time until which a session is to be kept open; `None`: no session is needed. By the dispatcher
    /// only. The session counts as opened in vain until [`Prewarm::session_used`].
    pub fn take_hint(&self) -> Option<Instant> {
        let until = Some(self.hint.swap(0, Relaxed)).filter(|until| *until > self.now())?;
        let opened_in_vain = self.opened_in_vain.load(Relaxed).saturating_add(1);
        self.opened_in_vain.store(opened_in_vain, Relaxed);
        self.ignored_until.store(until.saturating_add(millis(back_off(opened_in_vain))), Relaxed);
        self.start.checked_add(Duration::from_millis(until))
    }

    /// Ends the back-off: a mail was sent. By the dispatcher only.
    pub fn session_used(&self) {
        self.opened_in_vain.store(0, Relaxed);
        self.ignored_until.store(0, Relaxed);
    }

    fn now(&self) -> u64 {
        millis(self.start.elapsed())
    }
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

/// The time for which hints are ignored after so many sessions in a row that were opened in vain.
fn back_off(opened_in_vain: u32) -> Duration {
    match opened_in_vain.checked_sub(1) {
        None => Duration::ZERO,
        Some(more) => FIRST_BACK_OFF.saturating_mul(1 << more.min(16)).min(LONGEST_BACK_OFF),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SOON: Duration = Duration::from_secs(30);

    #[test]
    fn one_of_many_simultaneous_hints_wakes_the_dispatcher() {
        let prewarm = Prewarm::new();
        assert_eq!(prewarm.take_hint(), None);
        let wake_ups = std::thread::scope(|scope| {
            let threads = [(); 4].map(|()| scope.spawn(|| (0..1000).filter(|_| prewarm.hint(SOON)).count()));
            threads.into_iter().map(|thread| thread.join().expect("a number")).sum::<usize>()
        });
        assert_eq!(wake_ups, 1);
        let until = prewarm.take_hint().expect("a hint");
        assert!(until > Instant::now() && until <= Instant::now() + SOON);
        assert_eq!(prewarm.take_hint(), None);
    }

    #[test]
    fn hints_are_ignored_during_back_off_and_if_they_are_out_of_range() {
        let prewarm = Prewarm::new();
        assert!(!prewarm.hint(Duration::ZERO));
        assert!(!prewarm.hint(MAX_WAIT + Duration::from_millis(1)));
        assert!(prewarm.hint(SOON));
        assert!(prewarm.take_hint().is_some());
        assert!(!prewarm.hint(SOON));
        assert_eq!(prewarm.take_hint(), None);
        // One minute longer than the hint's own time, and more after each further session.
        let ignored_for = || prewarm.ignored_until.load(Relaxed) - prewarm.now();
        assert!((89_000..=90_000).contains(&ignored_for()), "{}", ignored_for());
        prewarm.ignored_until.store(0, Relaxed);
        assert!(prewarm.hint(SOON) && prewarm.take_hint().is_some());
        assert!((149_000..=150_000).contains(&ignored_for()), "{}", ignored_for());
        prewarm.session_used();
        assert!(prewarm.hint(SOON) && prewarm.take_hint().is_some());
        assert!((89_000..=90_000).contains(&ignored_for()), "{}", ignored_for());
    }

    #[test]
    fn a_hint_whose_time_is_over_opens_no_session() {
        let prewarm = Prewarm::new();
        assert!(prewarm.hint(Duration::from_millis(1)));
        std::thread::sleep(Duration::from_millis(5));
        assert_eq!(prewarm.take_hint(), None);
        assert!(prewarm.hint(SOON), "there is no back-off without a session");
    }

    #[test]
    fn the_back_off_doubles_up_to_an_hour() {
        let minutes = [0, 1, 2, 3, 4, 7, 8, u32::MAX].map(|in_vain| back_off(in_vain).as_secs() / 60);
        assert_eq!(minutes, [0, 1, 2, 4, 8, 60, 60, 60]);
    }
}
