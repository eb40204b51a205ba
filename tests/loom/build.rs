// SPDX-License-Identifier: MIT OR Apache-2.0
//! Compiles the ring with `cfg(loom)`, which makes it use loom's atomics and threads.

fn main() {
    println!("cargo:rustc-check-cfg=cfg(loom)");
    println!("cargo:rustc-cfg=loom");
}
