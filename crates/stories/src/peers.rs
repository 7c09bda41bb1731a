//! Programs of others, as `.ci/peers` has installed them from npm into the user's cache, made ready for
//! machines.

use anyhow::{Context as _, Result, ensure};
use std::{
    fs,
    os::unix::fs::{PermissionsExt as _, symlink},
    path::{Path, PathBuf},
    process::Command,
};
use tempfile::TempDir;

pub use toft_lane::installed;

/// The Python with the packages of a folder of peers, in the versions that are asked for now, if
/// `.ci/prepare` has installed them.
pub fn python(name: &str) -> Option<PathBuf> {
    let peers = Path::new(env!("CARGO_MANIFEST_DIR")).join("peers").join(name);
    let cache = std::env::var_os("XDG_CACHE_HOME").map(PathBuf::from);
    let home = || std::env::var_os("HOME").map(|home| Path::new(&home).join(".cache"));
    let folder = cache.or_else(home)?.join("toft").join(name);
    let wanted = fs::read(peers.join("requirements.txt")).ok()?;
    let there = fs::read(folder.join("installed.txt")).ok()?;
    (wanted == there).then(|| folder.join("bin/python"))
}

/// A copy of a folder that everybody may read, with programs in a `bin` beside it: what an image is
/// made of. Takes root, because machines have a `/tmp` of their own.
pub struct Toolchain {
    folder: TempDir,
    copy: PathBuf,
}

impl Toolchain {
    /// Copies a folder.
    pub fn of(from: &Path) -> Result<Self> {
        let folder = tempfile::Builder::new().prefix("toft-story-").tempdir_in("/opt")?;
        let copy = folder.path().join(from.file_name().context("a folder has a name")?);
        let copied =
            Command::new("cp").args(["-r", "--reflink=auto"]).arg(from).arg(&copy).status()?;
        ensure!(copied.success(), "{} cannot be copied", from.display());
        for open in [folder.path(), &folder.path().join("bin")] {
            fs::create_dir_all(open)?;
            fs::set_permissions(open, fs::Permissions::from_mode(0o755))?;
        }
        Ok(Self { folder, copy })
    }

    /// The folder of the image.
    pub fn path(&self) -> &Path {
        self.folder.path()
    }

    /// The copy in it.
    pub fn copy(&self) -> &Path {
        &self.copy
    }

    /// Adds a script.
    pub fn script(&self, name: &str, text: &str) -> Result<()> {
        let path = self.program(name);
        fs::write(&path, text)?;
        Ok(fs::set_permissions(path, fs::Permissions::from_mode(0o755))?)
    }

    /// Adds a program of the copy.
    pub fn link(&self, name: &str, to: &Path) -> Result<()> {
        Ok(symlink(to, self.program(name))?)
    }

    /// Where a program of this name is.
    pub fn program(&self, name: &str) -> PathBuf {
        self.folder.path().join("bin").join(name)
    }
}
