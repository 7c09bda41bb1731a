//! Headers that end at a proxy (RFC 9110 §7.6.1).

use http::{HeaderMap, header};
use toft_model::http::hop_by_hop;

/// Removes headers that are meant for one connection, those named by `Connection` included.
pub(crate) fn strip_hop_by_hop(headers: &mut HeaderMap) {
    let connection = headers.get_all(header::CONNECTION).iter().filter_map(|v| v.to_str().ok());
    for name in hop_by_hop(connection, headers.contains_key(header::TRANSFER_ENCODING)) {
        headers.remove(name);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::{HeaderName, HeaderValue};

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
}
