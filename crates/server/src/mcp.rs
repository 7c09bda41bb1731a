//! Sign-ins of people at MCP servers that a project uses (OAuth 2.1 as MCP has it). All of it happens here,
//! outside of the machine: what is inside sends a placeholder, and the gateway puts the token in. Foreign
//! hosts are asked on the project's own way out ([`ask`]), whoever named them.
//!
//! [`connect`] begins a sign-in and ends it; [`renew`] keeps it good.

mod address;
mod ask;
pub(crate) mod challenge;
pub(crate) mod connect;
mod discover;
mod due;
mod machine;
pub(crate) mod pending;
mod register;
pub(crate) mod renew;
mod tokens;

use crate::api_error::{ApiError, Code};
use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
};
use toft_model::id::ProjectId;
use tokio::sync::OwnedMutexGuard;

/// Characters of a stranger's words that are shown.
const WORDS_CHARS_MAX: usize = 300;

/// What is under way.
#[derive(Default)]
pub(crate) struct Mcp {
    pending: pending::Pending,
    pub(crate) due: due::Due,
    turns: Mutex<HashMap<ProjectId, Arc<tokio::sync::Mutex<()>>>>,
}

impl Mcp {
    /// One at a time changes the sign-ins of a project.
    async fn turn(&self, project: &ProjectId) -> OwnedMutexGuard<()> {
        let turn = {
            let mut turns = self.turns.lock().unwrap_or_else(PoisonError::into_inner);
            // Whoever holds one has a share in it.
            turns.retain(|_, turn| Arc::strong_count(turn) > 1);
            Arc::clone(turns.entry(project.clone()).or_default())
        };
        turn.lock_owned().await
    }
}

fn failed(message: impl Into<String>) -> ApiError {
    ApiError::new(Code::SignInFailed, message)
}

/// What a stranger said, fit to be shown.
fn words(text: &str) -> String {
    let plain = text.chars().map(|c| if c.is_control() { ' ' } else { c });
    plain.take(WORDS_CHARS_MAX).collect::<String>().trim().to_owned()
}
