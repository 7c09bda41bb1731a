//! Everything that is not Toft's goes to the app: HTTP with bodies streamed both ways, and
//! upgrades such as WebSocket. One connection per request to a server on the same machine: nothing
//! to keep, nothing that can be stale.

use crate::{app_port::AppPort, clock::now_ms, placeholder, services::board::Board};
use axum::{
    body::Body,
    extract::{Extension, Request, State},
    response::{IntoResponse as _, Response},
};
use http::{
    HeaderMap, HeaderName, HeaderValue, StatusCode, Uri, Version,
    header::{self, Entry},
    uri::PathAndQuery,
};
use hyper_util::rt::TokioIo;
use std::{
    io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    sync::Arc,
    time::Duration,
};
use toft_model::http::{connection_tokens, hop_by_hop};
use tokio::{
    io::copy_bidirectional,
    net::TcpStream,
    time::{Instant, sleep, timeout},
};

/// Names the port to go to; believed only from the server.
pub(crate) const PORT_HEADER: HeaderName = HeaderName::from_static("x-toft-port");

const FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");
const FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");

/// A port on the same machine takes a connection at once or never.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);

/// Between two tries to reach a service that comes up.
const AGAIN_PAUSE: Duration = Duration::from_millis(10);

/// How long an app may think before it begins to answer. As long as long-polling apps wait.
const ANSWER_TIMEOUT: Duration = Duration::from_mins(5);

/// Whether a request came over the socket that only the server can reach.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Origin {
    /// The server: believed.
    Server,
    /// Something inside the machine.
    Machine,
}

/// Whether a request came from the server, and so from a person or one of their programs.
pub(crate) fn is_outside(request: &Request) -> bool {
    request.extensions().get::<Origin>() == Some(&Origin::Server)
}

/// The handler.
pub(crate) async fn proxy(
    State(app): State<Arc<AppPort>>,
    Extension(from): Extension<Origin>,
    board: Option<Extension<Arc<Board>>>,
    mut request: Request,
) -> Response {
    let named = request.headers_mut().remove(PORT_HEADER).filter(|_| from == Origin::Server);
    let named = match named.map(|value| value.to_str().ok().and_then(|text| text.parse().ok())) {
        Some(Some(0) | None) => {
            return (StatusCode::BAD_REQUEST, "x-toft-port is no port number\n").into_response();
        }
        Some(Some(port)) => Some(port),
        None => None,
    };
    let connected = match (connect(&app, named).await, board) {
        (Err(port), Some(Extension(board))) => patiently(&app, &board, named, port).await,
        (connected, _) => connected,
    };
    match connected {
        Ok(stream) => pass(stream, from, request).await,
        Err(port) => placeholder::page(port, request.headers()),
    }
}

/// A connection to the named port, or to the app's; the port when nothing listens.
async fn connect(app: &AppPort, named: Option<u16>) -> Result<TcpStream, u16> {
    let port = named.unwrap_or_else(|| app.port());
    if let Some(stream) = dial(app, port).await {
        return Ok(stream);
    }
    if named.is_none() {
        let other = app.resolve();
        if other != port {
            return dial(app, other).await.ok_or(other);
        }
    }
    Err(port)
}

/// Asks again while a service may yet come up: the request that woke a machine is answered by its app.
async fn patiently(
    app: &AppPort,
    board: &Board,
    named: Option<u16>,
    mut port: u16,
) -> Result<TcpStream, u16> {
    let until = Instant::now() + board.patience();
    while Instant::now() < until && board.is_coming(port, app.port(), now_ms()) {
        sleep(AGAIN_PAUSE).await;
        match connect(app, named).await {
            Ok(stream) => return Ok(stream),
            Err(other) => port = other,
        }
    }
    Err(port)
}

/// Servers that bind `localhost` may listen on one family only.
async fn dial(app: &AppPort, port: u16) -> Option<TcpStream> {
    // The bridge would come back to itself.
    if app.own() == Some(port) {
        return None;
    }
    let hosts: [IpAddr; 2] = [Ipv4Addr::LOCALHOST.into(), Ipv6Addr::LOCALHOST.into()];
    for host in hosts {
        let address = SocketAddr::new(host, port);
        if let Ok(Ok(stream)) = timeout(CONNECT_TIMEOUT, TcpStream::connect(address)).await {
            let _ = stream.set_nodelay(true);
            return Some(stream);
        }
    }
    None
}

