//! Values go into the head of a request: into headers that they are bound to, as they are or within Basic
//! credentials, and nowhere else. A placeholder anywhere else in the head is refused.

use super::{Broker, One};
use crate::machine::HEAD_BYTES_MAX;
use base64::{Engine as _, engine::general_purpose::STANDARD};
use http::{HeaderMap, HeaderName, HeaderValue, header, request::Parts};
use memchr::memmem;
use std::fmt;
use toft_model::binding::{BROKERED_VALUE_BYTES_MAX, PLACEHOLDER_BEGINS};
use toft_policy::{HostPort, Verdict};
use zeroize::Zeroizing;

/// The credentials of RFC 7617 begin with it.
const BASIC: &str = "basic ";
/// Values in one request: with the longest of them, what a head may have.
const VALUES_MAX: usize = HEAD_BYTES_MAX / BROKERED_VALUE_BYTES_MAX;
/// Headers that make another request of this one at the hosts that know them: a binding would have judged
/// the wrong method or path. Read as gateways to scripts do, with `_` for `-`.
const MAKE_ANOTHER: &[&str] = &[
    "x-http-method",
    "x-http-method-override",
    "x-method-override",
    "x-original-url",
    "x-rewrite-url",
];
/// Nothing else is a value of a header that says who asks.
const RULE: &str = "secret-not-bound";

/// A placeholder stands where it may not.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct NotBound(String);

impl NotBound {
    pub(crate) fn verdict(&self) -> Verdict {
        Verdict::deny(RULE, &self.0)
    }
}

impl fmt::Display for NotBound {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Broker {
    /// Puts values in; the names of those that were.
    pub(crate) fn put_in(
        &self,
        parts: &mut Parts,
        target: &HostPort,
    ) -> Result<Vec<String>, NotBound> {
        if holds(parts.uri.to_string().as_bytes()) {
            return Err(NotBound(
                "a placeholder of a secret stands in the URL: it is replaced in headers only"
                    .into(),
            ));
        }
        let mut used = Vec::new();
        let (method, path) = (parts.method.as_str().to_owned(), parts.uri.path().to_owned());
        for (name, value) in &mut parts.headers {
            let place = Place { target, method: &method, path: &path, header: name };
            if let Some(filled) = self.filled(value.as_bytes(), &place, &mut used)? {
                *value = HeaderValue::from_bytes(&filled).map_err(|_| {
                    NotBound(format!("the header {name} is no header with the value in it"))
                })?;
                value.set_sensitive(true);
            }
        }
        used.sort();
        used.dedup();
        let makes_another =
            |name: &&HeaderName| MAKE_ANOTHER.contains(&&*name.as_str().replace('_', "-"));
        if let Some(name) = parts.headers.keys().find(makes_another).filter(|_| !used.is_empty()) {
            return Err(NotBound(format!(
                "the header {name} may make another method or path of a request, and {} is bound to \
                 this one: ask with the method and the path that are meant",
                used.join(", ")
            )));
        }
        Ok(used)
    }

    /// A header with values for placeholders; none when it has none.
    fn filled(
        &self,
        value: &[u8],
        place: &Place<'_>,
        used: &mut Vec<String>,
    ) -> Result<Option<Zeroizing<Vec<u8>>>, NotBound> {
        if holds(value) {
            return self.replaced(value, place, used).map(Some);
        }
        let Some(plain) = basic(value).filter(|plain| holds(plain)) else { return Ok(None) };
        let plain = self.replaced(&plain, place, used)?;
        let (begins, _) = value.split_at(BASIC.len());
        let text = Zeroizing::new(STANDARD.encode(&*plain));
        Ok(Some(Zeroizing::new([begins, text.as_bytes()].concat())))
    }

    fn replaced(
        &self,
        text: &[u8],
        place: &Place<'_>,
        used: &mut Vec<String>,
    ) -> Result<Zeroizing<Vec<u8>>, NotBound> {
        let mut out = Zeroizing::new(Vec::with_capacity(text.len()));
        let mut rest = text;
        while let Some(at) = memmem::find(rest, PLACEHOLDER_BEGINS.as_bytes()) {
            let one = self.known(&rest[at..])?;
            place.fits(one)?;
            // A head of placeholders would become one of megabytes.
            if used.len() == VALUES_MAX {
                return Err(NotBound(format!("a request takes {VALUES_MAX} placeholders at most")));
            }
            out.extend_from_slice(&rest[..at]);
            out.extend_from_slice(one.value.expose().as_bytes());
            rest = &rest[at + one.placeholder.len()..];
            used.push(one.name.clone());
        }
        out.extend_from_slice(rest);
        Ok(out)
    }

    /// The secret whose placeholder this begins with.
    fn known(&self, text: &[u8]) -> Result<&One, NotBound> {
        self.secrets.iter().find(|one| text.starts_with(one.placeholder.as_bytes())).ok_or_else(
            || {
                NotBound(
                "a placeholder stands in the request that means no secret of this project: it was \
                 deleted, or set anew since the program was started"
                    .into(),
            )
            },
        )
    }
}

/// Where a placeholder stands.
struct Place<'a> {
    target: &'a HostPort,
    method: &'a str,
    path: &'a str,
    header: &'a HeaderName,
}

impl Place<'_> {
    fn fits(&self, one: &One) -> Result<(), NotBound> {
        let Self { target, method, path, header } = self;
        let name = &one.name;
        if !one.bound.is_for(target) {
            return Err(NotBound(format!("the secret {name} is not bound to {target}")));
        }
        if !one.bound.header(header.as_str()) {
            let headers = one.bound.headers().join(", ");
            return Err(NotBound(format!(
                "the secret {name} is not bound to the header {header}: it goes into {headers}"
            )));
        }
        if !one.bound.takes(method, path) {
            let path: String = path.chars().take(100).collect();
            return Err(NotBound(format!("the secret {name} is not bound to {method} {path}")));
        }
        Ok(())
    }
}

/// Asks for an answer that can be looked through: what would change it so that values in it are not seen
/// is taken away, other encodings than its own and parts of it. To be called once nothing more is taken
/// away: a program may name any header to be.
pub(crate) fn ask_readable(headers: &mut HeaderMap) {
    headers.insert(header::ACCEPT_ENCODING, HeaderValue::from_static("identity"));
    headers.remove(header::RANGE);
    headers.remove(header::IF_RANGE);
}

/// Refuses a request without TLS that has a placeholder in its head.
pub(crate) fn refuse_plain(uri: &http::Uri, headers: &HeaderMap) -> Result<(), NotBound> {
    let in_header = |value: &HeaderValue| {
        holds(value.as_bytes()) || basic(value.as_bytes()).is_some_and(|plain| holds(&plain))
    };
    if holds(uri.to_string().as_bytes()) || headers.values().any(in_header) {
        return Err(NotBound(
            "the placeholder of a secret stands in a request without TLS: use https".into(),
        ));
    }
    Ok(())
}

fn holds(bytes: &[u8]) -> bool {
    memmem::find(bytes, PLACEHOLDER_BEGINS.as_bytes()).is_some()
}

/// What Basic credentials say.
fn basic(value: &[u8]) -> Option<Vec<u8>> {
    let (begins, rest) = value.split_at_checked(BASIC.len())?;
    let is_basic = begins.eq_ignore_ascii_case(BASIC.as_bytes());
    is_basic.then(|| STANDARD.decode(rest.trim_ascii()).ok()).flatten()
}

#[cfg(test)]
mod tests;
