//! The tables: what they say of each provider, and how it is used.

use super::*;

#[test]
fn every_default_model_is_listed_or_said_to_be_unknown() {
    for p in providers() {
        let listed = models::row(p.id, p.default_model).is_some_and(|row| row.is_offered());
        assert!(listed, "{} has no {}", p.id, p.default_model);
        assert!(p.chat_path.starts_with(p.mount), "{}", p.id);
        assert!(!p.base_url.ends_with('/'), "{}", p.id);
        assert!(!p.key_env.is_empty(), "{}", p.id);
    }
}

#[test]
fn ids_and_aliases_are_unique() {
    let all = providers().iter().chain(local::SERVERS.iter().map(|server| &server.spec));
    let mut names: Vec<&str> =
        all.flat_map(|p| [p.id].into_iter().chain(p.aliases.to_vec())).collect();
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
    assert_eq!(url("zai", "/v1/chat/completions"), "https://api.z.ai/api/paas/v4/chat/completions");
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

#[test]
fn addresses_that_differ_between_accounts_are_filled_in() {
    let url = |id: &str, value: Option<&str>| {
        provider(id).unwrap().base_url_with(|_| value.map(str::to_owned))
    };
    assert_eq!(url("openai", None).unwrap(), "https://api.openai.com/v1");
    assert_eq!(url("bedrock", None).unwrap(), "https://bedrock-runtime.us-east-1.amazonaws.com");
    assert_eq!(
        url("bedrock", Some("eu-west-1")).unwrap(),
        "https://bedrock-runtime.eu-west-1.amazonaws.com"
    );
    assert_eq!(url("azure", Some("mine")).unwrap(), "https://mine.openai.azure.com/openai/v1");
    let words = url("azure", None).unwrap_err();
    assert!(
        words.contains("AZURE_OPENAI_RESOURCE_NAME") && words.contains("AZURE_OPENAI_BASE_URL")
    );
    // The key would go to another host.
    for evil in ["", "a.evil.example/", "a#", "u:p@h", "x.y"] {
        assert!(url("azure", Some(evil)).unwrap_err().contains("AZURE_RESOURCE_NAME"), "{evil}");
    }
    let parts = |spec: &ProviderSpec| spec.base_url.matches('{').count();
    let servers = local::SERVERS.iter().map(|server| &server.spec);
    for spec in providers().iter().chain(servers) {
        assert_eq!(parts(spec), spec.url_parts.len(), "{}", spec.id);
        let filled = spec.base_url_with(|_| Some("x".to_owned())).unwrap();
        assert!(filled.parse::<http::Uri>().is_ok() && !filled.contains('{'), "{filled}");
    }
}

/// Where people look.
const DOCUMENT: &str = include_str!("../../../../docs/providers.md");

#[test]
fn people_find_every_provider_and_variable_in_the_document() {
    for spec in providers() {
        let parts = spec.url_parts.iter().flat_map(|part| part.env);
        let names = spec.key_env.iter().chain(spec.base_url_env).chain(spec.model_env).chain(parts);
        for name in names.chain([&spec.id, &spec.default_model]) {
            assert!(DOCUMENT.contains(&format!("`{name}`")), "{}: {name} is not there", spec.id);
        }
    }
}

#[test]
fn openrouter_is_told_whose_program_asks() {
    let headers = provider("openrouter").unwrap().header_env;
    let wanted = [("http-referer", "OPENROUTER_SITE_URL"), ("x-title", "OPENROUTER_APP_NAME")];
    assert_eq!(headers, wanted);
}

#[test]
fn azure_and_amazon_take_keys_in_their_own_ways() {
    let azure = provider("azure").unwrap();
    assert_eq!(azure.credential("/v1/chat/completions", "k"), ("api-key", "k".to_owned()));
    let url = azure.upstream_url("https://mine.openai.azure.com/openai/v1", "/v1/responses");
    assert_eq!(url, "https://mine.openai.azure.com/openai/v1/responses");
    let bedrock = provider("aws").unwrap();
    assert_eq!(bedrock.credential("/model/m/converse-stream", "k").1, "Bearer k");
    let Auth::Aws(keys) = bedrock.auth else { panic!() };
    assert_eq!(keys.service, "bedrock");
    assert_eq!(keys.access_key_env, ["AWS_ACCESS_KEY_ID"]);
    assert_eq!(keys.secret_key_env, ["AWS_SECRET_ACCESS_KEY"]);
    assert_eq!(keys.session_token_env, ["AWS_SESSION_TOKEN"]);
}

#[test]
fn servers_of_ones_own_machine_are_known_but_not_offered_unasked() {
    for (name, id, port) in [
        ("ollama", "ollama", 11434),
        ("lm-studio", "lmstudio", 1234),
        ("vllm", "vllm", 8000),
        ("llama.cpp", "llamacpp", 8080),
    ] {
        let spec = provider(name).unwrap();
        assert_eq!((spec.id, spec.base_url), (id, &*format!("http://127.0.0.1:{port}")));
        assert!(providers().iter().all(|one| one.id != id), "{id}");
        assert_eq!(
            spec.upstream_url(spec.base_url, spec.chat_path),
            format!("http://127.0.0.1:{port}/v1/chat/completions")
        );
        assert!(models(id).is_empty());
        assert_eq!(model(id, "any").unwrap().price, None);
    }
}

/// One provider as the documents have it: written out here, so that a change of the table shows.
struct Wanted {
    id: &'static str,
    keys: &'static [&'static str],
    base_urls: &'static [&'static str],
    models: &'static [&'static str],
    url: &'static str,
}

