//! Reading a machine's files: asked of its bridge while it runs, read from its disk when it does not
//! run, is paused, or is just going away. Wakes nothing. Changing them is the bridge's alone.

use super::{Machine, read, reply};
use crate::{
    api_error::{ApiError, Code},
    headers::keep_known,
    state::App,
};
use axum::{
    body::Body,
    extract::Query,
    http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, Uri, header},
    response::Response,
};
use serde::Deserialize;
use std::{path::PathBuf, sync::Arc, time::Duration};
use toft_machine::{
    at_rest::{Files, FilesError, Opened},
    backend::MachineError,
    pieces::pieces,
};
use toft_model::{
    files::{self, Asked, Sent, quoted},
    machine::MachineState,
};
use tokio::time::timeout;

/// How long one waits for the disk of a project that is just being made: as long as a start may take.
const DISK_TIMEOUT: Duration = Duration::from_mins(1);
/// Disks that are put back to checkpoints while one file is looked up; a person does so now and then.
const LOOKS_MAX: usize = 4;

/// What is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum What {
    /// `GET files`.
    Look,
    /// `GET files/content`.
    Content,
}

impl What {
    /// By the route's name below `/toft/`.
    pub(crate) fn named(route: &str) -> Option<Self> {
        Some(match route {
            "files" => Self::Look,
            "files/content" => Self::Content,
            _ => return None,
        })
    }

    fn command(self) -> &'static str {
        match self {
            Self::Look => files::LOOK,
            Self::Content => files::CONTENT,
        }
    }

    fn verb(self) -> &'static str {
        match self {
            Self::Look => "looking at",
            Self::Content => "reading",
        }
    }
}

/// A request for a file.
pub(crate) struct Request<'a> {
    pub(crate) what: What,
    /// `GET` or `HEAD`.
    pub(crate) method: &'a Method,
    /// Path and query for the bridge.
    pub(crate) path: &'a Uri,
    pub(crate) headers: &'a HeaderMap,
}

#[derive(Deserialize)]
struct Wanted {
    path: Option<String>,
}

/// What was found on the disk.
enum Found {
    Looked(files::Looked),
    Opened(PathBuf, Opened),
    /// Of no use: the disk was put back to a checkpoint meanwhile.
    Stale,
}

