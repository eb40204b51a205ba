// SPDX-License-Identifier: MIT OR Apache-2.0
//! A server's state as HAProxy has it.

/// A server's operational state: HAProxy's `enum srv_state`, same numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[repr(u8)]
pub enum State {
    /// Down.
    #[default]
    Stopped = 0,
    /// Up, in its slow start.
    Starting = 1,
    /// Up.
    Running = 2,
    /// Up for what it has, no new clients: `http-check disable-on-404`.
    Stopping = 3,
}

impl State {
    /// The state of that number; `None`: HAProxy has none such.
    pub fn from_number(number: u32) -> Option<Self> {
        [State::Stopped, State::Starting, State::Running, State::Stopping].get(number as usize).copied()
    }
}

/// A server's administrative flags: HAProxy's `enum srv_admin`, same bits as in 2.6.
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

    /// In maintenance, for whatever reason (HAProxy's `SRV_ADMF_MAINT`).
    pub fn maint(self) -> bool {
        self.has(Self::FMAINT | Self::IMAINT | Self::RMAINT)
    }

    /// Drained, for whatever reason (HAProxy's `SRV_ADMF_DRAIN`).
    pub fn drain(self) -> bool {
        self.has(Self::FDRAIN | Self::IDRAIN)
    }

    pub(super) fn has(self, bits: u32) -> bool {
        self.0 & bits != 0
    }

    /// Was set in `before` and is not in `self`.
    pub(super) fn lost(self, before: Admin, bit: u32) -> bool {
        before.has(bit) && !self.has(bit)
    }
}
