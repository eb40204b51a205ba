// SPDX-License-Identifier: MIT OR Apache-2.0
//! The mailer that HAProxy lacks.
//!
//! The way of an alert, and the module that owns each step:
//!
//! ```text
//!  HAProxy thread        collector                                        dispatcher
//!  capi ─▶ ring ───────▶ event ─▶ engine ─▶ queue (store, schedule) ────▶ message ─▶ transport (smtp | command | file)
//! ```
//!
//! The C ABI is a crate of its own, `haproxy-email-alert-capi`. [`ring`] is the only part that HAProxy's threads touch.
//! [`service`] owns the threads: [`service::collector`] and [`service::dispatcher`]. Modules are listed from bottom to top: each
//! uses those above it in this list only, which a test enforces.

#![deny(unsafe_code)]

pub mod counters;
pub mod credentials;
pub mod directive;
pub mod engine;
pub mod event;
pub mod files;
pub mod format;
pub mod helper;
pub mod logging;
pub mod message;
pub mod notification;
pub mod queue;
pub mod ring;
pub mod service;
pub mod settings;
pub mod spool;
pub mod sys;
pub mod text;
pub mod transport;
pub mod wire;

/// The library's version, as in `Cargo.toml`.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");
