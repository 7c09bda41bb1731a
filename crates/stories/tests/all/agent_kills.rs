//! kill -9 of server, gateway and bridge at many moments of one prompt in which everything happens that an
//! agent does: helpers, a question, a list, files, commands before and behind. Then a machine that ends in the
//! middle of a helper's command, and a person who stops all of it.

use crate::kills::{Victim, check_shown, strike};
use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};
use std::{
    sync::Arc,
    time::{Duration, Instant},
};
use toft_stories::{
    lane, processes,
    provider::{Provider, Say, Script},
    session::{self, Follow, Seen},
    toft::{STEP_TIMEOUT, Start, Toft},
};

fn say(text: &str, tools: &[(&str, Value)]) -> Say {
    let tools = tools.iter().map(|(name, input)| ((*name).to_owned(), input.clone())).collect();
    Say { text: text.into(), tools }
}

fn bash(command: &str) -> (&'static str, Value) {
    ("bash", json!({ "command": command }))
}

fn task(prompt: &str) -> (&'static str, Value) {
    ("task", json!({ "description": prompt, "prompt": prompt }))
}

/// Each command that does something notes it, so that it shows when it is done twice.
fn script() -> Script {
    Arc::new(|user, turn| match (user, turn) {
        ("look", 0) => say("A helper looks.", &[bash("sleep 0.2; echo l >> done; echo looked")]),
        ("look", 1) => say("It writes.", &[("write", json!({"path": "l.txt", "content": "1\n"}))]),
        ("look", _) => say("It has looked.", &[]),
        ("count", 0) => say("Another counts.", &[bash("echo c >> done; sleep 0.3; echo 7")]),
        ("count", _) => say("There are seven.", &[]),
        ("work", 0) => say(
            "First a look around, told in quite a few words so that there are deltas.",
            &[bash("echo one; sleep 0.3; echo w >> done; echo two")],
        ),
        ("work", 1) => say(
            "A file and a list.",
            &[
                ("write", json!({"path": "a.txt", "content": "alpha\nbeta\n"})),
                ("todo", json!({"items": [{"content": "this", "status": "in_progress"}]})),
            ],
        ),
        ("work", 2) => say("Two helpers.", &[task("look"), task("count")]),
        ("work", 3) => say(
            "A question.",
            &[("ask", json!({"question": "Which?", "options": ["red", "blue"]}))],
        ),
        ("work", 4) => say(
            "A change, and something behind.",
            &[
                ("edit", json!({"path": "a.txt", "oldText": "beta", "newText": "gamma"})),
                ("bash", json!({"command": "echo b >> done; sleep 3600", "background": true})),
            ],
        ),
        ("work", 5) => say(
            "Side by side.",
            &[
                ("read", json!({"path": "a.txt"})),
                ("grep", json!({"pattern": "alpha", "path": "a.txt"})),
            ],
        ),
        ("crash", 0) => say("A helper.", &[task("fragile")]),
        ("fragile", 0) => say("Now.", &[bash("echo f >> done; touch began; sleep 3600")]),
        ("stop", 0) => say("Behind.", &[("bash", json!({"command": LEAVES, "background": true}))]),
        ("stop", 1) => say("Helpers.", &[task("hide"), task("ignore")]),
        ("hide", 0) => say("Hidden.", &[bash(HIDES)]),
        ("ignore", 0) => say("Deaf.", &[bash(IGNORES)]),
        _ => say("All of it is done and the words end here.", &[]),
    })
}

const LEAVES: &str = "sleep 36001 & setsid sleep 36001 & echo up; wait";
const HIDES: &str = "( setsid sh -c 'sleep 36002 & sleep 36002' & ) ; touch hidden; sleep 36002";
const IGNORES: &str = "trap '' TERM INT HUP; touch deaf; while true; do sleep 36003; done";

/// All conversations of a project, that of the prompt first, without ids and times.
async fn conversations(toft: &Toft, project: &str) -> Result<Vec<Vec<Value>>> {
    let list = format!("/v1/projects/{project}/toft/sessions?tasks=true");
    let list = toft.call("GET", &list, None).await?;
    let mut ids: Vec<(bool, String, String)> = Vec::new();
    for one in list["sessions"].as_array().context("a list")? {
        let text = |key: &str| one[key].as_str().unwrap_or_default().to_owned();
        ids.push((one["id"] != list["current"], text("name"), text("id")));
    }
    ids.sort();
    let mut all = Vec::new();
    for (_, _, id) in ids {
        let mut messages = session::transcript_of(toft, project, &id).await?;
        for message in &mut messages {
            // It names the program and its pid.
            if message["content"].to_string().contains("It runs in the background as") {
                message["content"] = json!("in the background");
            }
        }
        all.push(messages);
    }
    Ok(all)
}

struct Came {
    conversations: Vec<Vec<Value>>,
    seen: Vec<Seen>,
    files: Value,
}

