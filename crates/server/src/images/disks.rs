//! Disks of projects that are made of images. One that is there says itself what it is.

use super::of_backend;
use crate::{api_error::ApiError, state::App};
use toft_machine::{
    backend::MachineError,
    images::{ImageError, ImageKey},
};
use toft_model::id::ProjectId;

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
        ImageError::NoRoom(why) => MachineError::NoRoom { step: "making the machine's disk", why },
        other => failed(other.to_string()),
    })
}

/// Makes the disks of projects that are to be made of an image and have none: their servers were killed,
/// or had no room. Without the files of the image there is nothing to do.
pub(super) async fn make_disks(app: &App, key: &ImageKey) -> Result<(), ApiError> {
    let backend = of_backend(&*app.backend)?;
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
