// SPDX-License-Identifier: MIT OR Apache-2.0
//! A relay's addresses, which may change while HAProxy runs.
//!
//! The first lookup is before the chroot. Later lookups are made by the helper process, which is outside of the chroot: before a new
//! session if the last answer is old, and when no known address accepts a connection.

use super::session::Session;
use crate::helper::client::SharedHelper;
use crate::settings::is_loopback;
use std::fmt::{self, Display};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, ToSocketAddrs};
use std::time::{Duration, Instant};

/// Age of an answer from which on the host is looked up again before the next session.
const MAX_AGE: Duration = Duration::from_secs(300);

/// A relay's host and port, and its known addresses.
pub struct Addresses {
    host: String,
    port: u16,
    known: Vec<SocketAddr>,
    /// Time of the last lookup, successful or not.
    looked_up: Option<Instant>,
    /// Makes all further lookups, if it is set.
    pub helper: Option<SharedHelper>,
}

impl Display for Addresses {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        match self.host.contains(':') {
            true => write!(f, "[{}]:{}", self.host, self.port),
            false => write!(f, "{}:{}", self.host, self.port),
        }
    }
}

impl Addresses {
    /// Creates an entry without known addresses.
    pub fn new(host: &str, port: u16) -> Self {
        Addresses { host: host.to_owned(), port, known: Vec::new(), looked_up: None, helper: None }
    }

    /// Looks the host up in this process.
    ///
    /// # Errors
    ///
    /// The resolver's text. The relay can be used nevertheless: the host is looked up again for the next mail.
    pub fn look_up_here(&mut self) -> Result<(), String> {
        self.looked_up = Some(Instant::now());
        self.known = match (self.host.as_str(), self.port).to_socket_addrs() {
            Ok(found) => found.collect(),
            // Loopback names resolve whatever the machine's files say (RFC 6761, 6.3).
            Err(_) if is_loopback(&self.host) => {
                let loopback = [IpAddr::from(Ipv4Addr::LOCALHOST), IpAddr::from(Ipv6Addr::LOCALHOST)];
                loopback.map(|address| SocketAddr::new(address, self.port)).into()
            }
            Err(error) => return Err(self.unknown(&error.to_string())),
        };
        Ok(())
    }

    fn is_old(&self) -> bool {
        self.helper.is_some() && self.looked_up.is_none_or(|at| at.elapsed() >= MAX_AGE)
    }

    /// Connects to the first address that accepts a connection. `timeout` bounds each attempt and each lookup.
    ///
    /// # Errors
    ///
    /// The system's or the resolver's text.
    pub fn connect(&mut self, timeout: Duration) -> Result<Session, String> {
        let mut looked_up = None;
        if self.is_old() || self.known.is_empty() {
            looked_up = Some(self.look_up(timeout));
        }
        if self.known.is_empty() {
            return Err(looked_up.and_then(Result::err).unwrap_or_else(|| self.unknown("it has no address")));
        }
        let error = match Session::connect(&self.known, timeout) {
            Ok(session) => return Ok(session),
            Err(error) => error,
        };
        if looked_up.is_some() || self.helper.is_none() {
            return Err(error);
        }
        let tried = self.known.clone();
        // If the lookup fails, the known addresses stay, and the failed connection is the error.
        let _ = self.look_up(timeout);
        let new: Vec<SocketAddr> =
            self.known.iter().filter(|address| !tried.contains(address)).copied().collect();
        if new.is_empty() { Err(error) } else { Session::connect(&new, timeout) }
    }

    fn look_up(&mut self, timeout: Duration) -> Result<(), String> {
        let Some(helper) = &self.helper else { return self.look_up_here() };
        self.looked_up = Some(Instant::now());
        let found = helper.resolve(&self.host, timeout).map_err(|why| self.unknown(&why))?;
        self.known = found.into_iter().map(|address| SocketAddr::new(address, self.port)).collect();
        Ok(())
    }