/// Why nothing was.
enum Refused {
    Path(&'static str),
    File(PathBuf, FilesError),
}

/// Reads.
pub(crate) async fn read(
    app: &App,
    machine: &Arc<Machine>,
    request: Request<'_>,
) -> Result<Response, ApiError> {
    if let Some(answer) = of_bridge(app, machine, &request).await? {
        return Ok(answer);
    }
    if let Some(answer) = of_disk(app, machine, &request).await? {
        return Ok(answer);
    }
    // Its disk is just being made, or never was: whoever makes it holds its life.
    let waited = timeout(DISK_TIMEOUT, machine.lock_life()).await;
    drop(waited);
    if let Some(answer) = of_bridge(app, machine, &request).await? {
        return Ok(answer);
    }
    of_disk(app, machine, &request).await?.ok_or_else(|| {
        ApiError::new(Code::Unavailable, "this project has no files yet: start its machine first")
    })
}

/// What its bridge says; nothing when it cannot be asked.
async fn of_bridge(
    app: &App,
    machine: &Arc<Machine>,
    request: &Request<'_>,
) -> Result<Option<Response>, ApiError> {
    // Reading is no use, but nobody pauses it in the middle of an answer.
    let hold = machine.being_read();
    if !machine.answers() {
        return Ok(None);
    }
    let mut asked = axum::http::Request::new(());
    *asked.method_mut() = request.method.clone();
    *asked.uri_mut() = request.path.clone();
    for name in [header::IF_NONE_MATCH, header::IF_RANGE, header::RANGE] {
        for value in request.headers.get_all(&name) {
            asked.headers_mut().append(name.clone(), value.clone());
        }
    }
    read::of_bridge(app, machine, &asked, hold).await
}

/// What its disk says; nothing when it has none.
async fn of_disk(
    app: &App,
    machine: &Machine,
    request: &Request<'_>,
) -> Result<Option<Response>, ApiError> {
    let what = request.what;
    let wanted = Query::<Wanted>::try_from_uri(request.path);
    let wanted = match wanted {
        Ok(Query(wanted)) => wanted.path.unwrap_or_default(),
        Err(error) => return Ok(Some(refused(what, 400, "invalid_argument", &error.body_text()))),
    };
    for _ in 0..LOOKS_MAX {
        let Some(files) = app.backend.files(&machine.id).await.map_err(failed)? else {
            // Deleted in this moment, or not made yet.
            return gone(machine).map(|()| None);
        };
        let wanted = wanted.clone();
        let found = tokio::task::spawn_blocking(move || find(&files, what, &wanted)).await;
        let found = found.map_err(|e| ApiError::internal("reading a machine's disk failed", &e))?;
        gone(machine)?;
        return Ok(Some(match found {
            Ok(Found::Stale) => continue,
            Ok(Found::Looked(looked)) => reply::response(what.command(), looked),
            Ok(Found::Opened(path, opened)) => content(&path, opened, request.headers),
            Err(Refused::Path(why)) => refused(what, 400, "invalid_argument", why),
            Err(Refused::File(path, error)) => told(what, &path, &error),
        }));
    }
    Err(ApiError::new(
        Code::Unavailable,
        "the project is being put back to checkpoints just now: try again in a moment",
    ))
}

/// Looks a path up, and then whether it was the machine's disk all the time.
fn find(files: &Files, what: What, wanted: &str) -> Result<Found, Refused> {
    let path = files::resolve(files.folder(), wanted).map_err(Refused::Path)?;
    let found = match what {
        What::Look => files.look(&path).map(Found::Looked),
        What::Content => files.open(&path).map(|opened| Found::Opened(path.clone(), opened)),
    };
    if !files.is_current() {
        return Ok(Found::Stale);
    }
    found.map_err(|error| Refused::File(path, error))
}

/// A project that is deleted has no files, whatever is still on its disk.
fn gone(machine: &Machine) -> Result<(), ApiError> {
    if machine.state() == MachineState::Destroyed { Err(ApiError::no_project()) } else { Ok(()) }
}

fn failed(error: MachineError) -> ApiError {
    tracing::warn!(%error, "the files of a machine at rest cannot be read");
    ApiError::from(error)
}

/// A failure as a running bridge tells it.
fn told(what: What, path: &std::path::Path, error: &FilesError) -> Response {
    match error {
        FilesError::Io(error) => {
            let (status, code) = files::refusal(error);
            let message = format!("{} failed: {error}", quoted(what.verb(), path));
            refused(what, status, code, &message)
        }
        FilesError::NoContent { is_folder } => {
            refused(what, 400, "invalid_argument", &files::no_content(path, *is_folder))
        }
        FilesError::NotAtRest(why) => refused(what, 409, "unavailable", why),
    }
}

fn refused(what: What, status: u16, code: &str, message: &str) -> Response {
    let status = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    reply::failure(what.command(), status, code, message)
}

/// A file's bytes, whole or a range.
fn content(path: &std::path::Path, opened: Opened, headers: &HeaderMap) -> Response {
    let Opened { file, size, modified_ms } = opened;
    let tag = files::tag(modified_ms, size);
    let text = |name: &HeaderName| headers.get(name).and_then(|v| v.to_str().ok());
    let asked = Asked {
        none_match: text(&header::IF_NONE_MATCH),
        if_range: text(&header::IF_RANGE),
        range: text(&header::RANGE),
    };
    let sent = Sent::of(asked, &tag, size);
    let body = match sent.bytes(size) {
        (_, 0) => Body::empty(),
        (first, length) => Body::from_stream(pieces(file, first, length)),
    };
    let guessed = mime_guess::from_path(path).first_raw().unwrap_or("application/octet-stream");
    let mut answer = Response::new(body);
    *answer.status_mut() = StatusCode::from_u16(sent.status()).unwrap_or(StatusCode::OK);
    for (name, value) in sent.headers(&tag, size, guessed) {
        if let Ok(value) = HeaderValue::from_str(&value) {
            answer.headers_mut().insert(HeaderName::from_static(name), value);
        }
    }
    keep_known(answer.headers_mut());
    answer
}
