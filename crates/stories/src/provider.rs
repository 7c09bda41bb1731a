//! A fake model provider that speaks Anthropic messages, OpenAI chat and OpenAI responses over real
//! HTTP, and judges: a request that breaks the rules of a conversation is answered 400 and remembered.
//! What it says is a function of the conversation alone, so a repeated request gets the same answer.

mod anthropic;
mod openai;
mod responses;

use anyhow::Result;
use axum::{
    Router,
    body::Body,
    extract::State,
    http::{HeaderMap, StatusCode},
    response::{IntoResponse as _, Response},
    routing::{get, post},
};
use bytes::Bytes;
use futures_util::{StreamExt as _, stream};
use serde_json::{Value, json};
use std::{
    net::SocketAddr,
    sync::{Arc, Mutex},
    time::Duration,
};

/// What the model says in one turn.
#[derive(Debug, Clone)]
pub struct Say {
    /// Text, one delta per word.
    pub text: String,
    /// Tools it asks for: name and arguments. Where the request offers none it asks for none.
    pub tools: Vec<(String, Value)>,
}

/// Decides from the last user text and the number of model turns since then.
pub type Script = Arc<dyn Fn(&str, usize) -> Say + Send + Sync>;

/// How a request is answered.
#[derive(Debug, Clone)]
pub enum Fate {
    /// As the script says.
    Answer,
    /// Without a byte, for ever.
    Hang,
    /// With this many frames, and then nothing more.
    HangAfter(usize),
    /// With this many frames, and then the connection breaks.
    CutAfter(usize),
    /// With a refusal.
    Refuse {
        /// HTTP status.
        status: u16,
        /// Seconds in `retry-after`.
        retry_after: Option<u64>,
        /// What the provider says.
        message: &'static str,
    },
}

/// Decides by the number of the request, from 0.
pub type Fates = Arc<dyn Fn(usize) -> Fate + Send + Sync>;

/// What went on.
#[derive(Debug, Default)]
pub struct Seen {
    /// Requests, oldest first.
    pub requests: Vec<Value>,
    /// Credentials they carried.
    pub keys: Vec<String>,
    /// Rules that were broken.
    pub faults: Vec<String>,
}

/// A running fake.
pub struct Provider {
    /// Where it listens.
    pub addr: SocketAddr,
    seen: Arc<Mutex<Seen>>,
    task: tokio::task::JoinHandle<()>,
}

#[derive(Clone)]
struct Shared {
    script: Script,
    fates: Fates,
    delta: Duration,
    seen: Arc<Mutex<Seen>>,
}

impl Provider {
    /// Starts one; `delta` is the pause between deltas.
    pub async fn start(delta: Duration, script: Script) -> Result<Self> {
        Self::start_with(delta, script, Arc::new(|_| Fate::Answer)).await
    }

    /// Starts one that does not answer every request as it should.
    pub async fn start_with(delta: Duration, script: Script, fates: Fates) -> Result<Self> {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
        let addr = listener.local_addr()?;
        let seen = Arc::new(Mutex::new(Seen::default()));
        let shared = Shared { script, fates, delta, seen: seen.clone() };
        let app = Router::new()
            .route("/v1/messages", post(anthropic_messages))
            .route("/v1/chat/completions", post(openai_chat))
            .route("/v1/responses", post(openai_responses))
            .route("/v1/models", get(models))
            .with_state(shared);
        let task = tokio::spawn(async move {
            let _ = axum::serve(listener, app).await;
        });
        Ok(Self { addr, seen, task })
    }

    /// Rules that were broken so far.
    pub fn faults(&self) -> Vec<String> {
        self.seen.lock().expect("no test panics while it holds this").faults.clone()
    }

    /// Requests so far.
    pub fn requests(&self) -> Vec<Value> {
        self.seen.lock().expect("no test panics while it holds this").requests.clone()
    }

    /// Credentials so far.
    pub fn keys(&self) -> Vec<String> {
        self.seen.lock().expect("no test panics while it holds this").keys.clone()
    }

    /// Environment that points a server at it, with this key.
    pub fn env(&self, key: &str) -> Vec<(String, String)> {
        vec![
            ("ANTHROPIC_API_KEY".into(), key.into()),
            ("ANTHROPIC_BASE_URL".into(), format!("http://{}", self.addr)),
        ]
    }

    /// As [`Provider::env`], for the OpenAI format.
    pub fn env_openai(&self, key: &str) -> Vec<(String, String)> {
        vec![
            ("OPENAI_API_KEY".into(), key.into()),
            ("OPENAI_BASE_URL".into(), format!("http://{}/v1", self.addr)),
        ]
    }
}

