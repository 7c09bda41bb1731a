//! What a person knows of models and the catalogue does not: new models, other limits or prices,
//! providers of their own. A file of JSON in the shape of Pi's `models.json`, as far as it is about
//! models:
//!
//! ```json
//! {"providers": {
//!     "anthropic": {"models": [{"id": "claude-new", "contextWindow": 500000, "maxTokens": 64000,
//!         "reasoning": true, "input": ["text", "image"],
//!         "cost": {"input": 3, "output": 15, "cacheRead": 0.3, "cacheWrite": 3.75}}]},
//!     "mine": {"name": "My server", "api": "openai-completions", "baseUrl": "http://10.0.0.5:8000/v1",
//!         "apiKey": "$MINE_API_KEY", "models": [{"id": "llama"}]}
//! }}
//! ```
//!
//! What a model leaves out is as in the catalogue, or as of a model of which nothing is known. A `cost` of
//! `null` is a price that is not known. The file holds no keys: `apiKey` names a variable.

use super::{model, models, provider, unlisted_model};
use serde::{Deserialize, Deserializer};
use std::collections::BTreeMap;
use toft_model::provider::{Api, DEMO_PROVIDER, ModelInfo, Price, PriceAbove};

#[cfg(test)]
mod tests;

/// Bytes of the file at most: a thousand models with all that can be said of them.
pub const OVERLAY_BYTES_MAX: usize = 1 << 20;

/// Characters of an id or name.
const NAME_CHARS_MAX: usize = 200;

/// Most that a number of tokens may be.
const TOKENS_MAX: u64 = 1 << 40;

/// Why a file is not taken. `place` is the path in it: `providers.mine.models[0].cost`.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{place}: {problem}")]
pub struct BadOverlay {
    /// Where in the file.
    pub place: String,
    /// What is wrong, and what to do.
    pub problem: String,
}

/// The whole file, understood.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Overlay {
    own: Vec<OwnProvider>,
    /// By provider and id.
    models: BTreeMap<String, BTreeMap<String, Told>>,
}

/// A provider that the catalogue does not have.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OwnProvider {
    /// Its id, which is the path segment under `/llm/` too.
    pub id: String,
    /// Name for people.
    pub name: String,
    /// Wire format.
    pub api: Api,
    /// Where it lives.
    pub base_url: String,
    /// The variable that holds its key; none for one that wants none.
    pub key_env: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    providers: BTreeMap<String, Entry>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Entry {
    name: Option<String>,
    api: Option<Api>,
    base_url: Option<String>,
    api_key: Option<String>,
    #[serde(default)]
    models: Vec<Told>,
}

/// One model, as it stands there.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Told {
    id: String,
    name: Option<String>,
    context_window: Option<u64>,
    max_tokens: Option<u64>,
    reasoning: Option<bool>,
    input: Option<Vec<Input>>,
    #[serde(default)]
    cost: Costs,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Input {
    Text,
    Image,
}

#[derive(Debug, Clone, Copy, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Cost {
    input: f64,
    output: f64,
    cache_read: Option<f64>,
    cache_write: Option<f64>,
    reasoning: Option<f64>,
    above: Option<PriceAbove>,
}

/// What is said of them.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
enum Costs {
    /// Nothing.
    #[default]
    AsListed,
    /// `null`.
    Unknown,
    Are(Cost),
}

impl<'de> Deserialize<'de> for Costs {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Ok(Option::deserialize(deserializer)?.map_or(Self::Unknown, Self::Are))
    }
}

fn bad(place: impl Into<String>, problem: impl Into<String>) -> BadOverlay {
    BadOverlay { place: place.into(), problem: problem.into() }
}

impl Overlay {
    /// Reads a file.
    pub fn read(text: &str) -> Result<Self, BadOverlay> {
        if text.len() > OVERLAY_BYTES_MAX {
            return Err(bad("the file", format!("it is longer than {OVERLAY_BYTES_MAX} bytes")));
        }
        let mut json = serde_json::Deserializer::from_str(text);
        let file: File = serde_path_to_error::deserialize(&mut json).map_err(|error| {
            let place = error.path().to_string();
            let place = if place == "." { "the file".to_owned() } else { place };
            bad(place, error.into_inner().to_string())
        })?;
        json.end().map_err(|error| bad("the file", error.to_string()))?;
        let mut overlay = Self::default();
        for (name, entry) in file.providers {
            overlay.take(&name, entry)?;
        }
        Ok(overlay)
    }

