//! Runs as a program asks for them and follows them: by HTTP, again and again where it must be, with an eye on numbers
//! that skip or repeat.

use crate::{
    provider::{Say, Script},
    toft::{STEP_TIMEOUT, Toft},
};
use anyhow::{Context as _, Result, bail, ensure};
use futures_util::StreamExt as _;
use serde_json::{Value, json};
use std::{
    sync::Arc,
    time::{Duration, Instant},
};

/// A plan as a model says it.
pub const PLAN: &str =
    "```json\n{\"summary\": \"A line.\", \"todos\": [{\"id\": \"a\", \"title\": \"Add it\"}]}\n```";

/// An event of a run as a client sees it.
#[derive(Debug, Clone, PartialEq)]
pub struct Told {
    /// Its number, from 1.
    pub id: u64,
    /// `status`, `token`, …
    pub kind: String,
    /// What it says.
    pub data: Value,
}

impl Told {
    /// The word of a `status`.
    pub fn status(&self) -> Option<&str> {
        self.data["status"].as_str().filter(|_| self.kind == "status")
    }

    fn is_last(&self) -> bool {
        self.kind == "done" || self.kind == "error" || self.status() == Some("cancelled")
    }
}

/// Plans, and runs one command when it builds: what it depends on what was asked for.
pub fn builder(command: impl Fn(&str) -> String + Send + Sync + 'static) -> Script {
    Arc::new(move |user, turn| {
        let say = |text: &str| Say { text: text.into(), tools: vec![] };
        let building = user.contains("[Plan mode is over");
        if turn > 0 || !building {
            return say(if building { "It is done." } else { PLAN });
        }
        let command = json!({"command": command(user), "timeout": 600});
        Say { text: "Now.".into(), tools: vec![("bash".into(), command)] }
    })
}

/// Adds a line to a file of the project, which shows when that is done twice.
pub fn adds_a_line() -> Script {
    builder(|_| "echo a line >> made".into())
}

/// A project with a repository.
pub async fn place(toft: &Toft) -> Result<String> {
    let project = toft.new_project("Runs").await?;
    let made = "git init -q -b main . && git config user.email a@b.c && git config user.name a";
    let made = toft.exec(&project, made).await?;
    ensure!(made["exitCode"] == 0, "{made}");
    Ok(project)
}

/// Asks once: status, and the whole answer.
pub async fn ask_once(toft: &Toft, project: &str, key: &str, prompt: &str) -> Result<(u16, Value)> {
    let asked = toft
        .http()
        .post(format!("{}/v1/projects/{project}/runs", toft.base))
        .bearer_auth(&toft.token)
        .header("idempotency-key", key)
        .json(&json!({"prompt": prompt}))
        .timeout(STEP_TIMEOUT)
        .send()
        .await?;
    let status = asked.status().as_u16();
    Ok((status, asked.json().await?))
}

/// Asks until a server has taken it: the same request, whatever became of the one before. The run's path.
pub async fn ask(toft: &Toft, project: &str, key: &str, prompt: &str) -> Result<String> {
    let until = Instant::now() + STEP_TIMEOUT;
    loop {
        let said = match ask_once(toft, project, key, prompt).await {
            Ok((status, said)) if status < 300 => {
                let id = said["data"]["id"].as_str().context("a run has an id")?;
                return Ok(format!("/v1/projects/{project}/runs/{id}"));
            }
            Ok((_, said)) => said.to_string(),
            Err(error) => error.to_string(),
        };
        ensure!(Instant::now() < until, "{key} is not taken: {said}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// Whether a run goes on no more.
pub fn is_over(run: &Value) -> bool {
    ["completed", "error", "cancelled"].iter().any(|status| run["status"] == *status)
}

/// A run that must complete.
pub async fn completed(toft: &Toft, run: &str) -> Result<Value> {
    let now = toft.until(run, is_over).await?;
    ensure!(now["status"] == "completed" && now["error"].is_null(), "{now}");
    Ok(now)
}

/// What a piece of a stream tells. What is not whole yet stays in it.
pub fn read(text: &mut String) -> Result<Vec<Told>> {
    let mut all = Vec::new();
    while let Some(end) = text.find("\n\n") {
        let block: String = text.drain(..end + 2).collect();
        let field = |name: &str| block.lines().find_map(|line| line.strip_prefix(name));
        let (Some(id), Some(kind), Some(data)) = (field("id: "), field("event: "), field("data: "))
        else {
            continue;
        };
        if kind == "ping" {
            continue;
        }
        let data: Value = serde_json::from_str(data)?;
        ensure!(data["id"] == id.parse::<u64>()? && data["event"] == kind, "{data}");
        ensure!(data["ts"].as_str().is_some_and(|ts| ts.ends_with('Z')), "{data}");
        all.push(Told { id: id.parse()?, kind: kind.to_owned(), data: data["data"].clone() });
    }
    Ok(all)
}

/// All that a run tells to its end, however often connection, server or database go away meanwhile. Numbers have no gap.
pub async fn follow(toft: &Toft, run: &str) -> Result<Vec<Told>> {
    follow_for(toft, run, STEP_TIMEOUT).await
}

/// The same of one that may take longer.
pub async fn follow_for(toft: &Toft, run: &str, patience: Duration) -> Result<Vec<Told>> {
    let until = Instant::now() + patience;
    let mut all: Vec<Told> = Vec::new();
    while Instant::now() < until {
        let url = format!("{}{run}/stream", toft.base);
        let asked = toft.http().get(url).bearer_auth(&toft.token).timeout(STEP_TIMEOUT);
        let asked = asked.header("last-event-id", all.len() as u64).send().await;
        if let Ok(answer) = asked.and_then(reqwest::Response::error_for_status) {
            let (mut body, mut text) = (answer.bytes_stream(), String::new());
            while let Some(Ok(bytes)) = body.next().await {
                text.push_str(std::str::from_utf8(&bytes)?);
                for told in read(&mut text)? {
                    ensure!(told.id == all.len() as u64 + 1, "{told:?} follows {}", all.len());
                    all.push(told);
                }
            }
            if all.last().is_some_and(Told::is_last) {
                return Ok(all);
            }
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    bail!("{run} is not over: {all:?}")
}

/// How often a run told a `status`.
pub fn times(all: &[Told], status: &str) -> usize {
    all.iter().filter(|told| told.status() == Some(status)).count()
}
