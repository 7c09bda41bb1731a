//! What an earlier server has left of images, before they are first looked at.

use super::{
    delete::{drop_unless_wanted, end_builder},
    of_backend,
};
use crate::{api_error::ApiError, state::App};
use std::collections::HashSet;
use toft_machine::images::ImageKey;
use toft_store::{Image, ImageState};

/// Settles, once, what an earlier server has left.
pub(crate) async fn settled(app: &App) {
    app.images
        .settled
        .get_or_init(|| async {
            if let Err(error) = settle(app).await {
                tracing::warn!(error = error.message, "remains of images could not be removed");
            }
        })
        .await;
}

async fn settle(app: &App) -> Result<(), ApiError> {
    let Ok(backend) = of_backend(&*app.backend) else { return Ok(()) };
    let kept: HashSet<ImageKey> = backend.kept().await?.into_iter().collect();
    for image in app.store.images().await? {
        if app.servers.elsewhere(image.host.as_deref()).is_some() {
            continue;
        }
        if let Err(error) = settle_one(app, &image, &kept).await {
            let key = &image.what.key;
            tracing::warn!(image = key, error = error.message, "remains of its making stay");
        }
    }
    for key in &kept {
        if let Err(error) = drop_unless_wanted(app, key).await {
            tracing::warn!(image = %key, error = error.message, "files of no image stay");
        }
    }
    Ok(())
}

/// What an earlier server has left of one.
async fn settle_one(app: &App, image: &Image, kept: &HashSet<ImageKey>) -> Result<(), ApiError> {
    let key = image.what.key.as_str();
    let is_kept = key.parse().is_ok_and(|key| kept.contains(&key));
    let lost = match image.state {
        ImageState::Making => Some("the server ended while it was made: add it again"),
        ImageState::Ready if !is_kept => {
            Some("its files are gone from the data folder: add it again")
        }
        ImageState::Ready | ImageState::Failed(_) => None,
    };
    if let Some(reason) = lost {
        app.store.finish_image(key, Err(reason)).await?;
    }
    end_builder(app, image).await
}
