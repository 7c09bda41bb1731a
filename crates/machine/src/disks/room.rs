//! What projects take on disk, counted and bounded by quotas of our own image: a group for each
//! project, with its disk and its checkpoints in it. Nothing of it where the storage has no quotas.

use super::Disks;
use crate::{
    backend::MachineError,
    error::step,
    storage::{Lent, shared_bytes},
};
use std::{
    io,
    path::{Path, PathBuf},
};
use toft_jail::quota::{Group, Quotas};
use toft_model::{hash::fnv1a, id::ProjectId, machine::DiskUse};

/// With less room than this no disk is made: a project would fail at its first file.
pub(crate) const CREATE_FREE_BYTES_MIN: u64 = 64 << 20;

/// With less room than this no copy is kept: making one writes down all that is pending, and when the
/// host's disk has no room for that, the kernel gives up an image that lies on it.
pub(super) const COPY_FREE_BYTES_MIN: u64 = 32 << 20;

/// Less than this is short: some large builds. On small disks a quarter.
const SHORT_BYTES: u64 = 2 << 30;
const SHORT_PART: u64 = 4;

/// With less free than this of `total` bytes, checkpoints yield.
pub(crate) fn short_bytes(total: u64) -> u64 {
    SHORT_BYTES.min(total / SHORT_PART)
}

/// The group of a project. By its id and not by its id range, which another project gets after it:
/// what a fork still shares with a project that is gone stays in the group of that one.
fn group(project: &ProjectId) -> Group {
    // Of 48 bits: two of a thousand projects meet once in 500 million data folders.
    let hash = fnv1a(project.as_str().as_bytes());
    Group::new(hash ^ (hash >> 48))
}

impl Disks {
    /// Refuses what there is no room for.
    pub(crate) fn has_room(&self, step: &'static str, bytes_min: u64) -> Result<(), MachineError> {
        match self.pool.space() {
            Some(space) if space.free < bytes_min => {
                Err(MachineError::NoRoom { step, why: space.too_little_for(bytes_min) })
            }
            _ => Ok(()),
        }
    }

    /// Counts a disk as a project's from now on. Counted already: does nothing.
    pub(crate) fn count(&self, disk: &Path, project: &ProjectId) -> io::Result<()> {
        let Some(quotas) = &self.pool.quotas else { return Ok(()) };
        quotas.create(group(project))?;
        quotas.assign(disk, group(project))
    }

    /// What counts a project's disk.
    pub(crate) fn counter(&self, project: &ProjectId) -> Option<(Quotas, Group)> {
        Some((self.pool.quotas.clone()?, group(project)))
    }

    /// Bounds what a project may take. Also counts a disk of an earlier version.
    pub(crate) fn bound(
        &self,
        project: &ProjectId,
        bytes: Option<u64>,
    ) -> Result<(), MachineError> {
        let Some(quotas) = &self.pool.quotas else { return Ok(()) };
        let disk = self.made_disk(project)?;
        self.count(&disk, project)
            .and_then(|()| match quotas.bound(group(project)) {
                Ok(now) if now == bytes => Ok(()),
                _ => quotas.limit(group(project), bytes),
            })
            .map_err(step(project, "limiting the machine's disk"))
    }

    /// The same of a project that may have no disk yet.
    pub(crate) fn bound_if_made(
        &self,
        project: &ProjectId,
        bytes: Option<u64>,
    ) -> Result<(), MachineError> {
        self.ensure(project)?;
        if self.disk(project).is_dir() { self.bound(project, bytes) } else { Ok(()) }
    }

    /// Lends a disk that is full what its start takes.
    pub(crate) fn lend(&self, project: &ProjectId) -> Result<Option<Lent>, MachineError> {
        let Some((quotas, group)) = self.counter(project) else { return Ok(None) };
        Lent::to(&quotas, group).map_err(step(project, "making room for the machine's start"))
    }

    /// What is counted of a project's disk, at once.
    pub(crate) fn disk_use(&self, project: &ProjectId) -> Result<DiskUse, MachineError> {
        self.made_disk(project)?;
        let quotas = self.pool.quotas.as_ref();
        let (space, taken) = (self.pool.space(), self.pool.taken());
        Ok(DiskUse {
            exclusive_bytes: quotas.and_then(|q| q.used(group(project)).ok()),
            quota_bytes: quotas.and_then(|q| q.bound(group(project)).ok().flatten()),
            free_bytes: space.map(|space| space.free),
            yield_below_bytes: space.map(|space| short_bytes(space.total)),
            total_bytes: taken.map(|(used, _)| used),
            cap_bytes: taken.map(|(_, cap)| cap),
        })
    }

    /// What the project holds that others have written; `None`: nobody knows. Reads the trees of its
    /// disk and checkpoints: milliseconds for each thousand files.
    pub(crate) fn shared_bytes(&self, project: &ProjectId) -> Result<Option<u64>, MachineError> {
        let disk = self.made_disk(project)?;
        let Some(quotas) = &self.pool.quotas else { return Ok(None) };
        let kept = self.checkpoints(project)?;
        let kept = kept.iter().map(|id| self.kept_folder(project).join(id.as_str()));
        let disks: Vec<PathBuf> = std::iter::once(disk).chain(kept).collect();
        shared_bytes(quotas, group(project), &disks)
            .map_err(step(project, "looking what the project shares with others"))
    }

    /// Removes the groups of projects that are gone. One that forks still share something with
    /// stays until the next time.
    pub(crate) fn sweep_groups(&self, known: &[ProjectId]) {
        let Some(quotas) = &self.pool.quotas else { return };
        let known: Vec<Group> = known.iter().map(group).collect();
        for group in quotas.groups() {
            if !known.contains(&group) {
                // The kernel refuses while disks are in it.
                let _ = quotas.remove(group);
            }
        }
    }
}
