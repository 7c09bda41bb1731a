//! `/v1/projects/{id}/runs` and `messages`: have work done unattended, look at it, follow it, end it.

mod restore;

pub(crate) use restore::restore;

use crate::{
    api_error::{ApiError, Code},
    backends,
    comparisons::{self, CANDIDATES_MAX, CANDIDATES_MIN},
    envelope::{Data, JsonBody, NoBody, Path, Query},
    project::{Member, OfProject, Viewer},
    routes::providers::{gateway_failed, no_gateway},
    runs::{ArtifactError, WORKSPACE, accept, follow, shown},
    secrets::hand_down::{self, All, Grant},
    state::App,
};
use axum::{
    body::Body,
    extract::{RawQuery, State},
    http::{HeaderMap, HeaderValue, header},
    response::{IntoResponse as _, Response},
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use toft_llm::scripted;
use toft_model::{
    hash::fnv1a,
    provider::{DEMO_PROVIDER, ModelRef},
    run::{JobId, RunStatus},
    time::rfc3339,
};
use toft_store::{Accepted, NewRun, Run};

/// What streams of runs tell.
pub(crate) const EVENTS: &str = "status, token, tool, file_op, ping, and done or error at its end";
/// Runs in one answer.
const LIMIT_MAX: u32 = 1000;
const LIMIT_DEFAULT: u32 = 50;
/// Characters of an `Idempotency-Key`.
const KEY_CHARS_MAX: usize = 200;

/// What both routes take beside their text.
#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
struct Options {
    input: Option<Value>,
    #[serde(default)]
    stream: bool,
    provider: Option<String>,
    model: Option<String>,
    workspace_backend: Option<String>,
    #[serde(default)]
    approval: bool,
    #[serde(default)]
    priority: i32,
}

#[derive(Deserialize, JsonSchema)]
pub(crate) struct Create {
    prompt: Option<String>,
    /// So many runs of it, each in a fork of its own, to be compared.
    n: Option<usize>,
    /// The same, one for each of these models.
    models: Option<Vec<Choice>>,
    /// Which of the project's secrets those forks have.
    #[serde(default = "all")]
    secrets: Grant,
    #[serde(flatten)]
    options: Options,
}

/// Who is to answer in one of several runs.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Choice {
    provider: Option<String>,
    model: Option<String>,
}

/// A candidate works as the project would: with its secrets, unless the request names others.
fn all() -> Grant {
    Grant::All(All::All)
}

#[derive(Deserialize, JsonSchema)]
pub(crate) struct Message {
    content: Option<String>,
    #[serde(flatten)]
    options: Options,
}

/// What was said to a run.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "RunSaid")]
struct Said {
    role: &'static str,
    content: String,
    /// RFC 3339.
    created_at: String,
}

/// A message, and the run that it makes.
#[derive(Serialize, JsonSchema)]
pub(crate) struct AcceptedMessage {
    run: shown::Accepted,
    message: Said,
}

/// Work that was asked for: one run, or several that are compared.
#[derive(Serialize, JsonSchema)]
#[serde(untagged)]
#[schemars(rename = "AcceptedWork")]
pub(crate) enum Begun {
    Run(shown::Accepted),
    Comparison(MadeComparison),
}

/// A comparison that was asked for.
#[derive(Serialize, JsonSchema)]
pub(crate) struct MadeComparison {
    #[serde(flatten)]
    comparison: comparisons::Shown,
    /// Whether this request made it; false: it was known by its key.
    created: bool,
}

/// Where to begin in a run's events.
#[derive(JsonSchema)]
#[expect(dead_code, reason = "only its schema is used: the header wins over it")]
pub(crate) struct Follow {
    /// The number of the last event that is known; 0 is the beginning.
    after: Option<u64>,
}

/// What a request is, before it is a run.
struct Asked {
    text: String,
    continues: bool,
    options: Options,
}

