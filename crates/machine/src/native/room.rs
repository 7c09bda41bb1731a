//! What projects take on disk, counted and bounded by quotas of our own image: a group for each
//! project, with its disk and its checkpoints in it. Nothing of it where the storage has no quotas.

use super::{Inner, full::short_bytes};
use crate::{
    backend::MachineError,
    limited,
    running::step,
    storage::{Pool, shared_bytes},
};
use std::{
    io,
    path::{Path, PathBuf},
};
use toft_jail::quota::{Group, Quotas};
use toft_model::{
    id::ProjectId,
    machine::{DiskUse, Limits},
};

/// What putting a machine's walls up takes on its disk, many times over: the kernel makes the folders
/// that overlays work in anew at each mount, and mounts them read-only where it cannot.
const START_BYTES: u64 = 16 << 20;

/// Room beyond a project's bound while its walls are put up, when nothing else can write to its disk.
/// They take the place of those before them, so its disk does not grow by it.
#[derive(Debug)]
pub(super) struct Lent {
    quotas: Quotas,
    group: Group,
    bound: u64,
}

impl Lent {
    /// Before any program of the machine runs. Done twice does no harm.
    pub(super) fn take_back(&self) -> io::Result<()> {
        self.quotas.limit(self.group, Some(self.bound))
    }
}

impl Drop for Lent {
    fn drop(&mut self) {
        let Ok(Some(bound)) = self.quotas.bound(self.group) else { return };
        if bound != self.bound
            && let Err(e) = self.take_back()
        {
            tracing::warn!("a disk's bound stays {} MiB too high: {e}", START_BYTES >> 20);
        }
    }
}

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

/// What is counted of a project's disk, at once.
pub(crate) fn disk_use(pool: &Pool, project: &ProjectId) -> DiskUse {
    let quotas = pool.quotas.as_ref();
    let (space, taken) = (pool.space(), pool.taken());
    DiskUse {
        exclusive_bytes: quotas.and_then(|q| q.used(group(project)).ok()),
        quota_bytes: quotas.and_then(|q| q.bound(group(project)).ok().flatten()),
        free_bytes: space.map(|(free, _)| free),
        yield_below_bytes: space.map(|(_, total)| short_bytes(total)),
        total_bytes: taken.map(|(used, _)| used),
        cap_bytes: taken.map(|(_, cap)| cap),
    }
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

    /// Lends a disk that is full what its start takes. `None`: there is room, or no bound. A server
    /// that is killed meanwhile leaves the bound too high until the next start, with nothing running.
    pub(super) fn lend(&self, project: &ProjectId) -> Result<Option<Lent>, MachineError> {
        let Some((quotas, group)) = self.counter(project) else { return Ok(None) };
        let lend = || -> io::Result<Option<Lent>> {
            let bound = match quotas.bound(group) {
                // Without a disk nothing counts it; that there is none shows in the next step.
                Err(e) if e.kind() == io::ErrorKind::NotFound => None,
                bound => bound?,
            };
            let Some(bound) = bound else { return Ok(None) };
            let taken = quotas.used(group)?.saturating_add(quotas.reserved(group)?);
            if bound.saturating_sub(taken) >= START_BYTES {
                return Ok(None);
            }
            quotas.limit(group, Some(bound.max(taken).saturating_add(START_BYTES)))?;
            Ok(Some(Lent { quotas, group, bound }))
        };
        lend().map_err(step(project, "making room for the machine's start"))
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
        Ok(disk_use(&self.pool, project))
    }

    /// What the project holds that others have written; `None`: nobody knows. Reads the trees of its
    /// disk and checkpoints: milliseconds for each thousand files.
    pub(super) fn shared_bytes(&self, project: &ProjectId) -> Result<Option<u64>, MachineError> {
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
