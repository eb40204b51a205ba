// SPDX-License-Identifier: MIT OR Apache-2.0
//! The link to HAProxy's statistics page.

use std::borrow::Cow;
use std::fmt;
use std::net::{Ipv4Addr, Ipv6Addr};

/// No page has a longer address, in bytes.
const LONGEST: usize = 512;

const NOT_A_URL: &str = "is not a URL";

/// The address of a page, `http` or `https`: fit for a mail in which it can be touched.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Link(String);

impl Link {
    /// Makes a link to the page at `url`. `host` is used if `url` has none, as in `http://:8404/stats`.
    ///
    /// # Errors
    ///
    /// Returns the fault as the end of a sentence that begins with the URL.
    pub fn new(url: &str, host: &str) -> Result<Self, &'static str> {
        if url.len() > LONGEST {
            return Err("is longer than 512 bytes");
        }
        let is_of_urls = |byte: u8| byte.is_ascii_graphic() && !b"\"'`<>\\^{|}".contains(&byte);
        if !url.bytes().all(is_of_urls) {
            return Err("has a character that must not be in a URL");
        }
        let (scheme, default_port, rest) = [("http://", 80), ("https://", 443)]
            .into_iter()
            .find_map(|(scheme, port)| Some((scheme, port, url.strip_prefix(scheme)?)))
            .ok_or("does not begin with http:// or https://")?;
        // The authority (RFC 3986, 3.2): host and port.
        let (authority, page) = rest.split_at(rest.find(['/', '?', '#']).unwrap_or(rest.len()));
        if authority.contains('@') {
            return Err("has a user or a password, which mails must not tell");
        }
        let (url_host, port) = host_and_port(authority).ok_or(NOT_A_URL)?;
        let host = match rest.starts_with([':', '/']) {
            true if host.is_empty() => return Err("has no host"),
            true if host.is_ascii() => Cow::Borrowed(host),
            true => idna::domain_to_ascii(host).map(Cow::Owned).map_err(|_| NOT_A_URL)?,
            false => Cow::Borrowed(url_host),
        };
        let host = normal_host(&host).ok_or(NOT_A_URL)?;
        let port = port.filter(|port| *port != default_port);
        let port = port.map(|port| format!(":{port}")).unwrap_or_default();
        let slash = if page.starts_with('/') { "" } else { "/" };
        Ok(Link(format!("{scheme}{host}{port}{slash}{page}")))
    }
}

/// Splits at the colon before the port, which may be missing or empty; the colons of an IPv6 address are in brackets.
fn host_and_port(authority: &str) -> Option<(&str, Option<u16>)> {
    let end_of_host = authority.rfind(']').unwrap_or(0);
    let Some(colon) = authority[end_of_host..].find(':') else { return Some((authority, None)) };
    let (host, port) = authority.split_at(end_of_host + colon);
    match &port[1..] {
        "" => Some((host, None)),
        digits if digits.bytes().all(|byte| byte.is_ascii_digit()) => {
            Some((host, Some(digits.parse().ok()?)))
        }
        _ => None,
    }
}

/// Returns the host in the form of the WHATWG URL Standard: names in small letters, IPv6 addresses in their shortest form.
///
/// A name whose last label is a number is an IPv4 address for browsers, and refused unless it has four numbers.
fn normal_host(host: &str) -> Option<String> {
    if let Some(address) = host.strip_prefix('[') {
        let address: Ipv6Addr = address.strip_suffix(']')?.parse().ok()?;
        return Some(format!("[{address}]"));
    }
    let is_label = |label: &str| {
        !label.is_empty() && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte))
    };
    let mut labels = host.strip_suffix('.').unwrap_or(host).split('.');
    if !labels.clone().all(is_label) {
        return None;
    }
    let ends_in_number = labels.next_back()?.bytes().all(|byte| byte.is_ascii_digit());
    let is_usable = !ends_in_number || host.parse::<Ipv4Addr>().is_ok();
    is_usable.then(|| host.to_ascii_lowercase())
}

