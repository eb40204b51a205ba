// SPDX-License-Identifier: MIT OR Apache-2.0
//! The library's modules are layers: each uses lower ones only, in no circle. `unsafe` stays at the border to C and to the
//! kernel, and no source file grows too long.

mod checker;
mod files;
mod graph;
mod imports;

use end_to_end::header::project;
use graph::Graph;
use imports::Sources;
use std::path::Path;

/// The modules of `alertlib/src`, bottom first. `alertlib/capi` is a crate above all of them.
const LAYERS: &[&str] = &[
    "sys",
    "text",
    "wire",
    "format",
    "files",
    "logging",
    "counters",
    "ring",
    "event",
    "settings",
    "credentials",
    "notification",
    "engine",
    "message",
    "queue",
    "spool",
    "helper",
    "transport",
    "directive",
    "service",
];

/// Directories of Rust sources in the product; `unsafe` is for the last two alone.
const PRODUCT: [&str; 3] = ["alertlib/src", "haproxy-integration/cli/src", "alertlib/capi/src"];
const WITH_UNSAFE: [&str; 2] = ["alertlib/src/sys/", "alertlib/capi/"];

const MOST_LINES: usize = 600;

/// Generated files may be longer: each with its generator.
const GENERATED: &[(&str, &str)] = &[
    ("include/haproxy_email_alert.h", "make header"),
    ("haproxy-integration/addon/dummy/haproxy_email_alert.h", "make header"),
];

fn sources_of(directory: &str) -> Sources {
    Sources::of_directory(&project().join(directory), directory)
}

#[track_caller]
fn expect_none(subject: &str, messages: &[String], after: &str) {
    assert!(messages.is_empty(), "{subject}: {}\n{}\n{after}", messages.len(), messages.join("\n"));
}

/// `LAYERS` as a graph of the real imports.
fn print_graph(sources: &Sources) -> String {
    format!("The graph of imports, top layer first:\n{}", Graph::below(&[], sources, LAYERS).print())
}

#[test]
fn every_module_has_a_layer() {
    expect_none("modules without a layer", &graph::unlisted_modules(&sources_of("alertlib/src"), LAYERS), "");
}

#[test]
fn no_module_uses_a_higher_layer() {
    let sources = sources_of("alertlib/src");
    let graph = print_graph(&sources);
    println!("{graph}");
    expect_none("upward imports", &graph::upward_imports(&sources, LAYERS), &graph);
}

#[test]
fn top_level_modules_import_each_other_in_no_circle() {
    let sources = sources_of("alertlib/src");
    let circles = Graph::below(&[], &sources, LAYERS).circles();
    expect_none(
        "import circles; untie each by a move of what both need into the lower module",
        &circles,
        &print_graph(&sources),
    );
}

#[test]
fn modules_of_one_module_import_each_other_in_no_circle() {
    let sources = sources_of("alertlib/src");
    let mut messages = Vec::new();
    for parent in sources.modules.keys().filter(|module| !module.is_empty()) {
        let name = parent.join("::");
        let circles = Graph::below(parent, &sources, &[]).circles();
        messages.extend(circles.into_iter().map(|circle| format!("in {name}: {circle}")));
    }
    expect_none("import circles; move what both need into a module of its own", &messages, "");
}

#[test]
fn unsafe_code_is_at_the_border_to_c_and_to_the_kernel_only() {
    let places = PRODUCT.iter().flat_map(|directory| sources_of(directory).unsafe_places);
    let messages: Vec<String> = places
        .filter(|place| !WITH_UNSAFE.iter().any(|allowed| place.starts_with(allowed)))
        .map(|place| {
            format!("{place}: `unsafe`; move it behind a safe function in {}", WITH_UNSAFE.join(" or "))
        })
        .collect();
    expect_none("unsafe code outside the border", &messages, "");
}

#[test]
fn no_source_file_is_too_long() {
    let files = files::sources(&project());
    assert!(files.iter().any(|(path, _)| path == "tests/tests/layers/main.rs"), "the walk missed this file");
    for (path, generator) in GENERATED {
        assert!(
            Path::new(&project().join(path)).exists(),
            "{path} (from {generator}) is gone; remove it from GENERATED"
        );
    }
    expect_none("files that are too long", &files::too_long(&files, MOST_LINES, GENERATED), "");
}

/// Texts between backticks.
fn quoted(text: &str) -> impl Iterator<Item = &str> {
    text.split('`').skip(1).step_by(2)
}

#[test]
fn functions_and_files_that_the_design_page_names_exist() {
    let page = std::fs::read_to_string(project().join("doc/design.md")).expect("the page");
    let walks = &page[page.find("## Walk 1").expect("the walks")..];
    let (mut sources, mut missing) = (String::new(), Vec::new());
    let places = [("src/", "alertlib"), ("capi/", "alertlib"), ("addon/", "haproxy-integration")];
    for path in quoted(walks) {
        let Some((_, root)) = places.iter().find(|(start, _)| path.starts_with(start)) else { continue };
        match std::fs::read_to_string(project().join(root).join(path)) {
            Ok(text) => sources.push_str(&text),
            Err(_) => missing.push(path),
        }
    }
    let functions: Vec<&str> = quoted(walks).filter_map(|text| text.strip_suffix("()")).collect();
    assert!(functions.len() > 30, "{functions:?}");
    for function in functions {
        let name = function.rsplit("::").next().expect("a name");
        // In Rust `fn name(` or `fn name<`, in C `name(` after the type.
        let is_there =
            [format!("fn {name}("), format!("fn {name}<"), format!(" {name}("), format!("*{name}(")];
        // HAProxy's own function is not in these files.
        if name != "srv_update_status" && !is_there.iter().any(|text| sources.contains(text)) {
            missing.push(function);
        }
    }
    assert_eq!(missing, [""; 0], "doc/design.md names what does not exist");
}
