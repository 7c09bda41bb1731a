//! Codex, opencode and Claude Code, as npm has them, do a task in a machine that has no key and may
//! reach nothing but models, and outside of it: with a model that speaks their format, and with one that
//! does not. The long lane's; `.ci/prepare deep` installs them.

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};
use std::{
    fs,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};
use toft_stories::{
    lane,
    peers::{self, Toolchain},
    processes,
    provider::{Provider, Say, Script},
    scan,
    toft::{STEP_TIMEOUT, Start, Toft},
};

const KEY: &str = "program-key-4713-for-agents";
const TASK: &str = "write the note";
const SAID: &str = "The note is written.";
const NOTE: &str = "by an agent of others";
/// What the model has the agent run: it stands still until it is let go, so that it can be looked at.
const COMMAND: &str = "echo by an agent of others > note.txt; until [ -e go ]; do sleep 0.05; done";
/// What the fake provider reports of each call.
const OUTPUT_TOKENS: usize = 42;

/// An agent and how it is told what to use.
struct Agent {
    /// The program.
    name: &'static str,
    /// Its package for this platform begins so.
    package: &'static str,
    /// Its shell tool, and the arguments that it takes.
    tool: (&'static str, fn() -> Value),
    /// Writes its configuration, where it wants one: `$LLM` and `$KEY_NAME` are known.
    configure: &'static str,
    /// Its command line, with `$MODEL` and `$TASK`.
    run: &'static str,
    /// Models, each with what the agent wants before it. The first one speaks the agent's format.
    models: &'static [(&'static str, &'static str)],
    /// A field of requests in that format.
    own: &'static str,
}

const CODEX: Agent = Agent {
    name: "codex",
    package: "@openai/codex-linux-",
    tool: ("exec_command", || json!({"cmd": COMMAND, "yield_time_ms": 30_000})),
    configure: "mkdir -p ~/.codex; cat > ~/.codex/config.toml <<E\nmodel_provider = \"toft\"\n\
        [model_providers.toft]\nname = \"Toft\"\nbase_url = \"$LLM/openai/v1\"\nenv_key = \"$KEY_NAME\"\n\
        wire_api = \"responses\"\nE",
    run: "codex exec --skip-git-repo-check --dangerously-bypass-approvals-and-sandbox -m $MODEL \"$TASK\"",
    models: &[("", "openai/gpt-5"), ("", "anthropic/claude-opus-4-5")],
    own: "input",
};

const OPENCODE: Agent = Agent {
    name: "opencode",
    package: "opencode-linux-",
    tool: ("bash", || json!({"command": COMMAND, "description": "Writes the note"})),
    configure: "mkdir -p ~/.config/opencode; one() { printf '\"%s\": {\"npm\": \"@ai-sdk/%s\", \
        \"options\": {\"baseURL\": \"%s\", \"apiKey\": \"{env:%s}\"}, \
        \"models\": {\"openai/gpt-5\": {}, \"anthropic/claude-opus-4-5\": {}}}' $1 $2 $3 $KEY_NAME; }\n\
        cat > ~/.config/opencode/opencode.json <<E\n{\"provider\": {\
        $(one chat openai-compatible $LLM/openai/v1), $(one responses openai $LLM/openai/v1),\
        $(one messages anthropic $LLM/anthropic/v1), $(one gemini google $LLM/google/v1beta)},\
        \"permission\": \"allow\", \"autoupdate\": false, \"share\": \"disabled\"}\nE",
    run: "opencode run -m $MODEL \"$TASK\"",
    models: &[
        ("chat/", "openai/gpt-5"),
        ("responses/", "anthropic/claude-opus-4-5"),
        ("messages/", "openai/gpt-5"),
        ("gemini/", "anthropic/claude-opus-4-5"),
    ],
    own: "stream_options",
};

const CLAUDE_CODE: Agent = Agent {
    name: "claude",
    package: "@anthropic-ai/claude-code-linux-",
    tool: ("Bash", || json!({"command": COMMAND, "description": "Writes the note"})),
    configure: ":",
    run: "ANTHROPIC_BASE_URL=$LLM/anthropic ANTHROPIC_API_KEY=${!KEY_NAME} claude --model $MODEL --allowedTools Bash -p \"$TASK\"",
    models: &[("", "anthropic/claude-opus-4-5"), ("", "openai/gpt-5")],
    own: "system",
};

impl Agent {
    /// The task, with what the configuration needs, as a command.
    fn task(&self, base: &str, key_name: &str, (before, model): (&str, &str)) -> String {
        format!(
            "LLM={base}/llm KEY_NAME={key_name} MODEL={before}{model} TASK='{TASK}'\n{}\n\
             {} </dev/null 2>&1",
            self.configure, self.run
        )
    }

    fn script(&self) -> Script {
        let (tool, arguments) = (self.tool.0.to_owned(), self.tool.1());
        Arc::new(move |user, turn| {
            let first = turn == 0 && user.contains(TASK);
            let tools = if first { vec![(tool.clone(), arguments.clone())] } else { vec![] };
            Say { text: if first { "I write it." } else { SAID }.into(), tools }
        })
    }

