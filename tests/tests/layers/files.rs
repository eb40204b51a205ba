// SPDX-License-Identifier: MIT OR Apache-2.0
//! The project's source files and their lengths.

use std::fs;
use std::path::Path;

/// Each source file's path and number of lines: Rust, C, and the scripts of `ci`.
pub fn sources(project: &Path) -> Vec<(String, usize)> {
    let mut files = Vec::new();
    walk(project, "", &mut files);
    files.sort();
    files
}

fn walk(directory: &Path, prefix: &str, files: &mut Vec<(String, usize)>) {
    for entry in fs::read_dir(directory).unwrap_or_else(|error| panic!("{}: {error}", directory.display())) {
        let path = entry.expect("an entry").path();
        let name = path.file_name().expect("a name").to_string_lossy().into_owned();
        let is_source =
            prefix.starts_with("ci/") || [".rs", ".c", ".h"].iter().any(|end| name.ends_with(end));
        if path.is_dir() {
            // Build output and the directories of tools are left out.
            if name != "target" && !name.starts_with('.') {
                walk(&path, &format!("{prefix}{name}/"), files);
            }
        } else if is_source && path.is_file() {
            let lines = String::from_utf8_lossy(&fs::read(&path).expect("a readable file")).lines().count();
            files.push((format!("{prefix}{name}"), lines));
        }
    }
}

/// A message for each file of more than `most` lines that is not in `generated`.
pub fn too_long(files: &[(String, usize)], most: usize, generated: &[(&str, &str)]) -> Vec<String> {
    let is_generated = |path: &str| generated.iter().any(|(name, _)| *name == path);
    let files = files.iter().filter(|(path, lines)| *lines > most && !is_generated(path));
    files
        .map(|(path, lines)| format!("{path}:{lines}: more than {most} lines; split it along its concepts"))
        .collect()
}
