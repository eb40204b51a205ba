// SPDX-License-Identifier: MIT OR Apache-2.0
//! Runs one command within its deadline.
//!
//! [`run`] returns soon after the command's end or soon after its deadline, no matter how the command treats its input, its output
//! and its children.

use super::ENVIRONMENT;
use super::frame::{ExecRequest, ExecResult, ExecStatus};
use crate::sys::error_text;
use nix::errno::Errno;
use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::{Signal, killpg};
use nix::sys::wait::{Id, WaitPidFlag, waitid};
use nix::unistd::{Pid, pipe2};
use std::fs::File;
use std::io::{self, ErrorKind, Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::thread::{Builder, JoinHandle};
use std::time::{Duration, Instant};

/// Limit of the kept output, in bytes: enough for the reason of a failure.
const MAX_OUTPUT: usize = 1024;
/// Time for which the output is still read when the command has ended and one of its children holds the pipe open.
const OUTPUT_GRACE: Duration = Duration::from_millis(100);
/// Time for which a killed process is waited for.
const KILL_GRACE: Duration = Duration::from_secs(2);

/// Runs the command to its end or to its deadline.
pub fn run(request: &ExecRequest) -> ExecResult {
    let (status, output) = match Running::start(request) {
        Ok(running) => running.finish(request.input.as_bytes(), Instant::now() + request.deadline),
        Err(error) => (ExecStatus::NotStarted(error_text(&error)), Vec::new()),
    };
    ExecResult { status, output: String::from_utf8_lossy(&output).into_owned() }
}

/// A command that was started and is not reaped yet.
struct Running {
    child: Child,
    /// `None`: the whole input is written, or the command has closed it.
    input: Option<ChildStdin>,
    /// Read end of standard output and standard error; `None`: no process has the write end any more.
    output_pipe: Option<File>,
    /// Pipe that is closed when the command ends; `None`: it has ended.
    exit: Option<OwnedFd>,
    watcher: JoinHandle<()>,
    /// Beginning of the output, up to [`MAX_OUTPUT`] bytes.
    output: Vec<u8>,
}

impl Running {
    fn start(request: &ExecRequest) -> io::Result<Running> {
        let (output, output_end) = pipe2(OFlag::O_CLOEXEC)?;
        let error_end = output_end.try_clone()?;
        let mut child = Command::new(&request.program)
            .args(&request.arguments)
            .env_clear()
            .envs(ENVIRONMENT)
            .envs(std::env::var_os("TZ").map(|zone| ("TZ", zone)))
            .process_group(0)
            .stdin(Stdio::piped())
            .stdout(output_end)
            .stderr(error_end)
            .spawn()?;
        let input = child.stdin.take();
        let nonblocking = input.as_ref().map_or(Ok(()), set_nonblocking);
        let (exit, watcher) = nonblocking.and_then(|()| watch(&child)).inspect_err(|_| {
            // The command has read nothing yet, and must not take the end of its input for the end of a mail.
            kill(&mut child);
            reap(&mut child);
        })?;
        let (output_pipe, exit) = (Some(File::from(output)), Some(exit));
        Ok(Running { child, input, output_pipe, exit, watcher, output: Vec::new() })
    }

    /// Returns the command's end and its output.
    fn finish(mut self, mut input: &[u8], deadline: Instant) -> (ExecStatus, Vec<u8>) {
        let mut until = deadline;
        while !self.is_over() && Instant::now() < until {
            let [can_feed, can_read, has_exited] = self.wait(until);
            if has_exited {
                self.exit = None;
                self.input = None;
                until = until.min(Instant::now() + OUTPUT_GRACE);
            }
            if can_feed {
                self.feed(&mut input);
            }
            if can_read {
                self.read();
            }
        }
        if self.exit.is_some() {
            return self.stop();
        }
        (reap(&mut self.child), self.output)
    }

    /// Returns true if the command has ended and its whole output is read.
    fn is_over(&self) -> bool {
        self.exit.is_none() && self.output_pipe.is_none()
    }

    /// Waits for a pipe until `until` at most, and returns which of them are ready: input, output, exit.
    fn wait(&self, until: Instant) -> [bool; 3] {
        let input = self.input.as_ref().map(|pipe| PollFd::new(pipe.as_fd(), PollFlags::POLLOUT));
        ready([input, readable(&self.output_pipe), readable(&self.exit)], until)
    }

    /// Writes as much as the pipe accepts. A command that closes its input is no failure: its exit status decides.
    fn feed(&mut self, unwritten: &mut &[u8]) {
        let Some(pipe) = &mut self.input else { return };
        match pipe.write(unwritten) {
            Ok(count) => *unwritten = unwritten.get(count..).unwrap_or_default(),
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) => return,
            Err(_) => *unwritten = &[],
        }
        if unwritten.is_empty() {
            self.input = None;
        }
    }

    /// Reads the available output and keeps its beginning. The remainder is read, too: a command with much output must not block.
    fn read(&mut self) {
        let Some(pipe) = &mut self.output_pipe else { return };
        let mut buffer = [0; 16 << 10];
        match pipe.read(&mut buffer) {
            Ok(count @ 1..) => {
                self.output.extend(buffer.iter().take(count.min(MAX_OUTPUT - self.output.len())))
            }
            Err(error) if error.kind() == ErrorKind::Interrupted => (),
            Ok(0) | Err(_) => self.output_pipe = None,
        }
    }

    /// Kills the command with its children at the deadline, and reaps it.
    fn stop(mut self) -> (ExecStatus, Vec<u8>) {
        kill(&mut self.child);
        let until = Instant::now() + KILL_GRACE;
        // The input stays open: if the command survives, the end of its input would turn half a mail into a whole one.
        while !ready([readable(&self.exit)], until)[0] {
            if Instant::now() >= until {
                return self.abandon();
            }
        }
        let status = match reap(&mut self.child) {
            ExecStatus::Signal(_) => ExecStatus::Deadline,
            // The command ended before the signal arrived, and the mail may be delivered.
            status => status,
        };
        (status, self.output)
    }

    /// Leaves a command that does not end: it is blocked in the kernel (a file server does not answer), or may not be killed (it
    /// changed its user). A thread reaps it when it ends. If that thread cannot be started, the command stays a zombie until the
    /// helper process ends, which does no harm.
    fn abandon(self) -> (ExecStatus, Vec<u8>) {
        let Running { mut child, input, watcher, .. } = self;
        let _ = Builder::new().spawn(move || {
            let _ = watcher.join();
            drop(input);
            reap(&mut child)
        });
        (ExecStatus::Deadline, b"it does not end although it was killed".to_vec())
    }
}

