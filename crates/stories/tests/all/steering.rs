//! Steering, waiting messages, several sessions at once, other models, and the shapes of answers.

use anyhow::{Context as _, Result};
use serde_json::{Value, json};
use std::{collections::BTreeSet, sync::Arc, time::Duration};
use toft_stories::{
    provider::{Provider, Say, Script},
    session::{self, Follow},
    toft::{Start, Toft},
};

fn say(text: &str) -> Say {
    Say { text: text.into(), tools: vec![] }
}

fn run(command: &str) -> Say {
    Say { text: "Now.".into(), tools: vec![("bash".into(), json!({"command": command}))] }
}

/// Works on `work`; on `wait for F, make G` runs a command that does so; echoes anything else.
fn script() -> Script {
    Arc::new(|user, turn| match (user, turn) {
        ("work", 0) => run("touch started; until test -e go; do sleep 0.02; done; echo went"),
        ("first of two", 0) => run("touch one; until test -e two; do sleep 0.02; done"),
        ("second of two", 0) => run("touch two; until test -e one; do sleep 0.02; done"),
        ("work" | "first of two" | "second of two", _) => say("It is done."),
        _ => say(&format!("You said {}.", user.chars().take(40).collect::<String>())),
    })
}

struct Story {
    provider: Provider,
    toft: Toft,
    project: String,
    follow: Follow,
}

impl Story {
    async fn begin() -> Result<Self> {
        let provider = Provider::start(Duration::ZERO, script()).await?;
        let toft = Toft::start(Start { env: provider.env("sk-s"), ..Start::default() }).await?;
        let project = toft.new_project("Steer").await?;
        let follow = Follow::from(&toft, &project, 0).await?;
        Ok(Self { provider, toft, project, follow })
    }

    async fn post(&self, route: &str, body: Value) -> Result<Value> {
        let path = format!("/v1/projects/{}/toft/{route}", self.project);
        self.toft.call("POST", &path, Some(body)).await
    }

    async fn get(&self, route: &str) -> Result<Value> {
        let path = format!("/v1/projects/{}/toft/{route}", self.project);
        self.toft.call("GET", &path, None).await
    }

    /// A prompt whose command runs until [`Story::go`].
    async fn working(&mut self) -> Result<()> {
        session::prompt(&self.toft, &self.project, "work").await?;
        self.follow.until(|e| e.kind == "tool_start").await?;
        let wait = "until test -e started; do sleep 0.02; done";
        self.toft.exec(&self.project, wait).await?;
        Ok(())
    }

    async fn go(&self) -> Result<()> {
        self.toft.exec(&self.project, "touch go").await?;
        Ok(())
    }

    /// What people and model said, in order.
    async fn said(&self) -> Result<Vec<String>> {
        let transcript = session::transcript(&self.toft, &self.project).await?;
        Ok(transcript
            .iter()
            .map(|m| {
                let text = m["content"].as_str().or(m["content"][0]["text"].as_str());
                let role = m["role"].as_str().unwrap_or("?");
                format!("{role}: {}", text.unwrap_or_default().trim_end())
            })
            .collect())
    }

    fn end(self) -> Result<()> {
        assert_eq!(self.provider.faults(), Vec::<String>::new());
        self.toft.down()
    }
}

