//! A data folder made of a backup. Not on top of anything: what is there already is somebody's.

use super::format::{
    ABOUT, About, DATA, DATABASE, DISKS, E2B_IDENTITIES, END, End, FORMAT, SCRATCH, UNRESTORED,
};
use age::secrecy::SecretString;
use std::{
    collections::HashSet,
    fs::{self, DirBuilder, File, OpenOptions},
    io::{self, Read, Write as _},
    os::{
        fd::OwnedFd,
        unix::fs::{DirBuilderExt as _, OpenOptionsExt as _, PermissionsExt as _, chown},
    },
    path::{Component, Path, PathBuf},
};
use tar::{Archive, EntryType};
use toft_model::id::ProjectId;
use toft_store::{PostgresStore, StoreError};
use toft_vault::Secret;

/// The most work that a passphrase may cost, as a power of two: a minute and 4 GiB on what is slow today.
const WORK_FACTOR_MAX: u8 = 22;
/// The largest of the entries that say something.
const WORD_BYTES_MAX: u64 = 1 << 20;

/// Why a backup is not restored.
#[derive(Debug, thiserror::Error)]
pub enum RestoreError {
    /// There is something already.
    #[error("{} is not empty: name a folder with --data that is new or empty", .0.display())]
    NotEmpty(PathBuf),
    /// The passphrase, or the file, is another one.
    #[error("the backup cannot be opened: {0}. Is it the right passphrase, and the whole file?")]
    Sealed(String),
    /// It is none of ours, or of another version.
    #[error("this is no backup that can be restored: {0}")]
    Unknown(String),
    /// It needs another database.
    #[error("{0}")]
    Database(&'static str),
    /// A file could not be read or written.
    #[error("restoring failed at {at}: {source}. Empty the folder before you try again")]
    Io {
        /// Which.
        at: String,
        /// Why.
        source: io::Error,
    },
    /// The database could not be filled.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A disk could not be made.
    #[error("{0}. Empty the folder before you try again")]
    Disk(String),
}

/// Who makes disks of what comes out of a backup.
pub trait Disks {
    /// Begins one, with a backend of that name or else the server's own; it is read to its end. Called when all files
    /// of the data folder but those of later projects are
    /// there.
    fn begin(
        &mut self,
        project: ProjectId,
        backend: Option<&str>,
        from: OwnedFd,
    ) -> Result<(), String>;
    /// Waits until the last one is there.
    fn end(&mut self) -> Result<(), String>;
}

/// Which server it becomes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum As {
    /// Another one: it has nothing to do with sandboxes of the one that it was made from.
    Another,
    /// The same, which is gone: its sandboxes are this one's.
    TheSame,
}

/// Makes a data folder, its database and its disks of a backup. Blocks; `database` is filled by `runtime`.
pub fn restore(
    from: File,
    passphrase: &Secret,
    data: &Path,
    database: Option<&Secret>,
    becomes: As,
    runtime: &tokio::runtime::Handle,
    disks: &mut dyn Disks,
) -> Result<About, RestoreError> {
    let done = unpack(from, passphrase, data, database, becomes, runtime, disks);
    if done.is_err() {
        // Nobody makes a disk any more when this is over.
        let _ = disks.end();
    }
    done
}

