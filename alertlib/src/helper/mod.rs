// SPDX-License-Identifier: MIT OR Apache-2.0
//! The helper process: runs `sendmail` and `mailx`, and resolves names, for a worker that cannot.
//!
//! HAProxy's worker lives in a chroot, without privileges, and may not start processes; a resolver finds nothing there. So the library starts this one
//! before all that ([`client::Helper`]): HAProxy's own program once more, which the add-on turns into
//! [`run`] at once. It belongs to init, not to HAProxy, has the worker's user, and waits on a socket for commands; the
//! other end is the worker's alone. When that closes, however the worker ends, the helper ends.

pub mod client;
pub mod frame;
mod program;
mod resolver;

use crate::sys::error_text;
use crate::sys::process::restore_sigchld;
use frame::{Credentials, Request, read_frame, write_frame};
use nix::sys::prctl;
use nix::sys::signal::SigSet;
use nix::unistd::{Gid, Uid, close, daemon, getgid, getuid, setgid, setgroups, setuid};
use std::io::{self, ErrorKind, Write};
use std::os::fd::{AsFd, RawFd};
use std::os::unix::net::UnixStream;

/// The environment of the helper and of the commands; `TZ` is added if HAProxy has it.
pub const ENVIRONMENT: [(&str, &str); 3] =
    [("PATH", "/usr/sbin:/usr/bin:/sbin:/bin"), ("LC_ALL", "C.UTF-8"), ("HOME", "/")];

/// The name in process lists. It does not begin with `haproxy`: nobody should signal it by mistake for a worker.
const NAME: &std::ffi::CStr = c"email-alert";

/// The whole program: standard input is the socket. Returns the exit status: 0 after the other end has closed.
pub fn run() -> i32 {
    let Some(socket) = socket_of_stdin() else {
        // Not `eprintln!()`: that panics without a standard error.
        let _ = writeln!(
            io::stderr(),
            "this process is for email_alert's own use: HAProxy starts it when it needs it"
        );
        return 1;
    };
    match prepare(&socket) {
        // Nobody is left to be told why it ends: the worker sees that it has ended.
        Ok(()) => i32::from(serve(&socket).is_err()),
        Err(why) => {
            let _ = write_frame(&socket, why.as_bytes(), None);
            1
        }
    }
}

/// The socket on standard input; every descriptor above 2 that came with it is closed.
fn socket_of_stdin() -> Option<UnixStream> {
    close_inherited().ok()?;
    let socket = UnixStream::from(io::stdin().as_fd().try_clone_to_owned().ok()?);
    socket.peer_addr().is_ok().then_some(socket)
}

/// HAProxy's descriptors are not all close-on-exec: a listening socket kept here would outlive HAProxy.
fn close_inherited() -> io::Result<()> {
    let numbers = std::fs::read_dir("/proc/self/fd")?
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse::<RawFd>().ok())
        .filter(|number| *number > 2)
        .collect::<Vec<RawFd>>();
    for number in numbers {
        // The directory's own is closed already; no other failure leaves one open.
        let _ = close(number);
    }
    Ok(())
}

/// Becomes the unprivileged orphan that serves, and says so.
fn prepare(socket: &UnixStream) -> Result<(), String> {
    let identity = read_frame(socket, None).ok().flatten().and_then(|frame| Credentials::decode(&frame));
    become_user(identity.ok_or("the library did not say which user to become")?)?;
    // Only the socket's end ends it, and no signal interrupts it; the standard library unblocks them for commands. A
    // write to a command that does not read shows as an error, not as SIGPIPE.
    SigSet::all().thread_block().map_err(|error| format!("cannot block signals: {}", error.desc()))?;
    restore_sigchld();
    daemon(false, true).map_err(|error| format!("cannot become a daemon: {}", error.desc()))?;
    // Only for those who look at process lists.
    let _ = prctl::set_name(NAME);
    write_frame(socket, b"", None).map_err(|error| error_text(&error))
}

/// Gives up everything of the present user, for good. Not before it was loaded: the library may lie where only root looks.
fn become_user(wanted: Credentials) -> Result<(), String> {
    let choose = |wanted: u32, present: u32| if wanted == 0 { present } else { wanted };
    let uid = Uid::from_raw(choose(wanted.uid, getuid().as_raw()));
    let gid = Gid::from_raw(choose(wanted.gid, getgid().as_raw()));
    if (uid, gid) == (getuid(), getgid()) {
        return Ok(());
    }
    setgroups(&[])
        .and_then(|()| setgid(gid))
        .and_then(|()| setuid(uid))
        .map_err(|error| format!("cannot become user id {uid}, group id {gid}: {}", error.desc()))
}

/// Obeys one order after the other, until the other end closes. A command that runs then still has its time.
///
/// # Errors
///
/// What came is not an order, or the socket failed: nothing is guessed, nothing was run for it.
pub fn serve(socket: &UnixStream) -> io::Result<()> {
    let resolver = resolver::Resolver::default();
    while let Some(frame) = read_frame(socket, None)? {
        let order = Request::decode(&frame).ok_or(ErrorKind::InvalidData)?;
        drop(frame);
        let answer = match order {
            Request::Exec(request) => program::run(&request).encode(),
            Request::Resolve(lookup) => resolver.find(lookup).encode(),
        };
        match write_frame(socket, &answer, None) {
            Err(error) if error.kind() == ErrorKind::BrokenPipe => return Ok(()),
            written => written?,
        }
    }
    Ok(())
}