/// `POST /v1/projects/{id}/runs`.
pub(crate) async fn create(
    State(app): State<App>,
    of: OfProject<Member>,
    headers: HeaderMap,
    JsonBody(body): JsonBody<Create>,
) -> Result<Response, ApiError> {
    let text = body
        .prompt
        .ok_or_else(|| ApiError::invalid("prompt is missing: say what is to be done"))?;
    let asked = Asked { text, continues: false, options: body.options };
    if body.n.is_some() || body.models.is_some() {
        let several = Several { n: body.n, models: body.models, secrets: body.secrets };
        return several_of(&app, &of, &headers, asked, several).await;
    }
    let streams = asked.options.stream;
    let (run, created) = accepted(&app, &of, &headers, asked).await?;
    if streams {
        return follow::events(&app, &of.caller, &run, 0).await;
    }
    Ok(Data(Begun::Run(shown::accepted(&run, created))).into_response())
}

/// `POST /v1/projects/{id}/messages`.
pub(crate) async fn message(
    State(app): State<App>,
    of: OfProject<Member>,
    headers: HeaderMap,
    JsonBody(body): JsonBody<Message>,
) -> Result<Response, ApiError> {
    let text = body
        .content
        .ok_or_else(|| ApiError::invalid("content is missing: say what is to be done"))?;
    let asked = Asked { text, continues: true, options: body.options };
    let streams = asked.options.stream;
    let (run, created) = accepted(&app, &of, &headers, asked).await?;
    if streams {
        return follow::events(&app, &of.caller, &run, 0).await;
    }
    let message =
        Said { role: "user", content: run.prompt.clone(), created_at: rfc3339(run.created_at) };
    Ok(Data(AcceptedMessage { run: shown::accepted(&run, created), message }).into_response())
}

/// Several runs of one prompt, each in a fork of its own.
struct Several {
    n: Option<usize>,
    models: Option<Vec<Choice>>,
    secrets: Grant,
}

async fn several_of(
    app: &App,
    of: &OfProject<Member>,
    headers: &HeaderMap,
    asked: Asked,
    several: Several,
) -> Result<Response, ApiError> {
    let key = key(headers)?;
    let Asked { text, options, .. } = asked;
    let input = clean(&text, "prompt", options.input)?;
    if options.stream {
        return Err(ApiError::invalid(
            "stream is of one run: ask for the comparison, and follow its candidates' runs",
        ));
    }
    if let Some(backend) = &options.workspace_backend
        && backend != backends::of(app, &of.project)
    {
        backends::may_have(app, &of.project, &of.machine, backend)?;
        return Err(ApiError::new(
            Code::Unavailable,
            format!(
                "workspaceBackend: candidates are forks of the project, which is on {}: leave it out, or move the project \
                 first by one run with workspaceBackend {backend}",
                backends::of(app, &of.project)
            ),
        ));
    }
    let said = json!([
        text,
        input,
        options.provider,
        options.model,
        options.workspace_backend,
        options.approval,
        options.priority,
        several.n,
        several.models.as_ref().map(|all| {
            all.iter().map(|one| [one.provider.as_ref(), one.model.as_ref()]).collect::<Vec<_>>()
        }),
        several.secrets,
    ]);
    let models = match (several.n, several.models) {
        (None, Some(choices)) => {
            if options.provider.is_some() || options.model.is_some() {
                return Err(ApiError::invalid(
                    "give models, or provider and model with n, not both",
                ));
            }
            if choices.len() > CANDIDATES_MAX {
                return Err(ApiError::invalid(format!("models names at most {CANDIDATES_MAX}")));
            }
            let mut models = Vec::with_capacity(choices.len());
            for one in &choices {
                models.push(model(app, one.provider.as_deref(), one.model.as_deref()).await?);
            }
            models
        }
        (Some(n), None) => {
            if !(CANDIDATES_MIN..=CANDIDATES_MAX).contains(&n) {
                return Err(ApiError::invalid(format!(
                    "n is a number from {CANDIDATES_MIN} to {CANDIDATES_MAX}"
                )));
            }
            let one = model(app, options.provider.as_deref(), options.model.as_deref()).await?;
            vec![one; n]
        }
        _ => return Err(ApiError::invalid("give n or models, not both")),
    };
    hand_down::check(app, &of.project.id, &several.secrets).await?;
    let (id, created) = comparisons::begin(
        app,
        comparisons::Asked {
            project: of.project.id.clone(),
            key,
            digest: format!("{:016x}", fnv1a(said.to_string().as_bytes())),
            prompt: text,
            models,
            input,
            backend: options.workspace_backend,
            approval: options.approval,
            priority: options.priority.into(),
            secrets: several.secrets,
            by: of.caller.user_id().to_owned(),
        },
    )
    .await?;
    let now = comparisons::find(&*app.store, &of.project.id, id.as_str()).await?;
    let comparison = comparisons::row(app, &now).await?;
    Ok(Data(Begun::Comparison(MadeComparison { comparison, created })).into_response())
}

