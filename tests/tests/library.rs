// SPDX-License-Identifier: MIT OR Apache-2.0
//! Facts about the library that users get: what it needs, what it exports, what it is made of.

use end_to_end::header::project;
use end_to_end::library::{Library, abi, bytes_of_plain_build, soname, succeed};
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;

fn answer(program: &str, arguments: &[&str], file: &Path) -> String {
    let output = succeed(Command::new(program).args(arguments).arg(file));
    String::from_utf8(output.stdout).expect("UTF-8")
}

#[test]
fn it_needs_the_c_library_alone_and_has_its_soname() {
    let library = Library::release();
    let dynamic = answer("readelf", &["--dynamic", "--wide"], &library.file());
    let bracketed = |tag: &str| -> BTreeSet<String> {
        let lines = dynamic.lines().filter(|line| line.contains(tag));
        lines.filter_map(|line| Some(line.split_once('[')?.1.split_once(']')?.0.to_owned())).collect()
    };
    let known = ["libc.so.6", "libgcc_s.so.1", "libm.so.6"];
    let needed = bracketed("(NEEDED)");
    let unknown = |name: &&String| !known.contains(&name.as_str()) && !name.starts_with("ld-linux");
    assert!(needed.contains("libc.so.6"), "{dynamic}");
    assert_eq!(needed.iter().filter(unknown).collect::<Vec<_>>(), Vec::<&String>::new());
    assert_eq!(bracketed("(SONAME)"), BTreeSet::from([soname()]));
}

/// The functions that the header declares.
fn declared(header: &str) -> BTreeSet<String> {
    let mut code = String::new();
    let mut rest = header;
    while let Some((before, comment)) = rest.split_once("/*") {
        code.push_str(before);
        rest = comment.split_once("*/").expect("the comment's end").1;
    }
    code.push_str(rest);
    let before_parentheses =
        code.split('(').map(|text| text.rsplit([' ', '*', '\n']).next().unwrap_or_default());
    before_parentheses.filter(|name| name.starts_with("haproxy_email_alert")).map(str::to_owned).collect()
}

#[test]
fn it_exports_what_the_header_declares_and_nothing_else() {
    let library = Library::release();
    let symbols = answer("nm", &["--dynamic", "--defined-only"], &library.file());
    let exported: BTreeSet<String> =
        symbols.lines().filter_map(|line| line.split(' ').nth(2)).map(str::to_owned).collect();
    let header = std::fs::read_to_string(library.header()).expect("the header");
    assert_eq!(exported, declared(&header));
    assert!(exported.len() > 10, "{exported:?}");
}

#[test]
fn debian_symbols_file_has_what_the_header_declares() {
    let file = format!("haproxy-integration/debian/package/libhaproxy-email-alert{}.symbols", abi());
    let symbols = std::fs::read_to_string(project().join(file)).expect("the symbols");
    let listed: BTreeSet<String> =
        symbols.lines().skip(1).filter_map(|line| Some(line.trim().split_once('@')?.0.to_owned())).collect();
    let header = std::fs::read_to_string(&end_to_end::header::paths()[0]).expect("the header");
    assert_eq!(listed, declared(&header));
}

#[test]
fn it_is_small_and_stripped() {
    let library = Library::release();
    let size = library.file().metadata().expect("the library").len();
    assert!(size < 3 * 1024 * 1024, "{size} bytes");
    let sections = answer("readelf", &["--sections", "--wide"], &library.file());
    assert!(!sections.contains(".symtab") && !sections.contains(".debug_info"), "it is not stripped");
}

#[test]
fn plain_build_makes_the_same_library_as_a_build_of_its_package() {
    let package = std::fs::read(Library::release().file()).expect("the library");
    let plain = bytes_of_plain_build();
    assert!(package == plain, "{} bytes and {} bytes", package.len(), plain.len());
}

#[test]
fn its_version_is_the_same_everywhere() {
    let library = Library::release();
    let version = env!("CARGO_PKG_VERSION");
    let header = std::fs::read_to_string(library.header()).expect("the header");
    assert!(header.contains(&format!("#define HAPROXY_EMAIL_ALERT_VERSION \"{version}\"\n")));
    assert_eq!(library.pkg_config("--modversion"), [version]);
    // At run time the C programs of `tests/c` compare the header's version with the library's ("order").
    let installed = library.file().canonicalize().expect("the library");
    assert!(installed.ends_with(format!("{}.{version}", soname())), "{installed:?}");
}