fn unpack(
    from: File,
    passphrase: &Secret,
    data: &Path,
    database: Option<&Secret>,
    becomes: As,
    runtime: &tokio::runtime::Handle,
    disks: &mut dyn Disks,
) -> Result<About, RestoreError> {
    let at = |at: &Path| {
        let at = at.display().to_string();
        move |source| RestoreError::Io { at, source }
    };
    let opened = age::Decryptor::new_buffered(io::BufReader::new(from))
        .map_err(|e| RestoreError::Sealed(e.to_string()))?;
    let mut identity =
        age::scrypt::Identity::new(SecretString::from(passphrase.expose().to_owned()));
    // Made on a faster computer it is more work here than age takes for reasonable by itself.
    identity.set_max_work_factor(WORK_FACTOR_MAX);
    let plain = opened
        .decrypt(std::iter::once(&identity as &dyn age::Identity))
        .map_err(|e| RestoreError::Sealed(e.to_string()))?;
    if fs::read_dir(data).is_ok_and(|mut entries| entries.next().is_some()) {
        return Err(RestoreError::NotEmpty(data.to_owned()));
    }
    let mut archive = Archive::new(plain);
    let broken = |source: io::Error| RestoreError::Sealed(source.to_string());
    let mut entries = archive.entries().map_err(broken)?;
    let first = entries.next().ok_or_else(|| RestoreError::Unknown("it is empty".into()))?;
    let about = about(first.map_err(broken)?)?;
    match (about.database.as_str(), database) {
        ("postgres", None) => {
            return Err(RestoreError::Database(
                "this backup is of a PostgreSQL database: name a new, empty one with --database",
            ));
        }
        ("sqlite", Some(_)) => {
            return Err(RestoreError::Database(
                "this backup is of a data folder with a database of its own: leave --database out",
            ));
        }
        _ => {}
    }
    DirBuilder::new().recursive(true).mode(0o700).create(data).map_err(at(data))?;
    let marker = data.join(UNRESTORED);
    File::create(&marker).map_err(at(&marker))?;

    let mut unpack =
        Unpack { data, made: HashSet::new(), file: None, disk: None, folders: Vec::new() };
    let (mut count, mut whole, mut filled) = (1, false, false);
    for entry in entries {
        let mut entry = entry.map_err(broken)?;
        let path = entry.path().map_err(broken)?.into_owned();
        let parts = parts(&path)?;
        let [room, rest @ ..] = parts.as_slice() else { continue };
        if room != DATABASE && !filled {
            unpack.close()?;
            // All of it is there: entries come in order.
            fill(data, database, becomes, runtime)?;
            filled = true;
        }
        match (room.as_str(), rest) {
            (END, []) => {
                let end: End = word(&mut entry)?;
                whole = end.entries == count;
                break;
            }
            (DATABASE, rest) => unpack.one(&mut entry, &data.join(SCRATCH), rest)?,
            (DATA, rest) if becomes == As::Another && is_identity(rest) => {}
            (DATA, [_, ..]) => unpack.one(&mut entry, data, rest)?,
            (DISKS, [project]) => unpack.disk(&mut entry, project, None, disks)?,
            (DISKS, [backend, project]) => {
                unpack.disk(&mut entry, project, Some(backend), disks)?;
            }
            _ => return Err(RestoreError::Unknown(format!("it holds {}", path.display()))),
        }
        count += 1;
    }
    unpack.close()?;
    disks.end().map_err(RestoreError::Disk)?;
    if !whole {
        return Err(RestoreError::Sealed("its end is missing".into()));
    }
    unpack.settle()?;
    fs::remove_file(&marker).map_err(at(&marker))?;
    File::open(data).and_then(|folder| folder.sync_all()).map_err(at(data))?;
    Ok(about)
}

/// All of an entry. What cannot be read is the file's fault, and nobody else's.
fn piece(entry: &mut impl Read) -> Result<Vec<u8>, RestoreError> {
    let mut bytes = Vec::new();
    entry.read_to_end(&mut bytes).map_err(|e| RestoreError::Sealed(e.to_string()))?;
    Ok(bytes)
}

fn word<T: serde::de::DeserializeOwned>(entry: &mut impl Read) -> Result<T, RestoreError> {
    let mut text = Vec::new();
    let read = entry.take(WORD_BYTES_MAX).read_to_end(&mut text);
    read.map_err(|e| RestoreError::Sealed(e.to_string()))?;
    serde_json::from_slice(&text).map_err(|e| RestoreError::Unknown(e.to_string()))
}

fn about<R: Read>(mut entry: tar::Entry<'_, R>) -> Result<About, RestoreError> {
    if entry.path().ok().as_deref() != Some(Path::new(ABOUT)) {
        return Err(RestoreError::Unknown("it does not say what it is".into()));
    }
    let about: About = word(&mut entry)?;
    if about.format != FORMAT {
        let why = format!("its format {} is not known: use Toft {}", about.format, about.version);
        return Err(RestoreError::Unknown(why));
    }
    Ok(about)
}

/// The parts of a name, none of which leads out.
fn parts(path: &Path) -> Result<Vec<String>, RestoreError> {
    let odd = || RestoreError::Unknown(format!("it holds {}", path.display()));
    path.components()
        .map(|part| match part {
            Component::Normal(name) => name.to_str().map(str::to_owned).ok_or_else(odd),
            _ => Err(odd()),
        })
        .collect()
}

/// By which name sandboxes are known.
fn is_identity(parts: &[String]) -> bool {
    E2B_IDENTITIES.iter().any(|name| name.split('/').eq(parts))
}

/// Puts the database where the server looks for it.
fn fill(
    data: &Path,
    database: Option<&Secret>,
    becomes: As,
    runtime: &tokio::runtime::Handle,
) -> Result<(), RestoreError> {
    let scratch = data.join(SCRATCH);
    if let Some(url) = database {
        let keeps_name = becomes == As::TheSame;
        runtime.block_on(PostgresStore::fill(url.expose(), &scratch, keeps_name))?;
    } else {
        let file = data.join("toft.db");
        fs::rename(scratch.join("toft.db"), &file)
            .map_err(|source| RestoreError::Io { at: file.display().to_string(), source })?;
    }
    fs::remove_dir_all(&scratch)
        .map_err(|source| RestoreError::Io { at: scratch.display().to_string(), source })
}