impl Wanted {
    fn check(&self) {
        let spec = provider(self.id).unwrap_or_else(|| panic!("there is no {}", self.id));
        for key in self.keys {
            assert!(spec.key_env.contains(key), "{} does not read {key}", spec.id);
        }
        for name in self.base_urls {
            assert!(spec.base_url_env.contains(name), "{} does not read {name}", spec.id);
        }
        for name in self.models {
            assert!(spec.model_env.contains(name), "{} does not read {name}", spec.id);
        }
        let base = spec.base_url_with(|_| Some("here".to_owned())).unwrap();
        assert_eq!(spec.upstream_url(&base, spec.chat_path), self.url);
        // No other provider takes what is this one's.
        for name in self.keys.iter().chain(self.base_urls).chain(self.models) {
            let others = providers().iter().filter(|other| other.id != spec.id);
            let mut names =
                others.flat_map(|p| p.key_env.iter().chain(p.base_url_env).chain(p.model_env));
            assert!(!names.any(|other| other == name), "{name} is read twice");
        }
    }
}

macro_rules! wanted {
    ($($test:ident: $id:literal, $keys:expr, $base_urls:expr, $models:expr, $url:literal;)*) => {$(
        #[test]
        fn $test() {
            let wanted =
                Wanted { id: $id, keys: &$keys, base_urls: &$base_urls, models: &$models, url: $url };
            wanted.check();
        }
    )*};
}

