//! Which providers there are, how they are reached and which dialect they speak, and what is known
//! of their models. Data only: it holds no key, reads no environment and makes no request.
//!
//! Models, limits and prices: `data/models.json`, taken from models.dev (MIT licence). Names of key
//! variables, default models and the order of choice: the documents under `seeds`.

mod models;
mod specs;

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
    /// Where it lives, without a slash at the end. Stands for [`ProviderSpec::mount`].
    pub base_url: &'static str,
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
    /// Variables that may replace `default_model`.
    pub model_env: &'static [&'static str],
    /// The model that a session gets when nobody chose one.
    pub default_model: &'static str,
    /// What differs from OpenAI's own chat format; meaningless for other formats.
    pub dialect: Dialect,
}

/// How a provider takes its key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Auth {
    /// `Authorization: Bearer KEY`.
    Bearer,
    /// `x-api-key: KEY`.
    XApiKey,
    /// Google: `x-goog-api-key: KEY`, and `Authorization: Bearer KEY` under `/openai/`.
    Google,
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

    /// Path after `/llm/{id}` at which it answers in a wire format, if it does.
    pub fn path_in(&self, api: Api) -> Option<&'static str> {
        let also = || self.also.iter().find(|(one, _)| *one == api).map(|(_, path)| *path);
        if self.api == api { Some(self.chat_path) } else { also() }
    }

    /// Header name and value that carry the key for a path after `/llm/{id}`.
    pub fn credential(&self, path: &str, key: &str) -> (&'static str, String) {
        match self.auth {
            Auth::XApiKey => ("x-api-key", key.to_owned()),
            Auth::Google if !is_openai(path) => ("x-goog-api-key", key.to_owned()),
            Auth::Google | Auth::Bearer => ("authorization", format!("Bearer {key}")),
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

/// A provider by its id or another name of it.
pub fn provider(id: &str) -> Option<&'static ProviderSpec> {
    providers().iter().find(|p| p.id == id || p.aliases.contains(&id))
}

/// Models that are known of a provider (`demo` included), by id.
pub fn models(provider_id: &str) -> Vec<ModelInfo> {
    if provider_id == DEMO_PROVIDER {
        return crate::scripted::models();
    }
    let Some(spec) = provider(provider_id) else { return Vec::new() };
    models::rows(spec.id).iter().map(|row| row.info(spec)).collect()
}

/// What is known of a model. An id that the catalogue does not list gets the numbers of the listed
/// model that it begins with, or cautious ones, and no price. `None` for an unknown provider and for
/// an unknown model of the demo.
pub fn model(provider_id: &str, id: &str) -> Option<ModelInfo> {
    if provider_id == DEMO_PROVIDER {
        return crate::scripted::models().into_iter().find(|m| m.id == id);
    }
    let spec = provider(provider_id)?;
    let rows = models::rows(spec.id);
    if let Some(row) = rows.iter().find(|row| row.id == id) {
        return Some(row.info(spec));
    }
    Some(match kin(rows, id) {
        Some(row) => {
            ModelInfo { id: id.to_owned(), name: id.to_owned(), price: None, ..row.info(spec) }
        }
        None => unlisted_model(spec.id, spec.api, id),
    })
}

/// The listed model that an id begins with.
fn kin<'a>(rows: &'a [models::Row], id: &str) -> Option<&'a models::Row> {
    rows.iter()
        .filter(|row| id.strip_prefix(row.id.as_str()).is_some_and(|rest| rest.starts_with('-')))
        .max_by_key(|row| row.id.len())
}

