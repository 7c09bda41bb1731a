//! OpenAI responses: the rules of a conversation, and the frames of an answer.

use super::{Say, Turn, words};
use serde_json::{Value, json};

/// What the conversation asks for, or the rule that it breaks.
pub(super) fn judge(body: &Value) -> Result<Turn, String> {
    let mut turn = Turn { offers: super::offers(body), ..Turn::default() };
    let message = |text: &str| json!({"type":"message","role":"user","content":text});
    let items = match &body["input"] {
        Value::String(text) => vec![message(text)],
        Value::Array(items) => items.clone(),
        _ => return Err("input is neither a text nor a list".into()),
    };
    let mut open: Vec<String> = Vec::new();
    let mut models_turn = false;
    for (i, item) in items.iter().enumerate() {
        let (kind, role) = (item["type"].as_str().unwrap_or("message"), item["role"].as_str());
        let call = item["call_id"].as_str().unwrap_or_default().to_owned();
        let models = matches!(kind, "reasoning" | "function_call" | "custom_tool_call")
            || (kind == "message" && role == Some("assistant"));
        if models && !models_turn {
            if !open.is_empty() {
                return Err(format!("item {i}: calls {open:?} have no output"));
            }
            turn.since += 1;
        }
        models_turn = models;
        match (kind, role) {
            ("reasoning", _) | ("message", Some("assistant" | "developer" | "system")) => {}
            ("function_call" | "custom_tool_call", _) => {
                let name = item["name"].as_str().unwrap_or_default();
                let arguments = &item[if kind == "function_call" { "arguments" } else { "input" }];
                if call.is_empty() || name.is_empty() || !arguments.is_string() {
                    return Err(format!("item {i}: a call wants call_id, name and arguments"));
                }
                open.push(call);
                turn.calls += 1;
            }
            ("function_call_output" | "custom_tool_call_output", _) => {
                let Some(at) = open.iter().position(|o| *o == call) else {
                    return Err(format!("item {i}: output {call} answers no open call"));
                };
                open.remove(at);
            }
            ("message", Some("user")) => {
                if !open.is_empty() {
                    return Err(format!("item {i}: calls {open:?} have no output"));
                }
                let text = match &item["content"] {
                    Value::String(text) => text.clone(),
                    content => {
                        let parts = content.as_array().into_iter().flatten();
                        parts.filter_map(|p| p["text"].as_str()).collect::<Vec<_>>().join("\n")
                    }
                };
                turn.hear(text);
            }
            other => return Err(format!("item {i} is {other:?}")),
        }
    }
    if !open.is_empty() {
        return Err(format!("calls {open:?} have no output"));
    }
    Ok(turn)
}

/// An answer as it goes over the wire.
pub(super) fn frames(say: &Say, calls: usize) -> Vec<String> {
    let mut events: Vec<Value> = Vec::new();
    let mut output: Vec<Value> = Vec::new();
    let response = |status: &str, output: &[Value], usage: Value| {
        json!({"id":"resp_1","object":"response","created_at":1,"model":"fake-1","status":status,
            "output":output,"usage":usage})
    };
    events.push(json!({"type":"response.created",
        "response":response("in_progress", &[], Value::Null)}));
    if !say.text.is_empty() {
        let part = |text: &str| json!({"type":"output_text","text":text,"annotations":[]});
        let item = |status: &str, content: &[Value]| {
            json!({"type":"message","id":"msg_1",
            "role":"assistant","status":status,"content":content})
        };
        let at = json!({"item_id":"msg_1","output_index":0,"content_index":0});
        let with = |kind: &str, name: &str, value: Value| {
            let mut event = at.clone();
            event["type"] = kind.into();
            event[name] = value;
            event
        };
        events.push(json!({"type":"response.output_item.added","output_index":0,
            "item":item("in_progress", &[])}));
        events.push(with("response.content_part.added", "part", part("")));
        for word in words(&say.text) {
            events.push(with("response.output_text.delta", "delta", word.into()));
        }
        events.push(with("response.output_text.done", "text", say.text.clone().into()));
        events.push(with("response.content_part.done", "part", part(&say.text)));
        let done = item("completed", &[part(&say.text)]);
        events.push(json!({"type":"response.output_item.done","output_index":0,"item":done}));
        output.push(done);
    }
    for (n, (name, arguments)) in say.tools.iter().enumerate() {
        let (index, id) = (output.len(), format!("fc_{}", calls + n));
        let text = arguments.to_string();
        let item = |status: &str, arguments: &str| {
            json!({"type":"function_call","id":id,"call_id":format!("call_{}", calls + n),
                "name":name,"arguments":arguments,"status":status})
        };
        let done = item("completed", &text);
        events.extend([
            json!({"type":"response.output_item.added","output_index":index,
                "item":item("in_progress", "")}),
            json!({"type":"response.function_call_arguments.delta","item_id":id,
                "output_index":index,"delta":text}),
            json!({"type":"response.function_call_arguments.done","item_id":id,
                "output_index":index,"arguments":text}),
            json!({"type":"response.output_item.done","output_index":index,"item":done}),
        ]);
        output.push(done);
    }
    let usage = json!({"input_tokens":100,"input_tokens_details":{"cached_tokens":10},
        "output_tokens":42,"output_tokens_details":{"reasoning_tokens":0},"total_tokens":142});
    events.push(
        json!({"type":"response.completed","response":response("completed", &output, usage)}),
    );
    let numbered = events.into_iter().enumerate().map(|(number, mut event)| {
        event["sequence_number"] = number.into();
        let kind = event["type"].as_str().unwrap_or_default().to_owned();
        format!("event: {kind}\ndata: {event}\n\n")
    });
    numbered.collect()
}
