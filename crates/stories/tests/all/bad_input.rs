//! Bad input gets a clear error with a stable code, and nothing is lost.

use anyhow::{Context as _, Result};
use serde_json::{Value, json};
use std::{process::Command, time::Duration};
use toft_stories::{
    processes,
    provider::Provider,
    session::{self, Follow},
    toft::{Start, Toft, binary},
};

#[tokio::test(flavor = "multi_thread")]
async fn wrong_requests_are_refused_in_words() -> Result<()> {
    let toft = Toft::start(Start {
        env: vec![("AGENT_API_KEY".into(), "key-of-the-agent".into())],
        ..Start::default()
    })
    .await?;
    let project = toft.new_project("Bad").await?;
    let code = |value: &Value| {
        value["error"]["code"].as_str().or(value["code"].as_str()).unwrap_or_default().to_owned()
    };

    let (status, answer) = toft.request("GET", "/v1/projects/nonesuch", None).await?;
    assert_eq!((status, code(&answer)), (404, "not_found".into()));
    let (status, answer) = toft.request("GET", "/v1/nonesuch", None).await?;
    assert_eq!((status, code(&answer)), (404, "not_found".into()));

    let raw = |body: String| {
        toft.http()
            .post(format!("{}/v1/projects", toft.base))
            .bearer_auth(&toft.token)
            .header("content-type", "application/json")
            .body(body)
            .send()
    };
    let answer = raw("{\"name\":".into()).await?;
    assert_eq!(answer.status(), 400);
    assert_eq!(code(&answer.json().await?), "invalid_json");
    let answer = raw(format!("{{\"name\":\"{}\"}}", "x".repeat(2 << 20))).await?;
    assert_eq!(answer.status(), 413);
    assert_eq!(code(&answer.json().await?), "payload_too_large");
    let answer = raw("{\"name\":7}".into()).await?;
    assert_eq!(answer.status(), 400);

    let bare = toft.http().get(format!("{}/v1/projects", toft.base)).send().await?;
    assert_eq!(bare.status(), 401);
    assert_eq!(code(&bare.json().await?), "unauthenticated");
    let keyed = toft
        .http()
        .get(format!("{}/v1/projects", toft.base))
        .header("x-agent-api-key", "key-of-the-agent")
        .send()
        .await?;
    assert_eq!(keyed.status(), 200);

    let (status, answer) = toft
        .request(
            "POST",
            &format!("/v1/projects/{project}/toft/config"),
            Some(json!({"provider":"anthropic","modelId":"nonesuch"})),
        )
        .await?;
    assert_eq!((status, code(&answer)), (400, "unknown_model".into()), "{answer}");
    let (status, _) = toft
        .request(
            "POST",
            &format!("/v1/projects/{project}/toft/prompt"),
            Some(json!({"message":"x","sessionId":"nonesuch"})),
        )
        .await?;
    assert_eq!(status, 404);
    toft.down()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refused_key_shows_the_providers_own_words_and_keeps_the_prompt() -> Result<()> {
    let refusing = axum::Router::new().fallback(|| async {
        let body = json!({"type":"error","error":{"type":"authentication_error","message":"invalid x-api-key: ask your admin"}});
        (axum::http::StatusCode::UNAUTHORIZED, axum::Json(body))
    });
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
    let addr = listener.local_addr()?;
    let server = tokio::spawn(async move { axum::serve(listener, refusing).await });
    let toft = Toft::start(Start {
        env: vec![
            ("ANTHROPIC_API_KEY".into(), "sk-wrong".into()),
            ("ANTHROPIC_BASE_URL".into(), format!("http://{addr}")),
        ],
        ..Start::default()
    })
    .await?;
    let project = toft.new_project("Refused").await?;
    let mut follow = Follow::from(&toft, &project, 0).await?;
    session::prompt(&toft, &project, "hello").await?;
    let events = follow.until_agent_end().await?;
    assert_eq!(events.last().map(|e| e.data["reason"].clone()), Some(json!("error")));
    let shown =
        events.iter().any(|e| e.data.to_string().contains("invalid x-api-key: ask your admin"));
    assert!(shown, "the provider's message is shown");
    let transcript = session::transcript(&toft, &project).await?;
    assert_eq!(transcript[0]["role"], "user");
    server.abort();
    toft.down()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_prompt_while_one_runs_is_queued_and_answered() -> Result<()> {
    let provider = Provider::start(Duration::from_millis(5), super::spine::builder()).await?;
    let toft = Toft::start(Start { env: provider.env("sk"), ..Start::default() }).await?;
    let project = toft.new_project("Queue").await?;
    let mut follow = Follow::from(&toft, &project, 0).await?;
    session::prompt(&toft, &project, "first").await?;
    follow.until(|e| e.kind == "message_update").await?;
    let second = toft
        .call(
            "POST",
            &format!("/v1/projects/{project}/toft/prompt"),
            Some(json!({"message":"second"})),
        )
        .await?;
    assert_eq!(second["queued"], "followUp");
    follow.until_agent_end().await?;
    let users: Vec<Value> = session::transcript(&toft, &project)
        .await?
        .into_iter()
        .filter(|m| m["role"] == "user")
        .map(|m| m["content"].clone())
        .collect();
    assert_eq!(users.len(), 2, "{users:?}");
    toft.down()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_gigabyte_of_output_neither_fills_memory_nor_stops_anything() -> Result<()> {
    let toft = Toft::start(Start::default()).await?;
    let project = toft.new_project("Loud").await?;
    let server = toft.server_pid().context("it runs")?;
    let before = processes::peak_kib(server);
    let ran =
        toft.exec(&project, "head -c 1000000000 /dev/zero | tr '\\0' x; echo end >&2").await?;
    assert_eq!(ran["exitCode"], 0);
    assert_eq!(ran["truncated"], true);
    assert!(ran["stdout"].as_str().is_some_and(|s| s.len() <= (1 << 20) + 200));
    assert_eq!(ran["stderr"], "end\n");
    for process in toft.machine_processes(&project).into_iter().take(2) {
        let status = std::fs::read_to_string(format!("/proc/{}/status", process.pid))?;
        let peak: u64 = status
            .lines()
            .find_map(|l| l.strip_prefix("VmHWM:")?.trim().strip_suffix(" kB")?.parse().ok())
            .unwrap_or(0);
        assert!(peak < 120_000, "{process:?} peaked at {peak} KiB");
    }
    let grown = processes::peak_kib(server) - before;
    assert!(grown < 64 << 10, "the server grew by {grown} KiB");
    toft.down()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_port_in_use_and_a_folder_in_use_are_named() -> Result<()> {
    let toft = Toft::start(Start::default()).await?;
    let elsewhere = tempfile::tempdir()?;
    let out = Command::new(binary())
        .args(["up", "--listen", &format!("127.0.0.1:{}", toft.port), "--data"])
        .arg(elsewhere.path().join("d"))
        .output()?;
    let said = String::from_utf8_lossy(&out.stderr).into_owned();
    assert!(
        !out.status.success() && said.contains(&toft.port.to_string()) && said.contains("--listen"),
        "{said}"
    );
    let mounts = std::fs::read_to_string("/proc/self/mounts")?;
    assert!(!mounts.contains(&elsewhere.path().display().to_string()), "its storage is let go");
    let project = toft.new_project("Kept").await?;
    let out = Command::new(binary())
        .args(["up", "--listen", "127.0.0.1:0", "--data"])
        .arg(&toft.data)
        .output()?;
    let said = String::from_utf8_lossy(&out.stderr).into_owned();
    assert!(!out.status.success() && said.contains("already"), "{said}");
    assert_eq!(toft.exec(&project, "true").await?["exitCode"], 0, "the first server's goes on");
    toft.down()
}
