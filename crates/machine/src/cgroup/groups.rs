//! What is remembered of a machine's groups: who is in them, what they use, how they are removed.

use super::{
    clear::clear,
    detect::{INSTANCE, tell},
};
use crate::backend::Stats;
use serde::{Deserialize, Serialize};
use std::{
    fs,
    path::{Path, PathBuf},
};

/// See the module.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(crate) struct Groups {
    /// Folders, deepest first.
    pub(crate) folders: Vec<PathBuf>,
    /// The v2 group of all its processes.
    pub(crate) unified: Option<PathBuf>,
    /// The group whose memory is all of its memory, v2 or v1.
    pub(crate) memory: Option<PathBuf>,
    /// The v1 group that pauses it, where there is no v2.
    #[serde(default)]
    pub(crate) freezer: Option<PathBuf>,
}

impl Groups {
    /// Kills whatever is left in them and removes them. Best effort: what stays is found by the
    /// next sweep.
    pub(crate) fn remove(&self) {
        // A process that a v1 freezer holds does not end.
        let _ = self.thaw();
        if let Some(unified) = &self.unified {
            // Kernels before 5.14 have no such file; the loop below does the same.
            let _ = tell(&unified.join("cgroup.kill"), "1");
        }
        for folder in &self.folders {
            clear(folder);
        }
        // The last machine takes the folder of its data folder along.
        for instance in self.folders.iter().filter_map(|f| f.parent()) {
            let ours = instance
                .file_name()
                .is_some_and(|n| n.as_encoded_bytes().starts_with(INSTANCE.as_bytes()));
            if ours {
                let _ = fs::remove_dir(instance);
            }
        }
    }

    /// Every process of the machine, as far as a group holds them all.
    pub(super) fn everyone(&self) -> Vec<u32> {
        let whole = self.unified.as_ref().or(self.memory.as_ref()).or(self.freezer.as_ref());
        whole.map(|folder| procs_below(folder)).unwrap_or_default()
    }

    /// What the machine uses. `None` where no group counts it.
    pub(crate) fn stats(&self) -> Stats {
        let memory = self.memory.as_ref().and_then(|folder| {
            let v2 = number(&folder.join("memory.current"));
            let (used, cache) = match v2 {
                Some(used) => (used, field(&folder.join("memory.stat"), "inactive_file")),
                None => (
                    number(&folder.join("memory.usage_in_bytes"))?,
                    field(&folder.join("memory.stat"), "total_inactive_file"),
                ),
            };
            // Files that were only read once are no need of the machine.
            Some(used.saturating_sub(cache.unwrap_or(0)))
        });
        let pids = self.unified.as_ref().map(|folder| procs_below(folder).len() as u64);
        Stats { memory_bytes: memory, pids }
    }
}

fn number(file: &Path) -> Option<u64> {
    fs::read_to_string(file).ok()?.trim().parse().ok()
}

fn field(file: &Path, name: &str) -> Option<u64> {
    fs::read_to_string(file)
        .ok()?
        .lines()
        .find_map(|l| l.strip_prefix(name)?.strip_prefix(' ')?.trim().parse().ok())
}

/// Processes in a group and in the groups below it, as the host numbers them.
pub(crate) fn procs_below(folder: &Path) -> Vec<u32> {
    let here = fs::read_to_string(folder.join("cgroup.procs")).unwrap_or_default();
    let mut found: Vec<u32> = here.lines().filter_map(|l| l.parse().ok()).collect();
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        if entry.file_type().is_ok_and(|t| t.is_dir()) {
            found.extend(procs_below(&entry.path()));
        }
    }
    found
}
