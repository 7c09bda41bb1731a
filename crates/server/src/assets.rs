//! The dashboard's files, embedded at build time and served as they were compressed then. Not
//! their build, and no templating: what is here is the same for everybody.

use crate::api_error::ApiError;
use axum::{
    body::Body,
    http::{HeaderMap, HeaderValue, Method, StatusCode, header},
    response::{IntoResponse as _, Response},
};
use bytes::Bytes;

/// One embedded file.
struct File {
    path: &'static str,
    plain: &'static [u8],
    br: Option<&'static [u8]>,
    gz: Option<&'static [u8]>,
    /// As it stands in `ETag`: weak, because the same tag names every encoding.
    tag: &'static str,
}

mod list {
    //! Written by `build.rs`.
    use super::File;
    include!(concat!(env!("OUT_DIR"), "/assets.rs"));
}

const INDEX: &str = "index.html";
/// What is shown when the dashboard was not built.
const PLACEHOLDER: &str = include_str!("assets/placeholder.html");
/// Names below `assets/` hold a hash of their content.
const IMMUTABLE: &str = "public, max-age=31536000, immutable";
/// Ask each time, answer 304.
const REVALIDATE: &str = "no-cache";

fn find(path: &str) -> Option<&'static File> {
    list::FILES.binary_search_by(|file| file.path.cmp(path)).ok().map(|at| &list::FILES[at])
}

/// Whether a browser asks for a page to show.
pub(crate) fn wants_page(method: &Method, headers: &HeaderMap) -> bool {
    matches!(*method, Method::GET | Method::HEAD)
        && headers
            .get(header::ACCEPT)
            .and_then(|v| v.to_str().ok())
            .is_some_and(|accept| accept.contains("text/html"))
}

/// The dashboard's page.
pub(crate) fn index(headers: &HeaderMap) -> Response {
    match find(INDEX) {
        Some(file) => serve(file, headers, REVALIDATE),
        None => (
            [
                (header::CACHE_CONTROL, "no-store"),
                (header::CONTENT_TYPE, "text/html; charset=utf-8"),
            ],
            PLACEHOLDER,
        )
            .into_response(),
    }
}

/// A file, the page for paths that the dashboard routes by itself, or 404.
pub(crate) fn path(method: &Method, path: &str, headers: &HeaderMap) -> Response {
    let name = path.trim_start_matches('/');
    if matches!(*method, Method::GET | Method::HEAD) {
        if let Some(file) = find(name) {
            let cache = if name.starts_with("assets/") { IMMUTABLE } else { REVALIDATE };
            return serve(file, headers, cache);
        }
        // A missing script must not be answered with a page.
        if !name.starts_with("assets/") && wants_page(method, headers) {
            return index(headers);
        }
    }
    ApiError::no_route(method, path).into_response()
}

fn serve(file: &'static File, headers: &HeaderMap, cache: &'static str) -> Response {
    let known = headers
        .get_all(header::IF_NONE_MATCH)
        .iter()
        .filter_map(|v| v.to_str().ok())
        .flat_map(|v| v.split(','))
        .any(|tag| tag.trim() == file.tag);
    let accepted = headers.get(header::ACCEPT_ENCODING).and_then(|v| v.to_str().ok()).unwrap_or("");
    let (bytes, encoding) = match (file.br, file.gz) {
        (Some(br), _) if accepts(accepted, "br") => (br, Some("br")),
        (_, Some(gz)) if accepts(accepted, "gzip") => (gz, Some("gzip")),
        _ => (file.plain, None),
    };
    let body = if known { Body::empty() } else { Body::from(Bytes::from_static(bytes)) };
    let mut answer = Response::new(body);
    if known {
        *answer.status_mut() = StatusCode::NOT_MODIFIED;
    }
    let out = answer.headers_mut();
    let mime = mime_guess::from_path(file.path).first_or_octet_stream();
    let mut mime = mime.essence_str().to_owned();
    if mime.starts_with("text/") {
        mime.push_str("; charset=utf-8");
    }
    if let Ok(value) = HeaderValue::from_str(&mime) {
        out.insert(header::CONTENT_TYPE, value);
    }
    out.insert(header::CACHE_CONTROL, HeaderValue::from_static(cache));
    out.insert(header::ETAG, HeaderValue::from_static(file.tag));
    // A page's path answers programs with JSON.
    let vary = if cache == REVALIDATE { "accept, accept-encoding" } else { "accept-encoding" };
    out.insert(header::VARY, HeaderValue::from_static(vary));
    if let Some(encoding) = encoding.filter(|_| !known) {
        out.insert(header::CONTENT_ENCODING, HeaderValue::from_static(encoding));
    }
    answer
}

/// Whether `Accept-Encoding` names an encoding without refusing it (`q=0`).
fn accepts(header: &str, encoding: &str) -> bool {
    header.split(',').any(|item| {
        let mut parts = item.split(';').map(str::trim);
        let named = parts.next().is_some_and(|name| name.eq_ignore_ascii_case(encoding));
        let refused = parts.any(|p| {
            p.strip_prefix("q=").and_then(|q| q.parse::<f32>().ok()).is_some_and(|q| q <= 0.0)
        });
        named && !refused
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_encoding_is_used_only_when_it_is_accepted() {
        for (header, want) in [
            ("gzip, deflate, br", true),
            ("br;q=1.0", true),
            ("br;q=0, gzip", false),
            ("BR", true),
            ("brotli", false),
            ("", false),
        ] {
            assert_eq!(accepts(header, "br"), want, "{header}");
        }
    }

    #[test]
    fn a_missing_script_is_never_answered_with_a_page() {
        let mut headers = HeaderMap::new();
        headers.insert(header::ACCEPT, HeaderValue::from_static("text/html,*/*"));
        let status = |p: &str, h: &HeaderMap| path(&Method::GET, p, h).status();
        assert_eq!(status("/assets/gone-123.js", &headers), StatusCode::NOT_FOUND);
        assert_eq!(status("/projects/a23456789bcd", &headers), StatusCode::OK);
        assert_eq!(status("/projects/a23456789bcd", &HeaderMap::new()), StatusCode::NOT_FOUND);
        assert_eq!(path(&Method::POST, "/x", &headers).status(), StatusCode::NOT_FOUND);
    }
}
