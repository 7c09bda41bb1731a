//! Plain HTTP inside a connection where names decide: each of its requests must be for the host that
//! the connection was opened for, not the first alone. So they are read here and sent on one by one.

use super::{
    admit::admit,
    connection::{Body, Connection, Inside, replayed, serve_requests},
    forward,
    log::Log,
    refused::{refuse, without_placeholder},
    send,
};
use crate::{
    api_error::{ApiError, Code},
    records::egress_log::Via,
};
use futures_util::future::BoxFuture;
use http::{Request, Response, header, uri::Scheme};
use hyper::body::Incoming;
use toft_policy::{HostPort, InvalidHost, Verdict};

/// Serves it until it ends.
pub(super) fn serve(inside: Inside) -> BoxFuture<'static, ()> {
    Box::pin(async move {
        let Inside { state, machine, target, client, seen, upstream } = inside;
        let connection = Connection::new(state, machine, None);
        if send::adopt(&connection, &target, upstream).await.is_err() {
            return;
        }
        let answer = |request| answer(&connection, request, &target);
        serve_requests(&connection, replayed(client, seen), answer).await;
    })
}

/// Answers one request.
async fn answer(
    connection: &Connection,
    request: Request<Incoming>,
    target: &HostPort,
) -> Result<Response<Body>, ApiError> {
    connection.kept.aim(target);
    let log = admitted(connection, &request, target)?;
    let log = without_placeholder(&request, log)?;
    forward::forward(connection, request, target.clone(), log).await
}

/// Judges one request; it is for the connection's own host or it is refused.
fn admitted(
    connection: &Connection,
    request: &Request<Incoming>,
    target: &HostPort,
) -> Result<Log, ApiError> {
    if request.uri().scheme().is_some_and(|scheme| *scheme != Scheme::HTTP) {
        let message = "Only http:// is fetched here: use TLS itself for https://.";
        return Err(ApiError::new(Code::UseConnect, message));
    }
    for_its_host(connection, request, target, Via::Http)
}

/// Begins the line of a request that names no other host.
pub(super) fn for_its_host(
    connection: &Connection,
    request: &Request<Incoming>,
    target: &HostPort,
    via: Via,
) -> Result<Log, ApiError> {
    let default_port = if via == Via::Https { 443 } else { 80 };
    let named = hosts(request, default_port).find_map(|named| match named {
        Ok(named) if named.host == target.host && named.port == target.port => None,
        Ok(named) => Some(format!("the request is for {named}, not {target}")),
        Err(why) => Some(format!("the host of the request is not understood ({why})")),
    });
    if let Some(reason) = named {
        let verdict = Verdict::deny("host-mismatch", reason);
        let place = (target.host.to_string(), target.port);
        let mut error = refuse(&connection.state, &connection.machine, place, via, &verdict);
        if via == Via::Https {
            // A client that takes several hosts to be one asks again on a connection of its own.
            error.code = Code::WrongConnection;
        }
        return Err(error);
    }
    admit(&connection.state, &connection.machine, target, via)
}

/// Every host that a request names, with the port that it means.
pub(crate) fn hosts<B>(
    request: &Request<B>,
    default_port: u16,
) -> impl Iterator<Item = Result<HostPort, InvalidHost>> {
    let of_target = request.uri().authority().map(http::uri::Authority::as_str);
    let of_header = request
        .headers()
        .get_all(header::HOST)
        .iter()
        .map(|value| std::str::from_utf8(value.as_bytes()).map_err(|_| InvalidHost::NotAscii));
    of_target
        .into_iter()
        .map(Ok)
        .chain(of_header)
        .map(move |text| HostPort::parse(text?, Some(default_port)))
}
