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
    provider::{Chains, Fallbacks, ModelRef, chain_of},
};

/// See the module.
#[derive(Debug, Default)]
pub(crate) struct Config {
    providers: BTreeMap<String, Arc<Provider>>,
    pub(crate) default_model: Option<ModelRef>,
    pub(crate) default_thinking_level: Option<String>,
    pub(crate) demo_only: bool,
    pub(crate) fallbacks: Fallbacks,
    project_fallbacks: BTreeMap<ProjectId, Chains>,
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
            project_fallbacks: config.project_fallbacks,
            model_limits: config.model_limits,
            names: config.names,
            allow_private: config.allow_private,
        }
    }

    /// Who stands in for a model where a project asks for it, or with `None` a program outside of all: what the
    /// project itself says counts first, be it for the model or for all of its provider.
    pub(crate) fn chain(&self, project: Option<&ProjectId>, model: &ModelRef) -> &[String] {
        let own = project.and_then(|project| self.project_fallbacks.get(project));
        let own = own.and_then(|chains| chain_of(chains, model));
        own.or_else(|| chain_of(&self.fallbacks.chains, model)).unwrap_or_default()
    }

    /// Whether a model stands in some chain, by its own name or as one of its provider's.
    pub(crate) fn is_in_a_chain(&self, model: &str) -> bool {
        let Some(named) = ModelRef::named(model) else { return false };
        self.project_fallbacks.values().chain([&self.fallbacks.chains]).any(|chains| {
            chain_of(chains, &named).is_some()
                || chains.values().flatten().any(|other| other == model)
        })
    }

    /// By id, or by another name that the catalogue knows.
    pub(crate) fn provider_arc(&self, id: &str) -> Option<Arc<Provider>> {
        let own = || catalogue::provider(id).and_then(|spec| self.providers.get(spec.id));
        self.providers.get(id).or_else(own).cloned()
    }

    pub(crate) fn providers(&self) -> impl Iterator<Item = &Provider> {
        self.providers.values().map(|p| &**p)
    }

    /// Those that can be called, in the order of choice: the catalogue's, then what people have added.
    pub(crate) fn usable(&self) -> impl Iterator<Item = &Arc<Provider>> {
        let is_listed = |id: &str| catalogue::providers().iter().any(|spec| spec.id == id);
        let listed = catalogue::providers().iter().filter_map(|spec| self.providers.get(spec.id));
        let added = self.providers.values().filter(move |p| !is_listed(&p.info.id));
        listed.chain(added).filter(|p| p.is_usable() && !self.demo_only)
    }

    /// What was found out of the providers of an earlier configuration that are where they were.
    pub(crate) fn keep_found(&self, earlier: &Self) {
        for (id, provider) in &self.providers {
            if let Some(before) = earlier.providers.get(id).filter(|p| p.is_where(provider)) {
                provider.set_found(before.found());
            }
        }
    }
}
