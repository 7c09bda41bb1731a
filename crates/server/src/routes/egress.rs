//! `/v1/projects/{id}/egress`: what a machine may reach, and the log of what it tried. Nothing here is
//! any use of the machine.

mod log;

pub(crate) use log::get as log;

use crate::{
    api_error::ApiError,
    auth::caller::Caller,
    envelope::{Data, JsonBody, Path},
    machines::egress,
    project::find,
    state::App,
};
use axum::extract::State;
use serde::Deserialize;
use serde_json::{Value, json};
use toft_model::machine::{EgressName, EgressSetting};
use toft_store::Role;

/// What to change; what is left out stays.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Wish {
    level: Option<EgressName>,
    rules: Option<Vec<String>>,
}

/// One more rule.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct NewRule {
    rule: String,
}

fn shown(app: &App, setting: &EgressSetting, is_default: bool, cut: usize) -> Data<Value> {
    Data(json!({
        "level": setting.level,
        "rules": setting.rules,
        "isDefault": is_default,
        "enforced": app.backend.can().egress,
        "cut": cut,
    }))
}

/// `GET …/egress`.
pub(crate) async fn get(
    State(app): State<App>,
    _caller: Caller,
    Path(id): Path<String>,
) -> Result<Data<Value>, ApiError> {
    let (project, _) = find(&app, &id).await?;
    let (setting, is_default) = egress::setting(&app, &project.id).await?;
    Ok(shown(&app, &setting, is_default, 0))
}

/// `PUT …/egress`: in force at once.
pub(crate) async fn put(
    State(app): State<App>,
    caller: Caller,
    Path(id): Path<String>,
    JsonBody(wish): JsonBody<Wish>,
) -> Result<Data<Value>, ApiError> {
    caller.require(Role::Member)?;
    let (_, machine) = find(&app, &id).await?;
    let change = move |setting: &mut EgressSetting| {
        setting.level = wish.level.unwrap_or(setting.level);
        if let Some(rules) = wish.rules {
            setting.rules = rules;
        }
    };
    let (setting, cut) = egress::set(&app, &machine, change).await?;
    Ok(shown(&app, &setting, false, cut))
}

/// `POST …/egress/rules`: one more, whatever others have added meanwhile.
pub(crate) async fn add_rule(
    State(app): State<App>,
    caller: Caller,
    Path(id): Path<String>,
    JsonBody(new): JsonBody<NewRule>,
) -> Result<Data<Value>, ApiError> {
    caller.require(Role::Member)?;
    let (_, machine) = find(&app, &id).await?;
    let change = move |setting: &mut EgressSetting| setting.rules.push(new.rule);
    let (setting, cut) = egress::set(&app, &machine, change).await?;
    Ok(shown(&app, &setting, false, cut))
}
