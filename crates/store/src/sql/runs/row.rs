//! A run as a row: what is read of it, and what that means.

use super::super::{DbRow, flag, id, raw_of, small, unsigned};
use crate::runs::{Run, RunCost, RunState, RunUsage};
use sqlx::{FromRow, Row as _};

/// Reads runs, each with its project.
macro_rules! runs {
    ($rest:expr) => {
        concat!(crate::runs::read_of_run!(), "run r JOIN project p ON p.id = r.project_id ", $rest)
    };
}
pub(in super::super) use runs;

/// A word of ours, which nobody else writes.
pub(super) fn word<T: serde::de::DeserializeOwned>(text: &str) -> sqlx::Result<T> {
    serde_json::from_value(text.into()).map_err(|e| sqlx::Error::Decode(Box::new(e)))
}

pub(super) fn word_of(word: impl serde::Serialize) -> String {
    let word = serde_json::to_value(word).expect("words are JSON-able");
    word.as_str().unwrap_or_default().to_owned()
}

impl FromRow<'_, DbRow> for Run {
    fn from_row(row: &DbRow) -> sqlx::Result<Self> {
        let number = |name: &str| row.try_get::<i64, _>(name).map(unsigned);
        let number_of =
            |name: &str| row.try_get::<Option<i64>, _>(name).map(|number| number.map(unsigned));
        let parent: Option<&str> = row.try_get("parent")?;
        let session: Option<&str> = row.try_get("session")?;
        let waits_for: Option<&str> = row.try_get("waits_for")?;
        let usage = match number_of("input_tokens")? {
            Some(input) => Some(RunUsage {
                input,
                output: number_of("output_tokens")?.unwrap_or(0),
                cached_input: number_of("cached_input_tokens")?.unwrap_or(0),
                reasoning_output: number_of("reasoning_output_tokens")?.unwrap_or(0),
            }),
            None => None,
        };
        let cost = match number_of("cost")? {
            Some(nanos) => Some(RunCost {
                nanos,
                currency: row.try_get("currency")?,
                version: row.try_get("pricing_version")?,
            }),
            None => None,
        };
        Ok(Self {
            id: id(row.try_get("public_id")?)?,
            project: id(row.try_get("project")?)?,
            index: number("run_index")?,
            is_writable: flag(row, "writable")?,
            parent: parent.map(id).transpose()?,
            prompt: row.try_get("prompt")?,
            input: row.try_get("input")?,
            asked_provider: row.try_get("asked_provider")?,
            asked_model: row.try_get("asked_model")?,
            backend: row.try_get("backend")?,
            approval: flag(row, "approval")?,
            key: row.try_get("request_key")?,
            priority: row.try_get("priority")?,
            attempts_max: small(row.try_get("attempts_max")?),
            state: RunState {
                status: word(row.try_get("status")?)?,
                phase: word(row.try_get("phase")?)?,
                waits_for: waits_for.map(word).transpose()?,
                output: raw_of(row, "output")?,
                error: raw_of(row, "error")?,
                attempt: small(row.try_get("attempt")?),
                not_before: number("not_before")?,
                session: session.map(id).transpose()?,
                taken_seq: number("taken_seq")?,
                provider: row.try_get("provider")?,
                model: row.try_get("model")?,
                model_source: row.try_get("model_source")?,
                usage,
                cost,
                duration_ms: number_of("duration_ms")?,
                commit: row.try_get("commit_sha")?,
                checkpoint: row.try_get("checkpoint")?,
                sandbox: row.try_get("sandbox")?,
                started_at: number_of("started_at")?,
                completed_at: number_of("completed_at")?,
            },
            host_away: flag(row, "host_away")?,
            cancel_requested: flag(row, "cancel_requested")?,
            fence: number("fence")?,
            crashes: small(row.try_get("crashes")?),
            last_seq: number("last_seq")?,
            created_at: number("created_at")?,
            updated_at: number("updated_at")?,
        })
    }
}
