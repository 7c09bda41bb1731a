//! Providers and their keys: from the environment, from a file, or sealed in the store, which wins. Answers
//! never hold a key; the gateway gets them.

pub(crate) mod again;
mod given;

pub(crate) use given::Given;

use crate::{
    api_error::{ApiError, Code},
    clock::Clock,
    config::KeysFile,
    fallbacks::Set,
    keyring::{Keyring, provider_place},
};
use given::{KEY_BYTES_MAX, Values, is_plain};
use serde::Serialize;
use std::{
    collections::HashMap,
    sync::{Arc, PoisonError, RwLock},
};
use toft_gateway::{GatewayConfig, ProviderConfig};
use toft_llm::catalogue::{self, ProviderSpec};
use toft_model::{
    budget::{Budgets, Spent},
    provider::{Api, DEMO_PROVIDER, Fallbacks, ModelRef},
};
use toft_store::{ProviderKey, SYSTEM_USER, Store};
use toft_vault::Secret;
use tokio::sync::{Mutex, MutexGuard};

/// Settings that hold the default model, as Starter names them.
pub(crate) const DEFAULT_PROVIDER: &str = "default_provider";
pub(crate) const DEFAULT_MODEL: &str = "default_model";
pub(crate) const DEFAULT_THINKING: &str = "default_thinking_level";
/// A key shorter than this shows nothing of itself.
const HINT_FROM_CHARS: usize = 12;

/// What the server was given, and the vault for stored keys.
pub(crate) struct Providers {
    given: RwLock<Arc<Values>>,
    /// Those of the file of configuration.
    fallbacks: Fallbacks,
    changing_fallbacks: Mutex<()>,
    keyring: Arc<Keyring>,
}

/// A provider as people see it.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Provider {
    id: &'static str,
    name: &'static str,
    api: Api,
    configured: bool,
    source: Option<&'static str>,
    env_var: &'static str,
    /// Of the source `file`.
    file: Option<String>,
    /// Why the key that was given cannot be one.
    problem: Option<String>,
    key_hint: Option<String>,
    base_url: String,
    models: usize,
}

/// A provider by its id or another name; not the demo.
pub(crate) fn find(id: &str) -> Result<&'static ProviderSpec, ApiError> {
    catalogue::provider(id).ok_or_else(|| {
        ApiError::new(Code::NotFound, "there is no such provider: GET /v1/providers lists them")
    })
}

impl Providers {
    pub(crate) fn new(given: Given, fallbacks: Fallbacks, keyring: Arc<Keyring>) -> Self {
        let given = Values::new(given);
        given.warn();
        Self {
            given: RwLock::new(Arc::new(given)),
            fallbacks,
            changing_fallbacks: Mutex::default(),
            keyring,
        }
    }

    fn given(&self) -> Arc<Values> {
        Arc::clone(&self.given.read().unwrap_or_else(PoisonError::into_inner))
    }

    fn give(&self, change: impl FnOnce(&mut Values)) {
        let mut given = self.given.write().unwrap_or_else(PoisonError::into_inner);
        change(Arc::make_mut(&mut given));
    }

    /// The file of keys has changed; `None`: there is none any more. The gateway is told by the caller.
    pub(crate) fn take_file(&self, file: Option<KeysFile>) {
        self.give(|given| given.take_file(file));
        self.given().warn();
    }

    /// The file of keys has changed, and cannot be read.
    pub(crate) fn file_is_wrong(&self, why: String) {
        self.give(|given| given.file_is_wrong(why));
    }

    /// Where the file of keys is, if there is one, and what is wrong with it now.
    pub(crate) fn file(&self) -> (Option<String>, Option<String>) {
        let given = self.given();
        (given.path(), given.wrong().map(str::to_owned))
    }

