//! Backend `native`: a machine is a set of namespaces on this host, made by the launcher of
//! `toft-jail`. No daemon, no image download. Which walls stand is found out by building them once
//! when it is opened.

mod binary;
mod ids;
mod life;
mod probe;

use crate::{
    backend::{Backend, MachineError, Running, StartSpec, Stats},
    cgroup::CgroupHost,
    folders::{BRIDGE_SOCKET, Folders, INIT_SOCKET},
    image::Image,
    running::{self, blocking},
    slots::Slots,
    storage::Pool,
    turns::Turns,
};
use async_trait::async_trait;
use binary::Binary;
use ids::IdKind;
use std::{path::PathBuf, sync::Arc, time::Duration};
use toft_jail::spec::Facts;
use toft_model::{id::ProjectId, machine::Ability};
use tokio::{
    net::UnixStream,
    sync::{Mutex as AsyncMutex, OnceCell},
};

/// What the backend is told.
#[derive(Debug, Clone)]
pub struct NativeConfig {
    /// The data folder; made when it is missing.
    pub data_dir: PathBuf,
    /// The `toft` binary: runs as launcher (`toft __launch 0`), and is shown inside machines.
    pub exe: PathBuf,
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
    /// For start, stop, adopt, create, destroy.
    turns: Turns,
}

/// Opens the backend: the storage, and a trial of every wall. `Unsupported` says what is missing.
pub async fn open(config: NativeConfig) -> Result<Native, MachineError> {
    let inner = blocking(move || probe::open(&config)).await?;
    let native = Native(Arc::new(inner));
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

    async fn create(&self, project: &ProjectId) -> Result<(), MachineError> {
        let _turn = self.0.turns.take(project).await;
        self.template().await?;
        let (inner, project) = (Arc::clone(&self.0), project.clone());
        let made = blocking(move || inner.create(&project)).await;
        self.refill();
        made
    }

    async fn start(&self, spec: StartSpec) -> Result<Running, MachineError> {
        let _turn = self.0.turns.take(&spec.project).await;
        let folder = self.0.folders.run(&spec.project);
        if let Some(running) = running::adopt(&folder, &spec.project).await? {
            return Ok(running);
        }
        life::start(&self.0, spec).await
    }

    async fn adopt(&self, project: &ProjectId) -> Result<Option<Running>, MachineError> {
        let _turn = self.0.turns.take(project).await;
        running::adopt(&self.0.folders.run(project), project).await
    }

    async fn stop(&self, project: &ProjectId, grace: Duration) -> Result<(), MachineError> {
        let _turn = self.0.turns.take(project).await;
        running::end(&self.0.folders.run(project), project, grace).await
    }

    async fn destroy(&self, project: &ProjectId) -> Result<(), MachineError> {
        let turn = self.0.turns.take(project).await;
        running::end(&self.0.folders.run(project), project, Duration::ZERO).await?;
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
}
