// SPDX-License-Identifier: MIT OR Apache-2.0
//! Frames between the library and its helper process, over a stream socket.
//!
//! A frame is a length (32 bits, little-endian) and as many bytes of JSON. Both ends belong to one program, but neither trusts a
//! length: lengths are limited, and a frame that cannot be decoded to its last byte ends the connection.

use crate::sys::{User, time_left};
use nix::sys::socket::{MsgFlags, send};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use std::io::{self, ErrorKind, Read};
use std::net::IpAddr;
use std::os::fd::AsRawFd;
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::time::{Duration, Instant};

/// Size of the longest standard input of a command, in bytes.
pub const INPUT_MAX: usize = 8 << 20;
/// Largest number of arguments of a command.
pub const ARGUMENTS_MAX: usize = 1000;
/// Largest number of addresses of a name.
pub const ADDRESSES_MAX: usize = 100;
/// Size of the longest frame, in bytes: the input, and 1 MiB for arguments and JSON's escapes.
pub const FRAME_MAX: usize = INPUT_MAX + (1 << 20);

/// A value that is sent as a frame.
pub trait Frame: Serialize + DeserializeOwned {
    /// Returns true if no list in it is longer than its limit.
    fn is_bounded(&self) -> bool {
        true
    }

    /// Returns the payload of the frame.
    fn encode(&self) -> Vec<u8> {
        // It cannot fail: every text is UTF-8, which the words of a configuration are.
        serde_json::to_vec(self).unwrap_or_default()
    }

    /// Returns `None` if the frame is cut, has more behind the value, or is another value.
    fn decode(frame: &[u8]) -> Option<Self> {
        let value: Self = serde_json::from_str(std::str::from_utf8(frame).ok()?).ok()?;
        value.is_bounded().then_some(value)
    }
}

/// A request to the helper process.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Request {
    /// Runs a command; the reply is an [`ExecResult`].
    Exec(ExecRequest),
    /// Resolves a name; the reply is a [`ResolveResult`].
    Resolve {
        /// Host name.
        host: String,
        /// Limit of the resolution, from its start.
        deadline: Duration,
    },
}

/// The addresses of a name, or the resolver's error.
pub type ResolveResult = Result<Vec<IpAddr>, String>;

/// A command to run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExecRequest {
    /// Absolute path: started without a shell and without a search in `PATH`.
    pub program: PathBuf,
    /// Arguments without the program's own name.
    pub arguments: Vec<String>,
    /// Standard input.
    pub input: String,
    /// Limit of the run, from its start; then the command is killed.
    pub deadline: Duration,
}

/// End of a command.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum ExecStatus {
    /// The command exited with this status.
    Exit(i32),
    /// A signal ended the command that the helper process did not send.
    Signal(i32),
    /// The helper process killed the command at the deadline.
    Deadline,
    /// The command could not be started: the system's error.
    NotStarted(String),
}

/// Result of an [`ExecRequest`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExecResult {
    /// End of the command.
    pub status: ExecStatus,
    /// Beginning of its standard output and standard error, together. Invalid bytes are U+FFFD.
    pub output: String,
}

/// The first frame that the helper process gets. The reply is a text: empty, or the error.
impl Frame for User {}

impl Frame for Request {
    fn is_bounded(&self) -> bool {
        !matches!(self, Request::Exec(exec) if exec.arguments.len() > ARGUMENTS_MAX)
    }
}

impl Frame for ExecResult {}

impl Frame for ResolveResult {
    fn is_bounded(&self) -> bool {
        self.as_ref().map_or(true, |addresses| addresses.len() <= ADDRESSES_MAX)
    }
}

impl ExecRequest {
    /// Returns the payload of the frame.
    ///
    /// # Errors
    ///
    /// The request is larger than the helper process accepts: the part, and the limit.
    pub fn encode(self) -> Result<Vec<u8>, String> {
        if self.input.len() > INPUT_MAX {
            return Err(format!("the mail has {} bytes, more than {INPUT_MAX}", self.input.len()));
        }
        if self.arguments.len() > ARGUMENTS_MAX {
            return Err(format!("{} arguments, more than {ARGUMENTS_MAX}", self.arguments.len()));
        }
        let frame = Request::Exec(self).encode();
        if frame.len() > FRAME_MAX {
            return Err(format!("mail and arguments have {} bytes, more than {FRAME_MAX}", frame.len()));
        }
        Ok(frame)
    }
}

