// SPDX-License-Identifier: MIT OR Apache-2.0
//! Mails that are not delivered yet.

mod schedule;

pub use schedule::{Entry, Next, Outbox};
