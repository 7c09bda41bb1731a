//! Each call to the backend of its project; where a checkpoint is named, to the one that has it.

use super::{Several, carry};
use crate::{
    at_rest::Files,
    backend::{
        Backend, Checkpointed, Far, MachineError, Part, Report, Room, Running, StartSpec, Stats,
    },
    images::Images,
};
use async_trait::async_trait;
use std::{
    os::fd::OwnedFd,
    path::PathBuf,
    sync::{Arc, PoisonError},
    time::Duration,
};
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

impl Several {
    fn own(&self) -> &dyn Backend {
        self.all[0].seen()
    }

    /// The backend that has a checkpoint of a project: its own, or one that it was of before.
    async fn with(
        &self,
        project: &ProjectId,
        id: &CheckpointId,
    ) -> Result<Arc<dyn Backend>, MachineError> {
        let own = self.at(project).await?;
        let now = self.member(project).name;
        let others: Vec<_> = self.used().filter(|one| one.name != now).collect();
        if others.is_empty() || own.checkpoints(project).await?.contains(id) {
            return Ok(own);
        }
        let mut failed = None;
        for other in others {
            let looked = async {
                let other = self.open(other).await?;
                let all = other.checkpoints(project).await?;
                Ok::<_, MachineError>(all.contains(id).then_some(other))
            };
            match looked.await {
                Ok(Some(other)) => return Ok(other),
                Ok(None) => {}
                Err(error) => failed = Some(error),
            }
        }
        failed.map_or(Ok(own), Err)
    }

    /// The same, when it must be the one that the project is of now.
    async fn with_here(
        &self,
        project: &ProjectId,
        id: &CheckpointId,
        what: &'static str,
    ) -> Result<Arc<dyn Backend>, MachineError> {
        let has = self.with(project, id).await?;
        let now = self.member(project).name;
        if has.name() == now {
            return Ok(has);
        }
        let then = has.name();
        Err(MachineError::Unable {
            what,
            why: format!(
                "it was taken while the project was on `{then}`, and now it is on `{now}`: fork it, or ask for a \
                 run with workspaceBackend {then}, which moves the project there, and do it then"
            ),
        })
    }
}

