//! A folder that goes when its owner goes: what a peer needs to run.

use anyhow::{Context, Result};
use std::path::{Path, PathBuf};

/// See the module.
pub(super) struct Scratch(PathBuf);

impl Scratch {
    /// Makes an empty one below the system's folder for such.
    pub(super) fn make() -> Result<Self> {
        let name = format!("toft-bench-{}", toft_model::id::random_hex(6));
        let path = std::env::temp_dir().join(name);
        std::fs::create_dir(&path).with_context(|| format!("making {}", path.display()))?;
        Ok(Self(path))
    }

    pub(super) fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}
