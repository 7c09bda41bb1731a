//! Writes a request in OpenAI's Responses format.

use super::stream::Seal;
use crate::{
    ask::{ModelRequest, Output, ThinkingLevel, ToolChoice},
    data_url,
    handover::{Answer, IdRule, Piece, Said, Turn, turns, wire_id, wire_name},
    limits,
    openai_chat::models::effort,
};
use bytes::Bytes;
use serde_json::{Map, Value, json};

/// With less it refuses a request; programs ask for one token to see whether a model answers.
const OUTPUT_TOKENS_MIN: u64 = 16;

const IDS: IdRule = IdRule { chars_max: 64, exact: false, also: "_-" };

/// The body.
pub(crate) fn write(request: &ModelRequest) -> Bytes {
    let options = &request.options;
    let mut input = Vec::new();
    for turn in &turns(&request.messages, &request.model) {
        push(&mut input, turn, request.model.reasoning);
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
        set("tools", request.tools.iter().map(tool).collect());
        if let Some(choice) = choice(&options.tool_choice) {
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

fn tool(tool: &toft_model::tool::ToolSpec) -> Value {
    json!({
        "type": "function",
        "name": tool.name,
        "description": tool.description,
        "parameters": tool.parameters,
        "strict": false,
    })
}

fn choice(choice: &ToolChoice) -> Option<Value> {
    Some(match choice {
        ToolChoice::Auto => return None,
        ToolChoice::Never => json!("none"),
        ToolChoice::Required => json!("required"),
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

/// `thoughts`: the model takes them; one that does not think refuses them.
fn push(input: &mut Vec<Value>, turn: &Turn<'_>, thoughts: bool) {
    match turn {
        Turn::User(pieces) => {
            let content: Vec<Value> = pieces.iter().map(piece).collect();
            input.push(json!({"role": "user", "content": content}));
        }
        Turn::Assistant(said) => {
            let taken = |said: &&Said<'_>| thoughts || !matches!(said, Said::Thinking { .. });
            input.extend(said.iter().filter(taken).filter_map(item));
        }
        Turn::Results(answers) => input.extend(answers.iter().map(result)),
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

fn item(said: &Said<'_>) -> Option<Value> {
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
        Said::Call(call) => json!({
            "type": "function_call",
            "call_id": wire_id(&call.id, IDS),
            "name": wire_name(&call.name),
            "arguments": serde_json::to_string(&call.arguments).expect("arguments are JSON already"),
        }),
    })
}

fn result(answer: &Answer<'_>) -> Value {
    let output = match answer.pieces.as_slice() {
        [Piece::Text(text)] => json!(text),
        pieces => pieces.iter().map(piece).collect(),
    };
    json!({
        "type": "function_call_output",
        "call_id": wire_id(&answer.call.id, IDS),
        "output": output,
    })
}
