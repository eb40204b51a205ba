// SPDX-License-Identifier: MIT OR Apache-2.0
//! A clock that does not jump.

use std::time::Duration;

/// Returns the time since the machine was started, suspension included (`CLOCK_BOOTTIME`). Lengths are differences of this time: the wall
/// clock jumps when it is set, and `CLOCK_MONOTONIC` stands still during suspension. Any thread; no system call on most machines.
pub fn boot_time() -> Duration {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: `time` is a timespec that lives during the call, which fills it in. It cannot fail: the clock exists since Linux 2.6.39.
    unsafe { libc::clock_gettime(libc::CLOCK_BOOTTIME, &raw mut time) };
    Duration::new(time.tv_sec.unsigned_abs(), time.tv_nsec.unsigned_abs() as u32)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn boot_time_grows_and_is_that_of_the_kernel() {
        let first = boot_time();
        let text = std::fs::read_to_string("/proc/uptime").expect("the kernel's uptime");
        let uptime: f64 = text.split(' ').next().and_then(|word| word.parse().ok()).expect("a number");
        let last = boot_time();
        assert!(first <= last, "{first:?} {last:?}");
        let tolerance = 1.0;
        assert!((first.as_secs_f64() - uptime).abs() < tolerance, "{first:?} {uptime}");
    }
}
