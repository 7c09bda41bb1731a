//! `/v1/webhooks` and `/v1/projects/{id}/webhooks`: addresses that are told of runs that are over.

use crate::{
    api_error::{ApiError, Code},
    auth::caller::Caller,
    envelope::{Data, JsonBody, Path},
    keyring::webhook_place,
    project::{Admin, OfProject},
    routes::given::Done,
    runs::webhooks::SECRET_PREFIX,
    state::App,
};
use axum::extract::State;
use base64::{Engine as _, engine::general_purpose::STANDARD as BASE64};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use toft_model::{
    id::ProjectId,
    run::{JobId, WebhookId},
    time::rfc3339,
};
use toft_store::{Delivery, Role, Webhook};
use zeroize::Zeroizing;

/// Bytes of what is signed with.
const SECRET_BYTES: usize = 24;
/// Bytes of an address.
const URL_BYTES_MAX: usize = 2_000;
/// Webhooks of a project, or of all together.
const WEBHOOKS_MAX: u32 = 20;
/// Deliveries that are shown.
const SHOWN_MAX: u32 = 100;

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Create {
    url: String,
}

#[derive(Deserialize, JsonSchema)]
pub(crate) struct Named {
    webhook: String,
}

/// An address that is told of runs that are over.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "Webhook")]
pub(crate) struct Shown {
    id: WebhookId,
    /// Null: of all projects.
    project_id: Option<ProjectId>,
    url: String,
    /// RFC 3339.
    created_at: String,
}

/// A webhook that was just made.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "NewWebhook")]
pub(crate) struct Made {
    #[serde(flatten)]
    webhook: Shown,
    /// What is signed with: told this once.
    secret: String,
}

/// A webhook, with what was sent there.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "WebhookDeliveries")]
pub(crate) struct Told {
    #[serde(flatten)]
    webhook: Shown,
    /// Newest first.
    deliveries: Vec<ShownDelivery>,
}

/// Something that was sent, or is to be. Times are RFC 3339.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "Delivery")]
struct ShownDelivery {
    /// The same however often it is sent.
    id: WebhookId,
    run_id: JobId,
    project_id: ProjectId,
    attempts: u32,
    delivered: bool,
    /// What the last attempt came to.
    said: Option<String>,
    /// Null when it is over.
    next_at: Option<String>,
    done_at: Option<String>,
    created_at: String,
}

fn shown(webhook: &Webhook) -> Shown {
    Shown {
        id: webhook.id.clone(),
        project_id: webhook.project.clone(),
        url: webhook.url.clone(),
        created_at: rfc3339(webhook.created_at),
    }
}

fn delivery(one: &Delivery) -> ShownDelivery {
    ShownDelivery {
        id: one.id.clone(),
        run_id: one.run.clone(),
        project_id: one.project.clone(),
        attempts: one.attempts,
        delivered: one.is_delivered,
        said: one.said.clone(),
        next_at: one.done_at.is_none().then(|| rfc3339(one.next_at)),
        done_at: one.done_at.map(rfc3339),
        created_at: rfc3339(one.created_at),
    }
}

fn url(text: &str) -> Result<String, ApiError> {
    let wants = || {
        ApiError::invalid(format!(
            "url is an address of at most {URL_BYTES_MAX} bytes that begins with https:// or http://, without a user and a password"
        ))
    };
    let parsed: reqwest::Url = text.trim().parse().map_err(|_| wants())?;
    let is_one = matches!(parsed.scheme(), "http" | "https") && parsed.has_host();
    let is_bare = parsed.username().is_empty() && parsed.password().is_none();
    if is_one && is_bare && text.len() <= URL_BYTES_MAX { Ok(parsed.into()) } else { Err(wants()) }
}

