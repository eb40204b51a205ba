// SPDX-License-Identifier: MIT OR Apache-2.0
//! Frames between the library and its helper process, over a stream socket.
//!
//! A frame is a length (32 bits, little-endian) and as many bytes: a header as one line of JSON, and data as they are (a mail, or the output
//! of a command). Both ends belong to one program, but neither trusts a length: lengths are limited, and a frame that cannot be
//! decoded to its last byte ends the connection.

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
/// Size of the longest frame, in bytes: the input and 1 MiB of arguments.
pub const FRAME_MAX: usize = INPUT_MAX + (1 << 20);

/// A request to the helper process.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Request {
    /// Runs a command; the reply is an [`ExecResult`].
    Exec(ExecRequest),
    /// Resolves a name; the reply is a [`ResolveResult`].
    Resolve(ResolveRequest),
}

/// A [`Request`] that is sent.
#[derive(Serialize)]
enum RequestRef<'a> {
    Exec(&'a ExecRequest),
    Resolve(&'a ResolveRequest),
}

/// A name to resolve.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ResolveRequest {
    /// Host name.
    pub host: String,
    /// Limit of the resolution, from its start.
    pub deadline: Duration,
}

/// The addresses of a name, or the resolver's error.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ResolveResult(pub Result<Vec<IpAddr>, String>);

/// A command to run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExecRequest {
    /// Absolute path: started without a shell and without a search in `PATH`.
    pub program: PathBuf,
    /// Arguments without the program's own name.
    pub arguments: Vec<String>,
    /// Standard input: the data of the frame.
    #[serde(skip)]
    pub input: Vec<u8>,
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
    /// Beginning of its standard output and standard error, together: the data of the frame.
    #[serde(skip)]
    pub output: Vec<u8>,
}

/// User and group of the helper process: the first frame that it gets. The reply is a text: empty, or the error.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Credentials {
    /// User id; 0: unchanged.
    pub uid: u32,
    /// Group id; 0: unchanged.
    pub gid: u32,
}

impl Request {
    /// Returns `None` if the frame is not a request.
    pub fn decode(frame: &[u8]) -> Option<Request> {
        let (mut request, data) = decode(frame)?;
        match &mut request {
            Request::Exec(exec) if exec.arguments.len() <= ARGUMENTS_MAX => exec.input = data,
            Request::Exec(_) => return None,
            Request::Resolve(_) => {}
        }
        Some(request)
    }
}

impl ResolveRequest {
    /// Returns the payload of the frame.
    pub fn encode(&self) -> Vec<u8> {
        encode(&RequestRef::Resolve(self), &[])
    }
}

impl ResolveResult {
    /// Returns the payload of the frame.
    pub fn encode(&self) -> Vec<u8> {
        encode(self, &[])
    }

    /// Returns `None` if the frame is not such a result.
    pub fn decode(frame: &[u8]) -> Option<ResolveResult> {
        let (result, _): (ResolveResult, _) = decode(frame)?;
        let is_bounded = result.0.as_ref().map_or(true, |addresses| addresses.len() <= ADDRESSES_MAX);
        is_bounded.then_some(result)
    }
}

impl ExecRequest {
    /// Returns the payload of the frame.
    ///
    /// # Errors
    ///
    /// The request is larger than the helper process accepts: the part, and the limit.
    pub fn encode(&self) -> Result<Vec<u8>, String> {
        if self.input.len() > INPUT_MAX {
            return Err(format!("the mail has {} bytes, more than {INPUT_MAX}", self.input.len()));
        }
        if self.arguments.len() > ARGUMENTS_MAX {
            return Err(format!("{} arguments, more than {ARGUMENTS_MAX}", self.arguments.len()));
        }
        let frame = encode(&RequestRef::Exec(self), &self.input);
        if frame.len() > FRAME_MAX {
            return Err(format!("mail and arguments have {} bytes, more than {FRAME_MAX}", frame.len()));
        }
        Ok(frame)
    }
}

impl ExecResult {
    /// Returns the payload of the frame.
    pub fn encode(&self) -> Vec<u8> {
        encode(self, &self.output)
    }

    /// Returns `None` if the frame is not such a result.
    pub fn decode(frame: &[u8]) -> Option<ExecResult> {
        let (result, output): (ExecResult, _) = decode(frame)?;
        Some(ExecResult { output, ..result })
    }
}

impl Credentials {
    /// Returns the payload of the frame.
    pub fn encode(self) -> Vec<u8> {
        encode(&self, &[])
    }

    /// Returns `None` if the frame has no credentials.
    pub fn decode(frame: &[u8]) -> Option<Credentials> {
        decode(frame).map(|(credentials, _)| credentials)
    }
}

