//! Somebody wants to see in their own tools what agents did: a collector of OpenTelemetry's, LangSmith, or
//! both. The reader of what is sent is OpenTelemetry's own (`peers/collector`).

use anyhow::{Context as _, Result};
use serde_json::{Value, json};
use std::{
    collections::{BTreeMap, BTreeSet},
    process::{Command, Stdio},
    sync::Arc,
    time::Duration,
};
use toft_stories::{
    collector::Collector,
    lane,
    provider::{Provider, Say, Script},
    session::{self, Follow},
    toft::{Start, Toft, binary},
};

const OTLP_KEY: &str = "otlp-key-for-the-story";
const SMITH_KEY: &str = "lsv2-key-for-the-story";

fn say(text: &str) -> Say {
    Say { text: text.into(), tools: vec![] }
}

/// A prompt with a command and a task, whose agent runs a command too.
fn script() -> Script {
    Arc::new(|user, turn| match (user, turn) {
        ("hand it on", 0) => Say {
            text: "Two parts.".into(),
            tools: vec![
                ("bash".into(), json!({"command": "echo here; exit 3"})),
                ("task".into(), json!({"description": "count", "prompt": "count"})),
            ],
        },
        ("count", 0) => {
            Say { text: "I count.".into(), tools: vec![("bash".into(), json!({"command": "ls"}))] }
        }
        ("wait", 0) => Say {
            text: "I wait.".into(),
            tools: vec![(
                "bash".into(),
                json!({"command": "touch at; until test -e go; do sleep 0.02; done"}),
            )],
        },
        ("count", _) => say("There are seven."),
        _ => say("It is done."),
    })
}

/// None, and says why, where it cannot be.
fn collector() -> Result<Option<Collector>> {
    let collector = Collector::later()?;
    if collector.is_none() {
        lane::skip(
            "a collector",
            "its packages are not installed: `make prepare` does that with PyPI",
        );
    }
    Ok(collector)
}

fn otlp(collector: &Collector) -> Vec<(String, String)> {
    [
        ("OTEL_EXPORTER_OTLP_ENDPOINT", collector.base()),
        ("OTEL_EXPORTER_OTLP_HEADERS", format!("authorization=Bearer%20{OTLP_KEY}")),
        ("OTEL_BSP_SCHEDULE_DELAY", "50".into()),
        ("OTEL_RESOURCE_ATTRIBUTES", "deployment.environment.name=story".into()),
    ]
    .map(|(name, value)| (name.to_owned(), value))
    .into()
}

fn langsmith(collector: &Collector) -> Vec<(String, String)> {
    [
        ("LANGSMITH_TRACING", "true".to_owned()),
        ("LANGSMITH_API_KEY", SMITH_KEY.into()),
        ("LANGSMITH_ENDPOINT", collector.base()),
        ("LANGSMITH_PROJECT", "the shop".into()),
    ]
    .map(|(name, value)| (name.to_owned(), value))
    .into()
}

/// Spans that were taken at a path, in order.
fn taken(seen: &[Value], path: &str) -> Vec<Value> {
    let ours = seen.iter().filter(|r| r["path"] == path && r["status"] == 200);
    ours.flat_map(|r| r["spans"].as_array().cloned().unwrap_or_default()).collect()
}

/// How many have come whole. One that was sent just before a kill comes again.
fn whole_prompts(seen: &[Value], path: &str) -> usize {
    let spans = taken(seen, path);
    let whole = spans.iter().filter(|span| span["name"] == "invoke_agent toft");
    whole.filter_map(|span| span["spanId"].as_str()).collect::<BTreeSet<_>>().len()
}

/// `name < parent's name`, sorted.
fn tree(spans: &[Value]) -> Vec<String> {
    let names: BTreeMap<&str, &str> = spans
        .iter()
        .filter_map(|span| Some((span["spanId"].as_str()?, span["name"].as_str()?)))
        .collect();
    let mut tree: Vec<String> = spans
        .iter()
        .map(|span| {
            let parent = span["parentId"].as_str().map(|id| names.get(id).copied().unwrap_or("?"));
            format!("{} < {}", span["name"].as_str().unwrap_or("?"), parent.unwrap_or("-"))
        })
        .collect();
    tree.sort();
    tree
}

