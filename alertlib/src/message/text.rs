// SPDX-License-Identifier: MIT OR Apache-2.0
//! The text part, for terminals with 80 columns.

use super::section::{Fact, Report, Section};

/// Longest line, in characters. Longer paragraphs are wrapped, except HAProxy's sentence.
const WIDTH: usize = 78;
/// First character of the second column of the facts.
const COLUMN: usize = 12;

/// Renders the text part.
pub fn text(report: &Report) -> String {
    // The first line is not wrapped, so that it can be searched for in HAProxy's log.
    let mut text = format!("{}\n", report.first_line);
    for paragraph in &report.paragraphs {
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
    if !section.heading.is_empty() {
        text.push_str(&format!("{}\n", wrapped(&format!("-- {}", section.heading), 3)));
    }
    if let Some(hint) = &section.hint {
        text.push_str(&format!("   {}\n", wrapped(hint, 3)));
    }
    // Longer names do not widen the column of the others.
    const MAX_COLUMN: usize = 32;
    let name = |row: &super::section::Row| format!("{} {}", row.name, row.state.text);
    let width =
        section.rows.iter().map(|row| name(row).chars().count()).filter(|width| *width <= MAX_COLUMN).max();
    let width = width.unwrap_or(0);
    for row in &section.rows {
        text.push_str(format!("{:<width$}  {}", name(row), wrapped(&row.details, width + 2)).trim_end());
        text.push('\n');
    }
}

/// Wraps words into lines of [`WIDTH`] characters; the second and further lines are indented. A word that is too long gets a line
/// of its own.
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
    fn lines_are_wrapped_between_words() {
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
    fn wrapped_row_is_indented_behind_the_names() {
        let row =
            |name: &str, details: String| Row { name: name.into(), state: Badge::of(Kind::Down), details };
        let rows = vec![row("web/s1", "words ".repeat(15)), row("web/server2", "at 03:12:45".into())];
        let mut text = String::new();
        add_section(&mut text, &Section { heading: String::new(), hint: None, rows });
        let lines: Vec<&str> = text.lines().collect();
        assert!(lines[1].starts_with("web/s1 DOWN       words "), "{text}");
        assert!(lines[2].starts_with("                  words "), "{text}");
        assert_eq!(lines[3], "web/server2 DOWN  at 03:12:45");
        assert!(lines.iter().all(|line| line.len() <= WIDTH), "{text}");
    }
}
