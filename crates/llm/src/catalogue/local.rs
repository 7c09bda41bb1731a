//! Model servers of one's own machine: where they listen when nobody says otherwise, and how their lists
//! of models are read. Data and readers only: who may ask, and whether anything listens, is the
//! gateway's to find out. They need no key and are not among [`super::providers`].

use super::{Dialect, ProviderSpec, specs::CHAT};
use serde::Deserialize;
use serde_json::Value;
use std::collections::BTreeMap;
use toft_model::provider::ModelInfo;

/// Tokens that fit where a server does not say: what most are started with, and more than it holds
/// would be cut off without a word.
const UNKNOWN_CONTEXT_WINDOW: u64 = 32_768;

/// Stands in the name of a model while its server does not tell its context.
const CONTEXT_UNKNOWN: &str = "(context unknown until it runs)";

/// Share of a context that an answer may take where nothing is said of it.
const OUTPUT_SHARE: u64 = 4;

/// Models of one list at most.
const MODELS_MAX: usize = 1_000;

/// One kind of server.
#[derive(Debug, PartialEq)]
pub struct LocalServer {
    /// As of any provider; `base_url` is where it listens by default.
    pub spec: ProviderSpec,
    /// Path below `/llm/{id}` of its list of models.
    pub list_path: &'static str,
    /// Path that tells more of one model, asked with `{"model": ID}` by `POST`.
    pub model_path: Option<&'static str>,
    /// Path that tells the contexts of the models that are loaded, where nothing else does.
    pub running_path: Option<&'static str>,
}

/// What is the same of all of them: they are below an address without a path.
const SERVER: ProviderSpec = ProviderSpec { mount: "", ..CHAT };

/// Open models are told to think by their own templates, and say it in `reasoning_content`.
const OPEN: Dialect = Dialect { replays_reasoning: true, ..Dialect::PLAIN };

/// All kinds that are looked for.
pub static SERVERS: &[LocalServer] = &[
    LocalServer {
        spec: ProviderSpec {
            id: "ollama",
            name: "Ollama",
            base_url: "http://127.0.0.1:11434",
            key_env: &["OLLAMA_API_KEY"],
            base_url_env: &["OLLAMA_BASE_URL"],
            model_env: &["OLLAMA_MODEL"],
            dialect: Dialect { replays_reasoning: false, ..OPEN },
            ..SERVER
        },
        list_path: "/api/tags",
        model_path: Some("/api/show"),
        running_path: Some("/api/ps"),
    },
    LocalServer {
        spec: ProviderSpec {
            id: "lmstudio",
            aliases: &["lm-studio"],
            name: "LM Studio",
            base_url: "http://127.0.0.1:1234",
            key_env: &["LMSTUDIO_API_KEY"],
            base_url_env: &["LMSTUDIO_BASE_URL"],
            model_env: &["LMSTUDIO_MODEL"],
            dialect: OPEN,
            ..SERVER
        },
        // Tells contexts, which `/v1/models` does not.
        list_path: "/api/v0/models",
        model_path: None,
        running_path: None,
    },
    LocalServer {
        spec: ProviderSpec {
            id: "vllm",
            name: "vLLM",
            base_url: "http://127.0.0.1:8000",
            key_env: &["VLLM_API_KEY"],
            base_url_env: &["VLLM_BASE_URL"],
            model_env: &["VLLM_MODEL"],
            dialect: OPEN,
            ..SERVER
        },
        list_path: "/v1/models",
        model_path: None,
        running_path: None,
    },
    LocalServer {
        spec: ProviderSpec {
            id: "llamacpp",
            aliases: &["llama.cpp"],
            name: "llama.cpp",
            base_url: "http://127.0.0.1:8080",
            key_env: &["LLAMA_API_KEY"],
            base_url_env: &["LLAMACPP_BASE_URL"],
            model_env: &["LLAMACPP_MODEL"],
            dialect: OPEN,
            ..SERVER
        },
        list_path: "/v1/models",
        model_path: None,
        running_path: None,
    },
];

/// An answer that is no list of models, nor tells of one.
#[derive(Debug, thiserror::Error)]
pub enum UnknownList {
    /// No JSON, or of another shape.
    #[error("what answers there is no list of models: {0}")]
    Unreadable(#[from] serde_json::Error),
    /// JSON without a list.
    #[error("what answers there is no list of models: it has neither `models` nor `data`")]
    NoList,
}

/// One entry of any of the lists; fields that we do not know are left out.
#[derive(Deserialize)]
struct Entry {
    /// Ollama names it twice.
    #[serde(alias = "model", alias = "name")]
    id: String,
    #[serde(rename = "type", default)]
    kind: String,
    /// vLLM.
    max_model_len: Option<u64>,
    /// LM Studio: what it is loaded with, else what it could hold.
    loaded_context_length: Option<u64>,
    max_context_length: Option<u64>,
    capabilities: Option<Vec<String>>,
    /// llama.cpp.
    meta: Option<Meta>,
}

#[derive(Deserialize)]
struct Meta {
    n_ctx: Option<u64>,
    n_ctx_train: Option<u64>,
}

impl LocalServer {
    /// By its id or another name of it.
    pub fn named(id: &str) -> Option<&'static Self> {
        SERVERS.iter().find(|one| one.spec.id == id || one.spec.aliases.contains(&id))
    }

