// SPDX-License-Identifier: MIT OR Apache-2.0
//! The checker finds each kind of mistake in made-up sources.

use super::files::{sources, too_long};
use super::graph::{Graph, unlisted_modules, upward_imports};
use super::imports::Sources;

const LAYERS: &[&str] = &["low", "middle", "high"];

/// A crate whose `middle.rs` is `text`.
fn with_middle(text: &str) -> Sources {
    let files = [
        ("lib.rs", "mod low; mod middle; mod high; pub use high::High; pub use low::Low;"),
        ("low.rs", "pub struct Low;"),
        ("middle.rs", text),
        ("high/mod.rs", "pub struct High;"),
        ("high/part.rs", "use super::High;"),
    ];
    Sources::of_files("src", &files)
}

#[track_caller]
fn expect_upward(text: &str, places: &[&str]) {
    let found = upward_imports(&with_middle(text), LAYERS);
    let found_places: Vec<&str> =
        found.iter().map(|message| message.split(": ").next().unwrap_or("")).collect();
    assert_eq!(found_places, places, "{text}: {found:#?}");
}

#[test]
fn an_upward_use_is_found_however_it_is_written() {
    for text in [
        "use crate::high::High;",
        "use crate::high;",
        "use crate::high::*;",
        "use crate::high as other;",
        "use crate::{low::Low, high::{part, High}};",
        "use super::high::High;",
        "pub use self::super::high::High;",
        "fn f(_: &crate::high::High) {}",
        "fn f() { let _: Vec<crate::high::High> = Vec::new(); }",
        "fn f() { use crate::high::High; }",
        "fn f() { println!(\"{}\", crate::high::part::f()); }",
        "macro_rules! m { () => { $crate::high::f() } }",
        "macro_rules! m { () => { use crate::{low, high::High}; } }",
        "#[serde(with = \"crate::high\")] struct S;",
        "mod tests { use super::super::high::High; }",
        "#[cfg(test)] mod tests { use crate::high::High; }",
        "impl crate::high::Trait for S {}",
        // By way of the crate root.
        "use crate::High;",
    ] {
        let found = upward_imports(&with_middle(text), LAYERS);
        assert!(!found.is_empty(), "not found: {text}");
        assert!(found.iter().all(|message| message.starts_with("src/middle.rs:1: `")), "{found:#?}");
    }
}

#[test]
fn an_upward_use_is_reported_with_its_own_line() {
    expect_upward(
        "use crate::{\n    low::Low,\n    high::High,\n};\n\nfn f() {\n    crate::high::f();\n}",
        &["src/middle.rs:3", "src/middle.rs:7"],
    );
    let [message] = &upward_imports(&with_middle("use crate::high::High;"), LAYERS)[..] else {
        panic!("one")
    };
    assert_eq!(
        message,
        "src/middle.rs:1: `use crate::high::High`: middle is below high and must not use it; \
         move what both need into middle or lower, or pass it as an argument"
    );
}

#[test]
fn what_is_no_upward_use_is_not_reported() {
    for text in [
        "use crate::low::Low;",
        "use crate::Low;",
        "use crate::VERSION;",
        "//! [`crate::high`]\n/// [`crate::high::High`]\n// use crate::high;\nfn f() {}",
        "fn f() -> &'static str { \"see crate::high::High\" }",
        "use ::high::High;",
        "use high::High;",
        "pub(in crate::middle) fn f() {}",
        "mod tests { use super::*; }",
    ] {
        expect_upward(text, &[]);
    }
}

#[test]
fn a_circle_is_found_and_printed() {
    let files = [
        ("a.rs", "use crate::b::B;"),
        ("b/mod.rs", "use crate::c;"),
        ("b/part.rs", "use super::B;"),
        ("c.rs", "\nfn f() { crate::a::f() }"),
        ("d.rs", "use crate::a;"),
    ];
    let sources = Sources::of_files("src", &files);
    let graph = Graph::below(&[], &sources, &["c", "b", "a", "d"]);
    assert_eq!(
        graph.circles(),
        [
            "a -> b -> c -> a\n    src/a.rs:1: use crate::b::B\n    src/b/mod.rs:1: use crate::c\n    src/c.rs:2: crate::a::f"
        ]
    );
    assert_eq!(graph.print(), "  d -> a\n  a -> b\n  b -> c\n  c -> a\n");
}

#[test]
fn a_circle_within_a_module_is_found() {
    let files = [
        ("a/mod.rs", "use crate::a::one::One;"),
        ("a/one.rs", "use super::{two, A};"),
        ("a/two/mod.rs", "use part::Part;"),
        ("a/two/part.rs", "use super::super::one;"),
    ];
    let sources = Sources::of_files("src", &files);
    assert_eq!(Graph::below(&[], &sources, &[]).circles(), [""; 0]);
    let circles = Graph::below(&["a".to_owned()], &sources, &[]).circles();
    assert_eq!(
        circles,
        [
            "one -> two -> one\n    src/a/one.rs:1: use super::two\n    src/a/two/part.rs:1: use super::super::one"
        ]
    );
}

#[test]
fn a_module_in_no_layer_is_found_and_a_layer_that_is_no_module() {
    let messages = unlisted_modules(&with_middle(""), &["low", "middle", "gone"]);
    assert_eq!(
        messages,
        [
            "src/high/mod.rs:1: module high is in no layer; add it to the list of layers, above all that it uses",
            "layer gone is no module of the library; remove it from the list of layers"
        ]
    );
}

#[test]
fn unsafe_code_is_found_and_its_mention_is_not() {
    let text = "#![deny(unsafe_code)]\n// unsafe\n/// unsafe\nfn f() { let _ = \"unsafe\"; }\n#[allow(unsafe_code)]\n\
                fn g() { unsafe { h() } }\nunsafe impl Send for S {}\nmacro_rules! m { () => { unsafe { h() } } }\n\
                #[unsafe(no_mangle)]\nunsafe extern \"C\" fn h() {}\n";
    let sources = Sources::of_files("src", &[("a.rs", text)]);
    assert_eq!(
        sources.unsafe_places,
        ["src/a.rs:6", "src/a.rs:7", "src/a.rs:8", "src/a.rs:9", "src/a.rs:10"]
    );
}

#[test]
fn a_long_file_is_found_unless_it_is_generated() {
    let directory = tempfile::tempdir().expect("a directory");
    let write = |path: &str, lines: usize| {
        let path = directory.path().join(path);
        std::fs::create_dir_all(path.parent().expect("a directory")).expect("mkdir");
        std::fs::write(path, "x\n".repeat(lines)).expect("a write");
    };
    for (path, lines) in [
        ("a/long.rs", 11),
        ("a/short.rs", 10),
        ("b/long.c", 11),
        ("b/long.h", 12),
        ("ci/long", 11),
        ("doc/long.md", 11),
        ("include/made.h", 11),
        ("target/long.rs", 11),
        (".git/long.rs", 11),
    ] {
        write(path, lines);
    }
    let messages = too_long(&sources(directory.path()), 10, &[("include/made.h", "make it")]);
    let paths: Vec<&str> = messages.iter().map(|message| message.split(": ").next().unwrap_or("")).collect();
    assert_eq!(paths, ["a/long.rs:11", "b/long.c:11", "b/long.h:12", "ci/long:11"]);
}
