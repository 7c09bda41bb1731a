//! Writes a request in Bedrock's Converse format.
//!
//! Cache: points after the system prompt (which covers the tools before it) and after the last message of
//! the user, for models that take them. They are the only bytes that change when messages are added.

use crate::{
    anthropic::thinking::{self, Asked, claude_version},
    ask::{ModelRequest, Output, ToolChoice},
    handover::{Answer, IdRule, Piece, Said, Turn, turns, wire_id, wire_name},
    limits, sampling,
};
use bytes::Bytes;
use serde_json::{Map, Value, json};
use std::collections::BTreeSet;
use toft_model::{message::ToolCall, tool::ToolSpec};

const IDS: IdRule = IdRule { chars_max: 64, exact: false, also: "_-" };

/// The body.
pub(crate) fn write(request: &ModelRequest) -> Bytes {
    let turns = turns(&request.messages, &request.model);
    let caches = caches(&request.model.id) && !request.options.one_off;
    let max_tokens = limits::output_tokens(request);
    let mut body = Map::new();
    let mut messages = messages(&turns, is_claude(&request.model.id));
    let last = messages.iter_mut().rev().find(|message| message["role"] == "user");
    if let Some(content) = last.and_then(|m| m["content"].as_array_mut())
        && caches
    {
        content.push(cache_point());
    }
    body.insert("messages".into(), Value::Array(messages));
    let has_system = !request.system.is_empty();
    if has_system {
        let mut system = vec![json!({"text": request.system})];
        system.extend(caches.then(cache_point));
        body.insert("system".into(), Value::Array(system));
    }
    if let Some(tools) = tool_config(request, &turns, caches && !has_system) {
        body.insert("toolConfig".into(), tools);
    }
    body.insert("inferenceConfig".into(), inference(request, max_tokens));
    if let Some(fields) = own_fields(thinking::ask(request, &turns, max_tokens), request) {
        body.insert("additionalModelRequestFields".into(), fields);
    }
    serde_json::to_vec(&body).expect("requests hold only JSON-able data").into()
}

fn is_claude(model: &str) -> bool {
    model.contains("claude")
}

/// Whether a model takes cache points; others refuse the request. Amazon's own cache by themselves.
fn caches(model: &str) -> bool {
    claude_version(model).is_some()
        || ["claude-3-7-sonnet", "claude-3-5-haiku"].iter().any(|name| model.contains(name))
}

fn cache_point() -> Value {
    json!({"cachePoint": {"type": "default"}})
}

fn inference(request: &ModelRequest, max_tokens: u64) -> Value {
    let mut config = json!({"maxTokens": max_tokens});
    sampling::add_to(&mut config, &request.options);
    config
}

/// Fields of the model's maker, which the format passes on as they are.
fn own_fields(asked: Asked, request: &ModelRequest) -> Option<Value> {
    if !is_claude(&request.model.id) {
        return None;
    }
    let mut fields = Map::new();
    let mut output = Map::new();
    if let Some(thinking) = asked.thinking {
        fields.insert("thinking".into(), json!(thinking));
    }
    if let Some(effort) = asked.effort {
        output.insert("effort".into(), json!(effort));
    }
    if let Output::Schema { schema, .. } = &request.options.output {
        output.insert("format".into(), json!({"type": "json_schema", "schema": schema}));
    }
    if !output.is_empty() {
        fields.insert("output_config".into(), Value::Object(output));
    }
    if let Some(beta) = asked.beta {
        fields.insert("anthropic_beta".into(), json!([beta]));
    }
    (!fields.is_empty()).then_some(Value::Object(fields))
}

