//! `GET files`: what a path is, and what a folder holds.

use super::{AtQuery, Folder, blocking, modified_ms};
use crate::answer::{Failure, Refused, done};
use axum::{extract::State, response::Response};
use std::{fs, os::unix::fs::MetadataExt as _, path::Path};
use toft_model::files::{self, ENTRIES_MAX, Entry, FileKind, LOOK as COMMAND, Looked, quoted};

pub(super) async fn look(
    State(folder): State<Folder>,
    query: AtQuery,
) -> Result<Response, Refused> {
    let path = folder.at(COMMAND, query)?;
    let looked = blocking(COMMAND, move || look_at(&path)).await?;
    Ok(done(COMMAND, looked))
}

fn look_at(path: &Path) -> Result<Looked, Refused> {
    let failed = |err| Failure::io(&quoted("looking at", path), &err).of(COMMAND);
    let meta = fs::metadata(path).map_err(failed)?;
    let (entries, truncated) = if meta.is_dir() {
        let (entries, truncated) = list(path).map_err(failed)?;
        (Some(entries), truncated)
    } else {
        (None, false)
    };
    Ok(Looked {
        path: path.to_string_lossy().into_owned(),
        kind: if meta.is_dir() { FileKind::Dir } else { FileKind::File },
        size: meta.len(),
        modified_at: modified_ms(&meta),
        mode: meta.mode() & 0o7777,
        entries,
        truncated,
    })
}

/// Folders first, then by name.
fn list(path: &Path) -> std::io::Result<(Vec<Entry>, bool)> {
    let mut entries = Vec::new();
    let mut more = false;
    for entry in fs::read_dir(path)? {
        let entry = entry?;
        if entries.len() == ENTRIES_MAX {
            more = true;
            break;
        }
        // It may be gone by now: then it is not told.
        let Ok(meta) = entry.metadata() else { continue };
        let kind = match meta.file_type() {
            t if t.is_symlink() => FileKind::Link,
            t if t.is_dir() => FileKind::Dir,
            t if t.is_file() => FileKind::File,
            _ => FileKind::Other,
        };
        entries.push(Entry {
            name: entry.file_name().to_string_lossy().into_owned(),
            kind,
            size: meta.len(),
            modified_at: modified_ms(&meta),
        });
    }
    files::sort(&mut entries);
    Ok((entries, more))
}
