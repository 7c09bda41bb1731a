//! Another master key in the place of one: the new one lies beside it until everything that the
//! database holds was sealed anew, and then takes its place. The database says which of the two it is
//! sealed with, so a kill at any moment leaves one that opens everything. Not the sealing anew.

use crate::{
    key_file::{self, KeyFileError},
    seal::Vault,
};
use std::{
    fs, io,
    path::{Path, PathBuf},
};

/// Whether a master key is the one that the database is sealed with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fits {
    /// It is, or nothing is known.
    Yes,
    /// Another one: what is sealed cannot be opened.
    No,
}

impl Vault {
    /// Opens the vault, and ends a rotation that was cut: `recorded` is the id that the database
    /// holds ([`Vault::id`]). Makes a key only when there is no record of one.
    pub fn open_recorded(
        file: &Path,
        recorded: Option<&str>,
    ) -> Result<(Self, Fits), KeyFileError> {
        let beside = next_to(file);
        let Some(recorded) = recorded else {
            // The first start with this file: nothing was sealed with the one beside it.
            remove(&beside)?;
            return Ok((Self::open(file)?, Fits::Yes));
        };
        let now = existing(file)?;
        let next = existing(&beside)?;
        match (now, next) {
            (Some(now), _) if now.id() == recorded => {
                remove(&beside)?;
                Ok((now, Fits::Yes))
            }
            (_, Some(next)) if next.id() == recorded => {
                take_place(file)?;
                Ok((next, Fits::Yes))
            }
            (Some(now), _) => Ok((now, Fits::No)),
            (None, _) => Err(KeyFileError::Missing { path: file.to_owned() }),
        }
    }

    /// Makes the next master key beside the one in use; on disk when this returns. It takes its place
    /// by [`Vault::commit_next`], once the database is sealed with it and says so. Refused while the
    /// one that the database is sealed with (`recorded`) lies there.
    pub fn prepare_next(file: &Path, recorded: Option<&str>) -> Result<Self, KeyFileError> {
        Self::drop_next(file, recorded)?;
        Self::open(&next_to(file))
    }

    /// Puts the next key in the place of the one in use.
    pub fn commit_next(file: &Path) -> Result<(), KeyFileError> {
        take_place(file)
    }

    /// Removes a next key that nothing was sealed with. The one that the database is sealed with
    /// (`recorded`) stays, and is an error.
    pub fn drop_next(file: &Path, recorded: Option<&str>) -> Result<(), KeyFileError> {
        let beside = next_to(file);
        match existing(&beside) {
            Ok(Some(next)) if Some(next.id().as_str()) == recorded => {
                Err(KeyFileError::InUse { path: beside })
            }
            // What is no key has sealed nothing.
            Ok(_) | Err(KeyFileError::WrongSize { .. }) => remove(&beside),
            Err(error) => Err(error),
        }
    }
}

fn next_to(file: &Path) -> PathBuf {
    let mut name = file.file_name().unwrap_or_default().to_owned();
    name.push(".next");
    file.with_file_name(name)
}

fn existing(file: &Path) -> Result<Option<Vault>, KeyFileError> {
    match key_file::load(file) {
        Ok(master) => Ok(Some(Vault::of(master))),
        Err(KeyFileError::Io { source, .. }) if source.kind() == io::ErrorKind::NotFound => {
            Ok(None)
        }
        Err(error) => Err(error),
    }
}

fn take_place(file: &Path) -> Result<(), KeyFileError> {
    let moved = fs::rename(next_to(file), file).and_then(|()| key_file::sync_folder(file));
    moved.map_err(|source| KeyFileError::Io { path: file.to_owned(), step: "replaced", source })
}

fn remove(file: &Path) -> Result<(), KeyFileError> {
    match fs::remove_file(file) {
        Err(source) if source.kind() != io::ErrorKind::NotFound => {
            Err(KeyFileError::Io { path: file.to_owned(), step: "removed", source })
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A vault, something sealed with it, and the folder.
    fn house() -> (tempfile::TempDir, PathBuf, Vault, String) {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("master.key");
        let vault = Vault::open(&file).unwrap();
        let sealed = vault.seal("c", b"canary").unwrap();
        (dir, file, vault, sealed)
    }

    fn opens(file: &Path, recorded: &str, sealed: &str) {
        let (vault, fits) = Vault::open_recorded(file, Some(recorded)).unwrap();
        assert_eq!((vault.id().as_str(), fits), (recorded, Fits::Yes));
        assert_eq!(vault.unseal("c", sealed).unwrap().expose(), "canary");
        assert!(!next_to(file).exists(), "nothing is left");
        let (again, _) = Vault::open_recorded(file, Some(recorded)).unwrap();
        assert_eq!(again.id(), recorded);
    }

    #[test]
    fn a_rotation_cut_at_any_step_leaves_the_key_that_opens_everything() {
        let (_dir, file, old, sealed) = house();
        // Cut before the database knew of it.
        let next = Vault::prepare_next(&file, Some(&old.id())).unwrap();
        assert_ne!(next.id(), old.id());
        opens(&file, &old.id(), &sealed);
        // Cut when the database was sealed anew.
        let next = Vault::prepare_next(&file, Some(&old.id())).unwrap();
        let anew = next.seal("c", b"canary").unwrap();
        opens(&file, &next.id(), &anew);
        // Not cut.
        let after = Vault::prepare_next(&file, Some(&next.id())).unwrap();
        let last = after.seal("c", b"canary").unwrap();
        Vault::commit_next(&file).unwrap();
        opens(&file, &after.id(), &last);
    }

    #[test]
    fn the_next_key_is_not_removed_when_everything_is_sealed_with_it() {
        let (_dir, file, old, _) = house();
        let next = Vault::prepare_next(&file, Some(&old.id())).unwrap();
        let anew = next.seal("c", b"canary").unwrap();
        let refused = Vault::prepare_next(&file, Some(&next.id())).unwrap_err();
        assert!(matches!(refused, KeyFileError::InUse { .. }), "{refused}");
        assert!(Vault::drop_next(&file, Some(&next.id())).is_err());
        opens(&file, &next.id(), &anew);
        // One that nothing is sealed with goes, also one that was cut while it was written.
        Vault::prepare_next(&file, Some(&next.id())).unwrap();
        fs::write(next_to(&file), b"short").unwrap();
        Vault::drop_next(&file, Some(&next.id())).unwrap();
        assert!(!next_to(&file).exists());
    }

    #[test]
    fn a_key_that_is_missing_is_not_made_anew_and_a_foreign_one_says_so() {
        let (_dir, file, old, sealed) = house();
        let (_other_dir, other, _, _) = house();
        fs::rename(&other, &file).unwrap();
        let (foreign, fits) = Vault::open_recorded(&file, Some(&old.id())).unwrap();
        assert_eq!(fits, Fits::No);
        assert!(foreign.unseal("c", &sealed).is_err());
        fs::remove_file(&file).unwrap();
        let missing = Vault::open_recorded(&file, Some(&old.id())).unwrap_err();
        assert!(matches!(missing, KeyFileError::Missing { .. }));
        assert!(!file.exists());
        assert_eq!(Vault::open_recorded(&file, None).unwrap().1, Fits::Yes);
    }

    #[test]
    fn an_id_tells_nothing_of_the_key_and_is_always_the_same() {
        let (_dir, file, vault, _) = house();
        assert_eq!(vault.id(), Vault::open(&file).unwrap().id());
        assert_eq!(vault.id().len(), 16);
    }
}