    fn unknown(&self, why: &str) -> String {
        format!("cannot resolve '{}': {why}", self.host)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::helper::client::Helper;
    use crate::helper::frame::{Frame, Request, ResolveResult, read_frame, write_frame};
    use std::net::TcpListener;
    use std::os::unix::net::UnixStream;
    use std::sync::Arc;
    use std::thread::JoinHandle;

    const STEP: Duration = Duration::from_secs(5);

    /// Starts a helper that gives these answers; its thread returns the number of requests.
    fn helper_with(answers: Vec<ResolveResult>) -> (SharedHelper, JoinHandle<usize>) {
        let (mine, theirs) = UnixStream::pair().expect("sockets");
        let thread = std::thread::spawn(move || {
            let mut count = 0;
            for answer in answers {
                let Ok(Some(frame)) = read_frame(&theirs, None) else { return count };
                assert!(
                    matches!(Request::decode(&frame), Some(Request::Resolve { host, .. }) if host == "mx1.example.com")
                );
                count += 1;
                write_frame(&theirs, &answer.encode(), None).expect("an answer");
            }
            count
        });
        (Arc::new(Helper::new(mine)), thread)
    }

    fn relay(listener: &TcpListener, known: &[[u8; 4]]) -> Addresses {
        let port = listener.local_addr().expect("its address").port();
        let mut addresses = Addresses::new("mx1.example.com", port);
        addresses.known = known.iter().map(|address| SocketAddr::from((*address, port))).collect();
        addresses.looked_up = Some(Instant::now());
        addresses
    }

    const HERE: [u8; 4] = [127, 0, 0, 1];
    /// No process listens there.
    const ELSEWHERE: [u8; 4] = [127, 9, 9, 9];

    fn listener() -> TcpListener {
        TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port")
    }

    fn answer(address: [u8; 4]) -> ResolveResult {
        Ok(vec![address.into()])
    }

    #[test]
    fn a_relay_at_a_new_address_is_found() {
        let listener = listener();
        let mut addresses = relay(&listener, &[ELSEWHERE]);
        let (helper, thread) = helper_with(vec![answer(HERE)]);
        addresses.helper = Some(helper);
        assert!(addresses.connect(STEP).is_ok());
        assert_eq!(thread.join().expect("answers"), 1);
    }

    #[test]
    fn a_host_is_not_looked_up_again_while_the_answer_is_young_and_works() {
        let listener = listener();
        let mut addresses = relay(&listener, &[HERE]);
        let (helper, thread) = helper_with(vec![answer(ELSEWHERE)]);
        addresses.helper = Some(helper);
        assert!(addresses.connect(STEP).is_ok());
        drop(addresses);
        assert_eq!(thread.join().expect("no answers"), 0);
    }

    #[test]
    fn an_old_answer_is_looked_up_again_and_kept_if_that_fails() {
        let listener = listener();
        let (helper, thread) = helper_with(vec![Err("no resolver".into()), answer(ELSEWHERE)]);
        let mut addresses = relay(&listener, &[HERE]);
        addresses.helper = Some(helper);
        addresses.looked_up = Instant::now().checked_sub(MAX_AGE);
        assert!(addresses.connect(STEP).is_ok());
        addresses.looked_up = Instant::now().checked_sub(MAX_AGE);
        assert_eq!(addresses.connect(STEP).map(drop), Err("Connection refused".into()));
        assert_eq!(thread.join().expect("answers"), 2);
    }

    #[test]
    fn a_host_without_address_fails_with_the_resolvers_text() {
        let listener = listener();
        let (helper, thread) = helper_with(vec![Err("no such name".into())]);
        let mut addresses = relay(&listener, &[]);
        addresses.helper = Some(helper);
        let error = addresses.connect(STEP).map(drop);
        assert_eq!(error, Err("cannot resolve 'mx1.example.com': no such name".into()));
        assert_eq!(thread.join().expect("an answer"), 1);
    }
}
