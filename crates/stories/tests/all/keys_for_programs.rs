//! Keys that a person makes for programs outside: typed, used, spent on a project, taken back.

use anyhow::{Context as _, Result, ensure};
use reqwest::Response;
use serde_json::{Value, json};
use std::{path::PathBuf, sync::Arc, time::Duration};
use toft_stories::{
    processes,
    provider::{Fate, Provider, Say, Script},
    toft::{STEP_TIMEOUT, Start, Toft},
};

const MESSAGES: &str = "/llm/anthropic/v1/messages";

fn talker() -> Script {
    Arc::new(|user, _| Say { text: format!("You said {user} and that is all."), tools: Vec::new() })
}

/// Makes a key as a person does; what is printed on standard output is the key and nothing else.
fn new_key(toft: &Toft, args: &[&str]) -> Result<String> {
    let made = toft.cli(&[&["key", "new"], args].concat())?;
    ensure!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    let key = String::from_utf8(made.stdout)?.trim_end().to_owned();
    ensure!(key.starts_with("toft_") && !key.contains(char::is_whitespace), "{key}");
    Ok(key)
}

async fn ask(toft: &Toft, key: &str) -> Result<Response> {
    let body = json!({"model": "claude-opus-4-6", "max_tokens": 100, "stream": true,
        "messages": [{"role": "user", "content": "hello"}]});
    let call = toft.http().post(format!("{}{MESSAGES}", toft.base)).timeout(STEP_TIMEOUT);
    Ok(call.header("x-api-key", key).json(&body).send().await?)
}

fn refused(answer: &Response) -> Result<(u16, String)> {
    let status = answer.status().as_u16();
    let code = answer.headers().get("x-toft-error").context("it was not refused here")?;
    Ok((status, code.to_str()?.to_owned()))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_for_models_spends_its_projects_budget_and_ends_when_it_is_revoked() -> Result<()> {
    let fates = Arc::new(|number| if number == 1 { Fate::HangAfter(2) } else { Fate::Answer });
    let provider = Provider::start_with(Duration::ZERO, talker(), fates).await?;
    let env = provider.env("sk-ant-provider-key");
    let toft = Toft::start(Start { env, ..Start::default() }).await?;
    let project = toft.new_project("Shop").await?;
    let models = new_key(&toft, &["Robot", "--scope", "models", "--project", "Shop"])?;
    let read = new_key(&toft, &["Watcher", "--scope", "read", "--expires", "90d"])?;

    let answer = ask(&toft, &models).await?;
    ensure!(answer.status() == 200, "{}", answer.text().await?);
    answer.bytes().await?;
    assert_eq!(refused(&ask(&toft, &read).await?)?, (403, "scope_missing".to_owned()));
    let get = |key: &str, path: &str| {
        toft.http().get(format!("{}{path}", toft.base)).header("x-agent-api-key", key).send()
    };
    assert_eq!(get(&read, "/v1/projects").await?.status(), 200);
    let closed = get(&models, "/v1/projects").await?;
    assert_eq!(closed.status(), 403);
    let closed: Value = closed.json().await?;
    assert_eq!(closed["error"]["code"], "scope_missing", "{closed}");

    // Told as the project's in usage, and spent of its budget.
    let path = format!("/v1/projects/{project}/usage");
    let usage = toft.until(&path, |usage| usage["total"]["calls"] == 1).await?;
    ensure!(usage["total"]["costUsd"].as_f64().is_some_and(|cost| cost > 0.0), "{usage}");
    // A stream that hangs ends with its key, and so does the call at the provider.
    let mut hanging = ask(&toft, &models).await?;
    hanging.chunk().await?.context("it has begun")?;
    let revoked = toft.cli(&["key", "revoke", "Robot"])?;
    ensure!(revoked.status.success(), "{}", String::from_utf8_lossy(&revoked.stderr));
    let end = async { while let Ok(Some(_)) = hanging.chunk().await {} };
    tokio::time::timeout(STEP_TIMEOUT, end).await.context("the stream goes on")?;
    toft.until(&path, |usage| usage["total"]["calls"] == 2).await?;
    assert_eq!(refused(&ask(&toft, &models).await?)?, (401, "unauthenticated".to_owned()));

    let budget = format!("/v1/projects/{project}/budget");
    toft.call("PUT", &budget, Some(json!({"totalUsd": 0.000_001}))).await?;
    let again = new_key(&toft, &["Robot", "--scope", "models", "--project", "Shop"])?;
    assert_eq!(refused(&ask(&toft, &again).await?)?.1, "budget_spent");

    let listed = toft.cli(&["key", "list"])?;
    let listed = String::from_utf8(listed.stdout)?;
    ensure!(listed.contains("Watcher") && listed.contains(&models[..5]), "{listed}");
    for key in [&models, &read, &again] {
        let secret = key.trim_start_matches("toft_");
        assert_eq!(processes::files_holding(&toft.data, secret.as_bytes()), Vec::<PathBuf>::new());
        ensure!(!toft.log().contains(secret) && !listed.contains(secret), "a key was written down");
        ensure!(
            !provider.keys().iter().any(|k| k.contains(secret)),
            "a provider got a key of ours"
        );
    }
    toft.down()
}