const TREE: [&str; 8] = [
    "chat {model} < invoke_agent toft",
    "chat {model} < invoke_agent toft",
    "chat {model} < invoke_agent toft task",
    "chat {model} < invoke_agent toft task",
    "execute_tool bash < invoke_agent toft",
    "execute_tool bash < invoke_agent toft task",
    "execute_tool task < invoke_agent toft",
    "invoke_agent toft < -",
];

fn wanted_tree(spans: &[Value]) -> Vec<String> {
    let of_call = |span: &&Value| span["attributes"]["gen_ai.operation.name"] == "chat";
    let model = spans.iter().find(of_call);
    let model = model.and_then(|s| s["attributes"]["gen_ai.request.model"].as_str()).unwrap_or("?");
    let mut tree: Vec<String> = TREE.iter().map(|line| line.replace("{model}", model)).collect();
    tree.push("invoke_agent toft task < execute_tool task".into());
    tree.sort();
    tree
}

fn one<'a>(spans: &'a [Value], name: &str) -> Result<&'a Value> {
    spans.iter().find(|span| span["name"] == name).with_context(|| format!("no span {name}"))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_prompt_is_a_tree_of_spans_in_a_collector_and_in_langsmith() -> Result<()> {
    let Some(mut collector) = collector()? else { return Ok(()) };
    collector.start().await?;
    let provider = Provider::start(Duration::ZERO, script()).await?;
    let mut env = provider.env("sk-t");
    env.extend(otlp(&collector));
    env.extend(langsmith(&collector));
    let toft = Toft::start(Start { env, ..Start::default() }).await?;
    let project = toft.new_project("Told").await?;
    let mut follow = Follow::from(&toft, &project, 0).await?;
    let session = session::prompt(&toft, &project, "hand it on").await?;
    follow.until(|e| e.kind == "agent_end" && e.data["sessionId"] == session.as_str()).await?;
    let (plain, smith) = ("/v1/traces", "/otel/v1/traces");
    let seen = collector
        .until(|seen| whole_prompts(seen, plain) == 1 && whole_prompts(seen, smith) == 1)
        .await?;

    for path in [plain, smith] {
        let spans = taken(&seen, path);
        assert_eq!(tree(&spans), wanted_tree(&spans), "{path}");
        let traces: BTreeSet<_> = spans.iter().map(|span| span["traceId"].as_str()).collect();
        assert_eq!(traces.len(), 1);
    }
    // Every name is one of OpenTelemetry's registry.
    for request in &seen {
        assert_eq!(request["unknown"], json!([]), "{}", request["path"]);
    }
    let spans = taken(&seen, plain);
    let agent = one(&spans, "invoke_agent toft")?;
    let attributes = &agent["attributes"];
    assert_eq!(attributes["gen_ai.conversation.id"], session);
    assert_eq!(attributes["toft.project.id"], project);
    assert_eq!(
        (&agent["kind"], &agent["status"]),
        (&json!("SPAN_KIND_INTERNAL"), &json!("STATUS_CODE_UNSET"))
    );
    let chat = spans.iter().find(|span| span["kind"] == "SPAN_KIND_CLIENT").context("a call")?;
    assert_eq!(chat["attributes"]["gen_ai.provider.name"], "anthropic");
    assert_eq!(chat["attributes"]["gen_ai.response.finish_reasons"], json!(["tool_call"]));
    assert!(chat["attributes"]["gen_ai.usage.input_tokens"].as_u64() > Some(0), "{chat}");
    let failed = spans
        .iter()
        .find(|span| span["name"] == "execute_tool bash" && span["parentId"] == agent["spanId"]);
    let failed = failed.context("the command")?;
    assert_eq!(
        (&failed["status"], &failed["attributes"]["error.type"]),
        (&json!("STATUS_CODE_ERROR"), &json!("tool_error"))
    );

    // What was said goes to LangSmith, and to the collector only if somebody says so.
    let told = json!(spans).to_string();
    for said in ["hand it on", "Two parts.", "echo here", "seven"] {
        assert!(!told.contains(said), "{said}");
    }
    let runs = taken(&seen, smith);
    let root = &one(&runs, "invoke_agent toft")?["attributes"];
    assert!(root["gen_ai.prompt"].to_string().contains("hand it on"), "{root}");
    assert!(root["gen_ai.completion"].to_string().contains("It is done."), "{root}");
    let command = &one(&runs, "execute_tool bash")?["attributes"];
    assert!(command["gen_ai.prompt"].to_string().contains("command"), "{command}");
    let kinds: BTreeSet<_> =
        runs.iter().map(|s| s["attributes"]["langsmith.span.kind"].as_str()).collect();
    assert_eq!(kinds, BTreeSet::from([Some("chain"), Some("llm"), Some("tool")]));
    let threads: BTreeSet<_> =
        runs.iter().map(|s| s["attributes"]["langsmith.metadata.thread_id"].as_str()).collect();
    assert_eq!(threads, BTreeSet::from([Some(session.as_str())]));

    // Each place gets its own key and nobody else.
    for request in &seen {
        let headers = &request["headers"];
        if request["path"] == smith {
            assert_eq!(
                (&headers["x-api-key"], &headers["langsmith-project"]),
                (&json!(SMITH_KEY), &json!("the shop"))
            );
        } else {
            assert_eq!(headers["authorization"], format!("Bearer {OTLP_KEY}"));
            assert_eq!(request["resource"]["service.name"], "toft");
            assert_eq!(request["resource"]["deployment.environment.name"], "story");
        }
        let all = headers.to_string();
        assert!(all.contains(OTLP_KEY) != all.contains(SMITH_KEY), "{all}");
    }
    let report = toft.call("GET", "/v1/doctor", None).await?;
    let sinks: Vec<_> =
        report["traces"].as_array().into_iter().flatten().map(|s| s["sink"].clone()).collect();
    assert_eq!(sinks, ["otlp", "langsmith"]);
    let shown = toft.cli(&["doctor"])?;
    let shown = String::from_utf8_lossy(&shown.stdout).into_owned();
    assert!(shown.contains("Traces to otlp") && shown.contains("9 spans"), "{shown}");
    let inside = toft.exec(&project, "env | grep -c -e OTEL -e LANGSMITH").await?;
    assert_eq!(inside["stdout"], "0\n", "a machine knows nothing of it");
    for text in [toft.log(), report.to_string(), shown] {
        assert!(!text.contains(OTLP_KEY) && !text.contains(SMITH_KEY), "{text}");
    }
    assert_eq!(provider.faults(), Vec::<String>::new());
    toft.down()
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_lost_while_the_collector_is_away_or_the_server_is_killed() -> Result<()> {
    let Some(mut collector) = collector()? else { return Ok(()) };
    let provider = Provider::start(Duration::ZERO, script()).await?;
    let mut env = provider.env("sk-t");
    env.extend(otlp(&collector));
    env.push(("OTEL_EXPORTER_OTLP_PROTOCOL".into(), "http/json".into()));
    env.push(("OTEL_EXPORTER_OTLP_COMPRESSION".into(), "gzip".into()));
    env.push(("OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT".into(), "true".into()));
    let mut toft = Toft::start(Start { env, ..Start::default() }).await?;
    let project = toft.new_project("Away").await?;
    let mut follow = Follow::from(&toft, &project, 0).await?;
    let session = session::prompt(&toft, &project, "hand it on").await?;
    follow.until(|e| e.kind == "agent_end" && e.data["sessionId"] == session.as_str()).await?;
    let waits = toft
        .until("/v1/doctor", |report| report["traces"][0]["problem"]["code"] == "unreachable")
        .await?;
    assert_eq!(waits["traces"][0]["projectsWaiting"], 1, "{waits}");

    // The server dies in the middle of a second prompt; the machine goes on without it.
    session::prompt(&toft, &project, "wait").await?;
    toft.exec(&project, "until test -e at; do sleep 0.02; done").await?;
    toft.kill_server();
    collector.start().await?;
    collector.fates(&json!([{"status": 429, "retryAfter": "1"}, 503])).await?;
    toft.up().await?;
    let seen = collector.until(|seen| whole_prompts(seen, "/v1/traces") == 1).await?;
    let ids = |request: &Value| -> Vec<Value> {
        request["spans"]
            .as_array()
            .into_iter()
            .flatten()
            .map(|span| span["spanId"].clone())
            .collect()
    };
    let [first, second, third, ..] = &seen[..] else { anyhow::bail!("{seen:#?}") };
    let statuses = [&first["status"], &second["status"], &third["status"]];
    assert_eq!(statuses, [&json!(429), &json!(503), &json!(200)]);
    assert_eq!((ids(first), ids(second)), (ids(third), ids(third)), "the same spans, again");
    toft.kill_server();
    toft.up().await?;
    toft.exec(&project, "touch go").await?;
    let seen = collector.until(|seen| whole_prompts(seen, "/v1/traces") == 2).await?;
    // A span that was sent just before a kill comes again as what it was.
    let mut all: BTreeMap<String, Value> = BTreeMap::new();
    for span in taken(&seen, "/v1/traces") {
        let id = span["spanId"].as_str().context("a span has an id")?.to_owned();
        if let Some(before) = all.insert(id, span.clone()) {
            assert_eq!(before, span);
        }
    }
    let spans: Vec<Value> = all.into_values().collect();
    // What was begun before the kills is a whole tree all the same: the two prompts, nothing else.
    let of_task = one(&spans, "invoke_agent toft task")?["traceId"].clone();
    let (first, second): (Vec<Value>, Vec<Value>) =
        spans.into_iter().partition(|span| span["traceId"] == of_task);
    assert_eq!(tree(&first), wanted_tree(&first));
    let names: BTreeSet<_> = second.iter().filter_map(|span| span["name"].as_str()).collect();
    assert_eq!((second.len(), names.contains("execute_tool bash")), (4, true), "{names:?}");
    assert!(tree(&second).iter().all(|line| !line.ends_with('?')), "{:?}", tree(&second));
    let command = one(&second, "execute_tool bash")?;
    let arguments =
        command["attributes"]["gen_ai.tool.call.arguments"].as_str().unwrap_or_default();
    assert!(arguments.contains("until test -e go"), "{command}");
    let report =
        toft.until("/v1/doctor", |report| report["traces"][0]["waitingSince"].is_null()).await?;
    assert_eq!(report["traces"][0]["problem"], Value::Null, "{report}");
    assert!(!toft.log().contains(OTLP_KEY));
    toft.down()
}

#[test]
fn a_setting_that_makes_no_sense_is_refused_before_anything_starts() -> Result<()> {
    let data = tempfile::tempdir()?;
    let said = Command::new(binary())
        .args(["--json", "up", "--listen", "127.0.0.1:0", "--data"])
        .arg(data.path().join("data"))
        .env_clear()
        .env("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:4317")
        .env("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc")
        .stdin(Stdio::null())
        .output()?;
    let told: Value = serde_json::from_slice(&said.stderr)
        .with_context(|| String::from_utf8_lossy(&said.stderr).into_owned())?;
    assert_eq!(
        (said.status.code(), &told["error"]["code"]),
        (Some(1), &json!("bad_trace_setting"))
    );
    assert!(told["error"]["message"].as_str().is_some_and(|m| m.contains("4318")), "{told}");
    assert!(!data.path().join("data").exists());
    Ok(())
}
