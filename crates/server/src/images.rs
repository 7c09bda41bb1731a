//! Images other than `host`: added in the background, kept as rows with their disks in the machines'
//! storage, and chosen when a project is made. How one is unpacked or copied is the backend's.
//!
//! A disk is made before its row says ready, and a row goes before its disk: so what a killed server
//! leaves is a row that is still `making` or a disk without a row, and both are settled when images
//! are first looked at.

mod made_of;
mod make;
mod set_up;

pub(crate) use made_of::{choose, make_disk};
pub(crate) use make::{Order, What, add};

use crate::{
    api_error::{ApiError, Code},
    state::App,
};
use serde_json::{Value, json};
use std::{
    collections::{HashMap, HashSet},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};
use toft_machine::{
    images::{ImageError, ImageKey, Progress},
    steps,
};
use toft_model::{id::ProjectId, time::rfc3339};
use toft_store::{Image, ImageState};
use tokio::sync::{OnceCell, OwnedRwLockReadGuard, RwLock};
use tokio_util::sync::CancellationToken;

/// The name and the key of the host's own programs.
pub(crate) const HOST: &str = "host";
/// Longest name: it stands in lists and in command lines.
const NAME_CHARS_MAX: usize = 64;

/// What the images share.
#[derive(Default)]
pub(crate) struct Images {
    settled: OnceCell<()>,
    making: Mutex<HashMap<String, Arc<Making>>>,
    /// Machines in which set-ups run: no projects, and no leftovers either.
    builders: Mutex<HashSet<ProjectId>>,
    /// Held while rows and disks are compared.
    order: tokio::sync::Mutex<()>,
    /// Shared from the choice of an image until it is written down that a project is made of it; alone
    /// is who forgets an image.
    choosing: Arc<RwLock<()>>,
}

/// An image that is being made.
#[derive(Default)]
struct Making {
    progress: Arc<Progress>,
    cancel: CancellationToken,
    done: CancellationToken,
    /// The image that its set-up runs over, while it may still be needed.
    base: Mutex<Option<ImageKey>>,
}

impl Making {
    fn over(base: Option<ImageKey>) -> Self {
        Self { base: Mutex::new(base), ..Self::default() }
    }

    /// What it was made over, which it needs no longer.
    fn let_go(&self) -> Option<ImageKey> {
        self.base.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    fn needs(&self, key: &ImageKey) -> bool {
        self.base.lock().unwrap_or_else(PoisonError::into_inner).as_ref() == Some(key)
    }

    fn cancel(&self) {
        self.progress.cancel();
        self.cancel.cancel();
    }
}

impl Images {
    fn making(&self) -> MutexGuard<'_, HashMap<String, Arc<Making>>> {
        self.making.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Machines that belong to no project and must stay.
    pub(crate) fn builders(&self) -> Vec<ProjectId> {
        self.builders.lock().unwrap_or_else(PoisonError::into_inner).iter().cloned().collect()
    }

    fn build_in(&self, builder: &ProjectId) {
        self.builders.lock().unwrap_or_else(PoisonError::into_inner).insert(builder.clone());
    }

