//! What projects take on disk, counted and bounded by quotas of our own image: a group for each
//! project, with its disk and its checkpoints in it. Nothing of it where the storage has no quotas.

use super::Inner;
use crate::{backend::MachineError, limited, running::step};
use std::{io, path::Path};
use toft_jail::quota::{Group, Quotas};
use toft_model::{
    id::ProjectId,
    machine::{DiskUse, Limits},
};

/// The group of a project. By its id and not by its id range, which another project gets after it:
/// what a fork still shares with a project that is gone stays in the group of that one.
pub(crate) fn group(project: &ProjectId) -> Group {
    // FNV-1a. Of 48 bits: two of a thousand projects meet once in 500 million data folders.
    let mut hash = 0xcbf2_9ce4_8422_2325_u64;
    for byte in project.as_str().bytes() {
        hash = (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
    }
    Group::new(hash ^ (hash >> 48))
}

impl Inner {
    /// Counts a disk as a project's from now on. Counted already: does nothing.
    pub(super) fn count(&self, disk: &Path, project: &ProjectId) -> io::Result<()> {
        let Some(quotas) = &self.pool.quotas else { return Ok(()) };
        quotas.create(group(project))?;
        quotas.assign(disk, group(project))
    }

    /// What counts a project's disk.
    pub(super) fn counter(&self, project: &ProjectId) -> Option<(Quotas, Group)> {
        Some((self.pool.quotas.clone()?, group(project)))
    }

    /// Bounds what a project may take. Also counts a disk of an earlier version.
    pub(super) fn bound(
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

    /// Changes the limits of a machine that runs, and the bound of its disk in any case.
    pub(super) fn set_limits(
        &self,
        project: &ProjectId,
        limits: &Limits,
    ) -> Result<(), MachineError> {
        limited::set(&self.folders.run(project), project, &self.cgroups, limits)?;
        self.pool.ensure().map_err(step(project, "mounting the storage"))?;
        if self.disk(project).is_dir() { self.bound(project, limits.disk_bytes) } else { Ok(()) }
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

    /// Removes the groups of projects that are gone. One that forks still share something with
    /// stays until the next time.
    pub(super) fn sweep_room(&self, known: &[ProjectId]) {
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
