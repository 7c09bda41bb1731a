//! The shape of the bridge's JSON answers (Pi's RPC responses, `docs/http-api.md` §2) and of its
//! failures. Knows no route.

use axum::{
    Json,
    response::{IntoResponse, Response},
};
use http::StatusCode;
use serde::Serialize;
use serde_json::json;
use std::io;

/// A command that worked.
pub(crate) fn done(command: &str, data: impl Serialize) -> Response {
    Json(json!({"type": "response", "command": command, "success": true, "data": data}))
        .into_response()
}

/// A command that did not.
#[derive(Debug)]
pub(crate) struct Refused {
    command: &'static str,
    status: StatusCode,
    code: &'static str,
    message: String,
}

impl Refused {
    /// Bad input; the message says what is wrong with it.
    pub(crate) fn invalid(command: &'static str, message: impl Into<String>) -> Self {
        let (status, code) = (StatusCode::BAD_REQUEST, "invalid_argument");
        Self { command, status, code, message: message.into() }
    }

    /// No such thing.
    pub(crate) fn not_found(command: &'static str, message: impl Into<String>) -> Self {
        let (status, code) = (StatusCode::NOT_FOUND, "not_found");
        Self { command, status, code, message: message.into() }
    }

    /// Something stands in the way.
    pub(crate) fn conflict(command: &'static str, message: impl Into<String>) -> Self {
        let (status, code) = (StatusCode::CONFLICT, "conflict");
        Self { command, status, code, message: message.into() }
    }

    /// The credential is missing or wrong.
    pub(crate) fn unauthenticated() -> Self {
        Self {
            command: "authenticate",
            status: StatusCode::UNAUTHORIZED,
            code: "unauthenticated",
            message: "send the project token as `Authorization: Bearer $TOFT_TOKEN`".to_owned(),
        }
    }

    /// The route exists, the method does not.
    pub(crate) fn no_such_method(message: String) -> Self {
        let (status, code) = (StatusCode::METHOD_NOT_ALLOWED, "invalid_argument");
        Self { command: "unknown", status, code, message }
    }

    /// More bytes than are taken.
    pub(crate) fn too_large(command: &'static str, bytes_max: u64) -> Self {
        Self {
            command,
            status: StatusCode::PAYLOAD_TOO_LARGE,
            code: "payload_too_large",
            message: format!("at most {} MiB are taken at once", bytes_max >> 20),
        }
    }

    /// Init could not be asked, or said no.
    pub(crate) fn machine(command: &'static str, err: &toft_tools::host::ShellError) -> Self {
        let (status, code) = match err.code.as_str() {
            "not_found" => (StatusCode::NOT_FOUND, "not_found"),
            "invalid" | "spawn" => (StatusCode::BAD_REQUEST, "invalid_argument"),
            _ => (StatusCode::BAD_GATEWAY, "machine_error"),
        };
        Self { command, status, code, message: err.message.clone() }
    }

    /// A file operation failed; `what` names the step and its path.
    pub(crate) fn io(command: &'static str, what: &str, err: &io::Error) -> Self {
        let (status, code) = match err.kind() {
            io::ErrorKind::NotFound => (StatusCode::NOT_FOUND, "not_found"),
            io::ErrorKind::AlreadyExists | io::ErrorKind::DirectoryNotEmpty => {
                (StatusCode::CONFLICT, "conflict")
            }
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
                (StatusCode::INSUFFICIENT_STORAGE, "disk_full")
            }
            io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => {
                (StatusCode::FORBIDDEN, "forbidden")
            }
            io::ErrorKind::InvalidInput
            | io::ErrorKind::NotADirectory
            | io::ErrorKind::IsADirectory
            | io::ErrorKind::InvalidFilename => (StatusCode::BAD_REQUEST, "invalid_argument"),
            _ if err.raw_os_error() == Some(rustix::io::Errno::LOOP.raw_os_error()) => {
                (StatusCode::BAD_REQUEST, "invalid_argument")
            }
            _ => (StatusCode::INTERNAL_SERVER_ERROR, "internal"),
        };
        Self { command, status, code, message: format!("{what} failed: {err}") }
    }
}

impl IntoResponse for Refused {
    fn into_response(self) -> Response {
        let body = json!({
            "type": "response", "command": self.command, "success": false,
            "error": self.message, "code": self.code,
        });
        (self.status, Json(body)).into_response()
    }
}
