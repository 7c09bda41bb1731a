//! Backend `native`: a machine is a set of namespaces on this host, made by the launcher of
//! `toft-jail`. No daemon, no image download. Which walls stand is found out by building them once
//! when it is opened.

mod base;
pub(crate) mod binary;
mod by_launcher;
pub(crate) mod checkpoints;
mod contract;
mod files;
pub(crate) mod full;
mod ids;
mod images;
pub(crate) mod life;
mod probe;
pub(crate) mod restore;
pub(crate) mod room;
pub(crate) mod small;

use crate::{
    backend::{MachineError, Room},
    cgroup::CgroupHost,
    folders::Folders,
    frozen,
    image::Image,
    images::Uses,
    running::{self, blocking},
    slots::Slots,
    storage::Pool,
    turns::Turns,
    watch::Watches,
};
use binary::Binary;
use ids::IdKind;
use std::{path::PathBuf, sync::Arc, time::Duration};
use toft_jail::spec::Facts;
use toft_model::{id::ProjectId, machine::Ability};
use tokio::sync::{Mutex as AsyncMutex, OnceCell, watch};

/// What the backend is told.
#[derive(Debug, Clone)]
pub struct NativeConfig {
    /// The data folder; made when it is missing.
    pub data_dir: PathBuf,
    /// The `toft` binary: runs as launcher (`toft __launch 0`), and is shown inside machines.
    pub exe: PathBuf,
    /// Bytes that the disks of all projects and their checkpoints may take together; `None`: as much
    /// as the host has room for.
    pub disk_bytes_max: Option<u64>,
}

/// See the module. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Native(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    folders: Folders,
    exe: PathBuf,
    binary: Binary,
    pool: Pool,
    image: Image,
    ids: IdKind,
    facts: Facts,
    cgroups: CgroupHost,
    slots: Slots,
    abilities: Vec<Ability>,
    /// Set once the template exists.
    template: OnceCell<()>,
    /// Held while a spare disk is made.
    refilling: Arc<AsyncMutex<()>>,
    /// Held while it is looked what a project shares with others.
    looking: Arc<AsyncMutex<()>>,
    /// For start, stop, adopt, create, destroy.
    turns: Turns,
    /// For making, copying and removing images; taken after a project's turn.
    uses: Uses,
    watches: Watches,
    /// Room on disk that all share.
    room: watch::Sender<Room>,
}

/// Opens the backend: the storage, and a trial of every wall. `Unsupported` says what is missing.
pub async fn open(config: NativeConfig) -> Result<Native, MachineError> {
    let inner = blocking(move || probe::open(&config)).await?;
    let native = Native(Arc::new(inner));
    full::begin(&native.0);
    // The first project need not wait for it. Owned by the template's cell: whoever needs it first
    // waits for this one.
    let early = native.clone();
    tokio::spawn(async move {
        if let Err(e) = early.template().await {
            tracing::warn!("the template of machines could not be made yet: {e}");
        }
        early.refill();
    });
    Ok(native)
}

impl Native {
    /// Lets go of the storage when no machine runs: an image is unmounted and its device detached.
    /// With machines running it does nothing.
    pub async fn close(&self) -> Result<(), MachineError> {
        let _no_refill = self.0.refilling.lock().await;
        let inner = Arc::clone(&self.0);
        blocking(move || inner.close()).await
    }

    async fn template(&self) -> Result<(), MachineError> {
        let inner = Arc::clone(&self.0);
        self.0.template.get_or_try_init(|| blocking(move || inner.make_template())).await.copied()
    }

    /// Does what blocks in the project's turn.
    async fn in_turn<T: Send + 'static>(
        &self,
        project: &ProjectId,
        work: impl FnOnce(&Inner, &ProjectId) -> T + Send + 'static,
    ) -> T {
        let turn = self.0.turns.take(project).await;
        let (inner, project) = (Arc::clone(&self.0), project.clone());
        blocking(move || {
            let done = work(&inner, &project);
            // Held here: a caller that is cancelled does not let the next one in.
            drop(turn);
            done
        })
        .await
    }

    /// A machine that a killed server has paused by the way answers nobody.
    async fn settled(&self, project: &ProjectId) {
        let folder = self.0.folders.run(project);
        blocking(move || frozen::settle(&folder)).await;
    }

    /// Sees to it that limits which are reached are told, while a machine runs and is not frozen.
    fn watch(&self, project: &ProjectId) {
        let inner = &self.0;
        let run = inner.folders.run(project);
        if !frozen::is_frozen(&run) {
            inner.watches.begin(project, &inner.cgroups, inner.counter(project), &run);
        }
    }

    /// Watches a machine no longer that has ended by itself; what happened last is told.
    async fn unwatch(&self, project: &ProjectId) {
        let (inner, project) = (Arc::clone(&self.0), project.clone());
        blocking(move || inner.watches.end(&project)).await;
    }

    /// Ends a machine, which is watched until nothing of it runs. The caller holds its turn.
    async fn end_processes(
        &self,
        project: &ProjectId,
        grace: Duration,
    ) -> Result<(), MachineError> {
        let (inner, id) = (Arc::clone(&self.0), project.clone());
        let last_look = move || inner.watches.end(&id);
        let ended =
            running::end_with(&self.0.folders.run(project), project, grace, last_look).await;
        if ended.is_ok() {
            // One that was not there, but watched.
            self.unwatch(project).await;
        }
        ended
    }

    /// Makes the next spare disk in the background; [`Native::close`] waits for it.
    fn refill(&self) {
        let inner = Arc::clone(&self.0);
        tokio::spawn(async move {
            let one_at_a_time = Arc::clone(&inner.refilling).lock_owned().await;
            blocking(move || {
                inner.make_spare();
                drop(one_at_a_time);
            })
            .await;
        });
    }
}

impl full::Shared for Inner {
    fn folders(&self) -> &Folders {
        &self.folders
    }

    fn pool(&self) -> &Pool {
        &self.pool
    }

    fn watches(&self) -> &Watches {
        &self.watches
    }

    fn room(&self) -> &watch::Sender<Room> {
        &self.room
    }
}