    /// Held from reading the fallbacks that people have set to writing them: no change undoes another.
    pub(crate) async fn changing_fallbacks(&self) -> MutexGuard<'_, ()> {
        self.changing_fallbacks.lock().await
    }

    /// Models that stand in for others, as the file of configuration has them.
    pub(crate) fn fallbacks(&self) -> &Fallbacks {
        &self.fallbacks
    }

    fn shown(&self, spec: &'static ProviderSpec, stored: Option<&ProviderKey>) -> Provider {
        shown(&self.given(), spec, stored)
    }

    /// Why a provider cannot be tried with the key that the server was given.
    pub(crate) async fn problem(
        &self,
        store: &dyn Store,
        spec: &'static ProviderSpec,
    ) -> Result<Option<String>, ApiError> {
        Ok(self.one(store, spec).await?.problem)
    }

    async fn stored(&self, store: &dyn Store) -> Result<HashMap<String, ProviderKey>, ApiError> {
        let keys = store.provider_keys().await?;
        Ok(keys.into_iter().map(|key| (key.provider.clone(), key)).collect())
    }

    pub(crate) async fn list(&self, store: &dyn Store) -> Result<Vec<Provider>, ApiError> {
        let stored = self.stored(store).await?;
        Ok(catalogue::providers()
            .iter()
            .map(|spec| self.shown(spec, stored.get(spec.id)))
            .collect())
    }

    pub(crate) async fn one(
        &self,
        store: &dyn Store,
        spec: &'static ProviderSpec,
    ) -> Result<Provider, ApiError> {
        let stored = self.stored(store).await?;
        Ok(self.shown(spec, stored.get(spec.id)))
    }

    /// Whether no provider has a key.
    pub(crate) async fn demo_only(&self, store: &dyn Store) -> Result<bool, ApiError> {
        let stored = self.stored(store).await?;
        let given = self.given();
        Ok(!catalogue::providers()
            .iter()
            .any(|spec| stored.contains_key(spec.id) || given.key(spec.key_env).is_some()))
    }

    /// Seals a key and keeps it from `now_ms` on.
    pub(crate) async fn set_key(
        &self,
        store: &dyn Store,
        spec: &'static ProviderSpec,
        key: &Secret,
        now_ms: u64,
    ) -> Result<(), ApiError> {
        let text = key.expose().trim();
        if text.len() > KEY_BYTES_MAX {
            return Err(ApiError::invalid(format!(
                "the key is longer than {KEY_BYTES_MAX} characters, which no provider's key is: paste the \
                 key alone"
            )));
        }
        if !is_plain(text) {
            return Err(ApiError::invalid(
                "the key must be one line of letters, digits and signs: paste it without spaces",
            ));
        }
        let vault = self.keyring.vault().await;
        let sealed = vault
            .seal(&provider_place(spec.id), text.as_bytes())
            .map_err(|e| ApiError::internal("the key could not be sealed", &e))?;
        let row = ProviderKey { provider: spec.id.to_owned(), sealed, hint: hint(text) };
        store.put_provider_key(&row, now_ms).await?;
        Ok(())
    }

    /// Everything that the gateway needs.
    pub(crate) async fn gateway_config(
        &self,
        store: &dyn Store,
    ) -> Result<GatewayConfig, ApiError> {
        let vault = self.keyring.vault().await;
        let stored = self.stored(store).await?;
        let given = self.given();
        let mut providers = Vec::new();
        for spec in catalogue::providers() {
            let key = match stored.get(spec.id) {
                Some(row) => match vault.unseal(&provider_place(spec.id), &row.sealed) {
                    Ok(key) => Some(key),
                    Err(error) => {
                        tracing::error!(provider = spec.id, %error, "a stored key cannot be used");
                        None
                    }
                },
                None => given.key(spec.key_env),
            };
            let base_url = given.text(spec.base_url_env).map(str::to_owned);
            if key.is_some() || base_url.is_some() {
                providers.push(ProviderConfig {
                    id: spec.id.to_owned(),
                    key,
                    base_url,
                    ..ProviderConfig::default()
                });
            }
        }
        let settings: HashMap<String, String> =
            store.settings(SYSTEM_USER).await?.into_iter().collect();
        let with_key = |id: &str| providers.iter().any(|p| p.id == id && p.key.is_some());
        let default_model = default_model(&given, &settings, with_key);
        let budgets = store.budgets().await?;
        Ok(GatewayConfig {
            default_model,
            default_thinking_level: settings.get(DEFAULT_THINKING).cloned(),
            providers,
            fallbacks: Set::read(store).await?.over(&self.fallbacks),
            project_fallbacks: store.all_fallbacks().await?,
            model_limits: store.all_model_limits().await?,
            spent: spent(store, &budgets).await?,
            budgets,
            ..GatewayConfig::default()
        })
    }
}

