//! Checkpoints on disk: `ck/<project>/<id>` is a copy that nobody writes to, and `<id>.base` beside
//! it a link whose target names what the disk lay over: one step of the file system, like the copy
//! itself. The base is there before the copy and goes after it, so a copy is never without one; a
//! base alone is a half that the next sweep removes.

use super::Inner;
use crate::{
    backend::{Checkpointed, MachineError},
    diff, folders,
    folders::rand_name,
    inside,
    running::step,
    steps,
    still::Still,
    storage::{Keep, marks_of},
};
use std::{
    fs, io,
    os::unix::fs::symlink,
    path::{Path, PathBuf},
};
use toft_model::{
    checkpoint::{CheckpointId, Diff},
    id::ProjectId,
};

impl Inner {
    pub(super) fn kept_folder(&self, project: &ProjectId) -> PathBuf {
        self.pool.kept().join(project.as_str())
    }

    /// The path of a checkpoint that exists.
    pub(super) fn kept(
        &self,
        project: &ProjectId,
        id: &CheckpointId,
    ) -> Result<PathBuf, MachineError> {
        self.pool.ensure().map_err(step(project, "mounting the storage"))?;
        let path = self.kept_folder(project).join(id.as_str());
        if path.is_dir() {
            return Ok(path);
        }
        Err(MachineError::NoCheckpoint { project: project.clone(), id: id.clone() })
    }

    /// The disk of a project, which must be there.
    pub(super) fn made_disk(&self, project: &ProjectId) -> Result<PathBuf, MachineError> {
        self.pool.ensure().map_err(step(project, "mounting the storage"))?;
        let disk = self.disk(project);
        if disk.is_dir() {
            return Ok(disk);
        }
        let missing = io::Error::new(io::ErrorKind::NotFound, "it was never made, or is destroyed");
        Err(step(project, "opening the machine's disk")(missing))
    }

    /// Pauses a machine that runs until the answer is dropped.
    pub(super) fn stand_still(&self, project: &ProjectId) -> Result<Still, MachineError> {
        let live = self.pool.storage.keeps_live();
        Still::of(&self.folders.run(project), project, live)
    }

    pub(super) fn checkpoint(
        &self,
        project: &ProjectId,
        id: &CheckpointId,
    ) -> Result<Checkpointed, MachineError> {
        let taking = "taking a checkpoint";
        let disk = self.made_disk(project)?;
        let folder = self.kept_folder(project);
        let to = folder.join(id.as_str());
        if to.is_dir() {
            let base = base_of(&to).map_err(step(project, taking))?;
            return Ok(Checkpointed { base, copied_bytes: None, one_moment: false });
        }
        self.room_for_copy(taking)?;
        let before = newest_marked(&folder);
        // One that carried a restore on would bring it back with it.
        self.is_to_be_taken_up(project).map_err(step(project, taking))?;
        let still = self.stand_still(project)?;
        steps::reached("checkpoint.paused");
        let base = self.base_for(&disk, project)?.key;
        let scratch = self.pool.scratch().join(format!("ck-{id}-{}", rand_name()));
        let kept = folders::private(&folder)
            .inspect(|()| steps::reached("checkpoint.folder"))
            .and_then(|()| match symlink(&base, base_path(&to)) {
                Err(e) if e.kind() == io::ErrorKind::AlreadyExists => {
                    fs::remove_file(base_path(&to))?;
                    symlink(&base, base_path(&to))
                }
                other => other,
            })
            .and_then(|()| {
                steps::reached("checkpoint.base");
                let keep = Keep { to: &to, scratch: &scratch, before: before.as_deref() };
                self.pool.storage.keep(&disk, keep)
            })
            .inspect(|_| steps::reached("checkpoint.kept"));
        // Without it some metadata would count as nobody's: no reason to have no checkpoint.
        if kept.is_ok()
            && let Err(e) = self.count(&to, project)
        {
            tracing::warn!(project.id = %project, "a checkpoint is not counted: {e}");
        }
        steps::reached("checkpoint.counted");
        let one_moment = still.is_one_moment();
        drop(still);
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
        self.pool.ensure().map_err(step(project, "mounting the storage"))?;
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
        let dropping = "deleting a checkpoint";
        let path = match self.kept(project, id) {
            Err(MachineError::NoCheckpoint { .. }) => return Ok(()),
            path => path?,
        };
        let scratch = self.pool.scratch().join(format!("ck-{id}-{}", rand_name()));
        self.pool.storage.discard(&path, &scratch).map_err(step(project, dropping))?;
        steps::reached("drop.discarded");
        remove_beside(&path);
        steps::reached("drop.beside");
        // The last one takes the folder along.
        let _ = fs::remove_dir(self.kept_folder(project));
        Ok(())
    }

