// SPDX-License-Identifier: MIT OR Apache-2.0
//! Runs one command, within its deadline.
//!
//! Whatever the command does with its input, its output and its children, [`run`] comes back: soon after the command's
//! end, or soon after its deadline.

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

/// How much of a command's output is kept, in bytes: enough for the reason of a failure.
const KEPT: usize = 1024;
/// How long the output is read on when the command has ended and one of its children holds the pipe.
const GRACE: Duration = Duration::from_millis(100);
/// How long a killed process may take to end before it is left to itself.
const KILL_GRACE: Duration = Duration::from_secs(2);

/// Runs the command to its end or to its deadline.
pub fn run(request: &ExecRequest) -> ExecResult {
    match Running::start(request) {
        Ok(running) => running.finish(&request.input, Instant::now() + request.deadline),
        Err(error) => ExecResult { outcome: ExecStatus::NotStarted(error_text(&error)), output: Vec::new() },
    }
}

/// A command that was started and is not reaped.
struct Running {
    child: Child,
    /// `None`: it got everything, or does not want more.
    input: Option<ChildStdin>,
    /// `None`: nobody can write to it any more.
    output: Option<File>,
    /// At its end when the command has ended; `None`: that was seen.
    exit: Option<OwnedFd>,
    watcher: JoinHandle<()>,
    kept: Vec<u8>,
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
        let prepared = match &input {
            Some(pipe) => never_wait_for(pipe).and_then(|()| watch(&child)),
            None => watch(&child),
        };
        match prepared {
            Ok((exit, watcher)) => {
                let (output, exit) = (Some(File::from(output)), Some(exit));
                Ok(Running { child, input, output, exit, watcher, kept: Vec::new() })
            }
            Err(error) => {
                // It has read nothing yet, and must not take the end of its input for that of a mail.
                kill(&mut child);
                reap(&mut child);
                Err(error)
            }
        }
    }

    fn finish(mut self, mut input: &[u8], deadline: Instant) -> ExecResult {
        let mut until = deadline;
        while !self.is_over() && Instant::now() < until {
            let [can_feed, can_read, has_exited] = self.wait(until);
            if has_exited {
                self.exit = None;
                self.input = None;
                until = until.min(Instant::now() + GRACE);
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
        ExecResult { outcome: reap(&mut self.child), output: self.kept }
    }

    /// The command has ended, and all that it wrote is read.
    fn is_over(&self) -> bool {
        self.exit.is_none() && self.output.is_none()
    }

    /// Waits for a pipe, at most until then, and says which are ready: input, output, exit.
    fn wait(&self, until: Instant) -> [bool; 3] {
        let input = self.input.as_ref().map(|pipe| PollFd::new(pipe.as_fd(), PollFlags::POLLOUT));
        ready([input, readable(&self.output), readable(&self.exit)], until)
    }

    /// Writes what the pipe takes. That nobody reads it is no failure: the exit status counts.
    fn feed(&mut self, rest: &mut &[u8]) {
        let Some(pipe) = &mut self.input else { return };
        match pipe.write(rest) {
            Ok(count) => *rest = rest.get(count..).unwrap_or_default(),
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) => return,
            Err(_) => *rest = &[],
        }
        if rest.is_empty() {
            self.input = None;
        }
    }

    /// Reads what is there, and keeps the beginning: a command that floods its output must not wait for us.
    fn read(&mut self) {
        let Some(pipe) = &mut self.output else { return };
        let mut buffer = [0; 16 << 10];
        match pipe.read(&mut buffer) {
            Ok(count @ 1..) => self.kept.extend(buffer.iter().take(count.min(KEPT - self.kept.len()))),
            Err(error) if error.kind() == ErrorKind::Interrupted => (),
            Ok(0) | Err(_) => self.output = None,
        }
    }

    /// The deadline: kills the command with its children, and reaps it.
    fn stop(mut self) -> ExecResult {
        kill(&mut self.child);
        let until = Instant::now() + KILL_GRACE;
        // The input stays open: its end would make half a mail a whole one, should the command live on.
        while !ready([readable(&self.exit)], until)[0] {
            if Instant::now() >= until {
                return self.abandon();
            }
        }
        let outcome = match reap(&mut self.child) {
            ExecStatus::Signal(_) => ExecStatus::Deadline,
            // It was quicker, and the mail may be delivered.
            ended => ended,
        };
        ExecResult { outcome, output: self.kept }
    }

    /// It hangs in the kernel (a dead file server), or is not ours to kill (it became another user): whenever it ends, it
    /// is reaped. Without that thread it stays a zombie until the helper ends: no reason to fail.
    fn abandon(self) -> ExecResult {
        let Running { mut child, input, watcher, .. } = self;
        let _ = Builder::new().spawn(move || {
            let _ = watcher.join();
            drop(input);
            reap(&mut child)
        });
        ExecResult {
            outcome: ExecStatus::Deadline,
            output: b"it does not end although it was killed".to_vec(),
        }
    }
}

/// The read end of a pipe that is at its end when `child` has ended; nothing is reaped, so that its number stays its own.
fn watch(child: &Child) -> io::Result<(OwnedFd, JoinHandle<()>)> {
    let child = pid(child);
    let (exit, exit_end) = pipe2(OFlag::O_CLOEXEC)?;
    let watcher = Builder::new().name("watcher".to_owned()).spawn(move || {
        while waitid(Id::Pid(child), WaitPidFlag::WEXITED | WaitPidFlag::WNOWAIT) == Err(Errno::EINTR) {}
        drop(exit_end);
    })?;
    Ok((exit, watcher))
}

/// Makes writing to `pipe` fail rather than wait.
fn never_wait_for(pipe: &ChildStdin) -> io::Result<()> {
    fcntl(pipe, FcntlArg::F_SETFL(OFlag::O_NONBLOCK))?;
    Ok(())
}

/// Kills the command and what it started, but for those that left its process group.
fn kill(child: &mut Child) {
    // Either may fail because nobody is left, or because they are another user's: the caller sees whether it ends.
    let _ = killpg(pid(child), Signal::SIGKILL);
    let _ = child.kill();
}

/// How a command ended that has ended.
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

/// Waits for one of the pipes, at most until then, and says which are ready. An interruption shows none.
fn ready<const N: usize>(pipes: [Option<PollFd>; N], until: Instant) -> [bool; N] {
    let mut open: Vec<PollFd> = pipes.iter().flatten().cloned().collect();
    // Rounded up: what is left of the last millisecond is waited for, not spun through.
    let left = until.saturating_duration_since(Instant::now()) + Duration::from_millis(1);
    if poll(&mut open, PollTimeout::try_from(left).unwrap_or(PollTimeout::MAX)).is_err() {
        return [false; N];
    }
    let mut open = open.into_iter();
    pipes.map(|pipe| pipe.and_then(|_| open.next()).and_then(|pipe| pipe.any()).unwrap_or(false))
}
