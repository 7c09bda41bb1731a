//! Images on this host, and what a disk lies over: an image may also be folders of the host, shown
//! beside its own programs.

use super::{Inner, Native, base::Base};
use crate::{
    backend::MachineError,
    disks::Disks,
    error::step,
    images::{Pooled, Prepared, Uses},
};
use async_trait::async_trait;
use std::{io, path::Path};
use toft_model::id::ProjectId;

impl Inner {
    /// What a disk lies over.
    pub(super) fn lies_over(&self, disk: &Path) -> io::Result<Base> {
        Base::of(disk, &self.image)
    }

    /// The same of a project's, or why not.
    pub(super) fn base_for(&self, disk: &Path, project: &ProjectId) -> Result<Base, MachineError> {
        self.lies_over(disk).map_err(step(project, "reading what the machine's image is"))
    }
}

#[async_trait]
impl Pooled for Native {
    const NO_FOLDERS: Option<&'static str> = None;

    fn disks(&self) -> &Disks {
        &self.0
    }

    fn uses(&self) -> &Uses {
        &self.0.uses
    }

    async fn prepare(&self) -> Result<(), MachineError> {
        self.template().await
    }

    fn make_disk(&self, project: &ProjectId, image: &Prepared) -> Result<(), MachineError> {
        self.0.create(project, Some(image))
    }
}
