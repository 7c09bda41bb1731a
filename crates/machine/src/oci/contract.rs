//! What this backend says of itself, for the contract that all keep alike.

use super::{BASE, Inner, LABEL_DATA, LABEL_PROJECT, Oci};
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
    walls::{self, Walls},
};
use async_trait::async_trait;
use std::{
    io,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};
use toft_model::{
    id::ProjectId,
    machine::{Ability, Can, Limits},
};
use tokio::sync::OwnedMutexGuard;

#[async_trait]
impl Walls for Oci {
    const NAME: &'static str = "oci";

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
        self.0.abilities()
    }

    fn able(&self) -> Can {
        self.0.can()
    }

    fn log(&self, project: &ProjectId) -> PathBuf {
        self.0.log(project)
    }

    fn at_rest(&self, project: &ProjectId) -> Result<Option<Files>, MachineError> {
        self.0.files(project)
    }

    fn groups(&self, project: &ProjectId) -> Option<CgroupHost> {
        self.0.groups_of(project)
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
        let (inner, project) = (Arc::clone(&self.0), project.clone());
        blocking(move || {
            let disks: &dyn Copied = &*inner;
            let made = disks.create(&project, None, &inner.template(), |_| Ok(()));
            drop(turn);
            made
        })
        .await
    }

    async fn launch(&self, spec: StartSpec) -> Result<Running, MachineError> {
        self.0.launch(spec).await
    }

    async fn end(&self, project: &ProjectId, grace: Duration) -> Result<(), MachineError> {
        let (inner, id) = (Arc::clone(&self.0), project.clone());
        // The engine may take the container's groups away before our last look.
        blocking(move || inner.watches.look(&id)).await;
        let ended = walls::end(self, project, grace).await;
        self.0.remove_container(project).await;
        ended
    }

    /// Containers that nobody needs.
    async fn sweep_own(&self, known: &[ProjectId]) -> Result<(), MachineError> {
        let listed = self.0.engine.labelled(LABEL_DATA, &self.0.identity).await;
        let listed = listed.unwrap_or_else(|e| {
            tracing::warn!("containers that nobody needs may stay: {e}");
            Vec::new()
        });
        for (id, labels) in listed {
            let Some(project) = labels.get(LABEL_PROJECT).and_then(|p| p.parse().ok()) else {
                // Of an image that was laid out, or a trial, when a server was killed.
                self.0.engine.remove(&id).await.unwrap_or_else(|e| stays(&e));
                continue;
            };
            let _turn = self.0.turns.take(&project).await;
            if !known.contains(&project) || !self.0.runs(&project) {
                self.0.engine.remove(&id).await.unwrap_or_else(|e| stays(&e));
            }
        }
        Ok(())
    }

    async fn pass_limits(&self, project: &ProjectId, limits: &Limits) -> Result<(), MachineError> {
        if !self.0.runs(project) || self.0.found.owns_all() {
            return Ok(());
        }
        let rest = self.0.found.of_engine(limits);
        let updated = self.0.engine.update(&self.0.container(project), &rest).await;
        match (updated, &self.0.found.fixed) {
            // What the engine could not do with the trial either is in force from the next start on.
            (Err(e), Some(_)) => {
                tracing::info!(project.id = %project, "limits wait for the next start: {e}");
                Ok(())
            }
            (updated, _) => updated.map_err(step(project, "changing the machine's limits")),
        }
    }
}

impl Copied for Inner {
    /// Of a checkpoint another one was made by another backend on the same data folder.
    fn base(&self, _disk: &Path, _project: &ProjectId) -> Result<String, MachineError> {
        Ok(BASE.to_owned())
    }
}

fn stays(e: &io::Error) {
    tracing::warn!("a container that nobody needs stays: {e}");
}
