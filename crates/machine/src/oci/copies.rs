//! Copies of disks: kept as checkpoints, put back, forked, compared. Blocks; the caller holds the
//! project's turn. Who stops waiting for a copy stops nothing: it is made, and the machine goes on.

use super::{BASE, Inner};
use crate::{
    backend::{Checkpointed, MachineError},
    diff,
    folders::{self, rand_name},
    inside,
    native::{
        checkpoints::{base_of, base_path, newest_marked, remove_beside},
        life::CREATE_FREE_BYTES_MIN,
        restore::{awaits_a_bridge, is_to_be_taken_up, keep_sessions, refused, write_ticket},
        room::group,
    },
    running::step,
    steps,
    still::Still,
    storage::{Keep, shared_bytes},
};
use rustix::fs::{CWD, RenameFlags, renameat_with};
use std::{
    fs, io,
    path::{Path, PathBuf},
};
use toft_model::{
    checkpoint::{CheckpointId, Diff, Ticket},
    id::ProjectId,
};

/// What a copy may be short of: as in `native`.
const COPY_FREE_BYTES_MIN: u64 = 32 << 20;

/// Writes down what a checkpoint lies over.
fn keep_base(to: &Path, base: &str) -> io::Result<()> {
    match fs::remove_file(base_path(to)) {
        Err(e) if e.kind() != io::ErrorKind::NotFound => return Err(e),
        _ => {}
    }
    std::os::unix::fs::symlink(base, base_path(to))
}

impl Inner {
    fn kept_folder(&self, project: &ProjectId) -> PathBuf {
        self.pool.kept().join(project.as_str())
    }

    pub(super) fn kept(
        &self,
        project: &ProjectId,
        id: &CheckpointId,
    ) -> Result<PathBuf, MachineError> {
        self.ensure(project)?;
        let path = self.kept_folder(project).join(id.as_str());
        if path.is_dir() {
            return Ok(path);
        }
        Err(MachineError::NoCheckpoint { project: project.clone(), id: id.clone() })
    }

    /// Pauses a machine that runs until the answer is dropped.
    fn stand_still(&self, project: &ProjectId) -> Result<Still, MachineError> {
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
        self.has_room(taking, COPY_FREE_BYTES_MIN)?;
        let before = newest_marked(&folder);
        // One that carried a restore on would bring it back with it.
        is_to_be_taken_up(&disk, &self.folders.run(project)).map_err(step(project, taking))?;
        let still = self.stand_still(project)?;
        steps::reached("checkpoint.paused");
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
        let one_moment = still.is_one_moment();
        drop(still);
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

    /// What the project holds that others have written; `None`: nobody knows.
    pub(super) fn shared_bytes(&self, project: &ProjectId) -> Result<Option<u64>, MachineError> {
        let disk = self.made_disk(project)?;
        let Some(quotas) = &self.pool.quotas else { return Ok(None) };
        let kept = self.checkpoints(project)?;
        let kept = kept.iter().map(|id| self.kept_folder(project).join(id.as_str()));
        let disks: Vec<PathBuf> = std::iter::once(disk).chain(kept).collect();
        shared_bytes(quotas, group(project), &disks)
            .map_err(step(project, "looking what the project shares with others"))
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
        self.has_room(forking, CREATE_FREE_BYTES_MIN)?;
        let awaits = match checkpoint {
            Some(_) => awaits_a_bridge(&source),
            None => is_to_be_taken_up(&source, &self.folders.run(from)),
        };
        if awaits.map_err(step(from, forking))? {
            let advice = match checkpoint {
                Some(_) => "fork another checkpoint",
                None => "start it once, then fork it",
            };
            return Err(MachineError::Unable {
                what: forking,
                why: format!(
                    "it had gone back to a checkpoint then, and its conversations were not put \
                     together yet, which its next start does; {advice}"
                ),
            });
        }
        folders::private(&self.folders.log(to)).map_err(step(to, "making the log folder"))?;
        steps::reached("fork.log");
        let half = self.pool.scratch().join(format!("{to}-{}", rand_name()));
        let still = match checkpoint {
            Some(_) => Still::Stopped,
            None => self.stand_still(from)?,
        };
        let copied = self.pool.storage.copy(&source, &half);
        drop(still);
        copied
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
        diff::of(project, max, || {
            Ok((self.kept(project, from)?, self.at(project, to)?, Vec::new()))
        })
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

    /// All of a project's.
    pub(super) fn drop_checkpoints(&self, project: &ProjectId) -> Result<(), MachineError> {
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
