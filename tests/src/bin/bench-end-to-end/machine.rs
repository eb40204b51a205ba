// SPDX-License-Identifier: MIT OR Apache-2.0
//! Which HAProxies the figures are of, and what the kernel knows of a process.

use std::{env, fs, process::Command, time::Duration};

use crate::contender::unpatched;

/// Prints what the figures depend on, besides the machine.
pub fn describe() {
    let program = env::var_os("HAPROXY").expect("HAPROXY names the patched HAProxy");
    let version = |program| {
        let output = Command::new(program).arg("-v").output().expect("run haproxy -v").stdout;
        let output = String::from_utf8_lossy(&output).into_owned();
        output.split(' ').nth(2).unwrap_or("of an unknown version").to_owned()
    };
    let (ours, native) = (version(program), version(unpatched().into_os_string()));
    let load = fs::read_to_string("/proc/loadavg").unwrap_or_default();
    println!("HAProxy    {ours} with the patches; {native} without, for the native mailers; one thread each");
    println!("Load       {} at the start of this part", load.split(' ').next().unwrap_or_default());
}

/// Processor time that a process has used, by who works on its threads.
#[derive(Clone, Copy, Default)]
pub struct ProcessorTime {
    /// HAProxy's own threads.
    pub haproxy: Duration,
    /// The library's threads.
    pub library: Duration,
}

impl ProcessorTime {
    /// So far. The same as utime and stime of /proc/<pid>/stat, in nanoseconds instead of hundredths of a second.
    pub fn of(pid: i32) -> Self {
        let mut time = Self::default();
        for thread in fs::read_dir(format!("/proc/{pid}/task")).expect("the threads of HAProxy") {
            let directory = thread.expect("a thread of HAProxy").path();
            let name = fs::read_to_string(directory.join("comm")).expect("the name of a thread");
            let statistics = fs::read_to_string(directory.join("schedstat")).expect("the time of a thread");
            let nanoseconds = statistics.split(' ').next().and_then(|text| text.parse().ok());
            let own = if name.starts_with("email-") { &mut time.library } else { &mut time.haproxy };
            *own += Duration::from_nanos(nanoseconds.expect("the time of a thread"));
        }
        time
    }

    /// All threads.
    pub fn total(self) -> Duration {
        self.haproxy + self.library
    }
}

impl std::ops::Sub for ProcessorTime {
    type Output = Self;

    fn sub(self, earlier: Self) -> Self {
        ProcessorTime { haproxy: self.haproxy - earlier.haproxy, library: self.library - earlier.library }
    }
}

/// A value in KiB of /proc/<pid>/status: `VmRSS` now, `VmHWM` at most so far.
pub fn memory(pid: i32, what: &str) -> i64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).expect("the status of HAProxy");
    let line = status.lines().find_map(|line| line.strip_prefix(what)?.strip_prefix(':'));
    let value = line.and_then(|line| line.trim().strip_suffix(" kB")?.parse().ok());
    value.unwrap_or_else(|| panic!("no {what} in the status of HAProxy"))
}
