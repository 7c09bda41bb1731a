//! One row, one test: what providers and traces read is shown here, what the program reads in its own crate
//! (`config/variables.rs`), where also those that nobody reads are.

use super::{ReadBy, VARIABLES};
use crate::{
    config::provider_env_names,
    providers::{Given, Known, Values},
    traces::TraceSettings,
};
use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::Arc,
};
use toft_llm::catalogue::{self, overlay::Overlay};

/// The source's document and code, letter by letter.
const SOURCE: &str = "
AGENT_API_KEY OPENAI_API_KEY ANTHROPIC_API_KEY GOOGLE_API_KEY GROQ_API_KEY MISTRAL_API_KEY COHERE_API_KEY XAI_API_KEY
ZAI_API_KEY OPENROUTER_API_KEY KIMI_API_KEY MOONSHOT_API_KEY QWEN_API_KEY ALIBABA_API_KEY DASHSCOPE_API_KEY
DATABASE_URL AGENT_PROVIDER AGENT_MODEL WORKSPACE_ROOT AGENT_WORKSPACE_BACKEND WORKSPACE_BACKEND ALLOW_HOST_INSTALLS
E2B_API_KEY E2B_TEMPLATE MCP_SERVERS AUTO_GIT_COMMIT AGENT_GIT_AUTHOR_NAME AGENT_GIT_AUTHOR_EMAIL
AGENT_GIT_COMMITTER_NAME AGENT_GIT_COMMITTER_EMAIL LANGSMITH_TRACING LANGSMITH_API_KEY GOOGLE_MODEL GOOGLE_BASE_URL
GROQ_MODEL GROQ_BASE_URL MISTRAL_MODEL MISTRAL_BASE_URL COHERE_MODEL OPENROUTER_MODEL OPENROUTER_BASE_URL
OPENROUTER_SITE_URL OPENROUTER_APP_NAME KIMI_MODEL KIMI_BASE_URL MOONSHOT_MODEL MOONSHOT_BASE_URL QWEN_MODEL
QWEN_BASE_URL ALIBABA_MODEL ALIBABA_BASE_URL DASHSCOPE_MODEL DASHSCOPE_BASE_URL
AGENT_TIMEOUT_MS AGENT_MAX_RETRIES AGENT_TOOL_SCHEMA_RETRIES AGENT_PLAN_PHASE_TIMEOUT_MS AGENT_BUILD_PHASE_TIMEOUT_MS
ALLOWED_TOOLS ENABLE_SUBAGENTS AUTO_LINT_AFTER_BUILD AUTO_LINT_FIX_MAX_PASSES AUTO_LINT_TIMEOUT_MS
E2B_CMD_DEFAULT_TIMEOUT_MS E2B_CMD_RETRY_ATTEMPTS E2B_CMD_RETRY_BASE_DELAY_MS E2B_CMD_RETRY_MAX_DELAY_MS
E2B_CMD_RETRY_LOG E2B_HARD_TIMEOUT_GRACE_MS E2B_HARD_TIMEOUT_MAX_MS E2B_REQUEST_TIMEOUT_MS E2B_RETRY_ATTEMPTS
E2B_RETRY_BASE_DELAY_MS E2B_RETRY_MAX_DELAY_MS E2B_SANDBOX_TIMEOUT_MS E2B_STREAM_CHUNK_MAX_CHARS MAX_JOB_ATTEMPTS
MAX_OUTPUT_CHARS MAX_MEM_RUNS MEM_RUN_TTL_MS MCP_SERVERS_PATH OPENAI_BASE_URL ANTHROPIC_API_URL XAI_MODEL ZAI_BASE_URL
ZAI_MODEL ZAI_USE_CODING_ENDPOINT ROLLBACK_DIR SANDBOX_APP_DIR SEED_AGENTS_MD AGENTS_TEMPLATE_PATH
WORKER_KICK_QUEUED_LIMIT WORKER_KICK_QUEUED_MIN_AGE_S WORKER_MAX_BACKOFF WORKER_REQUEUE_RUNNING_AFTER_S ZIP_MAX_BYTES
ZIP_MAX_FILES LANGSMITH_PROJECT LANGSMITH_ENDPOINT
API_BASE API_KEY CHECK_PROJECT_ID CHECK_PROJECT_NAME CHECK_PROMPT CHECK_FOLLOWUP_PROMPT CHECK_PROVIDER CHECK_MODEL
RUN_TIMEOUT_MS RUN_POLL_MS";

#[test]
fn every_variable_of_the_source_has_one_row_and_there_is_no_other() {
    let names: Vec<&str> = VARIABLES.iter().map(|row| row.name).collect();
    let unique: BTreeSet<&str> = names.iter().copied().collect();
    assert_eq!(names.len(), unique.len(), "one row each");
    assert_eq!(unique, SOURCE.split_whitespace().collect());
    for row in VARIABLES {
        assert_eq!(
            row.says.starts_with("no meaning: "),
            row.read_by == ReadBy::Nobody,
            "{}",
            row.name
        );
    }
}

fn given(pairs: &[(&str, &str)]) -> Values {
    let own: BTreeSet<&str> = provider_env_names().collect();
    // Only what the program reads for them arrives here.
    let env = pairs.iter().filter(|(name, _)| own.contains(name));
    let env = env.map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    Values::new(Given {
        env,
        file: None,
        variables: Arc::new(|_| None),
        overlay: Ok(Overlay::default()),
        local_models: false,
    })
}