async fn run(toft: &mut Toft, strike_at: Option<(Victim, usize)>) -> Result<Came> {
    let project = toft.new_project("Kill").await?;
    let mut follow = Follow::from(toft, &project, 0).await?;
    let main = session::prompt(toft, &project, "work").await?;
    let mut seen: Vec<Seen> = Vec::new();
    let mut strike_at = strike_at;
    loop {
        if let Some((victim, _)) = strike_at.take_if(|(_, at)| seen.len() >= *at) {
            strike(toft, &project, victim).await?;
            if victim == Victim::Server {
                follow = Follow::from(toft, &project, follow.last).await?;
            }
        }
        let event = follow.next().await?;
        if event.kind == "question" {
            session::answer(toft, &project, &event.data, "blue").await?;
        }
        let over = event.kind == "agent_end" && event.data["sessionId"] == main.as_str();
        seen.push(event);
        if over {
            break;
        }
    }
    let conversations = conversations(toft, &project).await?;
    let files = toft.exec(&project, "sort done; cat a.txt; ls").await?["stdout"].clone();
    toft.call("DELETE", &format!("/v1/projects/{project}"), None).await?;
    Ok(Came { conversations, seen, files })
}

async fn killed_everywhere(victim: Victim) -> Result<()> {
    let provider = Provider::start(Duration::from_millis(3), script()).await?;
    let mut toft = Toft::start(Start { env: provider.env("sk-k"), ..Start::default() }).await?;
    let wanted = run(&mut toft, None).await?;
    assert_eq!(wanted.conversations.len(), 3, "one and two helpers");
    assert!(
        wanted.files.as_str().is_some_and(|files| files.starts_with("b\nc\nl\nw\nalpha\ngamma\n"))
    );
    let points = if lane::deep() { 24 } else { 4 };
    for point in 0..points {
        let at = wanted.seen.len() * point / points;
        let got = run(&mut toft, Some((victim, at)))
            .await
            .with_context(|| format!("{victim:?} at {at}"))?;
        assert_eq!(got.conversations, wanted.conversations, "{victim:?} killed at event {at}");
        assert_eq!(got.files, wanted.files, "{victim:?} killed at event {at}");
        let messages: Vec<Value> = got.conversations.concat();
        check_shown(&messages, &got.seen);
    }
    assert_eq!(provider.faults(), Vec::<String>::new());
    toft.down()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_server_changes_nothing_of_an_agents_work() -> Result<()> {
    killed_everywhere(Victim::Server).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_gateway_changes_nothing_of_an_agents_work() -> Result<()> {
    killed_everywhere(Victim::Gateway).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_bridge_changes_nothing_of_an_agents_work() -> Result<()> {
    killed_everywhere(Victim::Bridge).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_helpers_command_that_a_machine_took_along_is_asked_about_and_not_repeated() -> Result<()>
{
    let provider = Provider::start(Duration::ZERO, script()).await?;
    let toft = Toft::start(Start { env: provider.env("sk-k"), ..Start::default() }).await?;
    let project = toft.new_project("Crash").await?;
    let mut follow = Follow::from(&toft, &project, 0).await?;
    let main = session::prompt(&toft, &project, "crash").await?;
    toft.exec(&project, "until test -e began; do sleep 0.02; done").await?;
    let init = toft.init_pid(&project).context("it runs")?;
    processes::kill9(init);
    toft.until(&format!("/v1/projects/{project}/machine"), |m| m["state"] != "running").await?;
    toft.call("POST", &format!("/v1/projects/{project}/start"), Some(json!({}))).await?;
    let asked = follow.until(|e| e.kind == "question").await?.pop().context("a question")?;
    assert_eq!((&asked.data["kind"], &asked.data["sessionId"]), (&json!("doubt"), &json!(main)));
    assert!(asked.data["childSession"].is_string(), "{asked:?}");
    // It waits over the end of its bridge as well.
    processes::kill9(toft.bridge(&project).await?);
    session::answer(&toft, &project, &asked.data, "Go on without it").await?;
    follow.until(|e| e.kind == "agent_end" && e.data["sessionId"] == main.as_str()).await?;
    assert_eq!(toft.exec(&project, "cat done").await?["stdout"], "f\n", "once");
    assert_eq!(provider.faults(), Vec::<String>::new());
    toft.down()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stop_ends_every_process_of_its_prompt_and_the_next_prompt_works() -> Result<()> {
    let provider = Provider::start(Duration::ZERO, script()).await?;
    let toft = Toft::start(Start { env: provider.env("sk-k"), ..Start::default() }).await?;
    let project = toft.new_project("Stop").await?;
    let mut follow = Follow::from(&toft, &project, 0).await?;
    let main = session::prompt(&toft, &project, "stop").await?;
    let began = "until test -e hidden -a -e deaf; do sleep 0.02; done";
    toft.exec(&project, began).await?;
    let sleepers = |toft: &Toft| -> Vec<Vec<String>> {
        let all = toft.machine_processes(&project).into_iter().map(|process| process.argv);
        all.filter(|argv| argv.iter().any(|a| a.contains("3600"))).collect()
    };
    let until = Instant::now() + STEP_TIMEOUT;
    while sleepers(&toft).len() < 8 {
        ensure!(Instant::now() < until, "they do not all run: {:?}", sleepers(&toft));
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    toft.call("POST", &format!("/v1/projects/{project}/toft/abort"), Some(json!({}))).await?;
    assert_eq!(sleepers(&toft), Vec::<Vec<String>>::new(), "when a stop is over they are gone");
    let end = |e: &Seen| e.kind == "agent_end" && e.data["sessionId"] == main.as_str();
    let ended = follow.until(end).await?.pop().context("an end")?;
    assert_eq!(ended.data["reason"], "aborted");
    session::prompt(&toft, &project, "hello").await?;
    let ended = follow.until(end).await?.pop().context("an end")?;
    assert_eq!(ended.data["reason"], "done");
    assert_eq!(provider.faults(), Vec::<String>::new(), "no call is left without its result");
    toft.down()
}
