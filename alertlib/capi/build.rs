//! Sets the soname of the shared library: its number is `HAPROXY_EMAIL_ALERT_ABI`, which only `src/abi.rs` defines.

use std::path::Path;

fn main() {
    let directory = std::env::var_os("CARGO_MANIFEST_DIR").expect("cargo sets it");
    let source = std::fs::read_to_string(Path::new(&directory).join("src/abi.rs")).expect("src/abi.rs");
    let abi: u32 = source
        .lines()
        .find_map(|line| line.strip_prefix("pub const HAPROXY_EMAIL_ALERT_ABI: u32 = ")?.strip_suffix(';'))
        .and_then(|number| number.parse().ok())
        .expect("src/abi.rs has a line 'pub const HAPROXY_EMAIL_ALERT_ABI: u32 = <number>;'");
    println!("cargo:rerun-if-changed=build.rs");
    println!("cargo:rerun-if-changed=src/abi.rs");
    println!("cargo:rustc-cdylib-link-arg=-Wl,-soname,libhaproxy_email_alert.so.{abi}");
}
