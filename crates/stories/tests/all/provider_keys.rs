//! Keys of providers, put in once: in the environment, in a file, in Settings. Where each is from is said,
//! each can be tried, and what is wrong with one is said in words.

use super::kills::script;
use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};
use std::{
    fs,
    os::unix::fs::PermissionsExt as _,
    time::{Duration, Instant},
};
use toft_stories::{
    browser::Driver,
    provider::Provider,
    toft::{Start, Toft},
};

/// Until the gateway has what the server has read.
const HANDED_OVER: Duration = Duration::from_secs(10);

async fn shown(toft: &Toft, id: &str) -> Result<Value> {
    let all = toft.call("GET", "/v1/providers", None).await?;
    let found = all.as_array().context("providers")?.iter().find(|p| p["id"] == id);
    found.cloned().context("it is listed")
}

async fn tested(toft: &Toft, id: &str) -> Result<(bool, String)> {
    let test = toft.call("POST", &format!("/v1/providers/{id}/test"), Some(json!({}))).await?;
    Ok((test["ok"] == true, test["message"].as_str().unwrap_or_default().to_owned()))
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_of_environment_file_and_settings_are_found_and_tried() -> Result<()> {
    let provider = Provider::start(Duration::ZERO, script()).await?;
    let folder = tempfile::tempdir()?;
    let file = folder.path().join("keys.env");
    let base = format!("http://{}", provider.addr);
    let text = format!(
        "# ours\nexport MISTRAL_API_KEY=\"sk-file-123456789\"\nMISTRAL_BASE_URL={base}/v1\n\
         ANTHROPIC_API_KEY=sk-file-loses-1234\nDEEPSEEK_API_KEY='two words'\n\
         GROQ_API_KEY=sk-nowhere-1234567\nGROQ_BASE_URL=http://127.0.0.1:1\n"
    );
    fs::write(&file, text)?;
    fs::set_permissions(&file, fs::Permissions::from_mode(0o600))?;
    let mut env = provider.env("sk-env-1234567890");
    env.push(("TOFT_KEYS".into(), file.to_str().context("a path")?.into()));
    env.push(("XAI_API_KEY".into(), "sk-canary\nline".into()));
    let toft = Toft::start(Start { env, ..Start::default() }).await?;

    for (id, source, hint) in
        [("anthropic", "env", "…7890"), ("mistral", "file", "…6789"), ("groq", "file", "…4567")]
    {
        let one = shown(&toft, id).await?;
        let got = (&one["configured"], &one["source"], &one["keyHint"]);
        assert_eq!(got, (&json!(true), &json!(source), &json!(hint)), "{id}");
        let in_file = if source == "file" { json!(file) } else { Value::Null };
        assert_eq!(one["file"], in_file, "{id}");
    }
    for id in ["anthropic", "mistral"] {
        let (ok, words) = tested(&toft, id).await?;
        ensure!(ok && words.contains("took the key"), "{id} {words}");
    }
    let (ok, words) = tested(&toft, "groq").await?;
    ensure!(!ok && words.contains("could not be reached") && words.contains("base URL"), "{words}");
    // What cannot be a key is none, and says where it stands.
    for (id, place) in
        [("deepseek", "keys.env"), ("xai", "XAI_API_KEY in the server's environment")]
    {
        let one = shown(&toft, id).await?;
        assert_eq!((&one["configured"], &one["keyHint"]), (&json!(false), &Value::Null), "{id}");
        let (ok, words) = tested(&toft, id).await?;
        ensure!(!ok && words.contains(place) && words.contains("is no key"), "{words}");
        ensure!(!words.contains("canary") && !words.contains("two words"), "{words}");
    }

    // Settings win, and give way again.
    let path = "/v1/providers/deepseek/key";
    let bad = toft.request("PUT", path, Some(json!({"key": "sk-1\nsk-2"}))).await?;
    ensure!(bad.0 == 400 && bad.1.to_string().contains("one line"), "{bad:?}");
    let set = toft.call("PUT", path, Some(json!({"key": " sk-set-here-4321 "}))).await?;
    let got = (&set["source"], &set["keyHint"], &set["problem"]);
    assert_eq!(got, (&json!("settings"), &json!("…4321"), &Value::Null));
    let gone = toft.call("DELETE", path, None).await?;
    ensure!(gone["source"] == "file" && gone["problem"].is_string(), "{gone}");
    toft.down()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_of_keys_that_others_can_read_is_refused_at_the_start() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let file = folder.path().join("keys.env");
    fs::write(&file, "OPENAI_API_KEY=sk-canary\n")?;
    fs::set_permissions(&file, fs::Permissions::from_mode(0o644))?;
    let args = vec!["--keys".to_owned(), file.to_str().context("a path")?.to_owned()];
    let refused = Toft::start(Start { args, ..Start::default() }).await;
    let words = refused.err().map(|e| format!("{e:#}")).context("it does not start")?;
    ensure!(words.contains("chmod 600") && !words.contains("canary"), "{words}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_of_keys_that_changes_is_read_again_and_a_bad_one_changes_nothing() -> Result<()> {
    let provider = Provider::start(Duration::ZERO, script()).await?;
    let folder = tempfile::tempdir()?;
    let file = folder.path().join("keys.env");
    let write = |path: &std::path::Path, text: &str| {
        fs::write(path, text)?;
        fs::set_permissions(path, fs::Permissions::from_mode(0o600))
    };
    let base = format!("MISTRAL_BASE_URL=http://{}/v1\n", provider.addr);
    write(&file, &format!("MISTRAL_API_KEY=sk-first-1111\n{base}"))?;
    let args = vec!["--keys".to_owned(), file.to_str().context("a path")?.to_owned()];
    let env = vec![("AGENT_API_KEY".to_owned(), "program-key-0815-for-keys".to_owned())];
    let toft = Toft::start(Start { args, env, ..Start::default() }).await?;
    let hint = async |wanted: &str| {
        let is = |all: &Value| all.to_string().contains(wanted);
        toft.until("/v1/providers", is).await.map(drop)
    };
    hint("…1111").await?;

    // Put in its place, as editors and secret stores do: the gateway has the new one.
    let new = folder.path().join("new");
    write(&new, &format!("MISTRAL_API_KEY=sk-second-2222\n{base}"))?;
    toft.give(&new)?;
    fs::rename(&new, &file)?;
    hint("…2222").await?;
    toft.until("/v1/keys-file", |file| file["problem"].is_null()).await?;
    let body = json!({"model": "m", "messages": [{"role": "user", "content": "hi"}]});
    let path = format!("{}/llm/mistral/v1/chat/completions", toft.base);
    let ask = async || {
        let request = toft.http().post(&path).header("x-api-key", "program-key-0815-for-keys");
        let answer = request.json(&body).send().await?;
        ensure!(answer.status() == 200, "{}", answer.text().await?);
        let key = provider.keys().pop().context("it was asked")?;
        Ok(key.contains("sk-second-2222"))
    };
    // The gateway is another process: it has them a moment later.
    let until = Instant::now() + HANDED_OVER;
    while !ask().await? {
        ensure!(Instant::now() < until, "the new one is used");
    }
    ensure!(ask().await?, "and no other one from then on");

    // One that cannot be read is told, once, without a value of it; the keys of before count on.
    write(&file, "sk-canary-3333\n")?;
    let told = toft.until("/v1/keys-file", |file| file["problem"].is_string()).await?;
    let words = told["problem"].as_str().unwrap_or_default();
    ensure!(words.contains("line 1") && !words.contains("canary"), "{words}");
    assert_eq!(told["path"], json!(file));
    assert_eq!(shown(&toft, "mistral").await?["keyHint"], "…2222");
    ensure!(tested(&toft, "mistral").await?.0, "it still works");
    write(&file, &format!("MISTRAL_API_KEY=sk-fourth-4444\n{base}"))?;
    hint("…4444").await?;
    let healed = toft.call("GET", "/v1/keys-file", None).await?;
    assert_eq!(healed, json!({"path": file, "problem": null}));
    let log = toft.log();
    assert_eq!(log.matches("The keys that were read before count on").count(), 1, "{log}");
    ensure!(!log.contains("canary") && !log.contains("4444"), "no value in the log");

    // Whoever looks at Settings sees all of that.
    let shots = std::env::var("TOFT_SHOTS").ok();
    let made = json!({"hints": ["…4444", "…5555"], "shots": shots});
    let mut driver = Driver::start(&toft, "keys-file.mjs", made)?;
    while let Some(line) = driver.line().await? {
        match &*line {
            "break" => write(&file, "MISTRAL_API_KEY=sk-6\nMISTRAL_API_KEY=sk-7\n")?,
            "mend" => write(&file, "MISTRAL_API_KEY=sk-fifth-5555\n")?,
            _ => {}
        }
    }
    driver.done(&toft).await?;
    toft.down()
}
