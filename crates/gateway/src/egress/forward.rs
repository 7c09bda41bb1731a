//! One plain HTTP request on its way to its host. The request's own address decides where it goes;
//! its `Host` header is made from that and cannot disagree.

use super::{
    admit::connect,
    connection::{Body, Connection, Early},
    kept::{Counter, RequestBody, add},
    log::Log,
};
use crate::{
    api_error::{ApiError, Code},
    brokered::{ask_readable, readable},
    hop_by_hop::strip_hop_by_hop,
    machine::{self, HEAD_BYTES_MAX, HEADERS_MAX},
    tap::{Ending, Tap, Tapped},
};
use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, Request, Response, Uri, header};
use http_body::Body as _;
use http_body_util::BodyExt as _;
use hyper::{body::Incoming, client::conn::http1};
use hyper_util::rt::TokioIo;
use std::{sync::Arc, time::Duration};
use toft_policy::HostPort;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
};
use tokio_util::task::AbortOnDropHandle;

/// A host that says nothing for so long is gone.
const IDLE_TIMEOUT: Duration = Duration::from_mins(5);

pub(super) async fn forward(
    connection: &Connection,
    request: Request<Incoming>,
    target: HostPort,
    mut log: Log,
) -> Result<Response<Body>, ApiError> {
    let method = request.method().clone();
    let is_head = method == Method::HEAD;
    let mut request = Some(prepare(request, &target, connection, &log)?);
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
    if has_coding(&parts.headers) {
        let code = Code::AnswerEncoded;
        log.fail(code.as_str());
        let message =
            format!("{target} sends its answer in a transfer coding that was not asked for.");
        return Err(ApiError::new(code, message));
    }
    if connection.tls.is_some() {
        readable(&method, parts.status, &parts.headers)
            .inspect_err(|e| log.fail(e.code.as_str()))?;
    }
    strip_hop_by_hop(&mut parts.headers);
    let length = if is_head { Some(0) } else { body.size_hint().exact() };
    let tap = LogTap { bytes: Arc::clone(&log.bytes), log: Some(log) };
    let tapped = Tapped::new(body, tap, length, IDLE_TIMEOUT);
    Ok(Response::from_parts(parts, tapped.boxed_unsync()))
}

fn prepare(
    request: Request<Incoming>,
    target: &HostPort,
    connection: &Connection,
    log: &Log,
) -> Result<Request<RequestBody>, ApiError> {
    let (mut parts, body) = request.into_parts();
    let path = parts.uri.path_and_query().map_or("/", |path| path.as_str());
    let path = if path.starts_with('/') { path.to_owned() } else { format!("/{path}") };
    parts.uri = Uri::try_from(path).map_err(|e| {
        ApiError::new(Code::InvalidRequest, format!("The path is not valid ({e})."))
    })?;
    strip_hop_by_hop(&mut parts.headers);
    if connection.tls.is_some() {
        ask_readable(&mut parts.headers);
    }
    let host = match target.port {
        port if port == connection.usual_port() => target.host.to_string(),
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
    let stream = match connection.tls.as_ref().and_then(Early::take) {
        Some(stream) => stream,
        None => connect(&connection.state, &connection.machine, target, log).await?,
    };
    let shaken = if connection.tls.is_some() {
        match connection.state.roots.connect(target, stream).await {
            Ok(stream) => shake(connection, target, stream).await,
            Err(error) => Err(error),
        }
    } else {
        shake(connection, target, stream).await
    };
    shaken.inspect_err(|e| log.fail(e.code.as_str()))
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
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
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
    connection.kept.hold(target, AbortOnDropHandle::new(driver));
    Ok(sender)
}

/// Whether the body comes in a coding that would be passed on without saying so.
fn has_coding(headers: &HeaderMap) -> bool {
    let said = headers.get_all(header::TRANSFER_ENCODING).iter();
    said.flat_map(|value| value.as_bytes().split(|b| *b == b','))
        .any(|coding| !coding.trim_ascii().eq_ignore_ascii_case(b"chunked"))
}

/// Counts what enters the machine, and writes the line at the end.
struct LogTap {
    bytes: Arc<machine::Bytes>,
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
