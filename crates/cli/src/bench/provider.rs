//! A model provider for measuring: Anthropic messages on loopback, answers prepared, every moment
//! noted. Or one that passes on to another and notes the same. Not a double for tests: it judges nothing.

use anyhow::{Context, Result};
use bytes::Bytes;
use http::{HeaderValue, Method, Request, Response, StatusCode, header};
use http_body_util::{BodyExt as _, Full, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::{TokioExecutor, TokioIo},
};
use serde_json::{Value, json};
use std::{
    convert::Infallible,
    net::SocketAddr,
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};
use tokio::{net::TcpListener, sync::mpsc};

/// What it does.
#[derive(Debug, Clone, Copy)]
pub(super) enum Play {
    /// So many turns that each use a tool, then an end.
    Tools(usize, Tool),
    /// One answer of so many deltas, one every so often.
    Deltas(usize, Duration),
    /// One answer of so many deltas, as fast as they are taken.
    Flood(usize),
    /// Another answers; what it takes itself lies between the moments that are noted.
    Pass(SocketAddr),
}

/// The tool of a turn. Arguments differ, so that no loop is taken for one that goes round in circles.
#[derive(Debug, Clone, Copy)]
pub(super) enum Tool {
    /// Reads [`FILE`].
    Read,
    /// Runs a program that does nothing.
    Bash,
}

/// The file that is read.
pub(super) const FILE: &str = "bench.txt";
/// What is in it.
pub(super) const FILE_TEXT: &str = "small\n";

impl Tool {
    pub(super) const ALL: [Self; 2] = [Self::Read, Self::Bash];

    /// As the model calls it.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Bash => "bash",
        }
    }

    /// Its arguments in this turn.
    pub(super) fn arguments(self, turn: usize) -> String {
        match self {
            Self::Read => json!({"path": FILE, "limit": turn + 1}).to_string(),
            Self::Bash => json!({"command": format!("true {turn}")}).to_string(),
        }
    }
}

/// What was noted.
#[derive(Debug, Default)]
pub(super) struct Notes {
    /// When each request with a body was whole.
    pub(super) asked: Vec<Instant>,
    /// Bytes of their bodies.
    pub(super) sizes: Vec<usize>,
    /// When the last byte of each answer was handed over.
    pub(super) answered: Vec<Instant>,
    /// When each delta was handed over, by its number.
    pub(super) deltas: Vec<Instant>,
}

/// A running provider; ends with its task.
pub(super) struct Provider {
    pub(super) addr: SocketAddr,
    pub(super) notes: Arc<Mutex<Notes>>,
    task: tokio::task::JoinHandle<()>,
}

struct Shared {
    play: Play,
    notes: Arc<Mutex<Notes>>,
    /// Frames of [`Play::Flood`], made before the clock runs.
    flood: Vec<Bytes>,
    upstream: Client<HttpConnector, Full<Bytes>>,
}

/// Frames on their way to a connection: the sender waits for the socket, not for a list.
const FRAMES_QUEUED_MAX: usize = 1;
/// A provider's socket buffer holds about as much.
const PIECE_BYTES: usize = 64 << 10;

impl Provider {
    pub(super) async fn start(play: Play) -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await.context("opening a port")?;
        let addr = listener.local_addr()?;
        let notes = Arc::new(Mutex::new(Notes::default()));
        let shared = Arc::new(Shared {
            play,
            notes: Arc::clone(&notes),
            flood: match play {
                Play::Flood(count) => pieces(count),
                Play::Tools(..) | Play::Deltas(..) | Play::Pass(_) => Vec::new(),
            },
            upstream: Client::builder(TokioExecutor::new()).build_http(),
        });
        let task = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let _ = stream.set_nodelay(true);
                let shared = Arc::clone(&shared);
                tokio::spawn(async move {
                    let service = hyper::service::service_fn(move |request| {
                        answer(request, Arc::clone(&shared))
                    });
                    let _ = hyper::server::conn::http1::Builder::new()
                        .serve_connection(TokioIo::new(stream), service)
                        .await;
                });
            }
        });
        Ok(Self { addr, notes, task })
    }

    /// Clears the notes.
    pub(super) fn forget(&self) {
        *self.notes.lock().expect("no holder panics") = Notes::default();
    }

    /// Environment that points a server at it.
    pub(super) fn env(&self) -> Vec<(String, String)> {
        vec![
            ("ANTHROPIC_API_KEY".into(), "sk-bench".into()),
            ("ANTHROPIC_BASE_URL".into(), format!("http://{}", self.addr)),
        ]
    }
}

