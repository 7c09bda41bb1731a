//! Backend `oci`: a machine is a container of Podman or Docker, asked through the engine's socket.
//! Its disk lies on Toft's own storage and is bound into the container, so that checkpoints, forks
//! and restores are those of `native`; the container itself holds nothing and lives as long as the
//! machine runs. Init, bridge and gateway are the same: only the walls are somebody else's.

mod contract;
mod engine;
mod files;
mod frame;
mod images;
mod leftover;
mod libpod;
mod life;
mod plan;
mod probe;
mod seat;
mod tree;

use crate::{
    backend::MachineError,
    binary::Binary,
    blocking::blocking,
    cgroup::CgroupHost,
    disks::Disks,
    folders::{Folders, rand_name},
    full,
    images::{Uses, free_for_images},
    running,
    state::State,
    storage::Pool,
};
use engine::Engine;
use leftover::Leftover;
use std::{
    collections::HashMap,
    fmt, fs, io,
    ops::Deref,
    path::{Path, PathBuf},
    sync::Arc,
};
use toft_model::id::ProjectId;

/// What the backend is told.
#[derive(Debug, Clone)]
pub struct OciConfig {
    /// The data folder; made when it is missing.
    pub data_dir: PathBuf,
    /// The `toft` binary: shown inside machines.
    pub exe: PathBuf,
    /// Sockets of engines; the first that exists is used.
    pub sockets: Vec<PathBuf>,
    /// What machines are made of.
    pub image: OciImage,
    /// What all disks together may take, where the storage is an image of our own.
    pub disk_bytes_max: Option<u64>,
}

/// What machines are made of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum OciImage {
    /// An image that the engine has. Never fetched from anywhere.
    Name(String),
    /// A tarball of a root file system, plain or compressed with gzip or zstd.
    Tarball(PathBuf),
}

impl fmt::Display for OciImage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Name(name) => f.write_str(name),
            Self::Tarball(path) => write!(f, "{}", path.display()),
        }
    }
}

/// See the module. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Oci(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    engine: Engine,
    image: OciImage,
    /// Names the content of the image.
    key: String,
    disks: Arc<Disks>,
    binary: Binary,
    /// Names this data folder among those that use the same engine.
    identity: String,
    found: probe::Found,
    /// For making, copying and removing images; taken after a project's turn.
    uses: Uses,
    leftover: Leftover,
}

impl Deref for Inner {
    type Target = Disks;

    fn deref(&self) -> &Disks {
        &self.disks
    }
}

/// Label of all containers of a data folder; its value names the folder.
const LABEL_DATA: &str = "toft.data";
/// Label of a machine's container.
const LABEL_PROJECT: &str = "toft.project";
/// What checkpoints lie over: nothing. A disk holds a whole system, whatever the image is by now.
const BASE: &str = "whole";
/// What the image's disks begin with in the storage's folder.
const TEMPLATE: &str = "oci-";

/// Opens the backend: the engine, the storage, the image's disk, and a trial container.
/// `Unsupported` says what is missing.
pub async fn open(config: OciConfig) -> Result<Oci, MachineError> {
    let engine = engine::find(&config.sockets).await?;
    let key = tree::key(&engine, &config.image).await?;
    let OciConfig { data_dir, exe, image, disk_bytes_max, .. } = config;
    let (folders, pool, binary, identity) =
        blocking(move || open_folders(&data_dir, &exe, disk_bytes_max)).await?;
    let mut inner = Inner {
        engine,
        image,
        key,
        disks: Arc::new(Disks::new(folders, pool)),
        binary,
        identity,
        found: probe::Found::default(),
        uses: Uses::default(),
        leftover: Leftover::default(),
    };
    inner.make_template().await?;
    inner.found = probe::trial(&inner, &inner.template()).await?;
    let inner = Arc::new(inner);
    full::begin(&inner.disks);
    Ok(Oci(inner))
}

