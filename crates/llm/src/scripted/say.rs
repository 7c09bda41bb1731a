//! What the scripted model says in one message, and how it comes out piece by piece.

use super::Pace;
use crate::{
    ask::{ModelEvent, ModelRequest},
    assembly::Assembly,
    ends::{aborted, empty_message},
    limits,
};
use futures_util::{
    StreamExt as _,
    stream::{self, BoxStream},
};
use serde_json::Value;
use std::{collections::VecDeque, time::Duration};
use toft_model::{
    message::{AssistantMessage, StopReason, Usage},
    provider::ModelInfo,
};
use tokio_util::sync::CancellationToken;

/// Characters of arguments that come out at once.
const ARGUMENT_PIECE_CHARS: usize = 120;

/// Characters that make a token, for the usage that is shown.
const CHARS_PER_TOKEN: u64 = 4;

/// One message.
#[derive(Debug, Default)]
pub(super) struct Say {
    thinking: Option<&'static str>,
    text: String,
    calls: Vec<(&'static str, Value)>,
}

impl Say {
    /// A text.
    pub(super) fn text(text: impl Into<String>) -> Self {
        Self { text: text.into(), ..Self::default() }
    }

    /// The same, with one more call.
    pub(super) fn call(mut self, tool: &'static str, arguments: Value) -> Self {
        self.calls.push((tool, arguments));
        self
    }

    /// The same, after this thought, for those who let the model think.
    pub(super) fn thinking(mut self, thought: &'static str) -> Self {
        self.thinking = Some(thought);
        self
    }

    /// The same, with this before its text.
    pub(super) fn after(mut self, words: &str) -> Self {
        self.text = if self.text.is_empty() {
            words.to_owned()
        } else {
            format!("{words}\n\n{}", self.text)
        };
        self
    }

    /// Tools that it calls.
    pub(super) fn tools(&self) -> impl Iterator<Item = &'static str> {
        self.calls.iter().map(|(tool, _)| *tool)
    }
}

/// One thing that happens to the message.
enum Op {
    Thinking(String),
    Text(String),
    OpenCall { id: String, tool: &'static str },
    Arguments(String),
    CloseCall,
}

struct Speech {
    ops: VecDeque<Op>,
    assembly: Assembly,
    open_call: usize,
    model: ModelInfo,
    input_tokens: u64,
    pace: Pace,
    wait: Duration,
    cancel: CancellationToken,
    over: bool,
}

/// The message as a stream.
pub(super) fn stream(
    say: Say,
    request: &ModelRequest,
    pace: Pace,
    cancel: CancellationToken,
) -> BoxStream<'static, ModelEvent> {
    let thinks = request.thinking != crate::ask::ThinkingLevel::Off;
    let speech = Speech {
        ops: ops(say, request, thinks),
        assembly: Assembly::after(&request.messages),
        open_call: 0,
        model: request.model.clone(),
        input_tokens: limits::estimate(request),
        pace,
        wait: pace.first,
        cancel,
        over: false,
    };
    stream::unfold(
        speech,
        |mut speech| async move { speech.next().await.map(|event| (event, speech)) },
    )
    .boxed()
}

fn ops(say: Say, request: &ModelRequest, thinks: bool) -> VecDeque<Op> {
    let mut ops = VecDeque::new();
    if let Some(thought) = say.thinking.filter(|_| thinks) {
        ops.extend(words(thought).map(Op::Thinking));
    }
    ops.extend(words(&say.text).map(Op::Text));
    let asked_at = super::turn::Turn::of(&request.messages).asked_at;
    for (k, (tool, arguments)) in say.calls.into_iter().enumerate() {
        // The same for the same conversation, another for every other.
        let id = format!("demo_{asked_at:x}_{}_{k}", request.messages.len());
        ops.push_back(Op::OpenCall { id, tool });
        ops.extend(chunks(&arguments.to_string()).map(Op::Arguments));
        ops.push_back(Op::CloseCall);
    }
    ops
}

/// Words with the space after them.
fn words(text: &str) -> impl Iterator<Item = String> {
    text.split_inclusive(' ').map(str::to_owned)
}

fn chunks(text: &str) -> impl Iterator<Item = String> {
    let chars: Vec<char> = text.chars().collect();
    let pieces: Vec<String> =
        chars.chunks(ARGUMENT_PIECE_CHARS).map(|piece| piece.iter().collect()).collect();
    pieces.into_iter()
}

impl Speech {
    async fn next(&mut self) -> Option<ModelEvent> {
        loop {
            if self.over {
                return None;
            }
            if self.cancel.is_cancelled() {
                return Some(self.done(true));
            }
            if let Some(event) = self.assembly.next_event() {
                return Some(event);
            }
            if !self.wait.is_zero() {
                tokio::select! {
                    biased;
                    () = self.cancel.cancelled() => return Some(self.done(true)),
                    () = tokio::time::sleep(self.wait) => {}
                }
            }
            self.wait = self.pace.piece;
            if let Some(op) = self.ops.pop_front() {
                self.apply(op);
                continue;
            }
            self.assembly.close_all();
            return Some(match self.assembly.next_event() {
                Some(event) => event,
                None => self.done(false),
            });
        }
    }

    fn apply(&mut self, op: Op) {
        match op {
            Op::Thinking(piece) => self.assembly.thinking(&piece),
            Op::Text(piece) => self.assembly.text(&piece),
            Op::OpenCall { id, tool } => {
                self.assembly.close_current();
                self.open_call = self.assembly.open_tool(&id, tool);
            }
            Op::Arguments(piece) => self.assembly.push_json(self.open_call, &piece),
            Op::CloseCall => self.assembly.close(self.open_call),
        }
    }

    fn done(&mut self, cancelled: bool) -> ModelEvent {
        self.over = true;
        let assembly = std::mem::take(&mut self.assembly);
        let content =
            if cancelled { assembly.into_partial_blocks() } else { assembly.into_blocks() };
        let mut message = AssistantMessage { content, ..empty_message(&self.model) };
        let written = serde_json::to_string(&message.content).map_or(0, |json| json.len() as u64);
        let (input, output) = (self.input_tokens, written / CHARS_PER_TOKEN);
        message.usage = Usage { input, output, total_tokens: input + output, ..Usage::default() };
        message.usage.cost =
            self.model.price.as_ref().map(|p| crate::price::cost(p, &message.usage));
        let failure = cancelled.then(aborted);
        message.stop_reason = if cancelled {
            message.error_message = failure.as_ref().map(|f| f.message.clone());
            StopReason::Aborted
        } else if message.tool_calls().next().is_some() {
            StopReason::ToolUse
        } else {
            StopReason::Stop
        };
        ModelEvent::Done { message, failure }
    }
}
