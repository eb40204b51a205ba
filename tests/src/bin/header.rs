// SPDX-License-Identifier: MIT OR Apache-2.0
//! Writes `include/haproxy_email_alert.h`.

use end_to_end::header;

fn main() -> std::io::Result<()> {
    std::fs::write(header::path(), header::generate())
}
