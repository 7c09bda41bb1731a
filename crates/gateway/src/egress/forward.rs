//! One plain HTTP request on its way to its host. The request's own address decides where it goes;
//! its `Host` header is made from that and cannot disagree.

use super::{
    Body, Connection,
    log::{self, Log},
    passage::connect,
};
use crate::{
    api_error::{ApiError, Code},
    hop_by_hop::strip_hop_by_hop,
    machine::{HEAD_BYTES_MAX, HEADERS_MAX},
    tap::{Ending, Tap, Tapped},
};
use bytes::Bytes;
use http::{HeaderValue, Method, Request, Response, Uri, header};
use http_body::Body as _;
use http_body_util::BodyExt as _;
use hyper::{body::Incoming, client::conn::http1};
use hyper_util::rt::TokioIo;
use std::{
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};
use toft_policy::HostPort;
use tokio::net::TcpStream;
use tokio_util::task::AbortOnDropHandle;

/// A host that says nothing for so long is gone.
const IDLE_TIMEOUT: Duration = Duration::from_mins(5);

type RequestBody = Tapped<Incoming, Counter>;

/// The connection to the last host, used again for the next request of the same client connection
/// to the same target, and no longer open than that.
#[derive(Default)]
pub(super) struct Kept(Mutex<Option<Upstream>>);

struct Upstream {
    target: HostPort,
    /// Taken while a request is being sent.
    sender: Option<http1::SendRequest<RequestBody>>,
    /// None before there is one.
    _connection: Option<AbortOnDropHandle<()>>,
}

impl Kept {
    /// Whom it is to.
    pub(super) fn target(&self) -> Option<HostPort> {
        self.lock().as_ref().map(|upstream| upstream.target.clone())
    }

    /// From now on it is for this target; a connection to another one ends. Called before the target is
    /// judged: whoever tightens the level after that finds it here.
    pub(super) fn aim(&self, target: &HostPort) {
        let mut upstream = self.lock();
        if upstream.as_ref().is_none_or(|upstream| upstream.target != *target) {
            *upstream = Some(Upstream { target: target.clone(), sender: None, _connection: None });
        }
    }

    fn lock(&self) -> MutexGuard<'_, Option<Upstream>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn take_sender(&self, target: &HostPort) -> Option<http1::SendRequest<RequestBody>> {
        self.lock().as_mut().filter(|u| u.target == *target)?.sender.take()
    }

    fn give_back(&self, sender: http1::SendRequest<RequestBody>) {
        if let Some(upstream) = self.lock().as_mut() {
            upstream.sender = Some(sender);
        }
    }
}

pub(super) async fn forward(
    connection: &Connection,
    request: Request<Incoming>,
    target: HostPort,
    mut log: Log,
) -> Result<Response<Body>, ApiError> {
    let is_head = request.method() == Method::HEAD;
    let mut request = Some(prepare(request, &target, &log)?);
    let mut sender = connection.kept.take_sender(&target);
    let response = loop {
        let reused = sender.is_some();
        let mut ready = match sender.take() {
            Some(sender) => sender,
            None => open(connection, &target, &mut log).await?,
        };
        let sending = request.take().expect("it comes back when it was not sent");
        let sent = async {
            if ready.ready().await.is_err() {
                return Err((None, Some(sending)));
            }
            ready.try_send_request(sending).await.map_err(|mut e| {
                let unsent = e.take_message();
                (Some(e.into_error()), unsent)
            })
        };
        match tokio::time::timeout(IDLE_TIMEOUT, sent).await {
            Ok(Ok(response)) => {
                connection.kept.give_back(ready);
                break response;
            }
            // The host closed a kept connection before the request went out: once more, afresh.
            Ok(Err((_, Some(unsent)))) if reused => request = Some(unsent),
            Ok(Err((why, _))) => {
                let why =
                    why.map_or_else(|| "it closed the connection".to_owned(), |e| e.to_string());
                let message = format!("{target} broke the connection ({why}).");
                log.fail("cut");
                return Err(ApiError::new(Code::UpstreamUnreachable, message));
            }
            Err(_) => {
                log.fail("idle_timeout");
                let message = format!("{target} did not answer within 300 s.");
                return Err(ApiError::new(Code::UpstreamTimeout, message));
            }
        }
    };
    let (mut parts, body) = response.into_parts();
    strip_hop_by_hop(&mut parts.headers);
    let length = if is_head { Some(0) } else { body.size_hint().exact() };
    let tap = LogTap { bytes: Arc::clone(&log.bytes), log: Some(log) };
    let tapped = Tapped::new(body, tap, length, IDLE_TIMEOUT);
    Ok(Response::from_parts(parts, tapped.boxed_unsync()))
}

