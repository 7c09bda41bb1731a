//! `/v1/settings`: the default model and whether servers of models of this machine are looked for (the
//! team's), and the theme (a person's).

use crate::{
    api_error::ApiError,
    auth::caller::Caller,
    envelope::{Data, JsonBody},
    providers::{DEFAULT_MODEL, DEFAULT_PROVIDER, DEFAULT_THINKING, LOCAL_MODELS},
    state::App,
};
use axum::extract::State;
use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, Serialize};
use std::collections::HashMap;
use toft_model::provider::DEMO_PROVIDER;
use toft_store::{Role, SYSTEM_USER};

const THEME: &str = "theme";
const THEMES: [&str; 3] = ["light", "dark", "system"];
const LEVELS: [&str; 6] = ["off", "minimal", "low", "medium", "high", "xhigh"];
/// Longest model id.
const MODEL_BYTES_MAX: usize = 200;

/// Settings of the team, and a person's.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Settings {
    default_provider: Option<String>,
    default_model: Option<String>,
    default_thinking_level: Option<String>,
    /// Whether servers of models on this machine are looked for.
    local_models: bool,
    /// `light`, `dark` or `system`; null: nothing was chosen.
    theme: Option<String>,
}

async fn shown(app: &App, caller: &Caller) -> Result<Data<Settings>, ApiError> {
    let mut team: HashMap<String, String> =
        app.store.settings(SYSTEM_USER).await?.into_iter().collect();
    let mut own: HashMap<String, String> =
        app.store.settings(caller.user_id()).await?.into_iter().collect();
    Ok(Data(Settings {
        local_models: app.providers.looks_for_local(&team),
        default_provider: team.remove(DEFAULT_PROVIDER),
        default_model: team.remove(DEFAULT_MODEL),
        default_thinking_level: team.remove(DEFAULT_THINKING),
        theme: own.remove(THEME),
    }))
}

/// `GET /v1/settings`.
pub(crate) async fn get(
    State(app): State<App>,
    caller: Caller,
) -> Result<Data<Settings>, ApiError> {
    shown(&app, &caller).await
}

/// Absent (not touched) is told from null (unset).
#[expect(clippy::option_option, reason = "absent, null and a value mean three things")]
fn given<'de, T: Deserialize<'de>, D: Deserializer<'de>>(
    d: D,
) -> Result<Option<Option<T>>, D::Error> {
    Option::<T>::deserialize(d).map(Some)
}

#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[expect(clippy::option_option, reason = "absent, null and a value mean three things")]
pub(crate) struct Changes {
    #[serde(default, deserialize_with = "given")]
    default_provider: Option<Option<String>>,
    #[serde(default, deserialize_with = "given")]
    default_model: Option<Option<String>>,
    #[serde(default, deserialize_with = "given")]
    default_thinking_level: Option<Option<String>>,
    #[serde(default, deserialize_with = "given")]
    local_models: Option<Option<bool>>,
    #[serde(default, deserialize_with = "given")]
    theme: Option<Option<String>>,
}

/// `PUT /v1/settings`.
pub(crate) async fn put(
    State(app): State<App>,
    caller: Caller,
    JsonBody(changes): JsonBody<Changes>,
) -> Result<Data<Settings>, ApiError> {
    let mut team = Vec::new();
    if let Some(value) = changes.default_provider {
        let known = |p: &String| p == DEMO_PROVIDER || app.providers.find(p).is_ok();
        check(value.as_ref(), known, "defaultProvider is unknown: GET /v1/providers lists them")?;
        team.push((DEFAULT_PROVIDER, value));
    }
    if let Some(value) = changes.default_model {
        let fits = |m: &String| {
            (1..=MODEL_BYTES_MAX).contains(&m.len()) && m.bytes().all(|b| b.is_ascii_graphic())
        };
        check(
            value.as_ref(),
            fits,
            "defaultModel must be a model's id: GET /v1/models lists them",
        )?;
        team.push((DEFAULT_MODEL, value));
    }
    if let Some(value) = changes.default_thinking_level {
        let known = |l: &String| LEVELS.contains(&l.as_str());
        let message = "defaultThinkingLevel must be off, minimal, low, medium, high or xhigh";
        check(value.as_ref(), known, message)?;
        team.push((DEFAULT_THINKING, value));
    }
    if let Some(value) = changes.local_models {
        let value = value.map(|on| if on { "on" } else { "off" }.to_owned());
        team.push((LOCAL_MODELS, value));
    }
    if let Some(value) = changes.theme {
        let known = |t: &String| THEMES.contains(&t.as_str());
        check(value.as_ref(), known, "theme must be light, dark or system")?;
        app.store.put_setting(caller.user_id(), THEME, value.as_deref()).await?;
    }
    if !team.is_empty() {
        caller.require(Role::Admin)?;
        for (key, value) in team {
            app.store.put_setting(SYSTEM_USER, key, value.as_deref()).await?;
        }
        app.gateway.push_config(&app.providers, &*app.store).await;
    }
    shown(&app, &caller).await
}

fn check(
    value: Option<&String>,
    fits: impl Fn(&String) -> bool,
    message: &str,
) -> Result<(), ApiError> {
    match value {
        Some(value) if !fits(value) => Err(ApiError::invalid(message)),
        Some(_) | None => Ok(()),
    }
}
