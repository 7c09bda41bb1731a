//! Backend `native`: a machine is a set of namespaces on this host, made by the launcher of
//! `toft-jail`. No daemon, no image download. Which walls stand is found out by building them once
//! when it is opened.

mod base;
mod by_launcher;
mod contract;
mod files;
mod ids;
mod images;
mod life;
mod probe;

use crate::{
    backend::MachineError, binary::Binary, blocking::blocking, cgroup::CgroupHost, disks::Disks,
    full, image::Image, images::Uses, slots::Slots,
};
use ids::IdKind;
use std::{ops::Deref, path::PathBuf, sync::Arc};
use toft_jail::spec::Facts;
use toft_model::machine::Ability;
use tokio::sync::{Mutex as AsyncMutex, OnceCell};

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

/// The least [`NativeConfig::disk_bytes_max`] with which projects can be made and do something.
pub const DISK_BYTES_MAX_LEAST: u64 = crate::storage::IMAGE_BYTES_MIN;

/// See the module. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Native(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    disks: Arc<Disks>,
    exe: PathBuf,
    binary: Binary,
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
    /// For making, copying and removing images; taken after a project's turn.
    uses: Uses,
}

impl Deref for Inner {
    type Target = Disks;

    fn deref(&self) -> &Disks {
        &self.disks
    }
}

/// Opens the backend: the storage, and a trial of every wall. `Unsupported` says what is missing.
pub async fn open(config: NativeConfig) -> Result<Native, MachineError> {
    let inner = blocking(move || probe::open(&config)).await?;
    let native = Native(Arc::new(inner));
    full::begin(&native.0.disks);
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
