//! What goes into a backup, while the server works on.

use super::{
    archive::{Archive, Owned},
    format::{
        ABOUT, About, DATA, DATABASE, DISKS, E2B_IDENTITIES, END, End, FORMAT, PIECE_BYTES, SCRATCH,
    },
};
use crate::{
    api_error::{ApiError, Code},
    checkpoints::lent,
    machines::Machine,
    state::App,
};
use bytes::Bytes;
use rustix::fs::OFlags;
use std::{
    fs, io,
    os::{
        fd::OwnedFd,
        unix::fs::{DirBuilderExt as _, OpenOptionsExt as _},
    },
    path::{Path, PathBuf},
    sync::Arc,
};
use toft_model::{checkpoint::CheckpointId, id::ProjectId, machine::BACKENDS_DIR};
use tokio::{net::unix::pipe, sync::mpsc::Sender, task::spawn_blocking};

/// Of the data folder, what is not copied as it lies there: what only runs, what comes by itself, and what is half made.
const LEFT_OUT: [&str; 5] = ["run", "store", "logs", BACKENDS_DIR, SCRATCH];
/// The database's files begin so.
const DATABASE_FILES: &str = "toft.db";
/// Of that: how machines are made.
const BACKEND_FILE: &str = "run/backend.json";
/// Folders within folders of the data folder.
const DEPTH_MAX: u32 = 32;

