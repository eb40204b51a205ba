// SPDX-License-Identifier: MIT OR Apache-2.0
//! What the library and its helper process say to each other: frames over a stream socket.
//!
//! A frame is a length and as many bytes; a field of varying size is so too. Numbers have 32 bits, little-endian. Both
//! ends are of one program, but neither trusts a length: they are bounded, and a frame that is not understood to its last
//! byte ends the conversation.

use nix::sys::socket::{MsgFlags, send};
use std::ffi::OsStr;
use std::io::{self, ErrorKind, Read};
use std::net::IpAddr;
use std::os::fd::AsRawFd;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::time::{Duration, Instant};

/// Longest standard input of a command, in bytes.
pub const INPUT_MAX: usize = 8 << 20;
/// Most arguments of a command.
pub const ARGUMENTS_MAX: usize = 1000;
/// Most addresses of a name.
pub const ADDRESSES_MAX: usize = 100;
/// Longest frame, in bytes: the input, and the arguments beside it.
pub const FRAME_MAX: usize = INPUT_MAX + (1 << 20);

/// What the helper is asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Request {
    /// Run a command; its answer is an [`ExecResult`].
    Exec(ExecRequest),
    /// Look a name up; its answer is a [`ResolveResult`].
    Resolve(ResolveRequest),
}

/// A name to look up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ResolveRequest {
    /// The name.
    pub host: String,
    /// When the answer is to be there; whole milliseconds count.
    pub deadline: Duration,
}

/// The addresses of a name, or the resolver's words.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ResolveResult(pub Result<Vec<IpAddr>, String>);

/// A command to run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExecRequest {
    /// Its absolute path: no shell and no search.
    pub program: PathBuf,
    /// Without the program's own name.
    pub arguments: Vec<String>,
    /// What it reads on its standard input.
    pub input: Vec<u8>,
    /// When it is killed, from its start; whole milliseconds count.
    pub deadline: Duration,
}

/// How a command ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ExecStatus {
    /// By itself, with this status.
    Exit(i32),
    /// By a signal that somebody else sent, or that it deserved.
    Signal(i32),
    /// It was killed at the deadline.
    Deadline,
    /// It did not even start: the system's words.
    NotStarted(String),
}

/// What became of a [`ExecRequest`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExecResult {
    /// How it ended.
    pub outcome: ExecStatus,
    /// The beginning of what it wrote to standard output and standard error.
    pub output: Vec<u8>,
}

/// Whom the helper runs as; the first frame that it gets. Its answer is a text: empty, or what went wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Credentials {
    /// User id; 0: as it is.
    pub uid: u32,
    /// Group id; 0: as it is.
    pub gid: u32,
}

const RUN: u32 = 0;
const RESOLVE: u32 = 1;

const EXIT: u32 = 0;
const SIGNAL: u32 = 1;
const DEADLINE: u32 = 2;
const NOT_STARTED: u32 = 3;

impl Request {
    /// `None`: it is not an order.
    pub fn decode(frame: &[u8]) -> Option<Request> {
        let mut fields = Fields(frame);
        match fields.number()? {
            RUN => ExecRequest::read(fields).map(Request::Exec),
            RESOLVE => ResolveRequest::read(fields).map(Request::Resolve),
            _ => None,
        }
    }
}

impl ResolveRequest {
    /// The frame's bytes.
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
    /// The frame's bytes: the words, and the addresses as text.
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