/// What came with a prompt, when both can be kept.
fn clean(text: &str, name: &str, input: Option<Value>) -> Result<Option<String>, ApiError> {
    if text.trim().is_empty() {
        return Err(ApiError::invalid(format!("{name} is empty: say what is to be done")));
    }
    let input = input.filter(|input| !input.is_null()).map(|input| input.to_string());
    if text.contains('\0') || input.as_deref().is_some_and(|input| input.contains("\\u0000")) {
        return Err(ApiError::invalid("a text holds a NUL character: leave it out"));
    }
    Ok(input)
}

async fn accepted(
    app: &App,
    of: &OfProject<Member>,
    headers: &HeaderMap,
    asked: Asked,
) -> Result<(Run, bool), ApiError> {
    let key = key(headers)?;
    let Asked { text, continues, options } = asked;
    let name = if continues { "content" } else { "prompt" };
    let input = clean(&text, name, options.input)?;
    let model = model(app, options.provider.as_deref(), options.model.as_deref()).await?;
    if let Some(backend) = &options.workspace_backend {
        backends::may_have(app, &of.project, &of.machine, backend)?;
    }
    // What makes it the same request: all that is asked for, and not how the answer is to come.
    let said = json!([
        continues,
        text,
        input,
        options.provider,
        options.model,
        options.workspace_backend,
        options.approval,
        options.priority,
    ]);
    let new = NewRun {
        id: JobId::random(),
        project: of.project.id.clone(),
        key,
        digest: format!("{:016x}", fnv1a(said.to_string().as_bytes())),
        prompt: text,
        continues,
        input,
        provider: model.as_ref().map(|model| model.provider.clone()),
        model: model.map(|model| model.id),
        backend: options.workspace_backend,
        approval: options.approval,
        priority: options.priority.into(),
        attempts_max: app.runs.settings.attempts_max,
    };
    match accept::accept(app, new).await? {
        Accepted::New(run) => Ok((run, true)),
        Accepted::Known(run) => Ok((run, false)),
        Accepted::Other => Err(ApiError::new(
            Code::Conflict,
            "another request came under this Idempotency-Key before: use a new key for each new request",
        )),
        Accepted::Keeping => Err(ApiError::new(
            Code::Conflict,
            "a candidate of a comparison is just taken over, or dropped: ask again in a moment",
        )),
        Accepted::NoProject => Err(ApiError::no_project()),
    }
}

fn key(headers: &HeaderMap) -> Result<String, ApiError> {
    let Some(key) = headers.get("idempotency-key") else {
        return Err(ApiError::invalid(
            "the header Idempotency-Key is missing: send one that is new for each new request, and the same when you repeat one",
        ));
    };
    let text = key.to_str().unwrap_or_default().trim();
    if text.is_empty() || text.chars().count() > KEY_CHARS_MAX {
        return Err(ApiError::invalid(format!(
            "the header Idempotency-Key has 1 to {KEY_CHARS_MAX} visible characters"
        )));
    }
    Ok(text.to_owned())
}

