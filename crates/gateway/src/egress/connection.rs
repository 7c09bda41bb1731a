//! A connection of a machine that speaks HTTP, and the serving of its requests: who answers them is
//! the caller's to say.

use super::{kept::Kept, log::Log};
use crate::{
    api_error::ApiError,
    brokered::{Echo, Protocol, Secured},
    judge::judge,
    machine::{HEAD_BYTES_MAX, HEADERS_MAX, Machine},
    state::State,
    tap::BoxError,
};
use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt as _, combinators::UnsyncBoxBody};
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use std::{
    convert::Infallible,
    io::Cursor,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};
use toft_policy::HostPort;
use tokio::{
    io::{AsyncRead, AsyncReadExt as _, AsyncWrite},
    net::TcpStream,
};

/// How slowly the head of a request may come in, and how long a kept connection may idle.
const HEAD_TIMEOUT: Duration = Duration::from_secs(30);

/// Body of an answer.
pub(super) type Body = UnsyncBoxBody<Bytes, BoxError>;

/// One client connection and what its requests share.
pub(super) struct Connection {
    pub(super) state: Arc<State>,
    pub(super) machine: Arc<Machine>,
    pub(super) kept: Kept,
    /// Within TLS that ends here.
    pub(super) tls: Option<Tls>,
}

/// Of TLS that ends here.
pub(super) struct Tls {
    /// What the machine speaks within it. The host speaks the same: nothing is translated.
    pub(super) protocol: Protocol,
    /// The connection that was made to see what the host speaks; the first request takes it.
    early: Mutex<Option<Result<Secured, ApiError>>>,
}

impl Tls {
    pub(super) fn new(protocol: Protocol, early: Result<Secured, ApiError>) -> Self {
        Self { protocol, early: Mutex::new(Some(early)) }
    }

    pub(super) fn take(&self) -> Option<Result<Secured, ApiError>> {
        self.early.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

/// A connection whose requests are read one by one, for this host only.
pub(super) struct Inside {
    pub(super) state: Arc<State>,
    pub(super) machine: Arc<Machine>,
    pub(super) target: HostPort,
    pub(super) client: TcpStream,
    /// What the client has sent so far.
    pub(super) seen: Vec<u8>,
    pub(super) upstream: TcpStream,
}

/// The client from its first byte on.
pub(super) fn replayed(client: TcpStream, seen: Vec<u8>) -> impl AsyncRead + AsyncWrite + Send {
    let (read, write) = client.into_split();
    tokio::io::join(Cursor::new(seen).chain(read), write)
}

/// Answers the requests of a connection. It ends when its target is no longer allowed.
pub(super) async fn serve_requests<A>(
    connection: &Connection,
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    answer: impl Fn(Request<Incoming>) -> A,
) where
    A: Future<Output = Result<Response<Body>, ApiError>>,
{
    let service = service_fn(|request| {
        let answer = answer(request);
        async move { Ok::<_, Infallible>(connection.told(answer.await).await) }
    });
    let serve = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIMEOUT)
        .max_buf_size(HEAD_BYTES_MAX)
        .max_headers(HEADERS_MAX)
        .serve_connection(TokioIo::new(stream), service)
        .with_upgrades();
    tokio::select! {
        served = serve => if let Err(e) = served {
            tracing::debug!(
                project.id = %connection.machine.project,
                error = %e,
                "an egress connection ended"
            );
        },
        () = connection.tightened() => {}
    }
}

impl Connection {
    pub(super) fn new(state: Arc<State>, machine: Arc<Machine>, tls: Option<Tls>) -> Self {
        Self { state, machine, kept: Kept::default(), tls }
    }

    /// The port that a `Host` header leaves out.
    pub(super) fn usual_port(&self) -> u16 {
        if self.tls.is_some() { 443 } else { 80 }
    }

    /// Resolves when what it is for is no longer allowed.
    pub(super) async fn tightened(&self) {
        let mut level = self.machine.egress();
        loop {
            if level.changed().await.is_err() {
                std::future::pending::<()>().await;
            }
            let egress = Arc::clone(&level.borrow_and_update());
            let config = self.state.config();
            let denied = |t: &HostPort| !judge(&config, &egress, t).allowed();
            if self.kept.target().is_some_and(|target| denied(&target)) {
                return;
            }
        }
    }

    /// Whom to tell that this host said a value back.
    pub(super) fn echo(&self, target: &HostPort) -> Echo {
        let (state, machine, target) =
            (Arc::clone(&self.state), Arc::clone(&self.machine), target.clone());
        Arc::new(move |secret| {
            if machine.echoes.is_news(secret, &target) {
                Log::echoed(&state, &machine, &target, secret);
            }
        })
    }

    pub(super) async fn told(&self, result: Result<Response<Body>, ApiError>) -> Response<Body> {
        match result {
            Ok(answer) => answer,
            Err(error) => {
                // On a connection that is kept a refusal costs a program less than it costs us.
                self.machine.turns.next().await;
                error.response().map(own_body)
            }
        }
    }
}

/// A body that is made here.
pub(super) fn own_body(body: http_body_util::Full<Bytes>) -> Body {
    body.map_err(|never| match never {}).boxed_unsync()
}