impl Drop for Provider {
    fn drop(&mut self) {
        self.task.abort();
    }
}

type Body = StreamBody<tokio_stream_of::Frames>;

mod tokio_stream_of {
    //! A stream over a channel, without one more dependency.

    use super::{Bytes, Frame, Infallible, mpsc};
    use std::{
        pin::Pin,
        task::{Context, Poll},
    };

    pub(super) struct Frames(pub(super) mpsc::Receiver<Bytes>);

    impl futures_util::Stream for Frames {
        type Item = Result<Frame<Bytes>, Infallible>;
        fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
            self.0.poll_recv(cx).map(|bytes| bytes.map(Frame::data).map(Ok))
        }
    }
}

async fn answer(
    request: Request<Incoming>,
    shared: Arc<Shared>,
) -> Result<Response<Body>, Infallible> {
    let (head, body) = request.into_parts();
    let bytes = body.collect().await.map(http_body_util::Collected::to_bytes).unwrap_or_default();
    if head.method == Method::POST {
        let mut notes = shared.notes.lock().expect("no holder panics");
        notes.asked.push(Instant::now());
        notes.sizes.push(bytes.len());
    }
    let (tx, rx) = mpsc::channel(FRAMES_QUEUED_MAX);
    let mut response = Response::new(StreamBody::new(tokio_stream_of::Frames(rx)));
    if let Play::Pass(to) = shared.play {
        match pass(&shared, head, bytes, to).await {
            Ok((status, kind, body)) => {
                *response.status_mut() = status;
                if let Some(kind) = kind {
                    response.headers_mut().insert(header::CONTENT_TYPE, kind);
                }
                tokio::spawn(async move { relay(&tx, body, &shared.notes).await });
            }
            Err(_) => *response.status_mut() = StatusCode::BAD_GATEWAY,
        }
        return Ok(response);
    }
    let kind = HeaderValue::from_static("text/event-stream");
    response.headers_mut().insert(header::CONTENT_TYPE, kind);
    tokio::spawn(async move {
        let sent = match shared.play {
            Play::Tools(turns, tool) => tools(&tx, turns, tool, &bytes).await,
            Play::Deltas(count, pause) => deltas(&tx, count, pause, &shared.notes).await,
            Play::Flood(_) => flood(&tx, &shared.flood).await,
            Play::Pass(_) => unreachable!("passed on above"),
        };
        if sent.is_some() {
            shared.notes.lock().expect("no holder panics").answered.push(Instant::now());
        }
    });
    Ok(response)
}

/// Asks the other one; what its answer begins with.
async fn pass(
    shared: &Shared,
    mut head: http::request::Parts,
    body: Bytes,
    to: SocketAddr,
) -> Result<(StatusCode, Option<HeaderValue>, Incoming)> {
    let path = head.uri.path_and_query().map_or("/", http::uri::PathAndQuery::as_str);
    head.uri = format!("http://{to}{path}").parse().context("a path of a request")?;
    for hop in [header::HOST, header::CONNECTION, header::TRANSFER_ENCODING] {
        head.headers.remove(hop);
    }
    let request = Request::from_parts(head, Full::new(body));
    let answer = shared.upstream.request(request).await.context("asking the other provider")?;
    let (head, body) = answer.into_parts();
    Ok((head.status, head.headers.get(header::CONTENT_TYPE).cloned(), body))
}

async fn relay(tx: &mpsc::Sender<Bytes>, mut body: Incoming, notes: &Mutex<Notes>) {
    let mut last = Instant::now();
    while let Some(Ok(frame)) = body.frame().await {
        let Ok(bytes) = frame.into_data() else { continue };
        if tx.send(bytes).await.is_err() {
            return;
        }
        last = Instant::now();
    }
    notes.lock().expect("no holder panics").answered.push(last);
}

