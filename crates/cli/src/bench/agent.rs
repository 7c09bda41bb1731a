//! What rows about the agent share: a provider for all who ask, prompts, and rounds of peers.

use super::{
    Row,
    lab::Lab,
    peers::{
        Peers, left_out,
        npm::Aimock,
        pi::{Pi, PiHome},
    },
    provider::{FILE, FILE_TEXT, Play, Provider, Tool},
};
use anyhow::{Context, Result, bail};
use http::Method;
use serde_json::{Value, json};
use std::time::Instant;

/// aimock behind a provider that notes the moments, or the bench's own answers where it is not installed.
pub(super) struct Asked {
    pub(super) provider: Provider,
    aimock: Option<Aimock>,
}

impl Asked {
    pub(super) async fn open(peers: &Peers, turns: usize, tool: Tool) -> Result<Self> {
        if let Some(program) = &peers.aimock {
            match Aimock::open(program, turns, tool).await {
                Ok(aimock) => {
                    let provider = Provider::start(Play::Pass(aimock.addr)).await?;
                    return Ok(Self { provider, aimock: Some(aimock) });
                }
                Err(error) => left_out("aimock", &error),
            }
        }
        let provider = Provider::start(Play::Tools(turns, tool)).await?;
        Ok(Self { provider, aimock: None })
    }

    /// Whether it speaks all formats.
    pub(super) fn speaks_all(&self) -> bool {
        self.aimock.is_some()
    }
}

/// A project whose work folder has the file that turns read.
pub(super) async fn project(lab: &Lab) -> Result<String> {
    let project = lab.project().await?;
    let body = json!({"command": format!("printf '{FILE_TEXT}' > {FILE}")});
    lab.client.post(&format!("/v1/projects/{project}/exec"), &body).await?;
    Ok(project)
}

/// Makes a session, which is the current one from then on.
pub(super) async fn new_session(lab: &Lab, project: &str) -> Result<String> {
    let path = format!("/v1/projects/{project}/toft/sessions/new");
    let made = lab.client.post(&path, &json!({})).await?;
    Ok(made["sessionId"].as_str().context("a session has an id")?.to_owned())
}

/// Prompts the current session and follows it to its end.
pub(super) async fn prompt(
    lab: &Lab,
    project: &str,
    mut on_update: impl FnMut(&Value, Instant),
) -> Result<()> {
    let base = format!("/v1/projects/{project}/toft");
    let mut events = lab.client.stream(Method::GET, &format!("{base}/events"), None).await?;
    events.next().await?.context("the stream says hello")?;
    lab.client.post(&format!("{base}/prompt"), &json!({"message": "go"})).await?;
    while let Some(event) = events.next().await? {
        let now = Instant::now();
        match event.name.as_str() {
            "message_update" => on_update(&event.data, now),
            "question" => bail!("the prompt asks {}", event.data),
            "agent_end" if event.data["reason"] == "done" => return Ok(()),
            "agent_end" => bail!("the prompt ended with {}", event.data),
            _ => {}
        }
    }
    bail!("the stream ended before the prompt did")
}

/// A peer that takes turns with ours; one that fails takes no further part.
pub(super) struct Beside<P> {
    name: &'static str,
    peer: Option<P>,
    samples: Vec<f64>,
}

impl<P> Beside<P> {
    pub(super) fn open(name: &'static str, peer: Option<Result<P>>) -> Self {
        let peer = match peer {
            Some(Ok(peer)) => Some(peer),
            Some(Err(error)) => {
                left_out(name, &error);
                None
            }
            None => None,
        };
        Self { name, peer, samples: Vec::new() }
    }

    /// One round of it.
    pub(super) async fn round(
        &mut self,
        counted: bool,
        measure: impl AsyncFnOnce(&mut P) -> Result<Vec<f64>>,
    ) {
        let Some(peer) = &mut self.peer else { return };
        match measure(peer).await {
            Ok(samples) if counted => self.samples.extend(samples),
            Ok(_) => {}
            Err(error) => {
                left_out(self.name, &error);
                self.peer = None;
            }
        }
    }

    /// What it measured, if it did to the end.
    pub(super) fn row(self, row: &str, unit: &'static str) -> Option<Row> {
        (self.peer.is_some() && !self.samples.is_empty())
            .then(|| Row::new(&format!("{row} (peer: {})", self.name), unit, self.samples))
    }
}

/// Pi with a home that asks this provider.
pub(super) fn pi_home(peers: &Peers, provider: &Provider) -> Option<Result<PiHome>> {
    let program = peers.pi.as_ref()?;
    Some(PiHome::make(program, provider.addr, (FILE, FILE_TEXT)))
}

/// A Pi that runs, with its home.
pub(super) async fn pi(peers: &Peers, provider: &Provider) -> Option<Result<(Pi, PiHome)>> {
    let home = match pi_home(peers, provider)? {
        Ok(home) => home,
        Err(error) => return Some(Err(error)),
    };
    Some(Pi::open(&home).await.map(|pi| (pi, home)))
}