/// Returns the payload of a frame: the header and the length of the data as one line of JSON, then the data.
fn encode(header: &impl Serialize, data: &[u8]) -> Vec<u8> {
    // It cannot fail: every text is UTF-8, which the words of a configuration are.
    let mut frame = serde_json::to_vec(&(header, data.len())).unwrap_or_default();
    frame.push(b'\n');
    frame.extend(data);
    frame
}

/// Returns header and data of a frame. `None`: it is cut, has more behind the data, or its header is another one.
fn decode<T: DeserializeOwned>(frame: &[u8]) -> Option<(T, Vec<u8>)> {
    let end = frame.iter().position(|byte| *byte == b'\n')?;
    let (header, length): (T, usize) = serde_json::from_str(std::str::from_utf8(&frame[..end]).ok()?).ok()?;
    let data = &frame[end + 1..];
    (data.len() == length).then(|| (header, data.to_vec()))
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
        socket.set_write_timeout(remaining(until)?)?;
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
        socket.set_read_timeout(remaining(until)?)?;
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

/// Returns the socket's timeout: `None` for no limit, else more than zero, as `setsockopt` demands.
fn remaining(until: Option<Instant>) -> io::Result<Option<Duration>> {
    let Some(until) = until else { return Ok(None) };
    let left = until.saturating_duration_since(Instant::now());
    if left.is_zero() { Err(ErrorKind::TimedOut.into()) } else { Ok(Some(left)) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    fn request() -> ExecRequest {
        ExecRequest {
            program: "/usr/sbin/sendmail".into(),
            arguments: vec!["-i".into(), String::new(), "é".into()],
            input: b"Subject: x\n\n\0\xff".to_vec(),
            deadline: Duration::from_millis(1500),
        }
    }

    fn decoded(frame: &[u8]) -> Option<ExecRequest> {
        match Request::decode(frame)? {
            Request::Exec(request) => Some(request),
            Request::Resolve(request) => panic!("{request:?}"),
        }
    }

    fn resolve_results() -> [ResolveResult; 3] {
        let addresses = vec!["192.0.2.1".parse().unwrap(), "2001:db8::1".parse().unwrap()];
        [
            ResolveResult(Ok(addresses)),
            ResolveResult(Ok(Vec::new())),
            ResolveResult(Err("no such name".into())),
        ]
    }

    #[test]
    fn resolve_requests_and_results_survive_encoding() {
        let request =
            ResolveRequest { host: "mx1.example.com".into(), deadline: Duration::from_millis(1500) };
        let frame = request.encode();
        assert_eq!(Request::decode(&frame), Some(Request::Resolve(request)));
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
        let many = ResolveResult(Ok(vec!["192.0.2.1".parse().unwrap(); ADDRESSES_MAX + 1]));
        assert_eq!(ResolveResult::decode(&many.encode()), None);
    }

    fn exec_results() -> [ExecResult; 5] {
        let result = |status, output: &[u8]| ExecResult { status, output: output.to_vec() };
        [
            result(ExecStatus::Exit(0), b""),
            result(ExecStatus::Exit(255), b"\xff\0"),
            result(ExecStatus::Signal(9), b"oh"),
            result(ExecStatus::Deadline, b""),
            result(ExecStatus::NotStarted("No such file".into()), b""),
        ]
    }

    #[test]
    fn exec_requests_results_and_credentials_survive_encoding() {
        let frame = request().encode().unwrap();
        assert_eq!(decoded(&frame), Some(request()));
        for result in exec_results() {
            assert_eq!(ExecResult::decode(&result.encode()), Some(result));
        }
        let credentials = Credentials { uid: 99, gid: u32::MAX };
        assert_eq!(Credentials::decode(&credentials.encode()), Some(credentials));
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
                    Some(Request::Resolve(request)) => assert!(request.host.len() <= wrong.len()),
                    None => {}
                }
                ResolveResult::decode(&wrong);
                ExecResult::decode(&wrong);
                Credentials::decode(&wrong);
            }
        }
    }

    #[test]
    fn limits_are_checked_when_encoding_and_decoding() {
        let mut large = request();
        large.input = vec![b'x'; INPUT_MAX];
        assert_eq!(decoded(&large.encode().unwrap()), Some(large.clone()));
        large.input.push(b'x');
        assert_eq!(large.encode().unwrap_err(), "the mail has 8388609 bytes, more than 8388608");

        let mut many = request();
        many.arguments = vec![String::new(); ARGUMENTS_MAX];
        assert_eq!(decoded(&many.encode().unwrap()), Some(many.clone()));
        many.arguments.push(String::new());
        assert_eq!(many.encode().unwrap_err(), "1001 arguments, more than 1000");
        // A frame that was not made by `ExecRequest::encode()` has as many arguments.
        assert_eq!(decoded(&encode(&RequestRef::Exec(&many), &many.input)), None);

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