    /// The models of an answer at [`LocalServer::list_path`], by id. Models that only embed are left out.
    pub fn models(&self, answer: &[u8]) -> Result<Vec<ModelInfo>, UnknownList> {
        let answer: Value = serde_json::from_slice(answer)?;
        // Ollama; OpenAI's format, which others have. llama.cpp has both, and more in the latter.
        let list = answer["data"].as_array().or_else(|| answer["models"].as_array());
        let list = list.ok_or(UnknownList::NoList)?;
        let mut models = Vec::new();
        for entry in list.iter().take(MODELS_MAX) {
            let entry = Entry::deserialize(without_twins(entry))?;
            if entry.id.is_empty() || entry.kind.contains("embed") {
                continue;
            }
            models.push(self.model(entry));
        }
        models.sort_by(|a, b| a.id.cmp(&b.id));
        models.dedup_by(|a, b| a.id == b.id);
        Ok(models)
    }

    fn model(&self, entry: Entry) -> ModelInfo {
        let meta = entry.meta.as_ref();
        let context = entry
            .max_model_len
            .or(entry.loaded_context_length)
            .or(entry.max_context_length)
            .or_else(|| meta.and_then(|meta| meta.n_ctx.or(meta.n_ctx_train)));
        let can = |word: &str| entry.capabilities.iter().flatten().any(|c| c == word);
        let images = entry.kind == "vlm" || can("vision") || can("multimodal");
        let reasoning = can("thinking") || can("reasoning");
        let mut info = ModelInfo {
            provider: self.spec.id.to_owned(),
            name: entry.id.clone(),
            id: entry.id,
            api: self.spec.api,
            context_window: 0,
            max_tokens: 0,
            reasoning,
            images,
            price: None,
            demo: false,
        };
        holds(&mut info, context.filter(|tokens| *tokens > 0).unwrap_or(UNKNOWN_CONTEXT_WINDOW));
        info
    }

    /// Adds what an answer at [`LocalServer::model_path`] tells. False: the model cannot answer in words.
    pub fn tell_more(&self, info: &mut ModelInfo, answer: &[u8]) -> Result<bool, UnknownList> {
        let answer: Value = serde_json::from_slice(answer)?;
        let fields = answer["model_info"].as_object();
        // `llama.context_length`, `qwen3.context_length`, …
        let trained =
            fields.into_iter().flatten().find(|(name, _)| name.ends_with(".context_length"));
        // What a person set for the model; a context is no longer than that.
        let set = answer["parameters"]
            .as_str()
            .into_iter()
            .flat_map(str::lines)
            .find_map(|line| line.trim().strip_prefix("num_ctx")?.trim().parse::<u64>().ok());
        let trained = trained.and_then(|(_, tokens)| tokens.as_u64());
        match (set, trained) {
            (Some(tokens), _) => runs_with(info, tokens.max(1)),
            // How much of it is loaded depends on the machine's memory and on settings that nobody tells.
            (None, trained) => {
                let at_most = trained.unwrap_or(u64::MAX).min(UNKNOWN_CONTEXT_WINDOW);
                holds(info, at_most.max(1));
                info.name = format!("{} {CONTEXT_UNKNOWN}", info.id);
            }
        }
        let Some(abilities) = answer["capabilities"].as_array() else { return Ok(true) };
        let can = |word: &str| abilities.iter().any(|ability| ability == word);
        info.images = can("vision");
        info.reasoning = can("thinking");
        Ok(can("completion"))
    }
}

/// The contexts of the models of an answer at [`LocalServer::running_path`].
pub fn running(answer: &[u8]) -> Result<BTreeMap<String, u64>, UnknownList> {
    let answer: Value = serde_json::from_slice(answer)?;
    let list = answer["models"].as_array().ok_or(UnknownList::NoList)?;
    let one = |model: &Value| {
        let name = model["model"].as_str().or_else(|| model["name"].as_str())?;
        let tokens = model["context_length"].as_u64().filter(|tokens| *tokens > 0)?;
        Some((name.to_owned(), tokens))
    };
    Ok(list.iter().take(MODELS_MAX).filter_map(one).collect())
}

/// A model runs with so many tokens.
pub fn runs_with(info: &mut ModelInfo, tokens: u64) {
    info.name.clone_from(&info.id);
    holds(info, tokens);
}

fn holds(info: &mut ModelInfo, tokens: u64) {
    info.context_window = tokens;
    info.max_tokens = (tokens / OUTPUT_SHARE).max(1);
}

