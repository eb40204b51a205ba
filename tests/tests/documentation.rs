// SPDX-License-Identifier: MIT OR Apache-2.0
//! The committed documentation of the directives is the one that their table makes.

use end_to_end::documentation;

#[test]
fn committed_documentation_of_the_directives_is_up_to_date() {
    let files = documentation::generate();
    let committed = |path| std::fs::read_to_string(path).expect("a committed file");
    let outdated: Vec<_> =
        files.iter().filter(|(path, text)| committed(path) != *text).map(|(path, _)| path).collect();
    assert!(outdated.is_empty(), "you probably forgot to run: make documentation: {outdated:?}");
    assert!(files.len() >= 9, "{}", files.len());
}
