//! Requests become runs, many in one transaction: each is looked for among what came before, and what is new is
//! written together. Nothing here begins one.

use super::{
    super::{SqlStore, id, ms, raw, unsigned, words},
    row::runs,
};
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
    "INSERT INTO run (public_id, project_id, run_index, parent, prompt, input, asked_provider, \
     asked_model, backend, approval, request_key, request_digest, status, phase, attempts_max, priority, \
     last_seq, created_at, updated_at) \
     SELECT w.value ->> 'id', CAST(w.value ->> 'projectKey' AS BIGINT), CAST(w.value ->> 'index' AS BIGINT), \
     w.value ->> 'parent', w.value ->> 'prompt', w.value ->> 'input', \
     w.value ->> 'provider', w.value ->> 'model', w.value ->> 'backend', \
     CAST(w.value ->> 'approval' AS BIGINT), w.value ->> 'key', w.value ->> 'digest', 'queued', 'plan', \
     CAST(w.value ->> 'attemptsMax' AS BIGINT), CAST(w.value ->> 'priority' AS BIGINT), 1, $2, $2 FROM ",
    rows!("$1", "w"),
    " RETURNING id, public_id"
);

/// With the internal keys of the runs, so that nothing is looked for among all that there are.
const ADD_FIRST_EVENTS: &str = concat!(
    "INSERT INTO run_event (run_id, seq, ts, kind, data) \
     SELECT CAST(w.value ->> 'runKey' AS BIGINT), 1, $2, 'status', $3 FROM ",
    rows!("$1", "w")
);

const ADD_FIRST_MESSAGES: &str = concat!(
    "INSERT INTO run_message (public_id, run_id, role, content, input, created_at) \
     SELECT w.value ->> 'messageId', CAST(w.value ->> 'runKey' AS BIGINT), 'user', ",
    raw_text!("w.value ->> 'prompt'"),
    ", w.value ->> 'input', $2 FROM ",
    rows!("$1", "w")
);

/// Runs that came under these keys before; almost always there are none. Asked for one by one, so that it is a look
/// into an index whatever the database thinks of the table's size.
const KNOWN: &str = concat!(
    "SELECT (SELECT r.public_id FROM run r WHERE r.project_id = CAST(w.value ->> 'projectKey' AS BIGINT) \
     AND r.request_key = w.value ->> 'key') FROM ",
    rows!("$1", "w")
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
    let keys = tx.hold(&named).await?;
    let asked = |new: &NewRun| {
        let project_key = keys.get(new.project.as_str());
        json!({ "project": new.project, "projectKey": project_key, "key": new.key })
    };
    let asked: Vec<_> = requests.iter().map(asked).collect();
    let mut known: HashMap<(ProjectId, String), (Run, String)> = HashMap::new();
    let asked = json!(asked).to_string();
    let came_before: Vec<Option<String>> =
        sqlx::query_scalar(KNOWN).bind(&asked).fetch_all(tx.on()).await?;
    let came_before: Vec<&str> = came_before.iter().flatten().map(String::as_str).collect();
    if !came_before.is_empty() {
        let mut rows = sqlx::query(runs!(concat!("WHERE ", among!("r.public_id", "$1"))))
            .bind(words(&came_before))
            .fetch(tx.on());
        while let Some(row) = rows.try_next().await? {
            let run = Run::from_row(&row)?;
            let name = (run.project.clone(), run.key.clone());
            known.insert(name, (run, row.try_get("request_digest")?));
        }
    }
    let mut compared: HashMap<(String, String), bool> = HashMap::new();
    let found: Vec<(String, String, bool)> =
        sqlx::query_as(COMPARED).bind(&asked).fetch_all(tx.on()).await?;
    for (project, key, is_keeping) in found {
        *compared.entry((project, key)).or_default() |= is_keeping;
    }
    let latest: Vec<(String, i64, String)> = sqlx::query_as(concat!(
        "SELECT p.public_id, r.run_index, r.public_id FROM project p JOIN run r ON r.id = \
         (SELECT n.id FROM run n WHERE n.project_id = p.id ORDER BY n.run_index DESC LIMIT 1) WHERE ",
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
    let mut rows: Vec<_> = new_runs
        .iter()
        .map(|run| {
            json!({
                "id": run.id, "projectKey": keys[run.project.as_str()], "index": run.index,
                "parent": run.parent, "prompt": run.prompt,
                "input": run.input, "provider": run.asked_provider, "model": run.asked_model,
                "backend": run.backend, "approval": i64::from(run.approval), "key": run.key,
                "digest": digests[&run.id], "attemptsMax": run.attempts_max,
                "priority": run.priority, "messageId": JobId::random(),
            })
        })
        .collect();
    let text = json!(rows).to_string();
    let added_runs: Vec<(i64, String)> =
        sqlx::query_as(ADD_RUNS).bind(&text).bind(ms(now_ms)).fetch_all(tx.on()).await?;
    let run_keys: HashMap<String, i64> =
        added_runs.into_iter().map(|(key, id)| (id, key)).collect();
    for (row, run) in rows.iter_mut().zip(&new_runs) {
        row["runKey"] = json!(run_keys.get(run.id.as_str()));
    }
    let text = json!(rows).to_string();
    sqlx::query(ADD_FIRST_EVENTS)
        .bind(&text)
        .bind(ms(now_ms))
        .bind(raw(QUEUED))
        .execute(tx.on())
        .await?;
    sqlx::query(ADD_FIRST_MESSAGES).bind(&text).bind(ms(now_ms)).execute(tx.on()).await?;
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
