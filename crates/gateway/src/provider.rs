//! A provider as configured: how it takes its key, which models are known of it; where it lives is in
//! `address`.

mod address;
mod key;

pub(crate) use address::leaves_its_base;

use crate::{
    api_error::{ApiError, Code},
    config::ProviderConfig,
    needles::Needles,
};
use http::{HeaderMap, HeaderName, HeaderValue};
use key::Key;
use std::{
    collections::BTreeMap,
    fmt, iter,
    sync::{Arc, PoisonError, RwLock},
};
use time::OffsetDateTime;
use toft_llm::catalogue::{self, ProviderSpec, local::LocalServer};
use toft_model::provider::{ModelInfo, Price, ProviderInfo};

/// What stands for a key where it was taken out of an answer.
const KEY_SHOWN: &str = "*****";

/// See the module.
pub(crate) struct Provider {
    pub(crate) info: ProviderInfo,
    key: Key,
    pub(crate) spec: Option<&'static ProviderSpec>,
    /// Its key, as it may come back in an answer.
    pub(crate) needles: Arc<Needles>,
    /// Or what is wrong with it.
    base_url: Result<String, String>,
    /// Where it is asked, if it was said.
    region: Option<String>,
    /// See [`ProviderConfig::only_if_named`].
    pub(crate) only_if_named: bool,
    /// Go with every request.
    headers: HeaderMap,
    /// Models that a person has told of, by id.
    told: BTreeMap<String, ModelInfo>,
    local: Option<Local>,
}

/// A server of one's own machine.
struct Local {
    server: &'static LocalServer,
    /// Its models, once it has told them.
    found: RwLock<Option<Arc<[ModelInfo]>>>,
}

impl fmt::Debug for Provider {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The base URL may have credentials in it.
        f.debug_struct("Provider").field("id", &self.info.id).finish_non_exhaustive()
    }
}

impl Provider {
    /// `None`: the catalogue does not know it and no wire format is given.
    pub(crate) fn new(config: &ProviderConfig) -> Option<Self> {
        let spec = catalogue::provider(&config.id);
        let info = match (spec, config.api) {
            (Some(spec), _) => spec.info(),
            (None, Some(api)) => {
                let name = config.name.clone().unwrap_or_else(|| config.id.clone());
                ProviderInfo { id: config.id.clone(), name, api }
            }
            (None, None) => return None,
        };
        let server = LocalServer::named(&info.id);
        let base_url = match (&config.base_url, spec) {
            (Some(own), _) => address::check_base(own).map(|()| {
                let own = own.trim_end_matches('/');
                // Programs of the format are told such an address; the servers' own paths are beside it.
                let own =
                    if server.is_some() { own.strip_suffix("/v1").unwrap_or(own) } else { own };
                own.to_owned()
            }),
            (None, Some(spec)) => match &config.base_url_problem {
                Some(why) => Err(why.clone()),
                None => spec.base_url_with(|_| None),
            },
            (None, None) => Err("no base URL is set for it".to_owned()),
        };
        let key = Key::of(config, spec);
        let needles = match (&key, &config.key) {
            (Key::Signature(account), _) => {
                Needles::new(account.parts().map(|part| (part, KEY_SHOWN)))
            }
            (_, Some(key)) => Needles::new(iter::once((key.expose(), KEY_SHOWN))),
            (_, None) => Needles::new(iter::empty()),
        };
        let told = config.models.iter().map(|info| (info.id.clone(), info.clone())).collect();
        let local = server.map(|server| Local { server, found: RwLock::default() });
        let (headers, needles) = (headers(&config.headers), Arc::new(needles));
        let (region, only_if_named) = (config.region.clone(), config.only_if_named);
        Some(Self {
            info,
            key,
            spec,
            needles,
            base_url,
            region,
            only_if_named,
            headers,
            told,
            local,
        })
    }

    /// Whether there is a key, or it wants none.
    pub(crate) fn has_key(&self) -> bool {
        !matches!(self.key, Key::None)
    }

    /// Whether somebody is there: a server of one's own machine has to have told its models.
    pub(crate) fn is_there(&self) -> bool {
        self.local.is_none() || self.found().is_some()
    }

    /// Whether it can be called.
    pub(crate) fn is_usable(&self) -> bool {
        self.has_key() && self.is_there()
    }

    /// Whether it is asked without a key.
    pub(crate) fn is_keyless(&self) -> bool {
        matches!(self.key, Key::Unwanted)
    }

