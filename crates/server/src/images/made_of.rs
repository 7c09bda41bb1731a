//! Which image a project is made of: chosen before the project is a row, and used whenever its disk
//! is missing. A disk that is there says itself what it is.

use super::{HOST, find, of_backend, settled};
use crate::{
    api_error::{ApiError, Code},
    state::App,
};
use toft_machine::{
    backend::MachineError,
    images::{ImageError, ImageKey},
};
use toft_model::id::ProjectId;
use toft_store::{ImageState, ProjectImage};

/// What a new project shall be made of; `None` is `host`.
pub(crate) type MadeOf = Option<ProjectImage>;

/// The image of that key or name, or the default one; it must be ready.
pub(crate) async fn choose(app: &App, given: Option<&str>) -> Result<MadeOf, ApiError> {
    let image = match given {
        Some(HOST) => return Ok(None),
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

/// Makes a project's disk of its image. There already: does nothing.
pub(crate) async fn make_disk(app: &App, project: &ProjectId) -> Result<(), MachineError> {
    let failed = |detail: String| MachineError::DidNotStart { project: project.clone(), detail };
    let made_of = match app.store.project_image(project).await {
        Ok(made_of) => made_of,
        Err(error) => return Err(failed(format!("its image is not known: {error}"))),
    };
    let Some(image) = made_of else { return app.backend.create(project).await };
    let (Some(images), Ok(key)) = (app.backend.images(), image.key.parse()) else {
        return Err(failed(format!("this server has no image {}", image.name)));
    };
    images.create_from(project, &key).await.map_err(|error| match error {
        ImageError::Machine(error) => error,
        ImageError::NoRoom(_) => MachineError::DiskFull { step: "making the machine's disk" },
        other => failed(other.to_string()),
    })
}

/// Makes the disks of projects that are to be made of an image and have none: their servers were killed,
/// or had no room. Without the files of the image there is nothing to do.
pub(super) async fn make_disks(app: &App, key: &ImageKey) -> Result<(), ApiError> {
    let backend = of_backend(app)?;
    for project in app.store.projects_of_image(key.as_str()).await? {
        if backend.has_disk(&project).await? {
            continue;
        }
        match backend.create_from(&project, key).await {
            Ok(()) | Err(ImageError::Missing(_)) => {}
            Err(error) => {
                let error = ApiError::from(error);
                let told = format!(
                    "the project {project} is still to be made of this image, which failed: {}. \
                     Start or delete that project first",
                    error.message
                );
                return Err(ApiError::new(error.code, told));
            }
        }
    }
    Ok(())
}
