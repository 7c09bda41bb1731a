//! One machine as the gateway knows it: its token, its egress level, its share of the gateway. Not
//! the serving of its two listeners: that is `doors`.

use crate::protocol::MachineEntry;
use rustix::fs::fstat;
use std::{
    io,
    os::fd::{AsFd, OwnedFd},
    sync::{Arc, Mutex, PoisonError},
};
use toft_model::{id::ProjectId, machine::EgressLevel};
use toft_policy::{Egress, InvalidRule};
use toft_vault::Secret;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio_util::sync::CancellationToken;

/// Model calls of one machine at once: many agents with sub-agents, no runaway loop.
pub(crate) const MODEL_CALLS_MAX: usize = 64;

/// Connections through the egress proxy of one machine: `npm install` opens some 50. More wait.
pub(crate) const EGRESS_CONNECTIONS_MAX: usize = 512;

/// Bytes of a request's head, and of reads: SDKs send 2 KiB.
pub(crate) const HEAD_BYTES_MAX: usize = 64 * 1024;

/// Headers of a request.
pub(crate) const HEADERS_MAX: usize = 100;

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
pub(crate) type Socket = (u64, u64);

impl Machine {
    /// Not yet served by anybody.
    pub(crate) fn new(
        project: ProjectId,
        token: Secret,
        level: EgressLevel,
        sockets: Vec<Socket>,
        cancel: CancellationToken,
    ) -> Result<Self, InvalidRule> {
        Ok(Self {
            project,
            token,
            egress: watch::Sender::new(Arc::new(Egress::new(&level)?)),
            level: Mutex::new(level),
            model_calls: Arc::new(Semaphore::new(MODEL_CALLS_MAX)),
            egress_connections: Arc::new(Semaphore::new(EGRESS_CONNECTIONS_MAX)),
            sockets,
            cancel,
        })
    }

    /// Whether these are its token and its sockets.
    pub(crate) fn is_same(&self, token: &Secret, sockets: &[Socket]) -> bool {
        self.sockets == sockets && self.token.matches(token.expose().as_bytes())
    }

    /// Whether another one's listeners are this one's.
    pub(crate) fn shares_sockets(&self, other: &Self) -> bool {
        self.sockets == other.sockets
    }

    /// Changes what a machine may reach.
    pub(crate) fn set_egress(&self, level: EgressLevel) -> Result<(), InvalidRule> {
        let egress = Egress::new(&level)?;
        *self.level.lock().unwrap_or_else(PoisonError::into_inner) = level;
        self.egress.send_if_modified(|current| {
            let changes = **current != egress;
            if changes {
                *current = Arc::new(egress);
            }
            changes
        });
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

    /// Places for connections through the egress proxy.
    pub(crate) fn egress_connections(&self) -> Arc<Semaphore> {
        Arc::clone(&self.egress_connections)
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
}

/// The socket behind a descriptor, which must listen.
pub(crate) fn socket(fd: &OwnedFd) -> io::Result<Socket> {
    if !rustix::net::sockopt::socket_acceptconn(fd.as_fd())? {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "it does not listen"));
    }
    let stat = fstat(fd)?;
    Ok((stat.st_dev, stat.st_ino))
}
