//! A fake model provider that speaks Anthropic messages and OpenAI chat over real HTTP, and judges:
//! a request that breaks the rules of a conversation is answered 400 and remembered as a fault.
//! What it says is a function of the conversation alone, so a repeated request gets the same answer.

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
    /// Tools it asks for: name and arguments.
    pub tools: Vec<(String, Value)>,
}

/// Decides from the last user text and the number of model turns since then.
pub type Script = Arc<dyn Fn(&str, usize) -> Say + Send + Sync>;

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
    delta: Duration,
    seen: Arc<Mutex<Seen>>,
}

impl Provider {
    /// Starts one; `delta` is the pause between deltas.
    pub async fn start(delta: Duration, script: Script) -> Result<Self> {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
        let addr = listener.local_addr()?;
        let seen = Arc::new(Mutex::new(Seen::default()));
        let shared = Shared { script, delta, seen: seen.clone() };
        let app = Router::new()
            .route("/v1/messages", post(anthropic))
            .route("/v1/chat/completions", post(openai))
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

fn remember(shared: &Shared, headers: &HeaderMap, body: &Value) {
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
}

fn refuse(shared: &Shared, fault: String) -> Response {
    let body = json!({"type":"error","error":{"type":"invalid_request_error","message":fault}});
    shared.seen.lock().expect("no test panics while it holds this").faults.push(fault);
    (StatusCode::BAD_REQUEST, axum::Json(body)).into_response()
}

fn sse(shared: &Shared, frames: Vec<String>) -> Response {
    let pause = shared.delta;
    let body = stream::iter(frames).then(move |frame| async move {
        if !pause.is_zero() {
            tokio::time::sleep(pause).await;
        }
        Ok::<_, std::convert::Infallible>(Bytes::from(frame))
    });
    ([("content-type", "text/event-stream")], Body::from_stream(body)).into_response()
}

async fn anthropic(State(shared): State<Shared>, headers: HeaderMap, body: Bytes) -> Response {
    let Ok(body) = serde_json::from_slice::<Value>(&body) else {
        return refuse(&shared, "the body is no JSON".into());
    };
    remember(&shared, &headers, &body);
    let turn = match judge_anthropic(&body) {
        Ok(turn) => turn,
        Err(fault) => return refuse(&shared, fault),
    };
    let say = (shared.script)(&turn.user, turn.since);
    sse(&shared, anthropic_frames(&say, turn.calls))
}

struct Turn {
    user: String,
    since: usize,
    /// Tool calls in the conversation so far: makes ids that are unique and repeatable.
    calls: usize,
}

fn judge_anthropic(body: &Value) -> Result<Turn, String> {
    let messages = body["messages"].as_array().ok_or("messages is no list")?;
    if body["max_tokens"].as_u64().is_none() {
        return Err("max_tokens is missing".into());
    }
    let mut turn = Turn { user: String::new(), since: 0, calls: 0 };
    let mut open: Vec<String> = Vec::new();
    for (i, message) in messages.iter().enumerate() {
        let blocks = match &message["content"] {
            Value::String(text) => vec![json!({"type":"text","text":text})],
            Value::Array(blocks) => blocks.clone(),
            _ => return Err(format!("message {i} has no content")),
        };
        let results: Vec<&Value> = blocks.iter().filter(|b| b["type"] == "tool_result").collect();
        match message["role"].as_str() {
            Some("assistant") => {
                if !open.is_empty() {
                    return Err(format!("message {i}: calls {open:?} have no result"));
                }
                for call in blocks.iter().filter(|b| b["type"] == "tool_use") {
                    open.push(call["id"].as_str().unwrap_or_default().to_owned());
                    turn.calls += 1;
                }
                turn.since += 1;
            }
            Some("user") => {
                for result in results {
                    let id = result["tool_use_id"].as_str().unwrap_or_default();
                    let Some(at) = open.iter().position(|o| o == id) else {
                        return Err(format!("message {i}: result {id} answers no open call"));
                    };
                    open.remove(at);
                }
                if !open.is_empty() {
                    return Err(format!("message {i}: calls {open:?} have no result"));
                }
                let text: Vec<&str> = blocks.iter().filter_map(|b| b["text"].as_str()).collect();
                if !text.is_empty() {
                    turn.user = text.join("\n");
                    turn.since = 0;
                }
            }
            other => return Err(format!("message {i} has role {other:?}")),
        }
    }
    if messages.last().is_none_or(|m| m["role"] != "user") {
        return Err("the last message is not the user's".into());
    }
    Ok(turn)
}

fn frame(name: &str, data: &Value) -> String {
    format!("event: {name}\ndata: {data}\n\n")
}

fn words(text: &str) -> Vec<String> {
    text.split_inclusive(' ').map(str::to_owned).collect()
}

fn anthropic_frames(say: &Say, calls: usize) -> Vec<String> {
    let mut out = vec![frame(
        "message_start",
        &json!({"type":"message_start","message":{"id":"msg_1","type":"message","role":"assistant",
            "model":"fake-1","content":[],"stop_reason":null,
            "usage":{"input_tokens":100,"output_tokens":1,"cache_read_input_tokens":10,"cache_creation_input_tokens":5}}}),
    )];
    let mut index = 0;
    if !say.text.is_empty() {
        out.push(frame(
            "content_block_start",
            &json!({"type":"content_block_start","index":index,
            "content_block":{"type":"text","text":""}}),
        ));
        for word in words(&say.text) {
            out.push(frame(
                "content_block_delta",
                &json!({"type":"content_block_delta","index":index,
                "delta":{"type":"text_delta","text":word}}),
            ));
        }
        out.push(frame("content_block_stop", &json!({"type":"content_block_stop","index":index})));
        index += 1;
    }
    for (n, (name, arguments)) in say.tools.iter().enumerate() {
        out.push(frame("content_block_start", &json!({"type":"content_block_start","index":index,
            "content_block":{"type":"tool_use","id":format!("toolu_{}", calls + n),"name":name,"input":{}}})));
        let text = arguments.to_string();
        let half = text.len() / 2;
        let cut = (half..text.len()).find(|i| text.is_char_boundary(*i)).unwrap_or(text.len());
        for part in [&text[..cut], &text[cut..]] {
            out.push(frame(
                "content_block_delta",
                &json!({"type":"content_block_delta","index":index,
                "delta":{"type":"input_json_delta","partial_json":part}}),
            ));
        }
        out.push(frame("content_block_stop", &json!({"type":"content_block_stop","index":index})));
        index += 1;
    }
    let reason = if say.tools.is_empty() { "end_turn" } else { "tool_use" };
    out.push(frame(
        "message_delta",
        &json!({"type":"message_delta","delta":{"stop_reason":reason,
        "stop_sequence":null},"usage":{"output_tokens":42}}),
    ));
    out.push(frame("message_stop", &json!({"type":"message_stop"})));
    out
}

async fn openai(State(shared): State<Shared>, headers: HeaderMap, body: Bytes) -> Response {
    let Ok(body) = serde_json::from_slice::<Value>(&body) else {
        return refuse(&shared, "the body is no JSON".into());
    };
    remember(&shared, &headers, &body);
    let turn = match judge_openai(&body) {
        Ok(turn) => turn,
        Err(fault) => return refuse(&shared, fault),
    };
    let say = (shared.script)(&turn.user, turn.since);
    sse(&shared, openai_frames(&say, turn.calls))
}

fn judge_openai(body: &Value) -> Result<Turn, String> {
    let messages = body["messages"].as_array().ok_or("messages is no list")?;
    let mut turn = Turn { user: String::new(), since: 0, calls: 0 };
    let mut open: Vec<String> = Vec::new();
    for (i, message) in messages.iter().enumerate() {
        let role = message["role"].as_str().unwrap_or_default();
        if role != "tool" && !open.is_empty() {
            return Err(format!("message {i}: calls {open:?} have no result"));
        }
        match role {
            "system" | "developer" if i == 0 => {}
            "assistant" => {
                for call in message["tool_calls"].as_array().into_iter().flatten() {
                    open.push(call["id"].as_str().unwrap_or_default().to_owned());
                    turn.calls += 1;
                }
                turn.since += 1;
            }
            "tool" => {
                let id = message["tool_call_id"].as_str().unwrap_or_default();
                let Some(at) = open.iter().position(|o| o == id) else {
                    return Err(format!("message {i}: result {id} answers no open call"));
                };
                open.remove(at);
            }
            "user" => {
                turn.user = match &message["content"] {
                    Value::String(text) => text.clone(),
                    content => content
                        .as_array()
                        .into_iter()
                        .flatten()
                        .filter_map(|b| b["text"].as_str())
                        .collect::<Vec<_>>()
                        .join("\n"),
                };
                turn.since = 0;
            }
            other => return Err(format!("message {i} has role {other:?}")),
        }
    }
    Ok(turn)
}

fn openai_frames(say: &Say, calls: usize) -> Vec<String> {
    let chunk = |delta: Value, finish: Value| {
        format!(
            "data: {}\n\n",
            json!({"id":"c1","object":"chat.completion.chunk","created":1,"model":"fake-1",
                "choices":[{"index":0,"delta":delta,"finish_reason":finish}]})
        )
    };
    let mut out = vec![chunk(json!({"role":"assistant","content":""}), Value::Null)];
    for word in words(&say.text) {
        out.push(chunk(json!({"content":word}), Value::Null));
    }
    for (n, (name, arguments)) in say.tools.iter().enumerate() {
        out.push(chunk(
            json!({"tool_calls":[{"index":n,"id":format!("call_{}", calls + n),
            "type":"function","function":{"name":name,"arguments":""}}]}),
            Value::Null,
        ));
        out.push(chunk(
            json!({"tool_calls":[{"index":n,"function":{"arguments":arguments.to_string()}}]}),
            Value::Null,
        ));
    }
    let reason = if say.tools.is_empty() { "stop" } else { "tool_calls" };
    out.push(chunk(json!({}), reason.into()));
    out.push(format!(
        "data: {}\n\n",
        json!({"id":"c1","object":"chat.completion.chunk","created":1,"model":"fake-1","choices":[],
            "usage":{"prompt_tokens":100,"completion_tokens":42,"total_tokens":142,
                "prompt_tokens_details":{"cached_tokens":10}}})
    ));
    out.push("data: [DONE]\n\n".into());
    out
}