async fn pass(stream: TcpStream, from: Origin, mut request: Request) -> Response {
    let upgrade = upgrade_wanted(request.headers());
    let client = upgrade.is_some().then(|| hyper::upgrade::on(&mut request));
    let request = for_the_app(request, from, upgrade);
    let sent = async {
        let (mut sender, connection) =
            hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
        // Ends with the answer's body, with the upgraded connection, or when the client leaves.
        tokio::spawn(async move {
            if let Err(err) = connection.with_upgrades().await {
                tracing::debug!(error = %err, "a connection to the app ended early");
            }
        });
        sender.send_request(request).await
    };
    let mut answer = match timeout(ANSWER_TIMEOUT, sent).await {
        Ok(Ok(answer)) => answer,
        Ok(Err(err)) => return broken(&err),
        Err(_) => {
            return (StatusCode::GATEWAY_TIMEOUT, "The app did not answer within 5 minutes.\n")
                .into_response();
        }
    };
    if answer.status() == StatusCode::SWITCHING_PROTOCOLS {
        if let Some(client) = client {
            let app = hyper::upgrade::on(&mut answer);
            tokio::spawn(join(client, app));
        }
    } else {
        strip_hop_by_hop(answer.headers_mut());
    }
    answer.map(Body::new)
}

/// Carries bytes both ways until one side ends.
async fn join(client: hyper::upgrade::OnUpgrade, app: hyper::upgrade::OnUpgrade) {
    let (Ok(client), Ok(app)) = tokio::join!(client, app) else { return };
    let (mut client, mut app) = (TokioIo::new(client), TokioIo::new(app));
    // Either side may end without a word: that is an end too.
    let _: io::Result<_> = copy_bidirectional(&mut client, &mut app).await;
}

fn broken(err: &hyper::Error) -> Response {
    tracing::debug!(error = %err, "the app broke off");
    let text = "The app took the request and closed the connection without an answer. \
                Look at its output.\n";
    (StatusCode::BAD_GATEWAY, text).into_response()
}

/// What the client wants to switch to.
fn upgrade_wanted(headers: &HeaderMap) -> Option<HeaderValue> {
    let asks = headers.get_all(header::CONNECTION).iter().any(|value| {
        value.to_str().is_ok_and(|text| {
            connection_tokens(text).any(|token| token.eq_ignore_ascii_case("upgrade"))
        })
    });
    headers.get(header::UPGRADE).filter(|_| asks).cloned()
}

fn for_the_app(
    mut request: Request,
    from: Origin,
    upgrade: Option<HeaderValue>,
) -> http::Request<Body> {
    // An app gets the path as the client sent it; over HTTP/2 the host is in the URI.
    let path = request.uri().path_and_query().cloned();
    let authority = request.uri().authority().map(|a| a.as_str().to_owned());
    *request.uri_mut() = Uri::from(path.unwrap_or_else(|| PathAndQuery::from_static("/")));
    *request.version_mut() = Version::HTTP_11;
    let headers = request.headers_mut();
    strip_hop_by_hop(headers);
    if let Some(protocol) = upgrade {
        headers.insert(header::CONNECTION, HeaderValue::from_static("upgrade"));
        headers.insert(header::UPGRADE, protocol);
    }
    if let Entry::Vacant(host) = headers.entry(header::HOST) {
        let value = authority.and_then(|a| HeaderValue::from_str(&a).ok());
        host.insert(value.unwrap_or(HeaderValue::from_static("localhost")));
    }
    let host = headers.get(header::HOST).cloned();
    match from {
        // The server knows who asked and how; what it does not say is filled in.
        Origin::Server => {
            headers.entry(FORWARDED_FOR).or_insert(HeaderValue::from_static("127.0.0.1"));
            headers.entry(FORWARDED_PROTO).or_insert(HeaderValue::from_static("http"));
            if let Some(host) = host {
                headers.entry(FORWARDED_HOST).or_insert(host);
            }
        }
        Origin::Machine => {
            headers.insert(FORWARDED_FOR, HeaderValue::from_static("127.0.0.1"));
            headers.insert(FORWARDED_PROTO, HeaderValue::from_static("http"));
            if let Some(host) = host {
                headers.insert(FORWARDED_HOST, host);
            }
        }
    }
    request
}

/// Takes off what belongs to one connection, and `expect`, which our own server side has answered.
fn strip_hop_by_hop(headers: &mut HeaderMap) {
    let connection = headers.get_all(header::CONNECTION).iter().filter_map(|v| v.to_str().ok());
    for name in hop_by_hop(connection, headers.contains_key(header::TRANSFER_ENCODING)) {
        headers.remove(name);
    }
    headers.remove(header::EXPECT);
}
