// SPDX-License-Identifier: MIT OR Apache-2.0
//! A TCP proxy that puts a relay at a chosen round-trip time (RTT).
//!
//! The model, with the client's `connect()` at time 0:
//!
//! - `connect()` itself returns at once, because the proxy listens on loopback. The TCP handshake is charged afterwards: the
//!   proxy connects to the relay at 1 RTT, and takes nothing from the client before that.
//! - Every chunk of bytes is delivered half an RTT after the proxy has read it. Chunks do not wait for each other: many can be
//!   in flight in both directions, in order. There is no loss, no limit of bandwidth and no slow start.
//! - So the first bytes reach the other end no sooner than 1.5 RTT: the client's at the relay (as on a real network), and the
//!   relay's greeting at the client. On a real network that greeting comes at 2 RTT, because a server accepts the connection
//!   only with the handshake's third packet. All clients are treated alike.
//! - The end of a direction travels like bytes do, and closes that direction only.

use std::{
    hint::spin_loop,
    io::{Read, Write},
    net::{Shutdown, SocketAddr, TcpStream},
    sync::mpsc::{Receiver, Sender, channel},
    thread,
    time::{Duration, Instant},
};

use crate::port::Service;

/// Largest chunk in bytes.
const CHUNK: usize = 64 << 10;
/// The kernel wakes a thread up to so much too late; the rest of the time is spun.
const TIMER_SLACK: Duration = Duration::from_micros(100);

/// A listener on loopback that forwards each connection to one relay; stops listening when dropped.
pub struct DelayProxy {
    service: Service,
}

impl DelayProxy {
    /// Forwards to `relay` from now on, at this round-trip time.
    pub fn start(relay: SocketAddr, round_trip: Duration) -> Self {
        DelayProxy { service: Service::start(move |client| forward(client, relay, round_trip)) }
    }

    /// The address for clients.
    pub fn address(&self) -> SocketAddr {
        self.service.address()
    }
}

/// Serves one connection until both directions have ended.
fn forward(client: TcpStream, relay: SocketAddr, round_trip: Duration) {
    wait_until(Instant::now() + round_trip);
    // A relay that refuses the connection: the client sees it closed.
    let Ok(relay) = TcpStream::connect(relay) else { return };
    thread::scope(|scope| {
        for (from, to) in [(&client, &relay), (&relay, &client)] {
            // Small chunks must not wait for acknowledgements.
            let _ = to.set_nodelay(true);
            let (sender, receiver) = channel();
            scope.spawn(move || read(from, &sender, round_trip / 2));
            scope.spawn(move || {
                write(to, &receiver);
                // Ends the reader if `to` no longer takes bytes.
                let _ = from.shutdown(Shutdown::Read);
            });
        }
    });
}

/// Bytes, and when they are due at the other end.
type InFlight = (Instant, Vec<u8>);

/// Reads until the end of the direction or an error, which is treated as the end. An empty chunk is the end.
fn read(mut from: &TcpStream, queue: &Sender<InFlight>, delay: Duration) {
    let mut buffer = vec![0; CHUNK];
    loop {
        let length = from.read(&mut buffer).unwrap_or(0);
        let chunk = (Instant::now() + delay, buffer[..length].to_vec());
        if queue.send(chunk).is_err() || length == 0 {
            return;
        }
    }
}

/// Delivers each chunk when it is due, and the end of the direction.
fn write(mut to: &TcpStream, queue: &Receiver<InFlight>) {
    for (due, chunk) in queue {
        wait_until(due);
        if chunk.is_empty() {
            let _ = to.shutdown(Shutdown::Write);
            return;
        }
        if to.write_all(&chunk).is_err() {
            return;
        }
    }
}

fn wait_until(due: Instant) {
    thread::sleep(due.saturating_duration_since(Instant::now()).saturating_sub(TIMER_SLACK));
    while Instant::now() < due {
        spin_loop();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RTT: Duration = Duration::from_millis(200);
    /// Far less than a delay for each of the chunks of a test.
    const GENEROUS: Duration = Duration::from_millis(1500);

    fn connect(proxy: &DelayProxy) -> TcpStream {
        let client = TcpStream::connect(proxy.address()).expect("a connection to the proxy");
        client.set_nodelay(true).expect("no delay");
        client.set_read_timeout(Some(Duration::from_secs(20))).expect("a timeout");
        client
    }

    #[test]
    fn a_greeting_arrives_one_and_a_half_round_trips_after_connecting() {
        let server = Service::start(|mut connection| {
            connection.write_all(b"220 hello\r\n").expect("write the greeting");
        });
        let proxy = DelayProxy::start(server.address(), RTT);
        let start = Instant::now();
        let mut greeting = String::new();
        connect(&proxy).read_to_string(&mut greeting).expect("the greeting");
        let took = start.elapsed();
        assert_eq!(greeting, "220 hello\r\n");
        assert!(took >= RTT * 3 / 2 && took < RTT * 3 / 2 + GENEROUS, "{took:?}");
    }

    #[test]
    fn chunks_in_flight_keep_their_order_and_are_delayed_once() {
        const CHUNKS: u8 = 40;
        let server = Service::start(|mut connection| {
            let mut buffer = [0; 64];
            while let Ok(length @ 1..) = connection.read(&mut buffer) {
                connection.write_all(&buffer[..length]).expect("write the echo");
            }
        });
        let proxy = DelayProxy::start(server.address(), RTT);
        let mut client = connect(&proxy);
        let mut byte = [0];
        client.write_all(b"!").expect("write");
        client.read_exact(&mut byte).expect("the echo");

        // The connection is open: each byte takes one round trip, and 40 one after the other would take 8 s.
        let start = Instant::now();
        for number in 0..CHUNKS {
            client.write_all(&[number]).expect("write");
            thread::sleep(Duration::from_millis(2));
        }
        let mut echo = [0; CHUNKS as usize];
        client.read_exact(&mut echo).expect("the echo");
        let took = start.elapsed();
        assert_eq!(echo.to_vec(), (0..CHUNKS).collect::<Vec<u8>>());
        assert!(took >= RTT && took < RTT + GENEROUS, "{took:?}");
    }

    #[test]
    fn a_half_close_is_forwarded_and_the_answer_still_arrives() {
        let server = Service::start(|mut connection| {
            let mut all = Vec::new();
            connection.read_to_end(&mut all).expect("the client's bytes");
            connection.write_all(format!("{} bytes", all.len()).as_bytes()).expect("write the answer");
        });
        let proxy = DelayProxy::start(server.address(), Duration::from_millis(20));
        let mut client = connect(&proxy);
        client.write_all(&[7; 200_000]).expect("write");
        client.shutdown(Shutdown::Write).expect("half-close");
        let mut answer = String::new();
        client.read_to_string(&mut answer).expect("the answer");
        assert_eq!(answer, "200000 bytes");
    }

    #[test]
    fn a_relay_that_refuses_connections_closes_the_client_connection() {
        let server = Service::start(drop);
        server.refuses();
        let proxy = DelayProxy::start(server.address(), Duration::from_millis(20));
        let mut rest = Vec::new();
        // A reset is an end as well.
        let _ = connect(&proxy).read_to_end(&mut rest);
        assert!(rest.is_empty());
    }
}
