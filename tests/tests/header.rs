// SPDX-License-Identifier: MIT OR Apache-2.0
//! The committed header is the one that the source makes.

use end_to_end::header;

#[test]
fn the_committed_headers_are_up_to_date() {
    let header = header::generate();
    for path in header::paths() {
        let committed =
            std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        assert!(committed == header, "{}: you probably forgot to run: make header", path.display());
    }
}
