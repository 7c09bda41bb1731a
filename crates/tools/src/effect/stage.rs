//! The files of a change: staged beside their places, then put in place together. Blocks.

use super::{After, Before, Target, fingerprint, hash, read};
use crate::paths::explain;
use std::{
    fs::{self, Metadata, OpenOptions, Permissions},
    io::{self, Write as _},
    os::unix::fs::{MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _},
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

/// How a file is put back.
enum Undo {
    /// What was removed waits beside its place.
    Rename,
    Write(Before),
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
                return Err((target.name.clone(), error));
            }
        }
        Ok(this)
    }

    /// Puts all in place. When one cannot be, those before are put back.
    pub(super) fn commit(mut self) -> Result<Commit, CommitError> {
        let mut undo: Vec<(usize, Undo)> = Vec::new();
        for (at, (target, after)) in self.files.iter().enumerate() {
            let done = match after {
                After::Content(_) => {
                    // One file is replaced in one step: there is nothing to put back.
                    let before = if self.files.len() > 1 {
                        read(&target.path).map_or(Before::Nothing, |(before, _)| before)
                    } else {
                        Before::Nothing
                    };
                    fs::rename(&target.beside, &target.path).map(|()| Undo::Write(before))
                }
                // It goes when all is done, and can come back as it was until then.
                After::Nothing => fs::rename(&target.path, &target.beside).map(|()| Undo::Rename),
                After::Same => continue,
            };
            match done {
                Ok(one) => undo.push((at, one)),
                Err(source) => {
                    let name = target.name.clone();
                    return Err(CommitError { name, source, changed: self.put_back(undo) });
                }
            }
        }
        let mut sights = Vec::with_capacity(self.files.len());
        for (target, after) in self.files.drain(..) {
            match after {
                After::Content(content) => {
                    if let Ok(meta) = fs::metadata(&target.path) {
                        sights.push((target.path, meta, fingerprint(&content)));
                    }
                }
                After::Nothing => {
                    let _ = fs::remove_file(&target.beside);
                }
                After::Same => {}
            }
        }
        self.made.clear();
        Ok(Commit { sights })
    }

    /// Those that could not be put back.
    fn put_back(&self, undo: Vec<(usize, Undo)>) -> Vec<String> {
        let mut stuck = Vec::new();
        for (at, undo) in undo.into_iter().rev() {
            let (target, _) = &self.files[at];
            let back = match undo {
                Undo::Rename => fs::rename(&target.beside, &target.path),
                Undo::Write(Before::Nothing) => fs::remove_file(&target.path),
                Undo::Write(Before::Content(content)) => {
                    write(&target.beside, &content, &target.path)
                        .and_then(|()| fs::rename(&target.beside, &target.path))
                }
                Undo::Write(Before::TooLarge(_)) => Err(io::ErrorKind::FileTooLarge.into()),
            };
            if back.is_err() {
                stuck.push(target.name.clone());
            }
        }
        stuck
    }
}

/// What was staged and is not in place goes.
impl Drop for Staged {
    fn drop(&mut self) {
        for (target, after) in &self.files {
            // What was to be removed and could not be put back lies there as well, and stays.
            if let After::Content(_) = after {
                let _ = fs::remove_file(&target.beside);
            }
        }
        for folder in self.made.iter().rev() {
            // One that something else uses by now stays.
            let _ = fs::remove_dir(folder);
        }
    }
}

/// Does what is left for one file after a crash.
pub(super) fn finish(target: &Target, after: Option<&str>) -> io::Result<()> {
    let Some(after) = after else { return fs::remove_file(&target.path) };
    // It was staged before the intent was recorded, so it is there, unless somebody removed it.
    match fs::read(&target.beside) {
        Ok(content) if hash(&content) == after => fs::rename(&target.beside, &target.path),
        _ => Err(io::Error::other("what was to be written there is gone")),
    }
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
    let old = fs::metadata(place).ok();
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    if old.is_some() {
        // Nobody sees it before it has that one's mode.
        options.mode(0o600);
    }
    let mut file = options.open(beside)?;
    file.write_all(content)?;
    if let Some(old) = old {
        let new = file.metadata()?;
        if (old.uid(), old.gid()) != (new.uid(), new.gid()) {
            // Only root may; whoever may not gets a file of its own, as editors do.
            let _ = std::os::unix::fs::fchown(&file, Some(old.uid()), Some(old.gid()));
        }
        file.set_permissions(Permissions::from_mode(old.mode() & 0o7777))?;
    }
    // What is told of it is synced as well: after a power cut its name must not stand for nothing.
    file.sync_data()
}
