// SPDX-License-Identifier: MIT OR Apache-2.0
//! A TCP service on a port that stays ours: it can listen, refuse or hang, and change between them while it runs.
//! And ports for the programs of others.

use std::{
    collections::BTreeMap,
    net::{SocketAddr, TcpListener, TcpStream},
    os::fd::{AsRawFd, OwnedFd},
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
    time::Duration,
};

use nix::sys::socket::{
    AddressFamily, Backlog, Shutdown, SockFlag, SockType, SockaddrIn, bind, getsockname, listen, setsockopt,
    shutdown, socket, sockopt,
};

/// Of connections.
static NUMBERS: AtomicUsize = AtomicUsize::new(0);

/// What is done with each connection, on a thread of its own.
pub type Handler = dyn Fn(TcpStream) + Send + Sync;

/// A port of the loopback interface that nobody else gets. It refuses connections while nothing listens there.
pub struct Port {
    address: SocketAddr,
    // Bound and never listening.
    _holder: OwnedFd,
}

impl Port {
    /// A free one.
    pub fn new() -> Self {
        let holder = bound_socket(SockaddrIn::new(127, 0, 0, 1, 0));
        let name: SockaddrIn = getsockname(holder.as_raw_fd()).expect("the name of a bound socket");
        Port { address: SocketAddr::from(([127, 0, 0, 1], name.port())), _holder: holder }
    }

    /// Where it is. What listens there must set SO_REUSEADDR, as servers do.
    pub fn address(&self) -> SocketAddr {
        self.address
    }
}

impl Default for Port {
    fn default() -> Self {
        Self::new()
    }
}

/// A service on the loopback interface.
pub struct Service {
    port: Port,
    handler: Arc<Handler>,
    connections: Arc<Mutex<BTreeMap<usize, TcpStream>>>,
    presence: Mutex<Presence>,
}

enum Presence {
    Refusing,
    Listening(Arc<TcpListener>),
    Hanging { socket: OwnedFd, _queue: Vec<TcpStream> },
}

impl Service {
    /// A service that listens at once.
    pub fn start(handler: impl Fn(TcpStream) + Send + Sync + 'static) -> Self {
        let service = Service {
            port: Port::new(),
            handler: Arc::new(handler),
            connections: Arc::default(),
            presence: Mutex::new(Presence::Refusing),
        };
        service.listens();
        service
    }

    /// Where it is, whether it listens or not.
    pub fn address(&self) -> SocketAddr {
        self.port.address()
    }

    /// From now on connections are accepted.
    pub fn listens(&self) {
        let listener = Arc::new(TcpListener::from(self.listening_socket(128)));
        self.change_to(Presence::Listening(listener.clone()));
        let (handler, connections) = (self.handler.clone(), self.connections.clone());
        thread::spawn(move || {
            while let Ok((connection, _)) = listener.accept() {
                let (handler, connections) = (handler.clone(), connections.clone());
                let number = NUMBERS.fetch_add(1, Ordering::Relaxed);
                connections.lock().unwrap().extend(connection.try_clone().map(|clone| (number, clone)));
                thread::spawn(move || {
                    handler(connection);
                    connections.lock().unwrap().remove(&number);
                });
            }
        });
    }

    /// From now on connections are refused; those that exist go on.
    pub fn refuses(&self) {
        self.change_to(Presence::Refusing);
    }

    /// The connections that exist end.
    pub fn hangs_up(&self) {
        for connection in self.connections.lock().unwrap().values() {
            // It may have ended by itself.
            let _ = shutdown(connection.as_raw_fd(), Shutdown::Both);
        }
    }

    /// From now on connecting takes for ever: the accept queue is full, so the kernel drops what comes.
    pub fn hangs(&self) {
        let socket = self.listening_socket(0);
        self.change_to(Presence::Refusing);
        let connect = || TcpStream::connect_timeout(&self.address(), Duration::from_millis(100)).ok();
        let queue: Vec<_> = std::iter::from_fn(connect).take(10).collect();
        assert!(queue.len() < 10, "the accept queue of {} did not fill", self.address());
        self.change_to(Presence::Hanging { socket, _queue: queue });
    }

    fn listening_socket(&self, backlog: i32) -> OwnedFd {
        let SocketAddr::V4(address) = self.address() else { unreachable!("the service is on IPv4") };
        let socket = bound_socket(address.into());
        listen(&socket, Backlog::new(backlog).unwrap()).expect("listen on a bound socket");
        socket
    }

    fn change_to(&self, new: Presence) {
        let old = std::mem::replace(&mut *self.presence.lock().unwrap(), new);
        // Ends the accept() of the thread that holds the listener.
        match old {
            Presence::Refusing => {}
            Presence::Listening(listener) => drop(shutdown(listener.as_raw_fd(), Shutdown::Both)),
            Presence::Hanging { socket, .. } => drop(shutdown(socket.as_raw_fd(), Shutdown::Both)),
        }
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        self.refuses();
    }
}

fn bound_socket(address: SockaddrIn) -> OwnedFd {
    let socket =
        socket(AddressFamily::Inet, SockType::Stream, SockFlag::SOCK_CLOEXEC, None).expect("a socket");
    setsockopt(&socket, sockopt::ReuseAddr, &true).expect("SO_REUSEADDR");
    // Several sockets share the port: the one that holds it and the one that listens.
    setsockopt(&socket, sockopt::ReusePort, &true).expect("SO_REUSEPORT");
    bind(socket.as_raw_fd(), &address).unwrap_or_else(|error| panic!("bind to {address}: {error}"));
    socket
}
