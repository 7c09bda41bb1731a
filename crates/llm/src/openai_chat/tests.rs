//! The chat format in both directions, and its dialects. What every format must withstand is in
//! `hazards`.

use crate::{
    ask::{Model as _, ModelEvent, ModelFailure, ModelRequest, ThinkingLevel},
    route::Models,
    testing::{MemoryTransport, PreparedAnswer, assistant, call, request, result, user},
};
use futures_util::StreamExt as _;
use serde_json::{Value, json};
use toft_model::{
    message::{AssistantMessage, Block, Message, StopReason, ToolResultMessage},
    tool::ToolSpec,
};
use tokio_util::sync::CancellationToken;

mod thinking;

/// In the shape that OpenAI's documentation shows: text, two calls, usage apart.
const STREAM: &str = r#"data: {"id":"chatcmpl-1","object":"chat.completion.chunk","created":1,"model":"gpt-5","choices":[{"index":0,"delta":{"role":"assistant","content":"","refusal":null},"logprobs":null,"finish_reason":null}],"usage":null}

data: {"id":"chatcmpl-1","choices":[{"index":0,"delta":{"content":"I loo"},"finish_reason":null}]}

data: {"id":"chatcmpl-1","choices":[{"index":0,"delta":{"content":"k."},"finish_reason":null}]}

data: {"id":"chatcmpl-1","choices":[{"index":0,"delta":{"tool_calls":[{"index":0,"id":"call_a","type":"function","function":{"name":"ls","arguments":""}}]},"finish_reason":null}]}

data: {"id":"chatcmpl-1","choices":[{"index":0,"delta":{"tool_calls":[{"index":0,"function":{"arguments":"{\"path\":"}}]},"finish_reason":null}]}

data: {"id":"chatcmpl-1","choices":[{"index":0,"delta":{"tool_calls":[{"index":1,"id":"call_b","type":"function","function":{"name":"ls","arguments":"{}"}}]},"finish_reason":null}]}

data: {"id":"chatcmpl-1","choices":[{"index":0,"delta":{"tool_calls":[{"index":0,"function":{"arguments":"\"a\"}"}}]},"finish_reason":null}]}

data: {"id":"chatcmpl-1","choices":[{"index":0,"delta":{},"finish_reason":"tool_calls"}]}

data: {"id":"chatcmpl-1","choices":[],"usage":{"prompt_tokens":1000,"completion_tokens":50,"total_tokens":1050,"prompt_tokens_details":{"cached_tokens":600},"completion_tokens_details":{"reasoning_tokens":20}}}

data: [DONE]

"#;

async fn ask(request: ModelRequest, stream: &str) -> (AssistantMessage, Option<ModelFailure>) {
    let answer = PreparedAnswer::stream(stream.to_owned());
    let model = Models::new(MemoryTransport::new([answer]));
    let events: Vec<ModelEvent> = model.ask(request, CancellationToken::new()).collect().await;
    match events.into_iter().last() {
        Some(ModelEvent::Done { message, failure }) => (message, failure),
        other => panic!("the stream ended with {other:?}"),
    }
}

/// The body that a request is written as, and the path it goes to.
async fn sent(request: ModelRequest) -> (String, Value) {
    let transport = MemoryTransport::new([PreparedAnswer::stream(STREAM)]);
    let mut stream = Models::new(transport.clone()).ask(request, CancellationToken::new());
    while stream.next().await.is_some() {}
    let sent = &transport.sent()[0];
    (sent.path.clone(), serde_json::from_slice(&sent.body).unwrap())
}

fn asked(provider: &str, model: &str) -> ModelRequest {
    request(provider, model, vec![user("hi")])
}

#[tokio::test]
async fn a_stream_becomes_a_message() {
    let (message, failure) = ask(asked("openai", "gpt-5"), STREAM).await;
    assert_eq!(failure, None);
    assert_eq!(message.stop_reason, StopReason::ToolUse);
    assert_eq!(
        serde_json::to_value(&message.content).unwrap(),
        json!([
            {"type": "text", "text": "I look."},
            {"type": "toolCall", "id": "call_a", "name": "ls", "arguments": {"path": "a"}},
            {"type": "toolCall", "id": "call_b", "name": "ls", "arguments": {}}
        ])
    );
    let usage = message.usage;
    assert_eq!((usage.input, usage.output, usage.cache_read), (400, 50, 600));
    assert!(usage.cost.is_some());
}

/// One chunk per entry, then the end.
fn stream(deltas: &[Value], finish: &str) -> String {
    let mut lines: Vec<String> = deltas
        .iter()
        .map(|delta| json!({"choices": [{"index": 0, "delta": delta}]}).to_string())
        .collect();
    lines
        .push(json!({"choices": [{"index": 0, "delta": {}, "finish_reason": finish}]}).to_string());
    lines.push("[DONE]".into());
    format!("data: {}\n\n", lines.join("\n\ndata: "))
}

