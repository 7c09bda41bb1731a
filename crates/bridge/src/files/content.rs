//! `GET files/content`: the bytes of a file, whole or a range. Never waits on a pipe or a device.

use super::{AtQuery, Folder, blocking, modified_ms};
use crate::answer::{Failure, Refused};
use axum::{
    body::Body,
    extract::State,
    response::{IntoResponse as _, Response},
};
use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use rustix::fs::{Mode, OFlags};
use std::{
    fs::{self, File, Metadata},
    io,
    path::Path,
};
use toft_machine::pieces::pieces;
use toft_model::files::{self, Asked, CONTENT as COMMAND, Sent, quoted};

/// Files of `/proc` say that they are empty; this much of one is read to see.
const SIZELESS_BYTES_MAX: usize = 1 << 20;

pub(super) async fn read(
    State(folder): State<Folder>,
    headers: HeaderMap,
    query: AtQuery,
) -> Result<Response, Refused> {
    let path = folder.at(COMMAND, query)?;
    let (file, meta) = {
        let path = path.clone();
        blocking(COMMAND, move || open(&path)).await?
    };
    let size = meta.len();
    let tag = files::tag(modified_ms(&meta), size);
    let text = |name: &HeaderName| headers.get(name).and_then(|v| v.to_str().ok());
    let asked = Asked {
        none_match: text(&header::IF_NONE_MATCH),
        if_range: text(&header::IF_RANGE),
        range: text(&header::RANGE),
    };
    let mut sent = Sent::of(asked, &tag, size);
    let body = if size == 0 && sent != Sent::Unchanged {
        let path = path.clone();
        let bytes = blocking(COMMAND, move || sizeless(&file, &path)).await?;
        if !bytes.is_empty() {
            sent = Sent::Whole;
        }
        Body::from(bytes)
    } else {
        match sent.bytes(size) {
            (_, 0) => Body::empty(),
            (first, length) => Body::from_stream(pieces(file, first, length)),
        }
    };
    let guessed = mime_guess::from_path(&path).first_raw().unwrap_or("application/octet-stream");
    let mut response = body.into_response();
    *response.status_mut() = StatusCode::from_u16(sent.status()).unwrap_or(StatusCode::OK);
    for (name, value) in sent.headers(&tag, size, guessed) {
        if let Ok(value) = HeaderValue::from_str(&value) {
            response.headers_mut().insert(HeaderName::from_static(name), value);
        }
    }
    Ok(response)
}

/// Opens a regular file without waiting for anything.
fn open(path: &Path) -> Result<(File, Metadata), Refused> {
    let failed = |err| Failure::io(&quoted("reading", path), &err).of(COMMAND);
    // Opening a device can already do something: look first, and look again at what was opened.
    let is_file = |meta: &Metadata| {
        if meta.is_file() {
            Ok(())
        } else {
            Err(Failure::invalid(files::no_content(path, meta.is_dir())).of(COMMAND))
        }
    };
    is_file(&fs::metadata(path).map_err(failed)?)?;
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
    let file = rustix::fs::open(path, flags, Mode::empty()).map_err(|err| failed(err.into()))?;
    let file = File::from(file);
    let meta = file.metadata().map_err(failed)?;
    is_file(&meta)?;
    Ok((file, meta))
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
