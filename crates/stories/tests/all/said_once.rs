//! What a person says is said once: to a bridge that hangs, dies in the middle of it or comes too late, and
//! when it is sent again under its key. An error means that it was not said, or says how to find out.

use anyhow::{Context as _, Result, ensure};
use rustix::{
    process::{Pid, Signal, kill_process},
    time::{ClockId, clock_gettime},
};
use serde_json::{Value, json};
use std::time::Duration;
use toft_stories::{
    lane, processes,
    session::{self, Follow},
    toft::{STEP_TIMEOUT, Start, Toft},
};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::UnixStream,
};

/// Sends a prompt under a key. None: it was given up after so long.
async fn say(
    toft: &Toft,
    project: &str,
    key: &str,
    text: &str,
    patience: Duration,
) -> Result<Option<(u16, Value)>> {
    let asked = async {
        let answer = toft
            .http()
            .post(format!("{}/v1/projects/{project}/toft/prompt", toft.base))
            .bearer_auth(&toft.token)
            .header("idempotency-key", key)
            .json(&json!({ "message": text }))
            .timeout(2 * STEP_TIMEOUT)
            .send()
            .await?;
        anyhow::Ok((answer.status().as_u16(), answer.json().await?))
    };
    tokio::time::timeout(patience, asked).await.ok().transpose()
}

async fn signal(toft: &Toft, project: &str, signal: Signal) -> Result<()> {
    let pid = toft.bridge(project).await?;
    let pid = Pid::from_raw(i32::try_from(pid)?).context("a pid")?;
    Ok(kill_process(pid, signal)?)
}

/// All that the user said, oldest first, once the agent rests.
async fn said(toft: &Toft, project: &str) -> Result<Vec<String>> {
    let of = format!("/v1/projects/{project}");
    toft.until(&of, |p| p["agentStatus"] == "idle").await?;
    let all = session::transcript(toft, project).await?;
    let by_user = all.iter().filter(|m| m["role"] == "user");
    Ok(by_user.map(|m| m["content"].as_str().unwrap_or_default().to_owned()).collect())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_prompt_to_a_bridge_that_hangs_or_dies_is_said_once() -> Result<()> {
    let toft = Toft::start(Start::default()).await?;
    let project = toft.new_project("Once").await?;
    let mut follow = Follow::from(&toft, &project, 0).await?;
    let mut want = Vec::new();
    // It stands still and is killed, or goes on after the moment in which it might take it.
    for (text, pause, ends) in [
        ("hangs and dies", Duration::from_millis(300), true),
        ("hangs for long", Duration::from_secs(7), false),
    ] {
        signal(&toft, &project, Signal::STOP).await?;
        let (answer, ()) =
            tokio::try_join!(say(&toft, &project, text, text, STEP_TIMEOUT), async {
                tokio::time::sleep(pause).await;
                signal(&toft, &project, if ends { Signal::KILL } else { Signal::CONT }).await
            })?;
        let (status, one) = answer.context("an answer")?;
        ensure!(status == 202, "{text}: {one}");
        follow.until_agent_end().await?;
        want.push(text.to_owned());
        let again = say(&toft, &project, text, text, STEP_TIMEOUT).await?.context("an answer")?;
        ensure!(again.0 == 202 && again.1["data"]["repeated"] == true, "{again:?}");
        assert_eq!(again.1["data"]["entryId"], one["data"]["entryId"], "{text}");
        assert_eq!(said(&toft, &project).await?, want);
    }
    // Killed at any moment of it.
    for n in 0..8_u64 {
        let text = format!("killed after {n}");
        let (answer, ()) =
            tokio::try_join!(say(&toft, &project, &text, &text, STEP_TIMEOUT), async {
                tokio::time::sleep(Duration::from_millis(n * 4)).await;
                processes::kill9(toft.bridge(&project).await?);
                Ok(())
            })?;
        let (status, one) = answer.context("an answer")?;
        ensure!(status == 202, "{text}: {one}");
        want.push(text.clone());
        let again = say(&toft, &project, &text, &text, STEP_TIMEOUT).await?.context("an answer")?;
        assert_eq!((again.0, &again.1["data"]["sessionId"]), (202, &one["data"]["sessionId"]));
        assert_eq!(said(&toft, &project).await?, want);
    }
    // The same key for something else.
    let other = say(&toft, &project, "hangs and dies", "another", STEP_TIMEOUT).await?;
    let (status, refused) = other.context("an answer")?;
    assert_eq!((status, &refused["code"]), (409, &json!("conflict")));
    assert_eq!(said(&toft, &project).await?, want);
    toft.down()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_nobody_waits_for_any_more_is_not_said_later() -> Result<()> {
    let toft = Toft::start(Start::default()).await?;
    let project = toft.new_project("Gone").await?;
    let mut follow = Follow::from(&toft, &project, 0).await?;
    // As the server sends it, and read by the bridge when its time is over. The line stays open, so that
    // nothing but the time tells.
    let socket = toft.data.join("run/m").join(&project).join("bridge.sock");
    signal(&toft, &project, Signal::STOP).await?;
    let mut line = UnixStream::connect(socket).await?;
    let now = clock_gettime(ClockId::Monotonic);
    let before = u64::try_from(now.tv_sec)? * 1000 + 500;
    let body = r#"{"message":"too late"}"#;
    let asked = format!(
        "POST /toft/prompt HTTP/1.1\r\nhost: bridge\r\nconnection: close\r\ncontent-length: {}\r\n\
         x-toft-prompt-id: too-late-1\r\nx-toft-take-before: {before}\r\n\r\n{body}",
        body.len()
    );
    line.write_all(asked.as_bytes()).await?;
    tokio::time::sleep(Duration::from_secs(2)).await;
    signal(&toft, &project, Signal::CONT).await?;
    let mut answer = String::new();
    tokio::time::timeout(STEP_TIMEOUT, line.read_to_string(&mut answer)).await??;
    ensure!(answer.starts_with("HTTP/1.1 503") && answer.contains("too_late"), "{answer}");
    let (status, sent) =
        say(&toft, &project, "k2", "in time", STEP_TIMEOUT).await?.context("an answer")?;
    ensure!(status == 202, "{sent}");
    follow.until_agent_end().await?;
    assert_eq!(said(&toft, &project).await?, ["in time"]);
    if lane::deep() {
        signal(&toft, &project, Signal::STOP).await?;
        let (status, unknown) =
            say(&toft, &project, "k3", "later", 3 * STEP_TIMEOUT).await?.context("an answer")?;
        assert_eq!((status, &unknown["error"]["code"]), (502, &json!("outcome_unknown")));
        let message = unknown["error"]["message"].as_str().context("a message")?;
        ensure!(message.contains("Idempotency-Key"), "{message}");
        signal(&toft, &project, Signal::CONT).await?;
        for _ in 0..2 {
            let (status, sent) =
                say(&toft, &project, "k3", "later", STEP_TIMEOUT).await?.context("an answer")?;
            ensure!(status == 202, "{sent}");
        }
        assert_eq!(said(&toft, &project).await?, ["in time", "later"]);
    }
    toft.down()
}
