//! Models that stand in for others: work and programs go on while a provider is down, with who answered
//! said, and come back to the chosen model by themselves.

use super::kills::script;
use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};
use std::{
    sync::{
        Arc,
        atomic::{AtomicU8, Ordering},
    },
    time::Duration,
};
use toft_stories::{
    browser::Driver,
    provider::{Fate, Provider},
    session::{self, Follow},
    toft::{STEP_TIMEOUT, Start, Toft},
};

const KEY: &str = "program-key-0815-for-fallbacks";
const CLAUDE: &str = "anthropic/claude-opus-4-6";
const GPT: &str = "openai/gpt-5";

/// What a provider does from now on.
#[derive(Clone, Default)]
struct Now(Arc<AtomicU8>);

impl Now {
    fn is(&self, fate: u8) {
        self.0.store(fate, Ordering::SeqCst);
    }
}

const FINE: u8 = 0;
const DOWN: u8 = 1;
const SILENT: u8 = 2;

async fn provider(now: &Now) -> Result<Provider> {
    let now = now.clone();
    let fates = Arc::new(move |_| match now.0.load(Ordering::SeqCst) {
        FINE => Fate::Answer,
        SILENT => Fate::Hang,
        _ => Fate::Refuse { status: 529, retry_after: Some(3), message: "Overloaded just now" },
    });
    Provider::start_with(Duration::from_millis(1), script(), fates).await
}

struct House {
    toft: Toft,
    project: String,
    claude: Provider,
    gpt: Provider,
    /// Of Claude's provider, and of the other one.
    now: [Now; 2],
}

impl House {
    async fn start() -> Result<Self> {
        let now = [Now::default(), Now::default()];
        let (claude, gpt) = (provider(&now[0]).await?, provider(&now[1]).await?);
        let mut env = claude.env("sk-a");
        env.extend(gpt.env_openai("sk-b"));
        env.push(("AGENT_API_KEY".into(), KEY.into()));
        let toft = Toft::start(Start { env, ..Start::default() }).await?;
        let model = json!({"defaultProvider": "anthropic", "defaultModel": "claude-opus-4-6"});
        toft.call("PUT", "/v1/settings", Some(model)).await?;
        let set = toft.cli(&["fallback", CLAUDE, GPT])?;
        ensure!(set.status.success(), "{}", String::from_utf8_lossy(&set.stderr));
        let project = toft.new_project("Shop").await?;
        Ok(Self { toft, project, claude, gpt, now })
    }

    /// A program outside asks: status, who answered, and the body.
    async fn outside(&self, path: &str, stream: bool) -> Result<(u16, Option<String>, String)> {
        let model = if path.starts_with("anthropic") { "claude-opus-4-6" } else { CLAUDE };
        let body = json!({"model": model, "max_tokens": 99, "stream": stream,
            "messages": [{"role": "user", "content": "hi"}]});
        let request = self.toft.http().post(format!("{}/llm/{path}", self.toft.base));
        let answer = request.header("x-api-key", KEY).json(&body).send().await?;
        let named = answer.headers().get("x-toft-model");
        let named = named.map(|name| name.to_str().map(str::to_owned)).transpose()?;
        Ok((answer.status().as_u16(), named, answer.text().await?))
    }

