//! Rows about the agent's loop: what it adds per turn, and what the way from the provider's socket
//! to a client adds per delta. Event log and sync are on, as always.

use super::{
    Row,
    agent::{Asked, Beside, new_session, pi, project, prompt},
    lab::Lab,
    peers::Peers,
    provider::{Play, Provider, Tool},
};
use anyhow::{Context, Result, bail};
use std::time::{Duration, Instant};

/// Turns per prompt, as in the peers' published figures.
const TURNS: usize = 20;
/// Deltas per answer.
const DELTAS: usize = 100;
/// Between deltas: slower than the way takes, so that each is measured alone.
const PAUSE: Duration = Duration::from_millis(5);
/// One prompt gives twenty samples. One in a hundred is to be told from the worst of all.
const PROMPTS: usize = 15;
/// One answer gives a hundred.
const ANSWERS: usize = 3;

/// From the last byte of a model's answer to the next request at the model, with a tool between: everything
/// that is ours. The tool of one row reads a small file; that of the other runs a program that does nothing,
/// as in the peers' published figures. Pi, if it is here, takes turns with ours, asks the same provider and
/// is measured at the same two moments.
pub(super) async fn loop_turn(rounds: usize, peers: &Peers) -> Result<Vec<Row>> {
    let mut rows = Vec::new();
    for tool in Tool::ALL {
        let name = match tool {
            Tool::Read => "loop_turn",
            Tool::Bash => "loop_turn (bash)",
        };
        rows.extend(turns_with(tool, name, rounds, peers).await?);
    }
    Ok(rows)
}

async fn turns_with(tool: Tool, name: &str, rounds: usize, peers: &Peers) -> Result<Vec<Row>> {
    let Asked { provider, .. } = &Asked::open(peers, TURNS, tool).await?;
    let lab = Lab::open(&provider.env()).await?;
    let project = project(&lab).await?;
    let mut beside = Beside::open("pi", pi(peers, provider).await);
    let mut ours = Vec::new();
    for n in 0..=rounds.div_ceil(TURNS).max(PROMPTS) {
        new_session(&lab, &project).await?;
        provider.forget();
        prompt(&lab, &project, |_, _| {}).await?;
        let gaps = gaps(provider)?;
        if n > 0 {
            ours.extend(gaps);
        }
        provider.forget();
        beside
            .round(n > 0, async |(pi, _)| {
                pi.prompt(true).await?;
                self::gaps(provider)
            })
            .await;
    }
    lab.close().await?;
    let mut rows = vec![Row::new(name, "ms", ours)];
    rows.extend(beside.row(name, "ms"));
    Ok(rows)
}

/// Milliseconds between each answer and the request after it.
fn gaps(provider: &Provider) -> Result<Vec<f64>> {
    let notes = provider.notes.lock().expect("no holder panics");
    if notes.asked.len() != TURNS + 1 {
        bail!("the loop asked {} times instead of {}", notes.asked.len(), TURNS + 1);
    }
    let gaps = notes.answered.iter().zip(&notes.asked[1..]);
    Ok(gaps.map(|(from, to)| to.duration_since(*from).as_secs_f64() * 1e3).collect())
}

/// From a delta's bytes leaving the provider to its event at a client of the server, stored on the
/// way by bridge and server.
pub(super) async fn relay_added(_rounds: usize) -> Result<Row> {
    let provider = Provider::start(Play::Deltas(DELTAS, PAUSE)).await?;
    let lab = Lab::open(&provider.env()).await?;
    let project = lab.project().await?;
    let mut samples = Vec::new();
    for n in 0..=ANSWERS {
        new_session(&lab, &project).await?;
        provider.forget();
        let mut arrived: Vec<Option<Instant>> = vec![None; DELTAS];
        prompt(&lab, &project, |data, now| {
            let number = data["delta"].as_str().and_then(|d| d.trim().strip_prefix('#'));
            if let Some(slot) =
                number.and_then(|d| d.parse::<usize>().ok()).and_then(|d| arrived.get_mut(d))
            {
                *slot = Some(now);
            }
        })
        .await?;
        let notes = provider.notes.lock().expect("no holder panics");
        for (sent, got) in notes.deltas.iter().zip(&arrived) {
            let got = got.context("a delta never arrived as an event of its own")?;
            if n > 0 {
                samples.push(got.duration_since(*sent).as_secs_f64() * 1e3);
            }
        }
    }
    lab.close().await?;
    Ok(Row::new("relay_added", "ms", samples))
}
