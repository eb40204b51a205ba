// SPDX-License-Identifier: MIT OR Apache-2.0
//! Frames between the library and its helper process, over a stream socket.
//!
//! A frame is a length and as many bytes; so is a field of varying size. Numbers have 32 bits, little-endian. Both ends belong to
//! one program, but neither trusts a length: lengths are limited, and a frame that cannot be decoded to its last byte ends the
//! connection.

use nix::sys::socket::{MsgFlags, send};
use std::ffi::OsStr;
use std::io::{self, ErrorKind, Read};
use std::net::IpAddr;
use std::os::fd::AsRawFd;
use std::os::unix::ffi::OsStrExt;
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
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Request {
    /// Runs a command; the reply is an [`ExecResult`].
    Exec(ExecRequest),
    /// Resolves a name; the reply is a [`ResolveResult`].
    Resolve(ResolveRequest),
}

/// A name to resolve.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ResolveRequest {
    /// Host name.
    pub host: String,
    /// Limit of the resolution, from its start, in whole milliseconds.
    pub deadline: Duration,
}

/// The addresses of a name, or the resolver's error.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ResolveResult(pub Result<Vec<IpAddr>, String>);

/// A command to run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExecRequest {
    /// Absolute path: started without a shell and without a search in `PATH`.
    pub program: PathBuf,
    /// Arguments without the program's own name.
    pub arguments: Vec<String>,
    /// Standard input.
    pub input: Vec<u8>,
    /// Limit of the run, from its start, in whole milliseconds; then the command is killed.
    pub deadline: Duration,
}

/// End of a command.
#[derive(Debug, Clone, PartialEq, Eq)]
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
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExecResult {
    /// End of the command.
    pub status: ExecStatus,
    /// Beginning of its standard output and standard error, together.
    pub output: Vec<u8>,
}

/// User and group of the helper process: the first frame that it gets. The reply is a text: empty, or the error.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Credentials {
    /// User id; 0: unchanged.
    pub uid: u32,
    /// Group id; 0: unchanged.
    pub gid: u32,
}

const EXEC: u32 = 0;
const RESOLVE: u32 = 1;

const EXIT: u32 = 0;
const SIGNAL: u32 = 1;
const DEADLINE: u32 = 2;
const NOT_STARTED: u32 = 3;

impl Request {
    /// Returns `None` if the frame is not a request.
    pub fn decode(frame: &[u8]) -> Option<Request> {
        let mut fields = Fields(frame);
        match fields.number()? {
            EXEC => ExecRequest::read(fields).map(Request::Exec),
            RESOLVE => ResolveRequest::read(fields).map(Request::Resolve),
            _ => None,
        }
    }
}

impl ResolveRequest {
    /// Returns the payload of the frame.
    pub fn encode(&self) -> Vec<u8> {
        let mut frame = Vec::new();
        put_number(&mut frame, RESOLVE);
        put_number(&mut frame, u32::try_from(self.deadline.as_millis()).unwrap_or(u32::MAX));
        put_bytes(&mut frame, self.host.as_bytes());
        frame
    }

    fn read(mut fields: Fields) -> Option<ResolveRequest> {
        let deadline = Duration::from_millis(fields.number()?.into());
        let host = fields.text()?;
        fields.end(ResolveRequest { host, deadline })
    }
}

impl ResolveResult {
    /// Returns the payload of the frame: the error, and the addresses as text.
    pub fn encode(&self) -> Vec<u8> {
        let (words, addresses) = match &self.0 {
            Ok(addresses) => ("", addresses.as_slice()),
            Err(words) => (words.as_str(), &[][..]),
        };
        let mut frame = Vec::new();
        put_bytes(&mut frame, words.as_bytes());
        put_number(&mut frame, addresses.len() as u32);
        for address in addresses {
            put_bytes(&mut frame, address.to_string().as_bytes());
        }
        frame
    }

    /// Returns `None` if the frame is not such a result.
    pub fn decode(frame: &[u8]) -> Option<ResolveResult> {
        let mut fields = Fields(frame);
        let words = fields.text()?;
        let count = fields.number()? as usize;
        if count > ADDRESSES_MAX {
            return None;
        }
        let addresses = (0..count).map(|_| fields.text()?.parse().ok()).collect::<Option<Vec<IpAddr>>>()?;
        fields.end(ResolveResult(if words.is_empty() { Ok(addresses) } else { Err(words) }))
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
        let mut frame = Vec::with_capacity(self.input.len() + 1024);
        put_number(&mut frame, EXEC);
        put_number(&mut frame, u32::try_from(self.deadline.as_millis()).unwrap_or(u32::MAX));
        put_bytes(&mut frame, self.program.as_os_str().as_bytes());
        put_number(&mut frame, self.arguments.len() as u32);
        for argument in &self.arguments {
            put_bytes(&mut frame, argument.as_bytes());
        }
        put_bytes(&mut frame, &self.input);
        if frame.len() > FRAME_MAX {
            return Err(format!("mail and arguments have {} bytes, more than {FRAME_MAX}", frame.len()));
        }
        Ok(frame)
    }

