//! The backend's side of the contract: every method in the turn of its project, the work itself in the
//! modules beside.

use super::{Inner, Native, life};
use crate::{
    at_rest::Files,
    backend::{Backend, Checkpointed, MachineError, Room, Running, StartSpec, Stats},
    folders::{BRIDGE_SOCKET, INIT_SOCKET},
    frozen,
    running::{self, blocking},
};
use async_trait::async_trait;
use std::{path::PathBuf, sync::Arc, time::Duration};
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
impl Backend for Native {
    fn name(&self) -> &'static str {
        "native"
    }

    async fn abilities(&self) -> Vec<Ability> {
        self.0.abilities.clone()
    }

    fn storage(&self) -> String {
        self.0.pool.storage.name().to_owned()
    }

    fn can(&self) -> Can {
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

    fn images(&self) -> Option<&dyn crate::images::Images> {
        Some(self)
    }

    async fn create(&self, project: &ProjectId) -> Result<(), MachineError> {
        let _turn = self.0.turns.take(project).await;
        self.template().await?;
        let (inner, project) = (Arc::clone(&self.0), project.clone());
        let made = blocking(move || inner.create(&project, None)).await;
        self.refill();
        made
    }

    async fn start(&self, spec: StartSpec) -> Result<Running, MachineError> {
        let _turn = self.0.turns.take(&spec.project).await;
        let folder = self.0.folders.run(&spec.project);
        self.settled(&spec.project).await;
        let project = spec.project.clone();
        let running = if let Some(running) = running::adopt(&folder, &project).await? {
            running
        } else {
            // What was watched has ended by itself.
            self.unwatch(&project).await;
            life::start(&self.0, spec).await?
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
        self.end_processes(project, grace).await
    }

    async fn destroy(&self, project: &ProjectId) -> Result<(), MachineError> {
        let turn = self.0.turns.take(project).await;
        self.end_processes(project, Duration::ZERO).await?;
        let (inner, id) = (Arc::clone(&self.0), project.clone());
        blocking(move || inner.destroy(&id)).await?;
        self.0.turns.end(project, turn);
        Ok(())
    }

    async fn sweep(&self, known: &[ProjectId]) -> Result<(), MachineError> {
        let inner = Arc::clone(&self.0);
        let (known, wanted) = (known.to_vec(), known.to_vec());
        let leftover = blocking(move || running::unwanted(&inner.folders.runs(), &wanted)).await;
        for project in leftover {
            let _turn = self.0.turns.take(&project).await;
            running::sweep(&self.0.folders.run(&project), &project, &known).await?;
        }
        let inner = Arc::clone(&self.0);
        for project in blocking(move || inner.grouped()).await {
            let _turn = self.0.turns.take(&project).await;
            let inner = Arc::clone(&self.0);
            blocking(move || inner.sweep_group(&project)).await;
        }
        let (inner, wanted) = (Arc::clone(&self.0), known.clone());
        blocking(move || inner.sweep_room(&wanted)).await;
        let inner = Arc::clone(&self.0);
        for project in blocking(move || inner.projects_with_checkpoints()).await {
            let known = known.contains(&project);
            let swept = self.in_turn(&project, move |inner, project| {
                inner.sweep_checkpoints(project);
                if known { Ok(()) } else { inner.drop_checkpoints(project) }
            });
            swept.await?;
        }
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
        let (inner, project) = (Arc::clone(&self.0), project.clone());
        blocking(move || inner.key_of(&project)).await.map(Some)
    }

    async fn is_small(
        &self,
        project: &ProjectId,
        files_max: u64,
        bytes_max: u64,
    ) -> Result<bool, MachineError> {
        let (inner, project) = (Arc::clone(&self.0), project.clone());
        blocking(move || inner.is_small(&project, files_max, bytes_max)).await
    }

    async fn restore(
        &self,
        project: &ProjectId,
        id: &CheckpointId,
        ticket: &Ticket,
        force: bool,
    ) -> Result<(), MachineError> {
        let (id, ticket) = (id.clone(), ticket.clone());
        self.in_turn(project, move |inner, project| inner.restore(project, &id, &ticket, force))
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
        // A snapshot of a checkpoint is made by one call, or is refused when the checkpoint is gone:
        // many may be made at once, and then share what the file system writes for them.
        let at_once = checkpoint.is_some() && self.0.pool.storage.keeps_live();
        // In one order whoever forks whom, so that two never wait for each other.
        let (first, second) = if from < to { (from, to) } else { (to, from) };
        let (turn, second) =
            if at_once { (None, to) } else { (Some(self.0.turns.take(first).await), second) };
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
        let limits = limits.clone();
        let set = move |inner: &Inner, id: &ProjectId| {
            inner.watches.look(id);
            inner.set_limits(id, &limits).inspect(|()| inner.watches.look(id))
        };
        self.in_turn(project, set).await
    }

    fn room(&self) -> watch::Receiver<Room> {
        self.0.room.subscribe()
    }

    fn limit_hits(&self) -> broadcast::Receiver<(ProjectId, LimitHit)> {
        self.0.watches.hits()
    }

    async fn disk(&self, project: &ProjectId) -> Result<DiskUse, MachineError> {
        let (inner, project) = (Arc::clone(&self.0), project.clone());
        blocking(move || inner.disk_use(&project)).await
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

    async fn files(&self, project: &ProjectId) -> Result<Option<Files>, MachineError> {
        let (inner, project) = (Arc::clone(&self.0), project.clone());
        blocking(move || inner.files(&project)).await
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
