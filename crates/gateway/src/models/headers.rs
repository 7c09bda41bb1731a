//! Headers that end at a proxy (RFC 9110 §7.6.1), and what else changes on the way to a provider.

use super::credential::CREDENTIAL_HEADERS;
use http::{HeaderMap, HeaderName, HeaderValue, header};

const HOP_BY_HOP: [HeaderName; 9] = [
    header::CONNECTION,
    HeaderName::from_static("keep-alive"),
    HeaderName::from_static("proxy-connection"),
    header::PROXY_AUTHENTICATE,
    header::PROXY_AUTHORIZATION,
    header::TE,
    header::TRAILER,
    header::TRANSFER_ENCODING,
    header::UPGRADE,
];

/// Removes headers that are meant for one connection, those named by `Connection` included.
pub(crate) fn strip_hop_by_hop(headers: &mut HeaderMap) {
    if headers.contains_key(header::TRANSFER_ENCODING) {
        // A length beside it is a trick (RFC 9112 §6.3), and would be believed once it is alone.
        headers.remove(header::CONTENT_LENGTH);
    }
    let named: Vec<HeaderName> = headers
        .get_all(header::CONNECTION)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .filter_map(|name| name.trim().parse().ok())
        .collect();
    for name in HOP_BY_HOP.iter().chain(&named) {
        headers.remove(name);
    }
}

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
    fn what_is_meant_for_one_connection_does_not_travel() {
        let mut headers = map(&[
            ("connection", "close, X-Only-Here"),
            ("connection", "x-also"),
            ("x-only-here", "1"),
            ("x-also", "1"),
            ("te", "trailers"),
            ("transfer-encoding", "chunked"),
            ("content-length", "5"),
            ("proxy-connection", "keep-alive"),
            ("proxy-authorization", "Basic x"),
            ("upgrade", "h2c"),
            ("content-type", "a/b"),
        ]);
        strip_hop_by_hop(&mut headers);
        assert_eq!(headers, map(&[("content-type", "a/b")]));
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
