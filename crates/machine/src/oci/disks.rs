//! The disk of a machine: made of an image's, whole, and removed with all that there is of a project. The
//! same ladder as `native`; only the base differs, a whole root file system. Blocks; the caller holds
//! the project's turn.

use super::Inner;
use crate::{
    backend::MachineError, disks::CREATE_FREE_BYTES_MIN, error::step, folders::rand_name, steps,
};
use std::{fs, path::Path};
use toft_model::id::ProjectId;

impl Inner {
    /// Makes a disk as a copy of another one: all of it or nothing. There already: done.
    pub(super) fn create(&self, project: &ProjectId, from: &Path) -> Result<(), MachineError> {
        self.ensure(project)?;
        if self.disk(project).exists() {
            return Ok(());
        }
        let making = "making the machine's disk";
        self.has_room(making, CREATE_FREE_BYTES_MIN)?;
        self.make_log(project)?;
        steps::reached("create.log");
        let half = self.pool.scratch().join(format!("{project}-{}", rand_name()));
        self.pool
            .storage
            .copy(from, &half)
            .and_then(|()| self.count(&half, project))
            .inspect(|()| steps::reached("create.copied"))
            .and_then(|()| fs::rename(&half, self.disk(project)))
            .inspect(|()| steps::reached("create.placed"))
            .map_err(|e| {
                self.drop_disk(&half);
                step(project, making)(e)
            })
    }

    /// Removes the disk and every trace; nothing of it runs.
    pub(super) fn destroy(&self, project: &ProjectId) -> Result<(), MachineError> {
        self.ensure(project)?;
        self.drop_checkpoints(project)?;
        steps::reached("delete.checkpoints");
        let remove = |gone: &Path| {
            self.pool.storage.remove(gone).map_err(step(project, "removing the machine's disk"))
        };
        let disk = self.disk(project);
        if disk.exists() {
            let gone = self.pool.scratch().join(format!("{project}-{}", rand_name()));
            fs::rename(&disk, &gone).map_err(step(project, "taking the machine's disk away"))?;
            steps::reached("delete.taken");
            remove(&gone)?;
        }
        steps::reached("delete.disk");
        let log = self.pool.take_log(&self.folders.log(project));
        if let Some(log) = log.map_err(step(project, "taking the log folder away"))? {
            remove(&log)?;
        }
        steps::reached("delete.log");
        let run = self.folders.run(project);
        toft_jail::tree::remove(&run).map_err(step(project, "removing the machine's sockets"))?;
        steps::reached("delete.folder");
        Ok(())
    }
}
