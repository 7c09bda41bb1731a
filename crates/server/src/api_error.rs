//! Failures of requests: one code, one status, one sentence that says what to do. Not failures of
//! the start.

use crate::answer;
use axum::{
    http::{HeaderValue, Method, StatusCode, header},
    response::{IntoResponse, Response},
};
use toft_machine::backend::MachineError;
use toft_store::StoreError;

/// Seconds until a database may be back.
const RETRY_AFTER: HeaderValue = HeaderValue::from_static("1");

/// Stable codes of `/v1`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Code {
    InvalidJson,
    InvalidArgument,
    Unauthenticated,
    Forbidden,
    /// The key that was sent lacks a scope.
    ScopeMissing,
    /// A project is to reach more than its ceiling lets it.
    EgressCeiling,
    NotFound,
    /// The path is right, the method is not.
    MethodNotAllowed,
    Conflict,
    /// No checkpoint was taken before that message.
    NoCheckpoint,
    /// The checkpoint lies over other system programs than there are now.
    BaseChanged,
    Unavailable,
    /// The database does not answer, or another program keeps it to itself.
    DatabaseUnavailable,
    PayloadTooLarge,
    /// The request was meant for another host.
    Misdirected,
    /// The project's machine is another server's.
    OtherHost,
    /// It is one's that does not answer.
    WaitingHost,
    /// No such program in the machine, or it could not be started.
    NotExecutable,
    /// The machine runs as many processes as it may.
    ProcessLimit,
    MachineError,
    /// It may have been done or not; the message says how to find out.
    OutcomeUnknown,
    Internal,
    DiskFull,
    /// The machine's log folder is past its bound.
    LogFull,
    /// What the project may reach does not include that host.
    EgressDenied,
    /// The MCP server asks for no sign-in.
    SignInNotOffered,
    /// Its sign-in is none that can be done here.
    SignInUnsupported,
    /// The sign-in came to nothing.
    SignInFailed,
}

impl Code {
    /// All of them, in the order above.
    pub(crate) const ALL: [Self; 28] = [
        Self::InvalidJson,
        Self::InvalidArgument,
        Self::Unauthenticated,
        Self::Forbidden,
        Self::ScopeMissing,
        Self::EgressCeiling,
        Self::NotFound,
        Self::MethodNotAllowed,
        Self::Conflict,
        Self::NoCheckpoint,
        Self::BaseChanged,
        Self::Unavailable,
        Self::DatabaseUnavailable,
        Self::PayloadTooLarge,
        Self::Misdirected,
        Self::OtherHost,
        Self::WaitingHost,
        Self::NotExecutable,
        Self::ProcessLimit,
        Self::MachineError,
        Self::OutcomeUnknown,
        Self::Internal,
        Self::DiskFull,
        Self::LogFull,
        Self::EgressDenied,
        Self::SignInNotOffered,
        Self::SignInUnsupported,
        Self::SignInFailed,
    ];

    /// Its word, and its status.
    pub(crate) fn parts(self) -> (&'static str, StatusCode) {
        match self {
            Self::InvalidJson => ("invalid_json", StatusCode::BAD_REQUEST),
            Self::InvalidArgument => ("invalid_argument", StatusCode::BAD_REQUEST),
            Self::Unauthenticated => ("unauthenticated", StatusCode::UNAUTHORIZED),
            Self::Forbidden => ("forbidden", StatusCode::FORBIDDEN),
            Self::ScopeMissing => ("scope_missing", StatusCode::FORBIDDEN),
            Self::EgressCeiling => ("egress_ceiling", StatusCode::FORBIDDEN),
            Self::NotFound => ("not_found", StatusCode::NOT_FOUND),
            Self::MethodNotAllowed => ("method_not_allowed", StatusCode::METHOD_NOT_ALLOWED),
            Self::Conflict => ("conflict", StatusCode::CONFLICT),
            Self::NoCheckpoint => ("no_checkpoint", StatusCode::CONFLICT),
            Self::BaseChanged => ("base_changed", StatusCode::CONFLICT),
            Self::Unavailable => ("unavailable", StatusCode::CONFLICT),
            Self::DatabaseUnavailable => ("database_unavailable", StatusCode::SERVICE_UNAVAILABLE),
            Self::PayloadTooLarge => ("payload_too_large", StatusCode::PAYLOAD_TOO_LARGE),
            Self::Misdirected => ("misdirected", StatusCode::MISDIRECTED_REQUEST),
            Self::OtherHost => ("other_host", StatusCode::MISDIRECTED_REQUEST),
            Self::WaitingHost => ("waiting_host", StatusCode::CONFLICT),
            Self::NotExecutable => ("not_executable", StatusCode::BAD_REQUEST),
            Self::ProcessLimit => ("process_limit", StatusCode::CONFLICT),
            Self::MachineError => ("machine_error", StatusCode::BAD_GATEWAY),
            Self::OutcomeUnknown => ("outcome_unknown", StatusCode::BAD_GATEWAY),
            Self::Internal => ("internal", StatusCode::INTERNAL_SERVER_ERROR),
            Self::DiskFull => ("disk_full", StatusCode::INSUFFICIENT_STORAGE),
            Self::LogFull => ("log_full", StatusCode::INSUFFICIENT_STORAGE),
            Self::EgressDenied => ("egress_denied", StatusCode::FORBIDDEN),
            Self::SignInNotOffered => ("sign_in_not_offered", StatusCode::CONFLICT),
            Self::SignInUnsupported => ("sign_in_unsupported", StatusCode::CONFLICT),
            Self::SignInFailed => ("sign_in_failed", StatusCode::BAD_GATEWAY),
        }
    }
}

