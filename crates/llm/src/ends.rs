//! How an answer begins and how a call can end, whoever answers.

use crate::ask::{ModelFailure, Retry};
use toft_model::{
    message::{AssistantMessage, StopReason, Usage},
    provider::ModelInfo,
};

/// A message of `model` without anything in it.
pub(crate) fn empty_message(model: &ModelInfo) -> AssistantMessage {
    AssistantMessage {
        content: Vec::new(),
        api: model.api.as_str().to_owned(),
        provider: model.provider.clone(),
        model: model.id.clone(),
        usage: Usage::default(),
        stop_reason: StopReason::Stop,
        error_message: None,
        timestamp: 0,
    }
}

/// The failure of a call that was cancelled.
pub(crate) fn aborted() -> ModelFailure {
    fail("aborted", "Stopped.", Retry::Never)
}

/// A failure in these words.
pub(crate) fn fail(code: &str, message: impl Into<String>, retry: Retry) -> ModelFailure {
    ModelFailure { code: code.to_owned(), message: message.into(), retry }
}
