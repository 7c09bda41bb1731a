//! Which backups of a data folder were made, and where they lie: for whoever loses its database.

use serde::{Deserialize, Serialize};
use std::{
    fs::{self, File},
    io::{self, Write as _},
    path::{Path, PathBuf},
};
use toft_model::time::rfc3339;

/// In the data folder.
const FILE: &str = "backups.json";
/// So many of them, the newest.
const KNOWN_MAX: usize = 20;

/// A backup that was made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct KnownBackup {
    /// Where it lies.
    pub file: PathBuf,
    /// Unix milliseconds.
    pub made_at: u64,
}

/// Remembers a backup, behind those of before.
pub fn remember_backup(data: &Path, backup: KnownBackup) -> io::Result<()> {
    let mut known = read(data);
    known.push(backup);
    known.drain(..known.len().saturating_sub(KNOWN_MAX));
    let beside = data.join(format!("{FILE}.part"));
    let mut file = File::create(&beside)?;
    file.write_all(&serde_json::to_vec(&known)?)?;
    file.sync_all()?;
    fs::rename(&beside, data.join(FILE))
}

/// What is unreadable says nothing.
fn read(data: &Path) -> Vec<KnownBackup> {
    let text = fs::read(data.join(FILE)).unwrap_or_default();
    serde_json::from_slice(&text).unwrap_or_default()
}

/// What to do when the database is lost: the newest backup that is still there, and how it is restored.
pub(crate) fn way_back(data: &Path) -> String {
    let newest = read(data).into_iter().rev().find(|backup| backup.file.is_file());
    match newest {
        Some(KnownBackup { file, made_at }) => format!(
            "The newest backup is {} of {}: restore it into a new folder with `toft --data FOLDER \
             restore-backup {}`",
            file.display(),
            rfc3339(made_at),
            file.display()
        ),
        None => "No backup of it is known here: if there is one, restore it into a new folder with `toft \
                 --data FOLDER restore-backup FILE`"
            .into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_that_is_still_there_is_named() {
        let dir = tempfile::tempdir().unwrap();
        assert!(way_back(dir.path()).contains("No backup"));
        for n in 0..KNOWN_MAX as u64 + 3 {
            let file = dir.path().join(format!("{n}.age"));
            if n < 22 {
                fs::write(&file, "x").unwrap();
            }
            remember_backup(dir.path(), KnownBackup { file, made_at: n * 1_000 }).unwrap();
        }
        assert_eq!(read(dir.path()).len(), KNOWN_MAX);
        let said = way_back(dir.path());
        assert!(said.contains("21.age of 1970-01-01T00:00:21"), "{said}");
        fs::write(dir.path().join(FILE), "[half").unwrap();
        assert!(way_back(dir.path()).contains("No backup"));
    }
}
