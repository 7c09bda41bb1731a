//! Images other than the server's own, for projects that want one: in the same places and of the same
//! shape as those of `native`, whole root file systems only.

use super::{Oci, tree};
use crate::{
    backend::MachineError,
    disks::Copied,
    disks::Disks,
    images::{ImageError, Pooled, Prepared, Root, Uses},
};
use toft_model::id::ProjectId;

impl Pooled for Oci {
    const NO_FOLDERS: Option<&'static str> = Some(
        "folders of the host cannot be shown in containers, whose system is their image's own: give a \
         root tarball or a container image that has the tools in it",
    );

    fn disks(&self) -> &Disks {
        &self.0
    }

    fn uses(&self) -> &Uses {
        &self.0.uses
    }

    fn finish(root: &Root) -> Result<String, ImageError> {
        tree::complete(root)
    }

    fn make_disk(&self, project: &ProjectId, image: &Prepared) -> Result<(), MachineError> {
        let template = self.0.template();
        let disks: &dyn Copied = &*self.0;
        disks.create(project, None, image.disk.as_deref().unwrap_or(&template), |_| Ok(()))
    }
}
