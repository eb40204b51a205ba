// SPDX-License-Identifier: MIT OR Apache-2.0
//! Version and soname have one source each: `version` of Cargo.toml, and `HAPROXY_EMAIL_ALERT_ABI` of the C ABI. Packages and HAProxy
//! say the same.

use end_to_end::{
    haproxy::haproxy_to_test,
    header::project,
    library::{abi, soname, succeed},
};
use std::{collections::BTreeSet, fs, process::Command};

const VERSION: &str = env!("CARGO_PKG_VERSION");
const DEBIAN: &str = "haproxy-integration/debian/package";
const SPEC: &str = "haproxy-integration/rpm/haproxy-email-alert.spec";

fn read(file: &str) -> String {
    fs::read_to_string(project().join(file)).unwrap_or_else(|error| panic!("{file}: {error}"))
}

/// The rest of the first line of `text` that begins with `start`.
#[track_caller]
fn first_after<'a>(text: &'a str, start: &str) -> &'a str {
    text.lines()
        .find_map(|line| line.strip_prefix(start))
        .unwrap_or_else(|| panic!("no line '{start}'"))
        .trim()
}

#[test]
fn haproxy_vv_names_the_version_of_the_library() {
    let output = succeed(Command::new(haproxy_to_test()).arg("-vv"));
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let version = first_after(&text, "Built with e-mail alerts (haproxy-email-alert library version ");
    assert_eq!(version, format!("{VERSION})."));
}

#[test]
fn debian_changelog_has_the_version_of_the_library() {
    let changelog = read(&format!("{DEBIAN}/changelog"));
    let version = first_after(&changelog, "haproxy-email-alert (").split_once(')').expect("a version").0;
    let (upstream, _revision) = version.rsplit_once('-').expect("a revision");
    assert_eq!(upstream, VERSION);
}

#[test]
fn spec_and_its_changelog_have_the_version_of_the_library() {
    let spec = read(SPEC);
    assert_eq!(first_after(&spec, "Version:"), VERSION);
    let changelog = spec.split_once("%changelog\n").expect("a changelog").1;
    let newest = changelog.lines().next().expect("an entry");
    assert!(newest.contains(&format!("> - {VERSION}-")), "{newest}");
}

#[test]
fn debian_package_of_the_library_has_the_number_of_the_soname() {
    let package = format!("libhaproxy-email-alert{}", abi());
    let control = read(&format!("{DEBIAN}/control"));
    assert!(control.contains(&format!("\nPackage: {package}\n")), "debian/control has no {package}");
    let files = fs::read_dir(project().join(DEBIAN)).expect("the packaging");
    let mut names: BTreeSet<String> = files
        .map(|file| file.expect("a file").file_name().into_string().expect("UTF-8"))
        .filter(|name| name.starts_with("libhaproxy-email-alert") && !name.contains("-dev."))
        .collect();
    for file in ["install", "symbols"] {
        assert!(names.remove(&format!("{package}.{file}")), "there is no {package}.{file}");
    }
    assert_eq!(names, BTreeSet::new());
    let symbols = read(&format!("{DEBIAN}/{package}.symbols"));
    assert_eq!(symbols.lines().next(), Some(format!("{} {package} #MINVER#", soname()).as_str()));
}

#[test]
fn packages_ask_for_the_rust_of_the_workspace() {
    let minimum = env!("CARGO_PKG_RUST_VERSION");
    let spec = read(SPEC);
    for package in ["cargo", "rust"] {
        assert_eq!(first_after(&spec, &format!("BuildRequires:  {package} >=")), minimum);
    }
    let control = read(&format!("{DEBIAN}/control"));
    for package in ["cargo", "cargo-web", "rustc", "rustc-web"] {
        assert!(control.contains(&format!("{package} (>= {minimum})")), "{package}");
    }
}

#[test]
fn documents_show_the_version_of_the_library() {
    for (file, text) in [
        ("README.md", format!("`+alert{VERSION}`")),
        ("haproxy-integration/addon/README", format!("haproxy-email-alert library version {VERSION})")),
    ] {
        assert!(read(file).contains(&text), "{file} does not have {text}");
    }
}
