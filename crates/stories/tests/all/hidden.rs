//! Aborting a tool ends everything that it started, also what hid like a daemon does; the rest of
//! the machine goes on.

use anyhow::{Context as _, Result, ensure};
use serde_json::json;
use std::{
    sync::Arc,
    time::{Duration, Instant},
};
use toft_stories::{
    lane, processes,
    provider::{Provider, Say, Script},
    session::{self, Follow},
    toft::{STEP_TIMEOUT, Start, Toft},
};

/// Leaves its parents, its session and its environment, as databases do.
const HIDES: &str = r#"cat > hide.py <<'END'
import os, time
if os.fork() == 0:
    os.setsid()
    if os.fork():
        os._exit(0)
    null = os.open("/dev/null", os.O_RDWR)
    for stream in range(3):
        os.dup2(null, stream)
    os.execve("/usr/bin/sleep", ["sleep", "4711"], {})
time.sleep(4712)
END
exec python3 hide.py"#;

fn script() -> Script {
    Arc::new(|_user, turn| match turn {
        0 => Say {
            text: "A database.".into(),
            tools: vec![("bash".into(), json!({"command": HIDES}))],
        },
        _ => Say { text: "Done.".into(), tools: vec![] },
    })
}

/// Pid of `sleep` with this argument in a machine.
fn sleeping(toft: &Toft, project: &str, seconds: &str) -> Option<u32> {
    let all = toft.machine_processes(project);
    all.into_iter().find(|p| p.argv == ["sleep", seconds]).map(|p| p.pid)
}

async fn until<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> Result<T> {
    let deadline = Instant::now() + STEP_TIMEOUT;
    loop {
        if let Some(found) = look() {
            return Ok(found);
        }
        ensure!(Instant::now() < deadline, "never seen: {what}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_abort_ends_a_process_that_hid_and_no_other_one() -> Result<()> {
    if !lane::root() || lane::as_user() {
        lane::skip("hidden", "an ordinary user has no control groups here");
        return Ok(());
    }
    let provider = Provider::start(Duration::ZERO, script()).await?;
    let toft = Toft::start(Start { env: provider.env("sk-test-hide"), ..Start::default() }).await?;
    let project = toft.new_project("Hidden").await?;
    let mut follow = Follow::from(&toft, &project, 0).await?;
    let other = json!({"argv": ["sleep", "4713"], "timeoutMs": 60_000});
    let path = format!("/v1/projects/{project}/exec");
    let running = toft.http().post(format!("{}{path}", toft.base)).bearer_auth(&toft.token);
    let running = tokio::spawn(running.json(&other).send());
    let session = session::prompt(&toft, &project, "start a database").await?;
    let hidden = until("what hid", || sleeping(&toft, &project, "4711")).await?;
    let kept = until("the other program", || sleeping(&toft, &project, "4713")).await?;
    let init = toft.init_pid(&project);
    // Its parent may still be about to end.
    let is_orphan = || (processes::one(hidden).map(|p| p.parent) == init).then_some(());
    until("it as nobody's child any more", is_orphan).await?;
    let environment =
        std::fs::read(format!("/proc/{hidden}/environ")).context("its environment")?;
    ensure!(environment.is_empty(), "and carries no mark");

    let abort = format!("/v1/projects/{project}/toft/abort");
    let asked = Instant::now();
    toft.call("POST", &abort, Some(json!({"sessionId": session}))).await?;
    follow.until_agent_end().await?;
    until("its end", || processes::one(hidden).is_none().then_some(())).await?;
    println!("gone after {:?}", asked.elapsed());
    ensure!(processes::one(kept).is_some(), "the other program goes on");
    running.abort();
    toft.down()
}
