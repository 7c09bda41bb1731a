//! The way out of a machine. This file: the proxy, for plain HTTP requests (absolute form) and tunnels
//! (CONNECT). Every target is decided by `toft_policy`, every resolved address is checked, and exactly
//! the checked address is dialled; what goes through is in `passage`. Redirects are the client's
//! business: each comes back here as a request.

mod admit;
mod bulk;
mod connection;
mod dial;
mod fetch;
mod forward;
mod front;
pub(crate) mod http_inside;
mod https_inside;
mod kept;
mod log;
pub(crate) mod passage;
mod refused;
mod relay;
mod send;
mod streams;
mod tasks;
mod websocket;

#[cfg(test)]
mod tests;

pub(crate) use fetch::fetch;
pub(crate) use refused::refuse;

use crate::{
    api_error::{ApiError, Code},
    machine::Machine,
    records::egress_log::Via,
    state::State,
};
use admit::admit;
use bytes::Bytes;
use connection::{Body, Connection, own_body, serve_requests};
use http::{Method, Request, Response, uri::Scheme};
use hyper::{body::Incoming, upgrade::Upgraded};
use hyper_util::rt::TokioIo;
use passage::Passage;
use refused::without_placeholder;
use std::sync::Arc;
use toft_policy::{HostPort, Verdict};
use tokio::{net::TcpStream, sync::OwnedSemaphorePermit};

/// Characters of a target that was not understood in the log and in answers.
const SHOWN_MAX: usize = 200;

/// Serves one connection of a machine to its proxy until it ends.
pub(crate) async fn serve_connection(
    state: Arc<State>,
    machine: Arc<Machine>,
    stream: TcpStream,
    permit: OwnedSemaphorePermit,
) {
    let connection = Connection::new(state, machine, None);
    // A tunnel takes its place among the machine's connections along.
    let proxy = Proxy { connection: &connection, permit: Arc::new(permit) };
    serve_requests(&connection, stream, |request| proxy.answer(request)).await;
}

/// A connection that may ask for any target.
struct Proxy<'a> {
    connection: &'a Connection,
    permit: Arc<OwnedSemaphorePermit>,
}

impl Proxy<'_> {
    async fn answer(&self, request: Request<Incoming>) -> Result<Response<Body>, ApiError> {
        if request.method() == Method::CONNECT {
            self.connect(request).await
        } else {
            self.plain(request).await
        }
    }

    async fn connect(&self, request: Request<Incoming>) -> Result<Response<Body>, ApiError> {
        let Connection { state, machine, .. } = self.connection;
        let authority = request.uri().authority().map_or("", |a| a.as_str());
        let target = self.understand(authority, None, Via::Connect)?;
        let passage = Passage::open(state, machine, target, Via::Connect).await?;
        let upgrade = hyper::upgrade::on(request);
        let (cancel, permit) = (machine.cancel.clone(), Arc::clone(&self.permit));
        state.tasks.spawn(async move {
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
        let Connection { state, machine, kept, .. } = self.connection;
        kept.aim(&target);
        let log = admit(state, machine, &target, Via::Http)?;
        let log = without_placeholder(&request, log)?;
        forward::forward(self.connection, request, target, log).await
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
            let Connection { state, machine, .. } = self.connection;
            refuse(state, machine, (shown, 0), via, &verdict)
        })
    }
}

fn split(upgraded: Upgraded) -> Result<(TcpStream, Bytes), Upgraded> {
    let parts = upgraded.downcast::<TokioIo<TcpStream>>()?;
    Ok((parts.io.into_inner(), parts.read_buf))
}
