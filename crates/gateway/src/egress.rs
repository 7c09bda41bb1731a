//! The way out of a machine. This file: the proxy, for plain HTTP requests (absolute form) and tunnels
//! (CONNECT). Every target is decided by `toft_policy`, every resolved address is checked, and exactly
//! the checked address is dialled; what goes through is in `passage`. Redirects are the client's
//! business: each comes back here as a request.

mod bulk;
mod dial;
mod first;
mod forward;
mod http_inside;
pub(crate) mod log;
pub(crate) mod passage;
mod relay;

#[cfg(test)]
mod tests;

use crate::{
    api_error::{ApiError, Code},
    egress_log::Via,
    machine::{HEAD_BYTES_MAX, HEADERS_MAX, Machine},
    state::State,
    tap::BoxError,
};
use bytes::Bytes;
use forward::Kept;
use http::{Method, Request, Response, uri::Scheme};
use http_body_util::{BodyExt as _, combinators::UnsyncBoxBody};
use hyper::{body::Incoming, server::conn::http1, service::service_fn, upgrade::Upgraded};
use hyper_util::rt::{TokioIo, TokioTimer};
use log::Log;
use passage::{Passage, admit, judge};
use std::{convert::Infallible, sync::Arc, time::Duration};
use toft_policy::{HostPort, Verdict};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
    sync::OwnedSemaphorePermit,
};

/// How slowly the head of a request may come in, and how long a kept connection may idle.
const HEAD_TIMEOUT: Duration = Duration::from_secs(30);

/// Characters of a target that was not understood in the log and in answers.
const SHOWN_MAX: usize = 200;

/// Body of an answer.
type Body = UnsyncBoxBody<Bytes, BoxError>;

/// One client connection and what its requests share.
struct Connection {
    state: Arc<State>,
    machine: Arc<Machine>,
    kept: Kept,
    asks: Asks,
}

/// What a connection may ask for.
enum Asks {
    /// Any target: it speaks to a proxy. A tunnel takes its place among the machine's connections along.
    Anything(Arc<OwnedSemaphorePermit>),
    /// This one only.
    Only(HostPort),
}

/// Serves one connection of a machine to its proxy until it ends.
pub(crate) async fn serve_connection(
    state: Arc<State>,
    machine: Arc<Machine>,
    stream: TcpStream,
    permit: OwnedSemaphorePermit,
) {
    let asks = Asks::Anything(Arc::new(permit));
    let connection = Connection { state, machine, kept: Kept::default(), asks };
    serve_requests(connection, stream).await;
}

/// Answers the requests of a connection. It ends when its target is no longer allowed.
async fn serve_requests(
    connection: Connection,
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
) {
    let mut level = connection.machine.egress();
    let service = service_fn(|request| {
        let connection = &connection;
        async move { Ok::<_, Infallible>(connection.answer(request).await) }
    });
    let serve = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIMEOUT)
        .max_buf_size(HEAD_BYTES_MAX)
        .max_headers(HEADERS_MAX)
        .serve_connection(TokioIo::new(stream), service)
        .with_upgrades();
    let tightened = async {
        loop {
            if level.changed().await.is_err() {
                std::future::pending::<()>().await;
            }
            let egress = Arc::clone(&level.borrow_and_update());
            let config = connection.state.config();
            let denied = |t: &HostPort| !judge(&config, &egress, t).allowed();
            if connection.kept.target().is_some_and(|target| denied(&target)) {
                return;
            }
        }
    };
    tokio::select! {
        served = serve => if let Err(e) = served {
            tracing::debug!(
                project.id = %connection.machine.project,
                error = %e,
                "an egress connection ended"
            );
        },
        () = tightened => {}
    }
}

impl Connection {
    fn inside(state: Arc<State>, machine: Arc<Machine>, target: HostPort) -> Self {
        Self { state, machine, kept: Kept::default(), asks: Asks::Only(target) }
    }

