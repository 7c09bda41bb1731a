//! Who answers a request at a format's own endpoint: the model that it names decides.

use crate::{
    api_error::{ApiError, Code},
    provider::Provider,
    understood::Config,
};
use std::sync::Arc;
use toft_llm::catalogue;
use toft_model::{
    id::ProjectId,
    provider::{DEMO_PROVIDER, ModelInfo, ModelRef},
};

/// Who answers.
#[derive(Debug, Clone)]
pub(super) enum Chosen {
    /// A provider.
    Provider(Arc<Provider>),
    /// The script.
    Demo,
}

/// Who answers, and by what name the model is known there.
#[derive(Debug, Clone)]
pub(super) struct Choice {
    pub(super) chosen: Chosen,
    pub(super) model: String,
}

impl Choice {
    /// `PROVIDER/MODEL`.
    pub(super) fn name(&self) -> String {
        let provider = match &self.chosen {
            Chosen::Provider(provider) => &provider.info.id,
            Chosen::Demo => DEMO_PROVIDER,
        };
        format!("{provider}/{}", self.model)
    }

    /// What is known of the model, and whether the catalogue lists it.
    pub(super) fn info(&self) -> Result<(ModelInfo, bool), ApiError> {
        let models = match &self.chosen {
            Chosen::Provider(provider) => provider.models(),
            Chosen::Demo => catalogue::models(DEMO_PROVIDER),
        };
        match (models.iter().find(|info| info.id == self.model), &self.chosen) {
            (Some(info), _) => Ok((info.clone(), true)),
            (None, Chosen::Provider(provider)) => Ok((provider.model(&self.model), false)),
            (None, Chosen::Demo) => {
                let models: Vec<String> =
                    models.iter().map(|m| format!("{DEMO_PROVIDER}/{}", m.id)).collect();
                let message =
                    format!("There is no {}. There are {}.", self.name(), models.join(", "));
                Err(ApiError::new(Code::UnknownModel, message))
            }
        }
    }
}

/// `named` is `PROVIDER/MODEL` with a provider that can be called, or a bare name: then the provider of
/// the path is meant where it has a key, else the first one whose catalogue has that name.
pub(super) fn choose(config: &Config, of_path: &str, named: &str) -> Result<Choice, ApiError> {
    if let Some((provider, model)) = named.split_once('/')
        && let Some(chosen) = by_prefix(config, provider)
        && !model.is_empty()
    {
        return Ok(Choice { chosen, model: model.to_owned() });
    }
    let bare = |provider| Choice { chosen: Chosen::Provider(provider), model: named.to_owned() };
    let why = match callable(config, of_path) {
        Ok(provider) => return Ok(bare(provider)),
        Err(why) => why,
    };
    let lists = |provider: &Provider| provider.models().iter().any(|info| info.id == named);
    if let Some(provider) = config.usable().find(|provider| lists(provider)) {
        return Ok(bare(Arc::clone(provider)));
    }
    let there: Vec<String> = config
        .usable()
        .map(|provider| format!("{}/…", provider.info.id))
        .chain([format!("{DEMO_PROVIDER}/app")])
        .collect();
    let message = format!(
        "{} No other provider here is known to have {named:?} either. Name a model as \
         PROVIDER/MODEL; there are {}.",
        why.message,
        there.join(", ")
    );
    Err(ApiError::new(why.code, message))
}

/// Those that stand in for a model while its provider is down, in their order; where a project asks for it.
pub(super) fn stand_ins(
    config: &Config,
    project: Option<&ProjectId>,
    choice: &Choice,
) -> Vec<Choice> {
    let Chosen::Provider(provider) = &choice.chosen else { return Vec::new() };
    let model = ModelRef { provider: provider.info.id.clone(), id: choice.model.clone() };
    let named = config.chain(project, &model).iter().filter_map(|name| ModelRef::named(name));
    named
        .filter_map(|model| {
            let chosen = Chosen::Provider(usable(config, &model.provider)?);
            Some(Choice { chosen, model: model.id })
        })
        .collect()
}

