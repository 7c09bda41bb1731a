//! Requests as each format's programs send them, and what a model is asked by them.

use super::*;

use crate::ask::Options;
use serde_json::json;

fn asked(format: WireFormat, body: &Value) -> Asked {
    // One that takes all of it.
    read(format, body.to_string().as_bytes(), model_info("xai", "grok-4.3"), true).unwrap()
}

/// The same request in every format: a picture, a call with its result, tools, options.
fn bodies() -> [(WireFormat, Value); 4] {
    let schema = json!({"type": "object", "properties": {"path": {"type": "string"}}});
    [
        (
            WireFormat::OpenaiChat,
            json!({
            "model": "m", "stream": true, "stream_options": {"include_usage": true},
            "messages": [
                {"role": "developer", "content": "Be brief."},
                {"role": "user", "content": [
                    {"type": "text", "text": "look"},
                    {"type": "image_url", "image_url": {"url": "data:image/png;base64,aGk="}}]},
                {"role": "assistant", "content": "I look.", "tool_calls": [
                    {"id": "c1", "type": "function", "function": {"name": "ls", "arguments": "{\"path\":\"/\"}"}}]},
                {"role": "tool", "tool_call_id": "c1", "content": "a\nb"},
                {"role": "user", "content": "go on"}],
            "tools": [{"type": "function", "function": {"name": "ls", "description": "List.", "parameters": schema, "strict": true}}],
            "tool_choice": {"type": "function", "function": {"name": "ls"}},
            "parallel_tool_calls": false, "temperature": 0.5, "top_p": 0.9, "stop": "END",
            "max_completion_tokens": 500, "reasoning_effort": "medium", "user": "u", "seed": 7}),
        ),
        (
            WireFormat::OpenaiResponses,
            json!({
            "model": "m", "stream": true, "instructions": "Be brief.", "store": false,
            "include": ["reasoning.encrypted_content"],
            "input": [
                {"type": "message", "role": "user", "content": [
                    {"type": "input_text", "text": "look"},
                    {"type": "input_image", "image_url": "data:image/png;base64,aGk=", "detail": "auto"}]},
                {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "I look."}]},
                {"type": "function_call", "call_id": "c1", "name": "ls", "arguments": "{\"path\":\"/\"}"},
                {"type": "function_call_output", "call_id": "c1", "output": "a\nb"},
                {"role": "user", "content": "go on"}],
            "tools": [{"type": "function", "name": "ls", "description": "List.", "parameters": schema}],
            "tool_choice": {"type": "function", "name": "ls"},
            "parallel_tool_calls": false, "temperature": 0.5, "top_p": 0.9,
            "max_output_tokens": 500, "reasoning": {"effort": "medium", "summary": "auto"}, "user": "u"}),
        ),
        (
            WireFormat::Anthropic,
            json!({
            "model": "m", "stream": true, "max_tokens": 500,
            "system": [{"type": "text", "text": "Be brief.", "cache_control": {"type": "ephemeral"}}],
            "messages": [
                {"role": "user", "content": [
                    {"type": "text", "text": "look"},
                    {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "aGk="}}]},
                {"role": "assistant", "content": [
                    {"type": "text", "text": "I look."},
                    {"type": "tool_use", "id": "c1", "name": "ls", "input": {"path": "/"}}]},
                {"role": "user", "content": [
                    {"type": "tool_result", "tool_use_id": "c1", "content": [{"type": "text", "text": "a\nb"}]},
                    {"type": "text", "text": "go on"}]}],
            "tools": [{"name": "ls", "description": "List.", "input_schema": schema}],
            "tool_choice": {"type": "tool", "name": "ls", "disable_parallel_tool_use": true},
            "thinking": {"type": "enabled", "budget_tokens": 8192},
            "temperature": 0.5, "top_p": 0.9, "stop_sequences": ["END"], "metadata": {"user_id": "u"}}),
        ),
        (
            WireFormat::Gemini,
            json!({
            "systemInstruction": {"parts": [{"text": "Be brief."}]},
            "contents": [
                {"role": "user", "parts": [{"text": "look"}, {"inlineData": {"mimeType": "image/png", "data": "aGk="}}]},
                {"role": "model", "parts": [{"text": "I look."}, {"functionCall": {"name": "ls", "args": {"path": "/"}}}]},
                {"role": "user", "parts": [{"functionResponse": {"name": "ls", "response": {"result": "a\nb"}}}, {"text": "go on"}]}],
            "tools": [{"functionDeclarations": [{"name": "ls", "description": "List.",
                "parameters": {"type": "OBJECT", "properties": {"path": {"type": "STRING"}}}}]}],
            "toolConfig": {"functionCallingConfig": {"mode": "ANY", "allowedFunctionNames": ["ls"]}},
            "generationConfig": {"temperature": 0.5, "topP": 0.9, "stopSequences": ["END"],
                "maxOutputTokens": 500, "thinkingConfig": {"thinkingBudget": 8192, "includeThoughts": true}},
            "safetySettings": []}),
        ),
    ]
}

