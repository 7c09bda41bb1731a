//! Providers and their keys: from the environment, from a file, or sealed in the store, which wins. Answers
//! never hold a key; the gateway gets them. What people know of models and providers beyond the catalogue is
//! in a file of its own.

pub(crate) mod again;
mod given;
mod known;
pub(crate) mod models_file;
mod shown;

pub(crate) use given::{Given, LOCAL_MODELS, Values};
pub(crate) use known::Known;
pub(crate) use shown::Provider;

use crate::{
    api_error::{ApiError, Code},
    clock::Clock,
    config::KeysFile,
    fallbacks::Set,
    keyring::{Keyring, provider_place},
};
use given::{KEY_BYTES_MAX, is_plain};
use std::{
    collections::HashMap,
    sync::{Arc, PoisonError, RwLock},
};
use toft_gateway::{GatewayConfig, ProviderConfig};
use toft_llm::catalogue::{Auth, overlay::Overlay};
use toft_model::{
    budget::{Budgets, Spent},
    provider::{Fallbacks, ModelInfo, ModelList},
};
use toft_store::{ProviderKey, SYSTEM_USER, Store};
use toft_vault::Secret;
use tokio::sync::{Mutex, MutexGuard};

/// Settings that hold the default model, as Starter names them.
pub(crate) const DEFAULT_PROVIDER: &str = "default_provider";
pub(crate) const DEFAULT_MODEL: &str = "default_model";
pub(crate) const DEFAULT_THINKING: &str = "default_thinking_level";

/// What the server was given, and the vault for stored keys.
pub(crate) struct Providers {
    given: RwLock<Arc<Values>>,
    /// Those of the file of configuration.
    fallbacks: Fallbacks,
    changing_fallbacks: Mutex<()>,
    keyring: Arc<Keyring>,
}

