// SPDX-License-Identifier: MIT OR Apache-2.0
//! Waiting for something to become true, with a deadline.

use std::{
    thread::sleep,
    time::{Duration, Instant},
};

const BETWEEN_LOOKS: Duration = Duration::from_millis(2);

/// How long a test waits for something that must happen.
pub fn patience() -> Duration {
    let seconds = std::env::var("HAPROXY_TEST_TIMEOUT").ok();
    let seconds = seconds.map(|text| {
        let number = text.trim_end_matches('s').parse::<f64>();
        number.unwrap_or_else(|_| panic!("HAPROXY_TEST_TIMEOUT={text} is not a number of seconds"))
    });
    Duration::from_secs_f64(seconds.unwrap_or(20.0))
}

/// Looks until there is something to see, and returns it; after `patience()` the test has failed.
#[track_caller]
pub fn until<T>(what: &str, look: impl FnMut() -> Option<T>) -> T {
    within(patience(), look).unwrap_or_else(|| panic!("waited {:?} in vain for {what}", patience()))
}

/// Looks until `look` is true; after `patience()` the test has failed.
#[track_caller]
pub fn until_true(what: &str, mut look: impl FnMut() -> bool) {
    until(what, || look().then_some(()));
}

/// Looks for at most `limit`; always at least once.
pub fn within<T>(limit: Duration, mut look: impl FnMut() -> Option<T>) -> Option<T> {
    let deadline = Instant::now() + limit;
    loop {
        if let Some(seen) = look() {
            return Some(seen);
        }
        if Instant::now() >= deadline {
            return None;
        }
        sleep(BETWEEN_LOOKS);
    }
}

/// Looks during the whole `time` and fails as soon as `look` says what went wrong.
#[track_caller]
pub fn throughout(time: Duration, mut look: impl FnMut() -> Option<String>) {
    if let Some(wrong) = within(time, &mut look) {
        panic!("{wrong}");
    }
}