struct Unpack<'a> {
    data: &'a Path,
    /// Files that were begun: pieces of one name come one after the other.
    made: HashSet<PathBuf>,
    file: Option<(PathBuf, File)>,
    disk: Option<(ProjectId, io::PipeWriter)>,
    /// Folders, and how they may be used: said last, or nobody could write to them.
    folders: Vec<(PathBuf, u32)>,
}

impl Unpack<'_> {
    fn one<R: Read>(
        &mut self,
        entry: &mut tar::Entry<'_, R>,
        below: &Path,
        rest: &[String],
    ) -> Result<(), RestoreError> {
        let path = rest.iter().fold(below.to_owned(), |path, part| path.join(part));
        let at = |source| RestoreError::Io { at: path.display().to_string(), source };
        let header = entry.header().clone();
        let mode = header.mode().map_err(at)? & 0o7777;
        match header.entry_type() {
            EntryType::Directory => {
                DirBuilder::new().recursive(true).mode(0o700).create(&path).map_err(at)?;
                own(&path, &header).map_err(at)?;
                self.folders.push((path, mode));
                Ok(())
            }
            EntryType::Regular => {
                if self.file.as_ref().is_none_or(|(open, _)| *open != path) {
                    self.close()?;
                    if !self.made.insert(path.clone()) {
                        return Err(RestoreError::Unknown(format!(
                            "{} is twice in it",
                            path.display()
                        )));
                    }
                    if let Some(folder) = path.parent() {
                        DirBuilder::new().recursive(true).mode(0o700).create(folder).map_err(at)?;
                    }
                    let file = OpenOptions::new()
                        .write(true)
                        .create_new(true)
                        .mode(0o600)
                        .open(&path)
                        .map_err(at)?;
                    own(&path, &header).map_err(at)?;
                    file.set_permissions(fs::Permissions::from_mode(mode)).map_err(at)?;
                    self.file = Some((path.clone(), file));
                }
                let Some((_, file)) = &mut self.file else { return Ok(()) };
                file.write_all(&piece(entry)?).map_err(at)
            }
            _ => {
                Err(RestoreError::Unknown(format!("{} is neither file nor folder", path.display())))
            }
        }
    }

    fn disk<R: Read>(
        &mut self,
        entry: &mut tar::Entry<'_, R>,
        project: &str,
        backend: Option<&str>,
        disks: &mut dyn Disks,
    ) -> Result<(), RestoreError> {
        let project: ProjectId =
            project.parse().map_err(|_| RestoreError::Unknown(format!("a disk of {project:?}")))?;
        let at = |source| RestoreError::Io { at: format!("the disk of {project}"), source };
        if self.disk.as_ref().is_none_or(|(open, _)| *open != project) {
            self.close()?;
            let (from, to) = io::pipe().map_err(at)?;
            disks
                .begin(project.clone(), backend, OwnedFd::from(from))
                .map_err(RestoreError::Disk)?;
            self.disk = Some((project.clone(), to));
        }
        let Some((_, to)) = &mut self.disk else { return Ok(()) };
        match to.write_all(&piece(entry)?) {
            // Whoever reads it says why it does not.
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => {
                self.disk = None;
                disks.end().map_err(RestoreError::Disk)?;
                Err(at(error))
            }
            written => written.map_err(at),
        }
    }

    /// Nothing more comes for what is open.
    fn close(&mut self) -> Result<(), RestoreError> {
        if let Some((path, mut file)) = self.file.take() {
            file.flush()
                .and_then(|()| file.sync_all())
                .map_err(|source| RestoreError::Io { at: path.display().to_string(), source })?;
        }
        self.disk = None;
        Ok(())
    }

    fn settle(&self) -> Result<(), RestoreError> {
        for (path, mode) in self.folders.iter().filter(|(path, _)| path.starts_with(self.data)) {
            match fs::set_permissions(path, fs::Permissions::from_mode(*mode)) {
                // Of the database's files.
                Err(error) if error.kind() != io::ErrorKind::NotFound => {
                    return Err(RestoreError::Io { at: path.display().to_string(), source: error });
                }
                _ => {}
            }
        }
        Ok(())
    }
}

/// Gives a file to whom it belonged. An ordinary user keeps what they restore.
fn own(path: &Path, header: &tar::Header) -> io::Result<()> {
    if !rustix::process::geteuid().is_root() {
        return Ok(());
    }
    let id = |id: io::Result<u64>| id.map(|id| u32::try_from(id).unwrap_or(u32::MAX));
    chown(path, Some(id(header.uid())?), Some(id(header.gid())?))
}
