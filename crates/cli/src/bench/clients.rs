//! Clients in processes of their own, so that what they take is not the server's: many requests over a few
//! connections, and many connections that follow a run. The processes are this program, which reads an order from
//! its standard input and says on its standard output what it saw.

use super::{child::Ends, lab::Lab, socket::At};
use anyhow::{Context as _, Result, bail, ensure};
use rustix::time::{ClockId, clock_gettime};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use serde_json::json;
use std::{net::SocketAddr, process::Stdio, time::Duration};
use tokio::{
    io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader},
    net::TcpStream,
    process::{ChildStdout, Command},
    sync::Semaphore,
    task::JoinSet,
};

/// The first argument of such a process.
pub(crate) const PART: &str = "__clients";
/// Processes: as many as this machine has processors for them.
pub(super) const PROCESSES: usize = 2;
/// How long a client waits for anything.
const SILENCE_MAX: Duration = Duration::from_mins(1);
/// Connections that are made at once.
const CONNECTING: usize = 64;
/// Descriptors of a process beside its connections.
const OTHER_FILES: usize = 64;
/// Before the number of a delta, as the bench's provider numbers them.
const MARK: &[u8] = b"\"token\":\"#";
/// Said once all follow.
const READY: &str = "ready";

/// What a process does.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) enum Act {
    /// Asks for runs of these projects in turn, so many over each connection, one after the other.
    Accept { connections: usize, requests: usize, projects: Vec<String> },
    /// Follows a stream over each connection, until it has told so many numbered deltas.
    Follow { connections: usize, path: String, deltas: usize },
}

#[derive(Debug, Serialize, Deserialize)]
struct Order {
    addr: SocketAddr,
    token: String,
    act: Act,
}

/// What came of [`Act::Accept`].
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Accepted {
    pub(super) began_ns: u64,
    pub(super) ended_ns: u64,
    /// Microseconds of each request.
    pub(super) took_us: Vec<u64>,
}

/// What came of [`Act::Follow`].
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Heard {
    /// When each connection had each delta, by the delta's number.
    pub(super) at_ns: Vec<Vec<u64>>,
}

/// Nanoseconds by a clock that all processes of this machine share.
pub(super) fn now_ns() -> u64 {
    let now = clock_gettime(ClockId::Monotonic);
    let whole = u64::try_from(now.tv_sec).unwrap_or(0) * 1_000_000_000;
    whole + u64::try_from(now.tv_nsec).unwrap_or(0)
}

/// A process of clients that runs.
pub(super) struct Clients {
    /// Ended with this.
    _process: Ends,
    said: BufReader<ChildStdout>,
}

impl Clients {
    pub(super) async fn start(lab: &Lab, act: Act) -> Result<Self> {
        let At { addr, token } = At::of(&lab.data())?;
        let order = json!(Order { addr, token, act }).to_string();
        let exe = std::env::current_exe().context("finding this program")?;
        let mut child = Command::new(exe)
            .arg(PART)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .context("starting clients")?;
        let mut stdin = child.stdin.take().context("standard input is piped")?;
        let stdout = child.stdout.take().context("standard output is piped")?;
        let process = Ends(child);
        stdin.write_all(order.as_bytes()).await.context("ordering clients")?;
        drop(stdin);
        Ok(Self { _process: process, said: BufReader::new(stdout) })
    }

    /// Waits until all of them follow.
    pub(super) async fn ready(&mut self) -> Result<()> {
        let mut line = String::new();
        self.said.read_line(&mut line).await?;
        ensure!(line.trim() == READY, "clients could not follow");
        Ok(())
    }

    pub(super) async fn done<T: DeserializeOwned>(mut self) -> Result<T> {
        let mut text = String::new();
        self.said.read_to_string(&mut text).await?;
        ensure!(!text.trim().is_empty(), "clients ended without a word");
        Ok(serde_json::from_str(&text)?)
    }
}

/// Such a process.
pub(crate) fn main() -> Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let mut text = String::new();
        tokio::io::stdin().read_to_string(&mut text).await?;
        let order: Order = serde_json::from_str(&text).context("an order")?;
        let said = match order.act.clone() {
            Act::Accept { connections, requests, projects } => {
                json!(accept(&order, connections, requests, &projects).await?)
            }
            Act::Follow { connections, path, deltas } => {
                json!(follow(&order, connections, &path, deltas).await?)
            }
        };
        crate::output::line(&said.to_string());
        Ok(())
    })
}

async fn connect(order: &Order) -> Result<TcpStream> {
    let stream = TcpStream::connect(order.addr).await.context("connecting")?;
    stream.set_nodelay(true)?;
    Ok(stream)
}