/// Why a backup ends early.
#[derive(Debug, thiserror::Error)]
enum Broken {
    #[error("{}: {source}", path.display())]
    File { path: PathBuf, source: io::Error },
    #[error(transparent)]
    Io(#[from] io::Error),
    #[error("{}", .0.message)]
    Api(ApiError),
    #[error(transparent)]
    Store(#[from] toft_store::StoreError),
    #[error(transparent)]
    Machine(#[from] toft_machine::backend::MachineError),
}

impl From<ApiError> for Broken {
    fn from(error: ApiError) -> Self {
        Self::Api(error)
    }
}

/// What becomes of a project's files.
enum Files {
    /// They go into the backup.
    Copied,
    /// There are none.
    None,
    /// They lie at somebody else's, or in a folder of a person's.
    Elsewhere,
}

async fn files_of(app: &App, machine: &Machine) -> Result<Files, ApiError> {
    let of = || app.backend.of(&machine.id);
    if !of().far().is_empty() || (app.backend.is_open(of().name()) && !of().can().checkpoint) {
        return Ok(Files::Elsewhere);
    }
    // Opens its backend. What cannot be looked at is not nothing.
    let is_made = app.backend.is_made(&machine.id).await.map_err(|error| {
        ApiError::new(
            Code::Unavailable,
            format!(
                "the files of project {} cannot be had: {error}. Mend that, or make the backup without them: \
                 --leave-out {}",
                machine.id, machine.id
            ),
        )
    })?;
    Ok(match (is_made, of().can().checkpoint) {
        (false, _) => Files::None,
        (true, true) => Files::Copied,
        (true, false) => Files::Elsewhere,
    })
}

/// What a backup that is made now will not hold, a sentence each; or why it cannot be made.
pub(crate) async fn left_out(app: &App, without: &[ProjectId]) -> Result<Vec<String>, ApiError> {
    let mut all = Vec::new();
    if let Some(place) = app.runs.artifacts.outside(&app.data_dir) {
        all.push(format!("what runs have left, in {place}"));
    }
    for machine in app.machines.list() {
        machine.settled().await;
        if without.contains(&machine.id) {
            all.push(format!("the files of project {}, as asked for", machine.id));
        } else if matches!(files_of(app, &machine).await?, Files::Elsewhere) {
            let backend = app.backend.of(&machine.id).name();
            all.push(format!(
                "the files of project {}, which its backend `{backend}` keeps elsewhere",
                machine.id
            ));
        }
    }
    Ok(all)
}

/// Makes a backup; its bytes go out as they come, and end in an error if it cannot be finished. `without`: projects
/// whose files stay out of it.
pub(crate) async fn make(
    app: App,
    passphrase: String,
    without: Vec<ProjectId>,
    out: Sender<io::Result<Bytes>>,
) {
    let (archive, written) = Archive::begin(passphrase, out.clone());
    let scratch = app.data_dir.join(SCRATCH);
    let gathered = gather(&app, archive, &scratch, &without).await;
    if let Err(error) = fs::remove_dir_all(&scratch)
        && error.kind() != io::ErrorKind::NotFound
    {
        tracing::warn!(%error, "what a backup needed stays until the next one");
    }
    if let Err(error) = gathered {
        tracing::warn!(%error, "a backup was not finished");
        let _ = out.send(Err(io::Error::other(error.to_string()))).await;
    }
    // Dropped by then: it ends one way or the other.
    drop(written.await);
}

async fn gather(
    app: &App,
    mut archive: Archive,
    scratch: &Path,
    without: &[ProjectId],
) -> Result<(), Broken> {
    let about = About {
        format: FORMAT,
        version: app.version.clone(),
        made_at: app.clock.now_ms(),
        database: if app.store.is_shared() { "postgres" } else { "sqlite" }.into(),
    };
    let about = serde_json::to_vec(&about).map_err(io::Error::other)?;
    archive.file(ABOUT, Owned::private(), about).await?;

    // What an earlier one has left.
    let _ = fs::remove_dir_all(scratch);
    fs::DirBuilder::new().mode(0o700).create(scratch)?;
    app.store.copy_to(scratch).await?;
    tree(&mut archive, scratch, DATABASE, DEPTH_MAX, Whose::Ours).await?;
    fs::remove_dir_all(scratch)?;

    for (name, path) in listed(&app.data_dir).await? {
        if LEFT_OUT.contains(&name.as_str()) || name.starts_with(DATABASE_FILES) {
            continue;
        }
        tree(&mut archive, &path, &format!("{DATA}/{name}"), DEPTH_MAX, Whose::Ours).await?;
    }
    for file in [BACKEND_FILE].into_iter().chain(E2B_IDENTITIES) {
        let path = app.data_dir.join(file);
        tree(&mut archive, &path, &format!("{DATA}/{file}"), 0, Whose::Ours).await?;
    }
    for machine in app.machines.list() {
        machine.settled().await;
        match project(app, &mut archive, &machine, without).await {
            Ok(()) => {}
            // Deleted meanwhile: it is none of those that count.
            Err(_) if app.machines.get(&machine.id).is_none() => {}
            Err(error) => return Err(error),
        }
    }
    let end = serde_json::to_vec(&End { entries: archive.count }).map_err(io::Error::other)?;
    archive.file(END, Owned::private(), end).await?;
    archive.end().await?;
    Ok(())
}

/// A project's log, and then its disk of one moment.
async fn project(
    app: &App,
    archive: &mut Archive,
    machine: &Arc<Machine>,
    without: &[ProjectId],
) -> Result<(), Broken> {
    let log = app.backend.log_dir(&machine.id);
    let below = log.strip_prefix(&app.data_dir).ok().and_then(Path::to_str);
    let name = below.map_or_else(|| format!("logs/{}", machine.id), str::to_owned);
    tree(archive, &log, &format!("{DATA}/{name}"), DEPTH_MAX, Whose::Shared).await?;
    if without.contains(&machine.id) {
        return Ok(());
    }
    match files_of(app, machine).await? {
        Files::Copied => {}
        Files::None | Files::Elsewhere => return Ok(()),
    }
    let copy = lent::take(app, machine).await?;
    let poured = disk(app, archive, machine, copy.id()).await;
    let dropped = copy.give_back(app).await;
    poured?;
    dropped?;
    Ok(())
}

async fn disk(
    app: &App,
    archive: &mut Archive,
    machine: &Machine,
    id: &CheckpointId,
) -> Result<(), Broken> {
    let (from, to) = io::pipe()?;
    let from = pipe::Receiver::from_owned_fd(OwnedFd::from(from))?;
    let backend = app.backend.of(&machine.id).name();
    // Of the server's own without its name, as they were when a server had one.
    let name = if backend == app.backend.name() {
        format!("{DISKS}/{}", machine.id)
    } else {
        format!("{DISKS}/{backend}/{}", machine.id)
    };
    let (exported, poured) = tokio::join!(
        app.backend.export(&machine.id, id, OwnedFd::from(to)),
        archive.pour(&name, Owned::private(), from),
    );
    // When nobody reads, the other one fails too: that is the reason.
    poured?;
    exported?;
    Ok(())
}

/// What a folder holds, by name.
async fn listed(folder: &Path) -> io::Result<Vec<(String, PathBuf)>> {
    let folder = folder.to_owned();
    let names = spawn_blocking(move || {
        let mut all = Vec::new();
        for entry in fs::read_dir(&folder)? {
            let entry = entry?;
            // Names of ours are text; what else lies there is nothing of ours.
            if let Ok(name) = entry.file_name().into_string() {
                all.push((name, entry.path()));
            }
        }
        all.sort();
        Ok(all)
    });
    names.await.map_err(io::Error::other)?
}

/// Who may write into a folder.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Whose {
    /// Nobody else: what cannot be read there is missing.
    Ours,
    /// Programs inside a machine too: what cannot be read there, or lies too deep, is theirs.
    Shared,
}

/// A file or a folder with all that is in it. Links and whatever else there is are left out, and nothing is followed:
/// what lies in a log folder may come from inside a machine.
async fn tree(
    archive: &mut Archive,
    path: &Path,
    name: &str,
    depth: u32,
    whose: Whose,
) -> Result<(), Broken> {
    let at = |source| Broken::File { path: path.to_owned(), source };
    let is_theirs = |error: &io::Error| {
        let is = whose == Whose::Shared && error.kind() == io::ErrorKind::PermissionDenied;
        if is {
            tracing::warn!(path = %path.display(), %error, "a backup leaves out what a machine's programs have put there");
        }
        is
    };
    let metadata = match fs::symlink_metadata(path) {
        Ok(metadata) => metadata,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) if is_theirs(&error) => return Ok(()),
        Err(error) => return Err(at(error)),
    };
    if metadata.is_dir() {
        if depth == 0 {
            if whose == Whose::Shared {
                tracing::warn!(path = %path.display(), "a backup leaves out what lies deep in a machine's log folder");
                return Ok(());
            }
            return Err(at(io::Error::other("folders lie too deep within each other")));
        }
        let inside = match listed(path).await {
            Err(error) if is_theirs(&error) => return Ok(()),
            inside => inside.map_err(at)?,
        };
        archive.folder(name, Owned::by(&metadata)).await?;
        for (inner, path) in inside {
            Box::pin(tree(archive, &path, &format!("{name}/{inner}"), depth - 1, whose)).await?;
        }
        return Ok(());
    }
    if !metadata.is_file() {
        return Ok(());
    }
    let path2 = path.to_owned();
    let opened = spawn_blocking(move || {
        let flags = OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let file =
            fs::File::options().read(true).custom_flags(flags.bits().cast_signed()).open(path2)?;
        let metadata = file.metadata()?;
        Ok((file, metadata))
    });
    let opened: io::Result<(fs::File, fs::Metadata)> = opened.await.map_err(io::Error::other)?;
    let (file, metadata) = match opened {
        Ok(opened) if opened.1.is_file() => opened,
        // Another thing lies there now.
        Ok(_) => return Ok(()),
        // A rotated log, an artifact that was just replaced.
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) if is_theirs(&error) => return Ok(()),
        Err(error) => return Err(at(error)),
    };
    // What is written to it from now on is for the next backup.
    let file = tokio::io::AsyncReadExt::take(tokio::fs::File::from_std(file), metadata.len());
    let file = tokio::io::BufReader::with_capacity(PIECE_BYTES.min(256 << 10), file);
    archive.pour(name, Owned::by(&metadata), file).await?;
    Ok(())
}
