// SPDX-License-Identifier: MIT OR Apache-2.0
//! The C header, made from the library's source by cbindgen.

use std::path::{Path, PathBuf};

/// The top of the project.
pub fn project() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the workspace").to_owned()
}

/// Where the header is committed: for all programs, and beside the dummy library of HAProxy's add-on.
pub fn paths() -> [PathBuf; 2] {
    ["include", "haproxy-integration/addon/dummy"]
        .map(|directory| project().join(directory).join("haproxy_email_alert.h"))
}

/// The header as the source wants it.
pub fn generate() -> String {
    let library = project().join("alertlib/capi");
    let config = cbindgen::Config::from_file(library.join("cbindgen.toml")).expect("cbindgen.toml");
    let mut header = Vec::new();
    cbindgen::Builder::new()
        .with_config(config)
        .with_src(library.join("src/lib.rs"))
        .generate()
        .expect("cbindgen")
        .write(&mut header);
    let header = String::from_utf8(header).expect("UTF-8").replace("@VERSION@", env!("CARGO_PKG_VERSION"));
    without_safety_sections(&header)
}

/// What Rust's readers are told under "Safety" is said to C's in the text above it.
fn without_safety_sections(header: &str) -> String {
    let mut lines: Vec<&str> = Vec::new();
    let mut in_safety = false;
    for line in header.lines() {
        let text = line.trim();
        in_safety = text == "* # Safety" || in_safety && text != "*/";
        if in_safety {
            continue;
        }
        if text == "*/" && lines.last().is_some_and(|last| last.trim() == "*") {
            lines.pop();
        }
        lines.push(line);
    }
    lines.join("\n") + "\n"
}