#[tokio::test]
async fn a_stream_without_its_mark_is_whole_when_it_ended_by_itself_after_a_reason() {
    let (whole, failure) = ask(asked("own", "x"), &STREAM.replace("data: [DONE]\n\n", "")).await;
    assert_eq!((failure, whole.stop_reason), (None, StopReason::ToolUse));
    assert_eq!((whole.usage.input, whole.tool_calls().count()), (400, 2));
}

#[tokio::test]
async fn an_error_in_vllms_own_shape_is_told_in_its_words() {
    let error = json!({"object": "error", "message": "engine died", "type": "x", "code": 500});
    let stream = format!("data: {error}\n\ndata: [DONE]\n\n");
    let (_, failure) = ask(asked("own", "x"), &stream).await;
    let failure = failure.unwrap();
    assert_eq!(failure.code, "provider_error");
    assert!(failure.message.contains("engine died"), "{}", failure.message);
}

#[tokio::test]
async fn dialects_of_answers_are_understood() {
    let check = async |what: &str, deltas: &[Value], expected: Value| {
        let (message, failure) = ask(asked("groq", "x"), &stream(deltas, "stop")).await;
        assert_eq!(failure, None, "{what}");
        assert_eq!(serde_json::to_value(&message.content).unwrap(), expected, "{what}");
    };
    check(
        "thinking as DeepSeek sends it",
        &[
            json!({"reasoning_content": "h", "content": null}),
            json!({"reasoning_content": "m"}),
            json!({"content": "ok"}),
        ],
        json!([{"type": "thinking", "thinking": "hm"}, {"type": "text", "text": "ok"}]),
    )
    .await;
    check(
        "thinking as OpenRouter sends it",
        &[json!({"reasoning": "hm", "content": ""}), json!({"content": "ok", "reasoning": null})],
        json!([{"type": "thinking", "thinking": "hm"}, {"type": "text", "text": "ok"}]),
    )
    .await;
    check(
        "Mistral's parts",
        &[
            json!({"content": [{"type": "thinking", "thinking": [{"type": "text", "text": "hm"}]}]}),
            json!({"content": [{"type": "text", "text": "ok"}]}),
        ],
        json!([{"type": "thinking", "thinking": "hm"}, {"type": "text", "text": "ok"}]),
    )
    .await;
    check(
        "Google's calls, all with index 0",
        &[json!({"tool_calls": [
            {"index": 0, "id": "f1", "function": {"name": "ls", "arguments": "{\"path\":\"a\"}"}},
            {"index": 0, "id": "f2", "function": {"name": "ls", "arguments": "{\"path\":\"b\"}"}}]})],
        json!([
            {"type": "toolCall", "id": "f1", "name": "ls", "arguments": {"path": "a"}},
            {"type": "toolCall", "id": "f2", "name": "ls", "arguments": {"path": "b"}}
        ]),
    )
    .await;
    check(
        "calls without index, arguments as an object, an id of nothing",
        &[json!({"tool_calls": [{"id": "", "function": {"name": "ls", "arguments": {"path": "a"}}}]})],
        json!([{"type": "toolCall", "id": "call_1", "name": "ls", "arguments": {"path": "a"}}]),
    )
    .await;
    check("a refusal", &[json!({"refusal": "No."})], json!([{"type": "text", "text": "No."}]))
        .await;
}

#[tokio::test]
async fn finish_reasons_are_told_apart() {
    for (reason, expected, code) in [
        ("stop", StopReason::Stop, None),
        ("length", StopReason::Length, None),
        ("model_context_window_exceeded", StopReason::Length, None),
        ("content_filter", StopReason::Error, Some("provider_error")),
        ("network_error", StopReason::Error, Some("provider_error")),
        ("something_new", StopReason::Stop, None),
    ] {
        let (message, failure) =
            ask(asked("groq", "x"), &stream(&[json!({"content": "hi"})], reason)).await;
        assert_eq!(message.stop_reason, expected, "{reason}");
        assert_eq!(failure.map(|f| f.code).as_deref(), code, "{reason}");
    }
}