/// The source's other names of providers.
fn provider_id(name: &str) -> &str {
    match name {
        "gemini" => "google",
        "moonshot" => "kimi",
        "alibaba" | "dashscope" => "qwen",
        name => name,
    }
}

/// Who is to answer, if the request says so. A model alone is looked for among those that can be asked.
async fn model(
    app: &App,
    provider: Option<&str>,
    model: Option<&str>,
) -> Result<Option<ModelRef>, ApiError> {
    let named = match (provider.map(provider_id), model) {
        (None, None) => return Ok(None),
        (Some(provider), model) => {
            let id = match model {
                Some(model) => Some(model.to_owned()),
                None => default_model(app, provider)?,
            };
            if provider != DEMO_PROVIDER {
                app.providers.find(provider).map_err(|error| unknown(provider, &error))?;
            }
            id.map(|id| ModelRef { provider: provider.to_owned(), id })
        }
        (None, Some(model)) => alone(app, model).await?,
    };
    named.map(Some).ok_or_else(|| {
        ApiError::invalid(
            "provider and model name none that can be asked: GET /v1/models lists them",
        )
    })
}

fn unknown(provider: &str, error: &ApiError) -> ApiError {
    ApiError::invalid(format!("provider {provider:?}: {}", error.message))
}

fn default_model(app: &App, provider: &str) -> Result<Option<String>, ApiError> {
    if provider == DEMO_PROVIDER {
        return Ok(Some(scripted::DEFAULT_MODEL.to_owned()));
    }
    let known = app.providers.find(provider).map_err(|error| unknown(provider, &error))?;
    let listed = known.spec().map(|spec| spec.default_model_in(None)).filter(|id| !id.is_empty());
    let first = || app.providers.known_models(provider).into_iter().next().map(|model| model.id);
    Ok(listed.map(str::to_owned).or_else(first))
}

async fn alone(app: &App, model: &str) -> Result<Option<ModelRef>, ApiError> {
    let gateway = app.gateway.get().await.ok_or_else(no_gateway)?;
    let list = gateway.models().await.map_err(|error| gateway_failed(&error))?;
    let mut of = list.models.iter().filter(|known| known.id == model);
    if let (Some(one), None) = (of.next(), of.next()) {
        return Ok(Some(ModelRef { provider: one.provider.clone(), id: one.id.clone() }));
    }
    let named = ModelRef::named(model);
    Ok(named.filter(|named| {
        named.provider == DEMO_PROVIDER || app.providers.find(&named.provider).is_ok()
    }))
}

#[derive(Deserialize, JsonSchema)]
pub(crate) struct Page {
    limit: Option<u32>,
    offset: Option<u32>,
}

/// `GET /v1/projects/{id}/runs`: latest first.
pub(crate) async fn list(
    State(app): State<App>,
    of: OfProject<Viewer>,
    Query(page): Query<Page>,
) -> Result<Data<Vec<shown::Summary>>, ApiError> {
    let limit = page.limit.unwrap_or(LIMIT_DEFAULT);
    if !(1..=LIMIT_MAX).contains(&limit) {
        return Err(ApiError::invalid(format!("limit is a number from 1 to {LIMIT_MAX}")));
    }
    let runs = app.store.runs(&of.project.id, limit, page.offset.unwrap_or(0)).await?;
    Ok(Data(runs.iter().map(shown::summary).collect()))
}

#[derive(Deserialize, JsonSchema)]
pub(crate) struct Named {
    run: String,
}

async fn find(app: &App, project: &toft_store::Project, named: &Named) -> Result<Run, ApiError> {
    let missing = || ApiError::new(Code::NotFound, "run not found");
    let id: JobId = named.run.parse().map_err(|_| missing())?;
    app.store.run(&project.id, &id).await?.ok_or_else(missing)
}