async fn accept(
    order: &Order,
    connections: usize,
    requests: usize,
    projects: &[String],
) -> Result<Accepted> {
    let mut open = Vec::new();
    for _ in 0..connections {
        open.push(connect(order).await?);
    }
    let mut all = JoinSet::new();
    let began_ns = now_ns();
    for (number, mut stream) in open.into_iter().enumerate() {
        let (token, projects) = (order.token.clone(), projects.to_vec());
        all.spawn(async move {
            let mut took_us = Vec::with_capacity(requests);
            let mut answer = Vec::new();
            for n in 0..requests {
                let project = &projects[(number + n) % projects.len()];
                let request = run_request(project, &token, "");
                let began = now_ns();
                stream.write_all(&request).await?;
                whole(&mut stream, &mut answer).await?;
                took_us.push((now_ns() - began) / 1_000);
            }
            anyhow::Ok(took_us)
        });
    }
    let mut took_us = Vec::new();
    while let Some(done) = all.join_next().await {
        took_us.extend(done??);
    }
    Ok(Accepted { began_ns, ended_ns: now_ns(), took_us })
}

/// A request for a run, whole; `more` is put into its body.
pub(super) fn run_request(project: &str, token: &str, more: &str) -> Vec<u8> {
    let body = format!("{{\"prompt\":\"Add a dark mode toggle\"{more}}}");
    let key = toft_model::id::random_hex(12);
    format!(
        "POST /v1/projects/{project}/runs HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer {token}\r\n\
         content-type: application/json\r\nidempotency-key: {key}\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    )
    .into_bytes()
}

/// Reads one answer of success whose length is told.
async fn whole(stream: &mut TcpStream, answer: &mut Vec<u8>) -> Result<()> {
    answer.clear();
    loop {
        let read = tokio::time::timeout(SILENCE_MAX, stream.read_buf(answer)).await??;
        ensure!(read > 0, "the server closed a connection");
        let Some(head) = find(answer, b"\r\n\r\n") else { continue };
        let told = String::from_utf8_lossy(&answer[..head]).to_ascii_lowercase();
        ensure!(told.starts_with("http/1.1 200"), "{}", String::from_utf8_lossy(answer));
        let length = told.lines().find_map(|line| line.strip_prefix("content-length:"));
        let length: usize = length.context("a length")?.trim().parse()?;
        if answer.len() >= head + 4 + length {
            return Ok(());
        }
    }
}

fn find(bytes: &[u8], wanted: &[u8]) -> Option<usize> {
    bytes.windows(wanted.len()).position(|window| window == wanted)
}

async fn follow(order: &Order, connections: usize, path: &str, deltas: usize) -> Result<Heard> {
    let wanted = u64::try_from(connections + OTHER_FILES)?;
    if toft_jail::open_files::raise(wanted) < wanted {
        bail!("a process may have too few files open here: {wanted} are wanted (ulimit -n)");
    }
    let request = format!(
        "GET {path} HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer {}\r\n\r\n",
        order.token
    );
    let turns = Semaphore::new(CONNECTING);
    let opening = (0..connections).map(|_| async {
        let _turn = turns.acquire().await?;
        let mut stream = connect(order).await?;
        stream.write_all(request.as_bytes()).await?;
        let mut answer = Vec::new();
        while find(&answer, b"retry:").is_none() {
            let read = tokio::time::timeout(SILENCE_MAX, stream.read_buf(&mut answer)).await??;
            ensure!(read > 0, "a stream ended at once");
            ensure!(answer.starts_with(b"HTTP/1.1 200"), "{}", String::from_utf8_lossy(&answer));
        }
        Ok(stream)
    });
    let open = futures_util::future::try_join_all(opening).await?;
    crate::output::line(READY);
    let mut all = JoinSet::new();
    for stream in open {
        all.spawn(listen(stream, deltas));
    }
    let mut at_ns = vec![Vec::with_capacity(connections); deltas];
    // They leave together: a crowd that leaves is not what is measured.
    let mut open = Vec::with_capacity(connections);
    while let Some(done) = all.join_next().await {
        let (stream, heard) = done??;
        open.push(stream);
        for (number, at) in heard.into_iter().enumerate() {
            at_ns[number].push(at);
        }
    }
    Ok(Heard { at_ns })
}

/// When each of the deltas was there.
async fn listen(mut stream: TcpStream, deltas: usize) -> Result<(TcpStream, Vec<u64>)> {
    let mut heard = Vec::with_capacity(deltas);
    let mut bytes = Vec::with_capacity(4 << 10);
    while heard.len() < deltas {
        let read = tokio::time::timeout(SILENCE_MAX, stream.read_buf(&mut bytes)).await??;
        ensure!(read > 0, "a stream ended after {} deltas", heard.len());
        let now = now_ns();
        let mut at = 0;
        while heard.len() < deltas {
            let mark = [MARK, heard.len().to_string().as_bytes(), b" "].concat();
            let Some(found) = find(&bytes[at..], &mark) else { break };
            at += found + mark.len();
            heard.push(now);
        }
        // A mark may be cut in two.
        let kept = at.max(bytes.len().saturating_sub(MARK.len() + 16));
        bytes.drain(..kept);
    }
    Ok((stream, heard))
}
