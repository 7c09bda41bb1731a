//! Which image is meant, and which one a project is made of: chosen before the project is a row, and used
//! whenever its disk is missing (`disks`).

use super::{HOST, here::is_here, settle::settled};
use crate::{
    api_error::{ApiError, Code},
    state::App,
};
use toft_store::{Image, ImageState, ProjectImage};

/// What a new project shall be made of; `None` is `host`.
pub(crate) type MadeOf = Option<ProjectImage>;

/// By key or name.
pub(crate) async fn find(app: &App, key: &str) -> Result<Image, ApiError> {
    settled(app).await;
    let found = app.store.image(key).await?;
    found.ok_or_else(|| ApiError::new(Code::NotFound, "image not found: GET /v1/images lists them"))
}

/// The image of that key or name, or the default one; it must be ready.
/// Images are of the server's own backend: on another one, machines begin with what that has.
pub(crate) async fn choose(
    app: &App,
    given: Option<&str>,
    backend: Option<&str>,
) -> Result<MadeOf, ApiError> {
    let other = backend.filter(|backend| *backend != app.backend.name());
    let image = match given {
        Some(HOST) => return Ok(None),
        Some(given) if other.is_some() => {
            let message = format!(
                "the image {given} is of the server's own backend, {}: leave out image, or workspaceBackend",
                app.backend.name()
            );
            return Err(ApiError::new(Code::Unavailable, message));
        }
        None if other.is_some() => return Ok(None),
        Some(given) => find(app, given).await?,
        None => {
            if app.backend.images().is_none() {
                return Ok(None);
            }
            settled(app).await;
            match app.store.images().await?.into_iter().find(|image| image.is_default) {
                Some(image) => image,
                None => return Ok(None),
            }
        }
    };
    let name = &image.what.name;
    is_here(app, &image)?;
    match image.state {
        ImageState::Ready => {
            Ok(Some(ProjectImage { key: image.what.key.clone(), name: name.clone() }))
        }
        ImageState::Making => Err(ApiError::new(
            Code::Unavailable,
            format!("the image {name} is still being made: try again when it is ready"),
        )),
        ImageState::Failed(reason) => Err(ApiError::new(
            Code::Unavailable,
            format!("the image {name} could not be made: {reason}"),
        )),
    }
}
