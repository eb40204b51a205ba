// SPDX-License-Identifier: MIT OR Apache-2.0
//! The HTML part: what the text says, with the state in colour. Nothing in it is fetched from anywhere.

use super::section::Report;
use askama::Template;

/// The template escapes everything that is put into it.
#[derive(Template)]
#[template(path = "mail.html")]
struct Html<'a> {
    subject: &'a str,
    report: &'a Report,
}

/// The HTML part.
///
/// # Errors
///
/// None that this template could have.
pub fn html(report: &Report, subject: &str) -> Result<String, String> {
    Html { subject, report }.render().map_err(|error| error.to_string())
}