    /// `None`: it is not such an answer.
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
    /// # Errors
    ///
    /// It is larger than the other end would take: which part, and the limit.
    pub fn encode(&self) -> Result<Vec<u8>, String> {
        if self.input.len() > INPUT_MAX {
            return Err(format!("the mail has {} bytes, more than {INPUT_MAX}", self.input.len()));
        }
        if self.arguments.len() > ARGUMENTS_MAX {
            return Err(format!("{} arguments, more than {ARGUMENTS_MAX}", self.arguments.len()));
        }
        let mut frame = Vec::with_capacity(self.input.len() + 1024);
        put_number(&mut frame, RUN);
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
    /// The frame's bytes.
    pub fn encode(&self) -> Vec<u8> {
        let (kind, number, words) = match &self.outcome {
            ExecStatus::Exit(status) => (EXIT, *status, ""),
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

    /// `None`: it is not an answer.
    pub fn decode(frame: &[u8]) -> Option<ExecResult> {
        let mut fields = Fields(frame);
        let kind = fields.number()?;
        let number = fields.number()? as i32;
        let words = fields.text()?;
        let outcome = match kind {
            EXIT => ExecStatus::Exit(number),
            SIGNAL => ExecStatus::Signal(number),
            DEADLINE => ExecStatus::Deadline,
            NOT_STARTED => ExecStatus::NotStarted(words),
            _ => return None,
        };
        let output = fields.bytes()?.to_vec();
        fields.end(ExecResult { outcome, output })
    }
}

impl Credentials {
    /// The frame's bytes.
    pub fn encode(self) -> Vec<u8> {
        let mut frame = Vec::new();
        put_number(&mut frame, self.uid);
        put_number(&mut frame, self.gid);
        frame
    }

    /// `None`: it is not an identity.
    pub fn decode(frame: &[u8]) -> Option<Credentials> {
        let mut fields = Fields(frame);
        let (uid, gid) = (fields.number()?, fields.number()?);
        fields.end(Credentials { uid, gid })
    }
}

fn put_number(frame: &mut Vec<u8>, number: u32) {
    frame.extend(number.to_le_bytes());
}

/// Every caller's bytes are far fewer than 4 GiB: [`ExecRequest::encode`] has looked, the others are made here.
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

    /// `whole`, if nothing is left.
    fn end<T>(self, whole: T) -> Option<T> {
        self.0.is_empty().then_some(whole)
    }
}

/// Sends one frame. `until`: gives up then; `None`: never.
///
/// # Errors
///
/// The other end is gone, or does not read. Part of the frame may be sent: the socket is of no use any more.
pub fn write_frame(socket: &UnixStream, payload: &[u8], until: Option<Instant>) -> io::Result<()> {
    let mut frame = Vec::with_capacity(payload.len() + 4);
    put_bytes(&mut frame, payload);
    let mut rest = frame.as_slice();
    while !rest.is_empty() {
        socket.set_write_timeout(remaining(until)?)?;
        // Not `write()`: HAProxy's SIGPIPE is none of our business.
        match send(socket.as_raw_fd(), rest, MsgFlags::MSG_NOSIGNAL).map_err(io::Error::from) {
            Ok(sent) => rest = rest.get(sent..).unwrap_or_default(),
            Err(error) if error.kind() == ErrorKind::Interrupted => (),
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// Receives one frame; `None`: the other end has closed, and nothing of a frame came. `until`: as in [`write_frame`].
///
/// # Errors
///
/// Nothing came in time, the end in the middle of a frame, or one that is longer than [`FRAME_MAX`]. The socket is of
/// no use any more.
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

/// Fills `buffer`; 0: there was nothing but the end.
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

/// What a socket's timeout has to be: `None`, or more than nothing.
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
            Request::Resolve(lookup) => panic!("{lookup:?}"),
        }
    }

    fn found() -> [ResolveResult; 3] {
        let addresses = vec!["192.0.2.1".parse().unwrap(), "2001:db8::1".parse().unwrap()];
        [
            ResolveResult(Ok(addresses)),
            ResolveResult(Ok(Vec::new())),
            ResolveResult(Err("no such name".into())),
        ]
    }

    #[test]
    fn look_ups_and_their_answers_are_what_they_were() {
        let lookup = ResolveRequest { host: "mx1.example.com".into(), deadline: Duration::from_millis(1500) };
        let frame = lookup.encode();
        assert_eq!(Request::decode(&frame), Some(Request::Resolve(lookup)));
        for length in 0..frame.len() {
            assert_eq!(Request::decode(&frame[..length]), None, "{length} bytes");
        }
        for found in found() {
            let frame = found.encode();
            for length in 0..frame.len() {
                assert_eq!(ResolveResult::decode(&frame[..length]), None, "{length} bytes");
            }
            assert_eq!(ResolveResult::decode(&[&frame[..], b"x"].concat()), None);
            assert_eq!(ResolveResult::decode(&frame), Some(found));
        }
        let many = ResolveResult(Ok(vec!["192.0.2.1".parse().unwrap(); ADDRESSES_MAX + 1]));
        assert_eq!(ResolveResult::decode(&many.encode()), None);
    }

    fn answers() -> [ExecResult; 5] {
        let answer = |outcome, output: &[u8]| ExecResult { outcome, output: output.to_vec() };
        [
            answer(ExecStatus::Exit(0), b""),
            answer(ExecStatus::Exit(255), b"\xff\0"),
            answer(ExecStatus::Signal(9), b"oh"),
            answer(ExecStatus::Deadline, b""),
            answer(ExecStatus::NotStarted("No such file".into()), b""),
        ]
    }

    #[test]
    fn what_is_decoded_is_what_was_encoded() {
        let frame = request().encode().unwrap();
        assert_eq!(decoded(&frame), Some(request()));
        for answer in answers() {
            assert_eq!(ExecResult::decode(&answer.encode()), Some(answer));
        }
        let identity = Credentials { uid: 99, gid: u32::MAX };
        assert_eq!(Credentials::decode(&identity.encode()), Some(identity));
    }

    #[test]
    fn a_frame_cut_anywhere_or_with_more_behind_it_is_refused() {
        let frame = request().encode().unwrap();
        for length in 0..frame.len() {
            assert_eq!(decoded(&frame[..length]), None, "{length} bytes");
        }
        assert_eq!(decoded(&[&frame[..], b"x"].concat()), None);
        for answer in answers() {
            let frame = answer.encode();
            for length in 0..frame.len() {
                assert_eq!(ExecResult::decode(&frame[..length]), None, "{length} bytes");
            }
            assert_eq!(ExecResult::decode(&[&frame[..], b"x"].concat()), None);
        }
    }

    #[test]
    fn wrong_bytes_are_never_more_than_refused() {
        let frame = request().encode().unwrap();
        for place in 0..frame.len() {
            for value in [0, 1, 0x7f, 0x80, 0xff] {
                let mut wrong = frame.clone();
                wrong[place] = value;
                // Whatever it says now, its parts are no larger than it is.
                match Request::decode(&wrong) {
                    Some(Request::Exec(request)) => {
                        assert!(request.input.len() <= wrong.len() && request.arguments.len() <= wrong.len());
                    }
                    Some(Request::Resolve(lookup)) => assert!(lookup.host.len() <= wrong.len()),
                    None => {}
                }
                ResolveResult::decode(&wrong);
                ExecResult::decode(&wrong);
                Credentials::decode(&wrong);
            }
        }
    }

    #[test]
    fn limits_hold_at_both_ends() {
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
        // The same number of arguments in a frame that somebody else made.
        let count_at = 4 + 4 + 4 + "/usr/sbin/sendmail".len();
        let mut wrong = frame;
        wrong[count_at..count_at + 4].copy_from_slice(&1001u32.to_le_bytes());
        assert_eq!(decoded(&wrong), None);

        let mut long = request();
        long.arguments = vec!["x".repeat(FRAME_MAX)];
        assert!(long.encode().unwrap_err().ends_with("more than 9437184"));
    }

    #[test]
    fn frames_cross_a_socket_and_its_end_is_seen() {
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
    fn a_cut_or_oversized_frame_is_an_error() {
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
    fn a_peer_that_neither_reads_nor_writes_is_given_up() {
        let (mine, _theirs) = UnixStream::pair().unwrap();
        let soon = || Some(Instant::now() + Duration::from_millis(20));
        let timed_out =
            |error: io::Error| matches!(error.kind(), ErrorKind::TimedOut | ErrorKind::WouldBlock);
        assert!(timed_out(read_frame(&mine, soon()).unwrap_err()));
        assert!(timed_out(write_frame(&mine, &vec![0; FRAME_MAX], soon()).unwrap_err()));
    }
}
