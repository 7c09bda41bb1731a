//! Writes a request in Google's format.

use crate::{
    ask::{ModelRequest, Output, ThinkingLevel, ToolChoice},
    handover::{Answer, Piece, Said, Turn, turns, wire_name},
    limits, sampling,
};
use bytes::Bytes;
use serde_json::{Map, Value, json};

/// The body.
pub(crate) fn write(request: &ModelRequest) -> Bytes {
    let turns = turns(&request.messages, &request.model);
    let id = &request.model.id;
    let signs = id.starts_with("gemini-") && !is_before_3(id);
    let mut body = Map::new();
    body.insert("contents".into(), turns.iter().map(|turn| content(turn, signs)).collect());
    if !request.system.is_empty() {
        body.insert("systemInstruction".into(), json!({"parts": [{"text": request.system}]}));
    }
    if !request.tools.is_empty() {
        let declarations: Vec<Value> = request
            .tools
            .iter()
            .map(|tool| {
                json!({
                    "name": tool.name,
                    "description": tool.description,
                    "parametersJsonSchema": tool.parameters,
                })
            })
            .collect();
        body.insert("tools".into(), json!([{"functionDeclarations": declarations}]));
        if let Some(choice) = choice(&request.options.tool_choice) {
            body.insert("toolConfig".into(), json!({"functionCallingConfig": choice}));
        }
    }
    body.insert("generationConfig".into(), config(request));
    serde_json::to_vec(&body).expect("requests hold only JSON-able data").into()
}

fn config(request: &ModelRequest) -> Value {
    let options = &request.options;
    let mut config = json!({"maxOutputTokens": limits::output_tokens(request)});
    sampling::add_to(&mut config, options);
    if options.output != Output::Text {
        config["responseMimeType"] = json!("application/json");
    }
    if let Output::Schema { schema, .. } = &options.output {
        config["responseJsonSchema"] = schema.clone();
    }
    if request.model.reasoning {
        config["thinkingConfig"] = thinking(&request.model.id, request.thinking);
    }
    config
}

fn choice(choice: &ToolChoice) -> Option<Value> {
    Some(match choice {
        ToolChoice::Auto => return None,
        ToolChoice::Never => json!({"mode": "NONE"}),
        ToolChoice::Required => json!({"mode": "ANY"}),
        ToolChoice::Tool(name) => json!({"mode": "ANY", "allowedFunctionNames": [name]}),
    })
}

fn is_before_3(model: &str) -> bool {
    ["gemini-1", "gemini-2"].iter().any(|version| model.starts_with(version))
}

/// How a model is told to think: from version 3 on by a word, before that by a budget. Not all can
/// leave it; those think as little as they can.
fn thinking(model: &str, level: ThinkingLevel) -> Value {
    let shown = level != ThinkingLevel::Off;
    let quick = model.contains("flash");
    if is_before_3(model) {
        let budget = match level {
            ThinkingLevel::Off if quick => 0,
            ThinkingLevel::Off => 128,
            _ => level.budget_tokens(),
        };
        return json!({"includeThoughts": shown, "thinkingBudget": budget});
    }
    let word = match level {
        ThinkingLevel::Off | ThinkingLevel::Minimal if quick => "minimal",
        ThinkingLevel::Off | ThinkingLevel::Minimal | ThinkingLevel::Low => "low",
        ThinkingLevel::Medium if model.starts_with("gemini-3-pro") => "high",
        ThinkingLevel::Medium => "medium",
        ThinkingLevel::High | ThinkingLevel::Xhigh => "high",
    };
    json!({"includeThoughts": shown, "thinkingLevel": word})
}

/// `signs`: the model signs its calls, and refuses those that are not signed.
fn content(turn: &Turn<'_>, signs: bool) -> Value {
    match turn {
        Turn::User(pieces) => {
            let parts: Vec<Value> = pieces.iter().map(piece).collect();
            json!({"role": "user", "parts": parts})
        }
        Turn::Assistant(said) => json!({"role": "model", "parts": said_parts(said, signs)}),
        Turn::Results(answers) => {
            // Images stand beside the results: not all models take them within.
            let images = answers.iter().flat_map(Answer::images).map(piece);
            let parts: Vec<Value> = answers.iter().map(result).chain(images).collect();
            json!({"role": "user", "parts": parts})
        }
    }
}

fn piece(piece: &Piece<'_>) -> Value {
    match piece {
        Piece::Text(text) => json!({"text": text}),
        Piece::Image { data, mime_type } => {
            json!({"inlineData": {"mimeType": mime_type, "data": data}})
        }
    }
}

/// Stands for the signature of a call that another model made (Google's own word for it).
const UNSIGNED: &str = "skip_thought_signature_validator";

fn said_parts(said: &[Said<'_>], signs: bool) -> Vec<Value> {
    let mut parts = Vec::new();
    let mut signature = None;
    // Only the first call of a message has to be signed.
    let mut unsigned = signs.then_some(UNSIGNED);
    for said in said {
        let mut part = match said {
            Said::Thinking { signature: next, .. } => {
                // Two in a row: the first one stood in a part without words.
                if let (Some(alone), Some(_)) = (signature, next) {
                    parts.push(json!({"text": "", "thoughtSignature": alone}));
                }
                signature = next.or(signature);
                continue;
            }
            Said::Text(text) => json!({"text": text}),
            Said::Call(call) => json!({
                "functionCall": {"id": call.id, "name": wire_name(&call.name), "args": call.arguments},
            }),
        };
        let stands_in = matches!(said, Said::Call(_)).then(|| unsigned.take()).flatten();
        if let Some(signature) = signature.take().or(stands_in) {
            part["thoughtSignature"] = json!(signature);
        }
        parts.push(part);
    }
    if let Some(alone) = signature {
        parts.push(json!({"text": "", "thoughtSignature": alone}));
    }
    parts
}

fn result(answer: &Answer<'_>) -> Value {
    let key = if answer.is_error { "error" } else { "output" };
    json!({
        "functionResponse": {
            "id": answer.call.id,
            "name": wire_name(&answer.call.name),
            "response": {key: answer.text()},
        },
    })
}