fn open_folders(
    data_dir: &Path,
    exe: &Path,
    disk_bytes_max: Option<u64>,
) -> Result<(Folders, Pool, Binary, String), MachineError> {
    let cannot = |what: &'static str| {
        move |e: io::Error| match e.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
                MachineError::DiskFull { step: "opening the data folder" }
            }
            _ => MachineError::Unsupported {
                missing: format!("the {what} in {} cannot be used: {e}", data_dir.display()),
                remedy: "Check who owns the folder and whether it can be written to, or choose \
                         another one with `--data DIR`."
                    .to_owned(),
            },
        }
    };
    let folders = Folders::open(data_dir).map_err(cannot("data folder"))?;
    let pool = Pool::open(&folders.store(), disk_bytes_max).map_err(cannot("storage"))?;
    for path in fs::read_dir(pool.scratch()).into_iter().flatten().flatten().map(|e| e.path()) {
        if let Err(e) = pool.storage.remove(&path) {
            tracing::warn!("a half-made disk stays: {e}");
        }
    }
    let identity = folders.identity("oci-identity").map_err(cannot("name of the data folder"))?;
    let exe = fs::canonicalize(exe).map_err(|e| MachineError::Unsupported {
        missing: format!("the program {} cannot be used: {e}", exe.display()),
        remedy: "Start `toft` from where it is installed.".to_owned(),
    })?;
    let loader = toft_jail::loader::own().map_err(cannot("loader of this program"))?;
    let binary = Binary::new(&exe, loader.as_deref(), folders.data());
    Ok((folders, pool, binary, identity))
}

impl Oci {
    /// Lets go of the storage, and of what the engine keeps for it, when no machine runs. With
    /// machines running it does nothing.
    pub async fn close(&self) -> Result<(), MachineError> {
        let inner = Arc::clone(&self.0);
        let runs = move || running::started(&inner.folders.runs());
        if blocking(runs).await.iter().any(|(_, alive)| *alive) {
            return Ok(());
        }
        frame::forget(&self.0.engine).await;
        let inner = Arc::clone(&self.0);
        blocking(move || inner.disks.close()).await.map_err(|e| MachineError::Unsupported {
            missing: format!("the storage could not be closed: {e}"),
            remedy: "Look who still uses it (`fuser -vm` on the folder), then run `toft down` \
                     again."
                .to_owned(),
        })
    }
}

impl Inner {
    fn container(&self, project: &ProjectId) -> String {
        format!("toft-{}-{project}", self.identity)
    }

    fn labels(&self, project: Option<&ProjectId>) -> HashMap<String, String> {
        let mut labels = HashMap::from([(LABEL_DATA.to_owned(), self.identity.clone())]);
        labels.extend(project.map(|p| (LABEL_PROJECT.to_owned(), p.to_string())));
        labels
    }

    fn template(&self) -> PathBuf {
        self.pool.root.join(&self.key)
    }

    /// Lays the image out once, and forgets those of earlier images: projects hold copies.
    async fn make_template(&self) -> Result<(), MachineError> {
        let template = self.template();
        if template.is_dir() {
            return Ok(());
        }
        let failed = |e: io::Error| match e.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
                MachineError::DiskFull { step: "laying out the image" }
            }
            _ => MachineError::Unsupported {
                missing: format!("the image {} could not be laid out: {e}", self.image),
                remedy: "Look at the message, then start again.".to_owned(),
            },
        };
        let half = self.pool.scratch().join(format!("template-{}", rand_name()));
        self.pool.storage.make(&half).map_err(failed)?;
        let room = free_for_images(&self.pool);
        let labels = self.labels(None);
        let laid = tree::lay_out(&self.engine, &self.image, labels, &half, room).await;
        let made = laid.and_then(|()| {
            self.pool.storage.settle(&half).map_err(failed)?;
            fs::rename(&half, &template).map_err(failed)
        });
        if made.is_err() {
            self.drop_disk(&half);
        }
        made?;
        for path in fs::read_dir(&self.pool.root).into_iter().flatten().flatten().map(|e| e.path())
        {
            let name = path.file_name().unwrap_or_default().as_encoded_bytes();
            if name.starts_with(TEMPLATE.as_bytes()) && path != template {
                self.drop_disk(&path);
            }
        }
        Ok(())
    }

    /// The groups around the container of a machine that runs, as far as they are ours to use.
    fn groups_of(&self, project: &ProjectId) -> Option<CgroupHost> {
        let state = State::read(&self.folders.run(project)).filter(|s| s.hold().is_some())?;
        let host = CgroupHost::around(state.init_pid, project.as_str());
        Some(host.only(&self.found.own))
    }
}
