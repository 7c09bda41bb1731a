//! The shape of `/v1` answers, good and bad. Not why a request fails, and not reading bodies.

use crate::clock::Clock;
use axum::{
    Json,
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse as _, Response},
};
use serde::Serialize;
use serde_json::{Value, json};
use toft_model::time::rfc3339;

/// `{"ok":true,"data":…,"meta":…}`.
pub(crate) fn success(data: impl Serialize) -> Response {
    respond(StatusCode::OK, &json!({"ok": true, "data": data, "meta": meta()}))
}

/// `{"ok":false,"error":{"code","message"},"meta":…}`.
pub(crate) fn failure(status: StatusCode, code: &str, message: &str) -> Response {
    let error = json!({"code": code, "message": message});
    respond(status, &json!({"ok": false, "error": error, "meta": meta()}))
}

/// What was there before `/v1`: without an envelope.
pub(crate) fn bare(body: &impl Serialize) -> Response {
    respond(StatusCode::OK, body)
}

fn meta() -> Value {
    json!({"apiVersion": "v1", "ts": rfc3339(Clock::system().now_ms())})
}

fn respond(status: StatusCode, body: &impl Serialize) -> Response {
    let mut answer = (status, Json(body)).into_response();
    answer.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    answer
}
