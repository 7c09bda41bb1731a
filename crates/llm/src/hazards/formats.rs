//! The table of wire formats: how each says things, and what came of asking it.

use crate::{
    ask::{Model as _, ModelEvent, ModelFailure},
    event_stream::write,
    route::Models,
    testing::{MemoryTransport, PreparedAnswer, request, user},
};
use futures_util::StreamExt as _;
use serde_json::{Value, json};
use std::{fmt, sync::Arc, time::Duration};
use toft_model::{
    event::Delta,
    message::{AssistantMessage, Message, StopReason},
    provider::Api,
};
use tokio_util::sync::CancellationToken;

/// One event, before it is put into a body.
#[derive(Debug, Clone)]
pub(crate) struct Frame {
    pub(crate) name: String,
    pub(crate) data: Vec<u8>,
    /// Of a failure that the framing tells.
    pub(crate) failed: bool,
}

impl Frame {
    pub(crate) fn new(name: &str, data: impl fmt::Display) -> Self {
        Self { name: name.to_owned(), data: format!("{data}").into_bytes(), failed: false }
    }

    /// With another text in place of some of it.
    pub(crate) fn with(mut self, old: &str, new: &str) -> Self {
        self.data = String::from_utf8(self.data).unwrap().replace(old, new).into_bytes();
        self
    }

    fn has(&self, word: &str) -> bool {
        String::from_utf8_lossy(&self.data).contains(word)
    }
}

/// How events stand in a body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Framing {
    Sse,
    EventStream,
}

impl Framing {
    fn write(self, frames: &[Frame]) -> Vec<u8> {
        frames.iter().flat_map(|frame| self.one(frame)).collect()
    }

    fn one(self, Frame { name, data, failed }: &Frame) -> Vec<u8> {
        match self {
            Self::Sse => {
                let name = if name.is_empty() { String::new() } else { format!("event: {name}\n") };
                [name.as_bytes(), b"data: ", data, b"\n\n"].concat()
            }
            Self::EventStream => {
                let (kind, word) = if *failed {
                    ("exception", ":exception-type")
                } else {
                    ("event", ":event-type")
                };
                let headers = [
                    (word, &**name),
                    (":content-type", "application/json"),
                    (":message-type", kind),
                ];
                write::message(&headers, data)
            }
        }
    }

