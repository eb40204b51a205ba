// SPDX-License-Identifier: MIT OR Apache-2.0
//! A nameserver for HAProxy's `resolvers`: it knows every name, or none.

use std::{
    net::{SocketAddr, UdpSocket},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::Duration,
};

/// Every name is 127.0.0.1; stops when dropped.
pub struct Nameserver {
    address: SocketAddr,
    knows: Arc<AtomicBool>,
    closing: Arc<AtomicBool>,
}

impl Nameserver {
    /// Knows every name.
    pub fn start() -> Self {
        let socket = UdpSocket::bind("127.0.0.1:0").expect("a UDP socket");
        socket.set_read_timeout(Some(Duration::from_millis(50))).expect("a timeout");
        let address = socket.local_addr().expect("the address of a bound socket");
        let server = Nameserver { address, knows: Arc::new(AtomicBool::new(true)), closing: Arc::default() };
        let (knows, closing) = (server.knows.clone(), server.closing.clone());
        thread::spawn(move || {
            let mut query = [0; 1024];
            while !closing.load(Ordering::Relaxed) {
                let Ok((length, client)) = socket.recv_from(&mut query) else { continue };
                if let Some(response) = response_to(&query[..length], knows.load(Ordering::Relaxed)) {
                    // HAProxy may have gone in the meantime.
                    let _ = socket.send_to(&response, client);
                }
            }
        });
        server
    }

    /// For `nameserver` in HAProxy's configuration.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// From now on, no name exists.
    pub fn forget(&self) {
        self.knows.store(false, Ordering::Relaxed);
    }

    /// From now on, every name exists.
    pub fn remember(&self) {
        self.knows.store(true, Ordering::Relaxed);
    }
}

impl Drop for Nameserver {
    fn drop(&mut self) {
        self.closing.store(true, Ordering::Relaxed);
    }
}

/// RFC 1035, 4.1: a header of 12 bytes, then the question: labels, a zero, type and class.
fn response_to(query: &[u8], knows: bool) -> Option<Vec<u8>> {
    const NAME_ERROR: u8 = 3;
    let labels_end = 12 + query.get(12..)?.iter().position(|byte| *byte == 0)?;
    let question = query.get(12..labels_end + 5)?;
    let asks_for_ipv4 = question[question.len() - 4..] == [0, 1, 0, 1];
    let answers = u8::from(knows && asks_for_ipv4);
    let flags = [0x81, 0x80 | if knows { 0 } else { NAME_ERROR }];
    let mut response = [&query[..2], &flags, &[0, 1, 0, answers, 0, 0, 0, 0], question].concat();
    if answers > 0 {
        // The name of the question again, A, IN, one second, four bytes.
        response.extend([0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 1, 0, 4, 127, 0, 0, 1]);
    }
    Some(response)
}