impl Drop for Provider {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn models() -> Response {
    axum::Json(json!({"object":"list","data":[{"id":"fake-1","object":"model","type":"model"}]}))
        .into_response()
}

/// Answers the number of the request.
fn remember(shared: &Shared, headers: &HeaderMap, body: &Value) -> usize {
    let key = headers
        .get("x-api-key")
        .or_else(|| headers.get("authorization"))
        .and_then(|v| v.to_str().ok())
        .unwrap_or_default()
        .trim_start_matches("Bearer ")
        .to_owned();
    let mut seen = shared.seen.lock().expect("no test panics while it holds this");
    seen.keys.push(key);
    seen.requests.push(body.clone());
    seen.requests.len() - 1
}

fn refuse(shared: &Shared, fault: String) -> Response {
    let body = json!({"type":"error","error":{"type":"invalid_request_error","message":fault}});
    shared.seen.lock().expect("no test panics while it holds this").faults.push(fault);
    (StatusCode::BAD_REQUEST, axum::Json(body)).into_response()
}

async fn answer(shared: &Shared, number: usize, mut frames: Vec<String>) -> Response {
    match (shared.fates)(number) {
        Fate::Answer => sse(shared, frames, After::End),
        Fate::Hang => std::future::pending().await,
        Fate::HangAfter(count) => {
            frames.truncate(count);
            sse(shared, frames, After::Hang)
        }
        Fate::CutAfter(count) => {
            frames.truncate(count);
            sse(shared, frames, After::Break)
        }
        Fate::Refuse { status, retry_after, message } => {
            let body = json!({"type":"error","error":{"type":"api_error","message":message}});
            let status = StatusCode::from_u16(status).expect("a story names a real status");
            let mut answer = (status, axum::Json(body)).into_response();
            if let Some(seconds) = retry_after {
                answer.headers_mut().insert("retry-after", seconds.into());
            }
            answer
        }
    }
}

/// From the last frame until the connection breaks.
const BEFORE_BREAK: Duration = Duration::from_millis(50);

/// What comes after the frames.
#[derive(Clone, Copy)]
enum After {
    End,
    Hang,
    Break,
}

fn sse(shared: &Shared, frames: Vec<String>, after: After) -> Response {
    let pause = shared.delta;
    let frames = stream::iter(frames).then(move |frame| async move {
        if !pause.is_zero() {
            tokio::time::sleep(pause).await;
        }
        Ok(Bytes::from(frame))
    });
    let end = stream::once(async move {
        match after {
            After::End => Ok(Bytes::new()),
            After::Hang => std::future::pending().await,
            After::Break => {
                // The server throws away what it has not sent yet.
                tokio::time::sleep(BEFORE_BREAK).await;
                Err(std::io::Error::other("cut"))
            }
        }
    });
    let body = Body::from_stream(frames.chain(end));
    ([("content-type", "text/event-stream")], body).into_response()
}

async fn anthropic_messages(state: State<Shared>, headers: HeaderMap, body: Bytes) -> Response {
    talk(&state, &headers, &body, anthropic::judge, anthropic::frames).await
}

async fn openai_chat(state: State<Shared>, headers: HeaderMap, body: Bytes) -> Response {
    talk(&state, &headers, &body, openai::judge, openai::frames).await
}

async fn openai_responses(state: State<Shared>, headers: HeaderMap, body: Bytes) -> Response {
    talk(&state, &headers, &body, responses::judge, responses::frames).await
}

async fn talk(
    shared: &Shared,
    headers: &HeaderMap,
    body: &[u8],
    judge: fn(&Value) -> Result<Turn, String>,
    frames: fn(&Say, usize) -> Vec<String>,
) -> Response {
    let Ok(body) = serde_json::from_slice::<Value>(body) else {
        return refuse(shared, "the body is no JSON".into());
    };
    let number = remember(shared, headers, &body);
    match judge(&body) {
        Ok(turn) => {
            let mut say = (shared.script)(&turn.user, turn.since);
            if !turn.offers {
                say.tools.clear();
            }
            answer(shared, number, frames(&say, turn.calls)).await
        }
        Err(fault) => refuse(shared, fault),
    }
}

#[derive(Default)]
struct Turn {
    /// Whether the model may ask for tools.
    offers: bool,
    /// What the user's side said last.
    user: String,
    since: usize,
    /// Tool calls in the conversation so far: makes ids that are unique and repeatable.
    calls: usize,
}

/// Begins what an agent is told of its mode, right behind what a person said.
const MODE: &str = "[Plan mode";

impl Turn {
    /// Takes what the user says. What is said of the mode belongs to the words before it.
    fn hear(&mut self, text: &str) {
        if text.starts_with(MODE) && self.since == 0 && !self.user.is_empty() {
            self.user.push('\n');
        } else {
            self.user.clear();
        }
        self.user.push_str(text);
        self.since = 0;
    }
}

fn offers(body: &Value) -> bool {
    body["tools"].as_array().is_some_and(|tools| !tools.is_empty())
}

/// A content's text, whether it is one or in parts.
fn text_of(content: &Value) -> String {
    match content {
        Value::String(text) => text.clone(),
        content => {
            let parts = content.as_array().into_iter().flatten();
            parts.filter_map(|part| part["text"].as_str()).collect::<Vec<_>>().join("\n")
        }
    }
}

fn words(text: &str) -> Vec<String> {
    text.split_inclusive(' ').map(str::to_owned).collect()
}
