//! The adapters against a provider double that nobody here wrote: aimock, from npm, as a process
//! of its own. The wire formats of the agent: tools, refusals, server errors, a cut stream.

use anyhow::{Context as _, Result};
use serde_json::{Value, json};
use std::{
    path::Path,
    process::{Child, Command, Stdio},
    time::Duration,
};
use toft_stories::{
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
        let port = std::net::TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
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
            _ => vec![
                ("OPENAI_API_KEY".into(), "sk-double".into()),
                ("OPENAI_BASE_URL".into(), format!("{base}/v1")),
            ],
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

    for (prompt, words) in [
        ("too many of them", "Rate limit reached"),
        ("break down now", "had an error while processing"),
    ] {
        let events = say(&toft, &project, prompt).await?;
        assert_eq!(reason(&events), "error", "{provider} {prompt}");
        assert!(
            events.iter().any(|e| e.kind == "auto_retry_start"),
            "{provider} {prompt}: it retries"
        );
        assert!(events.iter().any(|e| e.data.to_string().contains(words)), "{provider} {prompt}");
    }

    let events = say(&toft, &project, "be cut in the middle").await?;
    assert!(events.iter().any(|e| e.kind == "message_restarted"), "{provider}: {events:?}");
    assert_eq!(reason(&events), "error", "{provider}: it is cut every time");
    let after = say(&toft, &project, "please make a file").await?;
    assert_eq!(reason(&after), "done", "{provider}: the project goes on");
    toft.down()
}

#[tokio::test(flavor = "multi_thread")]
async fn anthropic_messages_against_a_foreign_double() -> Result<()> {
    speaks("anthropic").await
}

#[tokio::test(flavor = "multi_thread")]
async fn gemini_against_a_foreign_double() -> Result<()> {
    speaks("google").await
}

#[tokio::test(flavor = "multi_thread")]
async fn openai_chat_against_a_foreign_double() -> Result<()> {
    speaks("openai").await
}