    fn end(self) -> Result<()> {
        assert_eq!(self.claude.faults(), Vec::<String>::new());
        assert_eq!(self.gpt.faults(), Vec::<String>::new());
        self.toft.down()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn while_a_provider_is_down_another_model_works_on_and_the_chosen_one_comes_back()
-> Result<()> {
    let house = House::start().await?;
    let toft = &house.toft;
    let mut follow = Follow::from(toft, &house.project, 0).await?;
    house.now[0].is(DOWN);
    session::prompt(toft, &house.project, "work").await?;
    let seen = follow.until_agent_end().await?;
    assert_eq!(seen[seen.len() - 1].data["reason"], "done");
    ensure!(!seen.iter().any(|e| e.kind == "auto_retry_start"), "nobody waits: {seen:?}");
    let answers: Vec<&Value> = seen
        .iter()
        .filter(|e| e.kind == "message_end" && e.data["message"]["role"] == "assistant")
        .map(|e| &e.data["message"])
        .collect();
    ensure!(answers.len() == 5, "{answers:?}");
    for message in &answers {
        assert_eq!((&message["provider"], &message["model"]), (&json!("openai"), &json!("gpt-5")));
    }
    let told: Vec<&Value> = seen.iter().filter(|e| e.kind == "notify").map(|e| &e.data).collect();
    ensure!(told.len() == 1, "said once: {told:?}");
    let words = told[0]["message"].as_str().unwrap_or_default();
    assert_eq!(words, format!("{GPT} answers in place of {CLAUDE}, which cannot be had now."));
    assert_eq!(house.gpt.requests().len(), 5);
    let asked = house.claude.requests().len();
    ensure!(asked < 5, "it is not asked each time: {asked}");

    // Each try is a call of its own, with its own price.
    let usage = format!("/v1/projects/{}/usage?by=provider", house.project);
    let usage = toft.until(&usage, |u| u["total"]["calls"] == asked + 5).await?;
    let rows = usage["rows"].as_array().context("rows")?;
    let of = |key: &str| rows.iter().find(|row| row["key"] == key);
    let (refused, answered) = (of("anthropic").context("it")?, of("openai").context("the other")?);
    assert_eq!((&refused["failed"], &refused["costUsd"]), (&json!(asked), &json!(0.0)));
    ensure!(answered["costUsd"].as_f64() > Some(0.0) && answered["failed"] == 0, "{usage}");

    // Programs get the same, in their own format, streamed or not.
    for (path, named) in
        [("anthropic/v1/messages", "gpt-5"), ("openai/v1/chat/completions", "fake-1")]
    {
        let name = format!("\"model\":\"{named}\"");
        for stream in [true, false] {
            let (status, named, body) = house.outside(path, stream).await?;
            ensure!((status, named.as_deref()) == (200, Some(GPT)), "{path} {named:?} {body}");
            ensure!(body.contains(&name) && body.contains("First"), "{name} {body}");
        }
    }

    // It is back: asked again by itself, without a word from anybody.
    house.now[0].is(FINE);
    let back = async {
        while house.outside("anthropic/v1/messages", true).await?.1.as_deref() != Some(CLAUDE) {
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        anyhow::Ok(())
    };
    tokio::time::timeout(STEP_TIMEOUT, back).await.context("it is never asked again")??;
    session::prompt(toft, &house.project, "go on").await?;
    let seen = follow.until_agent_end().await?;
    let ours = |e: &&session::Seen| e.data["message"]["role"] == "assistant";
    let last = seen.iter().rfind(|e| e.kind == "message_end" && ours(e)).context("an answer")?;
    assert_eq!(last.data["message"]["provider"], "anthropic");
    house.end()
}

#[tokio::test(flavor = "multi_thread")]
async fn when_both_are_down_the_error_says_who_was_tried_and_a_person_can_stop_the_waiting()
-> Result<()> {
    let house = House::start().await?;
    let toft = &house.toft;
    house.now.iter().for_each(|now| now.is(DOWN));
    for (path, code) in [("anthropic/v1/messages", 529), ("openai/v1/chat/completions", 503)] {
        let (status, named, body) = house.outside(path, true).await?;
        ensure!((status, &named) == (code, &None) || named.as_deref() == Some(CLAUDE), "{named:?}");
        assert_eq!(status, code, "{body}");
        let body: Value = serde_json::from_str(&body)?;
        let words = body["error"]["message"].as_str().unwrap_or_default();
        ensure!(words.contains("Overloaded just now") && words.contains(GPT), "{words}");
    }

    // The agent says it, and waits as it does for any provider.
    let mut follow = Follow::from(toft, &house.project, 0).await?;
    session::prompt(toft, &house.project, "work").await?;
    let seen = follow.until(|e| e.kind == "auto_retry_start").await?;
    let why = seen[seen.len() - 1].data["errorMessage"].to_string();
    ensure!(why.contains("Overloaded just now") && why.contains(GPT), "{why}");
    // Stopped between two that do not answer.
    house.now[1].is(SILENT);
    let before = house.gpt.requests().len();
    let reached = async {
        while house.gpt.requests().len() == before {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(STEP_TIMEOUT, reached).await.context("the other is never asked")?;
    toft.call("POST", &format!("/v1/projects/{}/toft/abort", house.project), Some(json!({})))
        .await?;
    let seen = follow.until_agent_end().await?;
    assert_eq!(seen[seen.len() - 1].data["reason"], "aborted");
    let path = format!("/v1/projects/{}/usage", house.project);
    let calls = house.claude.requests().len() + house.gpt.requests().len() - 4;
    toft.until(&path, |u| u["total"]["calls"].as_u64() >= Some(calls as u64 - 2)).await?;

    let shown = String::from_utf8(toft.cli(&["fallback"])?.stdout)?;
    ensure!(shown.contains(CLAUDE) && shown.contains(GPT), "{shown}");
    let none = toft.cli(&["fallback", CLAUDE, "--none", "--json"])?;
    let none: Value = serde_json::from_slice(&none.stdout)?;
    assert_eq!(none, json!({"chains": {}, "firstByteS": 60, "fromFile": [], "unlisted": []}));
    house.end()
}

#[tokio::test(flavor = "multi_thread")]
async fn chains_of_the_start_hold_until_a_person_says_otherwise() -> Result<()> {
    let args = ["--fallback", "claude/x=openai/y,groq/z", "--fallback-first-byte", "7s"];
    let args = args.map(str::to_owned).to_vec();
    let toft = Toft::start(Start { args, ..Start::default() }).await?;
    let now = toft.call("GET", "/v1/fallbacks", None).await?;
    let started = json!({"chains": {"anthropic/x": ["openai/y", "groq/z"]}, "firstByteS": 7,
        "fromFile": ["anthropic/x"], "unlisted": ["anthropic/x", "groq/z", "openai/y"]});
    assert_eq!(now, started);
    let change = json!({"chains": {"claude/x": ["gemini/a"]}, "firstByteS": 9});
    let now = toft.call("PUT", "/v1/fallbacks", Some(change)).await?;
    let set = json!({"chains": {"anthropic/x": ["google/a"]}, "firstByteS": 9, "fromFile": [],
        "unlisted": ["anthropic/x", "google/a"]});
    assert_eq!(now, set);
    for (wrong, words) in [
        (json!({"chains": {"x": []}}), "PROVIDER/MODEL"),
        (json!({"chains": {"openai/x": ["demo/app"]}}), "PROVIDER/MODEL"),
        (json!({"chains": {"openai/x": ["openai/x"]}}), "itself"),
        (json!({"chains": {"openai/x": ["groq/y", "groq/y"]}}), "twice"),
        (json!({"chains": {"openai/*": ["openai/y"]}}), "one of openai/*"),
        (json!({"chains": {"openai/x": ["groq/*"]}}), "names no model"),
        (json!({"chains": {"openai/gpt-*": ["groq/y"]}}), "there is no other"),
        (json!({"firstByteS": 301}), "firstByteS"),
        (json!({"chain": {}}), "chain"),
    ] {
        let (status, answer) = toft.request("PUT", "/v1/fallbacks", Some(wrong)).await?;
        ensure!(status == 400 && answer.to_string().contains(words), "{status} {answer}");
    }
    let off = json!({"chains": {"anthropic/x": null}, "firstByteS": null});
    assert_eq!(toft.call("PUT", "/v1/fallbacks", Some(off)).await?, started);
    toft.down()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_project_says_itself_who_stands_in_for_whom() -> Result<()> {
    let house = House::start().await?;
    let (toft, project) = (&house.toft, &house.project);
    let path = format!("/v1/projects/{project}/fallbacks");
    let inherited = toft.call("GET", &path, None).await?;
    assert_eq!(inherited, json!({"chains": {}, "inherited": {CLAUDE: [GPT]}, "unlisted": []}));
    // Nobody, for all of the provider: the project waits, a program outside does not.
    let set = toft.cli(&["fallback", "claude/*", "--none", "--project", "Shop"])?;
    ensure!(set.status.success(), "{}", String::from_utf8_lossy(&set.stderr));
    let own = toft.call("GET", &path, None).await?;
    assert_eq!(own, json!({"chains": {"anthropic/*": []}, "inherited": {}, "unlisted": []}));
    house.now[0].is(DOWN);
    let mut follow = Follow::from(toft, project, 0).await?;
    session::prompt(toft, project, "work").await?;
    let seen = follow.until(|e| e.kind == "auto_retry_start").await?;
    let why = seen[seen.len() - 1].data["errorMessage"].to_string();
    ensure!(why.contains("Overloaded just now") && !why.contains(GPT), "{why}");
    assert_eq!(house.outside("anthropic/v1/messages", true).await?.1.as_deref(), Some(GPT));

    // One for all models of the provider: the work goes on, and is paid by the model that answers.
    let set = toft.cli(&["fallback", "claude/*", GPT, "--project", "Shop"])?;
    ensure!(set.status.success(), "{}", String::from_utf8_lossy(&set.stderr));
    let seen = follow.until_agent_end().await?;
    assert_eq!(seen[seen.len() - 1].data["reason"], "done");
    let usage = format!("/v1/projects/{project}/usage?by=provider");
    let paid = |u: &Value| {
        let rows = u["rows"].as_array().into_iter().flatten();
        rows.filter(|row| row["costUsd"].as_f64() > Some(0.0)).map(|r| r["key"].clone()).collect()
    };
    let usage = toft.until(&usage, |u| !Vec::is_empty(&paid(u))).await?;
    assert_eq!(paid(&usage), ["openai"], "{usage}");

    // A fork has its origin's, and what is taken off gives way to what holds for all.
    let forks = toft.call("POST", &format!("/v1/projects/{project}/fork"), Some(json!({}))).await?;
    let fork = forks["projects"][0]["id"].as_str().context("a fork")?;
    let of_fork = toft.call("GET", &format!("/v1/projects/{fork}/fallbacks"), None).await?;
    assert_eq!(of_fork["chains"], json!({"anthropic/*": [GPT]}));
    let off = json!({"chains": {"anthropic/*": null}});
    assert_eq!(toft.call("PUT", &path, Some(off)).await?, inherited);
    let (status, answer) = toft.request("PUT", &path, Some(json!({"firstByteS": 3}))).await?;
    ensure!(status == 400 && answer.to_string().contains("firstByteS"), "{status} {answer}");
    house.end()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_person_sets_them_in_a_browser_and_sees_who_answered() -> Result<()> {
    let (claude, gpt) = (
        Provider::start(Duration::from_millis(1), script()).await?,
        Provider::start(Duration::from_millis(1), script()).await?,
    );
    let mut env = claude.env("sk-a");
    env.extend(gpt.env_openai("sk-b"));
    let toft = Toft::start(Start { env, ..Start::default() }).await?;
    let model = json!({"defaultProvider": "anthropic", "defaultModel": "claude-opus-4-6"});
    toft.call("PUT", "/v1/settings", Some(model)).await?;
    let project = toft.new_project("Shop").await?;
    let made = json!({"project": project, "shots": std::env::var("TOFT_SHOTS").ok()});
    let mut driver = Driver::start(&toft, "fallbacks.mjs", made)?;
    let mut claude = Some(claude);
    while let Some(line) = driver.line().await? {
        match &*line {
            "down" => {
                let set = toft.call("GET", "/v1/fallbacks", None).await?;
                assert_eq!(set["chains"], json!({"anthropic/*": [GPT]}));
                // It is gone, with its address.
                claude.take();
            }
            "nobody" => {
                let path = format!("/v1/projects/{project}/fallbacks");
                let own = toft.call("GET", &path, None).await?;
                assert_eq!(own["chains"], json!({"anthropic/*": []}));
            }
            _ => continue,
        }
        driver.answer("").await?;
    }
    driver.done(&toft).await?;
    assert_eq!(toft.call("GET", "/v1/fallbacks", None).await?["chains"], json!({}));
    ensure!(!gpt.requests().is_empty(), "it was asked");
    assert_eq!(gpt.faults(), Vec::<String>::new());
    toft.down()
}
