//! Failures that the server answers for the gateway, in the gateway's shape (docs/http-api.md §3).

use axum::{
    Json,
    http::{HeaderName, HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use serde_json::json;

const CODE_HEADER: HeaderName = HeaderName::from_static("x-toft-error");
/// Seconds after which a gateway that is starting has started.
const RETRY_AFTER: HeaderValue = HeaderValue::from_static("1");

/// What is wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Why {
    Unauthenticated,
    ScopeMissing,
    InvalidRequest,
    PayloadTooLarge,
    GatewayUnavailable,
}

impl Why {
    /// Code, status, and the `type` that SDKs of the providers know.
    fn facts(self) -> (&'static str, StatusCode, &'static str) {
        match self {
            Self::Unauthenticated => {
                ("unauthenticated", StatusCode::UNAUTHORIZED, "authentication_error")
            }
            Self::ScopeMissing => ("scope_missing", StatusCode::FORBIDDEN, "permission_error"),
            Self::InvalidRequest => {
                ("invalid_request", StatusCode::BAD_REQUEST, "invalid_request_error")
            }
            Self::PayloadTooLarge => {
                ("payload_too_large", StatusCode::PAYLOAD_TOO_LARGE, "invalid_request_error")
            }
            Self::GatewayUnavailable => {
                ("gateway_unavailable", StatusCode::SERVICE_UNAVAILABLE, "api_error")
            }
        }
    }
}

/// A failure with its reason and what to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Refusal {
    why: Why,
    message: &'static str,
}

impl Refusal {
    pub(super) fn new(why: Why, message: &'static str) -> Self {
        Self { why, message }
    }

    pub(super) fn too_large() -> Self {
        Self::new(Why::PayloadTooLarge, "The request is larger than 32 MiB: send less context.")
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let (code, status, kind) = self.why.facts();
        let body = json!({"error": {"type": kind, "code": code, "message": self.message}});
        let mut answer = (status, Json(body)).into_response();
        let headers = answer.headers_mut();
        headers.insert(CODE_HEADER, HeaderValue::from_static(code));
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        if self.why == Why::GatewayUnavailable {
            headers.insert(header::RETRY_AFTER, RETRY_AFTER);
        }
        answer
    }
}
