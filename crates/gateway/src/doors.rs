//! The two doors of a machine: its listeners for the model API and for the egress proxy, opened
//! and closed as the server says, each connection handed to who answers it.

use crate::{
    egress,
    machine::{HEAD_BYTES_MAX, HEADERS_MAX, Machine, Socket, socket},
    models::{self, Asker},
    state::State,
};
use hyper::{server::conn::http1, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use std::{convert::Infallible, io, os::fd::OwnedFd, sync::Arc, time::Duration};
use toft_model::{id::ProjectId, machine::EgressLevel};
use toft_policy::InvalidRule;
use toft_vault::Secret;
use tokio::{
    net::{TcpListener, TcpStream},
    runtime::Handle,
    sync::{OwnedSemaphorePermit, Semaphore},
};
use tokio_util::sync::CancellationToken;

/// Connections to the model API of one machine: its calls, and kept idle ones. More wait to be
/// accepted.
const MODEL_CONNECTIONS_MAX: usize = 256;

/// A kept connection to the model API may idle for so long; longer than clients keep theirs (90 s),
/// so that no request meets a connection that is just being closed. Also bounds how slowly a
/// head may come in.
const MODEL_HEAD_TIMEOUT: Duration = Duration::from_mins(2);

/// Stack of a thread that only accepts: what it accepts is served elsewhere.
const DOOR_STACK_BYTES: usize = 256 << 10;

/// Pause after `accept` failed (no descriptors left): time for some to be closed.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Why a machine could not be taken.
#[derive(Debug, thiserror::Error)]
pub(crate) enum OpenError {
    #[error("{0}")]
    Rule(#[from] InvalidRule),
    #[error("a listener of the machine cannot be used: {0}")]
    Listener(#[from] io::Error),
}

/// Begins to serve a machine, or goes on when it is served already.
pub(crate) fn open(
    state: &Arc<State>,
    project: &ProjectId,
    token: Secret,
    level: EgressLevel,
    listeners: Vec<OwnedFd>,
) -> Result<(), OpenError> {
    let sockets: Vec<Socket> = listeners.iter().map(socket).collect::<io::Result<_>>()?;
    let mut machines = state.machines();
    if let Some(known) = machines.get(project)
        && known.is_same(&token, &sockets)
    {
        // A new server adopts us: connections under way go on.
        return Ok(known.set_egress(level)?);
    }
    let mut listeners = listeners.into_iter().map(listener);
    let (Some(models), Some(proxy)) = (listeners.next(), listeners.next()) else {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "two are needed").into());
    };
    let (models, proxy) = (models?, proxy?);
    let cancel = state.cancel.child_token();
    let machine = Arc::new(Machine::new(project.clone(), token, level, sockets, cancel)?);
    if let Some(old) = machines.insert(project.clone(), Arc::clone(&machine)) {
        old.cancel.cancel();
    }
    drop(machines);
    tracing::info!(project.id = %project, "serving a machine");
    serve_models(state, &machine, models)?;
    serve_egress(state, &machine, proxy)?;
    Ok(())
}

/// Stops serving a machine. Unknown: does nothing.
pub(crate) fn close(state: &State, project: &ProjectId) {
    if let Some(machine) = state.machines().remove(project) {
        machine.cancel.cancel();
        tracing::info!(project.id = %project, "no longer serving a machine");
    }
}

fn serve_models(
    state: &Arc<State>,
    machine: &Arc<Machine>,
    listener: TcpListener,
) -> io::Result<()> {
    let (machine, shared) = (Arc::clone(machine), Arc::clone(state));
    let limit = Arc::new(Semaphore::new(MODEL_CONNECTIONS_MAX));
    let cancel = machine.cancel.clone();
    on_own_thread(state, cancel, async move {
        accept_all(listener, limit, |stream, permit| {
            let state = Arc::clone(&shared);
            let Some(machine) = behind(&state, &machine) else { return };
            shared.tasks.spawn(async move {
                let cancel = machine.cancel.clone();
                let serve = serve_model_connection(state, machine, stream);
                // Dropping the connection ends its call at the provider, too.
                cancel.run_until_cancelled(serve).await;
                drop(permit);
            });
        })
        .await;
    })
}

fn serve_egress(
    state: &Arc<State>,
    machine: &Arc<Machine>,
    listener: TcpListener,
) -> io::Result<()> {
    let (machine, shared) = (Arc::clone(machine), Arc::clone(state));
    let limit = machine.egress_connections();
    let cancel = machine.cancel.clone();
    on_own_thread(state, cancel, async move {
        accept_all(listener, limit, |stream, permit| {
            let state = Arc::clone(&shared);
            let Some(machine) = behind(&state, &machine) else { return };
            shared.tasks.spawn(async move {
                let cancel = machine.cancel.clone();
                let serve = egress::serve_connection(state, machine, stream, permit);
                cancel.run_until_cancelled(serve).await;
            });
        })
        .await;
    })
}

/// Whose a connection is that was just accepted. A door that closes may still have taken one that
/// was made for the next door on the same listener: it is passed on.
fn behind(state: &State, machine: &Arc<Machine>) -> Option<Arc<Machine>> {
    if !machine.cancel.is_cancelled() {
        return Some(Arc::clone(machine));
    }
    let machines = state.machines();
    machines.get(&machine.project).filter(|next| next.shares_sockets(machine)).cloned()
}

/// Accepts on a thread of its own. The machine's init has the same sockets, and whoever is init
/// there can make them wait instead of saying that nobody comes: then it is this thread that waits,
/// not one that serves other machines.
fn on_own_thread(
    state: &State,
    cancel: CancellationToken,
    accept: impl Future<Output = ()> + Send + 'static,
) -> io::Result<()> {
    let (runtime, counted) = (Handle::current(), state.tasks.token());
    std::thread::Builder::new().name("toft-door".to_owned()).stack_size(DOOR_STACK_BYTES).spawn(
        move || {
            runtime.block_on(cancel.run_until_cancelled(accept));
            drop(counted);
        },
    )?;
    Ok(())
}

async fn serve_model_connection(state: Arc<State>, machine: Arc<Machine>, stream: TcpStream) {
    let service = service_fn(|request| {
        let (state, machine) = (&state, &machine);
        async move { Ok::<_, Infallible>(models::answer(state, Asker::Machine(machine), request).await) }
    });
    let served = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(MODEL_HEAD_TIMEOUT)
        .max_buf_size(HEAD_BYTES_MAX)
        .max_headers(HEADERS_MAX)
        .serve_connection(TokioIo::new(stream), service)
        .await;
    if let Err(e) = served {
        tracing::debug!(project.id = %machine.project, error = %e, "a model connection ended");
    }
}

/// Accepts for ever; a permit goes with each connection, and without one nothing is accepted.
async fn accept_all(
    listener: TcpListener,
    limit: Arc<Semaphore>,
    mut each: impl FnMut(TcpStream, OwnedSemaphorePermit),
) {
    loop {
        // Only waited for here: a permit counts for a connection, not for being ready for one.
        drop(limit.acquire().await);
        match listener.accept().await {
            Ok((stream, _)) => {
                let permit = Arc::clone(&limit).try_acquire_owned();
                let permit = permit.expect("nobody else takes permits, and one was free");
                // Without it small frames wait for acknowledgements; it fails on dead sockets only.
                let _ = stream.set_nodelay(true);
                each(stream, permit);
                // Whoever ends this is heard between two connections, too.
                tokio::task::yield_now().await;
            }
            Err(e) => {
                tracing::warn!(error = %e, "a connection could not be accepted");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

fn listener(fd: OwnedFd) -> io::Result<TcpListener> {
    let listener = std::net::TcpListener::from(fd);
    listener.set_nonblocking(true)?;
    TcpListener::from_std(listener)
}

#[cfg(test)]
mod tests {
    use crate::testing::{Bench, ask, status};
    use toft_model::machine::EgressLevel::Open;

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn a_machine_that_makes_its_sockets_wait_holds_up_nobody_else() {
        let bench = Bench::start().await;
        let (bad, good) = (bench.machine(Open).await, bench.machine(Open).await);
        bad.block();
        let request = || "GET / HTTP/1.1\r\nhost: g\r\nconnection: close\r\n\r\n".to_owned();
        // Both are accepted; then somebody waits for the next.
        for address in [bad.models, bad.proxy] {
            assert!(status(&ask(address, request()).await.0) >= 400);
        }
        for address in [good.models, good.proxy] {
            assert!(status(&ask(address, request()).await.0) >= 400);
        }
        bench.gateway.remove_machine(&bad.project).await.unwrap();
        for address in [bad.models, bad.proxy] {
            // Whoever waits sees that it is over.
            let _ = tokio::net::TcpStream::connect(address).await;
        }
        bench.end().await;
    }
}
