//! Writes a request in OpenAI's chat format, in the dialect of its provider.

use super::details::Details;
use crate::{
    ask::{ModelRequest, Output, ThinkingLevel, ToolChoice},
    catalogue::{Dialect, ThinkingFormat},
    data_url,
    handover::{Answer, IdRule, Piece, Said, Turn, turns, wire_id, wire_name},
    limits,
    openai_chat::models::effort,
};
use bytes::Bytes;
use serde::Serialize;
use serde_json::{Value, json};
use std::borrow::Cow;

/// Said to models that see images in results only when a person shows them.
const SHOWN: &str = "The images of the tool results above:";

/// Said for the model where a provider wants it to speak between a result and a person.
const NODDED: &str = "I have the results.";

/// In place of thinking that there is none of, for providers that want some: those refuse nothing, and most
/// of them an empty text too.
const UNTHOUGHT: &str = " ";

const IDS: IdRule = IdRule { chars_max: 40, exact: false, also: "_-.:" };
const SHORT_IDS: IdRule = IdRule { chars_max: 9, exact: true, also: "" };

#[derive(Serialize)]
struct Body<'a> {
    model: &'a str,
    messages: Vec<WireMessage<'a>>,
    stream: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    stream_options: Option<StreamOptions>,
    #[serde(skip_serializing_if = "Option::is_none")]
    max_tokens: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    max_completion_tokens: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    temperature: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    top_p: Option<f64>,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    stop: &'a [String],
    #[serde(skip_serializing_if = "Option::is_none")]
    response_format: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tool_choice: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    parallel_tool_calls: Option<bool>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    tools: Vec<Tool<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reasoning_effort: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reasoning: Option<Reasoning>,
    #[serde(skip_serializing_if = "Option::is_none")]
    thinking: Option<Thinking>,
    #[serde(skip_serializing_if = "Option::is_none")]
    enable_thinking: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    store: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    prompt_cache_key: Option<&'a str>,
}

#[derive(Serialize)]
struct StreamOptions {
    include_usage: bool,
}

#[derive(Serialize)]
#[serde(rename_all = "snake_case")]
enum Reasoning {
    Effort(&'static str),
    Enabled(bool),
}

#[derive(Serialize)]
struct Thinking {
    #[serde(rename = "type")]
    kind: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    clear_thinking: Option<bool>,
}

#[derive(Serialize)]
struct Switch {
    #[serde(rename = "type")]
    kind: &'static str,
}

#[derive(Serialize)]
struct Tool<'a> {
    #[serde(rename = "type")]
    kind: &'static str,
    function: Function<'a>,
}

#[derive(Serialize)]
struct Function<'a> {
    name: &'a str,
    description: &'a str,
    parameters: &'a Value,
}

#[derive(Serialize)]
struct WireMessage<'a> {
    role: &'static str,
    content: Option<Content<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reasoning_content: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    reasoning_details: Vec<Value>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    tool_calls: Vec<Call<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tool_call_id: Option<Cow<'a, str>>,
}

#[derive(Serialize)]
#[serde(untagged)]
enum Content<'a> {
    Text(Cow<'a, str>),
    Parts(Vec<Part<'a>>),
}

#[derive(Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum Part<'a> {
    Text {
        text: Cow<'a, str>,
        #[serde(skip_serializing_if = "Option::is_none")]
        cache_control: Option<Switch>,
    },
    ImageUrl {
        image_url: ImageUrl,
    },
}

#[derive(Serialize)]
struct ImageUrl {
    url: String,
}

#[derive(Serialize)]
struct Call<'a> {
    id: Cow<'a, str>,
    #[serde(rename = "type")]
    kind: &'static str,
    function: CallFunction<'a>,
}

#[derive(Serialize)]
struct CallFunction<'a> {
    name: Cow<'a, str>,
    arguments: String,
}

impl<'a> WireMessage<'a> {
    fn new(role: &'static str, content: Content<'a>) -> Self {
        Self {
            role,
            content: Some(content),
            reasoning_content: None,
            reasoning_details: Vec::new(),
            tool_calls: Vec::new(),
            tool_call_id: None,
        }
    }
}