    fn built_in(&self, builder: &ProjectId) {
        self.builders.lock().unwrap_or_else(PoisonError::into_inner).remove(builder);
    }
}

/// The backend's images, or why there are none.
fn of_backend(app: &App) -> Result<&dyn toft_machine::images::Images, ApiError> {
    app.backend.images().ok_or_else(|| {
        ApiError::new(
            Code::Unavailable,
            format!(
                "the backend `{}` has no images: start the server with `--backend native`",
                app.backend.name()
            ),
        )
    })
}

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
    let Ok(backend) = of_backend(app) else { return Ok(()) };
    let kept: HashSet<ImageKey> = backend.kept().await?.into_iter().collect();
    for image in app.store.images().await? {
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

/// Removes the machine of a set-up that has ended and left it. Before its row goes: nothing else knows
/// of it.
async fn end_builder(app: &App, image: &Image) -> Result<(), ApiError> {
    if let Some(builder) = &image.builder {
        app.backend.destroy(builder).await?;
        app.store.set_image_builder(&image.what.key, None).await?;
    }
    Ok(())
}

/// Removes the files of an image that nobody needs: no row of an image has them, nothing is made over
/// them, and every project that was to be made of them has a disk of its own.
async fn drop_unless_wanted(app: &App, key: &ImageKey) -> Result<(), ApiError> {
    let backend = of_backend(app)?;
    let _order = app.images.order.lock().await;
    match app.store.image(key.as_str()).await?.map(|image| image.state) {
        Some(ImageState::Making | ImageState::Ready) => return Ok(()),
        Some(ImageState::Failed(_)) | None => {}
    }
    if app.images.making().values().any(|making| making.needs(key)) {
        return Ok(());
    }
    made_of::make_disks(app, key).await?;
    Ok(backend.drop_image(key).await?)
}

/// By key or name.
pub(crate) async fn find(app: &App, key: &str) -> Result<Image, ApiError> {
    settled(app).await;
    let found = app.store.image(key).await?;
    found.ok_or_else(|| ApiError::new(Code::NotFound, "image not found: GET /v1/images lists them"))
}

/// An image as the API shows it.
pub(crate) fn shown(app: &App, image: &Image) -> Value {
    let mut data = json!({
        "key": image.what.key,
        "name": image.what.name,
        "kind": image.what.kind,
        "source": image.what.source,
        "createdAt": rfc3339(image.created_at),
        "bytes": image.bytes,
        "state": image.state.as_str(),
        "default": image.is_default,
    });
    if let ImageState::Failed(reason) = &image.state {
        data["reason"] = reason.as_str().into();
    }
    if let Some(making) = app.images.making().get(&image.what.key) {
        let seen = making.progress.seen();
        data["progress"] = json!({"stage": seen.stage, "doneBytes": seen.done_bytes,
            "totalBytes": seen.total_bytes});
    }
    data
}

/// Image `host`.
pub(crate) fn host(is_default: bool) -> Value {
    json!({
        "key": HOST,
        "name": HOST,
        "kind": HOST,
        "source": "this host's own programs",
        "createdAt": null,
        "bytes": null,
        "state": "ready",
        "default": is_default,
    })
}

/// A name that people may give.
pub(crate) fn check_name(name: &str) -> Result<String, ApiError> {
    let name = name.trim();
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"._:-".contains(&b);
    let fits = (1..=NAME_CHARS_MAX).contains(&name.len())
        && name.bytes().all(plain)
        && name.as_bytes()[0].is_ascii_alphanumeric()
        && name != HOST
        && name.parse::<ImageKey>().is_err();
    if fits {
        return Ok(name.to_owned());
    }
    Err(ApiError::invalid(format!(
        "name must be 1 to {NAME_CHARS_MAX} letters, digits, `.`, `_`, `:` or `-`, beginning with a \
         letter or digit; `host` and keys are taken"
    )))
}

/// Deletes an image; one that is being made is given up. Projects made of it have copies and stay: one
/// that is written down but has no disk yet gets it first.
pub(crate) async fn delete(app: &App, image: &Image) -> Result<(), ApiError> {
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
        made_of::make_disks(app, key).await?;
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

/// The image that is chosen from now on stays until this is dropped.
pub(crate) async fn choosing(app: &App) -> OwnedRwLockReadGuard<()> {
    Arc::clone(&app.images.choosing).read_owned().await
}

impl From<ImageError> for ApiError {
    fn from(error: ImageError) -> Self {
        let code = match error {
            ImageError::Machine(error) => return error.into(),
            ImageError::Refused(_) => Code::InvalidArgument,
            ImageError::NoRoom(_) => Code::DiskFull,
            ImageError::Missing(_) | ImageError::Cancelled => Code::Unavailable,
            ImageError::Registry(_) | ImageError::Step { .. } => Code::MachineError,
        };
        Self::new(code, error.to_string())
    }
}
