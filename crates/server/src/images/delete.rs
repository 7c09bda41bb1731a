//! Deleting images, and what nobody needs of them.

use super::{disks::make_disks, here::is_here, of_backend};
use crate::{api_error::ApiError, state::App};
use toft_machine::{images::ImageKey, steps};
use toft_store::{Image, ImageState};

/// Deletes an image; one that is being made is given up. Projects made of it have copies and stay: one
/// that is written down but has no disk yet gets it first.
pub(crate) async fn delete(app: &App, image: &Image) -> Result<(), ApiError> {
    is_here(app, image)?;
    let making = app.images.making().get(&image.what.key).cloned();
    if let Some(making) = making {
        making.cancel();
        making.done.cancelled().await;
    }
    if let Some(ended) = app.store.image(&image.what.key).await? {
        end_builder(app, &ended).await?;
    }
    let key = image.what.key.parse::<ImageKey>().ok();
    if let Some(key) = &key {
        // While it can still be refused.
        make_disks(app, key).await?;
    }
    let alone = app.images.choosing.write().await;
    app.store.delete_image(&image.what.key).await?;
    drop(alone);
    steps::reached("unimage.recorded");
    match &key {
        Some(key) => drop_unless_wanted(app, key).await,
        None => Ok(()),
    }
}

/// Removes the machine of a set-up that has ended and left it. Before its row goes: nothing else knows
/// of it.
pub(super) async fn end_builder(app: &App, image: &Image) -> Result<(), ApiError> {
    if let Some(builder) = &image.builder {
        app.backend.destroy(builder).await?;
        app.store.set_image_builder(&image.what.key, None).await?;
    }
    Ok(())
}

/// Removes the files of an image that nobody needs: no row of an image has them, nothing is made over
/// them, and every project that was to be made of them has a disk of its own.
pub(super) async fn drop_unless_wanted(app: &App, key: &ImageKey) -> Result<(), ApiError> {
    let backend = of_backend(&*app.backend)?;
    let _order = app.images.order.lock().await;
    match app.store.image(key.as_str()).await?.map(|image| image.state) {
        Some(ImageState::Making | ImageState::Ready) => return Ok(()),
        Some(ImageState::Failed(_)) | None => {}
    }
    if app.images.making().values().any(|making| making.needs(key)) {
        return Ok(());
    }
    make_disks(app, key).await?;
    Ok(backend.drop_image(key).await?)
}
