//! The files of a change: staged beside their places, then put in place together. Blocks.

use super::{After, Before, Target, fingerprint, hash, read};
use crate::paths::explain;
use std::{
    fs::{self, Metadata, OpenOptions, Permissions},
    io::{self, Write as _},
    os::unix::fs::{MetadataExt as _, PermissionsExt as _},
    path::{Path, PathBuf},
};

/// New contents that wait beside their places.
pub(super) struct Staged {
    files: Vec<(Target, After)>,
    /// Folders that were made for them, outer ones first.
    made: Vec<PathBuf>,
}

/// All is in place.
pub(super) struct Commit {
    /// The new files, for [`crate::seen::Seen`].
    pub(super) sights: Vec<(PathBuf, Metadata, u64)>,
}

/// One file could not be put in place.
pub(super) struct CommitError {
    name: String,
    source: io::Error,
    /// Files that could not be put back.
    changed: Vec<String>,
}

impl CommitError {
    pub(super) fn told(&self) -> String {
        let why = explain(&self.source, &self.name);
        if self.changed.is_empty() {
            return format!("{why} Nothing was changed.");
        }
        format!("{why} Not put back as they were: {}. Look at them.", self.changed.join(", "))
    }
}

impl Staged {
    /// Writes all new contents; on an error nothing is left of them.
    pub(super) fn new(files: Vec<(Target, After)>) -> Result<Self, (String, io::Error)> {
        let mut this = Self { files, made: Vec::new() };
        for at in 0..this.files.len() {
            let (target, After::Content(content)) = &this.files[at] else { continue };
            let folder = target.path.parent().unwrap_or(Path::new("/"));
            let result = make_folders(folder, &mut this.made)
                .and_then(|()| write(&target.beside, content, &target.path));
            if let Err(error) = result {
                let name = target.name.clone();
                this.discard();
                return Err((name, error));
            }
        }
        Ok(this)
    }

    /// Removes what was staged.
    pub(super) fn discard(&self) {
        for (target, _) in &self.files {
            let _ = fs::remove_file(&target.beside);
        }
        for folder in self.made.iter().rev() {
            // One that something else uses by now stays.
            let _ = fs::remove_dir(folder);
        }
    }

    /// Puts all in place. When one cannot be, those before are put back.
    pub(super) fn commit(self) -> Result<Commit, CommitError> {
        let mut undo: Vec<(usize, Before)> = Vec::new();
        for (at, (target, after)) in self.files.iter().enumerate() {
            // One file is replaced in one step: there is nothing to put back.
            let before = if self.files.len() > 1 {
                read(&target.path).map_or(Before::Nothing, |(before, _)| before)
            } else {
                Before::Nothing
            };
            let done = match after {
                After::Content(_) => fs::rename(&target.beside, &target.path),
                After::Nothing => fs::remove_file(&target.path),
                After::Same => Ok(()),
            };
            if let Err(source) = done {
                let name = target.name.clone();
                let changed = self.put_back(undo);
                self.discard();
                return Err(CommitError { name, source, changed });
            }
            undo.push((at, before));
        }
        let sight = |(target, after): &(Target, After)| match after {
            After::Content(content) => {
                let meta = fs::metadata(&target.path).ok()?;
                Some((target.path.clone(), meta, fingerprint(content)))
            }
            After::Nothing | After::Same => None,
        };
        Ok(Commit { sights: self.files.iter().filter_map(sight).collect() })
    }

    /// Those that could not be put back.
    fn put_back(&self, undo: Vec<(usize, Before)>) -> Vec<String> {
        let mut stuck = Vec::new();
        for (at, before) in undo.into_iter().rev() {
            let (target, _) = &self.files[at];
            let back = match before {
                Before::Nothing => fs::remove_file(&target.path),
                Before::Content(content) => write(&target.beside, &content, &target.path)
                    .and_then(|()| fs::rename(&target.beside, &target.path)),
                Before::TooLarge(_) => Err(io::ErrorKind::FileTooLarge.into()),
            };
            if back.is_err() {
                stuck.push(target.name.clone());
            }
        }
        stuck
    }
}

/// Does what is left for one file after a crash.
pub(super) fn finish(path: &Path, beside: &Path, after: Option<&str>, is_done: bool) {
    if is_done {
        let _ = fs::remove_file(beside);
        return;
    }
    // It was staged before the intent was recorded, so it is there, unless somebody removed it.
    let _ = match after {
        None => fs::remove_file(path),
        Some(after) => match fs::read(beside) {
            Ok(content) if hash(&content) == after => fs::rename(beside, path),
            _ => Ok(()),
        },
    };
}

/// Makes a folder and those around it; notes which are new.
fn make_folders(folder: &Path, made: &mut Vec<PathBuf>) -> io::Result<()> {
    let missing: Vec<&Path> = folder.ancestors().take_while(|folder| !folder.exists()).collect();
    fs::create_dir_all(folder)?;
    made.extend(missing.into_iter().rev().map(Path::to_owned));
    Ok(())
}

/// Writes a content beside its place, with mode and owner of what is there.
fn write(beside: &Path, content: &[u8], place: &Path) -> io::Result<()> {
    let _ = fs::remove_file(beside);
    let mut file = OpenOptions::new().write(true).create_new(true).open(beside)?;
    file.write_all(content)?;
    if let Ok(old) = fs::metadata(place) {
        let new = file.metadata()?;
        if (old.uid(), old.gid()) != (new.uid(), new.gid()) {
            // Only root may; whoever may not gets a file of its own, as editors do.
            let _ = std::os::unix::fs::fchown(&file, Some(old.uid()), Some(old.gid()));
        }
        file.set_permissions(Permissions::from_mode(old.mode() & 0o7777))?;
    }
    Ok(())
}
