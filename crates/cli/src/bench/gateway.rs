//! Rows about model calls: what the gateway adds to a streamed answer, and what many open ones take of
//! its memory. A program at a machine's door asks a provider on the loopback device, and asks the same
//! provider directly in the same round: what both ways have in common falls out.

use super::{
    Row,
    lab::ms,
    memory::resident_mib,
    outlet::{Outlet, TOKEN, blocking},
    provider::{Play, Provider},
    rows::WARM_UP,
};
use anyhow::{Context as _, Result, bail, ensure};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use serde_json::json;
use std::{
    io::{Read as _, Write as _},
    net::{SocketAddr, TcpStream},
    time::{Duration, Instant},
};
use toft_gateway::GatewayConfig;
use tokio::{sync::mpsc, task::JoinSet};

/// Deltas per answer.
const DELTAS: usize = 50;
/// Between deltas: slower than the way takes, so that each is measured alone.
const PAUSE: Duration = Duration::from_millis(3);
/// What a conversation has grown to after some turns with tools.
const REQUEST_BYTES: usize = 64 << 10;
/// Answers end by then.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(30);

/// Streams that are open at once, over so many machines: one may have 64.
const STREAMS: usize = 1_000;
const MACHINES: usize = 20;
/// Each of them goes on slowly meanwhile.
const STREAM_PAUSE: Duration = Duration::from_secs(1);
const STREAM_DELTAS: usize = 600;
/// Until all are open.
const OPEN_TIMEOUT: Duration = Duration::from_mins(2);
/// Time for allocators to settle.
const SETTLE: Duration = Duration::from_secs(3);
/// Client, provider and the bench's own.
const DESCRIPTORS: u64 = 4_096;

const MODEL: &str = "claude-3-5-haiku-latest";

/// First byte and deltas, in milliseconds more than directly.
pub(super) async fn added(rounds: usize, names: &[&str]) -> Result<Vec<Row>> {
    let provider = Provider::start(Play::Deltas(DELTAS, PAUSE)).await?;
    let outlet = Outlet::open(config(&provider)?).await?;
    let door = outlet.machine().await?.models;
    let mut through = Caller::open(door, "/llm/anthropic/v1/messages")?;
    let mut straight = Caller::open(provider.addr, "/v1/messages")?;
    let (mut first, mut first_direct) = (Vec::new(), Vec::new());
    let (mut deltas, mut deltas_direct) = (Vec::new(), Vec::new());
    for round in 0..rounds + WARM_UP {
        let (ours, direct);
        // Who comes second finds caches and clocks warmer.
        if round % 2 == 0 {
            (straight, direct) = ask(straight, &provider).await?;
            (through, ours) = ask(through, &provider).await?;
        } else {
            (through, ours) = ask(through, &provider).await?;
            (straight, direct) = ask(straight, &provider).await?;
        }
        if round < WARM_UP {
            continue;
        }
        first.push(ours.first_ms - direct.first_ms);
        first_direct.push(direct.first_ms);
        deltas
            .extend(ours.delta_ms.iter().zip(&direct.delta_ms).map(|(ours, direct)| ours - direct));
        deltas_direct.extend(direct.delta_ms);
    }
    outlet.close().await?;
    let mut rows = Vec::new();
    for (name, samples, direct) in
        [("gateway_first_byte", first, first_direct), ("gateway_delta", deltas, deltas_direct)]
    {
        if names.contains(&name) {
            rows.push(Row::new(name, "ms", samples));
            rows.push(Row::new(&format!("{name} (direct)"), "ms", direct));
        }
    }
    Ok(rows)
}

/// Resident memory of the gateway with a thousand open streams, and before.
pub(super) async fn memory() -> Result<Vec<Row>> {
    allow_descriptors();
    let provider = Provider::start(Play::Deltas(STREAM_DELTAS, STREAM_PAUSE)).await?;
    let outlet = Outlet::open(config(&provider)?).await?;
    let mut doors = Vec::new();
    for _ in 0..MACHINES {
        doors.push(outlet.machine().await?.models);
    }
    // What the first call of all takes for good is no stream's.
    let warm = Caller::open(doors[0], "/llm/anthropic/v1/messages")?;
    blocking(move || warm.begin().map(drop)).await?;
    tokio::time::sleep(SETTLE).await;
    let before = resident_mib(outlet.gateway.pid())?;
    let (began, mut opened) = mpsc::channel(STREAMS);
    let mut streams = JoinSet::new();
    for number in 0..STREAMS {
        let (door, began) = (doors[number % MACHINES], began.clone());
        streams.spawn(async move { hold(door, began).await });
    }
    drop(began);
    let all_open = async {
        for open in 0..STREAMS {
            if opened.recv().await.is_none() {
                let why = streams.join_next().await.context("a stream was begun")??;
                bail!("only {open} streams are open: {:?}", why.err());
            }
        }
        Ok(())
    };
    tokio::time::timeout(OPEN_TIMEOUT, all_open).await.context("the streams did not open")??;
    tokio::time::sleep(SETTLE).await;
    let with = resident_mib(outlet.gateway.pid())?;
    if let Some(ended) = streams.try_join_next() {
        bail!("a stream ended early: {:?}", ended?.err());
    }
    streams.shutdown().await;
    outlet.close().await?;
    Ok(vec![
        Row::new("gateway_rss_1000", "MiB", vec![with]),
        Row::new("gateway_rss_1000 (none open)", "MiB", vec![before]),
    ])
}

