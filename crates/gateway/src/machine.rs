//! One machine's door: its two listeners, its token, its egress level, its share of the gateway.

use crate::{egress, models, protocol::MachineEntry, secret::Secret, state::State};
use hyper::{server::conn::http1, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use rustix::fs::fstat;
use std::{
    convert::Infallible,
    io,
    os::fd::{AsFd, OwnedFd},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};
use toft_model::{id::ProjectId, machine::EgressLevel};
use toft_policy::{Egress, InvalidRule};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::{OwnedSemaphorePermit, Semaphore, watch},
};
use tokio_util::sync::CancellationToken;

/// Model calls of one machine at once: many agents with sub-agents, no runaway loop.
pub(crate) const MODEL_CALLS_MAX: usize = 64;

/// Connections to the model API of one machine: its calls, and kept idle ones. More wait to be
/// accepted.
const MODEL_CONNECTIONS_MAX: usize = 256;

/// Connections through the egress proxy of one machine: `npm install` opens some 50. More wait.
pub(crate) const EGRESS_CONNECTIONS_MAX: usize = 512;

/// A kept connection to the model API may idle for so long; longer than clients keep theirs (90 s),
/// so that no request meets a connection that is just being closed. Also bounds how slowly a
/// head may come in.
const MODEL_HEAD_TIMEOUT: Duration = Duration::from_mins(2);

/// Bytes of a request's head, and of reads: SDKs send 2 KiB.
pub(crate) const HEAD_BYTES_MAX: usize = 64 * 1024;

/// Headers of a request.
pub(crate) const HEADERS_MAX: usize = 100;

/// Pause after `accept` failed (no descriptors left): time for some to be closed.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// See the module.
pub(crate) struct Machine {
    pub(crate) project: ProjectId,
    pub(crate) token: Secret,
    level: Mutex<EgressLevel>,
    egress: watch::Sender<Arc<Egress>>,
    model_calls: Arc<Semaphore>,
    egress_connections: Arc<Semaphore>,
    sockets: Vec<Socket>,
    /// Ends its listeners and connections.
    pub(crate) cancel: CancellationToken,
}

/// Which socket a descriptor means, whatever its number.
type Socket = (u64, u64);

/// Why a machine could not be taken.
#[derive(Debug, thiserror::Error)]
pub(crate) enum AddError {
    #[error("{0}")]
    Rule(#[from] InvalidRule),
    #[error("a listener of the machine cannot be used: {0}")]
    Listener(#[from] io::Error),
}

impl Machine {
    /// Begins to serve a machine, or goes on when it is served already.
    pub(crate) fn add(
        state: &Arc<State>,
        project: &ProjectId,
        token: Secret,
        level: EgressLevel,
        listeners: Vec<OwnedFd>,
    ) -> Result<(), AddError> {
        let egress = Egress::new(&level)?;
        let sockets: Vec<Socket> = listeners.iter().map(socket).collect::<io::Result<_>>()?;
        let mut machines = state.machines();
        if let Some(known) = machines.get(project)
            && known.sockets == sockets
            && known.token.matches(token.expose().as_bytes())
        {
            // A new server adopts us: connections under way go on.
            known.set_level(level, egress);
            return Ok(());
        }
        let mut listeners = listeners.into_iter().map(listener);
        let (Some(models), Some(proxy)) = (listeners.next(), listeners.next()) else {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "two are needed").into());
        };
        let (models, proxy) = (models?, proxy?);
        let machine = Arc::new(Self {
            project: project.clone(),
            token,
            level: Mutex::new(level),
            egress: watch::Sender::new(Arc::new(egress)),
            model_calls: Arc::new(Semaphore::new(MODEL_CALLS_MAX)),
            egress_connections: Arc::new(Semaphore::new(EGRESS_CONNECTIONS_MAX)),
            sockets,
            cancel: state.cancel.child_token(),
        });
        if let Some(old) = machines.insert(project.clone(), Arc::clone(&machine)) {
            old.cancel.cancel();
        }
        drop(machines);
        tracing::info!(project.id = %project, "serving a machine");
        machine.serve_models(state, models);
        machine.serve_egress(state, proxy);
        Ok(())
    }

