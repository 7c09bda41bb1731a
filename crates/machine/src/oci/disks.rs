//! Disks of machines on Toft's own storage: made, kept, put back, forked. The same ladder as
//! `native`; only the base differs, a whole root file system of an image. Blocks; the caller holds
//! the project's turn, and has stopped or paused what runs.

use super::{BASE, Inner};
use crate::{
    backend::{Checkpointed, MachineError},
    diff, folders,
    folders::rand_name,
    inside,
    native::{
        checkpoints::{base_of, base_path, newest_marked, remove_beside},
        life::CREATE_FREE_BYTES_MIN,
        restore::{keep_sessions, refused, write_ticket},
        room::group,
    },
    running::step,
    steps,
    storage::Keep,
};
use rustix::fs::{CWD, RenameFlags, renameat_with};
use std::{
    fs, io,
    path::{Path, PathBuf},
};
use toft_model::{
    checkpoint::{CheckpointId, Diff, Ticket},
    id::ProjectId,
    machine::DiskUse,
};

/// Writes down what a checkpoint lies over.
fn keep_base(to: &Path, base: &str) -> io::Result<()> {
    match fs::remove_file(base_path(to)) {
        Err(e) if e.kind() != io::ErrorKind::NotFound => return Err(e),
        _ => {}
    }
    std::os::unix::fs::symlink(base, base_path(to))
}

impl Inner {
    pub(super) fn disk(&self, project: &ProjectId) -> PathBuf {
        self.pool.disks().join(project.as_str())
    }

    fn kept_folder(&self, project: &ProjectId) -> PathBuf {
        self.pool.kept().join(project.as_str())
    }

    fn kept(&self, project: &ProjectId, id: &CheckpointId) -> Result<PathBuf, MachineError> {
        self.ensure(project)?;
        let path = self.kept_folder(project).join(id.as_str());
        if path.is_dir() {
            return Ok(path);
        }
        Err(MachineError::NoCheckpoint { project: project.clone(), id: id.clone() })
    }