    /// Says nothing, and is sent all the same.
    pub(crate) fn alive(self) -> Vec<u8> {
        let frames = [Frame::new("ping", ""), Frame::new("", r#"{"type":"ping"}"#)];
        let mut out = self.write(&frames);
        if self == Self::Sse {
            out.extend_from_slice(b": alive\n\n");
        }
        out
    }

    /// What an event begins with that is longer than any may be.
    pub(crate) fn endless(self) -> Vec<u8> {
        match self {
            Self::Sse => b"data: ".to_vec(),
            Self::EventStream => write::prelude(20 << 20, 0),
        }
    }
}

/// One wire format, and how it says things.
pub(crate) struct Format {
    pub(crate) name: &'static str,
    /// Whether arguments come in pieces; else as an object.
    pub(crate) calls_in_pieces: bool,
    pub(crate) provider: &'static str,
    pub(crate) model: &'static str,
    pub(crate) api: Api,
    pub(crate) framing: Framing,
    pub(crate) text: fn(&str) -> Vec<Frame>,
    pub(crate) call: fn(index: usize, id: &str, json: &str) -> Vec<Frame>,
    pub(crate) end: fn() -> Vec<Frame>,
    pub(crate) error: fn() -> Frame,
    /// A word of the event after which a body that ends by itself is whole; not all who speak the format
    /// send what comes then.
    pub(crate) enough: Option<&'static str>,
}

pub(crate) const FORMATS: [Format; 5] = [
    Format {
        name: "anthropic",
        calls_in_pieces: true,
        provider: "anthropic",
        model: "claude-opus-4-6",
        api: Api::AnthropicMessages,
        framing: Framing::Sse,
        text: |text| {
            let start = json!({"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}, "new_field": [1]});
            let delta = json!({"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": text}});
            let stop = json!({"type": "content_block_stop", "index": 0});
            vec![
                Frame::new("content_block_start", start),
                Frame::new("content_block_delta", delta),
                Frame::new("content_block_stop", stop),
            ]
        },
        call: |index, id, json| {
            let index = index + 1;
            let start = json!({"type": "content_block_start", "index": index, "content_block": {"type": "tool_use", "id": id, "name": "bash", "input": {}}});
            let delta = json!({"type": "content_block_delta", "index": index, "delta": {"type": "input_json_delta", "partial_json": json}});
            let stop = json!({"type": "content_block_stop", "index": index});
            [start, delta, stop].map(|event| Frame::new("", event)).to_vec()
        },
        end: || {
            let delta = json!({"type": "message_delta", "delta": {"stop_reason": "tool_use"}, "usage": {"output_tokens": 9}});
            let stop = json!({"type": "message_stop"});
            vec![Frame::new("message_delta", delta), Frame::new("message_stop", stop)]
        },
        error: || {
            let error = json!({"type": "overloaded_error", "message": "Overloaded"});
            Frame::new("error", json!({"type": "error", "error": error}))
        },
        enough: None,
    },
    Format {
        name: "openai",
        calls_in_pieces: true,
        provider: "openai",
        model: "gpt-5",
        api: Api::OpenaiCompletions,
        framing: Framing::Sse,
        text: |text| {
            let chunk =
                json!({"choices": [{"index": 0, "delta": {"content": text, "new_field": [1]}}]});
            vec![Frame::new("", chunk)]
        },
        call: |index, id, json| {
            let chunk = json!({"choices": [{"index": 0, "delta": {"tool_calls": [
                {"index": index, "id": id, "function": {"name": "bash", "arguments": json}}]}}]});
            vec![Frame::new("", chunk)]
        },
        end: || {
            let finish =
                json!({"choices": [{"index": 0, "delta": {}, "finish_reason": "tool_calls"}]});
            let usage =
                json!({"choices": [], "usage": {"prompt_tokens": 3, "completion_tokens": 9}});
            vec![Frame::new("", finish), Frame::new("", usage), Frame::new("", "[DONE]")]
        },
        error: || Frame::new("", json!({"error": {"message": "Overloaded", "code": 503}})),
        enough: Some("\"finish_reason\""),
    },
    Format {
        name: "responses",
        calls_in_pieces: true,
        provider: "own",
        model: "any",
        api: Api::OpenaiResponses,
        framing: Framing::Sse,
        text: |text| {
            let item = json!({"type": "message", "id": "m", "role": "assistant", "content": []});
            let events = [
                json!({"type": "response.output_item.added", "output_index": 0, "item": item, "new_field": [1]}),
                json!({"type": "response.output_text.delta", "output_index": 0, "content_index": 0, "delta": text}),
                json!({"type": "response.output_item.done", "output_index": 0, "item": item}),
            ];
            events.map(|e| Frame::new(e["type"].as_str().unwrap(), &e)).to_vec()
        },
        call: |index, id, json| {
            let index = index + 1;
            let item = json!({"type": "function_call", "id": "fc", "call_id": id, "name": "bash", "arguments": ""});
            let events = [
                json!({"type": "response.output_item.added", "output_index": index, "item": item}),
                json!({"type": "response.function_call_arguments.delta", "output_index": index, "delta": json}),
                json!({"type": "response.output_item.done", "output_index": index, "item": item}),
            ];
            events.map(|e| Frame::new("", e)).to_vec()
        },
        end: || {
            let usage = json!({"input_tokens": 3, "output_tokens": 9});
            let response = json!({"status": "completed", "error": null, "usage": usage});
            let event = json!({"type": "response.completed", "response": response});
            vec![Frame::new("response.completed", event)]
        },
        error: || {
            let error = json!({"code": "overloaded", "message": "Overloaded"});
            let event = json!({"type": "response.failed", "response": {"error": error}});
            Frame::new("response.failed", event)
        },
        enough: None,
    },
    Format {
        name: "gemini",
        calls_in_pieces: false,
        provider: "google",
        model: "gemini-2.5-pro",
        api: Api::GoogleGenerativeAi,
        framing: Framing::Sse,
        text: |text| {
            let chunk = json!({"candidates": [{"content": {"role": "model", "parts": [{"text": text}]}, "new_field": [1]}]});
            vec![Frame::new("", chunk)]
        },
        call: |_, id, json| {
            let args: Value = serde_json::from_str(json).unwrap();
            let chunk = json!({"candidates": [{"content": {"parts": [{"functionCall": {"id": id, "name": "bash", "args": args}}]}}]});
            vec![Frame::new("", chunk)]
        },
        end: || {
            let usage = json!({"promptTokenCount": 3, "candidatesTokenCount": 9});
            let finish = json!([{"content": {}, "finishReason": "STOP"}]);
            vec![Frame::new("", json!({"candidates": finish, "usageMetadata": usage}))]
        },
        error: || {
            let error = json!({"message": "Overloaded", "code": 503, "status": "UNAVAILABLE"});
            Frame::new("", json!({"error": error}))
        },
        enough: None,
    },
    Format {
        name: "bedrock",
        calls_in_pieces: true,
        provider: "bedrock",
        model: "anthropic.claude-opus-4-6-v1",
        api: Api::BedrockConverseStream,
        framing: Framing::EventStream,
        text: |text| {
            let delta = json!({"contentBlockIndex": 0, "delta": {"text": text}, "new_field": [1]});
            let stop = json!({"contentBlockIndex": 0});
            vec![Frame::new("contentBlockDelta", delta), Frame::new("contentBlockStop", stop)]
        },
        call: |index, id, json| {
            let at = index + 1;
            let start = json!({"contentBlockIndex": at, "start": {"toolUse": {"toolUseId": id, "name": "bash"}}});
            let delta = json!({"contentBlockIndex": at, "delta": {"toolUse": {"input": json}}});
            vec![
                Frame::new("contentBlockStart", start),
                Frame::new("contentBlockDelta", delta),
                Frame::new("contentBlockStop", json!({"contentBlockIndex": at})),
            ]
        },
        end: || {
            let usage = json!({"inputTokens": 3, "outputTokens": 9, "totalTokens": 12});
            vec![
                Frame::new("messageStop", json!({"stopReason": "tool_use"})),
                Frame::new("metadata", json!({"usage": usage, "metrics": {"latencyMs": 1}})),
            ]
        },
        error: || {
            let words = json!({"message": "Overloaded"});
            Frame { failed: true, ..Frame::new("serviceUnavailableException", words) }
        },
        enough: Some("\"stopReason\""),
    },
];

pub(crate) const IDLE: Duration = Duration::from_mins(5);

pub(crate) struct Outcome {
    pub(crate) deltas: Vec<Delta>,
    pub(crate) message: AssistantMessage,
    pub(crate) failure: Option<ModelFailure>,
}

impl Outcome {
    pub(crate) fn code(&self) -> &str {
        self.failure.as_ref().map_or("", |f| f.code.as_str())
    }

    /// Deltas whose name ends so.
    pub(crate) fn count(&self, end: &str) -> usize {
        let name = |delta: &Delta| {
            let json = serde_json::to_value(delta).unwrap();
            json["type"].as_str().unwrap().ends_with(end)
        };
        self.deltas.iter().filter(|delta| name(delta)).count()
    }

    pub(crate) fn words(&self) -> &str {
        self.failure.as_ref().map_or("", |f| f.message.as_str())
    }

    pub(crate) fn calls(&self) -> Vec<(&str, String)> {
        self.message
            .tool_calls()
            .map(|c| (c.id.as_str(), serde_json::to_string(&c.arguments).unwrap()))
            .collect()
    }
}

impl Format {
    pub(crate) fn ask_with(
        &self,
        answer: PreparedAnswer,
        history: Vec<Message>,
        cancel: CancellationToken,
    ) -> futures_util::stream::BoxStream<'static, ModelEvent> {
        self.ask_through(MemoryTransport::new([answer]), history, cancel)
    }

    pub(crate) fn ask_through(
        &self,
        transport: Arc<MemoryTransport>,
        history: Vec<Message>,
        cancel: CancellationToken,
    ) -> futures_util::stream::BoxStream<'static, ModelEvent> {
        let mut asked = request(self.provider, self.model, history);
        asked.model.api = self.api;
        Models::new(transport).with_idle_timeout(IDLE).ask(asked, cancel)
    }

    pub(crate) async fn ask(&self, answer: PreparedAnswer) -> Outcome {
        self.ask_after(answer, vec![user("hi")]).await
    }

    pub(crate) async fn ask_after(&self, answer: PreparedAnswer, history: Vec<Message>) -> Outcome {
        let mut stream = self.ask_with(answer, history, CancellationToken::new());
        let mut deltas = Vec::new();
        loop {
            match stream.next().await {
                Some(ModelEvent::Delta(delta)) => deltas.push(delta),
                Some(ModelEvent::Sealed { .. }) => {}
                Some(ModelEvent::Done { message, failure }) => {
                    assert!(stream.next().await.is_none(), "{}: the end is the end", self.name);
                    // One rule for all of them: failure, stop reason and words agree.
                    assert_eq!(
                        failure.is_some(),
                        matches!(message.stop_reason, StopReason::Error | StopReason::Aborted)
                    );
                    assert_eq!(
                        failure.as_ref().map(|f| &f.message),
                        message.error_message.as_ref()
                    );
                    assert_eq!(message.provider, self.provider);
                    return Outcome { deltas, message, failure };
                }
                None => panic!("{}: a stream without Done", self.name),
            }
        }
    }

    /// Text and two calls.
    pub(crate) fn frames(&self) -> Vec<Frame> {
        let said = [(self.text)("Héllo 🎈"), (self.call)(0, "a", "{\"command\":\"ls\"}")];
        [said.concat(), (self.call)(1, "b", "{}"), (self.end)()].concat()
    }

    pub(crate) fn whole(&self) -> Vec<u8> {
        self.framing.write(&self.frames())
    }

    /// Bytes of the whole answer from which on it is whole: for a body that ends by itself, and for one
    /// that breaks.
    pub(crate) fn enough(&self) -> (usize, usize) {
        let frames = self.frames();
        let word = |word| frames.iter().position(|frame| frame.has(word)).unwrap() + 1;
        let count = self.enough.map_or(frames.len(), word);
        (self.framing.write(&frames[..count]).len(), self.whole().len())
    }

    /// A stream of these.
    pub(crate) fn body(&self, parts: &[Vec<Frame>]) -> PreparedAnswer {
        PreparedAnswer::stream(self.framing.write(&parts.concat()))
    }

    /// An event that cannot be read, of a kind that should be.
    pub(crate) fn nonsense(&self) -> Frame {
        let known = (self.text)("x").pop().expect("text is said in some event");
        Frame { data: b"{nonsense".to_vec(), ..known }
    }
}
