//! The doors of a machine: its listeners for the model API, for the egress proxy and for what goes
//! through none, opened and closed as the server says, each connection handed to who answers it.

use crate::{
    accept::{accept_all, behind},
    control::protocol::Reach,
    direct, egress,
    limits::bucket::Turns,
    lingering::Lingering,
    machine::{CONNECTIONS, HEADERS_MAX, Machine, Socket, datagrams, listening},
    models::{self, Asker},
    state::State,
};
use hyper::{server::conn::http1, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use std::{convert::Infallible, io, os::fd::OwnedFd, sync::Arc, time::Duration};
use toft_model::id::ProjectId;
use toft_policy::InvalidRule;
use toft_vault::Secret;
use tokio::{
    net::{TcpListener, TcpStream, UdpSocket},
    runtime::Handle,
    sync::Semaphore,
};
use tokio_util::sync::CancellationToken;

/// Connections to the model API of one machine: its calls, and kept idle ones. More wait to be
/// accepted.
const MODEL_CONNECTIONS_MAX: usize = 256;

/// A kept connection to the model API may idle for so long; longer than clients keep theirs (90 s),
/// so that no request meets a connection that is just being closed. Also bounds how slowly a
/// head may come in.
const MODEL_HEAD_TIMEOUT: Duration = Duration::from_mins(2);

/// Bytes that are read at once, and so of a head, too. A conversation that has grown for some turns is larger than
/// one read of 64 KiB, and each further one is a turn of two tasks and a write of its own (0.02 ms).
const MODEL_READ_BYTES_MAX: usize = 128 << 10;

/// Stack of a thread that only accepts: what it accepts is served elsewhere.
const DOOR_STACK_BYTES: usize = 256 << 10;

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
    reach: Reach,
    listeners: Vec<OwnedFd>,
) -> Result<(), OpenError> {
    let (doors, sockets) = Doors::of(listeners)?;
    let mut machines = state.machines();
    if let Some(known) = machines.get(project)
        && known.is_same(&token, &sockets)
    {
        // A new server adopts us: connections under way go on.
        known.set_egress(&state.config(), reach.egress)?;
        known.set_brokered(reach.brokered);
        return Ok(());
    }
    let cancel = state.cancel.child_token();
    let machine = Machine::new(project.clone(), token, reach, sockets, cancel.clone())?;
    let machine = Arc::new(machine);
    match machine.egress_log(&state.egress_logs) {
        Ok(log) => drop(state.tasks.spawn(Arc::clone(log).keep(cancel))),
        Err(error) => tracing::error!(project.id = %project, %error, "its way out has no log yet"),
    }
    if let Some(old) = machines.insert(project.clone(), Arc::clone(&machine)) {
        old.cancel.cancel();
    }
    drop(machines);
    tracing::info!(project.id = %project, "serving a machine");
    serve_models(state, &machine, doors.models)?;
    serve_egress(state, &machine, doors.proxy)?;
    match doors.direct {
        Some((listener, questions)) => Ok(serve_direct(state, &machine, listener, questions)?),
        None => Ok(()),
    }
}

/// The sockets of a machine.
struct Doors {
    models: TcpListener,
    proxy: TcpListener,
    /// For connections that go through no proxy, and for DNS.
    direct: Option<(TcpListener, UdpSocket)>,
}

impl Doors {
    fn of(descriptors: Vec<OwnedFd>) -> io::Result<(Self, Vec<Socket>)> {
        let (listeners, questions) = match <[OwnedFd; 4]>::try_from(descriptors) {
            Ok([models, proxy, direct, questions]) => {
                (vec![models, proxy, direct], Some(questions))
            }
            Err(two) => (two, None),
        };
        let mut sockets: Vec<Socket> =
            listeners.iter().map(listening).collect::<io::Result<_>>()?;
        let mut listeners = listeners.into_iter().map(listener);
        let mut next = || {
            let few = || io::Error::new(io::ErrorKind::InvalidInput, "two or four are needed");
            listeners.next().ok_or_else(few)?
        };
        let (models, proxy) = (next()?, next()?);
        let direct = match questions {
            Some(questions) => {
                sockets.push(datagrams(&questions)?);
                let questions = std::net::UdpSocket::from(questions);
                questions.set_nonblocking(true)?;
                Some((next()?, UdpSocket::from_std(questions)?))
            }
            None => None,
        };
        Ok((Self { models, proxy, direct }, sockets))
    }
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
    // Of its own: who floods the way out does not hold up the agent's calls.
    let turns = Turns::new(CONNECTIONS.0, CONNECTIONS.1);
    let cancel = machine.cancel.clone();
    on_own_thread(state, cancel, async move {
        accept_all(listener, limit, &turns, |stream, permit| {
            let state = Arc::clone(&shared);
            let Some(machine) = behind(&state, &machine) else { return };
            // From here on another runtime is told when there is something to read.
            let Ok(stream) = stream.into_std() else { return };
            let serve = async move {
                let Ok(stream) = TcpStream::from_std(stream) else { return };
                let cancel = machine.cancel.clone();
                let serve = serve_model_connection(state, machine, stream);
                // Dropping the connection ends its call at the provider, too.
                cancel.run_until_cancelled(serve).await;
                drop(permit);
            };
            shared.tasks.spawn_on(serve, &shared.models);
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
        accept_all(listener, limit, &machine.turns, |stream, permit| {
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

fn serve_direct(
    state: &Arc<State>,
    machine: &Arc<Machine>,
    listener: TcpListener,
    questions: UdpSocket,
) -> io::Result<()> {
    let (shared, machine) = (Arc::clone(state), Arc::clone(machine));
    let cancel = machine.cancel.clone();
    on_own_thread(state, cancel, async move {
        if let Err(error) = direct::serve(shared, machine, listener, questions).await {
            tracing::warn!(%error, "connections without a proxy are not served");
        }
    })
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
        let (state, asker) = (&state, Asker::Machine(Arc::clone(&machine)));
        async move { Ok::<_, Infallible>(models::answer(state, asker, request).await) }
    });
    let served = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(MODEL_HEAD_TIMEOUT)
        .max_buf_size(MODEL_READ_BYTES_MAX)
        .max_headers(HEADERS_MAX)
        .serve_connection(TokioIo::new(Lingering::new(stream)), service)
        .await;
    if let Err(e) = served {
        tracing::debug!(project.id = %machine.project, error = %e, "a model connection ended");
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
