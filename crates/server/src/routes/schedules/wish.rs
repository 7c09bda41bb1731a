//! What people wish of a schedule, and whether it can be.

use crate::{
    api_error::{ApiError, Code},
    machines::{
        Machine,
        read::{self, Reading},
    },
    schedules::slots::NoPlan,
    state::App,
};
use axum::body::to_bytes;
use http::{StatusCode, Uri};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::Value;
use std::{sync::Arc, time::Duration};
use toft_model::schedule::{CatchUp, Overlap, When, Work};
use toft_store::Schedule;
use tokio::time::timeout;

/// Bytes of a command or a prompt.
const WORK_BYTES_MAX: usize = 64 << 10;
/// How long a command may take when nothing is said: a nightly build.
const COMMAND_TIMEOUT_MS: u64 = 3_600_000;
/// How long anything may take; a prompt, when nothing is said.
const TIMEOUT_MAX_MS: u64 = 24 * 3_600_000;
const TIMEOUT_MIN_MS: u64 = 1_000;
/// Slots that are made up for with `all`, when nothing is said and at most.
pub(super) const CATCH_UP_DEFAULT: u32 = 10;
const CATCH_UP_MAX: u32 = 100;
/// What a machine may send of a conversation's state, a few KiB, and how long.
const STATE_BYTES_MAX: usize = 1 << 20;
const STATE_TIMEOUT: Duration = Duration::from_secs(30);

impl From<NoPlan> for ApiError {
    fn from(error: NoPlan) -> Self {
        Self::invalid(error.to_string())
    }
}

/// What a schedule is made of, or changed to.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct Wish {
    pub(super) name: Option<String>,
    #[schemars(with = "Option<When>")]
    pub(super) when: Option<Value>,
    #[serde(rename = "do")]
    #[schemars(with = "Option<Work>")]
    pub(super) work: Option<Value>,
    pub(super) catch_up: Option<CatchUp>,
    pub(super) catch_up_max: Option<u32>,
    pub(super) overlap: Option<Overlap>,
    pub(super) enabled: Option<bool>,
    pub(super) timeout_ms: Option<u64>,
}

pub(super) fn when(value: Value) -> Result<When, ApiError> {
    serde_json::from_value(value).map_err(|_| {
        ApiError::invalid(
            "when is one of {\"cron\": \"0 9 * * 1-5\", \"timezone\": \"Europe/Berlin\"}, \
             {\"everyS\": 900} and {\"at\": Unix milliseconds}",
        )
    })
}

pub(super) fn work(value: Value) -> Result<Work, ApiError> {
    let work: Work = serde_json::from_value(value).map_err(|_| {
        ApiError::invalid(
            "do is one of {\"command\": \"…\"} and {\"prompt\": \"…\", \"sessionId\": \"…\"} (a new \
             conversation each time without sessionId)",
        )
    })?;
    let (name, text) = match &work {
        Work::Command { command } => ("command", command),
        Work::Prompt { prompt, .. } => ("prompt", prompt),
    };
    if text.trim().is_empty() || text.len() > WORK_BYTES_MAX || text.contains('\0') {
        return Err(ApiError::invalid(format!(
            "{name} must have 1 to {} KiB of text without NUL",
            WORK_BYTES_MAX >> 10
        )));
    }
    Ok(work)
}

pub(super) fn limit(timeout_ms: Option<u64>, work: &Work) -> Result<u64, ApiError> {
    match (timeout_ms, work) {
        (Some(ms), _) if (TIMEOUT_MIN_MS..=TIMEOUT_MAX_MS).contains(&ms) => Ok(ms),
        (Some(_), _) => Err(ApiError::invalid(format!(
            "timeoutMs must be {TIMEOUT_MIN_MS} to {TIMEOUT_MAX_MS}"
        ))),
        (None, Work::Command { .. }) => Ok(COMMAND_TIMEOUT_MS),
        (None, Work::Prompt { .. }) => Ok(TIMEOUT_MAX_MS),
    }
}

pub(super) fn catch_up_max(wanted: Option<u32>) -> Result<Option<u32>, ApiError> {
    if wanted.is_some_and(|n| !(1..=CATCH_UP_MAX).contains(&n)) {
        return Err(ApiError::invalid(format!("catchUpMax must be 1 to {CATCH_UP_MAX}")));
    }
    Ok(wanted)
}

pub(super) fn missing(field: &str) -> ApiError {
    ApiError::invalid(format!("{field} is missing: send {{\"name\", \"when\", \"do\"}}"))
}

/// A moment that has passed is no mistake to keep quiet about.
pub(super) fn check_ahead(schedule: &Schedule, now: u64) -> Result<(), ApiError> {
    match schedule.when {
        When::Once { at } if at <= now => {
            Err(ApiError::invalid("at has passed: choose a moment to come, or run it now"))
        }
        When::Once { .. } | When::Cron { .. } | When::Every { .. } => Ok(()),
    }
}

/// Refuses a conversation that is not there: every slot would fail. Asked of the machine if it runs, of
/// the copy otherwise; it is not woken for that.
pub(super) async fn check_session(
    app: &App,
    machine: &Arc<Machine>,
    work: &Work,
) -> Result<(), ApiError> {
    let Work::Prompt { session_id: Some(session), .. } = work else { return Ok(()) };
    let asked = Uri::try_from(format!("/toft/state?sessionId={session}"))
        .map_err(|e| ApiError::internal("a conversation could not be asked about", &e))?;
    let answer = read::read(app, machine, Reading::State, &asked).await?;
    let is_missing = answer.status() == StatusCode::NOT_FOUND;
    // One that the copy has and the machine has not can be read, and nothing can be said in it.
    let whole = timeout(STATE_TIMEOUT, to_bytes(answer.into_body(), STATE_BYTES_MAX)).await;
    let state: Option<Value> =
        whole.ok().and_then(Result::ok).and_then(|bytes| serde_json::from_slice(&bytes).ok());
    if is_missing || state.is_some_and(|state| state["data"]["lost"] == true) {
        return Err(ApiError::new(
            Code::NotFound,
            format!(
                "do.sessionId: there is no conversation \"{session}\" in this project: GET \
                 …/toft/sessions lists them; without sessionId each slot begins a new one"
            ),
        ));
    }
    Ok(())
}
