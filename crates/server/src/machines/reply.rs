//! The shape of a bridge's answers, for those that the server gives in its place.

use axum::{
    Json,
    http::StatusCode,
    response::{IntoResponse as _, Response},
};
use serde::Serialize;
use serde_json::json;

/// Pi's shape of an answer.
pub(super) fn response(command: &str, data: impl Serialize) -> Response {
    Json(json!({"type": "response", "command": command, "success": true, "data": data}))
        .into_response()
}

/// The same for a failure, with the words of a running bridge.
pub(super) fn failure(command: &str, status: StatusCode, code: &str, message: &str) -> Response {
    let body = json!({
        "type": "response", "command": command, "success": false, "error": message, "code": code,
    });
    (status, Json(body)).into_response()
}
