//! What a run's owner writes of it: state, events and what others are told of it, in one transaction.

use super::{
    super::{Durable, SqlStore, Write, ms, raw, unsigned, webhooks},
    events, hosts,
    row::word_of,
};
use crate::{
    error::StoreError,
    runs::{Left, NewRunEvent, Run, Wrote},
};
use toft_model::{
    id::SessionId,
    run::{JobId, RunStatus},
};

/// Of a write that changed nothing: it may be there already, since its owner does not hear of its end where the
/// connection breaks in that moment, and writes it again; or others have told of the run's host meanwhile.
async fn why_not(
    tx: &mut Write<'_>,
    run: &Run,
    events: &[NewRunEvent],
) -> Result<Wrote, StoreError> {
    let now: Option<(i64, String, bool)> = sqlx::query_as(
        "SELECT id, status, cancel_requested = 1 FROM run WHERE public_id = $1 AND fence = $2",
    )
    .bind(run.id.as_str())
    .bind(ms(run.fence))
    .fetch_optional(tx.on())
    .await?;
    let Some((key, status, is_cancelled)) = now else { return Ok(Wrote::Lost) };
    let wants = run.state.status;
    let since = events::since(tx, key, run.last_seq).await?;
    let last_seq = run.last_seq + since.len() as u64;
    let is_there = !events.is_empty() && since.starts_with(events);
    let others = if is_there { &since[events.len()..] } else { &since[..] };
    Ok(if !others.iter().all(hosts::is_of_host) {
        Wrote::Lost
    } else if is_there {
        if status == wants.as_str() { Wrote::Done(last_seq) } else { Wrote::Lost }
    } else if status != RunStatus::Running.as_str() {
        Wrote::Lost
    } else if !others.is_empty() {
        Wrote::Behind(last_seq)
    } else if is_cancelled && wants != RunStatus::Running {
        Wrote::Cancelled
    } else {
        Wrote::Lost
    })
}

pub(super) async fn write(
    store: &SqlStore,
    run: &Run,
    events: &[NewRunEvent],
    left: &Left,
    durable: Durable,
    now_ms: u64,
) -> Result<Wrote, StoreError> {
    let mut tx = match durable {
        Durable::Now => store.begin().await?,
        Durable::Soon => store.begin_relaxed().await?,
    };
    let state = &run.state;
    let usage = state.usage;
    let cost = state.cost.as_ref();
    let told: Option<(i64, i64, bool)> = sqlx::query_as(concat!(
        "UPDATE run SET status = $3, phase = $4, waits_for = $5, output = $6, error = $7, attempt = $8, \
         not_before = CASE WHEN $3 = 'queued' AND $9 > $28 THEN ",
        // By the clock that those who claim go by: this server's may be another one.
        clock!("$28"),
        " + $9 - $28 ELSE 0 END, session = $10, taken_seq = $11, provider = $12, model = $13, model_source = $14, \
         input_tokens = $15, output_tokens = $16, cached_input_tokens = $17, reasoning_output_tokens = $18, \
         cost = $19, currency = $20, pricing_version = $21, duration_ms = $22, commit_sha = $23, \
         checkpoint = $24, started_at = $25, completed_at = $26, last_seq = last_seq + $27, updated_at = $28, \
         owner = CASE WHEN $3 = 'running' THEN owner END, \
         host_away = CASE WHEN $3 IN ('queued', 'running') THEN host_away ELSE 0 END, \
         crashes = CASE WHEN $27 > 0 THEN 0 ELSE crashes END, backend = $30, sandbox = $31 \
         WHERE public_id = $1 AND fence = $2 AND status = 'running' AND last_seq = $29 \
         AND ($3 IN ('running', 'cancelled') OR cancel_requested = 0) RETURNING id, last_seq, cancel_requested = 1",
    ))
    .bind(run.id.as_str())
    .bind(ms(run.fence))
    .bind(state.status.as_str())
    .bind(word_of(state.phase))
    .bind(state.waits_for.map(word_of))
    .bind(state.output.as_deref().map(raw))
    .bind(state.error.as_deref().map(raw))
    .bind(i64::from(state.attempt))
    .bind(ms(state.not_before))
    .bind(state.session.as_ref().map(SessionId::as_str))
    .bind(ms(state.taken_seq))
    .bind(&state.provider)
    .bind(&state.model)
    .bind(&state.model_source)
    .bind(usage.map(|usage| ms(usage.input)))
    .bind(usage.map(|usage| ms(usage.output)))
    .bind(usage.map(|usage| ms(usage.cached_input)))
    .bind(usage.map(|usage| ms(usage.reasoning_output)))
    .bind(cost.map(|cost| ms(cost.nanos)))
    .bind(cost.map(|cost| &cost.currency))
    .bind(cost.map(|cost| &cost.version))
    .bind(state.duration_ms.map(ms))
    .bind(&state.commit)
    .bind(&state.checkpoint)
    .bind(state.started_at.map(ms))
    .bind(state.completed_at.map(ms))
    .bind(ms(events.len() as u64))
    .bind(ms(now_ms))
    .bind(ms(run.last_seq))
    .bind(&run.backend)
    .bind(&state.sandbox)
    .fetch_optional(tx.on())
    .await?;
    let Some((key, last_seq, is_unwanted)) = told else {
        return why_not(&mut tx, run, events).await;
    };
    let last_seq = unsigned(last_seq);
    events::add(&mut tx, key, last_seq - events.len() as u64, events).await?;
    if let Some(said) = &left.said {
        sqlx::query(
            "INSERT INTO run_message (public_id, run_id, role, content, created_at) \
             VALUES ($1, $2, 'assistant', $3, $4)",
        )
        .bind(JobId::random().as_str())
        .bind(key)
        .bind(raw(said))
        .bind(ms(now_ms))
        .execute(tx.on())
        .await?;
    }
    if let Some(file) = &left.artifact {
        sqlx::query(
            "INSERT INTO artifact (run_id, name, path, mime, size, files, created_at, project_id) \
             SELECT r.id, $2, $3, $4, $5, $6, $7, r.project_id FROM run r WHERE r.id = $1",
        )
        .bind(key)
        .bind(&file.name)
        .bind(&file.path)
        .bind(&file.mime)
        .bind(ms(file.size))
        .bind(ms(file.files))
        .bind(ms(file.created_at))
        .execute(tx.on())
        .await?;
    }
    if state.status.is_over() {
        webhooks::tell_of(&mut tx, key, now_ms).await?;
    }
    tx.commit_as("runs.written").await?;
    Ok(if is_unwanted && state.status == RunStatus::Running {
        Wrote::Ending(last_seq)
    } else {
        Wrote::Done(last_seq)
    })
}
