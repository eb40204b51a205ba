// SPDX-License-Identifier: MIT OR Apache-2.0
//! One HTTP request at a time, as a user of the service behind HAProxy would make it.

use std::{
    io::{Read, Write},
    os::unix::net::UnixStream,
    path::Path,
    time::{Duration, Instant},
};

use crate::wait::patience;

/// What came back, and how long it took.
#[derive(Debug)]
pub struct Answer {
    /// The status of the response.
    pub status: u16,
    /// From connecting to the last byte.
    pub took: Duration,
}

/// A GET request on a connection of its own. The frontends of the tests are unix sockets: nobody can take their ports.
pub fn get(frontend: &Path) -> std::io::Result<Answer> {
    let start = Instant::now();
    let mut connection = UnixStream::connect(frontend)?;
    connection.set_read_timeout(Some(patience()))?;
    connection.write_all(b"GET / HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n")?;
    let mut response = String::new();
    connection.read_to_string(&mut response)?;
    let status = response.split(' ').nth(1).and_then(|status| status.parse().ok());
    let status = status.ok_or_else(|| std::io::Error::other(format!("no HTTP response: {response:?}")))?;
    Ok(Answer { status, took: start.elapsed() })
}
