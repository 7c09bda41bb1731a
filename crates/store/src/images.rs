//! Images other than `host`, and which one a project was made of. Not what is in them: the machines'
//! storage has that.

use crate::error::StoreError;
use async_trait::async_trait;
use toft_model::id::ProjectId;

/// How far an image is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ImageState {
    /// It is being made.
    Making,
    /// Projects can be made of it.
    Ready,
    /// It could not be made; why.
    Failed(String),
}

impl ImageState {
    /// The word in the database.
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::Making => "making",
            Self::Ready => "ready",
            Self::Failed(_) => "failed",
        }
    }
}

/// An image to make.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewImage {
    /// Names what is in it.
    pub key: String,
    /// Name for people, unique.
    pub name: String,
    /// `folder`, `tarball`, `oci`, `template`.
    pub kind: String,
    /// Where it comes from, for people.
    pub source: String,
}

/// An image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Image {
    /// What it was begun with.
    pub what: NewImage,
    /// How far it is.
    pub state: ImageState,
    /// Bytes of its files, when it is ready.
    pub bytes: u64,
    /// Unix milliseconds.
    pub created_at: u64,
    /// The machine in which a set-up runs, or ran when the server ended.
    pub builder: Option<ProjectId>,
    /// Whether new projects are made of it.
    pub is_default: bool,
    /// Id of the server that has its files.
    pub host: Option<String>,
}

/// Which image a project was made of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProjectImage {
    /// Its key.
    pub key: String,
    /// Its name then: the image may be gone.
    pub name: String,
}

/// Images.
#[async_trait]
pub trait Images: Send + Sync {
    /// Writes down that an image is being made. One with this key that failed is begun again; any
    /// other is answered as it is, and nothing is begun (`false`). Another one of this name that
    /// failed makes way. `Taken`: the name is another's.
    async fn begin_image(&self, new: &NewImage, now_ms: u64) -> Result<(Image, bool), StoreError>;
    /// The machine in which its set-up runs, before it is made.
    async fn set_image_builder(
        &self,
        key: &str,
        builder: Option<&ProjectId>,
    ) -> Result<(), StoreError>;
    /// It is ready with so many bytes, or failed, and why.
    async fn finish_image(&self, key: &str, done: Result<u64, &str>) -> Result<(), StoreError>;
    /// Another name. `Taken`: it is another's.
    async fn rename_image(&self, key: &str, name: &str) -> Result<(), StoreError>;
    /// Makes it the one that new projects are made of; `None`: `host` is again.
    async fn set_default_image(&self, key: Option<&str>) -> Result<(), StoreError>;
    /// Forgets it. Whether it was there.
    async fn delete_image(&self, key: &str) -> Result<bool, StoreError>;
    /// All, newest first.
    async fn images(&self) -> Result<Vec<Image>, StoreError>;
    /// By key or name.
    async fn image(&self, key_or_name: &str) -> Result<Option<Image>, StoreError>;
    /// Writes down what a project is made of, before or after it is a project itself.
    async fn set_project_image(
        &self,
        project: &ProjectId,
        image: Option<&ProjectImage>,
    ) -> Result<(), StoreError>;
    /// What a project was made of; `None` is `host`.
    async fn project_image(&self, project: &ProjectId) -> Result<Option<ProjectImage>, StoreError>;
    /// Projects that were made of an image, or are to be.
    async fn projects_of_image(&self, key: &str) -> Result<Vec<ProjectId>, StoreError>;
}
