//! Rows about the agent: what the loop adds per turn, and what the way from the provider's socket
//! to a client adds per delta. Event log and sync are on, as always.

use super::{
    Row,
    lab::Lab,
    peers::{Peers, left_out, pi::Pi},
    provider::{Play, Provider},
};
use anyhow::{Context, Result, bail};
use http::Method;
use serde_json::json;
use std::time::{Duration, Instant};

/// Turns per prompt, as in the peers' published figures.
const TURNS: usize = 20;
/// Deltas per answer.
const DELTAS: usize = 100;
/// Between deltas: slower than the way takes, so that each is measured alone.
const PAUSE: Duration = Duration::from_millis(5);
/// The file that each turn reads; [`Play::Tools`] names it.
const FILE: &str = "bench.txt";
const FILE_TEXT: &str = "small\n";
/// One prompt gives twenty samples; three are plenty beside the warm-up.
const PROMPTS: usize = 3;

/// From the last byte of a model's answer to the next request at the model, with a tool between
/// that reads a small file: everything that is ours. Pi, if it is here, takes turns with ours,
/// asks the same provider and is measured at the same two moments.
pub(super) async fn loop_turn(rounds: usize, peers: &Peers) -> Result<Vec<Row>> {
    let provider = Provider::start(Play::Tools(TURNS)).await?;
    let lab = Lab::open(&provider.env()).await?;
    let project = lab.project().await?;
    let body = json!({"command": format!("printf '{FILE_TEXT}' > {FILE}")});
    lab.client.post(&format!("/v1/projects/{project}/exec"), &body).await?;
    let mut peer = None;
    if let Some(files) = &peers.pi {
        match Pi::open(files, provider.addr, (FILE, FILE_TEXT)).await {
            Ok(pi) => peer = Some(pi),
            Err(error) => left_out("pi", &error),
        }
    }
    let (mut ours, mut theirs) = (Vec::new(), Vec::new());
    let prompts = rounds.div_ceil(TURNS).max(PROMPTS) + 1;
    for n in 0..prompts {
        provider.forget();
        prompt(&lab, &project, |_, _| {}).await?;
        let gaps = gaps(&provider)?;
        if n > 0 {
            ours.extend(gaps);
        }
        let Some(pi) = &mut peer else { continue };
        provider.forget();
        match pi.prompt().await.and_then(|()| self::gaps(&provider)) {
            Ok(gaps) if n > 0 => theirs.extend(gaps),
            Ok(_) => {}
            Err(error) => {
                left_out("pi", &error);
                peer = None;
            }
        }
    }
    lab.close().await?;
    let mut rows = vec![Row::new("loop_turn", "ms", ours)];
    if peer.is_some() {
        rows.push(Row::new("loop_turn (peer: pi)", "ms", theirs));
    }
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
    for n in 0..=PROMPTS {
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

/// Prompts a new session and follows it to its end.
async fn prompt(
    lab: &Lab,
    project: &str,
    mut on_update: impl FnMut(&serde_json::Value, Instant),
) -> Result<()> {
    let base = format!("/v1/projects/{project}/toft");
    lab.client.post(&format!("{base}/sessions/new"), &json!({})).await?;
    let mut events = lab.client.stream(Method::GET, &format!("{base}/events"), None).await?;
    events.next().await?.context("the stream says hello")?;
    lab.client.post(&format!("{base}/prompt"), &json!({"message": "go"})).await?;
    while let Some(event) = events.next().await? {
        let now = Instant::now();
        match event.name.as_str() {
            "message_update" => on_update(&event.data, now),
            "agent_end" if event.data["reason"] == "done" => return Ok(()),
            "agent_end" => bail!("the prompt ended with {}", event.data),
            _ => {}
        }
    }
    bail!("the stream ended before the prompt did")
}
