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
pub enum Order {
    /// Run a command; its answer is an [`Answer`].
    Run(Request),
    /// Look a name up; its answer is a [`Found`].
    Resolve(Lookup),
}

/// A name to look up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lookup {
    /// The name.
    pub host: String,
    /// When the answer is to be there; whole milliseconds count.
    pub deadline: Duration,
}

/// The addresses of a name, or the resolver's words.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found(pub Result<Vec<IpAddr>, String>);

/// A command to run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
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
pub enum Outcome {
    /// By itself, with this status.
    Exit(i32),
    /// By a signal that somebody else sent, or that it deserved.
    Signal(i32),
    /// It was killed at the deadline.
    Deadline,
    /// It did not even start: the system's words.
    NotStarted(String),
}

/// What became of a [`Request`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// How it ended.
    pub outcome: Outcome,
    /// The beginning of what it wrote to standard output and standard error.
    pub output: Vec<u8>,
}

/// Whom the helper runs as; the first frame that it gets. Its answer is a text: empty, or what went wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Identity {
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

impl Order {
    /// `None`: it is not an order.
    pub fn decode(frame: &[u8]) -> Option<Order> {
        let mut fields = Fields(frame);
        match fields.number()? {
            RUN => Request::read(fields).map(Order::Run),
            RESOLVE => Lookup::read(fields).map(Order::Resolve),
            _ => None,
        }
    }
}

impl Lookup {
    /// The frame's bytes.
    pub fn encode(&self) -> Vec<u8> {
        let mut frame = Vec::new();
        put_number(&mut frame, RESOLVE);
        put_number(&mut frame, u32::try_from(self.deadline.as_millis()).unwrap_or(u32::MAX));
        put_bytes(&mut frame, self.host.as_bytes());
        frame
    }

    fn read(mut fields: Fields) -> Option<Lookup> {
        let deadline = Duration::from_millis(fields.number()?.into());
        let host = fields.text()?;
        fields.end(Lookup { host, deadline })
    }
}

impl Found {
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
    pub fn decode(frame: &[u8]) -> Option<Found> {
        let mut fields = Fields(frame);
        let words = fields.text()?;
        let count = fields.number()? as usize;
        if count > ADDRESSES_MAX {
            return None;
        }
        let addresses = (0..count).map(|_| fields.text()?.parse().ok()).collect::<Option<Vec<IpAddr>>>()?;
        fields.end(Found(if words.is_empty() { Ok(addresses) } else { Err(words) }))
    }
}

impl Request {
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

    fn read(mut fields: Fields) -> Option<Request> {
        let deadline = Duration::from_millis(fields.number()?.into());
        let program = PathBuf::from(OsStr::from_bytes(fields.bytes()?));
        let count = fields.number()? as usize;
        if count > ARGUMENTS_MAX {
            return None;
        }
        let arguments = (0..count).map(|_| fields.text()).collect::<Option<Vec<String>>>()?;
        let input = fields.bytes()?.to_vec();
        fields.end(Request { program, arguments, input, deadline })
    }
}

impl Answer {
    /// The frame's bytes.
    pub fn encode(&self) -> Vec<u8> {
        let (kind, number, words) = match &self.outcome {
            Outcome::Exit(status) => (EXIT, *status, ""),
            Outcome::Signal(signal) => (SIGNAL, *signal, ""),
            Outcome::Deadline => (DEADLINE, 0, ""),
            Outcome::NotStarted(words) => (NOT_STARTED, 0, words.as_str()),
        };
        let mut frame = Vec::new();
        put_number(&mut frame, kind);
        put_number(&mut frame, number as u32);
        put_bytes(&mut frame, words.as_bytes());
        put_bytes(&mut frame, &self.output);
        frame
    }

    /// `None`: it is not an answer.
    pub fn decode(frame: &[u8]) -> Option<Answer> {
        let mut fields = Fields(frame);
        let kind = fields.number()?;
        let number = fields.number()? as i32;
        let words = fields.text()?;
        let outcome = match kind {
            EXIT => Outcome::Exit(number),
            SIGNAL => Outcome::Signal(number),
            DEADLINE => Outcome::Deadline,
            NOT_STARTED => Outcome::NotStarted(words),
            _ => return None,
        };
        let output = fields.bytes()?.to_vec();
        fields.end(Answer { outcome, output })
    }
}