/// The body.
pub(crate) fn write(request: &ModelRequest, dialect: &Dialect) -> Bytes {
    let turns = turns(&request.messages, &request.model);
    let mut messages = Vec::with_capacity(turns.len() + 1);
    if !request.system.is_empty() {
        let role =
            if dialect.developer_role && request.model.reasoning { "developer" } else { "system" };
        messages.push(WireMessage::new(role, Content::Text(Cow::Borrowed(&request.system))));
    }
    let thinks = request.model.reasoning
        && (request.thinking != ThinkingLevel::Off || always_thinks(&request.model.id));
    let unthought = (dialect.wants_reasoning && thinks).then_some(UNTHOUGHT);
    for turn in &turns {
        push(&mut messages, turn, dialect, unthought);
    }
    if dialect.cache_control && request.model.id.starts_with("anthropic/") {
        mark(messages.first_mut());
        mark(messages.iter_mut().rev().find(|m| matches!(m.role, "user" | "tool")));
    }
    let max = limits::output_tokens(request);
    let tools: Vec<Tool<'_>> = request
        .tools
        .iter()
        .map(|t| Tool {
            kind: "function",
            function: Function {
                name: &t.name,
                description: &t.description,
                parameters: &t.parameters,
            },
        })
        .collect();
    let mut body = Body {
        model: &request.model.id,
        messages,
        stream: true,
        stream_options: dialect.stream_options.then_some(StreamOptions { include_usage: true }),
        max_tokens: (!dialect.max_completion_tokens).then_some(max),
        max_completion_tokens: dialect.max_completion_tokens.then_some(max),
        temperature: request.options.temperature,
        top_p: request.options.top_p,
        stop: &request.options.stop,
        response_format: response_format(&request.options.output),
        tool_choice: if tools.is_empty() { None } else { choice(&request.options.tool_choice) },
        parallel_tool_calls: (request.options.one_call && !tools.is_empty()).then_some(false),
        tools,
        reasoning_effort: None,
        reasoning: None,
        thinking: None,
        enable_thinking: None,
        store: dialect.openai_extras.then_some(false),
        prompt_cache_key: (dialect.openai_extras && !request.session.is_empty())
            .then_some(&request.session),
    };
    if request.model.reasoning {
        think(&mut body, request.thinking, dialect);
    }
    serde_json::to_vec(&body).expect("requests hold only JSON-able data").into()
}

fn response_format(output: &Output) -> Option<Value> {
    Some(match output {
        Output::Text => return None,
        Output::Json => json!({"type": "json_object"}),
        Output::Schema { name, schema } => {
            json!({"type": "json_schema", "json_schema": {"name": name, "schema": schema}})
        }
    })
}

fn choice(choice: &ToolChoice) -> Option<Value> {
    Some(match choice {
        ToolChoice::Auto => return None,
        ToolChoice::Never => json!("none"),
        ToolChoice::Required => json!("required"),
        ToolChoice::Tool(name) => json!({"type": "function", "function": {"name": name}}),
    })
}

fn think(body: &mut Body<'_>, level: ThinkingLevel, dialect: &Dialect) {
    let on = level != ThinkingLevel::Off;
    match dialect.thinking {
        ThinkingFormat::Unsupported => {}
        ThinkingFormat::GptOss if !body.model.contains("gpt-oss") => {}
        ThinkingFormat::Effort | ThinkingFormat::GptOss => {
            body.reasoning_effort = effort(body.model, level, !body.tools.is_empty());
        }
        ThinkingFormat::OpenRouter => {
            let word = match body.model.strip_prefix("openai/") {
                Some(name) => effort(name, level, false),
                // Who thinks whatever is said refuses to be told not to.
                None => (on || may_be_off(body.model)).then_some(level.word()),
            };
            body.reasoning = word.map(Reasoning::Effort);
        }
        ThinkingFormat::Enabled => body.reasoning = Some(Reasoning::Enabled(on)),
        // Models that always think cannot be told not to.
        ThinkingFormat::Switch | ThinkingFormat::Zai if !on && always_thinks(body.model) => {}
        ThinkingFormat::Switch | ThinkingFormat::Zai => {
            let clear_thinking = (on && dialect.thinking == ThinkingFormat::Zai).then_some(false);
            let kind = if on { "enabled" } else { "disabled" };
            body.thinking = Some(Thinking { kind, clear_thinking });
        }
        ThinkingFormat::Qwen => body.enable_thinking = Some(on),
    }
}

/// Models with a name of their own for thinking, which are not told whether to.
fn always_thinks(model: &str) -> bool {
    model.contains("thinking") || model.contains("reasoner")
}

/// Whether a model behind OpenRouter can be told not to think. Nothing is said to the others, also to those
/// that would take it: a list of who refuses is never whole, and who does not is known.
fn may_be_off(model: &str) -> bool {
    const MAY_BE: [&str; 8] = [
        "anthropic/claude-",
        "deepseek/deepseek-chat",
        "deepseek/deepseek-v",
        "google/gemini-2.5-flash",
        "moonshotai/kimi-k2",
        "qwen/qwen3",
        "z-ai/glm-4",
        "z-ai/glm-5",
    ];
    !always_thinks(model) && MAY_BE.iter().any(|begin| model.starts_with(begin))
}

