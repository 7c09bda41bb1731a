//! What the gateway holds while it runs: configuration, machines, client, journals. All of it is
//! gone with the process; the server sends it again.
//!
//! What it holds never knows it: those types stand below this file, and are handed the parts that they need.

use crate::{
    brokered::Roots,
    circuit::Circuits,
    config::GatewayConfig,
    control::protocol::MachineEntry,
    folder,
    limits::held::Room,
    limits::pace::Paces,
    machine::Machine,
    records::egress_log::EgressLogs,
    records::journal::{self, Journal, Name},
    records::ledger::Ledger,
    resolve::{Lookups, Resolver},
    understood::Config,
    upstream::Upstream,
};
use std::{
    collections::BTreeMap,
    io, mem,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock},
};
use toft_model::id::ProjectId;
use tokio::{
    runtime::Handle,
    sync::{Semaphore, watch},
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

/// Pipes at once, of 256 KiB each: a quarter of what the kernel lets one ordinary user have (64 MiB).
const PIPES_MAX: usize = 64;

/// See the module.
pub(crate) struct State {
    config: RwLock<Arc<Config>>,
    /// Held while a configuration is taken up.
    pub(crate) configuring: tokio::sync::Mutex<()>,
    /// Whether somebody has told the configuration.
    told: watch::Sender<bool>,
    machines: Mutex<BTreeMap<ProjectId, Arc<Machine>>>,
    pub(crate) upstream: Upstream,
    /// TLS to the hosts of brokered secrets.
    pub(crate) roots: Roots,
    pub(crate) paces: Paces,
    pub(crate) circuits: Circuits,
    /// For requests that are held.
    pub(crate) room: Arc<Room>,
    pub(crate) ledger: Ledger,
    pub(crate) usage: Arc<Journal>,
    data_dir: PathBuf,
    pub(crate) egress_logs: EgressLogs,
    pub(crate) lookups: Lookups,
    /// Pipes that bulk takes.
    pub(crate) pipes: Arc<Semaphore>,
    /// Lets go of the control socket, then ends everything.
    pub(crate) ending: CancellationToken,
    /// Ends everything.
    pub(crate) cancel: CancellationToken,
    /// Everything that has to end before the process does.
    pub(crate) tasks: TaskTracker,
    /// Where model calls are served.
    pub(crate) models: Handle,
}

impl State {
    pub(crate) fn new(
        data_dir: &Path,
        resolver: Arc<dyn Resolver>,
        models: Handle,
    ) -> io::Result<Self> {
        let usage_dir = folder::usage_dir(data_dir);
        Ok(Self {
            config: RwLock::default(),
            configuring: tokio::sync::Mutex::default(),
            told: watch::Sender::new(false),
            machines: Mutex::default(),
            upstream: Upstream::default(),
            roots: Roots::default(),
            paces: Paces::default(),
            circuits: Circuits::default(),
            room: Arc::default(),
            ledger: Ledger::default(),
            usage: Arc::new(Journal::open(&usage_dir, Name::Usage)?),
            data_dir: data_dir.to_owned(),
            egress_logs: EgressLogs::new(data_dir),
            lookups: Lookups::new(resolver),
            pipes: Arc::new(Semaphore::new(PIPES_MAX)),
            ending: CancellationToken::new(),
            cancel: CancellationToken::new(),
            tasks: TaskTracker::new(),
            models,
        })
    }

    pub(crate) fn config(&self) -> Arc<Config> {
        Arc::clone(&self.config.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Reads the journal of calls where budgets are set: not for threads that serve.
    pub(crate) fn set_config(&self, mut config: GatewayConfig) {
        let (budgets, spent) = (mem::take(&mut config.budgets), mem::take(&mut config.spent));
        let usage_dir = folder::usage_dir(&self.data_dir);
        self.ledger.set(budgets, spent, |position, lines_max| {
            journal::read(&usage_dir, Name::Usage, position, lines_max)
        });
        let config = Arc::new(Config::new(config));
        config.keep_found(&self.config());
        self.paces.keep(&config.model_limits);
        self.circuits.keep(|model| config.is_in_a_chain(model));
        *self.config.write().unwrap_or_else(PoisonError::into_inner) = config;
        self.told.send_replace(true);
    }

    /// Tells of each configuration.
    pub(crate) fn news(&self) -> watch::Receiver<bool> {
        self.told.subscribe()
    }

    /// Waits for the first configuration.
    pub(crate) async fn configured(&self) {
        // The sender lives as long as we do.
        let _ = self.told.subscribe().wait_for(|told| *told).await;
    }

    /// Where the names are kept that a machine has looked up.
    pub(crate) fn names_path(&self, project: &ProjectId) -> PathBuf {
        folder::names_path(&self.data_dir, project)
    }

    /// Machines, locked. Never held across an await.
    pub(crate) fn machines(&self) -> MutexGuard<'_, BTreeMap<ProjectId, Arc<Machine>>> {
        self.machines.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn entries(&self) -> Vec<MachineEntry> {
        self.machines().values().map(|machine| machine.entry()).collect()
    }
}
