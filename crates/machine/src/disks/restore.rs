//! Going back to a checkpoint: a new disk is prepared beside and takes the old one's place in one step. A
//! server that is killed at any point leaves the old disk or the new one, and in scratch a half, or the
//! one that was replaced, which the next one removes.

use super::{
    Copied,
    keep::base_of,
    room::COPY_FREE_BYTES_MIN,
    sessions::{keep_sessions, refused},
    ticket::write_ticket,
};
use crate::{backend::MachineError, error::step, folders::rand_name, steps};
use rustix::fs::{CWD, RenameFlags, renameat_with};
use std::path::{Path, PathBuf};
use toft_model::{
    checkpoint::{CheckpointId, Ticket},
    id::ProjectId,
};

impl dyn Copied {
    /// Answers where the replaced disk lies now, for [`Self::remove_replaced`]: the machine need not wait
    /// for that.
    pub(crate) fn restore(
        &self,
        project: &ProjectId,
        id: &CheckpointId,
        ticket: &Ticket,
        force: bool,
    ) -> Result<PathBuf, MachineError> {
        let restoring = "going back to a checkpoint";
        let kept = self.kept(project, id)?;
        let disk = self.made_disk(project)?;
        if self.runs(project) {
            return Err(MachineError::Unable {
                what: restoring,
                why: "the machine runs; stop it first".to_owned(),
            });
        }
        let was = base_of(&kept).map_err(step(project, restoring))?;
        let now = self.base(&kept, project)?;
        if was != now && !force {
            return Err(MachineError::BaseChanged { was, now });
        }
        self.has_room(restoring, COPY_FREE_BYTES_MIN)?;
        let half = self.pool.scratch().join(format!("{project}-{}", rand_name()));
        let prepared = self
            .pool
            .storage
            .copy_back(&kept, &half)
            .inspect(|()| steps::reached("restore.copied"))
            .and_then(|()| keep_sessions(&disk, &half))
            .inspect(|()| steps::reached("restore.sessions"))
            .and_then(|()| write_ticket(&half, ticket))
            .inspect(|()| steps::reached("restore.ticket"))
            .and_then(|()| self.pool.storage.settle(&half))
            .inspect(|()| steps::reached("restore.settled"))
            // Not earlier: a project that has used up its room goes back, too.
            .and_then(|()| self.count(&half, project))
            .inspect(|()| steps::reached("restore.counted"))
            .and_then(|()| Ok(renameat_with(CWD, &half, CWD, &disk, RenameFlags::EXCHANGE)?))
            .inspect(|()| steps::reached("restore.exchanged"));
        match prepared {
            // Since the exchange the old disk.
            Ok(()) => Ok(half),
            Err(e) => {
                self.remove_quietly(&half, project);
                Err(refused(project, restoring, e))
            }
        }
    }

    /// Removes a disk that [`Self::restore`] has replaced.
    pub(crate) fn remove_replaced(&self, old: &Path, project: &ProjectId) {
        self.remove_quietly(old, project);
        steps::reached("restore.removed");
    }

    fn remove_quietly(&self, path: &Path, project: &ProjectId) {
        if let Err(e) = self.remove_used(path, project) {
            tracing::warn!(project.id = %project, "a disk that nobody needs stays until the next start: {e}");
        }
    }
}