#[test]
fn the_same_request_is_the_same_in_every_format() {
    for (format, body) in bodies() {
        let asked = asked(format, &body);
        let request = &asked.request;
        assert_eq!(request.system, "Be brief.", "{format:?}");
        let seen: Vec<String> = request.messages.iter().map(shape).collect();
        assert_eq!(
            seen,
            [
                "user look+image",
                "assistant I look.+ls{\"path\":\"/\"}",
                "result a\nb",
                "user go on"
            ],
            "{format:?}"
        );
        let Message::Assistant(said) = &request.messages[1] else { panic!() };
        let Message::ToolResult(result) = &request.messages[2] else { panic!() };
        assert_eq!(said.tool_calls().next().unwrap().id, result.tool_call_id, "{format:?}");
        assert_eq!(result.tool_name, "ls");
        let [tool] = &request.tools[..] else { panic!("{format:?}") };
        assert_eq!((&*tool.name, &*tool.description), ("ls", "List."));
        let schema = json!({"type": "object", "properties": {"path": {"type": "string"}}});
        assert_eq!(tool.parameters, schema, "{format:?}");
        assert_eq!(request.max_tokens, Some(500));
        assert_eq!(request.thinking, ThinkingLevel::Medium, "{format:?}");
        let stop = if format == WireFormat::OpenaiResponses { vec![] } else { vec!["END".into()] };
        let options = Options {
            temperature: Some(0.5),
            top_p: Some(0.9),
            stop,
            tool_choice: ToolChoice::Tool("ls".into()),
            one_call: format != WireFormat::Gemini,
            output: Output::Text,
            passed_on: true,
            one_off: false,
        };
        assert_eq!(request.options, options, "{format:?}");
        assert_eq!(asked.stream, format != WireFormat::Gemini);
    }
}

fn shape(message: &Message) -> String {
    let blocks = |blocks: &[Block]| {
        let part = |block: &Block| match block {
            Block::Text { text, .. } => text.clone(),
            Block::Image { data, mime_type } => {
                assert_eq!((&**data, &**mime_type), ("aGk=", "image/png"));
                "image".into()
            }
            Block::ToolCall(call) => {
                format!("{}{}", call.name, Value::Object(call.arguments.clone()))
            }
            Block::Thinking { .. } => "thinking".into(),
        };
        blocks.iter().map(part).collect::<Vec<_>>().join("+")
    };
    match message {
        Message::User(m) => match &m.content {
            UserContent::Text(text) => format!("user {text}"),
            UserContent::Blocks(list) => format!("user {}", blocks(list)),
        },
        Message::Assistant(m) => format!("assistant {}", blocks(&m.content)),
        Message::ToolResult(m) => format!("result {}", blocks(&m.content)),
        other => panic!("{other:?}"),
    }
}

#[test]
fn what_is_left_out_is_named() {
    let names = |format| -> Vec<String> {
        let (_, body) = bodies().into_iter().find(|(one, _)| *one == format).unwrap();
        asked(format, &body).dropped.into_iter().collect()
    };
    assert_eq!(names(WireFormat::OpenaiChat), ["seed", "user"]);
    assert_eq!(names(WireFormat::OpenaiResponses), ["user"]);
    assert_eq!(names(WireFormat::Anthropic), ["metadata"]);
    assert_eq!(names(WireFormat::Gemini), ["safetySettings"]);
}

#[test]
fn a_schema_for_the_answer_is_read_in_every_format() {
    let schema = json!({"type": "object"});
    let hi = json!([{"role": "user", "content": "hi"}]);
    for (format, body, name) in [
        (
            WireFormat::OpenaiChat,
            json!({"messages": hi, "response_format": {"type": "json_schema", "json_schema": {"name": "n", "schema": schema, "strict": true}}}),
            "n",
        ),
        (
            WireFormat::OpenaiResponses,
            json!({"input": "hi", "text": {"format": {"type": "json_schema", "name": "n", "schema": schema}}}),
            "n",
        ),
        (
            WireFormat::Anthropic,
            json!({"messages": hi, "output_config": {"format": {"type": "json_schema", "schema": schema}}}),
            "answer",
        ),
        (
            WireFormat::Gemini,
            json!({"contents": [{"parts": [{"text": "hi"}]}], "generationConfig": {"responseMimeType": "application/json", "responseSchema": {"type": "OBJECT"}}}),
            "answer",
        ),
    ] {
        let output = asked(format, &body).request.options.output;
        assert_eq!(output, Output::Schema { name: name.into(), schema: schema.clone() });
    }
}

