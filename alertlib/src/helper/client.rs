// SPDX-License-Identifier: MIT OR Apache-2.0
//! Client of the helper process, in HAProxy's process.

use super::ENVIRONMENT;
use super::frame::{ExecRequest, ExecResult, Frame, Request, ResolveResult, read_frame, write_frame};
use crate::sys::{User, error_text};
use std::net::IpAddr;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::process::{self, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Longest start of the helper process: it loads HAProxy's program once more.
const START_TIMEOUT: Duration = Duration::from_secs(10);
/// Time to reply beyond a request's deadline: the helper process may have to kill a command.
const REPLY_GRACE: Duration = Duration::from_secs(5);

/// Error when the helper process has ended.
const GONE: &str = "the helper process is gone; reload HAProxy to start a new one";
/// Error when the helper process replies too late, or not with a result.
const STUCK: &str = "the helper process does not answer as it should; reload HAProxy to start a new one";

/// The client, shared by all relays that need the helper process. The dispatcher uses it.
pub type SharedHelper = Arc<Helper>;

/// A client of the helper process, which ends when this is dropped: see [`crate::helper`].
#[derive(Debug)]
pub struct Helper {
    /// Close-on-exec, so that no program that HAProxy starts, and no master that executes itself again, keeps the helper
    /// process alive. `None`: the helper process has ended, or its next reply may belong to an earlier request.
    socket: Mutex<Option<UnixStream>>,
}

impl Helper {
    /// Starts the helper process, as this user. It is not a child of this process when this function returns. Must be called before HAProxy changes its root directory and sets its limits.
    ///
    /// # Errors
    ///
    /// The helper process could not be started, or could not change to that user: a text for the administrator.
    pub fn start(user: User) -> Result<SharedHelper, String> {
        let started = UnixStream::pair().map_err(|error| error_text(&error)).and_then(|(mine, theirs)| {
            let mut child = spawn(theirs).map_err(|error| error_text(&error))?;
            let ready = wait_until_ready(&mine, user);
            if ready.is_err() {
                // If it is a daemon already, this has no effect: it ends when its socket is closed.
                let _ = child.kill();
            }
            // The child has ended or will end at once: its own child, the daemon, reports that it is ready. The exit status adds
            // nothing to that report; there is no status if HAProxy was started with SIGCHLD ignored.
            let _ = child.wait();
            ready.map(|()| Arc::new(Helper::new(mine)))
        });
        started.map_err(|why| {
            format!(
                "cannot start the helper process, which runs sendmail and mailx and resolves names: {why}"
            )
        })
    }

    /// Returns a client of the helper process at the other end of `socket`, which has reported that it is ready.
    pub fn new(socket: UnixStream) -> Self {
        Helper { socket: Mutex::new(Some(socket)) }
    }

    /// Runs a command. Blocks until its deadline and 5 seconds at most.
    ///
    /// # Errors
    ///
    /// The request is too large, or the helper process has ended or does not reply: a text for the administrator.
    pub fn run(&self, request: ExecRequest) -> Result<ExecResult, String> {
        let deadline = request.deadline;
        self.request(&request.encode()?, deadline)
    }

    /// Resolves a name. Blocks for `timeout` and 5 seconds at most.
    ///
    /// # Errors
    ///
    /// The resolver's error, or the helper process has ended or does not reply: a text for the administrator.
    pub fn resolve(&self, host: &str, timeout: Duration) -> Result<Vec<IpAddr>, String> {
        let request = Request::Resolve { host: host.to_owned(), deadline: timeout };
        self.request::<ResolveResult>(&request.encode(), timeout)?
    }

    /// Sends a request and waits for its result, which is due `deadline` after now.
    fn request<T: Frame>(&self, frame: &[u8], deadline: Duration) -> Result<T, String> {
        let mut shared = self.socket.lock().unwrap_or_else(PoisonError::into_inner);
        let socket = shared.as_ref().ok_or(GONE)?;
        let until = Instant::now() + deadline + REPLY_GRACE;
        let reply = write_frame(socket, frame, Some(until)).and_then(|()| read_frame(socket, Some(until)));
        let error = match reply {
            Ok(Some(frame)) => match T::decode(&frame) {
                Some(result) => return Ok(result),
                None => STUCK,
            },
            Ok(None) => GONE,
            Err(_) if Instant::now() >= until => STUCK,
            Err(_) => GONE,
        };
        // A late reply would be read as the reply to the next request.
        *shared = None;
        Err(error.to_owned())
    }
}

/// Executes this program again, with the environment variable by which the add-on recognizes the helper process.
fn spawn(socket: UnixStream) -> std::io::Result<process::Child> {
    process::Command::new("/proc/self/exe")
        .arg0("haproxy-email-alert-helper")
        .env_clear()
        .envs(ENVIRONMENT)
        // LD_LIBRARY_PATH: the library may have been found through it. TZ: the dates of mails that `mailx` makes.
        .envs(["LD_LIBRARY_PATH", "TZ"].into_iter().filter_map(|name| Some((name, std::env::var_os(name)?))))
        .env("HAPROXY_EMAIL_ALERT_HELPER", "1")
        .stdin(OwnedFd::from(socket))
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
}

/// Sends the user to the helper process, and waits until it is ready.
fn wait_until_ready(socket: &UnixStream, user: User) -> Result<(), String> {
    let until = Some(Instant::now() + START_TIMEOUT);
    let reply = write_frame(socket, &user.encode(), until).and_then(|()| read_frame(socket, until));
    match reply {
        Ok(Some(text)) if text.is_empty() => Ok(()),
        Ok(Some(text)) => Err(String::from_utf8_lossy(&text).into_owned()),
        Ok(None) => Err("it ended before it was ready".to_owned()),
        Err(error) => Err(error_text(&error)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_reply_is_empty_or_the_reason_why_the_helper_is_not_ready() {
        let first_reply = |text: Option<&[u8]>| {
            let (mine, theirs) = UnixStream::pair().unwrap();
            let helper = std::thread::spawn({
                let text = text.map(<[u8]>::to_vec);
                move || {
                    let frame = read_frame(&theirs, None).unwrap().unwrap();
                    assert_eq!(User::decode(&frame), Some(User { uid: 1, gid: 2 }));
                    text.map(|text| write_frame(&theirs, &text, None).unwrap())
                }
            });
            let ready = wait_until_ready(&mine, User { uid: 1, gid: 2 });
            helper.join().unwrap();
            ready
        };
        assert_eq!(first_reply(Some(b"")), Ok(()));
        assert_eq!(
            first_reply(Some(b"cannot become user id 1: no")),
            Err("cannot become user id 1: no".into())
        );
        assert_eq!(first_reply(None), Err("it ended before it was ready".into()));
    }
}
