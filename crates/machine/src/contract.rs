//! The contract of a backend, kept once for all: every method in the turn of its project where it
//! changes something, the work itself in the modules that it is passed on to.

use crate::{
    at_rest::Files,
    backend::{Backend, Checkpointed, MachineError, Part, Room, Running, StartSpec, Stats},
    blocking::{blocking, to_its_end},
    carried,
    disks::Copied,
    folders::{BRIDGE_SOCKET, INIT_SOCKET},
    frozen, full,
    images::Images,
    limited, running,
    walls::{Walls, beside, copied, find, in_turn, unwatch, watch_limits},
};
use async_trait::async_trait;
use std::{os::fd::OwnedFd, path::PathBuf, sync::Arc, time::Duration};
use toft_model::{
    checkpoint::{CheckpointId, Diff, Ticket},
    event::LimitHit,
    id::ProjectId,
    machine::{Ability, Can, DiskUse, Limits},
};
use tokio::{
    net::UnixStream,
    sync::{broadcast, watch},
    task::spawn_blocking,
};

#[async_trait]
impl<B: Walls> Backend for B {
    fn name(&self) -> &'static str {
        B::NAME
    }

    async fn abilities(&self) -> Vec<Ability> {
        self.found()
    }

    fn storage(&self) -> String {
        self.copied().map_or("plain folder", |disks| disks.pool.storage.name()).to_owned()
    }

    fn can(&self) -> Can {
        self.able()
    }

    fn images(&self) -> Option<&dyn Images> {
        self.prepared()
    }

    async fn pack(&self, project: &ProjectId, part: Part, to: OwnedFd) -> Result<(), MachineError> {
        let pack = move |b: &B, project: &ProjectId| match b.place(project, part) {
            Some(place) => carried::pack(project, &place, to),
            None => carried::nothing(project, to),
        };
        in_turn(self, project, pack).await
    }

    async fn unpack(
        &self,
        project: &ProjectId,
        part: Part,
        from: OwnedFd,
    ) -> Result<(), MachineError> {
        let unpack = move |b: &B, project: &ProjectId| match b.place(project, part) {
            Some(place) => carried::unpack(project, &place, from),
            None => carried::pass_over(project, from),
        };
        in_turn(self, project, unpack).await
    }

    async fn leave(&self, project: &ProjectId) -> Result<(), MachineError> {
        let (backend, project) = (self.clone(), project.clone());
        to_its_end(async move {
            let _turn = backend.machines().turns.take(&project).await;
            backend.end(&project, Duration::ZERO).await?;
            beside(&backend, &project, <B as Walls>::leave).await
        })
        .await
    }

    fn carries(&self) -> Result<(), String> {
        carried::may()
    }

    async fn close(&self) -> Result<(), MachineError> {
        self.let_go().await
    }

    async fn create(&self, project: &ProjectId) -> Result<(), MachineError> {
        let turn = self.machines().turns.take(project).await;
        self.make(project, turn).await
    }

    async fn start(&self, spec: StartSpec) -> Result<Running, MachineError> {
        let backend = self.clone();
        to_its_end(async move {
            let project = spec.project.clone();
            let _turn = backend.machines().turns.take(&project).await;
            let running = if let Some(running) = find(&backend, &project).await? {
                running
            } else {
                // What was watched has ended by itself.
                unwatch(&backend, &project).await;
                backend.launch(spec).await?
            };
            watch_limits(&backend, &project);
            Ok(running)
        })
        .await
    }

    async fn adopt(&self, project: &ProjectId) -> Result<Option<Running>, MachineError> {
        let _turn = self.machines().turns.take(project).await;
        let running = find(self, project).await?;
        if running.is_some() {
            watch_limits(self, project);
        }
        Ok(running)
    }

    async fn stop(&self, project: &ProjectId, grace: Duration) -> Result<(), MachineError> {
        let (backend, project) = (self.clone(), project.clone());
        to_its_end(async move {
            let _turn = backend.machines().turns.take(&project).await;
            backend.end(&project, grace).await
        })
        .await
    }

    async fn destroy(&self, project: &ProjectId) -> Result<(), MachineError> {
        let (backend, project) = (self.clone(), project.clone());
        to_its_end(async move {
            let turn = backend.machines().turns.take(&project).await;
            backend.end(&project, Duration::ZERO).await?;
            beside(&backend, &project, B::remove).await?;
            backend.machines().turns.end(&project, turn);
            Ok(())
        })
        .await
    }

    async fn sweep(&self, known: &[ProjectId]) -> Result<(), MachineError> {
        let (runs, wanted) = (self.machines().folders.runs(), known.to_vec());
        for project in blocking(move || running::unwanted(&runs, &wanted)).await {
            let _turn = self.machines().turns.take(&project).await;
            // Otherwise it was started since then: it is not what was looked at.
            if !known.contains(&project) || !self.machines().runs(&project) {
                self.end(&project, Duration::ZERO).await?;
            }
        }
        self.sweep_own(known).await?;
        let backend = self.clone();
        let kept = move || backend.copied().map(|disks| disks.projects_with_checkpoints());
        for project in blocking(kept).await.into_iter().flatten() {
            let known = known.contains(&project);
            let swept = in_turn(self, &project, move |backend, project| {
                let disks = copied(backend)?;
                disks.sweep_checkpoints(project);
                if known { Ok(()) } else { disks.drop_checkpoints(project) }
            });
            if let Err(e) = swept.await {
                tracing::warn!("checkpoints that nobody needs stay: {e}");
            }
        }
        let (backend, known) = (self.clone(), known.to_vec());
        blocking(move || backend.copied().map(|disks| disks.sweep_groups(&known))).await;
        Ok(())
    }

    async fn connect_init(&self, project: &ProjectId) -> Result<UnixStream, MachineError> {
        running::connect(&self.machines().folders.run(project), INIT_SOCKET, project).await
    }

    async fn connect_bridge(&self, project: &ProjectId) -> Result<UnixStream, MachineError> {
        running::connect(&self.machines().folders.run(project), BRIDGE_SOCKET, project).await
    }

    async fn stats(&self, project: &ProjectId) -> Result<Stats, MachineError> {
        let run = self.machines().folders.run(project);
        Ok(blocking(move || running::stats(&run)).await)
    }

    fn log_dir(&self, project: &ProjectId) -> PathBuf {
        self.log(project)
    }

    async fn checkpoint(
        &self,
        project: &ProjectId,
        id: &CheckpointId,
    ) -> Result<Checkpointed, MachineError> {
        let id = id.clone();
        in_turn(self, project, move |b, project| copied(b)?.checkpoint(project, &id)).await
    }

    async fn checkpoints(&self, project: &ProjectId) -> Result<Vec<CheckpointId>, MachineError> {
        let list = |b: &B, project: &ProjectId| {
            b.copied().map_or_else(|| Ok(Vec::new()), |disks| disks.checkpoints(project))
        };
        beside(self, project, list).await
    }

    async fn drop_checkpoint(
        &self,
        project: &ProjectId,
        id: &CheckpointId,
    ) -> Result<(), MachineError> {
        let id = id.clone();
        let remove = move |b: &B, project: &ProjectId| {
            b.copied().map_or(Ok(()), |disks| disks.drop_checkpoint(project, &id))
        };
        in_turn(self, project, remove).await
    }

    async fn export(
        &self,
        project: &ProjectId,
        id: &CheckpointId,
        to: OwnedFd,
    ) -> Result<(), MachineError> {
        let id = id.clone();
        beside(self, project, move |b, project| copied(b)?.export(project, &id, to)).await
    }

    async fn import(&self, project: &ProjectId, from: OwnedFd) -> Result<(), MachineError> {
        in_turn(self, project, move |b, project| copied(b)?.import(project, from)).await
    }

    async fn base(&self, project: &ProjectId) -> Result<Option<String>, MachineError> {
        let base = |b: &B, project: &ProjectId| {
            let Some(disks) = b.copied() else { return Ok(None) };
            disks.base(&disks.made_disk(project)?, project).map(Some)
        };
        beside(self, project, base).await
    }

    async fn is_small(
        &self,
        project: &ProjectId,
        files_max: u64,
        bytes_max: u64,
    ) -> Result<bool, MachineError> {
        let look = move |b: &B, project: &ProjectId| {
            let small = |disks: &dyn Copied| disks.is_small(project, files_max, bytes_max);
            b.copied().map_or(Ok(false), small)
        };
        beside(self, project, look).await
    }

    async fn restore(
        &self,
        project: &ProjectId,
        id: &CheckpointId,
        ticket: &Ticket,
        force: bool,
    ) -> Result<(), MachineError> {
        let (id, ticket) = (id.clone(), ticket.clone());
        let restore = move |b: &B, project: &ProjectId| {
            let disks = copied(b)?;
            let old = disks.restore(project, &id, &ticket, force)?;
            let Some(going) = disks.leaving.begin(project) else {
                disks.remove_replaced(&old, project);
                return Ok(());
            };
            // Begun here: a caller that is cancelled leaves no disk.
            let (b, project) = (b.clone(), project.clone());
            spawn_blocking(move || {
                if let Some(disks) = b.copied() {
                    disks.remove_replaced(&old, &project);
                }
                drop(going);
            });
            Ok(())
        };
        in_turn(self, project, restore).await
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
        let at_once = checkpoint.is_some() && copied(self)?.pool.storage.keeps_live();
        // In one order whoever forks whom, so that two never wait for each other.
        let (first, second) = if from < to { (from, to) } else { (to, from) };
        let (turn, second) = if at_once {
            (None, to)
        } else {
            (Some(self.machines().turns.take(first).await), second)
        };
        let (from, to) = (from.clone(), to.clone());
        let (checkpoint, ticket) = (checkpoint.cloned(), ticket.clone());
        let work = in_turn(self, second, move |b, _| {
            let forked = copied(b)?.fork(&from, checkpoint.as_ref(), &to, &ticket);
            drop(turn);
            forked
        });
        work.await
    }

    async fn keep_of(
        &self,
        from: &ProjectId,
        to: &ProjectId,
        id: &CheckpointId,
    ) -> Result<Checkpointed, MachineError> {
        if from == to {
            return self.checkpoint(to, id).await;
        }
        // In the order of forks, so that two never wait for each other.
        let (first, second) = if from < to { (from, to) } else { (to, from) };
        let turn = self.machines().turns.take(first).await;
        let (from, to, id) = (from.clone(), to.clone(), id.clone());
        let work = in_turn(self, second, move |b, _| {
            let kept = copied(b)?.keep_of(&from, &to, &id);
            drop(turn);
            kept
        });
        work.await
    }

    async fn diff_of_fork(
        &self,
        origin: &ProjectId,
        from: &CheckpointId,
        fork: &ProjectId,
        max: usize,
    ) -> Result<Diff, MachineError> {
        let (origin, from) = (origin.clone(), from.clone());
        let diff =
            move |b: &B, fork: &ProjectId| copied(b)?.diff_of_fork(&origin, &from, fork, max);
        beside(self, fork, diff).await
    }

    async fn diff(
        &self,
        project: &ProjectId,
        from: &CheckpointId,
        to: Option<&CheckpointId>,
        max: usize,
    ) -> Result<Diff, MachineError> {
        let (from, to) = (from.clone(), to.cloned());
        let diff =
            move |b: &B, project: &ProjectId| copied(b)?.diff(project, &from, to.as_ref(), max);
        beside(self, project, diff).await
    }

    async fn freeze(&self, project: &ProjectId) -> Result<(), MachineError> {
        let freeze = |b: &B, project: &ProjectId| {
            let machines = b.machines();
            frozen::freeze(&machines.folders.run(project), project)
                .inspect(|()| machines.watches.end(project))
        };
        in_turn(self, project, freeze).await
    }

    async fn thaw(&self, project: &ProjectId) -> Result<(), MachineError> {
        let thaw =
            |b: &B, project: &ProjectId| frozen::thaw(&b.machines().folders.run(project), project);
        in_turn(self, project, thaw).await?;
        watch_limits(self, project);
        Ok(())
    }

    async fn is_frozen(&self, project: &ProjectId) -> Result<bool, MachineError> {
        let look =
            |b: &B, project: &ProjectId| frozen::is_frozen(&b.machines().folders.run(project));
        Ok(in_turn(self, project, look).await)
    }

    async fn set_limits(&self, project: &ProjectId, limits: &Limits) -> Result<(), MachineError> {
        let turn = self.machines().turns.take(project).await;
        let wanted = limits.clone();
        let set = move |b: &B, project: &ProjectId| (limit(b, project, &wanted), turn);
        let (set, _turn) = beside(self, project, set).await;
        set?;
        self.pass_limits(project, limits).await
    }

    fn limit_hits(&self) -> broadcast::Receiver<(ProjectId, LimitHit)> {
        self.machines().watches.hits()
    }

    fn room(&self) -> watch::Receiver<Room> {
        match self.copied() {
            Some(disks) => disks.room.subscribe(),
            None => watch::channel(Room::default()).1,
        }
    }

    async fn why_paused(&self, project: &ProjectId) -> Option<String> {
        let look = |b: &B, project: &ProjectId| full::why_paused(b.copied()?, project);
        beside(self, project, look).await
    }

    async fn disk(&self, project: &ProjectId) -> Result<DiskUse, MachineError> {
        let look = |b: &B, project: &ProjectId| {
            b.copied().map_or_else(|| Ok(DiskUse::default()), |disks| disks.disk_use(project))
        };
        beside(self, project, look).await
    }

    async fn shared_bytes(&self, project: &ProjectId) -> Result<Option<u64>, MachineError> {
        let Some(looking) = self.copied().map(|disks| Arc::clone(&disks.looking)) else {
            return Ok(None);
        };
        // One after the other: each takes a processor for as long as it lasts.
        let turn = looking.lock_owned().await;
        let look = move |b: &B, project: &ProjectId| {
            let shared = copied(b)?.shared_bytes(project);
            drop(turn);
            shared
        };
        beside(self, project, look).await
    }

    async fn files(&self, project: &ProjectId) -> Result<Option<Files>, MachineError> {
        beside(self, project, B::at_rest).await
    }

    async fn read(
        &self,
        project: &ProjectId,
        at: Option<&CheckpointId>,
        path: &str,
        max: u64,
    ) -> Result<Option<Vec<u8>>, MachineError> {
        let (at, path) = (at.cloned(), path.to_owned());
        let read =
            move |b: &B, project: &ProjectId| copied(b)?.read(project, at.as_ref(), &path, max);
        beside(self, project, read).await
    }
}

/// Changes the limits that are ours: those of a machine that runs, and the bound of its disk in any case.
fn limit<B: Walls>(backend: &B, project: &ProjectId, limits: &Limits) -> Result<(), MachineError> {
    let machines = backend.machines();
    // What happened under the old limits is told of those.
    machines.watches.look(project);
    if let Some(groups) = backend.groups(project) {
        limited::set(&machines.folders.run(project), project, &groups, limits)?;
    }
    if let Some(disks) = backend.copied() {
        disks.bound_if_made(project, limits.disk_bytes)?;
    }
    machines.watches.look(project);
    Ok(())
}
