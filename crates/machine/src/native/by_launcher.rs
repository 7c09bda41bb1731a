//! What is done to the files of machines by a child of the launcher, which has a machine's ids: an
//! ordinary user who is its server may not look into folders that their owner closed, nor touch files
//! of delegated ids. No walls are built for it.

use crate::{
    launcher::{self, LaunchError},
    storage::Copies,
};
use std::{
    fs::File,
    io,
    path::{Path, PathBuf},
};
use toft_jail::{
    copy::Order,
    spec::{Cgroups, Direct, Ids, Jail, Layers, Spec, Task},
};

/// A task with these ids and without walls, on the disk at `path`.
pub(super) fn spec(ids: Ids, path: &Path, task: Task) -> Spec {
    let jail = Jail {
        hostname: "files".to_owned(),
        ids,
        disk: path.to_owned(),
        overlays: Vec::new(),
        layers: Layers::AsTheyAre,
        direct: Direct::Left,
        binds: Vec::new(),
        handed: None,
    };
    Spec { jail: Some(jail), task, cgroups: Cgroups::default() }
}

/// What such children say beside their report, in the folder of all machines: no machine writes there,
/// and many may be at work at once.
pub(super) fn log(runs: &Path) -> io::Result<File> {
    File::options().append(true).create(true).open(runs.join("files.log"))
}

/// See the module.
#[derive(Debug)]
pub(super) struct ByLauncher {
    pub(super) exe: PathBuf,
    pub(super) ids: Ids,
    /// Folder for its log.
    pub(super) runs: PathBuf,
}

impl Copies for ByLauncher {
    fn copy(&self, order: &Order) -> io::Result<u64> {
        let spec = spec(self.ids.clone(), &order.to, Task::Copy(order.clone()));
        let log = log(&self.runs)?;
        launcher::copy(&self.exe, &spec, log).map_err(|failed| match failed {
            // Whether the disk was full is to be known.
            LaunchError::Failed { errno: Some(errno), why, .. } => {
                io::Error::new(io::Error::from_raw_os_error(errno).kind(), why)
            }
            LaunchError::Io(e) => e,
            other @ (LaunchError::Failed { .. } | LaunchError::Silent) => io::Error::other(other),
        })
    }
}
