//! kill -9 of each process at many moments: the work goes on, a running tool keeps its pid, and
//! the transcript is that of an undisturbed run.

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};
use std::{sync::Arc, time::Duration};
use toft_stories::{
    lane, processes,
    provider::{Provider, Say, Script},
    session::{self, Follow, Seen},
    toft::{Start, Toft},
};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Victim {
    Server,
    Gateway,
    Bridge,
}

/// Several kinds of turns: deltas, a slow tool, file tools, two tools at once.
pub(crate) fn script() -> Script {
    Arc::new(|_user, turn| match turn {
        0 => Say {
            text: "First a look around, told in quite a few words so that there are deltas.".into(),
            tools: vec![("bash".into(), json!({"command":"echo one; sleep 0.6; echo two"}))],
        },
        1 => Say {
            text: "A file.".into(),
            tools: vec![("write".into(), json!({"path":"a.txt","content":"alpha\nbeta\n"}))],
        },
        2 => Say {
            text: "A change and a look.".into(),
            tools: vec![
                (
                    "edit".into(),
                    json!({"path":"a.txt","edits":[{"oldText":"beta","newText":"gamma"}]}),
                ),
                ("bash".into(), json!({"command":"sleep 0.3; cat a.txt; echo x >> count.txt"})),
            ],
        },
        3 => Say {
            text: "And once more.".into(),
            tools: vec![("read".into(), json!({"path":"a.txt"}))],
        },
        _ => Say { text: "All of it is done and the words end here.".into(), tools: vec![] },
    })
}

pub(crate) async fn strike(toft: &mut Toft, project: &str, victim: Victim) -> Result<()> {
    match victim {
        Victim::Server => {
            toft.kill_server();
            toft.up().await
        }
        Victim::Gateway => {
            processes::kill9(toft.gateway_pid().context("there is a gateway")?);
            Ok(())
        }
        Victim::Bridge => {
            processes::kill9(toft.bridge(project).await?);
            Ok(())
        }
    }
}

async fn run(
    toft: &mut Toft,
    strike_at: Option<(Victim, usize)>,
) -> Result<(Vec<Value>, Vec<Seen>)> {
    let project = toft.new_project("Kill").await?;
    let mut follow = Follow::from(toft, &project, 0).await?;
    session::prompt(toft, &project, "work").await?;
    let mut seen = Vec::new();
    let mut struck = false;
    loop {
        if let Some((victim, at)) = strike_at
            && !struck
            && seen.len() >= at
        {
            struck = true;
            strike(toft, &project, victim).await?;
            if victim == Victim::Server {
                follow = Follow::from(toft, &project, follow.last).await?;
            }
        }
        let event = follow.next().await?;
        let end = event.kind == "agent_end";
        seen.push(event);
        if end {
            break;
        }
    }
    let transcript = session::transcript(toft, &project).await?;
    let counted = toft.exec(&project, "wc -l < count.txt").await?;
    ensure!(counted["stdout"] == "1\n", "the command ran {counted} times");
    toft.call("DELETE", &format!("/v1/projects/{project}"), None).await?;
    Ok((transcript, seen))
}

/// What each client saw of each message is what the message became.
pub(crate) fn check_shown(transcript: &[Value], seen: &[Seen]) {
    let mut texts: Vec<String> = session::shown_texts(seen).into_values().collect();
    let mut wanted: Vec<String> = transcript
        .iter()
        .filter(|m| m["role"] == "assistant")
        .filter_map(|m| m["content"][0]["text"].as_str().map(str::to_owned))
        .collect();
    texts.sort();
    wanted.sort();
    assert_eq!(texts, wanted, "deltas add up to the messages");
}

async fn killed_everywhere(victim: Victim) -> Result<()> {
    let provider = Provider::start(Duration::from_millis(4), script()).await?;
    let mut toft = Toft::start(Start { env: provider.env("sk-k"), ..Start::default() }).await?;
    let (wanted, undisturbed) = run(&mut toft, None).await?;
    check_shown(&wanted, &undisturbed);
    let points = if lane::deep() { 20 } else { 5 };
    for point in 0..points {
        let at = undisturbed.len() * point / points;
        let (got, seen) = run(&mut toft, Some((victim, at)))
            .await
            .with_context(|| format!("{victim:?} at {at}"))?;
        assert_eq!(got, wanted, "{victim:?} killed at event {at}");
        check_shown(&got, &seen);
    }
    assert_eq!(provider.faults(), Vec::<String>::new());
    toft.down()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_server_changes_nothing() -> Result<()> {
    killed_everywhere(Victim::Server).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_gateway_changes_nothing() -> Result<()> {
    killed_everywhere(Victim::Gateway).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_bridge_changes_nothing() -> Result<()> {
    killed_everywhere(Victim::Bridge).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_running_tool_keeps_its_pid_whoever_dies() -> Result<()> {
    let script: Script = Arc::new(|_user, turn| match turn {
        0 => Say {
            text: "Slow.".into(),
            tools: vec![("bash".into(), json!({"command":"sleep 6.5; echo slept"}))],
        },
        _ => Say { text: "Awake.".into(), tools: vec![] },
    });
    let provider = Provider::start(Duration::ZERO, script).await?;
    let mut toft = Toft::start(Start { env: provider.env("sk-k"), ..Start::default() }).await?;
    let project = toft.new_project("Sleeper").await?;
    let mut follow = Follow::from(&toft, &project, 0).await?;
    session::prompt(&toft, &project, "sleep").await?;
    follow.until(|e| e.kind == "tool_start").await?;
    let sleeper = |toft: &Toft| {
        toft.machine_processes(&project)
            .into_iter()
            .find(|p| p.argv.first().is_some_and(|a| a == "sleep"))
            .map(|p| p.pid)
    };
    let mut pid = None;
    while pid.is_none() {
        tokio::time::sleep(Duration::from_millis(20)).await;
        pid = sleeper(&toft);
    }
    for victim in [Victim::Bridge, Victim::Gateway, Victim::Server] {
        strike(&mut toft, &project, victim).await?;
        assert_eq!(sleeper(&toft), pid, "after the {victim:?} was killed");
    }
    let mut follow = Follow::from(&toft, &project, follow.last).await?;
    let events = follow.until_agent_end().await?;
    let ended = events.iter().find(|e| e.kind == "tool_end").context("the tool ended")?;
    assert!(ended.data["result"].to_string().contains("slept"), "{ended:?}");
    toft.down()
}