/// Without the names that stand for another one of the same entry.
fn without_twins(entry: &Value) -> Value {
    let mut entry = entry.clone();
    if let Some(fields) = entry.as_object_mut() {
        let first = ["id", "model", "name"].into_iter().find(|name| fields.contains_key(*name));
        fields.retain(|name, value| {
            let twin =
                matches!(name.as_str(), "id" | "model" | "name") && Some(name.as_str()) != first;
            !twin && !value.is_null()
        });
    }
    entry
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(server: &str, answer: &str, expected: &[(&str, u64, bool)]) {
        let models = LocalServer::named(server).unwrap().models(answer.as_bytes()).unwrap();
        let got: Vec<_> = models.iter().map(|m| (&*m.id, m.context_window, m.images)).collect();
        assert_eq!(got, expected, "{server}");
        assert!(models.iter().all(|m| m.provider == server && m.price.is_none()));
        assert!(models.iter().all(|m| m.max_tokens > 0 && m.max_tokens < m.context_window));
    }

    #[test]
    fn each_servers_list_is_read() {
        check(
            "ollama",
            r#"{"models":[{"name":"qwen3:8b","model":"qwen3:8b","modified_at":"2026-05-01T00:00:00Z","size":1,
                "digest":"x","details":{"family":"qwen3","parameter_size":"8B"}},
                {"name":"gemma3:4b","model":"gemma3:4b","details":null}]}"#,
            &[("gemma3:4b", 32_768, false), ("qwen3:8b", 32_768, false)],
        );
        check(
            "lmstudio",
            r#"{"object":"list","data":[
                {"id":"gemma-3","object":"model","type":"vlm","state":"loaded","max_context_length":131072,
                 "loaded_context_length":8192,"capabilities":["tool_use"]},
                {"id":"nomic","type":"embeddings","max_context_length":2048},
                {"id":"qwen3","type":"llm","state":"not-loaded","max_context_length":40960}]}"#,
            &[("gemma-3", 8_192, true), ("qwen3", 40_960, false)],
        );
        check(
            "vllm",
            r#"{"object":"list","data":[{"id":"Qwen/Qwen3-8B","object":"model","created":1,"owned_by":"vllm",
                "root":"Qwen/Qwen3-8B","parent":null,"max_model_len":65536,"permission":[{}]}]}"#,
            &[("Qwen/Qwen3-8B", 65_536, false)],
        );
        check(
            "llamacpp",
            r#"{"models":[{"name":"m.gguf","model":"m.gguf","capabilities":["completion"]}],"object":"list",
                "data":[{"id":"m.gguf","object":"model","owned_by":"llamacpp",
                "meta":{"vocab_type":2,"n_ctx_train":131072,"n_params":1}}]}"#,
            &[("m.gguf", 131_072, false)],
        );
        check(
            "vllm",
            r#"{"data":[{"id":""},{"id":"a"},{"id":"a","max_model_len":0}]}"#,
            &[("a", 32_768, false)],
        );
        check("vllm", r#"{"data":[]}"#, &[]);
    }

    #[test]
    fn what_is_no_list_is_said_to_be_none() {
        for bad in [
            "<html>",
            "{}",
            "[]",
            "null",
            "{\"data\":3}",
            "{\"data\":[{}]}",
            "{\"data\":[{\"id\":3}]}",
        ] {
            let got = LocalServer::named("vllm").unwrap().models(bad.as_bytes());
            assert!(got.unwrap_err().to_string().contains("no list of models"), "{bad}");
        }
    }

    #[test]
    fn what_is_told_of_one_model_is_added() {
        let ollama = LocalServer::named("ollama").unwrap();
        let mut info = ollama.models(br#"{"models":[{"name":"a"}]}"#).unwrap().remove(0);
        let told = br#"{"capabilities":["completion","vision","tools","thinking"],
            "model_info":{"general.architecture":"x","x.context_length":4096,"x.block_count":3}}"#;
        assert!(ollama.tell_more(&mut info, told).unwrap());
        assert_eq!((info.context_window, info.images, info.reasoning), (4_096, true, true));
        // A model is loaded with less than it could hold, unless a person says so.
        let told = br#"{"model_info":{"x.context_length":1000000},"parameters":"stop  \"x\"\nnum_ctx   90000"}"#;
        assert!(ollama.tell_more(&mut info, told).unwrap());
        assert_eq!((info.context_window, &*info.name), (90_000, "a"));
        assert!(
            ollama.tell_more(&mut info, br#"{"model_info":{"x.context_length":1000000}}"#).unwrap()
        );
        assert_eq!(info.context_window, UNKNOWN_CONTEXT_WINDOW);
        assert_eq!(info.name, "a (context unknown until it runs)");
        // What it is loaded with is what counts, and may be a fraction of what it could hold.
        let answer = br#"{"models":[{"name":"a","model":"a","size_vram":1,"context_length":4096},
            {"name":"b"}]}"#;
        let loaded = running(answer).unwrap();
        assert_eq!(loaded, BTreeMap::from([("a".to_owned(), 4_096)]));
        runs_with(&mut info, loaded["a"]);
        assert_eq!((info.context_window, info.max_tokens, &*info.name), (4_096, 1_024, "a"));
        assert!(running(b"{}").is_err());
        assert!(!ollama.tell_more(&mut info, br#"{"capabilities":["embedding"]}"#).unwrap());
        assert!(ollama.tell_more(&mut info, b"nope").is_err());
    }
}
