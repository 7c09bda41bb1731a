//! Who makes a model call: whom it is booked on, and whose share of the gateway it takes.

use super::credential;
use crate::{
    api_error::{ApiError, Code},
    limits::pace::{Held, Leave},
    machine::Machine,
    state::State,
};
use http::HeaderMap;
use std::{str::FromStr, sync::Arc};
use toft_llm::booked::{RUN_HEADER, SESSION_HEADER};
use toft_model::id::{ProjectId, RunId, SessionId};
use toft_vault::Secret;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Model calls from outside at once: as many as one machine may make.
pub(crate) const OUTSIDE_CALLS_MAX: usize = 64;

/// Who asks.
#[derive(Clone)]
pub(crate) enum Asker {
    /// A program in a machine.
    Machine(Arc<Machine>),
    /// A program elsewhere, which the server has let in, and the project that its key is bound to.
    Outside(Arc<Outside>, Option<ProjectId>),
}

/// All programs outside, together.
pub(crate) struct Outside {
    calls: Arc<Semaphore>,
}

impl Default for Outside {
    fn default() -> Self {
        Self { calls: Arc::new(Semaphore::new(OUTSIDE_CALLS_MAX)) }
    }
}

impl Outside {
    /// Leave to make one model call; `None` when there are too many.
    pub(crate) fn model_call(&self) -> Option<OwnedSemaphorePermit> {
        Arc::clone(&self.calls).try_acquire_owned().ok()
    }
}

/// What a call is booked on, beside its project.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Booked {
    pub(super) session: Option<SessionId>,
    pub(super) run: Option<RunId>,
}

impl Asker {
    /// The project that a call is booked on; `None` for a program outside with a key of none.
    pub(super) fn project(&self) -> Option<ProjectId> {
        match self {
            Self::Machine(machine) => Some(machine.project.clone()),
            Self::Outside(_, project) => project.clone(),
        }
    }

    /// The token that must not go on; the server keeps the keys of programs outside to itself.
    pub(super) fn token(&self) -> Option<Secret> {
        match self {
            Self::Machine(machine) => Some(machine.token.clone()),
            Self::Outside(..) => None,
        }
    }

    /// The conversation and run that a call is booked on. The agent of a machine names them; what does
    /// not have their shape is no name. Programs outside belong to no conversation.
    pub(super) fn booked(&self, headers: &HeaderMap) -> Booked {
        fn id<T: FromStr>(headers: &HeaderMap, name: &str) -> Option<T> {
            headers.get(name)?.to_str().ok()?.parse().ok()
        }
        match self {
            Self::Machine(_) => {
                Booked { session: id(headers, SESSION_HEADER), run: id(headers, RUN_HEADER) }
            }
            Self::Outside(..) => Booked::default(),
        }
    }

    /// Refuses who may not ask.
    pub(super) fn judge(&self, headers: &HeaderMap) -> Result<(), ApiError> {
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
            Self::Machine(_) | Self::Outside(..) => Ok(()),
        }
    }

    /// Leave to make one call.
    pub(super) fn model_call(&self, state: &State) -> Result<Arc<Leave>, ApiError> {
        let place = || match self {
            Self::Machine(machine) => machine.model_call(),
            Self::Outside(outside, _) => outside.model_call(),
        };
        let left = match self.project() {
            Some(project) => {
                let limits = state.config().model_limits.get(&project).copied();
                state.paces.leave(&project, limits, place)
            }
            None => place().map(Leave::uncounted).ok_or(Held::Full),
        };
        let held = match left {
            Ok(leave) => return Ok(Arc::new(leave)),
            Err(held) => held,
        };
        Err(match held {
            Held::Full => ApiError::new(
                Code::TooManyCalls,
                match self {
                    Self::Machine(_) => {
                        "Too many model calls of this project are under way: wait for one to end."
                    }
                    Self::Outside(..) => {
                        "Too many model calls from outside are under way: wait for one to end."
                    }
                },
            ),
            Held::AtOnce(most) => ApiError::new(
                Code::TooManyCalls,
                format!(
                    "This project may have {most} model calls under way at once, and has them: wait \
                     for one to end, or raise the limit (`toft model-limits`)."
                ),
            ),
            Held::PerMinute(most, left) => ApiError::new(
                Code::RateLimited,
                format!(
                    "This project may begin {most} model calls a minute, and has: wait, or raise the \
                     limit (`toft model-limits`)."
                ),
            )
            .retry_after(left),
        })
    }
}
