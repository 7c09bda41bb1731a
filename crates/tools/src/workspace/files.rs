//! Files of a project as `project_actions` reads and writes them: only such that the policy has, never through a
//! link that leads out, each put in its place whole.

use std::{
    fs,
    io::Write as _,
    path::{Path, PathBuf},
};
use toft_model::id::random_hex;
use toft_policy::workspace;

use crate::paths::open_regular;
use std::io::Read as _;

/// Bytes of a file that is read: source and settings are smaller.
const FILE_BYTES_MAX: u64 = 1 << 20;
/// Random bytes in the name of a file that is being written.
const BESIDE_BYTES: usize = 8;

/// A project's folder.
pub(super) struct Files {
    root: PathBuf,
    /// What was written, in order.
    changed: Vec<PathBuf>,
}

impl Files {
    /// Errors are for the model.
    pub(super) fn open(cwd: &Path) -> Result<Self, String> {
        let root = cwd.canonicalize().map_err(|error| format!("the project's folder: {error}"))?;
        Ok(Self { root, changed: Vec::new() })
    }

    pub(super) fn root(&self) -> &Path {
        &self.root
    }

    /// Absolute paths that were written.
    pub(super) fn into_changed(self) -> Vec<PathBuf> {
        self.changed
    }

    pub(super) fn has(&self, path: &str) -> bool {
        self.root.join(path).exists()
    }

    /// A text; `None` when it is not there.
    pub(super) fn read(&self, path: &str) -> Result<Option<String>, String> {
        let clean = workspace::readable(path).map_err(|denied| denied.to_string())?;
        let whole = self.root.join(clean);
        if !whole.exists() {
            return Ok(None);
        }
        self.stays_inside(&whole, path)?;
        let (file, meta) = open_regular(&whole).map_err(|error| format!("{path}: {error}"))?;
        if meta.len() > FILE_BYTES_MAX {
            return Err(format!("{path} is larger than {} MiB", FILE_BYTES_MAX >> 20));
        }
        let mut text = String::new();
        file.take(FILE_BYTES_MAX)
            .read_to_string(&mut text)
            .map_err(|error| format!("{path}: {error}"))?;
        Ok(Some(text))
    }

    /// Puts a whole text in its place, and makes its folders. One that is so already is left alone.
    pub(super) fn write(&mut self, path: &str, text: &str) -> Result<(), String> {
        let clean = workspace::writable(path).map_err(|denied| denied.to_string())?;
        let whole = self.root.join(clean);
        if fs::read(&whole).is_ok_and(|before| before == text.as_bytes()) {
            return Ok(());
        }
        let folder = whole.parent().unwrap_or(&self.root).to_owned();
        // Before anything is made: the nearest that is there must be inside.
        let there = folder.ancestors().find(|folder| folder.exists()).unwrap_or(&self.root);
        self.stays_inside(there, path)?;
        let failed = |error: std::io::Error| format!("{path} could not be written: {error}");
        fs::create_dir_all(&folder).map_err(failed)?;
        let beside = folder.join(format!(".toft-{}", random_hex(BESIDE_BYTES)));
        let put = || {
            let mut file = fs::File::create_new(&beside)?;
            if let Ok(meta) = fs::metadata(&whole) {
                file.set_permissions(meta.permissions())?;
            }
            file.write_all(text.as_bytes())?;
            file.sync_data()?;
            fs::rename(&beside, &whole)
        };
        put().map_err(|error| {
            let _ = fs::remove_file(&beside);
            failed(error)
        })?;
        self.changed.push(whole);
        Ok(())
    }

    fn stays_inside(&self, whole: &Path, path: &str) -> Result<(), String> {
        let real = whole.canonicalize().map_err(|error| format!("{path}: {error}"))?;
        if real.starts_with(&self.root) {
            Ok(())
        } else {
            Err(format!("{path} leads out of the project's folder"))
        }
    }
}
