// SPDX-License-Identifier: MIT OR Apache-2.0
//! Replaces what a patch adds. Its places in the patched file stay as they are.

/// Returns the patch with `added` as the lines that its hunks add, each hunk at one place.
pub fn with_added(patch: &str, added: &[&str]) -> String {
    let total: usize = added.iter().map(|text| text.lines().count()).sum();
    let mut hunks = patch.split("\n@@ ");
    let header = hunks.next().expect("a header");
    let mut result = header.lines().map(|line| with_total(line, total) + "\n").collect::<String>();
    let mut shift = 0;
    let hunks: Vec<&str> = hunks.collect();
    assert_eq!(hunks.len(), added.len(), "hunks of the patch");
    for (hunk, text) in hunks.iter().zip(added) {
        let mut lines = hunk.lines();
        let (range, place) =
            lines.next().and_then(|line| line.split_once(" @@")).expect("the place of a hunk");
        let old = range.split(' ').next().expect("the old lines");
        let (start, count) = old.trim_start_matches('-').split_once(',').expect("a line and a number");
        let [start, count] = [start, count].map(|number| number.parse::<usize>().expect("a number"));
        let new = text.lines().count();
        result += &format!("@@ {old} +{},{} @@{place}\n", start + shift, count + new);
        shift += new;
        let mut is_added = false;
        for line in lines {
            if !line.starts_with('+') {
                result += &format!("{line}\n");
            } else if !std::mem::replace(&mut is_added, true) {
                result.extend(text.lines().map(|line| format!("+{line}\n")));
            }
        }
    }
    result
}

/// Writes the number of added lines into the lines of the summary.
fn with_total(line: &str, total: usize) -> String {
    if let Some((file, graph)) = line.split_once(" | ") {
        return format!("{file} | {total} {}", graph.trim_start_matches(|char: char| char != '+'));
    }
    match line.split_once(" changed, ") {
        Some((files, _)) => format!("{files} changed, {total} insertions(+)"),
        None => line.to_owned(),
    }
}
