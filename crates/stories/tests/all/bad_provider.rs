//! Providers that hang, cut, refuse or know nothing: the conversation stays valid and goes on.

use super::spine::builder;
use anyhow::{Context as _, Result};
use serde_json::{Value, json};
use std::{sync::Arc, time::Duration};
use toft_stories::{
    provider::{Fate, Fates, Provider, Say},
    session::{self, Follow, Seen},
    toft::{Start, Toft},
};

struct Story {
    provider: Provider,
    toft: Toft,
    project: String,
    follow: Follow,
}

impl Story {
    async fn begin(fates: Fates) -> Result<Self> {
        let provider = Provider::start_with(Duration::from_millis(2), builder(), fates).await?;
        let toft = Toft::start(Start { env: provider.env("sk-bad"), ..Start::default() }).await?;
        let project = toft.new_project("Provider").await?;
        let follow = Follow::from(&toft, &project, 0).await?;
        Ok(Self { provider, toft, project, follow })
    }

    async fn ask(&mut self, text: &str) -> Result<Vec<Seen>> {
        session::prompt(&self.toft, &self.project, text).await?;
        self.follow.until_agent_end().await
    }

    async fn transcript(&self) -> Result<Vec<Value>> {
        session::transcript(&self.toft, &self.project).await
    }

    async fn abort(&self) -> Result<Value> {
        let path = format!("/v1/projects/{}/toft/abort", self.project);
        self.toft.call("POST", &path, Some(json!({}))).await
    }

    fn end(self) -> Result<()> {
        assert_eq!(self.provider.faults(), Vec::<String>::new());
        self.toft.down()
    }
}

fn reason(events: &[Seen]) -> &Value {
    events.last().map_or(&Value::Null, |e| &e.data["reason"])
}