fn prepare(
    request: Request<Incoming>,
    target: &HostPort,
    log: &Log,
) -> Result<Request<RequestBody>, ApiError> {
    let (mut parts, body) = request.into_parts();
    let path = parts.uri.path_and_query().map_or("/", |path| path.as_str());
    let path = if path.starts_with('/') { path.to_owned() } else { format!("/{path}") };
    parts.uri = Uri::try_from(path).map_err(|e| {
        ApiError::new(Code::InvalidRequest, format!("The path is not valid ({e})."))
    })?;
    strip_hop_by_hop(&mut parts.headers);
    let host = match target.port {
        80 => target.host.to_string(),
        _ => target.to_string(),
    };
    let host = HeaderValue::try_from(host).expect("a host that was understood is plain ASCII");
    parts.headers.insert(header::HOST, host);
    // Extensions hold the client's side of things.
    parts.extensions = http::Extensions::default();
    parts.version = http::Version::HTTP_11;
    let length = body.size_hint().exact();
    let counter = Counter(Arc::clone(&log.bytes));
    Ok(Request::from_parts(parts, Tapped::new(body, counter, length, IDLE_TIMEOUT)))
}

async fn open(
    connection: &Connection,
    target: &HostPort,
    log: &mut Log,
) -> Result<http1::SendRequest<RequestBody>, ApiError> {
    let stream = connect(&connection.state, &connection.machine, target, log).await?;
    shake(connection, target, stream).await.inspect_err(|e| log.fail(e.code.as_str()))
}

/// Uses a connection that is there already.
pub(super) async fn adopt(
    connection: &Connection,
    target: &HostPort,
    stream: TcpStream,
) -> Result<(), ApiError> {
    let sender = shake(connection, target, stream).await?;
    connection.kept.give_back(sender);
    Ok(())
}

async fn shake(
    connection: &Connection,
    target: &HostPort,
    stream: TcpStream,
) -> Result<http1::SendRequest<RequestBody>, ApiError> {
    let handshake = http1::Builder::new()
        .max_buf_size(HEAD_BYTES_MAX)
        .max_headers(HEADERS_MAX)
        .handshake(TokioIo::new(stream))
        .await;
    let (sender, driver) = handshake.map_err(|e| {
        let message = format!("{target} broke the connection ({e}).");
        ApiError::new(Code::UpstreamUnreachable, message)
    })?;
    // Ends with the client's connection, or when the next target takes its place; its failures
    // reach us through the sender.
    let driver = tokio::spawn(async move {
        let _ = driver.await;
    });
    *connection.kept.lock() = Some(Upstream {
        target: target.clone(),
        sender: None,
        _connection: Some(AbortOnDropHandle::new(driver)),
    });
    Ok(sender)
}

/// Counts what leaves the machine.
struct Counter(Arc<log::Bytes>);

impl Tap for Counter {
    fn data(&mut self, data: Bytes) -> Bytes {
        add(&self.0.out_of_machine, data.len());
        data
    }

    fn end(&mut self, _ending: Ending) {}
}

/// Counts what enters the machine, and writes the line at the end.
struct LogTap {
    bytes: Arc<log::Bytes>,
    log: Option<Log>,
}

impl Tap for LogTap {
    fn data(&mut self, data: Bytes) -> Bytes {
        add(&self.bytes.into_machine, data.len());
        data
    }

    fn end(&mut self, ending: Ending) {
        if let Some(log) = self.log.take() {
            match ending {
                Ending::Complete => log.finish(None),
                // By the client, or because the level was tightened: the line finds out.
                Ending::Abandoned => drop(log),
                Ending::Cut => log.finish(Some("cut")),
                Ending::Idle => log.finish(Some("idle_timeout")),
            }
        }
    }
}

fn add(count: &AtomicU64, bytes: usize) {
    count.fetch_add(bytes as u64, Ordering::Relaxed);
}
