// SPDX-License-Identifier: MIT OR Apache-2.0
//! Writes `doc/faults.md`.

use end_to_end::faults;

fn main() -> std::io::Result<()> {
    std::fs::write(faults::path(), faults::document())
}