/// What to reckon with where too little would do harm: the model's own price, else that of the listed
/// model that its id begins with, else the most that its provider takes for each kind of token. `None`
/// where no price of the provider is known.
pub fn cautious_price(provider_id: &str, id: Option<&str>) -> Option<Price> {
    let rows = models::rows(provider(provider_id)?.id);
    let own = id.and_then(|id| rows.iter().find(|row| row.id == id).or_else(|| kin(rows, id)));
    own.and_then(models::Row::price).or_else(|| {
        rows.iter().filter_map(models::Row::price).reduce(|a, b| Price {
            input: a.input.max(b.input),
            output: a.output.max(b.output),
            cache_read: a.cache_read.max(b.cache_read),
            cache_write: a.cache_write.max(b.cache_write),
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_default_model_is_listed_or_said_to_be_unknown() {
        for p in providers() {
            let listed = models::rows(p.id).iter().any(|row| row.id == p.default_model);
            assert!(listed, "{} has no {}", p.id, p.default_model);
            assert!(p.chat_path.starts_with(p.mount), "{}", p.id);
            assert!(!p.base_url.ends_with('/'), "{}", p.id);
            assert!(!p.key_env.is_empty(), "{}", p.id);
        }
    }

    #[test]
    fn ids_and_aliases_are_unique() {
        let mut names: Vec<&str> =
            providers().iter().flat_map(|p| [p.id].into_iter().chain(p.aliases.to_vec())).collect();
        names.sort_unstable();
        let before = names.len();
        names.dedup();
        assert_eq!(names.len(), before);
    }

    #[test]
    fn the_first_provider_with_a_key_is_chosen_and_anthropic_after_the_documents_others() {
        assert_eq!(auto_pick(|_| false), ModelRef { provider: "demo".into(), id: "app".into() });
        assert_eq!(auto_pick(|p| p == "anthropic").id, "claude-opus-4-6");
        assert_eq!(auto_pick(|p| p == "anthropic" || p == "qwen").provider, "qwen");
        assert_eq!(auto_pick(|_| true).provider, "openai");
    }

    #[test]
    fn an_unlisted_model_takes_after_its_kin_but_has_no_price() {
        let dated = model("anthropic", "claude-opus-4-6-20260205").unwrap();
        assert_eq!((dated.context_window, dated.price), (1_000_000, None));
        let strange = model("groq", "no-such-thing").unwrap();
        assert_eq!(strange.context_window, UNKNOWN_CONTEXT_WINDOW);
        assert_eq!(model("nobody", "x"), None);
        assert_eq!(model("demo", "x"), None);
        assert!(model("demo", "app").unwrap().demo);
    }

    #[test]
    fn a_price_to_reckon_with_is_its_own_or_its_kins_or_the_dearest() {
        let price = |id| model("openai", id).unwrap().price.unwrap();
        let reckoned = |id| cautious_price("openai", id).unwrap();
        assert_eq!(reckoned(Some("gpt-5")), price("gpt-5"));
        assert_eq!(reckoned(Some("gpt-5-2025-08-07")), price("gpt-5"));
        assert_eq!(reckoned(Some("gpt-5-mini-2025-08-07")), price("gpt-5-mini"));
        for unknown in [Some("no-such-thing"), None] {
            let dearest = reckoned(unknown);
            for info in models("openai") {
                let Some(price) = info.price else { continue };
                assert!(dearest.input >= price.input && dearest.output >= price.output);
            }
        }
        assert_eq!((cautious_price("nobody", None), cautious_price("demo", None)), (None, None));
    }

    #[test]
    fn paths_meet_base_urls_as_each_provider_has_them() {
        let url = |id: &str, path: &str| {
            let spec = provider(id).unwrap();
            spec.upstream_url(spec.base_url, path)
        };
        assert_eq!(url("anthropic", "/v1/messages"), "https://api.anthropic.com/v1/messages");
        assert_eq!(
            url("groq", "/v1/chat/completions"),
            "https://api.groq.com/openai/v1/chat/completions"
        );
        assert_eq!(
            url("zai", "/v1/chat/completions"),
            "https://api.z.ai/api/paas/v4/chat/completions"
        );
        assert_eq!(
            url("gemini", "/v1beta/models/g:generateContent?alt=sse"),
            "https://generativelanguage.googleapis.com/v1beta/models/g:generateContent?alt=sse"
        );
        assert_eq!(url("openai", "/v1beta/x"), "https://api.openai.com/v1/v1beta/x");
    }

    #[test]
    fn the_key_goes_where_the_provider_wants_it() {
        let google = provider("google").unwrap();
        assert_eq!(google.credential("/v1beta/models/g", "k").0, "x-goog-api-key");
        let chat = google.path_in(Api::OpenaiCompletions).unwrap();
        assert_eq!(google.credential(chat, "k").1, "Bearer k");
        assert_eq!(google.credential(google.chat_path, "k").0, "x-goog-api-key");
        assert_eq!(provider("anthropic").unwrap().credential("/v1/messages", "k").0, "x-api-key");
    }

    #[test]
    fn the_list_holds_what_can_be_called_and_the_demo() {
        let list = model_list(|p| p == "groq", None, "off");
        assert!(list.models.iter().all(|m| m.provider == "groq" || m.demo));
        assert_eq!(list.providers.len(), 1);
        assert_eq!(list.default.provider, "groq");
        let wish = ModelRef { provider: "groq".into(), id: "brand-new".into() };
        assert_eq!(model_list(|p| p == "groq", Some(wish), "off").models[0].id, "brand-new");
    }
}
