//! One request on its way to its host, and the answer on its way back. The request's own address decides
//! where it goes; its `Host` header is made from that and cannot disagree.

use super::{
    connection::{Body, Connection},
    kept::{Counter, RequestBody, add},
    log::Log,
    send::{IDLE_TIMEOUT, send},
};
use crate::{
    api_error::{ApiError, Code},
    brokered::{Protocol, Unpacked, ask_readable, packed},
    hop_by_hop::strip_hop_by_hop,
    machine,
    tap::{Ending, Tap, Tapped},
};
use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode, Uri, Version, header};
use http_body::Body as _;
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};
use toft_policy::HostPort;

pub(super) async fn forward(
    connection: &Connection,
    request: Request<Incoming>,
    target: HostPort,
    mut log: Log,
) -> Result<Response<Body>, ApiError> {
    let method = request.method().clone();
    let request = prepare(request, &target, connection, &log)?;
    let response = send(connection, &target, request, &mut log).await?;
    answered(connection, &method, &target, response, log)
}

/// What a host answers, on its way into the machine.
pub(super) fn answered(
    connection: &Connection,
    method: &Method,
    target: &HostPort,
    response: Response<Incoming>,
    mut log: Log,
) -> Result<Response<Body>, ApiError> {
    let (mut parts, body) = response.into_parts();
    if parts.status == StatusCode::SWITCHING_PROTOCOLS {
        let code = Code::UpstreamUnreachable;
        log.fail(code.as_str());
        let message = format!("{target} changes to another protocol, which was not asked for.");
        return Err(ApiError::new(code, message));
    }
    if has_coding(&parts.headers) {
        let code = Code::AnswerEncoded;
        log.fail(code.as_str());
        let message =
            format!("{target} sends its answer in a transfer coding that was not asked for.");
        return Err(ApiError::new(code, message));
    }
    let packed = if connection.tls.is_some() {
        packed(method, parts.status, &parts.headers).inspect_err(|e| log.fail(e.code.as_str()))?
    } else {
        None
    };
    strip_hop_by_hop(&mut parts.headers);
    let length = if *method == Method::HEAD { Some(0) } else { body.size_hint().exact() };
    let odd = Arc::<AtomicBool>::default();
    let tap = LogTap { bytes: Arc::clone(&log.bytes), log: Some(log), odd: Arc::clone(&odd) };
    let body = match packed {
        None => Tapped::new(body, tap, length, IDLE_TIMEOUT).boxed_unsync(),
        Some(packed) => {
            let body = Unpacked::new(packed, &mut parts.headers, body, odd);
            Tapped::new(body, tap, None, IDLE_TIMEOUT).boxed_unsync()
        }
    };
    Ok(Response::from_parts(parts, body))
}

/// A request as the host is to have it.
pub(super) fn prepare(
    request: Request<Incoming>,
    target: &HostPort,
    connection: &Connection,
    log: &Log,
) -> Result<Request<RequestBody>, ApiError> {
    let (mut parts, body) = request.into_parts();
    let path = parts.uri.path_and_query().map_or("/", |path| path.as_str());
    let path = if path.starts_with('/') { path.to_owned() } else { format!("/{path}") };
    let wants_trailers = parts.headers.get(header::TE).is_some_and(|te| te == "trailers");
    strip_hop_by_hop(&mut parts.headers);
    if connection.tls.is_some() {
        ask_readable(&mut parts.headers);
    }
    let host = match target.port {
        port if port == connection.usual_port() => target.host.to_string(),
        _ => target.to_string(),
    };
    let is_http2 = connection.tls.as_ref().is_some_and(|tls| tls.protocol == Protocol::Http2);
    let uri = if is_http2 { format!("https://{host}{path}") } else { path };
    parts.uri = Uri::try_from(uri).map_err(|e| {
        ApiError::new(Code::InvalidRequest, format!("The path is not valid ({e})."))
    })?;
    if is_http2 {
        parts.headers.remove(header::HOST);
        // For the next one only, and gRPC insists on it (RFC 9113 §8.2.2 allows no other).
        if wants_trailers {
            parts.headers.insert(header::TE, HeaderValue::from_static("trailers"));
        }
    } else {
        let host = HeaderValue::try_from(host).expect("a host that was understood is plain ASCII");
        parts.headers.insert(header::HOST, host);
    }
    // Extensions hold the client's side of things.
    parts.extensions = http::Extensions::default();
    parts.version = if is_http2 { Version::HTTP_2 } else { Version::HTTP_11 };
    let length = body.size_hint().exact();
    let counter = Counter(Arc::clone(&log.bytes));
    Ok(Request::from_parts(parts, Tapped::new(body, counter, length, IDLE_TIMEOUT)))
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
    /// What came could not be unpacked.
    odd: Arc<AtomicBool>,
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
                Ending::Cut if self.odd.load(Ordering::Relaxed) => {
                    log.finish(Some(Code::AnswerEncoded.as_str()));
                }
                Ending::Cut => log.finish(Some("cut")),
                Ending::Idle => log.finish(Some("idle_timeout")),
            }
        }
    }
}