    /// Removes all checkpoints of a project.
    pub(super) fn drop_checkpoints(&self, project: &ProjectId) -> Result<(), MachineError> {
        let folder = self.kept_folder(project);
        if !folder.exists() {
            return Ok(());
        }
        let gone = self.pool.scratch().join(format!("ck-{project}-{}", rand_name()));
        fs::rename(folder, &gone).map_err(step(project, "taking the checkpoints away"))?;
        self.pool.storage.remove(&gone).map_err(step(project, "removing the checkpoints"))
    }

    /// Projects that have checkpoints, or halves of some.
    pub(super) fn projects_with_checkpoints(&self) -> Vec<ProjectId> {
        let entries = fs::read_dir(self.pool.kept()).into_iter().flatten().flatten();
        entries.filter_map(|e| e.file_name().to_str()?.parse().ok()).collect()
    }

    /// Removes what belongs to no checkpoint. The caller holds the project's turn.
    pub(super) fn sweep_checkpoints(&self, project: &ProjectId) {
        let folder = self.kept_folder(project);
        for entry in fs::read_dir(&folder).into_iter().flatten().flatten() {
            let path = entry.path();
            if path.extension().is_some() && !path.with_extension("").is_dir() {
                remove_beside(&path.with_extension(""));
            }
        }
        // Empty: the first checkpoint was never finished.
        let _ = fs::remove_dir(folder);
    }

    pub(super) fn diff(
        &self,
        project: &ProjectId,
        from: &CheckpointId,
        to: Option<&CheckpointId>,
        max: usize,
    ) -> Result<Diff, MachineError> {
        diff::of(project, max, || {
            let (before, after) = (self.kept(project, from)?, self.kept_or_live(project, to)?);
            let overlays = self.base_for(&after, project)?.overlays;
            Ok((before, after, overlays))
        })
    }

    pub(super) fn read(
        &self,
        project: &ProjectId,
        at: Option<&CheckpointId>,
        path: &str,
        max: u64,
    ) -> Result<Option<Vec<u8>>, MachineError> {
        let disk = self.kept_or_live(project, at)?;
        let base = self.base_for(&disk, project)?;
        inside::read(&disk, &base.overlays, path, max).map_err(|e| match e.kind() {
            io::ErrorKind::FileTooLarge => MachineError::Unable {
                what: "reading this file",
                why: format!("it has more than {max} bytes"),
            },
            _ => step(project, "reading a file")(e),
        })
    }

    pub(super) fn kept_or_live(
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

pub(crate) fn base_path(kept: &Path) -> PathBuf {
    kept.with_extension("base")
}

/// What a checkpoint lay over.
pub(crate) fn base_of(kept: &Path) -> io::Result<String> {
    Ok(fs::read_link(base_path(kept))?.to_string_lossy().into_owned())
}

/// Removes the files beside a checkpoint that is gone.
pub(crate) fn remove_beside(kept: &Path) {
    for path in [marks_of(kept), base_path(kept)] {
        match fs::remove_file(&path) {
            Err(e) if e.kind() != io::ErrorKind::NotFound => {
                tracing::warn!(file = %path.display(), "a file of no checkpoint stays: {e}");
            }
            _ => {}
        }
    }
}

/// The checkpoint that unchanged files are shared with.
pub(crate) fn newest_marked(folder: &Path) -> Option<PathBuf> {
    let entries = fs::read_dir(folder).ok()?.flatten();
    let marked = entries.map(|e| e.path()).filter(|p| p.extension().is_some_and(|x| x == "marks"));
    let newest = marked.max_by_key(|p| fs::metadata(p).and_then(|m| m.modified()).ok())?;
    Some(newest.with_extension("")).filter(|kept| kept.is_dir())
}
