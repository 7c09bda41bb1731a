//! What this host remembers of a sandbox: a file that only its user reads, written whole or not at all. The
//! sandbox itself is found without it, by what it says of itself; this also says how it was left.

use crate::{folders, tunnel::wire::Found};
use serde::{Deserialize, Serialize};
use std::{
    fs::{self, OpenOptions},
    io::{self, Write as _},
    os::unix::fs::OpenOptionsExt as _,
    path::Path,
};

const FILE: &str = "e2b.json";

/// How a machine was left.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Left {
    /// Its processes run. A sandbox that is paused all the same was paused for want of a word from here.
    Running(Found),
    /// It is paused, with its processes.
    Frozen(Found),
    /// Nobody here knows: another server had it.
    Unknown,
    /// Its processes are not wanted; should there be some in the sandbox, they are ended first.
    Cold,
}

/// See the module.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Record {
    /// The sandbox's id.
    pub(super) sandbox: String,
    pub(super) left: Left,
}

impl Record {
    /// `None`: nothing is known, or not in a form that we can read.
    pub(super) fn read(run: &Path) -> Option<Self> {
        let text = fs::read(run.join(FILE)).ok()?;
        serde_json::from_slice(&text)
            .inspect_err(|e| tracing::warn!(folder = %run.display(), "a record is damaged: {e}"))
            .ok()
    }

    pub(super) fn write(&self, run: &Path) -> io::Result<()> {
        folders::private(run)?;
        let text = serde_json::to_vec(self).map_err(io::Error::other)?;
        let new = run.join("e2b.json.new");
        let mut options = OpenOptions::new();
        options.write(true).create(true).truncate(true).mode(0o600);
        options.open(&new)?.write_all(&text)?;
        fs::rename(new, run.join(FILE))
    }

    pub(super) fn remove(run: &Path) -> io::Result<()> {
        match fs::remove_file(run.join(FILE)) {
            Err(e) if e.kind() != io::ErrorKind::NotFound => Err(e),
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_is_read_as_it_was_written_and_a_damaged_one_is_none() {
        let dir = tempfile::tempdir().unwrap();
        let run = dir.path().join("run");
        assert!(Record::read(&run).is_none());
        let found = Found { token: "t".to_owned(), init_pid: 3, started_at: 9, adopted: false };
        Record { sandbox: "s".to_owned(), left: Left::Frozen(found) }.write(&run).unwrap();
        let again = Record::read(&run).unwrap();
        assert!(
            again.sandbox == "s" && matches!(again.left, Left::Frozen(found) if found.token == "t")
        );
        fs::write(run.join(FILE), "{").unwrap();
        assert!(Record::read(&run).is_none());
        Record::remove(&run).unwrap();
        Record::remove(&run).unwrap();
    }
}
