// SPDX-License-Identifier: MIT OR Apache-2.0
//! A conversation with HAProxy's command line: many commands on one connection, each with its answer.

use std::{
    io::{Error, ErrorKind, Read, Result, Write},
    os::unix::net::UnixStream,
    path::Path,
};

use crate::wait::patience;

/// What HAProxy writes when it waits for the next command.
const PROMPT: &[u8] = b"\n> ";

/// One connection.
pub struct Conversation {
    socket: UnixStream,
}

impl Conversation {
    /// Connects.
    pub fn begin(socket: &Path) -> Result<Self> {
        let socket = UnixStream::connect(socket)?;
        socket.set_read_timeout(Some(patience()))?;
        let mut conversation = Conversation { socket };
        conversation.ask("prompt")?;
        Ok(conversation)
    }

    /// Says `command` and returns the answer. An error: it is not known whether HAProxy obeyed.
    pub fn ask(&mut self, command: &str) -> Result<String> {
        self.socket.write_all(format!("{command}\n").as_bytes())?;
        let (mut answer, mut part) = (Vec::new(), [0; 4096]);
        while !answer.ends_with(PROMPT) {
            match self.socket.read(&mut part)? {
                0 => return Err(Error::new(ErrorKind::UnexpectedEof, "HAProxy has hung up")),
                length => answer.extend_from_slice(&part[..length]),
            }
        }
        answer.truncate(answer.len() - PROMPT.len());
        Ok(String::from_utf8_lossy(&answer).trim().to_owned())
    }

    /// The process at the other end.
    pub fn pid(&mut self) -> Result<i32> {
        let info = self.ask("show info")?;
        let pid = info.lines().find_map(|line| line.strip_prefix("Pid: ")?.parse().ok());
        pid.ok_or_else(|| Error::other(format!("no process in {info:?}")))
    }
}