impl Providers {
    pub(crate) fn new(given: Given, fallbacks: Fallbacks, keyring: Arc<Keyring>) -> Self {
        let given = Values::new(given);
        given.warn();
        let names = fallbacks.chains.iter().flat_map(|(of, others)| others.iter().chain([of]));
        for name in names {
            let provider = name.split_once('/').map_or("", |(provider, _)| provider);
            if given.provider(provider).is_none() {
                tracing::warn!(model = name, "a fallback names a provider that there is not");
            }
        }
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

    /// The file of models has changed. The gateway is told by the caller.
    pub(crate) fn take_overlay(&self, overlay: Result<Overlay, String>) {
        self.give(|given| given.take_overlay(overlay));
    }

    /// Providers of their own that the file of models has, how many models it tells of, and what is wrong
    /// with it now.
    pub(crate) fn overlay(&self) -> (Vec<String>, usize, Option<String>) {
        let given = self.given();
        let own = given.overlay().providers().iter().map(|own| own.id.clone()).collect();
        (own, given.overlay().count(), given.overlay_wrong().map(str::to_owned))
    }

    /// A provider by its id or another name; not the demo.
    pub(crate) fn find(&self, id: &str) -> Result<Known, ApiError> {
        self.given().provider(id).ok_or_else(|| {
            ApiError::new(Code::NotFound, "there is no such provider: GET /v1/providers lists them")
        })
    }

    /// Models of a provider, as the catalogue and the file of models have them.
    pub(crate) fn known_models(&self, id: &str) -> Vec<ModelInfo> {
        self.given().overlay().models(id)
    }

    /// The provider that the environment names for work for which nobody chose one.
    pub(crate) fn forced(&self) -> Option<String> {
        Some(self.given().forced()?.id().to_owned())
    }

    /// The model of a provider that somebody names without one.
    pub(crate) fn model_of(&self, known: &Known) -> Option<String> {
        let named = Some(self.given().model_of(known)).filter(|id| !id.is_empty());
        named.or_else(|| self.known_models(known.id()).into_iter().next().map(|model| model.id))
    }

    async fn settings(&self, store: &dyn Store) -> Result<HashMap<String, String>, ApiError> {
        Ok(store.settings(SYSTEM_USER).await?.into_iter().collect())
    }

    /// Whether servers of this machine are looked for.
    pub(crate) fn looks_for_local(&self, settings: &HashMap<String, String>) -> bool {
        self.given().looks_for_local(settings)
    }

    /// Whether servers of this machine are among the providers.
    pub(crate) async fn has_local(&self, store: &dyn Store) -> Result<bool, ApiError> {
        let settings = self.settings(store).await?;
        Ok(self.given().providers(&settings).iter().any(Known::is_local))
    }

    /// Why a provider cannot be tried with the key that the server was given.
    pub(crate) async fn problem(
        &self,
        store: &dyn Store,
        known: &Known,
    ) -> Result<Option<String>, ApiError> {
        Ok(self.one(store, known, None).await?.problem)
    }

    async fn stored(&self, store: &dyn Store) -> Result<HashMap<String, ProviderKey>, ApiError> {
        let keys = store.provider_keys().await?;
        Ok(keys.into_iter().map(|key| (key.provider.clone(), key)).collect())
    }

    /// `offered`: what the gateway can ask now, where that is known.
    pub(crate) async fn list(
        &self,
        store: &dyn Store,
        offered: Option<&ModelList>,
    ) -> Result<Vec<Provider>, ApiError> {
        let (stored, settings) = (self.stored(store).await?, self.settings(store).await?);
        let given = self.given();
        let all = given.providers(&settings);
        let shown = |known| Provider::of(&given, known, stored.get(known.id()), offered);
        Ok(all.iter().map(shown).collect())
    }

    pub(crate) async fn one(
        &self,
        store: &dyn Store,
        known: &Known,
        offered: Option<&ModelList>,
    ) -> Result<Provider, ApiError> {
        let stored = self.stored(store).await?;
        Ok(Provider::of(&self.given(), known, stored.get(known.id()), offered))
    }

    /// Whether no provider can be asked.
    pub(crate) async fn demo_only(&self, store: &dyn Store) -> Result<bool, ApiError> {
        let (stored, settings) = (self.stored(store).await?, self.settings(store).await?);
        let given = self.given();
        let can_be = |known: &Known| {
            known.wants_no_key() || stored.contains_key(known.id()) || given.key(known).is_some()
        };
        Ok(!given.providers(&settings).iter().any(can_be))
    }

    /// Seals a key and keeps it from `now_ms` on.
    pub(crate) async fn set_key(
        &self,
        store: &dyn Store,
        known: &Known,
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
        let signs = known.spec().is_some_and(|spec| matches!(spec.auth, Auth::Aws(_)));
        let parts: Vec<&str> = text.split(':').collect();
        if signs && parts.len() > 1 && (parts.len() > 3 || parts.contains(&"")) {
            return Err(ApiError::invalid(
                "the key of an account is ACCESS:SECRET or ACCESS:SECRET:SESSION, without spaces",
            ));
        }
        let vault = self.keyring.vault().await;
        let sealed = vault
            .seal(&provider_place(known.id()), text.as_bytes())
            .map_err(|e| ApiError::internal("the key could not be sealed", &e))?;
        let row = ProviderKey { provider: known.id().to_owned(), sealed, hint: shown::hint(text) };
        store.put_provider_key(&row, now_ms).await?;
        Ok(())
    }

    /// Everything that the gateway needs.
    pub(crate) async fn gateway_config(
        &self,
        store: &dyn Store,
    ) -> Result<GatewayConfig, ApiError> {
        let vault = self.keyring.vault().await;
        let (stored, settings) = (self.stored(store).await?, self.settings(store).await?);
        let given = self.given();
        let mut providers = Vec::new();
        for known in given.providers(&settings) {
            let id = known.id();
            let key = match stored.get(id) {
                Some(row) => match vault.unseal(&provider_place(id), &row.sealed) {
                    Ok(key) => Some(key),
                    Err(error) => {
                        tracing::error!(provider = id, %error, "a stored key cannot be used");
                        None
                    }
                },
                None => given.key(&known),
            };
            let named = given.find(known.base_url_env()).is_some();
            if key.is_none() && !named && !known.wants_no_key() {
                continue;
            }
            let own = known.spec().is_none();
            let (base_url, base_url_problem) = match given.base_url(&known) {
                Ok(url) => (url, None),
                Err(why) => (None, Some(why)),
            };
            providers.push(ProviderConfig {
                id: id.to_owned(),
                key,
                base_url,
                base_url_problem,
                only_if_named: !stored.contains_key(id) && given.is_only_if_named(&known),
                api: own.then(|| known.api()),
                name: own.then(|| known.name().to_owned()),
                keyless: known.wants_no_key(),
                region: given.region(&known),
                headers: given.headers(&known),
                models: given.overlay().told(id),
            });
        }
        let with_key =
            |id: &str| providers.iter().any(|p| p.id == id && (p.key.is_some() || p.keyless));
        let is_first = |id: &str| providers.iter().any(|p| p.id == id && !p.only_if_named);
        let default_model = given.default_model(&settings, with_key, is_first);
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