    /// Stops serving a machine. Unknown: does nothing.
    pub(crate) fn remove(state: &State, project: &ProjectId) {
        if let Some(machine) = state.machines().remove(project) {
            machine.cancel.cancel();
            tracing::info!(project.id = %project, "no longer serving a machine");
        }
    }

    fn set_level(&self, level: EgressLevel, egress: Egress) {
        *self.level.lock().unwrap_or_else(PoisonError::into_inner) = level;
        self.egress.send_if_modified(|current| {
            let changes = **current != egress;
            if changes {
                *current = Arc::new(egress);
            }
            changes
        });
    }

    /// Changes what a machine may reach.
    pub(crate) fn set_egress(&self, level: EgressLevel) -> Result<(), InvalidRule> {
        let egress = Egress::new(&level)?;
        self.set_level(level, egress);
        Ok(())
    }

    /// What it may reach, now and whenever that changes.
    pub(crate) fn egress(&self) -> watch::Receiver<Arc<Egress>> {
        self.egress.subscribe()
    }

    /// Leave to make one model call; `None` when there are too many.
    pub(crate) fn model_call(&self) -> Option<OwnedSemaphorePermit> {
        Arc::clone(&self.model_calls).try_acquire_owned().ok()
    }

    pub(crate) fn entry(&self) -> MachineEntry {
        MachineEntry {
            project: self.project.clone(),
            egress: self.level.lock().unwrap_or_else(PoisonError::into_inner).clone(),
            model_calls: MODEL_CALLS_MAX - self.model_calls.available_permits(),
            egress_connections: EGRESS_CONNECTIONS_MAX
                - self.egress_connections.available_permits(),
        }
    }

    fn serve_models(self: &Arc<Self>, state: &Arc<State>, listener: TcpListener) {
        let (machine, shared) = (Arc::clone(self), Arc::clone(state));
        let limit = Arc::new(Semaphore::new(MODEL_CONNECTIONS_MAX));
        let cancel = self.cancel.clone();
        state.tasks.spawn(async move {
            let accept = accept_all(listener, limit, |stream, permit| {
                let (state, machine) = (Arc::clone(&shared), Arc::clone(&machine));
                shared.tasks.spawn(async move {
                    let cancel = machine.cancel.clone();
                    let serve = serve_model_connection(state, machine, stream);
                    // Dropping the connection ends its call at the provider, too.
                    cancel.run_until_cancelled(serve).await;
                    drop(permit);
                });
            });
            cancel.run_until_cancelled(accept).await;
        });
    }

    fn serve_egress(self: &Arc<Self>, state: &Arc<State>, listener: TcpListener) {
        let (machine, shared) = (Arc::clone(self), Arc::clone(state));
        let limit = Arc::clone(&self.egress_connections);
        let cancel = self.cancel.clone();
        state.tasks.spawn(async move {
            let accept = accept_all(listener, limit, |stream, permit| {
                let (state, machine) = (Arc::clone(&shared), Arc::clone(&machine));
                shared.tasks.spawn(async move {
                    let cancel = machine.cancel.clone();
                    let serve = egress::serve_connection(state, machine, stream, permit);
                    cancel.run_until_cancelled(serve).await;
                });
            });
            cancel.run_until_cancelled(accept).await;
        });
    }
}

async fn serve_model_connection(state: Arc<State>, machine: Arc<Machine>, stream: TcpStream) {
    let service = service_fn(|request| {
        let (state, machine) = (&state, &machine);
        async move { Ok::<_, Infallible>(models::answer(state, machine, request).await) }
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
            }
            Err(e) => {
                tracing::warn!(error = %e, "a connection could not be accepted");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

fn socket(fd: &OwnedFd) -> io::Result<Socket> {
    if !rustix::net::sockopt::socket_acceptconn(fd.as_fd())? {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "it does not listen"));
    }
    let stat = fstat(fd)?;
    Ok((stat.st_dev, stat.st_ino))
}

fn listener(fd: OwnedFd) -> io::Result<TcpListener> {
    let listener = std::net::TcpListener::from(fd);
    listener.set_nonblocking(true)?;
    TcpListener::from_std(listener)
}
