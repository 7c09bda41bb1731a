//! The adapters against a provider double that nobody here wrote: aimock, from npm, as a process
//! of its own. In every wire format of the agent: tools, thinking, calls side by side, answers in pieces of one
//! character, slow ones, refusals, server errors, chaos, streams that are cut or fall silent.

use anyhow::{Context as _, Result};
use serde_json::{Value, json};
use std::{
    path::Path,
    process::{Child, Command, Stdio},
    time::Duration,
};
use toft_stories::{
    lane, ports,
    session::{self, Follow, Seen},
    toft::{Start, Toft},
};

/// The double as a process of its own.
pub(crate) struct Double {
    child: Child,
    port: u16,
}

impl Double {
    async fn start() -> Result<Self> {
        Self::with(&Path::new(env!("CARGO_MANIFEST_DIR")).join("peers/fixtures")).await
    }

    /// With what it says in this file or folder.
    pub(crate) async fn with(fixtures: &Path) -> Result<Self> {
        let peers = Path::new(env!("CARGO_MANIFEST_DIR")).join("peers");
        let port = ports::free();
        let child = Command::new("node")
            .arg(peers.join("node_modules/.bin/llmock"))
            .args(["-p", &port.to_string(), "-f"])
            .arg(fixtures)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .context("starting aimock: `make prepare` installs it")?;
        let double = Self { child, port };
        for _ in 0..200 {
            if tokio::net::TcpStream::connect(("127.0.0.1", port)).await.is_ok() {
                return Ok(double);
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        anyhow::bail!("aimock does not listen")
    }

    pub(crate) fn env(&self, provider: &str) -> Vec<(String, String)> {
        let base = format!("http://127.0.0.1:{}", self.port);
        match provider {
            "anthropic" => vec![
                ("ANTHROPIC_API_KEY".into(), "sk-double".into()),
                ("ANTHROPIC_BASE_URL".into(), base),
            ],
            "google" => vec![
                ("GOOGLE_API_KEY".into(), "sk-double".into()),
                ("GOOGLE_BASE_URL".into(), base),
            ],
            "bedrock, signed" => vec![
                ("AWS_ACCESS_KEY_ID".into(), "AKIDOUBLE".into()),
                ("AWS_SECRET_ACCESS_KEY".into(), "sk-double".into()),
                ("AWS_REGION".into(), "eu-west-1".into()),
                ("AWS_ENDPOINT_URL_BEDROCK_RUNTIME".into(), base),
            ],
            "bedrock" => vec![
                ("AWS_BEARER_TOKEN_BEDROCK".into(), "sk-double".into()),
                ("AWS_ENDPOINT_URL_BEDROCK_RUNTIME".into(), base),
            ],
            _ => {
                let mut env = vec![
                    ("OPENAI_API_KEY".into(), "sk-double".into()),
                    ("OPENAI_BASE_URL".into(), format!("{base}/v1")),
                ];
                // One that OpenAI serves in this format alone.
                if provider == "responses" {
                    env.push(("OPENAI_MODEL".into(), "gpt-5-codex".into()));
                }
                env
            }
        }
    }
}

impl Drop for Double {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

async fn say(toft: &Toft, project: &str, message: &str) -> Result<Vec<Seen>> {
    let all = format!("/v1/projects/{project}/toft/sessions/new");
    toft.call("POST", &all, Some(json!({}))).await?;
    let state = toft.call("GET", &format!("/v1/projects/{project}/toft/state"), None).await?;
    let mut follow = Follow::from(toft, project, state["seq"].as_u64().unwrap_or(0)).await?;
    session::prompt(toft, project, message).await?;
    follow.until_agent_end().await
}

fn reason(events: &[Seen]) -> Value {
    events.last().map(|e| e.data["reason"].clone()).unwrap_or_default()
}

/// What fails once, whatever the format: what is asked, what is told of it, and how long to wait at least,
/// in milliseconds.
const ONCE: [(&str, &str, u64); 8] = [
    ("too many of them", "Rate limit reached", 4_000),
    ("break down now", "had an error while processing", 2_000),
    ("be busy first", "Overloaded for a moment", 2_000),
    ("be dropped now", "request dropped", 2_000),
    ("be garbled now", "", 2_000),
    ("hang up now", "", 2_000),
    ("be cut in the middle", "", 2_000),
    ("break off in the middle", "", 2_000),
];

/// Those of them of which something was shown.
const SHOWN: [&str; 2] = ["be cut in the middle", "break off in the middle"];

/// What is not asked again.
const NEVER: [(&str, &str); 2] = [
    ("ask wrongly", "temperature is out of its bounds"),
    ("be a stranger", "nobody with this key"),
];

async fn speaks(provider: &str) -> Result<()> {
    let double = Double::start().await?;
    let toft = Toft::start(Start { env: double.env(provider), ..Start::default() }).await?;
    let project = toft.new_project("Wire").await?;

    let events = say(&toft, &project, "please make a file").await?;
    assert_eq!(reason(&events), "done", "{provider}: {events:?}");
    assert_eq!(toft.exec(&project, "cat note.txt").await?["stdout"], "from the double\n");
    let transcript = session::transcript(&toft, &project).await?;
    let roles: Vec<&str> = transcript.iter().filter_map(|m| m["role"].as_str()).collect();
    assert_eq!(
        roles,
        ["user", "assistant", "toolResult", "assistant", "toolResult", "assistant"],
        "{provider}"
    );

    says_all_kinds(&toft, &project, provider).await?;
    for (prompt, words, wait_ms) in ONCE {
        fails_once(&toft, &project, provider, (prompt, words, wait_ms)).await?;
    }
    for (prompt, words) in NEVER {
        let events = say(&toft, &project, prompt).await?;
        assert_eq!(reason(&events), "error", "{provider} {prompt}: {events:?}");
        assert_eq!(count(&events, "auto_retry_start"), 0, "{provider} {prompt}: in vain");
        assert!(events.iter().any(|e| e.data.to_string().contains(words)), "{provider} {prompt}");
    }
    let after = say(&toft, &project, "please make a file").await?;
    assert_eq!(reason(&after), "done", "{provider}: the project goes on");
    toft.down()
}

/// Thinking, text and two calls, a character at a time; then an answer that is slow to begin and slow.
async fn says_all_kinds(toft: &Toft, project: &str, provider: &str) -> Result<()> {
    let events = say(toft, project, "do two at once").await?;
    assert_eq!(reason(&events), "done", "{provider}: {events:?}");
    let told = |kind: &str| events.iter().filter(|e| e.data["type"] == kind).count();
    assert!(told("text_delta") > 10 && told("thinking_delta") > 10, "{provider}: in pieces");
    let path = format!("/v1/projects/{project}/toft/messages");
    let data = toft.call("GET", &path, None).await?;
    let entries = data["messages"].as_array().context("messages is a list")?;
    let of = |role: &str| {
        let all = entries.iter().map(|entry| &entry["message"]);
        all.filter(|m| m["role"] == role).cloned().collect::<Vec<_>>()
    };
    let first = &of("assistant")[0];
    let blocks = first["content"].as_array().context("blocks")?;
    let kinds: Vec<_> = blocks.iter().filter_map(|block| block["type"].as_str()).collect();
    assert_eq!(kinds, ["thinking", "text", "toolCall", "toolCall"], "{provider}: {first}");
    assert_eq!(blocks[0]["thinking"], "Two things are wanted: “one” and “two”.", "{provider}");
    assert_eq!(blocks[1]["text"], "I will run both – at once.", "{provider}");
    assert_eq!(blocks[2]["arguments"], json!({"command": "echo one"}), "{provider}");
    assert_eq!(blocks[3]["arguments"], json!({"command": "echo two"}), "{provider}");
    let usage = &first["usage"];
    assert_eq!((&usage["input"], &usage["output"]), (&json!(1100), &json!(22)), "{provider}");
    let results = of("toolResult");
    let said: Vec<_> = results.iter().map(|m| m["content"][0]["text"].clone()).collect();
    assert_eq!(said, ["one", "two"], "{provider}");
    assert_eq!(text(&of("assistant")[1]), "Both ran.", "{provider}");
    // The gateway has counted the same on the way.
    let path = format!("/v1/projects/{project}/usage");
    toft.until(&path, |usage| usage["total"]["output"].as_u64() >= Some(22)).await?;
    Ok(())
}

/// It is told, waited for and asked again; what was shown before is void.
async fn fails_once(
    toft: &Toft,
    project: &str,
    provider: &str,
    (prompt, words, wait_ms): (&str, &str, u64),
) -> Result<()> {
    let events = say(toft, project, prompt).await?;
    assert_eq!(reason(&events), "done", "{provider} {prompt}: {events:?}");
    let retry =
        events.iter().find(|e| e.kind == "auto_retry_start").context("it is asked again")?;
    let told = retry.data["errorMessage"].as_str().unwrap_or_default();
    assert!(!told.is_empty() && told.contains(words), "{provider} {prompt}: {told}");
    assert!(retry.data["delayMs"].as_u64() >= Some(wait_ms), "{provider} {prompt}: {retry:?}");
    let ended = events.iter().find(|e| e.kind == "auto_retry_end").context("and that went well")?;
    assert_eq!(ended.data["success"], true, "{provider} {prompt}");
    let void = usize::from(SHOWN.contains(&prompt));
    assert_eq!(count(&events, "message_restarted"), void, "{provider} {prompt}: {events:?}");
    let transcript = session::transcript(toft, project).await?;
    let said: Vec<_> = transcript.iter().map(|m| (&m["role"], text(m))).collect();
    let (user, assistant) = (json!("user"), json!("assistant"));
    assert_eq!(
        said,
        [(&user, prompt.to_owned()), (&assistant, "Here it is.".to_owned())],
        "{provider}: nothing of the failure is left"
    );
    Ok(())
}

/// A reasoning model has thought before its text, also where it tells nothing of that.
fn text(message: &Value) -> String {
    let content = &message["content"];
    let mut blocks = content.as_array().into_iter().flatten();
    let text = content.as_str().or_else(|| blocks.find_map(|block| block["text"].as_str()));
    text.unwrap_or_default().to_owned()
}

fn count(events: &[Seen], kind: &str) -> usize {
    events.iter().filter(|e| e.kind == kind).count()
}

/// Silent for five minutes in the middle of an answer: given up, told, and asked again.
#[tokio::test(flavor = "multi_thread")]
async fn a_provider_that_falls_silent_is_given_up_in_every_format() -> Result<()> {
    if !lane::deep() {
        lane::skip("a silent provider", "it is waited for five minutes: the long lane does");
        return Ok(());
    }
    let formats = ["anthropic", "bedrock", "google", "openai", "responses"].map(falls_silent);
    futures_util::future::try_join_all(formats).await?;
    Ok(())
}

async fn falls_silent(provider: &str) -> Result<()> {
    let double = Double::start().await?;
    let toft = Toft::start(Start { env: double.env(provider), ..Start::default() }).await?;
    let project = toft.new_project("Silent").await?;
    let mut follow = Follow::from(&toft, &project, 0).await?;
    session::prompt(&toft, &project, "fall silent please").await?;
    let mut given_up = None;
    while given_up.is_none() {
        // No event comes while all are waiting.
        match follow.next().await {
            Ok(event) if event.kind == "auto_retry_start" => given_up = Some(event),
            Ok(_) => {}
            Err(error) if error.to_string().contains("for a long time") => {}
            Err(error) => return Err(error.context(provider.to_owned())),
        }
    }
    let told = given_up.map(|event| event.data["errorMessage"].to_string()).unwrap_or_default();
    assert!(told.contains("300 seconds"), "{provider}: {told}");
    let path = format!("/v1/projects/{project}/toft/abort");
    toft.call("POST", &path, Some(json!({}))).await?;
    let events = follow.until_agent_end().await?;
    assert_eq!(reason(&events), "aborted", "{provider}");
    toft.down()
}

#[tokio::test(flavor = "multi_thread")]
async fn anthropic_messages_against_a_foreign_double() -> Result<()> {
    speaks("anthropic").await
}

#[tokio::test(flavor = "multi_thread")]
async fn bedrock_converse_against_a_foreign_double() -> Result<()> {
    speaks("bedrock").await
}

#[tokio::test(flavor = "multi_thread")]
async fn bedrock_with_an_accounts_key_against_a_foreign_double() -> Result<()> {
    speaks("bedrock, signed").await
}

#[tokio::test(flavor = "multi_thread")]
async fn gemini_against_a_foreign_double() -> Result<()> {
    speaks("google").await
}

#[tokio::test(flavor = "multi_thread")]
async fn openai_chat_against_a_foreign_double() -> Result<()> {
    speaks("openai").await
}

#[tokio::test(flavor = "multi_thread")]
async fn openai_responses_against_a_foreign_double() -> Result<()> {
    speaks("responses").await
}
