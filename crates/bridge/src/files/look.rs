//! `GET files`: what a path is, and what a folder holds.

use super::{AtQuery, Folder, blocking, modified_ms, quoted};
use crate::answer::{Failure, Refused, done};
use axum::{extract::State, response::Response};
use serde::Serialize;
use std::{fs, os::unix::fs::MetadataExt as _, path::Path};

/// Entries of one folder that are told; a person cannot read more, a `node_modules` may hold more.
const ENTRIES_MAX: usize = 10_000;

const COMMAND: &str = "get_file";

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Looked {
    path: String,
    #[serde(rename = "type")]
    kind: &'static str,
    size: u64,
    modified_at: u64,
    mode: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    entries: Option<Vec<Entry>>,
    /// Whether the folder holds more entries than are told.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    truncated: bool,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Entry {
    name: String,
    #[serde(rename = "type")]
    kind: &'static str,
    size: u64,
    modified_at: u64,
}

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
        kind: if meta.is_dir() { "dir" } else { "file" },
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
            t if t.is_symlink() => "link",
            t if t.is_dir() => "dir",
            t if t.is_file() => "file",
            _ => "other",
        };
        entries.push(Entry {
            name: entry.file_name().to_string_lossy().into_owned(),
            kind,
            size: meta.len(),
            modified_at: modified_ms(&meta),
        });
    }
    entries.sort_by(|a, b| (a.kind != "dir", &a.name).cmp(&(b.kind != "dir", &b.name)));
    Ok((entries, more))
}