/// A failure of a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ApiError {
    pub(crate) code: Code,
    pub(crate) message: String,
}

impl ApiError {
    pub(crate) fn new(code: Code, message: impl Into<String>) -> Self {
        Self { code, message: message.into() }
    }

    pub(crate) fn invalid(message: impl Into<String>) -> Self {
        Self::new(Code::InvalidArgument, message)
    }

    pub(crate) fn unauthenticated() -> Self {
        Self::new(
            Code::Unauthenticated,
            "sign in, or send a key as X-Agent-Api-Key or Authorization: Bearer; one that has expired \
             or was revoked opens nothing. `toft link` prints a sign-in link",
        )
    }

    pub(crate) fn no_project() -> Self {
        Self::new(Code::NotFound, "project not found: GET /v1/projects lists them")
    }

    pub(crate) fn no_route(method: &Method, path: &str) -> Self {
        let path: String = path.chars().take(200).collect();
        Self::new(
            Code::NotFound,
            format!("there is no {method} {path}: GET /v1 lists what there is"),
        )
    }

    pub(crate) fn wrong_method(method: &Method) -> Self {
        Self::new(
            Code::MethodNotAllowed,
            format!("{method} is not for this path: the header Allow says what is"),
        )
    }

    /// Something that must not happen. What it was stands in the log, not in the answer.
    pub(crate) fn internal(what: &str, error: &dyn std::fmt::Display) -> Self {
        tracing::error!(%error, "{what}");
        Self::new(Code::Internal, format!("{what}: the server's log says more"))
    }

    pub(crate) fn status(&self) -> StatusCode {
        self.code.parts().1
    }

    pub(crate) fn code_text(&self) -> &'static str {
        self.code.parts().0
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let mut answer = answer::failure(self.status(), self.code_text(), &self.message);
        if self.code == Code::DatabaseUnavailable {
            answer.headers_mut().insert(header::RETRY_AFTER, RETRY_AFTER);
        }
        answer
    }
}

impl From<StoreError> for ApiError {
    fn from(error: StoreError) -> Self {
        let code = match &error {
            StoreError::DiskFull | StoreError::NoRoom { .. } => Code::DiskFull,
            StoreError::Busy | StoreError::Conflict => Code::DatabaseUnavailable,
            // Where the database is, is nobody's business but who runs the server.
            StoreError::Unreachable { .. } => {
                return Self::new(
                    Code::DatabaseUnavailable,
                    "the database does not answer: try again in a moment",
                );
            }
            StoreError::Character => Code::InvalidArgument,
            StoreError::Taken { .. } => Code::Conflict,
            StoreError::Missing { .. } => Code::NotFound,
            StoreError::Open { .. }
            | StoreError::Damaged { .. }
            | StoreError::Gone { .. }
            | StoreError::TooOld { .. }
            | StoreError::Migrate(_)
            | StoreError::Address { .. }
            | StoreError::Refused { .. }
            | StoreError::ServerTooOld { .. }
            | StoreError::Backup { .. }
            | StoreError::Query(_) => return Self::internal("the database failed", &error),
        };
        Self::new(code, error.to_string())
    }
}

impl From<MachineError> for ApiError {
    fn from(error: MachineError) -> Self {
        let code = match &error {
            MachineError::DiskFull { .. } | MachineError::NoRoom { .. } => Code::DiskFull,
            MachineError::NoCheckpoint { .. } => Code::NotFound,
            MachineError::BaseChanged { .. } => Code::BaseChanged,
            MachineError::Unable { .. } => Code::Unavailable,
            MachineError::Superseded(_) => Code::OtherHost,
            MachineError::NotRunning(_)
            | MachineError::Unsupported { .. }
            | MachineError::Step { .. }
            | MachineError::DidNotStart { .. } => Code::MachineError,
        };
        Self::new(code, error.to_string())
    }
}
