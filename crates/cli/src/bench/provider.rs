//! A model provider for measuring: Anthropic messages on loopback, answers prepared, every moment
//! noted. Not a double for tests: it judges nothing.

use anyhow::{Context, Result};
use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt as _, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper_util::rt::TokioIo;
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
    /// So many turns that each read a file, then an end.
    Tools(usize),
    /// One answer of so many deltas, one every so often.
    Deltas(usize, Duration),
}

/// What was noted.
#[derive(Debug, Default)]
pub(super) struct Notes {
    /// When each request was whole.
    pub(super) asked: Vec<Instant>,
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

/// Frames on their way to a connection: the sender waits for the socket, not for a list.
const FRAMES_QUEUED_MAX: usize = 1;

impl Provider {
    pub(super) async fn start(play: Play) -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await.context("opening a port")?;
        let addr = listener.local_addr()?;
        let notes = Arc::new(Mutex::new(Notes::default()));
        let shared = notes.clone();
        let task = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let _ = stream.set_nodelay(true);
                let shared = shared.clone();
                tokio::spawn(async move {
                    let service = hyper::service::service_fn(move |request| {
                        answer(request, play, shared.clone())
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
    play: Play,
    notes: Arc<Mutex<Notes>>,
) -> Result<Response<Body>, Infallible> {
    let bytes = request.into_body().collect().await.map(http_body_util::Collected::to_bytes);
    let bytes = bytes.unwrap_or_default();
    let asked = Instant::now();
    let body: Value = serde_json::from_slice(&bytes).unwrap_or_default();
    notes.lock().expect("no holder panics").asked.push(asked);
    let (tx, rx) = mpsc::channel(FRAMES_QUEUED_MAX);
    tokio::spawn(async move {
        let sent = match play {
            Play::Tools(turns) => tools(&tx, turns, calls_in(&body)).await,
            Play::Deltas(count, pause) => deltas(&tx, count, pause, &notes).await,
        };
        if sent.is_some() {
            notes.lock().expect("no holder panics").answered.push(Instant::now());
        }
    });
    let mut response = Response::new(StreamBody::new(tokio_stream_of::Frames(rx)));
    let kind = http::HeaderValue::from_static("text/event-stream");
    response.headers_mut().insert(http::header::CONTENT_TYPE, kind);
    Ok(response)
}

fn calls_in(body: &Value) -> usize {
    let messages = body["messages"].as_array().map(Vec::as_slice).unwrap_or_default();
    messages.iter().filter(|m| m["role"] == "assistant").count()
}

async fn tools(tx: &mpsc::Sender<Bytes>, turns: usize, done: usize) -> Option<()> {
    let mut frames = vec![start()];
    if done < turns {
        frames.push(event(&json!({"type":"content_block_start","index":0,"content_block":
            {"type":"tool_use","id":format!("toolu_{done}"),"name":"read","input":{}}})));
        frames.push(event(&json!({"type":"content_block_delta","index":0,"delta":
            {"type":"input_json_delta","partial_json":"{\"path\":\"bench.txt\"}"}})));
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
    let last = event(&json!({"type":"content_block_stop","index":0}));
    let rest = last + &end("end_turn") + &event(&json!({"type":"message_stop"}));
    tx.send(Bytes::from(rest)).await.ok()
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

fn end(reason: &str) -> String {
    event(&json!({"type":"message_delta","delta":{"stop_reason":reason,"stop_sequence":null},
        "usage":{"output_tokens":9}}))
}
