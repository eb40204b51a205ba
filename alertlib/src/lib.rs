// SPDX-License-Identifier: MIT OR Apache-2.0
//! The mailer that HAProxy lacks.
//!
//! The way of an alert, and the module that owns each step:
//!
//! ```text
//!  HAProxy thread          collector                     mailer
//!  ffi → queue ──────────▶ event → engine → outbox ────▶ message → transport (smtp | command | file)
//! ```
//!
//! HAProxy hands over flat events through [`ffi`]; [`queue`] is the only thing that its threads touch. [`service`] owns the
//! threads, which are [`collector`] and [`mailer`] by turns, [`directive`] and [`settings`] the configuration, [`logging`] the way back to HAProxy's log.

#![deny(unsafe_code)]

mod collector;
pub mod counters;
pub mod directive;
pub mod engine;
pub mod event;
mod expectation;
#[allow(unsafe_code)] // the C boundary: the one place for it
pub mod ffi;
pub mod files;
pub mod helper;
pub mod logging;
pub mod mailer;
pub mod message;
pub mod outbox;
pub mod queue;
mod rehearsal;
pub mod service;
pub mod settings;
pub mod spool;
pub mod text;
pub mod transport;

/// The library's version, as in `Cargo.toml`.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");