fn config(provider: &Provider) -> Result<GatewayConfig> {
    let base_url = format!("http://{}", provider.addr);
    let provider = json!({"id": "anthropic", "key": "sk-bench", "base_url": base_url});
    serde_json::from_value(json!({"providers": [provider]})).context("configuring the gateway")
}

/// A request for a streamed answer, whole.
fn request(path: &str) -> Vec<u8> {
    let said = "word ".repeat(REQUEST_BYTES / 5);
    let body = json!({"model": MODEL, "max_tokens": 1024, "stream": true,
        "messages": [{"role": "user", "content": said}]})
    .to_string();
    format!(
        "POST {path} HTTP/1.1\r\nhost: gateway.internal\r\nx-api-key: {TOKEN}\r\n\
         anthropic-version: 2023-06-01\r\ncontent-type: application/json\r\n\
         content-length: {}\r\n\r\n{body}",
        body.len()
    )
    .into_bytes()
}

/// What a caller saw of one answer.
struct Seen {
    /// From the request's first byte to the answer's.
    first_ms: f64,
    /// When each delta was there.
    deltas: Vec<Instant>,
}

/// The same, with each delta's way in milliseconds.
struct Measured {
    first_ms: f64,
    delta_ms: Vec<f64>,
}

/// One answer, and the caller for the next.
async fn ask(mut caller: Caller, provider: &Provider) -> Result<(Caller, Measured)> {
    provider.forget();
    let (caller, seen) = blocking(move || {
        let seen = caller.answer()?;
        Ok((caller, seen))
    })
    .await?;
    let notes = provider.notes.lock().expect("no holder panics");
    ensure!(notes.deltas.len() == DELTAS, "the provider was asked more than once");
    let way = |(sent, got): (&Instant, &Instant)| got.duration_since(*sent).as_secs_f64() * 1e3;
    let delta_ms = notes.deltas.iter().zip(&seen.deltas).map(way).collect();
    Ok((caller, Measured { first_ms: seen.first_ms, delta_ms }))
}

/// A program's connection, which it keeps. Blocks, so that no runtime of ours is measured.
struct Caller {
    stream: TcpStream,
    request: Vec<u8>,
}

impl Caller {
    fn open(to: SocketAddr, path: &str) -> Result<Self> {
        let stream = TcpStream::connect(to)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(ANSWER_TIMEOUT))?;
        Ok(Self { stream, request: request(path) })
    }

    /// Asks, and reads up to the answer's first byte.
    fn begin(mut self) -> Result<Self> {
        self.first().map(|_| self)
    }

    /// When it asked, when the first byte of the answer's body came, and all that did until then.
    fn first(&mut self) -> Result<(f64, Vec<u8>)> {
        let began = Instant::now();
        self.stream.write_all(&self.request)?;
        let mut got = Vec::new();
        loop {
            self.more(&mut got)?;
            if find(&got, b"\r\n\r\n").is_some_and(|head| head + 4 < got.len()) {
                let took = ms(began);
                ensure!(got.starts_with(b"HTTP/1.1 200"), "{}", String::from_utf8_lossy(&got));
                return Ok((took, got));
            }
        }
    }

    fn answer(&mut self) -> Result<Seen> {
        let (first_ms, mut got) = self.first()?;
        let mut deltas = Vec::with_capacity(DELTAS);
        let mut now = Instant::now();
        let mut at = 0;
        loop {
            while let Some(found) = find(&got[at..], format!("\"#{} \"", deltas.len()).as_bytes()) {
                at += found;
                deltas.push(now);
            }
            if got.ends_with(b"\r\n0\r\n\r\n") {
                ensure!(deltas.len() == DELTAS, "{} deltas came", deltas.len());
                return Ok(Seen { first_ms, deltas });
            }
            self.more(&mut got)?;
            now = Instant::now();
        }
    }

    fn more(&mut self, got: &mut Vec<u8>) -> Result<()> {
        let mut piece = [0; 16 << 10];
        let n = self.stream.read(&mut piece)?;
        ensure!(n > 0, "the answer broke off");
        got.extend_from_slice(&piece[..n]);
        Ok(())
    }
}

fn find(text: &[u8], wanted: &[u8]) -> Option<usize> {
    text.windows(wanted.len()).position(|window| window == wanted)
}

/// Opens a stream, says so, and reads it until it is aborted.
async fn hold(door: SocketAddr, began: mpsc::Sender<()>) -> Result<()> {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    let mut stream = tokio::net::TcpStream::connect(door).await?;
    stream.write_all(&request("/llm/anthropic/v1/messages")).await?;
    let (mut piece, mut got) = ([0; 4 << 10], Vec::new());
    let mut is_open = false;
    loop {
        let n = stream.read(&mut piece).await?;
        ensure!(n > 0, "the answer broke off: {}", String::from_utf8_lossy(&got));
        if is_open {
            continue;
        }
        got.extend_from_slice(&piece[..n]);
        let text = String::from_utf8_lossy(&got);
        let is_whole = text.contains("\r\n\r\n");
        ensure!(!is_whole || text.starts_with("HTTP/1.1 200"), "{text}");
        if text.contains("#0 ") {
            is_open = true;
            began.send(()).await?;
        }
    }
}

/// As many open files as that takes, if the host lets us.
fn allow_descriptors() {
    let limit = getrlimit(Resource::Nofile);
    let wanted = limit.maximum.map_or(DESCRIPTORS, |most| most.min(DESCRIPTORS));
    if limit.current.is_some_and(|current| current < wanted) {
        // Where it is not allowed the streams say so.
        let _ = setrlimit(Resource::Nofile, Rlimit { current: Some(wanted), ..limit });
    }
}
