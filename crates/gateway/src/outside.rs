//! Model calls of programs outside of all machines: HTTP on a unix socket that only the server can
//! reach. Who may call was judged there; what a call is, is the same as for machines.

use crate::{
    accept::is_ours,
    folder,
    lingering::Lingering,
    machine::{HEAD_BYTES_MAX, HEADERS_MAX},
    models::{self, Asker, OUTSIDE_CALLS_MAX, Outside},
    state::State,
};
use hyper::{Request, body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use std::{convert::Infallible, io, path::Path, sync::Arc, time::Duration};
use tokio::{
    io::AsyncWriteExt as _,
    net::{UnixListener, UnixStream},
    sync::Semaphore,
};

/// Says which project a call is booked on: the server's word, for a program with a key of that project.
pub const PROJECT_HEADER: &str = "x-toft-project";

/// Connections at once: the server makes one per call. More wait to be accepted.
const CONNECTIONS_MAX: usize = 2 * OUTSIDE_CALLS_MAX;

/// The server sends a head at once; this bounds a stuck one.
const HEAD_TIMEOUT: Duration = Duration::from_secs(30);

/// Pause after `accept` failed: time for descriptors to be closed.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Opens the socket and serves it until the gateway ends. Nothing is accepted before the server has
/// told what there is to call: who is early waits.
pub(crate) fn open(state: &Arc<State>, data_dir: &Path) -> io::Result<()> {
    let _where = state.models.enter();
    let listener = folder::bind_models(data_dir)?;
    let shared = Arc::clone(state);
    state.tasks.spawn(async move {
        let ends = shared.cancel.clone();
        let accept = async {
            shared.configured().await;
            accept_all(&shared, listener).await;
        };
        ends.run_until_cancelled(accept).await;
    });
    Ok(())
}

async fn accept_all(state: &Arc<State>, listener: UnixListener) {
    let outside = Arc::new(Outside::default());
    let places = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    loop {
        let place = Arc::clone(&places).acquire_owned().await;
        let place = place.expect("nobody closes this semaphore");
        match listener.accept().await {
            Ok((stream, _)) if is_ours(&stream) => {
                let (state, outside) = (Arc::clone(state), Arc::clone(&outside));
                state.tasks.clone().spawn(async move {
                    let ends = state.cancel.clone();
                    // Dropping the connection ends its call at the provider, too.
                    ends.run_until_cancelled(connection(&state, &outside, stream)).await;
                    drop(place);
                });
            }
            Ok(_) => tracing::warn!("a connection of another user was refused"),
            Err(e) => {
                tracing::warn!(error = %e, "a connection could not be accepted");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

async fn connection(state: &Arc<State>, outside: &Arc<Outside>, mut stream: UnixStream) {
    if stream.write_all(&[folder::MODELS_TAKEN]).await.is_err() {
        return;
    }
    let service = service_fn(|mut request: Request<Incoming>| {
        let project = request.headers_mut().remove(PROJECT_HEADER);
        let project = project.and_then(|id| id.to_str().ok()?.parse().ok());
        let asker = Asker::Outside(Arc::clone(outside), project);
        async move { Ok::<_, Infallible>(models::answer(state, asker, request).await) }
    });
    let served = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIMEOUT)
        .max_buf_size(HEAD_BYTES_MAX)
        .max_headers(HEADERS_MAX)
        .serve_connection(TokioIo::new(Lingering::new(stream)), service)
        .await;
    if let Err(e) = served {
        tracing::debug!(error = %e, "a connection from outside ended");
    }
}
