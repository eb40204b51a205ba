// SPDX-License-Identifier: MIT OR Apache-2.0
//! Resolves names within a deadline, which the system's resolver does not have.

use super::frame::{ADDRESSES_MAX, ResolveResult};
use crate::sys::error_text;
use crossbeam_channel::{RecvTimeoutError, bounded};
use std::io;
use std::net::{IpAddr, ToSocketAddrs};
use std::sync::Arc;
use std::thread::Builder;
use std::time::Duration;

/// Most threads that may be blocked in the system's resolver beyond their deadline.
const MAX_BLOCKED: usize = 8;

/// Resolves names, each in a thread of its own.
#[derive(Default)]
pub struct Resolver {
    /// Counts the threads in the system's resolver: each has a clone.
    blocked: Arc<()>,
}

impl Resolver {
    /// Returns the addresses, each once, in the resolver's order. Blocks until the deadline at most.
    pub fn resolve(&self, host: String, deadline: Duration) -> ResolveResult {
        if Arc::strong_count(&self.blocked) > MAX_BLOCKED {
            return Err("the resolver does not answer".to_owned());
        }
        let (sender, result) = bounded(1);
        let blocked = self.blocked.clone();
        let resolve = move || {
            // Fails after the deadline, when the receiver is gone.
            let _ = sender.send(addresses_of(&host));
            drop(blocked);
        };
        Builder::new().name("resolver".to_owned()).spawn(resolve).map_err(|error| error_text(&error))?;
        match result.recv_timeout(deadline) {
            Ok(addresses) => addresses.map_err(|error| error_text(&error)),
            Err(RecvTimeoutError::Timeout) => Err(format!("no answer within {deadline:?}")),
            Err(RecvTimeoutError::Disconnected) => Err("the resolver failed".to_owned()),
        }
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

    fn resolve(host: &str) -> ResolveResult {
        Resolver::default().resolve(host.to_owned(), Duration::from_secs(20))
    }

    #[test]
    fn names_and_addresses_are_resolved_without_duplicates() {
        assert_eq!(resolve("127.0.0.1"), Ok(vec!["127.0.0.1".parse().unwrap()]));
        let localhost = resolve("localhost").expect("in every hosts file");
        assert!(localhost.iter().all(IpAddr::is_loopback) && !localhost.is_empty());
    }

    #[test]
    fn unknown_names_give_the_resolvers_error() {
        let error = resolve("does not exist").expect_err("a name with spaces");
        assert!(!error.is_empty());
    }

    #[test]
    fn blocked_threads_are_limited() {
        let resolver = Resolver::default();
        let blocked: Vec<_> = (0..MAX_BLOCKED).map(|_| resolver.blocked.clone()).collect();
        let resolve = || resolver.resolve("127.0.0.1".to_owned(), Duration::from_secs(20));
        assert_eq!(resolve(), Err("the resolver does not answer".into()));
        drop(blocked);
        assert!(resolve().is_ok());
    }
}
