//! Writes a request in OpenAI's Responses format.

use super::{free_text, stream::Seal};
use crate::{
    ask::{ModelRequest, Output, ThinkingLevel, ToolChoice},
    data_url,
    handover::{Answer, IdRule, Piece, Said, Turn, turns, wire_id, wire_name},
    limits,
    openai_chat::models::effort,
};
use bytes::Bytes;
use serde_json::{Map, Value, json};
use toft_model::{message::ToolCall, tool::ToolSpec};

/// With less it refuses a request; programs ask for one token to see whether a model answers.
const OUTPUT_TOKENS_MIN: u64 = 16;

const IDS: IdRule = IdRule { chars_max: 64, exact: false, also: "_-" };

/// The body.
pub(crate) fn write(request: &ModelRequest) -> Bytes {
    let options = &request.options;
    let mut input = Vec::new();
    for turn in &turns(&request.messages, &request.model) {
        push(&mut input, turn, request);
    }
    let mut body = Map::new();
    let mut set = |name: &str, value: Value| body.insert(name.to_owned(), value);
    set("model", json!(request.model.id));
    if !request.system.is_empty() {
        set("instructions", json!(request.system));
    }
    set("input", Value::Array(input));
    set("stream", json!(true));
    set("store", json!(false));
    set("max_output_tokens", json!(limits::output_tokens(request).max(OUTPUT_TOKENS_MIN)));
    if !request.tools.is_empty() {
        set("tools", request.tools.iter().map(|one| tool(request, one)).collect());
        if let Some(choice) = choice(request) {
            set("tool_choice", choice);
        }
        if options.one_call {
            set("parallel_tool_calls", json!(false));
        }
    }
    if request.model.reasoning {
        set("include", json!(["reasoning.encrypted_content"]));
        if let Some(effort) = effort(&request.model.id, request.thinking, false) {
            let mut reasoning = json!({"effort": effort});
            if request.thinking != ThinkingLevel::Off {
                reasoning["summary"] = json!("auto");
            }
            set("reasoning", reasoning);
        }
    }
    if let Some(format) = format(&options.output) {
        set("text", json!({"format": format}));
    }
    if let Some(temperature) = options.temperature {
        set("temperature", json!(temperature));
    }
    if let Some(top_p) = options.top_p {
        set("top_p", json!(top_p));
    }
    if !request.session.is_empty() {
        set("prompt_cache_key", json!(request.session));
    }
    serde_json::to_vec(&body).expect("requests hold only JSON-able data").into()
}

fn tool(request: &ModelRequest, tool: &ToolSpec) -> Value {
    if free_text::is_offered(request, tool) {
        return json!({"type": "custom", "name": tool.name, "description": tool.description});
    }
    json!({
        "type": "function",
        "name": tool.name,
        "description": tool.description,
        "parameters": tool.parameters,
        "strict": false,
    })
}

fn choice(request: &ModelRequest) -> Option<Value> {
    let free = |name: &str| {
        let tool = request.tools.iter().find(|tool| tool.name == name);
        tool.is_some_and(|tool| free_text::is_offered(request, tool))
    };
    Some(match &request.options.tool_choice {
        ToolChoice::Auto => return None,
        ToolChoice::Never => json!("none"),
        ToolChoice::Required => json!("required"),
        ToolChoice::Tool(name) if free(name) => json!({"type": "custom", "name": name}),
        ToolChoice::Tool(name) => json!({"type": "function", "name": name}),
    })
}

fn format(output: &Output) -> Option<Value> {
    Some(match output {
        Output::Text => return None,
        Output::Json => json!({"type": "json_object"}),
        Output::Schema { name, schema } => {
            json!({"type": "json_schema", "name": name, "schema": schema})
        }
    })
}

fn push(input: &mut Vec<Value>, turn: &Turn<'_>, request: &ModelRequest) {
    // A model that does not think refuses thoughts.
    let thoughts = request.model.reasoning;
    match turn {
        Turn::User(pieces) => {
            let content: Vec<Value> = pieces.iter().map(piece).collect();
            input.push(json!({"role": "user", "content": content}));
        }
        Turn::Assistant(said) => {
            let taken = |said: &&Said<'_>| thoughts || !matches!(said, Said::Thinking { .. });
            input.extend(said.iter().filter(taken).filter_map(|said| item(said, request)));
        }
        Turn::Results(answers) => input.extend(answers.iter().map(|one| result(one, request))),
    }
}

fn piece(piece: &Piece<'_>) -> Value {
    match piece {
        Piece::Text(text) => json!({"type": "input_text", "text": text}),
        Piece::Image { data, mime_type } => json!({
            "type": "input_image",
            "detail": "auto",
            "image_url": data_url::write(mime_type, data),
        }),
    }
}

fn item(said: &Said<'_>, request: &ModelRequest) -> Option<Value> {
    Some(match said {
        Said::Text(text) => json!({
            "role": "assistant",
            "content": [{"type": "output_text", "text": text}],
        }),
        // Without its encrypted part it means nothing to a provider that keeps nothing.
        Said::Thinking { text, signature, .. } => {
            let seal: Seal = serde_json::from_str((*signature)?).ok()?;
            let summary: Vec<Value> = if text.is_empty() {
                Vec::new()
            } else {
                vec![json!({"type": "summary_text", "text": text})]
            };
            json!({
                "type": "reasoning",
                "id": seal.id,
                "summary": summary,
                "encrypted_content": seal.encrypted_content,
            })
        }
        Said::Call(call) => match free_text::text(request, &call.name, &call.arguments) {
            Some(text) => json!({
                "type": "custom_tool_call",
                "call_id": wire_id(&call.id, IDS),
                "name": wire_name(&call.name),
                "input": text,
            }),
            None => function_call(call),
        },
    })
}

fn function_call(call: &ToolCall) -> Value {
    json!({
            "type": "function_call",
            "call_id": wire_id(&call.id, IDS),
            "name": wire_name(&call.name),
            "arguments": serde_json::to_string(&call.arguments).expect("arguments are JSON already"),
    })
}

fn result(answer: &Answer<'_>, request: &ModelRequest) -> Value {
    let output = match answer.pieces.as_slice() {
        [Piece::Text(text)] => json!(text),
        pieces => pieces.iter().map(piece).collect(),
    };
    let call = answer.call;
    let free = free_text::text(request, &call.name, &call.arguments).is_some();
    json!({
        "type": if free { "custom_tool_call_output" } else { "function_call_output" },
        "call_id": wire_id(&answer.call.id, IDS),
        "output": output,
    })
}
