//! The egress proxy of a machine: plain HTTP requests (absolute form) and tunnels (CONNECT). Every
//! target is decided by `toft_policy`, every resolved address is checked, and exactly the checked
//! address is dialled. Redirects are the client's business: each comes back here as a request.

mod dial;
mod forward;
mod log;
mod tunnel;

#[cfg(test)]
mod tests;

use crate::{
    api_error::{ApiError, Code},
    machine::{HEAD_BYTES_MAX, HEADERS_MAX, Machine},
    state::{Config, State},
    tap::BoxError,
};
use bytes::Bytes;
use forward::Kept;
use http::{Method, Request, Response, uri::Scheme};
use http_body_util::{BodyExt as _, combinators::UnsyncBoxBody};
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use log::Log;
use std::{convert::Infallible, sync::Arc, time::Duration};
use toft_policy::{Egress, Host, HostPort, Verdict};
use tokio::{net::TcpStream, sync::OwnedSemaphorePermit};

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
    /// Its place among the machine's connections; a tunnel takes it along.
    permit: Arc<OwnedSemaphorePermit>,
    kept: Kept,
}

/// Serves one connection of a machine until it ends.
pub(crate) async fn serve_connection(
    state: Arc<State>,
    machine: Arc<Machine>,
    stream: TcpStream,
    permit: OwnedSemaphorePermit,
) {
    let mut level = machine.egress();
    let connection = Connection { state, machine, permit: Arc::new(permit), kept: Kept::default() };
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
    async fn answer(&self, request: Request<Incoming>) -> Response<Body> {
        let result = if request.method() == Method::CONNECT {
            self.connect(request).await
        } else {
            self.plain(request).await
        };
        result.unwrap_or_else(|e| e.response().map(own_body))
    }

    async fn connect(&self, request: Request<Incoming>) -> Result<Response<Body>, ApiError> {
        let authority = request.uri().authority().map_or("", |a| a.as_str());
        let (target, mut log) = self.admit(authority, None)?;
        let upstream = match self.dial(&target).await {
            Ok(stream) => stream,
            Err(refused) => return Err(refused.told(&mut log)),
        };
        let tunnel = tunnel::Tunnel {
            target,
            upstream,
            log,
            machine: Arc::clone(&self.machine),
            state: Arc::clone(&self.state),
            permit: Arc::clone(&self.permit),
        };
        let upgrade = hyper::upgrade::on(request);
        let cancel = self.machine.cancel.clone();
        self.state.tasks.spawn(async move {
            cancel.run_until_cancelled(tunnel.run(upgrade)).await;
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
        let (target, log) = self.admit(authority.as_str(), Some(80))?;
        forward::forward(self, request, target, log).await
    }

    /// Understands and decides a target; a refusal is logged.
    fn admit(
        &self,
        authority: &str,
        default_port: Option<u16>,
    ) -> Result<(HostPort, Log), ApiError> {
        let target = HostPort::parse(authority, default_port).map_err(|why| {
            let shown: String = authority.escape_debug().take(SHOWN_MAX).collect();
            let verdict = Verdict::deny("invalid-host", format!("{shown}: {why}"));
            Log::begin(&self.state, &self.machine.project, shown, 0, &verdict).finish(None);
            denied(&verdict)
        })?;
        let egress = Arc::clone(&self.machine.egress().borrow());
        let verdict = judge(&self.state.config(), &egress, &target);
        let log = Log::begin(
            &self.state,
            &self.machine.project,
            target.host.to_string(),
            target.port,
            &verdict,
        );
        if verdict.allowed() {
            Ok((target, log))
        } else {
            log.finish(None);
            Err(denied(&verdict))
        }
    }

    async fn dial(&self, target: &HostPort) -> Result<TcpStream, dial::Refused> {
        let config = self.state.config();
        dial::dial(&*self.state.resolver, &config.allow_private, target).await
    }
}

/// The level's decision; for tests an address may be opened that no level opens.
fn judge(config: &Config, egress: &Egress, target: &HostPort) -> Verdict {
    if let Host::Address(ip) = target.host
        && config.allow_private.contains(&(ip, target.port).into())
        && egress.is_open()
    {
        return Verdict::allow("test-address", "opened for a test");
    }
    egress.decide(&target.host, target.port)
}

fn denied(verdict: &Verdict) -> ApiError {
    ApiError::new(Code::EgressDenied, format!("Toft did not connect: {}.", verdict.reason))
}

fn own_body(body: http_body_util::Full<Bytes>) -> Body {
    body.map_err(|never| match never {}).boxed_unsync()
}
