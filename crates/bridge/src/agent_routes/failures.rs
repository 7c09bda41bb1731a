//! Why the agent's commands fail, as status and code.

use crate::{
    answer::Failure,
    runtime::{RuntimeError, fork::ForkError, runs::RunRefused},
};
use http::StatusCode;
use std::io;
use toft_agent::{Refused, session::SessionError};
use toft_llm::ask::ModelFailure;

impl From<RuntimeError> for Failure {
    fn from(error: RuntimeError) -> Self {
        let (status, code) = match &error {
            RuntimeError::NoSession(_) => (StatusCode::NOT_FOUND, "session_not_found"),
            RuntimeError::Session(SessionError::Write { .. }) => {
                (StatusCode::INSUFFICIENT_STORAGE, "disk_full")
            }
            RuntimeError::Io { source, .. } if is_full(source) => {
                (StatusCode::INSUFFICIENT_STORAGE, "disk_full")
            }
            RuntimeError::Session(_) | RuntimeError::Io { .. } | RuntimeError::Gateway(_) => {
                (StatusCode::INTERNAL_SERVER_ERROR, "internal")
            }
        };
        Self::new(status, code, error.to_string())
    }
}

/// The disk has no room, or the folder's own bound is reached.
pub(super) fn is_full(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
}

impl From<Refused> for Failure {
    fn from(refused: Refused) -> Self {
        let (status, code) = match &refused {
            Refused::Disk(_) => (StatusCode::INSUFFICIENT_STORAGE, "disk_full"),
            Refused::Busy | Refused::QueueFull | Refused::Task => (StatusCode::CONFLICT, "busy"),
            Refused::NothingToCompact => (StatusCode::CONFLICT, "nothing_to_compact"),
            Refused::NothingToRetry => (StatusCode::CONFLICT, "nothing_to_retry"),
            Refused::NoPlan => (StatusCode::CONFLICT, "no_plan"),
            Refused::BadPlan(_) => (StatusCode::BAD_REQUEST, "invalid_argument"),
            Refused::NoQuestion(_) | Refused::NoEntry(_) => (StatusCode::NOT_FOUND, "not_found"),
            Refused::Compaction(_) => (StatusCode::BAD_GATEWAY, "machine_error"),
            Refused::Closed => (StatusCode::CONFLICT, "unavailable"),
        };
        Self::new(status, code, refused.to_string())
    }
}

impl From<ForkError> for Failure {
    fn from(error: ForkError) -> Self {
        match error {
            ForkError::Runtime(error) => error.into(),
            ForkError::Refused(refused) => refused.into(),
        }
    }
}

impl From<RunRefused> for Failure {
    fn from(refused: RunRefused) -> Self {
        let told = refused.to_string();
        let (status, code) = match refused {
            RunRefused::Runtime(error) => return error.into(),
            RunRefused::Refused(refused) => return refused.into(),
            RunRefused::Unknown(_) => (StatusCode::NOT_FOUND, "not_found"),
            RunRefused::Stale(_) => (StatusCode::CONFLICT, "stale_fence"),
            RunRefused::Other => (StatusCode::CONFLICT, "conflict"),
            RunRefused::Telling | RunRefused::InSession(_) | RunRefused::Full => {
                (StatusCode::CONFLICT, "busy")
            }
            RunRefused::Io(error) if is_full(&error) => {
                (StatusCode::INSUFFICIENT_STORAGE, "disk_full")
            }
            RunRefused::Io(_) => (StatusCode::INTERNAL_SERVER_ERROR, "internal"),
        };
        Self::new(status, code, told)
    }
}

impl From<ModelFailure> for Failure {
    fn from(failure: ModelFailure) -> Self {
        let (status, code) = match failure.code.as_str() {
            "unknown_model" | "no_key" => (StatusCode::BAD_REQUEST, "unknown_model"),
            _ => (StatusCode::CONFLICT, "unavailable"),
        };
        Self::new(status, code, failure.message)
    }
}