fn known(id: &str) -> Known {
    Known::Listed(catalogue::provider(id).expect(id))
}

fn default_of(provider: &str, pairs: &[(&str, &str)]) -> String {
    let with_key = |id: &str| id == provider;
    let model = given(pairs).default_model(&HashMap::new(), with_key, with_key);
    model.expect(provider).to_string()
}

/// The provider that a name begins with, by the source's names of it.
fn provider_of(name: &str) -> &'static str {
    let begin = name.split('_').next().unwrap_or_default().to_ascii_lowercase();
    catalogue::provider(&begin).expect(name).id
}

/// What a variable does that providers read.
fn shows(name: &str) {
    match name {
        "AGENT_PROVIDER" => {
            let both = |id: &str| ["openai", "groq"].contains(&id);
            let chosen = given(&[(name, "groq")]).default_model(&HashMap::new(), both, both);
            assert_eq!(chosen.unwrap().provider, "groq");
        }
        "AGENT_MODEL" => assert_eq!(default_of("openai", &[(name, "m")]), "openai/m"),
        "OPENROUTER_SITE_URL" | "OPENROUTER_APP_NAME" => {
            let header = if name.ends_with("URL") { "http-referer" } else { "x-title" };
            let headers = given(&[(name, "https://x.example")]).headers(&known("openrouter"));
            assert_eq!(
                headers,
                BTreeMap::from([(header.to_owned(), "https://x.example".to_owned())])
            );
        }
        "ZAI_USE_CODING_ENDPOINT" => {
            let at = |pairs: &[(&str, &str)]| given(pairs).base_url(&known("zai")).unwrap();
            assert_eq!(
                at(&[(name, "true")]).as_deref(),
                Some("https://api.z.ai/api/coding/paas/v4")
            );
            assert_eq!(at(&[(name, "false")]), None);
            assert_eq!(
                at(&[(name, "true"), ("ZAI_BASE_URL", "http://h")]).as_deref(),
                Some("http://h")
            );
        }
        key if key.ends_with("_API_KEY") => {
            let held = given(&[(key, "k-1")]).key(&known(provider_of(key)));
            assert_eq!(held.map(|key| key.expose().to_owned()).as_deref(), Some("k-1"), "{key}");
        }
        model if model.ends_with("_MODEL") => {
            let provider = provider_of(model);
            assert_eq!(default_of(provider, &[(model, "m-1")]), format!("{provider}/m-1"));
        }
        url => {
            let at = given(&[(url, "http://h/v1")]).base_url(&known(provider_of(url))).unwrap();
            assert_eq!(at.as_deref(), Some("http://h/v1"), "{url}");
        }
    }
}

#[test]
fn each_variable_of_a_provider_does_what_its_row_says() {
    let rows = VARIABLES.iter().filter(|row| row.read_by == ReadBy::Providers);
    assert_eq!(rows.map(|row| shows(row.name)).count(), 43);
}

#[test]
fn an_alias_counts_where_the_providers_own_name_is_not_set() {
    for (own, alias, provider) in [
        ("KIMI_API_KEY", "MOONSHOT_API_KEY", "kimi"),
        ("QWEN_API_KEY", "ALIBABA_API_KEY", "qwen"),
        ("QWEN_API_KEY", "DASHSCOPE_API_KEY", "qwen"),
        ("ALIBABA_API_KEY", "DASHSCOPE_API_KEY", "qwen"),
    ] {
        let key = given(&[(alias, "of-alias"), (own, "of-own")]).key(&known(provider)).unwrap();
        assert_eq!(key.expose(), "of-own", "{alias}");
    }
    for (alias, id) in
        [("gemini", "google"), ("moonshot", "kimi"), ("alibaba", "qwen"), ("dashscope", "qwen")]
    {
        assert_eq!(known(alias).id(), id);
    }
}

#[test]
fn each_variable_of_traces_does_what_its_row_says() {
    let read = |more: &[(&str, &str)]| {
        let on = [("LANGSMITH_TRACING", "true"), ("LANGSMITH_API_KEY", "ls")];
        let given: BTreeMap<&str, &str> = on.iter().chain(more).copied().collect();
        TraceSettings::read(&|name| given.get(name).map(|value| (*value).to_owned()))
    };
    let place = |more: &[(&str, &str)]| {
        let sinks = read(more).unwrap().sinks;
        let one = sinks.into_iter().next()?;
        let headers =
            one.headers.iter().map(|(name, value)| format!("{name}={}", value.to_str().unwrap()));
        Some((one.url.to_string(), headers.collect::<Vec<_>>()))
    };
    let rows = VARIABLES.iter().filter(|row| row.read_by == ReadBy::Traces);
    for row in rows {
        match row.name {
            "LANGSMITH_TRACING" => assert!(place(&[("LANGSMITH_TRACING", "false")]).is_none()),
            "LANGSMITH_API_KEY" => assert_eq!(place(&[]).unwrap().1, ["x-api-key=ls"]),
            "LANGSMITH_PROJECT" => {
                let headers = place(&[("LANGSMITH_PROJECT", "shop")]).unwrap().1;
                assert!(headers.contains(&"langsmith-project=shop".to_owned()), "{headers:?}");
            }
            "LANGSMITH_ENDPOINT" => {
                let (url, _) = place(&[("LANGSMITH_ENDPOINT", "https://own.example")]).unwrap();
                assert_eq!(url, "https://own.example/otel/v1/traces");
            }
            other => panic!("{other} has no test"),
        }
    }
}
