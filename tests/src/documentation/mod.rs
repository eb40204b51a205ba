// SPDX-License-Identifier: MIT OR Apache-2.0
//! The documentation of the directives, made from the library's table of them: a text in the style of HAProxy's
//! `doc/configuration.txt`, the patches that add it there, the manual page's section and the table of `README.md`.

mod patch;
mod roff;

use crate::header::project;
use haproxy_email_alert::directive::{DIRECTIVES, DOCUMENTATION};
use std::path::{Path, PathBuf};

const TEXT: &str = "haproxy-integration/doc/email_alert.txt";
const TEXT_HEADER: &str = "Directives of the e-mail alerts, as in section 3.1 of doc/configuration.txt
---------------------------------------------------------------------------

Made by \"make documentation\" from alertlib/src/directive/table.rs: edit that
file, not this one.
";
const MANUAL: &str = "doc/haproxy-email-alert.7";
const README: &str = "README.md";
const PATCH: &str = "email-alert-documentation.patch";

/// Longest lines of HAProxy's documentation, in columns.
const COLUMNS: usize = 80;

/// A directive and its documentation.
struct Entry {
    keyword: &'static str,
    usage: &'static [&'static str],
    /// Lines, indented by at least 2 columns unless they are empty.
    body: Vec<String>,
}

impl Entry {
    /// Returns the syntax of each form in lines of at most `columns` columns; the second and further lines are indented.
    fn syntax(&self, columns: usize) -> Vec<String> {
        self.usage.iter().flat_map(|usage| wrapped(self.keyword, usage, columns)).collect()
    }

    fn text(&self) -> String {
        [self.syntax(COLUMNS), self.body.clone()].concat().join("\n") + "\n"
    }

    /// Returns the first sentence of the documentation.
    fn summary(&self) -> String {
        let paragraph: Vec<&str> =
            self.body.iter().map(|line| line.trim()).take_while(|line| !line.is_empty()).collect();
        let paragraph = paragraph.join(" ");
        paragraph.split_once(". ").map_or(paragraph.clone(), |(first, _)| format!("{first}."))
    }
}

fn entries() -> Vec<Entry> {
    let indented = |line: &str| if line.is_empty() { String::new() } else { format!(" {line}") };
    let directives = DIRECTIVES.iter().zip(DOCUMENTATION);
    let entries: Vec<Entry> = directives
        .map(|(directive, text)| Entry {
            keyword: directive.keyword.to_str().expect("UTF-8"),
            usage: directive.usage,
            body: text.lines().map(indented).collect(),
        })
        .collect();
    assert!(entries.is_sorted_by_key(|entry| entry.keyword), "the table is not in alphabetical order");
    for (entry, line) in entries.iter().flat_map(|entry| entry.body.iter().map(move |line| (entry, line))) {
        let is_good = line.is_ascii() && line.len() <= COLUMNS && line.trim_end() == line;
        assert!(is_good, "{}: not ASCII, too long, or with spaces at its end: {line:?}", entry.keyword);
    }
    entries
}

/// Splits at the spaces outside brackets. `a|b` becomes `{ a | b }`, as HAProxy's documentation has it.
fn wrapped(keyword: &str, usage: &str, columns: usize) -> Vec<String> {
    let mut words: Vec<String> = Vec::new();
    let mut depth = 0;
    for word in usage.split(' ') {
        let is_choice = depth == 0 && word.contains('|');
        let shown = if is_choice { format!("{{ {} }}", word.replace('|', " | ")) } else { word.to_owned() };
        match words.last_mut().filter(|_| depth > 0) {
            Some(last) => *last += &format!(" {shown}"),
            None => words.push(shown),
        }
        depth += word.matches('[').count();
        depth -= word.matches(']').count();
    }
    let mut lines = vec![keyword.to_owned()];
    for word in words {
        let last = lines.last_mut().expect("a line");
        if last.len() + 1 + word.len() <= columns {
            *last += &format!(" {word}");
        } else {
            lines.push(format!("        {word}"));
        }
    }
    lines
}

/// Replaces the lines between the line that begins with `begin` and the next one that begins with `end`.
fn replaced(text: &str, begin: &str, end: &str, new: &str) -> String {
    let (before, rest) = text.split_at(text.find(&format!("\n{begin}")).expect(begin) + 1);
    let (marker, rest) = rest.split_at(rest.find('\n').expect("a line's end"));
    let after = &rest[rest.find(&format!("\n{end}")).expect(end) + 1..];
    format!("{before}{marker}\n{new}{after}")
}

fn table(entries: &[Entry]) -> String {
    let row = |entry: &Entry| {
        let syntax: Vec<String> =
            entry.syntax(72).iter().map(|line| format!("`{}`", line.trim().replace('|', "\\|"))).collect();
        format!("| {} | {} |\n", syntax.join("<br>"), entry.summary().replace('<', "\\<"))
    };
    "\n| directive | what it does |\n|---|---|\n".to_owned()
        + &entries.iter().map(row).collect::<String>()
        + "\n"
}

fn read(path: &Path) -> String {
    std::fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// Returns the files, each with its text as the table wants it.
pub fn generate() -> Vec<(PathBuf, String)> {
    let entries = entries();
    let text = entries.iter().map(Entry::text).collect::<Vec<_>>().join("\n");
    let keywords: String = entries.iter().map(|entry| format!("   - {}\n", entry.keyword)).collect();
    let mut files = vec![(project().join(TEXT), format!("{TEXT_HEADER}\n{text}"))];
    let mut replace = |path: &str, begin: &str, end: &str, new: &str| {
        let path = project().join(path);
        let text = replaced(&read(&path), begin, end, new);
        files.push((path, text));
    };
    replace(MANUAL, ".\\\" Made by", ".\\\" End", &entries.iter().map(roff::section).collect::<String>());
    replace(README, "<!-- Made by", "<!-- End", &table(&entries));
    let branches = std::fs::read_dir(project().join("patches")).expect("patches/");
    let patches = branches.map(|branch| branch.expect("an entry").path().join(PATCH));
    for path in patches.filter(|path| path.exists()) {
        let patch = patch::with_added(&read(&path), &[&keywords, &format!("{text}\n")]);
        files.push((path, patch));
    }
    files
}
