//! [`Runs`]: what is asked of them, and what they tell. Who works on them is in `queue`.

use super::{
    DbRow, Durable, SqlStore, Write, flag, ms, raw, raw_at, raw_of, small, unsigned, webhooks,
    words,
};
use crate::{
    error::StoreError,
    runs::{
        Accepted, Artifact, Cancelled, Claim, Left, NewRun, NewRunEvent, Run, RunCost, RunEvent,
        RunMessage, RunState, RunUsage, Runs, Wrote,
    },
};
use async_trait::async_trait;
use futures_util::TryStreamExt as _;
use serde_json::json;
use sqlx::{FromRow, Row as _};
use std::collections::HashMap;
use toft_model::{
    id::ProjectId,
    run::{JobId, Phase, RunStatus},
};

/// Old files that are told at once.
const OLD_MAX: i64 = 100;
/// Messages of a run that are told.
const MESSAGES_MAX: i64 = 200;

macro_rules! runs {
    ($rest:expr) => {
        concat!(crate::runs::read_of_run!(), "run r JOIN project p ON p.id = r.project_id ", $rest)
    };
}
pub(super) use runs;

/// A word of ours, which nobody else writes.
fn word<T: serde::de::DeserializeOwned>(text: &str) -> sqlx::Result<T> {
    serde_json::from_value(text.into()).map_err(|e| sqlx::Error::Decode(Box::new(e)))
}

fn word_of(word: impl serde::Serialize) -> String {
    let word = serde_json::to_value(word).expect("words are JSON-able");
    word.as_str().unwrap_or_default().to_owned()
}

