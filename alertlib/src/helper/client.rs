// SPDX-License-Identifier: MIT OR Apache-2.0
//! The library's end of the helper process.

use super::ENVIRONMENT;
use super::frame::{
    Credentials, ExecRequest, ExecResult, ResolveRequest, ResolveResult, read_frame, write_frame,
};
use crate::sys::error_text;
use std::net::IpAddr;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::process::{self, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

/// How long the helper may take to start: it loads HAProxy's program once more.
const START: Duration = Duration::from_secs(10);
/// What the helper has beyond an order's deadline to answer: it may have to kill a command.
const ANSWER: Duration = Duration::from_secs(5);

/// Words for a helper that can run nothing any more.
const GONE: &str = "the helper process is gone; reload HAProxy to start a new one";
const STUCK: &str = "the helper process does not answer as it should; reload HAProxy to start a new one";

/// The helper process, for all relays that need it.
pub type SharedHelper = Arc<Mutex<Helper>>;

/// The library's end of the helper process, which lives for as long as this does: see [`crate::helper`].
#[derive(Debug)]
pub struct Helper {
    /// Close-on-exec, so that no program that HAProxy starts, and no master that starts itself again, keeps the helper
    /// alive. `None`: the helper is gone, or is out of step.
    socket: Option<UnixStream>,
}

impl Helper {
    /// Starts the helper process, as user `uid` and group `gid` (0: as we are). It is not a child of this process when
    /// this returns. To be called before the chroot and before the limits.
    ///
    /// # Errors
    ///
    /// It could not be started, or not as that user: for the administrator.
    pub fn start(uid: u32, gid: u32) -> Result<SharedHelper, String> {
        let failed = |why: &str| {
            format!(
                "cannot start the helper process, which runs sendmail and mailx and resolves names: {why}"
            )
        };
        let (mine, theirs) = UnixStream::pair().map_err(|error| failed(&error_text(&error)))?;
        let mut child = spawn(theirs).map_err(|error| failed(&error_text(&error)))?;
        let greeted = greet(&mine, Credentials { uid, gid });
        if greeted.is_err() {
            // It may be the orphan already, which sees the end of its socket: then there is nobody to kill.
            let _ = child.kill();
        }
        // The child has ended, or is about to: it is the orphan that greets. The status says nothing that the greeting
        // does not; there is none if HAProxy was started with SIGCHLD ignored.
        let _ = child.wait();
        match greeted {
            Ok(()) => Ok(Arc::new(Mutex::new(Helper::new(mine)))),
            Err(why) => Err(failed(&why)),
        }
    }

    /// A helper that is at the other end of `socket` and has been greeted.
    pub fn new(socket: UnixStream) -> Self {
        Helper { socket: Some(socket) }
    }

    /// Runs a command. Comes back within its deadline and some seconds.
    ///
    /// # Errors
    ///
    /// The request is too large, the helper is gone, or does not answer: what to tell.
    pub fn run(&mut self, request: &ExecRequest) -> Result<ExecResult, String> {
        self.ask(&request.encode()?, request.deadline, ExecResult::decode)
    }

    /// Looks a name up, in that time.
    ///
    /// # Errors
    ///
    /// The resolver's words, or the helper is gone or does not answer: what to tell.
    pub fn resolve(&mut self, host: &str, time: Duration) -> Result<Vec<IpAddr>, String> {
        let lookup = ResolveRequest { host: host.to_owned(), deadline: time };
        self.ask(&lookup.encode(), time, ResolveResult::decode)?.0
    }

    /// Sends an order of which the answer is due at its deadline.
    fn ask<A>(
        &mut self,
        order: &[u8],
        deadline: Duration,
        decode: impl FnOnce(&[u8]) -> Option<A>,
    ) -> Result<A, String> {
        let socket = self.socket.as_ref().ok_or(GONE)?;
        let until = Instant::now() + deadline + ANSWER;
        let answer = write_frame(socket, order, Some(until)).and_then(|()| read_frame(socket, Some(until)));
        let trouble = match answer {
            Ok(Some(frame)) => match decode(&frame) {
                Some(answer) => return Ok(answer),
                None => STUCK,
            },
            Ok(None) => GONE,
            Err(_) if Instant::now() >= until => STUCK,
            Err(_) => GONE,
        };
        // A late answer would be taken for the next order's.
        self.socket = None;
        Err(trouble.to_owned())
    }
}

/// This very program, with an environment that tells the add-on what it is to be.
fn spawn(socket: UnixStream) -> std::io::Result<process::Child> {
    process::Command::new("/proc/self/exe")
        .arg0("haproxy-email-alert-helper")
        .env_clear()
        .envs(ENVIRONMENT)
        // Where the library was found, if it took that; and the times of mails that `mailx` makes.
        .envs(["LD_LIBRARY_PATH", "TZ"].into_iter().filter_map(|name| Some((name, std::env::var_os(name)?))))
        .env("HAPROXY_EMAIL_ALERT_HELPER", "1")
        .stdin(OwnedFd::from(socket))
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
}

/// Tells the helper whom to become, and waits for it to be ready.
fn greet(socket: &UnixStream, identity: Credentials) -> Result<(), String> {
    let until = Some(Instant::now() + START);
    let hello = write_frame(socket, &identity.encode(), until).and_then(|()| read_frame(socket, until));
    match hello {
        Ok(Some(words)) if words.is_empty() => Ok(()),
        Ok(Some(words)) => Err(String::from_utf8_lossy(&words).into_owned()),
        Ok(None) => Err("it ended before it was ready".to_owned()),
        Err(error) => Err(error_text(&error)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_greeting_says_whether_the_helper_is_ready() {
        let greeting = |words: Option<&[u8]>| {
            let (mine, theirs) = UnixStream::pair().unwrap();
            let helper = std::thread::spawn({
                let words = words.map(<[u8]>::to_vec);
                move || {
                    let identity = read_frame(&theirs, None).unwrap().unwrap();
                    assert_eq!(Credentials::decode(&identity), Some(Credentials { uid: 1, gid: 2 }));
                    words.map(|words| write_frame(&theirs, &words, None).unwrap())
                }
            });
            let greeted = greet(&mine, Credentials { uid: 1, gid: 2 });
            helper.join().unwrap();
            greeted
        };
        assert_eq!(greeting(Some(b"")), Ok(()));
        assert_eq!(greeting(Some(b"cannot become user id 1: no")), Err("cannot become user id 1: no".into()));
        assert_eq!(greeting(None), Err("it ended before it was ready".into()));
    }
}
