//! Sets the soname of the shared library. Its number and `HAPROXY_EMAIL_ALERT_ABI` change together, when the C ABI does.

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    println!("cargo:rustc-cdylib-link-arg=-Wl,-soname,libhaproxy_email_alert.so.1");
}