fn id<T: std::str::FromStr<Err = toft_model::id::InvalidId>>(text: &str) -> sqlx::Result<T> {
    text.parse().map_err(|e| sqlx::Error::Decode(Box::new(e)))
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

/// The latest run of a project, while a list of requests is gone through.
#[derive(Clone)]
struct Latest {
    index: u64,
    id: JobId,
}

/// What a request makes of the runs before it.
fn made(new: &NewRun, latest: Option<&Latest>, now_ms: u64) -> Run {
    Run {
        id: new.id.clone(),
        project: new.project.clone(),
        index: latest.map_or(1, |latest| latest.index + 1),
        is_writable: true,
        parent: latest.filter(|_| new.continues).map(|latest| latest.id.clone()),
        prompt: new.prompt.clone(),
        input: new.input.clone(),
        asked_provider: new.provider.clone(),
        asked_model: new.model.clone(),
        backend: new.backend.clone(),
        approval: new.approval,
        key: new.key.clone(),
        priority: new.priority,
        attempts_max: new.attempts_max,
        state: RunState {
            status: RunStatus::Queued,
            phase: Phase::Plan,
            waits_for: None,
            output: None,
            error: None,
            attempt: 0,
            not_before: 0,
            session: None,
            taken_seq: 0,
            provider: None,
            model: None,
            model_source: None,
            usage: None,
            cost: None,
            duration_ms: None,
            commit: None,
            checkpoint: None,
            sandbox: None,
            started_at: None,
            completed_at: None,
        },
        host_away: false,
        cancel_requested: false,
        fence: 0,
        crashes: 0,
        last_seq: 1,
        created_at: now_ms,
        updated_at: now_ms,
    }
}

/// The columns of a new run; `w` is a row of what is bound.
const ADD_RUNS: &str = concat!(
    "INSERT INTO run (public_id, project_id, run_index, writable, parent, prompt, input, asked_provider, \
     asked_model, backend, approval, request_key, request_digest, status, phase, attempts_max, priority, \
     last_seq, created_at, updated_at) \
     SELECT w.value ->> 'id', CAST(w.value ->> 'projectKey' AS BIGINT), CAST(w.value ->> 'index' AS BIGINT), \
     CAST(w.value ->> 'writable' AS BIGINT), w.value ->> 'parent', w.value ->> 'prompt', w.value ->> 'input', \
     w.value ->> 'provider', w.value ->> 'model', w.value ->> 'backend', \
     CAST(w.value ->> 'approval' AS BIGINT), w.value ->> 'key', w.value ->> 'digest', 'queued', 'plan', \
     CAST(w.value ->> 'attemptsMax' AS BIGINT), CAST(w.value ->> 'priority' AS BIGINT), 1, $2, $2 FROM ",
    rows!("$1", "w")
);

const ADD_FIRST_EVENTS: &str = concat!(
    "INSERT INTO run_event (run_id, seq, ts, kind, data) SELECT r.id, 1, $2, 'status', $3 FROM ",
    rows!("$1", "w"),
    " JOIN run r ON r.public_id = w.value ->> 'id'"
);

const ADD_FIRST_MESSAGES: &str = concat!(
    "INSERT INTO run_message (public_id, run_id, role, content, input, created_at) \
     SELECT w.value ->> 'messageId', r.id, 'user', ",
    raw_text!("w.value ->> 'prompt'"),
    ", w.value ->> 'input', $2 FROM ",
    rows!("$1", "w"),
    " JOIN run r ON r.public_id = w.value ->> 'id'"
);

/// Runs that came under these keys before.
const KNOWN: &str = concat!(
    crate::runs::read_of_run!(),
    rows!("$1", "w"),
    " JOIN project p ON p.public_id = w.value ->> 'project' \
     JOIN run r ON r.project_id = p.id AND r.request_key = w.value ->> 'key'"
);

/// Comparisons that have these keys, and those that are about to exchange the disk of one of these projects, or to
/// take it away.
const COMPARED: &str = concat!(
    "SELECT p.public_id, w.value ->> 'key', c.status = 'keeping' FROM ",
    rows!("$1", "w"),
    " JOIN project p ON p.public_id = w.value ->> 'project' JOIN comparison c ON c.project_id = p.id \
     AND (c.request_key = w.value ->> 'key' OR c.status = 'keeping') \
     UNION ALL SELECT p.public_id, w.value ->> 'key', 1 = 1 FROM ",
    rows!("$1", "w"),
    " JOIN project p ON p.public_id = w.value ->> 'project' JOIN candidate d ON d.project_id = p.id \
     JOIN comparison c ON c.id = d.comparison_id AND c.status IN ('keeping', 'dropping')"
);

const QUEUED: &str = r#"{"status":"queued"}"#;

async fn accept(
    store: &SqlStore,
    requests: &[NewRun],
    now_ms: u64,
) -> Result<Vec<Accepted>, StoreError> {
    let mut tx = store.begin().await?;
    let named: Vec<&str> = requests.iter().map(|new| new.project.as_str()).collect();
    // Held in one order, or two servers wait for each other.
    let keys: Vec<(i64, String)> = sqlx::query_as(concat!(
        "SELECT id, public_id FROM project WHERE ",
        among!("public_id", "$1"),
        " AND deleted_at IS NULL ORDER BY id",
        held!()
    ))
    .bind(words(&named))
    .fetch_all(tx.on())
    .await?;
    let keys: HashMap<String, i64> = keys.into_iter().map(|(key, id)| (id, key)).collect();
    let asked = |new: &NewRun| json!({ "project": new.project, "key": new.key });
    let asked: Vec<_> = requests.iter().map(asked).collect();
    let mut known: HashMap<(ProjectId, String), (Run, String)> = HashMap::new();
    let mut rows = sqlx::query(KNOWN).bind(json!(asked).to_string()).fetch(tx.on());
    while let Some(row) = rows.try_next().await? {
        let run = Run::from_row(&row)?;
        known.insert((run.project.clone(), run.key.clone()), (run, row.try_get("request_digest")?));
    }
    drop(rows);
    let mut compared: HashMap<(String, String), bool> = HashMap::new();
    let found: Vec<(String, String, bool)> =
        sqlx::query_as(COMPARED).bind(json!(asked).to_string()).fetch_all(tx.on()).await?;
    for (project, key, is_keeping) in found {
        *compared.entry((project, key)).or_default() |= is_keeping;
    }
    let latest: Vec<(String, i64, String)> = sqlx::query_as(concat!(
        "SELECT p.public_id, r.run_index, r.public_id FROM project p \
         JOIN run r ON r.project_id = p.id AND r.writable = 1 WHERE ",
        among!("p.public_id", "$1")
    ))
    .bind(words(&named))
    .fetch_all(tx.on())
    .await?;
    let mut latest_of: HashMap<String, Latest> = HashMap::new();
    for (project, index, run) in latest {
        latest_of.insert(project, Latest { index: unsigned(index), id: id(&run)? });
    }

    let mut accepted = Vec::with_capacity(requests.len());
    let mut new_runs: Vec<Run> = Vec::new();
    let mut added: HashMap<(ProjectId, String), usize> = HashMap::new();
    let mut digests: HashMap<JobId, &str> = HashMap::new();
    for new in requests {
        let name = (new.project.clone(), new.key.clone());
        if !keys.contains_key(new.project.as_str()) {
            accepted.push(Accepted::NoProject);
        } else if let Some((run, digest)) = known.get(&name) {
            let is_same = *digest == new.digest;
            accepted.push(if is_same { Accepted::Known(run.clone()) } else { Accepted::Other });
        } else if let Some(is_keeping) =
            compared.get(&(new.project.as_str().to_owned(), new.key.clone()))
        {
            accepted.push(if *is_keeping { Accepted::Keeping } else { Accepted::Other });
        } else if let Some(at) = added.get(&name) {
            let run = &new_runs[*at];
            let is_same = digests.get(&run.id) == Some(&new.digest.as_str());
            accepted.push(if is_same { Accepted::Known(run.clone()) } else { Accepted::Other });
        } else {
            let run = made(new, latest_of.get(new.project.as_str()), now_ms);
            let latest = Latest { index: run.index, id: run.id.clone() };
            latest_of.insert(new.project.as_str().to_owned(), latest);
            digests.insert(run.id.clone(), &new.digest);
            added.insert(name, new_runs.len());
            accepted.push(Accepted::New(run.clone()));
            new_runs.push(run);
        }
    }
    if new_runs.is_empty() {
        return Ok(accepted);
    }
    let rows: Vec<_> = new_runs
        .iter()
        .map(|run| {
            let is_latest =
                latest_of.get(run.project.as_str()).is_some_and(|latest| latest.id == run.id);
            json!({
                "id": run.id, "projectKey": keys[run.project.as_str()], "index": run.index,
                "writable": i64::from(is_latest), "parent": run.parent, "prompt": run.prompt,
                "input": run.input, "provider": run.asked_provider, "model": run.asked_model,
                "backend": run.backend, "approval": i64::from(run.approval), "key": run.key,
                "digest": digests[&run.id], "attemptsMax": run.attempts_max,
                "priority": run.priority, "messageId": JobId::random(),
            })
        })
        .collect();
    let rows = json!(rows).to_string();
    sqlx::query(concat!(
        "UPDATE run SET writable = 0 WHERE writable = 1 AND project_id IN \
         (SELECT CAST(w.value ->> 'projectKey' AS BIGINT) FROM ",
        rows!("$1", "w"),
        ")"
    ))
    .bind(&rows)
    .execute(tx.on())
    .await?;
    sqlx::query(ADD_RUNS).bind(&rows).bind(ms(now_ms)).execute(tx.on()).await?;
    sqlx::query(ADD_FIRST_EVENTS)
        .bind(&rows)
        .bind(ms(now_ms))
        .bind(raw(QUEUED))
        .execute(tx.on())
        .await?;
    sqlx::query(ADD_FIRST_MESSAGES).bind(&rows).bind(ms(now_ms)).execute(tx.on()).await?;
    tx.commit_as("runs.accepted").await?;
    // Of several of one project in this list only the last one is writable now.
    for one in &mut accepted {
        if let Accepted::New(run) | Accepted::Known(run) = one
            && added.contains_key(&(run.project.clone(), run.key.clone()))
        {
            let latest = latest_of.get(run.project.as_str());
            run.is_writable = latest.is_some_and(|latest| latest.id == run.id);
        } else if let Accepted::Known(run) = one
            && let Some(latest) = latest_of.get(run.project.as_str())
        {
            run.is_writable = latest.id == run.id;
        }
    }
    Ok(accepted)
}

/// Removes the runs of a deleted project, one at a time, so that other writers get their turn in between.
pub(super) async fn delete(store: &SqlStore, project_key: i64) -> Result<(), StoreError> {
    loop {
        let mut tx = store.begin_relaxed().await?;
        let key: Option<i64> = sqlx::query_scalar("SELECT min(id) FROM run WHERE project_id = $1")
            .bind(project_key)
            .fetch_one(tx.on())
            .await?;
        let Some(key) = key else { return Ok(()) };
        for statement in [
            "DELETE FROM outbox WHERE run_id = $1",
            "DELETE FROM run_event WHERE run_id = $1",
            "DELETE FROM run_message WHERE run_id = $1",
            "DELETE FROM artifact WHERE run_id = $1",
            "DELETE FROM run WHERE id = $1",
        ] {
            sqlx::query(statement).bind(key).execute(tx.on()).await?;
        }
        tx.commit_as("runs.deleted").await?;
    }
}

/// A row of `artifact`.
pub(super) fn artifact(row: &DbRow) -> sqlx::Result<Artifact> {
    Ok(Artifact {
        name: row.try_get("name")?,
        path: row.try_get("path")?,
        mime: row.try_get("mime")?,
        size: unsigned(row.try_get("size")?),
        files: unsigned(row.try_get("files")?),
        created_at: unsigned(row.try_get("created_at")?),
    })
}

/// Adds events behind the last one.
async fn tell(
    tx: &mut Write<'_>,
    run_key: i64,
    last_seq: u64,
    events: &[NewRunEvent],
) -> Result<(), StoreError> {
    for (seq, event) in (last_seq + 1..).zip(events) {
        sqlx::query(
            "INSERT INTO run_event (run_id, seq, ts, kind, data) VALUES ($1, $2, $3, $4, $5)",
        )
        .bind(run_key)
        .bind(ms(seq))
        .bind(ms(event.ts))
        .bind(&event.kind)
        .bind(raw(&event.data))
        .execute(tx.on())
        .await?;
    }
    Ok(())
}

/// Of a write that changed nothing: whether it is there already. Its owner may not have heard of its end, where the
/// connection broke in that moment, and writes it again.
async fn written_before(tx: &mut Write<'_>, run: &Run, events: u64) -> Result<Wrote, StoreError> {
    let wanted = run.last_seq + events;
    let now: Option<(i64, String, bool)> = sqlx::query_as(
        "SELECT last_seq, status, cancel_requested = 1 FROM run WHERE public_id = $1 AND fence = $2",
    )
    .bind(run.id.as_str())
    .bind(ms(run.fence))
    .fetch_optional(tx.on())
    .await?;
    let Some((last_seq, status, is_cancelled)) = now else { return Ok(Wrote::Lost) };
    let (last_seq, wants) = (unsigned(last_seq), run.state.status);
    Ok(if events > 0 && last_seq == wanted && status == wants.as_str() {
        Wrote::Done(wanted)
    } else if is_cancelled && status == "running" && last_seq == run.last_seq && wants.is_over() {
        Wrote::Cancelled
    } else {
        Wrote::Lost
    })
}

async fn write(
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
    let told: Option<(i64, i64)> = sqlx::query_as(
        "UPDATE run SET status = $3, phase = $4, waits_for = $5, output = $6, error = $7, attempt = $8, \
         not_before = $9, session = $10, taken_seq = $11, provider = $12, model = $13, model_source = $14, \
         input_tokens = $15, output_tokens = $16, cached_input_tokens = $17, reasoning_output_tokens = $18, \
         cost = $19, currency = $20, pricing_version = $21, duration_ms = $22, commit_sha = $23, \
         checkpoint = $24, started_at = $25, completed_at = $26, last_seq = last_seq + $27, updated_at = $28, \
         owner = CASE WHEN $3 = 'running' THEN owner END, \
         host_away = CASE WHEN $3 IN ('queued', 'running') THEN host_away ELSE 0 END, \
         crashes = CASE WHEN $27 > 0 THEN 0 ELSE crashes END, backend = $30, sandbox = $31 \
         WHERE public_id = $1 AND fence = $2 AND status = 'running' AND last_seq = $29 \
         AND ($3 NOT IN ('completed', 'error') OR cancel_requested = 0) RETURNING id, last_seq",
    )
    .bind(run.id.as_str())
    .bind(ms(run.fence))
    .bind(state.status.as_str())
    .bind(word_of(state.phase))
    .bind(state.waits_for.map(word_of))
    .bind(state.output.as_deref().map(raw))
    .bind(state.error.as_deref().map(raw))
    .bind(i64::from(state.attempt))
    .bind(ms(state.not_before))
    .bind(state.session.as_ref().map(toft_model::id::SessionId::as_str))
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
    let Some((key, last_seq)) = told else {
        return written_before(&mut tx, run, events.len() as u64).await;
    };
    let last_seq = unsigned(last_seq);
    tell(&mut tx, key, last_seq - events.len() as u64, events).await?;
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
            "INSERT INTO artifact (run_id, name, path, mime, size, files, created_at) \
             VALUES ($1, $2, $3, $4, $5, $6, $7)",
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
    Ok(Wrote::Done(last_seq))
}

async fn cancel(
    store: &SqlStore,
    project: &ProjectId,
    run: &JobId,
    now_ms: u64,
) -> Result<Option<Cancelled>, StoreError> {
    let (mut tx, project_key) = store.begin_in(project, Durable::Now).await?;
    // Nobody works on it, or nobody that can be reached: this ends it, and whoever is about to begin finds another
    // fence. What its machine still does is ended when that is back.
    let ended: Option<(i64, i64)> = sqlx::query_as(
        "UPDATE run SET status = 'cancelled', phase = 'over', waits_for = NULL, cancel_requested = 1, \
         completed_at = $3, duration_ms = $3 - started_at, updated_at = $3, host_away = 0, \
         fence = fence + 1, last_seq = last_seq + 1 \
         WHERE project_id = $1 AND public_id = $2 AND writable = 1 \
         AND (status = 'queued' OR (status = 'running' AND host_away = 1)) \
         RETURNING id, last_seq",
    )
    .bind(project_key)
    .bind(run.as_str())
    .bind(ms(now_ms))
    .fetch_optional(tx.on())
    .await?;
    let mut is_cancelled = ended.is_some();
    if let Some((key, last_seq)) = ended {
        let event = NewRunEvent {
            ts: now_ms,
            kind: "status".into(),
            data: r#"{"status":"cancelled"}"#.into(),
        };
        tell(&mut tx, key, unsigned(last_seq) - 1, &[event]).await?;
        webhooks::tell_of(&mut tx, key, now_ms).await?;
    } else {
        is_cancelled = sqlx::query(
            "UPDATE run SET cancel_requested = 1, updated_at = $3 WHERE project_id = $1 AND public_id = $2 \
             AND status = 'running' AND writable = 1",
        )
        .bind(project_key)
        .bind(run.as_str())
        .bind(ms(now_ms))
        .execute(tx.on())
        .await?
        .rows_affected()
            > 0;
    }
    let run: Option<Run> = sqlx::query_as(runs!("WHERE r.project_id = $1 AND r.public_id = $2"))
        .bind(project_key)
        .bind(run.as_str())
        .fetch_optional(tx.on())
        .await?;
    tx.commit_as("runs.cancelled").await?;
    Ok(run.map(|run| Cancelled { run, is_cancelled }))
}

#[async_trait]
impl Runs for SqlStore {
    async fn accept_runs(
        &self,
        requests: &[NewRun],
        now_ms: u64,
    ) -> Result<Vec<Accepted>, StoreError> {
        retried!(accept(self, requests, now_ms).await)
    }

    async fn run(&self, project: &ProjectId, id: &JobId) -> Result<Option<Run>, StoreError> {
        Ok(sqlx::query_as(runs!(
            "WHERE p.public_id = $1 AND r.public_id = $2 AND p.deleted_at IS NULL"
        ))
        .bind(project.as_str())
        .bind(id.as_str())
        .fetch_optional(&self.read)
        .await?)
    }

    async fn run_of_key(
        &self,
        project: &ProjectId,
        key: &str,
    ) -> Result<Option<(Run, String)>, StoreError> {
        let row = sqlx::query(runs!(
            "WHERE p.public_id = $1 AND r.request_key = $2 AND p.deleted_at IS NULL"
        ))
        .bind(project.as_str())
        .bind(key)
        .fetch_optional(&self.read)
        .await?;
        let found = row.map(|row| {
            Ok::<_, sqlx::Error>((Run::from_row(&row)?, row.try_get("request_digest")?))
        });
        Ok(found.transpose()?)
    }

    async fn runs(
        &self,
        project: &ProjectId,
        limit: u32,
        offset: u32,
    ) -> Result<Vec<Run>, StoreError> {
        Ok(sqlx::query_as(runs!(
            "WHERE p.public_id = $1 AND p.deleted_at IS NULL ORDER BY r.run_index DESC LIMIT $2 OFFSET $3"
        ))
        .bind(project.as_str())
        .bind(i64::from(limit))
        .bind(i64::from(offset))
        .fetch_all(&self.read)
        .await?)
    }

    async fn working_run(&self, project: &ProjectId) -> Result<Option<Run>, StoreError> {
        Ok(sqlx::query_as(runs!(
            "WHERE p.public_id = $1 AND r.status = 'running' AND p.deleted_at IS NULL ORDER BY r.run_index LIMIT 1"
        ))
        .bind(project.as_str())
        .fetch_optional(&self.read)
        .await?)
    }

    async fn count_runs(&self) -> Result<Vec<(RunStatus, u64)>, StoreError> {
        let counts: Vec<(String, i64)> =
            sqlx::query_as("SELECT status, COUNT(*) FROM run GROUP BY status ORDER BY status")
                .fetch_all(&self.read)
                .await?;
        let counts = counts.into_iter().map(|(status, n)| Ok((word(&status)?, unsigned(n))));
        Ok(counts.collect::<sqlx::Result<_>>()?)
    }

    async fn claim_runs(&self, claim: &Claim<'_>, now_ms: u64) -> Result<Vec<Run>, StoreError> {
        super::queue::claim(self, claim, now_ms).await
    }

    async fn take_over_runs(&self, claim: &Claim<'_>, now_ms: u64) -> Result<Vec<Run>, StoreError> {
        super::queue::take_over(self, claim, now_ms).await
    }

    async fn renew_runs(
        &self,
        claim: &Claim<'_>,
        held: &[(JobId, u64)],
        now_ms: u64,
    ) -> Result<Vec<JobId>, StoreError> {
        super::queue::renew(self, claim, held, now_ms).await
    }

    async fn let_go_runs(&self, owner: &str, is_in_order: bool) -> Result<(), StoreError> {
        super::queue::let_go(self, owner, is_in_order).await
    }

    async fn write_run(
        &self,
        run: &Run,
        events: &[NewRunEvent],
        left: &Left,
        durable: Durable,
        now_ms: u64,
    ) -> Result<Wrote, StoreError> {
        write(self, run, events, left, durable, now_ms).await
    }

    async fn cancel_run(
        &self,
        project: &ProjectId,
        id: &JobId,
        now_ms: u64,
    ) -> Result<Option<Cancelled>, StoreError> {
        cancel(self, project, id, now_ms).await
    }

    async fn run_events(
        &self,
        id: &JobId,
        after: u64,
        rows_max: u32,
        bytes_max: usize,
    ) -> Result<Vec<RunEvent>, StoreError> {
        let mut rows = sqlx::query(
            "SELECT e.seq, e.ts, e.kind, e.data FROM run_event e JOIN run r ON r.id = e.run_id \
             WHERE r.public_id = $1 AND e.seq > $2 ORDER BY e.seq LIMIT $3",
        )
        .bind(id.as_str())
        .bind(ms(after))
        .bind(i64::from(rows_max))
        .fetch(&self.read);
        let (mut events, mut bytes) = (Vec::new(), 0);
        while let Some(row) = rows.try_next().await? {
            let event = NewRunEvent {
                ts: unsigned(row.try_get("ts")?),
                kind: row.try_get("kind")?,
                data: raw_at(&row, "data")?,
            };
            bytes += event.data.len();
            if bytes > bytes_max && !events.is_empty() {
                break;
            }
            events.push(RunEvent { seq: unsigned(row.try_get("seq")?), event });
        }
        Ok(events)
    }

    async fn run_messages(&self, id: &JobId) -> Result<Vec<RunMessage>, StoreError> {
        let rows = sqlx::query(
            "SELECT m.public_id, m.role, m.content, m.input, m.created_at FROM run_message m \
             JOIN run r ON r.id = m.run_id WHERE r.public_id = $1 ORDER BY m.id LIMIT $2",
        )
        .bind(id.as_str())
        .bind(MESSAGES_MAX)
        .fetch_all(&self.read)
        .await?;
        let message = |row: DbRow| {
            Ok(RunMessage {
                id: row.try_get("public_id")?,
                role: row.try_get("role")?,
                content: raw_at(&row, "content")?,
                input: row.try_get("input")?,
                created_at: unsigned(row.try_get("created_at")?),
            })
        };
        Ok(rows.into_iter().map(message).collect::<sqlx::Result<_>>()?)
    }

    async fn old_artifacts(
        &self,
        project: &ProjectId,
        keep: u32,
    ) -> Result<Vec<String>, StoreError> {
        Ok(sqlx::query_scalar(
            "SELECT a.path FROM artifact a JOIN run r ON r.id = a.run_id JOIN project p ON p.id = r.project_id \
             WHERE p.public_id = $1 AND r.run_index <= (SELECT DISTINCT o.run_index FROM run o \
             JOIN artifact b ON b.run_id = o.id JOIN project q ON q.id = o.project_id WHERE q.public_id = $1 \
             ORDER BY o.run_index DESC LIMIT 1 OFFSET $2) ORDER BY a.id LIMIT $3",
        )
        .bind(project.as_str())
        .bind(i64::from(keep))
        .bind(OLD_MAX)
        .fetch_all(&self.read)
        .await?)
    }

    async fn forget_artifact(&self, project: &ProjectId, path: &str) -> Result<(), StoreError> {
        let (mut tx, key) = self.begin_in(project, Durable::Soon).await?;
        sqlx::query(
            "DELETE FROM artifact WHERE path = $1 AND run_id IN (SELECT id FROM run WHERE project_id = $2)",
        )
        .bind(path)
        .bind(key)
        .execute(tx.on())
        .await?;
        tx.commit_as("artifacts.forgotten").await
    }

    async fn artifact(&self, id: &JobId, name: &str) -> Result<Option<Artifact>, StoreError> {
        let row = sqlx::query(
            "SELECT a.name, a.path, a.mime, a.size, a.files, a.created_at FROM artifact a JOIN run r ON r.id = a.run_id \
             WHERE r.public_id = $1 AND a.name = $2 ORDER BY a.id DESC LIMIT 1",
        )
        .bind(id.as_str())
        .bind(name)
        .fetch_optional(&self.read)
        .await?;
        Ok(row.as_ref().map(artifact).transpose()?)
    }
}
