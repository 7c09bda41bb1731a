//! WebSockets to hosts that a brokered secret is bound to: the request that opens one is read as any other
//! is; of what the host says then, values are taken out. What the machine says passes unread, as bodies
//! do.

use super::{
    admit::tightened,
    connection::{Body, Connection, own_body},
    forward,
    kept::add,
    log::Log,
    relay::{Activity, End, IDLE_TIMEOUT},
    send::send,
};
use crate::{
    api_error::{ApiError, Code},
    brokered::{Broker, Frames, open_head},
    hop_by_hop::strip_hop_by_hop,
    machine::Bytes,
};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Response, StatusCode, header};
use hyper::{
    body::{Body as _, Incoming},
    upgrade::{OnUpgrade, Upgraded},
};
use hyper_util::rt::TokioIo;
use std::sync::Arc;
use toft_policy::HostPort;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, ReadHalf, WriteHalf, split};

const WEBSOCKET: HeaderValue = HeaderValue::from_static("websocket");
/// Bytes moved at once: what TLS has in one record.
const COPY_BYTES: usize = 16 << 10;

/// The client's side of a WebSocket, if the request asks for one. Whatever else it asks to change to is
/// not passed on.
pub(super) fn asked(request: &mut Request<Incoming>) -> Option<OnUpgrade> {
    let asks = request.method() == Method::GET
        && request.version() == http::Version::HTTP_11
        && request.body().is_end_stream()
        && request.headers().contains_key(header::SEC_WEBSOCKET_KEY)
        && upgrades(request.headers());
    asks.then(|| hyper::upgrade::on(request))
}

/// Whether both headers say so (RFC 6455 §4.2.1).
fn upgrades(headers: &HeaderMap) -> bool {
    let says = |name: HeaderName, token: &[u8]| {
        let values = headers.get_all(name).iter();
        let mut tokens = values.flat_map(|value| value.as_bytes().split(|b| *b == b','));
        tokens.any(|one| one.trim_ascii().eq_ignore_ascii_case(token))
    };
    says(header::UPGRADE, b"websocket") && says(header::CONNECTION, b"upgrade")
}

fn say_upgrade(headers: &mut HeaderMap) {
    headers.insert(header::CONNECTION, HeaderValue::from_static("Upgrade"));
    headers.insert(header::UPGRADE, WEBSOCKET);
}

/// What became of the request.
pub(super) enum Opened {
    /// The host answered as it does any request.
    No(Response<Body>),
    /// The answer, and what begins after it.
    Yes(Response<Body>, Box<WebSocket>),
}

/// Both ends of one.
pub(super) struct WebSocket {
    client: OnUpgrade,
    host: OnUpgrade,
    frames: Frames,
    log: Log,
}

/// Asks the host for it. Extensions are not: of what they compress nothing could be taken out.
pub(super) async fn open(
    connection: &Connection,
    client: OnUpgrade,
    request: Request<Incoming>,
    target: &HostPort,
    broker: &Broker,
    mut log: Log,
) -> Result<Opened, ApiError> {
    let mut request = forward::prepare(request, target, connection, &log)?;
    request.headers_mut().remove(header::SEC_WEBSOCKET_EXTENSIONS);
    say_upgrade(request.headers_mut());
    let mut response = send(connection, target, request, &mut log).await?;
    if response.status() != StatusCode::SWITCHING_PROTOCOLS {
        let answered = forward::answered(connection, &Method::GET, target, response, log);
        return answered.map(Opened::No);
    }
    let refuse = |mut log: Log, code: Code, why: &str| {
        log.fail(code.as_str());
        Err(ApiError::new(code, format!("{target} {why}")))
    };
    if !upgrades(response.headers()) {
        let why = "changes to another protocol than the one that was asked for.";
        return refuse(log, Code::UpstreamUnreachable, why);
    }
    if response.headers().contains_key(header::SEC_WEBSOCKET_EXTENSIONS) {
        let why = "uses an extension of WebSockets although none was asked for. A secret is bound to \
                   it, so what it says is looked through, and this could not be.";
        return refuse(log, Code::AnswerEncoded, why);
    }
    let host = hyper::upgrade::on(&mut response);
    let look = broker.look(connection.echo(target));
    open_head(&look, &mut response);
    let (mut parts, _) = response.into_parts();
    strip_hop_by_hop(&mut parts.headers);
    say_upgrade(&mut parts.headers);
    let response = Response::from_parts(parts, own_body(http_body_util::Full::default()));
    let frames = Frames::new(look);
    Ok(Opened::Yes(response, Box::new(WebSocket { client, host, frames, log })))
}

