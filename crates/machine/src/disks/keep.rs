//! Checkpoints on disk: `ck/<project>/<id>` is a copy that nobody writes to, and `<id>.base` beside
//! it a link whose target names what the disk lay over: one step of the file system, like the copy
//! itself. The base is there before the copy and goes after it, so a copy is never without one; a
//! base alone is a half that the next sweep removes.

use super::{Copied, Disks, room::COPY_FREE_BYTES_MIN, ticket::is_to_be_taken_up};
use crate::{
    backend::{Checkpointed, MachineError},
    error::step,
    folders::{self, rand_name},
    steps,
    still::Still,
    storage::{Keep, marks_of},
};
use std::{
    fs, io,
    os::unix::fs::symlink,
    path::{Path, PathBuf},
};
use toft_model::{checkpoint::CheckpointId, id::ProjectId};

impl dyn Copied {
    /// Keeps the disk as it is now. Who stops waiting stops nothing: the copy is made, and the machine
    /// goes on.
    pub(crate) fn checkpoint(
        &self,
        project: &ProjectId,
        id: &CheckpointId,
    ) -> Result<Checkpointed, MachineError> {
        self.keep_of(project, project, id)
    }

    /// Keeps the disk of one project, as it is now, as a checkpoint of another one. Both turns are held.
    pub(crate) fn keep_of(
        &self,
        from: &ProjectId,
        project: &ProjectId,
        id: &CheckpointId,
    ) -> Result<Checkpointed, MachineError> {
        let taking = "taking a checkpoint";
        let disk = self.made_disk(from)?;
        let folder = self.kept_folder(project);
        let to = folder.join(id.as_str());
        if to.is_dir() {
            let base = base_of(&to).map_err(step(project, taking))?;
            return Ok(Checkpointed { base, copied_bytes: None, one_moment: false });
        }
        self.has_room(taking, COPY_FREE_BYTES_MIN)?;
        let before = newest_marked(&folder);
        // One that carried a restore on would bring it back with it.
        is_to_be_taken_up(&disk, &self.folders.run(from)).map_err(step(from, taking))?;
        let still = self.stand_still(from)?;
        steps::reached("checkpoint.paused");
        let base = self.base(&disk, from)?;
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
}

impl Disks {
    /// Pauses a machine that runs until the answer is dropped.
    pub(super) fn stand_still(&self, project: &ProjectId) -> Result<Still, MachineError> {
        let live = self.pool.storage.keeps_live();
        Still::of(&self.folders.run(project), project, live)
    }

    pub(crate) fn checkpoints(
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

    pub(crate) fn drop_checkpoint(
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

    /// Removes all checkpoints of a project.
    pub(crate) fn drop_checkpoints(&self, project: &ProjectId) -> Result<(), MachineError> {
        let folder = self.kept_folder(project);
        if !folder.exists() {
            return Ok(());
        }
        let gone = self.pool.scratch().join(format!("ck-{project}-{}", rand_name()));
        fs::rename(folder, &gone).map_err(step(project, "taking the checkpoints away"))?;
        self.pool.storage.remove(&gone).map_err(step(project, "removing the checkpoints"))
    }

    /// Projects that have checkpoints, or halves of some.
    pub(crate) fn projects_with_checkpoints(&self) -> Vec<ProjectId> {
        let entries = fs::read_dir(self.pool.kept()).into_iter().flatten().flatten();
        entries.filter_map(|e| e.file_name().to_str()?.parse().ok()).collect()
    }

    /// Removes what belongs to no checkpoint.
    pub(crate) fn sweep_checkpoints(&self, project: &ProjectId) {
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
}

fn base_path(kept: &Path) -> PathBuf {
    kept.with_extension("base")
}

/// What a checkpoint lay over.
pub(super) fn base_of(kept: &Path) -> io::Result<String> {
    Ok(fs::read_link(base_path(kept))?.to_string_lossy().into_owned())
}

/// Removes the files beside a checkpoint that is gone.
fn remove_beside(kept: &Path) {
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
fn newest_marked(folder: &Path) -> Option<PathBuf> {
    let entries = fs::read_dir(folder).ok()?.flatten();
    let marked = entries.map(|e| e.path()).filter(|p| p.extension().is_some_and(|x| x == "marks"));
    let newest = marked.max_by_key(|p| fs::metadata(p).and_then(|m| m.modified()).ok())?;
    Some(newest.with_extension("")).filter(|kept| kept.is_dir())
}
