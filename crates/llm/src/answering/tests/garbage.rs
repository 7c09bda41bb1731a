//! Requests that nobody means to send: each is read or refused with words, never worse.

use super::*;

/// JSON made of the formats' own words, in places where they do not belong.
fn value() -> impl Strategy<Value = Value> {
    const NAMES: &[&str] = &[
        "arguments",
        "budget_tokens",
        "call_id",
        "content",
        "contents",
        "data",
        "effort",
        "encrypted_content",
        "format",
        "function",
        "functionCall",
        "functionDeclarations",
        "functionResponse",
        "generationConfig",
        "id",
        "image_url",
        "inlineData",
        "input",
        "input_schema",
        "max_tokens",
        "messages",
        "mimeType",
        "mode",
        "n",
        "name",
        "output",
        "output_config",
        "parameters",
        "parts",
        "reasoning",
        "response",
        "response_format",
        "role",
        "schema",
        "signature",
        "source",
        "stop",
        "stream",
        "summary",
        "system",
        "temperature",
        "text",
        "thinking",
        "thinkingConfig",
        "thoughtSignature",
        "tool_call_id",
        "tool_calls",
        "tool_choice",
        "tool_use_id",
        "toolConfig",
        "tools",
        "type",
        "url",
    ];
    const WORDS: &[&str] = &[
        "",
        "any",
        "assistant",
        "auto",
        "base64",
        "custom",
        "data:image/png;base64,aGk=",
        "developer",
        "enabled",
        "function",
        "function_call",
        "function_call_output",
        "high",
        "image",
        "image_url",
        "input_image",
        "input_text",
        "json_schema",
        "message",
        "model",
        "object",
        "OBJECT",
        "output_text",
        "reasoning",
        "required",
        "system",
        "text",
        "thinking",
        "tool",
        "tool_result",
        "tool_use",
        "user",
        "{\"a\":1}",
    ];
    let leaf = prop_oneof![
        4 => prop::sample::select(WORDS).prop_map(Value::from),
        1 => any::<i64>().prop_map(Value::from),
        1 => any::<bool>().prop_map(Value::from),
        1 => Just(Value::Null),
    ];
    leaf.prop_recursive(5, 40, 5, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::vec((prop::sample::select(NAMES), inner), 0..6)
                .prop_map(|pairs| pairs.into_iter().collect::<Value>()),
        ]
    })
}

fn try_it(body: &[u8]) {
    for format in ALL {
        for listed in [true, false] {
            match read(format, body, label().model, listed) {
                Ok(asked) => assert!(!asked.request.messages.is_empty()),
                Err(refused) => assert!(!refused.to_string().is_empty()),
            }
        }
    }
}

proptest! {
    #[test]
    fn json_of_any_shape_is_read_or_refused(
        body in prop::collection::vec((prop::sample::select(&[
            "messages", "contents", "input", "tools", "system", "thinking", "tool_choice",
            "generationConfig", "text", "reasoning", "response_format", "output_config",
        ][..]), value()), 0..6),
        one in value(),
    ) {
        let mut map: Map<String, Value> =
            body.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
        try_it(Value::Object(map.clone()).to_string().as_bytes());
        // In a place where it is looked at more closely.
        for list in ["messages", "contents", "input"] {
            map.insert(list.to_owned(), Value::Array(vec![one.clone()]));
        }
        try_it(Value::Object(map).to_string().as_bytes());
    }

    #[test]
    fn no_bytes_panic(body in prop::collection::vec(any::<u8>(), 0..200)) {
        try_it(&body);
    }
}
