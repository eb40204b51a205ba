// SPDX-License-Identifier: MIT OR Apache-2.0
//! Mails that are not delivered yet: the store's interface, the store in RAM, and the schedule.

mod schedule;
mod store;
mod store_ram;

pub use schedule::{Entry, Next, Schedule};
pub use store::{
    Batch, Claim, Committed, MailId, Orphan, PendingMail, ReplayMark, ReplayedEvent, Store, StoredMail,
    Unreadable,
};
pub use store_ram::{Limits, RamStore, RamTable};
