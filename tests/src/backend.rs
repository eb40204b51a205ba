// SPDX-License-Identifier: MIT OR Apache-2.0
//! A server behind HAProxy whose health the test decides.

use std::{
    io::{BufRead, BufReader, Read, Write},
    net::{SocketAddr, TcpStream},
    sync::{Arc, Mutex},
    time::Duration,
};

use crate::port::Service;

/// A server; stops when dropped.
pub struct Backend {
    service: Service,
    manners: Arc<Mutex<Manners>>,
}

#[derive(Clone)]
enum Manners {
    /// Accepts and waits for the client to leave.
    Tcp,
    /// Reads an HTTP request, then says this.
    Http(Vec<u8>),
    /// Says this at once.
    Agent(Vec<u8>),
}

impl Backend {
    /// Accepts connections and says nothing.
    pub fn tcp() -> Self {
        Self::with(Manners::Tcp)
    }

    /// Answers HTTP requests with 200.
    pub fn http() -> Self {
        Self::with(Manners::Http(http_response(200)))
    }

    /// Says this word to HAProxy's agent check.
    pub fn agent(word: &str) -> Self {
        Self::with(Manners::Agent(agent_answer(word)))
    }

    fn with(manners: Manners) -> Self {
        let manners = Arc::new(Mutex::new(manners));
        let of_the_moment = manners.clone();
        let serve = move |connection| {
            let manners = of_the_moment.lock().unwrap().clone();
            // A client that leaves early is no failure of the server.
            let _ = serve(connection, &manners);
        };
        Backend { service: Service::start(serve), manners }
    }

    /// Where HAProxy finds it.
    pub fn address(&self) -> SocketAddr {
        self.service.address()
    }

    /// Refuses connections from now on.
    pub fn goes_down(&self) {
        self.service.refuses();
    }

    /// Accepts connections again.
    pub fn comes_back(&self) {
        self.service.listens();
    }

    /// From now on a connection is not even refused.
    pub fn hangs(&self) {
        self.service.hangs();
    }

    /// HTTP requests get this status.
    pub fn answers(&self, status: u16) {
        self.says(&http_response(status));
    }

    /// The agent says this word.
    pub fn agent_says(&self, word: &str) {
        self.says(&agent_answer(word));
    }

    /// The answer is exactly this.
    pub fn says(&self, bytes: &[u8]) {
        let mut manners = self.manners.lock().unwrap();
        *manners = match *manners {
            Manners::Tcp => panic!("this server has nothing to say"),
            Manners::Http(_) => Manners::Http(bytes.to_vec()),
            Manners::Agent(_) => Manners::Agent(bytes.to_vec()),
        };
    }
}

fn serve(mut connection: TcpStream, manners: &Manners) -> std::io::Result<()> {
    connection.set_read_timeout(Some(Duration::from_secs(30)))?;
    match manners {
        Manners::Tcp => {}
        Manners::Http(answer) => {
            let lines = BufReader::new(connection.try_clone()?).lines();
            // The empty line ends the request; our clients send no body.
            lines.map_while(Result::ok).find(String::is_empty);
            connection.write_all(answer)?;
            connection.shutdown(std::net::Shutdown::Write)?;
        }
        Manners::Agent(answer) => {
            connection.write_all(answer)?;
            connection.shutdown(std::net::Shutdown::Write)?;
        }
    }
    connection.read_to_end(&mut Vec::new()).map(drop)
}

fn http_response(status: u16) -> Vec<u8> {
    let reason = match status {
        200 => "OK",
        404 => "Not Found",
        500 => "Internal Server Error",
        503 => "Service Unavailable",
        _ => "As Asked",
    };
    format!("HTTP/1.1 {status} {reason}\r\nContent-Length: 3\r\nConnection: close\r\n\r\nhi\n").into_bytes()
}

fn agent_answer(word: &str) -> Vec<u8> {
    format!("{word}\r\n").into_bytes()
}