/// The Rust files of the library, with their text.
fn sources() -> Vec<(PathBuf, String)> {
    let mut directories = vec![project().join("alertlib/src"), project().join("alertlib/capi/src")];
    let mut sources = Vec::new();
    while let Some(directory) = directories.pop() {
        for entry in std::fs::read_dir(directory).expect("a directory") {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                directories.push(path);
            } else if path.extension().is_some_and(|end| end == "rs") {
                let text = std::fs::read_to_string(&path).expect("a source");
                sources.push((path, text));
            }
        }
    }
    assert!(sources.len() > 10, "{sources:?}");
    sources
}

#[test]
fn every_function_for_c_has_the_guard() {
    // These give a constant.
    const CONSTANT: [&str; 2] = ["haproxy_email_alert_version", "haproxy_email_alert_abi"];
    let (mut seen, mut unguarded) = (0, Vec::new());
    for (path, text) in sources() {
        for function in text.split("extern \"C\" fn ").skip(1) {
            let name = function.split('(').next().expect("a name");
            let body = function.split("\n}\n").next().expect("a body");
            seen += 1;
            if !body.contains("guarded(") && !CONSTANT.contains(&name) {
                unguarded.push(format!("{name} in {}", path.display()));
            }
        }
    }
    let header = std::fs::read_to_string(&end_to_end::header::paths()[0]).expect("the header");
    assert_eq!(seen, declared(&header).len(), "there are functions that this test does not find");
    assert_eq!(unguarded, Vec::<String>::new());
}

/// Licences that a program may have that is given to others as "MIT OR Apache-2.0".
const LICENCES: [&str; 9] =
    ["0BSD", "Apache-2.0", "BSD-2-Clause", "BSD-3-Clause", "ISC", "MIT", "Unicode-3.0", "Unlicense", "Zlib"];

/// May it be used under `licence`, an expression of SPDX? Cargo's older "MIT/Apache-2.0" means OR.
fn is_allowed(licence: &str) -> bool {
    let licence = licence.replace('/', " OR ");
    // Outside parentheses, the weakest operator first.
    for (operator, all) in [(" OR ", false), (" AND ", true)] {
        let (mut depth, mut start, mut parts) = (0, 0, Vec::new());
        for (at, char) in licence.char_indices() {
            match char {
                '(' => depth += 1,
                ')' => depth -= 1,
                _ if depth == 0 && at >= start && licence[at..].starts_with(operator) => {
                    parts.push(&licence[start..at]);
                    start = at + operator.len();
                }
                _ => (),
            }
        }
        if !parts.is_empty() {
            parts.push(&licence[start..]);
            return if all { parts.into_iter().all(is_allowed) } else { parts.into_iter().any(is_allowed) };
        }
    }
    match licence.trim().strip_prefix('(').and_then(|rest| rest.strip_suffix(')')) {
        Some(inner) => is_allowed(inner),
        None => LICENCES.contains(&licence.trim()),
    }
}

#[test]
fn what_it_is_linked_from_may_be_given_away() {
    for (licence, allowed) in [
        ("MIT", true),
        ("GPL-3.0-only", false),
        ("GPL-2.0-only OR MIT", true),
        ("MIT AND GPL-2.0-only", false),
        ("(MIT OR Apache-2.0) AND Unicode-3.0", true),
        ("(MIT OR Apache-2.0) AND (GPL-2.0-only OR LGPL-2.1-only)", false),
        ("Apache-2.0/MIT", true),
        ("", false),
    ] {
        assert_eq!(is_allowed(licence), allowed, "{licence}");
    }
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut tree = Command::new(cargo);
    tree.args(["tree", "--locked", "--package", "haproxy-email-alert", "--edges", "normal,build"]);
    tree.args(["--target", "all", "--prefix", "none", "--no-dedupe", "--format", "{p}\t{l}"]);
    let output = succeed(tree.current_dir(project()));
    let crates: BTreeSet<String> =
        String::from_utf8(output.stdout).expect("UTF-8").lines().map(str::to_owned).collect();
    assert!(crates.len() > 10, "{crates:?}");
    let refused: Vec<&String> = crates
        .iter()
        .filter(|line| !is_allowed(line.split_once('\t').map_or("", |(_, licence)| licence)))
        .collect();
    assert_eq!(refused, Vec::<&String>::new());
}