fn calls_in(body: &[u8]) -> usize {
    let body: Value = serde_json::from_slice(body).unwrap_or_default();
    let messages = body["messages"].as_array().map(Vec::as_slice).unwrap_or_default();
    // Since the last thing that a person said, which holds no result.
    let is_prompt = |m: &Value| {
        let parts = m["content"].as_array().map(Vec::as_slice).unwrap_or_default();
        m["role"] == "user" && parts.iter().all(|part| part["type"] != "tool_result")
    };
    messages.iter().rev().take_while(|m| !is_prompt(m)).filter(|m| m["role"] == "assistant").count()
}

async fn tools(tx: &mpsc::Sender<Bytes>, turns: usize, tool: Tool, body: &[u8]) -> Option<()> {
    let done = calls_in(body);
    let mut frames = vec![start()];
    if done < turns {
        let id = format!("toolu_{}", toft_model::id::random_hex(6));
        frames.push(event(&json!({"type":"content_block_start","index":0,"content_block":
            {"type":"tool_use","id":id,"name":tool.name(),"input":{}}})));
        frames.push(event(&json!({"type":"content_block_delta","index":0,"delta":
            {"type":"input_json_delta","partial_json":tool.arguments(done)}})));
        frames.push(event(&json!({"type":"content_block_stop","index":0})));
        frames.push(end("tool_use"));
    } else {
        frames.push(text_start());
        frames.push(text("done"));
        frames.push(event(&json!({"type":"content_block_stop","index":0})));
        frames.push(end("end_turn"));
    }
    frames.push(event(&json!({"type":"message_stop"})));
    tx.send(Bytes::from(frames.concat())).await.ok()
}

async fn deltas(
    tx: &mpsc::Sender<Bytes>,
    count: usize,
    pause: Duration,
    notes: &Mutex<Notes>,
) -> Option<()> {
    tx.send(Bytes::from(start() + &text_start())).await.ok()?;
    for n in 0..count {
        tokio::time::sleep(pause).await;
        let frame = Bytes::from(text(&format!("#{n} ")));
        notes.lock().expect("no holder panics").deltas.push(Instant::now());
        tx.send(frame).await.ok()?;
    }
    tx.send(Bytes::from(rest())).await.ok()
}

/// Text of a delta of [`Play::Flood`]: as long as words are, and no two the same.
pub(super) fn word(number: usize) -> String {
    format!("w{number} ")
}

fn pieces(count: usize) -> Vec<Bytes> {
    let mut pieces = Vec::new();
    let mut piece = start() + &text_start();
    for number in 0..count {
        piece.push_str(&text(&word(number)));
        if piece.len() >= PIECE_BYTES {
            pieces.push(Bytes::from(std::mem::take(&mut piece)));
        }
    }
    piece.push_str(&rest());
    pieces.push(Bytes::from(piece));
    pieces
}

async fn flood(tx: &mpsc::Sender<Bytes>, pieces: &[Bytes]) -> Option<()> {
    for piece in pieces {
        tx.send(piece.clone()).await.ok()?;
    }
    Some(())
}

fn event(data: &Value) -> String {
    format!("event: {}\ndata: {data}\n\n", data["type"].as_str().unwrap_or_default())
}

fn start() -> String {
    event(&json!({"type":"message_start","message":{"id":"msg_b","type":"message",
        "role":"assistant","model":"bench","content":[],"stop_reason":null,
        "usage":{"input_tokens":1,"output_tokens":1}}}))
}

fn text_start() -> String {
    event(
        &json!({"type":"content_block_start","index":0,"content_block":{"type":"text","text":""}}),
    )
}

fn text(delta: &str) -> String {
    event(&json!({"type":"content_block_delta","index":0,
        "delta":{"type":"text_delta","text":delta}}))
}

/// What follows the last delta.
fn rest() -> String {
    let last = event(&json!({"type":"content_block_stop","index":0}));
    last + &end("end_turn") + &event(&json!({"type":"message_stop"}))
}

fn end(reason: &str) -> String {
    event(&json!({"type":"message_delta","delta":{"stop_reason":reason,"stop_sequence":null},
        "usage":{"output_tokens":9}}))
}
