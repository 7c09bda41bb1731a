//! The Messages format in both directions. What every format must withstand is in `hazards`.

use crate::{
    ask::{Model as _, ModelEvent, ModelFailure, ModelRequest, ThinkingLevel},
    route::Models,
    testing::{MemoryTransport, PreparedAnswer, assistant, call, request, result, user},
};
use futures_util::StreamExt as _;
use serde_json::{Value, json};
use toft_model::{
    event::Delta,
    message::{AssistantMessage, Block, Message, StopReason, UserContent, UserMessage},
    tool::ToolSpec,
};
use tokio_util::sync::CancellationToken;

/// In the shape that the API's documentation shows, thinking and a tool included.
const STREAM: &str = r#"event: message_start
data: {"type":"message_start","message":{"id":"msg_01","type":"message","role":"assistant","content":[],"model":"claude-opus-4-6","stop_reason":null,"stop_sequence":null,"usage":{"input_tokens":472,"cache_creation_input_tokens":100,"cache_read_input_tokens":2000,"output_tokens":2}}}

event: content_block_start
data: {"type":"content_block_start","index":0,"content_block":{"type":"thinking","thinking":"","signature":""}}

event: ping
data: {"type": "ping"}

event: content_block_delta
data: {"type":"content_block_delta","index":0,"delta":{"type":"thinking_delta","thinking":"The weather…"}}

event: content_block_delta
data: {"type":"content_block_delta","index":0,"delta":{"type":"signature_delta","signature":"EqQBCgIYAhIM"}}

event: content_block_stop
data: {"type":"content_block_stop","index":0}

event: content_block_start
data: {"type":"content_block_start","index":1,"content_block":{"type":"text","text":""}}

event: content_block_delta
data: {"type":"content_block_delta","index":1,"delta":{"type":"text_delta","text":"Okay"}}

event: content_block_delta
data: {"type":"content_block_delta","index":1,"delta":{"type":"text_delta","text":", let's check \"it\"."}}

event: content_block_stop
data: {"type":"content_block_stop","index":1}

event: content_block_start
data: {"type":"content_block_start","index":2,"content_block":{"type":"tool_use","id":"toolu_01","name":"get_weather","input":{}}}

event: content_block_delta
data: {"type":"content_block_delta","index":2,"delta":{"type":"input_json_delta","partial_json":""}}

event: content_block_delta
data: {"type":"content_block_delta","index":2,"delta":{"type":"input_json_delta","partial_json":"{\"location\": \"San"}}

event: content_block_delta
data: {"type":"content_block_delta","index":2,"delta":{"type":"input_json_delta","partial_json":" Francisco, CA\"}"}}

event: content_block_stop
data: {"type":"content_block_stop","index":2}

event: message_delta
data: {"type":"message_delta","delta":{"stop_reason":"tool_use","stop_sequence":null},"usage":{"output_tokens":89}}

event: message_stop
data: {"type":"message_stop"}

"#;

async fn ask(
    request: ModelRequest,
    answer: PreparedAnswer,
) -> (Vec<Delta>, AssistantMessage, Option<ModelFailure>) {
    let model = Models::new(MemoryTransport::new([answer]));
    let mut stream = model.ask(request, CancellationToken::new());
    let mut deltas = Vec::new();
    while let Some(event) = stream.next().await {
        match event {
            ModelEvent::Delta(delta) => deltas.push(delta),
            ModelEvent::Sealed { .. } => {}
            ModelEvent::Done { message, failure } => {
                assert!(stream.next().await.is_none(), "nothing follows the end");
                return (deltas, message, failure);
            }
        }
    }
    panic!("the stream ended without Done");
}

/// The body that a request is written as.
async fn body(request: ModelRequest) -> Value {
    let transport = MemoryTransport::new([PreparedAnswer::stream(STREAM)]);
    let mut stream = Models::new(transport.clone()).ask(request, CancellationToken::new());
    while stream.next().await.is_some() {}
    serde_json::from_slice(&transport.sent()[0].body).unwrap()
}

