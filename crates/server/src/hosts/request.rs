//! What a request says of itself: the host that it is for, the page that sent it, whether it only reads.

use axum::http::{HeaderMap, Method, Request, header};

/// The `Host` of a request. `None` when there is none, or when the request line names another.
pub(crate) fn host_of<B>(req: &Request<B>) -> Option<&str> {
    let mut all = req.headers().get_all(header::HOST).iter();
    let host = all.next()?.to_str().ok()?;
    if all.next().is_some() {
        return None;
    }
    match req.uri().authority() {
        Some(authority) if !authority.as_str().eq_ignore_ascii_case(host) => None,
        _ => Some(host),
    }
}

/// Whether `Origin` names this very host.
pub(crate) fn origin_is(headers: &HeaderMap, host: &str) -> bool {
    headers.get(header::ORIGIN).and_then(|v| v.to_str().ok()).is_some_and(|origin| {
        origin
            .strip_prefix("http://")
            .or_else(|| origin.strip_prefix("https://"))
            .is_some_and(|authority| authority.eq_ignore_ascii_case(host))
    })
}

/// `Sec-Fetch-Site`, when the browser sent it.
pub(crate) fn fetch_site(headers: &HeaderMap) -> Option<&str> {
    headers.get("sec-fetch-site").and_then(|v| v.to_str().ok())
}

/// Whether a request only reads.
pub(crate) fn only_reads(method: &Method, headers: &HeaderMap) -> bool {
    matches!(*method, Method::GET | Method::HEAD | Method::OPTIONS)
        && !headers.contains_key(header::UPGRADE)
}
