// SPDX-License-Identifier: MIT OR Apache-2.0
//! The spool in good and in bad days: relays that are away for long, disks that are full, files that are damaged.
//! The test of the files that a killed process leaves is in `kill.rs`.

mod common;
mod damaged_files;
mod disk;
mod end_of_process;
mod killed_process;
mod many_mails;
mod permissions;
mod retries;