/// Sends one frame. Blocks until `until` at most; `None`: without limit.
///
/// # Errors
///
/// The other end is closed, or does not read. Part of the frame may be sent: the socket is unusable then.
pub fn write_frame(socket: &UnixStream, payload: &[u8], until: Option<Instant>) -> io::Result<()> {
    let mut frame = Vec::with_capacity(payload.len() + 4);
    frame.extend((payload.len() as u32).to_le_bytes());
    frame.extend(payload);
    let mut rest = frame.as_slice();
    while !rest.is_empty() {
        socket.set_write_timeout(until.map(time_left).transpose()?)?;
        // Not `write()`, which would raise SIGPIPE in HAProxy's process.
        match send(socket.as_raw_fd(), rest, MsgFlags::MSG_NOSIGNAL).map_err(io::Error::from) {
            Ok(sent) => rest = rest.get(sent..).unwrap_or_default(),
            Err(error) if error.kind() == ErrorKind::Interrupted => (),
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// Receives one frame. Returns `None` if the other end was closed between two frames. `until`: as in [`write_frame`].
///
/// # Errors
///
/// The frame did not come in time, the other end was closed within a frame, or the frame is longer than [`FRAME_MAX`]. The socket
/// is unusable then.
pub fn read_frame(socket: &UnixStream, until: Option<Instant>) -> io::Result<Option<Vec<u8>>> {
    let mut length = [0; 4];
    if receive(socket, &mut length, until)? == 0 {
        return Ok(None);
    }
    let length = u32::from_le_bytes(length) as usize;
    if length > FRAME_MAX {
        return Err(io::Error::new(ErrorKind::InvalidData, "the frame is too long"));
    }
    let mut frame = vec![0; length];
    if receive(socket, &mut frame, until)? < length {
        return Err(ErrorKind::UnexpectedEof.into());
    }
    Ok(Some(frame))
}

/// Fills `buffer` and returns its length; returns 0 if the other end was closed before the first byte.
fn receive(mut socket: &UnixStream, buffer: &mut [u8], until: Option<Instant>) -> io::Result<usize> {
    let mut filled = 0;
    while let Some(rest) = buffer.get_mut(filled..).filter(|rest| !rest.is_empty()) {
        socket.set_read_timeout(until.map(time_left).transpose()?)?;
        match socket.read(rest) {
            Ok(0) if filled == 0 => return Ok(0),
            Ok(0) => return Err(ErrorKind::UnexpectedEof.into()),
            Ok(count) => filled += count,
            Err(error) if error.kind() == ErrorKind::Interrupted => (),
            Err(error) => return Err(error),
        }
    }
    Ok(filled)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    fn request() -> ExecRequest {
        ExecRequest {
            program: "/usr/sbin/sendmail".into(),
            arguments: vec!["-i".into(), String::new(), "é".into()],
            input: "Subject: x\n\n\0\u{ff}".into(),
            deadline: Duration::from_millis(1500),
        }
    }

    fn decoded(frame: &[u8]) -> Option<ExecRequest> {
        match Request::decode(frame)? {
            Request::Exec(request) => Some(request),
            request => panic!("{request:?}"),
        }
    }

    fn resolve_results() -> [ResolveResult; 3] {
        let addresses = vec!["192.0.2.1".parse().unwrap(), "2001:db8::1".parse().unwrap()];
        [Ok(addresses), Ok(Vec::new()), Err("no such name".into())]
    }

    #[test]
    fn resolve_requests_and_results_survive_encoding() {
        let request =
            Request::Resolve { host: "mx1.example.com".into(), deadline: Duration::from_millis(1500) };
        let frame = request.encode();
        assert_eq!(Request::decode(&frame), Some(request));
        for length in 0..frame.len() {
            assert_eq!(Request::decode(&frame[..length]), None, "{length} bytes");
        }
        for result in resolve_results() {
            let frame = result.encode();
            for length in 0..frame.len() {
                assert_eq!(ResolveResult::decode(&frame[..length]), None, "{length} bytes");
            }
            assert_eq!(ResolveResult::decode(&[&frame[..], b"x"].concat()), None);
            assert_eq!(ResolveResult::decode(&frame), Some(result));
        }
        let many: ResolveResult = Ok(vec!["192.0.2.1".parse().unwrap(); ADDRESSES_MAX + 1]);
        assert_eq!(ResolveResult::decode(&many.encode()), None);
    }

    fn exec_results() -> [ExecResult; 5] {
        let result = |status, output: &str| ExecResult { status, output: output.to_owned() };
        [
            result(ExecStatus::Exit(0), ""),
            result(ExecStatus::Exit(255), "\u{ff}\0"),
            result(ExecStatus::Signal(9), "oh"),
            result(ExecStatus::Deadline, ""),
            result(ExecStatus::NotStarted("No such file".into()), ""),
        ]
    }

    #[test]
    fn exec_requests_results_and_users_survive_encoding() {
        let frame = request().encode().unwrap();
        assert_eq!(decoded(&frame), Some(request()));
        for result in exec_results() {
            assert_eq!(ExecResult::decode(&result.encode()), Some(result));
        }
        let user = User { uid: 99, gid: u32::MAX };
        assert_eq!(User::decode(&user.encode()), Some(user));
    }

    #[test]
    fn truncated_and_extended_frames_are_refused() {
        let frame = request().encode().unwrap();
        for length in 0..frame.len() {
            assert_eq!(decoded(&frame[..length]), None, "{length} bytes");
        }
        assert_eq!(decoded(&[&frame[..], b"x"].concat()), None);
        for result in exec_results() {
            let frame = result.encode();
            for length in 0..frame.len() {
                assert_eq!(ExecResult::decode(&frame[..length]), None, "{length} bytes");
            }
            assert_eq!(ExecResult::decode(&[&frame[..], b"x"].concat()), None);
        }
    }

    #[test]
    fn a_changed_byte_never_decodes_to_parts_larger_than_the_frame() {
        let frame = request().encode().unwrap();
        for place in 0..frame.len() {
            for value in [0, 1, 0x7f, 0x80, 0xff] {
                let mut wrong = frame.clone();
                wrong[place] = value;
                // Decoded parts are not larger than the frame.
                match Request::decode(&wrong) {
                    Some(Request::Exec(request)) => {
                        assert!(request.input.len() <= wrong.len() && request.arguments.len() <= wrong.len());
                    }
                    Some(Request::Resolve { host, .. }) => assert!(host.len() <= wrong.len()),
                    None => {}
                }
                ResolveResult::decode(&wrong);
                ExecResult::decode(&wrong);
                User::decode(&wrong);
            }
        }
    }

    #[test]
    fn limits_are_checked_when_encoding_and_decoding() {
        let mut large = request();
        large.input = "x".repeat(INPUT_MAX);
        assert_eq!(decoded(&large.clone().encode().unwrap()), Some(large.clone()));
        large.input.push('x');
        assert_eq!(large.encode().unwrap_err(), "the mail has 8388609 bytes, more than 8388608");

        let mut many = request();
        many.arguments = vec![String::new(); ARGUMENTS_MAX];
        assert_eq!(decoded(&many.clone().encode().unwrap()), Some(many.clone()));
        many.arguments.push(String::new());
        assert_eq!(many.clone().encode().unwrap_err(), "1001 arguments, more than 1000");
        // A frame that was not made by `ExecRequest::encode()` has as many arguments.
        assert_eq!(decoded(&Request::Exec(many).encode()), None);

        let mut long = request();
        long.arguments = vec!["x".repeat(FRAME_MAX)];
        assert!(long.encode().unwrap_err().ends_with("more than 9437184"));
    }

    #[test]
    fn frames_are_received_whole_until_the_other_end_is_closed() {
        let (mine, theirs) = UnixStream::pair().unwrap();
        for payload in [&b""[..], b"one", b"two\0"] {
            write_frame(&mine, payload, None).unwrap();
            assert_eq!(read_frame(&theirs, None).unwrap().as_deref(), Some(payload));
        }
        drop(mine);
        assert_eq!(read_frame(&theirs, None).unwrap(), None);
        assert_eq!(write_frame(&theirs, b"x", None).unwrap_err().kind(), ErrorKind::BrokenPipe);
    }

    #[test]
    fn receiving_a_truncated_or_oversized_frame_is_an_error() {
        let cases: [(&[u8], ErrorKind); 4] = [
            (b"\x01", ErrorKind::UnexpectedEof),
            (b"\x02\0\0\0", ErrorKind::UnexpectedEof),
            (b"\x02\0\0\0x", ErrorKind::UnexpectedEof),
            (b"\xff\xff\xff\xffx", ErrorKind::InvalidData),
        ];
        for (bytes, kind) in cases {
            let (mut mine, theirs) = UnixStream::pair().unwrap();
            mine.write_all(bytes).unwrap();
            drop(mine);
            assert_eq!(read_frame(&theirs, None).unwrap_err().kind(), kind, "{bytes:?}");
        }
    }

    #[test]
    fn a_peer_that_neither_reads_nor_writes_causes_a_timeout() {
        let (mine, _theirs) = UnixStream::pair().unwrap();
        let soon = || Some(Instant::now() + Duration::from_millis(20));
        let timed_out =
            |error: io::Error| matches!(error.kind(), ErrorKind::TimedOut | ErrorKind::WouldBlock);
        assert!(timed_out(read_frame(&mine, soon()).unwrap_err()));
        assert!(timed_out(write_frame(&mine, &vec![0; FRAME_MAX], soon()).unwrap_err()));
    }
}
