// SPDX-License-Identifier: MIT OR Apache-2.0
//! The resolved configuration: settings with every default filled in.

use super::defaults::{DIGEST, FLAP, QUEUE, REMIND, RETRY, SPOOLED_QUEUE};
use super::relay::default_relays;
use super::{Flap, Link, Pattern, Recipient, Relay, Settings, SpoolSettings, SubjectFormat, WrittenAddress};
use crate::event::{Kinds, Level};
use crate::text::{bounded, visible};
use lettre::Address;
use std::time::Duration;

/// Settings with every default filled in, as the threads use them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    /// This machine's name, in mails and as argument of EHLO.
    pub host: String,
    /// Routes, in the order written.
    pub routes: Vec<ResolvedRoute>,
    /// Relays, in the order in which they are tried.
    pub relays: Vec<Relay>,
    /// Directory in which mails survive the process.
    pub spool: Option<SpoolSettings>,
    /// Capacity of the ring, in events.
    pub queue: usize,
    /// Time for which a mail is retried.
    pub retry: Duration,
    /// Timing of mails.
    pub policy: Policy,
    /// Format of subjects.
    pub subject: SubjectFormat,
    /// Link in mails; `Some(None)`: switched off; `None`: neither set by the administrator nor found in HAProxy's configuration.
    pub statistics: Option<Option<Link>>,
}

/// A [`Route`](super::Route) with complete addresses.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ResolvedRoute {
    /// Recipients, each once.
    pub to: Vec<Recipient>,
    /// The sender.
    pub from: Address,
    /// Matching servers and backends; empty: all.
    pub targets: Vec<Pattern>,
    /// Matching kinds of events.
    pub kinds: Kinds,
    /// Least severe level that matches.
    pub level: Level,
}

/// Timing of mails; `None`: off.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Policy {
    /// Time for which changes are collected into one mail.
    pub digest: Option<Duration>,
    /// Threshold from which on the changes of a server or backend are held back.
    pub flap: Option<Flap>,
    /// Interval of reminders.
    pub remind: Option<Duration>,
}

impl Settings {
    /// Fills in the defaults. `machine_name`: used without `email_alert.host-name`.
    ///
    /// # Errors
    ///
    /// For the administrator: the fault in the configuration as a whole, and the remedy.
    pub fn resolve(&self, machine_name: &str) -> Result<Config, String> {
        if self.routes.is_empty() {
            let why = match self.native {
                Some(true) => {
                    "'email_alert.native' is on, but no proxy has 'email-alert mailers', and there is no \
                     'email_alert <to>' line: nobody would get a mail"
                }
                _ => {
                    "there are 'email_alert.*' lines but no 'email_alert <to>' line: nobody would get a mail; \
                     add one, such as: email_alert ops@example.com"
                }
            };
            return Err(why.to_owned());
        }
        let host = self.host_name.as_deref().unwrap_or(machine_name);
        let complete = |name: &WrittenAddress| -> Result<Recipient, String> {
            let (address, is_local) = match name {
                WrittenAddress::Address(address) => (Ok(address.clone()), false),
                WrittenAddress::Local(user) => (Address::new(user, host), true),
            };
            let address = address.map_err(|_| {
                format!(
                    "this machine's name '{}' cannot be the domain of a mail address; \
                     add: email_alert.host-name <name>, such as lb1.example.com",
                    visible(host)
                )
            })?;
            Ok(Recipient { address, is_local })
        };
        let default_sender = WrittenAddress::Local("haproxy".to_owned());
        let routes = self.routes.iter().map(|route| {
            Ok(ResolvedRoute {
                to: route.to.iter().map(complete).collect::<Result<_, String>>()?,
                from: complete(route.from.as_ref().unwrap_or(&default_sender))?.address,
                targets: route.targets.clone(),
                kinds: route.kinds,
                level: route.level,
            })
        });
        Ok(Config {
            host: host.to_owned(),
            routes: routes.collect::<Result<_, String>>()?,
            relays: if self.relays.is_empty() { default_relays() } else { self.relays.clone() },
            queue: self.queue.unwrap_or(if self.spool.is_some() { SPOOLED_QUEUE } else { QUEUE }),
            spool: self.spool.clone(),
            retry: self.retry.unwrap_or(RETRY),
            policy: Policy {
                digest: self.digest.unwrap_or(Some(DIGEST)),
                flap: self.flap.unwrap_or(Some(FLAP)),
                remind: self.remind.unwrap_or(Some(REMIND)),
            },
            subject: self.subject.clone().unwrap_or_default(),
            statistics: self.statistics.clone(),
        })
    }
}

impl Config {
    /// Sets the link to the statistics page that HAProxy's configuration has, unless the administrator has set
    /// `email_alert.stats-uri`. A URL that is not usable is logged.
    pub fn set_detected_statistics(&mut self, url: &str) {
        if self.statistics.is_some() {
            return;
        }
        match Link::new(url, &self.host) {
            Ok(link) => self.statistics = Some(Some(link)),
            Err(why) => {
                let shown = bounded(visible(url), 100);
                log::warn!(
                    "mails have no link to the statistics page: '{shown}' {why}; see email_alert.stats-uri"
                );
            }
        }
    }
}

/// Returns the configuration of `email_alert ops@example.com` on lb1.example.com.
#[cfg(test)]
pub fn sample_config() -> Config {
    let to = WrittenAddress::Address("ops@example.com".parse().expect("an address"));
    let route = super::Route {
        to: vec![to],
        from: None,
        targets: vec![],
        kinds: Kinds::usual(),
        level: Level::Debug,
    };
    let settings = Settings { routes: vec![route], ..Settings::default() };
    settings.resolve("lb1.example.com").expect("a configuration")
}