#[tokio::test]
async fn a_stream_becomes_deltas_and_a_message() {
    let asked = request("anthropic", "claude-opus-4-6", vec![user("hi")]);
    let (deltas, message, failure) = ask(asked, PreparedAnswer::stream(STREAM)).await;
    assert_eq!(failure, None);
    assert_eq!(message.stop_reason, StopReason::ToolUse);
    assert_eq!(
        serde_json::to_value(&message.content).unwrap(),
        json!([
            {"type": "thinking", "thinking": "The weather…", "thinkingSignature": "EqQBCgIYAhIM"},
            {"type": "text", "text": "Okay, let's check \"it\"."},
            {"type": "toolCall", "id": "toolu_01", "name": "get_weather",
             "arguments": {"location": "San Francisco, CA"}}
        ])
    );
    let usage = &message.usage;
    assert_eq!(
        (usage.input, usage.output, usage.cache_read, usage.cache_write),
        (472, 89, 2_000, 100)
    );
    assert_eq!(usage.total_tokens, 2_661);
    let cost = usage.cost.as_ref().unwrap().total;
    assert!(
        (cost - (472.0 * 5.0 + 89.0 * 25.0 + 2_000.0 * 0.5 + 100.0 * 6.25) / 1e6).abs() < 1e-12
    );
    let kinds: Vec<String> = deltas
        .iter()
        .map(|d| serde_json::to_value(d).unwrap()["type"].as_str().unwrap().to_owned())
        .collect();
    assert_eq!(
        kinds,
        [
            "thinking_start",
            "thinking_delta",
            "thinking_end",
            "text_start",
            "text_delta",
            "text_delta",
            "text_end",
            "toolcall_start",
            "toolcall_delta",
            "toolcall_delta",
            "toolcall_end"
        ]
    );
}

#[tokio::test]
async fn redacted_thinking_and_arguments_in_one_piece_are_kept() {
    let stream = r#"data: {"type":"message_start","message":{"usage":null}}

data: {"type":"content_block_start","index":0,"content_block":{"type":"redacted_thinking","data":"EmwKAhgB"}}

data: {"type":"content_block_stop","index":0}

data: {"type":"something_new","delta":"of another shape","index":"x"}

data: {"type":"content_block_start","index":1,"content_block":{"type":"tool_use","id":"t","name":"ls","input":{"path":"a"}}}

data: {"type":"content_block_stop","index":1}

data: {"type":"message_delta","delta":{"stop_reason":"tool_use"},"usage":{"input_tokens":7,"output_tokens":null}}

data: {"type":"message_stop"}

"#;
    let asked = request("minimax", "MiniMax-M2.7", vec![user("hi")]);
    let (_, message, failure) = ask(asked, PreparedAnswer::stream(stream)).await;
    assert_eq!(failure, None);
    assert_eq!(message.usage.input, 7);
    assert_eq!(
        serde_json::to_value(&message.content).unwrap(),
        json!([
            {"type": "thinking", "thinking": "", "thinkingSignature": "EmwKAhgB", "redacted": true},
            {"type": "toolCall", "id": "t", "name": "ls", "arguments": {"path": "a"}}
        ])
    );
}

#[tokio::test]
async fn stop_reasons_are_told_apart() {
    for (reason, expected, code) in [
        ("end_turn", StopReason::Stop, None),
        ("stop_sequence", StopReason::Stop, None),
        ("max_tokens", StopReason::Length, None),
        ("something_new", StopReason::Stop, None),
        ("refusal", StopReason::Error, Some("provider_error")),
    ] {
        let stream = format!(
            "data: {{\"type\":\"content_block_start\",\"index\":0,\"content_block\":{{\"type\":\"text\",\"text\":\"hi\"}}}}\n\n\
             data: {{\"type\":\"message_delta\",\"delta\":{{\"stop_reason\":\"{reason}\"}}}}\n\n\
             data: {{\"type\":\"message_stop\"}}\n\n"
        );
        let asked = request("anthropic", "claude-opus-4-6", vec![user("hi")]);
        let (_, message, failure) = ask(asked, PreparedAnswer::stream(stream)).await;
        assert_eq!(message.stop_reason, expected, "{reason}");
        assert_eq!(failure.map(|f| f.code).as_deref(), code, "{reason}");
        assert_eq!(message.content, [Block::text("hi")], "{reason}");
    }
}

