//! What the gateway holds while it runs: configuration, machines, client, journals. All of it is
//! gone with the process; the server sends it again.

use crate::{
    config::GatewayConfig,
    folder,
    journal::{Journal, Name},
    machine::Machine,
    protocol::MachineEntry,
    provider::Provider,
    resolve::Resolver,
    upstream::Upstream,
};
use std::{
    collections::BTreeMap,
    io,
    net::SocketAddr,
    path::Path,
    sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock},
};
use toft_llm::catalogue;
use toft_model::{id::ProjectId, provider::ModelRef};
use tokio::sync::watch;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

/// A configuration, understood once.
#[derive(Debug, Default)]
pub(crate) struct Config {
    providers: BTreeMap<String, Arc<Provider>>,
    pub(crate) default_model: Option<ModelRef>,
    pub(crate) default_thinking_level: Option<String>,
    pub(crate) demo_only: bool,
    pub(crate) allow_private: Vec<SocketAddr>,
}

impl Config {
    fn new(config: GatewayConfig) -> Self {
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
    pub(crate) usage: Arc<Journal>,
    pub(crate) egress_log: Arc<Journal>,
    pub(crate) resolver: Arc<dyn Resolver>,
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
            usage: Arc::new(Journal::open(&usage_dir, Name::Usage)?),
            egress_log: Arc::new(Journal::open(&usage_dir, Name::Egress)?),
            resolver,
            ending: CancellationToken::new(),
            cancel: CancellationToken::new(),
            tasks: TaskTracker::new(),
        })
    }

    pub(crate) fn config(&self) -> Arc<Config> {
        Arc::clone(&self.config.read().unwrap_or_else(PoisonError::into_inner))
    }

    pub(crate) fn set_config(&self, config: GatewayConfig) {
        let config = Arc::new(Config::new(config));
        *self.config.write().unwrap_or_else(PoisonError::into_inner) = config;
        self.told.send_replace(true);
    }

    /// Waits for the first configuration.
    pub(crate) async fn configured(&self) {
        // The sender lives as long as we do.
        let _ = self.told.subscribe().wait_for(|told| *told).await;
    }

    /// Machines, locked. Never held across an await.
    pub(crate) fn machines(&self) -> MutexGuard<'_, BTreeMap<ProjectId, Arc<Machine>>> {
        self.machines.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn entries(&self) -> Vec<MachineEntry> {
        self.machines().values().map(|machine| machine.entry()).collect()
    }
}
