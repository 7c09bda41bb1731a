//! What differs between backends ([`Walls`]), and what is the same of all: who waits for whom, and when a
//! machine is watched.

use crate::{
    at_rest::Files,
    backend::{MachineError, Part, Running, StartSpec, no_copies},
    blocking::blocking,
    carried::Place,
    cgroup::CgroupHost,
    disks::Copied,
    frozen,
    images::Images,
    machines::Machines,
    running,
};
use async_trait::async_trait;
use std::{path::PathBuf, time::Duration};
use toft_model::{
    id::ProjectId,
    machine::{Ability, Can, Limits},
};
use tokio::sync::OwnedMutexGuard;

/// What a backend says of itself. Cheap to clone. Who calls what changes a machine holds its turn.
#[async_trait]
pub(crate) trait Walls: Clone + Send + Sync + 'static {
    /// Name of the backend.
    const NAME: &'static str;

    fn machines(&self) -> &Machines;

    /// `None`: its projects are plain folders, and nothing is kept of them.
    fn copied(&self) -> Option<&dyn Copied> {
        None
    }

    fn prepared(&self) -> Option<&dyn Images> {
        None
    }

    /// What is in force.
    fn found(&self) -> Vec<Ability>;

    fn able(&self) -> Can;

    /// Where a project's log folder lies.
    fn log(&self, project: &ProjectId) -> PathBuf;

    /// A project's files on its disk; `None`: it has none. Blocks.
    fn at_rest(&self, project: &ProjectId) -> Result<Option<Files>, MachineError>;

    /// The groups of a machine, as far as they are ours to use.
    fn groups(&self, project: &ProjectId) -> Option<CgroupHost>;

    /// Makes a project's disk. There already: done. Who is cancelled lets nobody in before that: the turn
    /// goes along with what blocks.
    async fn make(
        &self,
        project: &ProjectId,
        turn: OwnedMutexGuard<()>,
    ) -> Result<(), MachineError>;

    /// Starts a machine that does not run.
    async fn launch(&self, spec: StartSpec) -> Result<Running, MachineError>;

    /// Where a part of what a project carries to other backends lies; `None`: it stays behind.
    fn place(&self, project: &ProjectId, part: Part) -> Option<Place>;

    /// Removes the disk and the log of a machine that does not run, and not its checkpoints. Blocks.
    fn leave(&self, project: &ProjectId) -> Result<(), MachineError> {
        copied(self)?.leave(project)
    }

    /// Lets go of what no machine needs.
    async fn let_go(&self) -> Result<(), MachineError>;

    /// Ends a machine, which is watched until nothing of it runs.
    async fn end(&self, project: &ProjectId, grace: Duration) -> Result<(), MachineError> {
        end(self, project, grace).await
    }

    /// Removes every trace of a machine that does not run. Blocks.
    fn remove(&self, project: &ProjectId) -> Result<(), MachineError> {
        copied(self)?.destroy(project)
    }

    /// Removes what machines that no longer run have left in places that only this backend knows. Takes
    /// turns itself.
    async fn sweep_own(&self, _known: &[ProjectId]) -> Result<(), MachineError> {
        Ok(())
    }

    /// Has those limits changed that are not ours to keep.
    async fn pass_limits(
        &self,
        _project: &ProjectId,
        _limits: &Limits,
    ) -> Result<(), MachineError> {
        Ok(())
    }
}

/// Does what blocks, whoever else changes the machine.
pub(crate) async fn beside<B: Walls, T: Send + 'static>(
    backend: &B,
    project: &ProjectId,
    work: impl FnOnce(&B, &ProjectId) -> T + Send + 'static,
) -> T {
    let (backend, project) = (backend.clone(), project.clone());
    blocking(move || work(&backend, &project)).await
}

/// Does what blocks in the project's turn.
pub(crate) async fn in_turn<B: Walls, T: Send + 'static>(
    backend: &B,
    project: &ProjectId,
    work: impl FnOnce(&B, &ProjectId) -> T + Send + 'static,
) -> T {
    let turn = backend.machines().turns.take(project).await;
    beside(backend, project, move |backend, project| {
        let done = work(backend, project);
        // Held here: a caller that is cancelled does not let the next one in.
        drop(turn);
        done
    })
    .await
}

pub(crate) fn copied<B: Walls>(backend: &B) -> Result<&dyn Copied, MachineError> {
    backend.copied().ok_or_else(|| no_copies(B::NAME))
}

/// Sees to it that limits which are reached are told, while a machine runs and is not frozen.
pub(crate) fn watch_limits<B: Walls>(backend: &B, project: &ProjectId) {
    let machines = backend.machines();
    let run = machines.folders.run(project);
    if !frozen::is_frozen(&run)
        && let Some(groups) = backend.groups(project)
    {
        let counter = backend.copied().and_then(|disks| disks.counter(project));
        machines.watches.begin(project, &groups, counter, &run);
    }
}

/// Watches a machine no longer that has ended by itself; what happened last is told.
pub(crate) async fn unwatch<B: Walls>(backend: &B, project: &ProjectId) {
    beside(backend, project, |backend, project| backend.machines().watches.end(project)).await;
}

/// Ends the processes of a machine.
pub(crate) async fn end<B: Walls>(
    backend: &B,
    project: &ProjectId,
    grace: Duration,
) -> Result<(), MachineError> {
    let run = backend.machines().folders.run(project);
    let (watching, id) = (backend.clone(), project.clone());
    let last_look = move || watching.machines().watches.end(&id);
    let ended = running::end_with(&run, project, grace, last_look).await;
    if ended.is_ok() {
        // One that was not there, but watched.
        unwatch(backend, project).await;
    }
    ended
}

/// The machine, if it runs. One that a killed server has paused by the way answers nobody: it goes on.
pub(crate) async fn find<B: Walls>(
    backend: &B,
    project: &ProjectId,
) -> Result<Option<Running>, MachineError> {
    let run = backend.machines().folders.run(project);
    beside(backend, project, |backend, project| {
        frozen::settle(&backend.machines().folders.run(project));
    })
    .await;
    running::adopt(&run, project).await
}
