//! `/openapi.json` and `/docs`: what this API is, for programs and for people. No credentials: nothing of this server
//! is told in it but its version.

use crate::{openapi, routes, state::App};
use axum::{
    extract::State,
    http::{HeaderValue, header},
    response::{IntoResponse as _, Response},
};
use std::sync::OnceLock;

/// Both, once for all: neither changes while the server runs.
fn texts(version: &str) -> &'static (String, String) {
    static TEXTS: OnceLock<(String, String)> = OnceLock::new();
    TEXTS.get_or_init(|| {
        let document = routes::document(version);
        (openapi::text(&document), openapi::page(&document))
    })
}

fn answer(kind: &'static str, text: &'static str) -> Response {
    let mut answer = text.into_response();
    let headers = answer.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
    // It is another one after an update.
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    answer
}

/// `GET /openapi.json`: without the envelope.
pub(crate) async fn json(State(app): State<App>) -> Response {
    answer("application/json", &texts(&app.version).0)
}

/// `GET /docs`.
pub(crate) async fn page(State(app): State<App>) -> Response {
    answer("text/html; charset=utf-8", &texts(&app.version).1)
}
