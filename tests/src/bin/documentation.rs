// SPDX-License-Identifier: MIT OR Apache-2.0
//! Writes the documentation of the directives to each place where it is read.

use end_to_end::documentation;

fn main() -> std::io::Result<()> {
    documentation::generate().iter().try_for_each(|(path, text)| std::fs::write(path, text))
}
