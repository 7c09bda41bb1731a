//! Routes that change files: write, make a folder, move, remove.

use super::{AtQuery, Folder, WRITE_BYTES_MAX, beside::Beside, blocking};
use crate::{
    answer::{Failure, Refused, done},
    body::body,
};
use axum::{
    body::Body,
    extract::{Request, State},
    response::Response,
};
use futures_util::StreamExt as _;
use http::{HeaderMap, header};
use rustix::fs::{CWD, RenameFlags, renameat_with};
use serde::Deserialize;
use serde_json::json;
use std::{
    fs::{self, File},
    io,
    os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _},
    path::Path,
};
use toft_model::files::quoted;

pub(super) async fn write(
    State(folder): State<Folder>,
    headers: HeaderMap,
    query: AtQuery,
    body: Body,
) -> Result<Response, Refused> {
    let command = "write_file";
    let path = folder.at(command, query)?;
    let announced = headers.get(header::CONTENT_LENGTH).and_then(|v| v.to_str().ok()?.parse().ok());
    if announced.is_some_and(|bytes: u64| bytes > WRITE_BYTES_MAX) {
        return Err(Failure::too_large(WRITE_BYTES_MAX).of(command));
    }
    let what = quoted("writing", &path);
    let failed = |err: io::Error| Failure::io(&what, &err).of(command);
    let mut beside = {
        let path = path.clone();
        blocking(command, move || Beside::make(command, &path)).await?
    };
    let mut size = 0u64;
    let mut body = body.into_data_stream();
    while let Some(piece) = body.next().await {
        let piece = piece.map_err(|err| {
            Failure::invalid(format!("the upload broke off, nothing was changed: {err}"))
                .of(command)
        })?;
        size += piece.len() as u64;
        if size > WRITE_BYTES_MAX {
            return Err(Failure::too_large(WRITE_BYTES_MAX).of(command));
        }
        beside = blocking(command, move || Ok(beside.append(&piece))).await?.map_err(failed)?;
    }
    blocking(command, move || Ok(beside.finish())).await?.map_err(failed)?;
    Ok(done(command, json!({"path": path.to_string_lossy(), "size": size})))
}

#[derive(Deserialize)]
pub(super) struct Make {
    path: String,
}

pub(super) async fn make_dir(
    State(folder): State<Folder>,
    request: Request,
) -> Result<Response, Refused> {
    let command = "make_dir";
    let make: Make = body(request).await.map_err(|failure| failure.of(command))?;
    let path = folder.resolve(command, &make.path)?;
    blocking(command, move || {
        fs::create_dir_all(&path)
            .map_err(|err| Failure::io(&quoted("making", &path), &err).of(command))
    })
    .await?;
    Ok(done(command, json!({})))
}

#[derive(Deserialize)]
pub(super) struct Move {
    from: String,
    to: String,
}

pub(super) async fn rename(
    State(folder): State<Folder>,
    request: Request,
) -> Result<Response, Refused> {
    let command = "move_file";
    let wish: Move = body(request).await.map_err(|failure| failure.of(command))?;
    let from = folder.resolve(command, &wish.from)?;
    let to = folder.resolve(command, &wish.to)?;
    blocking(command, move || {
        move_to(&from, &to).map_err(|err| match err.kind() {
            io::ErrorKind::AlreadyExists => Failure::conflict(format!(
                "{} exists already: remove it or choose another name",
                to.display()
            ))
            .of(command),
            _ => Failure::io(&quoted("moving", &from), &err).of(command),
        })
    })
    .await?;
    Ok(done(command, json!({})))
}

/// Moves without ever replacing what is there.
fn move_to(from: &Path, to: &Path) -> io::Result<()> {
    let moved = renameat_with(CWD, from, CWD, to, RenameFlags::NOREPLACE);
    match moved.map_err(io::Error::from) {
        Err(err) if err.kind() == io::ErrorKind::CrossesDevices => {
            if !fs::symlink_metadata(from)?.is_file() {
                return Err(io::Error::new(
                    io::ErrorKind::InvalidInput,
                    "only files can be moved to another disk of the machine; copy the folder in a \
                     terminal",
                ));
            }
            copy_to(from, to)?;
            fs::remove_file(from)
        }
        moved => moved,
    }
}

/// A copy with the same permissions, under a name that is free.
fn copy_to(from: &Path, to: &Path) -> io::Result<()> {
    let mut source = File::open(from)?;
    let mode = source.metadata()?.permissions().mode();
    let mut copy = File::options().write(true).create_new(true).mode(mode).open(to)?;
    io::copy(&mut source, &mut copy).map(|_| ()).inspect_err(|_| {
        let _ = fs::remove_file(to);
    })
}

/// What nobody removes with one click: the project's folder, the agent's with its conversations, and
/// what lies around them; and the system's own, without which the machine never starts again.
fn kept(path: &Path, project: &Path) -> bool {
    let agent = Path::new("/home/starter");
    let system = ["/usr", "/etc", "/var", "/root", "/proc", "/sys", "/dev", "/run", "/tmp"];
    [project, agent].iter().any(|own| own.starts_with(path))
        || system.iter().any(|own| path == Path::new(own))
}

pub(super) async fn remove(
    State(folder): State<Folder>,
    query: AtQuery,
) -> Result<Response, Refused> {
    let command = "delete_file";
    // An empty name is a program's mistake, not the wish to lose the whole project.
    let named = query.as_ref().is_ok_and(|q| q.path.as_ref().is_some_and(|p| !p.is_empty()));
    let path = folder.at(command, query)?;
    if !named || kept(&path, &folder.0) {
        let message = "name the file or folder to remove: not the project's own folder, not the \
                       agent's, and none that holds the system";
        return Err(Failure::invalid(message).of(command));
    }
    blocking(command, move || {
        let removed = fs::symlink_metadata(&path).and_then(|meta| {
            if meta.is_dir() { fs::remove_dir_all(&path) } else { fs::remove_file(&path) }
        });
        removed.map_err(|err| Failure::io(&quoted("removing", &path), &err).of(command))
    })
    .await?;
    Ok(done(command, json!({})))
}
