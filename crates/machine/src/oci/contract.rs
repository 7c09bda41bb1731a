//! The backend's side of the contract: every method in the turn of its project, the work itself in the
//! modules beside.

use super::{BASE, Inner, LABEL_DATA, LABEL_PROJECT, Oci};
use crate::{
    at_rest::Files,
    backend::{Backend, Checkpointed, MachineError, Room, Running, StartSpec, Stats},
    folders::{BRIDGE_SOCKET, INIT_SOCKET},
    frozen,
    native::small::within,
    running::{self, blocking, step},
};
use async_trait::async_trait;
use std::{io, path::PathBuf, sync::Arc, time::Duration};
use toft_model::{
    checkpoint::{CheckpointId, Diff, Ticket},
    event::LimitHit,
    id::ProjectId,
    machine::{Ability, Can, DiskUse, Limits},
};
use tokio::{
    net::UnixStream,
    sync::{broadcast, watch},
};

#[async_trait]
impl Backend for Oci {
    fn name(&self) -> &'static str {
        "oci"
    }

    async fn abilities(&self) -> Vec<Ability> {
        self.0.abilities()
    }

    fn storage(&self) -> String {
        self.0.pool.storage.name().to_owned()
    }

    fn can(&self) -> Can {
        self.0.can()
    }

    fn images(&self) -> Option<&dyn crate::images::Images> {
        Some(self)
    }

    async fn create(&self, project: &ProjectId) -> Result<(), MachineError> {
        self.in_turn(project, |inner, id| inner.create(id, &inner.template())).await
    }

    async fn start(&self, spec: StartSpec) -> Result<Running, MachineError> {
        let _turn = self.0.turns.take(&spec.project).await;
        let project = spec.project.clone();
        self.settled(&project).await;
        let folder = self.0.folders.run(&project);
        let running = if let Some(running) = running::adopt(&folder, &project).await? {
            running
        } else {
            // What was watched has ended by itself.
            self.0.unwatch(&project).await;
            self.0.launch(spec).await?
        };
        self.watch(&project);
        Ok(running)
    }

    async fn adopt(&self, project: &ProjectId) -> Result<Option<Running>, MachineError> {
        let _turn = self.0.turns.take(project).await;
        self.settled(project).await;
        let found = running::adopt(&self.0.folders.run(project), project).await?;
        if found.is_some() {
            self.watch(project);
        }
        Ok(found)
    }

    async fn stop(&self, project: &ProjectId, grace: Duration) -> Result<(), MachineError> {
        let _turn = self.0.turns.take(project).await;
        self.0.end(project, grace).await
    }

    async fn destroy(&self, project: &ProjectId) -> Result<(), MachineError> {
        let turn = self.0.turns.take(project).await;
        self.0.end(project, Duration::ZERO).await?;
        let (inner, id) = (Arc::clone(&self.0), project.clone());
        blocking(move || inner.destroy(&id)).await?;
        self.0.turns.end(project, turn);
        Ok(())
    }

    async fn sweep(&self, known: &[ProjectId]) -> Result<(), MachineError> {
        let inner = Arc::clone(&self.0);
        let (known, wanted) = (known.to_vec(), known.to_vec());
        for project in blocking(move || running::unwanted(&inner.folders.runs(), &wanted)).await {
            let _turn = self.0.turns.take(&project).await;
            if !known.contains(&project) || !self.0.runs(&project) {
                self.0.end(&project, Duration::ZERO).await?;
            }
        }
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
        let inner = Arc::clone(&self.0);
        blocking(move || inner.sweep_kept(&known)).await;
        Ok(())
    }

    async fn connect_init(&self, project: &ProjectId) -> Result<UnixStream, MachineError> {
        running::connect(&self.0.folders.run(project), INIT_SOCKET, project).await
    }

    async fn connect_bridge(&self, project: &ProjectId) -> Result<UnixStream, MachineError> {
        running::connect(&self.0.folders.run(project), BRIDGE_SOCKET, project).await
    }

    async fn stats(&self, project: &ProjectId) -> Result<Stats, MachineError> {
        let folder = self.0.folders.run(project);
        Ok(blocking(move || running::stats(&folder)).await)
    }

    fn log_dir(&self, project: &ProjectId) -> PathBuf {
        self.0.folders.log(project)
    }

    async fn checkpoint(
        &self,
        project: &ProjectId,
        id: &CheckpointId,
    ) -> Result<Checkpointed, MachineError> {
        let id = id.clone();
        self.in_turn(project, move |inner, project| inner.checkpoint(project, &id)).await
    }

    async fn checkpoints(&self, project: &ProjectId) -> Result<Vec<CheckpointId>, MachineError> {
        let (inner, project) = (Arc::clone(&self.0), project.clone());
        blocking(move || inner.checkpoints(&project)).await
    }

    async fn drop_checkpoint(
        &self,
        project: &ProjectId,
        id: &CheckpointId,
    ) -> Result<(), MachineError> {
        let id = id.clone();
        self.in_turn(project, move |inner, project| inner.drop_checkpoint(project, &id)).await
    }

    async fn base(&self, project: &ProjectId) -> Result<Option<String>, MachineError> {
        Ok(self.0.disk(project).is_dir().then(|| BASE.to_owned()))
    }

    async fn is_small(
        &self,
        project: &ProjectId,
        files_max: u64,
        bytes_max: u64,
    ) -> Result<bool, MachineError> {
        let (inner, project) = (Arc::clone(&self.0), project.clone());
        blocking(move || {
            let disk = inner.made_disk(&project)?;
            let looking = step(&project, "looking at the machine's disk");
            within(&disk, files_max, bytes_max).map_err(looking)
        })
        .await
    }

    async fn restore(
        &self,
        project: &ProjectId,
        id: &CheckpointId,
        ticket: &Ticket,
        force: bool,
    ) -> Result<(), MachineError> {
        let (id, ticket) = (id.clone(), ticket.clone());
        self.in_turn(project, move |inner, project| {
            if inner.runs(project) {
                return Err(MachineError::Unable {
                    what: "going back to a checkpoint",
                    why: "the machine runs; stop it first".to_owned(),
                });
            }
            inner.restore(project, &id, &ticket, force)
        })
        .await
    }

    async fn fork(
        &self,
        from: &ProjectId,
        checkpoint: Option<&CheckpointId>,
        to: &ProjectId,
        ticket: &Ticket,
    ) -> Result<(), MachineError> {
        if from == to {
            return Ok(());
        }
        // In one order whoever forks whom, so that two never wait for each other.
        let (first, second) = if from < to { (from, to) } else { (to, from) };
        let turn = self.0.turns.take(first).await;
        let (from, to) = (from.clone(), to.clone());
        let (checkpoint, ticket) = (checkpoint.cloned(), ticket.clone());
        let work = self.in_turn(second, move |inner, _| {
            let forked = inner.fork(&from, checkpoint.as_ref(), &to, &ticket);
            drop(turn);
            forked
        });
        work.await
    }

    async fn diff(
        &self,
        project: &ProjectId,
        from: &CheckpointId,
        to: Option<&CheckpointId>,
        max: usize,
    ) -> Result<Diff, MachineError> {
        let (inner, project) = (Arc::clone(&self.0), project.clone());
        let (from, to) = (from.clone(), to.cloned());
        blocking(move || inner.diff(&project, &from, to.as_ref(), max)).await
    }

    async fn freeze(&self, project: &ProjectId) -> Result<(), MachineError> {
        let freeze = |inner: &Inner, id: &ProjectId| {
            frozen::freeze(&inner.folders.run(id), id).inspect(|()| inner.watches.end(id))
        };
        self.in_turn(project, freeze).await
    }

    async fn thaw(&self, project: &ProjectId) -> Result<(), MachineError> {
        let thaw = |inner: &Inner, id: &ProjectId| frozen::thaw(&inner.folders.run(id), id);
        self.in_turn(project, thaw).await?;
        self.watch(project);
        Ok(())
    }

    async fn is_frozen(&self, project: &ProjectId) -> Result<bool, MachineError> {
        Ok(self.in_turn(project, |inner, id| frozen::is_frozen(&inner.folders.run(id))).await)
    }

    async fn set_limits(&self, project: &ProjectId, limits: &Limits) -> Result<(), MachineError> {
        let _turn = self.0.turns.take(project).await;
        let (inner, id, wanted) = (Arc::clone(&self.0), project.clone(), limits.clone());
        blocking(move || inner.set_limits(&id, &wanted)).await?;
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

    fn limit_hits(&self) -> broadcast::Receiver<(ProjectId, LimitHit)> {
        self.0.watches.hits()
    }

    fn room(&self) -> watch::Receiver<Room> {
        self.0.room.subscribe()
    }

    async fn disk(&self, project: &ProjectId) -> Result<DiskUse, MachineError> {
        let (inner, project) = (Arc::clone(&self.0), project.clone());
        blocking(move || inner.disk_use(&project)).await
    }

    async fn files(&self, project: &ProjectId) -> Result<Option<Files>, MachineError> {
        let (inner, project) = (Arc::clone(&self.0), project.clone());
        blocking(move || inner.files(&project)).await
    }

    async fn shared_bytes(&self, project: &ProjectId) -> Result<Option<u64>, MachineError> {
        // One after the other: each takes a processor for as long as it lasts.
        let turn = Arc::clone(&self.0.looking).lock_owned().await;
        let (inner, project) = (Arc::clone(&self.0), project.clone());
        blocking(move || {
            let shared = inner.shared_bytes(&project);
            drop(turn);
            shared
        })
        .await
    }

    async fn read(
        &self,
        project: &ProjectId,
        at: Option<&CheckpointId>,
        path: &str,
        max: u64,
    ) -> Result<Option<Vec<u8>>, MachineError> {
        let (inner, project) = (Arc::clone(&self.0), project.clone());
        let (at, path) = (at.cloned(), path.to_owned());
        blocking(move || inner.read(&project, at.as_ref(), &path, max)).await
    }
}

fn stays(e: &io::Error) {
    tracing::warn!("a container that nobody needs stays: {e}");
}
