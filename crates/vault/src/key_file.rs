//! The file that holds the master key. Not what the key is used for.

use std::{
    fs::{self, OpenOptions},
    io::{self, Read as _, Write as _},
    os::unix::fs::{MetadataExt as _, OpenOptionsExt as _},
    path::{Path, PathBuf},
};
use zeroize::Zeroizing;

/// Bytes of a master key.
pub(crate) const KEY_BYTES: usize = 32;

/// `open(2)`'s `O_NOFOLLOW` on Linux; a link in the key's place is refused.
const O_NOFOLLOW: i32 = 0o400_000;

/// Why there is no usable master key.
#[derive(Debug, thiserror::Error)]
pub enum KeyFileError {
    /// Others could read it.
    #[error(
        "the master key {} has mode {mode:04o}, so others could read it: \
         run `chmod 600 {}` and make sure that nobody copied it", path.display(), path.display()
    )]
    TooOpen {
        /// The file.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// It is not a key.
    #[error(
        "the master key {} holds {bytes} bytes instead of 32: restore it from a backup; \
         without it the stored secrets cannot be read", path.display()
    )]
    WrongSize {
        /// The file.
        path: PathBuf,
        /// Its size.
        bytes: u64,
    },
    /// It is not a plain file.
    #[error("the master key {} is not a plain file: move it away or restore it", path.display())]
    NotAFile {
        /// The file.
        path: PathBuf,
    },
    /// There is none, and what is stored was sealed with one.
    #[error(
        "the master key {} is missing: restore it from the same backup as the database. Without it \
         stored keys and secrets cannot be read; if it is lost for good, put any 32 bytes in its place \
         (mode 0600), and enter them again", path.display()
    )]
    Missing {
        /// The file.
        path: PathBuf,
    },
    /// It would be removed, and is the one that everything is sealed with.
    #[error(
        "the master key {} is the one that the database is sealed with: it stays. Restart the server, \
         which puts it in its place", path.display()
    )]
    InUse {
        /// The file.
        path: PathBuf,
    },
    /// The operating system refused.
    #[error("the master key {} could not be {step}: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// `read`, `made`, `replaced`, `removed`.
        step: &'static str,
        /// Why.
        source: io::Error,
    },
}

/// Reads the key, or makes a new one when there is no file.
pub(crate) fn load_or_make(path: &Path) -> Result<Zeroizing<[u8; KEY_BYTES]>, KeyFileError> {
    match load(path) {
        Err(KeyFileError::Io { source, .. }) if source.kind() == io::ErrorKind::NotFound => {
            make(path).map_err(|source| KeyFileError::Io {
                path: path.to_owned(),
                step: "made",
                source,
            })?;
            load(path)
        }
        other => other,
    }
}

pub(crate) fn load(path: &Path) -> Result<Zeroizing<[u8; KEY_BYTES]>, KeyFileError> {
    let io = |source: io::Error| KeyFileError::Io { path: path.to_owned(), step: "read", source };
    let mut file = OpenOptions::new().read(true).custom_flags(O_NOFOLLOW).open(path).map_err(io)?;
    let meta = file.metadata().map_err(io)?;
    if !meta.is_file() {
        return Err(KeyFileError::NotAFile { path: path.to_owned() });
    }
    let mode = meta.mode() & 0o7777;
    if mode & 0o077 != 0 {
        return Err(KeyFileError::TooOpen { path: path.to_owned(), mode });
    }
    if meta.len() != KEY_BYTES as u64 {
        return Err(KeyFileError::WrongSize { path: path.to_owned(), bytes: meta.len() });
    }
    let mut key = Zeroizing::new([0u8; KEY_BYTES]);
    file.read_exact(key.as_mut()).map_err(io)?;
    Ok(key)
}

/// Written beside and linked into place: another process sees the whole key or none, and never
/// replaces one that exists.
fn make(path: &Path) -> io::Result<()> {
    let mut key = Zeroizing::new([0u8; KEY_BYTES]);
    getrandom::fill(key.as_mut()).map_err(io::Error::other)?;
    let beside = path.with_extension(format!("new-{}", std::process::id()));
    let _ = fs::remove_file(&beside);
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&beside)?;
    let written = file
        .write_all(key.as_ref())
        .and_then(|()| file.sync_all())
        .and_then(|()| fs::hard_link(&beside, path));
    fs::remove_file(&beside)?;
    match written {
        Err(e) if e.kind() == io::ErrorKind::AlreadyExists => return Ok(()),
        other => other?,
    }
    sync_folder(path)
}

/// Makes what was done to the folder's entries last.
pub(crate) fn sync_folder(path: &Path) -> io::Result<()> {
    match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => fs::File::open(folder)?.sync_all(),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt as _;

    #[test]
    fn a_key_is_made_once_and_read_again() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("master.key");
        let first = load_or_make(&path).unwrap();
        assert_eq!(*load_or_make(&path).unwrap(), *first);
        assert_eq!(fs::metadata(&path).unwrap().mode() & 0o777, 0o600);
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_key_that_others_can_read_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("master.key");
        load_or_make(&path).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
        let error = load_or_make(&path).unwrap_err();
        assert!(matches!(error, KeyFileError::TooOpen { mode: 0o640, .. }));
        assert!(error.to_string().contains("chmod 600"));
    }

    #[test]
    fn a_damaged_key_and_a_link_are_refused_and_never_replaced() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("master.key");
        load_or_make(&path).unwrap();
        fs::write(&path, b"short").unwrap();
        assert!(matches!(load_or_make(&path), Err(KeyFileError::WrongSize { bytes: 5, .. })));
        let link = dir.path().join("link.key");
        std::os::unix::fs::symlink(&path, &link).unwrap();
        assert!(load_or_make(&link).is_err());
        assert_eq!(fs::read(&path).unwrap(), b"short");
    }

    #[test]
    fn many_openers_at_once_get_the_same_key() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("master.key");
        let key = load_or_make(&path).unwrap();
        let others: Vec<_> = (0..4)
            .map(|_| {
                let path = path.clone();
                std::thread::spawn(move || load_or_make(&path).unwrap())
            })
            .collect();
        for other in others {
            assert_eq!(*other.join().unwrap(), *key);
        }
    }
}
