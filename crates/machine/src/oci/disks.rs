//! Disks of machines on Toft's own storage: made, bounded, removed. The same ladder as `native`; only
//! the base differs, a whole root file system of an image. Blocks; the caller holds the project's turn.

use super::Inner;
use crate::{
    backend::MachineError,
    folders::{self, rand_name},
    inside, limited,
    native::{
        life::CREATE_FREE_BYTES_MIN,
        room::{disk_use, group},
    },
    running::step,
    steps,
};
use std::{
    fs, io,
    path::{Path, PathBuf},
};
use toft_model::{
    checkpoint::CheckpointId,
    id::ProjectId,
    machine::{DiskUse, Limits},
};

impl Inner {
    pub(super) fn disk(&self, project: &ProjectId) -> PathBuf {
        self.pool.disk(project)
    }

    pub(super) fn ensure(&self, project: &ProjectId) -> Result<(), MachineError> {
        self.pool.ensure().map_err(step(project, "mounting the storage"))
    }

    /// The disk of a project, which must be there and hold a whole root file system.
    pub(super) fn made_disk(&self, project: &ProjectId) -> Result<PathBuf, MachineError> {
        self.ensure(project)?;
        let disk = self.disk(project);
        if disk.join(inside::ROOT).is_dir() {
            return Ok(disk);
        }
        let missing = io::Error::new(io::ErrorKind::NotFound, "it was never made, or is destroyed");
        Err(step(project, "opening the machine's disk")(missing))
    }

    pub(super) fn at(
        &self,
        project: &ProjectId,
        at: Option<&CheckpointId>,
    ) -> Result<PathBuf, MachineError> {
        match at {
            Some(id) => self.kept(project, id),
            None => self.made_disk(project),
        }
    }

    pub(super) fn drop_disk(&self, path: &Path) {
        self.pool.drop_disk(path);
    }

    pub(super) fn has_room(&self, what: &'static str, bytes_min: u64) -> Result<(), MachineError> {
        match self.pool.free_bytes() {
            Some(free) if free < bytes_min => Err(MachineError::DiskFull { step: what }),
            _ => Ok(()),
        }
    }

    /// Changes the bound of a disk, and those limits of a machine that runs which are ours.
    pub(super) fn set_limits(
        &self,
        project: &ProjectId,
        limits: &Limits,
    ) -> Result<(), MachineError> {
        self.ensure(project)?;
        if self.disk(project).is_dir() {
            self.bound(project, limits.disk_bytes)?;
        }
        let Some(host) = self.groups_of(project) else { return Ok(()) };
        // What happened under the old limits is told of those.
        self.watches.look(project);
        limited::set(&self.folders.run(project), project, &host, limits)?;
        self.watches.look(project);
        Ok(())
    }

    /// Counts a disk as a project's from now on.
    pub(super) fn count(&self, disk: &Path, project: &ProjectId) -> io::Result<()> {
        let Some(quotas) = &self.pool.quotas else { return Ok(()) };
        quotas.create(group(project))?;
        quotas.assign(disk, group(project))
    }

    /// Bounds what a project may take.
    pub(super) fn bound(
        &self,
        project: &ProjectId,
        bytes: Option<u64>,
    ) -> Result<(), MachineError> {
        let Some(quotas) = &self.pool.quotas else { return Ok(()) };
        let disk = self.made_disk(project)?;
        self.count(&disk, project)
            .and_then(|()| quotas.limit(group(project), bytes))
            .map_err(step(project, "limiting the machine's disk"))
    }

    pub(super) fn disk_use(&self, project: &ProjectId) -> Result<DiskUse, MachineError> {
        self.made_disk(project)?;
        Ok(disk_use(&self.pool, project))
    }

    /// Makes a disk as a copy of another one: all of it or nothing. There already: done.
    pub(super) fn create(&self, project: &ProjectId, from: &Path) -> Result<(), MachineError> {
        self.ensure(project)?;
        if self.disk(project).exists() {
            return Ok(());
        }
        let making = "making the machine's disk";
        self.has_room(making, CREATE_FREE_BYTES_MIN)?;
        folders::private(&self.folders.log(project))
            .map_err(step(project, "making the log folder"))?;
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
        let remove = |path: PathBuf, is_disk: bool| -> Result<(), MachineError> {
            if !path.exists() {
                return Ok(());
            }
            let gone = self.pool.scratch().join(format!("{project}-{}", rand_name()));
            // The same file system, except a log beside an image.
            let path = if fs::rename(&path, &gone).is_ok() { gone } else { path };
            if is_disk {
                steps::reached("delete.taken");
            }
            self.pool.storage.remove(&path).map_err(step(project, "removing the machine's disk"))
        };
        remove(self.disk(project), true)?;
        steps::reached("delete.disk");
        remove(self.folders.log(project), false)?;
        steps::reached("delete.log");
        let run = self.folders.run(project);
        toft_jail::tree::remove(&run).map_err(step(project, "removing the machine's sockets"))?;
        steps::reached("delete.folder");
        Ok(())
    }
}
