//! Which providers there are, how they are reached and which dialect they speak, and what is known
//! of their models. Data only: it holds no key, reads no environment and makes no request.
//!
//! Models, limits and prices: `data/models.tsv`, taken from models.dev (MIT licence). Names of key
//! variables, default models and the order of choice: the documents under `seeds`.

pub mod local;
mod models;
pub mod overlay;
mod regions;
mod specs;

#[cfg(test)]
mod tests;

use toft_model::provider::{
    Api, DEMO_PROVIDER, ModelInfo, ModelList, ModelRef, Price, ProviderInfo,
};

/// Context window of a model that the catalogue does not know: what nearly all of today's have.
const UNKNOWN_CONTEXT_WINDOW: u64 = 128_000;

/// Output tokens of a model that the catalogue does not know: what nearly all accept.
const UNKNOWN_MAX_TOKENS: u64 = 8_192;

/// One provider.
#[derive(Debug, PartialEq)]
pub struct ProviderSpec {
    /// Id; also the path segment under `/llm/`.
    pub id: &'static str,
    /// Other names that people use for it.
    pub aliases: &'static [&'static str],
    /// Name for people.
    pub name: &'static str,
    /// Wire format.
    pub api: Api,
    /// Where it lives, without a slash at the end. Stands for [`ProviderSpec::mount`]. With parts in
    /// `{braces}`, [`ProviderSpec::base_url_with`] fills them in.
    pub base_url: &'static str,
    /// Those parts.
    pub url_parts: &'static [UrlPart],
    /// The part of the path after `/llm/{id}` that `base_url` (or its replacement) stands for:
    /// see [`ProviderSpec::upstream_url`].
    pub mount: &'static str,
    /// Path after `/llm/{id}` that the adapter posts to; begins with `mount`. In Google's format, the
    /// models are below it.
    pub chat_path: &'static str,
    /// Other wire formats that it answers too, each with its path.
    pub also: &'static [(Api, &'static str)],
    /// How it takes a key.
    pub auth: Auth,
    /// Variables that may hold the key, first found wins.
    pub key_env: &'static [&'static str],
    /// Variables that may replace `base_url`.
    pub base_url_env: &'static [&'static str],
    /// A variable that, when it is true, puts another address in the place of `base_url`.
    pub base_url_switch: Option<(&'static str, &'static str)>,
    /// Variables that may replace `default_model`.
    pub model_env: &'static [&'static str],
    /// Headers that go with every request where their variable is set: name and variable.
    pub header_env: &'static [(&'static str, &'static str)],
    /// The model that a session gets when nobody chose one; [`ProviderSpec::default_model_in`] has it for a
    /// region.
    pub default_model: &'static str,
    /// What differs from OpenAI's own chat format; meaningless for other formats.
    pub dialect: Dialect,
}

/// A part of a base URL that differs between accounts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct UrlPart {
    /// What stands in the braces.
    pub name: &'static str,
    /// Variables that may hold it, first found wins.
    pub env: &'static [&'static str],
    /// Without them.
    pub default: Option<&'static str>,
}

/// How a provider takes its key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Auth {
    /// `Authorization: Bearer KEY`.
    Bearer,
    /// `x-api-key: KEY`.
    XApiKey,
    /// `api-key: KEY`.
    ApiKey,
    /// Google: `x-goog-api-key: KEY`, and `Authorization: Bearer KEY` under `/openai/`.
    Google,
    /// Amazon: `Authorization: Bearer KEY` with a key of the service's own; without one, requests are
    /// signed with the keys of an account.
    Aws(AwsKeys),
}

/// What signs requests to one of Amazon's services (Signature Version 4).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AwsKeys {
    /// The service's name in a signature; its region is the URL part `region`.
    pub service: &'static str,
    /// Variables that may hold the public part of an account's key.
    pub access_key_env: &'static [&'static str],
    /// Its secret part.
    pub secret_key_env: &'static [&'static str],
    /// Goes with keys that last for hours.
    pub session_token_env: &'static [&'static str],
}

/// What a provider of the OpenAI chat format does differently.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Dialect {
    /// The name of the output limit: `max_completion_tokens` instead of `max_tokens`.
    pub max_completion_tokens: bool,
    /// The system prompt of thinking models goes in the role `developer`.
    pub developer_role: bool,
    /// Takes `stream_options: {"include_usage": true}`.
    pub stream_options: bool,
    /// How thinking is asked for.
    pub thinking: ThinkingFormat,
    /// Earlier thinking goes back as `reasoning_content`.
    pub replays_reasoning: bool,
    /// While it thinks, it refuses a conversation in which a message of the model lacks that field, whoever
    /// wrote it.
    pub wants_reasoning: bool,
    /// Earlier thinking goes back as the `reasoning_details` that it came with.
    pub reasoning_details: bool,
    /// Takes `prompt_cache_key` and `store`.
    pub openai_extras: bool,
    /// Takes Anthropic's `cache_control` for models of that maker.
    pub cache_control: bool,
    /// Ids of tool calls must be nine letters or digits.
    pub short_tool_ids: bool,
    /// A user message must not follow a tool result directly.
    pub assistant_after_tool: bool,
}

