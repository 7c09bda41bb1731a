//! `GET files/archive.zip`: a folder as one file, without what is made anew, what is secret, and links. What is too much
//! is refused before anything is sent.

use super::{Folder, blocking};
use crate::{
    answer::{Failure, Refused},
    asked::{self, Asked},
};
use axum::{
    body::Body,
    extract::State,
    response::{IntoResponse as _, Response},
};
use bytes::Bytes;
use futures_util::Stream;
use http::{HeaderValue, StatusCode, header};
use rustix::fs::{Mode, OFlags};
use serde::Deserialize;
use std::{
    fs::{self, File},
    io::{self, Read as _, Write},
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
};
use toft_model::{boot::HOST_OWN, files::quoted};
use tokio::sync::mpsc;
use zip::{CompressionMethod, ZipWriter, write::SimpleFileOptions};

const COMMAND: &str = "get_archive";
/// Bytes of all files, where the request says nothing.
const BYTES_MAX: u64 = 250_000_000;
/// Files, likewise.
const FILES_MAX: u64 = 20_000;
/// How deep folders may lie in one another.
const DEPTH_MAX: usize = 128;
/// Bytes that are sent together.
const PIECE_BYTES: usize = 64 << 10;
/// Pieces that wait for a slow reader.
const PIECES_MAX: usize = 4;

/// Folders that tools make anew, or that hold keys.
const FOLDERS_OUT: &[&str] = &[
    ".git",
    "node_modules",
    ".next",
    "dist",
    "build",
    ".cache",
    ".turbo",
    ".aws",
    ".ssh",
    ".gnupg",
    ".kube",
    "coverage",
    ".agents",
    "tmp",
    "target",
    "__pycache__",
    ".venv",
];
/// Files that hold keys.
const FILES_OUT: &[&str] = &[
    ".npmrc",
    ".git-credentials",
    ".pypirc",
    ".netrc",
    "id_rsa",
    "id_dsa",
    "id_ecdsa",
    "id_ed25519",
];
const ENDS_OUT: &[&str] = &[".pem", ".key", ".p12", ".pfx"];

/// Query of the route.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Wish {
    path: Option<String>,
    bytes_max: Option<u64>,
    files_max: Option<u64>,
}

/// A file of the archive.
struct Entry {
    path: PathBuf,
    /// Relative to the folder, with `/`.
    name: String,
    mode: u32,
}

pub(super) async fn archive(
    State(folder): State<Folder>,
    query: Asked<Wish>,
) -> Result<Response, Refused> {
    let wish = asked::query(query).map_err(|failure| failure.of(COMMAND))?;
    let root = folder.resolve(COMMAND, wish.path.as_deref().unwrap_or(""))?;
    let limits = (wish.bytes_max.unwrap_or(BYTES_MAX), wish.files_max.unwrap_or(FILES_MAX));
    let entries = blocking(COMMAND, move || collect(&root, limits)).await?;
    let count = entries.len();
    let (pieces, sent) = mpsc::channel(PIECES_MAX);
    tokio::task::spawn_blocking(move || {
        let failed = pieces.clone();
        if let Err(error) = write(entries, pieces) {
            // What is cut is seen to be: an archive's end is its index.
            let _ = failed.blocking_send(Err(error));
        }
    });
    let mut response = Body::from_stream(received(sent)).into_response();
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/zip"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert("x-toft-files", HeaderValue::from(count));
    Ok(response)
}

fn received(mut sent: mpsc::Receiver<io::Result<Bytes>>) -> impl Stream<Item = io::Result<Bytes>> {
    async_stream::stream! {
        while let Some(piece) = sent.recv().await {
            yield piece;
        }
    }
}

/// By its name, however that is written.
fn is_out(name: &str, is_folder: bool) -> bool {
    let name = name.to_ascii_lowercase();
    let name = name.as_str();
    let is_env = name == ".env" || (name.starts_with(".env.") && name != ".env.example");
    if is_folder {
        return is_env || FOLDERS_OUT.contains(&name);
    }
    is_env || FILES_OUT.contains(&name) || ENDS_OUT.iter().any(|end| name.ends_with(end))
}

