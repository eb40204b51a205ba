// SPDX-License-Identifier: MIT OR Apache-2.0
//! Connections with a relay: opened within a time-out, read and written until a deadline, and the texts of their errors.

use crate::credentials::tls_error_text;
use crate::sys::time_left;
use std::io::{self, ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

/// The error text for a connection that the relay closed.
pub const CLOSED: &str = "the relay closed the connection";

/// Connects to the first address that accepts a connection. `timeout` bounds each attempt.
///
/// # Errors
///
/// The text of the last address's error.
pub fn connect(addresses: &[SocketAddr], timeout: Duration) -> Result<TcpStream, String> {
    let mut text = "no address to connect to".to_owned();
    for address in addresses {
        match TcpStream::connect_timeout(address, timeout) {
            Ok(stream) => {
                // Without this option a step may take longer, but works.
                let _ = stream.set_nodelay(true);
                return Ok(stream);
            }
            Err(error) => text = error_text(&error, timeout),
        }
    }
    Err(text)
}

/// A socket whose operations all end at the same deadline.
pub struct Timed<'a> {
    /// A blocking socket.
    pub stream: &'a TcpStream,
    /// Time from which on every operation fails with a time-out.
    pub deadline: Instant,
}

impl Timed<'_> {
    fn within(
        &self,
        bound: impl Fn(&TcpStream, Option<Duration>) -> io::Result<()>,
        mut operation: impl FnMut(&TcpStream) -> io::Result<usize>,
    ) -> io::Result<usize> {
        loop {
            bound(self.stream, Some(time_left(self.deadline)?))?;
            match operation(self.stream) {
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                // The system's error for a socket's time-out, after which rustls would retry.
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Err(ErrorKind::TimedOut.into()),
                done => return done,
            }
        }
    }
}

impl Read for Timed<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.within(TcpStream::set_read_timeout, |mut stream| stream.read(buffer))
    }
}

impl Write for Timed<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.within(TcpStream::set_write_timeout, |mut stream| stream.write(bytes))
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Returns the error's text for the log: the system's, or this library's for a time-out, a closed connection and TLS.
pub fn error_text(error: &io::Error, timeout: Duration) -> String {
    if let Some(error) = error.get_ref().and_then(|error| error.downcast_ref::<rustls::Error>()) {
        return tls_error_text(error);
    }
    match error.kind() {
        ErrorKind::UnexpectedEof => CLOSED.to_owned(),
        ErrorKind::TimedOut | ErrorKind::WouldBlock => format!("no answer within {timeout:?}"),
        _ => crate::sys::error_text(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use nix::sys::socket::{
        AddressFamily, Backlog, SockFlag, SockType, SockaddrIn, bind, getsockname, listen, socket,
    };
    use std::net::{Ipv4Addr, SocketAddrV4};
    use std::os::fd::AsRawFd;

    #[test]
    fn a_connection_attempt_ends_after_its_timeout() {
        // A listener whose queue is full answers no further connection.
        let socket =
            socket(AddressFamily::Inet, SockType::Stream, SockFlag::empty(), None).expect("a socket");
        let anywhere = SockaddrIn::from(SocketAddrV4::new(Ipv4Addr::LOCALHOST, 0));
        bind(socket.as_raw_fd(), &anywhere).expect("a port");
        listen(&socket, Backlog::new(0).expect("a number")).expect("a listener");
        let address: SockaddrIn = getsockname(socket.as_raw_fd()).expect("its address");
        let address = SocketAddrV4::new(address.ip(), address.port()).into();

        let timeout = Duration::from_millis(300);
        let mut streams = Vec::new();
        let (error, elapsed) = loop {
            let start = Instant::now();
            match connect(&[address], timeout) {
                Ok(stream) => streams.push(stream),
                Err(error) => break (error, start.elapsed()),
            }
            assert!(streams.len() < 10, "the listener's queue has no end");
        };
        assert!(!streams.is_empty());
        assert_eq!(error, "no answer within 300ms");
        assert!(elapsed >= timeout, "{elapsed:?}");
    }
}
