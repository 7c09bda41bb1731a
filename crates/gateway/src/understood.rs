//! A configuration, understood once.

use crate::{config::GatewayConfig, provider::Provider};
use std::{
    collections::BTreeMap,
    net::{IpAddr, SocketAddr},
    sync::Arc,
};
use toft_llm::catalogue;
use toft_model::{
    id::ProjectId,
    machine::ModelLimits,
    provider::{Fallbacks, ModelRef},
};

/// See the module.
#[derive(Debug, Default)]
pub(crate) struct Config {
    providers: BTreeMap<String, Arc<Provider>>,
    pub(crate) default_model: Option<ModelRef>,
    pub(crate) default_thinking_level: Option<String>,
    pub(crate) demo_only: bool,
    pub(crate) fallbacks: Fallbacks,
    pub(crate) model_limits: BTreeMap<ProjectId, ModelLimits>,
    pub(crate) names: BTreeMap<String, IpAddr>,
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
            fallbacks: config.fallbacks,
            model_limits: config.model_limits,
            names: config.names,
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
