//! What the gateway holds while it runs: configuration, machines, client, journals. All of it is
//! gone with the process; the server sends it again.

use crate::{
    config::GatewayConfig,
    folder,
    journal::{self, Journal, Name},
    ledger::Ledger,
    machine::Machine,
    models::HELD_BYTES_MAX,
    pace::Paces,
    protocol::MachineEntry,
    provider::Provider,
    resolve::{Lookups, Resolver},
    upstream::Upstream,
};
use std::{
    collections::BTreeMap,
    fs::DirBuilder,
    io, mem,
    net::SocketAddr,
    os::unix::fs::DirBuilderExt as _,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, Weak},
};
use toft_llm::catalogue;
use toft_model::{id::ProjectId, machine::ModelLimits, provider::ModelRef};
use tokio::sync::{Semaphore, watch};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

/// Pipes at once, of 256 KiB each: a quarter of what the kernel lets one ordinary user have (64 MiB).
const PIPES_MAX: usize = 64;

/// A configuration, understood once.
#[derive(Debug, Default)]
pub(crate) struct Config {
    providers: BTreeMap<String, Arc<Provider>>,
    pub(crate) default_model: Option<ModelRef>,
    pub(crate) default_thinking_level: Option<String>,
    pub(crate) demo_only: bool,
    pub(crate) model_limits: BTreeMap<ProjectId, ModelLimits>,
    pub(crate) allow_private: Vec<SocketAddr>,
}

impl Config {
    pub(crate) fn new(config: GatewayConfig) -> Self {
        let mut providers = BTreeMap::new();
        for one in &config.providers {
            if let Some(provider) = Provider::new(one) {
                providers.insert(provider.info.id.clone(), Arc::new(provider));
            } else {
                tracing::warn!(
                    provider = %one.id,
                    "this provider is not in the catalogue and no wire format is given: left out"
                );
            }
        }
        Self {
            providers,
            default_model: config.default_model,
            default_thinking_level: config.default_thinking_level,
            demo_only: config.demo_only,
            model_limits: config.model_limits,
            allow_private: config.allow_private,
        }
    }

    /// By id, or by another name that the catalogue knows.
    pub(crate) fn provider_arc(&self, id: &str) -> Option<Arc<Provider>> {
        let own = || catalogue::provider(id).and_then(|spec| self.providers.get(spec.id));
        self.providers.get(id).or_else(own).cloned()
    }

    pub(crate) fn provider(&self, id: &str) -> Option<&Provider> {
        self.providers.get(id).map(|p| &**p)
    }

    pub(crate) fn providers(&self) -> impl Iterator<Item = &Provider> {
        self.providers.values().map(|p| &**p)
    }
}

/// See the module.
pub(crate) struct State {
    config: RwLock<Arc<Config>>,
    /// Whether somebody has told the configuration.
    told: watch::Sender<bool>,
    machines: Mutex<BTreeMap<ProjectId, Arc<Machine>>>,
    pub(crate) upstream: Upstream,
    pub(crate) paces: Paces,
    /// Bytes of requests that may be held at once.
    pub(crate) held_bodies: Arc<Semaphore>,
    pub(crate) ledger: Ledger,
    pub(crate) usage: Arc<Journal>,
    data_dir: PathBuf,
    /// Those that somebody writes to: two writers of one would not know of each other.
    egress_logs: Mutex<BTreeMap<ProjectId, Weak<Journal>>>,
    pub(crate) lookups: Lookups,
    /// Pipes that bulk takes.
    pub(crate) pipes: Arc<Semaphore>,
    /// Lets go of the control socket, then ends everything.
    pub(crate) ending: CancellationToken,
    /// Ends everything.
    pub(crate) cancel: CancellationToken,
    /// Everything that has to end before the process does.
    pub(crate) tasks: TaskTracker,
}

impl State {
    pub(crate) fn new(data_dir: &Path, resolver: Arc<dyn Resolver>) -> io::Result<Self> {
        let usage_dir = folder::usage_dir(data_dir);
        Ok(Self {
            config: RwLock::default(),
            told: watch::Sender::new(false),
            machines: Mutex::default(),
            upstream: Upstream::default(),
            paces: Paces::default(),
            held_bodies: Arc::new(Semaphore::new(HELD_BYTES_MAX)),
            ledger: Ledger::default(),
            usage: Arc::new(Journal::open(&usage_dir, Name::Usage)?),
            data_dir: data_dir.to_owned(),
            egress_logs: Mutex::default(),
            lookups: Lookups::new(resolver),
            pipes: Arc::new(Semaphore::new(PIPES_MAX)),
            ending: CancellationToken::new(),
            cancel: CancellationToken::new(),
            tasks: TaskTracker::new(),
        })
    }

    pub(crate) fn config(&self) -> Arc<Config> {
        Arc::clone(&self.config.read().unwrap_or_else(PoisonError::into_inner))
    }

    pub(crate) fn set_config(&self, mut config: GatewayConfig) {
        let (budgets, spent) = (mem::take(&mut config.budgets), mem::take(&mut config.spent));
        let usage_dir = folder::usage_dir(&self.data_dir);
        self.ledger.set(budgets, spent, |position| {
            journal::read(&usage_dir, Name::Usage, position, usize::MAX).map(|(lines, _)| lines)
        });
        let config = Arc::new(Config::new(config));
        self.paces.keep(&config.model_limits);
        *self.config.write().unwrap_or_else(PoisonError::into_inner) = config;
        self.told.send_replace(true);
    }

    /// Waits for the first configuration.
    pub(crate) async fn configured(&self) {
        // The sender lives as long as we do.
        let _ = self.told.subscribe().wait_for(|told| *told).await;
    }

    /// The log of a project's way out.
    pub(crate) fn egress_log(&self, project: &ProjectId) -> io::Result<Arc<Journal>> {
        let mut logs = self.egress_logs.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(log) = logs.get(project).and_then(Weak::upgrade) {
            return Ok(log);
        }
        logs.retain(|_, log| log.strong_count() > 0);
        let dir = folder::egress_dir(&self.data_dir, project);
        DirBuilder::new().recursive(true).mode(0o700).create(&dir)?;
        let log = Arc::new(Journal::open(&dir, Name::Egress)?);
        logs.insert(project.clone(), Arc::downgrade(&log));
        Ok(log)
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
