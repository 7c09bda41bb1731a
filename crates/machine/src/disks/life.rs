//! A disk comes and goes: made as a copy of what it begins as, removed with all that there is of its project.

use super::{Copied, room::CREATE_FREE_BYTES_MIN};
use crate::{backend::MachineError, error::step, folders::rand_name, steps};
use std::{fs, io, path::Path};
use toft_model::id::ProjectId;

impl dyn Copied {
    /// Makes a disk: all of it or nothing. There already: done. `ready` takes its place if it exists; else
    /// it is a copy of `from`, which `finish` changes before anybody sees it.
    pub(crate) fn create(
        &self,
        project: &ProjectId,
        ready: Option<&Path>,
        from: &Path,
        finish: impl FnOnce(&Path) -> io::Result<()>,
    ) -> Result<(), MachineError> {
        self.ensure(project)?;
        let disk = self.disk(project);
        if disk.exists() {
            return Ok(());
        }
        let making = "making the machine's disk";
        self.has_room(making, CREATE_FREE_BYTES_MIN)?;
        if self.give_ids(project)? {
            steps::reached("create.slot");
        }
        self.make_log(project)?;
        steps::reached("create.log");
        if ready.is_some_and(|ready| fs::rename(ready, &disk).is_ok()) {
            steps::reached("create.placed");
            return Ok(());
        }
        let half = self.pool.scratch().join(format!("{project}-{}", rand_name()));
        self.pool
            .storage
            .copy(from, &half)
            .and_then(|()| finish(&half))
            .and_then(|()| self.count(&half, project))
            .inspect(|()| steps::reached("create.copied"))
            .and_then(|()| fs::rename(&half, &disk))
            .inspect(|()| steps::reached("create.placed"))
            .map_err(|e| {
                self.drop_disk(&half);
                step(project, making)(e)
            })
    }

    /// Removes the disk and every trace; nothing of it runs.
    pub(crate) fn destroy(&self, project: &ProjectId) -> Result<(), MachineError> {
        self.ensure(project)?;
        self.drop_checkpoints(project)?;
        steps::reached("delete.checkpoints");
        self.leave(project)
    }

    /// The same, but for its checkpoints.
    pub(crate) fn leave(&self, project: &ProjectId) -> Result<(), MachineError> {
        self.ensure(project)?;
        let disk = self.disk(project);
        if disk.exists() {
            let gone = self.pool.scratch().join(format!("{project}-{}", rand_name()));
            fs::rename(&disk, &gone).map_err(step(project, "taking the machine's disk away"))?;
            steps::reached("delete.taken");
            self.remove_used(&gone, project)?;
        }
        self.leaving.wait_for(project);
        steps::reached("delete.disk");
        let log = self.log(project);
        if log.exists() {
            let gone = self.pool.scratch().join(format!("log-{}", rand_name()));
            // The same file system, except with an image.
            let log = if fs::rename(&log, &gone).is_ok() { gone } else { log };
            self.remove_used(&log, project)?;
        }
        steps::reached("delete.log");
        let run = self.folders.run(project);
        toft_jail::tree::remove(&run).map_err(step(project, "removing the machine's sockets"))?;
        steps::reached("delete.folder");
        if self.take_ids(project)? {
            steps::reached("delete.slot");
        }
        Ok(())
    }
}
