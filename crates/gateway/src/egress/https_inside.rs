//! Requests within TLS, to a host that a brokered secret is bound to: the machine's TLS ends here, each
//! request is judged as one without TLS is, gets the values that it may have, and goes on within TLS of
//! our own. The machine is offered what the host speaks.

use super::{
    connection::{Body, Connection, Inside, Tls, replayed, serve_requests},
    forward, http_inside,
    log::Log,
    refused::not_bound,
    streams,
    websocket::{self, Opened, WebSocket},
};
use crate::{
    api_error::{ApiError, Code},
    brokered::{Protocol, open_answer},
    records::egress_log::Via,
};
use futures_util::future::BoxFuture;
use http::{Method, Request, Response, uri::Scheme};
use hyper::body::Incoming;
use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};
use toft_policy::HostPort;
use tokio::time::timeout;
use tokio_rustls::LazyConfigAcceptor;

/// From the first bytes of a handshake to its end; it is between processes of one host.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);

/// Serves it until it ends.
pub(super) fn serve(inside: Inside) -> BoxFuture<'static, ()> {
    Box::pin(async move {
        let Inside { state, machine, target, client, seen, upstream } = inside;
        let broker = machine.broker();
        // Unbound in this moment: the program connects again.
        let Some(leaves) = broker.reads(&target) else { return };
        let mut config = match leaves.for_host(&target.host) {
            Ok(config) => (*config).clone(),
            Err(error) => {
                tracing::error!(project.id = %machine.project, %error, "no certificate for a host");
                return;
            }
        };
        // It does not trust us, speaks nothing that is spoken here, or went away.
        let failed = || Log::failed(&state, &machine, &target, Via::Https, "tls_failed");
        let greeting =
            LazyConfigAcceptor::new(rustls::server::Acceptor::default(), replayed(client, seen));
        let Ok(Ok(greeted)) = timeout(HANDSHAKE_TIMEOUT, greeting).await else {
            return failed();
        };
        let place = machine.http2_connection();
        let speaks = |protocol: &Protocol| *protocol == Protocol::Http1 || place.is_some();
        let offered: Vec<Protocol> = match greeted.client_hello().alpn() {
            Some(names) => names.filter_map(Protocol::named).filter(speaks).collect(),
            None => vec![Protocol::Http1],
        };
        if offered.is_empty() {
            // It is told so by the handshake.
            config.alpn_protocols = vec![Protocol::Http1.alpn().to_vec()];
            drop(timeout(HANDSHAKE_TIMEOUT, greeted.into_stream(Arc::new(config))).await);
            return failed();
        }
        let early = state.roots.connect(&target, upstream, &offered).await;
        // Without the host it is said to the machine in what it likes best.
        let protocol = early.as_ref().map_or(offered[0], |secured| secured.protocol);
        config.alpn_protocols = vec![protocol.alpn().to_vec()];
        let accepting = greeted.into_stream(Arc::new(config));
        let Ok(Ok(client)) = timeout(HANDSHAKE_TIMEOUT, accepting).await else {
            return failed();
        };
        let place = place.filter(|_| protocol == Protocol::Http2);
        let connection = Connection::new(state, machine, Some(Tls::new(protocol, early)));
        let front = Arc::new(Front { connection, target, opened: Mutex::default() });
        match protocol {
            Protocol::Http1 => front.serve_one_by_one(client).await,
            Protocol::Http2 => streams::serve(&front, client).await,
        }
        drop(place);
    })
}

/// A connection whose requests are for one host.
pub(super) struct Front {
    pub(super) connection: Connection,
    pub(super) target: HostPort,
    /// What its last request became.
    opened: Mutex<Option<Box<WebSocket>>>,
}

impl Front {
    async fn serve_one_by_one(
        &self,
        client: impl tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin + Send + 'static,
    ) {
        serve_requests(&self.connection, client, |request| self.answer(request)).await;
        let opened = self.opened.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(opened) = opened {
            opened.carry(&self.connection, &self.target).await;
        }
    }

    /// Answers one request.
    pub(super) async fn answer(
        &self,
        mut request: Request<Incoming>,
    ) -> Result<Response<Body>, ApiError> {
        let Self { connection, target, .. } = self;
        if request.method() == Method::CONNECT
            || request.uri().scheme().is_some_and(|scheme| *scheme != Scheme::HTTPS)
        {
            let message = "Within TLS only https:// of its own host is fetched.";
            return Err(ApiError::new(Code::UseConnect, message));
        }
        connection.kept.aim(target);
        let mut log = http_inside::for_its_host(connection, &request, target, Via::Https)?;
        let broker = connection.machine.broker();
        let method = request.method().clone();
        let client = websocket::asked(&mut request);
        let (mut parts, body) = request.into_parts();
        match broker.put_in(&mut parts, target) {
            Ok(secrets) => log.brokered(secrets),
            Err(why) => return Err(not_bound(&why, log)),
        }
        request = Request::from_parts(parts, body);
        let response = match client {
            None => forward::forward(connection, request, target.clone(), log).await?,
            Some(client) => {
                match websocket::open(connection, client, request, target, &broker, log).await? {
                    Opened::No(response) => response,
                    Opened::Yes(response, websocket) => {
                        let mut opened = self.opened.lock().unwrap_or_else(PoisonError::into_inner);
                        *opened = Some(websocket);
                        return Ok(response);
                    }
                }
            }
        };
        let look = broker.look(connection.echo(target));
        open_answer(look, &method, response).await
    }
}
