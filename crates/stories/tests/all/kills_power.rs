//! Server, gateway and machine die in one moment, as with a power cut. The conversation stays whole
//! and goes on. What is promised of a command that ran then: its call has one result, which is what
//! it printed or says that it was cut. Nobody can know how far it came, so a person is asked and has it run
//! again.

use super::kills::{check_shown, script};
use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};
use std::{collections::BTreeMap, time::Duration};
use toft_stories::{
    lane, processes,
    provider::Provider,
    session::{self, Follow, Seen},
    toft::{Start, Toft},
};

/// What must be so in any conversation: each call has one result, right after it.
fn check_valid(transcript: &[Value]) -> Result<()> {
    let mut open: Vec<String> = Vec::new();
    let mut results: BTreeMap<String, usize> = BTreeMap::new();
    for message in transcript {
        if message["role"] == "toolResult" {
            let id = message["toolCallId"].as_str().context("a result has an id")?;
            *results.entry(id.to_owned()).or_default() += 1;
            let at = open.iter().position(|o| o == id).context("a result without a call")?;
            open.remove(at);
        } else {
            ensure!(open.is_empty(), "{open:?} have no result before {message}");
            let blocks = message["content"].as_array().into_iter().flatten();
            let calls = blocks.filter(|b| b["type"] == "toolCall");
            open.extend(calls.filter_map(|c| c["id"].as_str().map(str::to_owned)));
        }
    }
    ensure!(open.is_empty(), "{open:?} have no result at the end");
    ensure!(results.values().all(|n| *n == 1), "{results:?}");
    Ok(())
}

async fn cut(toft: &mut Toft, at: usize) -> Result<(Vec<Value>, Vec<Seen>)> {
    let project = toft.new_project("Power").await?;
    let mut follow = Follow::from(toft, &project, 0).await?;
    session::prompt(toft, &project, "work").await?;
    let mut seen = Vec::new();
    while seen.len() < at {
        seen.push(follow.next().await?);
    }
    let gateway = toft.gateway_pid().context("there is a gateway")?;
    let init = toft.init_pid(&project).context("there is an init")?;
    processes::kill9(init);
    processes::kill9(gateway);
    toft.kill_server();
    toft.up().await?;

    let wake = format!("/v1/projects/{project}/wake");
    toft.call("POST", &wake, Some(json!({}))).await?;
    let mut follow = Follow::from(toft, &project, follow.last).await?;
    while seen.last().is_none_or(|e| e.kind != "agent_end") {
        let event = follow.next().await?;
        if event.kind == "question" {
            ensure!(event.data["kind"] == "doubt", "{event:?}");
            session::answer(toft, &project, &event.data, "Run it again").await?;
        }
        seen.push(event);
    }
    let transcript = session::transcript(toft, &project).await?;
    check_valid(&transcript)?;
    toft.call("DELETE", &format!("/v1/projects/{project}"), None).await?;
    Ok((transcript, seen))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_power_cut_in_mid_prompt_leaves_a_conversation_that_goes_on() -> Result<()> {
    let provider = Provider::start(Duration::from_millis(4), script()).await?;
    let mut toft = Toft::start(Start { env: provider.env("sk-k"), ..Start::default() }).await?;
    // About as many events as the work makes; later points would lie behind its end.
    let (events, points) = (70, if lane::deep() { 20 } else { 4 });
    for point in 0..points {
        let at = 2 + events * point / points;
        let (transcript, seen) = cut(&mut toft, at).await.with_context(|| format!("at {at}"))?;
        let users = transcript.iter().filter(|m| m["role"] == "user").count();
        assert_eq!(users, 1, "the prompt stands there once, cut at {at}");
        let last = transcript.last().context("there are messages")?;
        assert_eq!(last["content"][0]["text"], "All of it is done and the words end here.");
        let ends = seen.iter().filter(|e| e.kind == "agent_end").count();
        assert_eq!(ends, 1, "cut at {at}");
        assert_eq!(seen.last().map(|e| e.data["reason"].clone()), Some(json!("done")));
        check_shown(&transcript, &seen);
    }
    assert_eq!(provider.faults(), Vec::<String>::new());
    toft.down()
}
