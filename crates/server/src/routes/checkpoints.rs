//! `/v1/projects/{id}/checkpoints` and what is below it, and the rule by which they are kept. Going
//! back and forking are in the files beside.

mod fork;
mod restore;

pub(crate) use fork::post as fork;
pub(crate) use restore::{
    Restored, go_back, to_checkpoint as restore, to_message as restore_message,
};

use crate::{
    api_error::{ApiError, Code},
    checkpoints::{
        self,
        affected::{self, Affected},
        auto, delete, diff, prune, reconcile,
        take::{self, Wish},
    },
    envelope::{Data, JsonBody, NoBody, Path, Query},
    line,
    machines::life,
    project::{Member, OfProject, Viewer},
    routes::{given::Deleted, usage::first_line},
    state::App,
};
use axum::extract::State;
use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, Serialize};
use std::time::Duration;
use toft_model::checkpoint::{Cause, Change, Checkpoint, CheckpointId, KeepRule};
use toft_store::{CheckpointRule, TakenCheckpoint};
use tokio::time::timeout;

/// Paths in one answer: more than a person reads.
const CHANGES_MAX: usize = 2_000;
/// Checkpoints of one project that may be there when another is asked for: each costs a folder of the
/// storage, and a line of the list.
const COUNT_MAX: u64 = 2_000;
/// How long a comparison may take: a tree of a million files.
const DIFF_TIMEOUT: Duration = Duration::from_mins(1);
/// Most that a rule may keep of each kind.
const KEEP_MAX: u32 = 10_000;

#[derive(Deserialize, JsonSchema)]
pub(crate) struct Listed {
    #[serde(default)]
    prompts: bool,
}

/// A checkpoint in the list, with the beginning of its message when that is asked for and known.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "ListedCheckpoint")]
struct Row {
    #[serde(flatten)]
    checkpoint: Checkpoint,
    #[serde(skip_serializing_if = "Option::is_none")]
    prompt: Option<String>,
    /// The backend that it lies with, when the project has moved to another since: it can be forked, and gone back to
    /// when the project is there again.
    #[serde(skip_serializing_if = "Option::is_none")]
    backend: Option<String>,
}

/// Checkpoints of a project.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "Checkpoints")]
pub(crate) struct All {
    /// Newest first.
    checkpoints: Vec<Row>,
    rule: KeepRule,
    /// Whether one is taken before each prompt.
    automatic: bool,
    /// What is to be known when one was not taken, or fewer are kept than the rule says.
    #[serde(skip_serializing_if = "Option::is_none")]
    why: Option<String>,
}

/// How the message begins before which one was taken.
async fn prompt(app: &App, checkpoint: &Checkpoint) -> Result<Option<String>, ApiError> {
    let message = checkpoint.message.as_ref();
    let Some((place, entry)) = message.and_then(|m| Some((m, m.leaf_entry_id.as_deref()?))) else {
        return Ok(None);
    };
    let id = &checkpoint.project_id;
    let said = app.store.message(id, place.session_id.as_str(), entry).await?;
    Ok(said.and_then(|event| first_line(&event.data)))
}

