//! Names of hosts as people and browsers write them.

use crate::error::ServerError;
use std::fmt::Write as _;

/// A host name given by a person, with what belongs to its URLs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct PublicHost {
    pub(super) scheme: &'static str,
    pub(super) host: String,
    port: Option<u16>,
}

impl PublicHost {
    pub(super) fn parse(what: &'static str, value: &str) -> Result<Self, ServerError> {
        let fail = |why| ServerError::Host { what, value: value.to_owned(), why };
        let (scheme, rest) = match value.split_once("://") {
            None => ("https", value),
            Some(("https", rest)) => ("https", rest),
            Some(("http", rest)) => ("http", rest),
            Some(_) => return Err(fail("only http and https are known")),
        };
        let (host, port) = split_port(rest.trim_end_matches('/'))
            .ok_or_else(|| fail("it must be a host name, with a port if need be"))?;
        let label = |l: &str| {
            !l.is_empty()
                && l.len() <= 63
                && l.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
        };
        if !host.split('.').all(label) {
            return Err(fail("it must be a host name such as toft.example.org"));
        }
        Ok(Self { scheme, host, port })
    }

    /// Its URL, or that of a name below it.
    pub(super) fn url(&self, label: Option<&str>) -> String {
        let mut out = format!("{}://", self.scheme);
        if let Some(label) = label {
            out.push_str(label);
            out.push('.');
        }
        out.push_str(&self.host);
        if let Some(port) = self.port {
            let _ = write!(out, ":{port}");
        }
        out
    }
}

/// `host[:port]`; an IPv6 address keeps its brackets.
pub(crate) fn split_port(text: &str) -> Option<(String, Option<u16>)> {
    let (host, port) = if text.starts_with('[') {
        let end = text.find(']')? + 1;
        match &text[end..] {
            "" => (&text[..end], None),
            rest => (&text[..end], Some(rest.strip_prefix(':')?)),
        }
    } else {
        match text.split_once(':') {
            Some((host, port)) => (host, Some(port)),
            None => (text, None),
        }
    };
    let digits = |p: &str| p.bytes().all(|b| b.is_ascii_digit());
    let port = match port {
        None => None,
        Some(p) if digits(p) => Some(p.parse().ok()?),
        Some(_) => return None,
    };
    (!host.is_empty()).then(|| (host.to_owned(), port))
}
