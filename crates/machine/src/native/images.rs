//! Images on this host, and what a disk lies over: an image may also be folders of the host, shown
//! beside its own programs.

use super::{Inner, Native, base::Base};
use crate::{
    backend::MachineError,
    folders::Folders,
    images::{Pooled, Prepared, Uses},
    running::step,
    storage::Pool,
    turns::Turns,
};
use async_trait::async_trait;
use std::{
    io,
    path::{Path, PathBuf},
};
use toft_model::{checkpoint::CheckpointId, id::ProjectId};

impl Inner {
    /// What a disk lies over.
    pub(super) fn base(&self, disk: &Path) -> io::Result<Base> {
        Base::of(disk, &self.image)
    }

    /// The same of a project's, or why not.
    pub(super) fn base_for(&self, disk: &Path, project: &ProjectId) -> Result<Base, MachineError> {
        self.base(disk).map_err(step(project, "reading what the machine's image is"))
    }
}

#[async_trait]
impl Pooled for Native {
    const NO_FOLDERS: Option<&'static str> = None;

    fn pool(&self) -> &Pool {
        &self.0.pool
    }

    fn folders(&self) -> &Folders {
        &self.0.folders
    }

    fn turns(&self) -> &Turns {
        &self.0.turns
    }

    fn uses(&self) -> &Uses {
        &self.0.uses
    }

    async fn prepare(&self) -> Result<(), MachineError> {
        self.template().await
    }

    fn disk_at(
        &self,
        project: &ProjectId,
        at: Option<&CheckpointId>,
    ) -> Result<PathBuf, MachineError> {
        self.0.kept_or_live(project, at)
    }

    fn make_disk(&self, project: &ProjectId, image: &Prepared) -> Result<(), MachineError> {
        self.0.create(project, Some(image))
    }
}
