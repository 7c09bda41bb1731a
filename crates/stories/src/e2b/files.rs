//! Files of a sandbox, by the paths that its own programs see.

use super::{
    Shared,
    call::{Called, error, read},
    sandbox::Sandbox,
};
use axum::{
    body::Body,
    http::{Request, StatusCode},
    response::{IntoResponse as _, Response},
};
use futures_util::StreamExt as _;
use serde::Deserialize;
use serde_json::{Value, json};
use std::{
    fs::{self, File},
    io::{self, Read as _, Seek as _, SeekFrom, Write as _},
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
};
use tokio::io::AsyncWriteExt as _;

/// What stands above the one file of a form, and below it.
const FRAME_BYTES_MAX: u64 = 4096;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct OfPath {
    path: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Listing {
    path: String,
    #[serde(default, rename = "depth")]
    _depth: Option<u32>,
}

/// A path as the daemon reads it: from the user's home on.
pub(super) fn resolve(home: &str, path: &str) -> String {
    match path.strip_prefix('~') {
        Some(rest) => format!("{home}{rest}"),
        None if path.starts_with('/') => path.to_owned(),
        None if path.is_empty() => home.to_owned(),
        None => format!("{home}/{path}"),
    }
}

/// Where it is on this host.
fn outside(sandbox: &Sandbox, path: &str) -> PathBuf {
    PathBuf::from(format!("/proc/{}/root{path}", sandbox.first()))
}

fn missing(wrong: &io::Error, path: &str) -> Response {
    match wrong.kind() {
        io::ErrorKind::NotFound => error("not_found", &format!("path '{path}' does not exist")),
        _ => error("internal", &wrong.to_string()),
    }
}

fn entry(path: &str, at: &Path) -> io::Result<Value> {
    let meta = fs::symlink_metadata(at)?;
    let kind = if meta.is_dir() {
        "FILE_TYPE_DIRECTORY"
    } else if meta.is_symlink() {
        "FILE_TYPE_SYMLINK"
    } else {
        "FILE_TYPE_FILE"
    };
    let name = Path::new(path).file_name().map(|n| n.to_string_lossy().into_owned());
    let mut entry = json!({
        "name": name.unwrap_or_default(),
        "type": kind,
        "path": path,
        "mode": meta.mode() & 0o7777,
        "permissions": "-rw-r--r--",
        "owner": "root",
        "group": "root",
        "modifiedTime": "2026-11-22T00:00:00Z",
    });
    // Numbers of 64 bits are strings, and left out when they are 0.
    if meta.len() > 0 {
        entry["size"] = json!(meta.len().to_string());
    }
    Ok(entry)
}

/// Calls of Connect's.
pub(super) fn call(
    shared: &Shared,
    place: &str,
    sandbox: &Sandbox,
    user: &str,
    call: &str,
    body: &[u8],
) -> Called {
    let home = if user == "root" { "/root" } else { "/home/user" };
    Ok(Some(match call {
        "Stat" => {
            let OfPath { path } = read(shared, place, body)?;
            let path = resolve(home, &path);
            let entry = entry(&path, &outside(sandbox, &path));
            json!({"entry": entry.map_err(|wrong| missing(&wrong, &path))?})
        }
        "MakeDir" => {
            let OfPath { path } = read(shared, place, body)?;
            let path = resolve(home, &path);
            let at = outside(sandbox, &path);
            fs::create_dir_all(&at).map_err(|wrong| missing(&wrong, &path))?;
            json!({"entry": entry(&path, &at).map_err(|wrong| missing(&wrong, &path))?})
        }
        "ListDir" => {
            let Listing { path, .. } = read(shared, place, body)?;
            let path = resolve(home, &path);
            let found = fs::read_dir(outside(sandbox, &path));
            let mut entries = Vec::new();
            for found in found.map_err(|wrong| missing(&wrong, &path))?.flatten() {
                let inside = format!("{path}/{}", found.file_name().to_string_lossy());
                entries.extend(entry(&inside, &found.path()).ok());
            }
            json!({"entries": entries})
        }
        "Remove" => {
            let OfPath { path } = read(shared, place, body)?;
            let path = resolve(home, &path);
            let at = outside(sandbox, &path);
            let removed = if at.is_dir() { fs::remove_dir_all(at) } else { fs::remove_file(at) };
            removed.map_err(|wrong| missing(&wrong, &path))?;
            json!({})
        }
        _ => return Ok(None),
    }))
}

/// `/files`: whole files in and out.
pub(super) async fn answer(
    shared: &Shared,
    place: &str,
    sandbox: &Sandbox,
    request: Request<Body>,
) -> Response {
    let (mut path, mut user) = (None, "user".to_owned());
    let url = reqwest::Url::parse(&format!("http://x/?{}", request.uri().query().unwrap_or("")));
    for (name, value) in url.iter().flat_map(reqwest::Url::query_pairs) {
        match &*name {
            "path" => path = Some(value.into_owned()),
            "username" => user = value.into_owned(),
            _ => shared.fault(format!("{place}: the parameter {name}")),
        }
    }
    let home = match user.as_str() {
        "root" => "/root",
        "user" => "/home/user",
        _ => return error("unauthenticated", "invalid username"),
    };
    let Some(path) = path.map(|path| resolve(home, &path)) else {
        return error("invalid_argument", "path is missing");
    };
    let at = outside(sandbox, &path);
    match request.method().as_str() {
        "GET" => match tokio::fs::read(&at).await {
            Ok(bytes) => bytes.into_response(),
            Err(wrong) if wrong.kind() == io::ErrorKind::NotFound => {
                super::refused(404, &format!("path '{path}' does not exist"))
            }
            Err(wrong) => super::refused(500, &wrong.to_string()),
        },
        "POST" => match write(&at, request).await {
            Ok(()) => {
                let name = at.file_name().map(|n| n.to_string_lossy().into_owned());
                let written = json!([{"name": name, "path": path, "type": "file"}]);
                (StatusCode::OK, axum::Json(written)).into_response()
            }
            Err(wrong) => {
                shared.fault(format!("{place}: {wrong}"));
                super::refused(400, &wrong.to_string())
            }
        },
        _ => super::refused(405, "no such method"),
    }
}

async fn write(at: &Path, request: Request<Body>) -> io::Result<()> {
    if let Some(folder) = at.parent() {
        fs::create_dir_all(folder)?;
    }
    let kind = request.headers().get("content-type").and_then(|kind| kind.to_str().ok());
    let boundary = match kind {
        Some("application/octet-stream") => None,
        Some(kind) => {
            let boundary = kind.strip_prefix("multipart/form-data; boundary=");
            let boundary = boundary.map(|boundary| boundary.trim_matches('"').to_owned());
            Some(boundary.ok_or_else(|| wrong("neither a form nor plain bytes"))?)
        }
        None => return Err(wrong("of no kind")),
    };
    let whole = at.with_extension("arriving");
    let mut file = tokio::fs::File::create(&whole).await?;
    let mut body = request.into_body().into_data_stream();
    while let Some(piece) = body.next().await {
        file.write_all(&piece.map_err(io::Error::other)?).await?;
    }
    file.flush().await?;
    drop(file);
    let (from, to) = (whole.clone(), at.to_owned());
    let unpacked = tokio::task::spawn_blocking(move || match boundary {
        Some(boundary) => unpack(&from, &to, &boundary),
        None => fs::copy(&from, &to).map(|_| ()),
    });
    let unpacked = unpacked.await.map_err(io::Error::other)?;
    fs::remove_file(whole)?;
    unpacked
}

/// The one file of a form.
fn unpack(form: &Path, to: &Path, boundary: &str) -> io::Result<()> {
    let mut form = File::open(form)?;
    let size = form.metadata()?.len();
    let mut head = Vec::new();
    (&mut form).take(FRAME_BYTES_MAX).read_to_end(&mut head)?;
    let end = head.windows(4).position(|four| four == b"\r\n\r\n");
    let end = end.ok_or_else(|| wrong("a form without a head"))? + 4;
    let text = String::from_utf8_lossy(&head[..end]);
    if !text.starts_with(&format!("--{boundary}\r\n")) || !text.contains("name=\"file\"") {
        return Err(wrong("a form without `file`"));
    }
    let tail = format!("\r\n--{boundary}--\r\n");
    let begin = end as u64;
    let length = size.checked_sub(begin + tail.len() as u64).ok_or_else(|| wrong("a cut form"))?;
    form.seek(SeekFrom::Start(begin + length))?;
    let mut last = String::new();
    form.read_to_string(&mut last)?;
    if last != tail {
        return Err(wrong("a form without an end"));
    }
    form.seek(SeekFrom::Start(begin))?;
    let mut file = File::create(to)?;
    io::copy(&mut form.take(length), &mut file)?;
    file.flush()
}

fn wrong(what: &'static str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what)
}