#[test]
fn results_without_ids_go_to_their_calls_in_order() {
    let call = |n: u64| json!({"functionCall": {"name": "ls", "args": {"n": n}}});
    let response =
        |text: &str| json!({"functionResponse": {"name": "ls", "response": {"output": text}}});
    let body = json!({"contents": [
        {"role": "user", "parts": [{"text": "hi"}]},
        {"role": "model", "parts": [call(1), call(2)]},
        {"role": "user", "parts": [response("one"), response("two")]},
        {"role": "model", "parts": [call(3)]},
        {"role": "function", "parts": [{"functionResponse": {"name": "ls", "response": {"error": "no"}}}]},
    ]});
    let request = asked(WireFormat::Gemini, &body).request;
    let results: Vec<(String, String, bool)> = request
        .messages
        .iter()
        .filter_map(|m| match m {
            Message::ToolResult(r) => Some((r.tool_call_id.clone(), shape(m), r.is_error)),
            _ => None,
        })
        .collect();
    let expected = [
        ("call_1".to_owned(), "result one".to_owned(), false),
        ("call_2".to_owned(), "result two".to_owned(), false),
        ("call_3".to_owned(), "result no".to_owned(), true),
    ];
    assert_eq!(results, expected);
}

#[test]
fn what_openais_thinking_models_do_not_take_is_left_out_and_named() {
    let check = |model: &str, effort: &str, kept: bool| {
        let body = json!({"messages": [{"role": "user", "content": "hi"}], "max_tokens": 9,
            "output_config": {"effort": effort}, "thinking": {"type": "adaptive"},
            "temperature": 0.2, "top_p": 0.9});
        let body = body.to_string();
        let model = model_info("openai", model);
        let asked = read(WireFormat::Anthropic, body.as_bytes(), model, true).unwrap();
        let options = &asked.request.options;
        let (temperature, top_p) = if kept { (Some(0.2), Some(0.9)) } else { (None, None) };
        assert_eq!((options.temperature, options.top_p), (temperature, top_p), "{effort}");
        assert_eq!(asked.dropped.contains("temperature"), !kept);
    };
    check("gpt-5", "none", false);
    check("gpt-5-mini", "high", false);
    check("o3", "low", false);
    check("gpt-5.1", "low", false);
    check("gpt-5.1", "none", true);
    check("gpt-4.1", "low", true);
    // What it takes always.
    let body =
        json!({"messages": [{"role": "user", "content": "hi"}], "temperature": 1, "top_p": 1});
    let body = body.to_string();
    let asked = read(WireFormat::Anthropic, body.as_bytes(), model_info("openai", "gpt-5"), true);
    assert_eq!(asked.unwrap().dropped.len(), 0);
}

#[test]
fn what_claude_does_not_take_beside_thinking_is_left_out_and_named() {
    let read = |more: Value| {
        let mut body = json!({"messages": [{"role": "user", "content": "hi"}], "reasoning_effort": "high",
            "tools": [{"type": "function", "function": {"name": "ls"}}]});
        for (key, value) in more.as_object().unwrap() {
            body[key] = value.clone();
        }
        let body = body.to_string();
        let asked =
            super::read(WireFormat::OpenaiChat, body.as_bytes(), label().model, true).unwrap();
        let Options { temperature, top_p, .. } = asked.request.options;
        (asked.request.thinking, temperature, top_p, asked.dropped.into_iter().collect::<Vec<_>>())
    };
    let (high, off) = (ThinkingLevel::High, ThinkingLevel::Off);
    assert_eq!(read(json!({"temperature": 1})), (high, Some(1.0), None, vec![]));
    let expected = (high, None, None, vec!["temperature".to_owned(), "top_p".to_owned()]);
    assert_eq!(read(json!({"temperature": 0.2, "top_p": 0.5})), expected);
    assert_eq!(read(json!({"top_p": 0.97})), (high, None, Some(0.97), vec![]));
    // A call that must be made is what the program asked for; how hard to think only tunes it.
    for choice in [json!("required"), json!({"type": "function", "function": {"name": "ls"}})] {
        let got = read(json!({"tool_choice": choice, "temperature": 0.2}));
        assert_eq!(got, (off, Some(0.2), None, vec!["thinking".to_owned()]));
    }
}
