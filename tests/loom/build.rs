// SPDX-License-Identifier: MIT OR Apache-2.0
//! Turns the queue into its own model.

fn main() {
    println!("cargo:rustc-check-cfg=cfg(loom)");
    println!("cargo:rustc-cfg=loom");
}