impl Identity {
    /// The frame's bytes.
    pub fn encode(self) -> Vec<u8> {
        let mut frame = Vec::new();
        put_number(&mut frame, self.uid);
        put_number(&mut frame, self.gid);
        frame
    }

    /// `None`: it is not an identity.
    pub fn decode(frame: &[u8]) -> Option<Identity> {
        let mut fields = Fields(frame);
        let (uid, gid) = (fields.number()?, fields.number()?);
        fields.end(Identity { uid, gid })
    }
}

fn put_number(frame: &mut Vec<u8>, number: u32) {
    frame.extend(number.to_le_bytes());
}

/// Every caller's bytes are far fewer than 4 GiB: [`Request::encode`] has looked, the others are made here.
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

    fn request() -> Request {
        Request {
            program: "/usr/sbin/sendmail".into(),
            arguments: vec!["-i".into(), String::new(), "é".into()],
            input: b"Subject: x\n\n\0\xff".to_vec(),
            deadline: Duration::from_millis(1500),
        }
    }

    fn decoded(frame: &[u8]) -> Option<Request> {
        match Order::decode(frame)? {
            Order::Run(request) => Some(request),
            Order::Resolve(lookup) => panic!("{lookup:?}"),
        }
    }

    fn found() -> [Found; 3] {
        let addresses = vec!["192.0.2.1".parse().unwrap(), "2001:db8::1".parse().unwrap()];
        [Found(Ok(addresses)), Found(Ok(Vec::new())), Found(Err("no such name".into()))]
    }

    #[test]
    fn look_ups_and_their_answers_are_what_they_were() {
        let lookup = Lookup { host: "mx1.example.com".into(), deadline: Duration::from_millis(1500) };
        let frame = lookup.encode();
        assert_eq!(Order::decode(&frame), Some(Order::Resolve(lookup)));
        for length in 0..frame.len() {
            assert_eq!(Order::decode(&frame[..length]), None, "{length} bytes");
        }
        for found in found() {
            let frame = found.encode();
            for length in 0..frame.len() {
                assert_eq!(Found::decode(&frame[..length]), None, "{length} bytes");
            }
            assert_eq!(Found::decode(&[&frame[..], b"x"].concat()), None);
            assert_eq!(Found::decode(&frame), Some(found));
        }
        let many = Found(Ok(vec!["192.0.2.1".parse().unwrap(); ADDRESSES_MAX + 1]));
        assert_eq!(Found::decode(&many.encode()), None);
    }

    fn answers() -> [Answer; 5] {
        let answer = |outcome, output: &[u8]| Answer { outcome, output: output.to_vec() };
        [
            answer(Outcome::Exit(0), b""),
            answer(Outcome::Exit(255), b"\xff\0"),
            answer(Outcome::Signal(9), b"oh"),
            answer(Outcome::Deadline, b""),
            answer(Outcome::NotStarted("No such file".into()), b""),
        ]
    }

    #[test]
    fn what_is_decoded_is_what_was_encoded() {
        let frame = request().encode().unwrap();
        assert_eq!(decoded(&frame), Some(request()));
        for answer in answers() {
            assert_eq!(Answer::decode(&answer.encode()), Some(answer));
        }
        let identity = Identity { uid: 99, gid: u32::MAX };
        assert_eq!(Identity::decode(&identity.encode()), Some(identity));
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
                assert_eq!(Answer::decode(&frame[..length]), None, "{length} bytes");
            }
            assert_eq!(Answer::decode(&[&frame[..], b"x"].concat()), None);
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
                match Order::decode(&wrong) {
                    Some(Order::Run(request)) => {
                        assert!(request.input.len() <= wrong.len() && request.arguments.len() <= wrong.len());
                    }
                    Some(Order::Resolve(lookup)) => assert!(lookup.host.len() <= wrong.len()),
                    None => {}
                }
                Found::decode(&wrong);
                Answer::decode(&wrong);
                Identity::decode(&wrong);
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