async fn add(app: &App, project: Option<ProjectId>, body: Create) -> Result<Data<Made>, ApiError> {
    let url = url(&body.url)?;
    let mut bytes = Zeroizing::new([0_u8; SECRET_BYTES]);
    getrandom::fill(&mut *bytes)
        .map_err(|error| ApiError::internal("this host gives no random bytes", &error))?;
    let secret = Zeroizing::new(format!("{SECRET_PREFIX}{}", BASE64.encode(*bytes)));
    let id = WebhookId::random();
    let webhook = {
        // Held until it is written: the master key stays the same meanwhile.
        let vault = app.keyring.vault().await;
        let sealed =
            vault.seal(&webhook_place(id.as_str()), secret.as_bytes()).map_err(|error| {
                ApiError::internal("the webhook's secret could not be sealed", &error)
            })?;
        let webhook = Webhook { id, project, url, sealed, created_at: app.clock.now_ms() };
        if !app.store.add_webhook(&webhook, WEBHOOKS_MAX).await? {
            let message = format!("there are {WEBHOOKS_MAX} webhooks already: delete one first");
            return Err(ApiError::new(Code::Conflict, message));
        }
        webhook
    };
    // Told once; from then on nobody reads it.
    Ok(Data(Made { webhook: shown(&webhook), secret: secret.to_string() }))
}

async fn find(app: &App, project: Option<&ProjectId>, named: &Named) -> Result<Webhook, ApiError> {
    let missing = || ApiError::new(Code::NotFound, "there is no such webhook: GET lists them");
    let id: WebhookId = named.webhook.parse().map_err(|_| missing())?;
    let all = app.store.webhooks(project).await?;
    all.into_iter().find(|webhook| webhook.id == id).ok_or_else(missing)
}

async fn look(
    app: &App,
    project: Option<&ProjectId>,
    named: &Named,
) -> Result<Data<Told>, ApiError> {
    let webhook = find(app, project, named).await?;
    let sent = app.store.deliveries(&webhook.id, SHOWN_MAX).await?;
    let deliveries = sent.iter().map(delivery).collect();
    Ok(Data(Told { webhook: shown(&webhook), deliveries }))
}

async fn remove(
    app: &App,
    project: Option<&ProjectId>,
    named: &Named,
) -> Result<Data<Done>, ApiError> {
    let webhook = find(app, project, named).await?;
    app.store.delete_webhook(project, &webhook.id).await?;
    Ok(Data(Done {}))
}

/// `GET /v1/webhooks`: those of all projects.
pub(crate) async fn list_all(
    State(app): State<App>,
    caller: Caller,
) -> Result<Data<Vec<Shown>>, ApiError> {
    caller.require(Role::Admin)?;
    Ok(Data(app.store.webhooks(None).await?.iter().map(shown).collect()))
}

/// `POST /v1/webhooks`.
pub(crate) async fn create_for_all(
    State(app): State<App>,
    caller: Caller,
    JsonBody(body): JsonBody<Create>,
) -> Result<Data<Made>, ApiError> {
    caller.require(Role::Admin)?;
    add(&app, None, body).await
}

/// `GET /v1/webhooks/{webhook}`: with what was sent there.
pub(crate) async fn get_of_all(
    State(app): State<App>,
    caller: Caller,
    Path(named): Path<Named>,
) -> Result<Data<Told>, ApiError> {
    caller.require(Role::Admin)?;
    look(&app, None, &named).await
}

/// `DELETE /v1/webhooks/{webhook}`.
pub(crate) async fn delete_of_all(
    State(app): State<App>,
    caller: Caller,
    Path(named): Path<Named>,
) -> Result<Data<Done>, ApiError> {
    caller.require(Role::Admin)?;
    remove(&app, None, &named).await
}

/// `GET /v1/projects/{id}/webhooks`.
pub(crate) async fn list(
    State(app): State<App>,
    of: OfProject<Admin>,
) -> Result<Data<Vec<Shown>>, ApiError> {
    Ok(Data(app.store.webhooks(Some(&of.project.id)).await?.iter().map(shown).collect()))
}

/// `POST /v1/projects/{id}/webhooks`.
pub(crate) async fn create(
    State(app): State<App>,
    of: OfProject<Admin>,
    JsonBody(body): JsonBody<Create>,
) -> Result<Data<Made>, ApiError> {
    add(&app, Some(of.project.id), body).await
}

/// `GET /v1/projects/{id}/webhooks/{webhook}`: with what was sent there.
pub(crate) async fn get(
    State(app): State<App>,
    of: OfProject<Admin>,
    Path(named): Path<Named>,
) -> Result<Data<Told>, ApiError> {
    look(&app, Some(&of.project.id), &named).await
}

/// `DELETE /v1/projects/{id}/webhooks/{webhook}`.
pub(crate) async fn delete(
    State(app): State<App>,
    of: OfProject<Admin>,
    Path(named): Path<Named>,
) -> Result<Data<Done>, ApiError> {
    remove(&app, Some(&of.project.id), &named).await
}
