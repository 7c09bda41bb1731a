//! What is on a disk, as it is or was at a checkpoint, without anybody inside: compared, and read.

use super::Copied;
use crate::{backend::MachineError, diff, error::step, inside};
use std::io;
use toft_model::{
    checkpoint::{CheckpointId, Diff},
    id::ProjectId,
};

/// Files that hold a machine's name.
const NAMED_IN: [&str; 2] = ["/etc/hostname", "/etc/hosts"];

impl dyn Copied {
    pub(crate) fn diff(
        &self,
        project: &ProjectId,
        from: &CheckpointId,
        to: Option<&CheckpointId>,
        max: usize,
    ) -> Result<Diff, MachineError> {
        diff::of(project, max, || {
            let (before, after) = (self.kept(project, from)?, self.at(project, to)?);
            let overlays = self.overlays(&after, project)?;
            Ok((before, after, overlays))
        })
    }

    /// What differs between a project's checkpoint and the disk of one that was grown from it, as it is now; not that
    /// they are named differently.
    pub(crate) fn diff_of_fork(
        &self,
        origin: &ProjectId,
        from: &CheckpointId,
        fork: &ProjectId,
        max: usize,
    ) -> Result<Diff, MachineError> {
        let mut diff = diff::of(fork, max, || {
            let (before, after) = (self.kept(origin, from)?, self.made_disk(fork)?);
            let overlays = self.overlays(&after, fork)?;
            Ok((before, after, overlays))
        })?;
        diff.changes.retain(|change| !NAMED_IN.contains(&change.path.as_str()));
        Ok(diff)
    }

    pub(crate) fn read(
        &self,
        project: &ProjectId,
        at: Option<&CheckpointId>,
        path: &str,
        max: u64,
    ) -> Result<Option<Vec<u8>>, MachineError> {
        let disk = self.at(project, at)?;
        let overlays = self.overlays(&disk, project)?;
        inside::read(&disk, &overlays, path, max).map_err(|e| match e.kind() {
            io::ErrorKind::FileTooLarge => MachineError::Unable {
                what: "reading this file",
                why: format!("it has more than {max} bytes"),
            },
            _ => step(project, "reading a file")(e),
        })
    }
}
