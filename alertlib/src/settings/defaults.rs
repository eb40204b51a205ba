// SPDX-License-Identifier: MIT OR Apache-2.0
//! Default values and limits of the settings.

use super::Flap;
use std::time::Duration;

/// Limit of each step of an SMTP session, unless the relay has `timeout`.
pub const SMTP_TIMEOUT: Duration = Duration::from_secs(10);
/// Limit of a whole run of `sendmail` or `mailx`, after which it is killed, unless the relay has `timeout`.
pub const COMMAND_TIMEOUT: Duration = Duration::from_secs(30);
/// Time for which a mail is retried without `email_alert.retry`.
pub const RETRY: Duration = Duration::from_secs(3 * 24 * 3600);
/// Time for which changes are collected into one mail without `email_alert.digest`.
pub const DIGEST: Duration = Duration::from_secs(5);
/// Threshold of flapping without `email_alert.flap`.
pub const FLAP: Flap = Flap { changes: 6, time: Duration::from_secs(10 * 60) };
/// Interval of reminders of an open incident without `email_alert.remind`.
pub const REMIND: Duration = Duration::from_secs(4 * 3600);
/// Capacity of the ring, in events, without `email_alert.queue`.
pub const QUEUE: usize = 4096;
/// Capacity of the ring, in events, with a spool and without `email_alert.queue`: a slow disk can block the collector for a
/// second, and 10,000 changes must not fill the ring meanwhile.
pub const SPOOLED_QUEUE: usize = 16_384;
/// Smallest capacity of the ring, in events: a backend may lose all of its servers at once.
pub const SMALLEST_QUEUE: usize = 64;
/// Largest capacity of the ring, in events: 2 GiB, at 2 KiB an event.
pub const LARGEST_QUEUE: usize = 1 << 20;
/// Most mails that wait for a relay in memory; mails in the spool do not count.
pub const MAX_QUEUED_MAILS: usize = 10_000;
/// Most memory of the mails that wait for a relay, in bytes: a digest can be as large as a thousand small mails.
pub const MAX_QUEUED_BYTES: u64 = 32 * 1024 * 1024;
/// Limit of the spool's mails, in bytes, without `max-size`.
pub const SPOOL_SIZE: u64 = 256 * 1024 * 1024;
/// Port of SMTP between servers (RFC 5321, 4.5.4.2).
pub const SMTP_PORT: u16 = 25;
/// Port of submission that begins unencrypted (RFC 6409, 3.1).
pub const STARTTLS_PORT: u16 = 587;
/// Port of submission that begins with TLS (RFC 8314, 7.3).
pub const TLS_PORT: u16 = 465;
