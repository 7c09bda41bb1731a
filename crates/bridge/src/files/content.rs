//! `GET files/content`: the bytes of a file, whole or a range. Never waits on a pipe or a device.

use super::{
    AtQuery, Folder, blocking, modified_ms, quoted,
    range::{Wanted, wanted},
};
use crate::answer::{Failure, Refused};
use axum::{
    body::Body,
    extract::State,
    response::{IntoResponse as _, Response},
};
use bytes::Bytes;
use http::{HeaderMap, HeaderValue, StatusCode, header};
use rustix::fs::{Mode, OFlags};
use std::{
    fs::{self, File, Metadata},
    io,
    os::unix::fs::FileExt as _,
    path::Path,
    sync::Arc,
};

const COMMAND: &str = "get_file_content";

/// Read and sent at once.
const PIECE_BYTES: usize = 128 << 10;

/// Files of `/proc` say that they are empty; this much of one is read to see.
const SIZELESS_BYTES_MAX: usize = 1 << 20;

/// Kinds that a browser would run: they are shown as text.
const ACTIVE_KINDS: [&str; 5] =
    ["text/html", "application/xhtml+xml", "image/svg+xml", "text/xml", "application/xml"];

pub(super) async fn read(
    State(folder): State<Folder>,
    headers: HeaderMap,
    query: AtQuery,
) -> Result<Response, Refused> {
    let path = folder.at(COMMAND, query)?;
    let opened = {
        let path = path.clone();
        blocking(COMMAND, move || open(&path)).await?
    };
    let (file, meta) = opened;
    let tag = format!("\"{:x}-{:x}\"", modified_ms(&meta), meta.len());
    let text = |name: &header::HeaderName| headers.get(name).and_then(|v| v.to_str().ok());
    if text(&header::IF_NONE_MATCH) == Some(tag.as_str()) {
        return Ok((StatusCode::NOT_MODIFIED, [(header::ETAG, tag)]).into_response());
    }
    // A range of another version of the file would be torn.
    let same = text(&header::IF_RANGE).is_none_or(|wanted_tag| wanted_tag == tag);
    let range = text(&header::RANGE).filter(|_| same);
    let mut response = if meta.len() == 0 {
        let bytes = {
            let path = path.clone();
            blocking(COMMAND, move || sizeless(&file, &path)).await?
        };
        match (bytes.is_empty(), wanted(range, 0)) {
            (true, Wanted::Unsatisfiable) => unsatisfiable(0),
            (_, Wanted::All | Wanted::Part(..) | Wanted::Unsatisfiable) => {
                Body::from(bytes).into_response()
            }
        }
    } else {
        whole_or_part(file, meta.len(), range)
    };
    let headers = response.headers_mut();
    for (name, value) in kind(&path) {
        headers.insert(name, value);
    }
    if let Ok(tag) = HeaderValue::from_str(&tag) {
        headers.insert(header::ETAG, tag);
    }
    Ok(response)
}

/// Opens a regular file without waiting for anything.
fn open(path: &Path) -> Result<(Arc<File>, Metadata), Refused> {
    let failed = |err| Failure::io(&quoted("reading", path), &err).of(COMMAND);
    // Opening a device can already do something: look first, and look again at what was opened.
    let is_file = |meta: &Metadata| {
        if meta.is_file() {
            Ok(())
        } else {
            let what = if meta.is_dir() { "a folder" } else { "no regular file" };
            Err(Failure::invalid(format!("{} is {what}: it has no content", path.display()))
                .of(COMMAND))
        }
    };
    is_file(&fs::metadata(path).map_err(failed)?)?;
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
    let file = rustix::fs::open(path, flags, Mode::empty()).map_err(|err| failed(err.into()))?;
    let file = File::from(file);
    let meta = file.metadata().map_err(failed)?;
    is_file(&meta)?;
    Ok((Arc::new(file), meta))
}

fn sizeless(mut file: &File, path: &Path) -> Result<Bytes, Refused> {
    use io::Read as _;
    let mut bytes = Vec::new();
    let mut buf = [0u8; 16 << 10];
    while bytes.len() < SIZELESS_BYTES_MAX {
        match file.read(&mut buf) {
            Ok(0) => break,
            Ok(n) => bytes.extend_from_slice(&buf[..n]),
            Err(err) if err.kind() == io::ErrorKind::Interrupted => {}
            // Some of them wait for news (`/proc/kmsg`): there is none now.
            Err(err) if err.kind() == io::ErrorKind::WouldBlock => break,
            Err(err) => return Err(Failure::io(&quoted("reading", path), &err).of(COMMAND)),
        }
    }
    bytes.truncate(SIZELESS_BYTES_MAX);
    Ok(bytes.into())
}

fn whole_or_part(file: Arc<File>, size: u64, range: Option<&str>) -> Response {
    let (status, first, last) = match wanted(range, size) {
        Wanted::All => (StatusCode::OK, 0, size - 1),
        Wanted::Part(first, last) => (StatusCode::PARTIAL_CONTENT, first, last),
        Wanted::Unsatisfiable => return unsatisfiable(size),
    };
    let length = last - first + 1;
    let mut response = Body::from_stream(pieces(file, first, length)).into_response();
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_LENGTH, length.into());
    headers.insert(header::ACCEPT_RANGES, HeaderValue::from_static("bytes"));
    if status == StatusCode::PARTIAL_CONTENT
        && let Ok(value) = format!("bytes {first}-{last}/{size}").parse()
    {
        headers.insert(header::CONTENT_RANGE, value);
    }
    response
}

fn unsatisfiable(size: u64) -> Response {
    let range = [(header::CONTENT_RANGE, format!("bytes */{size}"))];
    (StatusCode::RANGE_NOT_SATISFIABLE, range).into_response()
}

/// `length` bytes from `at` on. A file that shrank meanwhile ends the body with an error, so that
/// nobody takes half a file for the whole.
fn pieces(
    file: Arc<File>,
    mut at: u64,
    length: u64,
) -> impl futures_util::Stream<Item = io::Result<Bytes>> {
    let end = at + length;
    async_stream::try_stream! {
        while at < end {
            let file = Arc::clone(&file);
            let max = usize::try_from(end - at).unwrap_or(PIECE_BYTES).min(PIECE_BYTES);
            let piece = tokio::task::spawn_blocking(move || -> io::Result<Bytes> {
                let mut buf = vec![0; max];
                let n = file.read_at(&mut buf, at)?;
                buf.truncate(n);
                Ok(buf.into())
            })
            .await
            .map_err(io::Error::other)??;
            if piece.is_empty() {
                Err(io::Error::new(io::ErrorKind::UnexpectedEof, "the file became shorter"))?;
            }
            at += piece.len() as u64;
            yield piece;
        }
    }
}

/// Headers that say what the bytes are, and keep a browser from running them.
fn kind(path: &Path) -> Vec<(header::HeaderName, HeaderValue)> {
    let guessed = mime_guess::from_path(path).first_raw().unwrap_or("application/octet-stream");
    let mut headers = vec![(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"))];
    let active = ACTIVE_KINDS.contains(&guessed) || guessed.ends_with("+xml");
    let kind = if active {
        headers.push((header::CONTENT_DISPOSITION, HeaderValue::from_static("attachment")));
        "text/plain; charset=utf-8"
    } else if guessed == "text/plain" {
        "text/plain; charset=utf-8"
    } else {
        guessed
    };
    headers.push((header::CONTENT_TYPE, HeaderValue::from_static(kind)));
    headers
}
