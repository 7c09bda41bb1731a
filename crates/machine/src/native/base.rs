//! What a machine's disk says about its image: a file at its top, beside what the machine itself
//! sees, so that copies, checkpoints and forks carry it and the image itself may be deleted. A disk
//! without one is of image `host`.

use crate::{boot, folders::rand_name, image::Image};
use serde::{Deserialize, Serialize};
use std::{
    fs, io,
    path::{Path, PathBuf},
};
use toft_jail::spec::{Bind, Overlay, View};

/// The file's name.
const FILE: &str = "image.json";

/// What it says.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(in crate::native) struct Definition {
    /// Key of the image.
    pub(in crate::native) key: String,
    /// Whether all of the root file system is on the disk; otherwise the host's programs show.
    pub(in crate::native) whole: bool,
    /// Folders of the host that show as well, at the same place.
    #[serde(default)]
    pub(in crate::native) folders: Vec<PathBuf>,
    /// Environment of programs.
    #[serde(default)]
    pub(in crate::native) env: Vec<(String, String)>,
    /// Shell of terminals, where all is on the disk.
    #[serde(default)]
    pub(in crate::native) shell: Option<String>,
}

impl Definition {
    /// That of a disk. `None`: it is of image `host`.
    pub(in crate::native) fn read(disk: &Path) -> io::Result<Option<Self>> {
        match fs::read(disk.join(FILE)) {
            Ok(bytes) => Ok(Some(serde_json::from_slice(&bytes)?)),
            Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(e) => Err(e),
        }
    }

    /// Puts it on a disk that is being made.
    pub(in crate::native) fn write(&self, disk: &Path) -> io::Result<()> {
        let half = disk.join(format!("{FILE}.{}", rand_name()));
        fs::write(&half, serde_json::to_vec(self)?)?;
        fs::File::open(&half)?.sync_all()?;
        fs::rename(half, disk.join(FILE))
    }
}

/// What a disk lies over, and what its machine gets beside it.
#[derive(Debug, Clone)]
pub(in crate::native) struct Base {
    /// Identity: changes when the programs below a disk do.
    pub(in crate::native) key: String,
    pub(in crate::native) overlays: Vec<Overlay>,
    pub(in crate::native) binds: Vec<Bind>,
    /// `PATH` of programs.
    pub(in crate::native) path: String,
    /// More of their environment; Toft's own comes after it.
    pub(in crate::native) env: Vec<(String, String)>,
    /// Shell of terminals; the host's when absent.
    pub(in crate::native) shell: Option<String>,
}

impl Base {
    /// That of a disk, on a host whose own image this is.
    pub(in crate::native) fn of(disk: &Path, host: &Image) -> io::Result<Self> {
        let Some(image) = Definition::read(disk)? else {
            return Ok(Self {
                key: host.base.clone(),
                overlays: host.overlays.clone(),
                binds: host.binds.clone(),
                path: boot::PATH.to_owned(),
                env: Vec::new(),
                shell: None,
            });
        };
        let (mut path, env): (Vec<_>, Vec<_>) =
            image.env.into_iter().partition(|(name, _)| name == "PATH");
        let own_path = path.pop().map_or_else(|| boot::PATH.to_owned(), |(_, value)| value);
        let (key, overlays, mut binds) = if image.whole {
            (image.key, Vec::new(), Vec::new())
        } else {
            let key = format!("{}+{}", host.base, image.key);
            (key, host.overlays.clone(), host.binds.clone())
        };
        binds.extend(image.folders.iter().map(|folder| shown(folder)));
        let first = image.folders.iter().map(|folder| programs(folder).display().to_string());
        let mut path: Vec<String> = first.chain([own_path]).collect();
        // What stands in for a missing bash lies there.
        if !path.iter().any(|p| p.split(':').any(|p| p == "/usr/local/bin")) {
            path.push("/usr/local/bin".to_owned());
        }
        Ok(Self { key, overlays, binds, path: path.join(":"), env, shell: image.shell })
    }
}

/// A folder of the host as machines see it: what everybody may read, and no way to who listens there.
fn shown(folder: &Path) -> Bind {
    Bind {
        source: folder.to_owned(),
        target: folder.to_string_lossy().into_owned(),
        writable: false,
        view: View::Apart,
        optional: true,
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
    fn a_disk_says_what_it_lies_over() {
        let dir = tempfile::tempdir().unwrap();
        let host = Image::of_host(true).unwrap();
        let base = || Base::of(dir.path(), &host).unwrap();
        assert_eq!((base().key, base().path.as_str()), (host.base.clone(), boot::PATH));
        let tools = dir.path().join("tools");
        fs::create_dir_all(tools.join("bin")).unwrap();
        let mut image = Definition {
            key: "k1".to_owned(),
            folders: vec![tools.clone()],
            ..Definition::default()
        };
        image.write(dir.path()).unwrap();
        assert_eq!(base().key, format!("{}+k1", host.base));
        assert_eq!(base().path, format!("{}/bin:{}", tools.display(), boot::PATH));
        assert_eq!(base().binds.len(), host.binds.len() + 1);
        let env = [("PATH", "/only"), ("GOPATH", "/go")].map(|(n, v)| (n.to_owned(), v.to_owned()));
        (image.whole, image.folders, image.env) = (true, Vec::new(), env.into());
        image.write(dir.path()).unwrap();
        let whole = base();
        assert_eq!((whole.key.as_str(), whole.path.as_str()), ("k1", "/only:/usr/local/bin"));
        assert_eq!((whole.overlays.len(), whole.binds.len()), (0, 0));
        assert_eq!(whole.env, [("GOPATH".to_owned(), "/go".to_owned())]);
        fs::write(dir.path().join(FILE), "broken").unwrap();
        assert!(Base::of(dir.path(), &host).is_err());
    }
}
