//! What a disk lies over: the host's programs, or nothing, where its image is a whole root file system.

use crate::{image::Image, images::Definition, places};
use std::{io, path::Path};
use toft_jail::spec::{Bind, Overlay, View};

/// What a disk lies over, and what its machine gets beside it.
#[derive(Debug, Clone)]
pub(super) struct Base {
    /// Identity: changes when the programs below a disk do.
    pub(super) key: String,
    pub(super) overlays: Vec<Overlay>,
    pub(super) binds: Vec<Bind>,
    /// `PATH` of programs.
    pub(super) path: String,
    /// More of their environment; Toft's own comes after it.
    pub(super) env: Vec<(String, String)>,
    /// Shell of terminals; the host's when absent.
    pub(super) shell: Option<String>,
}

impl Base {
    /// That of a disk, on a host whose own image this is.
    pub(super) fn of(disk: &Path, host: &Image) -> io::Result<Self> {
        let Some(image) = Definition::read(disk)? else {
            return Ok(Self {
                key: host.base.clone(),
                overlays: host.overlays.clone(),
                binds: host.binds.clone(),
                path: places::PATH.to_owned(),
                env: Vec::new(),
                shell: None,
            });
        };
        let (path, env) = image.environment();
        let (key, overlays, mut binds) = if image.whole {
            (image.key, Vec::new(), Vec::new())
        } else {
            let key = format!("{}+{}", host.base, image.key);
            (key, host.overlays.clone(), host.binds.clone())
        };
        binds.extend(image.folders.iter().map(|folder| shown(folder)));
        Ok(Self { key, overlays, binds, path, env, shell: image.shell })
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

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    #[test]
    fn a_disk_says_what_it_lies_over() {
        let dir = tempfile::tempdir().unwrap();
        let host = Image::of_host(true).unwrap();
        let base = || Base::of(dir.path(), &host).unwrap();
        assert_eq!((base().key, base().path.as_str()), (host.base.clone(), places::PATH));
        let tools = dir.path().join("tools");
        fs::create_dir_all(tools.join("bin")).unwrap();
        let mut image = Definition {
            key: "k1".to_owned(),
            folders: vec![tools.clone()],
            ..Definition::default()
        };
        image.write(dir.path()).unwrap();
        assert_eq!(base().key, format!("{}+k1", host.base));
        assert_eq!(base().path, format!("{}/bin:{}", tools.display(), places::PATH));
        assert_eq!(base().binds.len(), host.binds.len() + 1);
        let env = [("PATH", "/only"), ("GOPATH", "/go")].map(|(n, v)| (n.to_owned(), v.to_owned()));
        (image.whole, image.folders, image.env) = (true, Vec::new(), env.into());
        image.write(dir.path()).unwrap();
        let whole = base();
        assert_eq!((whole.key.as_str(), whole.path.as_str()), ("k1", "/only:/usr/local/bin"));
        assert_eq!((whole.overlays.len(), whole.binds.len()), (0, 0));
        assert_eq!(whole.env, [("GOPATH".to_owned(), "/go".to_owned())]);
        fs::write(dir.path().join("image.json"), "broken").unwrap();
        assert!(Base::of(dir.path(), &host).is_err());
    }
}