/// `GET /v1/projects/{id}/runs/{run}`.
pub(crate) async fn get(
    State(app): State<App>,
    of: OfProject<Viewer>,
    Path(named): Path<Named>,
) -> Result<Data<shown::Summary>, ApiError> {
    Ok(Data(shown::summary(&find(&app, &of.project, &named).await?)))
}

/// `GET /v1/projects/{id}/runs/{run}/messages`.
pub(crate) async fn messages(
    State(app): State<App>,
    of: OfProject<Viewer>,
    Path(named): Path<Named>,
) -> Result<Data<Vec<shown::Message>>, ApiError> {
    let run = find(&app, &of.project, &named).await?;
    let messages = app.store.run_messages(&run.id).await?;
    Ok(Data(messages.iter().map(|message| shown::message(&run, message)).collect()))
}

/// `GET /v1/projects/{id}/runs/{run}/stream`.
pub(crate) async fn stream(
    State(app): State<App>,
    of: OfProject<Viewer>,
    Path(named): Path<Named>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    let run = find(&app, &of.project, &named).await?;
    let after = follow::after(query.as_deref(), &headers)?;
    follow::events(&app, &of.caller, &run, after).await
}

/// `GET /v1/projects/{id}/runs/{run}/download.zip`: what the project's folder held at the run's end.
pub(crate) async fn download(
    State(app): State<App>,
    of: OfProject<Viewer>,
    Path(named): Path<Named>,
) -> Result<Response, ApiError> {
    let run = find(&app, &of.project, &named).await?;
    let none = |why: &str| ApiError::new(Code::Unavailable, why);
    let kept = app.store.artifact(&run.id, WORKSPACE).await?;
    let Some(kept) = kept else {
        return Err(none(match run.state.status {
            RunStatus::Queued | RunStatus::Running => {
                "the run is not over: its workspace is kept at its end"
            }
            RunStatus::Completed => {
                "the workspace of this run could not be kept: its events say why"
            }
            RunStatus::Error | RunStatus::Cancelled => {
                "the run did not complete: only of those that do the workspace is kept"
            }
        }));
    };
    if kept.size > app.runs.settings.archive_bytes_max {
        return Err(ApiError::new(
            Code::PayloadTooLarge,
            "the workspace is larger than may be downloaded",
        ));
    }
    let found = app.runs.artifacts.get(&kept.path).await.map_err(|error| match error {
        // A folder is its own server's.
        ArtifactError::Gone => of
            .machine
            .here()
            .err()
            .unwrap_or_else(|| none("the workspace of this run is not kept any more")),
        error => ApiError::internal("reading an artifact", &error),
    })?;
    let mut answer = Response::new(Body::from_stream(found.bytes));
    let headers = answer.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/zip"));
    headers.insert(header::CONTENT_LENGTH, HeaderValue::from(found.size));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    let name = format!("attachment; filename=\"run-{}-workspace.zip\"", run.id);
    if let Ok(name) = HeaderValue::from_str(&name) {
        headers.insert(header::CONTENT_DISPOSITION, name);
    }
    Ok(answer)
}

/// `POST /v1/projects/{id}/runs/{run}/cancel`.
pub(crate) async fn cancel(
    State(app): State<App>,
    of: OfProject<Member>,
    Path(named): Path<Named>,
    _: NoBody,
) -> Result<Data<shown::Cancelled>, ApiError> {
    let run = find(&app, &of.project, &named).await?;
    let now = app.clock.now_ms();
    let cancelled = app.store.cancel_run(&of.project.id, &run.id, now).await?;
    let cancelled = cancelled.ok_or_else(|| ApiError::new(Code::NotFound, "run not found"))?;
    if cancelled.is_cancelled {
        app.runs.cancel(&*app.store, &run.id).await;
    }
    Ok(Data(shown::cancelled(&cancelled)))
}
