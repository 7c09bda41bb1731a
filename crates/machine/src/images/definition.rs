//! What a machine's disk says about its image: a file at its top, beside what the machine itself
//! sees, so that copies, checkpoints and forks carry it and the image itself may be deleted. A disk
//! without one is of the backend's own image.

use crate::{folders::rand_name, places};
use serde::{Deserialize, Serialize};
use std::{
    fs, io,
    path::{Path, PathBuf},
};

/// The file's name.
const FILE: &str = "image.json";
/// What stands in for a missing bash lies there.
const OWN_PROGRAMS: &str = "/usr/local/bin";

/// What it says.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(crate) struct Definition {
    /// Key of the image.
    pub(crate) key: String,
    /// Whether all of the root file system is on the disk; otherwise the host's programs show.
    pub(crate) whole: bool,
    /// Folders of the host that show as well, at the same place.
    #[serde(default)]
    pub(crate) folders: Vec<PathBuf>,
    /// Environment of programs.
    #[serde(default)]
    pub(crate) env: Vec<(String, String)>,
    /// Shell of terminals, where all is on the disk.
    #[serde(default)]
    pub(crate) shell: Option<String>,
}

impl Definition {
    /// That of a disk. `None`: it is of the backend's own image.
    pub(crate) fn read(disk: &Path) -> io::Result<Option<Self>> {
        match fs::read(disk.join(FILE)) {
            Ok(bytes) => Ok(Some(serde_json::from_slice(&bytes)?)),
            Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(e) => Err(e),
        }
    }

    /// Puts it on a disk that is being made.
    pub(crate) fn write(&self, disk: &Path) -> io::Result<()> {
        let half = disk.join(format!("{FILE}.{}", rand_name()));
        fs::write(&half, serde_json::to_vec(self)?)?;
        fs::File::open(&half)?.sync_all()?;
        fs::rename(half, disk.join(FILE))
    }

    /// `PATH` of programs, and the rest of their environment.
    pub(crate) fn environment(&self) -> (String, Vec<(String, String)>) {
        let (path, env): (Vec<_>, Vec<_>) =
            self.env.iter().cloned().partition(|(name, _)| name == "PATH");
        let own = path.last().map_or(places::PATH, |(_, value)| value);
        let first = self.folders.iter().map(|folder| programs(folder).display().to_string());
        let mut path: Vec<String> = first.chain([own.to_owned()]).collect();
        if !path.iter().any(|part| part.split(':').any(|folder| folder == OWN_PROGRAMS)) {
            path.push(OWN_PROGRAMS.to_owned());
        }
        (path.join(":"), env)
    }
}

/// Where a toolchain has its programs.
fn programs(folder: &Path) -> PathBuf {
    let bin = folder.join("bin");
    if bin.is_dir() { bin } else { folder.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn programs_are_found_in_shown_folders_first_and_a_bash_always() {
        let dir = tempfile::tempdir().unwrap();
        let disk = dir.path();
        assert!(Definition::read(disk).unwrap().is_none());
        let tools = disk.join("tools");
        fs::create_dir_all(tools.join("bin")).unwrap();
        let plain = Definition::default();
        assert_eq!(plain.environment(), (places::PATH.to_owned(), Vec::new()));
        let pairs = |list: &[(&str, &str)]| {
            list.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned())).collect::<Vec<_>>()
        };
        // Of a variable that is set twice the last counts.
        let env = pairs(&[("PATH", "/none"), ("GOPATH", "/go"), ("PATH", "/only")]);
        let folders = vec![tools.clone(), disk.join("gone")];
        Definition { folders, env, ..plain }.write(disk).unwrap();
        let (path, env) = Definition::read(disk).unwrap().unwrap().environment();
        let shown = disk.display();
        assert_eq!(path, format!("{shown}/tools/bin:{shown}/gone:/only:/usr/local/bin"));
        assert_eq!(env, pairs(&[("GOPATH", "/go")]));
        fs::write(disk.join(FILE), "broken").unwrap();
        assert!(Definition::read(disk).is_err());
    }
}
