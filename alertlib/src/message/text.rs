// SPDX-License-Identifier: MIT OR Apache-2.0
//! The text part: fit for a terminal of 80 columns.

use super::section::{Fact, Report, Section};

/// Where lines of our own words are broken.
const WIDTH: usize = 78;
/// Where the second column of the table begins.
const COLUMN: usize = 12;

/// The text part.
pub fn text(report: &Report) -> String {
    // Not broken: it is what one searches for in HAProxy's log.
    let mut text = format!("{}\n", report.first);
    for paragraph in &report.more {
        text.push_str(&format!("\n{}\n", wrapped(paragraph, 0)));
    }
    report.sections.iter().for_each(|section| add_section(&mut text, section));
    text.push('\n');
    let mut add =
        |label: &str, value: &str| text.push_str(&format!("  {label:<9} {}\n", wrapped(value, COLUMN)));
    report.facts.iter().for_each(|Fact { label, value }| add(label, value));
    if let Some(link) = &report.statistics {
        add("stats", &link.to_string());
    }
    for note in &report.notes {
        text.push_str(&format!("\n{}\n", wrapped(note, 0)));
    }
    text
}

fn add_section(text: &mut String, section: &Section) {
    text.push('\n');
    if !section.head.is_empty() {
        text.push_str(&format!("{}\n", wrapped(&format!("-- {}", section.head), 3)));
    }
    if let Some(advice) = &section.advice {
        text.push_str(&format!("   {}\n", wrapped(advice, 3)));
    }
    // Names as long as that do not push the others away.
    const MOST: usize = 32;
    let name = |row: &super::section::Row| format!("{} {}", row.name, row.state.words);
    let width = section.rows.iter().map(|row| name(row).chars().count()).filter(|width| *width <= MOST).max();
    let width = width.unwrap_or(0);
    for row in &section.rows {
        text.push_str(format!("{:<width$}  {}", name(row), wrapped(&row.rest, width + 2)).trim_end());
        text.push('\n');
    }
}

/// The words in lines, the second and further ones indented. A word that is too long has a line for itself.
fn wrapped(words: &str, indent: usize) -> String {
    let mut lines = String::new();
    let mut column = indent;
    for (n, word) in words.split(' ').enumerate() {
        let width = word.chars().count();
        if n > 0 && column + 1 + width > WIDTH {
            lines.push_str(&format!("\n{:indent$}", ""));
            column = indent;
        } else if n > 0 {
            lines.push(' ');
            column += 1;
        }
        lines.push_str(word);
        column += width;
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::Kind;
    use crate::message::section::{Badge, Row};

    #[test]
    fn lines_are_broken_between_words() {
        let words = "word ".repeat(40) + &"x".repeat(100);
        let broken = wrapped(&words, 12);
        assert_eq!(broken.replace("\n            ", " "), words);
        let lines: Vec<usize> = broken.lines().map(str::len).collect();
        assert!(
            lines.len() > 3 && lines[..lines.len() - 1].iter().all(|length| *length <= WIDTH),
            "{broken}"
        );
        assert_eq!(wrapped("", 3), "");
    }

    #[test]
    fn a_row_goes_on_behind_the_names() {
        let row = |name: &str, rest: String| Row { name: name.into(), state: Badge::of(Kind::Down), rest };
        let rows = vec![row("web/s1", "words ".repeat(15)), row("web/server2", "at 03:12:45".into())];
        let mut text = String::new();
        add_section(&mut text, &Section { head: String::new(), advice: None, rows });
        let lines: Vec<&str> = text.lines().collect();
        assert!(lines[1].starts_with("web/s1 DOWN       words "), "{text}");
        assert!(lines[2].starts_with("                  words "), "{text}");
        assert_eq!(lines[3], "web/server2 DOWN  at 03:12:45");
        assert!(lines.iter().all(|line| line.len() <= WIDTH), "{text}");
    }
}
