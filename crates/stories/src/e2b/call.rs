//! A plain call of the daemon: how its body is read, and what it is answered when it is wrong.

use super::Shared;
use axum::{
    http::StatusCode,
    response::{IntoResponse as _, Response},
};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

/// What a call is answered; nothing: there is no such call.
pub(super) type Called = Result<Option<Value>, Response>;

/// `T` refuses unknown fields.
pub(super) fn read<T: DeserializeOwned>(
    shared: &Shared,
    place: &str,
    body: &[u8],
) -> Result<T, Response> {
    serde_json::from_slice(body).map_err(|wrong| {
        shared.fault(format!("{place}: {wrong} in {}", String::from_utf8_lossy(body)));
        error("invalid_argument", &wrong.to_string())
    })
}

/// Connect's error, as plain calls have it.
pub(super) fn error(code: &str, message: &str) -> Response {
    let status = match code {
        "invalid_argument" => 400,
        "unauthenticated" => 401,
        "not_found" => 404,
        "unavailable" => 503,
        "unimplemented" => 501,
        _ => 500,
    };
    let status = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    (status, axum::Json(json!({"code": code, "message": message}))).into_response()
}
