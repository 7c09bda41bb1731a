//! `/v1/projects/{id}/egress/log`: what went out and what was refused, newest first; or what came since,
//! waited for.

use crate::{
    api_error::ApiError,
    envelope::{Data, Query},
    project::{OfProject, Viewer},
    state::App,
};
use axum::extract::State;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::{io, time::Duration};
use toft_gateway::records::egress_log::{self, OpenConnection, Outcome, Placed, SEVERAL, Via};
use toft_model::{id::ProjectId, time::rfc3339};
use tokio::time::{Instant, sleep_until};

const LINES_DEFAULT: usize = 100;
/// More than a screen shows and a page of a few hundred KiB.
const LINES_MAX: usize = 1_000;
/// Below what proxies between a browser and the server give up after.
const WAIT_MAX: Duration = Duration::from_secs(25);
/// Between two looks at the log while somebody waits: below what a person notices.
const LOOK_AGAIN: Duration = Duration::from_millis(150);
/// Between two looks at the open connections meanwhile.
const LOOK_AT_OPEN: Duration = Duration::from_millis(600);

#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct Asked {
    limit: Option<usize>,
    before: Option<u64>,
    after: Option<u64>,
    wait_ms: Option<u64>,
}

/// `GET …/egress/log`.
pub(crate) async fn get(
    State(app): State<App>,
    OfProject { project, .. }: OfProject<Viewer>,
    Query(asked): Query<Asked>,
) -> Result<Data<Page>, ApiError> {
    let limit = asked.limit.unwrap_or(LINES_DEFAULT).clamp(1, LINES_MAX);
    if asked.after.is_some() && asked.before.is_some() {
        return Err(ApiError::invalid("give `before` or `after`, not both"));
    }
    let Some(after) = asked.after else {
        let lines = read(&app, &project.id, move |dir, id| {
            egress_log::before(dir, id, asked.before, limit)
        })
        .await?;
        let end = match (&lines[..], asked.before) {
            ([newest, ..], None) => newest.seq,
            _ => read(&app, &project.id, egress_log::end).await?,
        };
        let open = open(&app, &project.id).await;
        return Ok(page(&lines, &open, end));
    };
    let wait = Duration::from_millis(asked.wait_ms.unwrap_or(0)).min(WAIT_MAX);
    let (lines, open) = news(&app, &project.id, after, limit, wait).await?;
    let end = match lines.first() {
        Some(newest) => newest.seq,
        // One that is beyond the end (the log was begun anew) is set right.
        None => after.min(read(&app, &project.id, egress_log::end).await?),
    };
    Ok(page(&lines, &open, end))
}

/// What came after a place, newest first, and what is open. Waits for something to come or to change.
async fn news(
    app: &App,
    id: &ProjectId,
    after: u64,
    limit: usize,
    wait: Duration,
) -> Result<(Vec<Placed>, Vec<OpenConnection>), ApiError> {
    let ends = app.stop.token();
    let deadline = Instant::now() + wait;
    let before = open(app, id).await;
    let mut look_at_open = Instant::now() + LOOK_AT_OPEN;
    loop {
        let mut lines =
            read(app, id, move |dir, id| egress_log::after(dir, id, after, limit)).await?;
        let over = Instant::now() >= deadline || ends.is_cancelled();
        if !lines.is_empty() || over {
            lines.reverse();
            return Ok((lines, open(app, id).await));
        }
        if Instant::now() >= look_at_open {
            look_at_open = Instant::now() + LOOK_AT_OPEN;
            let now = open(app, id).await;
            if now != before {
                return Ok((lines, now));
            }
        }
        tokio::select! {
            () = sleep_until(deadline.min(Instant::now() + LOOK_AGAIN)) => {}
            () = ends.cancelled() => {}
        }
    }
}

/// None without a gateway: then nothing is open.
async fn open(app: &App, id: &ProjectId) -> Vec<OpenConnection> {
    app.gateway.open_connections(id).await
}

async fn read<T: Send + 'static>(
    app: &App,
    id: &ProjectId,
    work: impl FnOnce(&std::path::Path, &ProjectId) -> io::Result<T> + Send + 'static,
) -> Result<T, ApiError> {
    let (dir, id) = (app.data_dir.clone(), id.clone());
    let done = tokio::task::spawn_blocking(move || work(&dir, &id)).await;
    done.unwrap_or_else(|e| Err(io::Error::other(e)))
        .map_err(|e| ApiError::internal("the log of the way out could not be read", &e))
}

fn page(lines: &[Placed], open: &[OpenConnection], end: u64) -> Data<Page> {
    let lines = lines.iter().map(line).collect();
    let open = open.iter().map(shown).collect();
    Data(Page { lines, open, end })
}

/// A part of the log of the way out.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "EgressLog")]
pub(crate) struct Page {
    /// Newest first.
    lines: Vec<Line>,
    open: Vec<Open>,
    /// Ask for what comes after it.
    end: u64,
}

/// A connection that is open.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "OpenConnection")]
struct Open {
    id: u64,
    /// RFC 3339.
    at: String,
    /// What was asked: a request, a tunnel, a connection, …
    #[schemars(with = "String", extend("enum" = ["connect", "http", "direct", "https"]))]
    via: Via,
    host: String,
    port: u16,
    /// What allowed it.
    rule: String,
    bytes_in: u64,
    bytes_out: u64,
}

/// What went out, or was refused.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "EgressLine")]
struct Line {
    /// Its place in the log.
    seq: u64,
    /// RFC 3339; of several, of the first.
    at: String,
    /// RFC 3339; of several, of the last.
    last_at: Option<String>,
    /// How many it stands for.
    count: u64,
    #[schemars(with = "String", extend("enum" = ["connect", "http", "direct", "https"]))]
    via: Via,
    host: Option<String>,
    port: Option<u16>,
    /// `allow` or `deny`.
    #[schemars(with = "String", extend("enum" = ["allow", "deny"]))]
    verdict: Outcome,
    /// What decided.
    rule: String,
    /// Names of the brokered secrets whose values were put in.
    secrets: Vec<String>,
    /// Of a refusal, in words.
    reason: Option<String>,
    bytes_in: u64,
    bytes_out: u64,
    duration_ms: u64,
    /// What went wrong.
    error: Option<String>,
    /// The rule that would allow what was refused.
    allow_rule: Option<String>,
}

fn shown(one: &OpenConnection) -> Open {
    Open {
        id: one.id,
        at: rfc3339(one.ts),
        via: one.via,
        host: one.host.clone(),
        port: one.port,
        rule: one.rule.clone(),
        bytes_in: one.bytes_in,
        bytes_out: one.bytes_out,
    }
}

fn line(Placed { seq, record }: &Placed) -> Line {
    Line {
        seq: *seq,
        at: rfc3339(record.ts),
        last_at: record.last_ts.map(rfc3339),
        count: record.count,
        via: record.via,
        host: (record.rule != SEVERAL).then(|| record.host.clone()),
        port: (record.port != 0).then_some(record.port),
        verdict: record.verdict,
        rule: record.rule.clone(),
        secrets: record.secrets.clone(),
        reason: record.reason.clone(),
        bytes_in: record.bytes_in,
        bytes_out: record.bytes_out,
        duration_ms: record.duration_ms,
        error: record.error.clone(),
        allow_rule: allow_rule(record).map(str::to_owned),
    }
}

/// The rule that would allow what was refused, where one can.
fn allow_rule(record: &egress_log::EgressRecord) -> Option<&str> {
    let could =
        record.verdict == Outcome::Deny && matches!(&*record.rule, "not-listed" | "level-none");
    could.then_some(&*record.host)
}
