// SPDX-License-Identifier: MIT OR Apache-2.0
//! What the end-to-end tests are made of: a HAProxy under control, servers behind it that fail on request, a mail
//! relay that misbehaves by script, Debian's postfix and exim, and readers for HAProxy's log and for the mails.
//!
//! Environment: `HAPROXY` is the HAProxy to test (default: the one that `make haproxy` builds);
//! `HAPROXY_TEST_TIMEOUT` is how many seconds a test waits for something that must happen (default 20).

pub mod backend;
pub mod calls;
pub mod certificates;
pub mod cli;
pub mod delay_proxy;
pub mod documentation;
pub mod faults;
pub mod golden;
pub mod haproxy;
pub mod header;
pub mod http;
pub mod library;
pub mod mail;
pub mod mda;
pub mod mta;
pub mod nameserver;
pub mod port;
pub mod processes;
pub mod relay;
pub mod setup;
pub mod spool;
pub mod storm;
pub mod story;
pub mod syslog;
pub mod wait;

pub use backend::Backend;
pub use certificates::{Authority, Files, Identity};
pub use delay_proxy::DelayProxy;
pub use haproxy::{Haproxy, Judgement};
pub use mail::ParsedMail;
pub use mda::FakeProgram;
pub use mta::{Manner, Mta, Product};
pub use nameserver::Nameserver;
pub use relay::{Act, Manners, Relay, Step};
pub use setup::{Mode, Setup};
pub use spool::Spool;
pub use syslog::Syslog;
pub use wait::{patience, until, until_true};
