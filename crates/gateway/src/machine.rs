//! One machine as the gateway knows it: its token, its egress level, its share of the gateway. Not
//! the serving of its listeners: that is `doors`.

mod echoes;
mod open;

pub(crate) use echoes::Echoes;
pub(crate) use open::{Bytes, Open};

use crate::{
    brokered::{Broker, Brokered},
    control::protocol::{MachineEntry, Reach},
    limits::bucket::Turns,
    records::egress_log::{EgressLog, EgressLogs, OpenConnection},
    resolve::MACHINE_LOOKUPS_MAX,
    understood::Config,
};
use rustix::{
    fs::fstat,
    net::{AddressFamily, SocketType, sockopt},
};
use std::{
    collections::BTreeMap,
    io,
    os::fd::{AsFd, OwnedFd},
    sync::{
        Arc, Mutex, MutexGuard, OnceLock, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
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

/// Connections of one machine that go through no proxy: as many.
pub(crate) const DIRECT_CONNECTIONS_MAX: usize = EGRESS_CONNECTIONS_MAX;

/// Connections of one machine that speak HTTP/2 with the gateway, each of which holds up to 100 requests;
/// what is more is offered HTTP/1.1.
const HTTP2_CONNECTIONS_MAX: usize = 32;

/// Connections of one machine per second, in the long run and at once, and what is refused on those that are
/// kept. Builds open some hundred together. A program that does nothing but be refused then takes a seventh of
/// a processor at most (measured with 32 threads for 10 s by each way, the gateway built without
/// optimisation: 0.1 ms for a connection), and not a whole one from all other machines.
pub(crate) const CONNECTIONS: (u32, u32) = (1_000, 2_000);

/// The same of questions for names, which take 0.02 ms each.
const QUESTIONS: (u32, u32) = (5_000, 5_000);

/// Connections of one machine that are moved within the kernel: some downloads, both ways.
const PIPES_MAX: usize = 8;

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
    broker: Mutex<Arc<Broker>>,
    model_calls: Arc<Semaphore>,
    egress_connections: Arc<Semaphore>,
    direct_connections: Arc<Semaphore>,
    http2_connections: Arc<Semaphore>,
    /// At the door, but for models.
    pub(crate) turns: Turns,
    /// For questions for names.
    pub(crate) questions: Turns,
    /// Values that came back.
    pub(crate) echoes: Echoes,
    lookups: Arc<Semaphore>,
    pipes: Arc<Semaphore>,
    /// Connections that are open, by number.
    open: Mutex<BTreeMap<u64, Open>>,
    next_open: AtomicU64,
    /// The log of its way out, once it could be opened.
    egress_log: OnceLock<Arc<EgressLog>>,
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
        reach: Reach,
        sockets: Vec<Socket>,
        cancel: CancellationToken,
    ) -> Result<Self, InvalidRule> {
        let Reach { egress, brokered } = reach;
        Ok(Self {
            egress: watch::Sender::new(Arc::new(Egress::new(&egress)?)),
            level: Mutex::new(egress),
            broker: Mutex::new(Arc::new(Broker::new(&project, brokered))),
            project,
            token,
            model_calls: Arc::new(Semaphore::new(MODEL_CALLS_MAX)),
            egress_connections: Arc::new(Semaphore::new(EGRESS_CONNECTIONS_MAX)),
            direct_connections: Arc::new(Semaphore::new(DIRECT_CONNECTIONS_MAX)),
            http2_connections: Arc::new(Semaphore::new(HTTP2_CONNECTIONS_MAX)),
            echoes: Echoes::default(),
            turns: Turns::new(CONNECTIONS.0, CONNECTIONS.1),
            questions: Turns::new(QUESTIONS.0, QUESTIONS.1),
            lookups: Arc::new(Semaphore::new(MACHINE_LOOKUPS_MAX)),
            pipes: Arc::new(Semaphore::new(PIPES_MAX)),
            open: Mutex::default(),
            next_open: AtomicU64::new(1),
            egress_log: OnceLock::new(),
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

    /// Changes what a machine may reach; how many open connections that ends.
    pub(crate) fn set_egress(
        &self,
        config: &Config,
        level: EgressLevel,
    ) -> Result<usize, InvalidRule> {
        let egress = Arc::new(Egress::new(&level)?);
        *self.level.lock().unwrap_or_else(PoisonError::into_inner) = level;
        // Each of them sees it by itself, and is counted before it has gone.
        let open = self.open();
        let cut = open.values().filter(|open| !open.may_go_on(config, &egress)).count();
        self.egress.send_if_modified(|current| {
            let changes = *current != egress;
            if changes {
                *current = Arc::clone(&egress);
            }
            changes
        });
        drop(open);
        Ok(cut)
    }

    /// Changes which secrets are put into its requests.
    pub(crate) fn set_brokered(&self, brokered: Brokered) {
        let broker = Arc::new(Broker::new(&self.project, brokered));
        *self.broker.lock().unwrap_or_else(PoisonError::into_inner) = broker;
    }

    /// The secrets that are put into its requests now.
    pub(crate) fn broker(&self) -> Arc<Broker> {
        Arc::clone(&self.broker.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// The log of its way out. A disk that is full when the machine comes must not keep it from its
    /// models: then each line tries again.
    pub(crate) fn egress_log(&self, logs: &EgressLogs) -> io::Result<&Arc<EgressLog>> {
        if let Some(log) = self.egress_log.get() {
            return Ok(log);
        }
        let log = logs.of(&self.project)?;
        Ok(self.egress_log.get_or_init(|| log))
    }

    /// One more connection is open; its number.
    pub(crate) fn opened(&self, open: Open) -> u64 {
        let id = self.next_open.fetch_add(1, Ordering::Relaxed);
        self.open().insert(id, open);
        id
    }

    /// It is no longer open.
    pub(crate) fn closed(&self, id: u64) {
        self.open().remove(&id);
    }

    /// Connections that are open, oldest first.
    pub(crate) fn open_connections(&self) -> Vec<OpenConnection> {
        self.open().iter().map(|(id, open)| open.shown(*id)).collect()
    }

    fn open(&self) -> MutexGuard<'_, BTreeMap<u64, Open>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What it may reach, now and whenever that changes.
    pub(crate) fn egress(&self) -> watch::Receiver<Arc<Egress>> {
        self.egress.subscribe()
    }

    /// Leave to make one model call; `None` when there are too many.
    pub(crate) fn model_call(&self) -> Option<OwnedSemaphorePermit> {
        Arc::clone(&self.model_calls).try_acquire_owned().ok()
    }

    /// Model calls that have leave now.
    pub(crate) fn model_calls_under_way(&self) -> usize {
        MODEL_CALLS_MAX - self.model_calls.available_permits()
    }

    /// Places for connections through the egress proxy.
    pub(crate) fn egress_connections(&self) -> Arc<Semaphore> {
        Arc::clone(&self.egress_connections)
    }

    /// Places for connections that go through no proxy.
    pub(crate) fn direct_connections(&self) -> Arc<Semaphore> {
        Arc::clone(&self.direct_connections)
    }

    /// Leave to speak HTTP/2 on one more connection; `None` when there are too many.
    pub(crate) fn http2_connection(&self) -> Option<OwnedSemaphorePermit> {
        Arc::clone(&self.http2_connections).try_acquire_owned().ok()
    }

    /// Places for its name lookups.
    pub(crate) fn lookups(&self) -> Arc<Semaphore> {
        Arc::clone(&self.lookups)
    }

    /// Places for its pipes.
    pub(crate) fn pipes(&self) -> Arc<Semaphore> {
        Arc::clone(&self.pipes)
    }

    pub(crate) fn entry(&self) -> MachineEntry {
        MachineEntry {
            project: self.project.clone(),
            egress: self.level.lock().unwrap_or_else(PoisonError::into_inner).clone(),
            model_calls: self.model_calls_under_way(),
            egress_connections: EGRESS_CONNECTIONS_MAX + DIRECT_CONNECTIONS_MAX
                - self.egress_connections.available_permits()
                - self.direct_connections.available_permits(),
        }
    }
}

/// The socket behind a descriptor, which must listen.
pub(crate) fn listening(fd: &OwnedFd) -> io::Result<Socket> {
    if !sockopt::socket_acceptconn(fd.as_fd())? {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "it does not listen"));
    }
    socket(fd)
}

/// The socket behind a descriptor, which must be one of UDP.
pub(crate) fn datagrams(fd: &OwnedFd) -> io::Result<Socket> {
    let is_udp = sockopt::socket_type(fd)? == SocketType::DGRAM
        && sockopt::socket_domain(fd)? == AddressFamily::INET;
    if !is_udp {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "it takes no datagrams"));
    }
    socket(fd)
}

fn socket(fd: &OwnedFd) -> io::Result<Socket> {
    let stat = fstat(fd)?;
    Ok((stat.st_dev, stat.st_ino))
}