/// How a provider of the OpenAI chat format is told how hard to think.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ThinkingFormat {
    /// Not at all.
    Unsupported,
    /// `reasoning_effort: "low"`.
    Effort,
    /// `reasoning: {"effort": "low"}`.
    OpenRouter,
    /// `thinking: {"type": "enabled"}`.
    Switch,
    /// The same, and earlier thinking is kept: `"clear_thinking": false`.
    Zai,
    /// `reasoning: {"enabled": true}`.
    Enabled,
    /// `reasoning_effort: "low"` for OpenAI's open models alone; the others take other words, or none.
    GptOss,
    /// `enable_thinking: true`.
    Qwen,
}

impl Dialect {
    /// What most compatible providers take.
    pub const PLAIN: Self = Self {
        max_completion_tokens: false,
        developer_role: false,
        stream_options: true,
        thinking: ThinkingFormat::Unsupported,
        replays_reasoning: false,
        wants_reasoning: false,
        reasoning_details: false,
        openai_extras: false,
        cache_control: false,
        short_tool_ids: false,
        assistant_after_tool: false,
    };
}

impl ProviderSpec {
    /// The provider's own address for a path after `/llm/{id}` (query included). `base_url` is this
    /// spec's, or what a person put in its place. A path outside of [`ProviderSpec::mount`] is
    /// taken below the base as it is.
    ///
    /// ```
    /// let openai = toft_llm::catalogue::provider("openai").unwrap();
    /// assert_eq!(
    ///     openai.upstream_url("http://127.0.0.1:4010/v1/", "/v1/chat/completions"),
    ///     "http://127.0.0.1:4010/v1/chat/completions"
    /// );
    /// ```
    pub fn upstream_url(&self, base_url: &str, path: &str) -> String {
        let base = base_url.trim_end_matches('/');
        let below = match path.strip_prefix(self.mount) {
            Some(rest) if rest.is_empty() || rest.starts_with(['/', '?']) => rest,
            Some(_) | None => path,
        };
        format!("{base}{below}")
    }

    /// [`ProviderSpec::base_url`] with its parts filled in. `given`: the value of the first of these
    /// variables that is set. The error says what to set.
    pub fn base_url_with(
        &self,
        given: impl Fn(&[&'static str]) -> Option<String>,
    ) -> Result<String, String> {
        let mut url = self.base_url.to_owned();
        for part in self.url_parts {
            let value = given(part.env).or_else(|| part.default.map(str::to_owned));
            let value = value.ok_or_else(|| {
                let names: Vec<&str> = part.env.iter().chain(self.base_url_env).copied().collect();
                format!("it has a {} in it: set one of {}", part.name, names.join(", "))
            })?;
            // A part of a host's name and nothing else, so that the key goes where it should.
            let plain = |c: char| c.is_ascii_alphanumeric() || c == '-';
            if value.is_empty() || !value.chars().all(plain) {
                return Err(format!(
                    "{:?} is no {}: it has letters, digits and `-`; correct {}",
                    value,
                    part.name,
                    part.env.join(" or ")
                ));
            }
            url = url.replace(&format!("{{{}}}", part.name), &value);
        }
        Ok(url)
    }

    /// [`ProviderSpec::default_model`] as it is named in a region, or in the one of who says none.
    pub fn default_model_in(&self, region: Option<&str>) -> &'static str {
        let part = self.url_parts.iter().find(|part| part.name == "region");
        let region = region.or(part.and_then(|part| part.default));
        let name = region.and_then(|region| regions::name_in(region, self.default_model));
        let listed = name.and_then(|name| models::row(self.id, &name));
        listed.map_or(self.default_model, |row| row.id)
    }

    /// Path after `/llm/{id}` at which it answers in a wire format, if it does.
    pub fn path_in(&self, api: Api) -> Option<&'static str> {
        let also = || self.also.iter().find(|(one, _)| *one == api).map(|(_, path)| *path);
        if self.api == api { Some(self.chat_path) } else { also() }
    }

    /// Header name and value that carry the key for a path after `/llm/{id}`.
    pub fn credential(&self, path: &str, key: &str) -> (&'static str, String) {
        match self.auth {
            Auth::XApiKey => ("x-api-key", key.to_owned()),
            Auth::ApiKey => ("api-key", key.to_owned()),
            Auth::Google if !is_openai(path) => ("x-goog-api-key", key.to_owned()),
            Auth::Google | Auth::Bearer | Auth::Aws(_) => {
                ("authorization", format!("Bearer {key}"))
            }
        }
    }

    /// As machines and people see it.
    pub fn info(&self) -> ProviderInfo {
        ProviderInfo { id: self.id.to_owned(), name: self.name.to_owned(), api: self.api }
    }
}

/// Whether a path of Google's is one of its OpenAI format, `/v1beta/openai/…`; a model's name further
/// on may have that word too.
fn is_openai(path: &str) -> bool {
    path.split('/').skip(1).take(2).any(|part| part == "openai")
}