/// `GET …/checkpoints`.
pub(crate) async fn list(
    State(app): State<App>,
    OfProject { machine, .. }: OfProject<Viewer>,
    Query(Listed { prompts }): Query<Listed>,
) -> Result<Data<All>, ApiError> {
    reconcile::in_order(&app, &machine).await?;
    let rule = app.store.checkpoint_rule(&machine.id).await?;
    let all = app.store.checkpoints(&machine.id).await?;
    let mut rows = Vec::with_capacity(all.len());
    for TakenCheckpoint { checkpoint, away, .. } in all {
        let prompt = if prompts { prompt(&app, &checkpoint).await? } else { None };
        rows.push(Row { checkpoint, prompt, backend: away });
    }
    let (automatic, why) = auto::told(&app, &machine, &rule);
    let notes: Vec<String> = why.into_iter().chain(prune::told(&app, &machine).await).collect();
    let why = (!notes.is_empty()).then(|| notes.join("; "));
    Ok(Data(All { checkpoints: rows, rule: rule.keep, automatic, why }))
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Take {
    label: Option<String>,
}

/// `POST …/checkpoints`.
pub(crate) async fn create(
    State(app): State<App>,
    OfProject { machine, .. }: OfProject<Member>,
    JsonBody(body): JsonBody<Take>,
) -> Result<Data<Checkpoint>, ApiError> {
    let label = body.label.as_deref().map(|text| line::label("label", text)).transpose()?.flatten();
    if app.store.checkpoint_count(&machine.id).await? >= COUNT_MAX {
        return Err(ApiError::new(
            Code::Conflict,
            format!("the project has {COUNT_MAX} checkpoints: delete some first"),
        ));
    }
    life::ensure_made(&app, &machine, "a checkpoint of it is wanted").await?;
    let wish = Wish { label, ..Wish::of(Cause::Manual) };
    Ok(Data(take::take(&app, &machine, wish).await?))
}

/// `GET …/checkpoints/{ck}`.
pub(crate) async fn get(
    State(app): State<App>,
    OfProject { machine, .. }: OfProject<Viewer>,
    Path((_, checkpoint)): Path<(String, String)>,
) -> Result<Data<Checkpoint>, ApiError> {
    reconcile::in_order(&app, &machine).await?;
    Ok(Data(checkpoints::find(&*app.store, &machine.id, &checkpoint).await?.checkpoint))
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Label {
    /// Null takes it off; it must be there.
    #[serde(deserialize_with = "there")]
    label: Option<String>,
}

fn there<'de, D: Deserializer<'de>>(from: D) -> Result<Option<String>, D::Error> {
    Option::deserialize(from)
}

/// `PATCH …/checkpoints/{ck}`.
pub(crate) async fn patch(
    State(app): State<App>,
    OfProject { machine, .. }: OfProject<Member>,
    Path((_, checkpoint)): Path<(String, String)>,
    JsonBody(body): JsonBody<Label>,
) -> Result<Data<Checkpoint>, ApiError> {
    let label = body.label.as_deref().map(|text| line::label("label", text)).transpose()?.flatten();
    let known = checkpoints::find(&*app.store, &machine.id, &checkpoint).await?.checkpoint;
    let named = app.store.label_checkpoint(&machine.id, &known.id, label.as_deref()).await?;
    if !named {
        return Err(checkpoints::no_checkpoint());
    }
    if label.is_none() {
        // The rule may let it go now.
        prune::soon(&app, &machine);
    }
    Ok(Data(Checkpoint { label, ..known }))
}

/// `DELETE …/checkpoints/{ck}`.
pub(crate) async fn delete(
    State(app): State<App>,
    OfProject { machine, .. }: OfProject<Member>,
    Path((_, checkpoint)): Path<(String, String)>,
    _body: NoBody,
) -> Result<Data<Deleted<CheckpointId>>, ApiError> {
    let known = checkpoints::find(&*app.store, &machine.id, &checkpoint).await?.checkpoint;
    delete::delete(&app, &machine, known.id.clone()).await?;
    Ok(Data(Deleted::of(known.id)))
}

#[derive(Deserialize, JsonSchema)]
pub(crate) struct Compare {
    to: Option<String>,
    path: Option<String>,
}

/// What differs: of all paths, or of one file.
#[derive(Serialize, JsonSchema)]
#[serde(untagged)]
pub(crate) enum Compared {
    Paths(Differs),
    File(diff::FileDiff),
}

/// Paths that differ.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "CheckpointDiff")]
pub(crate) struct Differs {
    changes: Vec<Change>,
    truncated: bool,
    affected_sessions: Vec<Affected>,
}

/// `GET …/checkpoints/{ck}/diff`.
pub(crate) async fn compare(
    State(app): State<App>,
    OfProject { machine, .. }: OfProject<Viewer>,
    Path((_, checkpoint)): Path<(String, String)>,
    Query(query): Query<Compare>,
) -> Result<Data<Compared>, ApiError> {
    reconcile::in_order(&app, &machine).await?;
    let from = checkpoints::find(&*app.store, &machine.id, &checkpoint).await?.checkpoint;
    let to = match query.to.as_deref() {
        None | Some("now") => None,
        Some(other) => Some(checkpoints::find(&*app.store, &machine.id, other).await?.checkpoint),
    };
    let to_id = to.as_ref().map(|to| &to.id);
    if let Some(path) = query.path {
        let file = diff::file(&app, &machine, &from.id, to_id, &path).await?;
        return Ok(Data(Compared::File(file)));
    }
    let until = match &to {
        Some(to) => (to.seq, to.sessions.clone()),
        None => app.store.places(&machine.id).await?,
    };
    let (files, affected) = tokio::join!(
        timeout(DIFF_TIMEOUT, app.backend.diff(&machine.id, &from.id, to_id, CHANGES_MAX)),
        affected::between(&app, &machine, &from, until),
    );
    let files = files.map_err(|_| {
        ApiError::new(Code::MachineError, "the comparison takes too long: compare one file")
    })??;
    let differs = Differs {
        changes: files.changes,
        truncated: files.truncated,
        affected_sessions: affected?,
    };
    Ok(Data(Compared::Paths(differs)))
}

/// The rule on the wire.
#[derive(Debug, Clone, Copy, Serialize, JsonSchema)]
#[schemars(rename = "CheckpointRule")]
pub(crate) struct Rule {
    last: u32,
    hourly: u32,
    daily: u32,
    automatic: bool,
}

/// A change of it: what is left out stays.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct RuleChange {
    last: Option<u32>,
    hourly: Option<u32>,
    daily: Option<u32>,
    automatic: Option<bool>,
}

/// `PUT …/checkpoint-rule`.
pub(crate) async fn put_rule(
    State(app): State<App>,
    OfProject { machine, .. }: OfProject<Member>,
    JsonBody(change): JsonBody<RuleChange>,
) -> Result<Data<Rule>, ApiError> {
    let numbers = [change.last, change.hourly, change.daily];
    if numbers.into_iter().flatten().any(|n| n > KEEP_MAX) {
        return Err(ApiError::invalid(format!(
            "last, hourly and daily must be at most {KEEP_MAX}"
        )));
    }
    let now = app.store.checkpoint_rule(&machine.id).await?;
    let rule = Rule {
        last: change.last.unwrap_or(now.keep.last),
        hourly: change.hourly.unwrap_or(now.keep.hourly),
        daily: change.daily.unwrap_or(now.keep.daily),
        automatic: change.automatic.unwrap_or(now.automatic),
    };
    let Rule { last, hourly, daily, automatic } = rule;
    let kept = CheckpointRule { keep: KeepRule { last, hourly, daily }, automatic };
    app.store.put_checkpoint_rule(&machine.id, &kept, app.clock.now_ms()).await?;
    machine.shelf.forget_notice();
    prune::soon(&app, &machine);
    Ok(Data(rule))
}
