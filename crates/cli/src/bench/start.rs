//! Rows about beginning: a bridge's first answer, a whole command line with one prompt, and the size of
//! the first request that a model gets.

use super::{
    Row,
    agent::{Asked, Beside, new_session, pi_home, prompt},
    child::Ends,
    lab::{Lab, ms, program},
    peers::{Peers, codex::Codex, pi::Pi},
    provider::{Provider, Tool},
    rows::wake,
    socket,
};
use anyhow::{Context, Result, bail};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::json;
use std::{
    process::Stdio,
    time::{Duration, Instant},
};
use tokio::process::Command;

/// Each is ended once it has lived for so long: init starts another at once then.
const LIVED: Duration = Duration::from_millis(1_100);
/// A round takes a second; the peers take half a second each.
const ROUNDS_MAX: usize = 10;
/// Uncounted rounds.
const WARM_UP: usize = 2;
/// What is said once.
const MESSAGE: &str = "hi";

/// From the end of a machine's bridge to the first answer of the next one: init notices, starts it, it reads what
/// lies on disk and answers what it is and does. Beside it Pi, from its start to the same answer.
pub(super) async fn bridge_ready(rounds: usize, peers: &Peers) -> Result<Vec<Row>> {
    let asked = Asked::open(peers, 0, Tool::Read).await?;
    let lab = Lab::open(&asked.provider.env()).await?;
    let project = lab.project().await?;
    new_session(&lab, &project).await?;
    let socket = lab.run_dir(&project).join("bridge.sock");
    let mut beside = Beside::open("pi", pi_home(peers, &asked.provider));
    let mut samples = Vec::new();
    for round in 0..rounds.min(ROUNDS_MAX) + WARM_UP {
        socket::get(&socket, "/toft/state").await?;
        tokio::time::sleep(LIVED).await;
        let pid = lab.bridge_pid(&project)?;
        let pid = i32::try_from(pid).ok().and_then(Pid::from_raw).context("a pid")?;
        let began = Instant::now();
        kill_process(pid, Signal::KILL).context("ending the bridge")?;
        while lab
            .bridge_pid(&project)
            .is_ok_and(|now| now == pid.as_raw_nonzero().get().cast_unsigned())
        {
            tokio::time::sleep(Duration::from_micros(100)).await;
        }
        socket::get(&socket, "/toft/state").await?;
        if round >= WARM_UP {
            samples.push(ms(began));
        }
        beside
            .round(round >= WARM_UP, async |home| {
                let began = Instant::now();
                Pi::open(home).await?;
                Ok(vec![ms(began)])
            })
            .await;
    }
    lab.close().await?;
    let mut rows = vec![Row::new("bridge_ready", "ms", samples)];
    rows.extend(beside.row("bridge_ready", "ms"));
    Ok(rows)
}

/// One process of the command line, from its start to its exit, that says one thing in a new conversation of a
/// machine that is awake, and prints the answer. The second row is of a machine that sleeps. Pi and Codex
/// do the same from nothing, as they always do.
pub(super) async fn oneshot_prompt(rounds: usize, peers: &Peers) -> Result<Vec<Row>> {
    let asked = Asked::open(peers, 0, Tool::Read).await?;
    let lab = Lab::open(&asked.provider.env()).await?;
    let project = lab.project().await?;
    let of = format!("/v1/projects/{project}");
    let mut pi = Beside::open("pi -p", pi_home(peers, &asked.provider));
    let mut codex = Beside::open("codex exec", codex(peers, &asked));
    let (mut awake, mut asleep) = (Vec::new(), Vec::new());
    for round in 0..rounds.min(ROUNDS_MAX) + WARM_UP {
        wake(&lab, &project).await?;
        for (samples, sleeps) in [(&mut awake, false), (&mut asleep, true)] {
            new_session(&lab, &project).await?;
            if sleeps {
                lab.client.post(&format!("{of}/sleep"), &json!({})).await?;
            }
            let took = say_once(&lab, &project).await?;
            if round >= WARM_UP {
                samples.push(took);
            }
        }
        let counted = round >= WARM_UP;
        pi.round(counted, async |home| Ok(vec![home.once(MESSAGE).await?])).await;
        codex.round(counted, async |home| Ok(vec![home.once(MESSAGE).await?])).await;
    }
    lab.close().await?;
    let mut rows = vec![
        Row::new("oneshot_prompt", "ms", awake),
        Row::new("oneshot_prompt (machine asleep)", "ms", asleep),
    ];
    rows.extend(pi.row("oneshot_prompt", "ms"));
    rows.extend(codex.row("oneshot_prompt", "ms"));
    Ok(rows)
}

/// `toft chat`, from spawn to exit.
async fn say_once(lab: &Lab, project: &str) -> Result<f64> {
    let began = Instant::now();
    let child = Command::new(program()?)
        .args(["chat", project, MESSAGE, "--data"])
        .arg(lab.data())
        .env_clear()
        .env("PATH", "/usr/local/bin:/usr/bin:/bin")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .context("running a command line")?;
    let (status, _, complaint) = Ends(child).said().await?;
    let took = ms(began);
    if !status.success() {
        bail!("`toft chat` ended with {status}: {}", String::from_utf8_lossy(&complaint));
    }
    Ok(took)
}

/// Codex where it is installed and understood.
fn codex(peers: &Peers, asked: &Asked) -> Option<Result<Codex>> {
    let program = peers.codex.as_ref().filter(|_| asked.speaks_all())?;
    Some(Codex::make(program, asked.provider.addr))
}

/// Bytes of the first request of a new conversation's first prompt: what the model is told before it is told
/// anything.
pub(super) async fn first_request_bytes(peers: &Peers) -> Result<Vec<Row>> {
    let asked = Asked::open(peers, 0, Tool::Read).await?;
    let provider = &asked.provider;
    let lab = Lab::open(&provider.env()).await?;
    let project = lab.project().await?;
    new_session(&lab, &project).await?;
    provider.forget();
    prompt(&lab, &project, |_, _| {}).await?;
    let mut rows = vec![Row::new("first_request_bytes", "B", first(provider)?)];
    lab.close().await?;
    let mut pi = Beside::open("pi -p", pi_home(peers, provider));
    provider.forget();
    pi.round(true, async |home| {
        home.once(MESSAGE).await?;
        first(provider)
    })
    .await;
    rows.extend(pi.row("first_request_bytes", "B"));
    let mut codex = Beside::open("codex exec", codex(peers, &asked));
    provider.forget();
    codex
        .round(true, async |home| {
            home.once(MESSAGE).await?;
            first(provider)
        })
        .await;
    rows.extend(codex.row("first_request_bytes", "B"));
    Ok(rows)
}

fn first(provider: &Provider) -> Result<Vec<f64>> {
    let notes = provider.notes.lock().expect("no holder panics");
    let bytes = *notes.sizes.first().context("nothing was asked")?;
    Ok(vec![f64::from(u32::try_from(bytes)?)])
}
