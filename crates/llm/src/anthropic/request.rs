//! Writes a request in Anthropic's format.
//!
//! Cache: breakpoints on the system prompt (which covers the tools before it) and on the last message
//! of the user. They are the only bytes that change when messages are added.

use super::thinking::{self, Asked, Thinking};
use crate::{
    ask::{ModelRequest, Options, Output, ToolChoice},
    handover::{Answer, IdRule, Piece, Said, Turn, turns, wire_id, wire_name},
    limits,
};
use bytes::Bytes;
use http::{HeaderMap, HeaderValue};
use serde::Serialize;
use serde_json::{Map, Value};
use std::borrow::Cow;

/// Version of the format.
const VERSION: HeaderValue = HeaderValue::from_static("2023-06-01");

const IDS: IdRule = IdRule { chars_max: 64, exact: false, also: "_-" };

#[derive(Serialize)]
struct Body<'a> {
    model: &'a str,
    max_tokens: u64,
    stream: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    thinking: Option<Thinking>,
    #[serde(skip_serializing_if = "Option::is_none")]
    output_config: Option<OutputConfig<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    temperature: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    top_p: Option<f64>,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    stop_sequences: &'a [String],
    #[serde(skip_serializing_if = "Option::is_none")]
    tool_choice: Option<Choice<'a>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    tools: Vec<Tool<'a>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    system: Vec<Content<'a>>,
    messages: Vec<WireMessage<'a>>,
}

#[derive(Serialize, Default)]
struct OutputConfig<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    effort: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    format: Option<OutputFormat<'a>>,
}

#[derive(Serialize)]
struct OutputFormat<'a> {
    #[serde(rename = "type")]
    kind: &'static str,
    schema: &'a Value,
}

#[derive(Serialize)]
struct Choice<'a> {
    #[serde(rename = "type")]
    kind: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<&'a str>,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    disable_parallel_tool_use: bool,
}

#[derive(Serialize)]
struct Tool<'a> {
    name: &'a str,
    description: &'a str,
    input_schema: &'a Value,
    #[serde(skip_serializing_if = "Option::is_none")]
    cache_control: Option<CacheControl>,
}

#[derive(Serialize, Clone, Copy)]
struct CacheControl {
    #[serde(rename = "type")]
    kind: &'static str,
}

const EPHEMERAL: Option<CacheControl> = Some(CacheControl { kind: "ephemeral" });

#[derive(Serialize)]
struct WireMessage<'a> {
    role: &'static str,
    content: Vec<Content<'a>>,
}

#[derive(Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum Content<'a> {
    Text {
        text: Cow<'a, str>,
        #[serde(skip_serializing_if = "Option::is_none")]
        cache_control: Option<CacheControl>,
    },
    Image {
        source: Source<'a>,
        #[serde(skip_serializing_if = "Option::is_none")]
        cache_control: Option<CacheControl>,
    },
    Thinking {
        thinking: &'a str,
        signature: &'a str,
    },
    RedactedThinking {
        data: &'a str,
    },
    ToolUse {
        id: Cow<'a, str>,
        name: Cow<'a, str>,
        input: &'a Map<String, Value>,
    },
    ToolResult {
        tool_use_id: Cow<'a, str>,
        content: Vec<Content<'a>>,
        #[serde(skip_serializing_if = "std::ops::Not::not")]
        is_error: bool,
        #[serde(skip_serializing_if = "Option::is_none")]
        cache_control: Option<CacheControl>,
    },
}

#[derive(Serialize)]
struct Source<'a> {
    #[serde(rename = "type")]
    kind: &'static str,
    media_type: &'a str,
    data: &'a str,
}

