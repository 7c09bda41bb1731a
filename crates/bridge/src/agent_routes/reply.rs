//! Answers in Pi's RPC shape, and request bodies with errors that say what to do.

use crate::runtime::RuntimeError;
use axum::{
    Json,
    extract::{FromRequest as _, Request, rejection::BytesRejection},
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use bytes::Bytes;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use toft_agent::Refused;
use toft_llm::ask::ModelFailure;
use toft_model::id::SessionId;

/// Why a command failed.
#[derive(Debug)]
pub(super) struct Failure {
    status: StatusCode,
    code: &'static str,
    message: String,
}

impl Failure {
    pub(super) fn invalid(message: impl Into<String>) -> Self {
        Self { status: StatusCode::BAD_REQUEST, code: "invalid_argument", message: message.into() }
    }

    /// As the answer to a command.
    pub(super) fn of(self, command: &str) -> Response {
        let body = json!({
            "type": "response", "command": command, "success": false,
            "error": self.message, "code": self.code,
        });
        with_no_store((self.status, Json(body)).into_response())
    }
}

impl From<RuntimeError> for Failure {
    fn from(error: RuntimeError) -> Self {
        let (status, code) = match &error {
            RuntimeError::NoSession(_) => (StatusCode::NOT_FOUND, "session_not_found"),
            RuntimeError::Session(toft_agent::session::SessionError::Write { .. }) => {
                (StatusCode::INSUFFICIENT_STORAGE, "disk_full")
            }
            RuntimeError::Io { source, .. } if source.kind() == std::io::ErrorKind::StorageFull => {
                (StatusCode::INSUFFICIENT_STORAGE, "disk_full")
            }
            RuntimeError::Session(_) | RuntimeError::Io { .. } | RuntimeError::Gateway(_) => {
                (StatusCode::INTERNAL_SERVER_ERROR, "internal")
            }
        };
        Self { status, code, message: error.to_string() }
    }
}

impl From<Refused> for Failure {
    fn from(refused: Refused) -> Self {
        let (status, code) = match &refused {
            Refused::Disk(_) => (StatusCode::INSUFFICIENT_STORAGE, "disk_full"),
            Refused::Busy | Refused::QueueFull => (StatusCode::CONFLICT, "busy"),
            Refused::NothingToCompact => (StatusCode::CONFLICT, "nothing_to_compact"),
            Refused::NoQuestion(_) => (StatusCode::NOT_FOUND, "not_found"),
            Refused::Compaction(_) => (StatusCode::BAD_GATEWAY, "machine_error"),
            Refused::Closed => (StatusCode::CONFLICT, "unavailable"),
        };
        Self { status, code, message: refused.to_string() }
    }
}

impl From<ModelFailure> for Failure {
    fn from(failure: ModelFailure) -> Self {
        let (status, code) = match failure.code.as_str() {
            "unknown_model" | "no_key" => (StatusCode::BAD_REQUEST, "unknown_model"),
            _ => (StatusCode::CONFLICT, "unavailable"),
        };
        Self { status, code, message: failure.message }
    }
}

/// The answer to a command.
pub(super) fn answer(
    command: &str,
    status: StatusCode,
    result: Result<Value, Failure>,
) -> Response {
    match result {
        Ok(data) => {
            let body = json!({
                "type": "response", "command": command, "success": true, "data": data,
            });
            with_no_store((status, Json(body)).into_response())
        }
        Err(failure) => failure.of(command),
    }
}

fn with_no_store(mut response: Response) -> Response {
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

/// Reads a JSON object; an empty body counts as `{}`.
pub(super) async fn body<T: DeserializeOwned>(request: Request) -> Result<T, Failure> {
    let bytes = match Bytes::from_request(request, &()).await {
        Ok(bytes) => bytes,
        Err(rejection) => return Err(unread(&rejection)),
    };
    let bytes: &[u8] = if bytes.trim_ascii().is_empty() { b"{}" } else { &bytes };
    let value: Value = serde_json::from_slice(bytes).map_err(|error| Failure {
        status: StatusCode::BAD_REQUEST,
        code: "invalid_json",
        message: format!("The body is not valid JSON: {error}. Send a JSON object."),
    })?;
    if !value.is_object() {
        return Err(Failure::invalid("The body must be a JSON object."));
    }
    serde_json::from_value(value).map_err(|error| {
        Failure::invalid(format!("The body does not have the expected shape: {error}."))
    })
}

fn unread(rejection: &BytesRejection) -> Failure {
    if rejection.status() == StatusCode::PAYLOAD_TOO_LARGE {
        return Failure {
            status: StatusCode::PAYLOAD_TOO_LARGE,
            code: "payload_too_large",
            message: format!(
                "The body is too large: at most {} MiB for a prompt with images, {} MiB otherwise.",
                super::PROMPT_BYTES_MAX >> 20,
                super::BODY_BYTES_MAX >> 20
            ),
        };
    }
    Failure::invalid(format!("The body could not be read: {rejection}."))
}

/// A session id from text.
pub(super) fn session_id(text: Option<&str>) -> Result<Option<SessionId>, Failure> {
    text.map(str::parse)
        .transpose()
        .map_err(|error: toft_model::id::InvalidId| Failure::invalid(format!("{error}.")))
}