#[async_trait]
impl Backend for Several {
    fn name(&self) -> &'static str {
        self.own().name()
    }

    fn one_of(&self, project: &ProjectId) -> Option<&dyn Backend> {
        Some(self.member(project).seen())
    }

    fn choices(&self) -> Vec<&'static str> {
        self.all.iter().filter(|one| one.is_offered()).map(|one| one.name).collect()
    }

    fn is_open(&self, name: &str) -> bool {
        self.opened().any(|(_, one)| one.name() == name)
    }

    async fn look_at(&self, name: &str) -> Result<Report, MachineError> {
        let backend = self.open(&self.all[self.named(name)?]).await?;
        Ok(Report { abilities: backend.abilities().await, storage: backend.storage() })
    }

    async fn assign(&self, project: &ProjectId, name: &str) -> Result<(), MachineError> {
        let index = self.named(name)?;
        self.put(project, index);
        self.open(&self.all[index]).await.map(|_| ())
    }

    async fn carry(&self, project: &ProjectId, to: &str) -> Result<(), MachineError> {
        let from = self.at(project).await?;
        let to = self.open(&self.all[self.named(to)?]).await?;
        if from.name() == to.name() {
            return Ok(());
        }
        carry(&*from, &*to, project).await
    }

    fn can_carry(&self, project: &ProjectId, to: &str) -> Result<(), String> {
        let to = &self.all[self.named(to).map_err(|e| e.to_string())?];
        self.member(project).seen().carries()?;
        // One that nobody has opened yet says it then.
        to.now().map_or(Ok(()), |to| to.carries())
    }

    async fn leave_others(&self, project: &ProjectId) -> Result<(), MachineError> {
        let now = self.member(project).name;
        let mut left = Vec::new();
        for member in self.used().filter(|one| one.name != now) {
            // Its log folder is made before its disk, and goes after it.
            let has_log = member.seen().log_dir(project).is_dir();
            let other = match member.now() {
                Some(other) => Arc::clone(other),
                None if has_log => self.open(member).await?,
                None => continue,
            };
            if has_log || matches!(other.files(project).await, Ok(Some(_))) {
                left.push(other);
            }
        }
        if left.is_empty() || !self.at(project).await?.is_made(project).await? {
            return Ok(());
        }
        for other in left {
            other.leave(project).await?;
        }
        Ok(())
    }

    async fn close(&self) -> Result<(), MachineError> {
        let mut done = Ok(());
        for (_, backend) in self.opened() {
            done = backend.close().await.and(done);
        }
        done
    }

    async fn abilities(&self) -> Vec<Ability> {
        self.own().abilities().await
    }

    fn storage(&self) -> String {
        self.own().storage()
    }

    fn can(&self) -> Can {
        self.own().can()
    }

    /// Those of the server's own.
    fn images(&self) -> Option<&dyn Images> {
        self.own().images()
    }

    async fn create(&self, project: &ProjectId) -> Result<(), MachineError> {
        self.at(project).await?.create(project).await
    }

    async fn is_made(&self, project: &ProjectId) -> Result<bool, MachineError> {
        self.at(project).await?.is_made(project).await
    }

    async fn start(&self, spec: StartSpec) -> Result<Running, MachineError> {
        self.at(&spec.project).await?.start(spec).await
    }

    async fn adopt(&self, project: &ProjectId) -> Result<Option<Running>, MachineError> {
        self.at(project).await?.adopt(project).await
    }

    async fn stop(&self, project: &ProjectId, grace: Duration) -> Result<(), MachineError> {
        self.at(project).await?.stop(project, grace).await
    }

    async fn destroy(&self, project: &ProjectId) -> Result<(), MachineError> {
        self.at(project).await?.destroy(project).await?;
        // What it left where it was before.
        for other in self.others(project) {
            let has_any = other.log_dir(project).is_dir()
                || matches!(other.files(project).await, Ok(Some(_)))
                || !other.checkpoints(project).await?.is_empty();
            if has_any {
                other.destroy(project).await?;
            }
        }
        self.forget(project);
        Ok(())
    }

    /// Every one that was ever used here: a project may have checkpoints in several.
    async fn sweep(&self, known: &[ProjectId]) -> Result<(), MachineError> {
        let mut swept = Ok(());
        for member in self.used() {
            let done = match self.open(member).await {
                Ok(backend) => backend.sweep(known).await,
                Err(error) => Err(error),
            };
            if let Err(error) = done {
                tracing::warn!(backend = member.name, %error, "remains of old machines may stay");
                swept = Err(error);
            }
        }
        swept
    }

    async fn sweep_far(&self, known: &[ProjectId]) -> Result<(), MachineError> {
        let mut swept = Ok(());
        for member in self.used().filter(|one| one.is_far()) {
            let done = match self.open(member).await {
                Ok(backend) => backend.sweep_far(known).await,
                Err(error) => Err(error),
            };
            if let Err(error) = done {
                tracing::warn!(backend = member.name, %error, "machines that nobody has may stay there");
                swept = Err(error);
            }
        }
        swept
    }

    fn far(&self) -> Vec<&'static str> {
        let far = self.all.iter().filter(|one| one.is_offered() && one.is_far());
        far.map(|one| one.name).collect()
    }

    fn called(&self, installation: &str) {
        // It is said once, and stays the same.
        let _ = self.called.set(installation.to_owned());
        for (_, one) in self.opened() {
            one.called(installation);
        }
    }

    fn fenced(&self, project: &ProjectId, fence: u64) {
        self.fences.write().unwrap_or_else(PoisonError::into_inner).insert(project.clone(), fence);
    }

    async fn reaches(&self, project: &ProjectId) -> Result<Option<Far>, MachineError> {
        self.at(project).await?.reaches(project).await
    }

    async fn let_go(&self, project: &ProjectId) -> Result<(), MachineError> {
        let done = self.at(project).await?.let_go(project).await;
        self.forget(project);
        done
    }

    async fn connect_init(&self, project: &ProjectId) -> Result<UnixStream, MachineError> {
        self.at(project).await?.connect_init(project).await
    }

    async fn connect_bridge(&self, project: &ProjectId) -> Result<UnixStream, MachineError> {
        self.at(project).await?.connect_bridge(project).await
    }

    async fn stats(&self, project: &ProjectId) -> Result<Stats, MachineError> {
        self.at(project).await?.stats(project).await
    }

    fn log_dir(&self, project: &ProjectId) -> PathBuf {
        self.member(project).seen().log_dir(project)
    }

    async fn checkpoint(
        &self,
        project: &ProjectId,
        id: &CheckpointId,
    ) -> Result<Checkpointed, MachineError> {
        self.at(project).await?.checkpoint(project, id).await
    }

    /// Those that lie with the backend that the project is of now.
    async fn checkpoints(&self, project: &ProjectId) -> Result<Vec<CheckpointId>, MachineError> {
        self.at(project).await?.checkpoints(project).await
    }

    async fn checkpoints_at(
        &self,
        project: &ProjectId,
        backend: &str,
    ) -> Result<Vec<CheckpointId>, MachineError> {
        let backend = self.open(&self.all[self.named(backend)?]).await?;
        backend.checkpoints(project).await
    }

    async fn drop_checkpoint(
        &self,
        project: &ProjectId,
        id: &CheckpointId,
    ) -> Result<(), MachineError> {
        self.with(project, id).await?.drop_checkpoint(project, id).await
    }

    async fn base(&self, project: &ProjectId) -> Result<Option<String>, MachineError> {
        self.at(project).await?.base(project).await
    }

    async fn is_small(
        &self,
        project: &ProjectId,
        files_max: u64,
        bytes_max: u64,
    ) -> Result<bool, MachineError> {
        self.at(project).await?.is_small(project, files_max, bytes_max).await
    }

    async fn restore(
        &self,
        project: &ProjectId,
        id: &CheckpointId,
        ticket: &Ticket,
        force: bool,
    ) -> Result<(), MachineError> {
        let here = self.with_here(project, id, "going back to this checkpoint").await?;
        here.restore(project, id, ticket, force).await
    }

    /// A fork is of the backend that what it is made of lies with.
    async fn fork(
        &self,
        from: &ProjectId,
        checkpoint: Option<&CheckpointId>,
        to: &ProjectId,
        ticket: &Ticket,
    ) -> Result<(), MachineError> {
        let backend = match checkpoint {
            Some(id) => self.with(from, id).await?,
            None => self.at(from).await?,
        };
        self.put(to, self.named(backend.name())?);
        backend.fork(from, checkpoint, to, ticket).await
    }

    async fn export(
        &self,
        project: &ProjectId,
        id: &CheckpointId,
        to: OwnedFd,
    ) -> Result<(), MachineError> {
        self.with(project, id).await?.export(project, id, to).await
    }

    async fn import(&self, project: &ProjectId, from: OwnedFd) -> Result<(), MachineError> {
        self.at(project).await?.import(project, from).await
    }

    async fn pack(&self, project: &ProjectId, part: Part, to: OwnedFd) -> Result<(), MachineError> {
        self.at(project).await?.pack(project, part, to).await
    }

    async fn unpack(
        &self,
        project: &ProjectId,
        part: Part,
        from: OwnedFd,
    ) -> Result<(), MachineError> {
        self.at(project).await?.unpack(project, part, from).await
    }

    async fn rest(&self, project: &ProjectId) -> Result<(), MachineError> {
        self.at(project).await?.rest(project).await
    }

    async fn leave(&self, project: &ProjectId) -> Result<(), MachineError> {
        self.at(project).await?.leave(project).await
    }

    async fn keep_of(
        &self,
        from: &ProjectId,
        to: &ProjectId,
        id: &CheckpointId,
    ) -> Result<Checkpointed, MachineError> {
        let (one, other) = (self.member(from).name, self.member(to).name);
        if one != other {
            return Err(MachineError::Unable {
                what: "keeping a fork as a checkpoint",
                why: format!("the fork is on `{one}`, and the project on `{other}` by now"),
            });
        }
        self.at(to).await?.keep_of(from, to, id).await
    }

    async fn diff_of_fork(
        &self,
        origin: &ProjectId,
        from: &CheckpointId,
        fork: &ProjectId,
        max: usize,
    ) -> Result<Diff, MachineError> {
        self.at(fork).await?.diff_of_fork(origin, from, fork, max).await
    }

    async fn diff(
        &self,
        project: &ProjectId,
        from: &CheckpointId,
        to: Option<&CheckpointId>,
        max: usize,
    ) -> Result<Diff, MachineError> {
        let backend = match to {
            Some(_) => self.with(project, from).await?,
            None => self.with_here(project, from, "comparing this checkpoint with now").await?,
        };
        backend.diff(project, from, to, max).await
    }

    async fn freeze(&self, project: &ProjectId) -> Result<(), MachineError> {
        self.at(project).await?.freeze(project).await
    }

    async fn thaw(&self, project: &ProjectId) -> Result<(), MachineError> {
        self.at(project).await?.thaw(project).await
    }

    async fn is_frozen(&self, project: &ProjectId) -> Result<bool, MachineError> {
        self.at(project).await?.is_frozen(project).await
    }

    async fn set_limits(&self, project: &ProjectId, limits: &Limits) -> Result<(), MachineError> {
        self.at(project).await?.set_limits(project, limits).await
    }

    fn limit_hits(&self) -> broadcast::Receiver<(ProjectId, LimitHit)> {
        self.hits.subscribe()
    }

    fn room(&self) -> watch::Receiver<Room> {
        self.room.subscribe()
    }

    async fn why_paused(&self, project: &ProjectId) -> Option<String> {
        self.at(project).await.ok()?.why_paused(project).await
    }

    async fn disk(&self, project: &ProjectId) -> Result<DiskUse, MachineError> {
        self.at(project).await?.disk(project).await
    }

    async fn shared_bytes(&self, project: &ProjectId) -> Result<Option<u64>, MachineError> {
        self.at(project).await?.shared_bytes(project).await
    }

    async fn files(&self, project: &ProjectId) -> Result<Option<Files>, MachineError> {
        self.at(project).await?.files(project).await
    }

    async fn read(
        &self,
        project: &ProjectId,
        at: Option<&CheckpointId>,
        path: &str,
        max: u64,
    ) -> Result<Option<Vec<u8>>, MachineError> {
        let backend = match at {
            Some(id) => self.with(project, id).await?,
            None => self.at(project).await?,
        };
        backend.read(project, at, path, max).await
    }
}