#[tokio::test]
async fn usage_is_read_wherever_it_stands() {
    let done = "data: {\"choices\":[{\"delta\":{\"content\":\"x\"},\"finish_reason\":\"stop\"";
    for (what, body, expected) in [
        (
            "Moonshot",
            format!("{done},\"usage\":{{\"prompt_tokens\":5,\"completion_tokens\":2}}}}]}}"),
            (5, 2, 0),
        ),
        (
            "Groq",
            format!(
                "{done}}}],\"x_groq\":{{\"usage\":{{\"prompt_tokens\":5,\"completion_tokens\":2}}}}}}"
            ),
            (5, 2, 0),
        ),
        (
            "DeepSeek",
            format!(
                "{done}}}],\"usage\":{{\"prompt_tokens\":5,\"completion_tokens\":2,\"prompt_cache_hit_tokens\":4}}}}"
            ),
            (1, 2, 4),
        ),
        (
            "xAI",
            format!(
                "{done}}}],\"usage\":{{\"prompt_tokens\":5,\"completion_tokens\":2,\"total_tokens\":10,\"completion_tokens_details\":{{\"reasoning_tokens\":3}}}}}}"
            ),
            (5, 5, 0),
        ),
    ] {
        let (message, _) = ask(asked("groq", "x"), &format!("{body}\n\ndata: [DONE]\n\n")).await;
        let usage = message.usage;
        assert_eq!((usage.input, usage.output, usage.cache_read), expected, "{what}");
    }
}

