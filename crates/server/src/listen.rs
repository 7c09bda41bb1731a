//! Accepting connections and serving HTTP/1.1 on them, until the server ends.

use crate::{error::ServerError, stalled::Stalled};
use axum::{body::Body, extract::Request, response::Response};
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use std::{
    convert::Infallible,
    io,
    net::{IpAddr, SocketAddr},
    sync::Arc,
    time::Duration,
};
use toft_gateway::Lingering;
use tokio::{
    net::{TcpListener, TcpStream},
    sync::Semaphore,
    time::{sleep, timeout},
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

/// Connections at once, if the process may have so many files open.
pub(crate) const CONNECTIONS_MAX: usize = 16_384;
/// Descriptors for everything else: databases, machines, the gateway, files on their way.
const DESCRIPTORS_KEPT: u64 = 1_024;
/// Also with a low limit: each is a tab with its streams.
const CONNECTIONS_MIN: u64 = 256;

/// How many there may be with so many open files.
pub(crate) fn connections(open_files: u64) -> usize {
    let left = open_files.saturating_sub(DESCRIPTORS_KEPT).max(open_files * 3 / 4);
    usize::try_from(left.max(CONNECTIONS_MIN))
        .map_or(CONNECTIONS_MAX, |left| left.min(CONNECTIONS_MAX))
}

/// How long a client may take to send a request's head; also how long a connection may idle.
const HEAD_TIMEOUT: Duration = Duration::from_mins(1);
/// Request heads: cookies of apps add up.
const HEAD_BYTES_MAX: usize = 64 << 10;
/// How long connections may take to finish what they are at when the server ends.
const FINISH_TIMEOUT: Duration = Duration::from_secs(2);
/// Pause when the process has no descriptors left.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Where a request came from.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Peer(pub(crate) IpAddr);

/// Takes the address.
pub(crate) async fn bind(addr: SocketAddr) -> Result<TcpListener, ServerError> {
    TcpListener::bind(addr).await.map_err(|source| match source.kind() {
        io::ErrorKind::AddrInUse => ServerError::PortInUse { addr },
        _ => ServerError::Listen { addr, source },
    })
}

/// Serves until `ends`, then lets requests finish; each connection is one of `tasks`.
pub(crate) async fn serve<A, F>(
    tasks: TaskTracker,
    listener: TcpListener,
    connections_max: usize,
    ends: CancellationToken,
    answer: A,
) where
    A: Fn(Request) -> F + Clone + Send + Sync + 'static,
    F: Future<Output = Response> + Send + 'static,
{
    let slots = Arc::new(Semaphore::new(connections_max));
    loop {
        let accepted = tokio::select! {
            () = ends.cancelled() => return,
            accepted = accept(&listener, &slots) => accepted,
        };
        match accepted {
            Ok((stream, peer, slot)) => {
                let (ends, answer) = (ends.clone(), answer.clone());
                tasks.spawn(async move {
                    connection(ends, answer, stream, peer.ip()).await;
                    drop(slot);
                });
            }
            Err(error) => {
                tracing::warn!(%error, "a connection could not be taken");
                sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

async fn accept(
    listener: &TcpListener,
    slots: &Arc<Semaphore>,
) -> io::Result<(TcpStream, SocketAddr, tokio::sync::OwnedSemaphorePermit)> {
    let slot = Arc::clone(slots).acquire_owned().await.map_err(io::Error::other)?;
    let (stream, peer) = listener.accept().await?;
    Ok((stream, peer, slot))
}

async fn connection<A, F>(ends: CancellationToken, answer: A, stream: TcpStream, peer: IpAddr)
where
    A: Fn(Request) -> F + Send + Sync,
    F: Future<Output = Response> + Send,
{
    // Deltas are small and must not wait for each other; a failure only makes it slower.
    let _ = stream.set_nodelay(true);
    let service = service_fn(|req: hyper::Request<Incoming>| {
        let mut req: Request = req.map(Body::new);
        req.extensions_mut().insert(Peer(peer));
        // On the heap, and gone when it has answered: what serves the connection has room for it as long as that
        // lasts, and a stream lasts for hours.
        let answered = Box::pin(answer(req));
        async { Ok::<_, Infallible>(answered.await) }
    });
    let serving = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIMEOUT)
        .max_buf_size(HEAD_BYTES_MAX.max(8192))
        .serve_connection(TokioIo::new(Lingering::new(Stalled::new(stream))), service)
        .with_upgrades();
    tokio::pin!(serving);
    tokio::select! {
        // A client that breaks off is not worth a line.
        _ = serving.as_mut() => return,
        () = ends.cancelled() => serving.as_mut().graceful_shutdown(),
    }
    let _ = timeout(FINISH_TIMEOUT, serving).await;
}