    fn take(&mut self, name: &str, entry: Entry) -> Result<(), BadOverlay> {
        let place = format!("providers.{name}");
        let known = provider(name);
        let id = known.map_or(name, |spec| spec.id).to_owned();
        let segment = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
        let fits = !id.is_empty() && id.len() <= NAME_CHARS_MAX && id.chars().all(segment);
        if !fits || id.chars().all(|c| c == '.') || id == DEMO_PROVIDER {
            return Err(bad(
                place,
                "this cannot be a provider's id: it has letters, digits, `-`, `_` and `.`",
            ));
        }
        if known.is_none() {
            self.own.push(own(&id, &place, &entry)?);
        } else if let Some(field) = [
            ("name", entry.name.is_some()),
            ("api", entry.api.is_some()),
            ("baseUrl", entry.base_url.is_some()),
            ("apiKey", entry.api_key.is_some()),
        ]
        .into_iter()
        .find_map(|(field, there)| there.then_some(field))
        {
            let variables = known.map(|spec| spec.base_url_env.join(" or ")).unwrap_or_default();
            return Err(bad(
                format!("{place}.{field}"),
                format!(
                    "{id} is a provider that Toft knows: its key is set in Settings, its address by \
                     {variables}. For another server, give it another id"
                ),
            ));
        }
        let models = self.models.entry(id).or_default();
        for (at, model) in entry.models.into_iter().enumerate() {
            let place = format!("{place}.models[{at}]");
            model.check(&place)?;
            if let Some(twice) = models.insert(model.id.clone(), model) {
                return Err(bad(place, format!("the model {:?} stands there twice", twice.id)));
            }
        }
        Ok(())
    }

    /// Providers that the catalogue does not have, by id.
    pub fn providers(&self) -> &[OwnProvider] {
        &self.own
    }

    /// As [`super::model`], with what the file says over it.
    pub fn model(&self, provider_id: &str, id: &str) -> Option<ModelInfo> {
        let spec = provider(provider_id);
        let provider_id = spec.map_or(provider_id, |spec| spec.id);
        let own = || {
            let own = self.own.iter().find(|own| own.id == provider_id)?;
            Some(unlisted_model(&own.id, own.api, id))
        };
        let info = model(provider_id, id).or_else(own)?;
        let told = self.models.get(provider_id).and_then(|models| models.get(id));
        Some(told.map_or(info.clone(), |told| told.over(info)))
    }

    /// Of how many models it says anything.
    pub fn count(&self) -> usize {
        self.models.values().map(BTreeMap::len).sum()
    }

    /// Models of which the file says anything, by id.
    pub fn told(&self, provider_id: &str) -> Vec<ModelInfo> {
        let id = provider(provider_id).map_or(provider_id, |spec| spec.id);
        let ids = self.models.get(id).into_iter().flat_map(BTreeMap::keys);
        ids.filter_map(|model| self.model(id, model)).collect()
    }

    /// As [`super::models`], with those of the file.
    pub fn models(&self, provider_id: &str) -> Vec<ModelInfo> {
        let told = self.models.get(provider(provider_id).map_or(provider_id, |spec| spec.id));
        let listed = models(provider_id).into_iter().map(|info| info.id);
        let mut ids: Vec<String> =
            listed.chain(told.into_iter().flat_map(|m| m.keys().cloned())).collect();
        ids.sort_unstable();
        ids.dedup();
        ids.iter().filter_map(|id| self.model(provider_id, id)).collect()
    }
}

