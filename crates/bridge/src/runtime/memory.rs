//! What the agent remembers of the project beside its sessions: which session is current, and
//! people's settings. In `agent.json`, replaced whole.

use super::blocking;
use serde::{Deserialize, Serialize};
use std::{
    fs::File,
    io::{self, Write as _},
    path::{Path, PathBuf},
    sync::{Mutex, PoisonError},
};
use toft_agent::surroundings::Settings;
use toft_model::id::SessionId;

const FILE: &str = "agent.json";

#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Kept {
    current: Option<SessionId>,
    settings: Settings,
}

/// See the module.
pub(super) struct Memory {
    path: PathBuf,
    kept: Mutex<Kept>,
    /// One writer at a time, so that the newest value is the one on disk.
    writing: tokio::sync::Mutex<()>,
}

impl Memory {
    /// Reads the file in `home` if it is there; one that cannot be read counts as empty. Blocks.
    pub(super) fn open(home: &Path) -> io::Result<Self> {
        std::fs::create_dir_all(home)?;
        let path = home.join(FILE);
        let kept = match std::fs::read(&path) {
            Ok(bytes) => serde_json::from_slice(&bytes).unwrap_or_else(|error| {
                tracing::warn!(%error, "agent.json cannot be read and is made anew");
                Kept::default()
            }),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Kept::default(),
            Err(error) => return Err(error),
        };
        Ok(Self { path, kept: Mutex::new(kept), writing: tokio::sync::Mutex::new(()) })
    }

    pub(super) fn current(&self) -> Option<SessionId> {
        self.kept().current.clone()
    }

    pub(super) fn settings(&self) -> Settings {
        self.kept().settings.clone()
    }

    pub(super) async fn set_current(&self, id: SessionId) -> io::Result<()> {
        self.change(|kept| kept.current = Some(id)).await
    }

    pub(super) async fn set_settings(&self, settings: Settings) -> io::Result<()> {
        self.change(|kept| kept.settings = settings).await
    }

    async fn change(&self, change: impl FnOnce(&mut Kept)) -> io::Result<()> {
        let _one = self.writing.lock().await;
        let mut kept = self.kept().clone();
        change(&mut kept);
        let bytes = serde_json::to_vec(&kept)?;
        let path = self.path.clone();
        blocking(move || replace_file(&path, &bytes)).await?;
        *self.kept() = kept;
        Ok(())
    }

    fn kept(&self) -> std::sync::MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Writes a small file whole: beside it, synced, renamed. Blocks.
pub(super) fn replace_file(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let beside = path.with_extension("new");
    let mut file = File::create(&beside)?;
    file.write_all(bytes)?;
    file.sync_data()?;
    std::fs::rename(beside, path)
}
