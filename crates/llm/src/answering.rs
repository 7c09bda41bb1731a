//! The other side of the adapters: answers programs in the wire format that they speak, whatever
//! format the model behind it has. For each format: `request.rs` reads what a program asks for into
//! a [`ModelRequest`], `stream.rs` writes [`ModelEvent`]s as that format's stream, `message.rs` a whole
//! message as its one JSON answer. Knows no HTTP server and chooses no model.
//!
//! The rule for what a [`ModelRequest`] cannot hold: what would give the program another answer than
//! it asked for is refused with a word on what to do; what only tunes, labels or saves money, and
//! tools that a provider runs by itself, is left out and named in [`Asked::dropped`].

pub mod anthropic;
mod conversation;
pub mod failure;
mod fields;
pub mod gemini;
mod in_turn;
pub mod listing;
pub mod openai_chat;
pub mod openai_responses;
mod seal;
mod size;

#[cfg(test)]
mod tests;

use crate::{
    ask::{ModelEvent, ModelRequest, Output, ThinkingLevel, ToolChoice},
    openai_chat::models::may_be_tuned,
};
use serde_json::Value;
use std::collections::BTreeSet;
use toft_model::{
    message::{AssistantMessage, Block, Message, UserContent},
    provider::{Api, ModelInfo},
};

pub(crate) use fields::Fields;
use in_turn::InTurn;

/// A wire format that programs are answered in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WireFormat {
    /// `POST …/chat/completions`.
    OpenaiChat,
    /// `POST …/responses`.
    OpenaiResponses,
    /// `POST …/messages`.
    Anthropic,
    /// `POST …/models/{model}:generateContent` and `:streamGenerateContent`.
    Gemini,
}

impl WireFormat {
    /// The same among those that providers speak.
    pub fn api(self) -> Api {
        match self {
            Self::OpenaiChat => Api::OpenaiCompletions,
            Self::OpenaiResponses => Api::OpenaiResponses,
            Self::Anthropic => Api::AnthropicMessages,
            Self::Gemini => Api::GoogleGenerativeAi,
        }
    }
}

/// What a program asked for.
#[derive(Debug)]
pub struct Asked {
    /// For the model.
    pub request: ModelRequest,
    /// Whether the answer is to be a stream. In Gemini's format the path says so.
    pub stream: bool,
    /// What is left out of it, by the names of its fields.
    pub dropped: BTreeSet<String>,
    /// What the answer depends on.
    pub shape: Shape,
}

/// How a program wants its answer.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Shape {
    /// Chat: a chunk with the usage at the end of a stream.
    pub usage_chunk: bool,
    /// Responses: tools that take free text instead of JSON.
    pub free_text_tools: BTreeSet<String>,
    /// Gemini: a stream that is one JSON array instead of events.
    pub array: bool,
}

/// What an answer says of itself.
#[derive(Debug, Clone)]
pub struct Label {
    /// A part of its id: letters and digits.
    pub id: String,
    /// Unix seconds.
    pub created: u64,
    /// The model as the program named it.
    pub name: String,
    /// The model that answers.
    pub model: ModelInfo,
}

/// A request that cannot be answered as it is.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Refused(pub String);

impl Refused {
    pub(crate) fn new(message: impl Into<String>) -> Self {
        Self(message.into())
    }
}

/// Reads a request's body for `model`. `listed`: the catalogue knows the model, and what it can do.
pub fn read(
    format: WireFormat,
    body: &[u8],
    model: ModelInfo,
    listed: bool,
) -> Result<Asked, Refused> {
    size::check_bytes(body)?;
    let value: Value = serde_json::from_slice(body)
        .map_err(|e| Refused::new(format!("The body is no JSON that can be read: {e}.")))?;
    size::check(&value)?;
    let fields = Fields::of(value, "the body")?;
    let mut asked = match format {
        WireFormat::OpenaiChat => openai_chat::request::read(fields, model),
        WireFormat::OpenaiResponses => openai_responses::request::read(fields, model),
        WireFormat::Anthropic => anthropic::request::read(fields, model),
        WireFormat::Gemini => gemini::request::read(fields, model),
    }?;
    if asked.request.messages.is_empty() {
        return Err(Refused::new("There is no message in the request: send at least one."));
    }
    if listed {
        fit(&mut asked)?;
    } else {
        trust(&mut asked.request);
    }
    has_words(&mut asked)?;
    beside_thinking(&mut asked.request, &mut asked.dropped);
    asked.request.options.passed_on = true;
    Ok(asked)
}

/// A model of which nothing is known is asked for what the program says that it can do.
fn trust(request: &mut ModelRequest) {
    let wanted = request.max_tokens.unwrap_or_default();
    let model = &mut request.model;
    model.images = true;
    model.reasoning = request.thinking != ThinkingLevel::Off;
    model.max_tokens = model.max_tokens.max(wanted);
    model.context_window = u64::MAX;
}

/// A known model is not asked for what it cannot do.
fn fit(asked: &mut Asked) -> Result<(), Refused> {
    let request = &mut asked.request;
    if !request.model.images && request.messages.iter().any(has_image) {
        return Err(Refused::new(format!(
            "{} cannot see images: leave them out, or choose a model that can.",
            request.model.id
        )));
    }
    if request.thinking != ThinkingLevel::Off && !request.model.reasoning {
        request.thinking = ThinkingLevel::Off;
        asked.dropped.insert("thinking".into());
    }
    Ok(())
}