    /// Whether each request is signed, for which all of its body has to be there.
    pub(crate) fn signs(&self) -> bool {
        matches!(self.key, Key::Signature(_))
    }

    /// What it is, if it is a server of one's own machine.
    pub(crate) fn local(&self) -> Option<&'static LocalServer> {
        self.local.as_ref().map(|local| local.server)
    }

    /// The models that it has told, as such a server.
    pub(crate) fn found(&self) -> Option<Arc<[ModelInfo]>> {
        let found = self.local.as_ref()?.found.read();
        found.unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// What it tells now; `None`: it is not there any more.
    pub(crate) fn set_found(&self, models: Option<Arc<[ModelInfo]>>) {
        if let Some(local) = &self.local {
            *local.found.write().unwrap_or_else(PoisonError::into_inner) = models;
        }
    }

    /// Whether another one is at the same place, so that what was found there still holds.
    pub(crate) fn is_where(&self, other: &Self) -> bool {
        self.base_url == other.base_url
    }

    /// The model that is asked where nobody chose one.
    pub(crate) fn default_model(&self) -> Option<String> {
        let named = self.spec.map(|spec| spec.default_model_in(self.region.as_deref()));
        match named.filter(|id| !id.is_empty()) {
            Some(id) => Some(id.to_owned()),
            None => self.models().into_iter().next().map(|info| info.id),
        }
    }

    /// Models that are offered, by id.
    pub(crate) fn models(&self) -> Vec<ModelInfo> {
        let listed = self.spec.map(|spec| catalogue::models(spec.id)).unwrap_or_default();
        let found = self.found();
        let all = listed.iter().chain(found.iter().flat_map(|found| found.iter()));
        let all = all.chain(self.told.values());
        let by_id: BTreeMap<&str, &ModelInfo> = all.map(|info| (&*info.id, info)).collect();
        by_id.into_values().cloned().collect()
    }

    /// What is known of a model, be it listed or not.
    pub(crate) fn model(&self, id: &str) -> ModelInfo {
        let told = || self.told.get(id).cloned();
        let found = || self.found()?.iter().find(|info| info.id == id).cloned();
        let unlisted = || catalogue::unlisted_model(&self.info.id, self.info.api, id);
        told()
            .or_else(found)
            .or_else(|| catalogue::model(&self.info.id, id))
            .unwrap_or_else(unlisted)
    }

    /// What to reckon with where too little would do harm: as [`catalogue::cautious_price`].
    pub(crate) fn cautious_price(&self, id: Option<&str>) -> Option<Price> {
        let told = id.and_then(|id| self.told.get(id)?.price);
        let dearest = || {
            let prices = self.told.values().filter_map(|info| info.price);
            prices.max_by(|a, b| (a.input + a.output).total_cmp(&(b.input + b.output)))
        };
        told.or_else(|| catalogue::cautious_price(&self.info.id, id)).or_else(dearest)
    }

    /// The header that carries the key; none where requests are signed, or no key is wanted.
    pub(crate) fn credential(
        &self,
        path: &str,
    ) -> Result<Option<(HeaderName, HeaderValue)>, ApiError> {
        self.key.header(&self.info, self.spec, path)
    }

    /// Puts into a request what its provider is told with each: whose it is, and what else was set. The last
    /// thing that is done to it. `body`: all of it, where requests are signed.
    pub(crate) fn complete(
        &self,
        path: &str,
        request: &mut reqwest::Request,
        body: &[u8],
    ) -> Result<(), ApiError> {
        let headers = request.headers_mut();
        for (name, value) in &self.headers {
            headers.insert(name, value.clone());
        }
        if let Some((name, value)) = self.credential(path)? {
            headers.insert(name, value);
        }
        if let Key::Signature(account) = &self.key {
            account.sign(request, body, OffsetDateTime::now_utc()).map_err(|_| {
                let words = format!(
                    "A request to {} cannot be signed: the key or the region has characters in it that none \
                     has. Set them again.",
                    self.info.name
                );
                ApiError::new(Code::NoKey, words)
            })?;
        }
        Ok(())
    }
}

/// Those that can be headers; a name or value that cannot is left out, and said.
fn headers(given: &BTreeMap<String, String>) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for (name, value) in given {
        if let (Ok(name), Ok(value)) = (name.parse::<HeaderName>(), value.parse::<HeaderValue>()) {
            headers.insert(name, value);
        } else {
            tracing::warn!(name, "what was set cannot be sent as a header: left out");
        }
    }
    headers
}