#[tokio::test]
async fn a_request_says_everything_in_the_formats_words() {
    let mut thought = assistant(vec![
        Block::Thinking {
            thinking: "hm".into(),
            thinking_signature: Some("sig".into()),
            redacted: false,
        },
        Block::text("I look."),
        call("toolu_1", "ls", r#"{"path":"."}"#),
        call("functions.ls:1", "l s", "{}"),
    ]);
    if let Message::Assistant(m) = &mut thought {
        "anthropic".clone_into(&mut m.provider);
        "anthropic-messages".clone_into(&mut m.api);
    }
    let picture = Message::User(UserMessage {
        content: UserContent::Blocks(vec![
            Block::text("see"),
            Block::Image { data: "aGk=".into(), mime_type: "image/png".into() },
        ]),
        timestamp: 1,
    });
    let mut asked = request(
        "anthropic",
        "claude-sonnet-4-5",
        vec![picture, thought, result("toolu_1", "a\nb")],
    );
    asked.thinking = ThinkingLevel::Medium;
    asked.tools = vec![ToolSpec {
        name: "ls".into(),
        description: "List.".into(),
        parameters: json!({"type": "object"}),
    }];
    let got = body(asked).await;
    let other_id = got["messages"][1]["content"][3]["id"].clone();
    assert_eq!(
        got,
        json!({
            "model": "claude-sonnet-4-5", "max_tokens": 32_000, "stream": true,
            "thinking": {"type": "enabled", "budget_tokens": 8_192},
            "tools": [{"name": "ls", "description": "List.", "input_schema": {"type": "object"}}],
            "system": [{"type": "text", "text": "You are an agent.", "cache_control": {"type": "ephemeral"}}],
            "messages": [
                {"role": "user", "content": [
                    {"type": "text", "text": "see"},
                    {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "aGk="}}
                ]},
                {"role": "assistant", "content": [
                    {"type": "thinking", "thinking": "hm", "signature": "sig"},
                    {"type": "text", "text": "I look."},
                    {"type": "tool_use", "id": "toolu_1", "name": "ls", "input": {"path": "."}},
                    {"type": "tool_use", "id": other_id, "name": "l_s", "input": {}}
                ]},
                {"role": "user", "content": [
                    {"type": "tool_result", "tool_use_id": "toolu_1", "content": [{"type": "text", "text": "a\nb"}]},
                    {"type": "tool_result", "tool_use_id": other_id, "is_error": true,
                     "content": [{"type": "text", "text": "No result: the call was interrupted before it ended."}],
                     "cache_control": {"type": "ephemeral"}}
                ]}
            ]
        })
    );
}

#[tokio::test]
async fn thinking_is_asked_for_as_each_model_wants_it() {
    let mut asked = request("anthropic", "claude-opus-4-6", vec![user("hi")]);
    asked.thinking = ThinkingLevel::Xhigh;
    let got = body(asked.clone()).await;
    assert_eq!(got["thinking"], json!({"type": "adaptive"}));
    assert_eq!(got["output_config"], json!({"effort": "max"}));
    asked.model.reasoning = false;
    assert_eq!(body(asked).await.get("thinking"), None);
    // Work that began without thinking cannot go on with it.
    let mut midway = request(
        "anthropic",
        "claude-sonnet-4-5",
        vec![user("hi"), assistant(vec![call("a", "ls", "{}")]), result("a", "x")],
    );
    midway.thinking = ThinkingLevel::High;
    assert_eq!(body(midway).await.get("thinking"), None);
}

/// Takes out what may move between requests.
fn without_breakpoints(value: &mut Value) {
    match value {
        Value::Object(map) => {
            map.remove("cache_control");
            map.values_mut().for_each(without_breakpoints);
        }
        Value::Array(list) => list.iter_mut().for_each(without_breakpoints),
        _ => {}
    }
}

#[tokio::test]
async fn nobody_pays_for_keeping_what_nothing_goes_on_from() {
    let mut asked = request("anthropic", "claude-opus-4-6", vec![user("summarise")]);
    asked.options.one_off = true;
    assert!(!body(asked.clone()).await.to_string().contains("cache_control"));
    asked.system.clear();
    assert!(!body(asked).await.to_string().contains("cache_control"));
}

#[tokio::test]
async fn a_longer_conversation_begins_as_the_shorter_one() {
    let all = [
        user("one"),
        assistant(vec![Block::text("t"), call("a", "ls", "{}"), call("b", "ls", "{}")]),
        result("a", "1"),
        result("b", "2"),
        user("steer"),
        assistant(vec![Block::text("done")]),
        user("two"),
    ];
    let mut before: Vec<Value> = Vec::new();
    for end in [1, 4, 5, 7] {
        let mut got = body(request("anthropic", "claude-opus-4-6", all[..end].to_vec())).await;
        let marks = got.to_string().matches("cache_control").count();
        assert_eq!(marks, 2, "system and the last user message");
        without_breakpoints(&mut got);
        let messages = got["messages"].as_array().unwrap().clone();
        assert_eq!(messages[..before.len()], before[..], "{end}");
        before = messages;
    }
}
