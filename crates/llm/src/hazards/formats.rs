//! The table of wire formats: how each says things, and what came of asking it.

use crate::{
    ask::{Model as _, ModelEvent, ModelFailure},
    route::Models,
    testing::{MemoryTransport, PreparedAnswer, request, user},
};
use futures_util::StreamExt as _;
use serde_json::{Value, json};
use std::{sync::Arc, time::Duration};
use toft_model::{
    event::Delta,
    message::{AssistantMessage, Message, StopReason},
    provider::Api,
};
use tokio_util::sync::CancellationToken;

/// One wire format, and how it says things.
pub(super) struct Format {
    pub(super) name: &'static str,
    /// Whether arguments come in pieces; else as an object.
    pub(super) calls_in_pieces: bool,
    pub(super) provider: &'static str,
    pub(super) model: &'static str,
    pub(super) api: Api,
    pub(super) text: fn(&str) -> String,
    pub(super) call: fn(index: usize, id: &str, json: &str) -> String,
    pub(super) end: &'static str,
    pub(super) error: &'static str,
}

pub(super) const FORMATS: [Format; 4] = [
    Format {
        name: "anthropic",
        calls_in_pieces: true,
        provider: "anthropic",
        model: "claude-opus-4-6",
        api: Api::AnthropicMessages,
        text: |text| {
            let start = json!({"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}, "new_field": [1]});
            let delta = json!({"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": text}});
            let stop = json!({"type": "content_block_stop", "index": 0});
            format!(
                "event: content_block_start\ndata: {start}\n\nevent: content_block_delta\ndata: {delta}\n\nevent: content_block_stop\ndata: {stop}\n\n"
            )
        },
        call: |index, id, json| {
            let index = index + 1;
            let start = json!({"type": "content_block_start", "index": index, "content_block": {"type": "tool_use", "id": id, "name": "bash", "input": {}}});
            let delta = json!({"type": "content_block_delta", "index": index, "delta": {"type": "input_json_delta", "partial_json": json}});
            let stop = json!({"type": "content_block_stop", "index": index});
            format!("data: {start}\n\ndata: {delta}\n\ndata: {stop}\n\n")
        },
        end: "event: message_delta\ndata: {\"type\":\"message_delta\",\"delta\":{\"stop_reason\":\"tool_use\"},\"usage\":{\"output_tokens\":9}}\n\nevent: message_stop\ndata: {\"type\":\"message_stop\"}\n\n",
        error: "event: error\ndata: {\"type\":\"error\",\"error\":{\"type\":\"overloaded_error\",\"message\":\"Overloaded\"}}\n\n",
    },
    Format {
        name: "openai",
        calls_in_pieces: true,
        provider: "openai",
        model: "gpt-5",
        api: Api::OpenaiCompletions,
        text: |text| {
            let chunk =
                json!({"choices": [{"index": 0, "delta": {"content": text, "new_field": [1]}}]});
            format!("data: {chunk}\n\n")
        },
        call: |index, id, json| {
            let chunk = json!({"choices": [{"index": 0, "delta": {"tool_calls": [
                {"index": index, "id": id, "function": {"name": "bash", "arguments": json}}]}}]});
            format!("data: {chunk}\n\n")
        },
        end: "data: {\"choices\":[{\"index\":0,\"delta\":{},\"finish_reason\":\"tool_calls\"}]}\n\ndata: {\"choices\":[],\"usage\":{\"prompt_tokens\":3,\"completion_tokens\":9}}\n\ndata: [DONE]\n\n",
        error: "data: {\"error\":{\"message\":\"Overloaded\",\"code\":503}}\n\n",
    },
    Format {
        name: "responses",
        calls_in_pieces: true,
        provider: "own",
        model: "any",
        api: Api::OpenaiResponses,
        text: |text| {
            let item = json!({"type": "message", "id": "m", "role": "assistant", "content": []});
            let events = [
                json!({"type": "response.output_item.added", "output_index": 0, "item": item, "new_field": [1]}),
                json!({"type": "response.output_text.delta", "output_index": 0, "content_index": 0, "delta": text}),
                json!({"type": "response.output_item.done", "output_index": 0, "item": item}),
            ];
            events
                .map(|e| format!("event: {}\ndata: {e}\n\n", e["type"].as_str().unwrap()))
                .concat()
        },
        call: |index, id, json| {
            let index = index + 1;
            let item = json!({"type": "function_call", "id": "fc", "call_id": id, "name": "bash", "arguments": ""});
            let events = [
                json!({"type": "response.output_item.added", "output_index": index, "item": item}),
                json!({"type": "response.function_call_arguments.delta", "output_index": index, "delta": json}),
                json!({"type": "response.output_item.done", "output_index": index, "item": item}),
            ];
            events.map(|e| format!("data: {e}\n\n")).concat()
        },
        end: "event: response.completed\ndata: {\"type\":\"response.completed\",\"response\":{\"status\":\"completed\",\"error\":null,\"usage\":{\"input_tokens\":3,\"output_tokens\":9}}}\n\n",
        error: "event: response.failed\ndata: {\"type\":\"response.failed\",\"response\":{\"error\":{\"code\":\"overloaded\",\"message\":\"Overloaded\"}}}\n\n",
    },
    Format {
        name: "gemini",
        calls_in_pieces: false,
        provider: "google",
        model: "gemini-2.5-pro",
        api: Api::GoogleGenerativeAi,
        text: |text| {
            let chunk = json!({"candidates": [{"content": {"role": "model", "parts": [{"text": text}]}, "new_field": [1]}]});
            format!("data: {chunk}\n\n")
        },
        call: |_, id, json| {
            let args: Value = serde_json::from_str(json).unwrap();
            let chunk = json!({"candidates": [{"content": {"parts": [{"functionCall": {"id": id, "name": "bash", "args": args}}]}}]});
            format!("data: {chunk}\n\n")
        },
        end: "data: {\"candidates\":[{\"content\":{},\"finishReason\":\"STOP\"}],\"usageMetadata\":{\"promptTokenCount\":3,\"candidatesTokenCount\":9}}\n\n",
        error: "data: {\"error\":{\"message\":\"Overloaded\",\"code\":503,\"status\":\"UNAVAILABLE\"}}\n\n",
    },
];

pub(super) const IDLE: Duration = Duration::from_mins(5);

pub(super) struct Outcome {
    pub(super) deltas: Vec<Delta>,
    pub(super) message: AssistantMessage,
    pub(super) failure: Option<ModelFailure>,
}

impl Outcome {
    pub(super) fn code(&self) -> &str {
        self.failure.as_ref().map_or("", |f| f.code.as_str())
    }

    /// Deltas whose name ends so.
    pub(super) fn count(&self, end: &str) -> usize {
        let name = |delta: &Delta| {
            let json = serde_json::to_value(delta).unwrap();
            json["type"].as_str().unwrap().ends_with(end)
        };
        self.deltas.iter().filter(|delta| name(delta)).count()
    }

    pub(super) fn words(&self) -> &str {
        self.failure.as_ref().map_or("", |f| f.message.as_str())
    }

    pub(super) fn calls(&self) -> Vec<(&str, String)> {
        self.message
            .tool_calls()
            .map(|c| (c.id.as_str(), serde_json::to_string(&c.arguments).unwrap()))
            .collect()
    }
}

impl Format {
    pub(super) fn ask_with(
        &self,
        answer: PreparedAnswer,
        history: Vec<Message>,
        cancel: CancellationToken,
    ) -> futures_util::stream::BoxStream<'static, ModelEvent> {
        self.ask_through(MemoryTransport::new([answer]), history, cancel)
    }

    pub(super) fn ask_through(
        &self,
        transport: Arc<MemoryTransport>,
        history: Vec<Message>,
        cancel: CancellationToken,
    ) -> futures_util::stream::BoxStream<'static, ModelEvent> {
        let mut asked = request(self.provider, self.model, history);
        asked.model.api = self.api;
        Models::new(transport).with_idle_timeout(IDLE).ask(asked, cancel)
    }

    pub(super) async fn ask(&self, answer: PreparedAnswer) -> Outcome {
        self.ask_after(answer, vec![user("hi")]).await
    }

    pub(super) async fn ask_after(&self, answer: PreparedAnswer, history: Vec<Message>) -> Outcome {
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

    pub(super) fn whole(&self) -> String {
        format!(
            "{}{}{}{}",
            (self.text)("Héllo 🎈"),
            (self.call)(0, "a", "{\"command\":\"ls\"}"),
            (self.call)(1, "b", "{}"),
            self.end
        )
    }
}
