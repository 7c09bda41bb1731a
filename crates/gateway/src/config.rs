//! What the server tells the gateway: providers with their keys, and defaults. Arrives over the
//! control socket only; never read from, or written to, a file.

use crate::secret_text;
use serde::{Deserialize, Serialize};
use std::{
    collections::BTreeMap,
    net::{IpAddr, SocketAddr},
};
use toft_model::{
    budget::{Budgets, Spent},
    id::ProjectId,
    machine::ModelLimits,
    provider::{Api, Chains, Fallbacks, ModelInfo, ModelRef},
};
use toft_vault::Secret;

/// Everything that the gateway knows beyond its machines. A new one replaces the old one whole;
/// calls under way go on with what they began with.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct GatewayConfig {
    /// Providers that may be called.
    pub providers: Vec<ProviderConfig>,
    /// Model of sessions without a choice of their own. `None`, or one whose provider has no key:
    /// the first catalogued model of the first provider with a key, and the demo without any.
    pub default_model: Option<ModelRef>,
    /// `off minimal low medium high xhigh`. `None`: `off`.
    pub default_thinking_level: Option<String>,
    /// Offer the scripted model only, whatever keys there are.
    pub demo_only: bool,
    /// Models that stand in for others. Those without a key, and the scripted one, never do.
    pub fallbacks: Fallbacks,
    /// What projects say of it themselves, which counts before all of that.
    pub project_fallbacks: BTreeMap<ProjectId, Chains>,
    /// Projects whose model calls are limited beyond the gateway's own bounds.
    pub model_limits: BTreeMap<ProjectId, ModelLimits>,
    /// Money that may be spent.
    pub budgets: Budgets,
    /// What was spent of it.
    pub spent: Spent,
    /// For tests: addresses of names that no name server knows. As the next one.
    pub names: BTreeMap<String, IpAddr>,
    /// For tests: addresses that the egress proxy may dial although they are private. Nothing that
    /// a person configures may end up here.
    pub allow_private: Vec<SocketAddr>,
}

/// One provider.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ProviderConfig {
    /// Id, as in the catalogue of `toft_llm`; also the path segment under `/llm/`.
    pub id: String,
    /// Its key. `None` or empty: calls answer 424 `no_key`. Where requests are signed (Amazon), the key of
    /// an account is `ACCESS:SECRET` or `ACCESS:SECRET:SESSION`.
    #[serde(default, with = "secret_text::optional")]
    pub key: Option<Secret>,
    /// Replaces the catalogue's base URL: `http` or `https`, may have a path.
    pub base_url: Option<String>,
    /// Why there is no such address although one was meant: told to whoever asks it.
    #[serde(default)]
    pub base_url_problem: Option<String>,
    /// Its key is there for other work too: it is asked by those who name it, and is not what is asked where
    /// nobody chose.
    #[serde(default)]
    pub only_if_named: bool,
    /// Wire format; needed for a provider that the catalogue does not know.
    pub api: Option<Api>,
    /// Name for people; the id when absent and not in the catalogue.
    pub name: Option<String>,
    /// It wants no key. Servers of models of one's own machine never do.
    #[serde(default)]
    pub keyless: bool,
    /// For signatures; the catalogue's default when absent.
    #[serde(default)]
    pub region: Option<String>,
    /// Go with every request, by name.
    #[serde(default)]
    pub headers: BTreeMap<String, String>,
    /// What is known of its models beyond the catalogue, and counts before that.
    #[serde(default)]
    pub models: Vec<ModelInfo>,
}
