//! How far a machine's limits were told: beside its state, so that whoever watches it next (after it
//! stood still, or another server) goes on from there. What happened while nobody looked is told
//! late, and nothing twice.

use serde::{Deserialize, Serialize};
use std::{fs, io, path::Path};

const FILE: &str = "told.json";

/// Counters of the machine's groups, which begin at nothing when it starts.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct Told {
    /// Processes that were killed for want of memory.
    pub(super) killed: u64,
    /// Processes that were refused.
    pub(super) refused: u64,
    /// The bound at which its disk was full, unless there was room since.
    pub(super) disk: Option<u64>,
}

impl Told {
    /// Nothing yet where there is no such file.
    pub(super) fn read(run: &Path) -> Self {
        let text = fs::read(run.join(FILE)).unwrap_or_default();
        serde_json::from_slice(&text).unwrap_or_default()
    }

    pub(super) fn write(&self, run: &Path) {
        let beside = run.join("told.json.new");
        let written = serde_json::to_vec(self)
            .map_err(io::Error::from)
            .and_then(|text| fs::write(&beside, text))
            .and_then(|()| fs::rename(&beside, run.join(FILE)));
        if let Err(e) = written {
            // At worst something is told twice.
            tracing::debug!("what was told of a machine's limits is not kept: {e}");
        }
    }
}

/// What a counter has grown by since it was told; from now on it is told. One that shows less than that
/// is another group's: all of it is new.
pub(super) fn more(told: &mut u64, now: u64) -> u64 {
    let before = std::mem::replace(told, now);
    if now < before { now } else { now - before }
}

/// Forgets a machine that has ended, or that is about to start.
pub(crate) fn forget(run: &Path) {
    match fs::remove_file(run.join(FILE)) {
        Err(e) if e.kind() != io::ErrorKind::NotFound => {
            tracing::warn!(folder = %run.display(), "what was told of a machine stays: {e}");
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_told_is_found_again_until_it_is_forgotten() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(Told::read(dir.path()), Told::default());
        let told = Told { killed: 3, refused: 7, disk: Some(9) };
        told.write(dir.path());
        assert_eq!(Told::read(dir.path()), told);
        forget(dir.path());
        forget(dir.path());
        assert_eq!(Told::read(dir.path()), Told::default());
    }

    #[test]
    fn a_counter_of_a_new_group_counts_from_nothing() {
        let mut told = 5;
        assert_eq!([5, 8, 8, 2, 0, 1].map(|now| more(&mut told, now)), [0, 3, 0, 2, 0, 1]);
    }
}
