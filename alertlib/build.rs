//! Gives the shared library its soname: the number changes when the C ABI does, as `HAPROXY_EMAIL_ALERT_ABI` does.

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    // The model of the queue is another crate: tests/loom.
    println!("cargo:rustc-check-cfg=cfg(loom)");
    println!("cargo:rustc-cdylib-link-arg=-Wl,-soname,libhaproxy_email_alert.so.1");
}
