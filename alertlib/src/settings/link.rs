// SPDX-License-Identifier: MIT OR Apache-2.0
//! The link to HAProxy's statistics page.

use std::fmt;
use url::Url;

/// No page has a longer address, in bytes.
const LONGEST: usize = 512;

/// The address of a page, `http` or `https`: fit for a mail in which it can be touched.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Link(Url);

impl Link {
    /// To this page. `host`: put in where `url` has none, as in `http://:8404/stats`.
    ///
    /// # Errors
    ///
    /// What is wrong with the URL, to be said behind it.
    pub fn new(url: &str, host: &str) -> Result<Self, &'static str> {
        if url.len() > LONGEST {
            return Err("is longer than 512 bytes");
        }
        let is_of_urls = |byte: u8| byte.is_ascii_graphic() && !b"\"'`<>\\^{|}".contains(&byte);
        if !url.bytes().all(is_of_urls) {
            return Err("has a character that must not be in a URL");
        }
        let schemes = ["http://", "https://"].into_iter();
        let Some((scheme, rest)) =
            schemes.filter_map(|scheme| Some((scheme, url.strip_prefix(scheme)?))).next()
        else {
            return Err("does not begin with http:// or https://");
        };
        let host = match rest.starts_with([':', '/']) {
            // Else the crate, like a browser, would take the path's beginning for it.
            true if host.is_empty() => return Err("has no host"),
            true => host,
            false => "",
        };
        let url = Url::parse(&format!("{scheme}{host}{rest}")).map_err(|_| "is not a URL")?;
        if !url.username().is_empty() || url.password().is_some() {
            return Err("has a user or a password, which mails must not tell");
        }
        Ok(Link(url))
    }
}

impl fmt::Display for Link {
    fn fmt(&self, formatter: &mut fmt::Formatter) -> fmt::Result {
        formatter.write_str(self.0.as_str())
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
            ("http://[::1/stats", "is not a URL"),
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
}
