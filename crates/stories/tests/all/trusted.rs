//! An agent that is left alone: work that it hands on, what it must ask for, and a machine that ends in the
//! middle of a command.

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};
use std::{sync::Arc, time::Duration};
use toft_stories::{
    processes::kill9,
    provider::{Provider, Say, Script},
    session::{self, Follow},
    toft::{Start, Toft},
};

fn say(text: &str) -> Say {
    Say { text: text.into(), tools: vec![] }
}

fn call(tool: &str, arguments: Value) -> Say {
    Say { text: "Now.".into(), tools: vec![(tool.into(), arguments)] }
}

fn script() -> Script {
    Arc::new(|user, turn| match (user, turn) {
        ("deploy", 0) => call(
            "bash",
            json!({"command": "echo ran >> runs.txt; touch started; sleep 60; echo late >> runs.txt"}),
        ),
        ("push", 0) => call("bash", json!({"command": "cd . && echo pushed > pushed.txt"})),
        ("hand it on", 0) => {
            let task = |prompt: &str| {
                let order = json!({"description": prompt, "prompt": prompt});
                ("task".to_owned(), order)
            };
            Say { text: "Two parts.".into(), tools: vec![task("count"), task("name")] }
        }
        ("count", 0) => call("bash", json!({"command": "sleep 1; echo c >> count.txt; echo 7"})),
        ("name", 0) => call("bash", json!({"command": "sleep 1; echo n >> name.txt; echo Ada"})),
        ("count", _) => say("There are seven."),
        ("name", _) => say("It is Ada."),
        _ => say("It is done."),
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
        let toft = Toft::start(Start { env: provider.env("sk-t"), ..Start::default() }).await?;
        let project = toft.new_project("Alone").await?;
        let follow = Follow::from(&toft, &project, 0).await?;
        Ok(Self { provider, toft, project, follow })
    }

    async fn post(&self, route: &str, body: Value) -> Result<Value> {
        let path = format!("/v1/projects/{}/{route}", self.project);
        self.toft.call("POST", &path, Some(body)).await
    }

    async fn asked(&mut self) -> Result<Value> {
        let seen = self.follow.until(|event| event.kind == "question").await?;
        Ok(seen.last().context("there is one")?.data.clone())
    }

    async fn lines(&self, file: &str) -> Result<String> {
        let shown = self.toft.exec(&self.project, &format!("cat {file} 2>/dev/null; true")).await?;
        Ok(shown["stdout"].as_str().unwrap_or_default().to_owned())
    }

    fn end(self) -> Result<()> {
        assert_eq!(self.provider.faults(), Vec::<String>::new());
        self.toft.down()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_command_that_a_machine_took_with_it_is_not_run_again_by_itself() -> Result<()> {
    let mut story = Story::begin().await?;
    session::prompt(&story.toft, &story.project, "deploy").await?;
    story.follow.until(|event| event.kind == "tool_start").await?;
    let begun = "until test -e started; do sleep 0.02; done";
    story.toft.exec(&story.project, begun).await?;
    story.post("stop", json!({})).await?;
    story.post("start", json!({})).await?;
    let asked = story.asked().await?;
    assert_eq!(asked["kind"], "doubt", "{asked}");
    // The bridge may end as it likes: nothing is asked twice, and nothing is run.
    kill9(story.toft.bridge(&story.project).await?);
    let answer = json!({"toolCallId": asked["toolCallId"], "answer": "Go on without it"});
    let mut answered = story.post("toft/answer", answer.clone()).await;
    for _ in 0..50 {
        if answered.is_ok() {
            break;
        }
        tokio::time::sleep(Duration::from_millis(200)).await;
        answered = story.post("toft/answer", answer.clone()).await;
    }
    answered?;
    let seen = story.follow.until(|event| event.kind == "agent_end").await?;
    ensure!(!seen.iter().any(|event| event.kind == "question"), "it was asked twice");
    assert_eq!(story.lines("runs.txt").await?, "ran\n", "it ran once");
    story.end()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_rule_asks_for_waits_for_a_person_and_not_for_the_agent() -> Result<()> {
    let mut story = Story::begin().await?;
    let rules = json!([{"tool": "bash", "argument": "echo *", "action": "ask"}]);
    story.post("toft/config", json!({ "rules": rules })).await?;
    session::prompt(&story.toft, &story.project, "push").await?;
    let asked = story.asked().await?;
    assert_eq!(asked["kind"], "permission", "{asked}");
    // What runs in the machine can neither answer nor change the rules.
    let inside = r#"
        at=localhost:8080/toft
        post() { curl -s -o /dev/null -w '%{http_code} ' -H "Authorization: Bearer $TOFT_TOKEN" \
            -H 'content-type: application/json' -d "$2" $at/$1; }
        post answer '{"toolCallId":"ID","answer":"Allow once"}'
        post config '{"rules":[]}'
    "#;
    let inside = inside.replace("ID", asked["toolCallId"].as_str().unwrap_or_default());
    let tried = story.toft.exec(&story.project, &inside).await?;
    assert_eq!(tried["stdout"], "403 403 ", "{tried}");
    assert_eq!(story.lines("pushed.txt").await?, "");
    let answer = json!({"toolCallId": asked["toolCallId"], "answer": "Allow once"});
    story.post("toft/answer", answer).await?;
    story.follow.until(|event| event.kind == "agent_end").await?;
    assert_eq!(story.lines("pushed.txt").await?, "pushed\n");
    story.end()
}

#[tokio::test(flavor = "multi_thread")]
async fn tasks_go_on_where_they_were_when_the_bridge_is_killed() -> Result<()> {
    let mut story = Story::begin().await?;
    session::prompt(&story.toft, &story.project, "hand it on").await?;
    let mut children = Vec::new();
    let of_tasks = |event: &session::Seen| event.data["childSession"].as_str().map(str::to_owned);
    while children.len() < 2 {
        let event = story.follow.next().await?;
        children.extend(of_tasks(&event));
    }
    // Both commands run side by side.
    story.follow.until(|event| event.data["toolName"] == "bash").await?;
    story.follow.until(|event| event.data["toolName"] == "bash").await?;
    kill9(story.toft.bridge(&story.project).await?);
    let mut ends = 0;
    while ends < 3 {
        ends += usize::from(story.follow.next().await?.kind == "agent_end");
    }
    let transcript = session::transcript(&story.toft, &story.project).await?;
    let results: Vec<&str> = transcript
        .iter()
        .filter(|message| message["role"] == "toolResult")
        .filter_map(|message| message["content"][0]["text"].as_str())
        .collect();
    assert_eq!(results, ["There are seven.", "It is Ada."]);
    assert_eq!(
        (story.lines("count.txt").await?, story.lines("name.txt").await?),
        ("c\n".into(), "n\n".into())
    );
    let path = format!("/v1/projects/{}/toft/sessions", story.project);
    let listed = story.toft.call("GET", &path, None).await?;
    assert_eq!(listed["sessions"].as_array().map(Vec::len), Some(1), "{listed}");
    story.end()
}