/// Headers and body.
pub(crate) fn write(request: &ModelRequest) -> (HeaderMap, Bytes) {
    let mut headers = HeaderMap::new();
    headers.insert("anthropic-version", VERSION);
    let turns = turns(&request.messages, &request.model);
    let max_tokens = limits::output_tokens(request);
    let Asked { thinking, effort, beta } = thinking::ask(request, &turns, max_tokens);
    if let Some(beta) = beta {
        headers.insert("anthropic-beta", HeaderValue::from_static(beta));
    }
    let mut messages: Vec<WireMessage<'_>> = turns.iter().map(message).collect();
    messages.retain(|m| !m.content.is_empty());
    let last = messages.iter_mut().rev().find(|m| m.role == "user");
    let keep = if request.options.one_off { None } else { EPHEMERAL };
    if let Some(content) = last.and_then(|m| m.content.last_mut()) {
        mark(content, keep);
    }
    let mut tools: Vec<Tool<'_>> = request
        .tools
        .iter()
        .map(|t| Tool {
            name: &t.name,
            description: &t.description,
            input_schema: &t.parameters,
            cache_control: None,
        })
        .collect();
    let system = if request.system.is_empty() {
        if let Some(last) = tools.last_mut() {
            last.cache_control = keep;
        }
        Vec::new()
    } else {
        vec![Content::Text { text: Cow::Borrowed(&request.system), cache_control: keep }]
    };
    let options = &request.options;
    let format = match &options.output {
        Output::Schema { schema, .. } => Some(OutputFormat { kind: "json_schema", schema }),
        // The format knows no JSON without a schema.
        Output::Text | Output::Json => None,
    };
    let output_config =
        (effort.is_some() || format.is_some()).then_some(OutputConfig { effort, format });
    let body = Body {
        model: &request.model.id,
        max_tokens,
        stream: true,
        thinking,
        output_config,
        temperature: options.temperature,
        top_p: options.top_p,
        stop_sequences: &options.stop,
        tool_choice: if tools.is_empty() { None } else { choice(options) },
        tools,
        system,
        messages,
    };
    (headers, serde_json::to_vec(&body).expect("requests hold only JSON-able data").into())
}

fn choice(options: &Options) -> Option<Choice<'_>> {
    let (kind, name) = match &options.tool_choice {
        ToolChoice::Auto if !options.one_call => return None,
        ToolChoice::Auto => ("auto", None),
        ToolChoice::Never => ("none", None),
        ToolChoice::Required => ("any", None),
        ToolChoice::Tool(name) => ("tool", Some(name.as_str())),
    };
    Some(Choice { kind, name, disable_parallel_tool_use: options.one_call && kind != "none" })
}

fn mark(content: &mut Content<'_>, keep: Option<CacheControl>) {
    match content {
        Content::Text { cache_control, .. }
        | Content::Image { cache_control, .. }
        | Content::ToolResult { cache_control, .. } => *cache_control = keep,
        Content::Thinking { .. } | Content::RedactedThinking { .. } | Content::ToolUse { .. } => {}
    }
}

fn message<'a>(turn: &Turn<'a>) -> WireMessage<'a> {
    match turn {
        Turn::User(pieces) => {
            WireMessage { role: "user", content: pieces.iter().map(piece).collect() }
        }
        Turn::Assistant(said) => {
            WireMessage { role: "assistant", content: said.iter().filter_map(content).collect() }
        }
        Turn::Results(answers) => {
            WireMessage { role: "user", content: answers.iter().map(result).collect() }
        }
    }
}

fn piece<'a>(piece: &Piece<'a>) -> Content<'a> {
    match piece {
        Piece::Text(text) => Content::Text { text: text.clone(), cache_control: None },
        Piece::Image { data, mime_type } => Content::Image {
            source: Source { kind: "base64", media_type: mime_type, data },
            cache_control: None,
        },
    }
}

fn content<'a>(said: &Said<'a>) -> Option<Content<'a>> {
    Some(match said {
        Said::Text(text) => Content::Text { text: Cow::Borrowed(text), cache_control: None },
        Said::Thinking { redacted: true, signature, .. } => {
            Content::RedactedThinking { data: (*signature)? }
        }
        // Without its signature the API refuses it.
        Said::Thinking { text, signature, .. } => {
            Content::Thinking { thinking: text, signature: (*signature)? }
        }
        Said::Call(call) => Content::ToolUse {
            id: wire_id(&call.id, IDS),
            name: wire_name(&call.name),
            input: &call.arguments,
        },
    })
}

fn result<'a>(answer: &Answer<'a>) -> Content<'a> {
    Content::ToolResult {
        tool_use_id: wire_id(&answer.call.id, IDS),
        content: answer.pieces.iter().map(piece).collect(),
        is_error: answer.is_error,
        cache_control: None,
    }
}
