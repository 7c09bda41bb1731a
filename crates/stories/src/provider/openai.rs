//! OpenAI chat: the rules of a conversation, and the frames of an answer.

use super::{Say, Turn, words};
use serde_json::{Value, json};

/// What the conversation asks for, or the rule that it breaks.
pub(super) fn judge(body: &Value) -> Result<Turn, String> {
    let messages = body["messages"].as_array().ok_or("messages is no list")?;
    let mut turn = Turn { offers: super::offers(body), ..Turn::default() };
    let mut open: Vec<String> = Vec::new();
    for (i, message) in messages.iter().enumerate() {
        let role = message["role"].as_str().unwrap_or_default();
        if role != "tool" && !open.is_empty() {
            return Err(format!("message {i}: calls {open:?} have no result"));
        }
        match role {
            "system" | "developer" if i == 0 => {}
            "assistant" => {
                for call in message["tool_calls"].as_array().into_iter().flatten() {
                    open.push(call["id"].as_str().unwrap_or_default().to_owned());
                    turn.calls += 1;
                }
                turn.since += 1;
            }
            "tool" => {
                let id = message["tool_call_id"].as_str().unwrap_or_default();
                let Some(at) = open.iter().position(|o| o == id) else {
                    return Err(format!("message {i}: result {id} answers no open call"));
                };
                open.remove(at);
            }
            "user" => {
                let text = match &message["content"] {
                    Value::String(text) => text.clone(),
                    content => content
                        .as_array()
                        .into_iter()
                        .flatten()
                        .filter_map(|b| b["text"].as_str())
                        .collect::<Vec<_>>()
                        .join("\n"),
                };
                turn.hear(text);
            }
            other => return Err(format!("message {i} has role {other:?}")),
        }
    }
    Ok(turn)
}

/// An answer as it goes over the wire.
pub(super) fn frames(say: &Say, calls: usize) -> Vec<String> {
    let chunk = |delta: Value, finish: Value| {
        format!(
            "data: {}\n\n",
            json!({"id":"c1","object":"chat.completion.chunk","created":1,"model":"fake-1",
                "choices":[{"index":0,"delta":delta,"finish_reason":finish}]})
        )
    };
    let mut out = vec![chunk(json!({"role":"assistant","content":""}), Value::Null)];
    for word in words(&say.text) {
        out.push(chunk(json!({"content":word}), Value::Null));
    }
    for (n, (name, arguments)) in say.tools.iter().enumerate() {
        out.push(chunk(
            json!({"tool_calls":[{"index":n,"id":format!("call_{}", calls + n),
            "type":"function","function":{"name":name,"arguments":""}}]}),
            Value::Null,
        ));
        out.push(chunk(
            json!({"tool_calls":[{"index":n,"function":{"arguments":arguments.to_string()}}]}),
            Value::Null,
        ));
    }
    let reason = if say.tools.is_empty() { "stop" } else { "tool_calls" };
    out.push(chunk(json!({}), reason.into()));
    out.push(format!(
        "data: {}\n\n",
        json!({"id":"c1","object":"chat.completion.chunk","created":1,"model":"fake-1","choices":[],
            "usage":{"prompt_tokens":100,"completion_tokens":42,"total_tokens":142,
                "prompt_tokens_details":{"cached_tokens":10}}})
    ));
    out.push("data: [DONE]\n\n".into());
    out
}