wanted! {
    openai_is_as_the_documents_say: "openai", ["OPENAI_API_KEY"], ["OPENAI_BASE_URL"], ["OPENAI_MODEL"],
        "https://api.openai.com/v1/chat/completions";
    anthropic_is_as_the_documents_say: "anthropic", ["ANTHROPIC_API_KEY"],
        ["ANTHROPIC_BASE_URL", "ANTHROPIC_API_URL"], ["ANTHROPIC_MODEL"], "https://api.anthropic.com/v1/messages";
    google_is_as_the_documents_say: "google", ["GOOGLE_API_KEY", "GEMINI_API_KEY"], ["GOOGLE_BASE_URL"],
        ["GOOGLE_MODEL"], "https://generativelanguage.googleapis.com/v1beta/models";
    groq_is_as_the_documents_say: "groq", ["GROQ_API_KEY"], ["GROQ_BASE_URL"], ["GROQ_MODEL"],
        "https://api.groq.com/openai/v1/chat/completions";
    mistral_is_as_the_documents_say: "mistral", ["MISTRAL_API_KEY"], ["MISTRAL_BASE_URL"],
        ["MISTRAL_MODEL"], "https://api.mistral.ai/v1/chat/completions";
    cohere_is_as_the_documents_say: "cohere", ["COHERE_API_KEY"], ["COHERE_BASE_URL"], ["COHERE_MODEL"],
        "https://api.cohere.ai/compatibility/v1/chat/completions";
    xai_is_as_the_documents_say: "xai", ["XAI_API_KEY"], ["XAI_BASE_URL"], ["XAI_MODEL"],
        "https://api.x.ai/v1/chat/completions";
    zai_is_as_the_documents_say: "zai", ["ZAI_API_KEY"], ["ZAI_BASE_URL"], ["ZAI_MODEL"],
        "https://api.z.ai/api/paas/v4/chat/completions";
    openrouter_is_as_the_documents_say: "openrouter", ["OPENROUTER_API_KEY"], ["OPENROUTER_BASE_URL"],
        ["OPENROUTER_MODEL"], "https://openrouter.ai/api/v1/chat/completions";
    kimi_is_as_the_documents_say: "kimi", ["KIMI_API_KEY"], ["KIMI_BASE_URL"], ["KIMI_MODEL"],
        "https://api.moonshot.ai/v1/chat/completions";
    moonshot_is_another_name_of_kimi: "moonshot", ["MOONSHOT_API_KEY"], ["MOONSHOT_BASE_URL"],
        ["MOONSHOT_MODEL"], "https://api.moonshot.ai/v1/chat/completions";
    qwen_is_as_the_documents_say: "qwen", ["QWEN_API_KEY"], ["QWEN_BASE_URL"], ["QWEN_MODEL"],
        "https://dashscope-intl.aliyuncs.com/compatible-mode/v1/chat/completions";
    alibaba_is_another_name_of_qwen: "alibaba", ["ALIBABA_API_KEY"], ["ALIBABA_BASE_URL"],
        ["ALIBABA_MODEL"], "https://dashscope-intl.aliyuncs.com/compatible-mode/v1/chat/completions";
    dashscope_is_another_name_of_qwen: "dashscope", ["DASHSCOPE_API_KEY"], ["DASHSCOPE_BASE_URL"],
        ["DASHSCOPE_MODEL"], "https://dashscope-intl.aliyuncs.com/compatible-mode/v1/chat/completions";
    deepseek_is_there: "deepseek", ["DEEPSEEK_API_KEY"], ["DEEPSEEK_BASE_URL"], ["DEEPSEEK_MODEL"],
        "https://api.deepseek.com/v1/chat/completions";
    cerebras_is_there: "cerebras", ["CEREBRAS_API_KEY"], ["CEREBRAS_BASE_URL"], ["CEREBRAS_MODEL"],
        "https://api.cerebras.ai/v1/chat/completions";
    together_is_there: "together", ["TOGETHER_API_KEY"], ["TOGETHER_BASE_URL"], ["TOGETHER_MODEL"],
        "https://api.together.xyz/v1/chat/completions";
    fireworks_is_there: "fireworks", ["FIREWORKS_API_KEY"], ["FIREWORKS_BASE_URL"], ["FIREWORKS_MODEL"],
        "https://api.fireworks.ai/inference/v1/chat/completions";
    hugging_face_is_there: "huggingface", ["HF_TOKEN"], ["HF_BASE_URL"], ["HF_MODEL"],
        "https://router.huggingface.co/v1/chat/completions";
    vercels_gateway_is_there: "vercel", ["AI_GATEWAY_API_KEY"], ["AI_GATEWAY_BASE_URL"],
        ["AI_GATEWAY_MODEL"], "https://ai-gateway.vercel.sh/v1/chat/completions";
    nvidia_is_there: "nvidia", ["NVIDIA_API_KEY"], ["NVIDIA_BASE_URL"], ["NVIDIA_MODEL"],
        "https://integrate.api.nvidia.com/v1/chat/completions";
    minimax_is_there: "minimax", ["MINIMAX_API_KEY"], ["MINIMAX_BASE_URL"], ["MINIMAX_MODEL"],
        "https://api.minimax.io/anthropic/v1/messages";
    xiaomi_is_there: "xiaomi", ["XIAOMI_API_KEY"], ["XIAOMI_BASE_URL"], ["XIAOMI_MODEL"],
        "https://api.xiaomimimo.com/v1/chat/completions";
    azure_is_as_the_documents_say: "azure", ["AZURE_OPENAI_API_KEY"], ["AZURE_OPENAI_BASE_URL"],
        ["AZURE_OPENAI_MODEL"], "https://here.openai.azure.com/openai/v1/chat/completions";
    amazon_is_as_the_documents_say: "bedrock", ["AWS_BEARER_TOKEN_BEDROCK"],
        ["AWS_ENDPOINT_URL_BEDROCK_RUNTIME"], ["BEDROCK_MODEL"],
        "https://bedrock-runtime.here.amazonaws.com/model";
}
