// SPDX-License-Identifier: MIT OR Apache-2.0
//! Converts documentation in HAProxy's style to the language of manual pages.
//!
//! Paragraphs are indented by 2 columns. After `Example :`, deeper lines are an example; after another line that ends with ` :`,
//! they are a list. An item has its term at column 4 and its text at column 14; a term that is too long has a line of its own.
//! Deeper lines are shown as they are.

use super::Entry;

const BASE: usize = 2;
const TERM: usize = 4;
const TEXT: usize = 14;

/// Returns a directive's section.
pub fn section(entry: &Entry) -> String {
    let mut roff = format!(".SS {}\n.nf\n", escaped(entry.keyword));
    for line in entry.syntax(71) {
        roff += &format!("\\fB{}\\fR\n", escaped(&line).replace('<', "\\fI<").replace('>', ">\\fB"));
    }
    roff += ".fi\n";
    let mut is_example = false;
    for paragraph in entry.body.split(String::is_empty) {
        let mut is_verbatim = false;
        // The first line, and the first one after lines that are shown as they are, begin with a macro.
        let mut begins = true;
        for line in paragraph {
            let text = line.trim_start();
            let indentation = line.len() - text.len();
            let is_shown = indentation > TEXT || is_example && indentation > BASE;
            match (is_verbatim, is_shown) {
                (false, true) => roff += if is_example { ".PP\n.EX\n" } else { ".IP\n.EX\n" },
                (true, false) => roff += ".EE\n",
                _ => {}
            }
            begins |= is_verbatim;
            is_verbatim = is_shown;
            if is_shown {
                roff += &format!("{}\n", escaped(&line[if is_example { TERM } else { TEXT }..]));
                continue;
            }
            let mut filled = text;
            match indentation {
                TERM => {
                    let has_text = line.len() > TEXT && line.as_bytes()[TEXT - 1] == b' ';
                    let (term, text) = text.split_at(if has_text { TEXT - TERM } else { text.len() });
                    roff += &format!(".TP\n.B {}\n", escaped(term.trim_end()));
                    filled = text;
                }
                TEXT if begins => roff += ".IP\n",
                BASE if begins => roff += ".PP\n",
                _ => {}
            }
            is_example = indentation == BASE && text == "Example :";
            begins = false;
            if !filled.is_empty() {
                roff += &format!("{}\n", escaped(filled).replace(" :", ":").replace(" ;", ";"));
            }
        }
        if is_verbatim {
            roff += ".EE\n";
        }
    }
    roff
}

fn escaped(text: &str) -> String {
    let text = text.replace('\\', "\\e").replace('-', "\\-");
    if text.starts_with(['.', '\'']) { format!("\\&{text}") } else { text }
}
