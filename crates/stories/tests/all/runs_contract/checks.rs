//! The source's own checks, as `toft check smoke|deep`, against a server that runs, and against what is none.

use super::{KEY, say, started};
use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};
use std::{process::Output, sync::Arc, time::Duration};
use toft_stories::{
    provider::{Provider, Say},
    toft::{Start, Toft, binary},
};
use tokio::process::Command;

async fn check(depth: &str, base: &str, more: &[(&str, &str)]) -> Result<Output> {
    let mut command = Command::new(binary());
    command.args(["check", depth, "--base", base, "--json"]).env_clear().env("AGENT_API_KEY", KEY);
    command.env("RUN_POLL_MS", "50").envs(more.iter().copied()).kill_on_drop(true);
    command.output().await.context("toft check")
}

fn steps(output: &Output) -> Result<Vec<String>> {
    let lines = String::from_utf8_lossy(&output.stdout).into_owned();
    let step = |line: &str| {
        let line: Value = serde_json::from_str(line)?;
        ensure!(line["ok"] == true, "{line}");
        Ok(line["step"].as_str().unwrap_or_default().to_owned())
    };
    lines.lines().map(step).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_sources_checks_pass_against_a_server_that_runs() -> Result<()> {
    let (toft, provider) = started(&[]).await?;
    let smoke = check("smoke", &toft.base, &[]).await?;
    ensure!(smoke.status.success(), "{}", String::from_utf8_lossy(&smoke.stderr));
    assert_eq!(steps(&smoke)?, ["health", "capabilities", "project", "run", "all"]);
    // A path at the address's end is none.
    let own = [
        ("CHECK_PROJECT_ID", "checked"),
        ("CHECK_PROJECT_NAME", "Checked"),
        ("CHECK_PROMPT", "first words"),
        ("CHECK_FOLLOWUP_PROMPT", "second words"),
    ];
    let deep = check("deep", &format!("{}/", toft.base), &own).await?;
    ensure!(deep.status.success(), "{}", String::from_utf8_lossy(&deep.stderr));
    let all = [
        "health",
        "capabilities",
        "project",
        "run",
        "stream",
        "replay",
        "download",
        "message",
        "messages",
        "all",
    ];
    assert_eq!(steps(&deep)?, all);
    let made = toft.call("GET", "/v1/projects/checked", None).await?;
    assert_eq!(made["name"], "Checked");
    let runs = toft.call("GET", "/v1/projects/checked/runs", None).await?;
    assert_eq!(
        (&runs[0]["prompt"], &runs[1]["prompt"]),
        (&json!("second words"), &json!("first words"))
    );
    // Also without a flag, by the address that the source's script reads.
    let mut command = Command::new(binary());
    command.args(["check", "smoke"]).env_clear().env("API_KEY", KEY).env("API_BASE", &toft.base);
    let again = command.env("RUN_POLL_MS", "50").output().await?;
    ensure!(again.status.success(), "{}", String::from_utf8_lossy(&again.stderr));
    // And of the local server without any.
    let local = toft.cli(&["check", "smoke", "--json"])?;
    ensure!(local.status.success(), "{}", String::from_utf8_lossy(&local.stderr));
    ensure!(provider.faults().is_empty(), "{:?}", provider.faults());
    toft.down()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_check_that_fails_says_at_which_step_and_why() -> Result<()> {
    let script = Arc::new(|_: &str, _: usize| Say { text: String::new(), ..say("") });
    let fates = Arc::new(|_| toft_stories::provider::Fate::Refuse {
        status: 400,
        retry_after: None,
        message: "no such model here",
    });
    let provider = Provider::start_with(Duration::ZERO, script, fates).await?;
    let mut env = provider.env("sk-s");
    env.push(("AGENT_API_KEY".into(), KEY.into()));
    env.push(("MAX_JOB_ATTEMPTS".into(), "1".into()));
    let toft = Toft::start(Start { env, ..Start::default() }).await?;
    let failed = async |base: &str, more: &[(&str, &str)]| {
        let output = check("deep", base, more).await?;
        ensure!(!output.status.success(), "it passed");
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        ensure!(!said.contains(KEY), "{said}");
        Ok(said)
    };
    let said = failed(&toft.base, &[]).await?;
    ensure!(said.contains("step run") && said.contains("is error"), "{said}");
    let said = failed(&toft.base, &[("AGENT_API_KEY", "another-key-that-opens-nothing")]).await?;
    ensure!(said.contains("step project") && said.contains("401"), "{said}");
    let said = failed(&toft.base, &[("CHECK_MODEL", "moon/none")]).await?;
    ensure!(said.contains("step run") && said.contains("GET /v1/models"), "{said}");
    let said = failed("http://127.0.0.1:9", &[]).await?;
    ensure!(said.contains("step health") && said.contains("does not answer"), "{said}");
    let wrong = check("smoke", &toft.base, &[("RUN_POLL_MS", "soon")]).await?;
    let said = String::from_utf8_lossy(&wrong.stderr).into_owned();
    ensure!(!wrong.status.success() && said.contains("RUN_POLL_MS"), "{said}");
    toft.down()
}
