//! Plain HTTP inside a connection where names decide: each of its requests must be for the host that
//! the connection was opened for, not the first alone. So they are read here and sent on one by one.

use super::{Connection, denied, forward, passage::admit, serve_requests};
use crate::{
    api_error::{ApiError, Code},
    egress_log::Via,
    machine::Machine,
    state::State,
};
use futures_util::future::BoxFuture;
use http::{Request, header, uri::Scheme};
use hyper::body::Incoming;
use std::sync::Arc;
use toft_policy::{HostPort, InvalidHost, Verdict};
use tokio::{io::AsyncReadExt as _, net::TcpStream};

/// Serves it until it ends. `seen`: what the client has sent so far.
pub(super) fn serve(
    state: Arc<State>,
    machine: Arc<Machine>,
    target: HostPort,
    client: TcpStream,
    seen: Vec<u8>,
    upstream: TcpStream,
) -> BoxFuture<'static, ()> {
    let connection = Connection::inside(state, machine, target.clone());
    Box::pin(async move {
        if forward::adopt(&connection, &target, upstream).await.is_err() {
            return;
        }
        let (read, write) = client.into_split();
        let client = tokio::io::join(std::io::Cursor::new(seen).chain(read), write);
        serve_requests(connection, client).await;
    })
}

/// Judges one request; it is for the connection's own host or it is refused.
pub(super) fn admitted(
    connection: &Connection,
    request: &Request<Incoming>,
    target: &HostPort,
) -> Result<super::log::Log, ApiError> {
    if request.uri().scheme().is_some_and(|scheme| *scheme != Scheme::HTTP) {
        let message = "Only http:// is fetched here: use TLS itself for https://.";
        return Err(ApiError::new(Code::UseConnect, message));
    }
    let named = hosts(request).find_map(|named| match named {
        Ok(named) if named.host == target.host && named.port == target.port => None,
        Ok(named) => Some(format!("the request is for {named}, not {target}")),
        Err(why) => Some(format!("the host of the request is not understood ({why})")),
    });
    if let Some(reason) = named {
        let verdict = Verdict::deny("host-mismatch", reason);
        let place = (target.host.to_string(), target.port);
        super::log::Log::refuse(&connection.state, &connection.machine, place, Via::Http, &verdict);
        return Err(denied(&verdict));
    }
    admit(&connection.state, &connection.machine, target, Via::Http)
}

/// Every host that a request names, with the port that it means.
fn hosts(request: &Request<Incoming>) -> impl Iterator<Item = Result<HostPort, InvalidHost>> {
    let of_target = request.uri().authority().map(http::uri::Authority::as_str);
    let of_header = request
        .headers()
        .get_all(header::HOST)
        .iter()
        .map(|value| std::str::from_utf8(value.as_bytes()).map_err(|_| InvalidHost::NotAscii));
    of_target.into_iter().map(Ok).chain(of_header).map(|text| HostPort::parse(text?, Some(80)))
}
