// SPDX-License-Identifier: MIT OR Apache-2.0
//! The committed header is the one that the source makes.

use end_to_end::header;

#[test]
fn the_committed_header_is_up_to_date() {
    let committed = std::fs::read_to_string(header::path()).expect("include/haproxy_email_alert.h");
    assert!(committed == header::generate(), "you probably forgot to run: make header");
}