    async fn answer(&self, request: Request<Incoming>) -> Response<Body> {
        let result = match &self.asks {
            Asks::Anything(permit) if request.method() == Method::CONNECT => {
                self.connect(request, permit).await
            }
            Asks::Anything(_) => self.plain(request).await,
            Asks::Only(target) => self.inner(request, target).await,
        };
        result.unwrap_or_else(|e| e.response().map(own_body))
    }

    async fn connect(
        &self,
        request: Request<Incoming>,
        permit: &Arc<OwnedSemaphorePermit>,
    ) -> Result<Response<Body>, ApiError> {
        let authority = request.uri().authority().map_or("", |a| a.as_str());
        let target = self.understand(authority, None, Via::Connect)?;
        let passage = Passage::open(&self.state, &self.machine, target, Via::Connect).await?;
        let upgrade = hyper::upgrade::on(request);
        let (cancel, permit) = (self.machine.cancel.clone(), Arc::clone(permit));
        self.state.tasks.spawn(async move {
            let carried = async {
                // Otherwise the client went away before it read our answer.
                if let Ok(Ok((client, early))) = upgrade.await.map(split) {
                    passage.carry(client, early).await;
                }
            };
            cancel.run_until_cancelled(carried).await;
            drop(permit);
        });
        Ok(Response::new(own_body(http_body_util::Full::default())))
    }

    async fn plain(&self, request: Request<Incoming>) -> Result<Response<Body>, ApiError> {
        let uri = request.uri();
        let Some(authority) = uri.authority() else {
            return Err(ApiError::new(
                Code::InvalidRequest,
                "This is a proxy: it takes `GET http://host/path` and `CONNECT host:port`. Set \
                 it as HTTP_PROXY and HTTPS_PROXY.",
            ));
        };
        if uri.scheme() != Some(&Scheme::HTTP) {
            return Err(ApiError::new(
                Code::UseConnect,
                "Only http:// is fetched here: use CONNECT for everything else.",
            ));
        }
        let target = self.understand(authority.as_str(), Some(80), Via::Http)?;
        self.kept.aim(&target);
        let log = admit(&self.state, &self.machine, &target, Via::Http)?;
        forward::forward(self, request, target, log).await
    }

    async fn inner(
        &self,
        request: Request<Incoming>,
        target: &HostPort,
    ) -> Result<Response<Body>, ApiError> {
        self.kept.aim(target);
        let log = http_inside::admitted(self, &request, target)?;
        forward::forward(self, request, target.clone(), log).await
    }

    /// Understands a target; what is not understood is logged.
    fn understand(
        &self,
        authority: &str,
        default_port: Option<u16>,
        via: Via,
    ) -> Result<HostPort, ApiError> {
        HostPort::parse(authority, default_port).map_err(|why| {
            let shown: String = authority.escape_debug().take(SHOWN_MAX).collect();
            let verdict = Verdict::deny("invalid-host", format!("{shown}: {why}"));
            Log::refuse(&self.state, &self.machine, (shown, 0), via, &verdict);
            denied(&verdict)
        })
    }
}

fn split(upgraded: Upgraded) -> Result<(TcpStream, Bytes), Upgraded> {
    let parts = upgraded.downcast::<TokioIo<TcpStream>>()?;
    Ok((parts.io.into_inner(), parts.read_buf))
}

/// Writes the line of what never became a target; the answer to it.
pub(crate) fn refuse(
    state: &Arc<State>,
    machine: &Arc<Machine>,
    place: (String, u16),
    via: Via,
    verdict: &Verdict,
) -> ApiError {
    Log::refuse(state, machine, place, via, verdict);
    denied(verdict)
}

fn denied(verdict: &Verdict) -> ApiError {
    ApiError::new(Code::EgressDenied, format!("Toft did not connect: {}.", verdict.reason))
}

fn own_body(body: http_body_util::Full<Bytes>) -> Body {
    body.map_err(|never| match never {}).boxed_unsync()
}