    fn ensure(&self, project: &ProjectId) -> Result<(), MachineError> {
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

    fn at(&self, project: &ProjectId, at: Option<&CheckpointId>) -> Result<PathBuf, MachineError> {
        match at {
            Some(id) => self.kept(project, id),
            None => self.made_disk(project),
        }
    }

    pub(super) fn drop_disk(&self, path: &Path) {
        if let Err(e) = self.pool.storage.remove(path) {
            tracing::warn!("a disk that nobody needs stays: {e}");
        }
    }

    fn has_room(&self, what: &'static str) -> Result<(), MachineError> {
        match self.pool.free_bytes() {
            Some(free) if free < CREATE_FREE_BYTES_MIN => {
                Err(MachineError::DiskFull { step: what })
            }
            _ => Ok(()),
        }
    }

    /// Counts a disk as a project's from now on.
    fn count(&self, disk: &Path, project: &ProjectId) -> io::Result<()> {
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
        let quotas = self.pool.quotas.as_ref();
        Ok(DiskUse {
            exclusive_bytes: quotas.and_then(|q| q.used(group(project)).ok()),
            quota_bytes: quotas.and_then(|q| q.bound(group(project)).ok().flatten()),
            free_bytes: self.pool.free_bytes(),
        })
    }

    pub(super) fn create(&self, project: &ProjectId) -> Result<(), MachineError> {
        self.ensure(project)?;
        if self.disk(project).exists() {
            return Ok(());
        }
        let making = "making the machine's disk";
        self.has_room(making)?;
        folders::private(&self.folders.log(project))
            .map_err(step(project, "making the log folder"))?;
        steps::reached("create.log");
        let half = self.pool.scratch().join(format!("{project}-{}", rand_name()));
        self.pool
            .storage
            .copy(&self.template(), &half)
            .and_then(|()| self.count(&half, project))
            .inspect(|()| steps::reached("create.copied"))
            .and_then(|()| fs::rename(&half, self.disk(project)))
            .inspect(|()| steps::reached("create.placed"))
            .map_err(|e| {
                self.drop_disk(&half);
                step(project, making)(e)
            })
    }

    pub(super) fn checkpoint(
        &self,
        project: &ProjectId,
        id: &CheckpointId,
        one_moment: bool,
    ) -> Result<Checkpointed, MachineError> {
        let taking = "taking a checkpoint";
        let disk = self.made_disk(project)?;
        let folder = self.kept_folder(project);
        let to = folder.join(id.as_str());
        if to.is_dir() {
            let base = base_of(&to).map_err(step(project, taking))?;
            return Ok(Checkpointed { base, copied_bytes: None, one_moment: false });
        }
        steps::reached("checkpoint.paused");
        let before = newest_marked(&folder);
        let scratch = self.pool.scratch().join(format!("ck-{id}-{}", rand_name()));
        let kept = folders::private(&folder)
            .inspect(|()| steps::reached("checkpoint.folder"))
            .and_then(|()| keep_base(&to, BASE))
            .and_then(|()| {
                steps::reached("checkpoint.base");
                let keep = Keep { to: &to, scratch: &scratch, before: before.as_deref() };
                self.pool.storage.keep(&disk, keep)
            })
            .inspect(|_| steps::reached("checkpoint.kept"));
        if kept.is_ok()
            && let Err(e) = self.count(&to, project)
        {
            tracing::warn!(project.id = %project, "a checkpoint is not counted: {e}");
        }
        steps::reached("checkpoint.counted");
        let base = BASE.to_owned();
        kept.map(|copied_bytes| Checkpointed { base, copied_bytes, one_moment }).map_err(|e| {
            self.drop_disk(&scratch);
            if !to.exists() {
                remove_beside(&to);
            }
            step(project, taking)(e)
        })
    }

    pub(super) fn checkpoints(
        &self,
        project: &ProjectId,
    ) -> Result<Vec<CheckpointId>, MachineError> {
        self.ensure(project)?;
        let entries = match fs::read_dir(self.kept_folder(project)) {
            Ok(entries) => entries,
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(e) => return Err(step(project, "listing checkpoints")(e)),
        };
        // A folder that is read in part would pass for checkpoints that are gone.
        let names = entries
            .map(|entry| entry.map(|e| e.file_name()))
            .collect::<io::Result<Vec<_>>>()
            .map_err(step(project, "listing checkpoints"))?;
        let mut found: Vec<CheckpointId> =
            names.iter().filter_map(|name| name.to_str()?.parse().ok()).collect();
        found.sort();
        Ok(found)
    }

    pub(super) fn drop_checkpoint(
        &self,
        project: &ProjectId,
        id: &CheckpointId,
    ) -> Result<(), MachineError> {
        let path = match self.kept(project, id) {
            Err(MachineError::NoCheckpoint { .. }) => return Ok(()),
            path => path?,
        };
        let scratch = self.pool.scratch().join(format!("ck-{id}-{}", rand_name()));
        let discarded = self.pool.storage.discard(&path, &scratch);
        discarded.map_err(step(project, "deleting a checkpoint"))?;
        steps::reached("drop.discarded");
        remove_beside(&path);
        steps::reached("drop.beside");
        // The last one takes the folder along.
        let _ = fs::remove_dir(self.kept_folder(project));
        Ok(())
    }

    pub(super) fn restore(
        &self,
        project: &ProjectId,
        id: &CheckpointId,
        ticket: &Ticket,
        force: bool,
    ) -> Result<(), MachineError> {
        let restoring = "going back to a checkpoint";
        let kept = self.kept(project, id)?;
        let disk = self.made_disk(project)?;
        let was = base_of(&kept).map_err(step(project, restoring))?;
        // Of another backend on the same data folder.
        if was != BASE && !force {
            return Err(MachineError::BaseChanged { was, now: BASE.to_owned() });
        }
        let half = self.pool.scratch().join(format!("{project}-{}", rand_name()));
        let prepared = self
            .pool
            .storage
            .copy(&kept, &half)
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
        // Now the old disk, or a half that nobody needs.
        self.drop_disk(&half);
        steps::reached("restore.removed");
        prepared.map_err(|e| refused(project, restoring, e))
    }

    pub(super) fn fork(
        &self,
        from: &ProjectId,
        checkpoint: Option<&CheckpointId>,
        to: &ProjectId,
        ticket: &Ticket,
    ) -> Result<(), MachineError> {
        let forking = "forking a project";
        let source = self.at(from, checkpoint)?;
        if self.disk(to).exists() {
            return Ok(());
        }
        self.has_room(forking)?;
        folders::private(&self.folders.log(to)).map_err(step(to, "making the log folder"))?;
        steps::reached("fork.log");
        let half = self.pool.scratch().join(format!("{to}-{}", rand_name()));
        self.pool
            .storage
            .copy(&source, &half)
            .inspect(|()| steps::reached("fork.copied"))
            .and_then(|()| write_ticket(&half, ticket))
            .inspect(|()| steps::reached("fork.ticket"))
            .and_then(|()| self.pool.storage.settle(&half))
            .inspect(|()| steps::reached("fork.settled"))
            .and_then(|()| self.count(&half, to))
            .inspect(|()| steps::reached("fork.counted"))
            .and_then(|()| fs::rename(&half, self.disk(to)))
            .inspect(|()| steps::reached("fork.placed"))
            .map_err(|e| {
                self.drop_disk(&half);
                refused(to, forking, e)
            })
    }

    pub(super) fn diff(
        &self,
        project: &ProjectId,
        from: &CheckpointId,
        to: Option<&CheckpointId>,
        max: usize,
    ) -> Result<Diff, MachineError> {
        let (before, after) = (self.kept(project, from)?, self.at(project, to)?);
        diff::diff(&before, &after, &[], max).map_err(step(project, "comparing with a checkpoint"))
    }

    pub(super) fn read(
        &self,
        project: &ProjectId,
        at: Option<&CheckpointId>,
        path: &str,
        max: u64,
    ) -> Result<Option<Vec<u8>>, MachineError> {
        inside::read(&self.at(project, at)?, &[], path, max).map_err(|e| match e.kind() {
            io::ErrorKind::FileTooLarge => MachineError::Unable {
                what: "reading this file",
                why: format!("it has more than {max} bytes"),
            },
            _ => step(project, "reading a file")(e),
        })
    }

    /// Removes the disk and every trace; nothing of it runs.
    pub(super) fn destroy(&self, project: &ProjectId) -> Result<(), MachineError> {
        self.ensure(project)?;
        self.drop_checkpoints(project)?;
        steps::reached("delete.checkpoints");
        let remove = |path: PathBuf| -> Result<(), MachineError> {
            if !path.exists() {
                return Ok(());
            }
            let gone = self.pool.scratch().join(format!("{project}-{}", rand_name()));
            // The same file system, except a log beside an image.
            let path = if fs::rename(&path, &gone).is_ok() { gone } else { path };
            self.pool.storage.remove(&path).map_err(step(project, "removing the machine's disk"))
        };
        remove(self.disk(project))?;
        steps::reached("delete.disk");
        let log = self.folders.log(project);
        toft_jail::tree::remove(&log).map_err(step(project, "removing the machine's log"))?;
        steps::reached("delete.log");
        let run = self.folders.run(project);
        toft_jail::tree::remove(&run).map_err(step(project, "removing the machine's sockets"))?;
        steps::reached("delete.folder");
        Ok(())
    }

    fn drop_checkpoints(&self, project: &ProjectId) -> Result<(), MachineError> {
        let folder = self.kept_folder(project);
        if !folder.exists() {
            return Ok(());
        }
        let gone = self.pool.scratch().join(format!("ck-{project}-{}", rand_name()));
        fs::rename(folder, &gone).map_err(step(project, "taking the checkpoints away"))?;
        self.pool.storage.remove(&gone).map_err(step(project, "removing the checkpoints"))
    }

    /// Removes halves of checkpoints, all of those of projects that nobody knows, and counts of
    /// such projects.
    pub(super) fn sweep_kept(&self, known: &[ProjectId]) {
        let entries = fs::read_dir(self.pool.kept()).into_iter().flatten().flatten();
        let projects: Vec<ProjectId> =
            entries.filter_map(|e| e.file_name().to_str()?.parse().ok()).collect();
        for project in projects {
            if !known.contains(&project) {
                if let Err(e) = self.drop_checkpoints(&project) {
                    tracing::warn!("checkpoints that nobody needs stay: {e}");
                }
                continue;
            }
            let folder = self.kept_folder(&project);
            for entry in fs::read_dir(&folder).into_iter().flatten().flatten() {
                let path = entry.path();
                if path.extension().is_some() && !path.with_extension("").is_dir() {
                    remove_beside(&path.with_extension(""));
                }
            }
            // Empty: the first checkpoint was never finished.
            let _ = fs::remove_dir(folder);
        }
        let Some(quotas) = &self.pool.quotas else { return };
        let known: Vec<_> = known.iter().map(group).collect();
        for group in quotas.groups() {
            if !known.contains(&group) {
                // The kernel refuses while disks are in it.
                let _ = quotas.remove(group);
            }
        }
    }
}
