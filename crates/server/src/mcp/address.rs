//! Addresses that a sign-in names: read in one way, compared, and written with parameters.

use http::{Uri, uri::Scheme};
use std::fmt::Write as _;
use toft_policy::HostPort;

const HTTPS_PORT: u16 = 443;

/// An address of the web over TLS, without a name or password in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Address {
    host: HostPort,
    path: String,
}

impl Address {
    /// `None`: it is something else.
    pub(super) fn parse(url: &str) -> Option<Self> {
        if url.contains('#') {
            return None;
        }
        let uri: Uri = url.parse().ok()?;
        let authority = uri.authority().filter(|_| uri.scheme() == Some(&Scheme::HTTPS))?;
        if authority.as_str().contains('@') {
            return None;
        }
        let host = HostPort::parse(authority.as_str(), Some(HTTPS_PORT)).ok()?;
        Some(Self { host, path: uri.path().trim_end_matches('/').to_owned() })
    }

    /// `host`, and its port where it is not the usual one.
    pub(super) fn host(&self) -> String {
        match self.host.port {
            HTTPS_PORT => self.host.host.to_string(),
            port => format!("{}:{port}", self.host.host),
        }
    }

    /// Without a slash at its end; empty for the root.
    pub(super) fn path(&self) -> &str {
        &self.path
    }

    /// Another path of the same host.
    pub(super) fn at(&self, path: &str) -> String {
        format!("https://{}{path}", self.host())
    }

    /// Whether that one is this one, or below it.
    pub(super) fn covers(&self, other: &Self) -> bool {
        let below = other.path.strip_prefix(&self.path);
        self.host == other.host && below.is_some_and(|b| b.is_empty() || b.starts_with('/'))
    }
}

/// `name=value&…` (`application/x-www-form-urlencoded`).
pub(super) fn form(fields: &[(&str, &str)]) -> String {
    let mut out = String::new();
    for (name, value) in fields {
        if !out.is_empty() {
            out.push('&');
        }
        escape(&mut out, name);
        out.push('=');
        escape(&mut out, value);
    }
    out
}

/// An address with parameters added.
pub(super) fn with(url: &str, fields: &[(&str, &str)]) -> String {
    let joint = if url.contains('?') { '&' } else { '?' };
    format!("{url}{joint}{}", form(fields))
}

/// One value of a form.
pub(super) fn escaped(text: &str) -> String {
    let mut out = String::new();
    escape(&mut out, text);
    out
}

fn escape(out: &mut String, text: &str) {
    for byte in text.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => {
                out.push(char::from(byte));
            }
            _ => {
                let _ = write!(out, "%{byte:02X}");
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_one_host_over_tls() {
        for (url, expected) in [
            ("https://MCP.example.com/mcp/", Some(("mcp.example.com", "/mcp"))),
            ("https://mcp.example.com:443", Some(("mcp.example.com", ""))),
            ("https://mcp.example.com:8443/a?b=c", Some(("mcp.example.com:8443", "/a"))),
            ("http://mcp.example.com/mcp", None),
            ("https://a@mcp.example.com/mcp", None),
            ("https://mcp.example.com/mcp#x", None),
            ("mcp.example.com/mcp", None),
            ("", None),
        ] {
            let found = Address::parse(url);
            let found = found.as_ref().map(|a| (a.host(), a.path().to_owned()));
            assert_eq!(found, expected.map(|(h, p)| (h.to_owned(), p.to_owned())), "{url}");
        }
    }

    #[test]
    fn a_resource_covers_its_paths_and_no_other() {
        let address = |url| Address::parse(url).unwrap();
        let server = address("https://a.test/x/mcp");
        for (resource, covers) in [
            ("https://a.test/x/mcp", true),
            ("https://A.test:443/x/", true),
            ("https://a.test", true),
            ("https://a.test/x/m", false),
            ("https://a.test/x/mcp/y", false),
            ("https://b.test/x/mcp", false),
            ("https://a.test:8443/x/mcp", false),
        ] {
            assert_eq!(address(resource).covers(&server), covers, "{resource}");
        }
    }

    #[test]
    fn a_form_escapes_all_that_could_end_a_value() {
        assert_eq!(form(&[("a b", "c&d=é"), ("x", "")]), "a%20b=c%26d%3D%C3%A9&x=");
        assert_eq!(with("https://a.test/x?y=1", &[("z", "2")]), "https://a.test/x?y=1&z=2");
    }
}
