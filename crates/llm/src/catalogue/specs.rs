//! The table of providers: one entry each, nothing else. The order is the order of choice: that of
//! the Platform Agent's document, whose last is Anthropic, then those it does not name.
//!
//! Default models are that document's, but for three that no longer serve: `grok-2-latest` and
//! `command-r-plus` are gone from the provider, `moonshot-v1-8k` is too small for an agent's prompt.

use super::{Auth, AwsKeys, Dialect, ProviderSpec, ThinkingFormat, UrlPart};
use toft_model::provider::Api::{
    AnthropicMessages, BedrockConverseStream, GoogleGenerativeAi, OpenaiCompletions,
    OpenaiResponses,
};

const PLAIN: Dialect = Dialect::PLAIN;

/// OpenAI itself.
const OPENAI: Dialect = Dialect {
    max_completion_tokens: true,
    developer_role: true,
    thinking: ThinkingFormat::Effort,
    openai_extras: true,
    ..PLAIN
};

/// Thinks by itself, and holds on to what it thought.
const THINKER: Dialect = Dialect {
    thinking: ThinkingFormat::Switch,
    replays_reasoning: true,
    wants_reasoning: true,
    ..PLAIN
};

/// Keys of Amazon's accounts, for those who have no key of Bedrock's own.
const AWS: AwsKeys = AwsKeys {
    service: "bedrock",
    access_key_env: &["AWS_ACCESS_KEY_ID"],
    secret_key_env: &["AWS_SECRET_ACCESS_KEY"],
    session_token_env: &["AWS_SESSION_TOKEN"],
};

/// What most providers have.
pub(super) const CHAT: ProviderSpec = ProviderSpec {
    id: "",
    aliases: &[],
    name: "",
    api: OpenaiCompletions,
    base_url: "",
    url_parts: &[],
    mount: "/v1",
    chat_path: "/v1/chat/completions",
    also: &[],
    auth: Auth::Bearer,
    key_env: &[],
    base_url_env: &[],
    base_url_switch: None,
    model_env: &[],
    header_env: &[],
    default_model: "",
    dialect: PLAIN,
};

