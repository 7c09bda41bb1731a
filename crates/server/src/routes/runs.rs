//! `/v1/projects/{id}/runs` and `messages`: have work done unattended, look at it, follow it, end it.

mod asked;
mod download;
mod named;
mod restore;

pub(crate) use asked::{Create, Message};
pub(crate) use download::download;
pub(crate) use restore::restore;

use crate::{
    api_error::{ApiError, Code},
    backends,
    comparisons::{self, CANDIDATES_MAX, CANDIDATES_MIN},
    envelope::{Data, JsonBody, NoBody, Path, Query},
    project::{Member, OfProject, Viewer},
    routes::providers::{gateway_failed, no_gateway},
    runs::{accept, follow, missing, shown},
    secrets::hand_down,
    state::App,
};
use asked::{Asked, Several, clean, key};
use axum::{
    extract::{RawQuery, State},
    http::HeaderMap,
    response::{IntoResponse as _, Response},
};
use named::{Named, find};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use toft_llm::scripted;
use toft_model::{
    provider::{DEMO_PROVIDER, ModelRef},
    run::JobId,
    time::rfc3339,
};
use toft_store::{Accepted, NewRun, Run};

/// What streams of runs tell.
pub(crate) const EVENTS: &str = "status, token, tool, file_op, ping, and done or error at its end";
/// Runs in one answer.
const LIMIT_MAX: u32 = 1000;
const LIMIT_DEFAULT: u32 = 50;
/// What the texts of the runs in one answer come to: a prompt may be as long as a request, an output as an event.
pub(crate) const PAGE_BYTES_MAX: usize = 8 << 20;

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

