//! Requests within TLS, to a host that a brokered secret is bound to: the machine's TLS ends here, each
//! request is judged as one without TLS is, gets the values that it may have, and goes on within TLS of
//! our own.

use super::{
    connection::{Body, Connection, Early, Inside, replayed, serve_requests},
    forward, http_inside,
    log::Log,
    refused::not_bound,
};
use crate::{
    api_error::{ApiError, Code},
    brokered::open_answer,
    records::egress_log::Via,
};
use futures_util::future::BoxFuture;
use http::{Method, Request, Response, uri::Scheme};
use hyper::body::Incoming;
use std::time::Duration;
use toft_policy::HostPort;
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;

/// From the first bytes of a handshake to its end; it is between processes of one host.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);

/// Serves it until it ends.
pub(super) fn serve(inside: Inside) -> BoxFuture<'static, ()> {
    Box::pin(async move {
        let Inside { state, machine, target, client, seen, upstream } = inside;
        let broker = machine.broker();
        // Unbound in this moment: the program connects again.
        let Some(leaves) = broker.reads(&target) else { return };
        let config = match leaves.for_host(&target.host) {
            Ok(config) => config,
            Err(error) => {
                tracing::error!(project.id = %machine.project, %error, "no certificate for a host");
                return;
            }
        };
        let accepting = TlsAcceptor::from(config).accept(replayed(client, seen));
        let Ok(Ok(client)) = timeout(HANDSHAKE_TIMEOUT, accepting).await else {
            // It does not trust us, speaks HTTP/2 alone, or went away.
            Log::failed(&state, &machine, &target, Via::Https, "tls_failed");
            return;
        };
        let connection = Connection::new(state, machine, Some(Early::new(upstream)));
        let answer = |request| answer(&connection, request, &target);
        serve_requests(&connection, client, answer).await;
    })
}

/// Answers one request.
async fn answer(
    connection: &Connection,
    mut request: Request<Incoming>,
    target: &HostPort,
) -> Result<Response<Body>, ApiError> {
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
    let (mut parts, body) = request.into_parts();
    match broker.put_in(&mut parts, target) {
        Ok(secrets) => log.brokered(secrets),
        Err(why) => return Err(not_bound(&why, log)),
    }
    request = Request::from_parts(parts, body);
    let response = forward::forward(connection, request, target.clone(), log).await?;
    open_answer(&broker, &method, response).await
}
