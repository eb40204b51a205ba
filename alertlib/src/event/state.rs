// SPDX-License-Identifier: MIT OR Apache-2.0
//! Operational and administrative state of a server, in HAProxy's numbers.

/// Operational state of a server: HAProxy's `enum srv_state`, with its numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[repr(u8)]
pub enum State {
    /// Down.
    #[default]
    Stopped = 0,
    /// Up, in slow start.
    Starting = 1,
    /// Up.
    Running = 2,
    /// Up for existing sessions, without new clients: `http-check disable-on-404`.
    Stopping = 3,
}

impl State {
    /// Returns the state for a number; `None`: HAProxy has no such state.
    pub fn from_number(number: u32) -> Option<Self> {
        [State::Stopped, State::Starting, State::Running, State::Stopping].get(number as usize).copied()
    }
}

/// Administrative flags of a server: HAProxy's `enum srv_admin`, with the bits of 2.6.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Admin(pub u32);

impl Admin {
    /// Maintenance forced by an administrator.
    pub const FMAINT: u32 = 0x01;
    /// Maintenance inherited from a tracked server.
    pub const IMAINT: u32 = 0x02;
    /// Maintenance from the configuration (`disabled`); comes with [`Admin::FMAINT`].
    pub const CMAINT: u32 = 0x04;
    /// Drain forced by an administrator.
    pub const FDRAIN: u32 = 0x08;
    /// Drain inherited from a tracked server.
    pub const IDRAIN: u32 = 0x10;
    /// Maintenance because the server's name does not resolve.
    pub const RMAINT: u32 = 0x20;
    /// Maintenance until the name was set at run time.
    pub const HMAINT: u32 = 0x40;

    /// Returns true in maintenance of any cause (HAProxy's `SRV_ADMF_MAINT`).
    pub fn is_in_maint(self) -> bool {
        self.has(Self::FMAINT | Self::IMAINT | Self::RMAINT)
    }

    /// Returns true in drain of any cause (HAProxy's `SRV_ADMF_DRAIN`).
    pub fn is_drained(self) -> bool {
        self.has(Self::FDRAIN | Self::IDRAIN)
    }

    /// Returns true if one of the bits is set.
    pub(super) fn has(self, bits: u32) -> bool {
        self.0 & bits != 0
    }

    /// Returns true if the bit is set in `before` and not in `self`.
    pub(super) fn has_lost(self, before: Admin, bit: u32) -> bool {
        before.has(bit) && !self.has(bit)
    }
}
