//! Failures that the gateway itself answers, in the shape of docs/http-api.md §3. What a provider
//! answers passes through and is never one of these.

use bytes::Bytes;
use http::{Response, StatusCode, header};
use http_body_util::Full;
use serde_json::json;

/// Stable codes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Code {
    Unauthenticated,
    NoKey,
    UnknownProvider,
    NotFound,
    InvalidRequest,
    PayloadTooLarge,
    TooManyCalls,
    BadBaseUrl,
    UpstreamUnreachable,
    UpstreamTimeout,
    EgressDenied,
    NameNotFound,
    UseConnect,
}

impl Code {
    /// The code, its status, and the `type` that SDKs of the providers know.
    fn facts(self) -> (&'static str, u16, &'static str) {
        match self {
            Self::Unauthenticated => ("unauthenticated", 401, "authentication_error"),
            Self::NoKey => ("no_key", 424, "authentication_error"),
            Self::UnknownProvider => ("unknown_provider", 404, "not_found_error"),
            Self::NotFound => ("not_found", 404, "not_found_error"),
            Self::InvalidRequest => ("invalid_request", 400, "invalid_request_error"),
            Self::PayloadTooLarge => ("payload_too_large", 413, "invalid_request_error"),
            Self::TooManyCalls => ("too_many_calls", 429, "rate_limit_error"),
            Self::BadBaseUrl => ("bad_base_url", 502, "api_error"),
            Self::UpstreamUnreachable => ("upstream_unreachable", 502, "api_error"),
            Self::UpstreamTimeout => ("upstream_timeout", 504, "api_error"),
            Self::EgressDenied => ("egress_denied", 403, "permission_error"),
            Self::NameNotFound => ("name_not_found", 502, "api_error"),
            Self::UseConnect => ("use_connect", 400, "invalid_request_error"),
        }
    }

    pub(crate) fn as_str(self) -> &'static str {
        self.facts().0
    }

    pub(crate) fn status(self) -> StatusCode {
        StatusCode::from_u16(self.facts().1).expect("the table holds valid statuses")
    }
}

/// A code with what happened and what to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ApiError {
    pub(crate) code: Code,
    pub(crate) message: String,
}

impl ApiError {
    pub(crate) fn new(code: Code, message: impl Into<String>) -> Self {
        Self { code, message: message.into() }
    }

    pub(crate) fn response(&self) -> Response<Full<Bytes>> {
        let (code, _, kind) = self.code.facts();
        let body = json!({"error": {"type": kind, "code": code, "message": self.message}});
        let mut response = Response::builder()
            .status(self.code.status())
            .header(header::CONTENT_TYPE, "application/json")
            .header(header::CACHE_CONTROL, "no-store")
            .header("x-toft-error", code);
        if self.code == Code::TooManyCalls {
            response = response.header(header::RETRY_AFTER, "1");
        }
        response.body(Full::new(body.to_string().into())).expect("fixed headers are valid")
    }
}
