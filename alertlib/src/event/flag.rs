// SPDX-License-Identifier: MIT OR Apache-2.0
//! Bits of a record's `flags`. `haproxy_email_alert_event` has the same numbers: a compile-time check in the C ABI compares them.

/// A check, an agent or the CLI's `health` and `agent` commands caused the change; else an administrator.
pub const OPERATIONAL: u32 = 0x01;
/// The server line has `backup`.
pub const BACKUP: u32 = 0x02;
/// The record has the fields of a check.
pub const CHECK: u32 = 0x04;
/// The check in the record is the agent check.
pub const AGENT: u32 = 0x08;
/// The proxy is a `listen` section.
pub const LISTEN: u32 = 0x10;
/// The record reports the present state of an unconfirmed target: nothing has changed.
pub const STATE_REPORT: u32 = 0x20;
/// The record reports that an unconfirmed target was removed from the configuration.
pub const REMOVED: u32 = 0x40;
/// The server's weight is 0.
pub const ZERO_WEIGHT: u32 = 0x80;
/// HAProxy is 2.8 or later, some of whose log sentences differ from those of 2.6.
pub const SINCE_2_8: u32 = 0x100;
