// SPDX-License-Identifier: MIT OR Apache-2.0
//! Where a relay is: its addresses, which may change while HAProxy runs.
//!
//! The first look-up is before the chroot. From then on the helper process looks up, since it is outside of the chroot: when
//! the last answer is old and there is something to send, and when none of the addresses answers.

use super::session::Session;
use crate::helper::client::SharedHelper;
use crate::settings::is_loopback;
use std::fmt::{self, Display};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, ToSocketAddrs};
use std::sync::PoisonError;
use std::time::{Duration, Instant};

/// From this age on, an answer is asked for again before the next session.
const OLD: Duration = Duration::from_secs(300);

/// A relay's host and port, and what is known of its addresses.
pub struct Addresses {
    host: String,
    port: u16,
    known: Vec<SocketAddr>,
    /// When the last look-up was, whatever it came to.
    asked: Option<Instant>,
    helper: Option<SharedHelper>,
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
    /// Nothing is known yet.
    pub fn new(host: &str, port: u16) -> Self {
        Addresses { host: host.to_owned(), port, known: Vec::new(), asked: None, helper: None }
    }

    /// Looks the host up in this process.
    ///
    /// # Errors
    ///
    /// The resolver's words.
    pub fn look_up_here(&mut self) -> Result<(), String> {
        self.asked = Some(Instant::now());
        self.known = match (self.host.as_str(), self.port).to_socket_addrs() {
            Ok(found) => found.collect(),
            // Whatever the machine's files say (RFC 6761, 6.3).
            Err(_) if is_loopback(&self.host) => {
                let here = [IpAddr::from(Ipv4Addr::LOCALHOST), IpAddr::from(Ipv6Addr::LOCALHOST)];
                here.map(|address| SocketAddr::new(address, self.port)).into()
            }
            Err(error) => return Err(self.unknown(&error.to_string())),
        };
        Ok(())
    }

    /// The helper looks up from now on.
    pub fn look_up_with(&mut self, helper: SharedHelper) {
        self.helper = Some(helper);
    }

    fn is_old(&self) -> bool {
        self.helper.is_some() && self.asked.is_none_or(|asked| asked.elapsed() >= OLD)
    }

    /// Connects to the first of the addresses that answers. `timeout` bounds each attempt and each look-up.
    ///
    /// # Errors
    ///
    /// The system's or the resolver's words.
    pub fn connect(&mut self, timeout: Duration) -> Result<Session, String> {
        let mut asked = None;
        if self.is_old() || self.known.is_empty() {
            asked = Some(self.look_up(timeout));
        }
        if self.known.is_empty() {
            return Err(asked.and_then(Result::err).unwrap_or_else(|| self.unknown("it has no address")));
        }
        let failed = match Session::connect(&self.known, timeout) {
            Ok(session) => return Ok(session),
            Err(words) => words,
        };
        if asked.is_some() || self.helper.is_none() {
            return Err(failed);
        }
        let tried = self.known.clone();
        // What is known stays when nothing better is: the trouble is that nobody answers there.
        let _ = self.look_up(timeout);
        let new: Vec<SocketAddr> =
            self.known.iter().filter(|address| !tried.contains(address)).copied().collect();
        if new.is_empty() { Err(failed) } else { Session::connect(&new, timeout) }
    }

    fn look_up(&mut self, timeout: Duration) -> Result<(), String> {
        let Some(helper) = &self.helper else { return self.look_up_here() };
        self.asked = Some(Instant::now());
        let found = helper.lock().unwrap_or_else(PoisonError::into_inner).resolve(&self.host, timeout);
        let found = found.map_err(|words| self.unknown(&words))?;
        self.known = found.into_iter().map(|address| SocketAddr::new(address, self.port)).collect();
        Ok(())
    }

