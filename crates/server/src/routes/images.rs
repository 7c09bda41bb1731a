//! `/v1/images`: list, add, read, rename, make the default, delete.

use crate::{
    api_error::ApiError,
    auth::caller::Caller,
    envelope::{Data, JsonBody, NoBody, Path},
    images::{
        self, HOST, made_of,
        make::{self, Order, What},
        settle,
    },
    state::App,
};
use axum::extract::State;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::path::PathBuf;
use toft_machine::images::{RegistrySource, Source};
use toft_store::Role;

/// Longest set-up script: they call programs, they do not carry them.
const SETUP_BYTES_MAX: usize = 256 << 10;

/// All images.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "Images")]
pub(crate) struct All {
    images: Vec<images::Shown>,
}

/// An image that was asked for.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "AddedImage")]
pub(crate) struct Added {
    #[serde(flatten)]
    image: images::Shown,
    /// Whether it was not there before.
    created: bool,
}

/// An image that was deleted.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "DeletedImage")]
pub(crate) struct Gone {
    key: String,
    deleted: bool,
}

/// `GET /v1/images`.
pub(crate) async fn list(State(app): State<App>, _caller: Caller) -> Result<Data<All>, ApiError> {
    settle::settled(&app).await;
    let all = app.store.images().await?;
    let host = images::host(all.iter().all(|image| !image.is_default));
    let rest = all.iter().map(|image| app.images.shown(image));
    let images = [host].into_iter().chain(rest).collect();
    Ok(Data(All { images }))
}

/// `GET /v1/images/{key}`.
pub(crate) async fn get(
    State(app): State<App>,
    _caller: Caller,
    Path(key): Path<String>,
) -> Result<Data<images::Shown>, ApiError> {
    if key == HOST {
        let all = app.store.images().await?;
        return Ok(Data(images::host(all.iter().all(|image| !image.is_default))));
    }
    let image = made_of::find(&app, &key).await?;
    Ok(Data(app.images.shown(&image)))
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub(crate) struct Add {
    source: Option<String>,
    folders: Option<Vec<PathBuf>>,
    from_checkpoint: Option<FromCheckpoint>,
    from_image: Option<String>,
    name: Option<String>,
    setup: Option<String>,
    #[serde(default)]
    plain_http: bool,
    user: Option<String>,
    password: Option<String>,
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct FromCheckpoint {
    project_id: String,
    checkpoint_id: String,
}

impl Add {
    fn what(&self) -> Result<What, ApiError> {
        let one = "give exactly one of source, folders, fromCheckpoint and fromImage";
        let login = match (&self.user, &self.password) {
            (Some(user), Some(password)) => Some((user.clone(), password.clone())),
            (None, None) => None,
            _ => return Err(ApiError::invalid("user and password go together")),
        };
        let found = [
            self.source.as_deref().map(|source| {
                What::Source(if source.starts_with('/') {
                    Source::Path(source.into())
                } else {
                    Source::Registry(RegistrySource {
                        reference: source.to_owned(),
                        plain_http: self.plain_http,
                        login,
                    })
                })
            }),
            self.folders.clone().map(|folders| What::Source(Source::Folders(folders))),
            self.from_checkpoint.as_ref().map(|from| What::Checkpoint {
                project: from.project_id.clone(),
                checkpoint: from.checkpoint_id.clone(),
            }),
            self.from_image.clone().map(What::Image),
        ];
        let mut found = found.into_iter().flatten();
        match (found.next(), found.next()) {
            (Some(what), None) => Ok(what),
            _ => Err(ApiError::invalid(one)),
        }
    }
}

/// `POST /v1/images`: begins to make one, or finds it.
pub(crate) async fn create(
    State(app): State<App>,
    caller: Caller,
    JsonBody(body): JsonBody<Add>,
) -> Result<Data<Added>, ApiError> {
    let what = body.what()?;
    // A path is read, and a registry asked, by the server itself.
    caller.require(match what {
        What::Source(_) => Role::Admin,
        What::Checkpoint { .. } | What::Image(_) => Role::Member,
    })?;
    if body.setup.as_ref().is_some_and(|s| s.len() > SETUP_BYTES_MAX || s.trim().is_empty()) {
        return Err(ApiError::invalid(format!(
            "setup must be a script of at most {} KiB",
            SETUP_BYTES_MAX >> 10
        )));
    }
    let order = Order { what, name: body.name, setup: body.setup };
    let (image, created) = make::add(&app, order).await?;
    Ok(Data(Added { image: app.images.shown(&image), created }))
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Change {
    name: Option<String>,
    default: Option<bool>,
}

/// `PATCH /v1/images/{key}`.
pub(crate) async fn patch(
    State(app): State<App>,
    caller: Caller,
    Path(key): Path<String>,
    JsonBody(body): JsonBody<Change>,
) -> Result<Data<images::Shown>, ApiError> {
    caller.require(Role::Admin)?;
    if key == HOST {
        if body.name.is_some() || body.default == Some(false) {
            return Err(ApiError::invalid(
                "of `host` only {\"default\": true} can be changed: then new projects are made of it",
            ));
        }
        if body.default == Some(true) {
            app.store.set_default_image(None).await?;
        }
        let all = app.store.images().await?;
        return Ok(Data(images::host(all.iter().all(|image| !image.is_default))));
    }
    let image = made_of::find(&app, &key).await?;
    let key = image.what.key.clone();
    if let Some(name) = body.name {
        app.store.rename_image(&key, &images::check_name(&name)?).await?;
    }
    match body.default {
        Some(true) => {
            made_of::choose(&app, Some(&key), None).await?;
            app.store.set_default_image(Some(&key)).await?;
        }
        Some(false) if image.is_default => app.store.set_default_image(None).await?,
        Some(false) | None => {}
    }
    let image = made_of::find(&app, &key).await?;
    Ok(Data(app.images.shown(&image)))
}

/// `DELETE /v1/images/{key}`: also one that is being made. Projects made of it stay.
pub(crate) async fn delete(
    State(app): State<App>,
    caller: Caller,
    Path(key): Path<String>,
    _: NoBody,
) -> Result<Data<Gone>, ApiError> {
    caller.require(Role::Admin)?;
    if key == HOST {
        return Err(ApiError::invalid("`host` is this host's own programs: it cannot be deleted"));
    }
    let image = made_of::find(&app, &key).await?;
    images::delete::delete(&app, &image).await?;
    Ok(Data(Gone { key: image.what.key, deleted: true }))
}