/// What a run without any mishap says.
async fn undisturbed() -> Result<Vec<Value>> {
    let mut story = Story::begin(Arc::new(|_| Fate::Answer)).await?;
    story.ask("write hello").await?;
    let transcript = story.transcript().await?;
    story.end()?;
    Ok(transcript)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_provider_that_hangs_is_left_by_abort() -> Result<()> {
    // Silent from the start, and silent in the middle of a sentence.
    let fates: Fates = Arc::new(|n| match n {
        0 => Fate::Hang,
        1 => Fate::HangAfter(4),
        _ => Fate::Answer,
    });
    let mut story = Story::begin(fates).await?;
    for at in [0, 1] {
        session::prompt(&story.toft, &story.project, "write hello").await?;
        if at == 1 {
            story.follow.until(|e| e.data["type"] == "text_delta").await?;
        } else {
            while story.provider.requests().is_empty() {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        }
        story.abort().await?;
        let events = story.follow.until_agent_end().await?;
        assert_eq!(reason(&events), "aborted", "{at}");
    }
    let events = story.ask("write hello").await?;
    assert_eq!(reason(&events), "done", "the session goes on");
    let transcript = story.transcript().await?;
    assert_eq!(transcript.iter().filter(|m| m["role"] == "user").count(), 3);
    let state =
        story.toft.call("GET", &format!("/v1/projects/{}/toft/state", story.project), None).await?;
    assert_eq!(state["status"], "idle");
    story.end()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_that_is_cut_in_its_arguments_runs_no_tool() -> Result<()> {
    // Cut behind the first half of the first call's arguments; then always.
    let say = builder()("", 0);
    let before_call = 1 + 1 + say.text.split_inclusive(' ').count() + 1;
    let within = before_call + 2;
    let mut story = Story::begin(Arc::new(move |n| match n {
        0 => Fate::CutAfter(within),
        _ => Fate::Answer,
    }))
    .await?;
    let events = story.ask("write hello").await?;
    assert_eq!(reason(&events), "done");
    let restarted = events.iter().position(|e| e.kind == "message_restarted");
    let restarted = restarted.context("what was shown is void")?;
    let first_tool = events.iter().position(|e| e.kind == "tool_start").context("it runs then")?;
    assert!(restarted < first_tool, "no tool ran of the half call");
    let half = events[..restarted].iter().any(|e| e.data["type"] == "toolcall_delta");
    assert!(half, "the cut lay in the arguments: {:?}", &events[..restarted]);
    assert_eq!(story.transcript().await?, undisturbed().await?);
    story.end()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_provider_that_is_busy_or_broken_for_a_moment_is_asked_again() -> Result<()> {
    let wanted = undisturbed().await?;
    for (status, retry_after, message) in
        [(429, Some(1), "slow down please"), (500, None, "our fault, sorry")]
    {
        let fates: Fates = Arc::new(move |n| match n {
            1 => Fate::Refuse { status, retry_after, message },
            _ => Fate::Answer,
        });
        let mut story = Story::begin(fates).await?;
        let events = story.ask("write hello").await?;
        assert_eq!(reason(&events), "done", "{status}");
        let start = events.iter().find(|e| e.kind == "auto_retry_start").context("it says so")?;
        assert!(start.data["errorMessage"].to_string().contains(message), "{start:?}");
        let end = events.iter().find(|e| e.kind == "auto_retry_end").context("and that it went")?;
        assert_eq!(end.data["success"], true);
        assert_eq!(story.transcript().await?, wanted, "{status}: nothing of it stays");
        story.end()?;
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_model_that_the_provider_does_not_know_is_named_in_its_words() -> Result<()> {
    let message = "model: fake-nine does not exist";
    let mut story = Story::begin(Arc::new(move |n| match n {
        0 => Fate::Refuse { status: 404, retry_after: None, message },
        _ => Fate::Answer,
    }))
    .await?;
    let events = story.ask("write hello").await?;
    assert_eq!(reason(&events), "error");
    assert!(events.iter().any(|e| e.data.to_string().contains(message)), "{events:?}");
    assert!(!events.iter().any(|e| e.kind == "auto_retry_start"), "asking again is no use");
    let events = story.ask("write hello").await?;
    assert_eq!(reason(&events), "done", "the session goes on");
    story.end()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failed_turn_is_retried_without_a_message_and_ends_as_if_nothing_had_been() -> Result<()>
{
    // The answer after the first tool's result is refused, and refused again.
    let mut story = Story::begin(Arc::new(|n| match n {
        1 | 2 => Fate::Refuse { status: 401, retry_after: None, message: "no such key" },
        _ => Fate::Answer,
    }))
    .await?;
    let path = format!("/v1/projects/{}/toft/retry", story.project);
    let (status, answer) = story.toft.request("POST", &path, Some(json!({}))).await?;
    assert_eq!((status, &answer["code"]), (409, &json!("nothing_to_retry")), "{answer}");
    assert_eq!(reason(&story.ask("write hello").await?), "error");
    for expected in ["error", "done"] {
        let (status, answer) = story.toft.request("POST", &path, Some(json!({}))).await?;
        assert_eq!((status, &answer["command"]), (202, &json!("retry")), "{answer}");
        let events = story.follow.until_agent_end().await?;
        assert_eq!(reason(&events), expected);
        assert!(events.iter().all(|e| e.data["ts"].is_u64()), "{events:?}");
    }
    let mut transcript = story.transcript().await?;
    let all = transcript.len();
    transcript.retain(|m| m["stopReason"] != "error");
    assert_eq!(all - transcript.len(), 2, "what failed stays to be seen");
    assert_eq!(transcript, undisturbed().await?);
    let (status, answer) = story.toft.request("POST", &path, Some(json!({}))).await?;
    assert_eq!((status, &answer["code"]), (409, &json!("nothing_to_retry")), "{answer}");
    story.end()
}

#[tokio::test(flavor = "multi_thread")]
async fn one_session_with_a_silent_provider_holds_up_no_other() -> Result<()> {
    let script = Arc::new(|_: &str, _| Say { text: "Short.".into(), tools: vec![] });
    let fates: Fates = Arc::new(|n| if n == 0 { Fate::Hang } else { Fate::Answer });
    let provider = Provider::start_with(Duration::ZERO, script, fates).await?;
    let toft = Toft::start(Start { env: provider.env("sk-bad"), ..Start::default() }).await?;
    let project = toft.new_project("Two").await?;
    let mut follow = Follow::from(&toft, &project, 0).await?;
    let silent = session::prompt(&toft, &project, "one").await?;
    while provider.requests().is_empty() {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let of = format!("/v1/projects/{project}/toft");
    let other = toft.call("POST", &format!("{of}/sessions/new"), Some(json!({}))).await?;
    session::prompt(&toft, &project, "two").await?;
    let events = follow.until_agent_end().await?;
    let end = events.last().context("an end")?;
    assert_eq!(end.data["sessionId"], other["sessionId"]);
    toft.call("POST", &format!("{of}/abort"), Some(json!({"sessionId": silent}))).await?;
    let events = follow.until_agent_end().await?;
    assert_eq!(events.last().map(|e| e.data["sessionId"].clone()), Some(json!(silent)));
    assert_eq!(reason(&events), "aborted");
    toft.down()
}
