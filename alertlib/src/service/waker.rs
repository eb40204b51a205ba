// SPDX-License-Identifier: MIT OR Apache-2.0
//! Wakes a sleeping thread from other threads, without a lock.

use std::sync::OnceLock;
use std::thread::{Thread, current, park, park_timeout};
use std::time::Instant;

/// A thread's sleep. No wake-up is lost: one that comes while the thread is busy ends its next sleep at once.
#[derive(Default)]
pub struct Waker {
    thread: OnceLock<Thread>,
}

impl Waker {
    /// Makes the calling thread the one that sleeps. It has to look for work afterwards: earlier wake-ups had no effect.
    pub fn register(&self) {
        self.thread.get_or_init(current);
    }

    /// Ends the present sleep, or the next one. Any thread; never blocks, never allocates, one system call at most.
    pub fn wake(&self) {
        if let Some(thread) = self.thread.get() {
            thread.unpark();
        }
    }

    /// Sleeps until then (`None`: without a bound) or until a wake-up; may return earlier. By the registered thread only.
    pub fn sleep(&self, until: Option<Instant>) {
        match until {
            Some(until) => park_timeout(until.saturating_duration_since(Instant::now())),
            None => park(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;
    use std::time::Duration;

    #[test]
    fn a_wake_up_ends_the_present_or_the_next_sleep() {
        let waker = Arc::new(Waker::default());
        // No thread is registered.
        waker.wake();
        waker.register();
        waker.wake();
        waker.sleep(None);
        let other = waker.clone();
        let thread = std::thread::spawn(move || {
            std::thread::sleep(Duration::from_millis(20));
            other.wake();
        });
        waker.sleep(None);
        thread.join().expect("a wake-up");
        waker.sleep(Some(Instant::now() + Duration::from_millis(1)));
        waker.sleep(Some(Instant::now()));
    }
}
