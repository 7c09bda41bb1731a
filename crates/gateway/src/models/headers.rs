//! What changes in headers on the way to a provider and back.

use super::credential::CREDENTIAL_HEADERS;
use crate::hop_by_hop::strip_hop_by_hop;
use http::{HeaderMap, HeaderName, HeaderValue, header};

/// A machine's headers as a provider gets them, without the machine's credentials. `expect` was
/// answered here; `accept-encoding` is narrowed, so that usage can be read as it passes.
pub(super) fn for_provider(mut headers: HeaderMap) -> HeaderMap {
    strip_hop_by_hop(&mut headers);
    for name in &CREDENTIAL_HEADERS {
        headers.remove(name);
    }
    for name in [header::HOST, header::EXPECT, header::COOKIE, header::FORWARDED] {
        headers.remove(name);
    }
    let ours: Vec<HeaderName> = headers
        .keys()
        .filter(|name| {
            name.as_str().starts_with("x-toft-") || name.as_str().starts_with("x-forwarded-")
        })
        .cloned()
        .collect();
    for name in ours {
        headers.remove(name);
    }
    headers.insert(header::ACCEPT_ENCODING, HeaderValue::from_static("identity"));
    headers
}

/// A provider's headers as a machine gets them.
pub(super) fn for_machine(headers: &mut HeaderMap) {
    strip_hop_by_hop(headers);
    headers.remove(header::SET_COOKIE);
    // Only the gateway's own failures may carry it.
    headers.remove("x-toft-error");
}

#[cfg(test)]
mod tests {
    use super::*;

    fn map(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in pairs {
            headers.append(HeaderName::from_static(name), HeaderValue::from_static(value));
        }
        headers
    }

    #[test]
    fn a_provider_gets_neither_token_nor_our_own_headers() {
        let headers = for_provider(map(&[
            ("authorization", "Bearer t"),
            ("x-api-key", "t"),
            ("x-goog-api-key", "t"),
            ("host", "gateway.internal"),
            ("cookie", "a"),
            ("x-toft-session", "s"),
            ("x-forwarded-for", "1"),
            ("accept-encoding", "gzip, br"),
            ("anthropic-version", "2023-06-01"),
        ]));
        let expected = map(&[("anthropic-version", "2023-06-01"), ("accept-encoding", "identity")]);
        assert_eq!(headers, expected);
    }
}
