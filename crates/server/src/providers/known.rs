//! A provider that there is: of the catalogue, a server of one's own machine, or of the file of models.

use toft_llm::catalogue::{ProviderSpec, local::LocalServer, overlay::OwnProvider};
use toft_model::provider::Api;

/// See the module.
#[derive(Debug, Clone)]
pub(crate) enum Known {
    Listed(&'static ProviderSpec),
    Local(&'static LocalServer),
    Own(OwnProvider),
}

impl Known {
    /// What the catalogue says of it.
    pub(crate) fn spec(&self) -> Option<&'static ProviderSpec> {
        match self {
            Self::Listed(spec) => Some(spec),
            Self::Local(server) => Some(&server.spec),
            Self::Own(_) => None,
        }
    }

    pub(crate) fn id(&self) -> &str {
        match self {
            Self::Listed(spec) => spec.id,
            Self::Local(server) => server.spec.id,
            Self::Own(own) => &own.id,
        }
    }

    pub(crate) fn name(&self) -> &str {
        match self {
            Self::Listed(spec) => spec.name,
            Self::Local(server) => server.spec.name,
            Self::Own(own) => &own.name,
        }
    }

    pub(crate) fn api(&self) -> Api {
        match self {
            Self::Listed(spec) => spec.api,
            Self::Local(server) => server.spec.api,
            Self::Own(own) => own.api,
        }
    }

    /// Variables that may hold its key.
    pub(crate) fn key_env(&self) -> Vec<&str> {
        match (self.spec(), self) {
            (Some(spec), _) => spec.key_env.to_vec(),
            (None, Self::Own(own)) => own.key_env.as_deref().into_iter().collect(),
            (None, _) => Vec::new(),
        }
    }

    /// Variables that may replace its address.
    pub(crate) fn base_url_env(&self) -> &'static [&'static str] {
        self.spec().map_or(&[], |spec| spec.base_url_env)
    }

    /// Whether it can be asked without a key.
    pub(crate) fn wants_no_key(&self) -> bool {
        match self {
            Self::Listed(_) => false,
            Self::Local(_) => true,
            Self::Own(own) => own.key_env.is_none(),
        }
    }

    /// Whether it is a server of one's own machine.
    pub(crate) fn is_local(&self) -> bool {
        matches!(self, Self::Local(_))
    }
}