/// A provider that the catalogue does not have needs all that it would say of one.
fn own(id: &str, place: &str, entry: &Entry) -> Result<OwnProvider, BadOverlay> {
    let missing = |field: &str, what: &str| {
        let problem = format!("Toft does not know this provider: give its `{field}`, {what}");
        bad(place, problem)
    };
    let api = entry.api.filter(|api| *api != Api::Scripted);
    let api = api.ok_or_else(|| missing("api", "for most \"openai-completions\""))?;
    let base_url = entry.base_url.clone();
    let base_url = base_url.ok_or_else(|| missing("baseUrl", "such as \"http://HOST:PORT/v1\""))?;
    let url = base_url.parse::<http::Uri>().ok().filter(|url| {
        matches!(url.scheme_str(), Some("http" | "https"))
            && url.authority().is_some_and(|host| !host.as_str().contains('@'))
            && url.query().is_none()
    });
    if url.is_none() || base_url.contains('#') {
        let problem = "it is no address: http:// or https://, a host, and a path, nothing else";
        return Err(bad(format!("{place}.baseUrl"), problem));
    }
    let key_env = match entry.api_key.as_deref() {
        None => None,
        Some(key) => Some(variable(key).ok_or_else(|| {
            // Not repeated: it may be a key.
            let problem = "a file of models holds no keys: put it into a variable of the environment, and \
                 here its name, as \"$NAME\"";
            bad(format!("{place}.apiKey"), problem)
        })?),
    };
    Ok(OwnProvider {
        id: id.to_owned(),
        name: entry.name.clone().unwrap_or_else(|| id.to_owned()),
        api,
        base_url: base_url.trim_end_matches('/').to_owned(),
        key_env,
    })
}

/// `NAME` of `$NAME`.
fn variable(text: &str) -> Option<String> {
    let name = text.strip_prefix('$')?;
    let plain = |c: char| c.is_ascii_alphanumeric() || c == '_';
    (!name.is_empty() && name.chars().all(plain)).then(|| name.to_owned())
}

impl Told {
    fn check(&self, place: &str) -> Result<(), BadOverlay> {
        let printable = |text: &str| {
            let chars = text.chars().count();
            (1..=NAME_CHARS_MAX).contains(&chars) && !text.contains(char::is_control)
        };
        if !printable(&self.id) || self.id.contains(' ') {
            let problem = "it is a model's name as its provider has it, without spaces";
            return Err(bad(format!("{place}.id"), problem));
        }
        if !self.name.as_deref().is_none_or(printable) {
            return Err(bad(format!("{place}.name"), "it is empty, too long or no text"));
        }
        let tokens = [("contextWindow", self.context_window), ("maxTokens", self.max_tokens)];
        for (field, tokens) in tokens {
            if tokens.is_some_and(|n| n == 0 || n > TOKENS_MAX) {
                return Err(bad(format!("{place}.{field}"), "it is no number of tokens"));
            }
        }
        if let (Some(context), Some(output)) = (self.context_window, self.max_tokens)
            && output > context
        {
            let problem = format!("an answer of {output} tokens does not fit into {context}");
            return Err(bad(format!("{place}.maxTokens"), problem));
        }
        let Costs::Are(cost) = &self.cost else { return Ok(()) };
        let above =
            cost.above.iter().flat_map(|a| [a.input, a.output, a.cache_read, a.cache_write]);
        let optional = [cost.cache_read, cost.cache_write, cost.reasoning].into_iter().flatten();
        let mut all = [cost.input, cost.output].into_iter().chain(optional).chain(above);
        // What a token costs at most by now, and a thousand times that.
        if all.any(|dollars| !(0.0..=1e6).contains(&dollars)) {
            let problem = "prices are US dollars per million tokens, from 0 on";
            return Err(bad(format!("{place}.cost"), problem));
        }
        Ok(())
    }

    fn over(&self, info: ModelInfo) -> ModelInfo {
        let context_window = self.context_window.unwrap_or(info.context_window);
        let max_tokens = self.max_tokens.unwrap_or(info.max_tokens).min(context_window);
        let images = self.input.as_ref().map(|input| input.contains(&Input::Image));
        ModelInfo {
            name: self.name.clone().unwrap_or(info.name),
            context_window,
            max_tokens,
            reasoning: self.reasoning.unwrap_or(info.reasoning),
            images: images.unwrap_or(info.images),
            price: match self.cost {
                Costs::AsListed => info.price,
                Costs::Unknown => None,
                Costs::Are(cost) => Some(cost.price()),
            },
            ..info
        }
    }
}

impl Cost {
    fn price(self) -> Price {
        Price {
            input: self.input,
            output: self.output,
            cache_read: self.cache_read.unwrap_or(self.input),
            cache_write: self.cache_write.unwrap_or(self.input),
            reasoning: self.reasoning,
            above: self.above,
        }
    }
}
