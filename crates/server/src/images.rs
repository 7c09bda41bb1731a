//! Images other than `host`: added in the background, kept as rows with their disks in the machines'
//! storage, and chosen when a project is made. How one is unpacked or copied is the backend's.
//!
//! A disk is made before its row says ready, and a row goes before its disk: so what a killed server
//! leaves is a row that is still `making` or a disk without a row, and both are settled when images
//! are first looked at.

pub(crate) mod delete;
pub(crate) mod disks;
mod here;
pub(crate) mod made_of;
pub(crate) mod make;
mod set_up;
pub(crate) mod settle;

use crate::api_error::{ApiError, Code};
use schemars::JsonSchema;
use serde::Serialize;
use std::{
    collections::{HashMap, HashSet},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};
use toft_machine::{
    backend::Backend,
    images::{ImageError, ImageKey, Progress},
};
use toft_model::{id::ProjectId, time::rfc3339};
use toft_store::{Image, ImageState};
use tokio::sync::{OnceCell, OwnedRwLockReadGuard, RwLock};
use tokio_util::sync::CancellationToken;

/// The name and the key of the host's own programs.
pub(crate) const HOST: &str = "host";
/// Longest name: it stands in lists and in command lines.
const NAME_CHARS_MAX: usize = 64;

/// An image as the API shows it.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "Image")]
pub(crate) struct Shown {
    key: String,
    name: String,
    /// What it was made of.
    #[schemars(extend("enum" = ["host", "folder", "tarball", "oci", "template"]))]
    kind: String,
    source: String,
    /// RFC 3339; null of `host`.
    created_at: Option<String>,
    bytes: Option<u64>,
    /// `making`, `ready` or `failed`.
    #[schemars(extend("enum" = ["making", "ready", "failed"]))]
    state: &'static str,
    /// Whether new projects are made of it.
    #[serde(rename = "default")]
    is_default: bool,
    /// Why it failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
    /// While it is made.
    #[serde(skip_serializing_if = "Option::is_none")]
    progress: Option<ShownProgress>,
}

/// How far it is.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "ImageProgress")]
struct ShownProgress {
    /// `pulling`, `unpacking`, `set-up`.
    stage: &'static str,
    done_bytes: u64,
    /// 0 when nobody knows.
    total_bytes: u64,
}

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

    /// The image that is chosen from now on stays until this is dropped.
    pub(crate) async fn choosing(&self) -> OwnedRwLockReadGuard<()> {
        Arc::clone(&self.choosing).read_owned().await
    }

    /// An image as the API shows it.
    pub(crate) fn shown(&self, image: &Image) -> Shown {
        let progress = self.making().get(&image.what.key).map(|making| {
            let seen = making.progress.seen();
            ShownProgress {
                stage: seen.stage,
                done_bytes: seen.done_bytes,
                total_bytes: seen.total_bytes,
            }
        });
        Shown {
            key: image.what.key.clone(),
            name: image.what.name.clone(),
            kind: image.what.kind.clone(),
            source: image.what.source.clone(),
            created_at: Some(rfc3339(image.created_at)),
            bytes: Some(image.bytes),
            state: image.state.as_str(),
            is_default: image.is_default,
            reason: match &image.state {
                ImageState::Failed(reason) => Some(reason.clone()),
                _ => None,
            },
            progress,
        }
    }

    fn build_in(&self, builder: &ProjectId) {
        self.builders.lock().unwrap_or_else(PoisonError::into_inner).insert(builder.clone());
    }

    fn built_in(&self, builder: &ProjectId) {
        self.builders.lock().unwrap_or_else(PoisonError::into_inner).remove(builder);
    }
}

/// The backend's images, or why there are none.
fn of_backend(backend: &dyn Backend) -> Result<&dyn toft_machine::images::Images, ApiError> {
    backend.images().ok_or_else(|| {
        ApiError::new(
            Code::Unavailable,
            format!(
                "the backend `{}` has no images: start the server with `--backend native`",
                backend.name()
            ),
        )
    })
}

/// Image `host`.
pub(crate) fn host(is_default: bool) -> Shown {
    Shown {
        key: HOST.to_owned(),
        name: HOST.to_owned(),
        kind: HOST.to_owned(),
        source: "this host's own programs".to_owned(),
        created_at: None,
        bytes: None,
        state: "ready",
        is_default,
        reason: None,
        progress: None,
    }
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
