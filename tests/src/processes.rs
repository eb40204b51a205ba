// SPDX-License-Identifier: MIT OR Apache-2.0
//! What runs, as /proc tells it.

use std::{
    fs,
    os::unix::fs::FileExt,
    path::{Path, PathBuf},
};

use memchr::memmem;
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};

/// A process at the moment of looking.
#[derive(Clone, Debug)]
pub struct Process {
    /// Its number.
    pub pid: i32,
    /// The number of its parent.
    pub parent: i32,
    /// `R`, `S`, `Z` and so on.
    pub state: char,
    /// Arguments separated by spaces.
    pub command_line: String,
    executable: Option<PathBuf>,
}

impl Process {
    fn read(pid: i32) -> Option<Self> {
        let directory = PathBuf::from(format!("/proc/{pid}"));
        let stat = fs::read_to_string(directory.join("stat")).ok()?;
        // The name in parentheses may contain anything.
        let mut fields = stat.rsplit_once(") ")?.1.split(' ');
        let state = fields.next()?.chars().next()?;
        let parent = fields.next()?.parse().ok()?;
        let command_line = fs::read(directory.join("cmdline")).ok()?;
        let command_line = String::from_utf8_lossy(&command_line).replace('\0', " ").trim_end().to_owned();
        let executable = fs::read_link(directory.join("exe")).ok();
        Some(Process { pid, parent, state, command_line, executable })
    }

    /// Whether it is there; one that has ended and waits for its parent to notice is not.
    pub fn is_running(pid: i32) -> bool {
        Self::read(pid).is_some_and(|process| process.state != 'Z')
    }
}

/// All processes of the machine.
pub fn all() -> Vec<Process> {
    let entries = fs::read_dir("/proc").expect("/proc").filter_map(Result::ok);
    entries.filter_map(|entry| Process::read(entry.file_name().to_str()?.parse().ok()?)).collect()
}

/// The processes whose program or arguments are in this directory.
pub fn of(directory: &Path) -> Vec<Process> {
    let mut found = all();
    found.retain(|process| {
        let runs_from_it = process.executable.as_ref().is_some_and(|program| program.starts_with(directory));
        process.state != 'Z' && (runs_from_it || process.command_line.contains(&*directory.to_string_lossy()))
    });
    found
}

/// The children of a process, those included that it has not noticed to have ended.
pub fn children_of(pid: i32) -> Vec<Process> {
    all().into_iter().filter(|process| process.parent == pid).collect()
}

/// Who runs this test.
pub fn own_uid() -> u32 {
    nix::unistd::getuid().as_raw()
}

/// The names of a process's threads.
pub fn threads_of(pid: i32) -> Vec<String> {
    let Ok(entries) = fs::read_dir(format!("/proc/{pid}/task")) else { return Vec::new() };
    let entries = entries.filter_map(Result::ok);
    let name = |entry: fs::DirEntry| fs::read_to_string(entry.path().join("comm")).ok();
    entries.filter_map(name).map(|name| name.trim_end().to_owned()).collect()
}

/// Whether a process has a handler for this signal and receives it now.
pub fn handles(pid: i32, signal: Signal) -> bool {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let has_bit = |name: &str| {
        let mask = status.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(":\t"));
        mask.and_then(|mask| u64::from_str_radix(mask, 16).ok())
            .is_some_and(|mask| mask >> (signal as i32 - 1) & 1 == 1)
    };
    has_bit("SigCgt") && !has_bit("SigBlk")
}

/// Whether a process was executed with this in its environment.
pub fn has_in_environment(pid: i32, assignment: &str) -> bool {
    let environment = fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
    environment.split(|byte| *byte == 0).any(|own| own == assignment.as_bytes())
}

/// What a process's descriptors refer to, numbers of sockets and pipes left out.
pub fn descriptors_of(pid: i32) -> Vec<String> {
    let entries = fs::read_dir(format!("/proc/{pid}/fd")).expect("descriptors").filter_map(Result::ok);
    let target = |entry: fs::DirEntry| fs::read_link(entry.path()).ok();
    let kind = |path: PathBuf| match path.to_string_lossy().split_once(":[") {
        Some((kind @ ("socket" | "pipe"), _)) => kind.to_owned(),
        _ => path.to_string_lossy().into_owned(),
    };
    let mut kinds: Vec<String> = entries.filter_map(target).map(kind).collect();
    kinds.sort();
    kinds
}

/// Ends every process of this directory, new ones included that appear meanwhile.
pub fn end_all_of(directory: &Path) {
    for _ in 0..100 {
        let running = of(directory);
        if running.is_empty() {
            return;
        }
        for process in running {
            let _ = kill(Pid::from_raw(process.pid), Signal::SIGKILL);
        }
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
}

const PAGE: [u8; 4096] = [0; 4096];

/// A part of a process's memory.
pub struct Memory {
    /// Its line in `/proc/<pid>/smaps`.
    pub name: String,
    /// The process has asked that no core dump has it (`MADV_DONTDUMP`).
    pub is_left_out: bool,
    bytes: Vec<u8>,
}

impl Memory {
    /// How often this is there.
    pub fn count(&self, needle: &[u8]) -> usize {
        memmem::find_iter(&self.bytes, needle).count()
    }
}

/// All that the process can read of its memory: where it is not left out, a core dump may have it.
pub fn memory_of(pid: i32) -> Vec<Memory> {
    let maps = fs::read_to_string(format!("/proc/{pid}/smaps")).expect("a process");
    let memory = fs::File::open(format!("/proc/{pid}/mem")).expect("its memory");
    let (mut parts, mut name) = (Vec::new(), "");
    for line in maps.lines() {
        let Some(flags) = line.strip_prefix("VmFlags:") else {
            let is_head = line.split(' ').next().is_some_and(|word| word.contains('-'));
            name = if is_head { line } else { name };
            continue;
        };
        let (start, rest) = name.split_once('-').expect("a mapping");
        let end = rest.split(' ').next().unwrap_or_default();
        let [start, end] = [start, end].map(|hex| u64::from_str_radix(hex, 16).expect("an address"));
        let mut bytes = vec![0; (end - start) as usize];
        // The kernel's own pages, and those without access, cannot be read.
        if memory.read_exact_at(&mut bytes, start).is_ok() {
            let is_left_out = flags.split(' ').any(|flag| flag == "dd");
            // Most of it was never touched.
            let pages: Vec<&[u8]> = bytes.chunks(PAGE.len()).collect();
            let touched = pages.split(|page| *page == PAGE).filter(|pages| !pages.is_empty());
            parts.extend(touched.map(|pages| Memory {
                name: name.to_owned(),
                is_left_out,
                bytes: pages.concat(),
            }));
        }
    }
    parts
}