/// All providers, in the order in which one with a key is chosen when nobody chose. The demo is not
/// among them.
pub fn providers() -> &'static [ProviderSpec] {
    specs::PROVIDERS
}

/// A provider by its id or another name of it; servers of one's own machine too, which
/// [`providers`] leaves out.
pub fn provider(id: &str) -> Option<&'static ProviderSpec> {
    let all = providers().iter().chain(local::SERVERS.iter().map(|server| &server.spec));
    all.into_iter().find(|p| p.id == id || p.aliases.contains(&id))
}

/// Models that are known of a provider (`demo` included) and that an agent can work with, by id.
pub fn models(provider_id: &str) -> Vec<ModelInfo> {
    if provider_id == DEMO_PROVIDER {
        return crate::scripted::models();
    }
    let Some(spec) = provider(provider_id) else { return Vec::new() };
    models::rows(spec.id).filter(models::Row::is_offered).map(|row| row.info(spec)).collect()
}

/// What is known of a model. An id that the catalogue does not list gets the numbers of the listed
/// model that it begins with, or cautious ones, and no price. `None` for an unknown provider and for
/// an unknown model of the demo.
pub fn model(provider_id: &str, id: &str) -> Option<ModelInfo> {
    if provider_id == DEMO_PROVIDER {
        return crate::scripted::models().into_iter().find(|m| m.id == id);
    }
    let spec = provider(provider_id)?;
    if let Some(row) = models::row(spec.id, id) {
        return Some(row.info(spec));
    }
    Some(match kin(spec.id, id) {
        Some(row) => {
            ModelInfo { id: id.to_owned(), name: id.to_owned(), price: None, ..row.info(spec) }
        }
        None => unlisted_model(spec.id, spec.api, id),
    })
}

/// The listed model that an id begins with.
fn kin(provider: &str, id: &str) -> Option<models::Row> {
    let begins =
        |row: &models::Row| id.strip_prefix(row.id).is_some_and(|rest| rest.starts_with('-'));
    models::rows(provider).filter(begins).max_by_key(|row| row.id.len())
}

/// What to reckon with where too little would do harm: the model's own price, else that of the listed
/// model that its id begins with, else the most that its provider takes for each kind of token. `None`
/// where no price of the provider is known.
pub fn cautious_price(provider_id: &str, id: Option<&str>) -> Option<Price> {
    let provider = provider(provider_id)?.id;
    let own = id.and_then(|id| models::row(provider, id).or_else(|| kin(provider, id)));
    own.and_then(|row| row.price()).or_else(|| {
        let offered = models::rows(provider).filter(models::Row::is_offered);
        offered.filter_map(|row| row.price()).reduce(|a, b| Price {
            input: a.input.max(b.input),
            output: a.output.max(b.output),
            cache_read: a.cache_read.max(b.cache_read),
            cache_write: a.cache_write.max(b.cache_write),
            ..Price::default()
        })
    })
}

/// A model of which nothing is known, also of a provider that a person added.
pub fn unlisted_model(provider_id: &str, api: Api, id: &str) -> ModelInfo {
    ModelInfo {
        provider: provider_id.to_owned(),
        id: id.to_owned(),
        name: id.to_owned(),
        api,
        context_window: UNKNOWN_CONTEXT_WINDOW,
        max_tokens: UNKNOWN_MAX_TOKENS,
        reasoning: false,
        images: false,
        price: None,
        demo: false,
    }
}

/// The default of the first provider that `has_key`; the demo's when none has.
pub fn auto_pick(has_key: impl Fn(&str) -> bool) -> ModelRef {
    providers().iter().find(|p| has_key(p.id)).map_or_else(
        || ModelRef { provider: DEMO_PROVIDER.into(), id: crate::scripted::DEFAULT_MODEL.into() },
        |p| ModelRef { provider: p.id.into(), id: p.default_model.into() },
    )
}

/// The list for providers that `has_key`: their models, then the demo's. `default` is
/// [`auto_pick`]'s when absent. A default model that the catalogue does not list is listed too.
pub fn model_list(
    has_key: impl Fn(&str) -> bool,
    default: Option<ModelRef>,
    default_thinking_level: &str,
) -> ModelList {
    let default = default.unwrap_or_else(|| auto_pick(&has_key));
    let with_key: Vec<_> = providers().iter().filter(|p| has_key(p.id)).collect();
    let mut all: Vec<ModelInfo> =
        with_key.iter().flat_map(|p| models(p.id)).chain(models(DEMO_PROVIDER)).collect();
    let listed = all.iter().any(|m| m.provider == default.provider && m.id == default.id);
    if !listed && let Some(extra) = model(&default.provider, &default.id) {
        all.insert(0, extra);
    }
    ModelList {
        default,
        default_thinking_level: default_thinking_level.to_owned(),
        models: all,
        providers: with_key.iter().map(|p| p.info()).collect(),
    }
}
