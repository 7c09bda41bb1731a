//! Who makes a model call: whom it is booked on, and whose share of the gateway it takes.

use super::credential;
use crate::{
    api_error::{ApiError, Code},
    machine::Machine,
    outside::Outside,
};
use http::HeaderMap;
use toft_model::id::ProjectId;
use tokio::sync::OwnedSemaphorePermit;

/// Who asks.
#[derive(Clone, Copy)]
pub(crate) enum Asker<'a> {
    /// A program in a machine.
    Machine(&'a Machine),
    /// A program elsewhere, which the server has let in.
    Outside(&'a Outside),
}

impl Asker<'_> {
    /// The project that a call is booked on; `None` outside of all.
    pub(super) fn project(self) -> Option<ProjectId> {
        match self {
            Self::Machine(machine) => Some(machine.project.clone()),
            Self::Outside(_) => None,
        }
    }

    /// Refuses who may not ask.
    pub(super) fn judge(self, headers: &HeaderMap) -> Result<(), ApiError> {
        match self {
            Self::Machine(machine)
                if !credential::is_valid(headers, |token| machine.token.matches(token)) =>
            {
                Err(ApiError::new(
                    Code::Unauthenticated,
                    "The project token is missing or wrong. Send $TOFT_TOKEN of this machine as \
                     `Authorization: Bearer`, `x-api-key` or `x-goog-api-key`.",
                ))
            }
            Self::Machine(_) | Self::Outside(_) => Ok(()),
        }
    }

    /// Leave to make one call.
    pub(super) fn model_call(self) -> Result<OwnedSemaphorePermit, ApiError> {
        let (permit, whose) = match self {
            Self::Machine(machine) => (machine.model_call(), "of this project"),
            Self::Outside(outside) => (outside.model_call(), "from outside"),
        };
        permit.ok_or_else(|| {
            ApiError::new(
                Code::TooManyCalls,
                format!("Too many model calls {whose} are under way: wait for one to end."),
            )
        })
    }
}