impl WebSocket {
    /// Carries it until one side is done, or something ends it; then writes the line.
    pub(super) async fn carry(self, connection: &Connection, target: &HostPort) {
        let Self { client, host, frames, mut log } = self;
        // Otherwise one went away before it began.
        let (Ok(client), Ok(host)) = (client.await, host.await) else { return };
        let first = Arc::clone(&log.first);
        let active = Activity::new();
        let ended = tokio::select! {
            ended = between(client, host, frames, &log.bytes, &active) => ended,
            () = active.idle_for(IDLE_TIMEOUT) => Err(End::Idle),
            verdict = tightened(&connection.state, &connection.machine, target, &first) => {
                Err(End::Denied(verdict))
            }
        };
        if let Err(End::Denied(verdict)) = &ended {
            log.overrule(verdict);
        }
        log.finish(ended.err().map(|end| end.code()));
    }
}

/// Passes what both say, until the host is done.
async fn between(
    client: Upgraded,
    host: Upgraded,
    frames: Frames,
    bytes: &Bytes,
    active: &Activity,
) -> Result<(), End> {
    let (from_client, to_client) = split(TokioIo::new(client));
    let (from_host, to_host) = split(TokioIo::new(host));
    let outward = async {
        pass(from_client, to_host, bytes, active).await?;
        // What the host has to say yet is waited for.
        std::future::pending().await
    };
    tokio::select! {
        ended = outward => ended,
        ended = look_through(from_host, to_client, frames, bytes, active) => ended,
    }
}

async fn pass(
    mut from: ReadHalf<TokioIo<Upgraded>>,
    mut to: WriteHalf<TokioIo<Upgraded>>,
    bytes: &Bytes,
    active: &Activity,
) -> Result<(), End> {
    let mut buffer = vec![0; COPY_BYTES];
    loop {
        let read = from.read(&mut buffer).await.map_err(|_| End::Broken)?;
        if read == 0 {
            return to.shutdown().await.map_err(|_| End::Broken);
        }
        write(&mut to, &buffer[..read]).await?;
        add(&bytes.out_of_machine, read);
        active.now();
    }
}

async fn look_through(
    mut from: ReadHalf<TokioIo<Upgraded>>,
    mut to: WriteHalf<TokioIo<Upgraded>>,
    mut frames: Frames,
    bytes: &Bytes,
    active: &Activity,
) -> Result<(), End> {
    let (mut buffer, mut out) = (vec![0; COPY_BYTES], Vec::new());
    loop {
        let read = from.read(&mut buffer).await.map_err(|_| End::Broken)?;
        if read == 0 {
            return to.shutdown().await.map_err(|_| End::Broken);
        }
        add(&bytes.into_machine, read);
        active.now();
        let passed = frames.pass(&buffer[..read], &mut out);
        write(&mut to, &out).await?;
        out.clear();
        if let Err(odd) = passed {
            // The program is told why; it may have gone.
            let _ = write(&mut to, &odd.told()).await;
            let _ = to.shutdown().await;
            return Err(End::Unreadable);
        }
    }
}

async fn write(to: &mut WriteHalf<TokioIo<Upgraded>>, bytes: &[u8]) -> Result<(), End> {
    if bytes.is_empty() {
        return Ok(());
    }
    to.write_all(bytes).await.map_err(|_| End::Broken)?;
    to.flush().await.map_err(|_| End::Broken)
}
