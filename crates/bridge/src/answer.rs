//! The shape of the bridge's JSON answers (Pi's RPC responses, `docs/http-api.md` §2) and of its
//! failures. Knows no route.

use axum::{
    Json,
    response::{IntoResponse, Response},
};
use http::{HeaderValue, StatusCode, header};
use serde::Serialize;
use serde_json::json;
use std::io;

/// A command that worked.
pub(crate) fn done(command: &str, data: impl Serialize) -> Response {
    done_as(StatusCode::OK, command, data)
}

/// The same with another status than 200.
pub(crate) fn done_as(status: StatusCode, command: &str, data: impl Serialize) -> Response {
    respond(status, Done { kind: "response", command, success: true, data })
}

/// Written as it is: a long conversation is not put together a second time.
#[derive(Serialize)]
struct Done<'a, T> {
    #[serde(rename = "type")]
    kind: &'static str,
    command: &'a str,
    success: bool,
    data: T,
}

fn respond(status: StatusCode, body: impl Serialize) -> Response {
    let mut response = (status, Json(body)).into_response();
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

/// Why a command failed.
#[derive(Debug)]
pub(crate) struct Failure {
    status: StatusCode,
    code: &'static str,
    message: String,
}

/// A command that failed.
#[derive(Debug)]
pub(crate) struct Refused {
    command: String,
    failure: Failure,
}

impl Failure {
    /// A status, a code of `docs/http-api.md`, and a sentence that says what to do.
    pub(crate) fn new(status: StatusCode, code: &'static str, message: impl Into<String>) -> Self {
        Self { status, code, message: message.into() }
    }

    /// Bad input; the message says what is wrong with it.
    pub(crate) fn invalid(message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "invalid_argument", message)
    }

    /// No such thing.
    pub(crate) fn not_found(message: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_FOUND, "not_found", message)
    }

    /// Something stands in the way.
    pub(crate) fn conflict(message: impl Into<String>) -> Self {
        Self::new(StatusCode::CONFLICT, "conflict", message)
    }

    /// The credential is missing or wrong.
    pub(crate) fn unauthenticated() -> Self {
        let message = "send the project token as `Authorization: Bearer $TOFT_TOKEN`";
        Self::new(StatusCode::UNAUTHORIZED, "unauthenticated", message)
    }

    /// Only people may do this, and not what runs in the machine.
    pub(crate) fn only_outside(what: &str) -> Self {
        let message = format!("{what} is for people: it cannot be done from inside the machine.");
        Self::new(StatusCode::FORBIDDEN, "forbidden", message)
    }

    /// The route exists, the method does not.
    pub(crate) fn no_such_method(message: String) -> Self {
        Self::new(StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed", message)
    }

    /// More bytes than are taken.
    pub(crate) fn too_large(bytes_max: u64) -> Self {
        let message = format!("at most {} MiB are taken at once", bytes_max >> 20);
        Self::new(StatusCode::PAYLOAD_TOO_LARGE, "payload_too_large", message)
    }

    /// Init could not be asked, or said no.
    pub(crate) fn machine(err: &toft_tools::host::ShellError) -> Self {
        let (status, code) = match err.code.as_str() {
            "not_found" => (StatusCode::NOT_FOUND, "not_found"),
            "process_limit" => (StatusCode::CONFLICT, "process_limit"),
            "invalid" | "spawn" | "not_executable" => (StatusCode::BAD_REQUEST, "invalid_argument"),
            _ => (StatusCode::BAD_GATEWAY, "machine_error"),
        };
        Self::new(status, code, err.message.clone())
    }

    /// A file operation failed; `what` names the step and its path.
    pub(crate) fn io(what: &str, err: &io::Error) -> Self {
        let (status, code) = toft_model::files::refusal(err);
        let status = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        Self::new(status, code, format!("{what} failed: {err}"))
    }

    /// As the answer to a command.
    pub(crate) fn of(self, command: &str) -> Refused {
        Refused { command: command.to_owned(), failure: self }
    }
}

impl IntoResponse for Refused {
    fn into_response(self) -> Response {
        let Failure { status, code, message } = self.failure;
        let body = json!({
            "type": "response", "command": self.command, "success": false,
            "error": message, "code": code,
        });
        respond(status, &body)
    }
}
