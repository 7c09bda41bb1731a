//! Disks of projects in the pool, and the copies that are kept of them as checkpoints: the same for every
//! backend whose disks lie there. A backend says what its disks lie over and whose ids their files have
//! ([`Copied`]); what is done in which order is said here, once. Not what a disk is made of at first.
//! Blocks; who changes something holds the project's turn.

mod fork;
mod keep;
mod leaving;
mod life;
mod moved;
mod read;
mod restore;
mod room;
mod sessions;
mod small;
#[cfg(test)]
mod tests;
mod ticket;

pub(crate) use room::{CREATE_FREE_BYTES_MIN, short_bytes};

use self::leaving::Leaving;
use crate::{
    backend::{MachineError, Room},
    error::step,
    folders::{Folders, private},
    machines::Machines,
    storage::Pool,
};
use std::{
    io,
    ops::Deref,
    path::{Path, PathBuf},
    sync::Arc,
};
use toft_jail::spec::Overlay;
use toft_model::{checkpoint::CheckpointId, id::ProjectId};
use tokio::sync::{Mutex as AsyncMutex, watch};

/// What every backend has whose disks lie in the pool.
#[derive(Debug)]
pub(crate) struct Disks {
    machines: Machines,
    pub(crate) pool: Pool,
    /// Held while it is looked what a project shares with others.
    pub(crate) looking: Arc<AsyncMutex<()>>,
    /// Where it is said how much room all share.
    pub(crate) room: watch::Sender<Room>,
    /// Replaced disks that are being removed.
    pub(crate) leaving: Arc<Leaving>,
}

impl Deref for Disks {
    type Target = Machines;

    fn deref(&self) -> &Machines {
        &self.machines
    }
}

/// What a backend says of its disks, so that they can be copied.
pub(crate) trait Copied: Deref<Target = Disks> + Send + Sync + 'static {
    /// Identity of what a disk lies over by now.
    fn base(&self, disk: &Path, project: &ProjectId) -> Result<String, MachineError>;

    /// Its layers over folders of the host.
    fn overlays(&self, _disk: &Path, _project: &ProjectId) -> Result<Vec<Overlay>, MachineError> {
        Ok(Vec::new())
    }

    /// Gives a new project the ids that are its own. `false`: it gets none.
    fn give_ids(&self, _project: &ProjectId) -> Result<bool, MachineError> {
        Ok(false)
    }

    /// Takes back what [`Copied::give_ids`] gave. `false`: it had none.
    fn take_ids(&self, _project: &ProjectId) -> Result<bool, MachineError> {
        Ok(false)
    }

    /// Removes a disk that has been in use.
    fn remove_used(&self, path: &Path, project: &ProjectId) -> Result<(), MachineError> {
        self.pool.storage.remove(path).map_err(step(project, "removing the machine's disk"))
    }
}

impl Disks {
    pub(crate) fn new(folders: Folders, pool: Pool) -> Self {
        Self {
            machines: Machines::new(folders),
            pool,
            looking: Arc::default(),
            room: watch::Sender::default(),
            leaving: Arc::default(),
        }
    }

    pub(crate) fn ensure(&self, project: &ProjectId) -> Result<(), MachineError> {
        self.pool.ensure().map_err(step(project, "mounting the storage"))
    }

    /// Lets go of the storage, on which nothing runs.
    pub(crate) fn close(&self) -> io::Result<()> {
        self.leaving.wait_for_all();
        self.pool.close()
    }

    pub(crate) fn disk(&self, project: &ProjectId) -> PathBuf {
        self.pool.disk(project)
    }

    pub(crate) fn drop_disk(&self, path: &Path) {
        self.pool.drop_disk(path);
    }

    /// Where its log folder lies.
    pub(crate) fn log(&self, project: &ProjectId) -> PathBuf {
        self.folders.log(project)
    }

    pub(crate) fn make_log(&self, project: &ProjectId) -> Result<(), MachineError> {
        private(&self.log(project)).map_err(step(project, "making the log folder"))
    }

    /// The disk of a project, which must be there.
    pub(crate) fn made_disk(&self, project: &ProjectId) -> Result<PathBuf, MachineError> {
        self.ensure(project)?;
        let disk = self.disk(project);
        if disk.is_dir() {
            return Ok(disk);
        }
        let missing = io::Error::new(io::ErrorKind::NotFound, "it was never made, or is destroyed");
        Err(step(project, "opening the machine's disk")(missing))
    }

    fn kept_folder(&self, project: &ProjectId) -> PathBuf {
        self.pool.kept().join(project.as_str())
    }

    /// The path of a checkpoint that exists.
    fn kept(&self, project: &ProjectId, id: &CheckpointId) -> Result<PathBuf, MachineError> {
        self.ensure(project)?;
        let path = self.kept_folder(project).join(id.as_str());
        if path.is_dir() {
            return Ok(path);
        }
        Err(MachineError::NoCheckpoint { project: project.clone(), id: id.clone() })
    }

    /// The disk of a project as it is, or as it was at a checkpoint.
    pub(crate) fn at(
        &self,
        project: &ProjectId,
        at: Option<&CheckpointId>,
    ) -> Result<PathBuf, MachineError> {
        match at {
            Some(id) => self.kept(project, id),
            None => self.made_disk(project),
        }
    }
}
