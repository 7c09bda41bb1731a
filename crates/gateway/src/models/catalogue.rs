//! What `GET /llm/models` answers: the catalogue's list for the providers that have a key.

use crate::{provider::Provider, understood::Config};
use toft_llm::catalogue;
use toft_model::provider::{DEMO_PROVIDER, ModelList};

/// Thinking level of sessions when nobody set one.
const THINKING_LEVEL: &str = "off";

pub(crate) fn model_list(config: &Config) -> ModelList {
    let usable = |id: &str| !config.demo_only && config.provider(id).is_some_and(Provider::has_key);
    let default = config
        .default_model
        .clone()
        .filter(|model| model.provider == DEMO_PROVIDER || usable(&model.provider));
    let level = config.default_thinking_level.as_deref().unwrap_or(THINKING_LEVEL);
    let mut list = catalogue::model_list(usable, default, level);
    // Providers that a person added come after the catalogue's.
    let own = config.providers().filter(|p| p.spec.is_none() && usable(&p.info.id));
    list.providers.extend(own.map(|p| p.info.clone()));
    let listed =
        list.models.iter().any(|m| m.provider == list.default.provider && m.id == list.default.id);
    if !listed && let Some(own) = config.provider(&list.default.provider) {
        let (id, api) = (&list.default.id, own.info.api);
        list.models.insert(0, catalogue::unlisted_model(&own.info.id, api, id));
    }
    list
}
