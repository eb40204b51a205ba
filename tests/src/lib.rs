// SPDX-License-Identifier: MIT OR Apache-2.0
//! HAProxy, a mail relay and servers that misbehave on request.

pub mod header;