/// Returns the read end of a pipe that is closed when `child` has ended. The child is not reaped, so that its process id is not
/// reused.
fn watch(child: &Child) -> io::Result<(OwnedFd, JoinHandle<()>)> {
    let child = pid(child);
    let (exit, exit_end) = pipe2(OFlag::O_CLOEXEC)?;
    let watcher = Builder::new().name("watcher".to_owned()).spawn(move || {
        while waitid(Id::Pid(child), WaitPidFlag::WEXITED | WaitPidFlag::WNOWAIT) == Err(Errno::EINTR) {}
        drop(exit_end);
    })?;
    Ok((exit, watcher))
}

/// Makes writes to `pipe` fail instead of block.
fn set_nonblocking(pipe: &ChildStdin) -> io::Result<()> {
    fcntl(pipe, FcntlArg::F_SETFL(OFlag::O_NONBLOCK))?;
    Ok(())
}

/// Kills the command and its children, except for children that have left its process group.
fn kill(child: &mut Child) {
    // Both may fail because no process is left, or because another user owns it: the caller checks that the command ends.
    let _ = killpg(pid(child), Signal::SIGKILL);
    let _ = child.kill();
}

/// Reaps a command that has ended.
fn reap(child: &mut Child) -> ExecStatus {
    match child.wait() {
        Ok(status) => match status.code() {
            Some(code) => ExecStatus::Exit(code),
            None => ExecStatus::Signal(status.signal().unwrap_or_default()),
        },
        Err(error) => ExecStatus::NotStarted(format!("cannot be waited for: {}", error_text(&error))),
    }
}

fn pid(child: &Child) -> Pid {
    Pid::from_raw(child.id() as i32)
}

fn readable<F: AsFd>(pipe: &Option<F>) -> Option<PollFd<'_>> {
    pipe.as_ref().map(|pipe| PollFd::new(pipe.as_fd(), PollFlags::POLLIN))
}

/// Waits for one of the pipes until `until` at most, and returns which of them are ready; after an interruption by a signal, none.
fn ready<const N: usize>(pipes: [Option<PollFd>; N], until: Instant) -> [bool; N] {
    let mut open: Vec<PollFd> = pipes.iter().flatten().cloned().collect();
    // Rounded up to a whole millisecond, so that the last fraction is slept and not spun through.
    let timeout = until.saturating_duration_since(Instant::now()) + Duration::from_millis(1);
    if poll(&mut open, PollTimeout::try_from(timeout).unwrap_or(PollTimeout::MAX)).is_err() {
        return [false; N];
    }
    let mut open = open.into_iter();
    pipes.map(|pipe| pipe.and_then(|_| open.next()).and_then(|pipe| pipe.any()).unwrap_or(false))
}
