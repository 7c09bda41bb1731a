//! Anthropic messages: the rules of a conversation, and the frames of an answer.

use super::{Say, Turn, words};
use serde_json::{Value, json};

/// What the conversation asks for, or the rule that it breaks.
pub(super) fn judge(body: &Value) -> Result<Turn, String> {
    let messages = body["messages"].as_array().ok_or("messages is no list")?;
    if body["max_tokens"].as_u64().is_none() {
        return Err("max_tokens is missing".into());
    }
    let mut turn = Turn { offers: super::offers(body), ..Turn::default() };
    let mut open: Vec<String> = Vec::new();
    for (i, message) in messages.iter().enumerate() {
        let blocks = match &message["content"] {
            Value::String(text) => vec![json!({"type":"text","text":text})],
            Value::Array(blocks) => blocks.clone(),
            _ => return Err(format!("message {i} has no content")),
        };
        let results: Vec<&Value> = blocks.iter().filter(|b| b["type"] == "tool_result").collect();
        match message["role"].as_str() {
            Some("assistant") => {
                if !open.is_empty() {
                    return Err(format!("message {i}: calls {open:?} have no result"));
                }
                for call in blocks.iter().filter(|b| b["type"] == "tool_use") {
                    open.push(call["id"].as_str().unwrap_or_default().to_owned());
                    turn.calls += 1;
                }
                turn.since += 1;
            }
            Some("user") => {
                for result in results {
                    let id = result["tool_use_id"].as_str().unwrap_or_default();
                    let Some(at) = open.iter().position(|o| o == id) else {
                        return Err(format!("message {i}: result {id} answers no open call"));
                    };
                    open.remove(at);
                }
                if !open.is_empty() {
                    return Err(format!("message {i}: calls {open:?} have no result"));
                }
                let text: Vec<&str> = blocks.iter().filter_map(|b| b["text"].as_str()).collect();
                if !text.is_empty() {
                    turn.hear(text.join("\n"));
                }
            }
            other => return Err(format!("message {i} has role {other:?}")),
        }
    }
    if messages.last().is_none_or(|m| m["role"] != "user") {
        return Err("the last message is not the user's".into());
    }
    Ok(turn)
}

fn frame(name: &str, data: &Value) -> String {
    format!("event: {name}\ndata: {data}\n\n")
}

/// An answer as it goes over the wire.
pub(super) fn frames(say: &Say, calls: usize) -> Vec<String> {
    let mut out = vec![frame(
        "message_start",
        &json!({"type":"message_start","message":{"id":"msg_1","type":"message","role":"assistant",
            "model":"fake-1","content":[],"stop_reason":null,
            "usage":{"input_tokens":100,"output_tokens":1,"cache_read_input_tokens":10,"cache_creation_input_tokens":5}}}),
    )];
    let mut index = 0;
    if !say.text.is_empty() {
        out.push(frame(
            "content_block_start",
            &json!({"type":"content_block_start","index":index,
            "content_block":{"type":"text","text":""}}),
        ));
        for word in words(&say.text) {
            out.push(frame(
                "content_block_delta",
                &json!({"type":"content_block_delta","index":index,
                "delta":{"type":"text_delta","text":word}}),
            ));
        }
        out.push(frame("content_block_stop", &json!({"type":"content_block_stop","index":index})));
        index += 1;
    }
    for (n, (name, arguments)) in say.tools.iter().enumerate() {
        out.push(frame("content_block_start", &json!({"type":"content_block_start","index":index,
            "content_block":{"type":"tool_use","id":format!("toolu_{}", calls + n),"name":name,"input":{}}})));
        let text = arguments.to_string();
        let half = text.len() / 2;
        let cut = (half..text.len()).find(|i| text.is_char_boundary(*i)).unwrap_or(text.len());
        for part in [&text[..cut], &text[cut..]] {
            out.push(frame(
                "content_block_delta",
                &json!({"type":"content_block_delta","index":index,
                "delta":{"type":"input_json_delta","partial_json":part}}),
            ));
        }
        out.push(frame("content_block_stop", &json!({"type":"content_block_stop","index":index})));
        index += 1;
    }
    let reason = if say.tools.is_empty() { "end_turn" } else { "tool_use" };
    out.push(frame(
        "message_delta",
        &json!({"type":"message_delta","delta":{"stop_reason":reason,
        "stop_sequence":null},"usage":{"output_tokens":42}}),
    ));
    out.push(frame("message_stop", &json!({"type":"message_stop"})));
    out
}