pub(super) static PROVIDERS: &[ProviderSpec] = &[
    ProviderSpec {
        id: "openai",
        name: "OpenAI",
        base_url: "https://api.openai.com/v1",
        also: &[(OpenaiResponses, "/v1/responses")],
        key_env: &["OPENAI_API_KEY"],
        base_url_env: &["OPENAI_BASE_URL"],
        model_env: &["OPENAI_MODEL"],
        default_model: "gpt-5",
        dialect: OPENAI,
        ..CHAT
    },
    ProviderSpec {
        id: "xai",
        aliases: &["grok"],
        name: "xAI",
        base_url: "https://api.x.ai/v1",
        also: &[(OpenaiResponses, "/v1/responses")],
        key_env: &["XAI_API_KEY"],
        base_url_env: &["XAI_BASE_URL"],
        model_env: &["XAI_MODEL"],
        default_model: "grok-4.3",
        ..CHAT
    },
    ProviderSpec {
        id: "zai",
        aliases: &["z.ai"],
        name: "Z.ai",
        base_url: "https://api.z.ai/api/paas/v4",
        key_env: &["ZAI_API_KEY", "ZHIPU_API_KEY"],
        base_url_env: &["ZAI_BASE_URL"],
        base_url_switch: Some(("ZAI_USE_CODING_ENDPOINT", "https://api.z.ai/api/coding/paas/v4")),
        model_env: &["ZAI_MODEL"],
        default_model: "glm-4.7",
        dialect: Dialect { thinking: ThinkingFormat::Zai, replays_reasoning: true, ..PLAIN },
        ..CHAT
    },
    ProviderSpec {
        id: "google",
        aliases: &["gemini"],
        name: "Google Gemini",
        api: GoogleGenerativeAi,
        base_url: "https://generativelanguage.googleapis.com",
        mount: "",
        chat_path: "/v1beta/models",
        also: &[(OpenaiCompletions, "/v1beta/openai/chat/completions")],
        auth: Auth::Google,
        key_env: &["GOOGLE_API_KEY", "GEMINI_API_KEY", "GOOGLE_GENERATIVE_AI_API_KEY"],
        base_url_env: &["GOOGLE_BASE_URL", "GOOGLE_GEMINI_BASE_URL"],
        model_env: &["GOOGLE_MODEL"],
        default_model: "gemini-2.5-pro",
        ..CHAT
    },
    ProviderSpec {
        id: "groq",
        name: "Groq",
        base_url: "https://api.groq.com/openai/v1",
        key_env: &["GROQ_API_KEY"],
        base_url_env: &["GROQ_BASE_URL"],
        model_env: &["GROQ_MODEL"],
        default_model: "llama-3.3-70b-versatile",
        dialect: Dialect { thinking: ThinkingFormat::GptOss, ..PLAIN },
        ..CHAT
    },
    ProviderSpec {
        id: "mistral",
        name: "Mistral",
        base_url: "https://api.mistral.ai/v1",
        key_env: &["MISTRAL_API_KEY"],
        base_url_env: &["MISTRAL_BASE_URL"],
        model_env: &["MISTRAL_MODEL"],
        default_model: "mistral-large-latest",
        dialect: Dialect {
            stream_options: false,
            short_tool_ids: true,
            assistant_after_tool: true,
            ..PLAIN
        },
        ..CHAT
    },
    ProviderSpec {
        id: "cohere",
        name: "Cohere",
        base_url: "https://api.cohere.ai/compatibility/v1",
        key_env: &["COHERE_API_KEY"],
        base_url_env: &["COHERE_BASE_URL"],
        model_env: &["COHERE_MODEL"],
        default_model: "command-r-plus-08-2024",
        ..CHAT
    },
    ProviderSpec {
        id: "openrouter",
        name: "OpenRouter",
        base_url: "https://openrouter.ai/api/v1",
        key_env: &["OPENROUTER_API_KEY"],
        base_url_env: &["OPENROUTER_BASE_URL"],
        model_env: &["OPENROUTER_MODEL"],
        header_env: &[("http-referer", "OPENROUTER_SITE_URL"), ("x-title", "OPENROUTER_APP_NAME")],
        default_model: "openai/gpt-4o-mini",
        dialect: Dialect {
            thinking: ThinkingFormat::OpenRouter,
            cache_control: true,
            reasoning_details: true,
            ..PLAIN
        },
        ..CHAT
    },
    ProviderSpec {
        id: "kimi",
        aliases: &["moonshot", "moonshotai"],
        name: "Moonshot Kimi",
        base_url: "https://api.moonshot.ai/v1",
        key_env: &["KIMI_API_KEY", "MOONSHOT_API_KEY"],
        base_url_env: &["KIMI_BASE_URL", "MOONSHOT_BASE_URL"],
        model_env: &["KIMI_MODEL", "MOONSHOT_MODEL"],
        default_model: "kimi-k2.6",
        dialect: THINKER,
        ..CHAT
    },
    ProviderSpec {
        id: "qwen",
        aliases: &["alibaba", "dashscope"],
        name: "Alibaba Qwen",
        base_url: "https://dashscope-intl.aliyuncs.com/compatible-mode/v1",
        key_env: &["QWEN_API_KEY", "ALIBABA_API_KEY", "DASHSCOPE_API_KEY"],
        base_url_env: &["QWEN_BASE_URL", "ALIBABA_BASE_URL", "DASHSCOPE_BASE_URL"],
        model_env: &["QWEN_MODEL", "ALIBABA_MODEL", "DASHSCOPE_MODEL"],
        default_model: "qwen-max",
        dialect: Dialect { thinking: ThinkingFormat::Qwen, ..PLAIN },
        ..CHAT
    },
    ProviderSpec {
        id: "anthropic",
        aliases: &["claude"],
        name: "Anthropic",
        api: AnthropicMessages,
        base_url: "https://api.anthropic.com",
        mount: "",
        chat_path: "/v1/messages",
        auth: Auth::XApiKey,
        key_env: &["ANTHROPIC_API_KEY"],
        base_url_env: &["ANTHROPIC_BASE_URL", "ANTHROPIC_API_URL"],
        model_env: &["ANTHROPIC_MODEL"],
        default_model: "claude-opus-4-6",
        ..CHAT
    },
    ProviderSpec {
        id: "azure",
        aliases: &["azure-openai"],
        name: "Azure OpenAI",
        // Models go by the names of their deployments. This is the address of all versions since `v1`, which
        // names none.
        base_url: "https://{resource}.openai.azure.com/openai/v1",
        url_parts: &[UrlPart {
            name: "resource",
            env: &["AZURE_OPENAI_RESOURCE_NAME", "AZURE_RESOURCE_NAME"],
            default: None,
        }],
        also: &[(OpenaiResponses, "/v1/responses")],
        auth: Auth::ApiKey,
        key_env: &["AZURE_OPENAI_API_KEY", "AZURE_API_KEY"],
        base_url_env: &["AZURE_OPENAI_BASE_URL"],
        model_env: &["AZURE_OPENAI_MODEL", "AZURE_OPENAI_DEPLOYMENT"],
        default_model: "gpt-5",
        dialect: OPENAI,
        ..CHAT
    },
    ProviderSpec {
        id: "bedrock",
        aliases: &["amazon-bedrock", "aws"],
        name: "Amazon Bedrock",
        api: BedrockConverseStream,
        base_url: "https://bedrock-runtime.{region}.amazonaws.com",
        url_parts: &[UrlPart {
            name: "region",
            env: &["AWS_REGION", "AWS_DEFAULT_REGION"],
            default: Some("us-east-1"),
        }],
        mount: "",
        chat_path: "/model",
        auth: Auth::Aws(AWS),
        key_env: &["AWS_BEARER_TOKEN_BEDROCK"],
        base_url_env: &["AWS_ENDPOINT_URL_BEDROCK_RUNTIME", "BEDROCK_BASE_URL"],
        model_env: &["BEDROCK_MODEL"],
        default_model: "global.anthropic.claude-opus-4-6-v1",
        ..CHAT
    },
    ProviderSpec {
        id: "deepseek",
        name: "DeepSeek",
        base_url: "https://api.deepseek.com/v1",
        key_env: &["DEEPSEEK_API_KEY"],
        base_url_env: &["DEEPSEEK_BASE_URL"],
        model_env: &["DEEPSEEK_MODEL"],
        default_model: "deepseek-v4-pro",
        dialect: THINKER,
        ..CHAT
    },
    ProviderSpec {
        id: "cerebras",
        name: "Cerebras",
        base_url: "https://api.cerebras.ai/v1",
        key_env: &["CEREBRAS_API_KEY"],
        base_url_env: &["CEREBRAS_BASE_URL"],
        model_env: &["CEREBRAS_MODEL"],
        default_model: "zai-glm-4.7",
        dialect: Dialect { max_completion_tokens: true, thinking: ThinkingFormat::GptOss, ..PLAIN },
        ..CHAT
    },
    ProviderSpec {
        id: "together",
        aliases: &["togetherai"],
        name: "Together AI",
        base_url: "https://api.together.xyz/v1",
        key_env: &["TOGETHER_API_KEY"],
        base_url_env: &["TOGETHER_BASE_URL"],
        model_env: &["TOGETHER_MODEL"],
        default_model: "moonshotai/Kimi-K2.6",
        dialect: Dialect { thinking: ThinkingFormat::Enabled, ..PLAIN },
        ..CHAT
    },
    ProviderSpec {
        id: "fireworks",
        aliases: &["fireworks-ai"],
        name: "Fireworks AI",
        base_url: "https://api.fireworks.ai/inference/v1",
        key_env: &["FIREWORKS_API_KEY"],
        base_url_env: &["FIREWORKS_BASE_URL"],
        model_env: &["FIREWORKS_MODEL"],
        default_model: "accounts/fireworks/models/kimi-k2p6",
        dialect: Dialect { thinking: ThinkingFormat::GptOss, ..PLAIN },
        ..CHAT
    },
    ProviderSpec {
        id: "minimax",
        name: "MiniMax",
        api: AnthropicMessages,
        base_url: "https://api.minimax.io/anthropic",
        mount: "",
        chat_path: "/v1/messages",
        auth: Auth::XApiKey,
        key_env: &["MINIMAX_API_KEY"],
        base_url_env: &["MINIMAX_BASE_URL"],
        model_env: &["MINIMAX_MODEL"],
        default_model: "MiniMax-M2.7",
        ..CHAT
    },
    ProviderSpec {
        id: "nvidia",
        name: "NVIDIA",
        base_url: "https://integrate.api.nvidia.com/v1",
        key_env: &["NVIDIA_API_KEY"],
        base_url_env: &["NVIDIA_BASE_URL"],
        model_env: &["NVIDIA_MODEL"],
        default_model: "moonshotai/kimi-k2.6",
        ..CHAT
    },
    ProviderSpec {
        id: "huggingface",
        aliases: &["hf"],
        name: "Hugging Face",
        base_url: "https://router.huggingface.co/v1",
        key_env: &["HF_TOKEN"],
        base_url_env: &["HF_BASE_URL"],
        model_env: &["HF_MODEL"],
        default_model: "moonshotai/Kimi-K2.6",
        dialect: Dialect { thinking: ThinkingFormat::GptOss, ..PLAIN },
        ..CHAT
    },
    ProviderSpec {
        id: "vercel",
        aliases: &["ai-gateway"],
        name: "Vercel AI Gateway",
        base_url: "https://ai-gateway.vercel.sh/v1",
        key_env: &["AI_GATEWAY_API_KEY"],
        base_url_env: &["AI_GATEWAY_BASE_URL"],
        model_env: &["AI_GATEWAY_MODEL"],
        default_model: "anthropic/claude-sonnet-4.6",
        ..CHAT
    },
    ProviderSpec {
        id: "xiaomi",
        aliases: &["mimo"],
        name: "Xiaomi MiMo",
        base_url: "https://api.xiaomimimo.com/v1",
        key_env: &["XIAOMI_API_KEY"],
        base_url_env: &["XIAOMI_BASE_URL"],
        model_env: &["XIAOMI_MODEL"],
        default_model: "mimo-v2-pro",
        dialect: Dialect { max_completion_tokens: true, ..THINKER },
        ..CHAT
    },
];
