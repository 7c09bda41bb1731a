//! Requests become runs, many in one transaction: each is looked for among what came before, and what is new is
//! written together. Nothing here begins one.

use super::super::{SqlStore, id, ms, raw, unsigned, words};
use crate::{
    error::StoreError,
    runs::{Accepted, NewRun, Run, RunState},
};
use futures_util::TryStreamExt as _;
use serde_json::json;
use sqlx::{FromRow as _, Row as _};
use std::collections::HashMap;
use toft_model::{id::ProjectId, run::JobId};

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
        state: RunState::queued(),
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

pub(super) async fn accept(
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
