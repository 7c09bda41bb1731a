//! For tests of this crate and of those above: messages without ceremony, a model that says what was
//! prepared, a transport that answers what was prepared. Used by no product code.

use crate::{
    ask::{
        Booking, HttpAnswer, HttpRequest, Model, ModelEvent, ModelFailure, ModelRequest, Options,
        ThinkingLevel, Transport, TransportError,
    },
    assembly::Assembly,
    catalogue, ends,
};
use bytes::Bytes;
use futures_util::{
    StreamExt as _,
    future::BoxFuture,
    stream::{self, BoxStream},
};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use serde_json::Value;
use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, PoisonError},
};
use toft_model::{
    message::{
        AssistantMessage, Block, Message, StopReason, ToolCall, ToolResultMessage, Usage,
        UserContent, UserMessage,
    },
    provider::{Api, ModelInfo},
};
use tokio_util::sync::CancellationToken;

/// A user's message.
pub fn user(text: &str) -> Message {
    Message::User(UserMessage { content: UserContent::Text(text.to_owned()), timestamp: 1 })
}

/// A model's message; it wants tools when there are calls in it.
pub fn assistant(content: Vec<Block>) -> Message {
    let calls = content.iter().any(|b| matches!(b, Block::ToolCall(_)));
    Message::Assistant(AssistantMessage {
        content,
        api: Api::Scripted.as_str().into(),
        provider: "demo".into(),
        model: "app".into(),
        usage: Usage::default(),
        stop_reason: if calls { StopReason::ToolUse } else { StopReason::Stop },
        error_message: None,
        timestamp: 1,
    })
}

/// A call; `arguments` is a JSON object.
pub fn call(id: &str, name: &str, arguments: &str) -> Block {
    Block::ToolCall(ToolCall {
        id: id.into(),
        name: name.into(),
        arguments: serde_json::from_str(arguments).expect("a JSON object"),
    })
}

/// A tool's result.
pub fn result(call_id: &str, text: &str) -> Message {
    Message::ToolResult(ToolResultMessage {
        tool_call_id: call_id.into(),
        tool_name: "bash".into(),
        content: vec![Block::text(text)],
        details: None,
        is_error: false,
        timestamp: 1,
    })
}

/// A model of the catalogue, or an unlisted one of a provider that speaks OpenAI's format.
pub fn model_info(provider: &str, id: &str) -> ModelInfo {
    catalogue::model(provider, id)
        .unwrap_or_else(|| catalogue::unlisted_model(provider, Api::OpenaiCompletions, id))
}

/// A request without tools, with thinking off.
pub fn request(provider: &str, id: &str, messages: Vec<Message>) -> ModelRequest {
    ModelRequest {
        model: model_info(provider, id),
        system: "You are an agent.".into(),
        messages,
        tools: Vec::new(),
        thinking: ThinkingLevel::Off,
        max_tokens: None,
        session: "s1".into(),
        booking: Booking::default(),
        options: Options::default(),
    }
}

/// One answer of a [`PreparedModel`].
#[derive(Debug, Clone)]
pub enum Prepared {
    /// A whole message; its deltas are made from it.
    Says(Vec<Block>),
    /// Begins with these blocks, then fails.
    Fails(Vec<Block>, ModelFailure),
    /// Begins with these blocks, then is silent until cancelled.
    Hangs(Vec<Block>),
}

impl Prepared {
    /// A message of text.
    pub fn text(text: &str) -> Self {
        Self::Says(vec![Block::text(text)])
    }

    /// A message with one call; `arguments` is a JSON object.
    pub fn call(id: &str, name: &str, arguments: &str) -> Self {
        Self::Says(vec![call(id, name, arguments)])
    }
}

/// Gives prepared answers in order, and remembers what it was asked. When none is left it fails with
/// `provider_error` and `Retry::Never`.
#[derive(Default)]
pub struct PreparedModel {
    answers: Mutex<VecDeque<Prepared>>,
    asked: Mutex<Vec<ModelRequest>>,
}

impl PreparedModel {
    /// With these answers.
    pub fn new(answers: impl IntoIterator<Item = Prepared>) -> Self {
        Self { answers: Mutex::new(answers.into_iter().collect()), asked: Mutex::default() }
    }

    /// Adds an answer.
    pub fn push(&self, answer: Prepared) {
        lock(&self.answers).push_back(answer);
    }

    /// All requests so far, oldest first.
    pub fn asked(&self) -> Vec<ModelRequest> {
        lock(&self.asked).clone()
    }
}

impl Model for PreparedModel {
    fn ask(
        &self,
        request: ModelRequest,
        cancel: CancellationToken,
    ) -> BoxStream<'static, ModelEvent> {
        let model = request.model.clone();
        lock(&self.asked).push(request);
        let answer = lock(&self.answers).pop_front().unwrap_or_else(|| {
            Prepared::Fails(
                Vec::new(),
                ModelFailure {
                    code: "provider_error".into(),
                    message: "no answer was prepared".into(),
                    retry: crate::ask::Retry::Never,
                },
            )
        });
        let (blocks, failure, hangs) = match answer {
            Prepared::Says(blocks) => (blocks, None, false),
            Prepared::Fails(blocks, failure) => (blocks, Some(failure), false),
            Prepared::Hangs(blocks) => (blocks, Some(ends::aborted()), true),
        };
        let (deltas, message) = told(&model, blocks, failure.as_ref());
        let done = stream::once(async move {
            if hangs {
                cancel.cancelled().await;
            }
            ModelEvent::Done { message, failure }
        });
        stream::iter(deltas).chain(done).boxed()
    }
}

