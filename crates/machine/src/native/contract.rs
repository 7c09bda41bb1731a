//! What this backend says of itself, for the contract that all keep alike.

use super::{Inner, Native, ids::IdKind, life};
use crate::{
    at_rest::Files,
    backend::{MachineError, Part, Running, StartSpec},
    blocking::blocking,
    carried::Place,
    cgroup::CgroupHost,
    disks::Copied,
    error::step,
    images::Images,
    machines::Machines,
    walls::Walls,
};
use async_trait::async_trait;
use std::{
    path::{Path, PathBuf},
    sync::Arc,
};
use toft_jail::spec::Overlay;
use toft_model::{
    id::ProjectId,
    machine::{Ability, Can},
};
use tokio::sync::OwnedMutexGuard;

#[async_trait]
impl Walls for Native {
    const NAME: &'static str = "native";

    fn machines(&self) -> &Machines {
        &self.0
    }

    fn copied(&self) -> Option<&dyn Copied> {
        Some(&*self.0)
    }

    fn prepared(&self) -> Option<&dyn Images> {
        Some(self)
    }

    fn found(&self) -> Vec<Ability> {
        self.0.abilities.clone()
    }

    fn able(&self) -> Can {
        let controllers = ["memory", "pids", "cpu"].into_iter();
        let limited = controllers.filter(|name| self.0.cgroups.way(name).is_some());
        let disk = self.0.pool.quotas.is_some().then_some("disk");
        Can {
            checkpoint: true,
            live_checkpoint: self.0.pool.storage.keeps_live(),
            fork: true,
            freeze: true,
            limits: limited.chain(disk).map(str::to_owned).collect(),
            egress: true,
        }
    }

    fn log(&self, project: &ProjectId) -> PathBuf {
        self.0.log(project)
    }

    fn at_rest(&self, project: &ProjectId) -> Result<Option<Files>, MachineError> {
        self.0.files(project)
    }

    fn groups(&self, _project: &ProjectId) -> Option<CgroupHost> {
        Some(self.0.cgroups.clone())
    }

    fn place(&self, project: &ProjectId, part: Part) -> Option<Place> {
        Some(Place::on_disk(&self.0.disk(project), &self.0.log(project), part))
    }

    async fn let_go(&self) -> Result<(), MachineError> {
        self.close().await
    }

    async fn make(
        &self,
        project: &ProjectId,
        turn: OwnedMutexGuard<()>,
    ) -> Result<(), MachineError> {
        self.template().await?;
        let (inner, project) = (Arc::clone(&self.0), project.clone());
        let made = blocking(move || {
            let made = inner.create(&project, None);
            drop(turn);
            made
        });
        let made = made.await;
        self.refill();
        made
    }

    async fn launch(&self, spec: StartSpec) -> Result<Running, MachineError> {
        life::start(&self.0, spec).await
    }

    async fn sweep_own(&self, _known: &[ProjectId]) -> Result<(), MachineError> {
        let inner = Arc::clone(&self.0);
        for project in blocking(move || inner.grouped()).await {
            let _turn = self.0.turns.take(&project).await;
            let inner = Arc::clone(&self.0);
            blocking(move || inner.sweep_group(&project)).await;
        }
        Ok(())
    }
}

impl Copied for Inner {
    /// That of the programs below it: the host's, or those of its image.
    fn base(&self, disk: &Path, project: &ProjectId) -> Result<String, MachineError> {
        Ok(self.base_for(disk, project)?.key)
    }

    fn overlays(&self, disk: &Path, project: &ProjectId) -> Result<Vec<Overlay>, MachineError> {
        Ok(self.base_for(disk, project)?.overlays)
    }

    fn give_ids(&self, project: &ProjectId) -> Result<bool, MachineError> {
        if self.ids != IdKind::Ranges {
            return Ok(false);
        }
        self.slots.base(project).map_err(step(project, "taking an id range"))?;
        Ok(true)
    }

    fn take_ids(&self, project: &ProjectId) -> Result<bool, MachineError> {
        self.slots.release(project).map_err(step(project, "giving the id range back"))?;
        Ok(true)
    }

    fn remove_used(&self, path: &Path, project: &ProjectId) -> Result<(), MachineError> {
        self.remove_files(path).map_err(step(project, "removing the machine's disk"))
    }
}
