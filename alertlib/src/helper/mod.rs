// SPDX-License-Identifier: MIT OR Apache-2.0
//! The helper process: runs `sendmail` and `mailx`, and resolves names, for a worker that cannot.
//!
//! HAProxy's worker runs in a chroot, without privileges, and may not start processes; the resolver's files are not in the chroot.
//! So the library starts the helper process before the chroot ([`client::Helper`]): HAProxy's own program once more, in which the
//! add-on calls [`run`] first of all. The helper process is a child of init, not of HAProxy, runs as the worker's user, and reads
//! requests from a socket; only the worker has the other end. When the worker ends, however that happens, that end is closed and
//! the helper process ends.

pub mod client;
pub mod frame;
mod program;
mod resolver;

use crate::sys::process::restore_sigchld;
use crate::sys::{User, error_text};
use frame::{Frame, Request, read_frame, write_frame};
use nix::sys::prctl;
use nix::sys::signal::SigSet;
use nix::unistd::{Gid, Uid, close, daemon, getgid, getuid, setgid, setgroups, setuid};
use std::io::{self, ErrorKind, Write};
use std::os::fd::{AsFd, RawFd};
use std::os::unix::net::UnixStream;

/// Environment of the helper process and of its commands; `TZ` is added if HAProxy has it.
pub const ENVIRONMENT: [(&str, &str); 3] =
    [("PATH", "/usr/sbin:/usr/bin:/sbin:/bin"), ("LC_ALL", "C.UTF-8"), ("HOME", "/")];

/// Name in process lists. It does not begin with `haproxy`, so that scripts which signal workers by name do not match it.
const NAME: &std::ffi::CStr = c"email-alert";

/// Runs the helper process: standard input is the socket. Returns the exit status: 0 after the worker has closed its end.
pub fn run() -> i32 {
    let Some(socket) = take_stdin_socket() else {
        // Not `eprintln!()`: that panics without a standard error.
        let _ = writeln!(
            io::stderr(),
            "this process is for email_alert's own use: HAProxy starts it when it needs it"
        );
        return 1;
    };
    match prepare(&socket) {
        // The reason is not reported: the worker sees that the socket is closed.
        Ok(()) => i32::from(serve(&socket).is_err()),
        Err(why) => {
            let _ = write_frame(&socket, why.as_bytes(), None);
            1
        }
    }
}

/// Returns the socket on standard input, and closes every inherited descriptor above 2.
fn take_stdin_socket() -> Option<UnixStream> {
    close_inherited().ok()?;
    let socket = UnixStream::from(io::stdin().as_fd().try_clone_to_owned().ok()?);
    socket.peer_addr().is_ok().then_some(socket)
}

/// Closes every descriptor above 2. Not all of HAProxy's are close-on-exec: a listening socket kept here would outlive HAProxy.
fn close_inherited() -> io::Result<()> {
    let numbers = std::fs::read_dir("/proc/self/fd")?
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse::<RawFd>().ok())
        .filter(|number| *number > 2)
        .collect::<Vec<RawFd>>();
    for number in numbers {
        // The descriptor of the directory listing is closed already; close() leaves none open when it fails otherwise.
        let _ = close(number);
    }
    Ok(())
}

/// Changes to the worker's user, becomes a daemon, and reports that the helper process is ready.
fn prepare(socket: &UnixStream) -> Result<(), String> {
    let user = read_frame(socket, None).ok().flatten().and_then(|frame| User::decode(&frame));
    become_user(user.ok_or("the library did not say which user to become")?)?;
    // The helper process ends only with the socket, not by a signal; the standard library unblocks signals for commands. A write to
    // a command that has closed its input returns an error instead of raising SIGPIPE.
    SigSet::all().thread_block().map_err(|error| format!("cannot block signals: {}", error.desc()))?;
    restore_sigchld();
    daemon(false, true).map_err(|error| format!("cannot become a daemon: {}", error.desc()))?;
    // A failure affects process lists only.
    let _ = prctl::set_name(NAME);
    write_frame(socket, b"", None).map_err(|error| error_text(&error))
}

/// Changes user, group and supplementary groups irrevocably (0 keeps an id). Called after the program is loaded: the library may be
/// in a directory that only root can search.
fn become_user(user: User) -> Result<(), String> {
    let choose = |wanted: u32, present: u32| if wanted == 0 { present } else { wanted };
    let uid = Uid::from_raw(choose(user.uid, getuid().as_raw()));
    let gid = Gid::from_raw(choose(user.gid, getgid().as_raw()));
    if (uid, gid) == (getuid(), getgid()) {
        return Ok(());
    }
    setgroups(&[])
        .and_then(|()| setgid(gid))
        .and_then(|()| setuid(uid))
        .map_err(|error| format!("cannot become user id {uid}, group id {gid}: {}", error.desc()))
}

/// Handles requests one after the other, until the worker closes its end. A command that runs then is not killed before its
/// deadline.
///
/// # Errors
///
/// A frame is not a request, or the socket failed. No command is run for such a frame.
pub fn serve(socket: &UnixStream) -> io::Result<()> {
    let resolver = resolver::Resolver::default();
    while let Some(frame) = read_frame(socket, None)? {
        let request = Request::decode(&frame).ok_or(ErrorKind::InvalidData)?;
        drop(frame);
        let result = match request {
            Request::Exec(command) => program::run(&command).encode(),
            Request::Resolve { host, deadline } => resolver.resolve(host, deadline).encode(),
        };
        match write_frame(socket, &result, None) {
            Err(error) if error.kind() == ErrorKind::BrokenPipe => return Ok(()),
            written => written?,
        }
    }
    Ok(())
}