/// A provider that can be called.
pub(super) fn callable(config: &Config, id: &str) -> Result<Arc<Provider>, ApiError> {
    if id == DEMO_PROVIDER {
        return Err(ApiError::new(
            Code::UnknownProvider,
            "The demo is a script inside Toft, not a provider: it has no API to call.",
        ));
    }
    let known = config.provider_arc(id);
    if known.is_none() && toft_llm::catalogue::provider(id).is_none() {
        let ids: Vec<&str> = toft_llm::catalogue::providers().iter().map(|p| p.id).collect();
        let message = format!("There is no provider {id}. Known ones: {}.", ids.join(", "));
        return Err(ApiError::new(Code::UnknownProvider, message));
    }
    if let Some(absent) = known.as_ref().filter(|p| !p.is_there() && !config.demo_only) {
        let message = format!(
            "{} has not answered yet: start it, or correct its address. It is looked for every few seconds.",
            absent.info.name
        );
        return Err(ApiError::new(Code::UpstreamUnreachable, message));
    }
    known.filter(|p| p.is_usable() && !config.demo_only).ok_or_else(|| {
        let message = if config.demo_only {
            "This server offers the demo only.".to_owned()
        } else {
            format!("No key is set for {id}: add one in Settings, Providers.")
        };
        ApiError::new(Code::NoKey, message)
    })
}

fn usable(config: &Config, id: &str) -> Option<Arc<Provider>> {
    config.provider_arc(id).filter(|provider| provider.is_usable() && !config.demo_only)
}

fn by_prefix(config: &Config, id: &str) -> Option<Chosen> {
    if id == DEMO_PROVIDER {
        return Some(Chosen::Demo);
    }
    usable(config, id).map(Chosen::Provider)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{GatewayConfig, ProviderConfig};
    use toft_vault::Secret;

    fn check(configured: &[&str], of_path: &str, named: &str, expected: &str) {
        let providers = configured.iter().map(|id| ProviderConfig {
            id: (*id).into(),
            key: Some(Secret::new("k")),
            ..ProviderConfig::default()
        });
        let config = GatewayConfig { providers: providers.collect(), ..GatewayConfig::default() };
        let got = choose(&Config::new(config), of_path, named);
        let got = got.map_or_else(|e| e.code.as_str().to_owned(), |choice| choice.name());
        assert_eq!(got, expected, "{configured:?} {of_path} {named}");
    }

    #[test]
    fn the_name_of_the_model_decides() {
        let both = &["openai", "anthropic"];
        check(both, "openai", "anthropic/claude-opus-4-6", "anthropic/claude-opus-4-6");
        check(both, "openai", "claude/claude-opus-4-6", "anthropic/claude-opus-4-6");
        check(both, "anthropic", "openai/gpt-5", "openai/gpt-5");
        check(both, "openai", "gpt-5", "openai/gpt-5");
        check(both, "openai", "brand-new", "openai/brand-new");
        // Names with slashes that are no provider's: the path's own knows them.
        check(both, "openai", "meta-llama/llama-4", "openai/meta-llama/llama-4");
        check(both, "openai", "groq/llama", "openai/groq/llama");
        check(both, "openai", "anthropic/", "openai/anthropic/");
        check(both, "openai", "demo/app", "demo/app");
        // Without a key of its own: whoever lists it.
        check(&["anthropic"], "openai", "claude-opus-4-6", "anthropic/claude-opus-4-6");
        check(&["openai"], "claude", "gpt-5", "openai/gpt-5");
        check(&["anthropic"], "openai", "gpt-5", "no_key");
        check(&[], "openai", "gpt-5", "no_key");
    }

    #[test]
    fn who_finds_nothing_is_told_what_there_is() {
        let config = GatewayConfig {
            providers: vec![ProviderConfig {
                id: "anthropic".into(),
                key: Some(Secret::new("k")),
                ..ProviderConfig::default()
            }],
            ..GatewayConfig::default()
        };
        let error = choose(&Config::new(config), "openai", "gpt-5").unwrap_err();
        assert!(error.message.contains("No key is set for openai"), "{}", error.message);
        assert!(error.message.ends_with("there are anthropic/…, demo/app."), "{}", error.message);
        let error = choose(&Config::default(), "openai", "demo/x").unwrap().info().unwrap_err();
        assert_eq!(error.code, Code::UnknownModel);
        assert!(error.message.contains("demo/app"), "{}", error.message);
    }
}
