//! How many deltas pass in a second: one answer of very many, as fast as it is taken, from the provider's
//! socket to a client's. Each is a line of the machine's log, a row of the server's copy and a frame at the
//! client, and all are there: the text is compared, and so is what is replayed from the copy.

use super::{
    Row,
    agent::{Beside, new_session, pi},
    lab::Lab,
    peers::Peers,
    provider::{Play, Provider, word},
    socket::{self, At},
};
use anyhow::{Context, Result, bail, ensure};
use serde_json::{Value, json};
use std::{
    io::Read as _,
    net::TcpStream,
    time::{Duration, Instant},
};
use tokio::sync::oneshot;

/// Of one answer. More than a second of them at what is wanted.
const DELTAS: usize = 100_000;
/// Pi takes ten times as long.
const PEER_DELTAS: usize = 10_000;
/// Answers that count, and one before them.
const ROUNDS_MAX: usize = 5;
/// Longest silence of a stream: a commit on a slow disk.
const SILENCE_MAX: Duration = Duration::from_secs(30);
/// Read at once.
const READ_BYTES: usize = 256 << 10;
/// The last event of a prompt.
const END: &[u8] = b"event: agent_end\n";

pub(super) async fn per_second(rounds: usize, peers: &Peers) -> Result<Vec<Row>> {
    let provider = Provider::start(Play::Flood(DELTAS)).await?;
    let slower = Provider::start(Play::Flood(PEER_DELTAS)).await?;
    let lab = Lab::open(&provider.env()).await?;
    let project = lab.project().await?;
    let mut beside = Beside::open("pi", pi(peers, &slower).await);
    let mut samples = Vec::new();
    for round in 0..=rounds.min(ROUNDS_MAX) {
        provider.forget();
        let took = flood(&lab, &project, &provider).await?;
        if round > 0 {
            samples.push(rate(DELTAS, took));
        }
        slower.forget();
        beside
            .round(round > 0, async |(pi, _)| {
                pi.prompt(true).await?;
                Ok(vec![rate(PEER_DELTAS, asked(&slower)?.elapsed())])
            })
            .await;
    }
    lab.close().await?;
    let mut rows = vec![Row::new("deltas_per_s", "1/s", samples)];
    rows.extend(beside.row("deltas_per_s", "1/s"));
    Ok(rows)
}

#[expect(clippy::cast_precision_loss, reason = "some hundred thousand")]
fn rate(count: usize, took: Duration) -> f64 {
    count as f64 / took.as_secs_f64()
}

/// When the provider had the request whole.
fn asked(provider: &Provider) -> Result<Instant> {
    let notes = provider.notes.lock().expect("no holder panics");
    notes.asked.first().copied().context("the provider was not asked")
}

/// From the request at the provider to the last delta at a client.
async fn flood(lab: &Lab, project: &str, provider: &Provider) -> Result<Duration> {
    let session = new_session(lab, project).await?;
    let base = format!("/v1/projects/{project}/toft");
    let (listens, listening) = oneshot::channel();
    let (at, path) = (At::of(&lab.data())?, format!("{base}/events"));
    let stream = tokio::task::spawn_blocking(move || listen(&at, &path, Some(listens)));
    if listening.await.is_ok() {
        lab.client.post(&format!("{base}/prompt"), &json!({"message": "go"})).await?;
    }
    let heard = stream.await??;
    let seen = Seen::of(&heard, &session)?;
    let took = heard.when(seen.last_end).duration_since(asked(provider)?);
    let wanted: String = (0..DELTAS).map(word).collect();
    ensure!(seen.deltas == DELTAS, "{} deltas came as frames of their own", seen.deltas);
    ensure!(seen.text == wanted, "the text that came is not the text that was sent");
    let (at, path) = (At::of(&lab.data())?, format!("{base}/events?after={}", seen.before));
    let replayed = tokio::task::spawn_blocking(move || listen(&at, &path, None)).await??;
    let replayed = Seen::of(&replayed, &session)?;
    ensure!(replayed.text == wanted, "the copy holds another text");
    let messages = lab.client.get(&format!("{base}/messages?sessionId={session}")).await?;
    let kept = messages["messages"].as_array().and_then(|all| all.last());
    let kept = kept.context("the conversation has an answer")?.to_string();
    ensure!(kept.contains(&wanted), "the conversation holds another text");
    Ok(took)
}

/// The bytes of a stream, and how many there were when.
struct Heard {
    bytes: Vec<u8>,
    marks: Vec<(usize, Instant)>,
}

impl Heard {
    /// When the byte before this place came.
    fn when(&self, place: usize) -> Instant {
        let later = self.marks.partition_point(|(end, _)| *end < place);
        self.marks[later.min(self.marks.len() - 1)].1
    }
}

/// Reads a stream of events to the end of a prompt, and judges nothing of it meanwhile.
fn listen(at: &At, path: &str, listens: Option<oneshot::Sender<()>>) -> Result<Heard> {
    let mut stream = TcpStream::connect(at.addr).context("connecting")?;
    stream.set_read_timeout(Some(SILENCE_MAX))?;
    let credential = format!("Bearer {}", at.token);
    let headers = [("authorization", &*credential), ("accept", "text/event-stream")];
    socket::ask(&mut stream, path, &headers)?;
    let mut heard = Heard { bytes: Vec::with_capacity(DELTAS * 256), marks: Vec::new() };
    let mut listens = listens;
    let mut piece = vec![0; READ_BYTES];
    loop {
        let read = stream.read(&mut piece).context("reading the stream")?;
        if read == 0 {
            bail!("the stream ended before the prompt did");
        }
        // What ends in this piece may have begun in the one before.
        let from = heard.bytes.len().saturating_sub(END.len());
        heard.bytes.extend_from_slice(&piece[..read]);
        heard.marks.push((heard.bytes.len(), Instant::now()));
        let new = &heard.bytes[from..];
        if let Some(hello) = listens.take_if(|_| find(new, b"event: hello").is_some()) {
            let _ = hello.send(());
        }
        if find(new, END).is_some() && heard.bytes.ends_with(b"\n\n\r\n") {
            return Ok(heard);
        }
    }
}

fn find(bytes: &[u8], wanted: &[u8]) -> Option<usize> {
    bytes.windows(wanted.len()).position(|window| window == wanted)
}

/// What a stream said.
struct Seen {
    /// The number of the event before all of them.
    before: u64,
    deltas: usize,
    text: String,
    /// Where the last delta's frame ends.
    last_end: usize,
}

impl Seen {
    /// Of one conversation.
    fn of(heard: &Heard, session: &str) -> Result<Self> {
        let mut seen = Self { before: 0, deltas: 0, text: String::new(), last_end: 0 };
        let mut at = 0;
        let bytes = &heard.bytes;
        while let Some(length) = bytes[at..].iter().position(|b| *b == b'\n') {
            let line = &bytes[at..at + length];
            at += length + 1;
            let Some(data) = line.strip_prefix(b"data: ") else { continue };
            let data: Value = serde_json::from_slice(data).context("a frame that is no event")?;
            if data["type"] == "hello" {
                seen.before = data["seq"].as_u64().unwrap_or(0);
            }
            if data["type"] == "text_delta" && data["sessionId"] == session {
                seen.deltas += 1;
                seen.text.push_str(data["delta"].as_str().unwrap_or_default());
                seen.last_end = at;
            }
        }
        Ok(seen)
    }
}
