//! The backend's side of the contract: every method in the turn of its project, the work itself in the
//! modules beside.

use super::{BASE, Inner, LABEL_DATA, LABEL_PROJECT, Oci, PAUSED, unmark};
use crate::{
    backend::{Backend, Checkpointed, MachineError, Running, StartSpec, Stats},
    folders::{BRIDGE_SOCKET, INIT_SOCKET},
    native::small::within,
    running::{self, blocking, step},
    steps,
};
use async_trait::async_trait;
use std::{fs, io, path::PathBuf, sync::Arc, time::Duration};
use toft_model::{
    checkpoint::{CheckpointId, Diff, Ticket},
    id::ProjectId,
    machine::{Ability, Can, DiskUse, Limits},
};
use tokio::net::UnixStream;

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

    async fn create(&self, project: &ProjectId) -> Result<(), MachineError> {
        self.in_turn(project, Inner::create).await
    }

    async fn start(&self, spec: StartSpec) -> Result<Running, MachineError> {
        let _turn = self.0.turns.take(&spec.project).await;
        self.0.settle(&spec.project).await?;
        let folder = self.0.folders.run(&spec.project);
        if self.0.is_frozen(&spec.project) {
            self.0.go_on(&spec.project).await?;
        }
        if let Some(running) = running::adopt(&folder, &spec.project).await? {
            return Ok(running);
        }
        self.0.launch(spec).await
    }

    async fn adopt(&self, project: &ProjectId) -> Result<Option<Running>, MachineError> {
        let _turn = self.0.turns.take(project).await;
        self.0.settle(project).await?;
        let folder = self.0.folders.run(project);
        if !self.0.is_frozen(project) {
            return running::adopt(&folder, project).await;
        }
        // Its init answers nobody while it stands still: it goes on for the moment that an answer
        // takes. Killed in between, it is found running and marked, and is let go on for good.
        let (name, looking) = (self.0.container(project), "asking the machine's init");
        self.0.engine.unpause(&name).await.map_err(step(project, looking))?;
        let found = running::adopt(&folder, project).await;
        if found.as_ref().is_ok_and(Option::is_some) {
            self.0.engine.pause(&name).await.map_err(step(project, looking))?;
        }
        found
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
        let _turn = self.0.turns.take(project).await;
        self.0.settle(project).await?;
        let (of, id) = (project.clone(), id.clone());
        let taking = "taking a checkpoint";
        self.stand_still(project, taking, move |inner, one_moment| {
            inner.checkpoint(&of, &id, one_moment)
        })
        .await
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
        let _first = self.0.turns.take(first).await;
        let _second = self.0.turns.take(second).await;
        let (of, to) = (from.clone(), to.clone());
        let (checkpoint, ticket) = (checkpoint.cloned(), ticket.clone());
        let inner = Arc::clone(&self.0);
        if checkpoint.is_some() {
            return blocking(move || inner.fork(&of, checkpoint.as_ref(), &to, &ticket)).await;
        }
        self.0.settle(from).await?;
        let forking = "forking a project";
        self.stand_still(from, forking, move |inner, _| inner.fork(&of, None, &to, &ticket)).await
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
        let _turn = self.0.turns.take(project).await;
        self.0.settle(project).await?;
        if !self.0.runs(project) {
            return Err(MachineError::NotRunning(project.clone()));
        }
        if self.0.is_frozen(project) {
            return Ok(());
        }
        let freezing = "pausing the machine";
        if !self.0.found.pauses {
            return Err(MachineError::Unable {
                what: freezing,
                why: format!("{} cannot pause containers here", self.0.engine.name),
            });
        }
        let run = self.0.folders.run(project);
        fs::File::create(run.join(PAUSED)).map_err(step(project, freezing))?;
        steps::reached("freeze.marked");
        let paused = self.0.engine.pause(&self.0.container(project)).await;
        if paused.is_err() {
            unmark(&run).map_err(step(project, freezing))?;
        }
        paused.map_err(step(project, freezing))?;
        steps::reached("freeze.frozen");
        Ok(())
    }

    async fn thaw(&self, project: &ProjectId) -> Result<(), MachineError> {
        let _turn = self.0.turns.take(project).await;
        if !self.0.is_frozen(project) {
            return self.0.settle(project).await;
        }
        self.0.go_on(project).await
    }

    async fn is_frozen(&self, project: &ProjectId) -> Result<bool, MachineError> {
        Ok(self.0.is_frozen(project))
    }

    async fn set_limits(&self, project: &ProjectId, limits: &Limits) -> Result<(), MachineError> {
        let _turn = self.0.turns.take(project).await;
        if self.0.disk(project).is_dir() {
            let (inner, id, bytes) = (Arc::clone(&self.0), project.clone(), limits.disk_bytes);
            blocking(move || inner.bound(&id, bytes)).await?;
        }
        if !self.0.runs(project) {
            return Ok(());
        }
        let updated = self.0.engine.update(&self.0.container(project), limits).await;
        match (updated, &self.0.found.fixed) {
            // What the engine could not do with the trial either is in force from the next start on.
            (Err(e), Some(_)) => {
                tracing::info!(project.id = %project, "limits wait for the next start: {e}");
                Ok(())
            }
            (updated, _) => updated.map_err(step(project, "changing the machine's limits")),
        }
    }

    async fn disk(&self, project: &ProjectId) -> Result<DiskUse, MachineError> {
        let (inner, project) = (Arc::clone(&self.0), project.clone());
        blocking(move || inner.disk_use(&project)).await
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
