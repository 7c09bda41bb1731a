//! HTTP/2 within TLS that ends here: each stream is answered as a request of its own, and takes its turn
//! as a connection does, so that streams that are reset at once cost their program no less.

use super::{connection::Body, front::Front, tasks::Tasks};
use crate::machine::HEAD_BYTES_MAX;
use http::{Request, Response};
use hyper::{body::Incoming, server::conn::http2, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use std::{convert::Infallible, pin::pin, sync::Arc, time::Duration};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    time::timeout,
};

/// Requests of one connection at once: what the standard asks servers for at least (RFC 9113 §6.5.2).
const STREAMS_MAX: u32 = 100;
/// What a machine may send on a connection, and for one request, before the host has taken it.
const WINDOW_BYTES: u32 = 1 << 20;
/// See above.
const STREAM_WINDOW_BYTES: u32 = 256 << 10;
/// What waits for the machine to take it, of one answer.
const SEND_BYTES_MAX: usize = 64 << 10;
/// Streams that a client may have reset before they were looked at; more ends its connection.
const RESETS_MAX: usize = 20;
/// So long a connection that ends has to say so.
const GOODBYE: Duration = Duration::from_millis(500);

/// Serves it until it ends, or its host is no longer allowed.
pub(super) async fn serve(
    front: &Arc<Front>,
    client: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
) {
    let served = Arc::clone(front);
    let service = service_fn(move |request| answer(Arc::clone(&served), request));
    let machine = &front.connection.machine;
    let (tasks, _ends) = Tasks::new(&front.connection.state);
    let mut builder = http2::Builder::new(tasks);
    builder
        .timer(TokioTimer::new())
        .max_concurrent_streams(STREAMS_MAX)
        .initial_connection_window_size(WINDOW_BYTES)
        .initial_stream_window_size(STREAM_WINDOW_BYTES)
        .max_send_buf_size(SEND_BYTES_MAX)
        .max_pending_accept_reset_streams(RESETS_MAX)
        .max_header_list_size(u32::try_from(HEAD_BYTES_MAX).expect("it is small"));
    let mut connection = pin!(builder.serve_connection(TokioIo::new(client), service));
    tokio::select! {
        ended = connection.as_mut() => if let Err(error) = ended {
            tracing::debug!(project.id = %machine.project, %error, "an egress connection ended");
        },
        () = front.connection.tightened() => {
            // What is on its way is cut; then the client is told that no more is taken.
            front.connection.kept.end();
            connection.as_mut().graceful_shutdown();
            drop(timeout(GOODBYE, connection).await);
        }
    }
}

async fn answer(
    front: Arc<Front>,
    request: Request<Incoming>,
) -> Result<Response<Body>, Infallible> {
    front.connection.machine.turns.next().await;
    Ok(front.connection.told(front.answer(request).await).await)
}
