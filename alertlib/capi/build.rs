//! Gives the shared library its soname: the number changes when the C ABI does, as `HAPROXY_EMAIL_ALERT_ABI` does.

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    println!("cargo:rustc-cdylib-link-arg=-Wl,-soname,libhaproxy_email_alert.so.1");
}
