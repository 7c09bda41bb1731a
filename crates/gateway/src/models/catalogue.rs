//! What `GET /llm/models` answers: models of the providers that can be called.

use crate::{provider::Provider, understood::Config};
use std::sync::Arc;
use toft_llm::catalogue;
use toft_model::provider::{DEMO_PROVIDER, ModelList, ModelRef};

/// Thinking level of sessions when nobody set one.
const THINKING_LEVEL: &str = "off";

pub(crate) fn model_list(config: &Config) -> ModelList {
    let usable: Vec<&Arc<Provider>> = config.usable().collect();
    let of = |id: &str| usable.iter().find(|provider| provider.info.id == id);
    let mut models: Vec<_> = usable.iter().flat_map(|provider| provider.models()).collect();
    let wanted = config.default_model.clone();
    let wanted =
        wanted.filter(|model| model.provider == DEMO_PROVIDER || of(&model.provider).is_some());
    let default = wanted
        .and_then(|model| Some(ModelRef { id: named(model.id, of(&model.provider))?, ..model }))
        .or_else(|| usable.iter().filter(|p| !p.only_if_named).find_map(|p| first(p)))
        .unwrap_or_else(|| catalogue::auto_pick(|_| false));
    let is_listed = models.iter().any(|m| m.provider == default.provider && m.id == default.id);
    if !is_listed && let Some(provider) = of(&default.provider) {
        models.insert(0, provider.model(&default.id));
    }
    models.extend(catalogue::models(DEMO_PROVIDER));
    let level = config.default_thinking_level.as_deref().unwrap_or(THINKING_LEVEL);
    ModelList {
        default,
        default_thinking_level: level.to_owned(),
        models,
        providers: usable.iter().map(|provider| provider.info.clone()).collect(),
    }
}

/// A model by its name, or the provider's first where only that is known.
fn named(id: String, provider: Option<&&Arc<Provider>>) -> Option<String> {
    if id.is_empty() { Some(first(provider?)?.id) } else { Some(id) }
}

/// The model of a provider that is asked where nobody chose one.
fn first(provider: &Arc<Provider>) -> Option<ModelRef> {
    Some(ModelRef { provider: provider.info.id.clone(), id: provider.default_model()? })
}