/// All files that go in, in the order of their names.
fn collect(root: &Path, limits: (u64, u64)) -> Result<Vec<Entry>, Refused> {
    let failed = |what: &str, path: &Path, err: &io::Error| {
        Failure::io(&quoted(what, path), err).of(COMMAND)
    };
    let meta = fs::symlink_metadata(root).map_err(|err| failed("reading", root, &err))?;
    if !meta.is_dir() {
        return Err(Failure::invalid("path is no folder: an archive is made of one.").of(COMMAND));
    }
    let (bytes_max, files_max) = limits;
    let (mut entries, mut bytes) = (Vec::new(), 0_u64);
    let mut folders = vec![(root.to_owned(), String::new(), 0)];
    while let Some((folder, prefix, depth)) = folders.pop() {
        let listed = match fs::read_dir(&folder) {
            Ok(listed) => listed,
            // It went away meanwhile.
            Err(err) if err.kind() == io::ErrorKind::NotFound => continue,
            Err(err) => return Err(failed("listing", &folder, &err)),
        };
        for entry in listed.flatten() {
            // A name that is no text has no place in an archive that is read everywhere.
            let Ok(name) = entry.file_name().into_string() else { continue };
            let Ok(meta) = entry.metadata() else { continue };
            if is_out(&name, meta.is_dir()) {
                continue;
            }
            let inside = format!("{prefix}{name}");
            if HOST_OWN.contains(&inside.as_str()) {
                continue;
            }
            if meta.is_dir() && depth < DEPTH_MAX {
                folders.push((entry.path(), format!("{inside}/"), depth + 1));
            } else if meta.is_file() {
                bytes = bytes.saturating_add(meta.len());
                let mode = meta.permissions().mode() & 0o777;
                entries.push(Entry { path: entry.path(), name: inside, mode });
            }
            if bytes > bytes_max || entries.len() as u64 > files_max {
                let message = format!(
                    "there is more in it than {files_max} files or {bytes_max} bytes: leave out what can be made anew."
                );
                return Err(Failure::new(
                    StatusCode::PAYLOAD_TOO_LARGE,
                    "payload_too_large",
                    message,
                )
                .of(COMMAND));
            }
        }
    }
    entries.sort_unstable_by(|a, b| a.name.cmp(&b.name));
    Ok(entries)
}

fn write(entries: Vec<Entry>, pieces: mpsc::Sender<io::Result<Bytes>>) -> io::Result<()> {
    let mut archive =
        ZipWriter::new_stream(Pieces { pieces, gathered: Vec::with_capacity(PIECE_BYTES) });
    for entry in entries {
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let file = match rustix::fs::open(&entry.path, flags, Mode::empty()) {
            Ok(file) => File::from(file),
            // It went away, or became something else, meanwhile.
            Err(_) => continue,
        };
        let meta = file.metadata()?;
        if !meta.is_file() {
            continue;
        }
        let options = SimpleFileOptions::default()
            .compression_method(CompressionMethod::Deflated)
            .large_file(meta.len() >= u64::from(u32::MAX))
            .unix_permissions(entry.mode);
        archive.start_file(entry.name, options).map_err(io::Error::other)?;
        // Not more than it was counted with: a file may grow without end.
        io::copy(&mut file.take(meta.len()), &mut archive)?;
    }
    let mut pieces = archive.finish().map_err(io::Error::other)?.into_inner();
    pieces.flush()
}

/// Gathers what is written into pieces for the answer.
struct Pieces {
    pieces: mpsc::Sender<io::Result<Bytes>>,
    gathered: Vec<u8>,
}

impl Write for Pieces {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.gathered.extend_from_slice(bytes);
        if self.gathered.len() >= PIECE_BYTES {
            self.flush()?;
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        if self.gathered.is_empty() {
            return Ok(());
        }
        let piece =
            Bytes::from(std::mem::replace(&mut self.gathered, Vec::with_capacity(PIECE_BYTES)));
        // Nobody reads any more.
        self.pieces.blocking_send(Ok(piece)).map_err(|_| io::ErrorKind::BrokenPipe.into())
    }
}