fn told(
    model: &ModelInfo,
    blocks: Vec<Block>,
    failure: Option<&ModelFailure>,
) -> (Vec<ModelEvent>, AssistantMessage) {
    let mut assembly = Assembly::default();
    for block in blocks {
        match block {
            Block::Text { text, .. } => {
                let i = assembly.open_text();
                assembly.push_text(i, &text);
                assembly.close(i);
            }
            Block::Thinking { thinking, thinking_signature, .. } => {
                let i = assembly.open_thinking();
                assembly.push_thinking(i, &thinking);
                assembly.push_signature(i, thinking_signature.as_deref().unwrap_or_default());
                assembly.close(i);
            }
            Block::ToolCall(call) => {
                let i = assembly.open_tool(&call.id, &call.name);
                assembly.push_json(i, &Value::Object(call.arguments).to_string());
                assembly.close(i);
            }
            Block::Image { .. } => {}
        }
    }
    let mut deltas = Vec::new();
    while let Some(event) = assembly.next_event() {
        deltas.push(event);
    }
    let mut message = ends::empty_message(model);
    match failure {
        None => {
            message.content = assembly.into_blocks();
            if message.tool_calls().next().is_some() {
                message.stop_reason = StopReason::ToolUse;
            }
        }
        Some(failure) => {
            message.content = assembly.into_partial_blocks();
            message.error_message = Some(failure.message.clone());
            message.stop_reason =
                if failure.code == "aborted" { StopReason::Aborted } else { StopReason::Error };
        }
    }
    (deltas, message)
}

/// One answer of a [`MemoryTransport`].
#[derive(Debug, Clone)]
pub struct PreparedAnswer {
    /// Status code.
    pub status: u16,
    /// Headers.
    pub headers: Vec<(&'static str, String)>,
    /// Body in the pieces in which it arrives.
    pub chunks: Vec<Bytes>,
    /// How the body ends.
    pub end: BodyEnd,
}

/// How the body of a [`PreparedAnswer`] ends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum BodyEnd {
    /// As a body should.
    Clean,
    /// The connection breaks.
    Broken,
    /// Never: silence.
    Silent,
}

impl PreparedAnswer {
    /// A stream of events in one piece.
    pub fn stream(body: impl Into<Bytes>) -> Self {
        Self {
            status: 200,
            headers: vec![("content-type", "text/event-stream; charset=utf-8".into())],
            chunks: vec![body.into()],
            end: BodyEnd::Clean,
        }
    }

    /// JSON with a status.
    pub fn json(status: u16, body: &str) -> Self {
        Self {
            status,
            headers: vec![("content-type", "application/json".into())],
            chunks: vec![Bytes::copy_from_slice(body.as_bytes())],
            end: BodyEnd::Clean,
        }
    }

    /// The same with one more header.
    pub fn header(mut self, name: &'static str, value: &str) -> Self {
        self.headers.push((name, value.to_owned()));
        self
    }

    /// The same, ending in another way.
    pub fn ending(mut self, end: BodyEnd) -> Self {
        self.end = end;
        self
    }
}

/// Gives prepared answers in order and remembers the requests. When none is left nothing answers.
#[derive(Default)]
pub struct MemoryTransport {
    answers: Mutex<VecDeque<PreparedAnswer>>,
    sent: Mutex<Vec<HttpRequest>>,
}

impl MemoryTransport {
    /// With these answers.
    pub fn new(answers: impl IntoIterator<Item = PreparedAnswer>) -> Arc<Self> {
        Arc::new(Self {
            answers: Mutex::new(answers.into_iter().collect()),
            sent: Mutex::default(),
        })
    }

    /// All requests so far, oldest first.
    pub fn sent(&self) -> Vec<HttpRequest> {
        lock(&self.sent).clone()
    }
}

impl Transport for MemoryTransport {
    fn send(&self, request: HttpRequest) -> BoxFuture<'static, Result<HttpAnswer, TransportError>> {
        lock(&self.sent).push(request);
        let answer = lock(&self.answers).pop_front();
        Box::pin(async move {
            let Some(answer) = answer else {
                return Err(TransportError::Connect("no answer was prepared".into()));
            };
            let mut headers = HeaderMap::new();
            for (name, value) in answer.headers {
                let value = HeaderValue::try_from(value).expect("a header value");
                headers.insert(HeaderName::from_static(name), value);
            }
            let chunks = stream::iter(answer.chunks.into_iter().map(Ok));
            let body = match answer.end {
                BodyEnd::Clean => chunks.boxed(),
                BodyEnd::Broken => {
                    let broken = TransportError::Broken("connection reset".into());
                    chunks.chain(stream::iter([Err(broken)])).boxed()
                }
                BodyEnd::Silent => chunks.chain(stream::pending()).boxed(),
            };
            let status = StatusCode::from_u16(answer.status).expect("a status");
            Ok(HttpAnswer { status, headers, body })
        })
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