fn shown(given: &Values, spec: &'static ProviderSpec, stored: Option<&ProviderKey>) -> Provider {
    let found = given.find(spec.key_env);
    let (source, key_hint) = match (stored, &found) {
        (Some(stored), _) => (Some("settings"), Some(stored.hint.clone())),
        (None, Some(found)) => {
            let source = if found.in_file { "file" } else { "env" };
            let plain = given.problem(found).is_none();
            (Some(source), plain.then(|| hint(found.value.expose())))
        }
        (None, None) => (None, None),
    };
    let in_file = found.as_ref().is_some_and(|found| found.in_file);
    let problem = found.as_ref().filter(|_| stored.is_none());
    let problem = problem.and_then(|found| given.problem(found));
    Provider {
        id: spec.id,
        name: spec.name,
        api: spec.api,
        configured: source.is_some() && problem.is_none(),
        source,
        file: given.path().filter(|_| in_file),
        problem,
        env_var: found
            .map_or_else(|| spec.key_env.first().copied().unwrap_or(""), |found| found.name),
        key_hint,
        base_url: given.text(spec.base_url_env).unwrap_or(spec.base_url).to_owned(),
        models: catalogue::models(spec.id).len(),
    }
}

/// What people chose; else what the environment names for the first provider with a key.
fn default_model(
    given: &Values,
    settings: &HashMap<String, String>,
    with_key: impl Fn(&str) -> bool,
) -> Option<ModelRef> {
    let model_of = |provider: &str| {
        let spec = catalogue::provider(provider)?;
        Some(given.text(spec.model_env).unwrap_or(spec.default_model).to_owned())
    };
    let chosen = settings.get(DEFAULT_PROVIDER).cloned();
    match (chosen, settings.get(DEFAULT_MODEL).cloned()) {
        (Some(provider), Some(id)) => Some(ModelRef { provider, id }),
        (Some(provider), None) if provider == DEMO_PROVIDER => {
            let id = catalogue::models(DEMO_PROVIDER).into_iter().next()?.id;
            Some(ModelRef { provider, id })
        }
        (Some(provider), None) => {
            let id = model_of(&provider)?;
            Some(ModelRef { provider, id })
        }
        (None, _) => {
            let spec = catalogue::providers().iter().find(|spec| with_key(spec.id))?;
            Some(ModelRef { provider: spec.id.to_owned(), id: model_of(spec.id)? })
        }
    }
}

/// The end of a key, for people to tell two apart.
fn hint(key: &str) -> String {
    let chars = key.chars().count();
    if chars < HINT_FROM_CHARS {
        return "…".to_owned();
    }
    let end: String = key.chars().skip(chars - 4).collect();
    format!("…{end}")
}

/// Runs that were asked for longer ago are not told to the gateway: they have ended.
const RUNS_TOLD_MS: u64 = 31 * 24 * 3_600_000;

/// What was spent, where anything is bounded.
async fn spent(store: &dyn Store, budgets: &Budgets) -> Result<Spent, ApiError> {
    if budgets.is_empty() {
        return Ok(Spent::default());
    }
    let mut all = budgets.projects.values().chain([&budgets.team]);
    let bounds_runs = all.any(|budget| budget.run.is_some());
    // The gateway's months are those of the real clock.
    let now_ms = Clock::system().now_ms();
    let runs_since = bounds_runs.then(|| now_ms.saturating_sub(RUNS_TOLD_MS));
    Ok(store.spent(now_ms, runs_since).await?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hint_never_shows_a_short_key() {
        assert_eq!(hint("sk-1234567890abcd"), "…abcd");
        assert_eq!(hint("short"), "…");
    }
}
