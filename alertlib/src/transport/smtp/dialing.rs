// SPDX-License-Identifier: MIT OR Apache-2.0
//! A connection that is being made. It is begun without waiting: the relay wakes up and greets while its mail is made.

use super::session::hears_soon;
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::socket::{AddressFamily, SockFlag, SockType, SockaddrIn, SockaddrIn6, connect, socket};
use std::io;
use std::net::{SocketAddr, TcpStream};
use std::os::fd::{AsFd, AsRawFd};
use std::time::{Duration, Instant};

/// A connection that is being made.
pub struct Dialing {
    stream: TcpStream,
    /// Where to.
    pub address: SocketAddr,
    begun: Instant,
}

impl Dialing {
    /// Begins to connect. Waits for nothing.
    ///
    /// # Errors
    ///
    /// The system's.
    pub fn begin(address: SocketAddr) -> io::Result<Self> {
        let open = |family| {
            let flags = SockFlag::SOCK_NONBLOCK | SockFlag::SOCK_CLOEXEC;
            socket(family, SockType::Stream, flags, None)
        };
        let (socket, outcome) = match address {
            SocketAddr::V4(address) => {
                let socket = open(AddressFamily::Inet)?;
                let outcome = connect(socket.as_raw_fd(), &SockaddrIn::from(address));
                (socket, outcome)
            }
            SocketAddr::V6(address) => {
                let socket = open(AddressFamily::Inet6)?;
                let outcome = connect(socket.as_raw_fd(), &SockaddrIn6::from(address));
                (socket, outcome)
            }
        };
        match outcome {
            Ok(()) | Err(Errno::EINPROGRESS) => {
                Ok(Dialing { stream: TcpStream::from(socket), address, begun: Instant::now() })
            }
            Err(error) => Err(error.into()),
        }
    }

    /// Is there a connection, and did the relay greet, or does it soon?
    pub fn is_greeted_soon(&self) -> bool {
        hears_soon(&self.stream)
    }

    /// The connection, whose operations wait from now on.
    ///
    /// # Errors
    ///
    /// The system's, or a time-out: `timeout` is counted from the beginning.
    pub fn finish(self, timeout: Duration) -> io::Result<TcpStream> {
        let deadline = self.begun + timeout;
        loop {
            let mut sockets = [PollFd::new(self.stream.as_fd(), PollFlags::POLLOUT)];
            // Rounded up, so that it does not turn around in the last millisecond.
            let left = deadline.saturating_duration_since(Instant::now()) + Duration::from_micros(999);
            match poll(&mut sockets, PollTimeout::try_from(left).unwrap_or(PollTimeout::MAX)) {
                Ok(0) if Instant::now() >= deadline => return Err(io::ErrorKind::TimedOut.into()),
                Ok(0) | Err(Errno::EINTR) => {}
                Ok(_) => break,
                Err(error) => return Err(error.into()),
            }
        }
        if let Some(error) = self.stream.take_error()? {
            return Err(error);
        }
        self.stream.set_nonblocking(false)?;
        Ok(self.stream)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use nix::sys::socket::{Backlog, bind, getsockname, listen};
    use std::net::{Ipv4Addr, SocketAddrV4};

    #[test]
    fn a_relay_that_takes_no_more_connections_is_waited_for_and_not_for_longer() {
        let socket =
            socket(AddressFamily::Inet, SockType::Stream, SockFlag::empty(), None).expect("a socket");
        let anywhere = SockaddrIn::from(SocketAddrV4::new(Ipv4Addr::LOCALHOST, 0));
        bind(socket.as_raw_fd(), &anywhere).expect("a port");
        listen(&socket, Backlog::new(0).expect("a number")).expect("a listener");
        let address: SockaddrIn = getsockname(socket.as_raw_fd()).expect("its address");
        let address = SocketAddrV4::new(address.ip(), address.port()).into();

        let timeout = Duration::from_millis(300);
        let mut taken = Vec::new();
        let (error, took) = loop {
            let start = Instant::now();
            match Dialing::begin(address).and_then(|dialing| dialing.finish(timeout)) {
                Ok(stream) => taken.push(stream),
                Err(error) => break (error, start.elapsed()),
            }
            assert!(taken.len() < 10, "the queue of the socket has no end");
        };
        assert!(!taken.is_empty());
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
        assert!(took >= timeout, "{took:?}");
    }
}
