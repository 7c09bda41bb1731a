//! The connection to a host: opened when a request needs it, used again for the next one.

use super::{
    admit::connect,
    connection::Connection,
    kept::{RequestBody, Sender},
    log::Log,
    tasks::Tasks,
};
use crate::{
    api_error::{ApiError, Code},
    brokered::Protocol,
    machine::{HEAD_BYTES_MAX, HEADERS_MAX},
};
use http::{Request, Response};
use hyper::{
    body::Incoming,
    client::conn::{http1, http2},
    rt::Executor as _,
};
use hyper_util::rt::{TokioIo, TokioTimer};
use std::time::Duration;
use toft_policy::HostPort;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
};

/// A host that says nothing for so long is gone.
pub(super) const IDLE_TIMEOUT: Duration = Duration::from_mins(5);
/// What a host may send on a connection, and for one answer, before the machine has taken it: half of
/// what a download over a long way would like, and all that one connection can make the gateway hold.
const WINDOW_BYTES: u32 = 2 << 20;
/// See above.
const STREAM_WINDOW_BYTES: u32 = 1 << 20;
/// What waits for the host to take it, of one request.
const SEND_BYTES_MAX: usize = 64 << 10;

/// Sends a request on the connection that is kept, or a new one; the head of the answer.
pub(super) async fn send(
    connection: &Connection,
    target: &HostPort,
    request: Request<RequestBody>,
    log: &mut Log,
) -> Result<Response<Incoming>, ApiError> {
    let mut request = Some(request);
    let mut sender = connection.kept.take_sender(target);
    loop {
        let reused = sender.is_some();
        let mut ready = match sender.take() {
            Some(sender) => sender,
            None => open(connection, target, log).await?,
        };
        let sending = request.take().expect("it comes back when it was not sent");
        let sent = async {
            if ready.ready().await.is_err() {
                return Err((None, Some(sending)));
            }
            ready.send(sending).await.map_err(|mut e| {
                let unsent = e.take_message();
                (Some(e.into_error()), unsent)
            })
        };
        match tokio::time::timeout(IDLE_TIMEOUT, sent).await {
            Ok(Ok(response)) => {
                if let Sender::Http1(_) = &ready {
                    connection.kept.give_back(ready);
                }
                return Ok(response);
            }
            // The host closed a kept connection before the request went out: once more, afresh.
            Ok(Err((_, Some(unsent)))) if reused => request = Some(unsent),
            Ok(Err((why, _))) => {
                let why =
                    why.map_or_else(|| "it closed the connection".to_owned(), |e| e.to_string());
                let message = format!("{target} broke the connection ({why}).");
                log.fail("cut");
                return Err(ApiError::new(Code::UpstreamUnreachable, message));
            }
            Err(_) => {
                log.fail("idle_timeout");
                let message = format!("{target} did not answer within 300 s.");
                return Err(ApiError::new(Code::UpstreamTimeout, message));
            }
        }
    }
}

async fn open(
    connection: &Connection,
    target: &HostPort,
    log: &mut Log,
) -> Result<Sender, ApiError> {
    let _opening = connection.kept.opening.lock().await;
    // Another request may have opened one meanwhile.
    if let Some(sender) = connection.kept.take_sender(target) {
        return Ok(sender);
    }
    let Some(tls) = &connection.tls else {
        let stream = connect(&connection.state, &connection.machine, target, log).await?;
        let shaken = shake(connection, target, stream, Protocol::Http1).await;
        return shaken.inspect_err(|e| log.fail(e.code.as_str()));
    };
    let secured = if let Some(early) = tls.take() {
        early
    } else {
        let stream = connect(&connection.state, &connection.machine, target, log).await?;
        connection.state.roots.connect(target, stream, &[tls.protocol]).await
    };
    let shaken = async {
        let secured = secured?;
        if secured.protocol != tls.protocol {
            let message = format!("{target} no longer speaks HTTP/2.");
            return Err(ApiError::new(Code::UpstreamUnreachable, message));
        }
        shake(connection, target, secured.stream, secured.protocol).await
    };
    shaken.await.inspect_err(|e| log.fail(e.code.as_str()))
}

/// Uses a connection that is there already.
pub(super) async fn adopt(
    connection: &Connection,
    target: &HostPort,
    stream: TcpStream,
) -> Result<(), ApiError> {
    let sender = shake(connection, target, stream, Protocol::Http1).await?;
    connection.kept.give_back(sender);
    Ok(())
}

async fn shake(
    connection: &Connection,
    target: &HostPort,
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    protocol: Protocol,
) -> Result<Sender, ApiError> {
    let broke = |e: hyper::Error| {
        let message = format!("{target} broke the connection ({e}).");
        ApiError::new(Code::UpstreamUnreachable, message)
    };
    // It ends with the client's connection, or when the next target takes its place; its failures
    // reach us through the sender.
    let (tasks, owner) = Tasks::new(&connection.state);
    let sender = match protocol {
        Protocol::Http1 => {
            let mut builder = http1::Builder::new();
            builder.max_buf_size(HEAD_BYTES_MAX).max_headers(HEADERS_MAX);
            let (sender, driver) = builder.handshake(TokioIo::new(stream)).await.map_err(broke)?;
            tasks.execute(driver.with_upgrades());
            Sender::Http1(sender)
        }
        Protocol::Http2 => {
            let mut builder = http2::Builder::new(tasks.clone());
            builder
                .timer(TokioTimer::new())
                .initial_connection_window_size(WINDOW_BYTES)
                .initial_stream_window_size(STREAM_WINDOW_BYTES)
                .max_send_buf_size(SEND_BYTES_MAX)
                .max_header_list_size(u32::try_from(HEAD_BYTES_MAX).expect("it is small"));
            let (sender, driver) = builder.handshake(TokioIo::new(stream)).await.map_err(broke)?;
            tasks.execute(driver);
            Sender::Http2(sender)
        }
    };
    connection.kept.hold(target, owner);
    if let Sender::Http2(shared) = &sender {
        connection.kept.give_back(Sender::Http2(shared.clone()));
    }
    Ok(sender)
}