    fn unknown(&self, words: &str) -> String {
        format!("cannot resolve '{}': {words}", self.host)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::helper::client::Helper;
    use crate::helper::frame::{Request, ResolveResult, read_frame, write_frame};
    use std::net::TcpListener;
    use std::os::unix::net::UnixStream;
    use std::sync::{Arc, Mutex};
    use std::thread::JoinHandle;

    const STEP: Duration = Duration::from_secs(5);

    /// A helper that gives these answers; its thread gives how many were asked for.
    fn helper_with(answers: Vec<Result<Vec<IpAddr>, String>>) -> (SharedHelper, JoinHandle<usize>) {
        let (mine, theirs) = UnixStream::pair().expect("sockets");
        let thread = std::thread::spawn(move || {
            let mut count = 0;
            for answer in answers {
                let Ok(Some(frame)) = read_frame(&theirs, None) else { return count };
                assert!(
                    matches!(Request::decode(&frame), Some(Request::Resolve(lookup)) if lookup.host == "mx1.example.com")
                );
                count += 1;
                write_frame(&theirs, &ResolveResult(answer).encode(), None).expect("an answer");
            }
            count
        });
        (Arc::new(Mutex::new(Helper::new(mine))), thread)
    }

    fn relay(listener: &TcpListener, known: &[[u8; 4]]) -> Addresses {
        let port = listener.local_addr().expect("its address").port();
        let mut addresses = Addresses::new("mx1.example.com", port);
        addresses.known = known.iter().map(|address| SocketAddr::from((*address, port))).collect();
        addresses.asked = Some(Instant::now());
        addresses
    }

    const HERE: [u8; 4] = [127, 0, 0, 1];
    /// Nobody listens there.
    const ELSEWHERE: [u8; 4] = [127, 9, 9, 9];

    fn listener() -> TcpListener {
        TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port")
    }

    fn answer(address: [u8; 4]) -> Result<Vec<IpAddr>, String> {
        Ok(vec![address.into()])
    }

    #[test]
    fn a_relay_that_has_moved_is_found() {
        let listener = listener();
        let mut addresses = relay(&listener, &[ELSEWHERE]);
        let (helper, thread) = helper_with(vec![answer(HERE)]);
        addresses.look_up_with(helper);
        assert!(addresses.connect(STEP).is_ok());
        assert_eq!(thread.join().expect("answers"), 1);
    }

    #[test]
    fn an_answer_that_is_young_and_good_is_not_asked_for_again() {
        let listener = listener();
        let mut addresses = relay(&listener, &[HERE]);
        let (helper, thread) = helper_with(vec![answer(ELSEWHERE)]);
        addresses.look_up_with(helper);
        assert!(addresses.connect(STEP).is_ok());
        drop(addresses);
        assert_eq!(thread.join().expect("no answers"), 0);
    }

    #[test]
    fn an_old_answer_is_asked_for_again_and_kept_if_nobody_has_another() {
        let listener = listener();
        let (helper, thread) = helper_with(vec![Err("no resolver".into()), answer(ELSEWHERE)]);
        let mut addresses = relay(&listener, &[HERE]);
        addresses.look_up_with(helper);
        addresses.asked = Instant::now().checked_sub(OLD);
        assert!(addresses.connect(STEP).is_ok());
        addresses.asked = Instant::now().checked_sub(OLD);
        assert_eq!(addresses.connect(STEP).map(drop), Err("Connection refused".into()));
        assert_eq!(thread.join().expect("answers"), 2);
    }

    #[test]
    fn a_name_without_address_is_a_trouble_with_the_resolvers_words() {
        let listener = listener();
        let (helper, thread) = helper_with(vec![Err("no such name".into())]);
        let mut addresses = relay(&listener, &[]);
        addresses.look_up_with(helper);
        let error = addresses.connect(STEP).map(drop);
        assert_eq!(error, Err("cannot resolve 'mx1.example.com': no such name".into()));
        assert_eq!(thread.join().expect("an answer"), 1);
    }
}