    /// Its package for this platform, of those that are installed, and the program in it.
    fn program(&self, modules: &Path) -> Result<(PathBuf, PathBuf)> {
        let (scope, start) = self.package.split_once('/').unwrap_or(("", self.package));
        let names: std::io::Result<Vec<_>> =
            fs::read_dir(modules.join(scope))?.map(|entry| Ok(entry?.file_name())).collect();
        let mut names = names?;
        names.retain(|name| name.to_string_lossy().starts_with(start));
        // Of several the one for older processors, which runs on all.
        names.sort_by_key(|name| !name.to_string_lossy().ends_with("baseline"));
        let name = names.first().with_context(|| format!("{} is not installed", self.package))?;
        let package = modules.join(scope).join(name);
        let mut folders = vec![package.clone()];
        while let Some(folder) = folders.pop() {
            for entry in fs::read_dir(folder)? {
                let entry = entry?;
                let kind = entry.file_type()?;
                if kind.is_dir() {
                    folders.push(entry.path());
                } else if kind.is_file() && entry.file_name() == self.name {
                    let within = entry.path().strip_prefix(&package)?.to_owned();
                    return Ok((package, within));
                }
            }
        }
        anyhow::bail!("no program {} in {}", self.name, package.display())
    }
}

/// Made at run time, so that the test binary's own text does not hold it.
fn canary() -> String {
    format!("sk-{}-agents-canary", std::process::id() * 7919)
}

/// Whether this lane is the agents', and root runs it, which is said if not.
fn possible(agent: &Agent) -> bool {
    if !lane::deep() {
        lane::skip(agent.name, "it belongs to the long lane");
        return false;
    }
    if !lane::root() {
        lane::skip(agent.name, "a folder that machines may read is made in /opt, which is root's");
        return false;
    }
    true
}

async fn works(agent: &Agent) -> Result<()> {
    if !possible(agent) {
        return Ok(());
    }
    let from = peers::installed("agents").context("not installed: `make test-deep` does that")?;
    let (package, program) = agent.program(&from.join("node_modules"))?;
    let toolchain = Toolchain::of(&package)?;
    toolchain.link(agent.name, &toolchain.copy().join(program))?;

    let provider = Provider::start(Duration::ZERO, agent.script()).await?;
    let key = canary();
    let mut env = provider.env(&key);
    env.extend(provider.env_openai(&key));
    env.push(("AGENT_API_KEY".into(), KEY.into()));
    let toft = Toft::start(Start { env, ..Start::default() }).await?;
    inside(agent, &toolchain, &toft, &provider, &key).await?;
    outside(agent, &toolchain, &toft, &provider).await?;
    assert_eq!(provider.faults(), Vec::<String>::new());
    assert!(provider.keys().iter().all(|k| *k == key), "{:?}", provider.keys());
    toft.down()
}

async fn inside(
    agent: &Agent,
    toolchain: &Toolchain,
    toft: &Toft,
    provider: &Provider,
    key: &str,
) -> Result<()> {
    let order = json!({"folders": [toolchain.path()]});
    let image = toft.call("POST", "/v1/images", Some(order)).await?;
    let of = format!("/v1/images/{}", image["key"].as_str().context("a key")?);
    toft.until(&of, |image| image["state"] != "making").await?;
    let order = json!({"name": agent.name, "image": image["key"]});
    let project = toft.call("POST", "/v1/projects", Some(order)).await?;
    let project = project["id"].as_str().context("an id")?.to_owned();
    let none = json!({"level": "none"});
    toft.call("PUT", &format!("/v1/projects/{project}/egress"), Some(none)).await?;

    for (nth, way) in agent.models.iter().enumerate() {
        let (_, model) = *way;
        let before = provider.requests().len();
        let task = agent.task("http://gateway.internal", "TOFT_TOKEN", *way);
        let look = async {
            let wait = "until [ -s note.txt ]; do sleep 0.05; done; printf %s $TOFT_TOKEN";
            let token = toft.exec(&project, wait).await?;
            let token = token["stdout"].as_str().context("a token")?.as_bytes().to_owned();
            // At work it has the machine's token, and no key of a provider is anywhere. To look takes a while.
            if nth == 0 {
                if lane::root() {
                    let machine = toft.machine_processes(&project);
                    let works = |p: &&processes::Process| {
                        p.argv.first().is_some_and(|a| a.ends_with(agent.name))
                    };
                    let at_work =
                        machine.iter().find(works).with_context(|| format!("{machine:?}"))?;
                    ensure!(
                        processes::memory_holds(at_work.pid, &token),
                        "the search finds a token"
                    );
                }
                let found = scan::places(toft, &project, key.as_bytes())?;
                ensure!(found.is_empty(), "the provider's key is in {found:?}");
            }
            toft.exec(&project, "touch go").await
        };
        let run = toft.exec(&project, &task);
        tokio::pin!(run);
        tokio::select! {
            ended = &mut run => anyhow::bail!("{model}: it ended before it was let go: {:?}", ended?),
            looked = look => looked?,
        };
        let done = run.await?;
        let said = done["stdout"].as_str().unwrap_or_default();
        ensure!(said.contains(SAID), "{model}: {done}\nserver log: {}", toft.log());
        let note = toft.exec(&project, "cat note.txt; rm note.txt go").await?;
        assert_eq!(note["stdout"], format!("{NOTE}\n"), "{model}");
        asked(agent, nth, &provider.requests()[before..])?;
    }

    // What it was charged with is what the provider was asked, all of it this project's.
    let calls = provider.requests().len();
    let own = format!("/v1/projects/{project}/usage?by=model");
    let usage = toft.until(&own, |usage| usage["total"]["calls"] == calls).await?;
    assert_eq!(usage["total"]["output"], calls * OUTPUT_TOKENS, "{usage}");
    assert_eq!((&usage["total"]["failed"], &usage["total"]["unpriced"]), (&json!(0), &json!(0)));
    assert_eq!(usage["rows"].as_array().map(Vec::len), Some(2), "two models: {usage}");
    // Nothing else of what it tried went out.
    let log =
        toft.call("GET", &format!("/v1/projects/{project}/egress/log?limit=1000"), None).await?;
    let lines = log["lines"].as_array().context("lines")?;
    assert!(lines.iter().all(|line| line["verdict"] == "deny"), "{log}");
    Ok(())
}

/// What came to the provider: in the agent's own format as it sent it, else in the model's; the task, and
/// then what the tool said.
fn asked(agent: &Agent, nth: usize, requests: &[Value]) -> Result<()> {
    let (_, model) = agent.models[nth];
    let (_, name) = model.split_once('/').context("a provider and a model")?;
    for request in requests {
        assert_eq!(request["model"], name, "by the name that the provider knows");
        let works = request["tools"].as_array().is_some_and(|tools| !tools.is_empty());
        let passed = nth == 0 && works;
        assert!(!passed || !request[agent.own].is_null(), "{model}: {request}");
    }
    let count = |words: &str| requests.iter().filter(|r| r.to_string().contains(words)).count();
    ensure!(count(TASK) >= 2, "{model}: the task, and it again with the tool's result");
    ensure!(count("I write it.") >= 1, "{model}: no request has what the model said first");
    Ok(())
}

/// With the server's key on this host, where it has a home of its own and no way out but the server.
async fn outside(
    agent: &Agent,
    toolchain: &Toolchain,
    toft: &Toft,
    provider: &Provider,
) -> Result<()> {
    let home = tempfile::tempdir()?;
    fs::write(home.path().join("go"), "")?;
    let before = provider.requests().len();
    for way in agent.models {
        let (_, model) = *way;
        let program = toolchain.program("").display().to_string();
        let run = tokio::process::Command::new("bash")
            .args(["-c", &agent.task(&toft.base, "AGENT_API_KEY", *way)])
            .env_clear()
            .env("PATH", format!("{program}:/usr/local/bin:/usr/bin:/bin"))
            .env("HOME", home.path())
            // Some unpack libraries there, and leave them.
            .env("TMPDIR", home.path())
            .env("AGENT_API_KEY", KEY)
            .envs(["HTTP_PROXY", "HTTPS_PROXY"].map(|name| (name, "http://127.0.0.1:9")))
            .env("NO_PROXY", "127.0.0.1")
            .current_dir(home.path())
            .kill_on_drop(true)
            .output();
        let ran = tokio::time::timeout(STEP_TIMEOUT, run).await.context("it hangs")??;
        let said = String::from_utf8_lossy(&ran.stdout);
        ensure!(ran.status.success() && said.contains(SAID), "{model}: {said}\n{}", toft.log());
        let note = home.path().join("note.txt");
        assert_eq!(fs::read_to_string(&note)?, format!("{NOTE}\n"), "{model}");
        fs::remove_file(note)?;
    }
    let calls = provider.requests().len() - before;
    let of_outside = |usage: &Value| {
        let rows = usage["rows"].as_array()?;
        rows.iter().find(|row| row["key"].is_null()).map(|row| row["calls"].clone())
    };
    toft.until("/v1/usage", |usage| of_outside(usage) == Some(json!(calls))).await?;
    ensure!(scan::written(toft, KEY.as_bytes()).is_empty(), "the server's key is written down");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn codex_does_a_task_without_a_key() -> Result<()> {
    works(&CODEX).await
}

#[tokio::test(flavor = "multi_thread")]
async fn opencode_does_a_task_without_a_key() -> Result<()> {
    works(&OPENCODE).await
}

#[tokio::test(flavor = "multi_thread")]
async fn claude_code_does_a_task_without_a_key() -> Result<()> {
    works(&CLAUDE_CODE).await
}
