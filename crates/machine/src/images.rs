//! Images other than `host`: where they come from, what they are called, and what makes one. An
//! image ends as a prepared disk in the pool, of which each project gets a copy of its own. Which
//! images there are for people is not kept here, and neither is what runs in a set-up.

mod archive;
pub(crate) mod compressed;
mod digest;
mod finish;
mod oci;
mod progress;
mod registry;
mod resolve;
mod root;
#[cfg(test)]
mod tests;
mod unpack;
mod words;

pub(crate) use finish::{finish, forget_project};
pub(crate) use oci::unpack_layers;
pub use progress::{Progress, Seen};
pub(crate) use registry::pull;
pub use resolve::Resolved;
pub(crate) use resolve::{What, on_this_host, registry as in_registry};
pub(crate) use root::Root;
pub(crate) use unpack::{Room, unpack_archive};
pub use words::{ImageError, ImageKey, ImageKind, RegistrySource, Source};

use async_trait::async_trait;
use toft_model::{checkpoint::CheckpointId, id::ProjectId};

/// Makes images, and disks from them. All of a call or nothing: what a killed server leaves half
/// made is gone at its next start.
#[async_trait]
pub trait Images: Send + Sync {
    /// Looks at a source: what is in it, and so what the image's key is.
    async fn resolve(&self, source: &Source) -> Result<Resolved, ImageError>;
    /// Makes it; answers its bytes. There already: does nothing.
    async fn import(
        &self,
        resolved: &Resolved,
        progress: std::sync::Arc<Progress>,
    ) -> Result<u64, ImageError>;
    /// Makes an image of a project's disk, as it is (the machine must not run) or as it was at a
    /// checkpoint. What the project has of its own beside its files stays behind: conversations, the
    /// inspect database, settings. Answers its bytes. There already: does nothing.
    async fn keep(
        &self,
        project: &ProjectId,
        checkpoint: Option<&CheckpointId>,
        key: &ImageKey,
    ) -> Result<u64, ImageError>;
    /// Makes a project's disk of it. Known: does nothing.
    async fn create_from(&self, project: &ProjectId, key: &ImageKey) -> Result<(), ImageError>;
    /// Removes it. Projects made from it have copies. Not there: done.
    async fn drop_image(&self, key: &ImageKey) -> Result<(), ImageError>;
    /// All that are there whole.
    async fn kept(&self) -> Result<Vec<ImageKey>, ImageError>;
}
