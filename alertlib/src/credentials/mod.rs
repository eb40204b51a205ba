// SPDX-License-Identifier: MIT OR Apache-2.0
//! Credentials: certificates, private keys, passwords and tokens, read from files and checked.
//!
//! Directives check the files while the configuration is read; transports load them before the chroot. Errors are the end of a
//! sentence that begins with the file's name. No error contains a secret.

mod pem;
mod secret_file;

pub use pem::{identity, roots, system_roots, tls_error_text};
pub use secret_file::{check, check_for_worker, directory_of, secret_in};

use crate::text::visible;
use std::path::Path;

/// Prefixes an error with the directive's word and the file's name.
pub fn about<'a>(word: &'a str, path: &'a Path) -> impl Fn(String) -> String + 'a {
    move |why| format!("'{word}' file '{}' {why}", visible(&path.to_string_lossy()))
}
