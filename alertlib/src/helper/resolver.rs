// SPDX-License-Identifier: MIT OR Apache-2.0
//! Looks names up, within a deadline that the system's resolver does not know.

use super::frame::{ADDRESSES_MAX, ResolveRequest, ResolveResult};
use crate::sys::error_text;
use crossbeam_channel::{RecvTimeoutError, bounded};
use std::io;
use std::net::{IpAddr, ToSocketAddrs};
use std::sync::Arc;
use std::thread::Builder;

/// Look-ups that may hang in the system's resolver beyond their deadline.
const HANGING: usize = 8;

/// Looks names up.
#[derive(Default)]
pub struct Resolver {
    /// Each thread that looks up has one of these.
    hanging: Arc<()>,
}

impl Resolver {
    /// The addresses, each once, in the resolver's order; at the deadline at the latest.
    pub fn find(&self, lookup: ResolveRequest) -> ResolveResult {
        if Arc::strong_count(&self.hanging) > HANGING {
            return ResolveResult(Err("the resolver does not answer".to_owned()));
        }
        let (hand_over, result) = bounded(1);
        let (hanging, host) = (self.hanging.clone(), lookup.host);
        let started = Builder::new().name("resolver".to_owned()).spawn(move || {
            // Nobody may be waiting any more.
            let _ = hand_over.send(addresses_of(&host));
            drop(hanging);
        });
        if let Err(error) = started {
            return ResolveResult(Err(error_text(&error)));
        }
        ResolveResult(match result.recv_timeout(lookup.deadline) {
            Ok(Ok(addresses)) => Ok(addresses),
            Ok(Err(error)) => Err(error_text(&error)),
            Err(RecvTimeoutError::Timeout) => Err(format!("no answer within {:?}", lookup.deadline)),
            Err(RecvTimeoutError::Disconnected) => Err("the resolver failed".to_owned()),
        })
    }
}

fn addresses_of(host: &str) -> io::Result<Vec<IpAddr>> {
    let mut addresses: Vec<IpAddr> = Vec::new();
    for address in (host, 0).to_socket_addrs()? {
        if !addresses.contains(&address.ip()) && addresses.len() < ADDRESSES_MAX {
            addresses.push(address.ip());
        }
    }
    Ok(addresses)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    fn find(host: &str) -> Result<Vec<IpAddr>, String> {
        Resolver::default()
            .find(ResolveRequest { host: host.to_owned(), deadline: Duration::from_secs(20) })
            .0
    }

    #[test]
    fn names_and_addresses_are_found_once() {
        assert_eq!(find("127.0.0.1"), Ok(vec!["127.0.0.1".parse().unwrap()]));
        let localhost = find("localhost").expect("everybody has it");
        assert!(localhost.iter().all(IpAddr::is_loopback) && !localhost.is_empty());
    }

    #[test]
    fn what_cannot_be_found_has_the_resolvers_words() {
        let words = find("does not exist").expect_err("a name with spaces");
        assert!(!words.is_empty());
    }

    #[test]
    fn threads_that_hang_are_bounded() {
        let resolver = Resolver::default();
        let hanging: Vec<_> = (0..HANGING).map(|_| resolver.hanging.clone()).collect();
        let lookup = || ResolveRequest { host: "127.0.0.1".to_owned(), deadline: Duration::from_secs(20) };
        assert_eq!(resolver.find(lookup()), ResolveResult(Err("the resolver does not answer".into())));
        drop(hanging);
        assert!(resolver.find(lookup()).0.is_ok());
    }
}
