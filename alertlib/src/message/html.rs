// SPDX-License-Identifier: MIT OR Apache-2.0
//! The HTML part: the content of the text part, with the state in colour. It loads nothing over the network.

use super::section::Report;
use askama::Template;

/// Values of the template, which escapes them.
#[derive(Template)]
#[template(path = "mail.html")]
struct Html<'a> {
    subject: &'a str,
    report: &'a Report,
}

/// Renders the HTML part.
///
/// # Errors
///
/// Returns askama's error. This template causes none.
pub fn html(report: &Report, subject: &str) -> Result<String, String> {
    Html { subject, report }.render().map_err(|error| error.to_string())
}