fn has_image(message: &Message) -> bool {
    let image = |blocks: &[Block]| blocks.iter().any(|b| matches!(b, Block::Image { .. }));
    match message {
        Message::User(m) => matches!(&m.content, UserContent::Blocks(blocks) if image(blocks)),
        Message::ToolResult(m) => image(&m.content),
        Message::Assistant(_)
        | Message::Custom(_)
        | Message::CompactionSummary(_)
        | Message::BranchSummary(_) => false,
    }
}

/// What the model's own format has no word for.
fn has_words(asked: &mut Asked) -> Result<(), Refused> {
    let Asked { request, dropped, .. } = asked;
    let called = || {
        request.messages.iter().any(
            |message| matches!(message, Message::Assistant(m) if m.tool_calls().next().is_some()),
        )
    };
    let unkept = request.options.tool_choice == ToolChoice::Never && called();
    let (options, model) = (&mut request.options, &request.model.id);
    match request.model.api {
        Api::OpenaiResponses if !options.stop.is_empty() => Err(Refused::new(format!(
            "{model} is reached in a format without stop sequences: leave them out."
        ))),
        Api::AnthropicMessages if options.output == Output::Json => Err(Refused::new(format!(
            "{model} gives JSON only by a schema: send one instead of the plain JSON mode."
        ))),
        Api::BedrockConverseStream
            if options.output == Output::Json
                || (options.output != Output::Text && !model.contains("claude")) =>
        {
            Err(Refused::new(format!(
                "{model} is reached in a format without JSON answers, but for Claude's by a schema: ask \
                 for it in words."
            )))
        }
        // It refuses a conversation with calls but without tools, and has no word for this.
        Api::BedrockConverseStream if unkept => Err(Refused::new(format!(
            "{model} is reached in a format that cannot keep a model from calling tools once it has: \
             leave `none` out."
        ))),
        Api::GoogleGenerativeAi | Api::BedrockConverseStream if options.one_call => {
            options.one_call = false;
            dropped.insert("one tool call at a time".into());
            Ok(())
        }
        Api::OpenaiResponses
        | Api::AnthropicMessages
        | Api::GoogleGenerativeAi
        | Api::OpenaiCompletions
        | Api::BedrockConverseStream
        | Api::Scripted => Ok(()),
    }
}

/// Least `top_p` that Claude takes while it thinks.
const CLAUDE_TOP_P_MIN: f64 = 0.95;

/// Models that think do not take all that others take. A call that Claude has to make is what was asked
/// for; how hard to think, and the rest here, only tunes.
fn beside_thinking(request: &mut ModelRequest, dropped: &mut BTreeSet<String>) {
    let (options, model) = (&mut request.options, &request.model);
    if !model.reasoning {
        return;
    }
    let top_p_min = match model.api {
        Api::AnthropicMessages | Api::BedrockConverseStream
            if request.thinking != ThinkingLevel::Off && model.id.contains("claude-") =>
        {
            if matches!(options.tool_choice, ToolChoice::Required | ToolChoice::Tool(_)) {
                request.thinking = ThinkingLevel::Off;
                dropped.insert("thinking".into());
                return;
            }
            CLAUDE_TOP_P_MIN
        }
        Api::OpenaiCompletions | Api::OpenaiResponses
            if !may_be_tuned(&model.id, request.thinking) =>
        {
            1.0
        }
        _ => return,
    };
    if options.temperature.take_if(|t| (*t - 1.0).abs() > f64::EPSILON).is_some() {
        dropped.insert("temperature".into());
    }
    if options.top_p.take_if(|p| *p < top_p_min).is_some() {
        dropped.insert("top_p".into());
    }
}

/// Writes an answer as a stream.
pub trait Encode: Send {
    /// What there is to send for an event. After `Done` comes nothing more.
    fn event(&mut self, event: &ModelEvent, out: &mut String);
}

/// For one answer.
pub fn encoder(format: WireFormat, label: Label, shape: Shape) -> Box<dyn Encode> {
    match format {
        WireFormat::OpenaiChat => Box::new(openai_chat::stream::Encoder::new(label, &shape)),
        WireFormat::OpenaiResponses => {
            Box::new(InTurn::new(openai_responses::stream::Encoder::new(label, shape)))
        }
        WireFormat::Anthropic => Box::new(InTurn::new(anthropic::stream::Encoder::new(label))),
        WireFormat::Gemini => Box::new(gemini::stream::Encoder::new(label, &shape)),
    }
}

/// A whole message as one JSON answer. `message` is not a failed one.
pub fn whole(
    format: WireFormat,
    label: &Label,
    shape: &Shape,
    message: &AssistantMessage,
) -> Value {
    match format {
        WireFormat::OpenaiChat => openai_chat::message::write(label, message),
        WireFormat::OpenaiResponses => openai_responses::message::write(label, shape, message),
        WireFormat::Anthropic => anthropic::message::write(label, message),
        WireFormat::Gemini => gemini::message::write(label, message),
    }
}
