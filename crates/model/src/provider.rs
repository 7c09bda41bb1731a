//! Model providers and models as the gateway shows them to machines and people
//! (`GET /llm/models` on the gateway, `GET /v1/models` on the server). Never holds a key.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::{collections::BTreeMap, fmt};

/// Wire format that a provider speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Api {
    /// `POST /v1/messages`.
    AnthropicMessages,
    /// `POST /v1/chat/completions`.
    OpenaiCompletions,
    /// `POST /v1/responses`.
    OpenaiResponses,
    /// `POST /v1beta/models/{model}:streamGenerateContent`.
    GoogleGenerativeAi,
    /// `POST /model/{model}/converse-stream`.
    BedrockConverseStream,
    /// The scripted model inside Toft; no network.
    Scripted,
}

impl Api {
    /// The name used on the wire and in session files.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::AnthropicMessages => "anthropic-messages",
            Self::OpenaiCompletions => "openai-completions",
            Self::OpenaiResponses => "openai-responses",
            Self::GoogleGenerativeAi => "google-generative-ai",
            Self::BedrockConverseStream => "bedrock-converse-stream",
            Self::Scripted => "scripted",
        }
    }
}

/// A model by provider and id.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
pub struct ModelRef {
    /// Provider id, for example `anthropic`; `demo` is the scripted one.
    pub provider: String,
    /// Model id as the provider names it.
    pub id: String,
}

impl ModelRef {
    /// From `PROVIDER/MODEL`, as people and programs write it: what follows the first slash is the model's
    /// name, slashes and all.
    pub fn named(name: &str) -> Option<Self> {
        let (provider, id) = name.split_once('/')?;
        let some = !provider.is_empty() && !id.is_empty();
        some.then(|| Self { provider: provider.to_owned(), id: id.to_owned() })
    }
}

impl fmt::Display for ModelRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.provider, self.id)
    }
}

/// In place of a model's own name: all models of a provider.
pub const ALL_MODELS: &str = "*";

/// Models that stand in for others. By `PROVIDER/MODEL`, or `PROVIDER/*` for all of a provider that have
/// none of their own here: those that are asked in its place, in this order; an empty list: nobody.
pub type Chains = BTreeMap<String, Vec<String>>;

/// What these chains say of a model; `None`: nothing.
pub fn chain_of<'a>(chains: &'a Chains, model: &ModelRef) -> Option<&'a [String]> {
    let all = || chains.get(&format!("{}/{ALL_MODELS}", model.provider));
    chains.get(&model.to_string()).or_else(all).map(Vec::as_slice)
}

/// Models that stand in for others whose provider is down.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct Fallbacks {
    /// Of all projects that say nothing else.
    pub chains: Chains,
    /// Seconds until the first byte of a streamed answer; who needs longer counts as down. `0` never.
    pub first_byte_s: u32,
}

impl Fallbacks {
    /// Models that have others to stand in for them.
    pub const CHAINS_MAX: usize = 100;
    /// Models that stand in for one.
    pub const CHAIN_MAX: usize = 8;
    /// Beyond this a call is given up anyway.
    pub const FIRST_BYTE_S_MAX: u32 = 300;
}

impl Default for Fallbacks {
    fn default() -> Self {
        // Providers begin within seconds; models that think in silence may need most of a minute.
        Self { chains: Chains::new(), first_byte_s: 60 }
    }
}

/// Provider id of the scripted model.
pub const DEMO_PROVIDER: &str = "demo";

/// What is known of a model.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ModelInfo {
    /// Provider id.
    pub provider: String,
    /// Model id.
    pub id: String,
    /// Name for people.
    pub name: String,
    /// Wire format.
    pub api: Api,
    /// Tokens that fit in one request.
    pub context_window: u64,
    /// Output tokens at most.
    pub max_tokens: u64,
    /// Whether it can think before it answers.
    pub reasoning: bool,
    /// Whether it takes images.
    pub images: bool,
    /// Prices in US dollars per million tokens, when known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub price: Option<Price>,
    /// True for the scripted model: shown wherever it speaks.
    #[serde(default)]
    pub demo: bool,
}

/// US dollars per million tokens.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Price {
    /// Uncached input.
    pub input: f64,
    /// Output.
    pub output: f64,
    /// Cached input.
    pub cache_read: f64,
    /// Writing to the cache.
    pub cache_write: f64,
    /// Thinking, where it costs something else than the rest of the output.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reasoning: Option<f64>,
    /// What takes the place of these prices for long prompts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub above: Option<PriceAbove>,
}

/// US dollars per million tokens of a call whose prompt is longer than most.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct PriceAbove {
    /// For prompts of more tokens than this, cached ones included.
    pub tokens: u64,
    /// See [`Price::input`].
    pub input: f64,
    /// See [`Price::output`].
    pub output: f64,
    /// See [`Price::cache_read`].
    pub cache_read: f64,
    /// See [`Price::cache_write`].
    pub cache_write: f64,
}

impl Price {
    /// Those for a call whose prompt has so many tokens, cached ones included.
    pub fn at(&self, prompt_tokens: u64) -> Self {
        match self.above.filter(|above| prompt_tokens > above.tokens) {
            None => Self { above: None, ..*self },
            Some(above) => Self {
                input: above.input,
                output: above.output,
                cache_read: above.cache_read,
                cache_write: above.cache_write,
                reasoning: None,
                above: None,
            },
        }
    }
}

/// Answer of the gateway's `GET /llm/models`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ModelList {
    /// What a session without a choice of its own uses.
    pub default: ModelRef,
    /// Thinking level for such a session (`off minimal low medium high xhigh`).
    #[serde(rename = "defaultThinkingLevel")]
    pub default_thinking_level: String,
    /// Models of every provider that has a key, and the demo.
    pub models: Vec<ModelInfo>,
    /// Providers that have a key; any model id may be asked of them, listed or not.
    pub providers: Vec<ProviderInfo>,
}

/// A provider that can be called.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ProviderInfo {
    /// Provider id: also the path segment under `/llm/`.
    pub id: String,
    /// Name for people.
    pub name: String,
    /// Wire format.
    pub api: Api,
}
