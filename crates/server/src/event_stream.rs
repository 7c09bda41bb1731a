//! An answer that is a stream of events, as browsers and programs take one. What is in it is whoever's who writes it.

use axum::{body::Body, response::Response};
use http::{HeaderValue, header};

/// The answer around what is streamed.
pub(crate) fn event_stream(body: Body) -> Response {
    let mut answer = Response::new(body);
    let headers = answer.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/event-stream"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    // For proxies that would collect pieces before they pass them on.
    headers.insert("x-accel-buffering", HeaderValue::from_static("no"));
    answer
}