/// `POST /v1/projects/{id}/runs`.
pub(crate) async fn create(
    State(app): State<App>,
    of: OfProject<Member>,
    headers: HeaderMap,
    JsonBody(body): JsonBody<Create>,
) -> Result<Response, ApiError> {
    let (asked, several) = body.asked()?;
    if let Some(several) = several {
        return several_of(&app, &of, &headers, asked, several).await;
    }
    let streams = asked.options.stream;
    let (run, created) = accepted(&app, &of, &headers, asked).await?;
    if streams {
        return follow::events(&app, &of.caller, &run.project, &run.id, follow::Last::default())
            .await;
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
    let asked = body.asked()?;
    let streams = asked.options.stream;
    let (run, created) = accepted(&app, &of, &headers, asked).await?;
    if streams {
        return follow::events(&app, &of.caller, &run.project, &run.id, follow::Last::default())
            .await;
    }
    let message =
        Said { role: "user", content: run.prompt.clone(), created_at: rfc3339(run.created_at) };
    Ok(Data(AcceptedMessage { run: shown::accepted(&run, created), message }).into_response())
}

async fn several_of(
    app: &App,
    of: &OfProject<Member>,
    headers: &HeaderMap,
    asked: Asked,
    several: Several,
) -> Result<Response, ApiError> {
    let key = key(headers)?;
    let digest = asked.digest_with(&several);
    let begun = match compared(app, of, (key.clone(), digest.clone()), asked, several).await {
        Ok(asked) => comparisons::begin(app, asked).await,
        Err(error) => Err(error),
    };
    let (id, created) = match begun {
        Ok(begun) => begun,
        // One that came before is the same comparison, also when it could not be asked for any more.
        Err(error) => match app.store.comparison_of_key(&of.project.id, &key).await? {
            Some((id, known)) if known == digest => (id, false),
            Some(_) => return Err(other()),
            None => return Err(error),
        },
    };
    let now = comparisons::find(&*app.store, &of.project.id, id.as_str()).await?;
    let (comparison, _) = comparisons::row(app, &now).await?;
    Ok(Data(Begun::Comparison(MadeComparison { comparison, created })).into_response())
}

/// What is to be compared, when all of it can be.
async fn compared(
    app: &App,
    of: &OfProject<Member>,
    (key, digest): (String, String),
    asked: Asked,
    several: Several,
) -> Result<comparisons::Asked, ApiError> {
    // Its candidates are copies of the project's disk.
    of.machine.here()?;
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
    Ok(comparisons::Asked {
        project: of.project.id.clone(),
        key,
        digest,
        prompt: text,
        models,
        input,
        backend: options.workspace_backend,
        approval: options.approval,
        priority: options.priority.into(),
        secrets: several.secrets,
        by: of.caller.user_id().to_owned(),
    })
}

/// The run of a request. One that came before is the same run, also when it could not be asked for any more: its
/// model may have been taken off meanwhile.
async fn accepted(
    app: &App,
    of: &OfProject<Member>,
    headers: &HeaderMap,
    asked: Asked,
) -> Result<(Run, bool), ApiError> {
    let key = key(headers)?;
    let digest = asked.digest();
    let new = match ordered(app, of, key.clone(), digest.clone(), asked).await {
        Ok(new) => new,
        Err(error) => {
            return match app.store.run_of_key(&of.project.id, &key).await? {
                Some((run, known)) if known == digest => Ok((run, false)),
                Some(_) => Err(other()),
                None => Err(error),
            };
        }
    };
    match accept::accept(app, new).await? {
        Accepted::New(run) => Ok((run, true)),
        Accepted::Known(run) => Ok((run, false)),
        Accepted::Other => Err(other()),
        Accepted::Keeping => Err(ApiError::new(
            Code::Conflict,
            "a candidate of a comparison is just taken over, or dropped: ask again in a moment",
        )),
        Accepted::NoProject => Err(ApiError::no_project()),
    }
}

fn other() -> ApiError {
    ApiError::new(
        Code::Conflict,
        "another request came under this Idempotency-Key before: use a new key for each new request",
    )
}

/// What is to be done, by whom and where, when all of it can be.
async fn ordered(
    app: &App,
    of: &OfProject<Member>,
    key: String,
    digest: String,
    asked: Asked,
) -> Result<NewRun, ApiError> {
    let Asked { text, continues, options } = asked;
    let name = if continues { "content" } else { "prompt" };
    let input = clean(&text, name, options.input)?;
    let model = model(app, options.provider.as_deref(), options.model.as_deref()).await?;
    if let Some(backend) = &options.workspace_backend {
        backends::may_have(app, &of.project, &of.machine, backend)?;
    }
    Ok(NewRun {
        id: JobId::random(),
        project: of.project.id.clone(),
        key,
        digest,
        prompt: text,
        continues,
        input,
        provider: model.as_ref().map(|model| model.provider.clone()),
        model: model.map(|model| model.id),
        backend: options.workspace_backend,
        approval: options.approval,
        priority: options.priority.into(),
        attempts_max: app.runs.settings.attempts_max,
    })
}

/// Who is to answer, if the request says so. A model alone is looked for among those that can be asked.
async fn model(
    app: &App,
    provider: Option<&str>,
    model: Option<&str>,
) -> Result<Option<ModelRef>, ApiError> {
    for (what, name) in [("provider", provider), ("model", model)] {
        if let Some(name) = name {
            asked::name(what, name)?;
        }
    }
    let named = match (provider, model) {
        (None, None) => return Ok(None),
        (Some(provider), model) => of_provider(app, provider, model)?,
        (None, Some(model)) => alone(app, model).await?,
    };
    named.map(Some).ok_or_else(|| {
        ApiError::invalid(
            "provider and model name none that can be asked: GET /v1/models lists them",
        )
    })
}

/// Under the provider's own name, whichever of its names was said.
fn of_provider(
    app: &App,
    provider: &str,
    model: Option<&str>,
) -> Result<Option<ModelRef>, ApiError> {
    let model = model.map(str::to_owned);
    if provider == DEMO_PROVIDER {
        let id = model.unwrap_or_else(|| scripted::DEFAULT_MODEL.to_owned());
        return Ok(Some(ModelRef { provider: provider.to_owned(), id }));
    }
    let known = app
        .providers
        .find(provider)
        .map_err(|error| ApiError::invalid(format!("provider {provider:?}: {}", error.message)))?;
    let id = model.or_else(|| app.providers.model_of(&known));
    Ok(id.map(|id| ModelRef { provider: known.id().to_owned(), id }))
}

async fn alone(app: &App, model: &str) -> Result<Option<ModelRef>, ApiError> {
    let gateway = app.gateway.get().await.ok_or_else(no_gateway)?;
    let list = gateway.models().await.map_err(|error| gateway_failed(&error))?;
    let of: Vec<_> = list.models.iter().filter(|known| known.id == model).collect();
    // Where several have it, that of the provider which the environment names for all work.
    let forced =
        || of.iter().find(|known| app.providers.forced().as_ref() == Some(&known.provider));
    let one = if let [one] = of[..] { Some(one) } else { forced().copied() };
    if let Some(one) = one {
        return Ok(Some(ModelRef { provider: one.provider.clone(), id: one.id.clone() }));
    }
    let Some(named) = ModelRef::named(model) else { return Ok(None) };
    Ok(of_provider(app, &named.provider, Some(&named.id)).unwrap_or_default())
}

#[derive(Deserialize, JsonSchema)]
pub(crate) struct Page {
    limit: Option<u32>,
    offset: Option<u32>,
}

/// `GET /v1/projects/{id}/runs`: latest first, fewer than `limit` where they are long, but one at least.
pub(crate) async fn list(
    State(app): State<App>,
    of: OfProject<Viewer>,
    Query(page): Query<Page>,
) -> Result<Data<Vec<shown::Summary>>, ApiError> {
    let limit = page.limit.unwrap_or(LIMIT_DEFAULT);
    if !(1..=LIMIT_MAX).contains(&limit) {
        return Err(ApiError::invalid(format!("limit is a number from 1 to {LIMIT_MAX}")));
    }
    let runs =
        app.store.runs(&of.project.id, limit, page.offset.unwrap_or(0), PAGE_BYTES_MAX).await?;
    Ok(Data(runs.iter().map(shown::summary).collect()))
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
    let id = named.id()?;
    let last = follow::after(query.as_deref(), &headers)?;
    follow::events(&app, &of.caller, &of.project.id, &id, last).await
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
    let cancelled = cancelled.ok_or_else(missing)?;
    if cancelled.is_cancelled {
        app.runs.cancel(&*app.store, &run.id).await;
    }
    Ok(Data(shown::cancelled(&cancelled)))
}