/// The tools. A conversation with calls is refused without any, so those that it names stand in.
fn tool_config(request: &ModelRequest, turns: &[Turn<'_>], cached: bool) -> Option<Value> {
    let tool = |name: &str, description: &str, schema: &Value| {
        // An empty description is refused.
        let description = if description.is_empty() { name } else { description };
        json!({"toolSpec": {
            "name": name, "description": description, "inputSchema": {"json": schema},
        }})
    };
    // The format has no word for no call at all.
    let never = request.options.tool_choice == ToolChoice::Never;
    let offered: &[ToolSpec] =
        if never && calls(turns).next().is_none() { &[] } else { &request.tools };
    let mut tools: Vec<Value> =
        offered.iter().map(|t| tool(&t.name, &t.description, &t.parameters)).collect();
    if tools.is_empty() {
        let names: BTreeSet<_> = calls(turns).map(|call| wire_name(&call.name)).collect();
        let gone = "Not offered any more.";
        tools.extend(names.iter().map(|name| tool(name, gone, &json!({"type": "object"}))));
    }
    if tools.is_empty() {
        return None;
    }
    tools.extend(cached.then(cache_point));
    let mut config = json!({"tools": tools});
    let choice = match &request.options.tool_choice {
        _ if offered.is_empty() => None,
        ToolChoice::Auto | ToolChoice::Never => None,
        ToolChoice::Required => Some(json!({"any": {}})),
        ToolChoice::Tool(name) => Some(json!({"tool": {"name": name}})),
    };
    if let Some(choice) = choice {
        config["toolChoice"] = choice;
    }
    Some(config)
}

fn calls<'a>(turns: &'a [Turn<'a>]) -> impl Iterator<Item = &'a ToolCall> {
    let said = turns.iter().flat_map(|turn| match turn {
        Turn::Assistant(said) => said.as_slice(),
        Turn::User(_) | Turn::Results(_) => &[],
    });
    said.filter_map(|said| match said {
        Said::Call(call) => Some(*call),
        Said::Text(_) | Said::Thinking { .. } => None,
    })
}

/// Two messages of one role in a row are refused, so they become one.
fn messages(turns: &[Turn<'_>], signs: bool) -> Vec<Value> {
    let mut out: Vec<Value> = Vec::with_capacity(turns.len());
    for turn in turns {
        let (role, content): (_, Vec<Value>) = match turn {
            Turn::User(pieces) => ("user", pieces.iter().map(piece).collect()),
            Turn::Assistant(said) => {
                ("assistant", said.iter().filter_map(|said| block(said, signs)).collect())
            }
            Turn::Results(answers) => ("user", answers.iter().map(result).collect()),
        };
        if content.is_empty() {
            continue;
        }
        match out.last_mut().filter(|last| last["role"] == role) {
            Some(last) => last["content"].as_array_mut().into_iter().for_each(|all| {
                all.extend(content.iter().cloned());
            }),
            None => out.push(json!({"role": role, "content": content})),
        }
    }
    out
}

fn piece(piece: &Piece<'_>) -> Value {
    match piece {
        Piece::Text(text) => json!({"text": text}),
        Piece::Image { data, mime_type } => {
            let format = mime_type.rsplit('/').next().unwrap_or(mime_type);
            let format = if format == "jpg" { "jpeg" } else { format };
            json!({"image": {"format": format, "source": {"bytes": data}}})
        }
    }
}

/// `signs`: the model signs its thinking, and takes it back signed. Of the others one has it in its answers
/// and refuses it in a request, so none of them gets any.
fn block(said: &Said<'_>, signs: bool) -> Option<Value> {
    Some(match said {
        Said::Text(text) => json!({"text": text}),
        Said::Thinking { .. } if !signs => return None,
        Said::Thinking { redacted: true, signature, .. } => {
            json!({"reasoningContent": {"redactedContent": (*signature)?}})
        }
        Said::Thinking { text, signature, .. } => {
            json!({"reasoningContent": {"reasoningText": {"text": text, "signature": (*signature)?}}})
        }
        Said::Call(call) => json!({"toolUse": {
            "toolUseId": wire_id(&call.id, IDS),
            "name": wire_name(&call.name),
            "input": call.arguments,
        }}),
    })
}

fn result(answer: &Answer<'_>) -> Value {
    json!({"toolResult": {
        "toolUseId": wire_id(&answer.call.id, IDS),
        "content": answer.pieces.iter().map(piece).collect::<Vec<_>>(),
        "status": if answer.is_error { "error" } else { "success" },
    }})
}
