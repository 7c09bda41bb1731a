//! Failures that the gateway itself answers, in the shape of docs/http-api.md §3. What a provider
//! answers passes through and is never one of these.

use bytes::Bytes;
use http::{Response, StatusCode, header};
use http_body_util::Full;
use serde_json::{Value, json};
use std::time::Duration;
use toft_llm::answering::{WireFormat, failure};

/// What `Allow` says: methods that go on to providers. The others are not theirs, or change what was paid for by
/// another call.
pub(crate) const METHODS: &str = "GET, HEAD, OPTIONS, POST, DELETE";

/// Stable codes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Code {
    Unauthenticated,
    NoKey,
    UnknownProvider,
    UnknownModel,
    NotFound,
    InvalidRequest,
    PayloadTooLarge,
    TooManyCalls,
    RateLimited,
    BudgetSpent,
    BudgetReserved,
    BadBaseUrl,
    UpstreamUnreachable,
    UpstreamTimeout,
    DiskFull,
    MethodNotAllowed,
    DelayedCall,
    EgressDenied,
    NameNotFound,
    UseConnect,
    SecretNotBound,
    WrongConnection,
    AnswerEncoded,
}

impl Code {
    /// The code, its status, and the `type` that SDKs of the providers know.
    fn facts(self) -> (&'static str, u16, &'static str) {
        match self {
            Self::Unauthenticated => ("unauthenticated", 401, "authentication_error"),
            Self::NoKey => ("no_key", 424, "authentication_error"),
            Self::UnknownProvider => ("unknown_provider", 404, "not_found_error"),
            Self::UnknownModel => ("unknown_model", 404, "not_found_error"),
            Self::NotFound => ("not_found", 404, "not_found_error"),
            Self::InvalidRequest => ("invalid_request", 400, "invalid_request_error"),
            Self::PayloadTooLarge => ("payload_too_large", 413, "invalid_request_error"),
            Self::TooManyCalls => ("too_many_calls", 429, "rate_limit_error"),
            Self::RateLimited => ("rate_limited", 429, "rate_limit_error"),
            Self::BudgetSpent => ("budget_spent", 402, "billing_error"),
            Self::BudgetReserved => ("budget_reserved", 429, "rate_limit_error"),
            Self::BadBaseUrl => ("bad_base_url", 502, "api_error"),
            Self::UpstreamUnreachable => ("upstream_unreachable", 502, "api_error"),
            Self::UpstreamTimeout => ("upstream_timeout", 504, "api_error"),
            Self::MethodNotAllowed => ("method_not_allowed", 405, "invalid_request_error"),
            Self::DelayedCall => ("delayed_call", 403, "permission_error"),
            Self::DiskFull => ("disk_full", 507, "api_error"),
            Self::EgressDenied => ("egress_denied", 403, "permission_error"),
            Self::NameNotFound => ("name_not_found", 502, "api_error"),
            Self::UseConnect => ("use_connect", 400, "invalid_request_error"),
            Self::SecretNotBound => ("secret_not_bound", 403, "permission_error"),
            Self::WrongConnection => ("wrong_connection", 421, "invalid_request_error"),
            Self::AnswerEncoded => ("answer_encoded", 502, "api_error"),
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
    /// When to ask again, where that is known.
    retry_after: Option<Duration>,
}

impl ApiError {
    pub(crate) fn new(code: Code, message: impl Into<String>) -> Self {
        let retry_after = (code == Code::TooManyCalls).then_some(Duration::from_secs(1));
        Self { code, message: message.into(), retry_after }
    }

    /// The same, with when to ask again.
    pub(crate) fn retry_after(self, wait: Duration) -> Self {
        Self { retry_after: Some(wait), ..self }
    }

    /// The same, with more words.
    pub(crate) fn and_said(mut self, more: &str) -> Self {
        self.message.push_str(more);
        self
    }

    /// The body for programs of a format.
    pub(crate) fn body_in(&self, format: WireFormat) -> Value {
        let (code, status, _) = self.code.facts();
        failure::body(format, status, code, &self.message)
    }

    /// The body for programs of no format in particular.
    pub(crate) fn body(&self) -> Value {
        let (code, _, kind) = self.code.facts();
        json!({"error": {"type": kind, "code": code, "message": self.message}})
    }

    pub(crate) fn response(&self) -> Response<Full<Bytes>> {
        self.with(&self.body())
    }

    /// The same in the shape that programs of a format know.
    pub(crate) fn response_in(&self, format: WireFormat) -> Response<Full<Bytes>> {
        self.with(&self.body_in(format))
    }

    fn with(&self, body: &Value) -> Response<Full<Bytes>> {
        let code = self.code.as_str();
        let mut response = Response::builder()
            .status(self.code.status())
            .header(header::CONTENT_TYPE, "application/json")
            .header(header::CACHE_CONTROL, "no-store")
            .header("x-toft-error", code);
        if let Some(wait) = self.retry_after {
            // Whole seconds, and never too early.
            let seconds = wait.as_secs() + u64::from(wait.subsec_nanos() > 0);
            response = response.header(header::RETRY_AFTER, seconds.max(1));
        }
        if self.code == Code::MethodNotAllowed {
            response = response.header(header::ALLOW, METHODS);
        }
        response.body(Full::new(body.to_string().into())).expect("fixed headers are valid")
    }
}