    fn read(mut fields: Fields) -> Option<ExecRequest> {
        let deadline = Duration::from_millis(fields.number()?.into());
        let program = PathBuf::from(OsStr::from_bytes(fields.bytes()?));
        let count = fields.number()? as usize;
        if count > ARGUMENTS_MAX {
            return None;
        }
        let arguments = (0..count).map(|_| fields.text()).collect::<Option<Vec<String>>>()?;
        let input = fields.bytes()?.to_vec();
        fields.end(ExecRequest { program, arguments, input, deadline })
    }
}

impl ExecResult {
    /// Returns the payload of the frame.
    pub fn encode(&self) -> Vec<u8> {
        let (kind, number, words) = match &self.status {
            ExecStatus::Exit(number) => (EXIT, *number, ""),
            ExecStatus::Signal(signal) => (SIGNAL, *signal, ""),
            ExecStatus::Deadline => (DEADLINE, 0, ""),
            ExecStatus::NotStarted(words) => (NOT_STARTED, 0, words.as_str()),
        };
        let mut frame = Vec::new();
        put_number(&mut frame, kind);
        put_number(&mut frame, number as u32);
        put_bytes(&mut frame, words.as_bytes());
        put_bytes(&mut frame, &self.output);
        frame
    }

    /// Returns `None` if the frame is not such a result.
    pub fn decode(frame: &[u8]) -> Option<ExecResult> {
        let mut fields = Fields(frame);
        let kind = fields.number()?;
        let number = fields.number()? as i32;
        let words = fields.text()?;
        let status = match kind {
            EXIT => ExecStatus::Exit(number),
            SIGNAL => ExecStatus::Signal(number),
            DEADLINE => ExecStatus::Deadline,
            NOT_STARTED => ExecStatus::NotStarted(words),
            _ => return None,
        };
        let output = fields.bytes()?.to_vec();
        fields.end(ExecResult { status, output })
    }
}

impl Credentials {
    /// Returns the payload of the frame.
    pub fn encode(self) -> Vec<u8> {
        let mut frame = Vec::new();
        put_number(&mut frame, self.uid);
        put_number(&mut frame, self.gid);
        frame
    }

    /// Returns `None` if the frame has no credentials.
    pub fn decode(frame: &[u8]) -> Option<Credentials> {
        let mut fields = Fields(frame);
        let (uid, gid) = (fields.number()?, fields.number()?);
        fields.end(Credentials { uid, gid })
    }
}

fn put_number(frame: &mut Vec<u8>, number: u32) {
    frame.extend(number.to_le_bytes());
}

/// Appends a length and the bytes. They are far fewer than 4 GiB: [`ExecRequest::encode`] checks it, all other callers pass short
/// texts.
fn put_bytes(frame: &mut Vec<u8>, bytes: &[u8]) {
    put_number(frame, bytes.len() as u32);
    frame.extend(bytes);
}

/// The part of a frame that is not read yet.
struct Fields<'a>(&'a [u8]);

impl<'a> Fields<'a> {
    fn number(&mut self) -> Option<u32> {
        let (number, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        Some(u32::from_le_bytes(*number))
    }

    fn bytes(&mut self) -> Option<&'a [u8]> {
        let length = self.number()? as usize;
        let (bytes, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(bytes)
    }

    fn text(&mut self) -> Option<String> {
        String::from_utf8(self.bytes()?.to_vec()).ok()
    }

    /// Returns `value` if no byte is left.
    fn end<T>(self, value: T) -> Option<T> {
        self.0.is_empty().then_some(value)
    }
}

/// Sends one frame. Blocks until `until` at most; `None`: without limit.
///
/// # Errors
///
/// The other end is closed, or does not read. Part of the frame may be sent: the socket is unusable then.
pub fn write_frame(socket: &UnixStream, payload: &[u8], until: Option<Instant>) -> io::Result<()> {
    let mut frame = Vec::with_capacity(payload.len() + 4);
    put_bytes(&mut frame, payload);
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
        let frame = many.encode().unwrap();
        assert_eq!(decoded(&frame), Some(many.clone()));
        many.arguments.push(String::new());
        assert_eq!(many.encode().unwrap_err(), "1001 arguments, more than 1000");
        // A frame that was not made by `encode()` claims as many arguments.
        let count_at = 4 + 4 + 4 + "/usr/sbin/sendmail".len();
        let mut wrong = frame;
        wrong[count_at..count_at + 4].copy_from_slice(&1001u32.to_le_bytes());
        assert_eq!(decoded(&wrong), None);

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
