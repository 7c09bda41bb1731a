//! Images other than `host`: where they come from, what they are called, and what makes one. An
//! image ends as a prepared disk in the pool, of which each project gets a copy of its own. Which
//! images there are for people is not kept here, and neither is what runs in a set-up.

pub(crate) mod archive;
pub(crate) mod compressed;
mod definition;
mod digest;
mod elf;
mod finish;
pub(crate) mod oci;
mod pooled;
mod progress;
mod registry;
mod resolve;
mod root;
mod saved;
mod shelf;
#[cfg(test)]
mod tests;
mod unpack;
mod uses;
mod words;

pub(crate) use definition::Definition;
pub(crate) use finish::finish;
pub(crate) use oci::environment;
pub(crate) use pooled::Pooled;
pub use progress::{Progress, Seen};
pub use resolve::Resolved;
pub(crate) use root::{Below, Root};
pub(crate) use shelf::{Prepared, free_for_images};
pub(crate) use unpack::{Room, unpack as unpack_tree};
pub(crate) use uses::Uses;
pub use words::{ImageError, ImageKey, ImageKind, RegistrySource, Source};

use async_trait::async_trait;
use toft_model::{checkpoint::CheckpointId, id::ProjectId};

/// Makes images, and disks from them. All of a call or nothing: what a killed server leaves half
/// made is gone at its next start.
#[async_trait]
pub trait Images: Send + Sync {
    /// Looks at a source: what is in it, and so what the image's key is.
    async fn resolve(&self, source: &Source) -> Result<Resolved, ImageError>;
    /// Makes it; answers its bytes. There already: does nothing. Whoever makes the same one at this
    /// moment is waited for.
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
    /// Whether a project has a disk, of whatever image.
    async fn has_disk(&self, project: &ProjectId) -> Result<bool, ImageError>;
    /// Removes it, when every copy that is being made of it is whole. Projects made from it have
    /// copies. Not there: done.
    async fn drop_image(&self, key: &ImageKey) -> Result<(), ImageError>;
    /// All that are there whole.
    async fn kept(&self) -> Result<Vec<ImageKey>, ImageError>;
}
