// SPDX-License-Identifier: MIT OR Apache-2.0
//! The queue's model, `tests/loom`, is a crate of its own: this runs its tests.

use end_to_end::header::project;
use end_to_end::library::{succeed, target_directory};
use std::process::Command;

#[test]
fn no_order_of_steps_loses_an_event_or_a_wake_up() {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = Command::new(cargo);
    command.args(["test", "--quiet", "--locked", "--release", "--manifest-path"]);
    command
        .arg(project().join("tests/loom/Cargo.toml"))
        .arg("--target-dir")
        .arg(target_directory().join("loom"));
    let output = succeed(&mut command);
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(text.contains("test result: ok. 6 passed"), "{text}");
}