fn keys(value: &Value) -> BTreeSet<&str> {
    value.as_object().into_iter().flatten().map(|(k, _)| k.as_str()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_word_said_while_a_tool_runs_comes_right_after_it() -> Result<()> {
    let mut story = Story::begin().await?;
    story.working().await?;
    let sent = story.post("steer", json!({"message": "rather this"})).await?;
    assert_eq!(sent["queued"], "steer");
    let state = story.get("state").await?;
    assert_eq!(state["steering"], json!(["rather this"]));
    assert_eq!(state["pendingMessageCount"], 1);
    story.go().await?;
    story.follow.until_agent_end().await?;
    assert_eq!(
        story.said().await?,
        [
            "user: work",
            "assistant: Now.",
            "toolResult: went",
            "user: rather this",
            "assistant: You said rather this.",
        ]
    );
    story.end()
}

#[tokio::test(flavor = "multi_thread")]
async fn waiting_messages_can_be_changed_and_are_answered_in_turn() -> Result<()> {
    let mut story = Story::begin().await?;
    story.working().await?;
    for text in ["one", "two"] {
        let sent = story.post("follow-up", json!({"message": text})).await?;
        assert_eq!(sent["queued"], "followUp");
    }
    let changed =
        story.post("queue", json!({"steering": [], "followUp": ["two", "three"]})).await?;
    assert_eq!(changed, json!({"steering": [], "followUp": ["two", "three"]}));
    assert_eq!(story.get("state").await?["followUp"], json!(["two", "three"]));
    story.go().await?;
    let events = story.follow.until_agent_end().await?;
    assert!(events.iter().any(|e| e.kind == "queue_update"));
    let said = story.said().await?;
    let users: Vec<&str> = said.iter().filter_map(|s| s.strip_prefix("user: ")).collect();
    assert_eq!(users, ["work", "two", "three"]);
    assert_eq!(said.last().map(String::as_str), Some("assistant: You said three."));
    story.end()
}

#[tokio::test(flavor = "multi_thread")]
async fn abort_gives_waiting_messages_back() -> Result<()> {
    let mut story = Story::begin().await?;
    story.working().await?;
    story.post("steer", json!({"message": "left"})).await?;
    story.post("follow-up", json!({"message": "later"})).await?;
    let back = story.post("abort", json!({"clearQueue": true})).await?;
    assert_eq!((&back["steering"], &back["followUp"]), (&json!(["left"]), &json!(["later"])));
    let events = story.follow.until_agent_end().await?;
    assert_eq!(events.last().map(|e| e.data["reason"].clone()), Some(json!("aborted")));
    let state = story.get("state").await?;
    assert_eq!((&state["status"], &state["pendingMessageCount"]), (&json!("idle"), &json!(0)));
    let said = story.said().await?;
    assert!(!said.iter().any(|s| s.contains("left") || s.contains("later")), "{said:?}");
    session::prompt(&story.toft, &story.project, "hello").await?;
    story.follow.until_agent_end().await?;
    assert_eq!(story.said().await?.last().map(String::as_str), Some("assistant: You said hello."));
    story.end()
}

#[tokio::test(flavor = "multi_thread")]
async fn two_sessions_work_at_the_same_time() -> Result<()> {
    let mut story = Story::begin().await?;
    let first = story.get("state").await?["sessionId"].clone();
    let second = story.post("sessions/new", json!({"name": "Second"})).await?["sessionId"].clone();
    assert_ne!(first, second);
    // Each command ends only when the other one runs too.
    for (id, text) in [(&first, "first of two"), (&second, "second of two")] {
        let sent = story.post("prompt", json!({"message": text, "sessionId": id})).await?;
        assert_eq!(&sent["sessionId"], id);
    }
    let mut events = story.follow.until_agent_end().await?;
    events.extend(story.follow.until_agent_end().await?);
    for (id, text) in [(&first, "first of two"), (&second, "second of two")] {
        let id = id.as_str().context("an id")?;
        let messages = story.get(&format!("messages?sessionId={id}")).await?;
        assert_eq!(messages["sessionId"], id);
        assert!(messages["messages"][0]["message"]["content"].to_string().contains(text));
        let own: Vec<&str> =
            events.iter().filter(|e| e.data["sessionId"] == id).map(|e| e.kind.as_str()).collect();
        assert!(own.contains(&"agent_start") && own.contains(&"tool_end"), "{id}: {own:?}");
        assert_eq!(own.last(), Some(&"agent_end"));
    }
    let without = events.iter().filter(|e| e.kind.starts_with("message_"));
    assert!(without.clone().all(|e| e.data["sessionId"].is_string()), "{events:?}");
    story.end()
}

#[tokio::test(flavor = "multi_thread")]
async fn sessions_are_made_switched_compacted_and_named() -> Result<()> {
    let mut story = Story::begin().await?;
    let first = story.get("state").await?["sessionId"].clone();
    for text in ["one", "two", "three"] {
        let long = format!("{text} {}", "and so on ".repeat(4_000));
        session::prompt(&story.toft, &story.project, &long).await?;
        story.follow.until_agent_end().await?;
    }
    let done = story.post("sessions/compact", json!({"customInstructions": "be brief"})).await?;
    assert!(done["summary"].as_str().is_some_and(|s| !s.is_empty()), "{done}");
    assert!(done["tokensBefore"].as_u64().is_some_and(|n| n > 0), "{done}");
    assert!(done["firstKeptEntryId"].is_string(), "{done}");
    let kinds = ["compaction_start", "compaction_end"];
    for kind in kinds {
        story.follow.until(|e| e.kind == kind).await?;
    }
    session::prompt(&story.toft, &story.project, "four").await?;
    story.follow.until_agent_end().await?;
    let last = story.provider.requests().pop().context("a request")?;
    let size = last["messages"].to_string().len();
    assert!(size < 130_000, "the model gets the summary in place of {size} bytes");

    let made = story.post("sessions/new", json!({"name": "Other"})).await?;
    assert_eq!(made["cancelled"], false);
    assert_eq!(story.get("state").await?["sessionId"], made["sessionId"]);
    assert_eq!(story.get("state").await?["sessionName"], "Other");
    assert_eq!(story.get("messages").await?["messages"], json!([]));
    let back = story.post("sessions/switch", json!({"sessionId": first})).await?;
    assert_eq!(back["sessionId"], first);
    assert_eq!(story.get("state").await?["sessionId"], first);
    let by_path =
        story.post("sessions/switch", json!({"sessionPath": made["sessionFile"]})).await?;
    assert_eq!(by_path["sessionId"], made["sessionId"]);
    story.post("config", json!({"sessionName": "Renamed"})).await?;
    let sessions = story.get("sessions").await?;
    assert_eq!(sessions["current"], made["sessionId"]);
    let listed = sessions["sessions"].as_array().context("a list")?;
    assert_eq!(listed.len(), 2, "{sessions}");
    for one in listed {
        let wanted = [
            "id",
            "name",
            "firstMessage",
            "messageCount",
            "planProposed",
            "createdAt",
            "updatedAt",
            "status",
            "file",
        ];
        assert_eq!(keys(one), wanted.into_iter().collect());
    }
    assert!(listed.iter().any(|s| s["name"] == "Renamed" && s["id"] == made["sessionId"]));

    let nothing = "/v1/projects/{}/toft/sessions/compact".replace("{}", &story.project);
    let (status, body) = story.toft.request("POST", &nothing, Some(json!({}))).await?;
    assert_eq!((status / 100, body["code"].as_str()), (4, Some("nothing_to_compact")), "{body}");
    story.end()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_model_changes_in_the_middle_of_a_session() -> Result<()> {
    let mut story = Story::begin().await?;
    session::prompt(&story.toft, &story.project, "one").await?;
    story.follow.until_agent_end().await?;
    let models = story.toft.call("GET", "/v1/models", None).await?;
    let before = story.get("state").await?["model"].clone();
    let other = models["models"]
        .as_array()
        .into_iter()
        .flatten()
        .find(|m| m["provider"] == "anthropic" && m["id"] != before["id"])
        .with_context(|| format!("another model: {models}"))?;
    let config = json!({"provider": "anthropic", "modelId": other["id"]});
    let state = story.post("config", config).await?;
    assert_eq!(state["model"]["id"], other["id"]);
    session::prompt(&story.toft, &story.project, "two").await?;
    let events = story.follow.until_agent_end().await?;
    assert!(events.iter().any(|e| e.kind == "model_change"));
    let asked: Vec<Value> = story.provider.requests().iter().map(|r| r["model"].clone()).collect();
    assert_eq!(asked, [before["id"].clone(), other["id"].clone()]);

    let state = story.post("config", json!({"provider": "demo", "modelId": "app"})).await?;
    assert_eq!(state["model"]["demo"], true);
    session::prompt(&story.toft, &story.project, "hello").await?;
    let events = story.follow.until_agent_end().await?;
    assert_eq!(events.last().map(|e| e.data["demo"].clone()), Some(json!(true)), "it says so");
    story.end()
}

#[tokio::test(flavor = "multi_thread")]
async fn answers_have_the_documented_shapes() -> Result<()> {
    let mut story = Story::begin().await?;
    session::prompt(&story.toft, &story.project, "hello").await?;
    story.follow.until_agent_end().await?;
    let state = story.get("state").await?;
    let documented = "sessionId sessionName sessionFile status model thinkingLevel isStreaming \
        isCompacting steeringMode followUpMode autoCompactionEnabled messageCount \
        pendingMessageCount steering followUp appPort appListening cwd question contextTokens \
        contextWindow usage seq autoCheck checkCommand limits mode plan planState rules todos";
    assert_eq!(keys(&state), documented.split_whitespace().collect());
    assert!(
        ["provider", "id", "name", "demo"].into_iter().all(|k| keys(&state["model"]).contains(k))
    );
    let messages = story.get("messages").await?;
    assert_eq!(keys(&messages), ["messages", "restores", "seq", "sessionId"].into());
    for entry in messages["messages"].as_array().context("a list")? {
        assert_eq!(keys(entry), ["entryId", "message", "parentId"].into());
    }
    let inspect = story.get("inspect").await?;
    assert_eq!(keys(&inspect), ["assets", "integrations", "services"].into());
    let of = format!("/v1/projects/{}", story.project);
    let machine = story.toft.call("GET", &format!("{of}/machine"), None).await?;
    let documented = "can frozenAt idle use state stateReason backend image storage limits enforced startedAt memoryBytes \
        pids egress appPort wakes";
    assert_eq!(keys(&machine), documented.split_whitespace().collect());
    let project = story.toft.call("GET", &of, None).await?;
    let documented = "id alias name url state stateReason backend latestRunId createdAt updatedAt agentStatus candidateOf";
    assert_eq!(keys(&project), documented.split_whitespace().collect());
    // Both mounts of the bridge are one router.
    let host = format!("{}.localhost:{}", story.project, story.toft.port);
    for mount in ["toft", "starter"] {
        let answer = story
            .toft
            .http()
            .get(format!("{}/{mount}/inspect", story.toft.base))
            .header("host", &host)
            .bearer_auth(&story.toft.token)
            .send()
            .await?;
        assert_eq!(answer.json::<Value>().await?, inspect, "{mount}");
    }
    story.end()
}

/// Every row of the Starter document's table, under its own name and ours.
#[tokio::test(flavor = "multi_thread")]
async fn the_documents_routes_answer_under_both_names() -> Result<()> {
    let mut story = Story::begin().await?;
    session::prompt(&story.toft, &story.project, "hello").await?;
    for event in story.follow.until_agent_end().await? {
        assert!(event.data["type"].is_string() && event.data["ts"].is_u64(), "{event:?}");
    }
    let host = format!("{}.localhost:{}", story.project, story.toft.port);
    let rows = [
        ("GET", "events", 200),
        ("POST", "prompt", 400),
        ("POST", "steer", 400),
        ("POST", "follow-up", 400),
        ("POST", "abort", 200),
        ("GET", "state", 200),
        ("POST", "config", 200),
        ("GET", "sessions", 200),
        ("POST", "sessions/compact", 409),
        ("POST", "sessions/switch", 400),
        ("POST", "sessions/new", 200),
        ("GET", "messages", 200),
        ("GET", "inspect", 200),
    ];
    for mount in ["starter", "toft"] {
        for (method, route, status) in rows {
            let url = format!("{}/{mount}/{route}", story.toft.base);
            let request = story.toft.http().request(method.parse()?, url);
            let answer =
                request.header("host", &host).bearer_auth(&story.toft.token).send().await?;
            assert_eq!(answer.status().as_u16(), status, "{mount}/{route}");
            let kind = answer.headers()["content-type"].to_str()?.to_owned();
            let stream = route == "events";
            assert_eq!(kind == "text/event-stream", stream, "{mount}/{route}: {kind}");
            if !stream && route != "inspect" {
                let answer: Value = answer.json().await?;
                assert_eq!(answer["type"], "response", "{mount}/{route}");
                assert_eq!(answer["success"], status == 200, "{mount}/{route}");
            }
        }
    }
    story.end()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_question_waits_for_its_answer_also_over_a_kill() -> Result<()> {
    let mut toft = Toft::start(Start::default()).await?;
    let project = toft.new_project("Ask").await?;
    let mut follow = Follow::from(&toft, &project, 0).await?;
    session::prompt(&toft, &project, "Ask me a question").await?;
    let events = follow.until(|e| e.kind == "question").await?;
    let call = events.last().map(|e| e.data["toolCallId"].clone()).context("an id")?;
    let of = format!("/v1/projects/{project}");
    toft.until(&of, |p| p["agentStatus"] == "waiting").await?;
    toft.kill_server();
    toft.up().await?;
    let state = toft.call("GET", &format!("{of}/toft/state"), None).await?;
    assert_eq!((&state["status"], &state["question"]["toolCallId"]), (&json!("waiting"), &call));
    let answer = json!({"toolCallId": call, "answer": "A birthday"});
    toft.call("POST", &format!("{of}/toft/answer"), Some(answer)).await?;
    let mut follow = Follow::from(&toft, &project, follow.last).await?;
    follow.until(|e| e.kind == "agent_end" && e.data["reason"] == "done").await?;
    let written = toft.exec(&project, "cat greeting.md").await?;
    assert!(written["stdout"].as_str().is_some_and(|s| s.contains("birthday")), "{written}");
    toft.down()
}