impl fmt::Display for Link {
    fn fmt(&self, formatter: &mut fmt::Formatter) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn link(url: &str) -> Result<String, &'static str> {
        Link::new(url, "lb1.example.com").map(|link| link.to_string())
    }

    #[test]
    fn a_page_of_this_machine_gets_its_name() {
        for (url, expected) in [
            ("http://:8404/stats", "http://lb1.example.com:8404/stats"),
            ("http:///stats", "http://lb1.example.com/stats"),
            ("https://:8443/haproxy?stats;norefresh", "https://lb1.example.com:8443/haproxy?stats;norefresh"),
            ("http://192.0.2.1:8404/stats", "http://192.0.2.1:8404/stats"),
            ("https://[2001:db8::1]:8443/", "https://[2001:db8::1]:8443/"),
            ("https://stats.example.com/lb1?a=1&b=2#web", "https://stats.example.com/lb1?a=1&b=2#web"),
            // The scheme's own port needs not be said.
            ("http://:80/stats", "http://lb1.example.com/stats"),
            ("https://[::1]:443/stats", "https://[::1]/stats"),
            ("http://:443/stats", "http://lb1.example.com:443/stats"),
            ("http://lb1:/stats", "http://lb1/stats"),
            ("http://lb1:08404", "http://lb1:8404/"),
            ("http://LB_1.Example.COM./Stats", "http://lb_1.example.com./Stats"),
            ("http://lb1?stats", "http://lb1/?stats"),
            ("http://lb1#a@b", "http://lb1/#a@b"),
            ("http://[2001:DB8:0::1]/", "http://[2001:db8::1]/"),
            ("http:////example.net/", "http://lb1.example.com//example.net/"),
        ] {
            assert_eq!(link(url).as_deref(), Ok(expected), "{url}");
        }
    }

    #[test]
    fn what_is_no_page_is_refused() {
        let long = format!("http://:8404/{}", "x".repeat(500));
        for (url, part) in [
            ("", "does not begin"),
            ("/stats", "does not begin"),
            ("ftp://lb1/stats", "does not begin"),
            ("javascript:alert(1)", "does not begin"),
            ("http:/stats", "does not begin"),
            ("http://", "is not a URL"),
            ("http://?stats", "is not a URL"),
            ("http://:port/stats", "is not a URL"),
            ("http://:65536/stats", "is not a URL"),
            ("http://:+80/stats", "is not a URL"),
            ("http://lb1:80:80/stats", "is not a URL"),
            ("http://[::1/stats", "is not a URL"),
            ("http://[::1]x/stats", "is not a URL"),
            ("http://[::1]x:80/stats", "is not a URL"),
            ("http://x[::1]/stats", "is not a URL"),
            ("http://[192.0.2.1]/stats", "is not a URL"),
            ("http://[fe80::1%25eth0]/stats", "is not a URL"),
            ("http://::1/stats", "is not a URL"),
            ("http://]:80/stats", "is not a URL"),
            ("http://192.0.2.256/stats", "is not a URL"),
            ("http://192.0.2/stats", "is not a URL"),
            ("http://lb1..example.com/stats", "is not a URL"),
            ("http://./stats", "is not a URL"),
            ("http://lb1%2eexample.com/stats", "is not a URL"),
            ("http://@lb1/stats", "a user or a password"),
            ("http://:8404@example.net/", "a user or a password"),
            ("http://admin:secret@lb1/stats", "a user or a password"),
            ("http://lb1.example.com@example.net/", "a user or a password"),
            ("http://:8404/a b", "a character"),
            ("http://:8404/\"onclick=", "a character"),
            ("http://:8404/'", "a character"),
            ("http://:8404/<b>", "a character"),
            ("http://:8404/\r\nBcc: x", "a character"),
            ("http://:8404/\u{202e}", "a character"),
            ("http://:8404/é", "a character"),
            (&long, "longer than 512"),
        ] {
            let error = link(url).expect_err(url);
            assert!(error.contains(part), "{url}: {error}");
        }
        assert_eq!(link(&long[..512]).map(|url| url.len()), Ok(512 + "lb1.example.com".len()));
    }

    #[test]
    fn without_a_name_for_it_a_page_needs_its_host() {
        for url in ["http://:8404/stats", "http:///stats"] {
            Link::new(url, "").expect_err(url);
        }
    }

    #[test]
    fn a_machine_name_outside_ascii_is_put_in_as_it_travels() {
        let link = |host| Link::new("http://:8404/stats", host).map(|link| link.to_string());
        assert_eq!(link("müller.example").as_deref(), Ok("http://xn--mller-kva.example:8404/stats"));
        assert_eq!(link("lb1 b"), Err(NOT_A_URL));
        assert_eq!(link("a\u{202e}b"), Err(NOT_A_URL));
    }
}
