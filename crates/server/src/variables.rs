//! The variables of the Platform Agent's two tables and of its source: what each does here, or what to use in its
//! place. `GET /v1/capabilities` shows this table; tests hold each row to what it says.

/// Who reads a variable.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReadBy {
    /// What knows models: keys, addresses, names of models, headers.
    Providers,
    /// What sends traces.
    Traces,
    /// The program, for the server or for `toft check`.
    Program,
    /// Nobody: it has no meaning here. The text says what to use in its place, or why nothing is needed.
    Nobody,
}

/// A row.
#[derive(Debug)]
pub struct Variable {
    /// Its name.
    pub name: &'static str,
    /// Who reads it.
    pub read_by: ReadBy,
    /// What it does, in a line.
    pub says: &'static str,
}

const fn row(name: &'static str, read_by: ReadBy, says: &'static str) -> Variable {
    Variable { name, read_by, says }
}

const fn model(name: &'static str, says: &'static str) -> Variable {
    row(name, ReadBy::Providers, says)
}

const fn own(name: &'static str, says: &'static str) -> Variable {
    row(name, ReadBy::Program, says)
}

const fn none(name: &'static str, instead: &'static str) -> Variable {
    row(name, ReadBy::Nobody, instead)
}

const COMMANDS: &str =
    "no meaning: a program is started by the machine's own init, and never again by itself";
const OWN_TIME: &str =
    "no meaning: each command has a time of its own, and ends by it with all that it started";
const QUEUE: &str =
    "no meaning: a run that waits is claimed at once, by any server of the database";
const ON_DISK: &str = "no meaning: runs are always on disk";
const CHECKPOINTS: &str = "no meaning: a checkpoint of the whole project is taken before each run where the backend has them; \
                           with host and e2b rollback_run goes back by git";