/// `unthought`: stands in each message of the model that has no thinking.
fn push<'a>(
    messages: &mut Vec<WireMessage<'a>>,
    turn: &Turn<'a>,
    dialect: &Dialect,
    unthought: Option<&str>,
) {
    match turn {
        Turn::User(pieces) => {
            if dialect.assistant_after_tool && messages.last().is_some_and(|m| m.role == "tool") {
                messages.push(WireMessage::new("assistant", Content::Text(NODDED.into())));
            }
            messages.push(WireMessage::new("user", content(pieces)));
        }
        Turn::Assistant(said) => messages.push(assistant(said, dialect, unthought)),
        Turn::Results(answers) => results(messages, answers, dialect),
    }
}

fn assistant<'a>(said: &[Said<'a>], dialect: &Dialect, unthought: Option<&str>) -> WireMessage<'a> {
    let mut texts: Vec<&'a str> = Vec::new();
    let mut thoughts: Vec<&str> = Vec::new();
    let mut reasoning_details = Vec::new();
    let mut tool_calls = Vec::new();
    for said in said {
        match said {
            Said::Text(text) => texts.push(text),
            Said::Thinking { text, signature, .. } => {
                thoughts.push(text);
                if let Some(signature) = signature.filter(|_| dialect.reasoning_details) {
                    reasoning_details.extend(Details::unseal(signature));
                }
            }
            Said::Call(call) => tool_calls.push(Call {
                id: tool_id(&call.id, dialect),
                kind: "function",
                function: CallFunction {
                    name: wire_name(&call.name),
                    arguments: serde_json::to_string(&call.arguments)
                        .expect("arguments are JSON already"),
                },
            }),
        }
    }
    let content = match texts.as_slice() {
        [] => None,
        [one] => Some(Content::Text(Cow::Borrowed(one))),
        many => Some(Content::Text(Cow::Owned(many.join("\n\n")))),
    };
    let thought = dialect.replays_reasoning.then(|| thoughts.concat());
    WireMessage {
        role: "assistant",
        content,
        reasoning_content: thought
            .filter(|thought| !thought.is_empty())
            .or_else(|| unthought.map(str::to_owned)),
        reasoning_details,
        tool_calls,
        tool_call_id: None,
    }
}

fn results<'a>(messages: &mut Vec<WireMessage<'a>>, answers: &[Answer<'a>], dialect: &Dialect) {
    let mut images = Vec::new();
    for answer in answers {
        images.extend(answer.images().cloned());
        messages.push(WireMessage {
            tool_call_id: Some(tool_id(&answer.call.id, dialect)),
            ..WireMessage::new("tool", Content::Text(answer.text().into_owned().into()))
        });
    }
    if !images.is_empty() {
        if dialect.assistant_after_tool {
            messages.push(WireMessage::new("assistant", Content::Text(NODDED.into())));
        }
        images.insert(0, Piece::Text(Cow::Borrowed(SHOWN)));
        messages.push(WireMessage::new("user", content(&images)));
    }
}

fn tool_id<'a>(id: &'a str, dialect: &Dialect) -> Cow<'a, str> {
    wire_id(id, if dialect.short_tool_ids { SHORT_IDS } else { IDS })
}

fn content<'a>(pieces: &[Piece<'a>]) -> Content<'a> {
    if let [Piece::Text(text)] = pieces {
        return Content::Text(text.clone());
    }
    let part = |piece: &Piece<'a>| match piece {
        Piece::Text(text) => Part::Text { text: text.clone(), cache_control: None },
        Piece::Image { data, mime_type } => {
            Part::ImageUrl { image_url: ImageUrl { url: data_url::write(mime_type, data) } }
        }
    };
    Content::Parts(pieces.iter().map(part).collect())
}

/// Puts a cache breakpoint on the last text of a message.
fn mark(message: Option<&mut WireMessage<'_>>) {
    let Some(message) = message else { return };
    if let Some(Content::Text(text)) = &mut message.content {
        let text = std::mem::take(text);
        message.content = Some(Content::Parts(vec![Part::Text { text, cache_control: None }]));
    }
    let Some(Content::Parts(parts)) = &mut message.content else { return };
    let last = parts.iter_mut().rev().find_map(|part| match part {
        Part::Text { cache_control, .. } => Some(cache_control),
        Part::ImageUrl { .. } => None,
    });
    if let Some(cache_control) = last {
        *cache_control = Some(Switch { kind: "ephemeral" });
    }
}