#[tokio::test]
async fn a_request_says_everything_in_the_formats_words() {
    let mut asked = request(
        "openai",
        "gpt-5",
        vec![
            user("hi"),
            assistant(vec![Block::text("I look."), call("call_a", "read", r#"{"path":"p.png"}"#)]),
            Message::ToolResult(ToolResultMessage {
                tool_call_id: "call_a".into(),
                tool_name: "read".into(),
                content: vec![
                    Block::text("p.png: image/png"),
                    Block::Image { data: "aGk=".into(), mime_type: "image/png".into() },
                ],
                details: Some(json!({"secret": "for people only"})),
                is_error: false,
                timestamp: 1,
            }),
            assistant(vec![call("call_b", "ls", "{}")]),
            user("go on"),
        ],
    );
    asked.thinking = ThinkingLevel::High;
    asked.tools = vec![ToolSpec {
        name: "ls".into(),
        description: "List.".into(),
        parameters: json!({"type": "object"}),
    }];
    let (path, body) = sent(asked).await;
    assert_eq!(path, "/llm/openai/v1/chat/completions");
    assert_eq!(
        body,
        json!({
            "model": "gpt-5",
            "messages": [
                {"role": "developer", "content": "You are an agent."},
                {"role": "user", "content": "hi"},
                {"role": "assistant", "content": "I look.", "tool_calls": [
                    {"id": "call_a", "type": "function", "function": {"name": "read", "arguments": "{\"path\":\"p.png\"}"}}]},
                {"role": "tool", "content": "p.png: image/png", "tool_call_id": "call_a"},
                {"role": "user", "content": [
                    {"type": "text", "text": "The images of the tool results above:"},
                    {"type": "image_url", "image_url": {"url": "data:image/png;base64,aGk="}}]},
                {"role": "assistant", "content": null, "tool_calls": [
                    {"id": "call_b", "type": "function", "function": {"name": "ls", "arguments": "{}"}}]},
                {"role": "tool", "content": "No result: the call was interrupted before it ended.", "tool_call_id": "call_b"},
                {"role": "user", "content": "go on"}
            ],
            "stream": true, "stream_options": {"include_usage": true},
            "max_completion_tokens": 32_000,
            "tools": [{"type": "function", "function": {"name": "ls", "description": "List.", "parameters": {"type": "object"}}}],
            "reasoning_effort": "high", "store": false, "prompt_cache_key": "s1"
        })
    );
}

#[tokio::test]
async fn each_provider_is_spoken_to_in_its_dialect() {
    let thinking = async |provider: &str, model: &str, level| {
        let mut asked = asked(provider, model);
        asked.thinking = level;
        asked.model.reasoning = true;
        sent(asked).await
    };
    let (low, off) = (ThinkingLevel::Low, ThinkingLevel::Off);
    let (path, body) = thinking("mistral", "mistral-large-latest", low).await;
    assert_eq!(path, "/llm/mistral/v1/chat/completions");
    assert_eq!((body.get("stream_options"), body.get("reasoning_effort")), (None, None));
    assert!(body["max_tokens"].is_u64());
    assert_eq!(thinking("zai", "glm-4.7", off).await.1["thinking"], json!({"type": "disabled"}));
    assert_eq!(thinking("qwen", "qwen3-max", low).await.1["enable_thinking"], true);
    assert_eq!(
        thinking("openrouter", "x-ai/grok-4.3", low).await.1["reasoning"],
        json!({"effort": "low"})
    );
    let (_, plain) = thinking("a-providers-own", "m", low).await;
    assert_eq!(plain["messages"][0]["role"], "system");
    assert_eq!(plain.get("store"), None);
}

#[tokio::test]
async fn claude_behind_openrouter_gets_its_cache_breakpoints() {
    let (_, body) = sent(asked("openrouter", "anthropic/claude-opus-4.6")).await;
    let marked = json!([{"type": "text", "text": "hi", "cache_control": {"type": "ephemeral"}}]);
    assert_eq!(body["messages"][1]["content"], marked);
    assert_eq!(body.to_string().matches("cache_control").count(), 2);
}

#[tokio::test]
async fn mistral_gets_short_ids_and_a_word_between_result_and_person() {
    let (_, body) = sent(request(
        "mistral",
        "mistral-large-latest",
        vec![
            user("a"),
            assistant(vec![call("toolu_01", "ls", "{}")]),
            result("toolu_01", "x"),
            user("b"),
        ],
    ))
    .await;
    let messages = body["messages"].as_array().unwrap();
    let roles: Vec<&str> = messages.iter().map(|m| m["role"].as_str().unwrap()).collect();
    assert_eq!(roles, ["system", "user", "assistant", "tool", "assistant", "user"]);
    let id = messages[2]["tool_calls"][0]["id"].as_str().unwrap();
    assert_eq!((id.len(), Some(id)), (9, messages[3]["tool_call_id"].as_str()));
}

#[tokio::test]
async fn a_longer_conversation_begins_as_the_shorter_one() {
    let all = [
        user("one"),
        assistant(vec![Block::text("t"), call("a", "ls", "{}")]),
        result("a", "1"),
        user("steer"),
        assistant(vec![Block::text("done")]),
        user("two"),
    ];
    let mut before: Vec<Value> = Vec::new();
    for end in [1, 3, 4, 6] {
        let (_, body) = sent(request("openai", "gpt-5", all[..end].to_vec())).await;
        let messages = body["messages"].as_array().unwrap().clone();
        assert_eq!(messages[..before.len()], before[..], "{end}");
        before = messages;
    }
}

#[tokio::test]
async fn what_a_maker_sealed_goes_back_as_it_came() {
    let deltas = [
        json!({"reasoning": "I ", "reasoning_details": [
            {"type": "reasoning.text", "text": "I ", "format": "anthropic-claude-v1", "index": 0}]}),
        json!({"reasoning": "think", "reasoning_details": [
            {"type": "reasoning.text", "text": "think", "format": "anthropic-claude-v1", "index": 0}]}),
        json!({"reasoning_details": [{"type": "reasoning.text", "signature": "sig", "index": 0}]}),
        json!({"content": "Hello."}),
        json!({"tool_calls": [{"index": 0, "id": "a", "function": {"name": "ls", "arguments": "{}"}}]}),
        json!({"reasoning_details": [{"type": "reasoning.encrypted", "data": "xyz", "index": 1}]}),
        json!({"reasoning_details": [{"type": "reasoning.encrypted", "data": "uvw", "index": 1}]}),
    ];
    let sealed = json!([
        {"type": "reasoning.text", "text": "I think", "format": "anthropic-claude-v1", "index": 0,
         "signature": "sig"},
        {"type": "reasoning.encrypted", "data": "xyz", "index": 1},
        {"type": "reasoning.encrypted", "data": "uvw", "index": 1}
    ]);
    let model = "anthropic/claude-sonnet-4.6";
    let (message, failure) = ask(asked("openrouter", model), &stream(&deltas, "tool_calls")).await;
    assert_eq!((failure, message.content.len()), (None, 3));
    let Block::Thinking { thinking, thinking_signature: Some(signature), .. } = &message.content[0]
    else {
        panic!("{:?}", message.content)
    };
    assert_eq!(thinking, "I think");
    assert_eq!(serde_json::from_str::<Value>(signature).unwrap(), sealed);
    let history = vec![user("hi"), Message::Assistant(message), result("a", "x")];
    let (_, body) = sent(request("openrouter", model, history.clone())).await;
    assert_eq!(body["messages"][2]["reasoning_details"], sealed);
    assert_eq!(body["messages"][2].get("reasoning_content"), None);
    // It is of no use to another provider.
    let (_, body) = sent(request("groq", "openai/gpt-oss-120b", history)).await;
    assert!(!body.to_string().contains("reasoning_details"));

    // Where nothing is shown, what is sealed is kept all the same; words that stand only there are shown.
    let hidden = [json!({"content": "Hi."}), deltas[5].clone()];
    let (message, _) = ask(asked("openrouter", model), &stream(&hidden, "stop")).await;
    assert!(matches!(&message.content[..], [Block::Text { .. }, Block::Thinking { .. }]));
    let only = [json!({"reasoning_details": [{"type": "reasoning.summary", "summary": "short"}]})];
    let (message, _) = ask(asked("openrouter", model), &stream(&only, "stop")).await;
    assert!(matches!(&message.content[0], Block::Thinking { thinking, .. } if thinking == "short"));
}