/// All rows, the source's first table, its second, then what only its code reads.
pub static VARIABLES: &[Variable] = &[
    own(
        "AGENT_API_KEY",
        "opens everything, as X-Agent-Api-Key or Authorization: Bearer; POST /v1/keys makes keys for less",
    ),
    model("OPENAI_API_KEY", "key of the provider openai"),
    model("ANTHROPIC_API_KEY", "key of the provider anthropic"),
    model("GOOGLE_API_KEY", "key of the provider google"),
    model("GROQ_API_KEY", "key of the provider groq"),
    model("MISTRAL_API_KEY", "key of the provider mistral"),
    model("COHERE_API_KEY", "key of the provider cohere"),
    model("XAI_API_KEY", "key of the provider xai"),
    model("ZAI_API_KEY", "key of the provider zai"),
    model("OPENROUTER_API_KEY", "key of the provider openrouter"),
    model("KIMI_API_KEY", "key of the provider kimi"),
    model("MOONSHOT_API_KEY", "key of the provider kimi, where KIMI_API_KEY is not set"),
    model("QWEN_API_KEY", "key of the provider qwen"),
    model("ALIBABA_API_KEY", "key of the provider qwen, where QWEN_API_KEY is not set"),
    model("DASHSCOPE_API_KEY", "key of the provider qwen, where the two others are not set"),
    own(
        "DATABASE_URL",
        "PostgreSQL database that servers share, in place of a file in the data folder",
    ),
    model(
        "AGENT_PROVIDER",
        "provider of work for which nobody chose one; without a key of its own it is said, and another one is asked",
    ),
    model(
        "AGENT_MODEL",
        "that provider's model; where AGENT_PROVIDER is not set, that of the one that is asked",
    ),
    own("WORKSPACE_ROOT", "folder in which projects live with the backend host, as --allow-host"),
    own(
        "AGENT_WORKSPACE_BACKEND",
        "backend of projects that name none, where --backend says nothing: native, oci, host or e2b",
    ),
    own("WORKSPACE_BACKEND", "the same, where AGENT_WORKSPACE_BACKEND is not set"),
    own(
        "ALLOW_HOST_INSTALLS",
        "true lets project_actions and sandbox_cmd install, build and check types, and run_code run code, with the backend host",
    ),
    own("E2B_API_KEY", "key for the backend e2b; it stays on the server"),
    own("E2B_TEMPLATE", "template that the backend e2b makes sandboxes of, by its id or name"),
    own(
        "MCP_SERVERS",
        "MCP servers of all projects, as JSON; a project's own variable MCP_SERVERS comes in its place",
    ),
    own("AUTO_GIT_COMMIT", "false: runs commit nothing"),
    own(
        "AGENT_GIT_AUTHOR_NAME",
        "author of commits of runs; toft@localhost without AGENT_GIT_AUTHOR_EMAIL",
    ),
    own("AGENT_GIT_AUTHOR_EMAIL", "address of that author; Toft without AGENT_GIT_AUTHOR_NAME"),
    own(
        "AGENT_GIT_COMMITTER_NAME",
        "committer of commits of runs; toft@localhost without AGENT_GIT_COMMITTER_EMAIL",
    ),
    own(
        "AGENT_GIT_COMMITTER_EMAIL",
        "address of that committer; Toft without AGENT_GIT_COMMITTER_NAME",
    ),
    row("LANGSMITH_TRACING", ReadBy::Traces, "true sends traces to LangSmith"),
    row("LANGSMITH_API_KEY", ReadBy::Traces, "key for that"),
    model("GOOGLE_MODEL", "default model of google"),
    model("GOOGLE_BASE_URL", "address of google"),
    model("GROQ_MODEL", "default model of groq"),
    model("GROQ_BASE_URL", "address of groq"),
    model("MISTRAL_MODEL", "default model of mistral"),
    model("MISTRAL_BASE_URL", "address of mistral"),
    model("COHERE_MODEL", "default model of cohere"),
    model("OPENROUTER_MODEL", "default model of openrouter"),
    model("OPENROUTER_BASE_URL", "address of openrouter"),
    model("OPENROUTER_SITE_URL", "header HTTP-Referer to openrouter"),
    model("OPENROUTER_APP_NAME", "header X-Title to openrouter"),
    model("KIMI_MODEL", "default model of kimi"),
    model("KIMI_BASE_URL", "address of kimi"),
    model("MOONSHOT_MODEL", "as KIMI_MODEL"),
    model("MOONSHOT_BASE_URL", "as KIMI_BASE_URL"),
    model("QWEN_MODEL", "default model of qwen"),
    model("QWEN_BASE_URL", "address of qwen"),
    model("ALIBABA_MODEL", "as QWEN_MODEL"),
    model("ALIBABA_BASE_URL", "as QWEN_BASE_URL"),
    model("DASHSCOPE_MODEL", "as QWEN_MODEL"),
    model("DASHSCOPE_BASE_URL", "as QWEN_BASE_URL"),
    own(
        "AGENT_TIMEOUT_MS",
        "how long planning and building may take, where their own variables say nothing",
    ),
    none(
        "AGENT_MAX_RETRIES",
        "no meaning: a model that fails is asked again with growing pauses as long as that may help; budgets and the times of phases bound it",
    ),
    none(
        "AGENT_TOOL_SCHEMA_RETRIES",
        "no meaning: a model is told what is wrong with a call, and goes on",
    ),
    own("AGENT_PLAN_PHASE_TIMEOUT_MS", "how long planning may take"),
    own("AGENT_BUILD_PHASE_TIMEOUT_MS", "how long building may take"),
    own(
        "ALLOWED_TOOLS",
        "tools that agents have in runs, by names with commas between them; `*` at a name's end for all that begin so",
    ),
    own("ENABLE_SUBAGENTS", "false: agents have no tool task in runs"),
    own("AUTO_LINT_AFTER_BUILD", "false: the project's own check does not run after a build"),
    own(
        "AUTO_LINT_FIX_MAX_PASSES",
        "how often a model is asked to mend what that check says, 0 to 5",
    ),
    own("AUTO_LINT_TIMEOUT_MS", "how long that check may take"),
    own(
        "E2B_CMD_DEFAULT_TIMEOUT_MS",
        "how long a command of sandbox_cmd or run_code may take that says nothing of it",
    ),
    none("E2B_CMD_RETRY_ATTEMPTS", COMMANDS),
    none("E2B_CMD_RETRY_BASE_DELAY_MS", COMMANDS),
    none("E2B_CMD_RETRY_MAX_DELAY_MS", COMMANDS),
    none("E2B_CMD_RETRY_LOG", COMMANDS),
    none("E2B_HARD_TIMEOUT_GRACE_MS", OWN_TIME),
    none("E2B_HARD_TIMEOUT_MAX_MS", OWN_TIME),
    own("E2B_REQUEST_TIMEOUT_MS", "how long an answer of E2B's may take"),
    own("E2B_RETRY_ATTEMPTS", "how often a request to E2B is sent that may be sent again, 1 to 20"),
    own(
        "E2B_RETRY_BASE_DELAY_MS",
        "pause before the second time; each further one is twice as long",
    ),
    own("E2B_RETRY_MAX_DELAY_MS", "longest of these pauses"),
    own(
        "E2B_SANDBOX_TIMEOUT_MS",
        "how long a sandbox runs on whose server says nothing any more; then it is paused, with all in it",
    ),
    none(
        "E2B_STREAM_CHUNK_MAX_CHARS",
        "no meaning: output comes in the events of a run in the pieces in which it was printed",
    ),
    own("MAX_JOB_ATTEMPTS", "how often a run is tried, 1 to 20"),
    own(
        "MAX_OUTPUT_CHARS",
        "characters of each output stream that sandbox_cmd, project_actions and run_code answer with",
    ),
    none("MAX_MEM_RUNS", ON_DISK),
    none("MEM_RUN_TTL_MS", ON_DISK),
    own("MCP_SERVERS_PATH", "file with what MCP_SERVERS says, where that is not set"),
    model("OPENAI_BASE_URL", "address of openai"),
    model("ANTHROPIC_API_URL", "address of anthropic"),
    model("XAI_MODEL", "default model of xai"),
    model("ZAI_BASE_URL", "address of zai"),
    model("ZAI_MODEL", "default model of zai"),
    model(
        "ZAI_USE_CODING_ENDPOINT",
        "true: the address of zai for its coding plan, where ZAI_BASE_URL is not set",
    ),
    none("ROLLBACK_DIR", CHECKPOINTS),
    none("SANDBOX_APP_DIR", "no meaning: a project has its own folder, where its agent works"),
    own(
        "SEED_AGENTS_MD",
        "true: a new project begins with an AGENTS.md, where its image has none; false: not with that of AGENTS_TEMPLATE_PATH either",
    ),
    own("AGENTS_TEMPLATE_PATH", "file with what that AGENTS.md says"),
    none("WORKER_KICK_QUEUED_LIMIT", QUEUE),
    none("WORKER_KICK_QUEUED_MIN_AGE_S", QUEUE),
    own("WORKER_MAX_BACKOFF", "longest pause before a run is tried again, in seconds"),
    own(
        "WORKER_REQUEUE_RUNNING_AFTER_S",
        "how long a run belongs to a server that does not say so again, in seconds",
    ),
    own("ZIP_MAX_BYTES", "bytes of files in a workspace's archive"),
    own("ZIP_MAX_FILES", "files in it"),
    row("LANGSMITH_PROJECT", ReadBy::Traces, "project of those traces"),
    row("LANGSMITH_ENDPOINT", ReadBy::Traces, "address of LangSmith"),
    own("API_BASE", "server that toft check asks"),
    own("API_KEY", "key for toft check, where AGENT_API_KEY is not set"),
    own("CHECK_PROJECT_ID", "project that toft check uses"),
    own("CHECK_PROJECT_NAME", "name of that project"),
    own("CHECK_PROMPT", "what toft check asks for"),
    own("CHECK_FOLLOWUP_PROMPT", "what it asks for then"),
    own("CHECK_PROVIDER", "provider of toft check's runs"),
    own("CHECK_MODEL", "model of toft check's runs"),
    own("RUN_TIMEOUT_MS", "how long toft check waits for a run"),
    own("RUN_POLL_MS", "how often it looks"),
];

#[cfg(test)]
mod tests;
