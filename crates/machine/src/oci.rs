//! Backend `oci`: a machine is a container of Podman or Docker, asked through the engine's socket.
//! Its disk lies on Toft's own storage and is bound into the container, so that checkpoints, forks
//! and restores are those of `native`; the container itself holds nothing and lives as long as the
//! machine runs. Init, bridge and gateway are the same: only the walls are somebody else's.

mod contract;
mod disks;
mod engine;
mod frame;
mod libpod;
mod life;
mod probe;
mod tree;

use crate::{
    backend::MachineError,
    folders::{Folders, rand_name},
    native::binary::Binary,
    running::{self, blocking, step},
    state::State,
    steps,
    storage::Pool,
    turns::Turns,
};
use engine::Engine;
use std::{
    collections::HashMap,
    fmt, fs, io,
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
    folders: Folders,
    binary: Binary,
    pool: Pool,
    /// Names this data folder among those that use the same engine.
    identity: String,
    found: probe::Found,
    turns: Turns,
}

/// Label of all containers of a data folder; its value names the folder.
const LABEL_DATA: &str = "toft.data";
/// Label of a machine's container.
const LABEL_PROJECT: &str = "toft.project";
/// What checkpoints lie over: nothing. A disk holds a whole system, whatever the image is by now.
const BASE: &str = "whole";
/// File in a machine's run folder: it is paused on purpose.
const PAUSED: &str = "paused";
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
    let found = probe::Found::default();
    let turns = Turns::default();
    let mut inner = Inner { engine, image, key, folders, binary, pool, identity, found, turns };
    inner.make_template().await?;
    inner.found = probe::trial(&inner, &inner.template()).await?;
    Ok(Oci(Arc::new(inner)))
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
    let identity = identity(&folders.store()).map_err(cannot("name of the data folder"))?;
    let exe = fs::canonicalize(exe).map_err(|e| MachineError::Unsupported {
        missing: format!("the program {} cannot be used: {e}", exe.display()),
        remedy: "Start `toft` from where it is installed.".to_owned(),
    })?;
    let loader = toft_jail::loader::own().map_err(cannot("loader of this program"))?;
    let binary = Binary::new(&exe, loader.as_deref());
    Ok((folders, pool, binary, identity))
}

/// The name that a data folder keeps wherever it is moved.
fn identity(store: &Path) -> io::Result<String> {
    let path = store.join("oci-identity");
    match fs::read_to_string(&path) {
        Ok(name) if !name.trim().is_empty() => return Ok(name.trim().to_owned()),
        Err(e) if e.kind() != io::ErrorKind::NotFound => return Err(e),
        _ => {}
    }
    let name = rand_name();
    let new = path.with_extension("new");
    fs::write(&new, &name)?;
    fs::rename(new, path)?;
    Ok(name)
}

impl Oci {
    /// Lets go of the storage when no machine runs. With machines running it does nothing.
    pub async fn close(&self) -> Result<(), MachineError> {
        let inner = Arc::clone(&self.0);
        let close = move || {
            let runs = running::started(&inner.folders.runs());
            if runs.iter().any(|(_, alive)| *alive) {
                return Ok(());
            }
            inner.pool.close()
        };
        blocking(close).await.map_err(|e| MachineError::Unsupported {
            missing: format!("the storage could not be closed: {e}"),
            remedy: "Look who still uses it (`fuser -vm` on the folder), then run `toft down` \
                     again."
                .to_owned(),
        })
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

    /// Lets a machine stand still while `work` is done with its disk. The caller holds its turn.
    async fn stand_still<T: Send + 'static>(
        &self,
        project: &ProjectId,
        what: &'static str,
        work: impl FnOnce(&Inner, bool) -> Result<T, MachineError> + Send + 'static,
    ) -> Result<T, MachineError> {
        let inner = Arc::clone(&self.0);
        let run = inner.folders.run(project);
        let runs = inner.runs(project);
        let is_paused = run.join(PAUSED).exists();
        let pauses = runs && !is_paused && inner.found.pauses;
        if runs && !is_paused && !pauses && !inner.pool.storage.keeps_live() {
            return Err(MachineError::Unable {
                what,
                why: format!(
                    "the storage ({}) copies file by file, and {} cannot pause the machine \
                     meanwhile; stop the machine first",
                    inner.pool.storage.name(),
                    inner.engine.name
                ),
            });
        }
        let name = inner.container(project);
        if pauses {
            let paused = inner.engine.pause(&name).await;
            paused.map_err(step(project, "pausing the machine"))?;
        }
        let one_moment = !runs || is_paused || pauses;
        let working = Arc::clone(&inner);
        let done = blocking(move || work(&working, one_moment)).await;
        if pauses && let Err(e) = inner.engine.unpause(&name).await {
            tracing::warn!(project.id = %project, "a machine stays paused: {e}");
        }
        done
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

    fn runs(&self, project: &ProjectId) -> bool {
        State::read(&self.folders.run(project)).is_some_and(|state| state.hold().is_some())
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
        let laid = tree::lay_out(&self.engine, &self.image, self.labels(None), &half).await;
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

    /// Lets a paused machine go on, whoever paused it.
    async fn go_on(&self, project: &ProjectId) -> Result<(), MachineError> {
        let going = "letting the machine go on";
        let name = self.container(project);
        let now = self.engine.condition(&name).await.map_err(step(project, going))?;
        if now.is_some_and(|now| now.paused) {
            self.engine.unpause(&name).await.map_err(step(project, going))?;
            steps::reached("thaw.thawed");
        }
        unmark(&self.folders.run(project)).map_err(step(project, going))?;
        steps::reached("thaw.unmarked");
        Ok(())
    }

    /// Puts right what a killed server left half done: a pause without a mark was for a copy.
    async fn settle(&self, project: &ProjectId) -> Result<(), MachineError> {
        if !self.runs(project) {
            let forgetting = "looking at the machine";
            return unmark(&self.folders.run(project)).map_err(step(project, forgetting));
        }
        let looking = step(project, "looking at the machine");
        let now = self.engine.condition(&self.container(project)).await.map_err(looking)?;
        let paused = now.is_some_and(|now| now.paused);
        if paused != self.folders.run(project).join(PAUSED).exists() {
            return self.go_on(project).await;
        }
        Ok(())
    }

    fn is_frozen(&self, project: &ProjectId) -> bool {
        self.runs(project) && self.folders.run(project).join(PAUSED).exists()
    }
}

fn unmark(run: &Path) -> io::Result<()> {
    match fs::remove_file(run.join(PAUSED)) {
        Err(e) if e.kind() != io::ErrorKind::NotFound => Err(e),
        _ => Ok(()),
    }
}
